"""Files that a bank books as one entry: each payment is settled, returned, or in doubt with a reason. None is guessed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from lxml import etree

from gateway.simbank.ledger import BookingRules
from protocols.banks.finws import iso
from protocols.canon.order import Bundle, Channel, Item, Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import BundleFateQuestion, ReturnsQuestion
from tests.protocols.banks.finws.paper import DEBTOR, stage
from tests.protocols.banks.finws.test_files_of_many import (
    FILE,
    ask,
    file_in,
    items,
    sent_as,
    texts,
    told_otherwise,
    upload,
)
from tests.world.dialogue import NOON, BankAndTwin

SETTLED, FAILED, UNKNOWN, REVERSED = Fate.SETTLED, Fate.FAILED, Fate.UNKNOWN, Fate.REVERSED


def two_groups(*purposes: str, conduct: BookingRules = BookingRules(), **twin: Any) -> tuple[BankAndTwin, Bundle]:
    """Payments of which every second one is instant: a file of two groups, each booked as one entry."""
    made = stage(conduct=conduct, adapter={"batch_booking": True}, **twin)
    found = [
        Item(replace(one.order, channel=Channel.INSTANT), one.reference) if number % 2 else one
        for number, one in enumerate(items(Kind.BATCH_ITEM, *purposes))
    ]
    return made, Bundle(Kind.BATCH_ITEM, tuple(found))


def fates(made: BankAndTwin, bundle: Bundle) -> list[Fate]:
    found = ask(made, bundle)
    return [found[one.reference].fate for one in bundle.items]


@pytest.mark.parametrize("details", ["all", "some", "none"])
def test_a_group_that_is_booked_as_one_settles_its_payments(details: str) -> None:
    made, bundle = two_groups(*["货款"] * 4, "货款 #refuse", batch_details=details)
    upload(made, bundle)
    assert texts(file_in(made), "PmtInfId") == [f"{FILE}-1", f"{FILE}-2"]
    assert made.serials[1:] == ("1x1,1x2,1x1,1x2,1x1",)
    assert fates(made, bundle) == [SETTLED] * 4 + [FAILED]


def test_of_a_file_whose_groups_were_not_written_down_only_named_payments_settle() -> None:
    """The file left with an earlier version, which did not store the payments of each group."""
    made, bundle = two_groups(*["货款"] * 4, batch_details="some")
    upload(made, bundle)
    made.serials = made.serials[:1]
    found = ask(made, bundle)
    assert [found[one.reference].fate for one in bundle.items] == [SETTLED, SETTLED, UNKNOWN, UNKNOWN]
    why = found[bundle.items[2].reference].text
    assert "of this file in one sum, and does not say for which payments; ask the bank" in why


def changing(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    told_otherwise(monkeypatch, "camt", change)


@pytest.mark.parametrize("wrong", ["sum", "count"])
def test_a_sum_that_is_not_the_group_s_is_doubt_for_those_it_does_not_name(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, bundle = two_groups(*["货款"] * 6, batch_details="some")
    upload(made, bundle)

    def other(root: Any) -> Any:
        for batch in root.iter("{*}Btch"):
            if batch.findtext("{*}PmtInfId") == f"{FILE}-1":
                entry = batch.getparent().getparent()
                if wrong == "sum":
                    entry.find("{*}Amt").text = "8.00"
                else:
                    batch.find("{*}NbOfTxs").text = "2"
        return root

    changing(monkeypatch, other)
    assert fates(made, bundle) == [SETTLED, SETTLED, UNKNOWN, SETTLED, UNKNOWN, SETTLED]


def test_payments_that_an_entry_names_without_their_sums_settle_if_it_is_for_exactly_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bank books a part of a group: the entry's sum is that of the payments in it."""
    made, bundle = two_groups(*["货款"] * 6)
    upload(made, bundle)

    def part(root: etree._Element) -> etree._Element:
        for batch in list(root.iter("{*}Btch")):
            inside: Any = batch.getparent()
            for detail in list(inside.findall("{*}TxDtls")):
                detail.remove(detail.find("{*}AmtDtls"))
            if batch.findtext("{*}PmtInfId") == f"{FILE}-1":
                # 1.50, 3.50 and 5.50, of which the last one is not booked yet.
                inside.remove(inside.findall("{*}TxDtls")[-1])
                inside.getparent().find("{*}Amt").text = "5.00"
                inside.find("{*}Btch").remove(inside.find("{*}Btch/{*}NbOfTxs"))
        return root

    changing(monkeypatch, part)
    assert fates(made, bundle) == [SETTLED, SETTLED, SETTLED, SETTLED, Fate.PENDING, SETTLED]


