"""What the process writes about itself: one line an event, for people or for collectors.

Every room logs with `twisted.logger.Logger` and named fields; a decision about a message carries its `uid`. Nothing logs a password, a token or the
content of a message: fields named like secrets are masked here, whoever wrote them.

text: `2026-11-20T08:00:00.123Z info  inbound.transaction  accepted  uid=... sender=...`    json: one object a line with time, level, system, text
and the fields.
What Twisted itself remarks on sockets that open and close counts as debug, whatever it calls itself.
Control characters in fields are escaped, so that no peer can write a line of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

from twisted.logger import ILogObserver, LogLevel, formatEvent
from zope.interface import implementer

MASKED = frozenset({"password", "secret", "token", "authorization", "cookie", "credentials"})
_STANDARD = frozenset({"format", "message", "isError", "system", "time", "failure", "why", "printed", "print"})
_HEAD = frozenset({"log_logger", "log_level", "log_namespace", "log_source", "log_format", "log_time"}) | _STANDARD  # what nearly every event has
_BARE = re.compile(r"[!#-<>-~]+").fullmatch  # a value that can stand as it is: printable ASCII without space, quote or equals sign
MAX_FIELD = 2_000  # characters of one field


@implementer(ILogObserver)
class LineObserver:
    """Writes each event of `levels` as one line to `stream`; `as_json` chooses the form. An event that cannot be written is dropped, never
    raised. A line costs under 10 us, so that a line per message can stay."""

    def __init__(self, stream: TextIO, as_json: bool, levels: frozenset[Any] | None = None) -> None:
        self._stream = stream
        self._levels = levels
        self._form: Callable[[dict[str, Any]], str] = json_line if as_json else text_line

    def __call__(self, event: dict[str, Any]) -> None:
        levels, level = self._levels, event.get("log_level")
        if levels is not None:
            if level is LogLevel.info and event.get("log_namespace") == "log_legacy":
                level = LogLevel.debug  # Twisted's own remarks on sockets: four lines for every look-up in DNS
            if level not in levels:
                return
        try:
            self._stream.write(self._form(event) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # the other end of a pipe is gone, the disk of the log is full: mail goes on


def observer(stream: TextIO, form: str, level: str) -> ILogObserver:
    """The observer of settings [log]: `form` 'text' or 'json', `level` the least severe that is written."""
    least = LogLevel.lookupByName(level)
    return LineObserver(stream, form == "json", frozenset(each for each in LogLevel.iterconstants() if each >= least))


def fields(event: dict[str, Any]) -> dict[str, Any]:
    """The event's own fields as plain values, secrets masked."""
    result: dict[str, Any] = {}
    for key, value in event.items():
        if key in _HEAD or key[:4] == "log_":
            continue
        if key in MASKED:
            result[key] = "***"
        elif value is None or type(value) in (bool, int, float):
            result[key] = value
        else:
            result[key] = str(value)[:MAX_FIELD]
    return result


def _text(event: dict[str, Any]) -> str:
    text = event.get("log_format")
    if type(text) is not str or "{" in text or "}" in text:
        text = formatEvent(event)
    if (failure := event.get("log_failure")) is not None:
        text = f"{text}: {failure.type.__name__}: {failure.getErrorMessage()} {_where(failure)}".strip()
    return text


def _where(failure: Any) -> str:
    places = [f"{name} {file.rsplit('/', 1)[-1]}:{line}" for name, file, line, *_ in reversed(failure.frames[-6:])]
    return "(" + " < ".join(places) + ")" if places else ""


def _time(event: dict[str, Any]) -> str:
    moment = event.get("log_time", 0.0)
    second = int(moment // 1)
    return f"{_second(second)}{int((moment - second) * 1000):03d}Z"


@lru_cache(maxsize=2)
def _second(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.")


def _system(event: dict[str, Any]) -> str:
    return str(event.get("log_namespace") or event.get("log_system") or "-").removeprefix("jetmail.")


def json_line(event: dict[str, Any]) -> str:
    """One event as a JSON object."""
    level = event.get("log_level")
    head = {"time": _time(event), "level": level.name if level else "info", "system": _system(event), "text": _text(event)}
    return json.dumps({**fields(event), **head}, ensure_ascii=True)


def text_line(event: dict[str, Any]) -> str:
    """One event as a line for people."""
    level = event.get("log_level")
    line = f"{_time(event)} {level.name if level else 'info':5} {_system(event)} {_plain(_text(event))}"
    template = event.get("log_format") or ""
    is_plain = "{" not in template
    for key, value in fields(event).items():
        if is_plain or "{" + key not in template:
            text = value if type(value) is str else str(value)
            line += f" {key}={text if _BARE(text) else _quoted(text)}"
    return line


def _plain(text: str) -> str:
    return text if text.isprintable() else "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _quoted(value: str) -> str:
    text = _plain(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(each in text for each in ' "=') else text
