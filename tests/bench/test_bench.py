"""The bench tells the truth: its arithmetic, its checks, and what it refuses to print."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from jetmail.rules import registry
from tests.bench import __main__ as command
from tests.bench import figures, loading, machine, sides, traffic
from tests.bench.loading import Lied, Load
from tests.house import ROOT
from tests.live.sink import SinkProcess


def test_ratio_is_taken_round_by_round() -> None:
    """The ratio pairs neighbours in time, so a slow minute of the machine hits both sides."""
    assert figures.ratio([300, 100, 900], [100, 50, 100]) == figures.Ratio(2, 3, 9)
    with pytest.raises(ValueError, match="as many rounds"):
        figures.ratio([1], [1, 2])


def test_aims() -> None:
    """An aim is met from its own side of the number and says so in words."""
    assert figures.Aim("x", 3.1, 3, "times", at_least=True).met
    assert not figures.Aim("x", 101, 100, "MB").met
    assert "MISSED" in str(figures.Aim("x", 101, 100, "MB"))


def test_machine_is_described() -> None:
    """Every report names the machine, down to its disk."""
    found = machine.facts()
    assert found["cores"] >= 1
    assert found["fsync_ms"] >= 0
    assert found["python"] in machine.told(found)


@pytest.mark.parametrize("own", [False, True], ids=["smtp-source", "own loader"])
@pytest.mark.parametrize("keep", [False, True], ids=["new", "reused"])
def test_every_message_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool, keep: bool) -> None:
    """Either loader sends exactly what was asked, and the counter of the sink agrees."""
    if own:
        monkeypatch.setattr(loading, "tool", lambda name: None)
    counter = loading.sink(tmp_path)
    try:
        assert loading.send(counter.port, Load(messages=60, sessions=6, keep=keep, size=3000)) > 0
        loading.wait_for_arrival(counter, 60, 10, "sink")
        assert counter.total() == 60
    finally:
        counter.stop()


@pytest.mark.parametrize("own", [False, True], ids=["smtp-source", "own loader"])
def test_a_refused_message_is_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool) -> None:
    """A server that refuses mail quickly does not get a good rate: it gets none."""
    if own:
        monkeypatch.setattr(loading, "tool", lambda name: None)
    with SinkProcess(tmp_path / "log", "--reject") as far, pytest.raises(Lied):
        loading.send(far.port, Load(messages=20, sessions=4))


class Forgetful:
    """A server that answers 250 and keeps less than it should."""

    name, host, port = "forgetful", "127.0.0.1", 0

    def stored(self) -> int:
        return 19

    def cpu(self) -> None:
        return None

    def stop(self) -> None:
        pass


class Still:
    """A sink with a fixed count."""

    port = 0

    def __init__(self, count: int) -> None:
        self.count = count

    def total(self) -> int:
        return self.count

    def stop(self) -> None:
        pass


def test_a_message_that_is_not_kept_is_no_figure() -> None:
    """A 250 without a message in the queue is named a lie."""
    with pytest.raises(Lied, match="20 messages answered 250, 19 in its queue"):
        sides.check_stored(Forgetful(), 0, Load(messages=20))


def test_a_message_that_does_not_arrive_is_no_figure() -> None:
    """A message missing in the sink, or there twice, is named."""
    with pytest.raises(Lied, match="1 messages were answered 250 and did not reach"):
        loading.wait_for_arrival(Still(19), 20, 0.1, "x")
    with pytest.raises(Lied, match="arrived twice"):
        loading.wait_for_arrival(Still(21), 20, 0.1, "x")


def test_report() -> None:
    """The report holds every round, the medians, the ratio, and the aim for the case the aim speaks of."""
    options = argparse.Namespace(messages=2000, size=4096, sessions=20, keep=False, rounds=2, shipped=False)
    rounds = {"jetmail": [{"rate": 3000.0, "cpu_ms": 0.4}, {"rate": 3200.0, "cpu_ms": 0.5}], "postfix": [{"rate": 1000.0}, {"rate": 800.0}]}
    result = traffic.report("accept", options, rounds)
    assert result["ratio"]["postfix"] == {"min": 3.0, "median": 3.5, "max": 4.0}
    assert result["aims"][0]["met"] is True
    assert any("jetmail/postfix" in line for line in traffic.told(result))
    options.shipped = True  # a filter against a server that has none: a figure, and no aim
    assert traffic.report("accept", options, rounds)["aims"] == []


def test_the_road_keeps_every_decision_of_policy() -> None:
    """What is left out for the road looks at content or asks who sent it; a chain whose rules are called otherwise is refused, not measured."""
    shipped = (ROOT / "etc" / "rules.toml").read_text("utf-8")
    names = [entry.name for entry in registry.parse(sides.without_opinion(shipped)).entries]
    assert {"client", "declared-size", "domain", "recipient", "size", "loop", "domain-rules", "domain-lists", "gtube", "thresholds"} <= set(names)
    assert not {"authentication", "classifier", "urls", "dnsbl"} & set(names)
    with pytest.raises(Lied, match="classifier"):
        sides.without_opinion(shipped.replace('name = "classifier"', 'name = "other"'))


def test_arguments() -> None:
    """The documented calls parse; a peer that is no NAME=HOST:PORT is refused with the form."""
    assert command.arguments(["accept", "--postfix", "--json"]).postfix
    assert command.arguments(["relay", "--peer", "a=127.0.0.1:25", "--peer", "b=127.0.0.1:26"]).peer == ["a=127.0.0.1:25", "b=127.0.0.1:26"]
    assert sides.Given("a=127.0.0.1:25").port == 25
    with pytest.raises(SystemExit, match="NAME=HOST:PORT"):
        sides.Given("127.0.0.1")
