"""Keys of return paths: made once, turned in time, kept while anything counts that was made with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetmail.errors import StoreError
from jetmail.store.returnkeys import NAME, ReturnKeys

DAY = 86_400.0


def _keys(state: Path) -> ReturnKeys:
    drawn = iter(range(1, 100))
    return ReturnKeys(state, lambda size: bytes([next(drawn)]) * size)


def test_made_and_read_back(tmp_path: Path) -> None:
    """The first turn makes a key, readable by the owner alone; another process reads the same."""
    keys = _keys(tmp_path)
    assert keys.load().keys == ()
    ring = keys.turned(1000.0, 90 * DAY, 15 * DAY)
    assert len(ring.keys) == 1 and (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    assert _keys(tmp_path).load() == ring == keys.turned(2000.0, 90 * DAY, 15 * DAY)


def test_turned(tmp_path: Path) -> None:
    """A new key makes, the old one reads for as long as what it made counts, then it is gone."""
    keys = _keys(tmp_path)
    first = keys.turned(0.0, 90 * DAY, 15 * DAY).keys[0]
    second, kept = keys.turned(90 * DAY, 90 * DAY, 15 * DAY).keys
    assert kept == first and second.number == 1 and second.secret != first.secret
    assert keys.turned(105 * DAY, 90 * DAY, 15 * DAY).keys == (second, first)
    assert keys.turned(106 * DAY, 90 * DAY, 15 * DAY).keys == (second,) == _keys(tmp_path).load().keys


def test_never_turned(tmp_path: Path) -> None:
    """With 0 a key makes for ever."""
    keys = _keys(tmp_path)
    keys.turned(0.0, 0.0, DAY)
    assert len(keys.turned(10_000 * DAY, 0.0, DAY).keys) == 1


@pytest.mark.parametrize("text", ["x", "0 1 abcd", "99 1 " + "ab" * 32, "0 1 " + "ab" * 31 + " x", "0 1 " + "zz" * 32])
def test_damaged_is_not_overwritten(tmp_path: Path, text: str) -> None:
    """What cannot be understood is said, and stays as it is."""
    (tmp_path / NAME).write_text(text)
    with pytest.raises(StoreError):
        _keys(tmp_path).load()
    assert (tmp_path / NAME).read_text() == text
