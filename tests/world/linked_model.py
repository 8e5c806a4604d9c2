"""A model of every life of a linked payment, with SAFE MODE and an older database, explored state by state.

Two legs, a bank that may know neither, both or be silent; a node that dies, a cancel, and a database that comes back as it
was an hour ago, with or without the node's permit log. It is smaller than `model`, and about what stands between payments:
leg 2 does not go while leg 1 is in doubt, nothing is made or sent before two persons end SAFE MODE, and a person whose
last word is missing is not one of the two.

    python -m tests.world.linked_model
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

TWICE = "a leg was executed twice"
EARLY = "leg 2 left before the money of leg 1 had come"
WITHDRAWN = "a leg left after its order was told cancelled"
FORGOTTEN = "something was sent before two persons ended SAFE MODE"
GHOST = "a person who had been removed ended SAFE MODE"
MOST_STATES = 500_000


class Leg(StrEnum):
    """The journal's states of a leg."""

    NONE = "not ordered"
    READY = "ready"
    SENDING = "sending"
    DOUBT = "in doubt"
    SETTLED = "settled"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class LinkedPolicy:
    """One way to process linked payments. Each field but the first two switches one guard off; `breaks` is the promise
    that this breaks.

    `doubt_holds`: leg 2 waits while leg 1 is in doubt. `cancel_takes_legs`: a cancel withdraws an unsent leg. `notices`:
    a node compares itself with its own log; `asks_log_of_all`: it waits, too, if it has no log over others' sends.
    `same_reference`: what is ordered again has the reference that it had; `stops_making`: SAFE MODE stops orders, too.
    `knows_words`: the log tells whose words are missing.
    """

    name: str
    breaks: str | None = None
    doubt_holds: bool = True
    cancel_takes_legs: bool = True
    notices: bool = True
    asks_log_of_all: bool = True
    same_reference: bool = True
    knows_words: bool = True


POLICIES = (
    LinkedPolicy("as it is"),
    LinkedPolicy("leg 2 goes beside a leg 1 in doubt", EARLY, doubt_holds=False),
    LinkedPolicy("a cancel leaves an unsent leg", WITHDRAWN, cancel_takes_legs=False),
    LinkedPolicy("nobody compares the database with a log", FORGOTTEN, notices=False),
    LinkedPolicy("a node without a log believes the database", FORGOTTEN, asks_log_of_all=False),
    LinkedPolicy("what is ordered again has another reference", TWICE, same_reference=False),
    LinkedPolicy("SAFE MODE does not know whose words are missing", GHOST, knows_words=False),
)


class Journal(NamedTuple):
    """The content of a database: both legs with their reference numbers, whether the order was cancelled, and whether a
    person was removed."""

    legs: tuple[Leg, Leg] = (Leg.NONE, Leg.READY)
    references: tuple[int, int] = (0, 0)
    cancelled: bool = False
    removed: bool = False


class State(NamedTuple):
    """The journal and its copy, the (leg, reference) pairs that the bank executed, and the events. `safe`: the node
    waits. `lost`: the database is older than the events. `allowed`: two persons ended SAFE MODE."""

    journal: Journal = Journal()
    copy: Journal | None = None
    restored: bool = False
    safe: bool = False
    lost: bool = False
    allowed: bool = False
    executed: tuple[tuple[int, int], ...] = ()
    removed: bool = False
    told_cancelled: bool = False
    orders: int = 0
    crashes: int = 1


class PromiseBroken(Exception):
    """The last step broke a promise."""


@dataclass(frozen=True, slots=True)
class Found:
    """The result of an exploration: the broken promise with the shortest way there, None if there is none."""

    policy: LinkedPolicy
    states: int
    broken: str | None
    path: tuple[str, ...]


def explore(policy: LinkedPolicy) -> Found:
    """Visit every state of a policy, breadth first."""
    start = State()
    came: dict[State, tuple[State | None, str]] = {start: (None, "")}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        for label, act in _moves(policy, state):
            try:
                after = act()
            except PromiseBroken as error:
                return Found(policy, len(came), str(error), (*_path(came, state), label))
            if after not in came:
                came[after] = (state, label)
                waiting.append(after)
        assert len(came) < MOST_STATES, f"{policy.name}: too many states"
    return Found(policy, len(came), None, ())


def _path(came: dict[State, tuple[State | None, str]], state: State) -> Iterator[str]:
    labels = []
    at: State | None = state
    while at is not None:
        at, label = came[at]
        if label:
            labels.append(label)
    return reversed(labels)


def _moves(policy: LinkedPolicy, state: State) -> Iterator[tuple[str, Callable[[], State]]]:
    yield from _persons(policy, state)
    yield from _database(policy, state)
    if state.crashes and Leg.SENDING in state.journal.legs:
        yield "the node dies and starts", lambda: _died(state)
    if not state.safe:
        yield from _node(policy, state)
    for leg in (0, 1):
        reference = state.journal.references[leg]
        if state.journal.legs[leg] in (Leg.SENDING, Leg.DOUBT):
            yield from _word(state, leg, (leg, reference))


def _node(policy: LinkedPolicy, state: State) -> Iterator[tuple[str, Callable[[], State]]]:
    """The moves of the gateway itself."""
    journal = state.journal
    one, two = journal.legs
    if one is Leg.NONE and two is Leg.READY and state.orders < 2:  # noqa: PLR2004 - twice is enough to be once too often
        yield "leg 1 is ordered", lambda: _ordered(policy, state)
    if one is Leg.READY:
        yield "leg 1 is sent", lambda: _sent(state, 0)
    if two is Leg.READY and (one is Leg.SETTLED or (not policy.doubt_holds and one is Leg.DOUBT)):
        yield "leg 2 is sent", lambda: _sent(state, 1)


