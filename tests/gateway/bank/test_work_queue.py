"""The lane's queue of due work: items come in time, in turn, and never twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.bank.work_queue import WorkQueue
from gateway.kernel.commit.rows import WorkRow
from gateway.kernel.core.states import Work


def row(payment: str, work: Work, due_ms: int) -> WorkRow:
    return WorkRow(payment, work, "sample.main", due_ms, 1)


def filled(*rows: tuple[str, Work, int]) -> WorkQueue:
    work_queue = WorkQueue()
    for one in rows:
        work_queue.put(row(*one))
    return work_queue


def drained(work_queue: WorkQueue, now_ms: int, **kinds: bool) -> list[tuple[str, Work]]:
    taken = []
    while (item := work_queue.take_due(now_ms, **kinds)) is not None:
        taken.append(item)
    return taken


def test_nothing_is_taken_before_its_time() -> None:
    work_queue = filled(("A", Work.ENQUIRE, 1000))
    assert work_queue.take_due(999) is None and work_queue.next_ms() == 1000
    assert work_queue.take_due(1000) == ("A", Work.ENQUIRE)
    assert work_queue.take_due(1000) is None and work_queue.next_ms() is None and not len(work_queue)


def test_a_later_row_replaces_the_earlier_one_and_an_earlier_one_too() -> None:
    work_queue = filled(("A", Work.ENQUIRE, 1000), ("A", Work.ENQUIRE, 5000))
    assert work_queue.take_due(4999) is None
    work_queue.put(row("A", Work.ENQUIRE, 200))
    assert work_queue.next_ms() == 200
    assert drained(work_queue, 10_000) == [("A", Work.ENQUIRE)], "once, whatever was said about it before"


def test_sends_leave_in_the_order_of_time_then_of_acceptance() -> None:
    work_queue = filled(("C", Work.SEND, 10), ("A", Work.SEND, 10), ("B", Work.SEND, 5))
    assert [payment for payment, _ in drained(work_queue, 10)] == ["B", "A", "C"]


def test_deadlines_come_first_and_need_no_bank() -> None:
    work_queue = filled(("A", Work.SEND, 1), ("B", Work.EXPIRE, 2), ("C", Work.ESCALATE, 3), ("D", Work.RETURNS, 1))
    assert drained(work_queue, 10, slow=False) == [("B", Work.EXPIRE), ("C", Work.ESCALATE)]
    assert drained(work_queue, 10) == [("A", Work.SEND), ("D", Work.RETURNS)], "watching for returns last"


def test_neither_a_flood_of_orders_nor_one_of_doubts_starves_the_other() -> None:
    work_queue = WorkQueue()
    for n in range(50):
        work_queue.put(row(f"S{n:02d}", Work.SEND, 1))
        work_queue.put(row(f"E{n:02d}", Work.ENQUIRE, 1))
    first = [work for _payment, work in drained(work_queue, 1)[:20]]
    assert first.count(Work.SEND) == first.count(Work.ENQUIRE) == 10


def test_without_sends_everything_else_goes_on_and_sends_are_kept() -> None:
    work_queue = filled(("A", Work.SEND, 1), ("B", Work.ENQUIRE, 1), ("C", Work.EXPIRE, 1))
    assert set(drained(work_queue, 5, sends=False)) == {("B", Work.ENQUIRE), ("C", Work.EXPIRE)}
    assert work_queue.has_due(sends=True) and not work_queue.has_due(sends=False)
    assert drained(work_queue, 5) == [("A", Work.SEND)]


def test_what_could_not_be_done_comes_again_later() -> None:
    work_queue = filled(("A", Work.SEND, 1))
    assert work_queue.take_due(1) == ("A", Work.SEND)
    work_queue.later("A", Work.SEND, 500)
    assert work_queue.take_due(499) is None and work_queue.next_ms() == 500
    assert work_queue.take_due(500) == ("A", Work.SEND)


def test_an_item_found_due_and_then_put_off_is_not_taken_early() -> None:
    work_queue = filled(("A", Work.ENQUIRE, 1), ("B", Work.EXPIRE, 1))
    assert work_queue.take_due(5, slow=False) == ("B", Work.EXPIRE)
    work_queue.put(row("A", Work.ENQUIRE, 100))
    assert work_queue.take_due(50) is None
    assert work_queue.take_due(100) == ("A", Work.ENQUIRE)


_rows = st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from(list(Work)), st.integers(0, 20)), max_size=40)


@given(_rows, st.lists(st.integers(0, 20), max_size=5))
def test_every_item_is_taken_once_at_its_last_time(rows: list[tuple[str, Work, int]], looks: list[int]) -> None:
    work_queue = WorkQueue()
    wanted: dict[tuple[str, Work], int] = {}
    for payment, work, due_ms in rows:
        work_queue.put(row(payment, work, due_ms))
        wanted[payment, work] = due_ms
    for now_ms in sorted([*looks, 20]):
        due = {key for key, due_ms in wanted.items() if due_ms <= now_ms}
        taken = drained(work_queue, now_ms)
        assert set(taken) == due and len(taken) == len(due)
        wanted = {key: due_ms for key, due_ms in wanted.items() if key not in due}
        assert work_queue.next_ms() == min(wanted.values(), default=None)
        assert len(work_queue) == len(wanted)


def test_what_is_forgotten_is_not_taken() -> None:
    work_queue = filled(("A", Work.ENQUIRE, 1000), ("A", Work.ESCALATE, 1000))
    work_queue.forget("A", Work.ENQUIRE)
    work_queue.forget("B", Work.ENQUIRE)
    assert drained(work_queue, 2000) == [("A", Work.ESCALATE)]


def test_repeats_are_sends_and_watching_is_asking() -> None:
    work_queue = filled(("A", Work.REPLAY, 1), ("B", Work.ENQUIRE, 1), ("C", Work.RETURNS, 1), ("D", Work.SEND, 1))
    assert work_queue.take_due(5, sends=False, asks=False) is None
    assert work_queue.has_due(sends=False) and work_queue.has_due(asks=False)
    assert {work_queue.take_due(5, sends=False), work_queue.take_due(5, sends=False)} == {
        ("B", Work.ENQUIRE),
        ("C", Work.RETURNS),
    }
    assert not work_queue.has_due(sends=False)
    assert [work_queue.take_due(5, asks=False), work_queue.take_due(5, asks=False)] == [
        ("A", Work.REPLAY),
        ("D", Work.SEND),
    ]


def test_what_waits_is_known_until_it_is_taken() -> None:
    work_queue = filled(("A", Work.SEND, 1))
    assert work_queue.knows("A", Work.SEND) and not work_queue.knows("A", Work.ENQUIRE)
    work_queue.take_due(5)
    assert not work_queue.knows("A", Work.SEND)
