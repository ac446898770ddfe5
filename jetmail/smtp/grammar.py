"""The commands of SMTP as text becomes values (RFC 5321 4.1; parameters: RFC 1870, 3030, 3461, 4954, 6152, 6531, 8689).

Strict where two readers could disagree, forgiving where they cannot: spaces after the colon and at the end of a line are let pass, letter case of
keywords does not matter, a source route is dropped (RFC 5321 C). An unknown or unoffered parameter is 555, a known one that is wrong or given
twice 501.

Every function takes one command line's argument (no CRLF, no NUL) and returns a value or raises Refused with the reply to give; nothing else is
raised, whatever the octets. Arguments are decoded here and nowhere else: ASCII, or UTF-8 where SMTPUTF8 lets it be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jetmail.mail.address import Address, AddressError, parse
from jetmail.mail.envelope import Recipient, Sender
from jetmail.mail.reply import Reply
from jetmail.smtp import answers

# Quoted strings may hold '>'. Possessive: no input makes it back-track.
_PATH = r'[ \t]*+<((?:"(?:[^"\\]|\\.)*+"|[^">])*+)>(?:[ \t]++(.*))?'
_MAIL = re.compile(r"FROM:" + _PATH, re.IGNORECASE | re.DOTALL | re.ASCII)
_RCPT = re.compile(r"TO:" + _PATH, re.IGNORECASE | re.DOTALL | re.ASCII)
_HOP = r"@(?:\[[^\[\]\s]{1,255}\]|[^\s@,:<>\[\]]{1,255})"
_ROUTE = re.compile(rf"{_HOP}(?:,{_HOP})*+:")
_HELO = re.compile(rb"[!-~]{1,255}")
_SIZE = re.compile(r"[0-9]{1,20}", re.ASCII)
_BDAT = re.compile(rb"([0-9]{1,20})(?:[ \t]+(LAST))?", re.IGNORECASE)
_MECHANISM = re.compile(rb"([A-Za-z0-9_-]{1,20})(?:[ \t]+([^ \t]+))?")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+(?:[2-6][0-9A-F]|7[0-9A-E]))*+")  # RFC 3461 4: and the decoded octets are printable too (4.4, 4.2)
_ESCAPE = re.compile(r"\+([0-9A-F]{2})")
_UNITEXT = re.compile("(?:[!-*,-<>-~\u00a0-\U0010ffff]|\\+(?:[2-6][0-9A-F]|7[0-9A-E]))*+")  # RFC 6533 3
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9-]{1,40}")
_NOTIFY_ORDER = ("SUCCESS", "FAILURE", "DELAY")


class Refused(Exception):
    """The command is wrong; `reply` says how."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Offers:
    """Which parameters the session has offered: `max_size` in octets, `auth` (RFC 4954 5), `requiretls` (RFC 8689: on TLS only)."""

    max_size: int
    auth: bool = False
    requiretls: bool = False


def parse_helo(argument: bytes) -> str:
    """The name a client gives itself. Anything printable: many are wrong and none is believed (RFC 5321 4.1.4)."""
    if not _HELO.fullmatch(argument):
        raise Refused(answers.BAD_HELO)
    return argument.decode("ascii")


def parse_mail(argument: bytes, offers: Offers) -> Sender:
    """What follows `MAIL `."""
    found = _MAIL.fullmatch(_text(argument))
    if found is None:
        raise Refused(answers.MAIL_SYNTAX)
    path, words = found.groups()
    values = _parameters(words, _MAIL_PARAMETERS) if words else {}
    if "SIZE" in values and values["SIZE"] > offers.max_size:
        raise Refused(answers.TOO_BIG)
    if ("AUTH" in values and not offers.auth) or ("REQUIRETLS" in values and not offers.requiretls):
        raise Refused(answers.NOT_OFFERED)
    smtputf8 = "SMTPUTF8" in values
    if not smtputf8 and not argument.isascii():
        raise Refused(answers.NEEDS_SMTPUTF8)
    return Sender(
        _address(path, "5.1.7", "sender") if path else None,
        values.get("SIZE"),
        values.get("BODY", "7BIT"),
        smtputf8,
        values.get("RET", ""),
        values.get("ENVID", ""),
        "REQUIRETLS" in values,
        values.get("AUTH", ""),
    )


