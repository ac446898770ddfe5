"""Migration 7: who may submit mail, as whom, and how much.

`smtp_users`, `smtp_user_domains`, `smtp_user_networks`, `sender_addresses` and `blocked_senders` are directory: every change bumps its version.
`quota_usage` and `sending` are traffic: written by accepted mail, in its transaction or behind it, and nothing caches them.
"""

from __future__ import annotations

SQL = """
ALTER TABLE accounts ADD COLUMN contact TEXT NOT NULL DEFAULT '';  -- where notices go; '': to nobody

-- What an app, a mail server or a platform signs in with.
CREATE TABLE smtp_users (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,                      -- stays when the name changes; the only name strangers see
    account_id INTEGER NOT NULL,
    username TEXT NOT NULL UNIQUE,                  -- lower case
    password TEXT NOT NULL,                         -- argon2id, encoded
    mode TEXT NOT NULL DEFAULT 'default' CHECK (mode IN ('default', 'all', 'any')),
    quota INTEGER NOT NULL DEFAULT 0 CHECK (quota >= 0),  -- messages in one window; 0: as many as they like
    quota_window TEXT NOT NULL DEFAULT 'month' CHECK (quota_window IN ('hour', 'day', 'month')),
    is_suspended INTEGER NOT NULL DEFAULT 0,
    unlocked_until REAL NOT NULL DEFAULT 0,         -- until then the quota does not count: an administrator's word
    created REAL NOT NULL,
    modified REAL NOT NULL
);
CREATE INDEX smtp_users_account ON smtp_users (account_id);

-- Mode 'default': domains this user may send from. '*.example.com' is every name below example.com.
CREATE TABLE smtp_user_domains (
    user_id INTEGER NOT NULL,
    domain TEXT NOT NULL,
    PRIMARY KEY (user_id, domain)
) WITHOUT ROWID;

-- Where they may sign in from; no row: from anywhere.
CREATE TABLE smtp_user_networks (
    user_id INTEGER NOT NULL,
    network TEXT NOT NULL,
    PRIMARY KEY (user_id, network)
) WITHOUT ROWID;

-- One address somebody may send as besides their own. `person` is an SMTP user's uuid or a mailbox's Address.key.
CREATE TABLE sender_addresses (
    address TEXT NOT NULL,                          -- Address.key
    person TEXT NOT NULL,
    PRIMARY KEY (address, person)
) WITHOUT ROWID;
CREATE INDEX sender_addresses_person ON sender_addresses (person);

-- Senders stopped for abuse. Rows of the past stay, so that it is known who let them go and how often.
CREATE TABLE blocked_senders (
    id INTEGER PRIMARY KEY,
    user TEXT NOT NULL,                             -- smtp_users.uuid
    sender TEXT NOT NULL DEFAULT '',                -- Address.key; '': all that the user sends
    account_id INTEGER NOT NULL,
    since REAL NOT NULL,
    reason TEXT NOT NULL,                           -- which limit: messages, newcomers, rejections, spam
    evidence TEXT NOT NULL DEFAULT '{}',            -- JSON
    unblocked REAL,                                 -- NULL: still blocked
    unblocked_by TEXT NOT NULL DEFAULT '',
    by_owner INTEGER NOT NULL DEFAULT 0             -- 1: their own account let them go, which it may do once
);
CREATE UNIQUE INDEX blocked_senders_now ON blocked_senders (user, sender) WHERE unblocked IS NULL;
CREATE INDEX blocked_senders_account ON blocked_senders (account_id);

-- Messages taken in one window of the quota ('2026-11', '2026-11-20', '2026-11-20T07'; UTC).
CREATE TABLE quota_usage (
    user TEXT NOT NULL,
    period TEXT NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY (user, period)
) WITHOUT ROWID;

-- What a user, or one sender of a user, did in one hour. Written behind the mail in batches: the last seconds may be lost with a crash.
CREATE TABLE sending (
    hour INTEGER NOT NULL,                          -- epoch seconds / 3600
    user TEXT NOT NULL,
    sender TEXT NOT NULL DEFAULT '',                -- Address.key; '': all that the user sent
    messages INTEGER NOT NULL DEFAULT 0,
    newcomers INTEGER NOT NULL DEFAULT 0,           -- recipients never written to before
    rejections INTEGER NOT NULL DEFAULT 0,          -- refused here, and returned by others
    spam INTEGER NOT NULL DEFAULT 0,
    virus INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (hour, user, sender)
) WITHOUT ROWID;
CREATE INDEX sending_user ON sending (user, hour);

-- When a user last signed in or sent.
CREATE TABLE smtp_user_activity (
    user TEXT NOT NULL PRIMARY KEY,
    last_used REAL NOT NULL
) WITHOUT ROWID;
"""

VERSIONED = ("smtp_users", "smtp_user_domains", "smtp_user_networks", "sender_addresses", "blocked_senders")

TRIGGERS = "".join(
    f"CREATE TRIGGER {table}_{verb.lower()}_bumps AFTER {verb} ON {table} BEGIN UPDATE directory_version SET version = version + 1; END;\n"
    for table in VERSIONED
    for verb in ("INSERT", "UPDATE", "DELETE")
)
