"""Hold rules: which mail is taken and then waits for people. What a rule means is mail.holdrule; functions here obey."""

from __future__ import annotations

from typing import Any

from jetmail.mail.holdrule import HoldRule
from jetmail.store.database import Connection

MAX_RULES = 500  # each is asked about every message
COLUMNS = (
    "uuid", "scope", "scope_key", "direction", "sender", "recipient", "user", "size_over", "score_over", "reason", "enabled", "created", "expires",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM hold_rules"


def get(conn: Connection, uuid: str) -> HoldRule | None:
    """The rule of that uuid, or None."""
    row = conn.execute(f"{_SELECT} WHERE uuid = ?", (uuid,)).fetchone()
    return _rule(row) if row else None


def listing(conn: Connection, key: object = None) -> tuple[HoldRule, ...]:
    """All rules in the order they are asked: as they were made."""
    return tuple(_rule(row) for row in conn.execute(f"{_SELECT} ORDER BY id").fetchall())


def enabled(conn: Connection, key: object = None) -> tuple[HoldRule, ...]:
    """Those that are switched on, expired ones too."""
    return tuple(rule for rule in listing(conn) if rule.enabled)


def put(conn: Connection, rule: HoldRule) -> None:
    """Store a rule, new or changed."""
    conn.execute(
        f"""INSERT INTO hold_rules ({", ".join(COLUMNS)}) VALUES ({", ".join("?" * len(COLUMNS))})
            ON CONFLICT (uuid) DO UPDATE SET {", ".join(f"{column} = excluded.{column}" for column in COLUMNS[1:])}""",
        [getattr(rule, column) for column in COLUMNS],
    )


def remove(conn: Connection, uuid: str) -> None:
    """Forget the rule. What it holds stays held."""
    conn.execute("DELETE FROM hold_rules WHERE uuid = ?", (uuid,))


def _rule(row: tuple) -> HoldRule:
    values: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
    values["enabled"] = bool(values["enabled"])
    return HoldRule(**values)
