"""The job that forgets suppressions."""

from __future__ import annotations

from jetmail.interfaces import IJob
from jetmail.jobs.suppressions import SuppressionsJob
from jetmail.store.traffic import suppressions
from jetmail.store.traffic.suppressions import Strike
from tests.store.samples import memory_store


def test_forgets() -> None:
    """All that has expired goes, in steps, and refusals older than the window; what counts stays."""
    db = memory_store()
    for number in range(1_200):
        db.run(suppressions.add, 1, f"{number}@far.test", "bounce", "", 0.0, 50.0 if number else None)
    for at in (10.0, 90.0):
        db.run(suppressions.strike, Strike(1, "x@far.test", "", at, f"m{at}", 9, 0.0, None))
    done: list[object] = []
    IJob(SuppressionsJob(db, lambda: 100.0, 60.0)).run().addBoth(done.append)
    assert done == [None]
    assert db.connection.execute("SELECT address FROM suppressions").fetchall() == [("0@far.test",)]
    assert db.connection.execute("SELECT source FROM suppression_strikes").fetchall() == [("m90.0",)]
