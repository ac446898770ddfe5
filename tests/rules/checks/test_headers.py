"""Findings about the header as a whole."""

from __future__ import annotations

import pytest

from tests.rules.checks.judging import judged, mail, symbols


def test_an_honest_message_has_none() -> None:
    """Nothing at all is found in a plain letter."""
    assert judged(mail()) == []


@pytest.mark.parametrize(
    ("fields", "symbol"),
    [
        ({"date": None}, "DATE_MISSING"),
        ({"date": "yesterday"}, "DATE_INVALID"),
        ({"date": "Tue, 31 Feb 2023 99:00:00 +9999"}, "DATE_INVALID"),
        ({"date": "Tue, 14 Nov 2023 22:13:20 +9900"}, "DATE_INVALID"),
        ({"date": "Fri, 17 Nov 2023 22:13:20 +0000"}, "DATE_FUTURE"),
        ({"date": "Tue, 14 Nov 2017 22:13:20 +0000"}, "DATE_PAST"),
        ({"message_id": None}, "MESSAGE_ID_MISSING"),
        ({"message_id": "12345"}, "MESSAGE_ID_INVALID"),
        ({"message_id": "<a@b@c.example>"}, "MESSAGE_ID_INVALID"),
        ({"message_id": "<12345@localhost>"}, "MESSAGE_ID_HOST"),
        ({"message_id": "<12345@192.0.2.1>"}, "MESSAGE_ID_HOST"),
        ({"message_id": "<12345@demo.test>"}, "MESSAGE_ID_RECIPIENT"),
        ({"to": None}, "TO_MISSING"),
        ({"to": "undisclosed-recipients:;"}, "TO_HIDDEN"),
        ({"to": "[to]"}, "TO_INVALID"),
        ({"to": "alice@example.org"}, "TO_SENDER"),
        ({"to": "carol@example.net"}, "TO_OTHERS"),
        ({"mime_version": None, "content_type": "multipart/mixed; boundary=x"}, "MIME_VERSION_MISSING"),
        ({"x_mailer": "PHPMailer 6.1 (https://github.com/PHPMailer)"}, "MAILER_BULK"),
        ({"x_priority": "1 (Highest)"}, "PRIORITY_HIGH"),
        ({"subject": "one\r\nSubject: two"}, "HEADER_REPEATED"),
        ({"subject": "one\r\nno field at all"}, "HEADER_BROKEN"),
        ({"subject": "Grüße"}, "HEADER_OCTETS"),
        ({"received": "from WIN-8OALKS1CA13 (unknown [192.0.2.9]) by mail.example.org; Tue, 14 Nov 2023 22:13:20 +0000"}, "RECEIVED_ODD_HOST"),
        ({"received": None}, "RECEIVED_NONE"),
        ({"return_path": "<bounce@elsewhere.example>"}, "RETURN_PATH_DIFFERS"),
    ],
)
def test_fields(fields: dict[str, str | None], symbol: str) -> None:
    """Each oddity has its symbol."""
    assert symbol in symbols(mail(**fields))


def test_an_old_message_is_held_against_its_own_road() -> None:
    """What came long ago and is judged now is not late."""
    old = "Tue, 14 Nov 2017 22:13:20 +0000"
    assert symbols(mail(date=old, received=f"from a.example by b.example; {old}")) == set()


@pytest.mark.parametrize(
    ("helo", "symbol"),
    [("friend", "HELO_INVALID"), ("[192.0.2.7]", "HELO_ADDRESS"), ("mx.demo.test", "HELO_OURS"), ("dsl-192-0-2-7.pool.example.net", "HELO_DYNAMIC")],
)
def test_helo(helo: str, symbol: str) -> None:
    """How the host introduced itself counts, but not that of somebody who logged in."""
    assert symbols(mail(), helo=helo) == {symbol}
    assert symbols(mail(), helo=helo, user="bob@demo.test") == set()
    assert symbols(mail(), helo="mail.example.org") == set()


def test_lists_may_rewrite() -> None:
    """A mailing list addresses itself, and its bounces go to it."""
    listed = mail(to="list@lists.example.net", return_path="<list-bounces@lists.example.net>", list_id="<list.lists.example.net>")
    assert symbols(listed) == set()
    rewritten = mail(to="list@lists.example.net", reply_to="carol@gmail.com", **{"from": "Carol via list <list@lists.example.net>"})
    assert symbols(rewritten) == set()
