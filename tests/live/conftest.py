"""Fixtures of the live tests: certificates, an appliance ready to be started, a sink."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.live.harness import Appliance, free_port, merge
from tests.live.sink import SinkProcess

# Short waits, so that a fault and the recovery from it fit into a test.
QUICK: dict[str, Any] = {
    "server": {"hostname": "live.example.test"},
    "smtp": {"max_per_address": 1000, "stop_grace": 2.0},
    "queue": {"retries": [0.5, 0.5, 1.0], "jitter": 0.1, "probe_first": 0.5, "probe_last": 1.0, "delay_notice": 0.0},
    "delivery": {"connect_timeout": 1.5, "command_timeout": 1.5, "data_timeout": 1.5, "final_timeout": 1.5},
}


@dataclass(frozen=True)
class Certificates:
    """A certification authority and one certificate for 127.0.0.1 and localhost, as PEM files."""

    authority: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="session")
def certificates() -> Iterator[Certificates]:
    """Readable by everybody, for a Postfix that drops its rights."""
    directory = Path(tempfile.mkdtemp(prefix="jetmail-live-"))
    directory.chmod(0o755)
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    leaf.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    leaf.private_key_pem.write_to_path(directory / "key.pem")
    yield Certificates(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Appliance]]:
    """make(settings={}, place=None): an appliance with quick retries, not started; killed at the end of the test."""
    with ExitStack() as stack:

        def build(settings: dict[str, Any] | None = None, place: Path | None = None) -> Appliance:
            one = {"listener": [{"kind": "mx", "address": "127.0.0.1", "port": free_port()}]}
            return stack.enter_context(Appliance(place or tmp_path / "jetmail", merge(merge(QUICK, one), settings or {})))

        yield build


@pytest.fixture
def far(tmp_path: Path) -> Iterator[SinkProcess]:
    """A sink that takes everything."""
    with SinkProcess(tmp_path / "far.log", "--keep") as running:
        yield running
