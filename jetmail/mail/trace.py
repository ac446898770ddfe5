"""Trace fields: the Received we add, the ones we count (RFC 5321 4.4, RFC 3848, RFC 6531 4.3, RFC 8689).

Everything a stranger said (HELO, the recipient) is made harmless before it is written: no control character and no line end gets through, and
what could close a comment is dropped. Return-Path is not added: we relay, and RFC 5321 4.4 leaves that to final delivery.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import NamedTuple

from jetmail.mail.message import Message

MAX_RECEIVED = 50  # RFC 5321 6.3: at least 100 hops are to be allowed before a loop is certain; ours stops runaway mail earlier, and can be set

_UNSAFE = re.compile(r"[^!-~\u0080-\U0010ffff]+")
_SAFE = re.compile(r"[!-'*-\[\]-~]{1,255}").fullmatch  # nothing to be done: what nearly everybody says
_COMMENT = re.compile(r"[()\\]+")


class Hop(NamedTuple):
    """What one Received field says. `helo` as the client gave it, `address` its IP, `tls` '' or the version, `cipher` '' or its name, `user`
    whether it logged in (never who), `recipient` '' unless there is exactly one. `via` '' or the protocol, where it was not SMTP."""

    helo: str
    address: str
    hostname: str
    uid: str
    time: float
    esmtp: bool = True
    tls: str = ""
    cipher: str = ""
    authenticated: bool = False
    smtputf8: bool = False
    recipient: str = ""
    via: str = ""


def received(hop: Hop) -> bytes:
    """The field, folded, with its final CRLF."""
    helo = _safe(hop.helo) or "unknown"
    address = f"[IPv6:{hop.address}]" if ":" in hop.address else f"[{hop.address}]"
    tls = f"\r\n\t(using {_safe(hop.tls)}{' with ' + _safe(hop.cipher) if hop.cipher else ''})" if hop.tls else ""
    recipient = f"\r\n\tfor <{_safe(hop.recipient)}>" if hop.recipient else ""
    ours = f"by {hop.hostname} with {protocol(hop)} id {hop.uid}"
    text = f"Received: from {helo} ({address}){tls}\r\n\t{ours}{recipient};\r\n\t{rfc5322_date(hop.time)}\r\n"
    return text.encode("utf-8" if hop.smtputf8 else "ascii", "replace")


def protocol(hop: Hop) -> str:
    """The `with` word: SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA, and UTF8SMTP... when the transaction was SMTPUTF8."""
    if hop.via:
        return hop.via
    if not hop.esmtp:
        return "SMTP"
    return ("UTF8SMTP" if hop.smtputf8 else "ESMTP") + ("S" if hop.tls else "") + ("A" if hop.authenticated else "")


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC))


def rfc5322_date(time: float) -> str:
    """'Thu, 26 Nov 2026 10:00:00 +0000'."""
    return _date(int(time))


def count_received(message: Message) -> int:
    """How many hops the message has behind it, by its own account."""
    return message.count(b"received")


def count_delivered_to(message: Message, key: str) -> int:
    """How often the message says it has reached this address (an Address.key) before."""
    if not message.count(b"delivered-to"):
        return 0
    return sum(value.decode("utf-8", "replace").strip("<> ").casefold() == key for value in message.values(b"delivered-to"))


def _safe(text: str) -> str:
    return text if _SAFE(text) else _COMMENT.sub("", _UNSAFE.sub("", text))[:255]
