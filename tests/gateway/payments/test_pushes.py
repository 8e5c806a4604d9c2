"""Pushes of a bank: each is stored once, and only causes a question."""

from __future__ import annotations

from sqlalchemy import select

from gateway.kernel.core.states import Answered, Source, Work
from gateway.kernel.sql import schema
from gateway.payments.rows import pushes
from protocols.bank import Push
from protocols.canon.outcome import Fate, State
from tests.gateway.kernel.bench import LANE, NOW_MS, Journal, order

LANES = [LANE]
FRAME = b"<Result><ThirdVoucher>1</ThirdVoucher></Result>"


def told(*references: str, key: str = "k1", kind: str = "FILE04") -> Push:
    return Push(kind, key, references)


def keep(journal: Journal, push: Push, lanes: list[str] | None = None) -> pushes.PushResult:
    return journal.do(lambda tx: pushes.keep(tx, "sample", LANES if lanes is None else lanes, push, FRAME))


def work(journal: Journal, payment: str) -> dict[str, int]:
    def found(conn: object) -> dict[str, int]:
        rows = conn.execute(select(schema.work).where(schema.work.c.payment == payment)).all()  # type: ignore[attr-defined]
        return {row.kind: row.due_ms for row in rows}

    return journal.read(found)


def sent(journal: Journal) -> tuple[str, str]:
    """A payment that waits for its enquiry, and its reference."""
    row = journal.admit().row
    journal.send(row)
    journal.apply(row.payment, Answered(NOW_MS, Fate.PENDING, Source.SUBMIT))
    return row.payment, row.bank_ref


def test_a_push_makes_the_enquiry_after_each_payment_due_now_and_changes_none(journal: Journal) -> None:
    payment, reference = sent(journal)
    before = work(journal, payment)
    assert before[Work.ENQUIRE.value] > NOW_MS
    assert keep(journal, told(reference, "GW99999999")) == pushes.PushResult(new=True, payments=1)
    assert work(journal, payment)[Work.ENQUIRE.value] <= NOW_MS
    state = journal.read(lambda conn: conn.execute(select(schema.payments.c.state)).scalar_one())
    assert state == State.PENDING.value


def test_the_same_content_is_kept_once_and_does_nothing_again(journal: Journal) -> None:
    payment, reference = sent(journal)
    keep(journal, told(reference))
    journal.apply(payment, Answered(NOW_MS, Fate.PENDING, Source.ENQUIRY, NOW_MS))
    later = work(journal, payment)[Work.ENQUIRE.value]
    for _ in range(3):
        assert keep(journal, told(reference)) == pushes.PushResult(new=False)
    assert work(journal, payment)[Work.ENQUIRE.value] == later
    [row] = journal.read(lambda conn: conn.execute(select(schema.pushes)).all())
    assert (row.times, row.kind, row.bank) == (4, "FILE04", "sample")


def test_other_content_another_kind_or_another_bank_is_another_push(journal: Journal) -> None:
    keep(journal, told())
    keep(journal, told(key="k2"))
    keep(journal, told(kind="F002"))
    journal.do(lambda tx: pushes.keep(tx, "other", LANES, told(), FRAME))
    assert journal.count(schema.pushes) == 4


def test_a_payment_of_another_bank_s_lane_is_not_touched(journal: Journal) -> None:
    payment, reference = sent(journal)
    before = work(journal, payment)
    assert keep(journal, told(reference), ["other.main"]).payments == 0
    assert work(journal, payment) == before


def test_a_settled_payment_whose_return_is_waited_for_is_looked_after_now(journal: Journal) -> None:
    payment, reference = sent(journal)
    journal.apply(payment, Answered(NOW_MS, Fate.SETTLED, Source.ENQUIRY, NOW_MS))
    assert work(journal, payment)[Work.RETURNS.value] > NOW_MS
    assert keep(journal, told(reference)).payments == 1
    assert work(journal, payment) == {Work.RETURNS.value: NOW_MS}


def test_a_payment_that_is_over_is_left_alone(journal: Journal) -> None:
    payment, reference = sent(journal)
    journal.apply(payment, Answered(NOW_MS, Fate.SETTLED, Source.ENQUIRY, NOW_MS))
    journal.apply(payment, Answered(NOW_MS, Fate.RETURNED, Source.RETURNS, NOW_MS))
    assert keep(journal, told(reference)).payments == 0
    assert work(journal, payment) == {}


def test_more_names_than_the_most_are_not_all_asked_about(journal: Journal) -> None:
    _, reference = sent(journal)
    many = [f"ZZ{number:018d}" for number in range(pushes.NAMED_MOST + 50)]
    assert keep(journal, told(*many, reference)).payments == 0 or reference < "ZZ"
    assert keep(journal, told(reference, key="k2")).payments == 1


def test_what_came_is_sealed_and_can_be_opened(journal: Journal) -> None:
    keep(journal, told())
    key = pushes.push_id("sample", told())
    [row] = journal.read(lambda conn: conn.execute(select(schema.pushes.c.body)).all())
    assert FRAME not in bytes(row.body)
    assert journal.do(lambda tx: pushes.body_of(tx, key)) == FRAME
    assert journal.do(lambda tx: pushes.body_of(tx, "0" * 64)) is None


def test_old_pushes_are_forgotten_some_at_a_time(journal: Journal) -> None:
    for number in range(5):
        keep(journal, told(key=str(number)))
    assert journal.do(lambda tx: pushes.forget(tx, NOW_MS, 3)) == 0
    assert not journal.read(lambda conn: pushes.overdue(conn, NOW_MS))
    assert journal.read(lambda conn: pushes.overdue(conn, NOW_MS + 1))
    assert journal.do(lambda tx: pushes.forget(tx, NOW_MS + 1, 3)) == 3
    assert journal.do(lambda tx: pushes.forget(tx, NOW_MS + 1, 3)) == 2
    assert journal.count(schema.pushes) == 0


def test_two_orders_named_by_one_push_are_both_asked_about(journal: Journal) -> None:
    first, second = (journal.admit(order(f"AP-{n}", minor=1_000 + n)).row for n in (1, 2))
    for row in (first, second):
        journal.send(row)
        journal.apply(row.payment, Answered(NOW_MS, Fate.PENDING, Source.SUBMIT))
    assert keep(journal, told(first.bank_ref, second.bank_ref)).payments == 2
