"""How orders are written: the flat body of 8801, and 8800 with a line for each. Field order is the page's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from protocols.banks.spdb.envelope import leaf, leaves
from protocols.banks.spdb.options import Options
from protocols.banks.spdb.table import SIGN
from protocols.canon.order import AnyOrder, Bundle, Channel, Item, Kind, Urgency
from protocols.canon.party import PartyKind
from protocols.kit.china import check_amount
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_text, date_text
from protocols.kit.orders import check_lines, own_account, own_bank, required
from protocols.kit.xmldoc import Markup, el

BATCH_LINES: Final = 20
"""banks/spdb.md 4: 8800 takes at most 20 lines."""
_OWN, _OTHER = "0", "1"


@dataclass(frozen=True, slots=True)
class Orders:
    """Writes orders under one customer's options."""

    options: Options

    def single(self, order: AnyOrder, reference: str, today: date) -> Markup:
        """The body of 8801. Raises ProtocolError for an order that the bank's form cannot carry."""
        amount = amount_text(order.amount.minor)
        voucher, *rest = self._line(order, reference, today)
        return el("body", leaves(("totalNumber", "1"), ("totalAmount", amount), voucher, *rest))

    def batch(self, bundle: Bundle, package: str, today: date) -> Markup:
        """The body of 8800. Raises ProtocolError for what is no batch of this bank."""
        check_lines(bundle, BATCH_LINES)
        own_account(bundle)
        if any(item.order.kind is not bundle.kind for item in bundle.items):
            raise ProtocolError("value", f"a batch carries orders of one kind, here {bundle.kind.value}")
        lines = [el("list", self._batch_line(item, today)) for item in bundle.items]
        return el(
            "body",
            leaf("authMasterID", self.options.auth_master_id), leaf("totalNumber", str(len(lines))),
            leaf("totalAmount", amount_text(bundle.sum_minor)), leaf("packageNo", package), el("lists", lines),
        )  # fmt: skip

    def _batch_line(self, item: Item, today: date) -> Markup:
        person, purpose = _is_person(item.order), self.options.person_purpose
        if item.order.kind is Kind.PAYROLL_ITEM:
            purpose = self.options.payroll_purpose
        line = self._line(item.order, item.reference, today)
        return leaves(*line, ("payPurpose", purpose if person else ""))

    def _line(self, order: AnyOrder, reference: str, today: date) -> tuple[tuple[str, str], ...]:
        _carried(order)
        payer, payee = order.debtor, order.creditor
        inside = self.is_inside(order)
        bank_name = payee.bank_name or ""
        if not inside and not bank_name:
            raise ProtocolError("missing", "a payment to another bank needs the payee bank's name (payeeBankName)")
        if SIGN in order.purpose:
            raise ProtocolError("value", f"a purpose with {SIGN!r} could be taken for the bank's reason for a refusal")
        flag = "" if inside or not payee.cnaps else self.options.payee_bank_flag
        chosen = self.options
        return (
            ("elecChequeNo", reference),
            ("acctNo", required(payer.account.clear, "payer's account")),
            ("acctName", required(payer.name.clear, "payer's name")),
            ("bespeakDate", date_text(today) if chosen.schedule_date == "today" else ""),
            ("payeeAcctNo", required(payee.account.clear, "payee's account")),
            ("payeeName", required(payee.name.clear, "payee's name")),
            ("payeeType", "1" if _is_person(order) else "0"),
            ("payeeBankName", bank_name),
            ("payeeAddress", "" if inside else chosen.payee_address),
            ("amount", amount_text(order.amount.minor)),
            ("sysFlag", _OWN if inside else _OTHER),
            ("remitLocation", chosen.own_remit_location if inside else chosen.other_remit_location),
            ("note", order.purpose),
            ("payeeBankSelectFlag", flag),
            ("payeeBankNo", (payee.cnaps or "") if flag else ""),
        )

    def is_inside(self, order: AnyOrder) -> bool:
        """Whether the payee banks here (sysFlag 0). An own account, or a payroll's, without a bank is taken to."""
        name, cnaps = order.creditor.bank_name or "", order.creditor.cnaps or ""
        if order.channel is Channel.SAME_BANK or (
            not name and not cnaps and order.kind in (Kind.TRANSFER, Kind.PAYROLL_ITEM)
        ):
            return True
        return own_bank(order.creditor, self.options.own_names, self.options.own_cnaps)


def _is_person(order: AnyOrder) -> bool:
    return order.creditor.kind is PartyKind.PERSON or order.kind is Kind.PAYROLL_ITEM


def _carried(order: AnyOrder) -> None:
    check_amount("spdb", order.amount)
    if order.channel not in (Channel.AUTO, Channel.SAME_BANK):
        raise ProtocolError("value", f"the bank's form has no {order.channel.value} channel")
    if order.urgency is not Urgency.NORMAL:
        raise ProtocolError("value", "the bank's form has no urgency")
