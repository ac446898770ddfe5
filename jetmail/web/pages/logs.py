"""Email Logs: every message that reached this machine, newest first, searchable by every field of the specification (spec 1.3).

`/logs` is the page, `/logs/rows` the results alone, which a script asks for again and again to keep the table current; both take the same query.
Dates come as people typed them, with the name of the zone they were typed in (the browser's, or UTC without a script); a date without a time is the
whole day. A field that makes no sense is named beside the field, and nothing is searched. Pages follow one another by key, so mail that arrives
meanwhile moves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from twisted.web.iweb import IRequest

from jetmail.actions.access import Actor
from jetmail.actions.logsearch import Criteria, Page, checked, search
from jetmail.errors import UsageError
from jetmail.interfaces import IDatabase
from jetmail.mail.status import Status
from jetmail.web.answer import Answer
from jetmail.web.render import Renderer, reason, span

# The form's names, in the words of the specification, and what the use case calls them.
TEXTS = {
    "subject": "subject",
    "from": "sender",
    "to": "recipient",
    "domain": "domain",
    "uid": "uid",
    "response": "response",
    "reply": "reply",
    "address": "address",
    "direction": "direction",
}
FIELDS = (*TEXTS, "status", "since", "until", "zone")
PLAIN = frozenset({"subject", "from", "to", "status", "zone"})  # always in sight; the others make the details open
NAMES = {value: key for key, value in TEXTS.items()} | {"date_from": "since", "date_to": "until"}
MAX_VALUE = 500
DATE = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d)?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Form:
    """What was asked: `values` as typed, `criteria` as understood, `problems` by field name (then nothing may be searched)."""

    values: dict[str, str]
    criteria: Criteria = Criteria()
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def is_search(self) -> bool:
        """Whether anything narrows the list."""
        return any(value for name, value in self.values.items() if name != "zone")

    @property
    def is_detailed(self) -> bool:
        """Whether a field of the second row is in use."""
        return any(value for name, value in self.values.items() if name not in PLAIN) or any(name not in PLAIN for name in self.problems)

    def address(self, path: str, **more: str) -> str:
        """The address of the same search, at `path`, with more to it."""
        query = {name: value for name, value in self.values.items() if value} | {name: value for name, value in more.items() if value}
        return f"{path}?{urlencode(query)}" if query else path


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `note` is the latest that is known, in one line."""

    id: str
    uid: str
    received: float
    status: str
    sender: str
    recipient: str
    subject: str
    note: str


class LogPages:
    """The page and its rows, for one actor."""

    def __init__(self, db: IDatabase, actor: Actor, renderer: Renderer, wall: Callable[[], float], page_size: int) -> None:
        self._db = db
        self._actor = actor
        self._renderer = renderer
        self._wall = wall
        self._page_size = page_size

    async def page(self, request: IRequest) -> Answer:
        """The whole page."""
        form, values = await self._look(request)
        return Answer(self._renderer.page("logs.html", here="logs", form=form, **values), 400 if form.problems else 200)

    async def rows(self, request: IRequest) -> Answer:
        """The results alone."""
        form, values = await self._look(request)
        return Answer(self._renderer.page("_log_rows.html", form=form, **values), 400 if form.problems else 200, tagged=not form.problems)

    async def _look(self, request: IRequest) -> tuple[Form, dict[str, Any]]:
        form = read_form(request.args)
        after = value_of(request.args, "after")
        found = Page((), "")
        if not form.problems:
            found = await search(self._db, self._actor, form.criteria, limit=self._page_size, after=after)
        now = self._wall()
        return form, {
            "rows": [_row(row, now) for row in found.rows],
            "live": form.address("/logs/rows", after=after),
            "newest": form.address("/logs") if after else "",
            "older": form.address("/logs", after=found.next) if found.next else "",
            "is_search": form.is_search,
            "is_later": bool(after),
        }


def read_form(args: Mapping[bytes, list[bytes]]) -> Form:
    """The search a query asks for. Never fails: what is wrong is in `problems`."""
    values = {name: value_of(args, name) for name in FIELDS}
    problems: dict[str, str] = {}
    given: dict[str, Any] = {TEXTS[name]: values[name] for name in TEXTS if values[name]}
    if values["status"]:
        given["status"] = (values["status"],)
        if values["status"] not in list(Status):
            problems["status"] = "There is no such status."
    zone = _zone(values["zone"], problems)
    for name, column, is_end in (("since", "date_from", False), ("until", "date_to", True)):
        if values[name]:
            try:
                given[column] = instant(values[name], zone, is_end=is_end)
                values[name] += "" if "T" in values[name] else "T23:59" if is_end else "T00:00"  # what the browser's field for both wants
            except ValueError:
                problems[name] = "Write a date like 2026-11-20 or 2026-11-20T14:30."
    if "date_from" in given and "date_to" in given and given["date_from"] >= given["date_to"]:
        problems["since"] = "The start is later than the end."
    if problems:
        return Form(values, problems=problems)
    try:
        return Form(values, checked(Criteria(**given)))
    except UsageError as error:
        return Form(values, problems={NAMES.get(error.field, error.field): f"It {error.reason}."})


def instant(text: str, zone: tzinfo, *, is_end: bool) -> float:
    """The epoch seconds of a date and time someone typed in `zone`. As an end it includes the day, minute or second it names: what comes back is the
    first instant after it. Raises ValueError."""
    # A change of the clocks: fold 0 is the first of two same times, and the end of a day is the next day's beginning, not 24 hours on.
    if not DATE.fullmatch(text):
        raise ValueError("no date")
    moment = datetime.fromisoformat(text)
    try:
        if is_end:
            moment += timedelta(days=1) if len(text) == 10 else timedelta(minutes=1) if len(text) == 16 else timedelta(seconds=1)
        return moment.replace(tzinfo=zone).timestamp()
    except (OverflowError, OSError) as error:
        raise ValueError("out of range") from error


def _zone(name: str, problems: dict[str, str]) -> tzinfo:
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        problems["since"] = "The time zone of the browser is not known here; leave the dates empty."
        return UTC


def value_of(args: Mapping[bytes, list[bytes]], name: str) -> str:
    """The last value of a query field, without the space around it, at most MAX_VALUE characters of it; '' when it is absent."""
    return args.get(name.encode(), [b""])[-1].decode("utf-8", "replace").strip()[:MAX_VALUE]


def _row(row: Any, now: float) -> Row:
    if row.status == Status.QUEUED and row.held:
        note = "Held by an operator" + (f" · {row.reply}" if row.reply else "")
    elif row.status == Status.QUEUED and row.attempts and row.reason:
        note = f"{_next(row.next_attempt - now)} · attempt {row.attempts} · {row.reply or reason(row.reason)}"
    else:
        note = row.last_word or row.reason
    sender = row.sender or "<>"
    place, subject = f"d{row.message_id}-{row.delivery_id}", row.subject or "(no subject)"
    return Row(place, row.uid, row.received, row.status, sender, row.recipient or "—", subject, note)


def _next(left: float) -> str:
    return f"Next try in {span(left)}" if left >= 1 else "Trying now"
