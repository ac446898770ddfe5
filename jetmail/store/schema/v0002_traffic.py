"""Migration 2: the traffic, what mail does.

Times are epoch seconds. Ids grow in the order of acceptance and are never given twice while the newest message is kept, so that "newest first"
is "highest id first" and the search can page by id. Indexes are few on purpose: every one is paid for by every accepted message.
"""

from __future__ import annotations

SQL = """
CREATE TABLE queue_version (version INTEGER NOT NULL);
INSERT INTO queue_version (version) VALUES (1);

-- The octets of one message, immutable. Small: all of it in `data`. Large: the (edited) header block in `header`, the rest in the spool file
-- from `spool_offset` on. The row goes when no delivery, quarantine or mailbox entry needs it any more.
CREATE TABLE content (
    id INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    spool TEXT,
    spool_offset INTEGER NOT NULL DEFAULT 0,
    header BLOB,
    data BLOB                                       -- last: everything before it is read without walking its overflow pages
);
CREATE INDEX content_spool ON content (spool) WHERE spool IS NOT NULL;

-- One row for every message that came, refused ones too.
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    direction TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    received REAL NOT NULL,
    content_id INTEGER,                             -- NULL: refused, or delivered and dropped
    size INTEGER NOT NULL,
    sender TEXT NOT NULL,                           -- '' is the null sender
    header_from TEXT NOT NULL DEFAULT '',
    subject TEXT NOT NULL DEFAULT '',
    message_id TEXT NOT NULL DEFAULT '',
    client_address TEXT NOT NULL DEFAULT '',
    client_port INTEGER NOT NULL DEFAULT 0,
    helo TEXT NOT NULL DEFAULT '',
    tls TEXT NOT NULL DEFAULT '',
    user TEXT NOT NULL DEFAULT '',
    listener TEXT NOT NULL DEFAULT '',
    body TEXT NOT NULL DEFAULT '7BIT',
    smtputf8 INTEGER NOT NULL DEFAULT 0,
    ret TEXT NOT NULL DEFAULT '',
    envid TEXT NOT NULL DEFAULT '',
    requiretls INTEGER NOT NULL DEFAULT 0,
    score REAL,
    findings TEXT NOT NULL DEFAULT '[]',            -- JSON
    response TEXT NOT NULL DEFAULT ''               -- what we answered to the client
);
CREATE INDEX messages_received ON messages (received);

-- One row a recipient.
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    message_id INTEGER NOT NULL,
    recipient TEXT NOT NULL,                        -- as at RCPT: what people see
    domain TEXT NOT NULL,                           -- of the recipient
    target TEXT NOT NULL,                           -- after aliases: where it really goes
    destination TEXT NOT NULL,                      -- domain of the target: the queue's lane
    status TEXT NOT NULL,                           -- mail.status.Status
    reason TEXT NOT NULL DEFAULT '',
    reply TEXT NOT NULL DEFAULT '',                 -- the last one
    held INTEGER NOT NULL DEFAULT 0,
    queued REAL NOT NULL,                           -- the five days start here
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt REAL NOT NULL DEFAULT 0,
    finished REAL,
    notify TEXT NOT NULL DEFAULT '',
    orcpt TEXT NOT NULL DEFAULT '',
    delay_notified INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX deliveries_message ON deliveries (message_id);
CREATE INDEX deliveries_due ON deliveries (destination, next_attempt) WHERE status = 'queued' AND held = 0;
CREATE INDEX deliveries_held ON deliveries (destination) WHERE status = 'queued' AND held = 1;
CREATE INDEX deliveries_domain ON deliveries (domain, message_id);

-- Append only: what happened to a message after it was received (that itself is its row in messages).
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    message_id INTEGER NOT NULL,
    delivery_id INTEGER,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '{}'               -- JSON
);
CREATE INDEX events_message ON events (message_id);

-- Lanes that are down or suspended. A lane without a row is well.
CREATE TABLE destinations (
    name TEXT NOT NULL PRIMARY KEY,
    failures INTEGER NOT NULL DEFAULT 0,
    down_since REAL,
    not_before REAL NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    reply TEXT NOT NULL DEFAULT '',
    suspended INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""
