"""Held by the running process, let go from the command line, delivered by the running process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.live.harness import Appliance, wait_until
from tests.live.sink import SinkProcess
from tests.live.talk import Client

pytestmark = pytest.mark.slow
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
LARGE = b"Subject: held\r\n\r\n" + GTUBE + b"\r\n" + b"a line of a large message\r\n" * 8_000  # a spool file


def test_released_mail_is_delivered_once(make: Callable[..., Appliance], far: SinkProcess) -> None:
    """Large mail held for two: one release reaches one of them, judged by nobody again; a second is refused; nothing is left behind."""
    appliance = make({"dns": {"servers": ["127.0.0.1:1"]}})
    appliance.domain("example.test", far.port, "--tls", "none", "--reject-score", "999", filtered=True)
    appliance.domain("kept.test", far.port, "--tls", "none", "--keep-spam", "yes", filtered=True)
    appliance.start()
    with Client(appliance.smtp_port, timeout=60) as client:
        assert client.attempt("ann@example.test", LARGE).startswith("250")
        assert client.attempt("bob@example.test", LARGE).startswith("250")
        assert client.attempt("eve@kept.test", LARGE).startswith("554 5.7.1 [SPAM]")
    held = {row["recipient"]: row for row in appliance.rows("quarantine", "list")}
    assert {recipient: row["status"] for recipient, row in held.items()} == {
        "ann@example.test": "quarantined", "bob@example.test": "quarantined", "eve@kept.test": "spam",
    }  # fmt: skip
    spool = appliance.database.parent / "spool"
    assert len([path for path in spool.rglob("*") if path.is_file() and path.stat().st_size > 100_000]) == 3
    appliance.cli("quarantine", "release", held["ann@example.test"]["uid"])
    (arrived,) = wait_until(far.received, 20, "the released message arrives")
    assert arrived["recipients"] == ["ann@example.test"]
    wait_until(lambda: appliance.rows("log", "--to", "ann@example.test")[0]["status"] == "delivered", 20, "it is recorded")
    with pytest.raises(AssertionError, match="not in the quarantine"):
        appliance.cli("quarantine", "release", held["ann@example.test"]["uid"])
    appliance.cli("quarantine", "delete", held["bob@example.test"]["uid"])
    appliance.cli("quarantine", "release", str(held["eve@kept.test"]["id"]))
    wait_until(lambda: len(far.received()) == 2, 20, "refused spam its owner wants arrives")
    wait_until(lambda: not [path for path in spool.rglob("*") if path.is_file() and path.stat().st_size > 100_000], 20, "no file is left")
    appliance.stop()
