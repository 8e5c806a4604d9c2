"""The fields of an order that only some rails carry: references, purpose code, charge bearer, ultimate parties.

If a bank cannot carry a term that matters, it is refused with its name (`gateway.kernel.core.policy`); no term is
dropped silently.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from protocols.canon.errors import Fault, FieldCode
from protocols.canon.money import Money
from protocols.canon.party import Name
from protocols.canon.terms import NO_TERMS, DebitTerms, Remittance, Terms
from protocols.erp.form import Strict, amount_faults, said
from protocols.erp.scalars import Amount, Day, PurposeCode, SchemeId, Text35, Text140, bounded
from protocols.kit.iso20022.remittance import broken

MAX_REMITTANCES = 99


class RemittanceForm(Strict):
    """A reference of a part of a payment."""

    reference: Text35 | None = said(
        "the payee's reference: RF (ISO 11649), QRR or national", "收款方的结构化参考号（RF、QRR 或本国格式）", None
    )
    invoice: Text35 | None = said("number of the invoice or credit note", "发票或贷项通知单号", None)
    amount: Amount | None = said(
        "how much of the payment it is, in the order's currency", "其中金额，币种同付款指令", None
    )
    credit_note: bool = said("whether it lessens what is paid", "是否为冲减", False)


class TermsForm(Strict):
    """The optional terms of an order beyond parties, amount and purpose."""

    end_to_end_id: Text35 | None = said(
        "the payer's own id, which travels to the payee; absent: the gateway's",
        "付款方编号，随款到达收款方；不填用网关编号",
        None,
    )
    purpose_code: PurposeCode | None = said("purpose by ISO 20022's list", "ISO 20022 用途代码", None)
    charge_bearer: Literal["SLEV", "SHAR", "DEBT", "CRED"] | None = said("who pays the fees", "手续费承担方", None)
    remittances: Annotated[list[RemittanceForm], Field(max_length=MAX_REMITTANCES), bounded(MAX_REMITTANCES)] = said(
        f"references and invoices, at most {MAX_REMITTANCES}", f"参考号与发票，至多 {MAX_REMITTANCES} 项", []
    )
    ultimate_debtor: Text140 | None = said("on whose behalf it is paid", "最终付款方", None)
    ultimate_creditor: Text140 | None = said("on whose behalf it is received", "最终收款方", None)


class MandateForm(Strict):
    """The mandate of a direct debit, where the scheme asks for it."""

    sequence: Literal["FRST", "RCUR", "OOFF", "FNAL"] | None = said(
        "first, recurrent, one-off or final", "扣款顺序", None
    )
    instrument: Literal["CORE", "B2B"] | None = said("the scheme", "扣款方案", None)
    scheme_id: SchemeId | None = said("the creditor's number in the scheme", "收款方在该方案中的编号", None)


def terms_of(form: TermsForm | None, currency: str) -> Terms:
    """The terms as canon's type. Raises BadMoney for decimals that the currency does not have."""
    if form is None:
        return NO_TERMS
    parts = tuple(
        Remittance(
            one.reference or "",
            one.invoice or "",
            None if one.amount is None else Money.parse(one.amount, currency),
            one.credit_note,
        )
        for one in form.remittances
    )
    payer, payee = form.ultimate_debtor, form.ultimate_creditor
    return Terms(
        form.end_to_end_id or "",
        form.purpose_code or "",
        form.charge_bearer or "",
        parts,
        None if payer is None else Name(payer),
        None if payee is None else Name(payee),
    )


def debit_terms_of(form: MandateForm | None, signed_on: Day | None) -> DebitTerms:
    """The terms of a collection as canon's type."""
    given = form or MandateForm()
    return DebitTerms(
        "" if signed_on is None else signed_on.isoformat(),
        given.sequence or "",
        given.instrument or "",
        given.scheme_id or "",
    )


def terms_faults(at: str, form: TermsForm | None, currency: str | None) -> Iterator[Fault]:
    """Faults of the terms: empty parts, and amounts with decimals that the currency does not have."""
    for number, one in enumerate(() if form is None else form.remittances):
        place = f"{at}/terms/remittances/{number}"
        if not one.reference and not one.invoice:
            yield Fault(place, FieldCode.REQUIRED, "needs a reference or an invoice")
        wrong = broken(one.reference or "")
        if wrong:
            yield Fault(f"{place}/reference", FieldCode.PATTERN, wrong)
        yield from amount_faults(f"{place}/amount", one.amount, currency)
