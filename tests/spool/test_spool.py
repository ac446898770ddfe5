"""Large content as files: whole or not at all, read in pieces, swept at boot."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from jetmail.errors import ContentMissingError, StoreError
from jetmail.interfaces import IContentStore, IExecutor
from jetmail.offload import InlineExecutor
from jetmail.spool.content import chunks, head
from jetmail.spool.files import FileStore, MemoryStore, SpoolOptions
from jetmail.spool.sweep import sweep
from jetmail.store.traffic.messages import Content
from jetmail.store.traffic.spooled import Spooled


def namer() -> Callable[[], str]:
    """Names one after the other."""
    numbers = count(1)
    return lambda: f"name{next(numbers):08d}"


@implementer(IExecutor)
class LaterExecutor:
    """Keeps work until the test does it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def run(self, fn: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Keep it."""
        done: Deferred[Any] = Deferred()
        self.waiting.append((done, lambda: fn(*args)))
        return done

    def work(self) -> None:
        """Do what was kept."""
        while self.waiting:
            done, fn = self.waiting.pop(0)
            done.callback(fn())


class StoreMixin:
    """What any content store promises."""

    store: Any

    def test_interface(self: Any) -> None:
        """It is an IContentStore."""
        self.assertTrue(verifyObject(IContentStore, self.store))

    def test_round_trip(self: Any) -> None:
        """What was written in pieces is read back whole, until it is deleted."""
        writer = self.store.create()
        for piece in (b"a" * 70_000, b"", b"b"):
            writer.write(piece)
        name = self.successResultOf(writer.finish())
        with self.store.open(name) as file:
            self.assertEqual(file.read(), b"a" * 70_000 + b"b")
        self.store.delete(name)
        self.store.delete(name)
        self.assertRaises(ContentMissingError, self.store.open, name)

    def test_abort(self: Any) -> None:
        """An aborted file was never there."""
        writer = self.store.create()
        writer.write(b"x")
        writer.abort()
        writer.abort()
        self.assertRaises(ContentMissingError, self.store.open, writer.name)


class MemoryStoreTests(StoreMixin, SynchronousTestCase):
    """The stand-in keeps the promises."""

    def setUp(self) -> None:
        """An empty one."""
        self.store = MemoryStore(namer())


class FileStoreTests(StoreMixin, SynchronousTestCase):
    """The real one."""

    def setUp(self) -> None:
        """A spool in a folder of its own."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = os.path.join(folder.name, "spool")
        self.store = FileStore(SpoolOptions(self.root, min_free=1), InlineExecutor(), namer())

    def files(self) -> list[str]:
        """Every file below the spool."""
        return sorted(str(path.relative_to(self.root)) for path in Path(self.root).rglob("*") if path.is_file())

    def test_named_when_synced(self) -> None:
        """A file has its name only after file and directory were synced, in that order, off the reactor."""
        executor = LaterExecutor()
        store = FileStore(SpoolOptions(self.root), executor, namer())
        writer = store.create()
        writer.write(b"x")
        finished = writer.finish()
        self.assertNoResult(finished)
        self.assertEqual(self.files(), ["tmp/name00000001"])
        steps: list[str] = []
        real_rename, real_fsync = os.rename, os.fsync

        def fsync(descriptor: int) -> None:
            steps.append("sync directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "sync file")
            real_fsync(descriptor)

        def rename(*args: Any) -> None:
            steps.append("rename")
            real_rename(*args)

        with mock.patch("os.fsync", fsync), mock.patch("os.rename", rename):
            executor.work()
        self.assertEqual(self.successResultOf(finished), "name00000001")
        self.assertEqual(steps, ["sync file", "rename", "sync directory"])
        self.assertEqual(self.files(), ["name00000001"])

    def test_disk_full(self) -> None:
        """A disk that refuses is a StoreError when writing or when finishing, and nothing is left behind."""
        full = OSError(errno.ENOSPC, "No space left on device")
        writer = self.store.create()
        with mock.patch("os.fsync", side_effect=full):
            writer.write(b"x")
            error = self.failureResultOf(writer.finish(), StoreError)
        self.assertIn("No space", error.getErrorMessage())
        self.failureResultOf(writer.finish(), StoreError)
        other = self.store.create()
        other._file.raw.close()
        self.assertRaises(StoreError, other.write, b"x" * 1_000_000)
        other.abort()
        self.assertEqual(self.files(), [])

    def test_names(self) -> None:
        """No name leads out of the directory, and what is no name names no file."""
        for name in ("../../etc/passwd", "tmp/name00000001", "", ".", "a" * 65, "name0000\n", "NAME0001"):
            self.assertRaises(ContentMissingError, self.store.open, name)
            self.assertRaises(ContentMissingError, self.store.delete, name)

    def test_private(self) -> None:
        """Mail is nobody else's business: files and temporary folder are for the owner alone."""
        self.successResultOf(self.store.create().finish())
        self.assertEqual(os.stat(os.path.join(self.root, "name00000001")).st_mode & 0o077, 0)
        self.assertEqual(os.stat(os.path.join(self.root, "tmp")).st_mode & 0o077, 0)

    def test_room(self) -> None:
        """There is room as long as the reserve stays free."""
        self.assertTrue(self.store.has_room(1))
        self.assertFalse(self.store.has_room(self.store.free()))
        self.assertFalse(self.store.has_room(1 << 60))

    def test_room_is_remembered(self) -> None:
        """With a clock the disk is looked at ten times a second at most, and at once when the clock goes back."""
        clock = Clock()
        store = FileStore(SpoolOptions(self.root, min_free=1), InlineExecutor(), namer(), clock.seconds)
        free = iter([10, 1, 10])
        self.patch(store, "free", lambda: next(free))
        self.assertTrue(store.has_room(5))
        clock.advance(0.09)
        self.assertEqual((store.has_room(5), store.has_room(10)), (True, False))
        clock.advance(0.02)
        self.assertFalse(store.has_room(5))
        clock.rightNow -= 100.0
        self.assertTrue(store.has_room(5))

    def test_usage(self) -> None:
        """Whole files are counted, unfinished ones are not."""
        writer = self.store.create()
        writer.write(b"12345")
        self.successResultOf(writer.finish())
        unfinished = self.store.create()
        self.addCleanup(unfinished.abort)
        unfinished.write(b"x")
        self.assertEqual(self.successResultOf(self.store.usage()), (1, 5))

    def test_no_place(self) -> None:
        """A spool that cannot be made is said at once."""
        Path(self.root + "2").write_bytes(b"")
        self.assertRaises(StoreError, FileStore, SpoolOptions(self.root + "2"), InlineExecutor(), namer())

    def test_sweep(self) -> None:
        """At boot unfinished and unreferenced files go, referenced ones stay, and missing ones are reported and kept in the store."""
        names = []
        for octets in (b"kept", b"orphan"):
            writer = self.store.create()
            writer.write(octets)
            names.append(self.successResultOf(writer.finish()))
        Path(self.root, "tmp", "leftover1").write_bytes(b"half")
        Path(self.root, "README.txt").write_bytes(b"not ours")
        kept, lost = Spooled(1, names[0], "u1"), Spooled(2, "lostlostlost", "u2")
        told: list[dict[str, Any]] = []
        swept = self.successResultOf(sweep(self.store, [kept, lost], Logger(observer=told.append)))
        self.assertEqual((swept.temporary, swept.orphans, swept.missing), (1, 1, (lost,)))
        self.assertEqual(self.files(), ["README.txt", names[0]])
        self.assertEqual([event["uid"] for event in told if "uid" in event], ["u2"])


class ChunksTests(SynchronousTestCase):
    """Reading a content wherever it is."""

    def setUp(self) -> None:
        """A spool with one file."""
        self.store = MemoryStore(namer())
        self.store.files["name00000001"] = b"OLD: header\r\n\r\nbody"

    def spooled(self, **other: Any) -> Content:
        """The file with an edited header."""
        values: dict[str, Any] = {"size": 13, "data": None, "header": b"NEW: h\r\n\r\n"[:9], "spool": "name00000001", "spool_offset": 15} | other
        return Content(**values)

    def test_spooled(self) -> None:
        """The edited header comes first, then the file from its offset on."""
        self.assertEqual(b"".join(chunks(self.spooled(), self.store, 3)), b"NEW: h\r\n\rbody")
        self.assertEqual(head(self.spooled(), self.store, 11), b"NEW: h\r\n\rbo")
        self.assertEqual(head(self.spooled(), self.store, 100), b"NEW: h\r\n\rbody")

    def test_damaged(self) -> None:
        """A file that is gone, shorter or longer than it was gives nothing at all."""
        for content in (self.spooled(size=14), self.spooled(size=12), self.spooled(spool="name00000009"), Content(5, b"four", id=1)):
            self.assertRaises(ContentMissingError, next, chunks(content, self.store))

    def test_shrinking(self) -> None:
        """A file that becomes shorter while it is read is noticed."""
        file = io.BytesIO(self.store.files["name00000001"])
        with mock.patch.object(self.store, "open", return_value=file):
            reading: Iterator[bytes] = chunks(self.spooled(), self.store, 2)
            next(reading)
            file.truncate(16)
            self.assertRaises(ContentMissingError, list, reading)

    def test_inline_empty(self) -> None:
        """An empty message has no pieces."""
        self.assertEqual(list(chunks(Content(0, b""), self.store)), [])


@given(st.binary(max_size=300), st.binary(max_size=40), st.integers(0, 50), st.integers(1, 64))
def test_pieces(octets: bytes, header: bytes, offset: int, size: int) -> None:
    """Inline or spooled, the pieces are never too large, never empty, and together exactly the message."""
    store = MemoryStore(namer())
    offset = min(offset, len(octets))
    store.files["name00000001"] = octets
    whole = header + octets[offset:]
    for content in (Content(len(whole), None, header, "name00000001", offset), Content(len(whole), whole)):
        pieces = list(chunks(content, store, size))
        assert b"".join(pieces) == whole
        assert all(0 < len(piece) <= size for piece in pieces)
