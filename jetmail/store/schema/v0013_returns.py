"""Migration 13: what comes back for messages, and the domains whose name for return paths is published.

`return_paths` is directory: a row is there while the domain's CNAME was last seen, so it changes when a customer publishes or withdraws, not with
each look. `returns` is traffic and refers to its message by uid.
"""

from __future__ import annotations

SQL = """
-- Domains whose name for return paths leads to us: their mail leaves under it.
CREATE TABLE return_paths (
    domain TEXT NOT NULL PRIMARY KEY
) WITHOUT ROWID;
INSERT INTO return_paths (domain) SELECT domain FROM domain_checks WHERE subject = 'return-path' AND status = 'ok';

-- A report, a complaint or a reply that came to a return path: one row for each recipient it speaks of.
CREATE TABLE returns (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('bounce', 'delay', 'success', 'feedback', 'auto-reply', 'other')),
    about TEXT NOT NULL,                            -- uid of the message it speaks of
    delivery_id INTEGER,                            -- the delivery of that message, NULL where it cannot be told
    user TEXT NOT NULL DEFAULT '',                  -- who sent that message: a uuid
    sender TEXT NOT NULL DEFAULT '',                -- its envelope sender
    recipient TEXT NOT NULL DEFAULT '',             -- whom we sent it to, else the final recipient as the report names it
    final TEXT NOT NULL DEFAULT '',                 -- the final recipient as the report names it
    action TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT '',                -- enhanced code
    word TEXT NOT NULL DEFAULT '',                  -- mail.returned_words.WORDS
    is_hard INTEGER NOT NULL DEFAULT 0,
    diagnostic TEXT NOT NULL DEFAULT '',
    remote_mta TEXT NOT NULL DEFAULT '',
    feedback_type TEXT NOT NULL DEFAULT '',
    source_ip TEXT NOT NULL DEFAULT '',
    reporter TEXT NOT NULL DEFAULT '',
    text TEXT NOT NULL DEFAULT '',                  -- what it says to people, shortened
    report TEXT NOT NULL,                           -- uid of the message that came back
    passed_on INTEGER NOT NULL DEFAULT 0            -- the original sender gets it
);
CREATE INDEX returns_about ON returns (about);
CREATE INDEX returns_user ON returns (user, id);
CREATE INDEX returns_at ON returns (at);
"""

VERSIONED = ("return_paths",)

TRIGGERS = "".join(
    f"CREATE TRIGGER {table}_{verb.lower()}_bumps AFTER {verb} ON {table} BEGIN UPDATE directory_version SET version = version + 1; END;\n"
    for table in VERSIONED
    for verb in ("INSERT", "UPDATE", "DELETE")
)
