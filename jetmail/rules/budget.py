"""One message's share of DNS: an IResolver that answers TIMEOUT when the time or the number of questions is used up.

What the resolver has at hand costs nothing and is always given. The rest shares one deadline, however many ask and one after the other or at once:
so a dead resolver costs a message `seconds` and no more, and every look-up that found no answer says so instead of guessing.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from jetmail.interfaces import Answer, AnswerKind, IResolver

MAX_QUESTIONS = 150  # SPF may ask some 110, DKIM 10, ARC 51: a message that needs all of these is not worth it


@implementer(IResolver)
class Budget:
    """`seconds` from now on for everything asked through it."""

    def __init__(self, resolver: IResolver, clock: IReactorTime, seconds: float) -> None:
        self._resolver = resolver
        self._clock = clock
        self._deadline = clock.seconds() + seconds
        self._left = MAX_QUESTIONS

    def query(self, name: str, rdtype: str) -> Deferred[Answer]:
        """See IResolver.query."""
        if not self._left:
            return succeed(Answer(AnswerKind.TIMEOUT))
        self._left -= 1
        asked: Deferred[Answer] = self._resolver.query(name, rdtype)
        if asked.called:
            return asked
        remaining = self._deadline - self._clock.seconds()
        if remaining > 0:
            asked.addTimeout(remaining, self._clock)
        else:
            asked.cancel()
        return asked.addErrback(_late)


def _late(failure: Failure) -> Answer:
    return Answer(AnswerKind.TIMEOUT)
