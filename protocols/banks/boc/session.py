"""Signing on: b2e0001 brings the token that every later message carries. One connection, one token, one owner.

A new sign-on of an operator is likely to end the earlier token, so exactly one session may sign on with one operator.
Five wrong passwords in a day lock the operator, fifteen lock it for good (banks/boc.md 1), so a refused sign-on is not
tried again here. The bank's codes for "wrong password" are not public, and the bank also counts a password whose answer
never arrives. So every password that was sent counts until a token comes, and a fifth is never sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from protocols.bank import Ask, Context, Conversation, Cutter
from protocols.banks.boc.options import Options
from protocols.banks.boc.requests import WrittenSignOn, sign_on_row
from protocols.banks.boc.wire import ANSWER_BYTES_MAX, Wire
from protocols.kit import http
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import value

PASSWORD: Final = "password"
PASSWORDS_MOST: Final = 4
"""How many passwords may leave without a token having come: one less than lock the operator."""
_TOKEN = re.compile("[!-~]{1,64}", re.ASCII)


@dataclass(slots=True)
class Lockout:
    """Counts passwords that the bank rejected, because the bank locks the login after a few.

    `sent` counts the passwords that were sent, or may have been sent, since the last token. `refused` counts those that
    the bank refused expressly, of which `tries` are allowed. `unclear`: the result of the last one is not known.
    `connections` counts the connections on the one port.
    """

    tries: int
    refused: int = 0
    sent: int = 0
    unclear: bool = False
    connections: int = 0

    @property
    def spent(self) -> bool:
        """True if no further password may be tried. An operator must then find the cause and restart the gateway."""
        return self.refused >= self.tries or self.sent >= PASSWORDS_MOST

    def connected(self) -> Cutter:
        """The cutter for a fresh connection. The connection is counted here, because a port asks for a cutter once it
        is connected."""
        self.connections += 1
        return http.HttpAnswers().cutter(ANSWER_BYTES_MAX)

    def taken(self) -> None:
        """Reset both counts: the sign-on brought a token, so the password is right."""
        self.refused = self.sent = 0
        self.unclear = False


@dataclass(frozen=True, slots=True)
class SignOn:
    """Signs one operator on."""

    options: Options
    wire: Wire
    lockout: Lockout = field(repr=False)

    def sign_on(self, context: Context) -> Conversation[Mapping[str, str]]:
        """The session with its token. Raises Declined if the bank refuses, or if `lockout` allows no further try."""
        password, lockout = context.credentials[PASSWORD], self.lockout
        if lockout.spent:
            raise Declined(
                "b2e0001",
                "",
                f"not tried: {lockout.sent} sign-on(s) brought no token, {lockout.refused} "
                "of them refused; look at the operator's password, then restart",
                "failed",
            )
        if lockout.unclear:
            # After a refusal the lane pauses by itself, but not after a missing answer. Without a refusal here, four
            # passwords would be used up within seconds.
            lockout.unclear = False
            raise Declined(
                "b2e0001", "", "not tried yet: the last password left, and what became of it is not known", "failed"
            )
        row = sign_on_row(WrittenSignOn(context.now, password))
        wire, before = self.wire.message("b2e0001", context, [row]), lockout.connections
        lockout.sent, lockout.unclear = lockout.sent + 1, True
        try:
            frame = yield Ask("business", wire)
        except GeneratorExit:
            # No answer came. It is certain that the password did not leave only if no connection was made either.
            if lockout.connections == before:
                lockout.sent, lockout.unclear = lockout.sent - 1, False
            raise
        answer = self.wire.read(frame, "b2e0001", self.wire.number(context))
        if not answer.status.done:
            lockout.refused, lockout.unclear = lockout.refused + 1, False
            raise Declined("b2e0001", answer.status.code, answer.status.text, "failed")
        token = value(answer.within, "token")
        if not _TOKEN.fullmatch(token):
            raise ProtocolError("value", "the token is not 1 to 64 printable characters")
        lockout.taken()
        return {"token": token}
