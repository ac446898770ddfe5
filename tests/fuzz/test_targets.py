"""A second of each target with a seed that is always the same, and the engine itself: what a parser says about the damaged stays true in CI."""

from __future__ import annotations

from random import Random
from time import thread_time

import pytest

from tests.fuzz import mutation, running
from tests.fuzz.target import Target, targets
from tests.fuzz.targets import judging

SEED = 7
MOST = 250  # inputs: the same ones on a machine of any speed that has done them after a second or two


@pytest.mark.parametrize("name", sorted(targets()))
def test_a_second_of(name: str) -> None:
    """Nothing is found in its first inputs. A second of processor time: beside other work a second of the wall's is nothing."""
    judging.PLACE.house = None  # its store is closed when a test is over
    tally = running.run(targets()[name], 2.0, SEED, most=MOST, clock=thread_time)
    assert tally.executions > 5
    assert [f"{found.kind} {found.place} {found.detail} {found.octets[:300]!r}" for found in tally.findings] == []


def test_same_seed_same_inputs() -> None:
    """Inputs follow from the seed, and stay within the limit."""
    corpus, tokens = [b"From: a@b\r\nSubject: x 1\r\n\r\nboundary=abc --abc", b"QUJDREVGR0hJSktMTU5PUFFSU1Q="], (b"tok",)
    first, second = ([mutation.mutated(random, corpus, tokens) for _ in range(300)] for random in (Random(3), Random(3)))
    assert first == second and len(set(first)) > 250
    assert max(map(len, first)) <= mutation.MAX_INPUT


def test_findings() -> None:
    """An exception is reported once and made smaller; an endless loop and a slow input are reported too."""

    def run(octets: bytes) -> None:
        if b"\xff" in octets:
            raise KeyError("found")

    watch = running.Watch(Target("t", "", run, lambda: [b""]))
    for octets in (b"fine", b"a" * 500 + b"\xff" + b"b" * 500, b"\xff again"):
        watch(octets)
    assert [(found.kind, found.octets) for found in watch.tally.findings] == [("KeyError", b"\xff")]
    assert watch.tally.executions == 3


def test_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not end is ended and reported."""
    monkeypatch.setattr(running, "HANG", 0.05)
    monkeypatch.setattr(running, "LEAST", 0.02)

    def run(octets: bytes) -> None:
        while octets == b"x":
            pass

    watch = running.Watch(Target("t", "", run, lambda: [b""]))
    watch(b"x")
    watch(b"")
    assert [found.kind for found in watch.tally.findings] == ["Hang"]
