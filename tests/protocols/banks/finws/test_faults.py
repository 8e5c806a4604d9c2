"""Every fault switch of the simulated bank against this adapter: the adapter's result, and that money moves at most
once."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
from twisted.internet.testing import StringTransport

from gateway.simbank.faults import FAULTS, BankFault, Delays, ExchangeKind, FaultScript, ScriptedFault
from gateway.simbank.server import SimBank
from protocols.bank import Sign, Submit
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import FateQuestion, Sent
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.finws.paper import ORDER, REFERENCE, SENT, stage
from tests.world.clock import HeapClock
from tests.world.dialogue import BankAndTwin

R = TypeVar("R")
OTHER = "GOLDEN00000000000002"
PATIENCE_S = 60
HIDDEN_S = 600
RETURNS_S = 900


class NoAnswer(Exception):
    """The connection ended, or no answer came in time."""


class TwoAnswers(Exception):
    """More than one answer to one request."""


class Cable(StringTransport):
    """The bytes that the simulated bank writes."""

    def abortConnection(self) -> None:
        self.loseConnection()  # type: ignore[no-untyped-call]


@dataclass
class Wire:
    """Both sides with the simulated bank between them. Each exchange has its own connection, as at this bank."""

    made: BankAndTwin
    bank: SimBank
    clock: HeapClock
    uploads: list[bytes] = field(default_factory=list)
    sent: Sent = SENT

    def talk(self, conversation: Generator[Any, bytes, R]) -> R:
        """Run a conversation to its end. Raises NoAnswer, or ProtocolError for an invalid answer."""
        try:
            step = next(conversation)
            while True:
                if isinstance(step, Sign):
                    step = conversation.send(self.made.signers[step.key](step.octets))
                    continue
                if isinstance(step, Submit):
                    self.uploads.append(step.data)
                step = conversation.send(self.exchange(step.port, step.data))
        except StopIteration as end:
            result: R = end.value
            return result

    def pay(self, reference: str = REFERENCE) -> Outcome:
        self.uploads.clear()
        context = self.made.context(reference)
        self.sent = replace(SENT, reference=reference, serials=tuple(map(str, context.serials)))
        return self.talk(self.made.bank.money[ORDER.kind](ORDER, context))

    def fate(self) -> Fate:
        """The fate of the payment sent last."""
        assert self.made.bank.questions.fate is not None
        return self.talk(self.made.bank.questions.fate(FateQuestion(self.sent), self.made.context())).fate

    def exchange(self, port: str, data: bytes) -> bytes:
        protocol, cable = self.bank.build(port), Cable()  # type: ignore[no-untyped-call]
        protocol.makeConnection(cable)
        protocol.dataReceived(data)
        self.clock.advance(PATIENCE_S)
        frames = self.made.bank.ports[port].answers().feed(cable.value())  # type: ignore[no-untyped-call]
        if not frames:
            raise NoAnswer
        if len(frames) > 1:
            raise TwoAnswers
        return frames[0]

    def again(self) -> Outcome:
        """Send the bytes of the first upload again, as the lane does; the outcome of the answer."""
        return self.made.bank.read(ORDER.kind, self.sent, self.exchange("business", self.uploads[0]))


def wired(*faults: ScriptedFault, **more: Any) -> Wire:
    made, clock = stage(**more), HeapClock()
    bank = SimBank(clock, made.twin, made.ledger, FaultScript(faults, delays=Delays(150, HIDDEN_S, RETURNS_S)))
    return Wire(made, bank, clock)


def heard(wire: Wire) -> str:
    """The result of the first upload: a fate, or the reason why there is none."""
    try:
        return wire.pay().fate.value
    except NoAnswer:
        return "no answer"
    except TwoAnswers:
        return "two answers"
    except ProtocolError as error:
        return error.reason


def moved(wire: Wire) -> int:
    """The number of payments that the bank executed."""
    return sum(not one.refused for one in wire.made.ledger.executions)


HEARD = {
    BankFault.DROP_BEFORE: {"no answer"},
    BankFault.DROP_AFTER: {"no answer"},
    BankFault.DELAY: {"no answer"},
    BankFault.HALF: {"no answer"},
    BankFault.GARBAGE: {"http", "no answer"},
    BankFault.WRONG_SIGNATURE: {"digest"},
    BankFault.OTHERS_ANSWER: {"correlation"},
    BankFault.TWICE: {"two answers"},
    BankFault.REFUSE: {"pending"},
    BankFault.HIDE: {"no answer"},
    BankFault.LATE_RETURN: {"pending"},
    BankFault.PART: {"no answer"},
    # The fault concerns single orders. This bank takes files.
    BankFault.DUPLICATE: {"pending"},
}
"""Nothing here is a final word: the fault is seen, or the file was taken and is enquired about."""


def test_every_switch_is_tried() -> None:
    assert set(HEARD) == {fault for fault in BankFault if ExchangeKind.MONEY in FAULTS[fault].where}
    assert set(BankFault) - set(HEARD) == {BankFault.PROBE_SILENCE}


@pytest.mark.parametrize("fault", HEARD)
def test_an_upload_that_goes_wrong_is_paid_once_and_its_fate_found(fault: BankFault) -> None:
    wire = wired()
    if fault is BankFault.OTHERS_ANSWER:
        wire.pay(OTHER)
    wire.bank.script.add(ScriptedFault(fault))
    others = moved(wire)
    assert heard(wire) in HEARD[fault]
    assert wire.bank.tally.faults == {fault: 1}
    if fault is BankFault.HIDE:
        assert wire.fate() is Fate.NOT_FOUND
        wire.made.time.later(HIDDEN_S + 1)
    arrived = FAULTS[fault].books or fault is BankFault.REFUSE
    assert wire.fate() is (
        Fate.NOT_FOUND if not arrived else Fate.FAILED if fault is BankFault.REFUSE else Fate.SETTLED
    )
    again = wire.again()
    assert (again.fate, again.code) == ((Fate.DUPLICATE, "31") if arrived else (Fate.PENDING, "00"))
    assert wire.fate() is (Fate.FAILED if fault is BankFault.REFUSE else Fate.SETTLED)
    assert moved(wire) - others == (fault is not BankFault.REFUSE)
    assert wire.made.ledger.doubles() == []
    wire.made.time.later(RETURNS_S + 1)
    if fault is BankFault.LATE_RETURN:
        assert wire.fate() is Fate.RETURNED


@pytest.mark.parametrize("fault", [fault for fault in BankFault if ExchangeKind.ENQUIRY in FAULTS[fault].where])
def test_an_enquiry_that_goes_wrong_says_nothing_and_is_asked_again(fault: BankFault) -> None:
    wire = wired()
    if fault is BankFault.OTHERS_ANSWER:
        wire.pay(OTHER)
        wire.fate()
    assert heard(wire) == "pending"
    wire.bank.script.add(ScriptedFault(fault, touch=ExchangeKind.ENQUIRY))
    with pytest.raises((NoAnswer, TwoAnswers, ProtocolError)):
        wire.fate()
    assert wire.bank.tally.faults.total() == 1
    assert wire.fate() is Fate.SETTLED


def test_silence_to_a_probe() -> None:
    wire = wired(ScriptedFault(BankFault.PROBE_SILENCE))
    probe = wire.made.bank.sessions.probe
    assert probe is not None
    with pytest.raises(NoAnswer):
        wire.talk(probe(wire.made.context()))
    wire.talk(probe(wire.made.context()))
