"""Migration 9: proof that a domain is somebody's, what its owner has published, and the keys its mail is signed with.

`dkim_keys` is directory: every change bumps its version, so that signing follows at once. `domain_claims` and `domain_checks` are asked for by people
and jobs only; nothing caches them. Private keys are not here: they are files (store.keyfiles).
"""

from __future__ import annotations

SQL = """
-- A name that several accounts say is theirs, before one has proved it: `domains` holds the first of them, and here are the others.
CREATE TABLE domain_claims (
    account_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    challenge TEXT NOT NULL,                        -- 32 hex digits, this account's alone
    created REAL NOT NULL,
    PRIMARY KEY (account_id, name)
) WITHOUT ROWID;
CREATE INDEX domain_claims_name ON domain_claims (name);

-- What was found in DNS when it was last looked at, one row a subject (ownership, spf, return-path, dkim, dmarc ...).
CREATE TABLE domain_checks (
    domain TEXT NOT NULL,
    subject TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'missing', 'wrong', 'unknown')),
    found TEXT NOT NULL DEFAULT '',
    checked REAL NOT NULL,
    PRIMARY KEY (domain, subject)
) WITHOUT ROWID;

-- A key pair of a domain. 'next' waits to be seen in DNS, 'active' signs, 'retired' stays published until nothing it signed is on its way.
CREATE TABLE dkim_keys (
    id INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    selector TEXT NOT NULL,
    algorithm TEXT NOT NULL CHECK (algorithm IN ('rsa', 'ed25519')),
    state TEXT NOT NULL DEFAULT 'next' CHECK (state IN ('next', 'active', 'retired')),
    record TEXT NOT NULL,                           -- the TXT record with the public key
    fingerprint TEXT NOT NULL,                      -- names the file of the private key
    created REAL NOT NULL,
    seen REAL,                                      -- since when it has been in DNS, NULL: it is not
    activated REAL,
    retired REAL,
    UNIQUE (domain, selector)
);
CREATE UNIQUE INDEX dkim_keys_active ON dkim_keys (domain, algorithm) WHERE state = 'active';
"""

VERSIONED = ("dkim_keys",)

TRIGGERS = "".join(
    f"CREATE TRIGGER {table}_{verb.lower()}_bumps AFTER {verb} ON {table} BEGIN UPDATE directory_version SET version = version + 1; END;\n"
    for table in VERSIONED
    for verb in ("INSERT", "UPDATE", "DELETE")
)
