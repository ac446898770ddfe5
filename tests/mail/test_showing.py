"""HTML of a stranger, made fit to be shown."""

from __future__ import annotations

import re
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail.showing import BLOCKS, INLINE, MAX_DEPTH, MAX_HTML, MAX_TAGS, host_of, rewrite

ALLOWED = {*BLOCKS, *INLINE, "img"}
NAMES = "style|class|title|src|alt|align|valign|dir|colspan|rowspan|border|cellpadding|cellspacing|width"
ATTRIBUTES = re.compile(rf'(?: (?:{NAMES})="[^"<>]*")*')


def verify(html: str) -> None:
    """Nothing but allowed tags with quoted attributes, each closed in its turn, and nothing that loads or runs."""
    opened: list[str] = []
    for closing, name, raw in re.findall(r"<(/?)([^\s<>/]*)([^<>]*)>", html):
        assert name in ALLOWED, name
        assert ATTRIBUTES.fullmatch(raw)
        for source in re.findall(r' src="([^"]*)"', raw):
            assert source.startswith("data:image/")
        for style in re.findall(r' style="([^"]*)"', raw):
            assert "url" not in style and "expression" not in style and "\\" not in style
        if closing:
            assert opened.pop() == name
        elif name not in ("br", "hr", "img"):
            opened.append(name)
            assert len(opened) <= MAX_DEPTH
    assert not opened
    outside = re.sub(r"<[^<>]*>", "", html)
    assert "<" not in outside and ">" not in outside


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<p>a<p>b", "<p>a</p><p>b</p>"),
        ("<ul><li>a<li>b</ul>c", "<ul><li>a</li><li>b</li></ul>c"),
        ("<table><tr><td>1<td>2<tr><td>3</table>", "<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>"),
        ("<b>a<i>b</b>c", '<span style="font-weight:bold">a<span style="font-style:italic">b</span></span>c'),
        ('<font color="#f00">x</font>', '<span style="color:#f00">x</span>'),
        ("1 < 2 &amp; 3 > 2 &lt;b&gt;", "1 &lt; 2 &amp; 3 &gt; 2 &lt;b&gt;"),
        ("a<script>alert(1)</script>b<style>p{}</style>c<!-- d -->e<svg><a>x</a></svg>f", "abcef"),
        ("a<script>never closed", "a"),
        ("a<!-- never closed", "a"),
        ("<form action=x><input value=y>Go<button>!</button></form>", "Go!"),
        ("<iframe src=//t.example></iframe><object data=x>y</object><embed src=z>a", "a"),
        ("<p onclick=x() id=y class=z style='position:fixed;color:red'>a", '<p style="color:red">a</p>'),
        ("<p style='background-color:url(//t.example);font-size:1px;line-height:0'>a", "<p>a</p>"),
        ("<div style=\"font-family:'a';x:y\">a</div>", '<div style="font-family:&#x27;a&#x27;">a</div>'),
        ("<p style='color:#FEFEFE'>a<font color=white>b", "<p>a<span>b</span></p>"),
        ("<p style='color:#fff;text-align:center'>a", '<p style="text-align:center">a</p>'),
        ("<td bgcolor=red><b style='color:#fff'>a", '<td style="background-color:red"><span style="font-weight:bold;color:#fff">a</span></td>'),
        (
            "<div style='background-color:#000'></div><i style='color: rgb(255, 250, 254)'>a",
            '<div style="background-color:#000"></div><span style="font-style:italic">a</span>',
        ),
        ("<base href=//x><meta http-equiv=refresh content=0><link rel=stylesheet href=//x>a", "a"),
        ("a\u202eb\x00", "a\ufffdb\ufffd"),
        ("&#" + "9" * 5000 + ";", "\ufffd;"),
    ],
)
def test_what_is_shown(html: str, shown: str) -> None:
    """Layout stays, all else goes; what leads nowhere or does something is not there."""
    found = rewrite(html).html
    assert found == shown or found == shown.rstrip(";")
    verify(found)


def test_links_say_where_they_lead() -> None:
    """A link is text with its host behind it, as the DNS knows it; nothing can be clicked."""
    found = rewrite(
        '<a href="https://bank.example@evil.example/x" target=_blank>https://bank.example</a><a href="javascript:x()">j</a>'
        '<a href="http://b\u00fccher.example">b</a><a href="mailto:a@b.example">m</a><a name=x>n</a>'
    )
    verify(found.html)
    assert "https://bank.example</span>" in found.html and "<a" not in found.html
    assert found.hosts == ("evil.example", "javascript:", "xn--bcher-kva.example", "mail to a@b.example")
    assert host_of("http://[") == "unreadable address" and host_of("h\ttt\np://x.example") == "x.example" and host_of("#top") == ""


def test_pictures() -> None:
    """A picture of the message itself is shown, any other is a note with its description, and counted."""
    found = rewrite(
        '<img src="cid:one"><img src="cid:two" alt="A <b>cat"><img src=http://t.example/pixel.gif width=1><img src="data:image/svg+xml,<svg>">',
        lambda name: "data:image/png;base64,AAAA" if name == "one" else "",
    )
    verify(found.html)
    assert found.html.count("data:image/png") == 1 and "picture: A &lt;b&gt;cat" in found.html and "t.example" not in found.html
    assert found.pictures == 3


@pytest.mark.parametrize(
    "html",
    [
        "<p " + " ".join(f"a{number}" for number in range(40_000)) + ">",
        "".join(f"<font a{number}><p>" for number in range(20_000)),
        "<div>" * MAX_HTML,
        "<" * MAX_HTML,
        "<p " * MAX_HTML,
        '<p a="' * MAX_HTML,
        "<p a='\">" * MAX_HTML,
        "<p " + " " * MAX_HTML + ">",
        "<p x" + "/ " * MAX_HTML + "=>",
        "<!--" * MAX_HTML,
        "<style>" * MAX_HTML,
        "<table>" * 100 + "</div>" * MAX_HTML,
        "&#x" * MAX_HTML,
        "<a href='http://x.example'>" * MAX_HTML,
    ],
    ids=range(14),
)
def test_hostile_input_is_bounded(html: str) -> None:
    """Time grows with the length and nothing else, and so does what comes out."""
    start = process_time()
    found = rewrite(html)
    assert process_time() - start < 1.5
    assert found.html.count("<") <= 4 * MAX_TAGS


@given(st.text(alphabet="<>/!-='\"ab &#;p:tdrulixsycm\n", max_size=300))
def test_total(html: str) -> None:
    """Any text becomes something harmless and well formed."""
    verify(rewrite(html).html)
