"""Signing on: b2e0001 brings the token that every later message carries. One connection, one token, one owner.

A new sign-on of an operator is likely to end the token before it, so exactly one session may sign on with one operator.
Five wrong passwords in a day lock it, fifteen for good (banks/boc.md 1): a refused sign-on is not tried again here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from protocols.bank import Ask, Context, Conversation
from protocols.banks.boc.options import Options
from protocols.banks.boc.wire import BEIJING, Wire, fields
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import date_text, time_text
from protocols.kit.xmldoc import Markup, value

PASSWORD: Final = "password"
_TOKEN = re.compile("[!-~]{1,64}", re.ASCII)


@dataclass(slots=True)
class Lockout:
    """How many sign-ons in a row the bank has refused to this process. The lane's pause alone would lock the login."""

    tries: int
    refused: int = 0

    @property
    def spent(self) -> bool:
        """Whether no more may be tried before somebody looks and restarts the gateway."""
        return self.refused >= self.tries


@dataclass(frozen=True, slots=True)
class SignOn:
    """One operator's sign-on."""

    options: Options
    wire: Wire
    lockout: Lockout = field(repr=False)

    def sign_on(self, context: Context) -> Conversation[Mapping[str, str]]:
        """The session with its token. Raises Declined if the bank refuses, or, unasked, after too many refusals."""
        password = context.credentials[PASSWORD]
        if self.lockout.spent:
            raise Declined("b2e0001", "", f"not tried: the bank refused {self.lockout.refused} sign-on(s); look at the "
                           "operator's password, then restart", "failed")  # fmt: skip
        now = context.now.astimezone(BEIJING)
        row = fields((("custdt", date_text(now.date()) + time_text(now.time())), ("oprpwd", password)))
        frame = yield Ask("business", self.wire.message("b2e0001", context, [Markup("".join(row))]))
        answer = self.wire.read(frame, "b2e0001")
        if not answer.status.done:
            self.lockout.refused += 1
            raise Declined("b2e0001", answer.status.code, answer.status.text, "failed")
        token = value(answer.within, "token")
        if not _TOKEN.fullmatch(token):
            raise ProtocolError("value", "the token is not 1 to 64 printable characters")
        self.lockout.refused = 0
        return {"token": token}
