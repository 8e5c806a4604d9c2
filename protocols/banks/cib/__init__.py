"""兴业银行 (CIB) 银企直联 FOX: GBK XML in one HTTP POST per exchange, credentials in every message.

Written from the public part of the bank's own manual; README.md in this folder lists what is reconstructed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocols.bank import Bank, Context, Conversation, Questions, Sessions
from protocols.banks.cib.bundle import BundleWords
from protocols.banks.cib.forms import forms
from protocols.banks.cib.fox import ANSWER_BYTES_MAX, Fox
from protocols.banks.cib.options import read_options
from protocols.banks.cib.payment import Payments
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
    fox = Fox(chosen, meanings(chosen.codes))
    payments, statements, receipts = Payments(fox), Statements(fox), Receipts(fox)

    def sign_on(context: Context) -> Conversation[Mapping[str, str]]:
        """Check once that the bank accepts the password, before any message relies on it. The bank has no sessions."""
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
        bundles={kind: BundleWords(fox, form).words() for kind, form in forms(chosen).items()},
        pushes=PUSHES,
    )
