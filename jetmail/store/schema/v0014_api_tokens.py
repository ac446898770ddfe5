"""Migration 14: what programs send with over HTTP, and what they have sent already.

`api_tokens` is directory: every change bumps its version. `api_token_activity` and `idempotency` are traffic: written by requests, cached by nobody.
"""

from __future__ import annotations

SQL = """
-- A secret that speaks for one SMTP user. A row of the past stays, so that it is known what there was.
CREATE TABLE api_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,           -- never given twice: idempotency speaks of it
    account_id INTEGER NOT NULL,
    smtp_user TEXT NOT NULL,                        -- smtp_users.uuid: as whom it sends
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,                           -- how it begins: all that is ever shown of it again
    secret BLOB NOT NULL UNIQUE,                    -- SHA-256 of the whole of it
    scopes TEXT NOT NULL DEFAULT 'send',            -- words, a space between two
    networks TEXT NOT NULL DEFAULT '',              -- where it may be used from, a space between two; '': anywhere its user may sign in from
    created REAL NOT NULL,
    expires REAL,
    revoked REAL
);
CREATE INDEX api_tokens_user ON api_tokens (smtp_user);

-- When a token was last used, give or take a minute.
CREATE TABLE api_token_activity (
    token_id INTEGER PRIMARY KEY,
    last_used REAL NOT NULL
);

-- What was answered to a request that bore an Idempotency-Key: written in the transaction that accepts the message.
CREATE TABLE idempotency (
    token_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    item INTEGER NOT NULL DEFAULT 0,                -- place in a batch
    request BLOB NOT NULL,                          -- SHA-256 of what was asked
    response TEXT NOT NULL,                         -- JSON
    created REAL NOT NULL,
    PRIMARY KEY (token_id, key, item)
) WITHOUT ROWID;
CREATE INDEX idempotency_created ON idempotency (created);
"""

TRIGGERS = "".join(
    f"CREATE TRIGGER api_tokens_{verb.lower()}_bumps AFTER {verb} ON api_tokens BEGIN UPDATE directory_version SET version = version + 1; END;\n"
    for verb in ("INSERT", "UPDATE", "DELETE")
)
