"""Facts, policies and rules that say only what a test is about."""

from __future__ import annotations

from typing import Any

from jetmail.mail.address import parse
from jetmail.mail.envelope import Recipient, Sender
from jetmail.mail.message import Message
from jetmail.rules.conditions import compile_conditions
from jetmail.rules.facts import Client, Facts, RecipientFacts
from jetmail.rules.policy import DomainState, PersonalRule, Policy, RecipientState, by_level
from jetmail.rules.verdict import Kind, Level, Opinion, Verdict

NOW = 1_700_000_000.0


def message(text: str = "", **fields: str) -> Message:
    """A message with those fields (x_y is X-Y) and that text."""
    header = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return Message((header + "\r\n" + text).encode("utf-8", "surrogateescape"))


def recipient(address: str = "bob@demo.test", index: int = 0, **more: Any) -> RecipientFacts:
    """A recipient whose mail goes where it is addressed."""
    return RecipientFacts(index, Recipient(parse(address)), (parse(address),), **more)


def facts(
    content: Message | None = None, sender: str = "alice@example.org", address: str = "192.0.2.7", to: tuple[RecipientFacts, ...] = (), **more: Any
) -> Facts:
    """Facts of a message from alice to bob."""
    recipients = to or (recipient(),)
    values: dict[str, Any] = {"recipient": recipients[0]} | more
    return Facts(NOW, Client(address), Sender(parse(sender) if sender else None), recipients=recipients, message=content, **values)


def policy(*rules: PersonalRule, **more: Any) -> Policy:
    """The policy of a recipient who exists at an active domain."""
    values: dict[str, Any] = {"domain": "demo.test", "state": DomainState.ACTIVE, "recipient": RecipientState.KNOWN, "rules": by_level(rules)} | more
    return Policy(**values)


def rule(level: Level = Level.DOMAIN, blocks: bool = True, **conditions: Any) -> PersonalRule:
    """An allow or block rule of the people's own."""
    return PersonalRule(f"uuid-{level.name.lower()}-{blocks}", "a rule", level, blocks, compile_conditions(conditions))


def opinion(
    verdict: Verdict, kind: Kind = Kind.FILTER, level: Level = Level.DOMAIN, about: int | None = None, order: int = 0, name: str = "rule"
) -> Opinion:
    """A verdict with a name on it."""
    return Opinion(name, order, kind, level, about, verdict)
