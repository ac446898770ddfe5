"""The eight kinds of condition of an allow or block rule (spec 1.5): senders, recipients, subjects, body, headers, IPs, size, attachments.

`compile_conditions` turns the JSON object of the API and the store into a Conditions value, or raises UsageError naming the field and the
reason. Values inside one kind are alternatives; different kinds must all hold; a rule without any condition is refused.

`Conditions.match` answers True, False or None: None while the message that would decide is not there yet, which is how a rule whose mind is made
up by the envelope can act at RCPT and another cannot.

Regular expressions are RE2's only: time linear in the text, memory capped, length capped. The text they see is capped too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import re2

from jetmail.errors import UsageError
from jetmail.mail.address import Address, AddressError, parse, parse_domain
from jetmail.mail.message import Message
from jetmail.mail.mime import Part
from jetmail.rules.facts import Facts
from jetmail.rules.lists import Networks, parse_range

MAX_PATTERN = 1_000  # characters of a regular expression or a text
MAX_VALUES = 1_000  # alternatives in one kind
MAX_BODY = 256 * 1024  # characters of decoded text looked at, at most
DEFAULT_BODY = 64 * 1024
MAX_SIZE = 1 << 40
NO_BREAK = "\xa0"  # looks like a space, mail programs write it in place of one, and RE2 knows only ASCII ones: texts are compared with spaces
REGEX_MEMORY = 1 << 20  # octets RE2 may spend on one expression

MATCH_TYPES = ("exact", "contains", "starts_with", "ends_with", "regex")
ADDRESS_TYPES = ("email", "domain", "regex")
IP_TYPES = ("single", "cidr", "range")
ATTACHMENT_TYPES = ("filename", "extension", "mime_type", "any")
KINDS = ("senders", "recipients", "subjects", "body", "headers", "ips", "size", "attachments")

TextTest = Callable[[str], bool]
AddressTest = Callable[[Address], bool]


@dataclass(frozen=True, slots=True)
class TextCondition:
    """One test of a text; of a body, its first `limit` characters."""

    test: TextTest
    limit: int = DEFAULT_BODY


@dataclass(frozen=True, slots=True)
class HeaderCondition:
    """One test of the values of one field. `name` is lower-case."""

    name: bytes
    test: TextTest


@dataclass(frozen=True, slots=True)
class Conditions:
    """Compiled, immutable, shared between messages. An empty tuple or None is a kind that was not asked for."""

    senders: tuple[AddressTest, ...] = ()
    recipients: tuple[AddressTest, ...] = ()
    subjects: tuple[TextTest, ...] = ()
    body: tuple[TextCondition, ...] = ()
    headers: tuple[HeaderCondition, ...] = ()
    networks: Networks | None = None
    size: tuple[int, int] | None = None
    attachments: tuple[Callable[[Part], bool], ...] = ()

    def match(self, facts: Facts, *, is_allow: bool = False) -> bool | None:
        """Do they all hold for this client, sender, recipient and message? None: cannot be said before the content is there.
        `is_allow`: a header From only speaks for the sender when it is well formed and all its addresses match; to block, one is enough."""
        if self.networks is not None and facts.client.ip not in self.networks:
            return False
        if self.recipients and not self._is_recipient(facts):
            return False
        message = facts.message
        is_sender = not self.senders or self._is_envelope_sender(facts)
        if message is None:
            needs_message = bool(self.subjects or self.body or self.headers or self.attachments) or self.size is not None
            return True if is_sender and not needs_message else None
        return (is_sender or self._is_header_sender(message, is_allow)) and self._is_message(message)

    def _is_recipient(self, facts: Facts) -> bool:
        return facts.recipient is not None and any(test(facts.recipient.address) for test in self.recipients)

    def _is_envelope_sender(self, facts: Facts) -> bool:
        address = facts.sender.address if facts.sender is not None else None
        return address is not None and any(test(address) for test in self.senders)

    def _is_header_sender(self, message: Message, is_allow: bool) -> bool:
        matches = (any(test(address) for test in self.senders) for address in message.sender.addresses)
        return message.sender.is_sound and all(matches) if is_allow else any(matches)

    def _is_message(self, message: Message) -> bool:
        """Cheap kinds first: the structure of the body is read only when everything else holds."""
        if self.size is not None and not self.size[0] <= message.size <= self.size[1]:
            return False
        if self.subjects and not any(test(message.subject) for test in self.subjects):
            return False
        if self.headers and not any(condition.test(text) for condition in self.headers for text in message.texts(condition.name)):
            return False
        if self.body and not any(condition.test(message.structure.text[: condition.limit]) for condition in self.body):
            return False
        return not self.attachments or any(test(part) for part in message.structure.attachments for test in self.attachments)


def compile_conditions(data: Mapping[str, Any]) -> Conditions:
    """JSON object -> Conditions. Raises UsageError(field, reason); fields are named like 'subjects[0].match_type'."""
    if not isinstance(data, Mapping):
        raise UsageError("conditions", "must be an object")
    for key in data:
        if key not in KINDS:
            raise UsageError(f"conditions.{key}", f"unknown; the kinds are {', '.join(KINDS)}")
    conditions = Conditions(
        senders=tuple(_address(entry, where, "sender") for where, entry in _entries(data, "senders")),
        recipients=tuple(_address(entry, where, "recipient") for where, entry in _entries(data, "recipients")),
        subjects=tuple(_text(entry, where, "subject_value") for where, entry in _entries(data, "subjects")),
        body=tuple(_body(entry, where) for where, entry in _entries(data, "body")),
        headers=tuple(_header(entry, where) for where, entry in _entries(data, "headers")),
        networks=_networks(_entries(data, "ips")),
        size=_size(data.get("size")),
        attachments=tuple(_attachment(entry, where) for where, entry in _entries(data, "attachments")),
    )
    if conditions == Conditions():
        raise UsageError("conditions", "at least one condition is needed: a rule without any would match all mail")
    return conditions


def compile_regex(pattern: str, field: str, case_sensitive: bool = False) -> Any:
    """An RE2 expression within the caps. Raises UsageError."""
    if len(pattern) > MAX_PATTERN:
        raise UsageError(field, f"longer than {MAX_PATTERN} characters")
    options = re2.Options()
    options.max_mem = REGEX_MEMORY
    options.never_capture = True
    options.log_errors = False
    options.case_sensitive = case_sensitive
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        reason = error.args[0] if error.args else "not valid"
        raise UsageError(
            field, f"not a valid regular expression: {reason.decode('utf-8', 'replace') if isinstance(reason, bytes) else reason}"
        ) from error


def _entries(data: Mapping[str, Any], kind: str) -> list[tuple[str, Mapping[str, Any]]]:
    entries = data.get(kind)
    if entries is None:
        return []
    if not isinstance(entries, Sequence) or isinstance(entries, str | bytes):
        raise UsageError(kind, "must be a list of objects")
    if len(entries) > MAX_VALUES:
        raise UsageError(kind, f"more than {MAX_VALUES} entries")
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise UsageError(f"{kind}[{index}]", "must be an object")
    return [(f"{kind}[{index}]", entry) for index, entry in enumerate(entries)]


def _only(entry: Mapping[str, Any], where: str, names: Iterable[str]) -> None:
    for name in entry:
        if name not in names:
            raise UsageError(f"{where}.{name}", f"unknown; expected {', '.join(names)}")


def _string(entry: Mapping[str, Any], where: str, name: str, limit: int = MAX_PATTERN) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{where}.{name}", "must be a text, not empty")
    if len(value) > limit:
        raise UsageError(f"{where}.{name}", f"longer than {limit} characters")
    return value


def _choice(entry: Mapping[str, Any], where: str, name: str, choices: Sequence[str]) -> str:
    value = entry.get(name)
    if value not in choices:
        raise UsageError(f"{where}.{name}", f"must be one of {', '.join(choices)}")
    return str(value)


def _flag(entry: Mapping[str, Any], where: str, name: str) -> bool:
    value = entry.get(name, False)
    if not isinstance(value, bool) and value not in (0, 1):
        raise UsageError(f"{where}.{name}", "must be true or false")
    return bool(value)


def _address(entry: Mapping[str, Any], where: str, side: str) -> AddressTest:
    type_name, value_name = f"{side}_type", f"{side}_value"
    _only(entry, where, (type_name, value_name))
    kind = _choice(entry, where, type_name, ADDRESS_TYPES)
    value = _string(entry, where, value_name)
    field = f"{where}.{value_name}"
    if kind == "regex":
        regex = compile_regex(value, field)
        return lambda address: regex.search(str(address)) is not None
    try:
        if kind == "email":
            key = parse(value.strip()).key
            return lambda address: address.key == key
        covers_below = value.strip().startswith("*.")
        domain = parse_domain(value.strip().removeprefix("*."))
    except AddressError as error:
        raise UsageError(field, str(error)) from error
    if covers_below:
        suffix = "." + domain
        return lambda address: address.domain == domain or address.domain.endswith(suffix)
    return lambda address: address.domain == domain


def _text(entry: Mapping[str, Any], where: str, value_name: str, extra: tuple[str, ...] = ()) -> TextTest:
    _only(entry, where, ("match_type", value_name, "case_sensitive", *extra))
    kind = _choice(entry, where, "match_type", MATCH_TYPES)
    value = _string(entry, where, value_name).replace(NO_BREAK, " ")
    case_sensitive = _flag(entry, where, "case_sensitive")
    if kind == "regex":
        regex = compile_regex(value, f"{where}.{value_name}", case_sensitive)
        return lambda text: regex.search(text.replace(NO_BREAK, " ")) is not None
    if case_sensitive:
        test = _plain_test(kind, value)
        return lambda text: test(text.replace(NO_BREAK, " "))
    test = _plain_test(kind, value.casefold())
    return lambda text: test(text.replace(NO_BREAK, " ").casefold())


def _plain_test(kind: str, value: str) -> TextTest:
    if kind == "exact":
        return lambda text: text.strip() == value.strip()
    if kind == "contains":
        return lambda text: value in text
    if kind == "starts_with":
        return lambda text: text.startswith(value)
    return lambda text: text.rstrip().endswith(value)


def _body(entry: Mapping[str, Any], where: str) -> TextCondition:
    test = _text(entry, where, "body_value", ("max_body_size",))
    limit = entry.get("max_body_size", DEFAULT_BODY)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_BODY:
        raise UsageError(f"{where}.max_body_size", f"must be a whole number from 1 to {MAX_BODY}")
    return TextCondition(test, limit)


def _header(entry: Mapping[str, Any], where: str) -> HeaderCondition:
    test = _text(entry, where, "header_value", ("header_name",))
    name = _string(entry, where, "header_name", 76).strip().rstrip(":")
    if not name.isascii() or not all("!" <= char <= "~" and char != ":" for char in name):
        raise UsageError(f"{where}.header_name", "is no header field name (RFC 5322 3.6.8)")
    return HeaderCondition(name.lower().encode(), test)


def _networks(entries: list[tuple[str, Mapping[str, Any]]]) -> Networks | None:
    ranges = []
    for where, entry in entries:
        _only(entry, where, ("ip_type", "ip_value"))
        kind = _choice(entry, where, "ip_type", IP_TYPES)
        value = _string(entry, where, "ip_value", 100).strip()
        has = "range" if "-" in value else "cidr" if "/" in value else "single"
        try:
            if has != kind:
                raise ValueError(f"is a {has}, not a {kind}")
            ranges.append(parse_range(value))
        except ValueError as error:
            raise UsageError(f"{where}.ip_value", str(error)) from error
    return Networks(ranges) if ranges else None


def _size(data: Any) -> tuple[int, int] | None:
    if data is None:
        return None
    if not isinstance(data, Mapping):
        raise UsageError("size", "must be an object with min_size, max_size or both")
    _only(data, "size", ("min_size", "max_size"))
    limits = []
    for name, default in (("min_size", 0), ("max_size", MAX_SIZE)):
        value = data.get(name)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SIZE:
            raise UsageError(f"size.{name}", "must be a whole number of octets")
        limits.append(value)
    if limits == [0, MAX_SIZE]:
        return None
    if limits[0] > limits[1]:
        raise UsageError("size.min_size", "is larger than max_size")
    return limits[0], limits[1]


def _attachment(entry: Mapping[str, Any], where: str) -> Callable[[Part], bool]:
    _only(entry, where, ("match_type", "match_value", "case_sensitive"))
    kind = _choice(entry, where, "match_type", ATTACHMENT_TYPES)
    if kind == "any":
        return lambda part: True
    value = _string(entry, where, "match_value", 255).strip()
    case_sensitive = _flag(entry, where, "case_sensitive") and kind == "filename"
    if kind == "extension":
        extension = value.lstrip("*").lstrip(".").lower()
        return lambda part: part.file_name.lower().endswith("." + extension)
    if "*" not in value:
        wanted = value if case_sensitive else value.casefold()
        if kind == "mime_type":
            return lambda part: part.content_type == wanted
        return lambda part: (part.file_name if case_sensitive else part.file_name.casefold()) == wanted
    regex = compile_regex("^" + ".*".join(re2.escape(piece) for piece in value.split("*")) + "$", f"{where}.match_value", case_sensitive)
    if kind == "mime_type":
        return lambda part: regex.search(part.content_type) is not None
    return lambda part: regex.search(part.file_name) is not None
