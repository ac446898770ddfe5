"""Allow and block rules as stored (spec 1.5): scope, action and the JSON of their conditions. What a condition means is the business of rules/.

`scope_key` is '' for the appliance, the account's id as text, the domain, or the address (`Address.key`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from jetmail.store.database import Connection

MAX_PER_DOMAIN = 250  # spec 1.5: allow and block together; the same bound for any other scope
SCOPES = ("appliance", "account", "domain", "address")
_COLUMNS = "uuid, scope, scope_key, action, name, description, enabled, priority, conditions, created, modified"


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rules row. `action` allow or block, `priority` lower is asked first, `conditions` the JSON text of the API's object."""

    uuid: str
    scope: str
    scope_key: str
    action: str
    name: str
    description: str = ""
    enabled: bool = True
    priority: int = 100
    conditions: str = "{}"
    created: float = 0.0
    modified: float = 0.0

    @property
    def parsed(self) -> dict[str, Any]:
        """The conditions as an object; {} when the column is damaged, which matches nothing."""
        try:
            found = json.loads(self.conditions)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def listing(conn: Connection, scope: str, scope_key: str = "", *, enabled_only: bool = False) -> tuple[StoredRule, ...]:
    """The rules of one scope in the order they are asked: by priority, then allow before block, then oldest first."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM rules WHERE scope = ? AND scope_key = ? AND enabled >= ? ORDER BY priority, action, created, uuid",
        (scope, scope_key, int(enabled_only)),
    ).fetchall()
    return tuple(_rule(row) for row in rows)


def get(conn: Connection, uuid: str) -> StoredRule | None:
    """The rule of that uuid, or None."""
    row = conn.execute(f"SELECT {_COLUMNS} FROM rules WHERE uuid = ?", (uuid,)).fetchone()
    return _rule(row) if row else None


def count(conn: Connection, scope: str, scope_key: str) -> int:
    """How many rules the scope has, disabled ones too."""
    found: int = conn.execute("SELECT count(*) FROM rules WHERE scope = ? AND scope_key = ?", (scope, scope_key)).fetchone()[0]
    return found


def put(conn: Connection, rule: StoredRule) -> None:
    """Store the rule, in place of the one with its uuid if there is one."""
    conn.execute(
        f"""INSERT INTO rules ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uuid) DO UPDATE SET scope = excluded.scope,
            scope_key = excluded.scope_key, action = excluded.action, name = excluded.name, description = excluded.description,
            enabled = excluded.enabled, priority = excluded.priority, conditions = excluded.conditions, modified = excluded.modified""",
        (rule.uuid, rule.scope, rule.scope_key, rule.action, rule.name, rule.description, rule.enabled, rule.priority, rule.conditions, rule.created,
         rule.modified),
    )  # fmt: skip


def remove(conn: Connection, uuid: str) -> bool:
    """Forget the rule. -> was it there."""
    return conn.execute("DELETE FROM rules WHERE uuid = ?", (uuid,)).rowcount > 0


def _rule(row: tuple) -> StoredRule:
    values = list(row)
    values[6] = bool(values[6])
    return StoredRule(*values)
