"""Differences that the bank's own manual and samples showed: banks/citic.md 9, item by item."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from protocols.bank import BadOptions, Fates
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.query import BundleFateQuestion, LinesQuestion, ReceiptQuestion
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.citic.paper import THEIRS, answer, bank, bundle, context, reference_of, sent_bundle, talk
from tests.protocols.banks.every.bench import FINAL, table
from tests.protocols.banks.every.test_lists import busy

THREE = bundle(Kind.BATCH_ITEM, (500, 500, 700))


def row(number: int, status: str, **changes: str) -> Mapping[str, str]:
    """A row of DLBATDET as the manual lists it, without an ID."""
    amount = {1: "5.00", 2: "5.00", 3: "7.00"}[number]
    return {
        "payAccountNo": "",
        "recAccountNo": THEIRS,
        "recAccountName": "乙公司",
        "recOpenBankCode": "102100099996",
        "recOpenBankName": "",
        "payType": "03",
        "tranAmount": amount,
        "abstract": "货款",
        "memo": reference_of(number),
        "status": status,
        "statusText": "",
        **changes,
    }


def fates(*rows: Mapping[str, str]) -> list[Fate | None]:
    asking = bank(confirm=False, summary_first=False).bundles[Kind.BATCH_ITEM]
    asked = BundleFateQuestion(sent_bundle(THREE))
    told: Fates = talk(asking.fate(asked, context()), answer("AAAAAAA", {}, rows))[0]
    return [told[one].fate if one in told else None for one in map(reference_of, (1, 2, 3))]


def test_a_batch_s_line_is_found_by_the_reference_in_its_memo_in_any_order() -> None:
    found = fates(row(3, "AAAAAAA"), row(1, "ED02093"), row(2, "CCCCCCC"))
    assert found == [Fate.FAILED, Fate.PENDING, Fate.SETTLED]
    assert fates(row(2, "AAAAAAA")) == [None, Fate.SETTLED, None]


def test_without_memo_a_line_s_place_decides_if_account_and_amount_agree() -> None:
    bare = [row(number, "AAAAAAA", memo="") for number in (1, 2, 3)]
    assert fates(*bare) == [Fate.SETTLED] * 3
    with pytest.raises(ProtocolError, match="correlation"):
        fates(bare[0], bare[2], bare[1])
    with pytest.raises(ProtocolError, match="missing"):
        fates(bare[0], bare[1])
    with pytest.raises(ProtocolError, match="missing"):
        fates(*bare[:2], {**bare[2], "tranAmount": ""})


def test_lines_that_are_alike_and_have_neither_memo_nor_one_word_are_doubt() -> None:
    mixed = (row(1, "AAAAAAA", memo=""), row(2, "ED02093", memo=""), row(3, "AAAAAAA", memo=""))
    assert fates(*mixed) == [Fate.UNKNOWN, Fate.UNKNOWN, Fate.SETTLED]


def test_a_memo_of_another_message_is_no_answer() -> None:
    with pytest.raises(ProtocolError, match="correlation"):
        fates(row(1, "AAAAAAA", memo="99999999999999999999"))


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        *((f"CP078{end}", Fate.UNKNOWN) for end in (15, 16, 17, 20, 21, 22, 24, 25)),
        *((f"CP078{middle}", Fate.PENDING) for middle in (18, 19, 23)),
    ],
)
def test_the_row_codes_of_appendix_4_8(status: str, fate: Fate) -> None:
    """No public page says which outcome each code has, so no code decides before the settings name it."""
    assert fates(row(3, status))[2] is fate


def test_the_settings_name_the_ends_of_appendix_4_8() -> None:
    codes = {"settled": ["CP07817"], "refused": ["CP07820"]}
    asking = bank(confirm=False, summary_first=False, codes=codes).bundles[Kind.BATCH_ITEM]
    frame = answer("AAAAAAA", {}, (row(1, "CP07817"), row(2, "CP07820"), row(3, "CP07821")))
    told = talk(asking.fate(BundleFateQuestion(sent_bundle(THREE)), context()), frame)[0]
    assert [told[one].fate for one in map(reference_of, (1, 2, 3))] == [Fate.SETTLED, Fate.FAILED, Fate.UNKNOWN]
    with pytest.raises(BadOptions, match="CP07818"):
        bank(codes={"settled": ["CP07818"]})


@pytest.mark.parametrize("kind", [Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION])
def test_the_summary_is_asked_for_before_the_detail(kind: Kind) -> None:
    made = table("citic", wants_summary=True)
    bundle_, reference = made.bundle(kind, ("货款", "货款"))
    made.pay_bundle(bundle_, reference)
    begin = len(made.stage.said)
    told = made.bundle_fate(kind, reference)
    assert {one.fate for one in told.values()} == {Fate.SETTLED}
    actions = [said.request.partition(b"<action>")[2][:8] for said in made.stage.said[begin:]]
    summary, *details = [one for one in actions if one != b"DLTRNALL"]
    assert summary.endswith(b"COL") and details and all(one.endswith(b"DET") for one in details)
    # The entries show which line came back. They are read after a detail with settled lines.
    assert actions[: 1 + len(details)] == [summary, *details] and actions[-1] == b"DLTRNALL"


def test_a_message_that_its_summary_calls_under_way_is_under_way() -> None:
    made = table("citic")
    bundle_, reference = made.bundle(Kind.BATCH_ITEM, ("货款", "货款 #late"))
    made.pay_bundle(bundle_, reference)
    told = made.bundle_fate(Kind.BATCH_ITEM, reference)
    assert {one.fate for one in told.values()} == {Fate.PENDING}
    assert b"DLBATCOL" in made.stage.said[-1].request


def test_a_batch_whose_lines_come_without_memo_at_the_twin() -> None:
    made = table("citic", no_memo=True)
    bundle_, reference = made.bundle(Kind.BATCH_ITEM, ("货款", "货款 #refuse", "货款"))
    made.pay_bundle(bundle_, reference)
    told = made.bundle_fate(Kind.BATCH_ITEM, reference)
    # All three lines are alike, and one has another status.
    assert not {one.fate for one in told.values()} & FINAL


@pytest.mark.parametrize(("days", "flag"), [(0, b"<isCurrDay>1<"), (1, b"<isCurrDay>2<")])
def test_is_curr_day_is_1_for_today_and_2_for_days_before(days: int, flag: bytes) -> None:
    made = table("citic")
    made.pay(made.order(Kind.PAYMENT), made.reference())
    day = made.today
    made.stage.time.later(86_400 * days)
    [line] = made.walk(made.own[0], day, day)
    ask = made.bank.questions.receipt
    assert ask is not None
    made.stage.talk(
        ask(ReceiptQuestion(line.account, day, line.bank_line_id, amount=line.amount), made.stage.context())
    )
    assert flag in made.stage.said[-1].request


def test_ids_do_not_depend_on_which_entry_is_told_first() -> None:
    told = []
    for newest_first in (False, True):
        made = busy("citic", newest_first=newest_first)
        told.append(
            {(one.bank_line_id, one.occurrence): one.amount for one in made.walk(made.own[0], made.today, made.today)}
        )
    assert told[0] == told[1] and len(told[0]) == 6


def test_an_unreadable_entry_has_its_number_and_keeps_its_day_open() -> None:
    made = table("citic", odd_rows=True)
    for _ in range(45):
        made.pay(made.order(Kind.PAYMENT), made.reference())
    lines = made.walk(made.own[0], made.today, made.today)
    assert len({(one.bank_line_id, one.occurrence) for one in lines}) == 45
    ask = made.bank.questions.lines
    assert ask is not None
    question = LinesQuestion(lines[0].account, made.today, made.today + timedelta(days=0))
    page = made.stage.talk(ask(question, made.stage.context()))
    assert (page.unread, len(page.findings), len(page.lines)) == (1, 1, 19)
