"""The bench of guesses tells the truth: what it counts as taken, what it refuses to print, and that its guesses come from many networks."""

from __future__ import annotations

import pytest

from tests.bench import __main__ as command
from tests.bench import stuffing
from tests.bench.steady import source


def test_summed() -> None:
    """Only what was answered 250 is taken and timed; everything else is told by its words."""
    rows = [(0.0, 0.010, "250"), (0.1, 0.030, "250 try 2"), (0.2, 5.0, "421 4.7.0 no"), (0.3, 0.0, "too many under way")]
    found = stuffing.summed(rows, 2.0)
    assert (found["offered"], found["taken"], found["rate"]) == (4, 2, 1.0)
    assert (found["p50_ms"], found["p99_ms"]) == (30.0, 30.0)
    assert found["others"] == {"421 4.7.0 no": 1, "too many under way": 1}
    assert stuffing.percentile([], 0.5) == 0.0


def test_sources() -> None:
    """Neighbours in time come from different /24 networks of the machine's own."""
    found = [source(number, 1000) for number in range(2000)]
    assert len(set(found)) == 1000 and found[0] == found[1000]
    assert len({address.rpartition(".")[0] for address in found[:250]}) == 250
    assert all(address.startswith("127.0.") for address in found)


@pytest.mark.slow
def test_run() -> None:
    """A small one: mail and the known user get through, no guess is right, and the report says so."""
    options = command.arguments(["stuffing", "--attempts", "20", "--seconds", "4", "--before", "2", "--fresh", "1", "--mail-rate", "5"])
    result = stuffing.run(options)
    assert result["mail"]["during"]["taken"] == result["mail"]["during"]["offered"] > 0
    assert result["user"]["during"]["taken"] > 0
    assert result["guesses"]["made"] == 80 and not any(answer.startswith("235") for answer in result["guesses"]["answers"])
    assert "mail taken while guesses come" in result["aims"][0]["name"] and "guesses made 80" in "\n".join(stuffing.told(result))
