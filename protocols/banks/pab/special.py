"""Orders that go by a message of their own instead of 4004: KHKF03 (跨行快付, instant) and 4052 (集团归集/下拨).

Which message an order went by is written down with its serials, so that its answer is read and its enquiry asked
accordingly. The elements are those of public clients; the bank's page names some of them (banks/pab.md 4).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from lxml import etree

from protocols.banks.pab.options import Options
from protocols.canon.order import AnyOrder, Channel, TransferDetail
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import Sent
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_text, plain
from protocols.kit.meanings import Meanings
from protocols.kit.orders import required
from protocols.kit.xmldoc import value_or

FAST: Final = "KHKF03"
FAST_ENQUIRY: Final = "KHKF04"
SWEEP: Final = "4052"
CARD_CHARS: Final = 20
NAME_CHARS: Final = 32
SINGLE_ACCOUNT: Final = "2"
"""guiJiAreaOption: one sub-account; 1 would move what the contract says, for all of them."""
UP, DOWN = "1", "2"
"""guiJiType: 归集 (to the upper account) and 下拨."""
_FAST: Final = CorrelationTags(
    reference="OrderNumber", must_name=True, amount="TranAmount", debtor="AcctNo", creditor="InAcctNo",
    currency="CcyCode", renminbi=("RMB", "CNY"), days=("SettleDate",),
)  # fmt: skip
_SWEEP: Final = CorrelationTags(reference="ThirdVoucher", must_name=True, amount="Amount")
_SIDES: Final = {UP: ("subAccountNo", "AcctNo"), DOWN: ("AcctNo", "subAccountNo")}
Leaves = tuple[tuple[str, str], ...]


def operation_for(order: AnyOrder, options: Options) -> str:
    """The transaction code an order goes by. Raises "value" for an instant payment where no fast pay is agreed."""
    if order.channel is Channel.INSTANT:
        if not options.fast_pay_item or isinstance(order.detail, TransferDetail):
            raise ProtocolError("value", "an instant payment needs the option fast_pay_item (KHKF03), is no transfer; "
                                         "else use auto, small_value or large_value")  # fmt: skip
        return FAST
    detail = order.detail
    swept = isinstance(detail, TransferDetail) and detail.direction in ("sweep", "push")
    return SWEEP if swept and options.sweeps == SWEEP else "4004"


def operation_of(sent: Sent) -> str:
    """The transaction code a written-down order went by."""
    return next((one for one in (FAST, SWEEP) if one in sent.serials), "4004")


def fast_fields(order: AnyOrder, reference: str, options: Options) -> Leaves:
    """What a KHKF03 says of an order. Raises "value" or "missing"."""
    card = required(order.creditor.account.clear, "creditor's account")
    name = required(order.creditor.name.clear, "creditor's name")
    if len(card) > CARD_CHARS or len(name) > NAME_CHARS:
        raise ProtocolError("value", f"KHKF03 takes an account of {CARD_CHARS} and a name of {NAME_CHARS} characters")
    return (
        ("OrderNumber", reference),
        ("AcctNo", required(order.debtor.account.clear, "debtor's account")),
        ("BusiType", options.fast_pay_item),
        ("CorpId", options.fast_pay_company),
        ("CcyCode", "RMB"),
        ("TranAmount", amount_text(order.amount.minor)),
        ("InAcctNo", card),
        ("InAcctName", name),
        ("InAcctBankName", order.creditor.bank_name or ""),
        ("InAcctBankNode", order.creditor.cnaps or ""),
        ("Mobile", ""),
        ("Remark", order.purpose),
    )


def sweep_fields(order: AnyOrder, reference: str) -> Leaves:
    """What a 4052 says of a transfer between an upper account and one of its sub-accounts."""
    assert isinstance(order.detail, TransferDetail)
    ours = required(order.debtor.account.clear, "debtor's account")
    theirs = required(order.creditor.account.clear, "creditor's account")
    up = order.detail.direction == "sweep"
    return (
        ("ThirdVoucher", reference),
        ("AcctNo", theirs if up else ours),
        ("guiJiAreaOption", SINGLE_ACCOUNT),
        ("subAccountNo", ours if up else theirs),
        ("guiJiType", UP if up else DOWN),
        ("Amount", amount_text(order.amount.minor)),
    )


def check_special(operation: str, body: etree._Element, keys: CorrelationKeys) -> None:
    """Raises "correlation" if the answer to a KHKF03 or a 4052 is about another order."""
    if operation == FAST:
        check_keys(body, keys, replace(_FAST, days=()))
        return
    direction = value_or(body, "guiJiType")
    debtor, creditor = _SIDES.get(direction, ("", ""))
    check_keys(body, keys, replace(_SWEEP, debtor=debtor, creditor=creditor))


def fast_enquiry(sent: Sent) -> Leaves:
    """What a KHKF04 asks: by our order number."""
    return (("AcctNo", sent.debtor.clear), ("OrderNumber", sent.reference), ("BussFlowNo", ""))


def fast_fate(body: etree._Element, sent: Sent, meanings: Meanings) -> Outcome:
    """What a KHKF04 answer says: Status 20 and 30 are ends, everything else is in process (banks/pab.md 4)."""
    check_keys(body, CorrelationKeys.of(sent), _FAST)
    status = value_or(body, "Status")
    outcome = meanings.word(FAST_ENQUIRY, "status", status) if status else Outcome(Fate.UNKNOWN, listed=False)
    code = value_or(body, "RetCode")
    return replace(
        outcome,
        code=code if outcome.fate is Fate.FAILED and code else outcome.code,
        text=plain(value_or(body, "RetMsg")),
        bank_serial=value_or(body, "BussFlowNo") or None,
    )


def serial_of(operation: str, body: etree._Element) -> str | None:
    """The bank's own number in the answer to an order."""
    tag = {FAST: "BussFlowNo", SWEEP: "flowNo"}.get(operation, "FrontLogNo")
    return value_or(body, tag) or None
