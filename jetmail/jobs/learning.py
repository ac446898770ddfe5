"""The model of the running process: read at boot, taught from the journal, kept in a file.

One process learns and one process writes the file; everybody else (portal, command line) only writes to the journal and nudges (actions.training).

Promises
- What was taught is in the model once: the file says up to which step of which journal it has learnt, and those behind are learnt at boot. So a
  kill at any point loses nothing and counts nothing twice. A file of another store is taken as it is, with this journal from its beginning.
- The file is replaced as a whole (written beside, synced, renamed). One that does not read back is set aside under `<name>.damaged`, said in the
  log, and the seed takes its place.
- Nothing waits for it: steps are learnt some at a time, and the file is written on a thread. Memory is bounded: RECENT overlays beside those that
  are on their way to the store.

Raises StoreError from `load` when the store cannot be read. A seed that is missing is said in the log: everything then looks like nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from jetmail.classifier import features, overlay
from jetmail.classifier.classifier import Classifier, seed
from jetmail.classifier.errors import DamagedError
from jetmail.classifier.model import Model, load
from jetmail.classifier.overlay import EMPTY, Overlay
from jetmail.interfaces import IDatabase, IExecutor, IJob
from jetmail.store.traffic import learning
from jetmail.store.traffic.learning import Step

AT_ONCE = 25  # steps learnt in one turn: some 5 ms, of persons 15
RECENT = 128  # overlays kept in memory, at most 420 KB each
DAY = 86_400.0


class Learner:
    """Owns `classifier`, the one rules ask. `path` is the model's file, `hostname` ours."""

    def __init__(self, db: IDatabase, path: Path, executor: IExecutor, hostname: str, log: Logger) -> None:
        self.classifier = Classifier(Model.empty(), hostname, self._overlay)
        self._db = db
        self._path = path
        self._executor = executor
        self._log = log
        self._seen = 0
        self._saved = 0
        self._persons: set[str] = set()
        self._recent: OrderedDict[str, Overlay] = OrderedDict()
        self._unkept: dict[str, Overlay] = {}
        self._done: list[int] = []  # steps that are in the overlays of _unkept
        self._learning: Deferred[None] | None = None
        self._again = False

    def load(self) -> None:
        """Read the file, or the seed, and learn what the journal has beyond it. Before anybody receives: on this thread."""
        model = self._read()
        journal: str = self._db.read(learning.identity)
        last: int = self._db.read(learning.last_seq)
        if model.journal != journal:
            model.journal, model.seq = journal, 0
        model.seq = min(model.seq, last)  # a store put back from a backup: its next steps are new to the file
        self.classifier.model = model
        self._saved = model.seq
        self._persons = set(self._db.read(learning.persons))
        self._seen = 0
        while steps := self._db.read(learning.steps, self._seen):
            self._learn(steps)

    def wake(self) -> None:
        """The journal may have grown."""
        self.catch_up()

    def catch_up(self) -> Deferred[None]:
        """Learn what the journal holds. -> Deferred that fires when all is learnt and what persons taught is kept; never fails."""
        self._again = True  # what is being read now may not have seen the newest
        running = self._learning
        if running is None:
            running = self._learning = Deferred.fromCoroutine(self._catch_up())
            running.addErrback(lambda failure: self._log.failure("cannot learn from the journal; tried again later", failure))
            running.addBoth(self._caught_up)
        if running.called:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        running.addCallback(lambda _: waiting.callback(None))
        return waiting

    def save(self) -> Deferred[bool]:
        """Keep the model. -> Deferred of whether there was anything new to keep."""
        return Deferred.fromCoroutine(self._save())

    async def stop(self) -> None:
        """Learn what is there, keep everything. Never fails: what could not be kept is learnt again at the next start."""
        await self.catch_up()
        try:
            await self._save()
        except Exception:
            self._log.failure("cannot keep the model; its steps stay in the journal")

    # learning

    def _caught_up(self, _: object) -> None:
        self._learning = None

    async def _catch_up(self) -> None:
        while self._again:
            self._again = False
            steps = await self._db.search(learning.steps, self._seen, AT_ONCE)
            self._learn(steps)
            await self._keep_overlays()
            self._again = self._again or len(steps) == AT_ONCE
        self.classifier.model.level()  # so that no message has to wait for it

    def _learn(self, steps: tuple[Step, ...]) -> None:
        model = self.classifier.model
        for step in steps:
            self._seen = step.seq
            if not step.person and step.seq <= model.seq:
                continue
            try:
                found = features.unpack(step.features)
            except DamagedError as error:
                self._log.error("step {seq} of the journal is left out: {error}", seq=step.seq, error=str(error))
                found = None
            if not step.person:
                if found is not None:
                    model.train(found, step.is_spam, undoes=step.undoes)
                model.seq = step.seq
                continue
            self._done.append(step.seq)
            if found is not None:
                own = self._overlay(step.person) or EMPTY
                self._unkept[step.person] = own.trained(found, step.is_spam, model, undoes=step.undoes)
                self._persons.add(step.person)

    # overlays

    def _overlay(self, person: str) -> Overlay | None:
        if person not in self._persons:
            return None
        if (found := self._unkept.get(person)) is not None:
            return found
        if (found := self._recent.get(person)) is not None:
            self._recent.move_to_end(person)
            return found
        octets = self._db.read(learning.overlay, person)
        try:
            found = overlay.load(octets) if octets is not None else EMPTY
        except DamagedError as error:
            self._log.error("what {person} taught is lost: {error}", person=person, error=str(error))
            found = EMPTY
        self._remember(person, found)
        return found

    def _remember(self, person: str, own: Overlay) -> None:
        self._recent[person] = own
        self._recent.move_to_end(person)
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)

    async def _keep_overlays(self) -> None:
        keeping, done = dict(self._unkept), list(self._done)
        if not done:
            return
        await self._db.run(learning.put_overlays, [(person, own.dump()) for person, own in keeping.items()], done)
        del self._done[: len(done)]
        for person, own in keeping.items():
            if self._unkept.get(person) is own:
                del self._unkept[person]
                self._remember(person, own)

    # the file

    def _read(self) -> Model:
        try:
            return load(self._path.read_bytes())
        except FileNotFoundError:
            pass
        except (OSError, DamagedError) as error:
            aside = self._path.with_name(self._path.name + ".damaged")
            with contextlib.suppress(OSError):
                os.replace(self._path, aside)
            told = {"path": str(self._path), "aside": str(aside), "error": str(error)}
            self._log.error("the model {path} is unusable ({error}): set aside as {aside}, beginning anew", **told)
        try:
            return seed()
        except (OSError, DamagedError) as error:
            self._log.error("the seed that ships is unusable: {error}", error=str(error))
            return Model.empty()

    async def _save(self) -> bool:
        model = self.classifier.model
        is_new = model.seq != self._saved
        if is_new:
            seq = model.seq
            await self._executor.run(_keep, self._path, model.copy())
            self._saved = seq
        await self._db.run(learning.forget_general, self._saved)
        return is_new


def _keep(path: Path, model: Model) -> None:
    write_whole(path, model.dump(), f".new-{model.seq}")


def write_whole(path: Path, octets: bytes, suffix: str = ".new") -> None:
    """Replace the file by these octets, or leave it as it was. `suffix`: of the name it is written under until it is whole; two writers whose
    octets differ need two. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f"{path.name}.new*"):
        leftover.unlink(missing_ok=True)  # of a process that was killed
    making = path.with_name(path.name + suffix)
    with open(making, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    os.replace(making, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@implementer(IJob)
class LearningJob:
    """Learns, keeps the model, and forgets which messages were learnt `days` ago (they could then be learnt once more)."""

    name = "learning"

    def __init__(self, db: IDatabase, learner: Learner, wall: Callable[[], float], days: float = 400, interval: float = 300.0) -> None:
        self.interval = interval
        self._db = db
        self._learner = learner
        self._wall = wall
        self._days = days

    def run(self) -> Deferred[bool]:
        """-> Deferred of whether the model was written."""
        return Deferred.fromCoroutine(self._run())

    async def _run(self) -> bool:
        await self._learner.catch_up()
        is_new = await self._learner.save()
        while await self._db.run(learning.expire, self._wall() - self._days * DAY):
            pass
        return is_new
