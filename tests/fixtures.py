"""Test material that nobody here wrote, kept outside the project as packed archives.

`folder("04_addresses")` is the directory with that archive's files, unpacked once per run. It is looked for in the directory
the environment variable JETMAIL_FIXTURES names, or in ../shared/fixtures beside the checkout, as NAME.tar.gz or already unpacked as NAME/.
Where it is absent the calling test is skipped, and says so.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tarfile
import tempfile
from functools import cache
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parent.parent.parent / "shared" / "fixtures"


def folder(name: str) -> Path:
    """The unpacked archive `name`, or a skip that names what is missing."""
    found = _find(name)
    if found is None:
        pytest.skip(f"no test material {name}: set JETMAIL_FIXTURES to the directory that holds {name}.tar.gz")
    return found


@cache
def _find(name: str) -> Path | None:
    given = os.environ.get("JETMAIL_FIXTURES")
    place = Path(given) if given else BESIDE
    if (place / name).is_dir():
        return place / name
    archive = place / f"{name}.tar.gz"
    if not archive.is_file():
        return None
    target = Path(tempfile.mkdtemp(prefix="jetmail-fixtures-"))
    atexit.register(shutil.rmtree, target, ignore_errors=True)
    with tarfile.open(archive) as packed:
        packed.extractall(target, filter="data")
    inner = target / name
    return inner if inner.is_dir() else target
