"""Migration 12: recipients our users are not to write to.

Traffic, not directory: bounces and complaints write it message by message, and nothing caches it. An account is referred to by its stable id.
"""

from __future__ import annotations

SQL = """
-- One address that mail of one account's users is not sent to; account 0: of anybody's.
CREATE TABLE suppressions (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    address TEXT NOT NULL,                          -- Address.key
    reason TEXT NOT NULL CHECK (reason IN ('bounce', 'complaint', 'unsubscribe', 'manual')),
    detail TEXT NOT NULL DEFAULT '',                -- the reply, or what somebody noted
    created REAL NOT NULL,
    expires REAL,                                   -- NULL: never
    source TEXT NOT NULL DEFAULT ''                 -- uid of the message that showed it, or who wrote it down
);
CREATE UNIQUE INDEX suppressions_address ON suppressions (address, account_id);
CREATE INDEX suppressions_account ON suppressions (account_id, id);
CREATE INDEX suppressions_expires ON suppressions (expires) WHERE expires IS NOT NULL;

-- Refusals that only count in numbers: one a message, forgotten after their window.
CREATE TABLE suppression_strikes (
    address TEXT NOT NULL,
    account_id INTEGER NOT NULL,
    source TEXT NOT NULL,                           -- uid of the message
    at REAL NOT NULL,
    PRIMARY KEY (address, account_id, source)
) WITHOUT ROWID;
CREATE INDEX suppression_strikes_at ON suppression_strikes (at);
"""
