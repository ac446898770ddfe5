"""The schema's steps: whole or not at all, with a way back."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from jetmail.errors import SchemaError, StoreError
from jetmail.store import migrations
from jetmail.store.migrations import SCHEMA_VERSION, STEPS, Step


def _add_table(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE novelty (id INTEGER PRIMARY KEY)")


def _fail_in_the_middle(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE half (id INTEGER PRIMARY KEY)")
    connection.execute("DELETE FROM domains")
    raise RuntimeError("power lost")


NEXT: Step = ("0099_novelty", _add_table)
BROKEN: Step = ("0099_broken", _fail_in_the_middle)


class MigrationTests(SynchronousTestCase):
    """`apply` on files."""

    def setUp(self) -> None:
        """A place for a store."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.path = os.path.join(folder.name, "store %?#.sqlite")

    def names(self, path: str = "") -> set[str]:
        """The tables of the file."""
        connection = sqlite3.connect(path or self.path)
        try:
            return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        finally:
            connection.close()

    def execute(self, sql: str) -> list[tuple]:
        """One statement on the file, committed."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def test_creates(self) -> None:
        """A store that does not exist is made at the newest version, with pages that can be given back and a record of each step."""
        self.assertEqual(migrations.apply(self.path), len(STEPS))
        self.assertEqual(migrations.schema_version(self.path), SCHEMA_VERSION)
        self.assertTrue({"messages", "content", "deliveries", "events", "domains", "audit"} <= self.names())
        self.assertEqual(self.execute("PRAGMA auto_vacuum"), [(2,)])
        self.assertEqual(self.execute("SELECT name FROM _sqlite_migrations ORDER BY id"), [(name,) for name, _ in STEPS])

    def test_again(self) -> None:
        """A store that is up to date is left alone, without a backup."""
        migrations.apply(self.path)
        before = Path(self.path).read_bytes()
        self.assertEqual(migrations.apply(self.path), 0)
        self.assertEqual(Path(self.path).read_bytes(), before)
        self.assertEqual([name for name in os.listdir(self.folder) if "backup" in name], [])

    def test_upgrade_backs_up(self) -> None:
        """Before a step a whole copy is made that has the old version and the data."""
        migrations.apply(self.path)
        self.execute("INSERT INTO domains (name) VALUES ('demo.test')")
        self.assertEqual(migrations.apply(self.path, (*STEPS, NEXT)), 1)
        self.assertIn("novelty", self.names())
        kept = f"{self.path}.backup-{SCHEMA_VERSION}"
        self.assertNotIn("novelty", self.names(kept))
        connection = sqlite3.connect(kept)
        self.addCleanup(connection.close)
        self.assertEqual(connection.execute("SELECT name FROM domains").fetchall(), [("demo.test",)])

    def test_upgrade_of_a_wal_store(self) -> None:
        """What stands only in the write-ahead log is in the backup and in the upgraded store."""
        migrations.apply(self.path)
        connection = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(connection.close)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("INSERT INTO domains (name) VALUES ('demo.test')")
        self.assertTrue(os.path.getsize(self.path + "-wal"))
        migrations.apply(self.path, (*STEPS, NEXT))
        self.assertEqual(self.execute("SELECT name FROM domains"), [("demo.test",)])
        self.assertIn("domains", self.names(f"{self.path}.backup-{SCHEMA_VERSION}"))

    def test_crash_in_the_middle(self) -> None:
        """A step that fails leaves no trace: no table, no record, no lost row, the old version, and it can be tried again."""
        migrations.apply(self.path)
        self.execute("INSERT INTO domains (name) VALUES ('demo.test')")
        error = self.assertRaises(SchemaError, migrations.apply, self.path, (*STEPS, BROKEN))
        self.assertIn("power lost", str(error))
        self.assertIn("backup", str(error))
        self.assertNotIn("half", self.names())
        self.assertEqual(migrations.schema_version(self.path), SCHEMA_VERSION)
        self.assertEqual(self.execute("SELECT name FROM domains"), [("demo.test",)])
        self.assertEqual(migrations.apply(self.path, (*STEPS, NEXT)), 1)

    def test_earlier_steps_stay(self) -> None:
        """Each step is a transaction of its own: those before the failing one are done."""
        migrations.apply(self.path)
        self.assertRaises(SchemaError, migrations.apply, self.path, (*STEPS, NEXT, BROKEN))
        self.assertEqual(migrations.schema_version(self.path), SCHEMA_VERSION + 1)
        self.assertIn("novelty", self.names())

    def test_failed_creation_leaves_nothing(self) -> None:
        """A store is created whole or not at all."""
        self.assertRaises(SchemaError, migrations.apply, self.path, (*STEPS, BROKEN))
        self.assertEqual([name for name in os.listdir(self.folder) if not name.endswith(migrations.LOCK_SUFFIX)], [])
        self.assertEqual(migrations.apply(self.path), len(STEPS))

    def test_newer_refused(self) -> None:
        """A store written by a newer program is refused and not touched."""
        migrations.apply(self.path, (*STEPS, NEXT))
        before = Path(self.path).read_bytes()
        error = self.assertRaises(SchemaError, migrations.apply, self.path)
        self.assertIn("newer", str(error))
        self.assertEqual(Path(self.path).read_bytes(), before)

    def test_corrupt(self) -> None:
        """A file that is no database is reported by its name and left as it is."""
        Path(self.path).write_bytes(b"this is no database at all" * 100)
        error = self.assertRaises(StoreError, migrations.apply, self.path)
        self.assertIn(self.path, str(error))
        self.assertTrue(Path(self.path).read_bytes().startswith(b"this is no database"))

    def test_damaged_is_not_upgraded(self) -> None:
        """A store whose pages are damaged is not upgraded, and no backup pretends to be whole."""
        migrations.apply(self.path)
        whole = Path(self.path).read_bytes()
        Path(self.path).write_bytes(whole[: len(whole) // 2] + b"\x55" * (len(whole) // 2))
        self.assertRaises(StoreError, migrations.apply, self.path, (*STEPS, NEXT))
        self.assertFalse(os.path.exists(f"{self.path}.backup-{SCHEMA_VERSION}"))

    def test_foreign_database(self) -> None:
        """Another program's database is not taken for a store."""
        self.execute("CREATE TABLE theirs (id)")
        self.assertRaises(SchemaError, migrations.apply, self.path)
        self.assertEqual(self.names(), {"theirs"})

    def test_orphaned_log(self) -> None:
        """A missing store beside its write-ahead log is not silently begun anew."""
        Path(self.path + "-wal").write_bytes(b"x" * 100)
        self.assertRaises(SchemaError, migrations.apply, self.path)
        self.assertFalse(os.path.exists(self.path))

    def test_no_place(self) -> None:
        """A directory that does not exist is said as such."""
        self.assertRaises(StoreError, migrations.apply, os.path.join(self.folder, "nowhere", "store"))

    def test_statements(self) -> None:
        """SQL is cut into statements with triggers whole; SQL that does not end is refused."""
        text = "CREATE TABLE t (a); -- why\nCREATE TRIGGER b AFTER INSERT ON t BEGIN DELETE FROM t; END;\n"
        self.assertEqual(len(list(migrations.statements(text))), 2)
        self.assertRaises(ValueError, list, migrations.statements("SELECT 1"))
