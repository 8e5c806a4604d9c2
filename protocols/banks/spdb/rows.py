"""Rows of 8804, and whether they are about the payment that was sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from protocols.banks.spdb.table import row_word
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import Sent
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, check_keys
from protocols.kit.fields import amount_minor
from protocols.kit.meanings import Meanings
from protocols.kit.xmldoc import value, value_or

VOUCHER = "elecChequeNo"
TAGS: Final = CorrelationTags(
    reference=VOUCHER, amount="amount", debtor="acctNo", creditor="payeeAcctNo", days=("transDate",)
)
"""Where an answer states the keys of a payment."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of LoopResult. `place` is the bank's own key of the row, so that a repeated row counts once.

    Any part of the key may be empty, so rows of one place that differ in status count twice.
    """

    voucher: str
    amount_minor: int
    status: str
    note: str
    accept: str
    place: tuple[str, ...]


def row_of(element: etree._Element) -> Row:
    """Reads a row. Raises ProtocolError for one without a voucher, or with an amount that is no number."""
    return Row(
        voucher=value(element, VOUCHER),
        amount_minor=amount_minor(value(element, "amount")),
        status=value_or(element, "transStatus"),
        note=value_or(element, "note"),
        accept=value_or(element, "acceptNo"),
        place=tuple(value_or(element, tag) for tag in ("acceptNo", "serialNo", "seqNo", "transDate")),
    )


def judged(elements: Sequence[etree._Element], sent: Sent, meanings: Meanings) -> Outcome | None:
    """The outcome of a payment by its rows; None if none of the rows is about it.

    If a voucher has more than one record, the bank has more than we sent; then only a refusal in all of them counts.
    """
    ours = [element for element in elements if value_or(element, VOUCHER) == sent.reference]
    for element in ours:
        check_keys(element, CorrelationKeys.of(sent), TAGS)
    rows = list({(row.place, row.status): row for row in map(row_of, ours)}.values())
    if not rows:
        return None
    words = [replace(row_word(meanings, row.status, row.note), bank_serial=row.accept or None) for row in rows]
    if len(words) == 1 or {word.fate for word in words} == {Fate.FAILED}:
        return words[0]
    return Outcome(Fate.UNKNOWN, "+".join(row.status for row in rows), "several records of one voucher", listed=False)
