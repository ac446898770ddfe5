"""The shipped settings and their page are what the declarations say."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetmail.cli import sample

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("name", sorted(sample.FILES))
def test_shipped_files_are_current(name: str) -> None:
    """etc/jetmail.toml, etc/scores.toml and the pages made from declarations are current; run python -m jetmail.cli.sample when this fails."""
    assert (ROOT / name).read_text("utf-8") == sample.FILES[name]()
