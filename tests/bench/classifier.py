"""classifier: a stream of labelled mail through the statistical filter as the product runs it. How well does it rank, what does it hold, what does
it miss; learnt one by one, and with no training at all.

PATH is an index of the TREC kind (lines of `spam ../data/inmail.1`, paths relative to the index, in the order of the stream), a folder that has one
(index, full/index), or a folder whose subfolders or mbox files have spam, junk or unwanted, or ham in their names: its messages are shuffled the
same way every time.

Each message is judged by the rule of the chain, then taught through `actions.training` into a store and learnt from its journal, as a click in the
portal or `jetmail train` would. With --teach N learning ends after N of each kind, and what comes after is judged without learning any more.
A message is held at a score of 6 from the classifier alone.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from twisted.internet.task import Clock
from twisted.logger import Logger

from jetmail.actions import training
from jetmail.actions.access import Actor
from jetmail.classifier.classifier import Classifier, seed
from jetmail.classifier.model import Model
from jetmail.cli.mailfiles import MAX_OCTETS, MailFiles
from jetmail.jobs.learning import Learner
from jetmail.mail.message import Message
from jetmail.offload import InlineExecutor
from jetmail.rules.checks.classifier import StatisticalFilter
from jetmail.rules.facts import Client, Facts
from jetmail.rules.policy import Policy
from jetmail.rules.rule import NoOptions
from jetmail.rules.services import RuleServices
from jetmail.rules.symbols import Scores
from jetmail.store import migrations
from jetmail.store.database import InlineDatabase

HELD = 6.0
_KIND = re.compile(r"(?<![a-z])(?:(spam|junk|unwanted)|ham|good|wanted)(?![a-z])", re.IGNORECASE)
INDEXES = ("index", "full/index")  # where a public stream keeps its own


def stream(path: Path) -> Iterator[tuple[bool, bytes]]:
    """(is spam, message), in order."""
    path = next((path / name for name in INDEXES if (path / name).is_file()), path)
    if path.is_file():
        for line in path.read_text("utf-8", "replace").splitlines():
            label, _, name = line.strip().partition(" ")
            if label.lower() in ("spam", "ham") and name:
                octets = (path.parent / name.strip()).read_bytes()[:MAX_OCTETS]
                yield label.lower() == "spam", octets
        return
    found: list[tuple[bool, bytes]] = []
    for each in MailFiles([str(path)]):
        if each.octets is None:
            continue
        kinds = [match[1] is not None for part in each.path.relative_to(path).parts if (match := _KIND.search(part))]
        if kinds:
            found.append((kinds[-1], each.octets))
    random.Random(1).shuffle(found)
    yield from found


class Bench:
    """The rule, a store and a learner, as the process has them. `is_empty`: without the seed."""

    def __init__(self, folder: Path, is_empty: bool) -> None:
        store = str(folder / "jetmail.db")
        migrations.apply(store)
        self.db = InlineDatabase(store)
        self.db.connection.execute("PRAGMA synchronous=OFF")  # what is measured is not the disk
        self.learner = Learner(self.db, folder / "model", InlineExecutor(), "bench.example", Logger())
        self.learner.load()
        if is_empty:
            self.learner.classifier.model.weights[:] = 0
        self.actor = Actor.sysadmin("bench")
        self.rule = StatisticalFilter("classifier", NoOptions())
        none: Any = None  # this rule asks neither DNS nor a thread
        services = RuleServices("bench.example", Clock(), none, none, Scores(self.rule.SYMBOLS), folder, folder, classifier=self.learner.classifier)
        self.rule.bind(services)

    def judge(self, message: Message) -> tuple[float, float]:
        """(logit, score) of the classifier as it is now."""
        verdict = self.rule.judge(Facts(0.0, Client("192.0.2.1"), message=message), Policy())
        classifier = self.learner.classifier
        return classifier.assess(classifier.features(message)).logit, sum(finding.score for finding in verdict.findings)

    def teach(self, message: Message, is_spam: bool) -> None:
        """One message, learnt when the call returns."""
        failures: list[Any] = []
        sample = training.sample(message, "bench.example")
        training.train(self.db, self.actor, [sample], is_spam, now=0.0, trained=self.learner.wake).addErrback(failures.append)
        if failures:
            raise AssertionError(f"a training failed: {failures[0].getErrorMessage()}")


def area_above(scores: list[float], labels: list[bool]) -> float | None:
    """1-AUC in per cent: how often a ham stands above a spam, ties for a half. None without both."""
    spam, ham = (np.sort([score for score, label in zip(scores, labels, strict=True) if label is kind]) for kind in (True, False))
    if not len(spam) or not len(ham):
        return None
    above = (len(ham) - np.searchsorted(ham, spam, "right")).sum() + (
        np.searchsorted(ham, spam, "right") - np.searchsorted(ham, spam, "left")
    ).sum() / 2
    return float(100 * above / (len(spam) * len(ham)))


def figures(logits: list[float], scores: list[float], labels: list[bool]) -> dict[str, Any]:
    """What a stream of answers was worth."""
    answers = list(zip(logits, scores, labels, strict=True))
    return {
        "spam": sum(labels),
        "ham": len(labels) - sum(labels),
        "one_minus_auc_percent": area if (area := area_above(logits, labels)) is None else round(area, 4),
        "false_positives": sum(score >= HELD for _, score, label in answers if not label),
        "misses": sum(score < HELD for _, score, label in answers if label),
        "false_positives_at_half": sum(logit > 0 for logit, _, label in answers if not label),
        "misses_at_half": sum(logit <= 0 for logit, _, label in answers if label),
        "ham_from": {str(edge): sum(score >= edge for _, score, label in answers if not label) for edge in (1, 2, 3)},
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="jetmail-bench-") as folder:
        bench = Bench(Path(folder), options.empty)
        untrained = Classifier(Model.empty() if options.empty else seed(), "bench.example")
        learnt = {True: 0, False: 0}
        every: list[tuple[bool, float, float, float, float, bool]] = []
        spent = {"judge": 0.0, "teach": 0.0}
        for is_spam, octets in stream(Path(options.path)):
            if options.limit and len(every) == options.limit:
                break
            message = Message(octets)
            started = time.process_time()
            logit, score = bench.judge(message)
            spent["judge"] += time.process_time() - started
            first = untrained.assess(untrained.features(message))
            is_taught = min(learnt.values()) >= (options.teach or 500)
            every.append((is_spam, logit, score, first.logit, first.score(), is_taught))
            if not options.teach or learnt[is_spam] < options.teach:
                started = time.process_time()
                bench.teach(message, is_spam)
                spent["teach"] += time.process_time() - started
                learnt[is_spam] += 1
        bench.db.close()
    if not every:
        raise AssertionError(f"no labelled mail found in {options.path}")
    taught = [each for each in every if each[5]]
    result: dict[str, Any] = {
        "verb": "classifier",
        "messages": len(every),
        "seed": not options.empty,
        "learnt": figures([each[1] for each in every], [each[2] for each in every], [each[0] for each in every]),
        "untrained": figures([each[3] for each in every], [each[4] for each in every], [each[0] for each in every]),
        "after": {
            "of_each": options.teach or 500,
            **figures([each[1] for each in taught], [each[2] for each in taught], [each[0] for each in taught]),
        },
        "milliseconds": {
            "judge": round(1000 * spent["judge"] / len(every), 3),
            "teach": round(1000 * spent["teach"] / max(1, sum(learnt.values())), 3),
        },
        "aims": [],
    }
    return result


def told(result: dict[str, Any]) -> list[str]:
    """The report."""
    lines = [f"classifier: {result['messages']} messages, {'from the seed that ships' if result['seed'] else 'from an empty model'}"]
    names = {"learnt": "learnt one by one", "after": f"of those, after {result['after']['of_each']} of each", "untrained": "with no training"}
    for key, name in names.items():
        each = result[key]
        caught = 100 * (1 - each["misses"] / each["spam"]) if each["spam"] else float("nan")
        area = each["one_minus_auc_percent"]
        lines.append(
            f"  {name:<30} 1-AUC {'-' if area is None else f'{area:.4f}'} %  held: {each['false_positives']} of {each['ham']} ham, "
            f"{caught:.2f} % of {each['spam']} spam  (probability 0.5: {each['false_positives_at_half']} ham, {each['misses_at_half']} misses)"
        )
    spent = result["milliseconds"]
    lines.append(f"  CPU a message: judge {spent['judge']:.3f} ms with MIME reading, teach {spent['teach']:.3f} ms with the store")
    return lines
