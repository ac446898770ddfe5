"""Suppressions: addresses that mail of an account's users is not sent to, why, and until when (spec 5.7, 10.2).

Promises
- There is one suppression for an account and an address. What is written down twice is renewed: it never ends earlier for it, and the reason that
  weighs more stands (a person's word, a complaint, an unsubscription, a bounce).
- One that has expired counts nowhere, whether or not `expire` has been by.
- Nothing here decides who may do what, and nothing is cached: `find` is one indexed read, for mail of our own users only.

Account 0 (APPLIANCE) is everybody: what the sysadmin suppresses binds all users, and only the sysadmin lifts it. Accounts are known by their ids,
addresses by `Address.key`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jetmail.store.database import Connection

APPLIANCE = 0
BOUNCE, COMPLAINT, UNSUBSCRIBE, MANUAL = REASONS = ("bounce", "complaint", "unsubscribe", "manual")
MAX_DETAIL = 500
_WEIGHT = {BOUNCE: 0, UNSUBSCRIBE: 1, COMPLAINT: 2, MANUAL: 3}
_COLUMNS = "id, account_id, address, reason, detail, created, expires, source"
_COUNTS = "(expires IS NULL OR expires > ?)"


@dataclass(frozen=True, slots=True)
class Suppression:
    """A row. `account_id` 0: the appliance's. `expires` None: never. `source`: the uid of the message that showed it, or whoever wrote it down."""

    id: int
    account_id: int
    address: str
    reason: str
    detail: str
    created: float
    expires: float | None
    source: str

    def is_active(self, now: float) -> bool:
        """Whether it counts."""
        return self.expires is None or self.expires > now


class Strike(NamedTuple):
    """A refusal for good that speaks of the address, or a complaint. With `needed` of them (different messages) since `since`, this one included, the
    address is suppressed for that reason until `expires`. `source` is the message's uid."""

    account_id: int
    address: str
    detail: str
    at: float
    source: str
    needed: int
    since: float
    expires: float | None
    reason: str = BOUNCE


class Page(NamedTuple):
    """Up to `limit` rows, and how many there are in all."""

    rows: tuple[Suppression, ...]
    total: int


def add(conn: Connection, account_id: int, address: str, reason: str, detail: str, now: float, expires: float | None, source: str = "") -> bool:
    """Suppress the address, or renew it. -> whether it was not suppressed before. An active one keeps its later end, and its reason, detail and
    source where they weigh more."""
    old = get(conn, account_id, address)
    detail = detail[:MAX_DETAIL]
    if old is None or not old.is_active(now):
        conn.execute(
            """INSERT INTO suppressions (account_id, address, reason, detail, created, expires, source) VALUES (?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT DO UPDATE SET reason = excluded.reason, detail = excluded.detail, created = excluded.created,
                expires = excluded.expires, source = excluded.source""",
            (account_id, address, reason, detail, now, expires, source),
        )
        return True
    later = None if old.expires is None or expires is None else max(old.expires, expires)
    if _WEIGHT[reason] < _WEIGHT[old.reason]:
        reason, detail, source = old.reason, old.detail, old.source
    conn.execute("UPDATE suppressions SET reason = ?, detail = ?, expires = ?, source = ? WHERE id = ?", (reason, detail, later, source, old.id))
    return False


def strike(conn: Connection, new: Strike) -> bool:
    """Count a refusal. -> whether the address is suppressed now and was not before. The same message counts once."""
    if new.needed > 1:
        conn.execute(
            "INSERT OR IGNORE INTO suppression_strikes (address, account_id, source, at) VALUES (?, ?, ?, ?)",
            (new.address, new.account_id, new.source, new.at),
        )
        query = "SELECT count(*) FROM suppression_strikes WHERE address = ? AND account_id = ? AND at >= ?"
        if conn.execute(query, (new.address, new.account_id, new.since)).fetchone()[0] < new.needed:
            return False
    return add(conn, new.account_id, new.address, new.reason, new.detail, new.at, new.expires, new.source)


