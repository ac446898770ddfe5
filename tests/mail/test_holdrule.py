"""What a hold rule asks of a message and its recipients."""

from __future__ import annotations

from dataclasses import replace

from jetmail.mail.holdrule import Addressee, HoldRule, Parcel, asks_for, holds

OUT = Parcel("outbound", ("a@one.test", "news@mail.two.test"), 1_000, 2.0, "uuid-1", 7)
IN = Parcel("inbound", ("x@far.test",), 1_000, 5.5)
FAR = Addressee(("ann@far.test",), ("far.test",))
OURS = Addressee(("ann@alias.test", "ann@demo.test"), ("alias.test", "demo.test"), 3)


def met(parcel: Parcel, addressee: Addressee, **asked: object) -> bool:
    """A rule that asks that holds it."""
    rule = replace(HoldRule("u"), **asked)  # type: ignore[arg-type]
    return asks_for(rule, parcel) and holds(rule, parcel, addressee)


def test_a_rule_that_asks_nothing_holds_everything() -> None:
    """Both directions, unless it names one."""
    assert met(OUT, FAR) and met(IN, OURS)
    assert met(OUT, FAR, direction="outbound") and not met(IN, OURS, direction="outbound")


def test_senders_and_recipients_by_address_domain_and_below() -> None:
    """A domain is that domain alone, '*.' all below it and not itself; the From field counts like the envelope."""
    assert met(OUT, FAR, sender="a@one.test") and not met(OUT, FAR, sender="b@one.test")
    assert met(OUT, FAR, sender="mail.two.test") and not met(OUT, FAR, sender="two.test")
    assert met(OUT, FAR, sender="*.two.test") and not met(OUT, FAR, sender="*.mail.two.test") and not met(OUT, FAR, sender="*.wo.test")
    assert met(IN, OURS, recipient="ann@demo.test") and met(IN, OURS, recipient="alias.test") and not met(IN, OURS, recipient="far.test")


def test_size_and_score_must_be_over() -> None:
    """Exactly that much is not over."""
    assert met(IN, OURS, size_over=999) and not met(IN, OURS, size_over=1_000)
    assert met(IN, OURS, score_over=5.4) and not met(IN, OURS, score_over=5.5)


def test_scope_is_the_sender_outbound_and_the_recipient_inbound() -> None:
    """An account's and a domain's rules hold what they send and what is sent to them, and nothing of others."""
    assert met(OUT, FAR, scope="account", scope_key="7") and not met(OUT, FAR, scope="account", scope_key="3")
    assert met(IN, OURS, scope="account", scope_key="3") and not met(IN, OURS, scope="account", scope_key="0")
    assert met(OUT, FAR, scope="domain", scope_key="one.test") and not met(OUT, FAR, scope="domain", scope_key="far.test")
    assert met(IN, OURS, scope="domain", scope_key="demo.test") and not met(IN, OURS, scope="domain", scope_key="far.test")
    assert met(OUT, FAR, scope="user", scope_key="uuid-1") and not met(IN, OURS, scope="user", scope_key="uuid-1")


def test_all_that_is_named_must_hold() -> None:
    """One condition that fails is enough to let it pass."""
    assert met(OUT, FAR, user="uuid-1", recipient="far.test", sender="one.test")
    assert not met(OUT, FAR, user="uuid-2", recipient="far.test", sender="one.test")


def test_a_rule_ends() -> None:
    """Switched off or expired it is not live."""
    rule = HoldRule("u", expires=10.0)
    assert rule.is_live(9.9) and not rule.is_live(10.0) and not replace(rule, enabled=False).is_live(0.0)
