"""The faults of a simulated bank: a closed list, and the plans that decide where each one strikes.

Faults strike money exchanges and enquiries by rates; heartbeats can only be left without an answer. Other questions
(balance, entries) are answered honestly. A plan only names a fault; the server commits it and counts it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from gateway.simbank.chance import SeededChance


class ExchangeKind(StrEnum):
    """The kind of an exchange, which the simulator recognises by the exchange's first use of the books."""

    MONEY = "money"
    ENQUIRY = "enquiry"
    QUESTION = "question"
    PROBE = "probe"


class BankFault(StrEnum):
    """Every fault that this bank can commit."""

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
    """The facts about a fault: the exchanges that it can affect, whether the money is booked all the same, and the
    effect that the client sees."""

    where: frozenset[ExchangeKind]
    books: bool
    meaning: str


_BOTH = frozenset({ExchangeKind.MONEY, ExchangeKind.ENQUIRY})
_MONEY = frozenset({ExchangeKind.MONEY})

FAULTS: Mapping[BankFault, FaultFacts] = {
    BankFault.DROP_BEFORE: FaultFacts(_BOTH, False, "closes without booking and without an answer"),
    BankFault.DROP_AFTER: FaultFacts(_BOTH, True, "books, then closes without an answer"),
    BankFault.DELAY: FaultFacts(_BOTH, True, "books, answers only after `delay_s`"),
    BankFault.HALF: FaultFacts(_BOTH, True, "books, closes in the middle of its answer"),
    BankFault.GARBAGE: FaultFacts(_BOTH, True, "books, answers with noise and closes"),
    BankFault.WRONG_SIGNATURE: FaultFacts(_BOTH, True, "books, one byte of the signed part of its answer is changed"),
    BankFault.OTHERS_ANSWER: FaultFacts(_BOTH, True, "books, repeats its answer to another payment"),
    BankFault.TWICE: FaultFacts(_BOTH, True, "books, sends its answer twice"),
    BankFault.REFUSE: FaultFacts(_MONEY, False, "says no"),
    BankFault.HIDE: FaultFacts(_MONEY, True, "books, closes without an answer, and does not find it for `hide_s`"),
    BankFault.LATE_RETURN: FaultFacts(_MONEY, True, "books and answers, the money comes back after `return_s`"),
    BankFault.PART: FaultFacts(_MONEY, True, "books the first half of a bundle, or a payment; no answer, closes"),
    BankFault.DUPLICATE: FaultFacts(_MONEY, True, "books, and answers that it had the order before (not in bundles)"),
    BankFault.PROBE_SILENCE: FaultFacts(
        frozenset({ExchangeKind.PROBE}), False, "does not answer a sign-on or heartbeat"
    ),
}


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault that a plan commits now; `seconds` is its delay, if it has one."""

    fault: BankFault
    seconds: float = 0.0


class FaultSource(Protocol):
    """Decides which fault an exchange gets. `reference` is the payment's, empty for probes."""

    def decide(self, touch: ExchangeKind, reference: str) -> PlannedFault | None:
        """The fault to commit in this exchange, or None for none. Called once per exchange."""


@dataclass(frozen=True, slots=True)
class Delays:
    """The delays of the faults that take time, in seconds."""

    delay_s: float = 150.0
    hide_s: float = 60.0
    return_s: float = 60.0

    def of(self, fault: BankFault) -> float:
        """The delay of `fault` in seconds, 0 for a fault without one."""
        lasting = {BankFault.DELAY: self.delay_s, BankFault.HIDE: self.hide_s, BankFault.LATE_RETURN: self.return_s}
        return lasting.get(fault, 0.0)


class FaultPlan:
    """Draws faults by seeded chance. A rate is the share (of 1) of those exchanges that the fault can affect.

    The fault in the n-th exchange about a payment depends only on seed, payment and n. Raises ValueError if the rates
    of one kind of exchange sum to more than 1.
    """

    def __init__(self, seed: str, rates: Mapping[BankFault, float], delays: Delays = Delays()) -> None:
        self.rates = dict(rates)
        self.delays = delays
        self._chance = SeededChance(seed)
        self._seen: Counter[tuple[ExchangeKind, str]] = Counter()
        self._steps = {touch: self._ladder(touch) for touch in ExchangeKind}

    def decide(self, touch: ExchangeKind, reference: str) -> PlannedFault | None:
        """The fault to commit in this exchange, or None."""
        steps = self._steps[touch]
        if not steps:
            return None
        self._seen[touch, reference] += 1
        roll = self._chance.roll("fault", touch.value, reference, self._seen[touch, reference])
        for upto, fault in steps:
            if roll < upto:
                return PlannedFault(fault, self.delays.of(fault))
        return None

    def _ladder(self, touch: ExchangeKind) -> list[tuple[float, BankFault]]:
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
class ScriptedFault:
    """One planned fault. It is committed in the next exchange that it can affect; if `reference` is given, in one of
    that payment.

    `skip` lets so many fitting exchanges pass first; `touch` narrows a fault that can strike several kinds.
    """

    fault: BankFault
    reference: str | None = None
    skip: int = 0
    touch: ExchangeKind | None = None
    seconds: float | None = None

    def fits(self, touch: ExchangeKind, reference: str) -> bool:
        """Whether the fault can strike this exchange."""
        if touch not in FAULTS[self.fault].where or self.touch not in (None, touch):
            return False
        return self.reference in (None, reference)


@dataclass(slots=True)
class _Waiting:
    scripted: ScriptedFault
    to_skip: int


class FaultScript:
    """Commits faults in a given order. Exchanges that no line fits go to `otherwise`, which commits no faults by
    default."""

    def __init__(
        self, lines: Iterable[ScriptedFault] = (), otherwise: FaultSource | None = None, delays: Delays = Delays()
    ) -> None:
        self.otherwise = otherwise
        self._delays = delays
        self._waiting = [_Waiting(line, line.skip) for line in lines]

    def add(self, line: ScriptedFault) -> None:
        """Append a fault to the script."""
        self._waiting.append(_Waiting(line, line.skip))

    def calm(self) -> None:
        """Stop all faults, those of the script and those of `otherwise`."""
        self._waiting.clear()
        self.otherwise = None

    def left(self) -> list[ScriptedFault]:
        """The faults that were not committed yet; a test checks that none is left."""
        return [waiting.scripted for waiting in self._waiting]

    def decide(self, touch: ExchangeKind, reference: str) -> PlannedFault | None:
        """The fault to commit in this exchange, or None."""
        for waiting in self._waiting:
            line = waiting.scripted
            if not line.fits(touch, reference):
                continue
            if waiting.to_skip:
                waiting.to_skip -= 1
                continue
            self._waiting.remove(waiting)
            return PlannedFault(line.fault, self._delays.of(line.fault) if line.seconds is None else line.seconds)
        return self.otherwise.decide(touch, reference) if self.otherwise is not None else None


@dataclass(slots=True)
class BankCounts:
    """The counts of a simulated bank: exchanges by kind, faults committed, connections, requests refused."""

    exchanges: Counter[ExchangeKind] = field(default_factory=Counter)
    faults: Counter[BankFault] = field(default_factory=Counter)
    connections: int = 0
    malformed: int = 0

    def report(self) -> dict[str, object]:
        """The counts as plain values. Every kind of fault is in them, also with 0."""
        return {
            "exchanges": {touch.value: self.exchanges[touch] for touch in ExchangeKind},
            "faults": {fault.value: self.faults[fault] for fault in BankFault},
            "connections": self.connections,
            "malformed": self.malformed,
        }
