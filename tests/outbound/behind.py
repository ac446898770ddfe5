"""A queue with destinations behind one provider, for the tests of sites."""

from __future__ import annotations

from typing import Any

from jetmail.mail.outcome import Outcome, Result
from jetmail.mail.reply import Reply
from jetmail.outbound.gate import Best
from jetmail.outbound.lane import QueueOptions
from jetmail.outbound.providers import Provider, Providers
from tests.outbound.appliance import Appliance

SLOW = Outcome(Result.LATER, "deferred", Reply(421, "4.7.28", "unusual rate of mail"), "mx.big.test", "192.0.2.1", 25)
TURNED_AWAY = Outcome(Result.LATER, "connect", Reply(421, "4.7.0", "try again later"), "mx.big.test", "192.0.2.1", 25)


def providers(**terms: Any) -> Providers:
    return Providers(providers=(Provider(name="big", mx=("big.test",), **terms),))


def find(name: str) -> Best:
    """big*.test leads to the provider, every other destination to a host of its own."""
    return Best("mx.big.test" if name.startswith("big") else f"mx.{name}", 25, False)


def appliance(options: QueueOptions | None = None, find: Any = find, **terms: Any) -> Appliance:
    return Appliance(options, providers=providers(**terms), find=find)
