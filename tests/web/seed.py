"""A store as a busy morning leaves it, for page tests and for the browser: every status, long and foreign texts, a destination that is down."""

from __future__ import annotations

import json
from typing import Any

from jetmail.mail.status import Status
from jetmail.store.database import Connection, InlineDatabase
from jetmail.store.migrations import apply
from jetmail.store.traffic import messages
from jetmail.store.traffic.messages import Content, NewDelivery, NewMessage

NOW = 1_795_161_600.0  # 2026-11-20 08:00:00 UTC
NASTY = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"


PLAIN = b"Subject: x\r\nFrom: A <a@example.net>\r\n\r\nHello,\r\nthis is only text.\r\n"
DOT = b"iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAIAAAAmkwkpAAAAEUlEQVR42mM4MU0OjhiI4wAAdHIXwXkUGlMAAAAASUVORK5CYII="
LETTER = b"""From: "Prize Office" <winner@lottery.example>\r
To: m.okafor@demo.test\r
Subject: =?utf-8?q?You_have_been_selected_=E2=9C=89_claim_within_24_h?=\r
Date: Fri, 20 Nov 2026 07:11:40 +0000\r
MIME-Version: 1.0\r
X-Spam-Score: 7.00\r
Content-Type: multipart/mixed; boundary=outer\r
\r
--outer\r
Content-Type: multipart/related; boundary=inner\r
\r
--inner\r
Content-Type: text/html; charset=utf-8\r
\r
<html><head><style>@import url(http://track.lottery.example/x.css); .a{display:none}</style><script>document.title="run"</script></head>\r
<body bgcolor="#fdf6e3" onload="alert(1)"><table width="600" cellpadding="8" style="border:1px solid #d0a020;border-collapse:collapse">\r
<tr><td bgcolor="#d0a020" style="color:#ffffff;font-size:22px"><b>Congratulations!</b></td></tr>\r
<tr><td>Dear customer,<p>your address was drawn as a <strong>winner of 2.400.000 EUR</strong>. To claim it\r
<a href="http://claim.lottery.example/go?id=77" onclick="x()">sign in at https://bank.example</a> within 24 hours.\r
<p><img src="http://track.lottery.example/pixel.gif?m=okafor" width=1 height=1><img src="cid:seal@lottery" alt="seal" width="64">\r
<font size=1 color="#fefefe">bayes poison nobody should see</font>\r
<form action="http://claim.lottery.example/"><input name=pw type=password placeholder="Password"><button>Claim now</button></form>\r
<iframe src="http://claim.lottery.example/"></iframe><svg onload=alert(1)><a href="javascript:alert(1)">more</a></svg></td></tr></table>\r
<a href="https://xn--bnk-0na.example/">Unsubscribe</a></body></html>\r
--inner\r
Content-Type: image/png; name=seal.png\r
Content-ID: <seal@lottery>\r
Content-Transfer-Encoding: base64\r
\r
""" + DOT + b"""\r
--inner--\r
--outer\r
Content-Type: application/zip; name="claim form.pdf.zip"\r
Content-Disposition: attachment; filename="claim form.pdf.zip"\r
Content-Transfer-Encoding: base64\r
\r
UEsDBBQAAAAIAA==\r
--outer--\r
"""


def store(path: str) -> InlineDatabase:
    """A new store with the current schema."""
    apply(path)
    return InlineDatabase(path)


def delivery(recipient: str, status: str = "queued", *, target: str = "", reason: str = "", reply: str = "", held: bool = False) -> NewDelivery:
    """One recipient."""
    target = target or recipient
    return NewDelivery(recipient, recipient.rpartition("@")[2], target, target.rpartition("@")[2], Status(status), reason, reply, held=held)


def message(conn: Connection, number: int, received: float, sender: str, subject: str, *deliveries: NewDelivery, **more: Any) -> messages.Accepted:
    """One message with its deliveries; `number` makes its uid."""
    given: dict[str, Any] = {
        "uid": f"{int(received * 1000):011x}{number:09x}",
        "direction": "inbound",
        "received": received,
        "sender": sender,
        "size": 4_321,
        "content": Content(len(PLAIN), PLAIN) if any(item.status == "queued" for item in deliveries) else None,
        "deliveries": deliveries,
        "header_from": sender,
        "subject": subject,
        "message_id": f"<{number}@example.net>",
        "client_address": "203.0.113.25",
        "client_port": 41_002,
        "helo": "mx1.example.net",
        "tls": "TLSv1.3",
        "listener": "mx",
        "response": "250 2.0.0 Accepted",
        "claimed": False,
    }
    return messages.accept(conn, NewMessage(**(given | more)))


def event(conn: Connection, accepted: messages.Accepted, at: float, kind: str, *, to: int | None = 0, **detail: Any) -> None:
    """One step of the timeline, of the `to`-th delivery (None: of the whole message)."""
    ids = [row[0] for row in conn.execute("SELECT id FROM deliveries WHERE message_id = ? ORDER BY id", (accepted.id,))]
    messages.add_event(conn, accepted.id, None if to is None else ids[to], at, kind, {name.rstrip("_"): value for name, value in detail.items()})


