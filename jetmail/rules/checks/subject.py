"""The subject line: what is disguised in it, and what it pretends."""

from __future__ import annotations

import re

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail.message import Message
from jetmail.rules.analysis import letters
from jetmail.rules.analysis.content import read_content
from jetmail.rules.analysis.rule import ContentRule, Notes
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.symbols import symbols

_REPLY = re.compile(r"^\s*(?:re|aw|sv|antw|rif|res|odp|ynt)\s*(?:\[\d+\])?\s*:", re.IGNORECASE)
_NEEDLESS = re.compile(rb"=\?(?:utf-8|us-ascii|iso-8859-\d+|windows-125\d)\?(?:q\?[ -<>-~]{0,300}\?=|b\?[a-z0-9+/]{4,300}=*\?=)", re.IGNORECASE)
_URL = re.compile(r"https?://|www\.|\b(?:[a-z0-9-]+\.){1,3}(?:com|net|org|info|biz|ru|cn)/\S", re.IGNORECASE)
_MONEY = re.compile(r"[$€£]\s?\d|\d[.,\d]*\s?(?:usd|eur|dollars?|million|€|\$|£|btc|eth)\b", re.IGNORECASE)
_SHOUT = re.compile(r"[!?]{2,}|!\s*$|\${2,}|\*{2,}|_\w+_|\.{4,}")
_GAPPED = re.compile(r"(?:\b\w[ ._*-]){5,}\w\b")


@implementer(IRule)
class Subject(ContentRule):
    """Findings about the subject."""

    SYMBOLS = symbols(
        "Subject",
        ("SUBJECT_MISSING", 0.6, "The message has no subject."),
        ("SUBJECT_CAPITALS", 0.8, "The subject is in capitals."),
        ("SUBJECT_INVISIBLE", 2.5, "The subject holds invisible characters."),
        ("SUBJECT_MIXED", 3.0, "The subject mixes alphabets within a word."),
        ("SUBJECT_STYLED", 2.5, "The subject is written in symbols instead of letters."),
        ("SUBJECT_PICTURES", 0.7, "The subject has emoji in it."),
        ("SUBJECT_GAPPED", 1.5, "Words of the subject are pulled apart."),
        ("SUBJECT_REPLY_FAKED", 0.6, "The message pretends to be an answer."),
        ("SUBJECT_ADDRESS", 1.5, "The subject holds the recipient's address or name."),
        ("SUBJECT_URL", 1.0, "The subject holds an address of the web."),
        ("SUBJECT_MONEY", 0.6, "The subject speaks of a sum of money."),
        ("SUBJECT_SHOUTS", 0.5, "The subject is loud with punctuation."),
        ("SUBJECT_NUMBERED", 0.5, "The subject ends in a string of letters and digits."),
        ("SUBJECT_ENCODED", 0.5, "The subject is encoded though nothing in it needs to be."),
        ("SUBJECT_BRAND_IMITATED", 3.0, "The subject imitates the name of a known company with look-alike letters."),
        ("SUBJECT_BRAND", 0.6, "The subject names a known company, and the sender is elsewhere."),
    )  # fmt: skip

    def note(self, notes: Notes, facts: Facts, policy: Policy, message: Message) -> None:
        """See the class."""
        content = message.once(read_content)
        subject = content.subject
        if not subject.strip():
            notes.add("SUBJECT_MISSING")
            return
        cased = [letter for letter in subject if letter.isalpha()]
        if len(cased) >= 10 and " " in subject.strip() and sum(letter.isupper() for letter in cased) * 10 >= len(cased) * 8:
            notes.add("SUBJECT_CAPITALS")
        if letters.INVISIBLE.search(subject.replace("\u200d", "").replace("\u200e", "").replace("\u200f", "")):
            notes.add("SUBJECT_INVISIBLE")
        if letters.mixed_words(subject):
            notes.add("SUBJECT_MIXED", subject[:100])
        if letters.styled(subject) >= 2:
            notes.add("SUBJECT_STYLED", subject[:100])
        if found := letters.pictures(subject):
            notes.add("SUBJECT_PICTURES", subject[:100], 1.0 if found > 1 else 0.6)
        if _GAPPED.search(subject):
            notes.add("SUBJECT_GAPPED", subject[:100])
        if _REPLY.match(subject) and not message.value(b"references") and not message.value(b"in-reply-to"):
            notes.add("SUBJECT_REPLY_FAKED")
        lowered = subject.lower()
        for recipient in facts.recipients[:20]:
            address = recipient.address
            if str(address).lower() in lowered or (len(address.local) >= 5 and not address.local.isdigit() and address.local.lower() in lowered):
                notes.add("SUBJECT_ADDRESS", subject[:100])
        if _URL.search(subject):
            notes.add("SUBJECT_URL", subject[:100])
        if _MONEY.search(subject):
            notes.add("SUBJECT_MONEY", subject[:100])
        if loud := _SHOUT.search(subject):
            notes.add("SUBJECT_SHOUTS", "", 0.4 if loud[0].strip() == "!" else 1.0)
        if _is_numbered(subject):
            notes.add("SUBJECT_NUMBERED", subject[-60:])
        if subject.isascii() and _NEEDLESS.match(message.value(b"subject")):
            notes.add("SUBJECT_ENCODED")
        brands = self.maps.brands
        if imitated := brands.imitated_in(subject):
            notes.add("SUBJECT_BRAND_IMITATED", f"{imitated}: {subject[:100]}")
        elif (
            content.domain
            and not content.is_list
            and (named := [brand for brand in brands.in_text(content.folded_subject[:300]) if not brands.owns(brand, content.domain)])
        ):
            if len(named) == len(brands.in_text(content.folded_subject[:300])):
                notes.add("SUBJECT_BRAND", f"{named[0]}: {subject[:100]}")


def _is_numbered(subject: str) -> bool:
    """Whether the last word is a mark of its copy (or a case nobody opened), or stands far off."""
    words = subject.split()
    tail = words[-1].strip("[](){}#:.,-_*!")
    digits = sum(letter.isdigit() for letter in tail)
    return "    " in subject.strip() or (
        len(words) > 1
        and len(tail) >= 7
        and tail.isascii()
        and digits >= 3
        and (any(map(str.isalpha, tail)) or (tail.isdigit() and digits >= 8))
        and "." not in tail
        and "/" not in tail
    )
