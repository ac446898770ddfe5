"""API tokens: secrets programs send with over HTTP, each as one SMTP user. Functions here obey; what may be asked is checked in actions.tokens.

Only the SHA-256 of a token is kept: it has 256 random bits, so nobody can try them one by one, and a slow hash would protect nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jetmail.store.database import Connection

COLUMNS = ("account_id", "smtp_user", "name", "prefix", "secret", "scopes", "networks", "created", "expires", "revoked")
_SELECT = f"SELECT id, {', '.join(COLUMNS)} FROM api_tokens"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """An api_tokens row. `smtp_user` is the uuid it sends as, `secret` its SHA-256. `networks` empty: from wherever its user may sign in."""

    account_id: int
    smtp_user: str
    name: str
    prefix: str
    secret: bytes
    scopes: tuple[str, ...] = ("send",)
    networks: tuple[str, ...] = ()
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None
    id: int = 0

    def status(self, now: float) -> str:
        """active, expired or revoked."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and now >= self.expires else "active"


def add(conn: Connection, token: ApiToken) -> int:
    """Store a new token. -> its id. Raises sqlite3.IntegrityError when the secret is there already."""
    values = (
        token.account_id, token.smtp_user, token.name, token.prefix, token.secret, " ".join(token.scopes), " ".join(token.networks), token.created,
        token.expires, token.revoked,
    )  # fmt: skip
    token_id = conn.execute(f"INSERT INTO api_tokens ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", values).lastrowid
    assert token_id is not None
    return token_id


def get(conn: Connection, token_id: int) -> ApiToken | None:
    """The token of that id, or None."""
    return _made(conn.execute(f"{_SELECT} WHERE id = ?", (token_id,)).fetchone())


def by_secret(conn: Connection, secret: bytes) -> ApiToken | None:
    """The token whose SHA-256 this is, or None."""
    return _made(conn.execute(f"{_SELECT} WHERE secret = ?", (secret,)).fetchone())


def listing(conn: Connection, account_ids: Iterable[int] | None = None) -> tuple[ApiToken, ...]:
    """Tokens in the order they were made: all, or those of the accounts."""
    if account_ids is None:
        rows = conn.execute(f"{_SELECT} ORDER BY id").fetchall()
    else:
        wanted = list(account_ids)
        rows = conn.execute(f"{_SELECT} WHERE account_id IN ({', '.join('?' * len(wanted))}) ORDER BY id", wanted).fetchall()
    return tuple(token for row in rows if (token := _made(row)) is not None)


def count(conn: Connection, smtp_user: str) -> int:
    """How many tokens of the user are not revoked."""
    return int(conn.execute("SELECT count(*) FROM api_tokens WHERE smtp_user = ? AND revoked IS NULL", (smtp_user,)).fetchone()[0])


def revoke(conn: Connection, token_id: int, at: float) -> None:
    """From now on it opens nothing."""
    conn.execute("UPDATE api_tokens SET revoked = ? WHERE id = ? AND revoked IS NULL", (at, token_id))


def touch(conn: Connection, token_id: int, at: float) -> None:
    """It was used."""
    conn.execute(
        "INSERT INTO api_token_activity (token_id, last_used) VALUES (?, ?) ON CONFLICT DO UPDATE SET last_used = max(last_used, excluded.last_used)",
        (token_id, at),
    )


def last_used(conn: Connection) -> dict[int, float]:
    """When each token was last used, those that never were left out."""
    return dict(conn.execute("SELECT token_id, last_used FROM api_token_activity").fetchall())


def _made(row: tuple | None) -> ApiToken | None:
    if row is None:
        return None
    token_id, account_id, smtp_user, name, prefix, secret, scopes, networks, created, expires, revoked = row
    return ApiToken(
        account_id, smtp_user, name, prefix, bytes(secret), tuple(scopes.split()), tuple(networks.split()), created, expires, revoked, token_id
    )
