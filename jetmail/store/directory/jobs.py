"""What became of the named jobs: when each last ran, how often, and its last error."""

from __future__ import annotations

from dataclasses import dataclass

from jetmail.store.database import Connection


@dataclass(frozen=True, slots=True)
class JobRun:
    """A jobs row. `last_error` is '' when the last run went well."""

    name: str
    last_run: float
    last_error: str
    runs: int


def everything(conn: Connection) -> dict[str, JobRun]:
    """All jobs that ever ran, by name."""
    rows = conn.execute("SELECT name, last_run, last_error, runs FROM jobs ORDER BY name").fetchall()
    return {row[0]: JobRun(*row) for row in rows}


def record(conn: Connection, name: str, at: float, error: str = "") -> None:
    """Write down one run."""
    conn.execute(
        """INSERT INTO jobs (name, last_run, last_error, runs) VALUES (?, ?, ?, 1)
           ON CONFLICT (name) DO UPDATE SET last_run = excluded.last_run, last_error = excluded.last_error, runs = runs + 1""",
        (name, at, error),
    )
