"""Findings about where links lead."""

from __future__ import annotations

import pytest

from tests.rules.checks.judging import mail, page, symbols

WORDS = "<p>" + "See you on Thursday at the usual place, bring the drawings with you please. " * 6 + "</p>"


@pytest.mark.parametrize(
    ("target", "symbol"),
    [
        ("http://8.8.4.4/x", "URL_ADDRESS"),
        ("http://0x08080404/x", "URL_ADDRESS"),
        ("http://134744072/x", "URL_ADDRESS"),
        ("http://192.0.2.7/x", "URL_ADDRESS"),
        ("http://[2001:db8::1]/x", "URL_ADDRESS"),
        ("http://bank.example@elsewhere.example/", "URL_CREDENTIALS"),
        ("http://elsewhere.example:8123/", "URL_PORT"),
        ("http://xn--pypal-4ve.example/", "URL_HOMOGRAPH"),
        ("http://paypal.secure-login.example/", "URL_BRAND_HOST"),
        ("http://paypa1.example/", "URL_BRAND_HOST"),
        ("http://microsoftonline-login.example/", "URL_BRAND_HOST"),
        ("https://bit.ly/3x", "URL_SHORTENER"),
        ("https://some-page.web.app/", "URL_HOSTING"),
        ("https://some-page.web.app/", "URL_HOSTING_ONLY"),
        ("https://www.google.com/url?q=http://elsewhere.example/", "URL_REDIRECTOR"),
        ("https://elsewhere.example/go?url=https%3A%2F%2Fother.example", "URL_NESTED"),
        ("https://elsewhere.top/", "URL_RISKY_SUFFIX"),
        ("https://x1y2z3k4w5.example/", "URL_RANDOM_HOST"),
        ("https://a.b.c.d.e.elsewhere.example/", "URL_MANY_LABELS"),
        ("https://elsewhere.example/%6c%6f%67%69%6e", "URL_ENCODED"),
        ("https://elsewhere.example/?u=bob@demo.test", "URL_RECIPIENT"),
        ("https://elsewhere.example/#bob@demo.test", "URL_RECIPIENT_FRAGMENT"),
        ("https://elsewhere.example/#Ym9iQGRlbW8udGVzdA==", "URL_RECIPIENT_FRAGMENT"),
        ("https://elsewhere.example/tool.exe", "URL_PROGRAM"),
        ("https://elsewhere.example/wp-includes/x/", "URL_HIDDEN_FOLDER"),
        ("https://elsewhere.example/", "LINKS_ONE_FOREIGN"),
        ("mailto:help.desk77@gmail.com", "LINKS_ANSWER_FREE_MAIL"),
    ],
)
def test_targets(target: str, symbol: str) -> None:
    """Each kind of place and road has its symbol."""
    assert symbol in symbols(page(f"{WORDS}<a href='{target}'>more</a>"))


@pytest.mark.parametrize(
    "target",
    [
        "https://www.example.org/x",
        "https://example.org/?u=1",
        "mailto:alice@example.org",
        "http://192.168.1.1/",
        "http://[fd00::1]/",
        "cid:x",
        "/x",
        "#top",
    ],
)
def test_honest_targets(target: str) -> None:
    """Links to the sender's own place, within the house or the page say nothing."""
    assert symbols(page(f"{WORDS}<a href='{target}'>more</a>")) <= {"MIME_HTML_ONLY", "LINKS_ONE_FOREIGN"}


@pytest.mark.parametrize(
    ("label", "target", "symbol"),
    [
        ("www.other.com", "https://elsewhere.example/", "LINK_TEXT_HOST"),
        ("https://www.paypal.com/signin", "https://elsewhere.example/", "LINK_TEXT_BRAND"),
        ("https://bank.example/login", "https://elsewhere.example/", "LINK_TEXT_HOST"),
        ("https://www.paypal.com/signin", "http://192.0.2.7/", "LINK_TEXT_BRAND"),
        ("Sign in at https://www.paypal.com/signin today", "https://elsewhere.example/", "LINK_TEXT_BRAND"),
        ("www.pay&#8203;pal.com", "https://elsewhere.example/", "LINK_TEXT_BRAND"),
        ("https://wiki.other.com/", "http://10.1.2.3/", ""),
        ("https://a.other.com and https://b.another.com", "https://elsewhere.example/", ""),
        ("report.pdf", "https://elsewhere.example/", ""),
        ("Click here.", "https://elsewhere.example/", ""),
        ("www.elsewhere.com/x", "https://click.elsewhere.com/", ""),
    ],
)
def test_labels(label: str, target: str, symbol: str) -> None:
    """A label that is a host is a promise."""
    found = {each for each in symbols(page(f"{WORDS}<a href='{target}'>{label}</a>")) if each.startswith("LINK_TEXT")}
    assert found == ({symbol} if symbol else set())


def test_a_company_links_to_itself() -> None:
    """Mail from a known company's domain that leads only elsewhere was not sent by it."""
    forged = page(f"{WORDS}<a href='https://elsewhere.example/'>more</a>", **{"from": "PayPal <service@paypal.com>"})
    own = page(f"{WORDS}<a href='https://www.paypal.com/x'>more</a><a href='https://t.example/'>o</a>", **{"from": "PayPal <service@paypal.com>"})
    person = page(f"{WORDS}<a href='https://elsewhere.example/'>more</a>", **{"from": "Carol <carol@hotmail.com>"})
    assert "LINKS_NOT_THE_BRAND" in symbols(forged)
    assert "LINKS_NOT_THE_BRAND" not in symbols(own) | symbols(person)


def test_links_of_plain_text_and_pictures() -> None:
    """Addresses written out count as links; pictures from where anybody can put them count apart."""
    assert "URL_SHORTENER" in symbols(mail("see https://bit.ly/abc for all of it\r\n" + "words " * 50))
    assert "URL_ADDRESS" in symbols(mail("see http://[2001:db8::1]/abc for all of it\r\n" + "words " * 50))
    assert "URL_PICTURE_PLACE" in symbols(page(f"{WORDS}<img src='https://i.imgur.com/x.png'>"))
    assert "LINKS_SAME" in symbols(page(WORDS + "<a href='https://elsewhere.example/1'>x</a>" * 4))


def test_short_addresses_without_a_scheme() -> None:
    """A short address counts without http:// too, as mail programs make a link of it; what only looks like one does not."""
    assert "URL_SHORTENER" in symbols(mail("see bit.ly/abc for all of it\r\n" + "words " * 50))
    assert "URL_SHORTENER" not in symbols(mail("and/or, either/or, not-bit.ly/abc, x@t.co/abc, example.org/bit.ly/abc\r\n" + "words " * 50))
