"""HTML as it comes by mail, read for judging: what a person would see, what is kept from sight, where the links lead. Not for showing.

Promises
- Never raises. One pass over the text, and what may be looked at twice is capped, so that the time grows with the length and nothing else. A
  tree of elements as a browser builds it has no such bound: 30 KB of `<font a1><p><font a2><p>` become a million elements.
- Reads as a mail program does where it matters to a person: attribute values quoted or bare, comments, styles and scripts out of sight, entities
  resolved, what is never closed never shown. Nesting is followed only for links and for what is hidden.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape

MAX_HTML = 256 * 1024  # characters
MAX_LINKS = 1_000
MAX_IMAGES = 500
MAX_TARGET = 2_048
MAX_LABEL = 300  # characters of a link's text
MAX_ATTRIBUTES = 40  # of one tag
MAX_SCRIPT = 64 * 1024
MAX_TRIES = 10  # tags whose quotes do not add up; past that quotes are taken as letters

# A tag with its attributes; a '>' within a quoted value does not end it. Every repetition is possessive: nothing is tried twice.
_TAG = re.compile(r"<(?:!--|(/?)([a-zA-Z][^\s/>]{0,40}+)((?:[^>=]++|=\s*+(?:\"[^\"]*+\"|'[^']*+')?+)*+)>|[/!?][^>]*+>|(?=[a-zA-Z]))")
_PLAIN_TAG = re.compile(r"<(?:!--|(/?)([a-zA-Z][^\s/>]{0,40}+)([^>]*+)>|[/!?][^>]*+>)")
# What stands before a name is skipped, and _BLANK is cut from the end: a search that fails would be tried again from every blank.
_BLANK = " \t\r\n\f\v/="
_ATTRIBUTE = re.compile(r"[\s=/]*+([^\s=/]++)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|(\S*+)))?+", re.ASCII)
_END_OF = {name: re.compile(rf"</{name}[^>]*+>", re.IGNORECASE) for name in ("style", "script", "title", "textarea", "noembed", "xmp")}
_BREAKS = frozenset(
    "p br div td th tr table li ul ol h1 h2 h3 h4 h5 h6 hr center blockquote pre section article header footer option dt dd form".split()
)
_READ = frozenset("a area img input form meta iframe frame embed object base font body button svg bgsound link".split())
_VOID = frozenset("br hr img input meta link area base col embed source track wbr".split())
_HIDES = re.compile(
    r"display:none|visibility:hidden|mso-hide:all|max-height:0(?!\.?[1-9])|(?<![a-z-])opacity:0(?!\.?\d*[1-9])|text-indent:-\d{3}|(?:left|top):-\d{4}|"
    r"clip:rect\(0|clip-path:inset\((?:50|100)%|(?<![a-z-])color:(?:transparent|rgba\(\d+,\d+,\d+,0(?:\.0+)?\))"
)
_NO_SIZE = re.compile(r"(?:^|;)(?:height|width):0(?:p[xt]|%)?(?:$|[;!])")
_TINY = re.compile(r"font-size:(?:0(?!\.?\d*[1-9])|[01](?:\.\d+)?p[xt](?![a-z0-9]))")
# What a tag must hold before its style is worth taking apart.
_HIDING_WORDS = ("hidden", "display", "mso-hide", "max-height", "opacity", "text-indent", "left:-", "top:-", "clip")
_MAY_BE_TINY = re.compile(r"font-size\s*:\s*[01](?!\d)")
_HAS_INK = re.compile(r"[;\"' ]color\s*:")
_COLOUR = re.compile(r"(?<![a-z-])color:([^;!]+)")
_GROUND = re.compile(r"background(?:-color)?:([^;!]+)")
_OPENED = re.compile(r"<[a-zA-Z/!?]")
_LONG_NUMBER = re.compile(r"&#[xX]?[0-9a-fA-F]{9,}+;?")
_SPACE = re.compile(r"\s+")
_LETTER_REFERENCE = re.compile(r"&#(?:0*(?:6[5-9]|[78][0-9]|90|9[7-9]|1[01][0-9]|12[0-2])|[xX]0*(?:4[1-9a-fA-F]|5[0-9aA]|6[1-9a-fA-F]|7[0-9aA])); ?")
_NEARLY_WHITE = re.compile(r"#f[a-f]f[a-f]f[a-f]|rgb\(25[0-5],25[0-5],25[0-5]\)")
_SAME_WHITE = frozenset({"#fff", "#ffffff", "white", "rgb(255,255,255)"})


@dataclass(frozen=True, slots=True)
class Link:
    """Where it leads, as written with entities resolved; what it says; whether a picture is in it."""

    target: str
    label: str
    has_image: bool


@dataclass(frozen=True, slots=True)
class Image:
    """Where it comes from; its size as said, 0 when it is not."""

    source: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Page:
    """`text` is everything between tags, entities resolved, blocks on lines of their own; `hidden` the part of it that is kept from sight.
    `counts` of tags by
    lower-case name. `forms`: where they are sent. `passwords`: fields for one. `refresh`: where a meta refresh leads. `script`: the code of
    all scripts.
    `letter_references`: letters of ASCII written as numbers, which nobody needs to."""

    text: str = ""
    hidden: str = ""
    links: tuple[Link, ...] = ()
    images: tuple[Image, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    forms: tuple[str, ...] = ()
    passwords: int = 0
    refresh: str = ""
    base: str = ""
    script: str = ""
    letter_references: int = 0
    has_tiny: bool = False
    has_invisible_ink: bool = False


def attributes(text: str) -> dict[str, str]:
    """The attributes of a tag, names lower case, the first of a name standing, entities resolved."""
    found: dict[str, str] = {}
    for place, match in enumerate(_ATTRIBUTE.finditer(text.rstrip(_BLANK))):
        if place == MAX_ATTRIBUTES:
            break
        name, double, single, bare = match.groups()
        value = double or single or bare or ""
        found.setdefault(name.lower(), resolved(value))
    return found


def resolved(text: str) -> str:
    """Entities resolved. Numbers too long for any character are none, and the standard library raises ValueError on them past 4,300 digits."""
    return unescape(_LONG_NUMBER.sub("\ufffd", text)) if "&" in text else text


def read_page(html: str) -> Page:
    """The page of an HTML text."""
    return _Reader(html[:MAX_HTML]).read()


class _Reader:
    """The state of one reading."""

    def __init__(self, html: str) -> None:
        self.html = html
        self.text: list[str] = []
        self.hidden: list[str] = []
        self.links: list[Link] = []
        self.images: list[Image] = []
        self.counts: dict[str, int] = {}
        self.forms: list[str] = []
        self.script: list[str] = []
        self.script_size = 0
        self.passwords = 0
        self.refresh = ""
        self.base = ""
        self.has_tiny = self.has_ink = False
        self.white: bool | None = None
        self.link: str | None = None  # the target of the link being read
        self.link_from = 0  # where its text began
        self.link_image = False
        self.hider = ""  # the element that hides what is read, and how many of its name are open within it
        self.hider_depth = 0
        self.is_tiny = False  # the text directly after a tag that says so; whatever is nested states its own size

    def read(self) -> Page:
        html = self.html
        end = html.rfind(">") + 1  # where the last tag ends, so that a search for the end of one never fails by running on
        pattern = _TAG
        tries = 0
        position = 0
        while (found := pattern.search(html, position, end)) is not None:
            start, stop = found.span()
            if start > position:
                self._say(html[position:start])
            is_close, name, rest = found.groups()
            if name is not None:
                position = self._close(name.lower(), stop) if is_close else self._open(name.lower(), rest, stop, end)
            elif html.startswith("<!--", start):
                position = html.find("-->", start + 2) + 3
                position = position if position > 2 else -1
            elif stop - start > 1:
                position = stop
            else:  # a quote that is never closed before the last tag ends
                tries += 1
                pattern = _TAG if tries < MAX_TRIES else _PLAIN_TAG
                position = html.find(">", start) + 1
            if position < 0:
                break  # what is never closed is never shown
        else:
            tail = html[position:]
            opened = _OPENED.search(tail)
            self._say(tail[: opened.start()] if opened else tail)
        self._end_link()
        references = len(_LETTER_REFERENCE.findall(html)) if "&#" in html else 0
        text, hidden, script = resolved("".join(self.text)), resolved("".join(self.hidden)), "\n".join(self.script)
        return Page(
            text, hidden, tuple(self.links), tuple(self.images), self.counts, tuple(self.forms), self.passwords, self.refresh, self.base, script,
            references, self.has_tiny, self.has_ink,
        )  # fmt: skip

    def _say(self, text: str) -> None:
        self.text.append(text)
        if (self.hider or self.is_tiny) and not text.isspace():
            self.hidden.append(text)

    def _open(self, name: str, rest: str, stop: int, end: int) -> int:
        """-> where to read on; -1 when nothing more is shown."""
        counts = self.counts
        counts[name] = counts.get(name, 0) + 1
        if name in _BREAKS:
            self.text.append("\n")
        self.is_tiny = False
        if self.hider:
            if name == self.hider and not rest.endswith("/"):
                self.hider_depth += 1
        elif len(rest) > 5 and self._may_hide(rest.lower()):
            self._style(name, attributes(rest))
        if name in _READ:
            self._read_tag(name, attributes(rest))
        if name not in _END_OF:
            return stop
        closing = _END_OF[name].search(self.html, stop, end)
        if closing is None:
            return -1
        if name == "script" and self.script_size < MAX_SCRIPT:
            self.script.append(self.html[stop : min(closing.start(), stop + MAX_SCRIPT - self.script_size)])
            self.script_size += len(self.script[-1]) + 1  # and the line end between two
        elif name == "textarea":
            self._say(self.html[stop : closing.start()])
        return closing.end()

    def _style(self, name: str, given: dict[str, str]) -> None:
        style = _SPACE.sub("", given.get("style", "")).lower()
        if "hidden" in given or (style and (_HIDES.search(style) or ("overflow:hidden" in style and _NO_SIZE.search(style)))):
            if name not in _VOID and name not in _END_OF:
                self.hider, self.hider_depth = name, 1
            return
        if "font-size:" in style and _TINY.search(style):
            self.has_tiny = self.is_tiny = True
        ink = _COLOUR.search(style)
        if (_is_white(ink[1] if ink else given.get("color", "") if name == "font" else "")) and name not in _VOID and self.is_white():
            self.has_ink = True
            self.hider, self.hider_depth = name, 1
            return
        ground = _GROUND.search(style)
        if ground is not None and ink is not None:
            first, second = ink[1], ground[1]
            if (first == second or (first in _SAME_WHITE and second in _SAME_WHITE)) and name not in _VOID:
                self.has_ink = True
                self.hider, self.hider_depth = name, 1

    def _may_hide(self, tag: str) -> bool:
        for word in _HIDING_WORDS:
            if word in tag:
                return True
        if "font-size" in tag and _MAY_BE_TINY.search(tag) is not None:
            return True
        if "color" not in tag:
            return False
        if "transparent" in tag or "rgba(" in tag or (self.is_white() and ("#f" in tag or "white" in tag or "rgb(" in tag)):
            return True
        return "background" in tag and _HAS_INK.search(tag) is not None

    def is_white(self) -> bool:
        """Whether nothing in the page says that its ground is another than white."""
        if self.white is None:
            lowered = self.html.lower()
            self.white = "background" not in lowered and "bgcolor" not in lowered
        return self.white

    def _read_tag(self, name: str, given: dict[str, str]) -> None:
        if name == "a" or name == "area":
            self._end_link()
            target = given.get("href", "").strip()[:MAX_TARGET]
            if target and len(self.links) < MAX_LINKS:
                self.link, self.link_from, self.link_image = target, len(self.text), name == "area"
        elif name == "img":
            self.link_image = True
            if len(self.images) < MAX_IMAGES:
                self.images.append(
                    Image(given.get("src", "").strip()[:MAX_TARGET], _number(given.get("width", "")), _number(given.get("height", "")))
                )
        elif name == "input":
            self.passwords += given.get("type", "").strip().lower() == "password"
        elif name == "form":
            self.forms.append(given.get("action", "").strip()[:MAX_TARGET])
        elif name == "base":
            self.base = self.base or given.get("href", "").strip()[:MAX_TARGET]
        elif name == "meta" and given.get("http-equiv", "").strip().lower() == "refresh":
            _, found, target = given.get("content", "").lower().partition("url=")
            self.refresh = given["content"][-len(target) :].strip(" '\"")[:MAX_TARGET] if found and target else self.refresh

    def _close(self, name: str, stop: int) -> int:
        self.is_tiny = False
        if name in _BREAKS:
            self.text.append("\n")
        if name == "a":
            self._end_link()
        if name == self.hider:
            self.hider_depth -= 1
            if not self.hider_depth:
                self.hider = ""
        return stop

    def _end_link(self) -> None:
        if self.link is None:
            return
        label = "".join(self.text[self.link_from : self.link_from + 50])[: 4 * MAX_LABEL]
        self.links.append(Link(self.link, " ".join(resolved(label).split())[:MAX_LABEL], self.link_image))
        self.link = None


def _is_white(colour: str) -> bool:
    """Whether nobody can tell a colour from white."""
    colour = colour.strip().lower()
    return colour in _SAME_WHITE or _NEARLY_WHITE.fullmatch(colour) is not None


def _number(text: str) -> int:
    digits = text.strip().removesuffix("px").strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else 0
