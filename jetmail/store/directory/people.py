"""People: who signs in with an address of a domain of ours (spec 6.10, 10.1). Functions here obey; what may be asked is checked in actions.people.

An address is kept as its key and is one per appliance; a uuid is given once and stays. `password` is encoded by whoever calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jetmail.store.database import Connection

STATUSES = ("active", "suspended")
COLUMNS = ("uuid", "address", "account_id", "domain", "name", "password", "status", "created", "modified")
_SELECT = f"SELECT {', '.join(COLUMNS)}, id FROM people"


@dataclass(frozen=True, slots=True)
class Person:
    """A people row. `address` is an Address.key, `account_id` whose domain it is, `name` what people call them."""

    uuid: str
    address: str
    account_id: int
    domain: str
    name: str
    password: str
    status: str = "active"
    created: float = 0.0
    modified: float = 0.0
    id: int = 0

    @property
    def is_suspended(self) -> bool:
        """May not sign in."""
        return self.status == "suspended"


def at(conn: Connection, address: str) -> Person | None:
    """The person of that address (an Address.key), or None."""
    return _person(conn.execute(f"{_SELECT} WHERE address = ?", (address,)).fetchone())


def get(conn: Connection, uuid: str) -> Person | None:
    """The person of that uuid, or None."""
    return _person(conn.execute(f"{_SELECT} WHERE uuid = ?", (uuid,)).fetchone())


def listing(conn: Connection, account_ids: Iterable[int] | None = None, domain: str = "") -> tuple[Person, ...]:
    """People by domain and address: all, or those of the accounts, and of one domain where one is named."""
    wanted = list(account_ids) if account_ids is not None else None
    scope = "1" if wanted is None else f"account_id IN ({', '.join('?' * len(wanted))})"
    rows = conn.execute(f"{_SELECT} WHERE {scope} AND ? IN ('', domain) ORDER BY domain, address", [*(wanted or ()), domain]).fetchall()
    return tuple(Person(*row) for row in rows)


def count(conn: Connection, domain: str) -> int:
    """How many a domain has."""
    return int(conn.execute("SELECT count(*) FROM people WHERE domain = ?", (domain,)).fetchone()[0])


def add(conn: Connection, person: Person) -> int:
    """Store a new person. -> its id. Raises sqlite3.IntegrityError when address or uuid are taken."""
    person_id = conn.execute(
        f"INSERT INTO people ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", [getattr(person, column) for column in COLUMNS]
    ).lastrowid
    assert person_id is not None
    return person_id


def save(conn: Connection, person: Person) -> None:
    """Write every field of a stored person back (id and uuid stay)."""
    columns = COLUMNS[1:]
    conn.execute(
        f"UPDATE people SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?",
        [*(getattr(person, column) for column in columns), person.id],
    )


def remove(conn: Connection, person: Person) -> None:
    """Forget the person and what was granted to it. What it has sent stays, in the queue and in the log."""
    _forget(conn, [(person.uuid,)])


def remove_domain(conn: Connection, domain: str) -> None:
    """Forget everybody of a domain."""
    _forget(conn, conn.execute("SELECT uuid FROM people WHERE domain = ?", (domain,)).fetchall())


def _forget(conn: Connection, uuids: list[tuple[str]]) -> None:
    conn.executemany("DELETE FROM sender_addresses WHERE person = ?", uuids)
    conn.executemany("DELETE FROM smtp_user_activity WHERE user = ?", uuids)
    conn.executemany("DELETE FROM people WHERE uuid = ?", uuids)


def _person(row: tuple | None) -> Person | None:
    return Person(*row) if row is not None else None
