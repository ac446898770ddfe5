"""The process that learns: each step once whatever happens in between, and a model file that is whole or not there."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from jetmail.classifier import features
from jetmail.classifier.model import Model, load
from jetmail.errors import StoreError
from jetmail.jobs import learning as jobs
from jetmail.jobs.learning import DAY, Learner, LearningJob
from jetmail.offload import InlineExecutor
from jetmail.store.traffic import learning
from tests.classifier.samples import found
from tests.store.samples import memory_store


class Broken(InlineExecutor):
    """A disk that is full."""

    def run(self, fn: Any, *args: Any) -> Deferred:
        """Fails."""
        return fail(OSError(28, "No space left on device"))


class LearnerTests(SynchronousTestCase):
    """On a store in memory and a folder of its own."""

    def setUp(self) -> None:
        """Nothing taught yet."""
        self.db = memory_store()
        self.conn = self.db.connection
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "classifier" / "model"

    def learner(self, executor: Any = None) -> Learner:
        """One as after a start."""
        learner = Learner(self.db, self.path, executor or InlineExecutor(), "mx.demo.test", Logger())
        learner.load()
        return learner

    def teach(self, *numbers: int, is_spam: bool = True, person: str = "") -> None:
        """These messages are in the journal."""
        for number in numbers:
            learning.teach(self.conn, f"{number}{is_spam}", person, is_spam, features.pack(found(number, is_spam)), 1.0, "")

    def expected(self, *numbers: int) -> bytes:
        """The weights of one that learnt these after the seed."""
        model = jobs.seed()
        for number in numbers:
            model.train(found(number, True), True)
        return model.weights.tobytes()

    def test_learns_from_the_journal(self) -> None:
        """What is in the journal at the start and what comes with a nudge is learnt once."""
        self.teach(1, 2)
        learner = self.learner()
        self.assertEqual(learner.classifier.model.weights.tobytes(), self.expected(1, 2))
        self.teach(3)
        learner.wake()
        learner.wake()
        self.assertEqual(learner.classifier.model.weights.tobytes(), self.expected(1, 2, 3))
        self.assertEqual(learner.classifier.model.spam, 3)

    def test_killed_before_saving(self) -> None:
        """A process that dies without a word loses nothing: its steps are still in the journal."""
        self.teach(1)
        self.learner()
        self.assertEqual(self.learner().classifier.model.weights.tobytes(), self.expected(1))

    def test_killed_after_saving(self) -> None:
        """One that dies after the file was written and before the journal was shortened counts nothing twice."""
        self.teach(1, 2)
        learner = self.learner()
        steps = self.conn.execute("SELECT * FROM training_steps").fetchall()
        self.assertTrue(self.successResultOf(learner.save()))
        self.assertEqual(learning.pending(self.conn), 0)
        self.conn.executemany("INSERT INTO training_steps VALUES (?, ?, ?, ?, ?)", steps)
        again = self.learner()
        self.assertEqual(again.classifier.model.weights.tobytes(), self.expected(1, 2))
        self.teach(3)
        again.wake()
        self.assertEqual(again.classifier.model.weights.tobytes(), self.expected(1, 2, 3))

    def test_saved_and_started(self) -> None:
        """The file holds all that was learnt, and what comes later is learnt on top; with nothing new nothing is written."""
        self.teach(1)
        learner = self.learner()
        self.successResultOf(learner.save())
        self.assertFalse(self.successResultOf(learner.save()))
        self.assertEqual([path.name for path in self.path.parent.iterdir()], ["model"])
        self.teach(2)
        again = self.learner()
        self.assertEqual(again.classifier.model.weights.tobytes(), self.expected(1, 2))
        self.assertEqual(again.classifier.model.spam, 2)

    def test_disk_full(self) -> None:
        """A file that cannot be written leaves the journal as it is, and a stop goes on."""
        self.teach(1)
        learner = self.learner(Broken())
        self.failureResultOf(learner.save(), OSError)
        self.successResultOf(Deferred.fromCoroutine(learner.stop()))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(learning.pending(self.conn), 1)

    def test_damaged_file(self) -> None:
        """A file that does not read back is set aside, and the seed takes its place."""
        self.path.parent.mkdir()
        self.path.write_bytes(b"half a model")
        learner = self.learner()
        self.assertEqual(learner.classifier.model.weights.tobytes(), self.expected())
        self.assertEqual((self.path.parent / "model.damaged").read_bytes(), b"half a model")

    def test_other_store(self) -> None:
        """A file of another store keeps its weights and learns this store's journal from its beginning."""
        model = Model.empty()
        model.seq, model.journal, model.spam = 1000, "another", 9
        jobs.write_whole(self.path, model.dump())
        self.teach(1)
        learner = self.learner()
        self.assertEqual(learner.classifier.model.spam, 10)

    def test_older_store(self) -> None:
        """A store put back from a backup gives numbers again that the file has seen: their steps are new."""
        model = Model.empty()
        model.seq, model.journal = 1000, learning.identity(self.conn)
        jobs.write_whole(self.path, model.dump())
        learner = self.learner()
        self.teach(1)
        learner.wake()
        self.assertEqual(learner.classifier.model.spam, 1)

    def test_persons(self) -> None:
        """What a person taught is theirs, is in the store at once, and is there after a restart; everybody's model does not move."""
        learner = self.learner()
        before = learner.classifier.model.weights.tobytes()
        self.teach(1, 2, person="ann@demo.test")
        self.teach(1, is_spam=False, person="bob@demo.test")
        learner.wake()
        self.assertEqual(learning.pending(self.conn), 0)
        self.assertEqual(learner.classifier.model.weights.tobytes(), before)
        for each in (learner, self.learner()):
            own = each.classifier.overlay_of("ann@demo.test")
            assert own is not None
            self.assertEqual((own.spam, own.ham), (2, 0))
            self.assertGreater(sum(own.logits(found(1, True))), 0)
            self.assertIsNone(each.classifier.overlay_of("carol@demo.test"))

    def test_persons_before_the_restart(self) -> None:
        """Steps of a person that were journalled while nobody ran are learnt and kept at the next start."""
        self.teach(1, person="ann@demo.test")
        learner = self.learner()
        self.assertIsNotNone(learner.classifier.overlay_of("ann@demo.test"))
        learner.wake()
        self.assertEqual(learning.pending(self.conn), 0)
        own = self.learner().classifier.overlay_of("ann@demo.test")
        assert own is not None
        self.assertEqual(own.spam, 1)

    def test_many_persons(self) -> None:
        """Memory holds the overlays used last; the others come from the store."""
        self.patch(jobs, "RECENT", 2)
        learner = self.learner()
        for person in ("a@x.test", "b@x.test", "c@x.test"):
            self.teach(1, person=person)
        learner.wake()
        self.assertLessEqual(len(learner._recent), 2)
        for person in ("a@x.test", "b@x.test", "c@x.test"):
            own = learner.classifier.overlay_of(person)
            assert own is not None
            self.assertEqual(own.spam, 1)

    def test_damaged_rows(self) -> None:
        """A step or an overlay that does not read back is left out, said in the log, and stops nothing."""
        self.conn.execute("INSERT INTO training_steps (person, label, features) VALUES ('', 1, x'00'), ('ann@demo.test', 1, x'00')")
        self.conn.execute("INSERT INTO overlays (person, data) VALUES ('bob@demo.test', x'00')")
        self.teach(1)
        learner = self.learner()
        self.assertEqual(learner.classifier.model.spam, 1)
        self.successResultOf(learner.catch_up())
        self.successResultOf(learner.save())
        self.assertEqual(learning.pending(self.conn), 0)
        own = learner.classifier.overlay_of("bob@demo.test")
        assert own is not None
        self.assertEqual(own.spam, 0)

    def test_store_fails(self) -> None:
        """A store that cannot answer now is asked again at the next nudge, and what was learnt in between is not learnt twice."""
        learner = self.learner()
        self.teach(1, person="ann@demo.test")
        run = self.db.run
        self.db.run = lambda *args: fail(StoreError("disk full"))  # type: ignore[method-assign]
        learner.wake()
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        self.db.run = run  # type: ignore[method-assign]
        learner.wake()
        own = self.learner().classifier.overlay_of("ann@demo.test")
        assert own is not None
        self.assertEqual(own.spam, 1)
        self.assertEqual(learning.pending(self.conn), 0)

    def test_a_nudge_while_learning(self) -> None:
        """What is taught while the journal is being read is learnt too."""
        learner = self.learner()
        answers: list[Deferred] = []
        search = self.db.search

        def slow(*args: Any) -> Deferred:
            answers.append(Deferred())
            result = self.successResultOf(search(*args))
            return answers[-1].addCallback(lambda _: result)

        self.db.search = slow  # type: ignore[method-assign]
        self.teach(1)
        waiting = learner.catch_up()
        self.teach(2)
        learner.wake()
        self.assertNoResult(waiting)
        answers[0].callback(None)
        answers[1].callback(None)
        self.successResultOf(waiting)
        self.assertEqual(learner.classifier.model.spam, 2)

    def test_job(self) -> None:
        """The job learns, keeps the file, and forgets old trainings."""
        learner = self.learner()
        self.teach(1)
        job = LearningJob(self.db, learner, lambda: 500 * DAY, days=400)
        self.assertTrue(self.successResultOf(job.run()))
        self.assertEqual(load(self.path.read_bytes()).spam, 1)
        self.assertEqual(self.conn.execute("SELECT count(*) FROM trainings").fetchone(), (0,))

    def test_write_whole(self) -> None:
        """The file is replaced, and what a killed writer left is swept."""
        self.path.parent.mkdir()
        (self.path.parent / "model.new-3").write_bytes(b"half")
        jobs.write_whole(self.path, b"one")
        jobs.write_whole(self.path, b"two")
        self.assertEqual({path.name: path.read_bytes() for path in self.path.parent.iterdir()}, {"model": b"two"})
