"""Who may submit mail: ILogin over the directory's SMTP users, by name, and people, by address (spec 5, 6.10).

Promises
- Wrong name and wrong password are one answer, after the same work: `535 Authentication failed`. A suspended user hears the same, even with the right
  password, because nothing else is documented and the reason is nobody's business (docs/smtp-users.md). `535 IP not authorized` is only for who
  knows the password.
- A password once proved is remembered as an HMAC under a key of this process, together with the encoded password it was proved against: a busy app
  costs no hash per connection, and any change of the password or the user ends that at once. A wrong one is remembered the same way, so that an
  app with an old password costs none either.
- Hashing is off the reactor, at most `hashes` at a time, behind a line in which the same question stands once (inbound.hashing); who finds no place
  in it, and more than `waiting_per_address` of one address, are told 454. Who is remembered never stands in that line.
- Failures make the next attempts wait (inbound.attempts), outside that line: guesses that wait take nobody's place. While the line is half full,
  connections from addresses whose attempts came to nothing are turned away before they cost a TLS handshake (`is_welcome`).

RFC 4954 section 6 for 454; spec 7.12 for 535 without an enhanced code.
"""

from __future__ import annotations

import hmac
import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from jetmail import passwords
from jetmail.inbound.attempts import AttemptOptions, Attempts
from jetmail.inbound.hashing import HashLine
from jetmail.inbound.peer import Networks, origin
from jetmail.inbound.principal import Login, Principal, PrincipalKind
from jetmail.interfaces import IExecutor, ILogin
from jetmail.mail.address import AddressError, parse
from jetmail.mail.reply import Reply
from jetmail.store.directory.cache import Directory

WELCOME = Reply(235, "2.7.0", "Authentication successful")
FAILED = Reply(535, "", "Authentication failed")  # spec 7.12: no enhanced code, to the letter
IP_NOT_AUTHORIZED = Reply(535, "", "IP not authorized")
BUSY = Reply(454, "4.7.0", "Temporary authentication failure, please try again later")

MAX_IN_VAIN = 2.0

