"""Delivery status notifications: what became of a message, told to its sender by mail.

Promises
- `build` is a pure function of a Report: multipart/report (RFC 6522) of words for people, message/delivery-status for machines (RFC 3464), and the
  original message or its header. Lines end in CRLF; everything is 7-bit and wrapped; nothing a peer said can start a header or a part of its own.
- Addresses outside ASCII are written as RFC 6533 section 3 has it for ASCII reports (address type utf-8, `\\x{E9}`); an original header outside
  ASCII is carried as quoted-printable, as RFC 6522 section 4 allows.
- It is marked as written by a machine (RFC 3834), so that no vacation program answers it. The caller sends it from the null sender (RFC 5321 4.5.5).

Raises ValueError when the boundary occurs in the original or in what a peer said (the caller draws another).
Obeys RFC 3461 (RET, ENVID, ORCPT), 3464, 3834, 6522, 6533.
"""

from __future__ import annotations

import quopri
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum

from jetmail.mail.reply import Reply

MAX_LINE = 76
MAX_LINE_ANYWHERE = 998  # of octets of others that are carried as they are
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
CRLF = b"\r\n"


class Action(StrEnum):
    """What became of one recipient (RFC 3464 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """One recipient. `status` like '5.1.1'; `orcpt` as received or ''; `remote_mta` who gave `reply` ('' when it is our own word); `explanation` is a
    sentence for people, '' when the reply says it all; times are epoch seconds, None where they mean nothing."""

    recipient: str
    action: Action
    status: str
    reply: Reply | None = None
    remote_mta: str = ""
    orcpt: str = ""
    explanation: str = ""
    last_attempt: float | None = None
    will_retry_until: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """`reporting_mta` our host name, `to` the sender of the original, `original` its octets, b'' when they are lost; all of them are returned when
    `is_full` and they are 7-bit, else the header. `boundary` 1 to 70 letters and digits. All recipients share one action."""

    reporting_mta: str
    to: str
    message_id: str
    boundary: str
    date: float
    arrival: float
    recipients: tuple[RecipientStatus, ...]
    original: bytes = b""
    is_full: bool = False
    envid: str = ""


_SUBJECTS = {
    Action.FAILED: "Undelivered mail returned to sender",
    Action.DELAYED: "Delayed mail (still being retried)",
    Action.DELIVERED: "Mail delivered",
    Action.RELAYED: "Mail relayed",
}
_OPENINGS = {
    Action.FAILED: "Your message could not be delivered to the recipients below. It will not be tried again.",
    Action.DELAYED: "Your message could not be delivered yet to the recipients below. It is kept and tried again; you need not send it again.",
    Action.DELIVERED: "Your message was delivered to the recipients below.",
    Action.RELAYED: "Your message was handed on to the recipients' mail system, which promises no further notices.",
}


def subject(action: Action) -> str:
    """The Subject of a report of that kind."""
    return _SUBJECTS[action]


def build(report: Report) -> bytes:
    """The whole message, header and body."""
    action = report.recipients[0].action
    header = [
        f"From: Mail Delivery System <MAILER-DAEMON@{report.reporting_mta}>",
        f"To: {_header_address(report.to)}",
        f"Subject: {subject(action)}",
        f"Date: {_date(report.date)}",
        f"Message-ID: <{report.message_id}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{report.boundary}"',
    ]
    parts = [_human(report, action), _machine(report)]
    if report.original:
        parts.append(_original(report))
    if any(report.boundary.encode("ascii") in part for part in (report.original, *parts)):
        raise ValueError("the boundary occurs in the original message or in what a peer said")
    opening = b"--" + report.boundary.encode("ascii") + CRLF
    body = b"".join(opening + part + CRLF for part in parts)
    return CRLF.join(_fold(line) for line in header) + CRLF * 2 + body + b"--" + report.boundary.encode("ascii") + b"--" + CRLF


def status_of(reply: Reply, fallback: str) -> str:
    """The enhanced code of a reply, or one made from what is known (RFC 3463: class by the reply, detail from `fallback`)."""
    return reply.enhanced or fallback


def _human(report: Report, action: Action) -> bytes:
    lines = [f"This is the mail system at {report.reporting_mta}.", "", *_wrap(_OPENINGS[action]), ""]
    for item in report.recipients:
        lines.append(f"<{_clean(item.recipient)}>")
        if item.explanation:
            lines.extend("    " + line for line in _wrap(_clean(item.explanation), MAX_LINE - 4))
        if item.reply is not None:
            said = f"{_clean(item.remote_mta)} said: " if item.remote_mta else ""
            lines.extend("    " + line for line in _wrap(said + _clean(str(item.reply)), MAX_LINE - 4))
        if item.will_retry_until is not None:
            lines.append(f"    It will be tried until {_date(item.will_retry_until)}.")
        lines.append("")
    text = "\r\n".join(lines)
    if text.isascii():
        return b"Content-Type: text/plain; charset=us-ascii\r\nContent-Description: Notification\r\n\r\n" + text.encode("ascii")
    return (
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Description: Notification\r\n\r\n"
        + _quoted(text.encode("utf-8", "replace"))
    )


def _machine(report: Report) -> bytes:
    blocks = [[f"Reporting-MTA: dns; {report.reporting_mta}"]]
    if report.envid:
        blocks[0].append(f"Original-Envelope-Id: {_ascii(_from_xtext(report.envid))}")
    blocks[0].append(f"Arrival-Date: {_date(report.arrival)}")
    for item in report.recipients:
        block = []
        if item.orcpt:
            kind, _, address = item.orcpt.partition(";")
            block.append(f"Original-Recipient: {_ascii(kind.lower())}; {_orcpt_address(kind, address)}")
        block.append(f"Final-Recipient: {_typed_address(item.recipient)}")
        block.append(f"Action: {item.action}")
        block.append(f"Status: {item.status}")
        if item.remote_mta:
            block.append(f"Remote-MTA: dns; {_ascii(item.remote_mta)}")
        if item.reply is not None:
            # RFC 3464 2.3.6: type smtp is what a peer said; what we say ourselves is typed as ours.
            block.append(f"Diagnostic-Code: {'smtp' if item.remote_mta else 'x-jetmail'}; {_ascii(str(item.reply))}")
        if item.last_attempt is not None:
            block.append(f"Last-Attempt-Date: {_date(item.last_attempt)}")
        if item.will_retry_until is not None:
            block.append(f"Will-Retry-Until: {_date(item.will_retry_until)}")
        blocks.append(block)
    fields = (CRLF * 2).join(CRLF.join(_fold(line) for line in block) for block in blocks)
    return b"Content-Type: message/delivery-status\r\nContent-Description: Delivery report\r\n\r\n" + fields + CRLF


def _original(report: Report) -> bytes:
    original = report.original
    if report.is_full and _is_plain(original):
        return b"Content-Type: message/rfc822\r\nContent-Description: Undelivered message\r\n\r\n" + original
    header = header_of(original)
    head = b"Content-Type: text/rfc822-headers"
    if _is_plain(header):
        return head + b"\r\nContent-Description: Undelivered message headers\r\n\r\n" + header
    # RFC 6522 section 4: a header that is not 7-bit may be quoted-printable, and so may one with lines that others would refuse.
    return (
        head
        + b"; charset=utf-8\r\nContent-Description: Undelivered message headers\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + _quoted(header)
    )


def _is_plain(octets: bytes) -> bool:
    """Whether it can stand in a message as it is: 7-bit, CRLF only, no line past RFC 5322 2.1.1. We take longer ones than a report may bring home."""
    bare = octets.replace(CRLF, b"")
    return octets.isascii() and not any(octet in bare for octet in (b"\r", b"\n", b"\0")) and max(map(len, octets.split(CRLF))) <= MAX_LINE_ANYWHERE


def header_of(content: bytes) -> bytes:
    """The header block of a message, without the empty line that ends it."""
    if content.startswith(CRLF):
        return b""
    end = content.find(b"\r\n\r\n")
    return content if end < 0 else content[: end + 2]


def _date(at: float) -> str:
    return format_datetime(datetime.fromtimestamp(int(at), UTC))


def _clean(text: str) -> str:
    return _CONTROLS.sub(" ", text)


def _ascii(text: str) -> str:
    # One space at a time: a folded line of nothing but spaces would end the block for some readers.
    return " ".join(_clean(text).encode("ascii", "replace").decode("ascii").split())


def _from_xtext(text: str) -> str:
    """RFC 3461 section 4."""
    return _XTEXT.sub(lambda found: chr(int(found[1], 16)), text)


def _typed_address(address: str) -> str:
    """RFC 3464 2.3.2, and RFC 6533 section 3 for what is not ASCII."""
    return f"rfc822; {_clean(address)}" if address.isascii() else f"utf-8; {_utf8_xtext(address)}"


def _orcpt_address(kind: str, address: str) -> str:
    # An ORCPT of type utf-8 has an encoding of its own that stays as it is.
    return _utf8_xtext(address) if kind.lower() == "utf-8" else _ascii(_from_xtext(address))


def _utf8_xtext(address: str) -> str:
    return "".join(character if character.isascii() else f"\\x{{{ord(character):X}}}" for character in _clean(address))


def _header_address(address: str) -> str:
    # A report to an address outside ASCII goes by SMTPUTF8, whose header may carry it (RFC 6532); the 7-bit promise is kept all the same by naming
    # it in words, because the envelope alone decides where the report goes.
    return f"<{_clean(address)}>" if address.isascii() else "undisclosed-recipients:;"


def _quoted(octets: bytes) -> bytes:
    return quopri.encodestring(octets.replace(CRLF, b"\n").replace(b"\r", b"\n")).replace(b"\n", CRLF)


def _fold(line: str) -> bytes:
    """A header line, folded at spaces (RFC 5322 2.2.3); a word too long for any line stands alone, cut where even the hard limit ends."""
    if len(line) <= MAX_LINE or "\r\n" in line:
        return line.encode("ascii", "replace")
    return "\r\n ".join(_wrap(line, MAX_LINE - 1)).encode("ascii", "replace")


def _wrap(text: str, width: int = MAX_LINE) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        for piece in [word[start : start + 900] for start in range(0, len(word), 900)] or [""]:
            if line and len(line) + 1 + len(piece) > width:
                lines.append(line)
                line = piece
            else:
                line = f"{line} {piece}" if line else piece
    return [*lines, line] if line or not lines else lines
