"""Sweeps, pushes and returns: CMMANSWP, CMDWNSWP, and entries of payments that came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from protocols.bank import BadOptions
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Kind, Order, TransferDetail
from protocols.canon.outcome import Fate
from protocols.canon.query import FateQuestion, LinesQuestion, ReturnsQuestion
from protocols.canon.statement import Return, ReturnsPage
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.citic.paper import OURS, REFERENCE, THEIRS, TODAY, answer, bank, context, order, sent, talk
from tests.protocols.banks.every.bench import Table, table

POOL = {"sweeps": "CMMANSWP"}
CONTROLLED = {"control_flag": "2"}


def swept(made: Table, direction: str) -> AnyOrder:
    plain = cast(Order[TransferDetail], made.order(Kind.TRANSFER))
    return replace(plain, detail=TransferDetail(direction))


@pytest.mark.parametrize(
    ("direction", "message"), [("sweep", "CMMANSWP"), ("push", "CMDWNSWP"), ("transfer", "DLINETRN")]
)
def test_a_transfer_goes_by_the_message_of_its_direction_and_is_asked_about_by_it(direction: str, message: str) -> None:
    made = table("citic", bank_options=POOL)
    reference, wanted = made.reference(), swept(made, direction)
    assert made.pay(wanted, reference).fate is Fate.PENDING
    assert made.stage.serials == (message,)
    assert f"<action>{message}</action>".encode() in made.stage.said[-1].request
    assert made.fate(reference).fate is Fate.SETTLED
    assert f"<type>{message}</type>".encode() in made.stage.said[-1].request
    [executed] = made.stage.ledger.truth()[reference]
    assert (executed.instruction.debtor_account, executed.instruction.creditor_account) == (
        wanted.debtor.account.clear,
        wanted.creditor.account.clear,
    )


@pytest.mark.parametrize("direction", ["sweep", "push"])
def test_without_a_pool_they_are_transfers(direction: str) -> None:
    made = table("citic")
    made.pay(swept(made, direction), made.reference())
    assert made.stage.serials == ("DLINETRN",)


def test_an_order_that_says_no_direction_is_never_swept() -> None:
    made = table("citic", bank_options=POOL)
    made.pay(made.order(Kind.PAYMENT), made.reference())
    assert made.stage.serials == ("DLOUTTRN",)


def test_the_stored_answer_to_a_sweep_is_read_as_its_answer() -> None:
    written = sent(serials=("CMMANSWP",))
    read = bank(**POOL).read
    assert read(Kind.TRANSFER, written, answer("AAAAAAE")).fate is Fate.PENDING
    assert read(Kind.TRANSFER, written, answer("ED02093")).fate is Fate.UNKNOWN
    with pytest.raises(ProtocolError, match="correlation"):
        read(Kind.TRANSFER, written, answer("AAAAAAE", {"action": "DLINETRN"}))


@pytest.mark.parametrize("account", ["0" * 20, ""])
def test_an_account_that_no_pool_has_is_refused_before_anything_is_sent(account: str) -> None:
    made = table("citic", bank_options=POOL)
    wanted = cast(Order[Any], swept(made, "sweep"))
    with pytest.raises(ProtocolError):
        made.pay(
            replace(wanted, creditor=replace(wanted.creditor, account=type(wanted.creditor.account)(account))),
            made.reference(),
        )
    assert not made.stage.ledger.truth()


def test_the_message_of_sweeps_is_one_of_two() -> None:
    with pytest.raises(BadOptions, match="CMMANSWP"):
        bank(sweeps="CMMCDQRY")


# ---- returns ----


def row(**changes: str) -> Mapping[str, str]:
    """A returned payment's entry under controlFlag 2."""
    return {
        "tranDate": "20261124",
        "tranTime": "101010",
        "tranNo": "J0000002545107",
        "sumTranNo": "1000000002306",
        "tranAmount": "10.00",
        "creditDebitFlag": "C",
        "oppAccountNo": THEIRS,
        "oppAccountName": "乙公司",
        "oppOpenBankName": "",
        "abstract": "退汇",
        "balance": "1000.00",
        "valueDate": "20261124",
        "e3rtDate": "20261124",
        "e3rtFlag": "0",
        "oriNum": REFERENCE,
        **changes,
    }


def returns(*rows: Mapping[str, str]) -> ReturnsPage:
    ask = bank(**CONTROLLED).questions.returns
    assert ask is not None
    frame = answer("AAAAAAA", {"totalRecords": str(len(rows)), "returnRecords": str(len(rows))}, rows)
    page: ReturnsPage = talk(ask(ReturnsQuestion(order().debtor.account, TODAY, TODAY), context()), frame)[0]
    return page


def test_a_returned_entry_names_the_payment() -> None:
    assert returns(row()).returns == (Return(REFERENCE, Money(1_000), TODAY, "退汇"),)


