"""HTML out of a message, written anew so that it can be shown: tags that lay out text, and nothing that loads, runs, leads away or hides.

Promises
- Never raises. One pass over the text; what comes out is well formed, at most MAX_DEPTH deep and MAX_TAGS tags long, with a few attributes a tag, so
  that whatever reads it next (a sanitiser, a browser) has no hard work either. A browser's tree has no such bounds: a tag of 180 KB with an
  attribute every four letters takes a correct parser seconds, 30 KB of unclosed `<font>` and `<p>` become a million elements.
- Links are text: what they say, and behind it in brackets the host they lead to. Pictures of the message itself come through `picture`; all others
  are a note where they would have been, and counted. Styles are a few properties with plain values.
- What a mail program keeps from sight (comments, scripts, styles, what is never closed) is not shown; what only looks hidden (tiny, moved away, pale
  on white) is, because that part of its style is gone.

It is one of two locks: actions.preview gives what comes out of here to a sanitiser, and the page shows it in a frame that may do nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from urllib.parse import urlsplit

from jetmail.mail.markup import attributes, resolved

MAX_HTML = 256 * 1024  # characters read
MAX_TAGS = 8_000
MAX_DEPTH = 100
MAX_VALUE = 2_048
MAX_LINK = 500

BLOCKS = frozenset(
    "address article blockquote caption dd div dl dt figcaption figure footer h1 h2 h3 h4 h5 h6 header hr li main ol p pre section table tbody "
    "td tfoot th thead tr ul".split()
)
INLINE = frozenset("span sub sup br".split())
VOID = frozenset("br hr".split())
# What browsers keep open until it is closed explicitly, over any number of paragraphs, is written as a style.
STYLED = {
    "b": "font-weight:bold", "strong": "font-weight:bold", "i": "font-style:italic", "em": "font-style:italic", "u": "text-decoration:underline",
    "s": "text-decoration:line-through", "strike": "text-decoration:line-through", "del": "text-decoration:line-through",
    "code": "font-family:monospace", "tt": "font-family:monospace", "small": "font-size:smaller", "big": "font-size:larger", "font": "", "nobr": "",
    "center": "", "ins": "", "mark": "",
    "kbd": "font-family:monospace", "samp": "font-family:monospace", "q": "", "cite": "font-style:italic", "label": "", "abbr": "", "time": "",
}  # fmt: skip
PROPERTIES = frozenset(
    "color background-color font-weight font-style font-family font-size text-align text-decoration line-height padding padding-top padding-right "
    "padding-bottom padding-left border border-top border-right border-bottom border-left border-color border-collapse vertical-align".split()
)
ATTRIBUTES = {"align": re.compile("left|right|center|justify"), "valign": re.compile("top|middle|bottom|baseline"), "dir": re.compile("ltr|rtl"),
              "colspan": re.compile("[0-9]{1,2}"), "rowspan": re.compile("[0-9]{1,2}"), "border": re.compile("[0-9]"),
              "cellpadding": re.compile("[0-9]{1,2}"), "cellspacing": re.compile("[0-9]{1,2}"), "width": re.compile("[0-9]{1,4}%?")}  # fmt: skip
_CLOSES = {  # opening this closes the nearest of those, unless one of these stands between
    "li": (frozenset({"li"}), frozenset({"ul", "ol", "table"})),
    "dt": (frozenset({"dt", "dd"}), frozenset({"dl", "table"})),
    "dd": (frozenset({"dt", "dd"}), frozenset({"dl", "table"})),
    "tr": (frozenset({"tr"}), frozenset({"table"})),
    "td": (frozenset({"td", "th"}), frozenset({"tr", "table"})),
    "th": (frozenset({"td", "th"}), frozenset({"tr", "table"})),
}
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]{0,30}+)(?![^\s/>])((?:[^>\"'=]++|=\s*+(?:\"[^\"]*+\"|'[^']*+')?+|[\"'])*+)>")
_SILENT = {name: re.compile(rf"</{name}(?![^\s/>])[^>]*+>", re.IGNORECASE)
           for name in ("style", "script", "title", "textarea", "noembed", "noframes", "xmp", "iframe", "svg", "math", "template", "object", "applet",
                        "audio", "video", "noscript")}  # fmt: skip
_COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}|[a-zA-Z]{3,30}")
_PALE = re.compile(
    r"(?<![a-z-])color:(?:#[ef]{3}|#[ef][0-9a-f][ef][0-9a-f][ef][0-9a-f]|white|snow|ivory|transparent"
    r"|rgba?\(2[2-5]\d,\s*2[2-5]\d,\s*2[2-5]\d[^)]*\))(?![^;]);?",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"[a-zA-Z0-9#%.,()'\" +-]{1,100}")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(px|pt|em|rem|%)|smaller|larger|small|medium|large|x-large")
_UNREADABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

Picture = Callable[[str], str]  # a content-id -> a data: URI, '' when there is none


@dataclass(frozen=True, slots=True)
class Shown:
    """`html` is a fragment. `hosts` are those the links lead to, `pictures` counts those that were not loaded. `is_cut`: there was more."""

    html: str
    hosts: tuple[str, ...] = ()
    pictures: int = 0
    is_cut: bool = False


def rewrite(html: str, picture: Picture = lambda content_id: "") -> Shown:
    """See the module."""
    writing = _Writing(picture)
    is_cut = not writing.read(html[:MAX_HTML]) or len(html) > MAX_HTML
    return Shown(writing.finished(), tuple(writing.hosts), writing.pictures, is_cut)


def plain(text: str) -> str:
    """A stranger's text without what could turn a line round or cannot be shown."""
    return _UNREADABLE.sub("\ufffd", text)


