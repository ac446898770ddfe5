"""Where a destination's mail goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from jetmail.interfaces import AnswerKind
from jetmail.mail.outcome import Outcome, Result
from jetmail.outbound.route import (
    Credentials,
    Destination,
    Hop,
    Route,
    RouteOptions,
    Router,
    Smarthost,
)
from jetmail.outbound.tls import TlsMode
from tests.fakes import FakeEntropy, FakeResolver

OPP = TlsMode.OPPORTUNISTIC


def route(destination: str, zone: dict[tuple[str, str], Any] | None = None, rows: Sequence[Destination] = (), *numbers: float, **options: Any) -> Any:
    """What the router says."""
    router = Router(FakeResolver(zone), lambda domain: rows if domain == "relay.test" else (), FakeEntropy(*numbers), RouteOptions(**options))
    found: list[Any] = []
    router.route(destination).addCallback(found.append)
    return found[0]


def hosts(found: Any) -> list[str]:
    """The names of a route's hosts."""
    assert isinstance(found, Route), found
    return [hop.host for hop in found.hops]


def test_mx_by_preference() -> None:
    """Lower preference first; equal ones in the order the dice say; IPv6 and IPv4 alternate."""
    zone = {
        ("a.test", "MX"): [(20, "back.test"), (10, "one.test"), (10, "two.test")],
        ("one.test", "A"): ["192.0.2.1", "192.0.2.2"],
        ("one.test", "AAAA"): ["2001:db8::1", "2001:db8::2", "2001:db8::3"],
        ("two.test", "A"): ["192.0.2.3"],
        ("back.test", "A"): ["192.0.2.4"],
    }
    assert hosts(route("a.test", zone, (), 0.5, 0.1, 0.9)) == ["one.test", "two.test", "back.test"]
    found = route("a.test", zone, (), 0.5, 0.9, 0.1)
    assert hosts(found) == ["two.test", "one.test", "back.test"]
    assert found.hops[1] == Hop("one.test", ("2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"), 25, OPP)


def test_implicit_mx() -> None:
    """A name without MX is its own host; one that does not exist is not."""
    assert route("a.test", {("a.test", "A"): ["192.0.2.1"]}) == Route((Hop("a.test", ("192.0.2.1",), 25, OPP),))


def test_null_mx() -> None:
    """A null MX means never (RFC 7505); an empty name among others is passed over."""
    found = route("a.test", {("a.test", "MX"): [(0, "")]})
    assert (found.result, found.reason, str(found.reply)[:10]) == (Result.NEVER, "null-mx", "556 5.1.10")
    zone = {("a.test", "MX"): [(0, ""), (10, "mx.test")], ("mx.test", "A"): ["192.0.2.1"]}
    assert hosts(route("a.test", zone)) == ["mx.test"]


@pytest.mark.parametrize("kind", [AnswerKind.NXDOMAIN, AnswerKind.SERVFAIL, AnswerKind.TIMEOUT])
def test_dns_faults(kind: AnswerKind) -> None:
    """Every way for the MX look-up to fail means later."""
    found = route("a.test", {("a.test", "MX"): kind})
    assert (found.result, found.reason, found.is_host_fault) == (Result.LATER, "dns", True)


@pytest.mark.parametrize("kind", [AnswerKind.NXDOMAIN, AnswerKind.SERVFAIL, AnswerKind.TIMEOUT, AnswerKind.NODATA])
def test_host_faults(kind: AnswerKind) -> None:
    """Hosts without addresses, for whatever reason, mean later; one with an address is enough."""
    zone: dict[tuple[str, str], Any] = {("a.test", "MX"): [(1, "bad.test")], ("bad.test", "A"): kind, ("bad.test", "AAAA"): kind}
    found = route("a.test", zone)
    assert (found.result, found.reason) == (Result.LATER, "dns")
    zone[("a.test", "MX")] = [(1, "bad.test"), (2, "good.test")]
    zone[("good.test", "A")] = ["192.0.2.1"]
    zone[("good.test", "AAAA")] = kind
    assert hosts(route("a.test", zone)) == ["good.test"]


ZONE_WITH_US = {
    ("a.test", "MX"): [(10, "better.test"), (20, "us.test"), (20, "equal.test"), (30, "worse.test")],
    ("better.test", "A"): ["192.0.2.1"],
    ("us.test", "A"): ["192.0.2.2"],
    ("equal.test", "A"): ["192.0.2.3"],
    ("worse.test", "A"): ["192.0.2.4"],
}


@pytest.mark.parametrize("own", [{"own_names": frozenset({"us.test"})}, {"own_endpoints": frozenset({("192.0.2.2", 25)})}])
def test_own_host(own: dict[str, Any]) -> None:
    """We and those who are no better are left out (RFC 5321 5.1); when nobody is better, the mail loops."""
    assert hosts(route("a.test", ZONE_WITH_US, **own)) == ["better.test"]
    zone = {**ZONE_WITH_US, ("a.test", "MX"): [(20, "us.test"), (30, "worse.test")]}
    found = route("a.test", zone, **own)
    assert (found.result, found.reason, str(found.reply)[:9]) == (Result.NEVER, "loop", "554 5.4.6")