_USERNAME = re.compile(r"[a-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class LoginOptions:
    """`hashes` checked at a time, `waiting` in line, and as many waiting because they failed before, `waiting_per_address` of them from one address,
    `remembered` credentials of each kind."""

    hashes: int = 1
    waiting: int = 100
    waiting_per_address: int = 5
    remembered: int = 10_000
    attempts: AttemptOptions = AttemptOptions()


class Candidate(NamedTuple):
    """Somebody of that name. `encoded` is the password as kept; `networks` empty: from anywhere."""

    principal: Principal
    encoded: str
    is_suspended: bool = False
    networks: tuple[str, ...] = ()


@lru_cache(maxsize=1024)
def _networks(texts: tuple[str, ...]) -> Networks:
    return Networks(texts)


def is_allowed_from(networks: tuple[str, ...], address: str) -> bool:
    """Whether the address is in one of the networks; none named means everywhere."""
    return not networks or address in _networks(networks)


def _left(failure: Failure) -> Login:
    failure.trap(CancelledError)
    return Login(BUSY, None, "the client left")


def _name(username: str) -> str:
    """What was typed, as the directory spells it: one name however it is written, or each spelling would be guessed at for itself."""
    if "@" in username:
        try:
            return parse(username).key
        except AddressError:
            pass
    return username.lower()[:320]


@implementer(ILogin)
class DirectoryLogin:
    """See the module. `key`: unpredictable octets of this process. `on_login` is told the id of whoever has signed in."""

    def __init__(
        self,
        directory: Directory,
        executor: IExecutor,
        clock: IReactorTime,
        key: bytes,
        options: LoginOptions = LoginOptions(),
        *,
        on_login: Callable[[str], None] = lambda principal: None,
    ) -> None:
        self._directory = directory
        self._hashes = HashLine(executor, clock, options.hashes, options.waiting)
        self._clock = clock
        self._key = key
        self._options = options
        self._on_login = on_login
        self._attempts = Attempts(options.attempts)
        self._right: OrderedDict[bytes, str] = OrderedDict()
        self._wrong: OrderedDict[bytes, str] = OrderedDict()
        self._delayed = 0
        self._waiting: Counter[str] = Counter()

    def authenticate(self, username: str, password: str, address: str) -> Login | Deferred[Login]:
        """-> 235 with a principal, 535 or 454. Who cancels the Deferred gives up the place in the line, and gets 454."""
        name = _name(username)
        candidate = self._find(name)
        digest = hmac.digest(self._key, f"{name}\0{password}".encode("utf-8", "surrogatepass"), "sha256")
        encoded = candidate.encoded if candidate is not None else passwords.NOBODY
        if candidate is not None and self._right.get(digest) == encoded:
            self._right.move_to_end(digest)
            return self._proved(candidate, address)
        home, now = origin(address), self._clock.seconds()
        delay = self._attempts.delay(name, address, now)
        if delay == 0.0 and (digest, encoded) in self._hashes:
            # Takes no place of its own.
            return Deferred.fromCoroutine(self._check(candidate, encoded, digest, name, password, address)).addErrback(_left)
        if self._waiting[home] >= self._options.waiting_per_address or (delay and self._delayed >= self._options.waiting):
            return Login(BUSY, None, "too many wait")
        self._waiting[home] += 1
        checking = Deferred.fromCoroutine(self._check(candidate, encoded, digest, name, password, address, delay))
        return checking.addBoth(self._leave, home).addErrback(_left)

    def is_welcome(self, address: str) -> bool:
        """False for an address that has come in vain more than MAX_IN_VAIN times of late, while many wait."""
        return not self._hashes.is_pressed or self._attempts.in_vain(address, self._clock.seconds()) <= MAX_IN_VAIN

    @property
    def waiting(self) -> int:
        """How many stand in line, or wait because they failed before."""
        return self._waiting.total()

    def _find(self, name: str) -> Candidate | None:
        if "@" in name:
            person = self._directory.person_at(name)
            if person is None:
                return None
            principal = Principal(person.uuid, person.address, person.account_id, PrincipalKind.MAILBOX, person.password)
            return Candidate(principal, person.password, person.is_suspended)
        if not _USERNAME.fullmatch(name):
            return None
        user = self._directory.smtp_user_named(name)
        if user is None:
            return None
        principal = Principal(user.uuid, user.username, user.account_id, PrincipalKind.SMTP_USER, user.password)
        return Candidate(principal, user.password, user.is_suspended, user.networks)

    async def _check(
        self, candidate: Candidate | None, encoded: str, digest: bytes, name: str, password: str, address: str, delay: float = 0.0
    ) -> Login:
        attempts, now = self._attempts, self._clock.seconds
        if delay:
            self._delayed += 1
            try:
                await deferLater(self._clock, delay)
            finally:
                self._delayed -= 1
        if self._wrong.get(digest) == encoded:
            self._wrong.move_to_end(digest)
            is_right = False
        else:
            matches = await self._hashes.matches((digest, encoded), encoded, password, attempts.weight(address, now()))
            if matches is None:
                attempts.turned_away(address, now())
                return Login(BUSY, None, "too many wait")
            is_right = matches and candidate is not None
            self._remember(self._right if is_right else self._wrong, digest, encoded)
        if not is_right or candidate is None:
            attempts.failed(name, address, now())
            return Login(FAILED, None, "wrong password" if candidate is not None else "no such user")
        attempts.passed(name, address, now())
        # Hashing took its time, and the directory may have moved on meanwhile.
        candidate = self._find(name)
        if candidate is None or candidate.encoded != encoded:
            return Login(FAILED, None, "changed meanwhile")
        return self._proved(candidate, address)

    def _proved(self, candidate: Candidate, address: str) -> Login:
        if not is_allowed_from(candidate.networks, address):
            return Login(IP_NOT_AUTHORIZED, None, "address not allowed")
        if candidate.is_suspended:
            return Login(FAILED, None, "suspended")
        self._on_login(candidate.principal.id)
        return Login(WELCOME, candidate.principal)

    def _remember(self, table: OrderedDict[bytes, str], digest: bytes, encoded: str) -> None:
        table[digest] = encoded
        table.move_to_end(digest)
        if len(table) > self._options.remembered:
            table.popitem(last=False)

    def _leave(self, result: Login, home: str) -> Login:
        self._waiting[home] -= 1
        if not self._waiting[home]:
            del self._waiting[home]
        return result
