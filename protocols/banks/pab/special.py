"""Orders with a message of their own instead of 4004: KHKF03 (跨行快付, instant) and 4052 (集团归集/下拨).

The message by which an order was sent is stored with its serials, so that its answer is read, and its enquiry asked,
accordingly. The elements are those of public clients; the bank's page names some of them (banks/pab.md 4).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from lxml import etree

from protocols.banks.pab.options import Options
from protocols.banks.pab.requests import DOWN, FAST, FAST_ENQUIRY, SWEEP, UP
from protocols.canon.host_days import HostDays
from protocols.canon.order import AnyOrder, Channel, TransferDetail
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import Sent
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import DAYS_AFTER, DAYS_BEFORE, plain, stated_day
from protocols.kit.meanings import Meanings
from protocols.kit.xmldoc import value_or

_FAST: Final = CorrelationTags(
    reference="OrderNumber",
    must_name=True,
    amount="TranAmount",
    debtor="AcctNo",
    creditor="InAcctNo",
    currency="CcyCode",
    renminbi=("RMB", "CNY"),
)
_SWEEP: Final = CorrelationTags(reference="ThirdVoucher", must_name=True, amount="Amount")
_SIDES: Final = {UP: ("subAccountNo", "AcctNo"), DOWN: ("AcctNo", "subAccountNo")}


def operation_for(order: AnyOrder, options: Options) -> str:
    """The transaction code for an order. Raises "value" for an instant payment where no fast pay is agreed."""
    if order.channel is Channel.INSTANT:
        if not options.fast_pay_item or isinstance(order.detail, TransferDetail):
            raise ProtocolError(
                "value",
                "an instant payment needs the option fast_pay_item (KHKF03), is no transfer; "
                "else use auto, small_value or large_value",
            )
        return FAST
    detail = order.detail
    swept = isinstance(detail, TransferDetail) and detail.direction in ("sweep", "push")
    return SWEEP if swept and options.sweeps == SWEEP else "4004"


def operation_of(sent: Sent) -> str:
    """The transaction code of an order, from its record before it was sent."""
    return next((one for one in (FAST, SWEEP) if one in sent.serials), "4004")


def check_host_date(stated: str, keys: CorrelationKeys, host: HostDays) -> None:
    """Raises "correlation" for a date of the host that is too far from the order's day to be that order's.

    The order's day is the calendar's, the stated one the host's. A payment may also be booked some days later.
    """
    day = stated_day(stated)
    if day is None or keys.day is None:
        return
    first, last = keys.day + timedelta(days=host.least), keys.day + timedelta(days=host.most)
    if not first - DAYS_BEFORE <= day <= last + DAYS_AFTER:
        raise ProtocolError("correlation", f"{keys.reference}: the answer is of {day}, it was sent on {keys.day}")


def check_special(operation: str, body: etree._Element, keys: CorrelationKeys) -> None:
    """Raises "correlation" if the answer to a KHKF03 or a 4052 is about another order."""
    if operation == FAST:
        check_keys(body, keys, _FAST)
        return
    direction = value_or(body, "guiJiType")
    debtor, creditor = _SIDES.get(direction, ("", ""))
    check_keys(body, keys, replace(_SWEEP, debtor=debtor, creditor=creditor))


def fast_fate(body: etree._Element, sent: Sent, meanings: Meanings, host: HostDays) -> Outcome:
    """The outcome in the answer to a KHKF04: Status 20 and 30 are final, all others are in process (banks/pab.md 4)."""
    keys = CorrelationKeys.of(sent)
    check_keys(body, keys, _FAST)
    check_host_date(value_or(body, "SettleDate"), keys, host)
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
