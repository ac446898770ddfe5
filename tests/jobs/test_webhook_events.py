"""From what happened to what is told, to whom."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jetmail.jobs import webhook_events
from jetmail.store.directory.webhooks import Webhook
from jetmail.store.traffic.happenings import Happening


def happening(**fields: Any) -> Happening:
    """Something at second 100."""
    values: dict[str, Any] = {
        "row": 1, "at": 100.0, "kind": "", "detail": {}, "uid": "u1", "direction": "outbound", "received": 99.0, "sender": "b@Sender.test",
        "header_from": "Ann <a@author.test>", "subject": "hi", "message_id": "<m@x>", "user": "app", "recipient": "r@rcpt.test",
        "domain": "rcpt.test", "status": "queued", "reason": "", "reply": "",
    }  # fmt: skip
    return Happening(**(values | fields))


def hook(**fields: Any) -> Webhook:
    """The appliance's own, for everything."""
    values: dict[str, Any] = {"uuid": "h", "account_id": None, "name": "h", "url": "", "secret": ""}
    return Webhook(**(values | fields))


def told(found: Happening, *hooks: Webhook) -> list[tuple[str, str]]:
    """(webhook, event) of what is queued. app is account 1's, rcpt.test account 2's."""
    users, domains = {"app": 1, "other": 3}, {"rcpt.test": 2}
    made = webhook_events.news([found], hooks or (hook(),), lambda user: users.get(user, 0), lambda domain: domains.get(domain, 0))
    return [(new.webhook, new.type) for new in made]


@pytest.mark.parametrize(
    ("fields", "outbound", "inbound"),
    [
        ({"status": "queued"}, "queued", "received"),
        ({"status": "quarantined"}, "queued", "received quarantined"),
        ({"status": "spam"}, "spam", "spam"),
        ({"status": "delivered"}, "delivered", "delivered"),
        ({"status": "blocked", "reason": "block-rule"}, "rejected", "blocked"),
        ({"status": "rejected", "reason": "acl"}, "rejected", "blocked"),
        ({"status": "rejected", "reason": "virus"}, "virus", "blocked"),
        ({"status": "rejected", "reason": "suppressed"}, "dropped", "blocked"),
        ({"status": "new"}, "", ""),
        ({"kind": "attempt", "detail": {"result": "delivered"}}, "delivered", "delivered"),
        ({"kind": "attempt", "detail": {"result": "later"}}, "deferred", "deferred"),
        ({"kind": "attempt", "detail": {"result": "never"}}, "bounced", "bounced"),
        ({"kind": "attempt", "detail": {"result": "never", "reason": "suppressed"}}, "dropped", ""),
        ({"kind": "attempt", "detail": {}}, "", ""),
        ({"kind": "expired"}, "bounced", "bounced"),
        ({"kind": "returned"}, "bounced", "bounced"),
        ({"kind": "bounced-later"}, "bounced", "bounced"),
        ({"kind": "complaint"}, "complaint", ""),
        ({"kind": "delete"}, "dropped", ""),
        ({"kind": "dropped"}, "dropped", ""),
        ({"kind": "hold"}, "", ""),
        ({"kind": "suppressed", "detail": {"reason": "bounce"}}, "", ""),
        ({"kind": "report"}, "", ""),
        ({"kind": "something-new"}, "", ""),
    ],
)
def test_words(fields: dict[str, Any], outbound: str, inbound: str) -> None:
    """Each row has its words, and what people are not told has none."""
    assert told(happening(**fields)) == [("h", f"outbound.{word}") for word in outbound.split()]
    assert told(happening(direction="inbound", **fields)) == [("h", f"inbound.{word}") for word in inbound.split()]


