"""The header as a whole: dates, identifiers, addressees, the road it says it came by. Forged mail is written by programs that get these wrong."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail.address import Address
from jetmail.mail.mailbox import parse_mailboxes
from jetmail.mail.message import Message
from jetmail.rules.analysis import hosts
from jetmail.rules.analysis.content import Content, addressees, read_content
from jetmail.rules.analysis.rule import ContentRule, Notes
from jetmail.rules.facts import Facts, parse_ip
from jetmail.rules.lists import NEAR_NETWORKS, Networks, parse_range
from jetmail.rules.policy import Policy
from jetmail.rules.symbols import symbols

DAY = 86_400
MAX_DATE = 200
MAX_ZONE = 14  # hours: what no clock on earth is off is a date nobody's clock made

_PLAIN_DATE = re.compile(
    r"(?:[A-Za-z]{3}, )?(\d\d?) ([A-Z][a-z][a-z]) ((?:19|20)\d\d) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)([0-5]\d)(?: \([A-Z]{1,5}\))?", re.ASCII
)
_MONTHS = {name: number for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_MESSAGE_ID = re.compile(r"<[^<>@\s]+@[^<>@\s]+>")
_IN_COMMENT = re.compile(r"\([^()]*\)")
_NUMERIC = re.compile(r"\[?\d{1,3}(?:[.-]\d{1,3}){3}\]?")
_DYNAMIC = re.compile(
    r"\d{1,3}[.-]\d{1,3}[.-]\d{1,3}|"
    r"(?:^|[.-])(?:dyn|dynamic|dhcp|dsl|adsl|ppp|pppoe|dial|dialup|cable|pool|customer|cust|broadband)(?:[.-]|\d|$)"
)
_FROM_HOST = re.compile(r"from\s+(\S{1,255})")
_WINDOWS_NAME = re.compile(
    r"(?:WIN-[A-Z0-9]{8,}|DESKTOP-[A-Z0-9]{5,}|VPS-?\d*|VM\d*|VULTRGUEST|SERVER\d*|USER\d*|PC-?\d*|localhost(?:\.localdomain)?)", re.IGNORECASE
)
_BULK_MAILER = re.compile(
    r"phpmailer|smart.?send|the bat|advanced mass|massmail|mass mail|bulk|turbo.?mail|atomic mail|gammadyne|sendblaster|group ?mail|"
    r"leaf ?php|inbox mailer|heart ?sender|"
    r"powermailer|foxmail|outlook express|king mailer|super ?mailer|x-mailer|ultimate mailer|direct mail|easymail|swiftmailer|xmail|email marketer",
    re.IGNORECASE,
)
_ONCE = frozenset({b"date", b"subject", b"message-id", b"to", b"cc", b"reply-to", b"content-type", b"in-reply-to"})  # RFC 5322 3.6
_PLACEHOLDER = re.compile(rb"undisclosed|recipients?\s*:\s*;|destinataires|\binconnus|list suppressed", re.IGNORECASE)


# A machine beside us calls itself what it likes, by our own name too.
_NEAR = Networks(parse_range(text) for text in NEAR_NETWORKS)


@implementer(IRule)
class Headers(ContentRule):
    """Findings about Date, Message-ID, To, Received, HELO and other fields but From and Subject."""

    SYMBOLS = symbols(
        "Header",
        ("DATE_MISSING", 1.2, "The message does not say when it was written."),
        ("DATE_INVALID", 1.2, "The date of the message cannot be read."),
        ("DATE_FUTURE", 1.5, "The message says it was written in the future."),
        ("DATE_PAST", 0.6, "The message says it was written more than a week before it was sent."),
        ("MESSAGE_ID_MISSING", 1.2, "The message has no identifier."),
        ("MESSAGE_ID_INVALID", 1.0, "The identifier of the message is malformed."),
        ("MESSAGE_ID_HOST", 0.4, "The identifier of the message names no proper host."),
        ("MESSAGE_ID_RECIPIENT", 1.0, "The identifier of the message pretends to come from the recipient's domain."),
        ("TO_MISSING", 1.0, "The message names no recipient."),
        ("TO_HIDDEN", 1.0, "The recipients of the message are not disclosed."),
        ("TO_SENDER", 1.0, "The message is addressed to its own sender and reached others."),
        ("TO_OTHERS", 0.7, "The message is addressed to others than those it came to."),
        ("TO_INVALID", 1.2, "The field To holds no address."),
        ("MIME_VERSION_MISSING", 0.4, "The message has MIME fields but does not say it is MIME."),
        ("MAILER_BULK", 0.6, "The message was written by a program often used for unsolicited bulk mail."),
        ("PRIORITY_HIGH", 0.5, "The message marks itself as urgent."),
        ("HEADER_REPEATED", 1.0, "Fields that may stand once stand several times."),
        ("HEADER_BROKEN", 1.0, "The header has lines that are no fields."),
        ("HEADER_OCTETS", 1.0, "The header has characters that must be encoded and are not."),
        ("HELO_INVALID", 1.0, "The sending host did not say its full name."),
        ("HELO_ADDRESS", 1.0, "The sending host gave an address for its name."),
        ("HELO_OURS", 4.0, "The sending host pretended to be this server."),
        ("HELO_DYNAMIC", 1.2, "The sending host has the name of a line for dialling in."),
        ("RECEIVED_ODD_HOST", 0.7, "The message was handed in by a machine with no proper name."),
        ("RECEIVED_NONE", 0.2, "The message says nothing of the road it came by."),
        ("RETURN_PATH_DIFFERS", 0.3, "Errors go to another domain than the message says it is from."),
    )  # fmt: skip

    def note(self, notes: Notes, facts: Facts, policy: Policy, message: Message) -> None:
        """See the class."""
        content = message.once(read_content)
        self._date(notes, facts, message)
        self._message_id(notes, facts, message, content)
        self._addressees(notes, facts, message, content)
        self._form(notes, message)
        self._road(notes, facts, message)
        sender = facts.sender.address if facts.sender is not None else _return_path(message)
        if sender is not None and content.domain and not content.is_list and hosts.registrable(sender.domain) != content.registered:
            notes.add("RETURN_PATH_DIFFERS", sender.domain)

    def _date(self, notes: Notes, facts: Facts, message: Message) -> None:
        value = message.text(b"date")
        if not value:
            notes.add("DATE_MISSING")
            return
        written = _when(value)
        if written is None:
            notes.add("DATE_INVALID", value[:100])
            return
        if facts.time - 7 * DAY <= written <= facts.time + DAY:
            return
        # A message may be judged long after it came (from a file, out of quarantine): its own Received fields are the clock then.
        stamps = (_when(each.rpartition(b";")[2].decode("latin-1")) for each in message.values(b"received")[:3])
        clocks = [facts.time, *(at for at in stamps if at is not None)]
        if all(written > at + DAY for at in clocks):
            notes.add("DATE_FUTURE", value[:100])
        elif all(written < at - 7 * DAY for at in clocks):
            notes.add("DATE_PAST", value[:100])

    def _message_id(self, notes: Notes, facts: Facts, message: Message, content: Content) -> None:
        value = message.message_id
        if not value:
            notes.add("MESSAGE_ID_MISSING")
            return
        if not _MESSAGE_ID.fullmatch(_IN_COMMENT.sub("", value).strip()):
            notes.add("MESSAGE_ID_INVALID", value)
            return
        host = value.rpartition("@")[2].rstrip(">").lower()
        if "." not in host or _NUMERIC.fullmatch(host) or _WINDOWS_NAME.match(host):
            notes.add("MESSAGE_ID_HOST", host)
        elif content.domain and host != content.domain:
            if any(host == recipient.address.domain and recipient.address.domain != content.domain for recipient in facts.recipients[:20]):
                notes.add("MESSAGE_ID_RECIPIENT", host)

    def _addressees(self, notes: Notes, facts: Facts, message: Message, content: Content) -> None:
        named = addressees(message)
        addresses = [box.address for box in named if box.address is not None]
        to = message.value(b"to")
        if not to and not message.value(b"cc"):
            notes.add("TO_MISSING")
        elif not addresses:
            notes.add("TO_HIDDEN" if _PLACEHOLDER.search(to) or not to else "TO_INVALID", message.text(b"to")[:100])
        elif not content.is_list and len(addresses) == 1 and addresses[0].key == f"{content.local.casefold()}@{content.domain}":
            notes.add("TO_SENDER")
        elif facts.recipients and addresses and not content.is_list and not message.value(b"resent-to"):
            keys = {address.key for address in addresses}
            # .invalid is nobody's (RFC 6761 6.4): it stands for whoever gets a message that is judged for nobody in particular
            if not any(recipient.address.key in keys or recipient.address.domain.endswith(".invalid") for recipient in facts.recipients):
                notes.add("TO_OTHERS")

    def _form(self, notes: Notes, message: Message) -> None:
        names = [name for name, _ in message.fields]
        present = frozenset(names)
        if b"mime-version" not in present and (b"content-type" in present and b"multipart" in message.value(b"content-type").lower()):
            notes.add("MIME_VERSION_MISSING")
        if any(names.count(name) > 1 for name in _ONCE & present):
            notes.add("HEADER_REPEATED")
        if b"" in present:
            notes.add("HEADER_BROKEN")
        if not message.value(b"subject").isascii() or not message.value(b"from").isascii() or not message.value(b"to").isascii():
            notes.add("HEADER_OCTETS")
        mailer = message.text(b"x-mailer") or message.text(b"user-agent")
        if mailer and (found := _BULK_MAILER.search(mailer[:200])):
            notes.add("MAILER_BULK", found[0])
        says_urgent = (message.value(b"importance").lower(), message.value(b"priority").lower())
        if message.value(b"x-priority")[:1] in (b"1", b"2") or b"high" in says_urgent or b"urgent" in says_urgent:
            notes.add("PRIORITY_HIGH")

    def _road(self, notes: Notes, facts: Facts, message: Message) -> None:
        received = message.values(b"received")
        helo = facts.client.helo
        if helo and not facts.client.user and facts.client.ip not in _NEAR:
            bare = helo.strip("[]").lower().removeprefix("ipv6:")
            if self.hostname and bare.rstrip(".") == self.hostname.lower():
                notes.add("HELO_OURS", helo)
            elif parse_ip(bare) is not None:
                notes.add("HELO_ADDRESS", helo)
            elif "." not in bare:
                notes.add("HELO_INVALID", helo)
            elif _DYNAMIC.search(bare):
                notes.add("HELO_DYNAMIC", helo)
        if not received and not helo:
            notes.add("RECEIVED_NONE")
        if received and (found := _FROM_HOST.match(received[-1][:300].decode("latin-1"))):
            host = found[1].strip("[]()")
            if _WINDOWS_NAME.fullmatch(host) and not host.lower().startswith("localhost"):
                notes.add("RECEIVED_ODD_HOST", host)


def _when(value: str) -> float | None:
    """A date of a header field as epoch seconds, None when it is none."""
    if plain := _PLAIN_DATE.fullmatch(value):  # as nearly all are: read in a quarter of the time
        day, month, year, hour, minute, second, sign, east, more = plain.groups()
        if int(east) > MAX_ZONE:
            return None
        try:
            local = datetime(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second), tzinfo=UTC)
            return local.timestamp() - (int(east) * 3600 + int(more) * 60) * (-1 if sign == "-" else 1)
        except (ValueError, KeyError):
            pass
    try:
        date = parsedate_to_datetime(value.strip()[:MAX_DATE])
    except Exception:  # the library's own faults on hostile dates (IndexError, OverflowError, TypeError besides ValueError)
        return None
    try:
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return (date.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()


def _return_path(message: Message) -> Address | None:
    from_field = message.values(b"return-path")[:1]
    if not from_field:
        return None
    found, _ = parse_mailboxes(from_field[0])
    return found[0].address if found else None