def attempt(
    conn: Connection, accepted: messages.Accepted, at: float, result: str, reason: str, reply: str, *, to: int = 0, again: float = 0.0, **detail: Any
) -> None:
    """One attempt, as the queue records it, with the delivery's row following; `again` is when the next one is due (by a schedule, unless given)."""
    given = {"host": "mx.demo.test", "address": "198.51.100.7", "port": 25, "tls": "TLSv1.3", "verified": True, "duration": 0.084} | detail
    event(conn, accepted, at, "attempt", to=to, result=result, reason=reason, reply=reply, **given)
    row = conn.execute("SELECT id FROM deliveries WHERE message_id = ? ORDER BY id LIMIT 1 OFFSET ?", (accepted.id, to)).fetchone()[0]
    if result == "later":
        wait = (60, 300, 600, 900, 1800, 3600, 7200, 14_400)
        attempts = conn.execute("UPDATE deliveries SET attempts = attempts + 1 WHERE id = ? RETURNING attempts", (row,)).fetchone()[0]
        values = ("queued", reason, reply, again or at + wait[min(attempts, 8) - 1], None, row)
    else:
        conn.execute("UPDATE deliveries SET attempts = attempts + 1 WHERE id = ?", (row,))
        values = ("delivered" if result == "delivered" else "rejected", reason, reply, at, at, row)
    conn.execute("UPDATE deliveries SET status = ?, reason = ?, reply = ?, next_attempt = ?, finished = ? WHERE id = ?", values)


