"""The order of evidence: first the bank's enquiry, then its list of returns. Each counts only for facts that it can
prove."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.bank.enquiry import RETURNS_ASKED_FROM
from gateway.kernel.core.hours import bank_date
from gateway.parts import Parts
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from protocols.bank import Bank, Context, Conversation
from protocols.canon.money import Money
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import FateQuestion, ReturnsQuestion
from protocols.canon.statement import Return, ReturnsPage
from protocols.kit.declined import Declined
from protocols.kit.errors import ErrorReason, ProtocolError
from tests.world import files
from tests.world.world import Life, World

SETTINGS = {"banks": {"sample": {"most_repeats": 0}}}
SPANS = {"returns_every_s": 600.0, "returns_watch_s": 6_000.0}


def asking(
    returns: Callable[[ReturnsQuestion, Context], Conversation[ReturnsPage]] | None, fate: Fate | None = None
) -> Callable[[Life, Parts], Parts]:
    """A bank with this returns question, and with an enquiry that always answers `fate` if one is given."""

    def says(_question: FateQuestion, _context: Context) -> Conversation[Outcome]:
        assert fate is not None
        yield from ()
        return Outcome(fate)

    def change(bank: Bank) -> Bank:
        questions = replace(bank.questions, returns=returns)
        return replace(bank, questions=replace(questions, fate=says) if fate is not None else questions)

    def wrap(_life: Life, parts: Parts) -> Parts:
        return replace(parts, banks={name: change(bank) for name, bank in parts.banks.items()})

    return wrap


class OneReturnEach:
    """A returns question with one return for each reference, among the payments of a world."""

    def __init__(self, *pages: tuple[Return, ...]) -> None:
        self.pages: list[tuple[Return, ...]] = list(pages) or [()]
        self.asked: list[ReturnsQuestion] = []

    def __call__(self, question: ReturnsQuestion, _context: Context) -> Conversation[ReturnsPage]:
        at = int(question.cursor or 0)
        self.asked.append(question)
        yield from ()
        return ReturnsPage(self.pages[at], str(at + 1) if at + 1 < len(self.pages) else None)


def back(reference: str, minor: int = 10_000, **more: Any) -> Return:
    return Return(reference, Money(minor), None, "account closed", **more)


def doubtful(tmp_path: Path, back_: OneReturnEach, fate: Fate = Fate.NOT_FOUND) -> World:
    world = World(
        tmp_path, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]), wrap=asking(back_, fate), settings=SETTINGS
    )
    world.start()
    world.submit("AP-1")
    world.run(1)
    return world


@pytest.mark.parametrize("reversed_", [False, True])
def test_a_doubt_that_the_enquiry_does_not_end_is_looked_for_among_the_returns(reversed_: bool, tmp_path: Path) -> None:
    question = OneReturnEach()
    world = doubtful(tmp_path, question)
    world.run(20)
    assert not question.asked, "the enquiry comes first"
    question.pages = [(), (back(files.payment(world, "AP-1").bank_ref, reversed=reversed_),)]
    world.run(600)
    word = "reversed" if reversed_ else "returned"
    assert world.told("AP-1")[-1] == f"payment.{word}" and world.last("AP-1")["evidence"] == "returns"
    assert len(files.evidence(world, "AP-1")) > RETURNS_ASKED_FROM
    assert [one.cursor for one in question.asked] == [None, "1"]


@pytest.mark.parametrize("wrong", ["reference", "amount"])
def test_a_return_of_something_else_proves_nothing(wrong: str, tmp_path: Path) -> None:
    question = OneReturnEach()
    world = doubtful(tmp_path, question)
    reference = files.payment(world, "AP-1").bank_ref
    question.pages = [(back("SOMEBODY-ELSES") if wrong == "reference" else back(reference, 9_999),)]
    world.run(3_600)
    assert question.asked and world.last("AP-1")["state"] == "in_doubt"
    assert world.life is not None
    alarms = world.life.sample("bankgw_alarms_total", alarm="answers_disagree")
    assert (alarms > 0) == (wrong == "amount")


def test_a_refused_returns_question_leaves_the_enquirys_word_standing(tmp_path: Path) -> None:
    def declines(_question: ReturnsQuestion, _context: Context) -> Conversation[ReturnsPage]:
        yield from ()
        raise Declined("Returns", "A100", "not for this login", "failed")

    world = World(
        tmp_path,
        plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]),
        settings=SETTINGS,
        wrap=asking(declines, Fate.NOT_FOUND),
    )
    world.start()
    world.submit("AP-1")
    world.run(3_600)
    assert files.payment(world, "AP-1").life.not_found > 2, "each enquiry after the quarantine counts"


def unreadable(_question: ReturnsQuestion, _context: Context) -> Conversation[ReturnsPage]:
    yield from ()
    raise ProtocolError("missing", "a list that nobody can read")


def test_an_unreadable_list_of_returns_leaves_the_enquirys_word_standing(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]),
        settings=SETTINGS,
        wrap=asking(unreadable, Fate.NOT_FOUND),
    )
    world.start()
    world.submit("AP-1")
    world.run(3_600)
    assert files.payment(world, "AP-1").life.not_found > 2, "each enquiry after the quarantine counts"


@pytest.mark.parametrize("said", [Fate.RETURNED, Fate.SETTLED])
def test_an_unreadable_list_of_returns_does_not_keep_the_enquiry_from_being_asked(said: Fate, tmp_path: Path) -> None:
    fates = [Fate.SETTLED]

    def says(_question: FateQuestion, _context: Context) -> Conversation[Outcome]:
        yield from ()
        return Outcome(fates[-1])

    def wrap(life: Life, parts: Parts) -> Parts:
        changed = asking(unreadable)(life, parts)
        banks = {
            name: replace(bank, questions=replace(bank.questions, fate=says)) for name, bank in changed.banks.items()
        }
        return replace(changed, banks=banks)

    world = World(tmp_path, wrap=wrap, settings=SETTINGS, spans=SPANS)
    world.start()
    world.submit("AP-1")
    world.run(300)
    fates.append(said)
    world.run(1_200)
    assert world.told("AP-1")[-1] == f"payment.{said.value}"
    assert len(files.evidence(world, "AP-1")) > 1


def test_settled_payments_share_one_walk_through_the_returns(tmp_path: Path) -> None:
    question = OneReturnEach()
    world = World(tmp_path, wrap=asking(question), settings=SETTINGS, spans=SPANS)
    life = world.start()
    for n in range(8):
        world.submit(f"AP-{n}")
    world.run(500)
    question.pages = [(back(files.payment(world, "AP-3").bank_ref),)]
    world.run(200)
    assert len(question.asked) == 1
    assert world.told("AP-3")[-1] == "payment.returned" and world.told("AP-4")[-1] == "payment.settled"
    assert world.exchanges(life, "fate") == 7, "what is not among the returns is asked about, too"


def test_each_look_for_returned_money_reads_a_list_that_the_payment_was_not_looked_for_in(tmp_path: Path) -> None:
    """A list is kept for a minute. Money that came back within that minute is not in it."""
    question = OneReturnEach()
    world = World(
        tmp_path,
        wrap=asking(question, Fate.SETTLED),
        settings=SETTINGS,
        spans={"returns_every_s": 10.0, "returns_watch_s": 600.0},
    )
    world.start()
    for n in range(4):
        world.submit(f"AP-{n}")
    world.run(15)
    assert len(question.asked) == 1 and world.told("AP-3")[-1] == "payment.settled"
    question.pages = [(back(files.payment(world, "AP-3").bank_ref),)]
    world.run(10)
    assert world.told("AP-3")[-1] == "payment.returned" and world.told("AP-2")[-1] == "payment.settled"
    assert len(question.asked) == 2, "payments of one account share a reading"


@pytest.mark.usefixtures("long_lease")
def test_the_returns_are_asked_for_from_the_day_before_the_payments_bank_date(tmp_path: Path) -> None:
    question = OneReturnEach()
    world = World(
        tmp_path,
        wrap=asking(question),
        settings=SETTINGS,
        options={"sample": {"heartbeat_s": 110.0}},
        spans={"returns_every_s": 90_000.0, "returns_watch_s": 600_000.0},
    )
    life = world.start()
    world.submit("AP-1")
    world.run(1)
    [sent] = files.sends(world, "AP-1")
    for _ in range(31):
        world.run(3_001)
    [asked] = question.asked
    hours = life.gateway.parts.banks["sample"].profile.limits.hours
    assert asked.first.isoformat() < sent.bank_date
    assert asked.last >= asked.first + timedelta(days=2)
    assert asked.last <= bank_date(hours, life.clock.now_ms())


@pytest.mark.parametrize(("reason", "alarms"), [("correlation", True), ("value", False)])
def test_an_answer_about_another_payment_is_doubt_and_an_alarm(
    reason: ErrorReason, alarms: bool, tmp_path: Path
) -> None:
    """The bank states another amount under our reference, so the fate of our payment is unknown."""

    def odd(_question: FateQuestion, _context: Context) -> Conversation[Outcome]:
        yield from ()
        raise ProtocolError(reason, "the answer's amount is 7.00")

    def wrap(_life: Life, parts: Parts) -> Parts:
        def change(bank: Bank) -> Bank:
            return replace(bank, questions=replace(bank.questions, fate=odd))

        return replace(parts, banks={name: change(bank) for name, bank in parts.banks.items()})

    world = World(tmp_path, settings=SETTINGS, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]), wrap=wrap)
    life = world.start()
    world.submit("AP-1")
    world.run(60)
    assert world.state("AP-1") == "in_doubt" and world.told("AP-1")[-1] == "payment.in_doubt"
    assert bool(life.sample("bankgw_alarms_total", alarm="answers_disagree")) == alarms