# ---- taken back -------------------------------------------------------------------------------------------------------


def back(**twin: Any) -> tuple[BankAndTwin, Bundle]:
    """Two groups that are booked, and returned a minute later."""
    made, bundle = two_groups(*["货款 #return"] * 4, back_together=True, **twin)
    upload(made, bundle)
    assert fates(made, bundle) == [SETTLED] * 4
    made.time.later(86_400)
    return made, bundle


def later(made: BankAndTwin, bundle: Bundle) -> list[Any]:
    """The gateway's later question, which names the day of the send."""
    sent = replace(sent_as(made, bundle), bank_date=NOON.date())
    found = made.talk(made.bank.bundles[bundle.kind].fate(BundleFateQuestion(sent), made.context()))
    return [found[one.reference] for one in bundle.items]


@pytest.mark.parametrize("details", ["all", "some", "none"])
def test_a_group_that_is_taken_back_as_one_is_taken_back_payment_by_payment(details: str) -> None:
    made, bundle = back(batch_details=details)
    assert {one.fate for one in later(made, bundle)} <= {REVERSED, Fate.RETURNED}


def test_the_list_of_returns_names_the_file_whose_money_came_back_as_one() -> None:
    made, bundle = back(batch_details="none")
    assert made.bank.questions.returns is not None
    question = ReturnsQuestion(AccountNumber(DEBTOR), NOON.date(), made.time.now.date() + timedelta(days=1))
    told = made.talk(made.bank.questions.returns(question, made.context())).returns
    assert {(one.reference, one.reversed) for one in told} == {(FILE, True)}


def test_a_part_that_is_taken_back_without_names_is_doubt_for_all_and_settled_for_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, bundle = back(batch_details="none")

    def part(root: etree._Element) -> etree._Element:
        for entry in root.iter("{*}Ntry"):
            if entry.findtext("{*}RvslInd") and entry.findtext("{*}NtryDtls/{*}Btch/{*}PmtInfId") == f"{FILE}-1":
                amount: Any = entry.find("{*}Amt")
                amount.text = "1.00"
        return root

    changing(monkeypatch, part)
    told = later(made, bundle)
    assert [one.fate for one in told] == [UNKNOWN, REVERSED, UNKNOWN, REVERSED]
    assert "takes back 1.00 of this file in one sum" in told[0].text


def test_a_pending_reversal_takes_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made, bundle = back(batch_details="none")

    def waiting(root: etree._Element) -> etree._Element:
        for entry in root.iter("{*}Ntry"):
            if entry.findtext("{*}RvslInd"):
                status: Any = entry.find("{*}Sts")
                status.text = "PDNG"
        return root

    changing(monkeypatch, waiting)
    assert [one.fate for one in later(made, bundle)] == [SETTLED] * 4


def test_a_debit_that_is_marked_as_a_reversal_settles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry takes back incoming money, whatever number it has."""
    made, bundle = two_groups(*["货款"] * 4, batch_details="none")
    upload(made, bundle)

    def reversal(root: etree._Element) -> etree._Element:
        for entry in root.iter("{*}Ntry"):
            mark = etree.SubElement(entry, str(entry.tag).replace("Ntry", "RvslInd"))
            mark.text = "true"
        return root

    changing(monkeypatch, reversal)
    assert fates(made, bundle) == [UNKNOWN] * 4


@pytest.mark.parametrize(
    ("told", "groups"),
    [
        ("", {"F": ("a", "b", "c")}),
        ("2x1,1x2", {"F-1": ("a", "b"), "F-2": ("c",)}),
        ("1x2,2x1", {"F-1": ("b", "c"), "F-2": ("a",)}),
        ("2x1", {}),
        ("9x1", {}),
        ("INV-7", {}),
        ("1x1,2x3", {}),
        ("3x", {}),
        ("1x1,1x2,99999999x2", {}),
    ],
)
def test_who_is_in_which_group_is_read_as_written_or_not_at_all(told: str, groups: dict[str, tuple[str, ...]]) -> None:
    assert iso.groups_of("F", told, ("a", "b", "c")) == groups
