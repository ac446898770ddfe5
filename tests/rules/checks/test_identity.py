"""Findings about who a message says it is from."""

from __future__ import annotations

import pytest

from tests.rules.checks.judging import mail, symbols


@pytest.mark.parametrize(
    ("sender", "symbol"),
    [
        (None, "FROM_MISSING"),
        ("a@example.org\r\nFrom: b@example.org", "FROM_SEVERAL"),
        ("Smith, John <john@example.org>", "FROM_MALFORMED"),
        ("alice@example.org", "FROM_NO_NAME"),
        ('"ceo@example.com" <x@example.org>', "FROM_NAME_ADDRESS"),
        ('"news.example.com" <x@example.org>', "FROM_NAME_HOST"),
        ('"it@demo.test" <x@example.org>', "FROM_NAME_OWN"),
        ('"it@mail.demo.test" <x@example.org>', "FROM_NAME_OWN"),
        ("x@example.org (it@demo.test)", "FROM_NAME_OWN"),
        ("x@example.org (PayPal Service)", "FROM_BRAND"),
        ('"demo.test support" <x@example.org>', "FROM_NAME_OWN"),
        ("PayPal <x@example.org>", "FROM_BRAND"),
        ("Bank of America Online <x@example.org>", "FROM_BRAND"),
        ("Chase Alerts <x@example.org>", "FROM_BRAND"),
        ("Joe at Netflix <joe@example.org>", "FROM_BRAND_MENTION"),
        ("Micros0ft Team <x@example.org>", "FROM_BRAND_IMITATED"),
        ("=?utf-8?q?P=D0=B0yPal?= <x@example.org>", "FROM_BRAND_IMITATED"),
        ("Pay Pal <x@example.org>", "FROM_BRAND_IMITATED"),
        ("Support <x@paypal-security.example>", "FROM_BRAND_HOST"),
        ("Account Support <x1@gmail.com>", "FROM_ROLE_FREE_MAIL"),
        ("=?utf-8?q?B=D0=B0nk?= <x@example.org>", "FROM_NAME_MIXED"),
        ("=?utf-8?b?8J2QgfCdkJrwnZCn8J2QpA==?= <x@example.org>", "FROM_NAME_STYLED"),
        ("=?utf-8?q?Ba=E2=80=8Bnk?= <x@example.org>", "FROM_NAME_INVISIBLE"),
        ("=?utf-8?b?8J+OgSBHaWZ0?= <x@example.org>", "FROM_NAME_PICTURES"),
        ("#Winner# <x@example.org>", "FROM_NAME_NOISE"),
        ("Mrs. Grace Good <x@example.org>", "FROM_NAME_TITLE"),
        ("GRACE GOOD <x@example.org>", "FROM_NAME_CAPITALS"),
        ("Grace <x@yeo14h8uvy.example>", "FROM_RANDOM_DOMAIN"),
        ("Grace <PiWUEABHLfVf@example.org>", "FROM_RANDOM_LOCAL"),
        ("Grace <x@example.top>", "FROM_RISKY_SUFFIX"),
        ("Grace <x@winner>", "FROM_NO_DOMAIN"),
    ],
)
def test_from(sender: str | None, symbol: str) -> None:
    """Each way to pretend has its symbol."""
    assert symbol in symbols(mail(**{"from": sender}))


@pytest.mark.parametrize(
    "sender",
    [
        "PayPal <service@paypal.com>",
        "Amazon.co.uk <order@amazon.co.uk>",
        "Microsoft account team <account-security-noreply@accountprotection.microsoft.com>",
        "Alice Chase <alice@example.org>",
        "Norton Smith <norton@example.org>",
        "Dr. Oetker Shop <info@example.org>",
        "Jean-Luc O'Neil <jean@example.org>",
        "bob@example.org <bob@example.org>",
        "GitHub <noreply@github.com>",
        "José García <jose@example.org>",
        "Иван Петров <ivan@example.org>",
    ],
)
def test_honest_names(sender: str) -> None:
    """Owners of a name, people who share it, and people of other alphabets are left in peace."""
    assert {each for each in symbols(mail(**{"from": sender})) if each.startswith("FROM_")} <= {"FROM_NAME_TITLE"}


@pytest.mark.parametrize(
    ("sender", "reply", "symbol"),
    [
        ("Alice <alice@example.org>", "alice@gmail.com", "REPLY_TO_FREE_MAIL"),
        ("Alice <alice@yahoo.com>", "alice22@gmail.com", "REPLY_TO_OTHER_FREE_MAIL"),
        ("Alice <alice@example.org>", "alice@example.com", "REPLY_TO_DIFFERS"),
        ("Alice <alice@example.org>", "bob@demo.test", "REPLY_TO_RECIPIENT"),
        ("Alice <alice@example.org>", "alice@example.org, x1@gmail.com", "REPLY_TO_FREE_MAIL"),
        ("Alice <alice@example.org>", "alice@example.org, carol@example.org", ""),
        ("Alice <alice@yahoo.com>", "alice@yahoo.com, carol@gmail.com", ""),
        ("Alice <alice@example.org>", "sales@mail.example.org", ""),
    ],
)
def test_reply_to(sender: str, reply: str, symbol: str) -> None:
    """Where answers go, unless a mailing list says so."""
    found = {each for each in symbols(mail(reply_to=reply, **{"from": sender})) if each.startswith("REPLY_TO")}
    assert found == ({symbol} if symbol else set())
    assert not {each for each in symbols(mail(reply_to=reply, list_id="<l.example>", **{"from": sender})) if each.startswith("REPLY_TO")}


def test_hidden_address_service() -> None:
    """A service that hides people's addresses shows the real sender's and names its customer: one sign, not two."""
    found = symbols(mail(**{"from": '"news@example.com [bobby/example]" <ticket_1@example.org>', "to": "bobby@demo.test"}), to="bobby@demo.test")
    assert "FROM_NAME_ADDRESS" in found
    assert "FROM_NAME_RECIPIENT" not in found
    assert "FROM_NAME_RECIPIENT" in symbols(mail(**{"from": "Bobby <x@example.org>"}), to="bobby@demo.test")
