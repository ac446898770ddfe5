"""Requests that bear a key (Idempotency-Key): sent again within a day they do nothing again and are answered as the first time.

Promises
- What was answered is written by the transaction that accepts the message (`Claim.remember`): a crash leaves both or neither, so a client that heard
  nothing may send again without sending twice. What was refused is not remembered: nothing was sent, and the next try may fare better.
- Two requests with one key never run at once; the second is told so (ConflictError) and may come again.
- One key, another request: refused (UsageError).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from jetmail.errors import ConflictError, UsageError
from jetmail.interfaces import IDatabase
from jetmail.store.database import Connection
from jetmail.store.traffic import idempotency
from jetmail.store.traffic.idempotency import Remembered

KEPT = 86_400.0
FIELD = "Idempotency-Key"
MAX_KEY = 200


class Keys:
    """One per process, on the reactor thread: the process is the only one that accepts mail, so its memory knows what is under way."""

    def __init__(self, db: IDatabase, now: Callable[[], float]) -> None:
        self._db = db
        self._now = now
        self._running: set[tuple[int, str]] = set()

    def claim(self, token_id: int, key: str) -> Claim:
        """Begin a request; `end` must follow. Raises ConflictError while one with that key is under way, UsageError for what is no key."""
        if not 1 <= len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
            raise UsageError(FIELD, f"must be 1 to {MAX_KEY} printable ASCII characters")
        if (token_id, key) in self._running:
            raise ConflictError("a request with this Idempotency-Key is under way")
        since = self._now() - KEPT
        known: dict[int, Remembered] = self._db.read(idempotency.find, token_id, key, since)
        self._running.add((token_id, key))
        return Claim(self, token_id, key, known, self._now)

    def end(self, token_id: int, key: str) -> None:
        """The request is over."""
        self._running.discard((token_id, key))

    def __len__(self) -> int:
        return len(self._running)


class Claim:
    """One request under way."""

    def __init__(self, keys: Keys, token_id: int, key: str, known: Mapping[int, Remembered], now: Callable[[], float]) -> None:
        self._keys = keys
        self._token_id = token_id
        self._key = key
        self._known = known
        self._now = now

    @property
    def is_new(self) -> bool:
        """Nothing was answered under this key."""
        return not self._known

    def answered(self, request: bytes, item: int = 0) -> dict[str, Any] | None:
        """What was answered to this request (its SHA-256); None: nothing yet. Raises UsageError when the key was used for another one."""
        if any(found.request != request for found in self._known.values()):
            raise UsageError(FIELD, "was used for another request within the last 24 hours")
        found = self._known.get(item)
        if found is None:
            return None
        response: dict[str, Any] = json.loads(found.response)
        return response

    def remember(self, request: bytes, response: Callable[[str, str], dict[str, Any]], item: int = 0) -> Callable[[Connection, str, str], None]:
        """For the accepting transaction, which calls it with the message's uid and the reply. `response` makes the answer of them."""

        def write(conn: Connection, uid: str, reply: str) -> None:
            now = self._now()
            text = json.dumps(response(uid, reply), ensure_ascii=False, separators=(",", ":"))
            idempotency.remember(conn, self._token_id, self._key, item, request, text, now, now - KEPT)

        return write

    def end(self) -> None:
        """The request is over, however it ended."""
        self._keys.end(self._token_id, self._key)
