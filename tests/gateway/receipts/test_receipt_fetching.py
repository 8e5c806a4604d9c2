"""The daemon fetches receipts by itself: when and how often, and that no payment is delayed by it."""

from __future__ import annotations

import csv
import io
import zipfile
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from datetime import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from gateway.call import Denied
from gateway.cli.commands import receipts as command
from gateway.receipts.jobs import FetchTerms
from protocols.bank import Bank
from protocols.canon.statement import Receipt, ReceiptLater
from protocols.kit.declined import Declined
from protocols.kit.errors import CannotAsk
from tests.gateway.cli.control_operator import OTHER, Operator
from tests.gateway.statements.test_papers import Maker
from tests.world.batching import SENDER
from tests.world.world import World

HOUR_S, DAY_S = 3_600, 86_400
PDF = Receipt(b"%PDF-1.7 receipt", "application/pdf", "r.pdf")


def world(folder: Path, maker: Maker, orders: int = 1, **receipts: Any) -> World:
    def adapter(bank: Bank) -> Bank:
        return replace(bank, questions=replace(bank.questions, receipt=maker))

    adapters: dict[str, Callable[[Bank], Bank]] = {"sample": adapter}
    made = World(folder, sender=SENDER, adapters=adapters, settings={"receipts": receipts} if receipts else None)
    made.start()
    made.run(3)
    for n in range(orders):
        made.submit(f"AP-{n}", 12_345)
    made.run(5)
    return made


def days_later(made: World, days: float = 1.0) -> None:
    """Let days pass without a simulation of each second; then two rounds of the job."""
    made.leave()
    made.clock.advance(days * DAY_S)
    made.start()
    made.run(150)


def listed(made: World, *parts: str, **query: str) -> Any:
    return Operator(made).ask("GET", "receipts", *parts, query=query)


def test_a_settled_payment_s_receipt_is_fetched_once_and_kept(tmp_path: Path) -> None:
    maker = Maker(PDF)
    made = world(tmp_path, maker)
    made.run(HOUR_S - 120)
    assert not maker.asked, "a bank needs its time"
    made.run(300)
    assert len(maker.asked) == 1 and maker.asked[0].reference is not None
    (kept,) = listed(made, **{"from": "2020-01-01", "to": "2030-01-01"})["receipts"]
    assert (kept["order"], kept["sha256"]) == ("kingdee:AP-0", sha256(PDF.data).hexdigest())
    assert kept["amount"] == "123.45" and made.bank.account not in str(kept), "masked"
    whole = listed(made, kept["receipt"], "file")
    assert b64decode(whole["data"]) == PDF.data and whole["next"] is None
    assert listed(made, "missing")["missing"] == []
    days_later(made)
    assert len(maker.asked) == 1


def test_a_receipt_that_an_erp_asked_for_is_kept_too(tmp_path: Path) -> None:
    maker = Maker(PDF)
    made = world(tmp_path, maker)
    made.command("receipt.request", {"id": "AP-0"})
    made.run(5)
    days_later(made)
    assert len(maker.asked) == 1
    assert len(listed(made, **{"from": "2020-01-01", "to": "2030-01-01"})["receipts"]) == 1


def test_an_erp_may_ask_for_a_receipt_that_is_kept_already(tmp_path: Path) -> None:
    maker = Maker(PDF)
    made = world(tmp_path, maker)
    made.run(HOUR_S + 200)
    assert len(maker.asked) == 1
    made.command("receipt.request", {"id": "AP-0"})
    made.run(30)
    assert made.replies[-1][1]["sha256"] == sha256(PDF.data).hexdigest()
    assert made.life is not None and made.life.fatal == [] and len(maker.asked) == 1, "the bank is not asked again"
    assert len(listed(made, **{"from": "2020-01-01", "to": "2030-01-01"})["receipts"]) == 1


