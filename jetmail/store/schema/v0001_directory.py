"""Migration 1: the directory, what people configure.

Read-mostly and small. No row here refers to a row of the traffic half and none there refers here except by name, so that a fleet can later
share this half (design 13). Domains are stored as mail.address.parse_domain spells them, addresses that are looked up as `Address.key`.
Every change of a table in VERSIONED bumps `directory_version`, which is how a process knows that what it keeps in memory is old.
"""

from __future__ import annotations

SQL = """
CREATE TABLE directory_version (version INTEGER NOT NULL);
INSERT INTO directory_version (version) VALUES (1);

-- One customer. Everything of an appliance with a single owner hangs on account 1.
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    plan TEXT NOT NULL DEFAULT 'standard'
);
INSERT INTO accounts (id, name, plan) VALUES (1, 'default', 'standard');

CREATE TABLE domains (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL DEFAULT 1,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL DEFAULT 'relay' CHECK (kind IN ('relay', 'hosted', 'alias')),
    alias_of TEXT,                                  -- kind 'alias': mail for x@name is mail for x@alias_of
    verified_at REAL,                               -- NULL: the owner has not yet proved control
    challenge TEXT NOT NULL DEFAULT '',             -- what the DNS TXT record must say to prove it
    inbound INTEGER NOT NULL DEFAULT 1,             -- 0: mail for it is answered 450
    outbound INTEGER NOT NULL DEFAULT 1,
    recipients TEXT NOT NULL DEFAULT 'any' CHECK (recipients IN ('any', 'listed')),
    reject_score REAL,                              -- NULL: the appliance's own
    spam_score REAL,
    defer_score REAL,
    spam_action TEXT NOT NULL DEFAULT 'quarantine' CHECK (spam_action IN ('quarantine', 'tag', 'junk')),
    created REAL NOT NULL DEFAULT 0
);
CREATE INDEX domains_account ON domains (account_id);

-- Where mail for a domain goes, lowest priority first, equal ones shuffled.
CREATE TABLE domain_destinations (
    domain_id INTEGER NOT NULL,
    host TEXT NOT NULL,                             -- a name or an address (IPv6 without brackets)
    port INTEGER NOT NULL DEFAULT 25,
    priority INTEGER NOT NULL DEFAULT 10,
    tls TEXT NOT NULL DEFAULT 'opportunistic' CHECK (tls IN ('none', 'opportunistic', 'required', 'verified')),
    PRIMARY KEY (domain_id, host, port)
) WITHOUT ROWID;

-- Addresses known to exist at a domain whose `recipients` is 'listed'.
CREATE TABLE recipients (
    address TEXT NOT NULL PRIMARY KEY,
    domain TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX recipients_domain ON recipients (domain);

-- One row a target. `address` is 'local@domain' or '@domain', the catch-all.
CREATE TABLE aliases (
    address TEXT NOT NULL,
    recipient TEXT NOT NULL,
    domain TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (address, recipient)
) WITHOUT ROWID;
CREATE INDEX aliases_domain ON aliases (domain);

-- Allow and block rules (spec 1.5). `conditions` is the JSON object of the API.
CREATE TABLE rules (
    uuid TEXT NOT NULL PRIMARY KEY,
    scope TEXT NOT NULL CHECK (scope IN ('appliance', 'account', 'domain', 'address')),
    scope_key TEXT NOT NULL DEFAULT '',             -- '' | account id | domain | address
    action TEXT NOT NULL CHECK (action IN ('allow', 'block')),
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    enabled INTEGER NOT NULL DEFAULT 1,
    priority INTEGER NOT NULL DEFAULT 100,          -- lower is asked first
    conditions TEXT NOT NULL,
    created REAL NOT NULL,
    modified REAL NOT NULL
);
CREATE INDEX rules_scope ON rules (scope, scope_key, priority);

CREATE TABLE settings (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL                             -- JSON
) WITHOUT ROWID;

-- Who did what. Append only; not versioned, nothing caches it.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    actor TEXT NOT NULL,
    via TEXT NOT NULL,                              -- 'cli', 'portal', 'api', 'system'
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '{}'               -- JSON
);
CREATE INDEX audit_object ON audit (object);

CREATE TABLE jobs (
    name TEXT NOT NULL PRIMARY KEY,
    last_run REAL NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT '',
    runs INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""

VERSIONED = ("accounts", "domains", "domain_destinations", "recipients", "aliases", "rules", "settings")

TRIGGERS = "".join(
    f"CREATE TRIGGER {table}_{verb.lower()}_bumps AFTER {verb} ON {table} BEGIN UPDATE directory_version SET version = version + 1; END;\n"
    for table in VERSIONED
    for verb in ("INSERT", "UPDATE", "DELETE")
)
