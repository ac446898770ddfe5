"""What is asked for in JSON -> a letter with its envelope. Total over any JSON: what is wrong is a Problem that names the field, never anything else.

Strict: a field nobody knows is an error, as it is more often a slip than a wish, and so is a wrong type. All text must fit into a header or a body as
it is; what could not be read back is refused. Header fields are those of SAFE and any X-; who sends, trace, MIME and identity are not the caller's.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from jetmail.api.problem import Problem, invalid
from jetmail.mail.address import Address, AddressError, parse
from jetmail.mail.compose import MAX_VALUE, MAX_WORD, Attachment, Letter, Party, is_plain
from jetmail.mail.envelope import Recipient, Sender
from jetmail.mail.mailbox import parse_mailboxes

FIELDS = frozenset({"from", "to", "cc", "bcc", "reply_to", "subject", "text", "html", "headers", "attachments", "envelope_from"})
SAFE = frozenset(
    """
    auto-submitted comments feedback-id importance in-reply-to keywords list-archive list-help list-id list-owner list-post list-subscribe
    list-unsubscribe list-unsubscribe-post message-id organization precedence priority references sensitivity thread-index thread-topic
    """.split()
)
STRUCTURED = re.compile(r"(?:in-reply-to|references|message-id|list-(?!id$).*)", re.IGNORECASE)  # in these an encoded word means nothing
MAX_HEADERS = 50
MAX_ATTACHMENTS = 100
MAX_NAME = 200
MAX_SUBJECT = 1_000
MAX_TOKENS = 200_000  # strings, brackets and commas in one body: what a parsed value weighs goes by their number, not by octets

_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,75}")
_MESSAGE_ID = re.compile(r"<[^<>\s@]{1,120}@[^<>\s@]{1,120}>")
_TYPE = re.compile(r"([a-z]+/[a-z0-9][a-z0-9!#$&^_.+-]{0,80})(?:; ?charset=\"?([A-Za-z0-9._-]{1,40})\"?)?", re.IGNORECASE)
_CID = re.compile(r"[A-Za-z0-9._+@-]{1,100}")
_HALVES = re.compile("[\ud800-\udfff]")
# A string to its end, which may be missing, or what parts values. Never fails once it has begun, so each octet is read once.
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\[\s\S]?[^"\\]*+)*+"?|[\[{,]')

T = TypeVar("T")


class Order(NamedTuple):
    """A letter, and whom it is from and for in the envelope."""

    letter: Letter
    sender: Sender
    recipients: tuple[Recipient, ...]


def from_json(octets: bytes) -> Any:
    """The value. Raises Problem."""
    for number, _ in enumerate(_TOKENS.finditer(octets)):
        if number >= MAX_TOKENS:
            raise Problem("too_large", f"more than {MAX_TOKENS} values in one request")
    try:
        return json.loads(octets.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg}, at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "cannot be read"
        raise Problem("bad_request", f"the body is no JSON in UTF-8: {reason}") from None


def read(value: Any, max_recipients: int) -> Order:
    """One message as it was asked for. Raises Problem."""
    fields = _object(value, "")
    for name in fields:
        if name not in FIELDS:
            raise invalid(name[:80] if is_plain(name) else "", f"is not known; known are {', '.join(sorted(FIELDS))}")
    author = _party(_needed(fields, "from"), "from")
    to, cc, bcc = (_parties(fields.get(name), name) for name in ("to", "cc", "bcc"))
    recipients = tuple(dict.fromkeys(party.address for party in (*to, *cc, *bcc)))
    if not recipients:
        raise invalid("to", "nobody is named in to, cc and bcc")
    if len(recipients) > max_recipients:
        raise invalid("to", f"more than {max_recipients} recipients in to, cc and bcc")
    text, html = (_maybe(fields.get(name), name, _body) for name in ("text", "html"))
    if text is None and html is None:
        raise invalid("text", "text or html is needed")
    letter = Letter(
        author, to, cc, _parties(fields.get("reply_to"), "reply_to"), _line(fields.get("subject", ""), "subject", MAX_SUBJECT), text, html,
        _headers(fields.get("headers")), _attachments(fields.get("attachments")),
    )  # fmt: skip
    bounce = _maybe(fields.get("envelope_from"), "envelope_from", _address) or author.address
    is_utf8 = letter.is_utf8 or not all(address.is_ascii for address in (bounce, *recipients))
    return Order(letter, Sender(bounce, smtputf8=is_utf8), tuple(Recipient(address) for address in recipients))


def address(text: str, field: str) -> Address:
    """An address of the envelope. Raises Problem."""
    try:
        return parse(text.strip())
    except AddressError as error:
        raise invalid(field, str(error)) from None


def _no_number(name: str) -> None:
    raise ValueError(name)


def _object(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(field, "must be an object")
    return value


def _list(value: Any, field: str, most: int) -> list[Any]:
    if not isinstance(value, list):
        raise invalid(field, "must be a list")
    if len(value) > most:
        raise invalid(field, f"more than {most}")
    return value


def _needed(fields: dict[str, Any], name: str) -> Any:
    if fields.get(name) is None:
        raise invalid(name, "is missing")
    return fields[name]


def _maybe(value: Any, field: str, read: Callable[[Any, str], T]) -> T | None:
    return None if value is None else read(value, field)


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise invalid(field, "must be a string")
    return value


def _body(value: Any, field: str) -> str:
    text = _text(value, field)
    if _HALVES.search(text):
        raise invalid(field, "has half of a character (a lone surrogate)")
    return text


def _line(value: Any, field: str, most: int) -> str:
    text = _text(value, field)
    if not is_plain(text):
        raise invalid(field, "has a line end or another control character")
    if len(text) > most:
        raise invalid(field, f"is longer than {most} characters")
    return text


def _address(value: Any, field: str) -> Address:
    return address(_text(value, field), field)


def _party(value: Any, field: str) -> Party:
    """'a@b', 'Name <a@b>' or {"email": ..., "name": ...}."""
    if isinstance(value, dict):
        for name in value:
            if name not in ("email", "name"):
                raise invalid(field, "has email and name and nothing else")
        email = _address(value.get("email"), f"{field}.email")
        return Party(email, _line(value.get("name") or "", f"{field}.name", MAX_NAME).strip())
    text = _line(value, field, 600).strip()
    if "<" not in text:
        return Party(address(text, field))
    found, is_clean = parse_mailboxes(text.encode("utf-8"))
    if not is_clean or len(found) != 1 or found[0].address is None:
        raise invalid(field, "must be one address, or a name and an address in angle brackets")
    name = found[0].name
    if not is_plain(name) or len(name) > MAX_NAME:
        raise invalid(field, f"has a name with control characters, or of more than {MAX_NAME} characters")
    return Party(found[0].address, name)


def _parties(value: Any, field: str) -> tuple[Party, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        return (_party(value, field),)
    return tuple(_party(each, f"{field}[{index}]") for index, each in enumerate(_list(value, field, 10_000)))


def _headers(value: Any) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    fields = _object(value, "headers")
    if len(fields) > MAX_HEADERS:
        raise invalid("headers", f"more than {MAX_HEADERS}")
    made, seen = [], set()
    for name, given in fields.items():
        if not _HEADER_NAME.fullmatch(name):
            raise invalid("headers", "a name has letters, digits and hyphens, 76 at most")
        field, lower = f"headers.{name}", name.lower()
        if lower in seen:
            raise invalid(field, "is there twice")
        seen.add(lower)
        if lower not in SAFE and not lower.startswith("x-"):
            raise invalid(field, "cannot be set; these can: X-..., " + ", ".join(sorted(SAFE)))
        text = _line(given, field, MAX_VALUE)
        if lower == "message-id" and not _MESSAGE_ID.fullmatch(text):
            raise invalid(field, "must be <left@right>")
        if STRUCTURED.fullmatch(lower) and not (text.isascii() and text == " ".join(text.split()) and max(map(len, text.split(" "))) <= MAX_WORD):
            raise invalid(field, f"must be ASCII, without blanks at the ends or side by side, and without words of more than {MAX_WORD} characters")
        made.append((name, text))
    return tuple(made)


def _attachments(value: Any) -> tuple[Attachment, ...]:
    if value is None:
        return ()
    made, cids = [], set()
    for index, given in enumerate(_list(value, "attachments", MAX_ATTACHMENTS)):
        field = f"attachments[{index}]"
        item = _object(given, field)
        for name in item:
            if name not in ("name", "type", "content", "cid"):
                raise invalid(field, "has name, type, content and cid and nothing else")
        name = _line(item.get("name", ""), f"{field}.name", 255)
        if "/" in name or "\\" in name:
            raise invalid(f"{field}.name", "is a file's name, without directories")
        cid = _text(item.get("cid") or "", f"{field}.cid")
        if cid and (not _CID.fullmatch(cid) or cid in cids):
            raise invalid(f"{field}.cid", "must be letters, digits and . _ + @ -, 100 at most, and another one for each")
        cids.add(cid)
        made.append(Attachment(name, _type(item.get("type") or "application/octet-stream", f"{field}.type"), _octets(item, field), cid))
    return tuple(made)


def _type(value: Any, field: str) -> str:
    found = _TYPE.fullmatch(_text(value, field))
    if found is None:
        raise invalid(field, "must be a content type such as application/pdf or text/csv; charset=utf-8")
    name, charset = found[1].lower(), found[2]
    if name.startswith(("multipart/", "message/")):
        raise invalid(field, "cannot be attached as such; use application/octet-stream")
    return f"{name}; charset={charset}" if charset else name


def _octets(item: dict[str, Any], field: str) -> bytes:
    text = _text(item.get("content"), f"{field}.content")
    try:
        return binascii.a2b_base64(text.encode("ascii").replace(b"\r", b"").replace(b"\n", b""), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise invalid(f"{field}.content", "is no base64") from None
