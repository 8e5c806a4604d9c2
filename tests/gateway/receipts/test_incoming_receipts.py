"""Receipts of incoming money: searched by the entry, stored with it, listed if missing, exported with the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.cli.commands import receipts as command
from gateway.receipts.rows import receipt_files, receipt_questions
from gateway.reports.act_answers.worklists import LISTS
from protocols.bank import Bank
from protocols.canon.query import ReceiptQuestion
from protocols.canon.statement import Receipt, ReceiptLater
from protocols.kit.declined import Declined
from protocols.kit.errors import CannotAsk
from tests.gateway.cli.control_operator import Operator
from tests.gateway.receipts.test_receipt_fetching import PDF, days_later, listed
from tests.gateway.statements.test_papers import Maker
from tests.world.batching import SENDER
from tests.world.world import World

EVER = {"from": "2020-01-01", "to": "2030-01-01"}
NONE_YET = Declined("Receipt", "R7", "none yet", "failed")


def place(folder: Path, answer: Receipt | ReceiptLater | Exception, **receipts: Any) -> tuple[World, Maker]:
    """Money goes from one own account to another one, which is watched. The bank gives the payment's receipt, and
    answers `answer` to the question about the incoming entry."""
    maker = Maker(answer)

    def asked(question: ReceiptQuestion, context: Any) -> Any:
        return Maker(PDF)(question, context) if question.reference else maker(question, context)

    def adapter(bank: Bank) -> Bank:
        return replace(bank, questions=replace(bank.questions, receipt=asked))

    adapters: dict[str, Callable[[Bank], Bank]] = {"sample": adapter}
    made = World(folder, accounts=2, sender=SENDER, adapters=adapters, settings={"receipts": receipts})
    from_account, to_account = made.bank.accounts
    own = [
        {"number": number, "name": "示例甲公司", "company": "jia", "bank": "sample", "watch": number == to_account}
        for number in made.bank.accounts
    ]
    made._changes = {**made._changes, "accounts": own}
    made.settings = made._settings()
    made.start()
    made.run(3)
    made.submit(
        "AP-0",
        12_345,
        debtor={"account": from_account, "name": "示例甲公司"},
        creditor={"account": to_account, "name": "示例甲公司"},
    )
    made.run(330)
    days_later(made, 0.05)
    return made, maker


def of_entries(rows: list[Any]) -> list[Any]:
    return [one for one in rows if one["entry"] is not None]


def test_the_receipt_of_money_that_came_is_fetched_once_and_kept_with_its_entry(tmp_path: Path) -> None:
    made, maker = place(tmp_path, PDF)
    (question,) = maker.asked
    assert (question.account.clear, question.amount and question.amount.minor) == (made.bank.accounts[1], 12_345)
    assert question.bank_line_id and question.reference is None
    rows = listed(made, **EVER)["receipts"]
    (kept,) = of_entries(rows)
    assert len(rows) == 2 and kept["payment"] is None and kept["sha256"] == sha256(PDF.data).hexdigest()
    assert (kept["amount"], kept["line"]) == ("123.45", question.bank_line_id)
    assert not any(account in str(kept) for account in made.bank.accounts), "masked"
    days_later(made)
    assert len(maker.asked) == 1
    assert of_entries(listed(made, "missing")["missing"]) == []


def test_a_receipt_that_is_missing_is_listed_by_its_entry_until_a_person_says_so(tmp_path: Path) -> None:
    made, maker = place(tmp_path, NONE_YET)
    days_later(made, 4)
    assert len(maker.asked) == 2
    (one,) = of_entries(listed(made, "missing", older_days="3")["missing"])
    assert (one["why"], one["tries"], one["amount"], one["subject"]) == ("R7", 2, "123.45", one["entry"])
    operator = Operator(made)
    rows = {name: [] for name in LISTS} | {
        each["list"]: each["rows"] for each in operator.ask("GET", "worklists")["lists"]
    }
    assert any(one["entry"] in row["next"] for row in rows["receipts-missing"])
    (told,) = operator.ask("GET", "reports", "receipts-missing")["rows"]
    assert (told["kind"], told["amount"], told["reason"]) == ("in", 12_345, "R7")
    operator.ask("POST", "receipts", one["subject"], "none", reason="the bank gives none for this kind")
    assert listed(made, "missing")["missing"] == []
    operator.no(404, "no_such_payment", "POST", "receipts", "01KA5V3Q8ZJ4M2N7R9T6W0XYBC", "none", reason="x")


def test_a_bank_that_cannot_be_asked_about_entries_is_not_asked_again_and_misses_nothing(tmp_path: Path) -> None:
    made, maker = place(tmp_path, CannotAsk("by the payment's id"))
    days_later(made, 2)
    assert len(maker.asked) == 1 and listed(made, "missing")["missing"] == []


def test_a_bank_that_makes_receipts_of_past_days_is_asked_again(tmp_path: Path) -> None:
    made, maker = place(tmp_path, CannotAsk("the bank makes receipts of past days only", "value"))
    days_later(made, 2)
    assert len(maker.asked) == 2 and listed(made, "missing")["missing"][0]["why"] == "cannot_ask"


def test_money_that_came_can_be_left_out(tmp_path: Path) -> None:
    made, maker = place(tmp_path, PDF, incoming=False)
    assert maker.asked == [] and of_entries(listed(made, **EVER)["receipts"]) == []


def test_one_file_an_entry_is_kept(tmp_path: Path) -> None:
    made, _maker = place(tmp_path, PDF)
    (kept,) = of_entries(listed(made, **EVER)["receipts"])
    entry = made.read(lambda conn: receipt_questions.entry_of(conn, kept["entry"]))
    assert entry is not None
    done: list[Any] = []
    life = made.life
    assert life is not None
    life.gateway.parts.store.write(
        lambda tx: receipt_files.keep_of_entry(tx, entry, replace(PDF, data=b"another"), "test")
    ).addCallback(done.append)
    made.run(1)
    assert done == [None] and len(of_entries(listed(made, **EVER)["receipts"])) == 1


def test_the_index_of_an_export_names_the_entry_and_who_paid(tmp_path: Path) -> None:
    made, _maker = place(tmp_path, PDF)
    rows = [{**one, "file": f"{n}.pdf"} for n, one in enumerate(listed(made, **EVER)["receipts"])]
    (kept,) = of_entries(rows)
    text, xml = command._index_csv(rows), command._index_xml(rows)
    assert kept["entry"] in text and kept["line"] in text
    assert f'entry="{kept["entry"]}"' in xml and 'payer="示' in xml
