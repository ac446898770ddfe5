"""The model: it learns, takes back, does not drift, and reads back only what was written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetmail.classifier.classifier import seed
from jetmail.classifier.errors import DamagedError
from jetmail.classifier.memory import MAX_KEPT, Memory
from jetmail.classifier.model import BOLDEST, Model, caution, counted, load, sigmoid
from tests.classifier.samples import found


def taught(count: int, model: Model | None = None) -> Model:
    """A model that learnt so many of each kind."""
    model = model or Model.empty()
    for number in range(count):
        model.train(found(number, True), True)
        model.train(found(number, False), False)
    return model


def test_learns() -> None:
    """After twenty of each kind, mail it never saw is on the right side."""
    model = taught(20)
    assert (model.spam, model.ham) == (20, 20)
    assert all(model.score(found(number, True)) > 2 for number in range(100, 130))
    assert all(model.score(found(number, False)) < -2 for number in range(100, 130))


def test_knows_nothing() -> None:
    """An empty model has no opinion, and a message without features moves nothing."""
    model = Model.empty()
    assert model.score(found(1, True)) == 0.0
    nothing = np.zeros(0, np.uint32)
    assert model.score(nothing) == 0.0
    model.train(nothing, True)
    assert not model.weights.any()


def test_opposite_undoes() -> None:
    """A message learnt as spam by mistake and then as ham is ham, and the counts say what holds."""
    model = taught(20)
    wrong = found(500, False)
    model.train(wrong, True)
    assert model.spam == 21
    model.train(wrong, False, undoes=True)
    assert model.score(wrong) < 0
    assert (model.spam, model.ham) == (20, 21)


def test_one_kind_alone_is_learnt_with_caution() -> None:
    """While nobody has said what ham is, fifty reports of spam do not make everything look like it: the seed's word on ham stands."""
    model = seed()
    before = model.score(found(3, False))
    for number in range(50):
        model.train(found(number, True), True)
    assert model.score(found(100, True)) > 2
    assert model.score(found(3, False)) - before < 4
    bold = taught(20)
    assert caution(0, 500) == 1.0 > caution(3, 3) > caution(20, 500) > caution(500, 500) == BOLDEST
    bold.train(new := found(7, True) + np.uint32(1), True)
    assert bold.score(new) > 10, "what is new when both kinds are known is learnt at once"


def test_one_sided_lessons() -> None:
    """Three hundred lessons of spam alone do not make ham look like spam."""
    model = taught(30)
    for number in range(1000, 1300):
        model.train(found(number, True), True)
    assert all(model.score(found(number, False)) < 0 for number in range(100, 130))


@pytest.mark.parametrize("first", [True, False])
def test_one_kind_after_the_other(first: bool) -> None:
    """All of one kind and then all of the other is learnt as well as both in turn."""
    model = Model.empty()
    for is_spam in (first, not first):
        for number in range(100):
            model.train(found(number, is_spam), is_spam)
    assert all(model.score(found(number, True)) > 2 for number in range(200, 250))
    assert all(model.score(found(number, False)) < -2 for number in range(200, 250))


def test_same_lessons_same_model() -> None:
    """Nothing depends on chance."""
    assert taught(15).dump() == taught(15).dump()


def test_dump_and_load() -> None:
    """What is written reads back exactly, and goes on learning as the original does."""
    model = taught(10)
    model.seq, model.journal = 77, "0123456789abcdef"
    again = load(model.dump())
    assert (again.spam, again.ham, again.seq, again.journal) == (10, 10, 77, "0123456789abcdef")
    assert again.dump() == model.dump()
    assert taught(12, again).dump() == taught(12, model).dump()


def test_seed_is_small_and_counts_for_nothing() -> None:
    """A seed keeps the weights nearly, is small, and claims to have learnt nothing."""
    model = taught(10)
    octets = model.dump_seed()
    seed = load(octets)
    assert len(octets) < 100_000
    assert (seed.spam, seed.ham, seed.seq, seed.journal) == (0, 0, 0, "")
    assert abs(seed.score(found(3, True)) - model.score(found(3, True))) < 0.5


def test_level() -> None:
    """It lies in the middle of what is said of the ham and of the spam that was learnt, is the same once read back, and another after a lesson."""
    assert Model.empty().level() == seed().level() == 0.0
    model = Model.empty()
    model.train(found(1, True), True)
    assert model.level() == 0.0, "of one kind nothing can be said"
    model = taught(10)
    ham, spam = (sum(model.score(found(number, is_spam)) for number in range(10)) / 10 for is_spam in (False, True))
    assert model.level() == pytest.approx((ham + spam) / 2, abs=1e-3)
    assert load(model.dump()).level() == model.copy().level() == model.level()
    before = model.level()
    model.train(found(500, True), True)
    assert model.level() != before


@pytest.fixture(scope="module")
def octets() -> bytes:
    """A seed: short enough to be damaged at every place."""
    return taught(2).dump_seed()


@settings(max_examples=200)
@given(st.data())
def test_damage_is_refused(octets: bytes, data: st.DataObject) -> None:
    """A model cut short, longer, or with one octet altered is refused."""
    place = data.draw(st.integers(0, len(octets) - 1))
    altered = bytearray(octets)
    altered[place] ^= data.draw(st.integers(1, 255))
    for bad in (octets[:place], octets + b"x", bytes(altered)):
        with pytest.raises(DamagedError):
            load(bad)


@given(st.binary(max_size=200))
def test_rubbish_is_refused(rubbish: bytes) -> None:
    """Octets that are no model are refused."""
    with pytest.raises(DamagedError):
        load(rubbish)


def test_not_numbers_are_refused() -> None:
    """A model with a weight that is no number is refused, though its sum is right."""
    model = Model.empty()
    model.weights[5] = np.nan
    with pytest.raises(DamagedError):
        load(model.dump())


def test_memory_is_bounded() -> None:
    """No more than MAX_KEPT of each kind are kept, and each has its turn."""
    memory = Memory()
    for number in range(MAX_KEPT + 50):
        memory.keep(found(number, True), True)
    assert len({id(memory.opposites(False, turn)[0]) for turn in range(MAX_KEPT)}) == MAX_KEPT
    assert len(memory.opposites(False, 3, 2)) == 2
    assert not memory.opposites(True)
    assert Memory.load(memory.dump()).dump() == memory.dump()
    assert MAX_KEPT in (int.from_bytes(memory.dump()[place : place + 4], "little") for place in (4, 8))


def test_memory_samples_every_age() -> None:
    """A sample is of the oldest and of the newest; of few, all are in it."""
    memory = Memory()
    for number in range(30):
        memory.keep(found(number, True), True)
    assert [len(memory.sample(True, count)) for count in (7, 30, 100)] == [7, 30, 30]
    assert not memory.sample(False, 7)
    kept = [each.tobytes() for each in memory.sample(True, 30)]
    assert [kept.index(each.tobytes()) for each in memory.sample(True, 3)] == [0, 10, 20]


def test_memory_forgets_what_was_undone() -> None:
    """A message that was learnt as the opposite is not repeated as what it is not."""
    memory = Memory()
    memory.keep(found(1, False), True)
    assert memory.opposites(False)
    memory.keep(found(1, False), False, undoes=True)
    assert not memory.opposites(False)
    assert memory.opposites(True)


def test_sums() -> None:
    """Counts never fall below zero, and no logit is too large for a probability."""
    assert counted(0, 0, True, True) == (1, 0)
    assert counted(3, 3, False, True) == (2, 4)
    assert sigmoid(-1e9) >= 0.0
    assert sigmoid(1e9) <= 1.0
