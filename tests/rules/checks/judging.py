"""A message and what the rules over content find in it, in the order of the shipped chain."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from jetmail import resources
from jetmail.mail.address import parse
from jetmail.mail.envelope import Recipient, Sender
from jetmail.mail.message import Message
from jetmail.offload import InlineExecutor
from jetmail.rules import registry
from jetmail.rules.analysis.rule import ContentRule
from jetmail.rules.facts import Client, Facts, RecipientFacts
from jetmail.rules.policy import Policy
from jetmail.rules.services import RuleServices
from jetmail.rules.symbols import Scores
from jetmail.rules.verdict import Finding, Kind, Level, Opinion
from tests.fakes import FakeResolver

NOWHERE = Path("/nonexistent")
DATE = "Tue, 14 Nov 2023 22:13:20 +0000"
NOW = parsedate_to_datetime(DATE).timestamp()
HEAD = {
    "Received": f"from mail.example.org (mail.example.org [192.0.2.7]) by mx.demo.test with ESMTPS; {DATE}",
    "From": "Alice Example <alice@example.org>",
    "To": "Bob <bob@demo.test>",
    "Subject": "Lunch on Thursday",
    "Date": DATE,
    "Message-ID": "<1f2e3d@mail.example.org>",
    "MIME-Version": "1.0",
}


@cache
def chain() -> tuple[ContentRule, ...]:
    """The rules over content of the shipped chain, bound."""
    loaded = registry.load(resources.defaults() / "rules.toml")
    scores = Scores(loaded.symbols)
    services: dict[str, Any] = dict.fromkeys(RuleServices.__dataclass_fields__)
    services |= {"hostname": "mx.demo.test", "clock": Clock(), "resolver": FakeResolver(), "executor": InlineExecutor()}
    services |= {"scores": scores, "etc": NOWHERE, "state": NOWHERE}
    rules = tuple(entry.rule for entry in loaded.entries if isinstance(entry.rule, ContentRule))
    for rule in rules:
        rule.bind(RuleServices(**services))
    return rules


def mail(body: str = "Hello Bob,\r\n\r\nsee you on Thursday.\r\n\r\nAlice\r\n", **fields: str | None) -> Message:
    """An honest message with these fields instead of its own (x_y is X-Y; None: without it)."""
    spelled = {name.lower(): name for name in HEAD}
    header: dict[str, str | None] = {**HEAD}
    for name, value in fields.items():
        dashed = name.replace("_", "-")
        header[spelled.get(dashed.lower(), dashed.title())] = value
    text = "".join(f"{name}: {value}\r\n" for name, value in header.items() if value is not None)
    return Message((text + "\r\n" + body).encode("utf-8", "surrogateescape"))


def page(html: str, **fields: str | None) -> Message:
    """An honest message whose body is this HTML."""
    return mail(html, **({"content_type": "text/html; charset=utf-8"} | fields))


def parts(*bodies: str, kind: str = "mixed", **fields: str | None) -> Message:
    """A multipart of bodies, each with its own header."""
    body = "".join(f"--b0undary\r\n{each}\r\n" for each in bodies) + "--b0undary--\r\n"
    return mail(body, **({"content_type": f"multipart/{kind}; boundary=b0undary"} | fields))


def judged(message: Message, to: str = "bob@demo.test", sender: str | None = None, **client: Any) -> list[Finding]:
    """Everything the rules over content find."""
    recipient = RecipientFacts(0, Recipient(parse(to)), (parse(to),))
    opinions: list[Opinion] = []
    found: list[Finding] = []
    for order, rule in enumerate(chain()):
        facts = Facts(
            NOW,
            Client(**({"address": "192.0.2.7"} | client)),
            Sender(parse(sender)) if sender else None,
            recipient,
            (recipient,),
            message,
            tuple(opinions),
        )
        verdict = rule.judge(facts, Policy())
        opinions.append(Opinion(rule.name, order, Kind.FILTER, Level.DOMAIN, None, verdict))
        found += verdict.findings
    return found


def symbols(message: Message, **more: Any) -> set[str]:
    """The symbols of what is found."""
    return {finding.symbol for finding in judged(message, **more)}


def score(message: Message, **more: Any) -> float:
    """What it comes to."""
    return round(sum(finding.score for finding in judged(message, **more)), 3)
