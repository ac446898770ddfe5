"""Where an SPF record leads: followed as far as it is asked for, and no further."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from jetmail.mailauth import spf_includes
from jetmail.mailauth.spf_includes import MAX_RECORDS, Walk
from tests.fakes import FakeResolver

CHAIN = {(f"n{number}.test", "TXT"): [f"v=spf1 include:n{number + 1}.test -all".encode()] for number in range(40)}


def walked(resolver: FakeResolver, domain: str, **how: object) -> Walk:
    """What is found."""
    got: list[Walk] = []
    Deferred.fromCoroutine(spf_includes.walk(resolver, domain, **how)).addCallback(got.append)  # type: ignore[arg-type]
    return got[0]


@pytest.mark.parametrize(
    ("how", "asked", "is_cut"),
    [({}, MAX_RECORDS, True), ({"most": 1}, 1, True), ({"until": "n3.test"}, 3, True), ({"until": "n20.test", "most": 10}, 10, True)],
)
def test_how_far(how: dict[str, object], asked: int, is_cut: bool) -> None:
    """To the name that is looked for, or to so many records; that there was more is told."""
    resolver = FakeResolver(CHAIN)
    found = walked(resolver, "n0.test", **how)
    assert (len(resolver.asked), found.is_cut) == (asked, is_cut)
    assert found.leads_to("n3.test") is (asked >= 3)


def test_to_the_end() -> None:
    """A record that leads nowhere further is not cut, and what stands behind `all` or is excluded is not followed."""
    zone = {("a.test", "TXT"): [b"v=spf1 -include:no.test include:b.test all include:c.test"], ("b.test", "TXT"): [b"v=spf1 -all"]}
    found = walked(FakeResolver(zone), "a.test")
    assert (found.includes, found.is_cut, found.unknown) == (["b.test"], False, "")
