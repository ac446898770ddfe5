"""How the message is put together: MIME that no mail program writes, and how the text was packed."""

from __future__ import annotations

import re

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail import encoded
from jetmail.mail.message import Message
from jetmail.mail.mime import Part
from jetmail.rules.analysis import hosts
from jetmail.rules.analysis.content import Content, read_content
from jetmail.rules.analysis.rule import ContentRule, Notes
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.symbols import symbols

_ENCODINGS = frozenset({"", "7bit", "8bit", "binary", "quoted-printable", "base64", "x-uuencode", "uuencode"})
_WORDS = re.compile(r"\w{4,}")
_BASE64_ALPHABET = re.compile(rb"[A-Za-z0-9+/=\s]*")
SAMPLE = 4_000
_OF_FLAW = {
    "boundary": "MIME_BOUNDARY",
    "depth": "MIME_DEPTH",
    "header": "MIME_PART_HEADER",
    "hits": "MIME_PARTS",
    "parts": "MIME_PARTS",
    "unclosed": "MIME_UNCLOSED",
}


@implementer(IRule)
class Structure(ContentRule):
    """Findings about MIME."""

    SYMBOLS = symbols(
        "Structure",
        ("MIME_DEPTH", 2.0, "Parts are nested deeper than any mail program does."),
        ("MIME_PARTS", 2.0, "The message has an absurd number of parts."),
        ("MIME_BOUNDARY", 1.2, "The message has parts and no usable boundary between them."),
        ("MIME_UNCLOSED", 0.5, "The end of the message's parts never comes."),
        ("MIME_PART_HEADER", 1.5, "A part of the message has a header no program writes."),
        ("MIME_ENCODING", 1.5, "A part names an encoding that does not exist."),
        ("MIME_CHARSET", 0.8, "A text names a character set that does not exist."),
        ("MIME_CHARSET_LIES", 0.6, "A text is not in the character set it names."),
        ("MIME_BASE64_ASCII", 0.8, "Plain text is packed as if it were a picture."),
        ("MIME_BASE64_BROKEN", 0.8, "A part says it is base64 and is not."),
        ("MIME_HTML_ONLY", 0.5, "The message has no plain text beside its HTML."),
        ("MIME_TEXT_EMPTY", 0.8, "The plain text beside the HTML is empty."),
        ("MIME_TEXT_DIFFERS", 0.7, "The plain text says something else than the HTML."),
        ("MIME_ONE_ALTERNATIVE", 0.6, "The message offers alternatives and has only one."),
        ("BODY_EMPTY", 0.8, "The message says nothing."),
        ("BODY_SHORT_LINK", 0.8, "The message is hardly more than a link."),
        ("CALENDAR_STRANGER", 1.0, "An invitation comes along with advertising links."),
    )  # fmt: skip

    def note(self, notes: Notes, facts: Facts, policy: Policy, message: Message) -> None:
        """See the class."""
        content = message.once(read_content)
        structure = content.structure
        for flaw in sorted(structure.flaws):
            notes.add(_OF_FLAW[flaw])
        octets = message.whole()
        shown = [part for part in structure.parts if part.content_type in ("text/plain", "text/html") and part.disposition != "attachment"]
        for part in structure.parts[:100]:
            if part.encoding not in _ENCODINGS:
                notes.add("MIME_ENCODING", part.encoding)
        for part in shown[:10]:
            self._packing(notes, octets, part)
        self._alternatives(notes, message, content, shown)
        if not content.letters and not content.hidden_letters and not structure.attachments and not content.links:
            notes.add("BODY_EMPTY")
        elif content.letters < 150 and 0 < len(content.hosts) <= 2 and not message.value(b"in-reply-to") and not content.is_list:
            if all(hosts.registrable(host) != content.registered for host in content.hosts):
                notes.add("BODY_SHORT_LINK")
        if (
            any(part.content_type == "text/calendar" for part in structure.parts)
            and content.hosts
            and content.registered in self.maps.places.free_mail
        ):
            notes.add("CALENDAR_STRANGER")

    def _packing(self, notes: Notes, octets: bytes, part: Part) -> None:
        if part.charset and encoded.charset(part.charset) is None:
            notes.add("MIME_CHARSET", part.charset)
        if part.encoding == "base64":
            raw = octets[part.start : min(part.end, part.start + SAMPLE)]
            if _BASE64_ALPHABET.fullmatch(raw) is None:
                notes.add("MIME_BASE64_BROKEN")
            elif part.end - part.start > 200 and (text := encoded.from_base64(raw)).isascii() and b"\0" not in text:
                notes.add("MIME_BASE64_ASCII")
        elif part.charset.lower() in ("us-ascii", "ascii") and not octets[part.start : min(part.end, part.start + SAMPLE)].isascii():
            notes.add("MIME_CHARSET_LIES", part.charset)

    def _alternatives(self, notes: Notes, message: Message, content: Content, shown: list[Part]) -> None:
        is_alternative = message.value(b"content-type")[:24].lower().startswith(b"multipart/alternative")
        plain = [part for part in shown if part.content_type == "text/plain"]
        if content.html and not plain:
            notes.add("MIME_ONE_ALTERNATIVE" if is_alternative and len(content.structure.parts) == 1 else "MIME_HTML_ONLY")
        if not (is_alternative and plain and content.html):
            return
        text = encoded.to_text(plain[0].decoded(message.whole(), SAMPLE), plain[0].charset)
        if not text.strip():
            notes.add("MIME_TEXT_EMPTY")
            return
        said = set(_WORDS.findall(text.lower()))
        html = set(_WORDS.findall(content.structure.pages[0][1].text[: 3 * SAMPLE].lower()))
        if len(said) >= 8 and len(html) >= 8 and len(said & html) * 4 < min(len(said), len(html)):
            notes.add("MIME_TEXT_DIFFERS")
