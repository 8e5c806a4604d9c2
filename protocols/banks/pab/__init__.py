"""平安银行 (PAB) 银企直联 through a B2Bi front end: GBK XML behind a 222-byte header, short TCP connections.

Reconstructed from public material; see README.md in this folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocols.bank import Bank, Bundles, Questions, Sessions
from protocols.banks.pab.batch import LINES_4018, LINES_4047, Batches
from protocols.banks.pab.header import Sender, answers
from protocols.banks.pab.options import Options, read_options
from protocols.banks.pab.payment import Payments
from protocols.banks.pab.profile import profile
from protocols.banks.pab.push import Caller
from protocols.banks.pab.receipt import Receipts
from protocols.banks.pab.statement import Statements
from protocols.banks.pab.table import meanings
from protocols.canon.order import Kind


def build(options: Mapping[str, Any]) -> Bank:
    """The bank under `options` (see options.py). Raises BadOptions naming the key and the remedy."""
    chosen = read_options(options)
    sender = Sender(chosen.enterprise_code, chosen.operator, chosen.serial_prefix)
    codes = meanings(chosen.codes)
    payments = Payments(chosen, sender, codes)
    statements = Statements(chosen, sender, codes)
    return Bank(
        profile=profile(chosen),
        ports={"business": chosen.timing.port("business", answers)},
        sessions=Sessions(chosen.window, statements.probe, chosen.timing.probe_every_s),
        money={Kind.PAYMENT: payments.pay, Kind.TRANSFER: payments.pay},
        questions=Questions(
            statements.balance,
            statements.lines,
            payments.fate,
            statements.returns,
            receipt=Receipts(statements).receipt if chosen.batch_receipts else None,
            directory=statements.directory,
        ),
        read=payments.read,
        bundles=_bundles(chosen, Batches(payments)),
        pushes=Caller(chosen.enterprise_code).pushes,
    )


def _bundles(options: Options, batches: Batches) -> dict[Kind, Bundles]:
    found = {Kind.BATCH_ITEM: Bundles(LINES_4018, batches.send, batches.fate, batches.reader("4018"))}
    # An empty fee item (费项) under an agreement would be refused, or answered with an unknown code, which would put
    # the orders in doubt.
    if options.agreement and options.agreement_item:
        agency = Bundles(LINES_4047, batches.agency, batches.agency_fate, batches.reader("4047"))
        found |= {Kind.PAYROLL_ITEM: agency, Kind.COLLECTION: agency}
    return found
