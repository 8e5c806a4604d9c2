"""The exception for a question or a sign-on to which the bank answers with a code instead of the result."""

from __future__ import annotations

from protocols.kit.errors import ProtocolError


class Declined(ProtocolError):
    """The bank understood a question or a sign-on, and answered it with a code instead of what was asked.

    `outcome` is the code table's word: `retry`, `rate_limited`, `signed_out`, or `failed` for a refusal that asking
    again does not change. A code that is in no table is `retry` with `listed` False. The connection is in order.
    """

    def __init__(self, operation: str, code: str, text: str, outcome: str | None) -> None:
        self.code = code
        self.bank_text = text
        self.outcome = outcome or "retry"
        self.listed = outcome is not None
        super().__init__("value", f"{operation} was answered {code} {text} ({self.outcome})")
