"""Mail that people want, of the kinds filters get wrong. Written for this test, except where the fixtures are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from jetmail.mail.message import Message
from tests import fixtures
from tests.rules.checks.judging import DATE, mail, page, parts, score

SHOP = """<html><head><title>Order</title><style>.x{color:red}</style></head><body>
<div style="display:none;max-height:0">Thank you for your order, we are packing it.&zwnj;&nbsp;&zwnj;&nbsp;</div>
<table width=600><tr><td><a href="https://shop.example.org/"><img src="https://cdn.example.org/logo.png" width=600 height=80 alt="Shop"></a></td></tr>
<tr><td>Hello Bob,<br>your order 1004711 of 14 November is on its way. Two pairs of socks, 12.90 EUR each. You can follow your parcel here:
<a href="https://shop.example.org/track/1004711">Track the parcel</a>. The invoice is attached. If you did not order this, tell us.</td></tr>
<tr><td style="font-size:11px">Shop Ltd, 1 High Street. <a
href="https://shop.example.org/unsubscribe?u=bob%40demo.test">Unsubscribe</a></td></tr></table></body></html>"""
NEWSLETTER = """<html><body><div style="display:none">Ten ideas for the garden</div><h1>Spring is here</h1><p>Save up to 30% this week on "
"everything for balcony and garden.
New: tomatoes, roses, herbs. Only until Sunday. Read our guide on pruning, and win one of ten vouchers in our photo contest.</p>
<a href="https://links.mailer.example/c/1"><img src="https://img.mailer.example/1.jpg" width=600 height=300></a><a
href="https://links.mailer.example/c/2">Shop now</a>
<a href="https://links.mailer.example/c/3">Instagram</a><p>You get this because you subscribed at garden.example.org.</p><a
href="https://links.mailer.example/u">unsubscribe</a></body></html>"""
RESET = """<p>Hi Bob,</p><p>Somebody asked to reset the password of your account. Click the button within 24 hours to choose a new one.</p>
<a href="https://app.example.org/reset?token=4f3c2b1a">Reset password</a><p>If you did not ask, ignore this message; your account is safe.</p>"""
BANK = """<p>Dear Mr Bob,</p><p>your statement for October is ready. For your security we never send links to sign in: open the app as "
"usual. Your account ends in 711.</p>
<a href="https://www.paypal.com/legal">Legal</a>"""
SIGN_IN = """<p>Your account bob@demo.test was just signed in to from a new device. If this was you, nothing is to be done. Otherwise check "
"your activity.</p>
<a href="https://accounts.google.com/AccountChooser?Email=bob@demo.test">Check activity</a>"""

HONEST: dict[str, Message] = {
    "shop": page(SHOP, subject="Your order 1004711", **{"from": "Shop <orders@shop.example.org>"}),
    "newsletter": page(
        NEWSLETTER,
        subject="=?utf-8?q?=F0=9F=8C=B7_Spring_sale=3A_up_to_30=25_off!?=",
        list_unsubscribe="<https://links.mailer.example/u>",
        **{"from": "Garden Friends <news@garden.example.org>"},
    ),
    "reset": page(RESET, subject="Reset your password", **{"from": "Example App <noreply@app.example.org>"}),
    "bank": page(BANK, subject="Your statement is ready", **{"from": "PayPal <service@paypal.com>"}),
    "sign-in": page(SIGN_IN, subject="Security alert", **{"from": "Google <no-reply@accounts.google.com>"}),
    "answer": mail(
        "Hi,\r\n\r\nsee below. http://intranet.example.org/x\r\n\r\n> Alice wrote:\r\n> please verify your account settings in the test system\r\n",
        subject="RE: test system",
        in_reply_to="<a@demo.test>",
    ),
    "phishing warning": mail(
        "Hello all,\r\n\r\nplease beware of messages that say 'your mailbox has been suspended, verify your account within 24 hours'. They lead to "
        "hxxp://evil.example. Never enter your password there.\r\n\r\nIT\r\n",
        subject="Phishing warning",
        **{"from": "IT Service <it@demo.test>"},
    ),
    "free mail": mail(
        "Hey Bob, dinner at eight? Bring Ann.\r\n", **{"from": "Carol Jones <carol.jones77@gmail.com>", "message-id": "<CAF+abc@mail.gmail.com>"}
    ),
    "invoice": parts(
        "Content-Type: text/plain; charset=utf-8\r\n\r\nDear Bob,\r\nplease find attached our invoice 2023-114, due in 30 days. Bank "
        "details as before.\r\nBest, Alice",
        'Content-Type: application/pdf; name="invoice-2023-114.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
        "Content-Disposition: attachment\r\n\r\nJVBERi0xLjQKJeLjz9MK",
        subject="Invoice 2023-114",
    ),
    "shared": page(
        "<p>Alice shared a file with you: drawings.pdf</p><a href='https://drive.example.org/f/1'>Open</a>",
        subject="Alice shared drawings.pdf with you",
        reply_to="alice@other.example",
        **{"from": "Drive <noreply@drive.example.org>"},
    ),
    "invitation": parts(
        "Content-Type: text/plain\r\n\r\nYou are invited to: Weekly meeting, Thursday 10:00. https://meet.example.org/abc-defg-hij",
        "Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\nEND:VCALENDAR",
        kind="alternative",
        subject="Invitation: Weekly meeting",
    ),
    "cron": mail(
        "done: 14 files, 3 warnings\r\n",
        subject="Cron <root@host> /usr/bin/backup",
        to="root@demo.test",
        message_id="<1@host>",
        **{"from": "root@host.demo.test (Cron Daemon)"},
    ),
    "russian": mail("Добрый день, Боб! Отправляю протокол встречи, следующая в четверг.\r\n", subject="=?utf-8?b?0J/RgNC+0YLQvtC60L7Quw==?="),
    "list": mail(
        "On Tue Bob wrote:\r\n> how do I unlock the account?\r\nSee https://docs.example.net/a and https://wiki.example.com/b.\r\n",
        subject="Re: [users] question",
        to="users@lists.example.net",
        list_id="<users.lists.example.net>",
        reply_to="users@lists.example.net",
        references="<x@y.example>",
        **{"from": "Carol via users <users@lists.example.net>"},
    ),
    "bounce": mail(
        "This is the mail system. Your message could not be delivered to one or more recipients. The mailbox is full.\r\n",
        subject="Undelivered Mail Returned to Sender",
        **{"from": "MAILER-DAEMON@mail.example.org (Mail Delivery System)"},
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_wanted_mail(name: str) -> None:
    """None comes near a threshold."""
    assert score(HONEST[name]) < 3


def _templates() -> list[Path]:
    return sorted(fixtures.folder("07_html_templates_postmark").rglob("content.html"))


def test_templates_of_other_people() -> None:
    """Receipts, invoices and resets as one mail service sends them stay far below the defer threshold."""
    for path in _templates():
        html = path.read_text("utf-8")
        message = parts(
            "Content-Type: text/plain; charset=utf-8\r\n\r\n" + path.with_suffix(".txt").read_text("utf-8"),
            "Content-Type: text/html; charset=utf-8\r\n\r\n" + html,
            kind="alternative",
            **{"from": "Acme Product <support@example.com>", "received": f"from a.example.com by mx.demo.test; {DATE}"},
        )
        assert score(message) < 3, path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "most", "many"),
    [("hard-ham-1", 6.0, 0), ("easy-ham-1", 6.0, 0), ("easy-ham-2", 6.0, 0)],
)
def test_wanted_mail_of_other_people(folder: str, most: float, many: int) -> None:
    """Of thousands of messages people kept, none reaches the spam threshold by content alone."""
    place = next(path for path in fixtures.folder("01_spamassassin_public").rglob(folder) if path.is_dir())
    over = [path.name for path in sorted(place.iterdir()) if score(Message(_bare(path.read_bytes()))) >= most]
    assert len(over) <= many, over


def _bare(octets: bytes) -> bytes:
    return octets.partition(b"\n")[2] if octets.startswith(b"From ") else octets
