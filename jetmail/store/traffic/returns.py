"""What came to a return path: taken in and joined to the message it speaks of, in one transaction; listed and forgotten.

Promises
- `take` stores the message that came (as any message: content, row, delivery), a row for each recipient it speaks of, an event in the timeline of the
  message it speaks of, the change of a delivery's status that it contradicts, and the suppressions it leads to: all or none.
- A delivery is only ever changed from delivered to rejected, by a failure told for the address it went to.
- Nothing is written of a message that is no longer in the store but the row itself.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jetmail.mail.returned import Returned, is_hard
from jetmail.mail.returned_fields import Recipient
from jetmail.mail.status import Status
from jetmail.store.database import Connection
from jetmail.store.traffic import messages, settlement, suppressions
from jetmail.store.traffic.messages import Accepted, DeliveryRow, Message, NewMessage
from jetmail.store.traffic.suppressions import Strike

REASON = "returned"
EVENTS = {
    "bounce": "bounced-later",
    "delay": "delayed-later",
    "success": "confirmed-later",
    "feedback": "complaint",
    "auto-reply": "auto-reply",
    "other": "returned-mail",
}
MAX_REPLY = 500


class Joined(NamedTuple):
    """One recipient of a report and the delivery it is about, None where that cannot be told."""

    said: Recipient
    delivery: DeliveryRow | None

    @property
    def address(self) -> str:
        """Whom we sent it to, as far as that is known."""
        return self.delivery.recipient if self.delivery is not None else self.said.original or self.said.address


class Taken(NamedTuple):
    """What `take` is to write. `new`: the message that came, its delivery queued to the original sender or final; `about` the message it speaks of;
    `passed_on`: the original sender gets it. `strikes`: what counts towards suppressions."""

    new: NewMessage
    about: Message
    found: Returned
    joined: tuple[Joined, ...]
    passed_on: bool
    strikes: tuple[Strike, ...] = ()


@dataclass(frozen=True, slots=True)
class Return:
    """A row. Fields are the columns."""

    id: int
    at: float
    kind: str
    about: str
    delivery_id: int | None
    user: str
    sender: str
    recipient: str
    final: str
    action: str
    status: str
    word: str
    is_hard: bool
    diagnostic: str
    remote_mta: str
    feedback_type: str
    source_ip: str
    reporter: str
    text: str
    report: str
    passed_on: bool


_COLUMNS = """id, at, kind, about, delivery_id, user, sender, recipient, final, action, status, word, is_hard, diagnostic, remote_mta, feedback_type,
    source_ip, reporter, text, report, passed_on"""


def about(conn: Connection, uid: str) -> tuple[Message, tuple[DeliveryRow, ...]] | None:
    """The message of that uid with its deliveries, None when it is gone."""
    message = messages.by_uid(conn, uid)
    return None if message is None else (message, messages.deliveries_of(conn, message.id))


def join(found: Returned, deliveries: Sequence[DeliveryRow], delivery_id: int, is_one: bool) -> tuple[Joined, ...]:
    """Which delivery each recipient of a report is. `delivery_id`, `is_one`: what the return path said. One that names several means those to the
    same destination alone, so that no host tells of another's recipients."""
    named = next((each for each in deliveries if each.id == delivery_id), None)
    if named is None:
        mine: Sequence[DeliveryRow] = ()
    else:
        mine = [named] if is_one else [each for each in deliveries if each.destination == named.destination]
    only = mine[0] if len(mine) == 1 else None
    joined: list[Joined] = []
    for said in found.recipients or (Recipient(""),):
        wanted = {address.casefold() for address in (said.original, said.address) if address}
        match = next((each for each in mine if {each.recipient.casefold(), each.target.casefold()} & wanted), only)
        joined.append(Joined(said, match))
    return tuple(joined)


