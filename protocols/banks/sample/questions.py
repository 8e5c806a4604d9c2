"""Questions to Sample Bank, and the sign-on, heartbeat and sign-off of its sessions."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from protocols.bank import Ask, Context, Conversation
from protocols.banks.sample.messages import DONE, Answer, Fields, Wire, cell, day, moment, money, require
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.query import BalanceQuestion, LinesQuestion, ReceiptQuestion, ReturnsQuestion
from protocols.canon.statement import Balance, Direction, Line, Page, Receipt, ReceiptLater, Return, ReturnsPage
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import digits, plain
from protocols.kit.meanings import Meanings
from protocols.kit.paging import CursorEcho, PageCursor, PageSeen, fingerprint
from protocols.kit.readable import readable

_DIRECTIONS: Final[Mapping[str, Direction]] = {"C": Direction.CREDIT, "D": Direction.DEBIT}
_PAGING: Final = CursorEcho()


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks the questions, and sends the messages of a session."""

    wire: Wire
    meanings: Meanings

    def sign_on(self, context: Context) -> Conversation[Mapping[str, str]]:
        """Sign on with `user` and `password`; the session's state is its token."""
        secrets = [(name, context.credentials.get(name.lower(), "")) for name in ("User", "Password")]
        for name, secret in secrets:
            if not secret:
                raise ProtocolError("missing", f"the lane's credentials name no {name.lower()}")
        answer = yield from self._ask("SignOn", context, secrets)
        return {"token": answer.value("Token")}

    def ping(self, context: Context) -> Conversation[datetime]:
        """Ask for the heartbeat, which checks connection, session and both keys; returns the bank's time."""
        return (yield from self._ask("Ping", context, ())).bank_time

    def sign_off(self, context: Context) -> Conversation[None]:
        """End the session."""
        yield from self._ask("SignOff", context, ())

    def balance(self, question: BalanceQuestion, context: Context) -> Conversation[Balance]:
        """The balance of an account, now or at the end of a past day."""
        answer = yield from self._ask(
            "Balance",
            context,
            (
                ("Account", question.account.clear),
                ("Currency", question.currency),
                ("On", question.on.isoformat() if question.on else ""),
            ),
        )
        require("account", answer.value("Account"), question.account.clear)
        require("currency", answer.value("Currency"), question.currency)
        stated = {
            name: _maybe(answer.value(name), question.currency)
            for name in ("Book", "Available", "Frozen", "PreviousDay")
        }
        return Balance(
            question.account,
            stated["Book"],
            stated["Available"],
            stated["Frozen"],
            stated["PreviousDay"],
            answer.bank_time,
        )

    def lines(self, question: LinesQuestion, context: Context) -> Conversation[Page]:
        """One page of an account's entries."""
        first, last, currency = question.first.isoformat(), question.last.isoformat(), question.currency
        at = _place(question.cursor, "Entries", question.account.clear, currency, first, last)
        answer = yield from self._ask(
            "Entries",
            context,
            (
                ("Account", question.account.clear),
                ("Currency", currency),
                ("FirstDate", first),
                ("LastDate", last),
                ("Cursor", at.value),
            ),
        )
        require("account", answer.value("Account"), question.account.clear)
        require("currency", answer.value("Currency"), currency)
        rows = answer.rows("Entry")
        lines, findings = readable(rows, lambda row: _line(row, question), "Entries")
        total = digits(answer.value("Total"))
        return Page(
            # The bank's count includes the entries that cannot be read.
            tuple(lines),
            _onward(at, len(rows), answer),
            None if findings else total,
            money(answer.value("Opening"), currency),
            money(answer.value("Closing"), currency),
            findings,
            len(findings),
        )

    def returns(self, question: ReturnsQuestion, context: Context) -> Conversation[ReturnsPage]:
        """One page of the payments that came back."""
        first, last = question.first.isoformat(), question.last.isoformat()
        at = _place(question.cursor, "Returns", question.account.clear, first, last)
        answer = yield from self._ask(
            "Returns",
            context,
            (("Account", question.account.clear), ("FirstDate", first), ("LastDate", last), ("Cursor", at.value)),
        )
        require("account", answer.value("Account"), question.account.clear)
        rows = answer.rows("Returned")
        found, findings = readable(rows, _returned, "Returns")
        return ReturnsPage(tuple(found), _onward(at, len(rows), answer), findings)

    def receipt(self, question: ReceiptQuestion, context: Context) -> Conversation[Receipt | ReceiptLater]:
        """The receipt of an entry, or a ticket for asking again. The entry is named by its number or by our
        reference."""
        answer = yield from self._ask(
            "Receipt",
            context,
            (
                ("Account", question.account.clear),
                ("BankDate", question.bank_date.isoformat()),
                ("Number", question.bank_line_id),
                ("Reference", question.reference or ""),
                ("Ticket", question.ticket or ""),
            ),
        )
        require("account", answer.value("Account"), question.account.clear)
        ticket = answer.value("Ticket")
        if ticket:
            return ReceiptLater(ticket, float(digits(answer.value("AfterSeconds"))))
        try:
            data = b64decode(answer.value("File"), validate=True)
        except Error:
            raise ProtocolError("value", "the file is no Base64") from None
        require("digest", sha256(data).hexdigest(), answer.value("Sha256"))
        return Receipt(data, answer.value("MediaType"), answer.value("FileName"))

    def _ask(self, operation: str, context: Context, fields: Fields) -> Conversation[Answer]:
        """Ask one question and return its answer; raises Declined for any code but 0000."""
        data = yield from self.wire.request(operation, context, fields, context.session.get("token", ""))
        answer = self.wire.read((yield Ask("business", data)), (operation,), context)
        if answer.code != DONE:
            self.meanings.decline(operation, "head", answer.code, answer.text)
        return answer


def _place(cursor: str | None, *question: str) -> PageCursor:
    asked = fingerprint(*question)
    return PageCursor.decode(cursor, asked) if cursor else _PAGING.first(asked)


def _onward(at: PageCursor, rows: int, answer: Answer) -> str | None:
    following = _PAGING.following(at, PageSeen(rows, answer.value("Cursor")))
    return None if following is None else following.encode()


def _returned(row: Mapping[str, str]) -> Return:
    return Return(
        cell(row, "Reference"),
        money(cell(row, "Amount"), cell(row, "Currency")),
        day(cell(row, "ReturnedOn")),
        plain(cell(row, "Text")),
    )


def _line(row: Mapping[str, str], question: LinesQuestion) -> Line:
    direction = _DIRECTIONS.get(cell(row, "Direction"))
    if direction is None:
        raise ProtocolError("value", f"an entry's direction is {cell(row, 'Direction')!r}, neither C nor D")
    bank_date = day(cell(row, "BankDate"))
    if not question.first <= bank_date <= question.last:
        raise ProtocolError("correlation", f"an entry of {bank_date} in an answer about other days")
    peer, name = cell(row, "PeerAccount"), plain(cell(row, "PeerName"))
    return Line(
        account=question.account,
        bank_line_id=cell(row, "Number"),
        direction=direction,
        amount=money(cell(row, "Amount"), question.currency),
        bank_date=bank_date,
        booked_at=moment(cell(row, "BookedAt")),
        counterparty_account=AccountNumber(peer) if peer else None,
        counterparty_name=Name(name) if name else None,
        text=plain(cell(row, "Text")),
        balance=money(cell(row, "Balance"), question.currency),
        reference=cell(row, "Reference") or None,
        fee=cell(row, "Fee") == "Y",
    )


def _maybe(said: str, currency: str) -> Money | None:
    return money(said, currency) if said else None
