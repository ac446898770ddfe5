"""jetmail with the real clamd and the real rspamd beside it, each private and without a network."""

from __future__ import annotations

import base64
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.daemons import EICAR, clamd, reachable, rspamd
from tests.live.harness import Appliance
from tests.live.sink import SinkProcess
from tests.live.talk import Client

pytestmark = pytest.mark.slow

HELLO = b"From: someone@sender.test\r\nSubject: x\r\n\r\nhello\r\n"
ATTACHED = (
    b'From: someone@sender.test\r\nSubject: a file\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\n\r\nSee there.\r\n--b\r\n"
    b"Content-Type: application/octet-stream; name=a.com\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(EICAR.encode()).replace(b"\n", b"\r\n")
    + b"--b--\r\n"
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory daemons of other users may enter."""
    base = Path(tempfile.mkdtemp(prefix="jetmail-daemons-"))
    base.chmod(0o755)
    yield reachable(base / "private")
    shutil.rmtree(base, ignore_errors=True)


def switch(appliance: Appliance, rule: str, options: str) -> None:
    """Other options for one rule of the appliance's chain."""
    path = appliance.directory / "etc" / "rules.toml"
    pattern = rf'(name = "{rule}"\nclass = "[^"]+"\n(?:after = [^\n]+\n)?)options = [^\n]+'
    text, changed = re.subn(pattern, rf"\1options = {options}", path.read_text("utf-8"))
    assert changed == 1
    path.write_text(text, "utf-8")


def symbols(appliance: Appliance) -> dict[str, dict[str, Any]]:
    """The findings of the newest message, by symbol."""
    uid = appliance.rows("log")[0]["uid"]
    return {finding["symbol"]: finding for finding in appliance.rows("message", "show", uid)[0]["findings"]}


@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_clamd(make: Callable[..., Appliance], far: SinkProcess, place: Path, way: str) -> None:
    """EICAR is refused, attached or bare, also when it comes in a message that is on the disk; what is clean goes on, large too."""
    with clamd(place) as (unix, port):
        appliance = make()
        appliance.domain("live.test", far.port, filtered=True)
        switch(appliance, "clamav", f'{{ enabled = true, socket = "{unix if way == "unix" else f"127.0.0.1:{port}"}" }}')
        appliance.start()
        padding = b"0123456789abcdef" * 4 + b"\r\n"
        with Client(appliance.smtp_port) as client:
            assert "554 5.7.1" in client.send("bob@live.test", ATTACHED, "554")
            assert symbols(appliance)["VIRUS"]["detail"].startswith("Test.Eicar")
            client.send("bob@live.test", HELLO + EICAR.encode() + b"\r\n", "554")
            client.send("bob@live.test", HELLO + padding * 40_000 + EICAR.encode() + b"\r\n", "554")
            client.send("bob@live.test", HELLO)
            client.send("bob@live.test", HELLO + padding * 40_000)
        assert {row["status"] for row in appliance.rows("log")} >= {"rejected"}


def test_clamd_limits(make: Callable[..., Appliance], far: SinkProcess, place: Path) -> None:
    """A message over clamd's own limit is deferred, for nobody has seen all of it; one over ours goes on with a finding."""
    with clamd(place, max_length="1M") as (unix, _):
        appliance = make()
        appliance.domain("live.test", far.port, filtered=True)
        switch(appliance, "clamav", f'{{ enabled = true, socket = "{unix}", max_size = 3000000 }}')
        appliance.start()
        line = b"0123456789abcdef" * 4 + b"\r\n"
        with Client(appliance.smtp_port) as client:
            client.send("bob@live.test", HELLO + line * 30_000, "451")
            client.send("bob@live.test", HELLO + line * 50_000, "250")
        assert "VIRUS_NOT_SCANNED" in symbols(appliance)


@pytest.mark.parametrize(("if_down", "code"), [("defer", "451"), ("skip", "250")])
def test_clamd_down(make: Callable[..., Appliance], far: SinkProcess, tmp_path: Path, if_down: str, code: str) -> None:
    """Nobody on the socket: the sender comes again, or the mail goes on with a finding."""
    appliance = make()
    appliance.domain("live.test", far.port, filtered=True)
    switch(appliance, "clamav", f'{{ enabled = true, socket = "{tmp_path}/nobody.sock", if_down = "{if_down}" }}')
    appliance.start()
    with Client(appliance.smtp_port) as client:
        client.send("bob@live.test", HELLO, code)


def test_rspamd(make: Callable[..., Appliance], far: SinkProcess, place: Path) -> None:
    """rspamd's score and symbols are a finding; its test string adds all that may be taken over; when it is down mail goes on."""
    gtube = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"
    appliance = make()
    appliance.domain("live.test", far.port, filtered=True)
    with rspamd(place) as port:
        switch(appliance, "rspamd", f'{{ enabled = true, url = "http://127.0.0.1:{port}/checkv2", factor = 0.5 }}')
        switch(appliance, "gtube", "{ reject_score = 0 }")
        switch(appliance, "thresholds", "{ reject = 999, spam = 999, defer = 999 }")
        appliance.start()
        with Client(appliance.smtp_port) as client:
            client.send("bob@live.test", HELLO)
            first = symbols(appliance)["RSPAMD"]
            assert first["score"] and "(" in first["detail"]
            client.send("bob@live.test", HELLO + gtube)
            assert symbols(appliance)["RSPAMD"]["score"] == 10.0
            client.send("bob@live.test", HELLO + b"0123456789abcdef\r\n" * 50_000)
            assert "RSPAMD" in symbols(appliance)
    with Client(appliance.smtp_port) as client:
        client.send("bob@live.test", HELLO)
    assert "RSPAMD" not in symbols(appliance)
