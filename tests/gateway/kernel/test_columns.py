"""A bank's text, however long and with any characters, can be stored on every database and fails no unit."""

from __future__ import annotations

from datetime import date
from functools import partial

import pytest

from gateway.kernel.commit import attempts
from gateway.kernel.commit.rows import Evidence
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Answered, Silent, Source
from gateway.kernel.sql import schema
from gateway.kernel.sql.columns import fitting
from gateway.payments.rows import lookup
from gateway.receipts.rows import receipts
from gateway.statements.rows import accounts
from gateway.statements.rows.statement_evidence import evidence_from_entry, unheard
from protocols.canon.outcome import Fate, Outcome, State
from protocols.canon.statement import Direction, Line, Receipt
from tests.gateway.kernel.bench import LANE, NOW_MS, Journal

DAY = date(2026, 11, 24)
ODD = "\0N\ud800"
LONG = "RJCT/" + "X" * 35 + "+" + "乙" * 35


def test_a_word_keeps_what_fits_its_column() -> None:
    assert fitting("0000", schema.payments.c.bank_code) == "0000"
    assert fitting(LONG + ODD, schema.evidence.c.code) == LONG[:64]
    assert fitting(ODD, schema.payments.c.bank_serial) == "�N�"


@pytest.mark.parametrize("code", [LONG, ODD], ids=["long", "odd"])
def test_a_code_that_does_not_fit_is_cut_and_the_payment_goes_its_way(journal: Journal, code: str) -> None:
    row = journal.admit().row
    journal.send(row)
    said = Outcome(Fate.SETTLED, code, "done" + ODD, code * 5)
    evidence = Evidence(Source.SUBMIT, b"<all the words/>", Fate.SETTLED, code, "done" + ODD)
    answered = Answered(NOW_MS, Fate.SETTLED, Source.SUBMIT)
    after = journal.apply(row.payment, answered, outcome=said, evidence=evidence).row_after
    assert after is not None and after.life.state is State.SETTLED
    shown = code.replace("\0", "�").replace("\ud800", "�")
    assert (after.bank_code, after.bank_text, after.bank_serial) == (shown[:64], "done�N�", (shown * 5)[:255])
    assert journal.read(lambda conn: lookup.fetch(conn, row.payment)) == after
    [exhibit] = journal.read(lambda conn: attempts.evidence_of(conn, row.payment))
    assert (exhibit.content.code, exhibit.content.body) == (shown[:64], b"<all the words/>")


def test_an_entry_with_odd_words_is_kept_and_names_no_payment_by_them(journal: Journal) -> None:
    row = journal.admit().row
    journal.send(row)
    journal.apply(row.payment, Silent(NOW_MS, "no_answer"))
    account, amount = row.order.debtor.account, row.order.amount
    line = Line(account, "\0" + LONG * 5, Direction.DEBIT, amount, DAY, reference=row.bank_ref + "\0")

    def keep(tx: Tx) -> list[bool]:
        return [accounts.keep_entry(tx, "sample", one, ("erp",)) for one in accounts.unseen(tx, [line])]

    assert (journal.do(keep), journal.do(keep)) == ([True], [])
    assert journal.do(lambda tx: evidence_from_entry(tx, LANE, line, epoch=None, actor="watcher")) is None
    assert journal.do(lambda tx: unheard(tx, LANE, [line])) == []
    assert journal.read(partial(lookup.find_by_reference, lane=LANE, bank_ref=row.bank_ref + "\0")) is None
    ours = Line(account, "\0" + LONG * 5, Direction.DEBIT, amount, DAY, reference=row.bank_ref)
    for _ in range(2):
        seen = journal.do(lambda tx: evidence_from_entry(tx, LANE, ours, epoch=None, actor="watcher"))
        assert seen is not None and not seen.twice
    found = journal.read(lambda conn: lookup.fetch(conn, row.payment))
    assert found is not None and found.life.state is State.SETTLED


def test_a_receipt_of_a_very_long_kind_is_kept(journal: Journal) -> None:
    kept = Receipt(b"%PDF", "application/" + "x" * 300, "a.pdf")
    journal.do(lambda tx: receipts.keep(tx, "key", kept))
    found = journal.read(lambda conn: receipts.kept(conn, "key", NOW_MS))
    assert found is not None and found.media_type == kept.media_type[:255]
