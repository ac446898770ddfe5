"""Settlement: what a number of finished attempts came to, written as one transaction.

Promises
- A final failure and the report about it are one transaction: a crash leaves both or neither, so no sender is left without an answer, and none
  gets two.
- What a refusal counts for against its recipient is written with it, and where that suppresses the address, the message's timeline says so.
- What happened to the lanes (down, up, woken) goes along, so that the queue makes one transaction out of everything it learnt since the last.

Decision: design 4 step 9 and 10; docs/queue.md.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from jetmail.store.database import Connection
from jetmail.store.traffic import deliveries, lanes, messages, sites, suppressions
from jetmail.store.traffic.deliveries import Attempted
from jetmail.store.traffic.lanes import LaneState
from jetmail.store.traffic.messages import Accepted, NewMessage, accept_all
from jetmail.store.traffic.sites import SiteState
from jetmail.store.traffic.suppressions import Strike


class Settlement(NamedTuple):
    """`attempted` finished deliveries, `reports` messages to their senders, `parked` claims to give back (id, due time, reason, reply),
    `down` lanes to remember, `up` lanes to forget, `wake` lanes whose waiting mail is due at once, `sites` as they stand now, `behind` lanes that
    wait for a site (destination, site, not before, why)."""

    attempted: tuple[Attempted, ...] = ()
    reports: tuple[NewMessage, ...] = ()
    parked: tuple[tuple[int, float, str, str], ...] = ()
    down: tuple[LaneState, ...] = ()
    up: tuple[str, ...] = ()
    wake: tuple[str, ...] = ()
    sites: tuple[SiteState, ...] = ()
    behind: tuple[tuple[str, str, float, str], ...] = ()


class Settled(NamedTuple):
    """`spool`: files to delete now. `reports`: as stored, ready for the window. `woken`: deliveries that became due."""

    spool: list[str]
    reports: list[Accepted]
    woken: int


def settle(conn: Connection, now: float, settlement: Settlement) -> Settled:
    """Write it all."""
    spool = deliveries.record(conn, settlement.attempted) if settlement.attempted else []
    for each in settlement.attempted:
        if each.strike is not None and suppressions.strike(conn, each.strike):
            messages.add_event(conn, each.message_id, each.id, each.at, "suppressed", suppressed(each.strike))
    if settlement.parked:
        deliveries.unclaim(conn, settlement.parked)
    reports = accept_all(conn, settlement.reports)
    for lane in settlement.down:
        lanes.save(conn, lane)
    for name in settlement.up:
        lanes.clear(conn, name)
    for site in settlement.sites:
        sites.save(conn, site)
    for waiting in settlement.behind:
        sites.wait_for(conn, *waiting)
    return Settled(spool, reports, sum(lanes.wake(conn, now, name) for name in settlement.wake))


def suppressed(new: Strike) -> dict[str, str]:
    """What the event 'suppressed' says: which address, what for, until when."""
    until = datetime.fromtimestamp(new.expires, UTC).strftime("%Y-%m-%d %H:%M UTC") if new.expires is not None else "lifted"
    return {"address": new.address, "for": new.reason, "until": until}
