from __future__ import annotations

from gateway.journal import outbox, refusals, schema
from gateway.journal.refusals import RefusalRow
from gateway.journal.store import Tx
from protocols.canon.errors import Code
from tests.gateway.journal.bench import NOW_MS, Journal, message


def test_a_refusal_its_reply_and_its_parked_copy_are_one_unit(journal: Journal) -> None:
    body = b'{"amount": 12.5}'
    new = journal.do(lambda tx: refusals.refuse(tx, "d1", "erp", Code.SCHEMA, body, message("r"), message("p")))
    assert new
    assert [mail.message_id for mail in journal.mails] == ["r", "p"]
    assert journal.read(lambda conn: refusals.fetch(conn, "d1")) == RefusalRow("d1", "erp", Code.SCHEMA, NOW_MS, body)
    assert journal.count(schema.audit) == 1


def test_a_delivery_that_comes_again_is_refused_once(journal: Journal) -> None:
    def unit(tx: Tx) -> bool:
        return refusals.refuse(tx, "d1", None, Code.NO_SENDER, b"?", None, message("p"))

    assert [journal.do(unit), journal.do(unit)] == [True, False]
    assert journal.mails == []
    assert len(journal.read(lambda conn: outbox.unsent(conn, "n1"))) == 1
    assert journal.count(schema.audit) == 1


def test_what_was_never_refused_is_none(small: Journal) -> None:
    assert small.read(lambda conn: refusals.fetch(conn, "d1")) is None
