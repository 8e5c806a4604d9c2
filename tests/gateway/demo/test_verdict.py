"""The verdict finds each fault: one fault is planted into correct records of the same orders, and must be counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from gateway.demo.erp import ReceivedNews
from gateway.demo.orders import ACCEPTED, JSON, DemoCommand, DemoOrder, ExpectedAnswer, Story
from gateway.demo.verdict import Executed, FindingKind, Journalled, Verdict, judge
from protocols.canon.outcome import State
from protocols.twin import Booked


@dataclass
class World:
    """Three records of the same orders; `verdict` compares them."""

    orders: list[DemoOrder] = field(default_factory=list)
    commands: list[DemoCommand] = field(default_factory=list)
    heard: list[ReceivedNews] = field(default_factory=list)
    executed: list[Executed] = field(default_factory=list)
    journal: list[Journalled] = field(default_factory=list)

    def verdict(self, waiting: frozenset[str] = frozenset()) -> Verdict:
        story = Story(1, tuple(self.orders), tuple(self.commands), frozenset(), frozenset())
        return judge(story, self.heard, self.executed, self.journal, waiting)

    def add(self, n: int, *states: State, booked: Booked | None = None, refused: str = "") -> None:
        """Add an order with these states, reported one after the other; `refused`: it never became a payment."""
        payee = f"00009{n}"
        order = DemoOrder(
            f"AP-{n}", "sample", "0000100", payee, "示例乙公司", (100 + n,), "货款", "plain", carried=not refused
        )
        self.orders.append(order)
        self.commands.append(DemoCommand(f"m-{n}", order.id, "payment.submit", b"", frozenset({refused or ACCEPTED})))
        if refused:
            self.reply(n, "payment.rejected", {"id": order.id, "error": {"code": refused}})
            return
        self.reply(n, "payment.accepted", {"id": order.id, "payment": f"P{n}", "seq": 1, "state": "accepted"})
        for seq, state in enumerate((State.ACCEPTED, *states), start=1):
            self.event(n, seq, state)
        if booked is not None:
            self.executed.append(Executed("sample", f"R{n}", "0000100", f"00009{n}", 100 + n, booked))
        last = states[-1] if states else State.ACCEPTED
        self.journal.append(Journalled(f"P{n}", order.id, last, 1 + len(states), "sample", f"R{n}", 1))

    def reply(self, n: int, name: str, said: dict[str, object], where: ExpectedAnswer = ExpectedAnswer.REPLY) -> None:
        self.heard.append(ReceivedNews(where, f"h-{len(self.heard)}", f"m-{n}", name, said, JSON, 0.0))

    def event(self, n: int, seq: int, state: State, payment: str = "") -> None:
        said = {"id": f"AP-{n}", "payment": payment or f"P{n}", "seq": seq, "state": state.value}
        self.reply(n, f"payment.{state.value}", said, ExpectedAnswer.EVENT)


@pytest.fixture
def world() -> World:
    """Eight orders with different ends, all of them correct."""
    world = World()
    world.add(1, State.SETTLED, booked=Booked.SETTLED)
    world.add(2, State.IN_DOUBT, State.SETTLED, booked=Booked.SETTLED)
    world.add(3, State.FAILED, booked=Booked.REFUSED)
    world.add(4, State.SETTLED, State.RETURNED, booked=Booked.RETURNED)
    world.add(5, State.IN_DOUBT)
    world.add(6, State.CANCELLED)
    world.add(7, refused="schema")
    world.add(8, State.IN_DOUBT, booked=Booked.SETTLED)
    return world


def test_a_perfect_account(world: World) -> None:
    verdict = world.verdict()
    assert verdict.findings == ()
    assert verdict.agrees
    assert verdict.last_line() == ("demo: 8 orders, 3 settled, 1 failed, 2 rejected, 2 in doubt, 0 duplicated, 0 lost")
    assert str(verdict.breakdown()) == (
        "settled includes 1 that came back later; rejected includes 1 withdrawn and 0 expired unsent; "
        "of those in doubt the bank never booked 1"
    )


def _double(world: World) -> None:
    world.executed.append(world.executed[0])


def _double_under_another_reference(world: World) -> None:
    world.executed.append(replace(world.executed[0], reference="R999"))


def _refused_twice(world: World) -> None:
    world.executed.append(next(one for one in world.executed if one.booked is Booked.REFUSED))


def _two_payments(world: World) -> None:
    world.event(1, 2, State.SETTLED, payment="P1-again")


def _two_rows(world: World) -> None:
    world.journal.append(replace(world.journal[0], payment="P1-again"))


DOUBLES: tuple[Callable[[World], None], ...] = (
    _double,
    _double_under_another_reference,
    _refused_twice,
    _two_payments,
    _two_rows,
)


@pytest.mark.parametrize("plant", DOUBLES)
def test_duplicates_are_counted(world: World, plant: Callable[[World], None]) -> None:
    plant(world)
    verdict = world.verdict()
    assert verdict.count(FindingKind.DUPLICATED) == 1
    assert verdict.last_line().endswith("1 duplicated, 0 lost")
    assert not verdict.agrees


def _silence(world: World) -> None:
    """Remove every message to the ERP about an order that the bank paid."""
    world.heard = [one for one in world.heard if one.said.get("id") != "AP-1"]
    world.journal = [row for row in world.journal if row.order_id != "AP-1"]


def _no_final(world: World) -> None:
    world.heard = [one for one in world.heard if one.name != "payment.settled" or one.said["id"] != "AP-1"]


def _stuck(world: World) -> None:
    world.add(9, State.PENDING, booked=Booked.SETTLED)


def _no_reply(world: World) -> None:
    world.heard = [one for one in world.heard if one.where is not ExpectedAnswer.REPLY or one.said["id"] != "AP-1"]


def _question_without_reply(world: World) -> None:
    world.commands.append(DemoCommand("q-1", "balance", "balance.query", b"", frozenset({"balance.result"})))


def _reply_where_nobody_listens(world: World) -> None:
    found = next(n for n, one in enumerate(world.heard) if one.where is ExpectedAnswer.REPLY)
    world.heard[found] = replace(world.heard[found], where=ExpectedAnswer.UNROUTED)


@pytest.mark.parametrize(
    "plant", [_silence, _no_final, _stuck, _no_reply, _question_without_reply, _reply_where_nobody_listens]
)
def test_losses_are_counted(world: World, plant: Callable[[World], None]) -> None:
    plant(world)
    verdict = world.verdict()
    assert verdict.count(FindingKind.LOST) >= 1
    assert not verdict.agrees
    assert not verdict.last_line().endswith(" 0 lost")


def _told(order: int, state: State) -> Callable[[World], None]:
    def plant(world: World) -> None:
        for n, one in enumerate(world.heard):
            if one.where is ExpectedAnswer.EVENT and one.said["id"] == f"AP-{order}" and one.said["seq"] > 1:
                world.heard[n] = replace(one, said={**one.said, "state": state.value}, name=f"payment.{state.value}")
        world.journal = [replace(r, state=state) if r.order_id == f"AP-{order}" else r for r in world.journal]

    return plant


def _booked(order: int, booked: Booked | None) -> Callable[[World], None]:
    def plant(world: World) -> None:
        kept = [one for one in world.executed if one.reference != f"R{order}"]
        moved = Executed("sample", f"R{order}", "0000100", f"00009{order}", 100 + order, booked or Booked.SETTLED)
        world.executed = kept if booked is None else [*kept, moved]

    return plant


def _gap(world: World) -> None:
    world.heard = [one for one in world.heard if one.name != "payment.in_doubt" or one.said["id"] != "AP-2"]


def _one_number_for_two(world: World) -> None:
    world.event(2, 2, State.PENDING)


def _two_finals(world: World) -> None:
    world.event(1, 3, State.FAILED)
    world.journal[0] = replace(world.journal[0], state=State.FAILED, seq=3)


def _correction(world: World) -> None:
    said = {"id": "AP-1", "payment": "P1", "seq": 3, "state": "settled"}
    world.reply(1, "payment.correction", said, ExpectedAnswer.EVENT)


def _wrong_answer(world: World) -> None:
    world.reply(1, "payment.rejected", {"id": "AP-1", "error": {"code": "id_conflict"}})


def _other_amount(world: World) -> None:
    world.executed[0] = replace(world.executed[0], minor=1)


def _other_debtor(world: World) -> None:
    world.executed[0] = replace(world.executed[0], debtor="0000200")


def _other_reference(world: World) -> None:
    world.executed[0] = replace(world.executed[0], reference="R999")


def _stranger(world: World) -> None:
    world.executed.append(replace(world.executed[0], creditor="0000777", reference="R777"))


def _event_of_nobodys_order(world: World) -> None:
    world.event(77, 1, State.ACCEPTED)


def _sent_twice(world: World) -> None:
    world.journal[0] = replace(world.journal[0], sends=2, unfit=("send 2: the bank's rules never allow a repeat",))


def _journal_differs(world: World) -> None:
    world.journal[0] = replace(world.journal[0], state=State.FAILED)


def _journal_is_ahead(world: World) -> None:
    world.journal[0] = replace(world.journal[0], seq=9)


def _not_in_the_journal(world: World) -> None:
    del world.journal[0]


def _bad_order_at_the_bank(world: World) -> None:
    world.executed.append(Executed("sample", "R7", "0000100", "000097", 107, Booked.SETTLED))


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(_told(1, State.FAILED), id="paid, told failed"),
        pytest.param(_told(3, State.SETTLED), id="refused, told settled"),
        pytest.param(_told(1, State.EXPIRED), id="paid, told expired"),
        pytest.param(_booked(1, None), id="never booked, told settled"),
        pytest.param(_booked(1, Booked.RETURNED), id="came back, told settled"),
        pytest.param(_booked(4, Booked.SETTLED), id="stayed, told returned"),
        pytest.param(_booked(6, Booked.SETTLED), id="paid, told cancelled"),
        pytest.param(_booked(6, Booked.REFUSED), id="asked, told cancelled"),
        _gap,
        _one_number_for_two,
        _two_finals,
        _correction,
        _wrong_answer,
        _other_amount,
        _other_debtor,
        _other_reference,
        _stranger,
        _event_of_nobodys_order,
        _sent_twice,
        _journal_differs,
        _journal_is_ahead,
        _not_in_the_journal,
        _bad_order_at_the_bank,
    ],
)
def test_differences_are_found(world: World, plant: Callable[[World], None]) -> None:
    plant(world)
    verdict = world.verdict()
    assert [finding for finding in verdict.findings if finding.wrong is FindingKind.DISAGREES], verdict.findings
    assert not verdict.agrees


def test_order_of_arrival_does_not_matter(world: World) -> None:
    world.heard.reverse()
    assert world.verdict().agrees


def test_a_repeated_commands_answer_is_no_event(world: World) -> None:
    said = {"id": "AP-1", "payment": "P1", "seq": 2, "state": "sending", "replayed": True}
    world.reply(1, "payment.accepted", said, ExpectedAnswer.EVENT)
    world.reply(1, "payment.accepted", said)
    verdict = world.verdict()
    assert verdict.agrees
    assert verdict.second_answers == 1


def test_a_permitted_repeat_is_no_difference(world: World) -> None:
    world.journal[0] = replace(world.journal[0], sends=3)
    assert world.verdict().agrees


def test_answers_in_another_form_are_counted(world: World) -> None:
    world.commands[0] = replace(world.commands[0], content_type="application/xml")
    assert world.verdict().other_form == 1


def test_either_content_may_win_but_only_one(world: World) -> None:
    world.orders[0] = replace(world.orders[0], amounts_minor=(101, 102))
    world.executed[0] = replace(world.executed[0], minor=102)
    assert world.verdict().agrees


def test_an_order_that_waits_for_approvers_may_be_held_at_the_end() -> None:
    world = World()
    world.add(1, State.HELD)
    assert world.verdict(frozenset({"AP-1"})).agrees
    assert world.verdict().count(FindingKind.LOST) == 1
    world.executed.append(Executed("sample", "R1", "0000100", "000091", 101, Booked.SETTLED))
    assert world.verdict(frozenset({"AP-1"})).count(FindingKind.LOST) == 1
