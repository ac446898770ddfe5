"""Plays a dialogue against the grammar and a receiver in memory: no sockets, no clock but the receiver's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from jetmail.smtp.events import CLOSE, STARTTLS
from jetmail.smtp.options import SessionOptions
from jetmail.smtp.server import Session
from tests.dialogs.script import Dialog, Step


class Player:
    """One dialogue. `cut` octets are given to the session at a time; 0: everything between two server steps at once. `contents` gives what the
    receiver was handed, `wait` lets time pass for an answer that is not there at once, `special` does the steps only its receiver understands."""

    def __init__(
        self,
        dialog: Dialog,
        cut: int,
        receiver: Any,
        contents: Callable[[], list[bytes]],
        wait: Callable[[Deferred[Any]], Any] | None = None,
        special: Callable[[Step, str], None] | None = None,
    ) -> None:
        self.dialog = dialog
        self.cut = cut
        self.receiver = receiver
        self.contents = contents
        self.wait = wait
        self.special = special
        self.session = Session(SessionOptions("mx.test", dialog.kind, **dialog.limits))  # type: ignore[arg-type]
        self.said = b""
        self.last: list[str] = []
        self.is_closed = False
        self.wants_tls = dialog.kind == "submissions"
        self.drive(self.session.start())

    def drive(self, event: Any) -> None:
        """Ask the receiver until the session has no more questions."""
        while event is not None:
            if event is CLOSE:
                self.is_closed = True
                break
            if event is STARTTLS:
                self.wants_tls = True
                event = self.session.reply(None)
                continue
            answer = event.ask(self.receiver)
            event = self.session.reply(self.wait(answer) if isinstance(answer, Deferred) and self.wait is not None else answer)
        self.said += self.session.take()

    def send(self, octets: bytes) -> None:
        """From the client."""
        step = self.cut or len(octets) or 1
        for start in range(0, len(octets), step):
            self.drive(self.session.receive(octets[start : start + step]))

    def line(self, where: str) -> str:
        """The next line from the server."""
        line, end, self.said = self.said.partition(b"\r\n")
        assert end, f"{where}: nothing said, only {line!r}"
        return line.decode("ascii")

    def play(self) -> None:
        """All of it."""
        waiting = b""
        for step in self.dialog.steps:
            if step.action == "send":
                waiting += step.octets
                continue
            self.send(waiting)
            waiting = b""
            self.check(step, f"{self.dialog.name}.txt:{step.number}")
        assert not waiting and not self.said, f"{self.dialog.name}.txt: left {waiting!r} {self.said!r}"

    def check(self, step: Step, where: str) -> None:
        """One step that is not the client's."""
        if step.action == "line":
            self.last = [self.line(where)]
            assert self.last[0].startswith(step.text), f"{where}: said {self.last[0]!r}"
        elif step.action == "reply":
            self.last = [self.line(where)]
            while self.last[-1][3] == "-":
                self.last.append(self.line(where))
            assert {line[:3] for line in self.last} == {step.text}, f"{where}: said {self.last}"
        elif step.action == "has":
            assert step.text in self.last, f"{where}: said {self.last}"
        elif step.action == "lacks":
            assert not any(line.startswith(step.text) for line in self.last), f"{where}: said {self.last}"
        elif step.action == "tls":
            assert self.wants_tls, where
            self.wants_tls = False
            self.receiver.tls_started("TLSv1.3", "TLS_AES_128_GCM_SHA256")
        elif step.action == "message":
            assert any(step.octets in message for message in self.contents()), f"{where}: got {self.contents()}"
        elif step.action == "closed":
            assert self.is_closed and not self.said, f"{where}: closed {self.is_closed}, said {self.said!r}"
        else:
            assert self.special is not None, f"{where}: only an appliance can do that"
            if step.action == "exactly":
                self.last = [self.line(where)]
            self.special(step, where)
