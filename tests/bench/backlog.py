"""queue: a restart with very many messages queued. How long until `jetmail ready`, and how big is the process then and after it has begun to work.

The messages are put there by the product's own accepting transaction, in the store of an appliance that is not running: a tenth of them is due
now, the others over the next four hours, to ten destinations where nobody listens.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import Any

from jetmail.store.database import Connection, InlineDatabase
from jetmail.store.traffic.messages import Content, NewDelivery, NewMessage, accept
from tests.bench.figures import Aim, mb
from tests.bench.sides import Jetmail, private
from tests.live.harness import free_port, merge, wait_until
from tests.live.loader import content

DESTINATIONS = 10
BATCH = 1000


def fill(path: str, count: int, size: int, now: float) -> None:
    """`count` queued messages of `size` octets in the store at `path`."""
    dice = random.Random(1)
    octets = content("backlog", size, dice)
    database = InlineDatabase(path)

    def store(conn: Connection, numbers: range) -> None:
        for number in numbers:
            accept(conn, message(number, octets, now, dice))

    for first in range(0, count, BATCH):
        failures: list[Any] = []
        database.run(store, range(first, min(count, first + BATCH))).addErrback(failures.append)
        if failures:
            raise AssertionError(f"the accepting transaction failed: {failures[0].getErrorMessage()}")
    database.close()


def message(number: int, octets: bytes, now: float, dice: random.Random) -> NewMessage:
    domain = f"d{number % DESTINATIONS}.example.test"
    arrived = now - dice.uniform(0, 86400)
    due = now if number % 10 == 0 else now + dice.uniform(60, 4 * 3600)
    delivery = NewDelivery(f"someone-{number}@{domain}", domain, f"someone-{number}@{domain}", domain, "queued")
    return NewMessage(
        uid=f"{int(arrived * 1000):011x}{number:09x}",
        direction="inbound",
        received=arrived,
        sender="a@sender.test",
        size=len(octets),
        content=Content(len(octets), octets),
        deliveries=(delivery,),
        header_from="a@sender.test",
        subject=f"backlog {number}",
        message_id=f"<{number}@sender.test>",
        client_address="192.0.2.1",
        helo="sender.test",
        first_retry=due,
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    side = Jetmail(settings=merge(private(), {"queue": {"delay_notice": 0.0}}))  # notices would be more mail
    try:
        for number in range(DESTINATIONS):
            side.appliance.domain(f"d{number}.example.test", free_port(), "--tls", "none")
        print(f"filling the store with {options.queued} messages", file=sys.stderr, flush=True)
        began = time.perf_counter()
        fill(str(side.appliance.database), options.queued, options.size, time.time())
        filled = time.perf_counter() - began
        ready, at_ready, settled = [], [], []
        for _ in range(options.starts):
            side.start()
            ready.append(side.appliance.seconds_to_ready)
            at_ready.append(side.appliance.memory())
            time.sleep(options.settle)
            settled.append(side.appliance.memory("VmHWM"))
            side.appliance.stop()
            print(
                f"start: ready after {ready[-1]:.2f} s with {mb(at_ready[-1]):.0f} MB, at most {mb(settled[-1]):.0f} MB in {options.settle:g} s",
                file=sys.stderr,
                flush=True,
            )
        side.start()
        count = wait_until(lambda: len(side.appliance.queued()), 60, "queue list answers")
        if count != options.queued:
            raise AssertionError(f"{options.queued} messages were queued and {count} are listed")
    finally:
        side.stop()
    aims = [Aim(f"ready with {options.queued} queued", max(ready), 3, "s"), Aim("resident at its peak", mb(max(settled)), 200, "MB")]
    return {
        "bench": "queue",
        "queued": options.queued,
        "size": options.size,
        "fill_seconds": round(filled, 1),
        "ready_seconds": [round(each, 2) for each in ready],
        "rss_at_ready_mb": [round(mb(each), 1) for each in at_ready],
        "peak_mb": [round(mb(each), 1) for each in settled],
        "aims": [aim.plain() for aim in aims],
    }


def told(result: dict[str, Any]) -> list[str]:
    """For people."""
    return [
        f"queue: {result['queued']} messages of {result['size']} octets queued (stored in {result['fill_seconds']} s)",
        f"  ready after (s)      {result['ready_seconds']}",
        f"  resident then (MB)   {result['rss_at_ready_mb']}",
        f"  peak while it works  {result['peak_mb']}",
    ]
