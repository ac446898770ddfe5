"""What one person taught: theirs alone, bounded, and read back only when whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetmail.classifier import overlay
from jetmail.classifier.errors import DamagedError
from jetmail.classifier.memory import Memory
from jetmail.classifier.model import Model
from jetmail.classifier.overlay import EMPTY, MAX_ENTRIES, MAX_SHIFT
from tests.classifier.samples import found
from tests.classifier.test_model import taught


def test_two_people_disagree() -> None:
    """One person's spam is another's ham, and the model of all does not move."""
    model = taught(20)
    before = model.dump()
    thing = found(1, True)
    ann, bob = EMPTY.trained(thing, True, model), EMPTY.trained(thing, False, model)
    assert model.score(thing) + sum(ann.logits(thing)) > 2
    assert model.score(thing) + sum(bob.logits(thing)) < -1
    assert (ann.spam, ann.ham, bob.spam, bob.ham) == (1, 0, 0, 1)
    assert model.dump() == before
    assert EMPTY.logits(thing) == (0.0, 0.0)


def test_one_report_is_about_its_like() -> None:
    """Who reports one message nobody else minds as spam, and says nothing of ham, does not lose other ham: what everybody taught is repeated."""
    model = taught(60)
    minded = found(7, False)
    own = EMPTY.trained(minded, True, model)
    assert sum(own.logits(minded)) > 8
    alone = EMPTY.trained(minded, True, unremembered(model))
    others = [found(number, False) for number in range(100, 140)]
    moved = sum(sum(own.logits(each)) for each in others) / len(others)
    assert moved < sum(sum(alone.logits(each)) for each in others) / len(others) - 2
    assert sum(model.score(each) + sum(own.logits(each)) > 0 for each in others) <= 2


def test_untaught_is_cautious() -> None:
    """Where nobody has taught anything, one report moves its like by a little."""
    own = EMPTY.trained(found(1, True), True, Model.empty())
    assert 0 < sum(own.logits(found(1, True))) < 5


def test_opposite_undoes() -> None:
    """The opposite turns it round, and counts as one lesson."""
    model = Model.empty()
    thing = found(1, True)
    own = EMPTY.trained(thing, True, model).trained(thing, False, model, undoes=True)
    assert sum(own.logits(thing)) < 0
    assert (own.spam, own.ham) == (0, 1)


def unremembered(model: Model) -> Model:
    """The same, with no message to repeat."""
    other = model.copy()
    other.memory = Memory()
    return other


def test_bounds() -> None:
    """However much somebody clicks: no more weights than MAX_ENTRIES, no half moved by more than MAX_SHIFT."""
    model = Model.empty()
    own = EMPTY
    dice = np.random.default_rng(1)
    for _ in range(40):
        own = own.trained(np.unique(dice.integers(0, 1 << 20, 3000)).astype(np.uint32), True, model)
    assert MAX_ENTRIES <= len(own.indexes) <= 1.2 * MAX_ENTRIES
    for number in range(50):
        own = own.trained(found(number, True), True, model)
    assert all(abs(logit) <= MAX_SHIFT for logit in own.logits(found(3, True)))


def test_dump_and_load() -> None:
    """What is written reads back exactly."""
    own = EMPTY.trained(found(1, True), True, Model.empty())
    again = overlay.load(own.dump())
    assert again.dump() == own.dump()
    assert again.logits(found(2, True)) == own.logits(found(2, True))
    assert overlay.load(EMPTY.dump()).logits(found(2, True)) == (0.0, 0.0)


@given(st.data())
def test_damage_is_refused(data: st.DataObject) -> None:
    """Cut short, longer, or with one octet altered: refused."""
    octets = EMPTY.trained(np.arange(5, dtype=np.uint32), True, MODEL).dump()
    place = data.draw(st.integers(0, len(octets) - 1))
    altered = bytearray(octets)
    altered[place] ^= data.draw(st.integers(1, 255))
    for bad in (octets[:place], octets + b"x", bytes(altered)):
        with pytest.raises(DamagedError):
            overlay.load(bad)


MODEL = Model.empty()
