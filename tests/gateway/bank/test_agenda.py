"""The lane's list of what is due: in time, in turn, and never twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.bank.agenda import Agenda
from gateway.core.states import Work
from gateway.journal.rows import WorkRow


def row(payment: str, work: Work, due_ms: int) -> WorkRow:
    return WorkRow(payment, work, "sample.main", due_ms, 1)


def filled(*rows: tuple[str, Work, int]) -> Agenda:
    agenda = Agenda()
    for one in rows:
        agenda.put(row(*one))
    return agenda


def drained(agenda: Agenda, now_ms: int, **kinds: bool) -> list[tuple[str, Work]]:
    taken = []
    while (item := agenda.take(now_ms, **kinds)) is not None:
        taken.append(item)
    return taken


def test_nothing_is_taken_before_its_time() -> None:
    agenda = filled(("A", Work.ENQUIRE, 1000))
    assert agenda.take(999) is None and agenda.next_ms() == 1000
    assert agenda.take(1000) == ("A", Work.ENQUIRE)
    assert agenda.take(1000) is None and agenda.next_ms() is None and not len(agenda)


def test_a_later_row_replaces_the_earlier_one_and_an_earlier_one_too() -> None:
    agenda = filled(("A", Work.ENQUIRE, 1000), ("A", Work.ENQUIRE, 5000))
    assert agenda.take(4999) is None
    agenda.put(row("A", Work.ENQUIRE, 200))
    assert agenda.next_ms() == 200
    assert drained(agenda, 10_000) == [("A", Work.ENQUIRE)], "once, whatever was said about it before"


def test_sends_leave_in_the_order_of_time_then_of_acceptance() -> None:
    agenda = filled(("C", Work.SEND, 10), ("A", Work.SEND, 10), ("B", Work.SEND, 5))
    assert [payment for payment, _ in drained(agenda, 10)] == ["B", "A", "C"]


def test_deadlines_come_first_and_need_no_bank() -> None:
    agenda = filled(("A", Work.SEND, 1), ("B", Work.EXPIRE, 2), ("C", Work.ESCALATE, 3), ("D", Work.RETURNS, 1))
    assert drained(agenda, 10, slow=False) == [("B", Work.EXPIRE), ("C", Work.ESCALATE)]
    assert drained(agenda, 10) == [("A", Work.SEND), ("D", Work.RETURNS)], "watching for returns last"


def test_neither_a_flood_of_orders_nor_one_of_doubts_starves_the_other() -> None:
    agenda = Agenda()
    for n in range(50):
        agenda.put(row(f"S{n:02d}", Work.SEND, 1))
        agenda.put(row(f"E{n:02d}", Work.ENQUIRE, 1))
    first = [work for _payment, work in drained(agenda, 1)[:20]]
    assert first.count(Work.SEND) == first.count(Work.ENQUIRE) == 10


def test_without_sends_everything_else_goes_on_and_sends_are_kept() -> None:
    agenda = filled(("A", Work.SEND, 1), ("B", Work.ENQUIRE, 1), ("C", Work.EXPIRE, 1))
    assert set(drained(agenda, 5, sends=False)) == {("B", Work.ENQUIRE), ("C", Work.EXPIRE)}
    assert agenda.has_due(sends=True) and not agenda.has_due(sends=False)
    assert drained(agenda, 5) == [("A", Work.SEND)]


def test_what_could_not_be_done_comes_again_later() -> None:
    agenda = filled(("A", Work.SEND, 1))
    assert agenda.take(1) == ("A", Work.SEND)
    agenda.later("A", Work.SEND, 500)
    assert agenda.take(499) is None and agenda.next_ms() == 500
    assert agenda.take(500) == ("A", Work.SEND)


def test_an_item_found_due_and_then_put_off_is_not_taken_early() -> None:
    agenda = filled(("A", Work.ENQUIRE, 1), ("B", Work.EXPIRE, 1))
    assert agenda.take(5, slow=False) == ("B", Work.EXPIRE)
    agenda.put(row("A", Work.ENQUIRE, 100))
    assert agenda.take(50) is None
    assert agenda.take(100) == ("A", Work.ENQUIRE)


_rows = st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from(list(Work)), st.integers(0, 20)), max_size=40)


@given(_rows, st.lists(st.integers(0, 20), max_size=5))
def test_every_item_is_taken_once_at_its_last_time(rows: list[tuple[str, Work, int]], looks: list[int]) -> None:
    agenda = Agenda()
    wanted: dict[tuple[str, Work], int] = {}
    for payment, work, due_ms in rows:
        agenda.put(row(payment, work, due_ms))
        wanted[payment, work] = due_ms
    for now_ms in sorted([*looks, 20]):
        due = {key for key, due_ms in wanted.items() if due_ms <= now_ms}
        taken = drained(agenda, now_ms)
        assert set(taken) == due and len(taken) == len(due)
        wanted = {key: due_ms for key, due_ms in wanted.items() if key not in due}
        assert agenda.next_ms() == min(wanted.values(), default=None)
        assert len(agenda) == len(wanted)


def test_what_is_forgotten_is_not_taken() -> None:
    agenda = filled(("A", Work.ENQUIRE, 1000), ("A", Work.ESCALATE, 1000))
    agenda.forget("A", Work.ENQUIRE)
    agenda.forget("B", Work.ENQUIRE)
    assert drained(agenda, 2000) == [("A", Work.ESCALATE)]


def test_repeats_are_sends_and_watching_is_asking() -> None:
    agenda = filled(("A", Work.REPLAY, 1), ("B", Work.ENQUIRE, 1), ("C", Work.RETURNS, 1), ("D", Work.SEND, 1))
    assert agenda.take(5, sends=False, asks=False) is None
    assert agenda.has_due(sends=False) and agenda.has_due(asks=False)
    assert {agenda.take(5, sends=False), agenda.take(5, sends=False)} == {("B", Work.ENQUIRE), ("C", Work.RETURNS)}
    assert not agenda.has_due(sends=False)
    assert [agenda.take(5, asks=False), agenda.take(5, asks=False)] == [("A", Work.REPLAY), ("D", Work.SEND)]


def test_what_waits_is_known_until_it_is_taken() -> None:
    agenda = filled(("A", Work.SEND, 1))
    assert agenda.knows("A", Work.SEND) and not agenda.knows("A", Work.ENQUIRE)
    agenda.take(5)
    assert not agenda.knows("A", Work.SEND)
