"""Reads a dialogue file (README.md) into values, for the player of the grammar and for one that speaks to a live port."""

from __future__ import annotations

import ast
import base64
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Step:
    """`action`: 'send' (octets), 'line' (text the next reply line starts with), 'reply' (code), 'has' and 'lacks' (text, about the reply read last),
    'tls', 'message' (octets in the content given to the receiver), 'closed'; on an appliance 'exactly' (the next line), 'do' (what people change),
    'record' (status and reason of what was written down last). `number` is the line of the file."""

    action: str
    number: int
    text: str = ""
    octets: bytes = b""


@dataclass(frozen=True, slots=True)
class Dialog:
    """One file. `limits`: fields of SessionOptions as numbers. `given`: what the appliance is like; where there is any, it needs one."""

    name: str
    what: str
    kind: str
    live: bool
    limits: dict[str, int]
    steps: tuple[Step, ...]
    given: tuple[str, ...] = ()


def all_dialogs() -> list[Dialog]:
    """Every file here, by name."""
    return [read(path) for path in sorted(FOLDER.glob("*.txt"))]


def read(path: Path) -> Dialog:
    """Raises ValueError that names the line."""
    header: dict[str, str] = {}
    given: list[str] = []
    steps: list[Step] = []
    lines = path.read_text("utf-8").split("\n")
    body = lines.index("")
    for line in lines[:body]:
        name, _, value = line.partition(":")
        if name == "given":
            given.append(value.strip())
        else:
            header[name] = value.strip()
    for number, line in enumerate(lines[body + 1 :], body + 2):
        if line and not line.startswith("#"):
            steps += _sign_in(line[3:].strip(), number) if line[:3] == "IN:" else [_step(line, number, path)]
    known = {"what", "kind", "live"}
    limits = {name: int(value) for name, value in header.items() if name not in known}
    live = header.get("live", "yes") == "yes" and not limits and not given
    return Dialog(path.stem, header["what"], header.get("kind", "mx"), live, limits, tuple(steps), tuple(given))


def _sign_in(name: str, number: int) -> list[Step]:
    """All that comes before MAIL where TLS comes first."""
    secret = base64.b64encode(f"\0{name}\0right".encode())
    said = [Step("tls", number), Step("line", number, "220"), Step("send", number, octets=b"EHLO client.test\r\n"), Step("reply", number, "250")]
    return [*said, Step("send", number, octets=b"AUTH PLAIN " + secret + b"\r\n"), Step("line", number, "235 2.7.0 Authentication successful")]


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
    actions = {"S:": "line", "S*": "reply", "S=": "has", "S!": "lacks", "S>": "exactly", "DO": "do", "R:": "record"}
    if mark in actions:
        return Step(actions[mark], number, text)
    raise ValueError(f"{path.name}:{number}: no such step: {line}")


def _octets(text: str) -> bytes:
    return ast.literal_eval('b"' + text.replace('"', '\\"') + '"')
