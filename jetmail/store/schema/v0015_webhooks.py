"""Migration 15: whom to tell by HTTP what happens to mail.

`webhooks` is directory: every change bumps its version. `webhook_queue` and `webhook_position` are traffic: written by the job that reads what
happened, and nothing caches them.
"""

from __future__ import annotations

SQL = """
CREATE TABLE webhooks (
    uuid TEXT NOT NULL PRIMARY KEY,
    account_id INTEGER,                             -- NULL: the appliance's own, which is told of everybody's mail
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    old_secret TEXT NOT NULL DEFAULT '',            -- signs too, until old_until
    old_until REAL NOT NULL DEFAULT 0,
    events TEXT NOT NULL DEFAULT '["*"]',           -- JSON list of mail.webhook.PATTERNS
    smtp_users TEXT NOT NULL DEFAULT '[]',          -- JSON list of uuids; none: all
    domains TEXT NOT NULL DEFAULT '[]',             -- JSON list; none: all
    is_enabled INTEGER NOT NULL DEFAULT 1,
    allow_private INTEGER NOT NULL DEFAULT 0,       -- 1: http:// and private addresses too; an administrator's word
    since REAL NOT NULL,                            -- what happened before is not told: when it was made, or last enabled
    created REAL NOT NULL,
    modified REAL NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX webhooks_name ON webhooks (coalesce(account_id, 0), name);

-- One event on its way to one webhook.
CREATE TABLE webhook_queue (
    id INTEGER PRIMARY KEY,
    webhook TEXT NOT NULL,                          -- webhooks.uuid
    event TEXT NOT NULL,                            -- 'evt_...'
    type TEXT NOT NULL,
    body BLOB NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt REAL NOT NULL,
    last_status INTEGER NOT NULL DEFAULT 0,         -- 0: no answer, or no attempt yet
    last_error TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL,
    finished REAL,
    UNIQUE (webhook, event)
);
CREATE INDEX webhook_queue_due ON webhook_queue (webhook, next_attempt) WHERE state = 'waiting';
CREATE INDEX webhook_queue_state ON webhook_queue (webhook, state, id);

-- Up to where deliveries and events have been read; one row once there is a webhook.
CREATE TABLE webhook_position (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    delivery INTEGER NOT NULL,
    event INTEGER NOT NULL
);
"""

VERSIONED = ("webhooks",)

TRIGGERS = "".join(
    f"CREATE TRIGGER {table}_{verb.lower()}_bumps AFTER {verb} ON {table} BEGIN UPDATE directory_version SET version = version + 1; END;\n"
    for table in VERSIONED
    for verb in ("INSERT", "UPDATE", "DELETE")
)
