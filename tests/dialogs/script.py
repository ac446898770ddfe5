"""Reads a dialogue file (README.md) into values, for the player of the grammar and for one that speaks to a live port."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Step:
    """`action`: 'send' (octets), 'line' (text the next reply line starts with), 'reply' (code), 'has' and 'lacks' (text, about the reply read last),
    'tls', 'message' (octets in the content given to the receiver), 'closed'. `number` is the line of the file."""

    action: str
    number: int
    text: str = ""
    octets: bytes = b""


@dataclass(frozen=True, slots=True)
class Dialog:
    """One file. `limits`: fields of SessionOptions as numbers."""

    name: str
    what: str
    kind: str
    live: bool
    limits: dict[str, int]
    steps: tuple[Step, ...]


def all_dialogs() -> list[Dialog]:
    """Every file here, by name."""
    return [read(path) for path in sorted(FOLDER.glob("*.txt"))]


def read(path: Path) -> Dialog:
    """Raises ValueError that names the line."""
    header: dict[str, str] = {}
    steps: list[Step] = []
    lines = path.read_text("utf-8").split("\n")
    body = lines.index("")
    for line in lines[:body]:
        name, _, value = line.partition(":")
        header[name] = value.strip()
    for number, line in enumerate(lines[body + 1 :], body + 2):
        if line and not line.startswith("#"):
            steps.append(_step(line, number, path))
    known = {"what", "kind", "live"}
    limits = {name: int(value) for name, value in header.items() if name not in known}
    return Dialog(path.stem, header["what"], header.get("kind", "mx"), header.get("live", "yes") == "yes" and not limits, limits, tuple(steps))


def _step(line: str, number: int, path: Path) -> Step:
    mark, text = line[:2], line[3:]
    if line in ("TLS", "CLOSED"):
        return Step(line.lower(), number)
    if mark == "C:":
        return Step("send", number, octets=text.encode() + b"\r\n")
    if mark == "C|":
        return Step("send", number, octets=_octets(text))
    if mark == "C*":
        times, _, repeated = text.partition(" ")
        return Step("send", number, octets=_octets(repeated) * int(times))
    if mark == "M:":
        return Step("message", number, octets=_octets(text))
    actions = {"S:": "line", "S*": "reply", "S=": "has", "S!": "lacks"}
    if mark in actions:
        return Step(actions[mark], number, text)
    raise ValueError(f"{path.name}:{number}: no such step: {line}")


def _octets(text: str) -> bytes:
    return ast.literal_eval('b"' + text.replace('"', '\\"') + '"')
