"""Migration 4: who has been in touch with whom, and two more ways to know a recipient.

`greylist` remembers first contacts over a restart, `correspondents` whom our own people have written to. Neither is versioned: nothing of the
directory depends on them. The table `domains` is made anew because SQLite cannot change a CHECK: its ids, its index and its triggers stay.
"""

from __future__ import annotations

SQL = """
-- A first contact. Written in batches behind the mail, so that the last second of it may be lost with a crash.
CREATE TABLE greylist (
    network TEXT NOT NULL,                          -- /24 or /64
    sender TEXT NOT NULL,                           -- without what changes from message to message
    recipient TEXT NOT NULL,                        -- Address.key
    first_seen REAL NOT NULL,
    passed REAL,                                    -- when mail of this contact was last taken; NULL: not yet
    PRIMARY KEY (network, sender, recipient)
) WITHOUT ROWID;
CREATE INDEX greylist_first_seen ON greylist (first_seen);

-- Whom our own people have written to.
CREATE TABLE correspondents (
    owner TEXT NOT NULL,                            -- Address.key of ours, or a domain of ours
    peer TEXT NOT NULL,                             -- Address.key
    last REAL NOT NULL,
    PRIMARY KEY (owner, peer)
) WITHOUT ROWID;
CREATE INDEX correspondents_last ON correspondents (last);

CREATE TABLE domains_anew (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL DEFAULT 1,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL DEFAULT 'relay' CHECK (kind IN ('relay', 'hosted', 'alias')),
    alias_of TEXT,                                  -- kind 'alias': mail for x@name is mail for x@alias_of
    verified_at REAL,                               -- NULL: the owner has not yet proved control
    challenge TEXT NOT NULL DEFAULT '',             -- what the DNS TXT record must say to prove it
    inbound INTEGER NOT NULL DEFAULT 1,             -- 0: mail for it is answered 450
    outbound INTEGER NOT NULL DEFAULT 1,
    recipients TEXT NOT NULL DEFAULT 'any' CHECK (recipients IN ('any', 'listed', 'callout', 'ldap')),
    reject_score REAL,                              -- NULL: the appliance's own
    spam_score REAL,
    defer_score REAL,
    spam_action TEXT NOT NULL DEFAULT 'quarantine' CHECK (spam_action IN ('quarantine', 'tag', 'junk')),
    created REAL NOT NULL DEFAULT 0
);
INSERT INTO domains_anew SELECT id, account_id, name, kind, alias_of, verified_at, challenge, inbound, outbound, recipients, reject_score, spam_score,
    defer_score, spam_action, created FROM domains;
DROP TABLE domains;
ALTER TABLE domains_anew RENAME TO domains;
CREATE INDEX domains_account ON domains (account_id);
"""

TRIGGERS = "".join(
    f"CREATE TRIGGER domains_{verb.lower()}_bumps AFTER {verb} ON domains BEGIN UPDATE directory_version SET version = version + 1; END;\n"
    for verb in ("INSERT", "UPDATE", "DELETE")
)
