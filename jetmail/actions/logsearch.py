"""The log as people search it (spec 1.3), each as far as they may see.

`search` reads slice after slice until the page is full, so that one question about millions of rows neither holds a read transaction nor
keeps others waiting. After MAX_SLICES it answers with what it has and a cursor: a page that goes on is better than one that never comes.

Raises UsageError (a field makes no sense); what is out of scope is simply not found.
"""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass, replace

from twisted.internet.defer import Deferred

from jetmail.actions.access import Actor, Reach, reach
from jetmail.errors import UsageError
from jetmail.interfaces import IDatabase
from jetmail.mail.address import AddressError, parse_domain
from jetmail.mail.status import Status
from jetmail.store.directory import principals
from jetmail.store.traffic.search import Criteria, Cursor, LogRow, Within, search_slice

MAX_LIMIT = 1_000  # spec 1.3
MAX_SLICES = 500  # a million messages, some seconds
MAX_TEXT = 500
_UID = re.compile(r"[A-Za-z0-9\-_.]{1,100}")  # spec 1.3


@dataclass(frozen=True, slots=True)
class Page:
    """`rows` newest first; `next` is the cursor of what follows, '' at the end."""

    rows: tuple[LogRow, ...]
    next: str


def search(db: IDatabase, actor: Actor, criteria: Criteria, *, limit: int = 100, after: str = "") -> Deferred[Page]:
    """One page of the rows that meet all criteria and that the actor may see, newest first, from behind the cursor `after`."""
    return Deferred.fromCoroutine(_search(db, actor, criteria, limit, after))


async def _search(db: IDatabase, actor: Actor, criteria: Criteria, limit: int, after: str) -> Page:
    criteria = checked(criteria)
    if not 1 <= limit <= MAX_LIMIT:
        raise UsageError("limit", f"must be 1 to {MAX_LIMIT}")
    try:
        cursor = Cursor.parse(after)
    except ValueError:
        raise UsageError("after", "is not a cursor of an earlier page") from None
    seen: Reach = db.read(reach, actor)
    within = Within() if seen.everything else Within(tuple(sorted(seen.domains)), tuple(sorted(seen.addresses)), tuple(sorted(seen.users)))
    if criteria.user and (user := db.read(principals.named, criteria.user.lower())) is not None:
        criteria = replace(criteria, user=user.uuid)  # the log knows users by uuid, people by name
    rows: list[LogRow] = []
    for _ in range(MAX_SLICES):
        found = await db.search(search_slice, criteria, within, cursor, limit - len(rows))
        rows += found.rows
        if found.next is None:
            return Page(tuple(rows), "")
        cursor = found.next
        if len(rows) >= limit:
            break
    return Page(tuple(rows), str(cursor))


def checked(criteria: Criteria) -> Criteria:
    """The criteria in stored spelling. Raises UsageError for the first field that makes no sense."""
    for name in ("subject", "sender", "recipient", "response", "reply", "user", "host"):
        if len(getattr(criteria, name)) > MAX_TEXT:
            raise UsageError(name, f"is longer than {MAX_TEXT} characters")
    if criteria.uid and not _UID.fullmatch(criteria.uid):
        raise UsageError("uid", "may only have letters, digits, '-', '_' and '.', at most 100")
    for status in criteria.status:
        if status not in [known.value for known in Status]:
            raise UsageError("status", f"'{status}' is none of {', '.join(known.value for known in Status)}")
    if criteria.direction not in ("", "inbound", "outbound"):
        raise UsageError("direction", "is inbound or outbound")
    for name in ("date_from", "date_to", "score_min", "score_max"):
        value = getattr(criteria, name)
        if value is not None and not math.isfinite(value):
            raise UsageError(name, "is no number")
    if criteria.date_from is not None and criteria.date_to is not None and criteria.date_from > criteria.date_to:
        raise UsageError("date_from", "is later than date_to")
    if criteria.score_min is not None and criteria.score_max is not None and criteria.score_min > criteria.score_max:
        raise UsageError("score_min", "is above score_max")
    if criteria.address:
        try:
            criteria = replace(criteria, address=ipaddress.ip_address(criteria.address).compressed)
        except ValueError:
            raise UsageError("address", "is no IP address") from None
    if criteria.domain:
        try:
            criteria = replace(criteria, domain=parse_domain(criteria.domain))
        except AddressError as error:
            raise UsageError("domain", str(error)) from None
    return criteria
