"""`fast_init` makes the same objects as the standard `__init__`, and they are frozen afterwards."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, make_dataclass
from typing import Any

import pytest

from gateway.kernel.commit.rows import Head, OutboxRow, PaymentRow
from gateway.kernel.core.states import Life
from protocols.canon.fast_init import fast_init
from protocols.canon.money import Money
from protocols.canon.outcome import Outcome, State
from protocols.erp.news import News

KINDS: tuple[type[Any], ...] = (Life, Head, OutboxRow, PaymentRow, Outcome, News)


@fast_init
@dataclass(frozen=True, slots=True)
class Made:
    a: int
    b: str = "b"
    c: dict[str, int] = field(default_factory=dict)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_object_is_what_the_standard_init_makes(kind: type[Any]) -> None:
    plain = make_dataclass(
        kind.__name__,
        [(one.name, Any, field(default=one.default, default_factory=one.default_factory)) for one in fields(kind)],
        frozen=True,
    )
    needed = {one.name: f"a {one.name}" for one in fields(kind) if one.default is one.default_factory}
    given = {one.name: f"a {one.name}" for one in fields(kind)}
    for words in (needed, given):
        value = kind(**words)
        assert type(value) is kind
        assert {one.name: getattr(value, one.name) for one in fields(kind)} == vars(plain(**words))
    assert kind(*given.values()) == kind(**given)
    assert [*inspect.signature(kind).parameters] == [one.name for one in fields(kind)]


def test_the_object_is_frozen_hashable_and_can_be_copied() -> None:
    life: Any = Life(State.READY)
    with pytest.raises(FrozenInstanceError):
        life.seq = 5
    with pytest.raises(FrozenInstanceError):
        del life.seq
    assert hash(life) == hash(Life(State.READY)) and life != Life(State.READY, seq=1)
    assert copy.copy(life) == life == pickle.loads(pickle.dumps(life))


def test_each_object_gets_a_default_of_its_own() -> None:
    one, other = Made(1), Made(1)
    assert one.c == {} and one.c is not other.c and one.b == "b"


def test_wrong_arguments_are_the_usual_error() -> None:
    made: Any = Made
    for words in ({}, {"a": 1, "d": 2}):
        with pytest.raises(TypeError, match=r"Made.__init__\(\)"):
            made(**words)


def test_a_class_checks_itself_when_it_is_made() -> None:
    @fast_init
    @dataclass(frozen=True, slots=True)
    class Positive:
        a: int

        def __post_init__(self) -> None:
            if self.a < 0:
                raise ValueError("negative")

    assert Positive(1).a == 1
    with pytest.raises(ValueError, match="negative"):
        Positive(-1)


@dataclass(frozen=True)
class Loose:
    a: int


@dataclass(frozen=True, slots=True)
class Derived(Money):
    more: int = 0


@dataclass(frozen=True, slots=True)
class Computed:
    a: int
    b: int = field(init=False, default=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    a: int


@pytest.mark.parametrize("kind", [Loose, Derived, Computed, Named], ids=lambda kind: kind.__name__)
def test_a_class_it_cannot_serve_is_refused(kind: type[Any]) -> None:
    with pytest.raises(TypeError, match=kind.__name__):
        fast_init(kind)
