"""How the command line shows things."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from jetmail.cli import output
from jetmail.mail.status import Status


def lines(rows: list[tuple[object, ...]], width: int | None = None) -> list[str]:
    """The table of two columns as lines."""
    out = io.StringIO()
    output.table(out, ("name", "value"), rows, width=width)
    return out.getvalue().splitlines()


def test_table_in_a_pipe_is_whole() -> None:
    """Without a terminal nothing is cut, however long it is."""
    assert lines([("a", "x" * 500), ("bc", "y")]) == ["NAME  VALUE", "a     " + "x" * 500, "bc    y"]


@given(st.lists(st.tuples(st.text(max_size=200), st.text(max_size=200)), max_size=5), st.integers(20, 120))
def test_table_fits_the_terminal(rows: list[tuple[str, str]], width: int) -> None:
    """On a terminal no line is longer than it is wide, and there is one line a row."""
    shown = lines(list(rows), width)
    assert len(shown) == len(rows) + 1
    assert all(len(line) <= width for line in shown)


def test_strangers_cannot_steer_the_terminal() -> None:
    """Escape sequences, line ends and direction overrides in mail are shown, not obeyed."""
    shown = "\n".join(lines([("\x1b[2J", "a\r\nb\u202e")]))
    assert "\x1b" not in shown and "\r" not in shown and "\u202e" not in shown
    assert len(shown.splitlines()) == 2


@given(st.text(alphabet=st.characters(), max_size=50))
def test_anything_can_be_printed(text: str) -> None:
    """Whatever a stranger wrote, lone surrogates too, becomes one line of UTF-8, in tables and in JSON."""
    out = io.StringIO()
    output.json_line(out, {"text": text})
    assert len(out.getvalue().encode().split(b"\n")) == 2
    assert len(output.clean(text).encode().decode().splitlines()) <= 1


def test_json_is_one_object_a_line() -> None:
    """Dataclasses, enums, tuples and octets become plain JSON on one line."""

    @dataclass
    class Thing:
        name: str
        status: Status
        parts: tuple[bytes, ...]

    out = io.StringIO()
    output.json_line(out, Thing("a\nb", Status.QUEUED, (b"x\xff",)))
    assert out.getvalue().count("\n") == 1
    assert json.loads(out.getvalue()) == {"name": "a\nb", "status": "queued", "parts": ["x\ufffd"]}


def test_spans() -> None:
    """A length of time is told in its two largest units."""
    assert [output.span(value) for value in (0, 59, 60, 61, 3600, 3661, 90000, 432000)] == [
        "0s", "59s", "1m", "1m 1s", "1h", "1h 1m", "1d 1h", "5d",
    ]  # fmt: skip


def test_sizes() -> None:
    """Octets are told in powers of 1024."""
    assert [output.size(value) for value in (0, 812, 4096, 20 << 20, 3 << 30)] == ["0 B", "812 B", "4.0 KB", "20 MB", "3.0 GB"]


def test_no_time_is_a_dash() -> None:
    """What has not happened has no time."""
    assert output.when(None) == "-"
