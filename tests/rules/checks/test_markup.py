"""Findings about HTML and about the letters of the text."""

from __future__ import annotations

import pytest

from jetmail.mail.message import Message
from tests.rules.checks.judging import mail, page, symbols

WORDS = "<p>" + "See you on Thursday at the usual place, bring the drawings with you please. " * 6 + "</p>"


@pytest.mark.parametrize(
    ("message", "symbol"),
    [
        (page(f"{WORDS}<div style='display:none'>{'secret words ' * 100}</div>"), "HTML_HIDDEN_TEXT"),
        (page(f"{WORDS}<span style='font-size:0px'>x</span>"), "HTML_TINY_TEXT"),
        (page(f"{WORDS}<span style='color:#fff;background:#ffffff'>x</span>"), "HTML_INVISIBLE_INK"),
        (page(f"{WORDS}<form action='http://x.example/'><input name=a></form>"), "HTML_FORM"),
        (page(f"{WORDS}<form><input type=password></form>"), "HTML_FORM_PASSWORD"),
        (page(f"{WORDS}<script>go()</script>"), "HTML_SCRIPT"),
        (page(f"<meta http-equiv=refresh content='0;url=http://x.example/'>{WORDS}"), "HTML_REFRESH"),
        (page(f"{WORDS}<iframe src='http://x.example/'></iframe>"), "HTML_FRAME"),
        (page(f"{WORDS}<object data=x></object>"), "HTML_OBJECT"),
        (page(f"<base href='http://x.example/'>{WORDS}"), "HTML_BASE"),
        (page(f"{WORDS}<a href='data:text/html,hi'>open</a>"), "HTML_DATA_LINK"),
        (page("<p>" + "&#97;&#98;&#99;" * 20 + "</p>"), "HTML_LETTER_NUMBERS"),
        (page("<a href='http://x.example/'><img src='http://x.example/p.png' width=600></a>"), "HTML_PICTURES_ONLY"),
        (page(f"<p>{'word ' * 50}</p><a href='http://x.example/'><img src='http://x.example/p.png' width=600></a>"), "HTML_PICTURE_TEXT"),
        (mail("Your \u0430ccount at the b\u0430nk\r\n"), "TEXT_MIXED"),
        (mail("\U0001d400\U0001d401\U0001d402\U0001d403\U0001d404\U0001d405\r\n"), "TEXT_STYLED"),
        (mail("ac\u200bcount veri\u200bfied pass\u200bword\r\n"), "TEXT_INVISIBLE"),
        (mail("p\u00ada\u00ads\u00ads\u00adword\r\n"), "TEXT_INVISIBLE"),
        (page("<img src='http://x.example/p.png' usemap='#m'><map name=m><area href='http://x.example/'></map>"), "HTML_PICTURES_ONLY"),
        (page("<img src='http://x.example/p.png'>"), "HTML_PICTURE_TEXT"),
        (mail("Your PayPaI receipt is here\r\n"), "TEXT_BRAND_IMITATED"),
    ],
)
def test_markup(message: Message, symbol: str) -> None:
    """Each trick has its symbol."""
    assert symbol in symbols(message)


def test_a_preheader_is_no_hidden_text() -> None:
    """A line kept for the list of messages is how newsletters are made."""
    assert symbols(page(f"<div style='display:none'>All about Thursday</div>{WORDS}")) == {"MIME_HTML_ONLY"}


def test_hyphens_between_syllables_are_honest() -> None:
    """Soft hyphens where a word may be parted say nothing."""
    assert "TEXT_INVISIBLE" not in symbols(page("<p>Donau&shy;dampf&shy;schiff&shy;fahrts&shy;gesell&shy;schaft</p>"))


def test_other_alphabets_are_not_mixed() -> None:
    """A text in two alphabets, each in words of its own, is a text in two languages."""
    assert symbols(mail("Привет, Bob! Встреча в Google Meet в четверг. Γειά σου Alice.\r\n")) == set()
