"""How the command line shows things: tables that fit a terminal and survive a pipe, one JSON object a line, times and ages people can read.

A table on a terminal is cut to its width, with an ellipsis; in a pipe nothing is cut. Columns are separated by two blanks, and control
characters out of mail never reach the terminal. Times are shown in the local zone; in JSON they are epoch seconds, as stored.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any, TextIO

# C0, DEL and C1; line separators; the bidirectional controls of Unicode; lone surrogates, which no terminal can be sent.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
MIN_COLUMN = 8  # narrower than this a cut column says nothing


def clean(value: object) -> str:
    """Any value as one line that cannot steer a terminal: mail is written by strangers."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(value)) if value is not None else ""


def table(out: TextIO, headings: Sequence[str], rows: Iterable[Sequence[object]], *, keep: Sequence[str] = (), width: int | None = None) -> None:
    """Print `rows` under `headings`. `width` None: the terminal's when `out` is one, else no limit. The widest columns give way first, those named in
    `keep` (what people copy, or what says nothing when it is cut) only when there is no other way."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max([len(heading), *(len(row[index]) for row in cells)]) for index, heading in enumerate(headings)]
    if width is None and out.isatty():
        width = shutil.get_terminal_size((80, 24)).columns
    if width is not None:
        available = width - 2 * (len(widths) - 1)
        _shrink(widths, available, [index for index, heading in enumerate(headings) if heading not in keep])
        _shrink(widths, available, list(range(len(widths))))
    for row in ([heading.upper() for heading in headings], *cells):
        line = "  ".join(_fit(cell, column) for cell, column in zip(row, widths, strict=True))
        print(line.rstrip(), file=out)


def _shrink(widths: list[int], available: int, may: Sequence[int]) -> None:
    while sum(widths) > available and (index := max(may, key=lambda place: widths[place], default=-1)) >= 0 and widths[index] > MIN_COLUMN:
        widths[index] -= 1


def _fit(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"


def pairs(out: TextIO, items: Mapping[str, object] | Sequence[tuple[str, object]]) -> None:
    """Print 'name  value' lines, names in one column."""
    entries = list(items.items() if isinstance(items, Mapping) else items)
    width = max([len(name) for name, _ in entries] + [0])
    for name, value in entries:
        print(f"{name.ljust(width)}  {clean(value)}".rstrip(), file=out)


def json_line(out: TextIO, value: object) -> None:
    """One object, one line, keys as the columns they come from."""
    text = json.dumps(plain(value), ensure_ascii=False, separators=(", ", ": "))
    print(text.encode("utf-8", "replace").decode(), file=out)


def plain(value: object) -> Any:
    """Dataclasses, enums, tuples and bytes as what JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def when(seconds: float | None) -> str:
    """Epoch seconds as local '2026-11-20 07:31:50'; '-' for none."""
    if not seconds:
        return "-"
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short_when(seconds: float | None, now: float) -> str:
    """The same as short as it can be: '07:31:50' on the day it is, else '11-20 07:31', with the year when that is another."""
    if not seconds:
        return "-"
    local, today = datetime.fromtimestamp(seconds).astimezone(), datetime.fromtimestamp(now).astimezone()
    if local.date() == today.date():
        return local.strftime("%H:%M:%S")
    return local.strftime("%m-%d %H:%M" if local.year == today.year else "%Y-%m-%d")


def span(seconds: float) -> str:
    """A length of time in its two largest units: '2d 4h', '5m 10s', '3s'."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        amount, left = divmod(left, size)
        if amount or (parts and len(parts) < 2):
            parts.append(f"{amount}{unit}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0")) or "0s"


def size(octets: int) -> str:
    """Octets as people say them: '812 B', '4.0 KB', '20 MB' (powers of 1024)."""
    amount = float(octets)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1024 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("unreachable")
