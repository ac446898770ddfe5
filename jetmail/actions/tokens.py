"""API tokens: make, list, show, revoke, and who it is that comes with one (spec 5.7).

A token speaks for exactly one SMTP user: permission mode, quota, networks, lockdown, blocks and suspension are that user's, and it may have networks
of its own besides. It is told once, in the answer that made it; kept is its SHA-256, and how it begins, for people to tell it by. Making and revoking
are audited in their own transaction and count for the next request. Who may: `access.SENDING` on the user's account.

Raises UsageError, NotFoundError (no such user or token, or not yours), ConflictError (revoked already).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from jetmail.actions import access, networks, smtp_users
from jetmail.actions.access import Actor, Grant, Object
from jetmail.errors import ConflictError, NotFoundError, UsageError
from jetmail.interfaces import IDatabase, IEntropy
from jetmail.store.database import Connection
from jetmail.store.directory import accounts, api_tokens
from jetmail.store.directory import smtp_users as users
from jetmail.store.directory.api_tokens import ApiToken
from jetmail.store.directory.cache import Directory

SENDING = "transactional_"
MANAGEMENT = "api_"  # for tokens that manage; there are none yet, and none that sends begins so
SCOPES = ("send",)
MAX_NAME = 64
MAX_TOKENS = 100  # of one SMTP user
MAX_LIFE = 10 * 365 * 86_400.0
SEEN_EVERY = 60.0  # seconds between two notes that a token is in use
_SHOWN = 6  # characters of the secret that are kept to tell it by: 36 bits of 256
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH = 43  # letters of that alphabet for 256 bits
_TOKEN = re.compile(rf"{SENDING}[0-9A-Za-z]{{{_LENGTH}}}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

log = Logger()


@dataclass(frozen=True, slots=True)
class Shown:
    """A token as people see it. `status`: active, expired, revoked. `prefix` is how it begins; `username` and `smtp_user` (uuid) as whom it sends."""

    id: int
    name: str
    prefix: str
    username: str
    smtp_user: str
    account: str
    status: str
    scopes: tuple[str, ...]
    networks: tuple[str, ...]
    created: float
    expires: float | None
    revoked: float | None
    last_used: float | None


@dataclass(frozen=True, slots=True)
class Made:
    """A new token, and the only time it is told."""

    shown: Shown
    token: str


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who came with a good token. `smtp_user` the uuid it sends as. `is_allowed` False: the token is good, the address it came from is not."""

    id: int
    prefix: str
    smtp_user: str
    scopes: tuple[str, ...]
    is_allowed: bool = True

    @property
    def actor(self) -> Actor:
        """As whom it asks: it sees what its user has sent and nothing else."""
        return Actor("api", f"token {self.prefix}", (Grant("sender", self.smtp_user),))


def create(
    db: IDatabase, actor: Actor, user: str, *, name: str, now: float, entropy: IEntropy, allowed: Iterable[str] = (), life: float | None = None
) -> Deferred[Made]:
    """A new token of the SMTP user (name or uuid). `allowed`: networks it may be used from; `life` in seconds, None: until it is revoked."""

    async def do() -> Made:
        if life is not None and not 60.0 <= life <= MAX_LIFE:
            raise UsageError("expires", "must be from a minute to ten years from now")
        secret = _secret(entropy.token(32))
        named, wanted = _name(name), networks.spelled(allowed)
        shown: Shown = await db.run(_create, actor, now, user, named, secret, wanted, None if life is None else now + life)
        return Made(shown, secret)

    return Deferred.fromCoroutine(do())


def listing(db: IDatabase, actor: Actor, *, now: float, user: str = "") -> Deferred[tuple[Shown, ...]]:
    """The tokens of the actor's accounts, or of one SMTP user, in the order they were made."""

    def find(conn: Connection) -> tuple[Shown, ...]:
        only = smtp_users.found(conn, actor, user).uuid if user else ""
        seen = None if actor.is_admin else [int(grant.scope) for grant in actor.grants if grant.role == "account"]
        last = api_tokens.last_used(conn)
        return tuple(_shown(conn, token, now, last) for token in api_tokens.listing(conn, seen) if only in ("", token.smtp_user))

    return db.search(find)


def show(db: IDatabase, actor: Actor, token_id: int, *, now: float) -> Deferred[Shown]:
    """One token."""
    return db.search(lambda conn: _shown(conn, _found(conn, actor, token_id), now))


def revoke(db: IDatabase, actor: Actor, token_id: int, *, now: float) -> Deferred[Shown]:
    """It opens nothing from now on; what it has sent goes out."""
    return db.run(_revoke, actor, now, token_id)


