"""The Sender Rewriting Scheme: how forwarded mail leaves under a name of ours and its bounces find their way back (Meng Weng Wong and Shevek,
"SRS", 2004).

`SRS0=hash=day=domain=local@ours` for a sender as it was; `SRS1=hash=host==rest@ours` for one that another forwarder has rewritten already, so that
addresses do not grow with each hop: a bounce goes to us, from us to that first forwarder, and from there home. The day is two letters (1,024 days and
round again); the hash is eight letters of HMAC-SHA-256, 40 bits, compared without regard to case, as is everything under it.

Promises: pure; `reversed_` is total over any text. An address that would not fit RFC 5321's 64 octets, or cannot be written so, gives '' (the caller
has return paths of a fixed length for those).
"""

from __future__ import annotations

import base64
import hmac
import re
from hashlib import sha256

from jetmail.mail.address import MAX_LOCAL, Address, AddressError, parse
from jetmail.mail.returnpath import DAY, Key, Ring, Wrong

HASH = 8
SLOTS = 1_024

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_SRS0 = re.compile(r"SRS0[=+-]([^=]*)=([^=]*)=([^=]*)=(.+)", re.I | re.S)
_SRS1 = re.compile(r"SRS1[=+-]([^=]*)=([^=]*)=([=+-].+)", re.I | re.S)
_TAG = re.compile(r"SRS[01][=+-]", re.I)
_DOT_STRING = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")


def is_shaped(local: str) -> bool:
    """Whether a local part looks rewritten, by us or anybody."""
    return _TAG.match(local) is not None


def forwarded(ring: Ring, now: float, sender: Address, domain: str) -> str:
    """The address a forwarded message leaves under; '' when it cannot be written."""
    if not ring.keys or sender.is_literal or not _DOT_STRING.fullmatch(sender.local):
        return ""
    key = ring.keys[0]
    if (again := _SRS1.fullmatch(sender.local)) is not None and "." in again[2]:
        host, rest = again[2].lower(), again[3]
        local = f"SRS1={_hash(key, host, rest)}={host}={rest}"
    elif sender.local[:4].upper() == "SRS0" and sender.local[4:5] in "=+-" and len(sender.local) > 5:
        rest = sender.local[4:]
        local = f"SRS1={_hash(key, sender.domain, rest)}={sender.domain}={rest}"
    else:
        day = int(now // DAY) % SLOTS
        stamp = _ALPHABET[day >> 5] + _ALPHABET[day & 31]
        local = f"SRS0={_hash(key, stamp, sender.domain, sender.local)}={stamp}={sender.domain}={sender.local}"
    return f"{local}@{domain}" if len(local) <= MAX_LOCAL else ""


def reversed_(ring: Ring, now: float, local: str, days: float) -> Address | Wrong:
    """Where a bounce to one of our rewritten addresses goes."""
    if (once := _SRS0.fullmatch(local)) is not None:
        said, stamp, domain, rest = once.groups()
        if not _is_ours(ring, said, stamp.upper(), domain, rest):
            return Wrong.FORGED
        if (int(now // DAY) - _day(stamp.upper())) % SLOTS > max(1.0, days) and (_day(stamp.upper()) - int(now // DAY)) % SLOTS > 1:
            return Wrong.EXPIRED
        return _address(f"{rest}@{domain}")
    if (again := _SRS1.fullmatch(local)) is not None:
        said, host, rest = again.groups()
        return _address(f"SRS0{rest}@{host}") if _is_ours(ring, said, host, rest) else Wrong.FORGED
    return Wrong.FORGED


def _address(text: str) -> Address | Wrong:
    try:
        return parse(text)
    except AddressError:
        return Wrong.FORGED


def _is_ours(ring: Ring, said: str, *parts: str) -> bool:
    """Every key is asked, so that the time tells nothing."""
    found = [hmac.compare_digest(said.upper().encode("utf-8", "replace"), _hash(key, *parts).encode("ascii")) for key in ring.keys]
    return any(found)


def _hash(key: Key, *parts: str) -> str:
    about = "\0".join(("srs", *parts)).lower().encode("utf-8", "replace")
    return base64.b32encode(hmac.new(key.secret, about, sha256).digest())[:HASH].decode("ascii")


def _day(stamp: str) -> int:
    return _ALPHABET.index(stamp[0]) << 5 | _ALPHABET.index(stamp[1])  # its hash was right: it is of these letters
