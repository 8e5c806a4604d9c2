"""招商银行 (CMB) 银企直联 in front-end mode (FBSDK): CMBSDKPGK in GBK to the front end, by HTTP, HTTP form or socket.

Reconstructed from public material; see README.md in this folder. The bank's cloud mode is another protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocols.bank import Bank, Bundles, Questions, Sessions
from protocols.banks.cmb.agency import Agency
from protocols.banks.cmb.batch import Batches
from protocols.banks.cmb.options import read_options
from protocols.banks.cmb.payment import Payments
from protocols.banks.cmb.profile import profile
from protocols.banks.cmb.receipt import Receipts
from protocols.banks.cmb.statement import Statements
from protocols.banks.cmb.table import meanings
from protocols.banks.cmb.wire import Wire
from protocols.canon.order import Kind


def build(options: Mapping[str, Any]) -> Bank:
    """The bank under `options` (see options.py). Raises BadOptions naming the key and the remedy."""
    chosen = read_options(options)
    wire, codes = Wire(chosen), meanings(chosen.codes)
    payments = Payments(chosen, wire, codes)
    statements = Statements(chosen, wire, codes, payments)
    batches = Batches(payments)
    bundles = {Kind.BATCH_ITEM: Bundles(chosen.batch_lines, batches.word, batches.fate, batches.read)}
    if chosen.payroll_mode:
        bundles[Kind.PAYROLL_ITEM] = Agency(payments, Kind.PAYROLL_ITEM).bundles
    if chosen.collection_mode:
        bundles[Kind.COLLECTION] = Agency(payments, Kind.COLLECTION).bundles
    money = {Kind.PAYMENT: payments.pay, Kind.TRANSFER: payments.pay}
    return Bank(
        profile=profile(chosen, frozenset(money) | frozenset(bundles)),
        ports={"business": chosen.timing.port("business", wire.answers)},
        sessions=Sessions(chosen.window, statements.probe, chosen.timing.probe_every_s),
        money=money,
        questions=Questions(
            statements.balance,
            statements.lines,
            payments.fate,
            statements.returns,
            receipt=Receipts(statements).receipt if chosen.receipts else None,
        ),
        read=payments.read,
        bundles=bundles,
    )
