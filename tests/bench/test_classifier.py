"""The classifier's bench reads streams in order and adds up rightly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import classifier
from tests.bench.__main__ import arguments
from tests.classifier.samples import mail


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty of each kind in folders, and an index of them in turn."""
    lines = []
    for number in range(30):
        for label in ("spam", "ham"):
            place = tmp_path / "data" / f"old-{label}_2" / f"m{number}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(mail(number, label == "spam"))
            lines.append(f"{label} ../data/old-{label}_2/m{number}")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "index").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_stream_of_an_index(folder: Path) -> None:
    """An index gives its messages in its order, paths relative to it."""
    stream = list(classifier.stream(folder / "full" / "index"))
    assert [label for label, _ in stream] == [True, False] * 30
    assert stream[2][1] == mail(1, True)
    assert list(classifier.stream(folder)) == stream


def test_stream_of_a_folder(folder: Path) -> None:
    """A folder's names say what is what, and it is shuffled the same way every time."""
    stream = list(classifier.stream(folder / "data"))
    assert stream == list(classifier.stream(folder / "data"))
    assert sum(label for label, _ in stream) == 30
    assert all((b"offers.test" in octets) is label for label, octets in stream)


def test_area() -> None:
    """1-AUC is the share of pairs in the wrong order, ties for a half."""
    assert classifier.area_above([1, 2, 3, 4], [False, False, True, True]) == 0.0
    assert classifier.area_above([4, 3, 2, 1], [False, False, True, True]) == 100.0
    assert classifier.area_above([1, 1], [False, True]) == 50.0
    assert classifier.area_above([1], [True]) is None


@pytest.mark.parametrize("more", [[], ["--teach", "10"], ["--empty", "--limit", "20"]])
def test_run(folder: Path, more: list[str]) -> None:
    """A run learns, and tells of it with and without training."""
    result = classifier.run(arguments(["classifier", str(folder / "full" / "index"), *more]))
    assert result["messages"] == (20 if "--limit" in more else 60)
    assert result["learnt"]["one_minus_auc_percent"] < 10
    assert len(classifier.told(result)) == 5
