"""Connections kept, counted and given up."""

from __future__ import annotations

from math import inf
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from jetmail.mail.reply import Reply
from jetmail.outbound.pool import Admission, Key, Pool, PoolOptions
from jetmail.outbound.tls import TlsMode

KEY = Key("mx.test", "192.0.2.1", 25, TlsMode.OPPORTUNISTIC)
OTHER = KEY._replace(host="other.test")
REFUSED = Reply(451, "4.4.1", "connection refused")


class FakeConnection:
    """A pooled thing that only counts."""

    def __init__(self, pool: Pool, key: Key = KEY) -> None:
        self.pool = pool
        self.key = key
        self.deadline = inf
        self.messages = 1
        self.is_usable = True
        self.calls: list[str] = []
        pool.add(self)

    def expired(self) -> None:
        self.calls.append("expired")
        self.quit()

    def quit(self) -> None:
        self.calls.append("quit")
        self.pool.leaving(self)

    def abort(self) -> None:
        self.calls.append("abort")
        self.pool.lost(self)


class FakeWaiter:
    """Writes down what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def granted(self, key: Key, connection: Any) -> None:
        self.told.append(connection or "place")

    def turned_away(self, key: Key) -> None:
        self.told.append("away")


class PoolTests(SynchronousTestCase):
    """Of Pool."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pool = Pool(PoolOptions(max_per_address=2, max_idle=3, idle_seconds=10, max_messages=5, wait_seconds=30), self.clock)

    def dial(self, key: Key = KEY) -> FakeConnection:
        """A connection with a place."""
        self.assertIs(self.pool.admit(key), Admission.DIAL)
        return FakeConnection(self.pool, key)

    def test_reuse(self) -> None:
        """A released connection is given to the next with the same key, and to no other; the one used last comes first."""
        first, second = self.dial(), self.dial()
        self.pool.release(first)
        self.pool.release(second)
        self.assertIsNone(self.pool.take(OTHER))
        self.assertIs(self.pool.take(KEY), second)
        self.assertIs(self.pool.take(KEY), first)
        self.assertIsNone(self.pool.take(KEY))
        self.assertEqual(self.pool.stats().reused, 2)

    def test_worn_out(self) -> None:
        """A connection that carried its share of messages, or is unusable, is not kept."""
        for change in ({"messages": 5}, {"is_usable": False}):
            connection = self.dial()
            vars(connection).update(change)
            self.pool.release(connection)
            self.assertEqual(connection.calls, ["quit"])
        self.assertIsNone(self.pool.take(KEY))

    def test_idle_expires(self) -> None:
        """An idle connection is told when its time is over, and the timer stops with the last of them."""
        connection = self.dial()
        self.pool.release(connection)
        self.clock.pump([1.0] * 9)
        self.assertEqual(connection.calls, [])
        self.clock.pump([1.0] * 2)
        self.assertEqual(connection.calls, ["expired", "quit"])
        self.assertIsNone(self.pool.take(KEY))
        self.pool.lost(connection)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_full(self) -> None:
        """A full address makes the next wait; a released connection of the same key or a free place is theirs, in order."""
        first, second = self.dial(), self.dial()
        self.assertIs(self.pool.admit(KEY), Admission.FULL)
        waiters = [FakeWaiter(), FakeWaiter(), FakeWaiter()]
        for waiter in waiters:
            self.pool.wait(KEY, waiter)
        self.pool.release(first)
        self.assertEqual([waiter.told for waiter in waiters], [[first], [], []])
        self.pool.lost(second)
        self.assertEqual([waiter.told for waiter in waiters], [[first], ["place"], []])
        self.clock.pump([10.0] * 4)
        self.assertEqual(waiters[2].told, ["away"])

    def test_other_address(self) -> None:
        """A full address does not keep others from theirs."""
        self.dial()
        self.dial()
        self.assertIs(self.pool.admit(KEY._replace(address="192.0.2.2")), Admission.DIAL)

    def test_idle_makes_room(self) -> None:
        """An idle connection of another key to the same address gives up its place."""
        first = self.dial(OTHER)
        self.dial(OTHER)
        self.pool.release(first)
        self.assertIs(self.pool.admit(KEY), Admission.DIAL)
        self.assertEqual(first.calls, ["quit"])
        waiter = FakeWaiter()
        self.pool.wait(KEY, waiter)
        self.assertEqual(waiter.told, [])

    def test_waiter_of_another_key(self) -> None:
        """A released connection nobody in line can use gives its place to the first in line."""
        first = self.dial(OTHER)
        self.dial(OTHER)
        waiter = FakeWaiter()
        self.pool.wait(KEY, waiter)
        self.pool.release(first)
        self.assertEqual((first.calls, waiter.told), (["quit"], ["place"]))

    def test_dead(self) -> None:
        """A failed address is not dialled for 30 s, then by one probe, then for twice as long, up to ten minutes."""
        waited = []
        for _ in range(7):
            connection = self.dial()
            self.assertIs(self.pool.admit(KEY), Admission.DEAD if waited else Admission.DIAL)
            self.pool.failed(KEY, REFUSED)
            self.pool.lost(connection)
            if not waited:
                self.pool.lost(FakeConnection(self.pool))
            self.assertEqual(self.pool.dead_reply(KEY), REFUSED)
            start = self.clock.seconds()
            while self.clock.seconds() < start + 700:
                self.clock.advance(10)
                if self.pool.admit(KEY) is Admission.DIAL:
                    self.pool.lost(FakeConnection(self.pool))  # the probe's place, back
                    break
            waited.append(self.clock.seconds() - start)
        self.assertEqual(waited, [30, 60, 120, 240, 480, 600, 600])
        self.pool.alive(KEY)
        self.assertIsNone(self.pool.dead_reply(KEY))

    def test_failures_together(self) -> None:
        """Many that failed together are one piece of evidence."""
        first, second = self.dial(), self.dial()
        for connection in (first, second):
            self.pool.failed(KEY, REFUSED)
            self.pool.lost(connection)
        self.clock.advance(30)
        self.assertIs(self.pool.admit(KEY), Admission.DIAL)

    def test_dead_sends_the_line_away(self) -> None:
        """Nobody waits for an address that died."""
        self.dial()
        self.dial()
        waiter = FakeWaiter()
        self.pool.wait(KEY, waiter)
        self.pool.failed(KEY, REFUSED)
        self.assertEqual(waiter.told, ["away"])
        self.assertEqual(self.pool.stats().dead, 1)

    def test_idle_limit(self) -> None:
        """Beyond the limit of idle connections a released one leaves."""
        for number in range(3):
            self.pool.release(self.dial(KEY._replace(address=f"192.0.2.{number}")))
        last = self.dial(KEY._replace(address="192.0.2.9"))
        self.pool.release(last)
        self.assertEqual(last.calls, ["quit"])
        self.assertEqual(self.pool.stats().idle, 3)

    def test_close(self) -> None:
        """Closing says QUIT on idle connections, aborts the busy, turns the waiting away and lets nobody dial."""
        idle, busy = self.dial(), self.dial()
        waiter = FakeWaiter()
        self.pool.wait(KEY, waiter)
        self.pool.release(idle) if not waiter.told else None
        self.pool.close()
        self.assertEqual(busy.calls, ["abort"])
        self.assertIs(self.pool.admit(KEY), Admission.DEAD)
        self.assertEqual(len(waiter.told), 1)


