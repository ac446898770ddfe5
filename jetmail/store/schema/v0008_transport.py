"""Migration 8: what is known about TLS towards other domains.

Traffic, not directory: written behind the mail, in batches, and nothing of it is worth a sync of its own.
"""

from __future__ import annotations

SQL = """
-- MTA-STS policies fetched from other domains (RFC 8461), good until fetched + max_age.
CREATE TABLE sts_policies (
    domain TEXT PRIMARY KEY,
    id TEXT NOT NULL,                               -- of the TXT record the policy was fetched for
    mode TEXT NOT NULL,
    hosts TEXT NOT NULL,                            -- JSON list of patterns
    max_age INTEGER NOT NULL,
    fetched REAL NOT NULL
) WITHOUT ROWID;

-- Domains whose hosts have shown a verified certificate, so that its absence is noticed.
CREATE TABLE tls_memory (
    domain TEXT PRIMARY KEY,
    verified REAL NOT NULL                          -- when last
) WITHOUT ROWID;
CREATE INDEX tls_memory_verified ON tls_memory (verified);

-- Sessions counted for reports to the domains they went to (RFC 8460); gone when reported.
CREATE TABLE tls_results (
    day TEXT NOT NULL,                              -- '2026-11-20', UTC
    domain TEXT NOT NULL,
    policy TEXT NOT NULL,                           -- tlsa, sts, no-policy-found
    quoted TEXT NOT NULL,                           -- JSON list: the policy's lines or the records
    host TEXT NOT NULL,
    result TEXT NOT NULL,                           -- '' success, else a result type of RFC 8460 section 4.3
    sessions INTEGER NOT NULL,
    PRIMARY KEY (day, domain, policy, quoted, host, result)
) WITHOUT ROWID;
"""
