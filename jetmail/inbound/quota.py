"""How much an SMTP user may still send in its window (spec 5.3, 7.10, 7.11).

A message takes its place in memory before it is committed, and is counted in the transaction that accepts it. So fifty sessions at once cannot pass a
quota that has one message left, a message that is not accepted gives its place back, and a restart knows what was counted. One process accepts mail,
so its memory is the truth between two commits; the store is asked when a user, or a window, is first seen.
"""

from __future__ import annotations

from collections import OrderedDict

from jetmail.interfaces import IDatabase
from jetmail.store.directory.smtp_users import SmtpUser
from jetmail.store.traffic import sending

MAX_WINDOWS = 20_000


class _Window:
    __slots__ = ("name", "reserved", "used")

    def __init__(self, name: str, used: int) -> None:
        self.name = name
        self.used = used
        self.reserved = 0


class Reservation:
    """A place for one message. Exactly one of `committed` and `cancel` follows; a second call does nothing."""

    __slots__ = ("_is_open", "_window", "period", "user")

    def __init__(self, user: str, window: _Window) -> None:
        self.user = user
        self.period = window.name
        self._window = window
        self._is_open = True
        window.reserved += 1

    def committed(self) -> None:
        """The message is in the store, and counted there."""
        if self._is_open:
            self._window.used += 1
            self.cancel()

    def cancel(self) -> None:
        """It was not accepted."""
        if self._is_open:
            self._is_open = False
            self._window.reserved -= 1


class Meter:
    """See the module. On the reactor thread only."""

    def __init__(self, db: IDatabase) -> None:
        self._db = db
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def is_locked(self, user: SmtpUser, now: float) -> bool:
        """The quota is used up: places that are only reserved may yet come back."""
        return self._counts(user, now) and self._window(user, now).used >= user.quota

    def reserve(self, user: SmtpUser, now: float) -> Reservation | None:
        """A place for one more message; None when there is none left."""
        window = self._window(user, now)
        if self._counts(user, now) and window.used + window.reserved >= user.quota:
            return None
        return Reservation(user.uuid, window)

    def _counts(self, user: SmtpUser, now: float) -> bool:
        return user.quota > 0 and now >= user.unlocked_until

    def _window(self, user: SmtpUser, now: float) -> _Window:
        name = sending.period(user.quota_window, now)
        window = self._windows.get(user.uuid)
        if window is None or window.name != name:
            window = self._windows[user.uuid] = _Window(name, self._db.read(sending.used, user.uuid, name))
            self._forget()
        self._windows.move_to_end(user.uuid)
        return window

    def _forget(self) -> None:
        """Oldest first; one with a place reserved stays, or that message would not be known of."""
        if len(self._windows) > MAX_WINDOWS:
            for key in [key for key, window in self._windows.items() if not window.reserved][: MAX_WINDOWS // 10]:
                del self._windows[key]