class BoundTests(SynchronousTestCase):
    """Of a pool whose hosts belong to sites."""

    def setUp(self) -> None:
        self.clock = Clock()
        sites = {"mx1.big.test": ("big", 2, 3), "mx2.big.test": ("big", 2, 3), "few.test": ("few", 0, 2)}
        self.pool = Pool(PoolOptions(max_messages=5), self.clock, lambda host, port: sites.get(host, ("", 0, 0)))

    def dial(self, host: str) -> FakeConnection:
        """A connection to that host."""
        key = KEY._replace(host=host, address=f"192.0.2.{len(host)}")
        self.assertIs(self.pool.admit(key), Admission.DIAL)
        return FakeConnection(self.pool, key)

    def test_idle_ones_count(self) -> None:
        """A connection more than the site has is dialled for an idle one of the same site that goes, whichever host it is to."""
        first, busy, other = self.dial("mx1.big.test"), self.dial("mx2.big.test"), self.dial("small.test")
        self.pool.release(other)
        self.pool.release(first)
        self.dial("mx2.big.test")
        self.assertEqual((first.calls, busy.calls, other.calls), (["quit"], [], []))

    def test_messages(self) -> None:
        """A connection carries as many messages as its site wants, others as many as the pool says."""
        for host, most in (("mx1.big.test", 3), ("few.test", 2), ("small.test", 5)):
            connection = self.dial(host)
            connection.messages = most - 1
            self.pool.release(connection)
            self.assertEqual(connection.calls, [], host)
            self.assertIs(self.pool.take(connection.key), connection)
            connection.messages = most
            self.pool.release(connection)
            self.assertEqual(connection.calls, ["quit"], host)

    def test_forgotten(self) -> None:
        """Nothing is kept of connections that are gone."""
        for host in ("mx1.big.test", "few.test", "small.test"):
            self.pool.lost(self.dial(host))
        self.assertEqual((self.pool._bound, self.pool._sites), ({}, {}))