def test_own_host_with_a_better_one_unknown() -> None:
    """When the better host cannot be looked up, that is later, not a loop."""
    zone: dict[tuple[str, str], Any] = {**ZONE_WITH_US, ("better.test", "A"): AnswerKind.TIMEOUT, ("better.test", "AAAA"): AnswerKind.TIMEOUT}
    found = route("a.test", zone, own_names=frozenset({"us.test"}))
    assert found.reason == "dns"


def test_relay_destinations() -> None:
    """A relay domain's destinations by priority, with their ports and modes; names are looked up, addresses taken."""
    rows = [Destination("192.0.2.9", 2525, 5, TlsMode.NONE), Destination("mx.test", 26, 1, TlsMode.VERIFIED)]
    found = route("relay.test", {("mx.test", "AAAA"): ["2001:db8::1"]}, rows)
    assert found == Route((Hop("mx.test", ("2001:db8::1",), 26, TlsMode.VERIFIED), Hop("192.0.2.9", ("192.0.2.9",), 2525, TlsMode.NONE)))


def test_relay_order_is_the_administrators() -> None:
    """Of configured destinations only those that are us are left out, by address and port; on another port we are another host."""
    rows = [Destination("192.0.2.1", 25, 1), Destination("192.0.2.1", 2526, 2), Destination("192.0.2.2", 25, 3)]
    own = frozenset({("192.0.2.1", 25)})
    assert [hop.port for hop in route("relay.test", {}, rows, own_endpoints=own).hops] == [2526, 25]
    assert route("relay.test", {}, rows[:1], own_endpoints=own).reason == "loop"


def test_smarthost() -> None:
    """A smarthost takes what no relay domain claims, with its credentials; MX is not asked."""
    smarthost = Smarthost("smart.test", 587, TlsMode.VERIFIED, Credentials("user", "secret"))
    zone = {("smart.test", "A"): ["192.0.2.5"], ("a.test", "MX"): [(1, "mx.test")]}
    hop = Hop("smart.test", ("192.0.2.5",), 587, TlsMode.VERIFIED, Credentials("user", "secret"))
    assert route("a.test", zone, smarthost=smarthost) == Route((hop,))
    assert hosts(route("relay.test", zone, [Destination("192.0.2.9")], smarthost=smarthost)) == ["192.0.2.9"]
    assert "secret" not in repr(smarthost)


def test_literals() -> None:
    """An address literal is its own host."""
    assert route("[192.0.2.1]").hops[0].addresses == ("192.0.2.1",)
    assert route("[IPv6:2001:db8::1]").hops[0].addresses == ("2001:db8::1",)
    assert route("[192.0.2.1]", own_endpoints=frozenset({("192.0.2.1", 25)})).reason == "loop"


def test_limits() -> None:
    """Hosts and addresses past the limits are not tried, nor looked up."""
    zone: dict[tuple[str, str], Any] = {("a.test", "MX"): [(number, f"mx{number}.test") for number in range(30)]}
    zone.update({(f"mx{number}.test", "A"): [f"192.0.2.{number}", f"198.51.100.{number}"] for number in range(30)})
    found = route("a.test", zone, max_hosts=4, max_addresses=5)
    assert [len(hop.addresses) for hop in found.hops] == [2, 2, 1]


def test_at_once_without_dns() -> None:
    """What needs no DNS is known at once; the rest is not."""
    router = Router(FakeResolver(), lambda domain: [Destination("192.0.2.9")] if domain == "relay.test" else [], FakeEntropy(), RouteOptions())
    assert isinstance(router.known("relay.test"), Route) and router.known("a.test") is None
    assert not isinstance(router.known("[192.0.2.1]"), Outcome)


def best(destination: str, zone: dict[tuple[str, str], Any] | None = None, rows: Sequence[Destination] = (), **options: Any) -> Any:
    """What `best` says, at once or not."""
    router = Router(FakeResolver(zone), lambda domain: rows if domain == "relay.test" else (), FakeEntropy(), RouteOptions(**options))
    found = router.best(destination)
    if not isinstance(found, Deferred):
        return found
    answers: list[Any] = []
    found.addCallback(answers.append)
    return answers[0]


def test_best_by_mx() -> None:
    """The best MX host, the same one every time among equals; the name itself where it has none; nobody where DNS fails or takes no mail."""
    zone: dict[tuple[str, str], Any] = {
        ("a.test", "MX"): [(20, "back.test"), (10, "two.test"), (10, "one.test")],
        ("c.test", "MX"): AnswerKind.SERVFAIL,
        ("d.test", "MX"): [(0, "")],
        ("e.test", "A"): ["192.0.2.1"],
    }
    assert best("a.test", zone) == ("one.test", 25, False)
    assert best("c.test", zone) is None
    assert best("d.test", zone) is None
    assert best("e.test", zone) == ("e.test", 25, False)


def test_best_as_configured() -> None:
    """A relay domain's first destination, the smarthost and a literal need no DNS."""
    rows = (Destination("back.test", 25, 2), Destination("mail.test", 2525, 1))
    assert best("relay.test", rows=rows) == ("mail.test", 2525, True)
    assert best("a.test", smarthost=Smarthost("smart.test", 587)) == ("smart.test", 587, True)
    assert best("[IPv6:2001:db8::1]") == ("2001:db8::1", 25, True)
