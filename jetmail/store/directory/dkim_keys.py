"""The keys mail of a domain is signed with: everything about them but the private half, which is a file (store.keyfiles)."""

from __future__ import annotations

from dataclasses import dataclass

from jetmail.store.database import Connection

COLUMNS = ("domain", "selector", "algorithm", "state", "record", "fingerprint", "created", "seen", "activated", "retired")
_SELECT = f"SELECT {', '.join(COLUMNS)}, id FROM dkim_keys"


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A dkim_keys row. `algorithm` rsa or ed25519; `state` next, active or retired; `record` is the TXT with the public half. `seen`: since when it
    has been in DNS without a break, None while it is not."""

    domain: str
    selector: str
    algorithm: str
    state: str
    record: str
    fingerprint: str
    created: float
    seen: float | None = None
    activated: float | None = None
    retired: float | None = None
    id: int = 0


def of_domain(conn: Connection, domain: str) -> tuple[DkimKey, ...]:
    """The domain's keys by selector."""
    return tuple(DkimKey(*row) for row in conn.execute(f"{_SELECT} WHERE domain = ? ORDER BY selector", (domain,)).fetchall())


def active(conn: Connection, domain: str) -> tuple[DkimKey, ...]:
    """Those that sign, ed25519 before rsa."""
    rows = conn.execute(f"{_SELECT} WHERE domain = ? AND state = 'active' ORDER BY algorithm", (domain,)).fetchall()
    return tuple(DkimKey(*row) for row in rows)


def listing(conn: Connection) -> tuple[DkimKey, ...]:
    """All keys by domain and selector."""
    return tuple(DkimKey(*row) for row in conn.execute(f"{_SELECT} ORDER BY domain, selector").fetchall())


def domains(conn: Connection) -> tuple[str, ...]:
    """The domains that have keys."""
    return tuple(row[0] for row in conn.execute("SELECT DISTINCT domain FROM dkim_keys ORDER BY domain").fetchall())


def add(conn: Connection, key: DkimKey) -> int:
    """Store a new key. -> its id. Raises sqlite3.IntegrityError when the selector is taken."""
    key_id = conn.execute(
        f"INSERT INTO dkim_keys ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", [getattr(key, column) for column in COLUMNS]
    ).lastrowid
    assert key_id is not None
    return key_id


def save(conn: Connection, key: DkimKey) -> None:
    """Write what changes in a key's life: its state and times."""
    conn.execute(
        "UPDATE dkim_keys SET state = ?, seen = ?, activated = ?, retired = ? WHERE id = ?", (key.state, key.seen, key.activated, key.retired, key.id)
    )


def remove(conn: Connection, key_id: int) -> None:
    """Forget a key."""
    conn.execute("DELETE FROM dkim_keys WHERE id = ?", (key_id,))
