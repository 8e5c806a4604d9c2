"""The fast `replace` gives the same as the standard one, for every kind of value that is copied with it."""

from __future__ import annotations

import dataclasses
from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Any

import pytest

from gateway.kernel.commit.rows import PaymentRow, Reply
from gateway.kernel.core.flow import Step
from gateway.kernel.core.policy import UsageFacts
from gateway.kernel.core.states import Life, Rules
from gateway.payments.rows.admission import Admission
from protocols.canon.money import Money
from protocols.canon.outcome import Fate, Outcome, State
from protocols.canon.replaced import replace
from protocols.erp.news import News

KINDS: tuple[type[Any], ...] = (Life, Rules, Step, UsageFacts, PaymentRow, Reply, Admission, News, Outcome)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_it_gives_what_the_standard_one_gives(kind: type[Any]) -> None:
    value = kind(**{field.name: f"old {field.name}" for field in fields(kind)})
    for field in fields(kind):
        changed = replace(value, **{field.name: "new"})
        assert type(changed) is kind and changed == dataclasses.replace(value, **{field.name: "new"})
        assert getattr(changed, field.name) == "new" and (changed != value) is field.compare
    assert value == kind(**{field.name: f"old {field.name}" for field in fields(kind)}), "the first one is as it was"


def test_the_copy_is_frozen_hashable_and_like_any_other() -> None:
    life: Any = replace(Life(State.READY), seq=4)
    with pytest.raises(FrozenInstanceError):
        life.seq = 5
    assert hash(life) == hash(dataclasses.replace(life)) and repr(life) == repr(Life(State.READY, seq=4))
    assert replace(Outcome(Fate.SETTLED), text="x") == Outcome(Fate.SETTLED, text="x")


def test_an_unknown_field_is_an_error() -> None:
    life: Any = Life(State.READY)
    with pytest.raises(AttributeError):
        replace(life, sequence=4)


@dataclass(frozen=True)
class Loose:
    a: int
    b: int


@dataclass(frozen=True, slots=True)
class Derived(Rules):
    more: int = 0


@pytest.mark.parametrize("value", [Money(1), Loose(1, 2), Derived()], ids=lambda value: type(value).__name__)
def test_what_checks_itself_or_has_other_attributes_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"dataclasses\.replace"):
        replace(value)
