"""Return paths: what stands in MAIL FROM instead of a sender, so that whatever comes back can be joined to its message and nobody can make one up.

`b+<token>@<domain>`; a token is 45 letters and digits in lower case, the same in upper case, for hosts between that change it (RFC 5321 2.4
forbids it, and they do). It holds the message's uid, one delivery, the day it was made and which key it was made with, and 80 bits of HMAC-SHA-256
over all of that and over the domain: a token of one domain is none at another.

Promises: `made` is pure; `read` is total over any text and takes the same time whatever is wrong. Keys are the caller's (store.returnkeys).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import NamedTuple

from jetmail.mail.address import MAX_PATH

PREFIX = "b+"
MAX_DELIVERY = (1 << 40) - 1
KEY_NUMBERS = 16
DAY = 86_400.0

_LENGTH = 45
_PAYLOAD = 18  # octets: head 1, day 2, uid 10, delivery 5
_MAC = 10
_TOKEN = re.compile(rf"[a-z2-7]{{{_LENGTH}}}")
_UID = re.compile(r"[0-9a-f]{20}")
_ONE, _SEVERAL = 1, 2


class Key(NamedTuple):
    """`number` 0 to 15, which is how a token names it; `made` in epoch seconds."""

    number: int
    made: float
    secret: bytes


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys, newest first: the first makes, all read."""

    keys: tuple[Key, ...]

    def numbered(self, number: int) -> Key | None:
        """The key of that number."""
        return next((key for key in self.keys if key.number == number), None)


class Wrong(Enum):
    """Why an address is none of ours, or no longer."""

    FORGED = "forged"
    EXPIRED = "expired"


class Token(NamedTuple):
    """`uid` of the message, `delivery` the id of a delivery; `is_one`: of that alone, else of it and others to the same destination. `made`: when its
    day began."""

    uid: str
    delivery: int
    is_one: bool
    made: float


def is_shaped(local: str) -> bool:
    """Whether a local part looks like a return path, right or not."""
    return local[:2].lower() == PREFIX and _TOKEN.fullmatch(local[2:].lower()) is not None


def made(ring: Ring, now: float, uid: str, delivery: int, is_one: bool, domain: str) -> str:
    """The address; '' for a uid, a delivery or a domain that does not fit, or without a key."""
    if not ring.keys or not _UID.fullmatch(uid) or not 0 <= delivery <= MAX_DELIVERY:
        return ""
    key = ring.keys[0]
    head = (_ONE if is_one else _SEVERAL) << 4 | key.number
    payload = bytes((head,)) + (int(now // DAY) & 0xFFFF).to_bytes(2, "big") + bytes.fromhex(uid) + delivery.to_bytes(5, "big")
    token = base64.b32encode(payload + _mac(key, payload, domain)).decode("ascii").rstrip("=").lower()
    address = f"{PREFIX}{token}@{domain}"
    return address if len(address) <= MAX_PATH else ""


def read(ring: Ring, now: float, local: str, domain: str, days: float) -> Token | Wrong:
    """What an address says, when it is ours and not older than `days`."""
    if not is_shaped(local):
        return Wrong.FORGED
    try:
        octets = base64.b32decode(local[2:].upper() + "===")
    except binascii.Error:
        return Wrong.FORGED
    payload, mac = octets[:_PAYLOAD], octets[_PAYLOAD:]
    kind = payload[0] >> 4
    key = ring.numbered(payload[0] & 0xF)
    if key is None or kind not in (_ONE, _SEVERAL) or not hmac.compare_digest(mac, _mac(key, payload, domain)):
        return Wrong.FORGED
    age = (int(now // DAY) - int.from_bytes(payload[1:3], "big")) & 0xFFFF
    if age == 0xFFFF:  # made by a clock that was ahead over midnight
        age = 0
    if age > days:
        return Wrong.EXPIRED
    return Token(payload[3:13].hex(), int.from_bytes(payload[13:18], "big"), kind == _ONE, (int(now // DAY) - age) * DAY)


def _mac(key: Key, payload: bytes, domain: str) -> bytes:
    about = b"return-path\0" + domain.lower().encode("utf-8") + b"\0" + payload
    return hmac.new(key.secret, about, sha256).digest()[:_MAC]
