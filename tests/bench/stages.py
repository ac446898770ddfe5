"""What each stage of judging costs: letters through the receiving side in this process, by the clocks that `jetmail scan` puts on every rule.

Processor time of this thread, with the process doing nothing else; DNS answers are in the cache after the first letters, as they are for any busy
sender. What several rules share (the header, the MIME tree and the reading of text and links) is done before the rules and told as `parse ...`, so
that it is not charged to whoever asks first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from jetmail.cli.scanning import Envelope, House, alone, house, resolver_of
from jetmail.config import FILE_NAME, load
from jetmail.mail import address
from jetmail.mail.message import Message
from jetmail.rules.analysis.content import read_content
from jetmail.rules.facts import Facts
from jetmail.rules.verdict import Stage
from jetmail.store.database import InlineDatabase
from tests.bench.loading import Lied

WARM = 200
COUNTED = 1_000
_SHARED: tuple[tuple[str, Callable[[Message], object]], ...] = (
    ("parse header", lambda message: (message.fields, message.sender, message.subject)),
    ("parse MIME and HTML", lambda message: message.structure),
    ("parse text and links", lambda message: message.once(read_content)),
)


class _Parsing:
    """A judge that has what is shared parsed, with a clock on it, before the rules over content are asked."""

    def __init__(self, judge: Any) -> None:
        self._judge = judge
        self.spent = dict.fromkeys((name for name, _ in _SHARED), 0.0)

    def ask(self, stage: Stage, facts: Facts, *others: Any) -> Any:
        """As Judge.ask."""
        if stage is Stage.CONTENT and facts.message is not None:
            for name, parse in _SHARED:
                began = time.thread_time()
                parse(facts.message)
                self.spent[name] += time.thread_time() - began
        return self._judge.ask(stage, facts, *others)


def run(root: Path, letters: list[bytes], sender: str, recipient: str) -> dict[str, float]:
    """CPU milliseconds a message by stage, with the configuration of an appliance that is not running. Raises Lied when a letter is not taken."""
    config = load(root / "etc" / FILE_NAME)
    envelope = Envelope("127.0.0.1", "bench.example.test", address.parse(sender), (address.parse(recipient),))
    database = InlineDatabase(str(Path(config.state) / "jetmail.db"))
    try:
        return alone(lambda reactor: _measure(config, database, letters, envelope, reactor))
    finally:
        database.close()


async def _measure(config: Any, database: InlineDatabase, letters: list[bytes], envelope: Envelope, reactor: Any) -> dict[str, float]:
    with house(config, database, reactor, resolver_of(config, reactor), time.thread_time) as made:
        parsing = _Parsing(made.judge)
        watched = replace(made, services=replace(made.services, judge=parsing))  # type: ignore[arg-type]  # it has all that is asked for
        await _receive(watched, letters, envelope, WARM)
        for rule in made.timed:
            rule.calls, rule.spent = 0, 0.0
        parsing.spent = dict.fromkeys(parsing.spent, 0.0)
        began = time.thread_time()
        await _receive(watched, letters, envelope, COUNTED)
        total = time.thread_time() - began
    found = {**parsing.spent, **{each.timing().rule: each.spent for each in made.timed}}
    return {name: spent * 1000 / COUNTED for name, spent in {**found, "judging besides": total - sum(found.values())}.items()}


async def _receive(made: House, letters: list[bytes], envelope: Envelope, count: int) -> None:
    for number in range(count):
        reply, _ = await made.receive(letters[number % len(letters)], envelope)
        made.judge.said.clear()
        if not reply.is_positive:
            raise Lied(f"the chain answers {reply}")