def find(conn: Connection, account_id: int, addresses: Iterable[str], now: float) -> dict[str, Suppression]:
    """What counts for mail of the account to these addresses, by address; where the appliance and the account both suppress one, the appliance's."""
    rows = conn.execute(
        # The index is named because SQLite, without figures of its own, would rather walk the whole account.
        f"""SELECT {_COLUMNS} FROM suppressions INDEXED BY suppressions_address
            WHERE address IN (SELECT value FROM json_each(?)) AND account_id IN (?, 0) AND {_COUNTS} ORDER BY account_id DESC""",
        (json.dumps(list(addresses)), account_id, now),
    ).fetchall()
    return {row[2]: Suppression(*row) for row in rows}


def get(conn: Connection, account_id: int, address: str) -> Suppression | None:
    """The row of exactly that account, expired or not."""
    row = conn.execute(f"SELECT {_COLUMNS} FROM suppressions WHERE address = ? AND account_id = ?", (address, account_id)).fetchone()
    return Suppression(*row) if row else None


def by_id(conn: Connection, suppression_id: int) -> Suppression | None:
    """The row of that id, expired or not."""
    row = conn.execute(f"SELECT {_COLUMNS} FROM suppressions WHERE id = ?", (suppression_id,)).fetchone()
    return Suppression(*row) if row else None


def save(conn: Connection, changed: Suppression) -> None:
    """Write reason, detail, expiry and source of a stored one as they are given: a person may shorten what `add` would not."""
    conn.execute(
        "UPDATE suppressions SET reason = ?, detail = ?, expires = ?, source = ? WHERE id = ?",
        (changed.reason, changed.detail[:MAX_DETAIL], changed.expires, changed.source, changed.id),
    )


def remove(conn: Connection, account_id: int, address: str) -> bool:
    """Lift it, and forget what counted towards it. -> whether there was one."""
    conn.execute("DELETE FROM suppression_strikes WHERE address = ? AND account_id = ?", (address, account_id))
    return conn.execute("DELETE FROM suppressions WHERE address = ? AND account_id = ?", (address, account_id)).rowcount > 0


def listing(
    conn: Connection,
    account_ids: Sequence[int] | None,
    now: float,
    *,
    search: str = "",
    reason: str = "",
    after: int = 0,
    limit: int = 100,
) -> Page:
    """Those that count, newest first, `after` (an id) where the last page ended: of these accounts, or (None) of all. `search`: a part of the
    address."""
    where, arguments = [_COUNTS], list[object]((now,))
    if account_ids is not None:
        where.append(f"account_id IN ({', '.join('?' * len(account_ids))})")
        arguments.extend(account_ids)
    if search:
        where.append("instr(address, ?) > 0")
        arguments.append(search.casefold())
    if reason:
        where.append("reason = ?")
        arguments.append(reason)
    total = conn.execute(f"SELECT count(*) FROM suppressions WHERE {' AND '.join(where)}", arguments).fetchone()[0]
    if after:
        where.append("id < ?")
        arguments.append(after)
    rows = conn.execute(f"SELECT {_COLUMNS} FROM suppressions WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?", (*arguments, limit)).fetchall()
    return Page(tuple(Suppression(*row) for row in rows), int(total))


def expire(conn: Connection, now: float, strikes_before: float, limit: int = 1_000) -> int:
    """Forget up to `limit` that have expired, and up to `limit` strikes from before that time. -> how many in all."""
    gone = conn.execute(
        "DELETE FROM suppressions WHERE id IN (SELECT id FROM suppressions WHERE expires <= ? ORDER BY expires LIMIT ?)", (now, limit)
    ).rowcount
    return gone + conn.execute(
        """DELETE FROM suppression_strikes WHERE (address, account_id, source) IN
            (SELECT address, account_id, source FROM suppression_strikes WHERE at < ? ORDER BY at LIMIT ?)""",
        (strikes_before, limit),
    ).rowcount  # fmt: skip