def test_accounts() -> None:
    """An account's webhook is told of its own users' mail and of mail for its own domains, and never of anybody else's."""
    hooks = [hook(uuid=str(number), account_id=number) for number in (1, 2, 3)]
    assert told(happening(), *hooks) == [("1", "outbound.queued")]
    assert told(happening(direction="inbound", user=""), *hooks) == [("2", "inbound.received")]
    assert told(happening(user="gone"), *hooks) == []
    assert told(happening(user=""), *hooks) == []
    assert told(happening(direction="inbound", domain="gone.test"), *hooks) == []
    assert told(happening(user="gone"), hook(account_id=0)) == []
    assert told(happening(user="gone"), *hooks, hook()) == [("h", "outbound.queued")]


@pytest.mark.parametrize(
    ("fields", "is_told"),
    [
        ({"events": ("outbound.*",)}, True),
        ({"events": ("inbound.*", "outbound.queued")}, True),
        ({"events": ("inbound.*",)}, False),
        ({"smtp_users": ("app",)}, True),
        ({"smtp_users": ("other",)}, False),
        ({"domains": ("author.test",)}, True),
        ({"domains": ("sender.test",)}, True),
        ({"domains": ("rcpt.test",)}, False),
        ({"domains": ("author.test",), "smtp_users": ("other",)}, False),
        ({"since": 100.0}, True),
        ({"since": 100.1}, False),
    ],
)
def test_filters(fields: dict[str, Any], is_told: bool) -> None:
    """Event, user, domain and time must all fit."""
    assert bool(told(happening(), hook(**fields))) is is_told


def test_inbound_domain() -> None:
    """The domain of inbound mail is the recipient's; users' filters keep it out, as it has no user."""
    found = happening(direction="inbound", user="")
    assert told(found, hook(domains=("rcpt.test",))) and not told(found, hook(domains=("sender.test",)))
    assert not told(found, hook(smtp_users=("app",)))


def test_data() -> None:
    """What is said: whom and what it is about and how it ended, the last reply of the attempt itself, nothing of the content; long texts are cut."""
    detail = {"result": "never", "reason": "refused", "reply": "550 5.1.1 no", "host": "mx.test", "tls": "TLSv1.3"}
    found = happening(kind="attempt", detail=detail, reply="250 later one", status="rejected", subject="x" * 900, at=101.0)
    (new,) = webhook_events.news([found], [hook()], lambda user: 1, lambda domain: 0)
    body = json.loads(new.body)
    assert (body["type"], body["service"], body["id"]) == ("outbound.bounced", "outbound", new.event)
    assert body["data"] == {
        "message": "u1", "direction": "outbound", "sender": "b@Sender.test", "from": "Ann <a@author.test>", "recipient": "r@rcpt.test",
        "subject": "x" * 500, "message_id": "<m@x>", "domain": "author.test", "user": "app", "status": "rejected", "reason": "refused",
        "reply": "550 5.1.1 no", "received_at": 99.0, "at": 101.0, "host": "mx.test", "tls": "TLSv1.3",
    }  # fmt: skip


def test_report() -> None:
    """Of a report that came back: what it says, and not who of ours did anything."""
    detail = {"recipient": "other@rcpt.test", "reply": "smtp; 550 gone", "word": "no-such-address", "hard": True, "by": "root", "reporter": "mx.test"}
    found = happening(kind="bounced-later", detail=detail, recipient="", reason="returned")
    (new,) = webhook_events.news([found], [hook()], lambda user: 1, lambda domain: 0)
    data = json.loads(new.body)["data"]
    assert (data["recipient"], data["reply"], data["word"], data["hard"], data["reporter"], data["reason"]) == (
        "other@rcpt.test", "smtp; 550 gone", "no-such-address", True, "mx.test", "returned",
    )  # fmt: skip
    assert "by" not in data


def test_ids() -> None:
    """One happening has one id, for whichever webhook and however often it is read; another happening another."""

    def ids(found: Happening) -> set[str]:
        return {new.event for new in webhook_events.news([found], [hook(), hook(uuid="i")], lambda user: 1, lambda domain: 1)}

    assert len(ids(happening())) == 1 and ids(happening()) == ids(happening(status="queued", reply="other"))
    assert not ids(happening()) & ids(happening(row=2)) & ids(happening(uid="u2"))
    assert len(ids(happening(direction="inbound", status="quarantined"))) == 2