def test_what_is_missing_is_listed_with_its_age_until_a_person_says_so(tmp_path: Path) -> None:
    maker = Maker(
        CannotAsk("by the amount"), Declined("Receipt", "R7", "none yet", "failed"), ReceiptLater("t-1", 30.0), PDF
    )
    made = world(tmp_path, maker)
    days_later(made, 0.05)
    (one,) = listed(made, "missing")["missing"]
    assert (one["why"], one["tries"], one["age_days"], one["order"]) == ("cannot_ask", 1, 0, "kingdee:AP-0")
    assert len(maker.asked) == 1
    days_later(made)
    assert len(maker.asked) == 2 and listed(made, "missing", older_days="0.9")["missing"][0]["why"] == "R7"
    assert listed(made, "missing", older_days="3")["missing"] == []
    operator = Operator(made)
    with pytest.raises(Denied) as refused:
        operator.ask("POST", "receipts", one["payment"], "none", peer=OTHER, reason="x")
    assert refused.value.status == 403
    operator.ask("POST", "receipts", one["payment"], "none", reason="the bank says there is none")
    days_later(made, 3)
    assert len(maker.asked) == 2 and listed(made, "missing")["missing"] == []
    Operator(made).no(409, "not_missing", "POST", "receipts", one["payment"], "none", reason="again")


def test_a_bank_that_makes_it_later_is_asked_again_with_its_ticket(tmp_path: Path) -> None:
    maker = Maker(ReceiptLater("t-1", 30.0), ReceiptLater("t-1", 30.0), PDF)
    made = world(tmp_path, maker)
    days_later(made, 0.05)
    days_later(made)
    days_later(made)
    assert [one.ticket for one in maker.asked] == [None, "t-1", "t-1"]
    assert len(listed(made, **{"from": "2020-01-01", "to": "2030-01-01"})["receipts"]) == 1


def test_only_so_many_are_asked_in_a_minute_and_none_beside_a_payment(tmp_path: Path) -> None:
    maker = Maker(PDF)
    made = world(tmp_path, maker, orders=20, per_minute=3)
    days_later(made, 0.05)
    before = len(maker.asked)
    made.run(60)
    assert 0 < before <= 6 and 0 < len(maker.asked) - before <= 3
    made.crash()
    made.bank.reachable = False
    made.start()
    made.submit("AP-99", 100)
    before = len(maker.asked)
    made.run(600)
    assert len(maker.asked) == before, "a payment waits to go out"


def test_it_can_be_turned_off_and_has_a_window(tmp_path: Path) -> None:
    maker = Maker(PDF)
    made = world(tmp_path, maker, fetch=False)
    days_later(made)
    assert not maker.asked
    night = FetchTerms(opens=time(20, 0), closes=time(6, 0))
    assert [night.open_at(time(hour, 0)) for hour in (19, 20, 23, 0, 5, 6, 12)] == [
        False,
        True,
        True,
        True,
        True,
        False,
        False,
    ]
    assert FetchTerms(opens=time(8, 0), closes=time(9, 0)).open_at(time(8, 30)) and FetchTerms().open_at(time(3, 0))


def test_an_export_opens_without_us(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    made = world(tmp_path / "w", Maker(PDF), orders=2)
    days_later(made, 0.05)

    class Client:
        def get(self, *parts: str, **query: Any) -> Any:
            return Operator(made).ask(
                "GET", *parts, query={name: str(value) for name, value in query.items() if value is not None}
            )

    rows = list(command._rows(Client(), {"from": "2020-01-01", "to": "2030-01-01"}))  # type: ignore[arg-type]
    ((name, some),) = command._by_month(rows).items()
    command._archive(Client(), some, tmp_path / name)  # type: ignore[arg-type]
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(tmp_path / name) as archive:
        index = list(csv.DictReader(io.StringIO(archive.read("index.csv").decode("utf-8-sig"))))
        listed_in_xml = etree.fromstring(archive.read("index.xml")).findall("receipt")
        for row, other in zip(index, listed_in_xml, strict=True):
            assert sha256(archive.read(row["file"])).hexdigest() == row["sha256"] == other.get("sha256")
    assert {row["order"] for row in index} == {"kingdee:AP-0", "kingdee:AP-1"} and index[0]["file"].endswith(".pdf")
