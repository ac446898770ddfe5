"""The conversations of tests/dialogs, word for word against real ports; what they deliver is looked for in a sink behind the appliance."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from jetmail.smtp.options import SessionOptions
from tests.dialogs.script import Dialog, Step, all_dialogs
from tests.live.conftest import QUICK
from tests.live.harness import Appliance, free_port, merge, wait_until
from tests.live.sink import SinkProcess
from tests.live.talk import careless

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Ports:
    """Where each kind of conversation is held, and the sink behind."""

    by_kind: dict[str, int]
    far: SinkProcess


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    directory = tmp_path_factory.mktemp("dialogs")
    by_kind = {kind: free_port() for kind in ("mx", "submission", "submissions")}
    limits = SessionOptions("")
    settings = {"smtp": {"max_errors": limits.max_errors, "max_messages": limits.max_messages, "max_recipients": limits.max_recipients}}
    settings |= {"listener": [{"kind": kind, "address": "127.0.0.1", "port": port} for kind, port in by_kind.items()]}
    with SinkProcess(directory / "far.log", "--keep") as far, Appliance(directory / "jetmail", merge(QUICK, settings)) as appliance:
        appliance.domain("demo.test", far.port, "--tls", "none")
        appliance.start()
        yield Ports({**by_kind, "mx": appliance.smtp_port}, far)


class Player:
    """One dialogue over one connection."""

    def __init__(self, dialog: Dialog, ports: Ports) -> None:
        self.dialog = dialog
        self.far = ports.far
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", ports.by_kind[dialog.kind]), 15)
        if dialog.kind == "submissions":
            self.socket = careless().wrap_socket(self.socket)
        self.said = b""
        self.last: list[str] = []

    def line(self, where: str) -> str:
        while b"\r\n" not in self.said:
            try:
                octets = self.socket.recv(65536)
            except (TimeoutError, ConnectionResetError) as fault:
                octets = b""
                assert not isinstance(fault, TimeoutError), f"{where}: silence after {self.said!r}"
            assert octets, f"{where}: closed after {self.said!r}"
            self.said += octets
        line, _, self.said = self.said.partition(b"\r\n")
        return line.decode("utf-8", "replace")

    def send(self, octets: bytes) -> None:
        try:
            self.socket.sendall(octets)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it had heard enough; what it said is read next

    def play(self) -> None:
        waiting = b""
        for step in self.dialog.steps:
            if step.action == "send":
                waiting += step.octets
                continue
            self.send(waiting)
            waiting = b""
            self.check(step, f"{self.dialog.name}.txt:{step.number}")
        self.socket.close()

    def check(self, step: Step, where: str) -> None:
        if step.action == "line":
            self.last = [self.line(where)]
            assert self.last[0].startswith(step.text), f"{where}: said {self.last[0]!r}"
        elif step.action == "reply":
            self.last = [self.line(where)]
            while self.last[-1][3:4] == "-":
                self.last.append(self.line(where))
            assert {line[:3] for line in self.last} == {step.text}, f"{where}: said {self.last}"
        elif step.action == "has":
            assert step.text in self.last, f"{where}: said {self.last}"
        elif step.action == "lacks":
            assert not any(line.startswith(step.text) for line in self.last), f"{where}: said {self.last}"
        elif step.action == "tls":
            self.socket = careless().wrap_socket(self.socket)
        elif step.action == "message":
            expected = step.octets.decode("latin-1")
            wait_until(lambda: any(expected in row["content"] for row in self.far.received()), 15, f"{where}: {expected!r} in the sink")
        else:
            try:
                more = self.said + self.socket.recv(65536)
            except ConnectionResetError:
                more = self.said
            assert more == b"", f"{where}: said {more!r} instead of closing"


@pytest.mark.parametrize("dialog", [each for each in all_dialogs() if each.live], ids=lambda dialog: dialog.name)
def test_dialog(dialog: Dialog, ports: Ports) -> None:
    """A live port answers as the file says."""
    player = Player(dialog, ports)
    try:
        player.play()
    finally:
        player.socket.close()
