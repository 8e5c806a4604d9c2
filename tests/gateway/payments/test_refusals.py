from __future__ import annotations

from functools import partial

from gateway.kernel.commit import outbox
from gateway.kernel.commit.rows import OutboxState, Reply
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.payments.rows import batch_rows, lookup, refusals
from gateway.payments.rows.batch_rows import BatchRow
from gateway.payments.rows.refusals import KeptRefusals, RefusalRow
from protocols.canon.errors import Code
from protocols.canon.money import Money
from protocols.canon.order import Kind
from tests.gateway.kernel.bench import LANE, NOW_MS, Journal, message, order


def test_a_refusal_its_reply_and_its_parked_copy_are_one_unit(journal: Journal) -> None:
    body = b'{"amount": 12.5}'
    new = journal.do(lambda tx: refusals.refuse(tx, "d1", "erp", Code.SCHEMA, body, message("r"), message("p")))
    assert new
    assert [mail.message_id for mail in journal.messages] == ["r", "p"]
    assert journal.read(lambda conn: refusals.fetch(conn, "d1")) == RefusalRow("d1", "erp", Code.SCHEMA, NOW_MS, body)
    assert journal.count(schema.audit) == 1


def test_a_delivery_that_comes_again_is_refused_once(journal: Journal) -> None:
    def refuse(tx: Tx) -> bool:
        return refusals.refuse(tx, "d1", None, Code.NO_SENDER, b"?", None, message("p"))

    assert [journal.do(refuse), journal.do(refuse)] == [True, False]
    assert journal.messages == []
    assert len(journal.read(lambda conn: outbox.unsent(conn, "n1"))) == 1
    assert journal.count(schema.audit) == 1


def test_an_id_is_taken_by_an_order_a_batch_or_an_order_of_a_file(journal: Journal) -> None:
    journal.admit(order("M-1/G-1/E2E-1"))
    row = BatchRow(
        "erp",
        "B-1",
        "sample",
        LANE,
        Kind.PAYMENT,
        "1:x",
        1,
        Money(100),
        1,
        1,
        Reply("erp.replies", None, None),
        NOW_MS,
        NOW_MS,
    )
    assert journal.do(lambda tx: batch_rows.add(tx, row))
    ids = ("M-1/G-1/E2E-1", "B-1", "M-1", "M", "M-1/G-1", "b-1", "m-1/g-1/e2e-1")
    taken = [one for one in ids if journal.read(partial(lookup.is_taken, sender="erp", id_=one))]
    assert taken == ["M-1/G-1/E2E-1", "B-1"]
    files = [one for one in ids if journal.read(partial(lookup.has_orders_of, sender="erp", file_id=one))]
    assert files == ["M-1", "M-1/G-1"]
    assert not journal.read(partial(lookup.is_taken, sender="other", id_="B-1")), "each sender has ids of its own"
    assert not journal.read(partial(lookup.has_orders_of, sender="other", file_id="M-1"))


def test_what_was_never_refused_is_none(small: Journal) -> None:
    assert small.read(lambda conn: refusals.fetch(conn, "d1")) is None


def test_of_a_large_command_its_beginning_size_and_hash_are_kept(journal: Journal) -> None:
    journal.do(lambda tx: refusals.refuse(tx, "d1", "erp", Code.TOO_LARGE, b"{", None, None, size=9, sha256="ab" * 32))
    found = journal.read(lambda conn: refusals.fetch(conn, "d1"))
    assert found == RefusalRow("d1", "erp", Code.TOO_LARGE, NOW_MS, b"{", 9, "ab" * 32)


def test_after_their_retention_refusals_and_their_published_copies_are_gone(journal: Journal) -> None:
    for n in range(5):
        journal.do(
            partial(
                refusals.refuse,
                key=f"d{n}",
                sender="erp",
                code=Code.SCHEMA,
                body=b"{}",
                reply=message(f"r{n}"),
                parked=message(f"p{n}") if n else None,
            )
        )
    journal.do(lambda tx: outbox.mark(tx, ["p1", "p2", "p3", "r1"], OutboxState.SENT))
    later = NOW_MS + 1
    assert journal.read(lambda conn: refusals.held(conn, NOW_MS)) == KeptRefusals(5, 4, 0)
    assert journal.read(lambda conn: refusals.held(conn, later)) == KeptRefusals(5, 4, 5)
    assert journal.do(lambda tx: refusals.forget(tx, NOW_MS, 9)) == 0
    assert [journal.do(lambda tx: refusals.forget(tx, later, 3)) for _ in range(3)] == [3, 2, 0]
    assert journal.read(lambda conn: refusals.held(conn, later)) == KeptRefusals(0, 0, 0)
    left = {row.message_id for row in journal.read(lambda conn: outbox.unsent(conn, "n1"))}
    assert left == {"r0", "r2", "r3", "r4", "p4"}, "replies, and the copy that is not published yet"
    assert journal.count(schema.outbox) == 6, "and the reply that is"
