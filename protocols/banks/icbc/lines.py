"""How an order is written as a line (`rd`) of a package: PAYENT and PAYPER, and PERDIS for collections.

The order of elements is the page's (banks/icbc.md 2.3, 2.6). PAYPER's own line layout is not public; it is written
like PAYENT's.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.banks.icbc.options import Options
from protocols.banks.icbc.wire import leaves
from protocols.canon.order import AnyOrder, Channel, CollectionDetail, Item, Kind, PayrollItemDetail, Urgency
from protocols.canon.party import Party, PartyKind
from protocols.kit.china import check_amount
from protocols.kit.errors import ProtocolError
from protocols.kit.orders import required
from protocols.kit.xmldoc import Markup, el


@dataclass(frozen=True, slots=True)
class Lines:
    """Writes lines under one customer's options."""

    options: Options

    def payment(self, item: Item, place: int) -> Markup:
        """A line of PAYENT or PAYPER. Raises ProtocolError for an order that the bank's form cannot carry."""
        order = item.order
        _check(order)
        payee, payer = order.creditor, order.debtor
        inside = self.is_inside(order)
        person = payee.kind is PartyKind.PERSON or order.kind is Kind.PAYROLL_ITEM
        purpose_code = order.detail.purpose_code if isinstance(order.detail, PayrollItemDetail) else None
        bank_name = payee.bank_name or ""
        if not inside and not bank_name:
            raise ProtocolError("missing", "a payment to another bank needs the payee bank's name (RecBankName)")
        written = leaves(
            ("iSeqno", str(place)), ("ReimburseNo", ""), ("ReimburseNum", ""), ("StartDate", ""), ("StartTime", ""),
            ("PayType", "1" if order.urgency is Urgency.URGENT else "2"),
            ("PayAccNo", required(payer.account.clear, "payer's account")),
            ("PayAccNameCN", required(payer.name.clear, "payer's name")), ("PayAccNameEN", ""),
            ("RecAccNo", required(payee.account.clear, "payee's account")),
            ("RecAccNameCN", required(payee.name.clear, "payee's name")), ("RecAccNameEN", ""),
            ("SysIOFlg", "1" if inside else "2"), ("IsSameCity", self.options.same_city),
            ("Prop", "1" if person else "0"), ("RecICBCCode", ""),
            ("RecCityName", "" if inside else self.city(payee)), ("RecBankNo", payee.cnaps or ""),
            ("RecBankName", bank_name), ("CurrType", "001"), ("PayAmt", str(order.amount.minor)),
            ("UseCode", purpose_code or ""), ("UseCN", order.purpose), ("EnSummary", ""), ("PostScript", ""),
            ("Summary", ""), ("Ref", self._ref(item)), ("Oref", ""), ("ERPSqn", item.reference), ("BusCode", ""),
            ("ERPcheckno", ""), ("CrvouhType", ""), ("CrvouhName", ""), ("CrvouhNo", ""), ("BankType", ""),
            ("FileNames", ""), ("Indexs", ""), ("PaySubNo", ""), ("RecSubNo", ""),
        )  # fmt: skip
        if self.options.is_new:
            written += leaves(("MCardNo", ""), ("MCardName", ""), ("ReqReserved3", ""), ("ReqReserved4", ""))
        return el("rd", written)

    def collection(self, item: Item, place: int) -> Markup:
        """A line of PERDIS: the person who pays. Our own account stands once, before the lines."""
        order = item.order
        _check(order)
        if not isinstance(order.detail, CollectionDetail):
            raise ProtocolError("value", "PERDIS carries collections only")
        payer = order.debtor
        return el("rd", leaves(
            ("iSeqno", str(place)), ("PayAccNo", required(payer.account.clear, "payer's account")),
            ("PayAccNameCN", required(payer.name.clear, "payer's name")), ("PayAccNameEN", ""),
            ("PayBranch", payer.bank_name or ""), ("Portno", ""),
            ("ContractNo", required(order.detail.agreement, "agreement (ContractNo)")), ("CurrType", "001"),
            ("PayAmt", str(order.amount.minor)), ("UseCode", ""), ("UseCN", order.purpose), ("EnSummary", ""),
            ("PostScript", ""), ("Summary", ""), ("Ref", self._ref(item)), ("Oref", ""), ("ERPSqn", item.reference),
            ("BusCode", self.options.collection_bus_code), ("ERPcheckno", ""), ("CrvouhType", ""),
            ("CrvouhName", ""), ("CrvouhNo", ""), ("ReqReserved3", ""), ("ReqReserved4", ""),
        ))  # fmt: skip

    def is_inside(self, order: AnyOrder) -> bool:
        """Whether the payee banks here (SysIOFlg 1). An own account, or a payroll's, without a bank is taken to.

        Where the order has the payee bank's number, that decides: names of other banks may contain ours.
        """
        name, cnaps = order.creditor.bank_name or "", order.creditor.cnaps or ""
        if order.channel is Channel.SAME_BANK or (
            not name and not cnaps and order.kind in (Kind.TRANSFER, Kind.PAYROLL_ITEM)
        ):
            return True
        if cnaps and self.options.own_cnaps:
            return cnaps.startswith(self.options.own_cnaps)
        return any(own in name for own in self.options.own_names)

    def city(self, payee: Party) -> str:
        """The payee bank's city, mandatory for another bank, by its number. Raises "missing" without one."""
        cnaps = payee.cnaps or ""
        known = [start for start in self.options.cities if cnaps.startswith(start)]
        city = self.options.cities[max(known, key=len)] if known else self.options.default_city
        return required(city, "payee bank's city (RecCityName): see the options cities and default_city")

    def _ref(self, item: Item) -> str:
        return item.reference if self.options.reference_in_ref else ""


def _check(order: AnyOrder) -> None:
    check_amount("icbc", order.amount)
    if order.channel not in (Channel.AUTO, Channel.SAME_BANK):
        raise ProtocolError("value", f"the bank's form has no {order.channel.value} channel")
