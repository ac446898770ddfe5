"""Migration 11: which address mail leaves from, how much of it a day while that address is new, and what is held when it comes.

`sources`, `source_assignments` and `hold_rules` are directory: every change bumps its version. `source_days` is traffic: written with the outcomes of
deliveries, and nothing caches it but the process that counts.
"""

from __future__ import annotations

SQL = """
-- An address, or a pair of them, that mail may leave from.
CREATE TABLE sources (
    name TEXT NOT NULL PRIMARY KEY,                 -- lower case; stays
    ipv4 TEXT NOT NULL DEFAULT '',
    ipv6 TEXT NOT NULL DEFAULT '',
    hostname TEXT NOT NULL DEFAULT '',              -- what EHLO says; '': server.hostname
    started TEXT NOT NULL DEFAULT '',               -- UTC day 1 of its warm-up, '2026-11-20'; '': no warm-up
    curve TEXT NOT NULL DEFAULT 'default',          -- a name, or '50,100,200'
    overflow TEXT NOT NULL DEFAULT 'default' CHECK (overflow IN ('default', 'wait')),
    enabled INTEGER NOT NULL DEFAULT 1,
    created REAL NOT NULL
) WITHOUT ROWID;

-- Whose mail leaves from it: a sender's domain, else the account of who sends.
CREATE TABLE source_assignments (
    scope TEXT NOT NULL CHECK (scope IN ('account', 'domain')),
    scope_key TEXT NOT NULL,                        -- accounts.id as text, or a domain
    source TEXT NOT NULL,
    PRIMARY KEY (scope, scope_key)
) WITHOUT ROWID;
CREATE INDEX source_assignments_source ON source_assignments (source);

-- What destinations took from a source in one UTC day, one for each recipient.
CREATE TABLE source_days (
    source TEXT NOT NULL,
    day TEXT NOT NULL,                              -- '2026-11-20'
    sent INTEGER NOT NULL,
    PRIMARY KEY (source, day)
) WITHOUT ROWID;

-- Mail that is taken and then not tried until people say so. NULL and '' ask nothing.
CREATE TABLE hold_rules (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    scope TEXT NOT NULL CHECK (scope IN ('appliance', 'account', 'domain', 'user')),
    scope_key TEXT NOT NULL DEFAULT '',
    direction TEXT NOT NULL DEFAULT 'both' CHECK (direction IN ('inbound', 'outbound', 'both')),
    sender TEXT NOT NULL DEFAULT '',                -- Address.key, a domain, or *.domain
    recipient TEXT NOT NULL DEFAULT '',
    user TEXT NOT NULL DEFAULT '',                  -- smtp_users.uuid
    size_over INTEGER,
    score_over REAL,
    reason TEXT NOT NULL DEFAULT '',
    enabled INTEGER NOT NULL DEFAULT 1,
    created REAL NOT NULL,
    expires REAL
);
"""

VERSIONED = ("sources", "source_assignments", "hold_rules")

TRIGGERS = "".join(
    f"CREATE TRIGGER {table}_{verb.lower()}_bumps AFTER {verb} ON {table} BEGIN UPDATE directory_version SET version = version + 1; END;\n"
    for table in VERSIONED
    for verb in ("INSERT", "UPDATE", "DELETE")
)
