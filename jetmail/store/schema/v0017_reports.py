"""Migration 17: the MTA-STS policies our own domains publish, and what others report about our domains.

`served_policies` is directory: every change bumps its version, so that the site that serves them follows at once. Reports are traffic and name their
domain and their message by text.
"""

from __future__ import annotations

SQL = """
-- The MTA-STS policy of a domain of ours (RFC 8461): what is served at https://mta-sts.<domain>/.well-known/mta-sts.txt.
CREATE TABLE served_policies (
    domain TEXT NOT NULL PRIMARY KEY,
    mode TEXT NOT NULL CHECK (mode IN ('none', 'testing', 'enforce')),
    hosts TEXT NOT NULL,                            -- JSON list of patterns; empty: our own name
    max_age INTEGER NOT NULL,
    changed REAL NOT NULL
) WITHOUT ROWID;

-- A report somebody sent about a domain of ours, one row for each domain it speaks of; or ('fault') what should have been one and cannot be read.
CREATE TABLE aggregate_reports (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,                               -- when it came
    kind TEXT NOT NULL CHECK (kind IN ('tls', 'dmarc', 'fault')),
    ours TEXT NOT NULL DEFAULT '',                  -- the domain of ours it is about; '' of a fault
    domain TEXT NOT NULL DEFAULT '',                -- as the report says: ours, or a name below it
    author TEXT NOT NULL DEFAULT '',                -- domain in the From of the mail that brought it
    organization TEXT NOT NULL DEFAULT '',
    contact TEXT NOT NULL DEFAULT '',
    report_id TEXT NOT NULL DEFAULT '',             -- the organization's own
    begins REAL NOT NULL DEFAULT 0,
    ends REAL NOT NULL DEFAULT 0,
    policy TEXT NOT NULL DEFAULT '',                -- what the reporter found: none, quarantine, reject; sts, tlsa, no-policy-found
    passed INTEGER NOT NULL DEFAULT 0,              -- messages, or sessions
    failed INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',                -- of a fault
    message TEXT NOT NULL,                          -- uid of the mail that brought it
    client TEXT NOT NULL DEFAULT ''                 -- and the address that came from
);
CREATE UNIQUE INDEX aggregate_reports_once ON aggregate_reports (kind, author, organization, report_id, domain) WHERE kind != 'fault';
CREATE INDEX aggregate_reports_at ON aggregate_reports (at);
CREATE INDEX aggregate_reports_ours ON aggregate_reports (ours, id);

-- What a report counts, the most frequent first.
CREATE TABLE aggregate_rows (
    report INTEGER NOT NULL,
    place INTEGER NOT NULL,
    source TEXT NOT NULL DEFAULT '',                -- the address mail came from; '' where the report does not say
    host TEXT NOT NULL DEFAULT '',                  -- dmarc: the domain in From; tls: the host that was to take it
    policy TEXT NOT NULL DEFAULT '',                -- dmarc: what was done; tls: which policy
    result TEXT NOT NULL DEFAULT '',                -- dmarc: 'dkim=pass spf=fail'; tls: '' success, else what failed
    passed INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (report, place)
) WITHOUT ROWID;
"""

VERSIONED = ("served_policies",)

TRIGGERS = "".join(
    f"CREATE TRIGGER {table}_{verb.lower()}_bumps AFTER {verb} ON {table} BEGIN UPDATE directory_version SET version = version + 1; END;\n"
    for table in VERSIONED
    for verb in ("INSERT", "UPDATE", "DELETE")
)
