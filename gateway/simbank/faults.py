"""A simulated bank's misbehaviour: a closed list of faults, and the plans that decide where each one strikes.

Money exchanges and enquiries meet faults by rates; heartbeats can only be left without an answer. Ordinary
questions (balance, entries) are answered honestly. A plan never acts: it names a fault, the server carries it
out and counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from gateway.simbank.chance import Chance


class Touch(StrEnum):
    """What an exchange asks of the bank, as its first touch of the books shows."""

    MONEY = "money"
    ENQUIRY = "enquiry"
    QUESTION = "question"
    PROBE = "probe"


class BankFault(StrEnum):
    """Everything this bank can do wrong."""

    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    DELAY = "delay"
    HALF = "half"
    GARBAGE = "garbage"
    WRONG_SIGNATURE = "wrong_signature"
    OTHERS_ANSWER = "others_answer"
    TWICE = "twice"
    REFUSE = "refuse"
    HIDE = "hide"
    LATE_RETURN = "late_return"
    PART = "part"
    DUPLICATE = "duplicate"
    PROBE_SILENCE = "probe_silence"


@dataclass(frozen=True, slots=True)
class FaultFacts:
    """Where a fault can strike, whether the money is booked all the same, and what the other side sees."""

    where: frozenset[Touch]
    books: bool
    meaning: str


_BOTH = frozenset({Touch.MONEY, Touch.ENQUIRY})
_MONEY = frozenset({Touch.MONEY})

FAULTS: Mapping[BankFault, FaultFacts] = {
    BankFault.DROP_BEFORE: FaultFacts(_BOTH, False, "closes without booking and without an answer"),
    BankFault.DROP_AFTER: FaultFacts(_BOTH, True, "books, then closes without an answer"),
    BankFault.DELAY: FaultFacts(_BOTH, True, "books, answers only after `delay_s`"),
    BankFault.HALF: FaultFacts(_BOTH, True, "books, closes in the middle of its answer"),
    BankFault.GARBAGE: FaultFacts(_BOTH, True, "books, answers with noise and closes"),
    BankFault.WRONG_SIGNATURE: FaultFacts(_BOTH, True, "books, one byte of what is signed in its answer is changed"),
    BankFault.OTHERS_ANSWER: FaultFacts(_BOTH, True, "books, repeats its answer to another payment"),
    BankFault.TWICE: FaultFacts(_BOTH, True, "books, sends its answer twice"),
    BankFault.REFUSE: FaultFacts(_MONEY, False, "says no"),
    BankFault.HIDE: FaultFacts(_MONEY, True, "books, closes without an answer, and does not find it for `hide_s`"),
    BankFault.LATE_RETURN: FaultFacts(_MONEY, True, "books and answers, the money comes back after `return_s`"),
    BankFault.PART: FaultFacts(_MONEY, True, "books the first half of a bundle, or a payment; no answer, closes"),
    BankFault.DUPLICATE: FaultFacts(_MONEY, True, "books, and answers that it had the order before (not in bundles)"),
    BankFault.PROBE_SILENCE: FaultFacts(frozenset({Touch.PROBE}), False, "does not answer a sign-on or heartbeat"),
}


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that a plan wants now; `seconds` is its delay, where it has one."""

    fault: BankFault
    seconds: float = 0.0


class Plan(Protocol):
    """Decides about one exchange. `reference` is the payment's, empty for probes."""

    def decide(self, touch: Touch, reference: str) -> Strike | None:
        """The fault to commit in this exchange, or None to be honest. Called once per exchange."""


@dataclass(frozen=True, slots=True)
class Delays:
    """How long the faults that take time last, in seconds."""

    delay_s: float = 150.0
    hide_s: float = 60.0
    return_s: float = 60.0

    def of(self, fault: BankFault) -> float:
        """The delay that goes with `fault`, 0 for those that have none."""
        lasting = {BankFault.DELAY: self.delay_s, BankFault.HIDE: self.hide_s, BankFault.LATE_RETURN: self.return_s}
        return lasting.get(fault, 0.0)


