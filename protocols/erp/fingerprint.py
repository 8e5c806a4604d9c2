"""Recognises repeated orders: the same content under one id, or the same payment under two ids."""

from __future__ import annotations

import unicodedata
from hashlib import sha256

from protocols.canon.order import AnyOrder
from protocols.erp import canonical
from protocols.erp.words import SubmitBatch

VERSION = "v1"
"""Names the canonical form. A fingerprint of another version proves nothing and must not be compared."""


def fingerprint(order: AnyOrder) -> str:
    """`v1:` and 64 hex digits. Equal for equal orders in either form.

    An id that comes again with another fingerprint is a conflict. The sender is not covered: identity is
    (sender, id).
    """
    return f"{VERSION}:{sha256(canonical.text(order)).hexdigest()}"


def batch_fingerprint(batch: SubmitBatch) -> str:
    """The fingerprint of a whole batch: of its head and of every item at its position. See `fingerprint`."""
    return f"{VERSION}:{sha256(canonical.batch_text(batch)).hexdigest()}"


def dup_key(order: AnyOrder) -> str:
    """The values that a suspected duplicate shares with an earlier order: debtor, creditor, amount and purpose.

    Full-width forms, case and blanks of the purpose do not make a different payment. The text has clear account
    numbers: store it sealed, or as a keyed hash.
    """
    purpose = "".join(unicodedata.normalize("NFKC", order.purpose).casefold().split())
    amount = f"{order.amount.minor} {order.amount.currency}"
    # No part can contain the separator, because the contract's texts have no control characters.
    return "\x1f".join((order.debtor.account.clear, order.creditor.account.clear, amount, purpose))
