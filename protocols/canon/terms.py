"""The optional terms of an order beyond parties, amount and text, where its bank's rail carries them (ISO 20022).

`*_fields` write a value as plain JSON without unset fields, `*_from` read it again. The fingerprint's form and the
journal's form both use them, so that a later field changes neither for orders that do not have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocols.canon.money import Money
from protocols.canon.party import Name


@dataclass(frozen=True, slots=True)
class Remittance:
    """A reference of a part of a payment: a creditor's reference (RF, QRR, national), an invoice, or both.

    `amount` is the amount of the part, if the payer states it; `credit_note` marks a document that reduces the payment.
    """

    reference: str = ""
    invoice: str = ""
    amount: Money | None = None
    credit_note: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """The optional terms of an order. An empty field is left to the bank.

    `end_to_end_id` is the payer's own id, which is sent on to the payee. `purpose_code` and `charge_bearer` are ISO's
    (SALA, SUPP …; SLEV, SHAR, DEBT, CRED). The ultimate parties are those on whose behalf it is paid or received.
    """

    end_to_end_id: str = ""
    purpose_code: str = ""
    charge_bearer: str = ""
    remittances: tuple[Remittance, ...] = ()
    ultimate_debtor: Name | None = None
    ultimate_creditor: Name | None = None


@dataclass(frozen=True, slots=True)
class DebitTerms:
    """The terms of a direct debit, beside the mandate's id. `signed_on` is a day as ISO 8601 writes it.

    `sequence` is FRST, RCUR, OOFF or FNAL, `instrument` CORE or B2B, `scheme_id` the creditor's number in the scheme.
    """

    signed_on: str = ""
    sequence: str = ""
    instrument: str = ""
    scheme_id: str = ""


NO_TERMS = Terms()
NO_DEBIT_TERMS = DebitTerms()


def terms_fields(terms: Terms) -> dict[str, Any]:
    """The terms as JSON; {} if there are none."""
    if terms is NO_TERMS:
        return {}
    names = (("ultimate_debtor", terms.ultimate_debtor), ("ultimate_creditor", terms.ultimate_creditor))
    return _told(
        end_to_end_id=terms.end_to_end_id,
        purpose_code=terms.purpose_code,
        charge_bearer=terms.charge_bearer,
        remittances=[_remittance_fields(one) for one in terms.remittances],
        **{name: party.clear for name, party in names if party is not None},
    )


def terms_from(said: Mapping[str, Any]) -> Terms:
    """The terms from the JSON that `terms_fields` wrote."""
    payer, payee = said.get("ultimate_debtor"), said.get("ultimate_creditor")
    return Terms(
        said.get("end_to_end_id", ""),
        said.get("purpose_code", ""),
        said.get("charge_bearer", ""),
        tuple(_remittance_from(one) for one in said.get("remittances", ())),
        None if payer is None else Name(payer),
        None if payee is None else Name(payee),
    )


def debit_fields(terms: DebitTerms) -> dict[str, Any]:
    """The terms of a direct debit as JSON; {} if none are set."""
    return _told(
        signed_on=terms.signed_on, sequence=terms.sequence, instrument=terms.instrument, scheme_id=terms.scheme_id
    )


def debit_from(said: Mapping[str, Any]) -> DebitTerms:
    """The terms from the JSON that `debit_fields` wrote."""
    return DebitTerms(**said)


def _remittance_fields(one: Remittance) -> dict[str, Any]:
    amount = one.amount
    return _told(
        reference=one.reference,
        invoice=one.invoice,
        credit_note=one.credit_note,
        **({} if amount is None else {"minor": str(amount.minor), "currency": amount.currency}),
    )


def _remittance_from(said: Mapping[str, Any]) -> Remittance:
    amount = Money(int(said["minor"]), said["currency"]) if "minor" in said else None
    return Remittance(said.get("reference", ""), said.get("invoice", ""), amount, said.get("credit_note", False))


def _told(**said: Any) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value}
