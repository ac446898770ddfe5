"""A command line on a directory of its own, run inside this process."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from jetmail.cli.main import main
from jetmail.store.database import InlineDatabase
from jetmail.store.traffic import messages
from jetmail.store.traffic.messages import Content, NewDelivery, NewMessage

NOW = 1_795_159_800.0  # 2026-11-20 07:30 UTC


class Terminal(io.StringIO):
    """Standard input at which somebody sits."""

    def isatty(self) -> bool:
        """Yes."""
        return True


class CommandLine:
    """`run(words)` is what `jetmail --dir DIR words` does; `out`, `err` and `code` are of the last one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.code = 0
        self.out = ""
        self.err = ""
        self.now = NOW

    def run(self, *words: str, answer: str | None = None, has_directory: bool = True) -> str:
        """What it prints. `answer` is typed at a terminal; without one there is no terminal."""
        out, err = io.StringIO(), io.StringIO()
        place = ["--dir", str(self.directory)] if has_directory else []
        typed = io.StringIO() if answer is None else Terminal(answer + "\n")
        self.code = main([*place, *words], out, err, typed, lambda: self.now)
        self.out, self.err = out.getvalue(), err.getvalue()
        return self.out

    def ok(self, *words: str, answer: str | None = None) -> str:
        """The same, and it must have worked."""
        self.run(*words, answer=answer)
        assert self.code == 0, self.err
        return self.out

    def rows(self, *words: str) -> list[dict[str, Any]]:
        """The objects of a command with --json."""
        return [json.loads(line) for line in self.ok(*words, "--json").splitlines()]

    def accept(self, number: int, *recipients: str, at: float = NOW, **fields: Any) -> str:
        """A message as the receiving side stores it. -> its uid."""
        uid = f"{number:020x}"
        text = fields.pop("data", b"Subject: hello\r\n\r\ntext\r\n")
        deliveries = tuple(
            NewDelivery(recipient, recipient.partition("@")[2], recipient, recipient.partition("@")[2], fields.get("status", "queued"))
            for recipient in recipients
        )
        fields.pop("status", None)
        new = NewMessage(
            uid=uid, direction="inbound", received=at, sender=fields.pop("sender", "a@sender.example"), size=len(text),
            content=Content(len(text), text), deliveries=deliveries, **{"subject": "hello", "response": "250 2.0.0 ok", **fields},
        )  # fmt: skip
        database = InlineDatabase(str(self.directory / "var" / "jetmail.db"))
        failures: list[object] = []
        database.run(messages.accept, new).addErrback(failures.append)
        database.close()
        assert not failures
        return uid


@pytest.fixture
def jetmail(tmp_path: Path) -> CommandLine:
    """A new directory, ready."""
    line = CommandLine(tmp_path / "appliance")
    line.run("init", str(line.directory), has_directory=False)
    assert line.code == 0, line.err
    return line
