"""rspamd beside our own filter: every message through its /checkv2, its score into ours. Off until `enabled`."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import treq
from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.rules.clamd import ScanError
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.rule import Rule
from jetmail.rules.services import RuleServices
from jetmail.rules.streams import Body
from jetmail.rules.symbols import symbols
from jetmail.rules.verdict import NO_OPINION, Kind, OnError, Scope, Stage, Verdict

MAX_ANSWER = 1 << 20  # octets of JSON
MAX_SCORE = 100.0
MAX_RECIPIENTS = 50  # told to rspamd
MAX_SYMBOLS = 12  # in the detail, the weightiest


@dataclass(frozen=True, slots=True)
class RspamdOptions:
    """`enabled`: ask at all. `url` of the normal worker's checkv2. `factor`: what a point of rspamd's is worth here (what it would
    reject counts `highest`). `max_size`: octets of the largest
    message that is sent there. `highest`, `lowest`: bounds of the score that is taken over."""

    enabled: bool = False
    url: str = "http://127.0.0.1:11333/checkv2"
    factor: float = 0.5
    max_size: int = 10 * 1024 * 1024
    highest: float = 10.0
    lowest: float = -3.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url: {self.url!r} is no http address")
        if not -MAX_SCORE <= self.lowest <= 0 <= self.highest <= MAX_SCORE:
            raise ValueError("highest, lowest: must be on both sides of 0, within 100")
        if not 0 < self.factor <= 10:
            raise ValueError("factor: must be over 0 and at most 10")


@implementer(IRule)
class Rspamd(Rule):
    """Adds the finding RSPAMD with rspamd's score, and its weightiest symbols as detail."""

    stage = Stage.CONTENT
    kind = Kind.FILTER
    scope = Scope.MESSAGE
    on_error = OnError.SKIP
    timeout = 10.0
    Options = RspamdOptions
    SYMBOLS = symbols("Scanners", ("RSPAMD", 1.0, "Another spam filter (rspamd) has judged it; this is its score."))

    def bind(self, services: RuleServices) -> None:
        """Needs HTTP."""
        self._services = services

    def judge(self, facts: Facts, policy: Policy) -> Verdict | Awaitable[Verdict]:
        """See the class."""
        if not self.options.enabled or facts.message is None or facts.message.size > self.options.max_size:
            return NO_OPINION
        return self._ask(facts)

    async def _ask(self, facts: Facts) -> Verdict:
        assert facts.message is not None
        response = await self._services.http.post(self.options.url, headers=_headers(facts), data=Body(facts.message))
        body = bytearray()
        is_over = False

        def collect(piece: bytes) -> None:
            body.extend(piece)
            if is_over or len(body) > MAX_ANSWER:
                raise ScanError("rspamd's answer is too long")  # treq then closes the connection

        try:
            await treq.collect(response, collect)
        finally:
            is_over = True
        if response.code != 200:
            raise ScanError(f"rspamd answers {response.code}")
        return self._read(bytes(body))

    def _read(self, body: bytes) -> Verdict:
        try:
            answer = json.loads(body)
            score = float(answer["score"])
            told = [(name, float(symbol.get("score", 0.0))) for name, symbol in answer.get("symbols", {}).items()]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ScanError("rspamd's answer makes no sense") from error
        is_refused = answer.get("action") == "reject"  # by whatever comes before rspamd's own scores, too
        if (answer.get("is_skipped") and not is_refused) or score != score:
            return NO_OPINION
        told.sort(key=lambda item: (-abs(item[1]), item[0]))
        detail = f"{score:.2f}: " + ", ".join(f"{name}({value:g})" for name, value in told[:MAX_SYMBOLS] if value)
        taken = self.options.highest if is_refused else min(self.options.highest, max(self.options.lowest, score * self.options.factor))
        return Verdict((self._services.scores.finding("RSPAMD", detail, taken),))


def _headers(facts: Facts) -> dict[bytes, list[bytes]]:
    """What rspamd is told of the envelope (docs.rspamd.com/architecture/protocol)."""
    client = facts.client
    told: dict[bytes, list[Any]] = {
        b"From": [str(facts.sender) if facts.sender is not None else ""],
        b"Rcpt": [str(recipient.address) for recipient in facts.recipients[:MAX_RECIPIENTS]],
        b"Ip": [client.address],
        b"Helo": [client.helo],
        b"User": [client.user],
    }
    if client.tls:
        told[b"TLS-Version"] = [client.tls]
    return {name: [_line(value) for value in values if value] for name, values in told.items() if any(values)}


def _line(text: str) -> bytes:
    """A value that stays within its line, whatever a client said at HELO."""
    return "".join(letter for letter in text if letter >= " " and letter != "\x7f")[:500].encode("utf-8", "replace")