def busy_morning(conn: Connection, hostile: bool = True) -> dict[str, str]:
    """Fill the store up to NOW, with a `hostile` message or without. -> the uids of messages worth opening, by a word for each."""
    worth: dict[str, str] = {}
    ok = "250 2.0.0 Ok: queued as 4XbC1n2Zyz"
    plain = (
        ("billing@hetzmann.example", "Invoice 2026-1182 for November", "accounts@demo.test"),
        ("noreply@git.example.org", "[platform/api] Review requested: bound the retry window (#4127)", "dana@demo.test"),
        ("kathrin.albrecht@nordlicht-reisen.example", "Re: Angebot für die Gruppenreise im März", "info@demo.test"),
        ("宣伝@例え.example", "お見積もりの件について", "sales@demo.test"),
        ("calendar@teams.example.com", "Accepted: Quarterly planning @ Tue 24 Nov 10:00", "dana@demo.test"),
        ("tracking@parcels.example", "Your parcel arrives today between 13:40 and 15:40", "m.okafor@demo.test"),
        ("alerts@uptime.example.net", "Recovered: checkout-eu-1 after 4 minutes", "ops@demo.test"),
        ("newsletter@gardeners-weekly.example", "Five hedges that survive a wet winter", "m.okafor@demo.test"),
        ("j.lindqvist@bruket.example", "Signed contract attached", "legal@demo.test"),
        ("hr@people-first.example", "Interview feedback, please, by Friday", "dana@demo.test"),
        ("bounce-771@lists.example.org", "Digest, vol. 88, issue 12", "ops@demo.test"),
        ("support@ticketing.example", "[#90213] We have answered your question", "info@demo.test"),
    )
    number = 0
    for index in range(72):
        sender, subject, recipient = plain[index % len(plain)]
        number += 1
        at = NOW - 86_400 + index * 1_100.7
        accepted = message(conn, number, at, sender, subject, delivery(recipient), size=2_000 + index * 3_711)
        attempt(conn, accepted, at + 0.31, "delivered", "accepted", ok, duration=0.11)
    steps: list[tuple[float, str]] = []

    def put(age: float, word: str, *given: Any, **more: Any) -> messages.Accepted:
        nonlocal number
        number += 1
        accepted = message(conn, number, NOW - age, *given, **more)
        steps.append((age, word))
        if word:
            worth[word] = accepted.uid
        return accepted

    later = put(14_900, "queued", "orders@shop.example", "Order 55-20931 confirmed", delivery("warehouse@slow.example"))
    for age, reason, reply in (
        (14_899, "connect", "Connection refused by 192.0.2.50 port 25"),
        (14_830, "timeout", "No banner within 60 s"),
        (14_500, "deferred", "451 4.3.2 Please try again later"),
        (13_800, "connect", "Connection refused by 192.0.2.50 port 25"),
        (12_850, "tls", "TLS handshake failed: certificate verify failed"),
        (11_000, "connect", "Connection refused by 192.0.2.50 port 25"),
        (7_100, "connect", "Connection refused by 192.0.2.50 port 25"),
    ):
        has_tls = reason == "deferred"
        attempt(
            conn,
            later,
            NOW - age,
            "later",
            reason,
            reply,
            host="mx.slow.example",
            address="192.0.2.50",
            tls="TLSv1.2" if has_tls else "",
            verified=False,
            duration=60.0 if reason == "timeout" else 0.042,
            again=NOW + 1_260,
        )
    for index in range(6):
        more = put(13_000 - index * 1_400, "", "orders@shop.example", f"Order 55-{20_940 + index * 7} confirmed", delivery("warehouse@slow.example"))
        attempt(
            conn,
            more,
            NOW - 7_100 + index,
            "later",
            "connect",
            "Connection refused by 192.0.2.50 port 25",
            host="mx.slow.example",
            address="192.0.2.50",
            tls="",
            verified=False,
            again=NOW + 1_260 + index,
        )
    grey = put(2_400, "", "press@bureau.example", "Embargoed until Monday", delivery("desk@busy.example"))
    attempt(
        conn,
        grey,
        NOW - 2_399,
        "later",
        "deferred",
        "450 4.2.1 Mailbox busy, try later",
        host="mx2.busy.example",
        address="2001:db8::25",
        again=NOW + 245,
    )
    conn.execute(
        "INSERT INTO destinations (name, failures, down_since, not_before, reason, reply) VALUES ('slow.example', 5, ?, ?, 'connect', ?)",
        (NOW - 12_850, NOW + 1_260, "Connection refused by 192.0.2.50 port 25"),
    )
    put(5_300, "held", "audit@bank.example", "Statement of account", delivery("cfo@partner.example", held=True))
    put(
        3_900,
        "rejected",
        "sales@cheap-pills.example",
        "Re: your question",
        delivery("nobody@demo.test", "rejected", reason="unknown-recipient", reply="550 5.1.1 <nobody@demo.test>: no such recipient"),
        response="550 5.1.1 <nobody@demo.test>: no such recipient",
        client_address="198.51.100.201",
    )
    findings = [
        {"symbol": "BAYES_SPAM", "score": 4.2, "detail": "0.993"},
        {"symbol": "SPF_FAIL", "score": 2.0, "detail": "v=spf1 -all of lottery.example"},
        {"symbol": "URL_SHORTENER", "score": 1.1, "detail": "bit.example/9aZ"},
        {"symbol": "DKIM_VALID", "score": -0.3, "detail": "d=lottery.example s=k1"},
    ]
    put(
        2_900,
        "quarantined",
        "winner@lottery.example",
        "You have been selected ✉ claim within 24 h",
        delivery("m.okafor@demo.test", "quarantined", reason="suspect"),
        score=7.0,
        findings=json.dumps([*findings, {"symbol": "QUARANTINE", "score": 0.0, "detail": "suspect", "rule": "thresholds"}]),
        content=Content(len(LETTER), LETTER),
    )
    put(
        2_200,
        "spam",
        "gtube@spam.example",
        "Cheap watches, best price, no customs",
        delivery("info@demo.test", "spam", reason="spam", reply="554 5.7.1 Message refused as spam"),
        score=18.4,
        findings=json.dumps([{"symbol": "GTUBE", "score": 15.0, "detail": ""}, *findings[:2]]),
        response="554 5.7.1 Message refused as spam",
    )
    put(
        1_500,
        "blocked",
        "promo@discounts.example",
        "Only today: 90 % off everything",
        delivery("dana@demo.test", "blocked", reason="blocked", reply="550 5.7.1 [RULE] Blocked by recipient policy"),
        response="550 5.7.1 [RULE] Blocked by recipient policy",
    )
    mixed = put(
        900,
        "mixed",
        "events@conference.example",
        "Your speaker slot: please confirm the room, the projector and the length of the talk before noon",
        delivery("dana@demo.test"),
        delivery("gone@partner.example"),
        delivery("desk@busy.example", target="newsdesk@busy.example"),
        size=24_881_002,
    )
    attempt(conn, mixed, NOW - 899.6, "delivered", "accepted", ok)
    attempt(
        conn,
        mixed,
        NOW - 899.1,
        "never",
        "refused",
        "550 5.1.1 <gone@partner.example>: user unknown",
        to=1,
        host="mx.partner.example",
        address="192.0.2.77",
        verified=False,
        tls="TLSv1.3",
    )
    event(conn, mixed, NOW - 899.1, "report", to=1, action="failed", uid=worth["rejected"], to_="events@conference.example")
    attempt(
        conn,
        mixed,
        NOW - 898.8,
        "later",
        "deferred",
        "450 4.2.1 Mailbox busy, try later",
        to=2,
        host="mx2.busy.example",
        address="2001:db8::25",
        again=NOW + 245,
    )
    if hostile:
        put(
            420,
            "nasty",
            NASTY,
            NASTY,
            delivery('"<b>x</b>"@demo.test', "rejected", reason="refused", reply="550 " + NASTY),
            helo=NASTY,
            response="550 " + NASTY,
        )
    put(260, "", "", "Undelivered mail returned to sender", delivery("orders@shop.example"))
    for age, index in ((150, 3), (95, 1), (41, 6), (12, 2)):
        sender, subject, recipient = plain[index]
        accepted = put(age, "", sender, subject, delivery(recipient))
        attempt(conn, accepted, NOW - age + 0.2, "delivered", "accepted", ok)
    put(2, "received", "dana@demo.test", "Minutes of this morning", delivery("board@demo.test", "received"))
    return worth