def test_an_entry_that_is_no_return_is_not_listed() -> None:
    assert returns(row(e3rtFlag="1"), row(e3rtFlag="")) == ReturnsPage(())


def test_a_return_is_read_though_its_entry_cannot_be() -> None:
    told = returns(row(tranNo="", creditDebitFlag="?", tranDate="?"))
    assert [one.reference for one in told.returns] == [REFERENCE] and not told.findings


def test_a_return_of_which_the_bank_does_not_say_whose_is_a_finding_and_hides_no_other() -> None:
    told = returns(row(oriNum=""), row())
    assert [one.reference for one in told.returns] == [REFERENCE]
    [finding] = told.findings
    assert "10.00" in finding and "oriNum" in finding


@pytest.mark.parametrize("control", ["0", "1"])
def test_returns_are_asked_for_only_where_entries_say_whose_they_are(control: str) -> None:
    assert bank(control_flag=control).questions.returns is None


def test_a_returned_payment_is_found_on_any_page() -> None:
    made = table("citic")
    for _ in range(25):
        made.pay(made.order(Kind.PAYMENT), made.reference())
    reference = made.reference()
    made.pay(made.order(Kind.PAYMENT, purpose="货款 #return"), reference)
    made.stage.time.later(86_400)
    assert reference in [one.reference for one in made.returns()]
    # The enquiry says "success" all the same. Only the list shows the return.
    assert made.fate(reference).fate is Fate.SETTLED


def bundle_back(kind: Kind, *purposes: str, **twin: Any) -> list[Fate]:
    """The fates of a message's lines, asked a day later."""
    made = table("citic", **twin)
    bundle, reference = made.bundle(kind, purposes)
    different = [replace(item.order, amount=Money(1_000 + number)) for number, item in enumerate(bundle.items)]
    items = tuple(replace(item, order=order) for item, order in zip(bundle.items, different, strict=True))
    bundle = replace(bundle, items=items) if "alike" not in purposes[0] else bundle
    made.pay_bundle(bundle, reference)
    before = made.bundle_fate(kind, reference)
    assert {before[item.reference].fate for item in bundle.items} == {Fate.SETTLED}
    made.stage.time.later(86_400)
    listed = [one.reference for one in made.returns()]
    assert set(listed) <= {reference}, "the list names the message"
    told = made.bundle_fate(kind, reference)
    return [told[item.reference].fate for item in bundle.items]


@pytest.mark.parametrize("kind", [Kind.BATCH_ITEM, Kind.PAYROLL_ITEM])
def test_a_line_that_came_back_is_told_by_its_account_and_amount(kind: Kind) -> None:
    assert bundle_back(kind, "货款", "货款 #return", "货款") == [Fate.SETTLED, Fate.RETURNED, Fate.SETTLED]


def test_lines_that_are_alike_and_all_came_back_are_returned_and_of_fewer_all_are_in_doubt() -> None:
    assert bundle_back(Kind.BATCH_ITEM, "alike #return", "alike #return") == [Fate.RETURNED] * 2
    assert bundle_back(Kind.BATCH_ITEM, "alike", "alike #return") == [Fate.UNKNOWN] * 2


def test_without_an_origin_a_line_s_return_ends_nothing() -> None:
    assert bundle_back(Kind.BATCH_ITEM, "货款", "货款 #return", no_origin=True) == [Fate.SETTLED] * 2


def test_a_twin_without_origin_tells_of_no_payment() -> None:
    made = table("citic", no_origin=True)
    made.pay(made.order(Kind.PAYMENT, purpose="货款 #return"), made.reference())
    made.stage.time.later(86_400)
    assert made.returns() == []


def test_a_cursor_of_entries_is_none_of_returns() -> None:
    made = bank(**CONTROLLED)
    lines, back = made.questions.lines, made.questions.returns
    assert lines is not None and back is not None
    account = order().debtor.account
    counts = {"totalRecords": "2", "returnRecords": "1"}
    page = talk(lines(LinesQuestion(account, TODAY, TODAY), context()), answer("AAAAAAA", counts, [row()]))[0]
    assert page.cursor
    with pytest.raises(ProtocolError, match="paging"):
        talk(back(ReturnsQuestion(account, TODAY, TODAY, page.cursor), context()))


def test_a_sweep_in_doubt_is_asked_about_by_its_own_message() -> None:
    ask = bank(confirm=False, **POOL).questions.fate
    assert ask is not None
    rows = [{"stt": "0", "status": "AAAAAAA", "statusText": "交易成功"}]
    told, asked = talk(ask(FateQuestion(sent(serials=("CMDWNSWP",))), context()), answer("AAAAAAA", rows=rows))
    assert told.fate is Fate.SETTLED and b"<type>CMDWNSWP</type>" in asked[0]
    assert OURS not in asked[0].decode("gbk")