class Bearers:
    """Who comes with a token. On the reactor thread, over the directory in memory: a good token costs a hash and a look into a dict.

    `is_allowed(networks, address)` says whether an address is in a list of networks (an empty one: yes). When a token is used is written down, at
    most once in SEEN_EVERY seconds, and nobody waits for it."""

    def __init__(self, db: IDatabase, directory: Directory, now: Callable[[], float], is_allowed: Callable[[tuple[str, ...], str], bool]) -> None:
        self._db = db
        self._directory = directory
        self._now = now
        self._is_allowed = is_allowed
        self._seen: dict[int, float] = {}

    def authenticate(self, text: str, address: str) -> Bearer | None:
        """Whose the token is; None for one that is unknown, expired or revoked, or whose user is gone or suspended, with no way to tell which."""
        digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
        token = self._directory.api_token(digest) if _TOKEN.fullmatch(text) else None
        if token is None or not hmac.compare_digest(token.secret, digest) or token.status(now := self._now()) != "active":
            return None
        user = self._directory.smtp_user(token.smtp_user)
        if user is None or user.is_suspended:
            return None
        is_allowed = self._is_allowed(token.networks, address) and self._is_allowed(user.networks, address)
        if is_allowed:
            self._note(token.id, now)
        return Bearer(token.id, token.prefix, token.smtp_user, token.scopes, is_allowed)

    def _note(self, token_id: int, now: float) -> None:
        if now - self._seen.get(token_id, float("-inf")) < SEEN_EVERY:
            return
        if len(self._seen) > 10_000:
            self._seen.clear()
        self._seen[token_id] = now
        self._db.run(api_tokens.touch, token_id, now).addErrback(lambda failure: log.failure("that a token was used could not be noted", failure))


def _create(
    conn: Connection, actor: Actor, now: float, user_name: str, name: str, secret: str, allowed: tuple[str, ...], expires: float | None
) -> Shown:
    user = smtp_users.found(conn, actor, user_name)
    if api_tokens.count(conn, user.uuid) >= MAX_TOKENS:
        raise UsageError("user", f"has {MAX_TOKENS} tokens already; revoke those that are not used")
    token = ApiToken(
        user.account_id, user.uuid, name, secret[: len(SENDING) + _SHOWN], sha256(secret.encode()).digest(), SCOPES, allowed, now, expires
    )
    token_id = api_tokens.add(conn, token)
    detail: dict[str, object] = {"name": name, "prefix": token.prefix, "smtp_user": user.uuid, "networks": allowed, "expires": expires}
    access.record(conn, actor, now, "token.create", f"token {token_id}", detail)
    return _shown(conn, _found(conn, actor, token_id), now)


def _revoke(conn: Connection, actor: Actor, now: float, token_id: int) -> Shown:
    token = _found(conn, actor, token_id)
    if token.revoked is not None:
        raise ConflictError(f"token {token_id} is revoked already")
    api_tokens.revoke(conn, token_id, now)
    access.record(conn, actor, now, "token.revoke", f"token {token_id}", {"name": token.name, "prefix": token.prefix})
    return _shown(conn, _found(conn, actor, token_id), now)


def _found(conn: Connection, actor: Actor, token_id: int) -> ApiToken:
    token = api_tokens.get(conn, token_id)
    if token is None or not access.may(actor, access.SENDING, Object(account_id=token.account_id)):
        raise NotFoundError(f"no such token: {token_id}")
    return token


def _shown(conn: Connection, token: ApiToken, now: float, last: Mapping[int, float] | None = None) -> Shown:
    user, account = users.get(conn, token.smtp_user), accounts.get(conn, token.account_id)
    seen = last if last is not None else api_tokens.last_used(conn)
    return Shown(
        id=token.id,
        name=token.name,
        prefix=token.prefix,
        username=user.username if user is not None else "",
        smtp_user=token.smtp_user,
        account=account.name if account is not None else "",
        status=token.status(now) if user is not None else "revoked",
        scopes=token.scopes,
        networks=token.networks,
        created=token.created,
        expires=token.expires,
        revoked=token.revoked,
        last_used=seen.get(token.id),
    )


def _name(text: str) -> str:
    name = text.strip()
    if not name or len(name) > MAX_NAME or _CONTROL.search(name):
        raise UsageError("name", f"must have 1 to {MAX_NAME} characters, none of them a control character")
    return name


def _secret(octets: bytes) -> str:
    """256 bits in letters that a double click selects whole."""
    number, letters = int.from_bytes(octets, "big"), []
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[digit])
    return SENDING + "".join(letters)
