"""浦发银行 (SPDB) 银企直连 through its front end BISafe: signed packets, three exchanges for each message.

Reconstructed from public material; see README.md in this folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from protocols.bank import Bank, Bundles, Questions, Sessions
from protocols.banks.spdb.accounts import Accounts
from protocols.banks.spdb.enquiry import Enquiry
from protocols.banks.spdb.entries import Entries
from protocols.banks.spdb.envelope import ANSWER_BYTES_MAX, FrontEnd
from protocols.banks.spdb.options import read_options
from protocols.banks.spdb.payment import SINGLE, Payments
from protocols.banks.spdb.profile import kinds, profile
from protocols.banks.spdb.requests import BATCH_LINES
from protocols.banks.spdb.table import meanings
from protocols.kit import http


def build(options: Mapping[str, Any]) -> Bank:
    """The bank under `options` (see options.py). Raises BadOptions naming the key and the remedy."""
    chosen = read_options(options)
    front, codes, answers = FrontEnd(chosen), meanings(chosen.codes), http.answers(ANSWER_BYTES_MAX)
    enquiry = Enquiry(chosen, front, codes)
    payments, accounts = Payments(front, enquiry, codes), Accounts(chosen, front, enquiry, codes)
    entries = Entries(front, codes, date.fromisoformat(chosen.line_ids_from))
    batches = Bundles(BATCH_LINES, payments.send_bundle, payments.bundle_fate, payments.read_bundle)
    return Bank(
        profile=profile(chosen),
        ports={
            "business": chosen.timing.port("business", answers),
            "sign": chosen.timing.port("sign", answers, first_byte_s=chosen.sign_first_byte_s),
        },
        sessions=Sessions(chosen.window, accounts.probe, chosen.timing.probe_every_s),
        money=dict.fromkeys(SINGLE, payments.pay),
        questions=Questions(
            balance=accounts.balance, lines=entries.lines, fate=payments.fate, returns=accounts.returns
        ),
        read=payments.read,
        bundles={kind: batches for kind in kinds(chosen) if kind not in SINGLE},
    )
