"""HTML read for judging: what is shown, what is hidden, where links lead, and never more time than its length asks for."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.mail.markup import MAX_HTML, MAX_SCRIPT, Link, attributes, read_page


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a<b>c</b>", "ac"),
        ("<p title='x>y'>z", "\nz"),
        ("x<script>if (a<b) {}</script>y", "xy"),
        ("x<style>never closed", "x"),
        ("a<!-- b -->c<!-- d", "ac"),
        ("a<![if !mso]>b<![endif]>c", "abc"),
        ("1 < 2", "1 < 2"),
        ("&lt;a&gt; &amp;amp;", "<a> &amp;"),
        ("İ<STYLE>x</STYLE>y", "İy"),
        ("<title>t</title>x<textarea>y</textarea>", "xy"),
        ("a<b c='d", "a"),
        ("a<b c='d>e>f", "ae>f"),
    ],
)
def test_text(html: str, text: str) -> None:
    """The words of HTML, blocks on lines of their own."""
    assert read_page(html).text == text


@pytest.mark.parametrize(
    ("html", "hidden"),
    [
        ('<div style="display: none">x<div>y</div>z</div>w', "xyz"),
        ("<span style=font-size:0px>x<b>y</b></span>", "x"),
        ("<span style='font-size:0.9em'>x</span>", ""),
        ("<p style='color:#FFF; background-color: white'>x</p>y", "x"),
        ("<p style='color:#fff;background:#000'>x</p>y", ""),
        ("<p hidden>x</p>y", "x"),
        ("<div style='height:0; overflow:hidden'>x</div>y", "x"),
        ("<div style='height:0;line-height:0'>x</div>y", ""),
        ("<div style='width:0px;height:0px;overflow:hidden'>x</div>y", "x"),
        ("<div style='position:absolute;clip:rect(0 0 0 0)'>x</div>y", "x"),
        ("<p style='color: transparent'>x</p>y", "x"),
        ("<p style='color: rgba(0, 0, 0, 0)'>x</p>y", "x"),
        ("<p style='color: rgba(0, 0, 0, 0.8)'>x</p>y", ""),
        ("<p style='color:#fff'>x</p>y", "x"),
        ("<font color=white>x</font>y", "x"),
        ("<p style='color:#fefefe'>x</p>y", "x"),
        ("<p style='color:#eee'>x</p>y", ""),
        ("<table bgcolor=black><p style='color:#fff'>x</p></table>y", ""),
        ("<style>td{background:#000}</style><p style='color:#fff'>x</p>y", ""),
        ("<p style='opacity:0.8;max-height:0.5em'>x</p>y", ""),
        ("<br style='display:none'>x", ""),
    ],
)
def test_hidden(html: str, hidden: str) -> None:
    """What is kept from sight is known as such."""
    assert read_page(html).hidden == hidden


def test_links_and_forms() -> None:
    """Links with what they say, pictures, forms, fields for a password, refreshes and scripts."""
    page = read_page(
        '<meta http-equiv=Refresh content="0; URL=http://a.test/B"><a href="http://a.test/?x=1&amp;y=2">the <b>bank</b> &amp; us'
        '<a href=http://b.test><img src=p.png width=600 height="400px"></a><form action="/in"><input TYPE=Password></form><script>go()</script>'
    )
    assert page.links == (Link("http://a.test/?x=1&y=2", "the bank & us", False), Link("http://b.test", "", True))
    assert (page.images[0].width, page.images[0].height) == (600, 400)
    assert (page.forms, page.passwords, page.refresh, page.script) == (("/in",), 1, "http://a.test/B", "go()")
    assert page.counts["a"] == 2


def test_scripts_are_kept_up_to_a_limit() -> None:
    """The code of all scripts together stays within MAX_SCRIPT, however many there are and wherever the last one stands."""
    many = "<script>" + "x" * (MAX_SCRIPT - 10) + "</script>" + "<script>" + "y" * 100 + "</script>" * 2
    assert MAX_SCRIPT - 1 <= len(read_page(many).script) <= MAX_SCRIPT
    assert len(read_page("<script>z</script>" * 40_000).script) <= MAX_SCRIPT


def test_letters_as_numbers() -> None:
    """Letters of ASCII written as numeric references are counted; others are not."""
    assert read_page("&#80;&#x61;y &#233; &nbsp;").letter_references == 2


def test_attributes() -> None:
    """Quoted, bare and bald attributes; the first of a name stands."""
    assert attributes(" a=1 B='2 3' c=\"4\" d a=5") == {"a": "1", "b": "2 3", "c": "4", "d": ""}


@pytest.mark.parametrize(
    "html",
    [
        "<" * MAX_HTML,
        "<!" * MAX_HTML,
        "<a " * MAX_HTML,
        '<a ="' * MAX_HTML + '">\'"',
        "<a ='\"" * MAX_HTML + ">",
        "<script>" * MAX_HTML,
        "<style></style" * MAX_HTML,
        "<div style='display:none'>" * MAX_HTML,
        "".join(f"<font a{i}><p>" for i in range(20_000)),
        "<a href=x>y" * MAX_HTML,
        "<b " + "a=b " * MAX_HTML + ">",
        "<img" + " " * MAX_HTML + ">",
        "<img " + "=" * MAX_HTML + ">",
        "<a " + " " * MAX_HTML + ">",
        "<a x" + "\u2003/ " * MAX_HTML + "=>",
        "<p style='" + "color:" * MAX_HTML + "'>",
        "&#" * MAX_HTML,
        "&#" + "0" * MAX_HTML,
        "<!--" * MAX_HTML + ">",
        "<a href='" + "&" * MAX_HTML + "'>",
    ],
    ids=range(20),
)
def test_hostile_input_is_bounded(html: str) -> None:
    """Time grows with the length and with nothing else."""
    start = process_time()
    read_page(html)
    assert process_time() - start < 1.5


@given(st.text(alphabet="<>/!-='\"ab &#;styledvp:0nohreftx\n", max_size=200))
def test_total(html: str) -> None:
    """Any text is a page, and what is hidden is a part of what it says."""
    page = read_page(html)
    assert len(page.hidden) <= len(page.text)
