"""兴业银行 (CIB) 银企直联 FOX: GBK XML in one HTTP POST per exchange, credentials in every message.

From the bank's own manual as far as it is public; README.md in this folder says what is reconstructed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocols.bank import Bank, Bundles, Context, Conversation, Questions, Sessions
from protocols.banks.cib.batch import batch_form
from protocols.banks.cib.bundle import BundleWords
from protocols.banks.cib.collection import collection_form
from protocols.banks.cib.fox import ANSWER_BYTES_MAX, Fox
from protocols.banks.cib.options import Options, read_options
from protocols.banks.cib.payment import Payments
from protocols.banks.cib.payroll import payroll_form
from protocols.banks.cib.profile import profile
from protocols.banks.cib.push import PUSHES
from protocols.banks.cib.receipt import Receipts
from protocols.banks.cib.statement import Statements
from protocols.banks.cib.table import meanings
from protocols.canon.order import Kind
from protocols.kit import http


def build(options: Mapping[str, Any]) -> Bank:
    """The bank under `options` (see options.py). Raises BadOptions naming the key and the remedy."""
    chosen = read_options(options)
    fox = Fox(chosen, meanings())
    payments, statements, receipts = Payments(fox), Statements(fox), Receipts(fox)

    def sign_on(context: Context) -> Conversation[Mapping[str, str]]:
        """The bank has no sessions: this shows once that it takes our password, before any message relies on it."""
        yield from fox.prove(context)
        return {}

    return Bank(
        profile=profile(chosen),
        ports={"business": chosen.timing.port("business", http.answers(ANSWER_BYTES_MAX))},
        sessions=Sessions(chosen.window, fox.prove, chosen.timing.probe_every_s, sign_on),
        money={Kind.PAYMENT: payments.pay, Kind.TRANSFER: payments.pay},
        questions=Questions(
            statements.balance,
            statements.lines,
            payments.fate,
            statements.returns if chosen.statement_reference else None,
            receipts.receipt if chosen.receipt_path else None,
        ),
        read=payments.read,
        bundles=_bundles(chosen, fox),
        pushes=PUSHES,
    )


def _bundles(chosen: Options, fox: Fox) -> Mapping[Kind, Bundles]:
    forms = {Kind.BATCH_ITEM: batch_form(chosen), Kind.PAYROLL_ITEM: payroll_form(chosen)}
    if chosen.firm_code:
        forms[Kind.COLLECTION] = collection_form(chosen)
    return {kind: BundleWords(fox, form).words() for kind, form in forms.items()}
