"""Migration 16: people, who sign in with their address.

`people` is directory: every change bumps its version. When somebody was last there is traffic and stands in `smtp_user_activity`, by uuid like that
of an SMTP user. `sender_addresses.person` is a uuid for both from now on; grants to addresses were made before anybody could sign in with one, never
counted, and go.
"""

from __future__ import annotations

SQL = """
-- A person: an address of a domain of ours and what it signs in with.
CREATE TABLE people (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,                      -- the only name strangers see
    address TEXT NOT NULL UNIQUE,                   -- Address.key
    account_id INTEGER NOT NULL,                    -- whose domain it is
    domain TEXT NOT NULL,
    name TEXT NOT NULL DEFAULT '',                  -- what people call them
    password TEXT NOT NULL,                         -- argon2id, encoded
    status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    created REAL NOT NULL,
    modified REAL NOT NULL
);
CREATE INDEX people_domain ON people (domain);
CREATE INDEX people_account ON people (account_id);

DELETE FROM sender_addresses WHERE instr(person, '@') > 0;
"""

VERSIONED = ("people",)

TRIGGERS = "".join(
    f"CREATE TRIGGER {table}_{verb.lower()}_bumps AFTER {verb} ON {table} BEGIN UPDATE directory_version SET version = version + 1; END;\n"
    for table in VERSIONED
    for verb in ("INSERT", "UPDATE", "DELETE")
)
