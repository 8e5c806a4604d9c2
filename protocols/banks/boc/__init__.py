"""中国银行 (BOC) 企银直联 through its front end: `<bocb2e>` by HTTP, with the token of a sign-on in every message.

Reconstructed from public material; see README.md in this folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocols.bank import Bank, Bundles, Questions, Sessions
from protocols.banks.boc.options import read_options
from protocols.banks.boc.payment import Payments
from protocols.banks.boc.profile import profile
from protocols.banks.boc.receipt import Receipts
from protocols.banks.boc.session import Lockout, SignOn
from protocols.banks.boc.statement import Statements
from protocols.banks.boc.table import meanings
from protocols.banks.boc.wire import Wire
from protocols.canon.order import Kind


def build(options: Mapping[str, Any]) -> Bank:
    """The bank under `options` (see options.py). Raises BadOptions naming the key and the remedy."""
    chosen = read_options(options)
    wire, codes = Wire(chosen), meanings(chosen.codes)
    payments, statements = Payments(chosen, wire, codes), Statements(chosen, wire, codes)
    batches = Bundles(chosen.batch_lines, payments.send_bundle, payments.bundle_fate, payments.read_bundle)
    lockout = Lockout(chosen.sign_on_tries)
    session = SignOn(chosen, wire, lockout)
    # One exchange at a time, because an operator has one token.
    return Bank(
        profile=profile(chosen),
        ports={"business": chosen.timing.port("business", lockout.connected)},
        sessions=Sessions(
            window=1,
            probe=statements.probe,
            probe_every_s=chosen.timing.probe_every_s,
            sign_on=session.sign_on,
            one_owner=f"operator {chosen.operator} of customer {chosen.customer}",
        ),
        money={
            Kind.PAYMENT: payments.pay,
            Kind.TRANSFER: payments.pay,
            **({Kind.PAYROLL_ITEM: payments.pay} if chosen.payroll else {}),
        },
        questions=Questions(
            balance=statements.balance,
            lines=statements.lines,
            fate=payments.fate,
            returns=statements.returns if chosen.returns else None,
            receipt=Receipts(statements).receipt if chosen.receipt_path else None,
        ),
        read=payments.read,
        bundles={Kind.BATCH_ITEM: batches},
    )
