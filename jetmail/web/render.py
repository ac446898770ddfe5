"""Pages from templates: one Jinja2 environment, escaping always on, and the few filters that decide how a value looks to a person.

- Escaping is on for every template and nothing here marks a stranger's text as safe. Control and direction characters, which could turn a line
  around or hide in it, are shown as their visible pictures (`visible`).
- A name a template does not get is an error (StrictUndefined): a page is right or it is a 500 in a test.
- Times are epoch seconds until here. A page says them in UTC inside <time datetime>; a script puts them in the browser's zone, so that the server
  needs no zone of the person's, and a page without script is right too.
- Static files are read once, named with a hash of their content and so may be kept by browsers for ever.

Raises jinja2 errors for a broken template, FileNotFoundError at start for a missing one.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from jetmail.mail.status import Status
from jetmail.web.options import WebOptions

MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# C0, DEL and C1; the bidirectional controls of Unicode 16 (23.2); line separators.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A style sheet, script or picture. `version` changes with its content."""

    name: str
    data: bytes
    media_type: str
    version: str


def load_static(folder: Path) -> dict[str, StaticFile]:
    """The files of known type directly in `folder`, by name."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in MEDIA_TYPES:
            data = path.read_bytes()
            found[path.name] = StaticFile(path.name, data, MEDIA_TYPES[path.suffix] + "; charset=utf-8", hashlib.sha256(data).hexdigest()[:12])
    return found


def visible(text: object) -> str:
    """Text in which nothing is hidden: control characters as U+2400 pictures, direction characters as U+FFFD, lone surrogates too."""
    plain = str(text).encode("utf-8", "replace").decode()
    return _UNSEEN.sub(lambda found: chr(0x2400 + ord(found[0])) if found[0] < " " else "\ufffd", plain)


def lines(text: object) -> Markup:
    """`visible`, but its line ends and tabs stay what they are: for text shown as it was written."""
    plain = str(text).replace("\r\n", "\n").replace("\r", "\n")
    return Markup("\n").join("\t".join(visible(piece) for piece in line.split("\t")) for line in plain.split("\n"))


def iso(seconds: float) -> str:
    """An instant as machines read it: '2026-11-20T07:25:03.120Z'."""
    return _utc(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# What became of an attempt (mail.outcome, docs/queue.md), then what a rule ruled (docs/rules.md). A test compares with both lists.
REASONS = {
    "accepted": "accepted",
    "refused": "refused for good",
    "deferred": "asked to come again later",
    "dns": "name could not be looked up",
    "connect": "could not be reached",
    "tls": "no acceptable encryption",
    "timeout": "no answer in time",
    "protocol": "answers that make no sense",
    "loop": "the mail goes round in circles",
    "null-mx": "the domain takes no mail",
    "no-route": "no host takes mail for the domain",
    "unsupported": "cannot carry this kind of message",
    "source": "cannot leave from the address it is to",
    "warm-up": "its source has sent what it may today",
    "hold-rule": "a hold rule set it aside",
    "cooling": "the provider asked to slow down",
    "content": "the stored content is damaged",
    "expired": "waited too long",
    "operator": "decided by an operator",
    "clean": "nothing found against it",
    "client": "the connecting address is refused",
    "policy": "refused by local policy",
    "size": "larger than accepted here",
    "header": "a header no mailer would write",
    "line-ends": "lines that do not end in CR LF",
    "synchronization": "content that came before it was asked for",
    "line-length": "a line too long for anybody",
    "bounce-recipients": "a bounce is for one recipient",
    "return-path": "a return address nobody here has made",
    "return-path-expired": "a return address whose time is over",
    "return-path-rate": "too much has come back for the message",
    "returned": "a report came back for it",
    "report-rate": "too many reports about our domains for one day",
    "report": "a report about our domains, taken in here",
    "relay-denied": "the domain is not ours, or not verified",
    "unverified-recipient": "whether the address exists could not be asked",
    "unknown-recipient": "the address does not exist",
    "domain-disabled": "the domain is switched off",
    "blocked": "a block rule",
    "blocklist": "a block list",
    "acl": "the user may not send from that domain",
    "not-owned": "not an address of that person",
    "quota": "the user's quota is used up",
    "abuse": "the sender is blocked for abuse",
    "lockdown": "the domain's own record does not name the user",
    "lockdown-unknown": "the domain's own record could not be looked up",
    "suppressed": "the recipient is on the suppression list",
    "spf-invalid": "the domain has not published SPF as asked",
    "attachment": "a file the domain does not take",
    "virus": "malware",
    "dmarc": "the author's domain wants such mail refused",
    "spam": "score reached the reject threshold",
    "suspect": "score reached the spam threshold",
    "greylist": "first contact, asked to come again",
    "fault": "a part of ours failed",
}


def reason(word: str) -> str:
    """A reason word as a short phrase with the word itself, which is what logs and metrics say: 'could not be reached (connect)'."""
    phrase = REASONS.get(word)
    return f"{phrase} ({word})" if phrase and phrase != word else word


def stamp(seconds: float | None, style: str = "second") -> Markup:
    """<time> for an instant, a dash for None. `style` 'minute', 'second' or 'milli' is how fine people see it, 'full' is never without its day."""
    if seconds is None:
        return Markup('<span class="none">—</span>')
    at = _utc(seconds)
    text = at.strftime("%Y-%m-%d %H:%M" if style == "minute" else "%Y-%m-%d %H:%M:%S")
    text += f".{at.microsecond // 1000:03d}" if style == "milli" else ""
    return Markup('<time datetime="{}" data-style="{}">{} UTC</time>').format(iso(seconds), style, text)


def span(seconds: float) -> str:
    """A length of time in at most two units: '38 ms', '4.2 s', '3 min', '2 h 15 min', '4 d 3 h'."""
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    for index, (size, unit) in enumerate(_UNITS):
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            small, name = _UNITS[index + 1] if index + 1 < len(_UNITS) else (0, "")
            return f"{whole} {unit}" + (f" {rest // small} {name}" if small and rest >= small else "")
    return ""


def size(octets: float | None) -> str:
    """Octets as people read them: '812 B', '4.1 KB', '23 MB' (1 KB is 1,024 octets)."""
    if octets is None:
        return "—"
    if octets < 1024:
        return f"{octets:.0f} B"
    power = min(int(math.log(octets, 1024)), 4)
    value = octets / 1024**power
    return f"{value:.1f} {'KMGT'[power - 1]}B" if value < 10 else f"{value:.0f} {'KMGT'[power - 1]}B"


def count(number: int) -> str:
    """A whole number with thin groups: '12 345'."""
    return f"{number:,}".replace(",", "\u202f")


def status(value: str) -> Markup:
    """The pill: a shape, a colour and the word, so that no one of them carries it alone. A word we do not know is shown as it is."""
    try:
        known = Status(value)
    except ValueError:
        return Markup('<span class="pill">{}</span>').format(visible(value))
    return Markup('<span class="pill is-{0}" title="{2}"><svg aria-hidden="true"><use href="#i-{0}"/></svg>{1}</span>').format(
        known.value, known.label, known.meaning[0].upper() + known.meaning[1:]
    )


def _utc(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)


class Renderer:
    """The templates of one site. `wall` is the time of day in epoch seconds, for 'in 4 min' and '2 h ago'."""

    def __init__(self, templates: Path, static: dict[str, StaticFile], options: WebOptions, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._environment = Environment(
            loader=FileSystemLoader(templates),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=lambda value: value if isinstance(value, Markup) or not isinstance(value, str) else visible(value),
        )
        self._environment.filters.update(stamp=stamp, span=span, size=size, count=count, status=status, reason=reason, lines=lines, ahead=self._ahead)
        self._environment.globals.update(
            brand=options.brand,
            poll_interval=options.poll_interval,
            statuses=tuple(Status),
            static=lambda name: f"/static/{name}?v={static[name].version}",
        )

    def page(self, template: str, **values: Any) -> str:
        """The template filled with these values."""
        return self._environment.get_template(template).render(**values)

    def _ahead(self, seconds: float) -> str:
        left = seconds - self._wall()
        return f"in {span(left)}" if left >= 1 else "now"
