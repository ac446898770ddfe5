"""Migration 18: whose a sender was who is gone.

What an SMTP user or a person has sent outlives them: it may wait in the queue, come back, be complained about, and stays in the log. All of that is
their account's affair, so its number is kept, by uuid. Nothing else of them is. Written by the deletion itself, whoever deletes; directory.
"""

from __future__ import annotations

SQL = """
CREATE TABLE former_senders (
    uuid TEXT NOT NULL PRIMARY KEY,
    account_id INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX former_senders_account ON former_senders (account_id);
"""

TRIGGERS = "".join(
    f"CREATE TRIGGER {table}_leave AFTER DELETE ON {table} BEGIN "
    "INSERT OR REPLACE INTO former_senders (uuid, account_id) VALUES (OLD.uuid, OLD.account_id); END;\n"
    for table in ("smtp_users", "people")
)
