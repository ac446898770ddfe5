"""Who may submit mail: nobody, until SMTP users have accounts. The answer takes the same time whoever asks and whatever for.

The time-out before the answer also makes guessing slow: the session asks one question at a time.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from jetmail.interfaces import ILogin
from jetmail.mail.reply import Reply

FAILED = Reply(535, "", "Authentication failed")  # spec 7.12: no enhanced code, to the letter
DELAY = 1.0  # seconds


@implementer(ILogin)
class NoAccounts:
    """An ILogin without accounts. `clock` is what the answer waits on."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock

    def authenticate(self, username: str, password: str, address: str) -> Deferred[Reply]:
        """-> 535, after DELAY seconds."""
        return deferLater(self._clock, DELAY, lambda: FAILED)