def _ordered(policy: LinkedPolicy, state: State) -> State:
    """Give leg 1 a reference: one derived from the order, or the next number."""
    number = 0 if policy.same_reference else state.orders
    journal = state.journal._replace(legs=(Leg.READY, state.journal.legs[1]), references=(number, 0))
    return state._replace(journal=journal, orders=state.orders + 1)


def _sent(state: State, leg: int) -> State:
    """Send the bytes; the promises are checked here."""
    if state.lost and not state.allowed:
        raise PromiseBroken(FORGOTTEN)
    if state.told_cancelled:
        raise PromiseBroken(WITHDRAWN)
    if leg == 1 and not any(other == 0 for other, _reference in state.executed):
        raise PromiseBroken(EARLY)
    return state._replace(journal=_with(state.journal, leg, Leg.SENDING))


def _word(state: State, leg: int, key: tuple[int, int]) -> Iterator[tuple[str, Callable[[], State]]]:
    """Let the bank handle a message that arrived, and answer it. The bank knows a reference for ever."""
    name = f"leg {leg + 1}"
    known = key in state.executed
    if not known and state.journal.legs[leg] is Leg.SENDING:
        yield f"{name} is executed and nobody hears of it", lambda: _executed(state, leg, key, Leg.DOUBT)
        yield f"{name} is executed", lambda: _executed(state, leg, key, Leg.SETTLED)
        yield f"{name} is refused", lambda: state._replace(journal=_with(state.journal, leg, Leg.FAILED))
        yield f"{name} is lost", lambda: state._replace(journal=_with(state.journal, leg, Leg.DOUBT))
    if known:
        yield (
            f"the bank says that it has {name}",
            lambda: state._replace(journal=_with(state.journal, leg, Leg.SETTLED)),
        )


def _executed(state: State, leg: int, key: tuple[int, int], then: Leg) -> State:
    if any(other == leg for other, _reference in state.executed):
        raise PromiseBroken(TWICE)
    executed = tuple(sorted((*state.executed, key)))
    return state._replace(journal=_with(state.journal, leg, then), executed=executed)


def _died(state: State) -> State:
    legs = tuple(Leg.DOUBT if leg is Leg.SENDING else leg for leg in state.journal.legs)
    return state._replace(journal=state.journal._replace(legs=(legs[0], legs[1])), crashes=state.crashes - 1)


def _with(journal: Journal, leg: int, now: Leg) -> Journal:
    legs = (now, journal.legs[1]) if leg == 0 else (journal.legs[0], now)
    return journal._replace(legs=legs)


# ---- people and the database -------------------------------------------------------------------------------------


def _persons(policy: LinkedPolicy, state: State) -> Iterator[tuple[str, Callable[[], State]]]:
    two = state.journal.legs[1]
    if two is Leg.READY and not state.told_cancelled and not state.safe:
        yield "the ERP cancels the order", lambda: _cancel(policy, state)
    if not state.removed and not state.safe:
        yield (
            "a supervisor is removed",
            lambda: state._replace(removed=True, journal=state.journal._replace(removed=True)),
        )
    if state.safe:
        yield "two supervisors end SAFE MODE", lambda: _allowed(state)
        if state.removed and not state.journal.removed and not policy.knows_words:
            yield "one who was removed is one of the two", _ghost


def _cancel(policy: LinkedPolicy, state: State) -> State:
    one, _two = state.journal.legs
    taken = Leg.CANCELLED if one in (Leg.NONE, Leg.READY) and policy.cancel_takes_legs else one
    journal = state.journal._replace(legs=(taken, Leg.CANCELLED), cancelled=True)
    return state._replace(journal=journal, told_cancelled=True)


def _allowed(state: State) -> State:
    """Let two persons read the bank's books: they withdraw what was withdrawn or executed, and release the rest."""
    one, two = state.journal.legs
    paid = any(leg == 1 for leg, _reference in state.executed)
    if state.told_cancelled or paid:
        one = Leg.CANCELLED if one in (Leg.NONE, Leg.READY) else one
        two = Leg.CANCELLED if two is Leg.READY else two
    journal = state.journal._replace(legs=(one, two), removed=state.removed)
    return state._replace(journal=journal, safe=False, allowed=True)


def _ghost() -> State:
    raise PromiseBroken(GHOST)


def _database(policy: LinkedPolicy, state: State) -> Iterator[tuple[str, Callable[[], State]]]:
    if state.copy is None:
        yield "the database is copied", lambda: state._replace(copy=state.journal)
    elif not state.restored:
        yield "the copy is put back", lambda: _restored(policy, state, log=True)
        yield "the copy is put back on a new machine", lambda: _restored(policy, state, log=False)


def _restored(policy: LinkedPolicy, state: State, *, log: bool) -> State:
    """Begin a life with the copy. Later sends are missing in it, and a node without a log cannot notice that."""
    assert state.copy is not None
    lost = state.journal != state.copy
    waits = policy.notices and lost if log else policy.notices and policy.asks_log_of_all
    return state._replace(journal=state.copy, restored=True, safe=waits, lost=lost)


def main() -> int:
    """Explore every policy. Returns 1 if a safe one breaks a promise, or if a wrong one keeps its own."""
    wrong = 0
    for policy in POLICIES:
        found = explore(policy)
        wrong += found.broken != policy.breaks
        print(
            f"{policy.name}: {found.states} states, {found.broken or 'safe'}"
            + "".join(f"\n    {one}" for one in found.path)
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
