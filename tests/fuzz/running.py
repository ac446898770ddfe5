"""One target against the clock: inputs made, run and watched, findings kept smaller than they were found.

A finding is an exception, an input that takes longer than its size allows (confirmed by a second run, in processor time), one that needs more memory
than its size allows, or one that does not end within HANG seconds of processor time. Each kind and place is reported once.
"""

from __future__ import annotations

import hashlib
import resource
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic, thread_time

from tests.fuzz import mutation
from tests.fuzz.target import Target

HANG = 20.0  # seconds of processor time
LEAST = 0.5  # seconds any input may take
MEMORY = 96 << 20  # octets any input may need
MEMORY_PER_OCTET = 60
MAX_CORPUS = 2_000
MAX_FINDINGS = 20


class Hang(Exception):
    """The input did not end."""


@dataclass(slots=True)
class Finding:
    """`kind` is 'slow', 'memory', 'hang' or the exception's name; `place` where; `octets` the input, made smaller."""

    kind: str
    place: str
    detail: str
    octets: bytes


@dataclass(slots=True)
class Tally:
    """What came of a run. `seconds` of processor time, making the inputs included; `inside` what the target took of it."""

    target: str
    seconds: float = 0.0
    inside: float = 0.0
    executions: int = 0
    octets: int = 0
    slowest: float = 0.0  # seconds per 100 KB, of inputs of 10 KB and more
    findings: list[Finding] = field(default_factory=list)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise Hang in whatever runs longer."""

    def late(*_: object) -> None:
        raise Hang(f"still running after {seconds:.0f} s")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class Watch:
    """Runs inputs of one target and keeps what is found."""

    def __init__(self, target: Target, folder: Path | None = None) -> None:
        self.tally = Tally(target.name)
        self._target = target
        self._folder = folder
        self._known: set[tuple[str, str]] = set()
        self._start = thread_time()

    def __call__(self, octets: bytes) -> None:
        """Run one input."""
        memory = _peak()
        kind, place, detail, spent = self._once(octets)
        self.tally.executions += 1
        self.tally.octets += len(octets)
        self.tally.inside += spent
        self.tally.seconds = thread_time() - self._start
        if len(octets) >= 10_000:
            self.tally.slowest = max(self.tally.slowest, spent / len(octets) * 100_000)
        if kind:
            self._found(kind, place, detail, octets, lambda smaller: self._once(smaller)[:2] == (kind, place))
        elif spent > self._allowed(octets):
            again = self._once(octets)[3]  # the other processes of the machine cost the first run its caches
            if again > self._allowed(octets):
                rate = again / max(1, len(octets)) * 100_000
                self._found("slow", "", f"{again:.2f} s for {len(octets)} octets, {rate:.2f} s per 100 KB", octets, None)
        grown = _peak() - memory
        if grown > MEMORY + MEMORY_PER_OCTET * len(octets):
            self._found("memory", "", f"{grown >> 20} MiB for {len(octets)} octets", octets, None)

    def _allowed(self, octets: bytes) -> float:
        return max(LEAST, self._target.seconds_per_100k * len(octets) / 100_000)

    def _once(self, octets: bytes) -> tuple[str, str, str, float]:
        """-> (kind, place, detail, seconds); kind '' when nothing is wrong."""
        # Of the thread: that of the process moves in coarse steps while its interval timer runs.
        start = thread_time()
        try:
            with limited(HANG):
                self._target.run(octets)
        except (Exception, Hang) as error:
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/jetmail/" in frame.filename or "/tests/" in frame.filename]
            last = frames[-1] if frames else None
            place = f"{Path(last.filename).name}:{last.lineno}" if last else ""
            if isinstance(error, Hang):
                place = ""  # wherever it was just then
            return type(error).__name__, place, "".join(traceback.format_exception(error))[-3_000:], thread_time() - start
        return "", "", "", thread_time() - start

    def _found(self, kind: str, place: str, detail: str, octets: bytes, fails: Callable[[bytes], bool] | None) -> None:
        key = (kind, place or hashlib.sha256(octets).hexdigest()[:4])
        if key in self._known or len(self.tally.findings) >= MAX_FINDINGS:
            return
        self._known.add(key)
        finding = Finding(kind, place, detail, mutation.minimised(octets, fails) if fails is not None else octets)
        self.tally.findings.append(finding)
        if self._folder is not None:
            name = f"{self._target.name}-{kind}-{hashlib.sha256(finding.octets).hexdigest()[:8]}"
            (self._folder / name).write_bytes(finding.octets)
            (self._folder / f"{name}.txt").write_text(f"{finding.kind} {finding.place}\n{finding.detail}\n", "utf-8", "backslashreplace")


def run(target: Target, seconds: float, seed: int, folder: Path | None = None, most: int = 1 << 62, clock: Callable[[], float] = monotonic) -> Tally:
    """Fuzz for `seconds` of `clock` or `most` inputs; every seed input is run once first, as far as there is time."""
    random = Random(f"{target.name}{seed}")
    watch = Watch(target, folder)
    corpus = list(dict.fromkeys(target.seeds())) or [b""]
    end = clock() + seconds
    order = corpus[:]
    random.shuffle(order)
    for octets in order:
        if clock() >= end - seconds / 2 or watch.tally.executions >= most // 2:
            break
        watch(octets)
    while clock() < end and watch.tally.executions < most:
        octets = mutation.mutated(random, corpus, target.tokens)
        watch(octets)
        if len(octets) < 4_000 and len(corpus) < MAX_CORPUS and random.randrange(40) == 0:
            corpus.append(octets)  # damage on damage
    return watch.tally


def grow(target: Target, seconds: float, seed: int, folder: Path | None = None, size: int = 100_000) -> Tally:
    """No accidents: every word of the target's language, every two of them, and each behind the beginning of a known input, `size` octets of it."""
    watch = Watch(target, folder)
    words = tuple(dict.fromkeys((*target.tokens, *mutation.COMMON)))
    inputs = [(b"", one) for one in words] + [(b"", one + other) for one in words for other in words]
    starts = list(target.seeds())[:40]
    inputs += [(start[: start.find(word) + len(word)] if word in start else start, word) for start in starts for word in words]
    Random(seed).shuffle(inputs)
    end = monotonic() + seconds
    for start, piece in inputs:
        if monotonic() > end:
            break
        watch(start + piece * (size // len(piece)))
    return watch.tally


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
