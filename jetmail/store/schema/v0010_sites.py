"""Migration 10: sites that are cooling down or suspended, and who suspended a destination, when and why.

A site is what stands behind many destinations: a mail provider, or one configured host (jetmail/outbound/sites.py). Traffic: no version is bumped
by what the queue writes here; what people change bumps `queue_version`.
"""

from __future__ import annotations

SQL = """
-- The site a destination waits for while that is cooling or suspended, '' otherwise.
ALTER TABLE destinations ADD COLUMN site TEXT NOT NULL DEFAULT '';
ALTER TABLE destinations ADD COLUMN suspended_since REAL;
ALTER TABLE destinations ADD COLUMN suspended_by TEXT NOT NULL DEFAULT '';
ALTER TABLE destinations ADD COLUMN suspended_reason TEXT NOT NULL DEFAULT '';

-- A site without a row is well. level > 0: it throttled us, `since` then; nothing goes before `not_before`; `reply` says so.
CREATE TABLE sites (
    name TEXT NOT NULL PRIMARY KEY,
    level INTEGER NOT NULL DEFAULT 0,
    since REAL,
    not_before REAL NOT NULL DEFAULT 0,
    reply TEXT NOT NULL DEFAULT '',
    suspended INTEGER NOT NULL DEFAULT 0,
    suspended_since REAL,
    suspended_by TEXT NOT NULL DEFAULT '',
    suspended_reason TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
"""