def take(conn: Connection, taken: Taken) -> Accepted:
    """See the module."""
    accepted = messages.accept(conn, taken.new)
    now, about = taken.new.received, taken.about
    for joined in taken.joined:
        said, delivery = joined
        conn.execute(
            f"INSERT INTO returns ({_COLUMNS.partition(',')[2]}) VALUES ({', '.join('?' * 20)})",
            (
                now, taken.found.kind, about.uid, delivery.id if delivery is not None else None, about.user, about.sender, joined.address,
                said.address, said.action, said.status, said.word, is_hard(said), said.diagnostic, said.remote_mta, taken.found.feedback_type,
                taken.found.source_ip, taken.found.reporter, taken.found.text, taken.new.uid, taken.passed_on,
            ),
        )  # fmt: skip
        messages.add_event(conn, about.id, delivery.id if delivery is not None else None, now, EVENTS[taken.found.kind], _detail(taken, joined))
        if contradicts(taken.found, joined):
            assert delivery is not None
            conn.execute(
                "UPDATE deliveries SET status = ?, reason = ?, reply = ?, finished = ? WHERE id = ? AND status = ?",
                (str(Status.REJECTED), REASON, _reply(said), now, delivery.id, str(Status.DELIVERED)),
            )
    for strike in taken.strikes:
        if suppressions.strike(conn, strike):
            messages.add_event(conn, about.id, None, now, "suppressed", dict(settlement.suppressed(strike)))
    return accepted


def is_about(joined: Joined) -> bool:
    """Whether a report names the address its delivery went to."""
    said, delivery = joined
    ours = {delivery.recipient.casefold(), delivery.target.casefold()} if delivery is not None else set()
    return said.address.casefold() in ours or said.original.casefold() in ours


def contradicts(found: Returned, joined: Joined) -> bool:
    """Whether a report says that what was delivered was not: a failure, told for the address it went to, or for the only one it speaks of."""
    said, delivery = joined
    if found.kind != "bounce" or said.action != "failed" or delivery is None or delivery.status != Status.DELIVERED:
        return False
    return len(found.recipients) == 1 or is_about(joined)


def listing(
    conn: Connection, users: Collection[str] | None, *, kind: str = "", about: str = "", recipient: str = "", hard: bool = False, after: int = 0,
    limit: int = 100,
) -> tuple[Return, ...]:  # fmt: skip
    """The newest, `after` (an id) where the last page ended: of mail of these users, or (None) of all. `recipient`: a part of the address."""
    where, arguments = ["1"], list[object]()
    if users is not None:
        where.append("user IN (SELECT value FROM json_each(?))")
        arguments.append(json.dumps(list(users)))
    for column, value in (("kind", kind), ("about", about)):
        if value:
            where.append(f"{column} = ?")
            arguments.append(value)
    if recipient:
        where.append("(instr(lower(recipient), ?) > 0 OR instr(lower(final), ?) > 0)")
        arguments += [recipient.lower()] * 2
    if hard:
        where.append("is_hard = 1")
    if after:
        where.append("id < ?")
        arguments.append(after)
    rows = conn.execute(f"SELECT {_COLUMNS} FROM returns WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?", (*arguments, limit)).fetchall()
    return tuple(_return(row) for row in rows)


def get(conn: Connection, return_id: int) -> Return | None:
    """The row of that id."""
    row = conn.execute(f"SELECT {_COLUMNS} FROM returns WHERE id = ?", (return_id,)).fetchone()
    return _return(row) if row else None


def forget(conn: Connection, before: float, limit: int = 500) -> int:
    """Forget up to `limit` from before that time. -> how many."""
    return conn.execute("DELETE FROM returns WHERE id IN (SELECT id FROM returns WHERE at < ? LIMIT ?)", (before, limit)).rowcount


def _return(row: tuple) -> Return:
    values = list(row)
    values[12], values[20] = bool(row[12]), bool(row[20])
    return Return(*values)


def _reply(said: Recipient) -> str:
    return (said.diagnostic or f"{said.status} {said.word}")[:MAX_REPLY]


def _detail(taken: Taken, joined: Joined) -> dict[str, object]:
    said, found = joined.said, taken.found
    detail: dict[str, object] = {
        "recipient": joined.address, "final": said.address, "action": said.action, "status": said.status, "word": said.word, "hard": is_hard(said),
        "reply": said.diagnostic[:MAX_REPLY], "host": said.remote_mta, "reporter": found.reporter, "type": found.feedback_type,
        "source": found.source_ip, "uid": taken.new.uid, "passed_on": taken.passed_on,
    }  # fmt: skip
    return {name: value for name, value in detail.items() if value not in ("", False)}
