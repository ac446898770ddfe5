"""stuffing: what 200 guesses a second at passwords, from a thousand addresses, do to mail and to people.

Mail comes in by the MX at a steady rate and a known user submits, first alone, then while guesses come (names there are, the known user's among them,
and names there are not; STARTTLS and AUTH PLAIN on each connection). Users who have not signed in since the start come one by one in the middle of
it, each from an address of its own. Told are rate and latency of the mail before and during, whose sign-ins succeeded, what the guesses were
answered, and the processor time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.bench import figures
from tests.bench.loading import Lied
from tests.bench.machine import threads_seconds
from tests.bench.submission import USER, Certificate, Submission
from tests.live.harness import ROOT

FLOW = 0.98  # of the mail that is offered must be taken while guesses come
GUESSERS = 2  # processes
Row = tuple[float, float, str]


def percentile(values: Sequence[float], share: float) -> float:
    """Milliseconds."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 1) if ordered else 0.0


def summed(rows: Sequence[Row], seconds: float) -> dict[str, Any]:
    """Of mail or submissions: how many were offered, taken, and how long that took."""
    taken = [row[1] for row in rows if row[2].startswith("250")]
    others = Counter(row[2][:60] for row in rows if not row[2].startswith("250"))
    return {
        "offered": len(rows), "taken": len(taken), "rate": round(len(taken) / seconds, 1), "p50_ms": percentile(taken, 0.5),
        "p99_ms": percentile(taken, 0.99), "others": dict(others),
    }  # fmt: skip


class Clients:
    """Programs beside the appliance."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def start(self, what: str, port: int, rate: float, seconds: float, *more: str) -> subprocess.Popen[str]:
        """One of tests.bench.steady."""
        words = [what, "--port", str(port), "--rate", str(rate), "--seconds", str(seconds), *more]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.steady", *words], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self._running.append(process)
        return process

    @staticmethod
    def rows(process: subprocess.Popen[str]) -> list[Row]:
        """What it saw. Raises Lied."""
        said = process.communicate(timeout=300)[0]
        if process.returncode:
            raise Lied(f"a client ended with exit code {process.returncode}")
        return [(due, seconds, text) for due, seconds, text in json.loads(said)]

    def stop(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The whole measurement. -> what --json prints."""
    certificate, clients = Certificate(), Clients()
    side = Submission(certificate)
    fresh = [f"fresh-{number}" for number in range(options.fresh)]
    try:
        for name in fresh:
            side.appliance.cli("smtp-user", "add", name, "--domain", "example.test", "--password-file", str(certificate.secret))
        side.start()
        secret, port, whole = ("--password-file", str(certificate.secret)), side.submission_port, options.before + options.seconds
        users = clients.start("submit", port, options.user_rate, whole, "--user", USER, *secret)
        mail = clients.start("mail", side.port, options.mail_rate, whole)
        began, used = time.monotonic(), threads_seconds(side.appliance.pid)
        time.sleep(options.before)
        middle, half = time.monotonic(), threads_seconds(side.appliance.pid)
        print(f"stuffing: {options.attempts:g} guesses a second for {options.seconds:g} s", file=sys.stderr, flush=True)
        each = ("--sources", str(options.addresses), "--user", USER, "--workers", "500")
        guessing = [clients.start("guess", port, options.attempts / GUESSERS, options.seconds, *each) for _ in range(GUESSERS)]
        time.sleep(2)
        pace = options.fresh / max(1.0, options.seconds - 6)
        them = [word for name in fresh for word in ("--user", name)]
        newcomers = clients.start("submit", port, pace, options.fresh / pace, "--apart", *secret, *them)
        time.sleep(max(0.0, middle + options.seconds - time.monotonic()))
        ended, spent = time.monotonic(), threads_seconds(side.appliance.pid)
        mails, submitted, first = clients.rows(mail), clients.rows(users), clients.rows(newcomers)
        guesses = [row for process in guessing for row in clients.rows(process)]
        stored = side.stored()
    finally:
        clients.stop()
        side.stop()
        certificate.remove()
    taken = sum(row[2].startswith("250") for row in (*mails, *submitted, *first))
    if stored != taken:
        raise Lied(f"{taken} messages answered 250, {stored} in the queue")
    if any(row[2].startswith("235") for row in guesses):
        raise Lied("a guess was right")

    def part(rows: list[Row], since: float, until: float) -> dict[str, Any]:
        return summed([row for row in rows if since <= row[0] < until], until - since)

    cpu = {
        name: {key: round((after[key] - before[key]) * 100 / length, 1) for key in after}
        for name, before, after, length in (("before", used, half, middle - began), ("during", half, spent, ended - middle))
    }
    during = part(mails, middle + 1, ended)
    result: dict[str, Any] = {
        "bench": "stuffing", "attempts": options.attempts, "seconds": options.seconds, "addresses": options.addresses,
        "mail_rate": options.mail_rate,
        "mail": {"before": part(mails, began, middle), "during": during},
        "user": {"before": part(submitted, began, middle), "during": part(submitted, middle + 1, ended)},
        "newcomers": {**summed(first, options.seconds), "tries": round(statistics.mean(_tries(row) for row in first), 2) if first else 0},
        "guesses": {
            "made": sum(row[2] != "too many under way" for row in guesses), "answers": dict(Counter(row[2][:40] for row in guesses).most_common(8)),
            "p50_ms": percentile([row[1] for row in guesses if row[2][:1].isdigit()], 0.5),
        },
        "cpu_percent": cpu,
        "aims": [figures.Aim("mail taken while guesses come", during["taken"] / max(1, during["offered"]), FLOW, "of what is offered", True).plain()],
    }  # fmt: skip
    return result


def _tries(row: Row) -> int:
    return int(row[2].rpartition(" ")[2]) if row[2].startswith("250 try") else 10


def told(result: dict[str, Any]) -> list[str]:
    """For people."""
    lines = [
        f"stuffing: {result['attempts']:g} guesses a second from {result['addresses']} addresses for {result['seconds']:g} s, "
        f"{result['mail_rate']:g} messages a second come in by the MX"
    ]
    for what, name in (("mail", "mail"), ("user", "known user")):
        for when in ("before", "during"):
            part = result[what][when]
            others = f"   {part['others']}" if part["others"] else ""
            took = f"p50 {part['p50_ms']} ms, p99 {part['p99_ms']} ms"
            lines.append(f"  {name:<10} {when}: {part['taken']} of {part['offered']} taken, {part['rate']}/s, {took}{others}")
    new = result["newcomers"]
    lines.append(f"  users not seen since the start: {new['taken']} of {new['offered']} signed in, {new['tries']} tries each, p50 {new['p50_ms']} ms")
    if new["others"]:
        lines.append(f"    the others: {new['others']}")
    lines.append(f"  guesses made {result['guesses']['made']}, p50 {result['guesses']['p50_ms']} ms: {result['guesses']['answers']}")
    for when in ("before", "during"):
        lines.append(f"  CPU {when}: " + ", ".join(f"{name} {share} %" for name, share in result["cpu_percent"][when].items()))
    return lines