class FaultPlan:
    """Faults by seeded chance. `rates` are shares of 1 of all exchanges of the kinds a fault can strike.

    What strikes the n-th exchange about a payment depends on seed, payment and n alone, not on what else goes
    on. Raises ValueError if the rates of one kind of exchange sum to more than 1.
    """

    def __init__(self, seed: str, rates: Mapping[BankFault, float], delays: Delays = Delays()) -> None:
        self.rates = dict(rates)
        self.delays = delays
        self._chance = Chance(seed)
        self._seen: Counter[tuple[Touch, str]] = Counter()
        self._steps = {touch: self._ladder(touch) for touch in Touch}

    def decide(self, touch: Touch, reference: str) -> Strike | None:
        """See Plan."""
        steps = self._steps[touch]
        if not steps:
            return None
        self._seen[touch, reference] += 1
        roll = self._chance.roll("fault", touch.value, reference, self._seen[touch, reference])
        for upto, fault in steps:
            if roll < upto:
                return Strike(fault, self.delays.of(fault))
        return None

    def _ladder(self, touch: Touch) -> list[tuple[float, BankFault]]:
        steps: list[tuple[float, BankFault]] = []
        upto = 0.0
        for fault in BankFault:
            rate = self.rates.get(fault, 0.0)
            if not 0.0 <= rate <= 1.0:
                raise ValueError(f"rate of {fault.value} is {rate}, it must be a share from 0 to 1")
            if rate and touch in FAULTS[fault].where:
                upto += rate
                steps.append((upto, fault))
        if upto > 1.0 + 1e-9:
            raise ValueError(f"the fault rates of {touch.value} exchanges sum to {upto:g}, more than 1")
        return steps


@dataclass(frozen=True, slots=True)
class Scripted:
    """One fault to come: in the next exchange it can strike, of that payment if `reference` is given.

    `skip` lets so many fitting exchanges pass first; `touch` narrows a fault that can strike several kinds.
    """

    fault: BankFault
    reference: str | None = None
    skip: int = 0
    touch: Touch | None = None
    seconds: float | None = None

    def fits(self, touch: Touch, reference: str) -> bool:
        """Whether this exchange is one it can strike."""
        if touch not in FAULTS[self.fault].where or self.touch not in (None, touch):
            return False
        return self.reference in (None, reference)


@dataclass(slots=True)
class _Waiting:
    scripted: Scripted
    to_skip: int


class Script:
    """Faults one by one, in the order given; what no line fits goes to `otherwise` (honesty by default)."""

    def __init__(
        self, lines: Iterable[Scripted] = (), otherwise: Plan | None = None, delays: Delays = Delays()
    ) -> None:
        self.otherwise = otherwise
        self._delays = delays
        self._waiting = [_Waiting(line, line.skip) for line in lines]

    def add(self, line: Scripted) -> None:
        """Append a line."""
        self._waiting.append(_Waiting(line, line.skip))

    def calm(self) -> None:
        """No more faults from now on, neither by script nor from `otherwise`."""
        self._waiting.clear()
        self.otherwise = None

    def left(self) -> list[Scripted]:
        """Lines that have not struck yet: a test that expects them all finds none."""
        return [waiting.scripted for waiting in self._waiting]

    def decide(self, touch: Touch, reference: str) -> Strike | None:
        """See Plan."""
        for waiting in self._waiting:
            line = waiting.scripted
            if not line.fits(touch, reference):
                continue
            if waiting.to_skip:
                waiting.to_skip -= 1
                continue
            self._waiting.remove(waiting)
            return Strike(line.fault, self._delays.of(line.fault) if line.seconds is None else line.seconds)
        return self.otherwise.decide(touch, reference) if self.otherwise is not None else None


@dataclass(slots=True)
class Tally:
    """What a simulated bank met and did: exchanges by kind, faults committed, connections, requests it
    refused.
    """

    exchanges: Counter[Touch] = field(default_factory=Counter)
    faults: Counter[BankFault] = field(default_factory=Counter)
    connections: int = 0
    malformed: int = 0

    def report(self) -> dict[str, object]:
        """As plain values; every fault kind is there, also with 0."""
        return {
            "exchanges": {touch.value: self.exchanges[touch] for touch in Touch},
            "faults": {fault.value: self.faults[fault] for fault in BankFault},
            "connections": self.connections,
            "malformed": self.malformed,
        }
