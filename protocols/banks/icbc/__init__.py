"""工商银行 (ICBC) 银企互联 through NetSafe Client: GBK XML in a form, signed at one port and sent through another.

Reconstructed from public material; see README.md in this folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protocols.bank import Bank, Bundles, Questions, Sessions
from protocols.banks.icbc.options import read_options
from protocols.banks.icbc.payment import SINGLE, Payments
from protocols.banks.icbc.profile import kinds, profile
from protocols.banks.icbc.statement import Statements
from protocols.banks.icbc.table import meanings
from protocols.banks.icbc.wire import ANSWER_BYTES_MAX, Wire
from protocols.kit import http


def build(options: Mapping[str, Any]) -> Bank:
    """The bank under `options` (see options.py). Raises BadOptions naming the key and the remedy."""
    chosen = read_options(options)
    wire, codes = Wire(chosen), meanings(chosen.codes)
    statements, answers = Statements(chosen, wire, codes), http.answers(ANSWER_BYTES_MAX)
    payments = Payments(chosen, wire, codes, statements)
    return Bank(
        profile=profile(chosen),
        ports={
            "business": chosen.timing.port("business", answers),
            "sign": chosen.timing.port("sign", answers, first_byte_s=chosen.sign_first_byte_s),
        },
        sessions=Sessions(chosen.window, statements.probe, chosen.timing.probe_every_s),
        money=dict.fromkeys(SINGLE, payments.pay),
        questions=Questions(balance=statements.balance, lines=statements.lines, fate=payments.fate),
        read=payments.read,
        bundles={
            kind: Bundles(
                chosen.package_lines, payments.send_bundle, payments.bundle_fate(kind), payments.read_bundle(kind)
            )
            for kind in kinds(chosen)
            if kind not in SINGLE
        },
    )