def parse_rcpt(argument: bytes, smtputf8: bool, hostname: str) -> Recipient:
    """What follows `RCPT `. `<postmaster>` alone is the one at `hostname` (RFC 5321 4.1.1.3)."""
    found = _RCPT.fullmatch(_text(argument))
    if found is None:
        raise Refused(answers.RCPT_SYNTAX)
    path, words = found.groups()
    values = _parameters(words, _RCPT_PARAMETERS) if words else {}
    if not smtputf8 and not argument.isascii():
        raise Refused(answers.NEEDS_SMTPUTF8)
    if path.lower() == "postmaster":
        path = f"{path}@{hostname}"
    return Recipient(_address(path, "5.1.3", "recipient"), values.get("NOTIFY", ""), values.get("ORCPT", ""))


def parse_bdat(argument: bytes) -> tuple[int, bool]:
    """(size, LAST) of a BDAT command (RFC 3030 2)."""
    found = _BDAT.fullmatch(argument)
    if found is None:
        raise Refused(answers.BDAT_SYNTAX)
    return int(found[1]), found[2] is not None


def parse_auth(argument: bytes) -> tuple[str, bytes | None]:
    """(mechanism in capitals, initial response as it came or None) of an AUTH command (RFC 4954 4)."""
    found = _MECHANISM.fullmatch(argument)
    if found is None:
        raise Refused(answers.AUTH_SYNTAX)
    return found[1].decode("ascii").upper(), found[2]


def decode_xtext(text: str) -> str:
    """xtext that has passed the grammar, as plain text."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def _text(argument: bytes) -> str:
    try:
        return argument.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(answers.NOT_UTF8) from None


def _address(path: str, enhanced: str, whose: str) -> Address:
    if path.startswith("@") and (route := _ROUTE.match(path)):
        path = path[route.end() :]
    try:
        return parse(path)
    except AddressError as error:
        raise Refused(Reply(501, enhanced, f"Bad {whose} address: {error}")) from None


def _parameters(words: str, known: Mapping[str, Callable[[str | None], Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for word in words.split():
        keyword, equals, value = word.partition("=")
        keyword = keyword.upper()
        reader = known.get(keyword)
        if reader is None:
            raise Refused(answers.UNKNOWN_PARAMETER)
        if keyword in values:
            raise Refused(Reply(501, "5.5.4", f"Parameter {keyword} given twice"))
        result = reader(value if equals else None)
        if result is None:
            raise Refused(Reply(501, "5.5.4", f"Bad value for parameter {keyword}"))
        values[keyword] = result
    return values


def _size(value: str | None) -> int | None:
    return int(value) if value and _SIZE.fullmatch(value) else None


def _body(value: str | None) -> str | None:
    body = (value or "").upper()
    if body == "BINARYMIME":
        # RFC 3030 3 needs BINARYMIME to be offered: content here has CRLF line ends, or none at all.
        raise Refused(answers.NO_BINARYMIME)
    return body if body in ("7BIT", "8BITMIME") else None


def _flag(value: str | None) -> bool | None:
    return True if value is None else None


def _ret(value: str | None) -> str | None:
    ret = (value or "").upper()
    return ret if ret in ("FULL", "HDRS") else None


def _envid(value: str | None) -> str | None:
    # RFC 3461 4.4: at most 100 octets. Kept as xtext: that is how it is passed on.
    return value if value and len(value) <= 100 and _XTEXT.fullmatch(value) else None


def _auth(value: str | None) -> str | None:
    return value if value and len(value) <= 500 and (value == "<>" or _XTEXT.fullmatch(value)) else None


def _notify(value: str | None) -> str | None:
    words = (value or "").upper().split(",")
    if words == ["NEVER"]:
        return "NEVER"
    if len(set(words)) < len(words) or not set(words) <= set(_NOTIFY_ORDER):
        return None
    return ",".join(word for word in _NOTIFY_ORDER if word in words)


def _orcpt(value: str | None) -> str | None:
    # RFC 3461 4.2: at most 500 octets; RFC 6533 3 adds the type utf-8 and text beyond ASCII.
    if not value or len(value) > 500:
        return None
    kind, semicolon, address = value.partition(";")
    if not semicolon or not address or not _ADDRESS_TYPE.fullmatch(kind):
        return None
    return value if (_UNITEXT if kind.lower() == "utf-8" else _XTEXT).fullmatch(address) else None


_MAIL_PARAMETERS = {
    "SIZE": _size,
    "BODY": _body,
    "SMTPUTF8": _flag,
    "RET": _ret,
    "ENVID": _envid,
    "AUTH": _auth,
    "REQUIRETLS": _flag,
}
_RCPT_PARAMETERS = {"NOTIFY": _notify, "ORCPT": _orcpt}
