"""Mail of two kinds that a filter can tell apart, without end and always the same."""

from __future__ import annotations

from jetmail.classifier.features import Features, extract
from jetmail.mail.message import Message

HAM_WORDS = "minutes meeting schedule draft review branch compiler train dinner garden report library weather".split()
SPAM_WORDS = "winner prize casino pills cheap guaranteed lottery bonus credit urgent wallet claim".split()


def mail(number: int, is_spam: bool) -> bytes:
    """The message of that number and kind."""
    words = SPAM_WORDS if is_spam else HAM_WORDS
    text = " ".join(words[(number * 7 + place * (1 + number % 5)) % len(words)] for place in range(40))
    host = f"bulk{number % 9}.offers.test" if is_spam else f"desk{number % 7}.office.test"
    return (
        f"From: {words[number % len(words)]} <{number}@{host}>\r\nTo: someone@demo.test\r\nSubject: {words[(number + 3) % len(words)]} {number}\r\n"
        f"Message-ID: <{number}.{int(is_spam)}@{host}>\r\n\r\n{text}\r\n"
    ).encode()


def found(number: int, is_spam: bool) -> Features:
    """Its features."""
    return extract(Message(mail(number, is_spam)))
