"""What was taught: which message for whom, the journal of what the model has yet to learn, and the overlays of persons (store.schema.v0003).

The journal is read by one process, which applies its steps to the model in memory; a step goes once what it taught is safe: of everybody's model
with the file that holds it (`forget_general`), of a person's with the overlay, in one transaction (`put_overlays`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jetmail.store.database import Connection

MAX_STEPS = 1_000  # read at once


@dataclass(frozen=True, slots=True)
class Step:
    """A training_steps row. `person` '' is everybody; `undoes`: the message was learnt as the opposite before."""

    seq: int
    person: str
    is_spam: bool
    undoes: bool
    features: bytes


def teach(conn: Connection, content: str, person: str, is_spam: bool, features: bytes, at: float, actor: str) -> bool | None:
    """Remember one training and journal it. -> None when the message was learnt so already (and nothing is done), else whether it undoes the
    opposite."""
    row = conn.execute("SELECT label FROM trainings WHERE content = ? AND person = ?", (content, person)).fetchone()
    if row is not None and bool(row[0]) is is_spam:
        return None
    conn.execute(
        """INSERT INTO trainings (content, person, label, at, actor) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (content, person) DO UPDATE SET label = excluded.label, at = excluded.at, actor = excluded.actor""",
        (content, person, int(is_spam), at, actor),
    )
    undoes = row is not None
    conn.execute("INSERT INTO training_steps (person, label, undoes, features) VALUES (?, ?, ?, ?)", (person, int(is_spam), int(undoes), features))
    return undoes


def label(conn: Connection, content: str, person: str) -> bool | None:
    """What the message was last learnt as for the person: True spam, False ham, None never."""
    row = conn.execute("SELECT label FROM trainings WHERE content = ? AND person = ?", (content, person)).fetchone()
    return None if row is None else bool(row[0])


def identity(conn: Connection) -> str:
    """Which journal this is."""
    found: str = conn.execute("SELECT identity FROM learning").fetchone()[0]
    return found


def last_seq(conn: Connection) -> int:
    """The highest number the journal ever gave; 0 before the first."""
    row = conn.execute("SELECT seq FROM sqlite_sequence WHERE name = 'training_steps'").fetchone()
    return row[0] if row else 0


def steps(conn: Connection, after: int, limit: int = MAX_STEPS) -> tuple[Step, ...]:
    """The steps behind number `after`, in order."""
    rows = conn.execute(
        "SELECT seq, person, label, undoes, features FROM training_steps WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
    ).fetchall()
    return tuple(Step(row[0], row[1], bool(row[2]), bool(row[3]), row[4]) for row in rows)


def pending(conn: Connection) -> int:
    """How many steps the journal holds."""
    found: int = conn.execute("SELECT count(*) FROM training_steps").fetchone()[0]
    return found


def forget_general(conn: Connection, up_to: int) -> int:
    """Everybody's steps up to that number are in the model file. -> how many went."""
    return conn.execute("DELETE FROM training_steps WHERE person = '' AND seq <= ?", (up_to,)).rowcount


def persons(conn: Connection) -> frozenset[str]:
    """Who has an overlay."""
    return frozenset(row[0] for row in conn.execute("SELECT person FROM overlays").fetchall())


def overlay(conn: Connection, person: str) -> bytes | None:
    """A person's overlay, None where there is none."""
    row = conn.execute("SELECT data FROM overlays WHERE person = ?", (person,)).fetchone()
    return None if row is None else row[0]


def put_overlays(conn: Connection, overlays: Sequence[tuple[str, bytes]], done: Iterable[int]) -> None:
    """Keep these overlays and forget the steps (numbers) that are in them."""
    conn.executemany("INSERT INTO overlays (person, data) VALUES (?, ?) ON CONFLICT (person) DO UPDATE SET data = excluded.data", list(overlays))
    conn.executemany("DELETE FROM training_steps WHERE seq = ?", [(seq,) for seq in done])


def expire(conn: Connection, before: float, limit: int = 5_000) -> int:
    """Forget trainings older than that; the message could then be learnt once more. -> how many went."""
    return conn.execute("DELETE FROM trainings WHERE id IN (SELECT id FROM trainings WHERE at < ? ORDER BY at LIMIT ?)", (before, limit)).rowcount
