"""中信银行 (CITIC) 银企直联 through its front end: `<stream>` with an action, in GBK, by HTTP.

Reconstructed from public material; see README.md in this folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocols.bank import Bank, Questions, Sessions
from protocols.banks.citic.bundle import Together
from protocols.banks.citic.options import read_options
from protocols.banks.citic.payment import Payments
from protocols.banks.citic.profile import profile
from protocols.banks.citic.receipt import Receipts
from protocols.banks.citic.statement import Statements
from protocols.banks.citic.table import meanings
from protocols.banks.citic.wire import ANSWER_BYTES_MAX, Wire
from protocols.canon.order import Kind
from protocols.kit import http


def build(options: Mapping[str, Any]) -> Bank:
    """The bank under `options` (see options.py). Raises BadOptions naming the key and the remedy."""
    chosen = read_options(options)
    wire, codes = Wire(chosen), meanings(chosen.codes)
    payments, statements = Payments(chosen, wire, codes), Statements(chosen, wire, codes)
    told = statements if chosen.states_origin else None
    together = [
        Together(payments, Kind.BATCH_ITEM, chosen.batch_lines, told),
        Together(payments, Kind.PAYROLL_ITEM, chosen.payroll_lines, told),
    ]
    if chosen.collections:
        together.append(Together(payments, Kind.COLLECTION, chosen.collection_lines, told))
    money = {Kind.PAYMENT: payments.pay, Kind.TRANSFER: payments.pay}
    bundles = {one.kind: one.bundles for one in together}
    return Bank(
        profile=profile(chosen, frozenset(money) | frozenset(bundles)),
        ports={"business": chosen.timing.port("business", http.answers(ANSWER_BYTES_MAX))},
        sessions=Sessions(chosen.window, statements.probe, chosen.timing.probe_every_s),
        money=money,
        questions=Questions(
            balance=statements.balance,
            lines=statements.lines,
            fate=payments.fate,
            returns=statements.returns if chosen.states_origin else None,
            receipt=Receipts(statements).receipt,
        ),
        read=payments.read,
        bundles=bundles,
    )
