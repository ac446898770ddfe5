"""The senders a person has marked with one click: spam (block) or not spam (allow). They stand in the person's own lists, the setting
`lists:address:<Address.key>`, which come before the domain's (spec 10.4).

The last word counts: a sender is on one side only. Of more than MAX_PER_PERSON on a side the oldest go.
"""

from __future__ import annotations

from collections.abc import Mapping

from jetmail.store.database import Connection
from jetmail.store.directory import settings

MAX_PER_PERSON = 5_000
SIDES = ("allow", "block")


def put(conn: Connection, person: str, sender: str, side: str) -> None:
    """File `sender` (an Address.key) under 'allow' or 'block' for `person` (an Address.key)."""
    lists = listing(conn, person)
    sides = {each: [entry for entry in lists[each] if entry != sender] for each in SIDES}
    sides[side] = [*sides[side], sender][-MAX_PER_PERSON:]
    if sides != lists:
        settings.put(conn, f"lists:address:{person}", sides)


def listing(conn: Connection, person: str) -> dict[str, list[str]]:
    """Both sides, oldest first."""
    stored = settings.get(conn, f"lists:address:{person}", {})
    found = stored if isinstance(stored, Mapping) else {}
    return {side: [str(entry) for entry in found.get(side) or []] for side in SIDES}
