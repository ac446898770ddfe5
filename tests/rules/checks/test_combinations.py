"""Findings about findings."""

from __future__ import annotations

import pytest

from jetmail.mail.message import Message
from tests.rules.checks.judging import mail, page, score, symbols

WORDS = "<p>See you on Thursday at the usual place, bring the drawings with you please.</p>"


@pytest.mark.parametrize(
    ("message", "symbol"),
    [
        (page("<p>Verify your account</p>", **{"from": "PayPal <x@example.org>"}), "DECEIT_BRAND"),
        (page("<p>Dear customer, verify your account</p><a href='https://bit.ly/x'>here</a>"), "DECEIT_ROAD"),
        (mail("I am Mrs. Grace, a widow. The sum of USD 4,500,000.00 is for you, dear beneficiary, strictly confidential. Reply to me with your full "
              "names. God bless.", to="undisclosed-recipients:;"), "DECEIT_FUND"),
        (mail(to="undisclosed-recipients:;", reply_to="alice@gmail.com"), "DECEIT_ANSWER"),
        (page("<p>You have been selected! Claim your reward</p>", **{"from": "#Winner# <x@example.org>"}), "DECEIT_LURE"),
        (page("<p>You have been selected! Claim your reward</p><a href='http://x.example.top/'>x</a>"), "DECEIT_LURE_ROAD"),
    ],
)  # fmt: skip
def test_together(message: Message, symbol: str) -> None:
    """What means little alone means much together."""
    assert symbol in symbols(message)


def test_one_kind_of_sign_is_not_enough() -> None:
    """However much a text says, words alone do not make spam; nor do links alone."""
    words = "Verify your account. Claim your free gift card. Enter your recovery phrase. Hot single women. Your parcel is on hold. Act now. " * 5
    assert score(mail(words)) < 6
    links = "".join(f"<a href='http://{host}/'>x</a>" for host in ("8.8.4.4", "paypa1.example", "bit.ly", "a.top", "b.web.app", "x:y@c.example:81"))
    assert score(page(WORDS + links)) < 6


def test_an_odd_link_among_many() -> None:
    """A digest of twenty places is not judged by one of them."""
    many = "".join(f"<a href='https://site{index}.example/'>x</a>" for index in range(20))
    alone, among = (score(page(WORDS * 4 + extra + "<a href='http://8.8.4.4/'>x</a>")) for extra in ("", many))
    assert among < alone / 2