class _Writing:
    """What has been written, and what is open."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._out: list[str] = []
        self._open: list[tuple[str, str, str]] = []  # name in the message, name written, what to say when it is closed
        self._grounds: list[int] = []  # how many are open where a background colour was set
        self.hosts: dict[str, None] = {}
        self.pictures = 0

    def read(self, html: str) -> bool:
        """-> whether all of it was read."""
        position, tags = 0, 0
        while True:
            opened = html.find("<", position)
            self._text(html[position:] if opened < 0 else html[position:opened])
            if opened < 0:
                return True
            if html.startswith("<!--", opened):
                closed = html.find("-->", opened + 4)
                if closed < 0:
                    return True  # what is never closed is never shown
                position = closed + 3
                continue
            found = _TAG.match(html, opened)
            if found is None:
                if not html[opened + 1 : opened + 2].isalpha() and html[opened + 1 : opened + 2] not in ("/", "!", "?"):
                    self._text("<")
                    position = opened + 1
                    continue
                closed = html.find(">", opened)
                if closed < 0:
                    return True
                position = closed + 1
                continue
            tags += 1
            if tags > MAX_TAGS:
                return False
            position = found.end()
            name = found[2].lower()
            if found[1]:
                self._close(name)
            elif (ends := _SILENT.get(name)) is not None:
                if not found[3].endswith("/") or name in ("style", "script"):
                    end = ends.search(html, position)
                    if end is None:
                        return True
                    position = end.end()
            else:
                self._start(name, found[3])

    def finished(self) -> str:
        """Everything closed."""
        while self._open:
            self._pop()
        return "".join(self._out)

    def _text(self, text: str) -> None:
        if text:
            self._out.append(escape(plain(resolved(text)), quote=False))

    def _start(self, name: str, raw: str) -> None:
        if name == "img":
            self._image(attributes(raw))
            return
        if name in _CLOSES:
            self._close_implied(*_CLOSES[name])
        if name in BLOCKS and self._open and self._open[-1][0] == "p":
            self._pop()
        if name not in BLOCKS and name not in INLINE and name not in STYLED and name != "a":
            return
        if len(self._open) >= MAX_DEPTH and name not in VOID:
            return
        given = attributes(raw)
        styles = [_style(given.get("style", "")[:MAX_VALUE])]
        if name in STYLED:
            styles.insert(0, STYLED[name])
        for attribute, prop in (("bgcolor", "background-color"), ("color", "color")):
            if _COLOUR.fullmatch(given.get(attribute, "")):
                styles.insert(0, f"{prop}:{given[attribute]}")
        written = name if name in BLOCKS or name in INLINE else "span"
        kept = {attribute: value for attribute, fits in ATTRIBUTES.items() if fits.fullmatch(value := given.get(attribute, "")[:20].strip().lower())}
        style = ";".join(filter(None, styles))
        has_ground = "background-color:" in style
        if not has_ground and not self._grounds:
            style = _PALE.sub("", style).rstrip(";")  # text nobody could read on the white of the page
        if style:
            kept["style"] = style
        after = ""
        if name == "a" and (target := given.get("href", "").strip()):
            kept |= {"class": "link", "title": plain(target[:MAX_LINK])}
            after = self._where(target)
        self._out.append(f"<{written}{''.join(f' {key}={chr(34)}{escape(value)}{chr(34)}' for key, value in kept.items())}>")
        if name not in VOID:
            self._open.append((name, written, after))
            if has_ground:
                self._grounds.append(len(self._open))

    def _where(self, target: str) -> str:
        where = host_of(target)
        if not where:
            return ""
        if len(self.hosts) < 100:
            self.hosts[where] = None
        return f'<span class="where"> [{escape(where)}]</span>'

    def _image(self, given: dict[str, str]) -> None:
        source = given.get("src", "")[:MAX_VALUE].strip()
        alternative = plain(given.get("alt", "")[:200])
        data = self._picture(source[4:].strip("<> ")) if source[:4].lower() == "cid:" else ""
        if data:
            self._out.append(f'<img src="{escape(data)}" alt="{escape(alternative)}">')
            return
        self.pictures += 1
        label = f"picture: {alternative}" if alternative.strip() else "picture"
        self._out.append(f'<span class="picture">[{escape(label, quote=False)}]</span>')

    def _close(self, name: str) -> None:
        for place in range(len(self._open) - 1, -1, -1):
            if self._open[place][0] == name:
                while len(self._open) > place:
                    self._pop()
                return
            if self._open[place][0] == "table" and name not in ("tbody", "thead", "tfoot"):
                return  # a cell does not close what stands around its table

    def _close_implied(self, names: frozenset[str], stops: frozenset[str]) -> None:
        for place in range(len(self._open) - 1, -1, -1):
            if self._open[place][0] in names:
                while len(self._open) > place:
                    self._pop()
                return
            if self._open[place][0] in stops:
                return

    def _pop(self) -> None:
        if self._grounds and self._grounds[-1] == len(self._open):
            self._grounds.pop()
        _, written, after = self._open.pop()
        self._out.append(f"</{written}>{after}")


def host_of(target: str) -> str:
    """Where a link leads, in a few characters that cannot be mistaken: the host as the DNS knows it, or the scheme where there is none."""
    text = re.sub(r"[\x00-\x20\\]", "", target[:MAX_VALUE])
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        return "unreadable address"
    if host:
        try:
            host = host if host.isascii() else host.encode("idna").decode("ascii")
        except UnicodeError:
            host = ascii(host)[1:-1]
        return plain(host)[:255]
    if parts.scheme == "mailto":
        return plain(f"mail to {parts.path}")[:255]
    return f"{parts.scheme}:" if parts.scheme else ""


def _style(text: str) -> str:
    kept = []
    for declaration in text.split(";")[:40]:
        name, colon, value = declaration.partition(":")
        name, value = name.strip().lower(), value.replace("!important", "").strip()
        if not colon or name not in PROPERTIES or not _PLAIN.fullmatch(value):
            continue
        lowered = value.lower()
        if "(" in lowered and not lowered.startswith(("rgb(", "rgba(")):
            continue  # url(...), expression(...), var(...)
        if name == "font-size" and not _readable(lowered):
            continue
        if name == "line-height" and re.match(r"0(?!\.?[5-9])", lowered):
            continue
        kept.append(f"{name}:{value}")
    return ";".join(kept)


def _readable(value: str) -> bool:
    """A font size somebody can read, and no larger than a page."""
    found = _SIZE.fullmatch(value)
    if found is None:
        return False
    if found[1] is None:
        return True
    number, unit = float(found[1]), found[2]
    low, high = {"px": (9, 60), "pt": (7, 45), "em": (0.6, 4), "rem": (0.6, 4), "%": (60, 400)}[unit]
    return low <= number <= high
