"""The shipped settings and their page are what the declarations say."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from jetmail import config, resources
from jetmail.cli import sample

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("name", sorted(sample.FILES))
def test_shipped_files_are_current(name: str) -> None:
    """etc/jetmail.toml, docs/configuration.md and docs/cli.md are made from the code; run python -m jetmail.cli.sample when this fails."""
    assert (ROOT / name).read_text("utf-8") == sample.FILES[name]()


def test_the_sample_is_all_defaults() -> None:
    """The file as shipped changes nothing."""
    loaded = config.load(resources.defaults() / "jetmail.toml")
    assert config.effective(loaded) == config.effective(config.parse({}, loaded.file))


def test_every_setting_can_be_uncommented() -> None:
    """With every # taken away, the sample is still valid and still means the defaults."""
    lines = [line.removeprefix("# ") for line in sample.toml().splitlines() if "= " in line or line.startswith("[") or line == "# [[listener]]"]
    raw = tomllib.loads(
        "\n".join(line for line in lines if not line.startswith("#") and (line.startswith("[") or line.split(" = ")[0].isidentifier()))
    )
    loaded = config.parse(raw, Path("etc") / config.FILE_NAME)
    assert loaded.smtp == config.Smtp() and loaded.listener == (config.Listener(),)
    assert set(raw) == set(sample.section_names())
