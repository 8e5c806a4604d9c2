"""A bank's no to a question: understood, and not answered."""

from __future__ import annotations

from protocols.kit.errors import ProtocolError


class Declined(ProtocolError):
    """The bank answered a question, or a sign-on, with a code instead of the matter asked for.

    `outcome` is the code table's word: `retry`, `rate_limited`, `signed_out`, or `failed` for a refusal that asking
    again does not change. A code that is in no table is `retry` with `listed` False. The connection is in order.
    """

    def __init__(self, operation: str, code: str, text: str, outcome: str | None) -> None:
        self.code = code
        self.bank_text = text
        self.outcome = outcome or "retry"
        self.listed = outcome is not None
        super().__init__("value", f"{operation} was answered {code} {text} ({self.outcome})")
