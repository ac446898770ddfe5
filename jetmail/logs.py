"""What the process writes about itself: one line an event, for people or for collectors.

Every room logs with `twisted.logger.Logger` and named fields; a decision about a message carries its `uid`. Nothing logs a password, a token or the
content of a message: fields named like secrets are masked here, whoever wrote them.

text: `2026-11-20T08:00:00.123Z info  inbound.transaction  accepted  uid=... sender=...`    json: one object a line with time, level, system, text and the fields.
Control characters in fields are escaped, so that no peer can write a line of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

from twisted.logger import FilteringLogObserver, ILogObserver, LogLevel, LogLevelFilterPredicate, formatEvent
from zope.interface import implementer

MASKED = frozenset({"password", "secret", "token", "authorization", "cookie", "credentials"})
_STANDARD = frozenset({"format", "message", "isError", "system", "time", "failure", "why", "printed", "print"})
MAX_FIELD = 2_000  # characters of one field


@implementer(ILogObserver)
class LineObserver:
    """Writes each event as one line to `stream`; `as_json` chooses the form. An event that cannot be written is dropped, never raised."""

    def __init__(self, stream: TextIO, as_json: bool) -> None:
        self._stream = stream
        self._form: Callable[[dict[str, Any]], str] = json_line if as_json else text_line

    def __call__(self, event: dict[str, Any]) -> None:
        try:
            self._stream.write(self._form(event) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # the other end of a pipe is gone, the disk of the log is full: mail goes on


def observer(stream: TextIO, form: str, level: str) -> ILogObserver:
    """The observer of settings [log]: `form` 'text' or 'json', `level` the least severe that is written."""
    predicate = LogLevelFilterPredicate(LogLevel.lookupByName(level))
    return FilteringLogObserver(LineObserver(stream, form == "json"), [predicate])


def fields(event: dict[str, Any]) -> dict[str, Any]:
    """The event's own fields as plain values, secrets masked."""
    result: dict[str, Any] = {}
    for key, value in event.items():
        if key.startswith("log_") or key in _STANDARD:
            continue
        if key in MASKED:
            result[key] = "***"
        elif value is None or isinstance(value, bool | int | float):
            result[key] = value
        else:
            result[key] = str(value)[:MAX_FIELD]
    return result


def _text(event: dict[str, Any]) -> str:
    text = formatEvent(event)
    if (failure := event.get("log_failure")) is not None:
        text = f"{text}: {failure.type.__name__}: {failure.getErrorMessage()} {_where(failure)}".strip()
    return text


def _where(failure: Any) -> str:
    return "(" + " < ".join(f"{name} {file.rsplit('/', 1)[-1]}:{line}" for name, file, line, *_ in reversed(failure.frames[-6:])) + ")" if failure.frames else ""


def _time(event: dict[str, Any]) -> str:
    moment = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


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
    parts = [_time(event), f"{level.name if level else 'info':5}", _system(event), _plain(_text(event))]
    template = event.get("log_format") or ""
    parts += [f"{key}={_quoted(value)}" for key, value in fields(event).items() if "{" + key not in template]
    return " ".join(parts)


def _plain(text: str) -> str:
    return text if text.isprintable() else "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _quoted(value: Any) -> str:
    text = _plain(str(value))
    return json.dumps(text, ensure_ascii=False) if not text or any(each in text for each in ' "=') else text
