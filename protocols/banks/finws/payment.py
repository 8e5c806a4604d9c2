"""Payments by file: an upload with one payment in it, and the files that report its outcome step by step.

Upload acknowledgement, status file (pain.002), debit notification (camt.054), statement (camt.053): each step
reports more than the one before. An acknowledgement says only that a file arrived; a payment is settled when the bank
says so of the transaction itself, or when the debtor's account shows it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from protocols.bank import Context, Conversation, MoneyConversation, Submit
from protocols.banks.finws import iso
from protocols.banks.finws.files import DOWNLOADS_MAX, File, Files
from protocols.banks.finws.messages import Answer, Turn
from protocols.banks.finws.names import D
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import Address
from protocols.canon.query import FateQuestion, Sent
from protocols.canon.statement import Direction
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import check_day, plain
from protocols.kit.iso20022 import report
from protocols.kit.iso20022.account import AccountEntry, TransactionDetail
from protocols.kit.meanings import Meanings
from protocols.kit.xmldoc import value_or

KINDS: Final = (Kind.PAYMENT, Kind.TRANSFER)
# Later words of the climb count more; a booking is the account's own word.
_CLIMB: Final = (Fate.RETURNED, Fate.REVERSED, Fate.SETTLED, Fate.FAILED, Fate.PENDING, Fate.DUPLICATE)
_STATUS_FILE: Final = "pain.002"
_DOUBLE: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?([eE][+]?[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class Types:
    """The bank's names for kinds of files, as its contract with the customer lists them."""

    payment: str
    status: str
    notification: str
    report: str
    statement: str


@dataclass(frozen=True, slots=True)
class Payments:
    """Sending orders, reading the answers, and asking what became of them.

    `debtor_bic` is the bank's own, `form` the version of pain.001 it takes, `address` where the payer lives.
    """

    files: Files
    types: Types
    meanings: Meanings
    debtor_bic: str
    form: str = iso.PAYMENT_FORMS[0]
    address: Address | None = None

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """Upload the order as a file of its own. Raises ProtocolError before the Submit if it cannot be written."""
        turn = self.files.wire.turn(context)
        content = iso.payment_file(order, context, self.debtor_bic, self.form, self.address)
        request_id, data = yield from self.files.upload(
            self.types.payment, content, context.reference, turn, total=str(order.amount)
        )
        said = yield Submit("business", data, (request_id,))
        secret = context.credentials.get("decryption_key", "")
        answer = self.files.wire.read(said, "uploadFile", (request_id,), secret, context.now.date())
        return self._taken(answer, context.reference, order.amount, "first")

    def read(self, kind: Kind, sent: Sent, data: bytes) -> Outcome:
        """What the answer to the same bytes sent again says: only acceptance, or the proof that they came before."""
        if kind not in KINDS:
            raise ProtocolError("value", f"this bank carries no {kind.value}")
        answer = self.files.wire.read(data, "uploadFile", sent.serials)
        return self._taken(answer, sent.reference, sent.amount, "repeat")

    def fate(self, question: FateQuestion, context: Context) -> Conversation[Outcome]:
        """Climb as high as the bank's files reach. Raises Declined where the bank does not answer."""
        sent, turn = question.sent, self.files.wire.turn(context)
        ours = yield from self._uploads_of(sent, context, turn)
        words = [self._word("file", one.status, "", one.reference) for one in ours]
        told = yield from self._status_words(sent, ours, context, turn)
        refused = [word for word in told if word.fate is Fate.FAILED]
        booked = yield from self._booking_words(sent, ours, context, turn)
        words += [*told, *booked]
        if not words:
            return Outcome(Fate.NOT_FOUND, "24", "in no list, status file or account report")
        back = any(word.fate in (Fate.RETURNED, Fate.REVERSED) for word in booked)
        if refused and not back and any(word.fate is Fate.SETTLED for word in words):
            return Outcome(Fate.UNKNOWN, "RJCT", "refused by one file, booked by another", words[0].bank_serial)
        if refused and len(refused) < len(ours):
            return Outcome(Fate.UNKNOWN, "RJCT", "refused, but not every file of this name", words[0].bank_serial)
        best = next((word for fate in _CLIMB for word in words[::-1] if word.fate is fate), words[-1])
        shown = [word.text for word in booked if word.fate is best.fate]
        return replace(best, text="; ".join(dict.fromkeys(shown))) if best in booked else best

    def _taken(self, answer: Answer, reference: str, amount: Money, layer: str) -> Outcome:
        """What an answer to an upload means; where it names serial, sum or file, they must be ours."""
        serial, total, bank_serial = answer.value("ExecutionSerial"), answer.value("AmountTotal"), None
        if serial and serial != reference:
            raise ProtocolError("correlation", f"the answer is about {serial!r}, not {reference!r}")
        if total and not _is_sum(total, amount):
            raise ProtocolError("correlation", f"upload {reference}: the answer's total is {total}")
        for row in answer.rows("FileDescriptors", "FileDescriptor"):
            named = value_or(row, D + "UserFilename")
            if named and named != reference:
                raise ProtocolError("correlation", f"the answer is about the file {named!r}, not {reference!r}")
            bank_serial = value_or(row, D + "FileReference") or None
        return self._word(layer, answer.code, answer.text, bank_serial)

    def _word(self, layer: str, code: str, text: str, bank_serial: str | None) -> Outcome:
        return replace(self.meanings.word("uploadFile", layer, code, text), bank_serial=bank_serial)

    def _uploads_of(self, sent: Sent, context: Context, turn: Turn) -> Conversation[tuple[File, ...]]:
        """Our file at the bank. Two of its name mean that it came there twice, which we never do knowingly."""
        first, last = _days(sent, context)
        uploads = yield from self.files.listing(self.types.payment, turn, first=first, last=last)
        return tuple(one for one in uploads if sent.reference == one.name or sent.bank_serial == one.reference)

    def _status_words(
        self, sent: Sent, ours: tuple[File, ...], context: Context, turn: Turn
    ) -> Conversation[list[Outcome]]:
        """What status files say about our transaction: for each file of ours the newest of them counts."""
        first, last = _days(sent, context)
        files = yield from self.files.listing(self.types.status, turn, first=first, last=last)
        parents = ("", *(one.reference for one in ours))
        about_us = tuple(one for one in files if one.parent in parents)
        words: dict[str, Outcome] = {}
        for file, content in (yield from self.files.downloads(about_us[-DOWNLOADS_MAX:], turn)):
            said = iso.status(content)
            if said.original_id != sent.reference:
                if file.parent:
                    raise ProtocolError("correlation", f"a status file answers our upload but not {sent.reference}")
                continue
            for line in (each for one in said.groups for each in one.payments):
                if line.end_to_end_id not in ("", sent.reference):
                    raise ProtocolError("correlation", f"a status of {line.end_to_end_id!r}, not {sent.reference}")
                if line.amount not in (None, sent.amount):
                    raise ProtocolError("correlation", f"{sent.reference}: the status is about {line.amount}")
            word = report.said_of(said, sent.reference)
            if word is not None:
                text = f"{_STATUS_FILE} {word.text}".strip()
                words[file.parent] = replace(word, text=text, bank_serial=_serial(sent, ours))
        return list(words.values())

    def _booking_words(
        self, sent: Sent, ours: tuple[File, ...], context: Context, turn: Turn
    ) -> Conversation[list[Outcome]]:
        """What the debtor's account shows: notifications first, then statements made after them, or instead of them."""
        first, last = _days(sent, context)
        words: list[Outcome] = []
        shown_at: datetime | None = None
        for kind in (self.types.notification, self.types.statement):
            files = yield from self.files.listing(kind, turn, first=first, last=last)
            if shown_at is not None:
                # A booking stands in a statement that is made after it; the days before need no second reading.
                files = tuple(one for one in files if one.made_at >= shown_at)
            for file, content in (yield from self.files.downloads(files[-DOWNLOADS_MAX:], turn)):
                for account in iso.accounts(content):
                    if account.account == sent.debtor.clear:
                        found = [
                            self._booked(account.kind, entry, detail, sent, ours)
                            for entry in account.entries if not entry.fee
                            for detail in entry.details if detail.end_to_end_id == sent.reference
                        ]  # fmt: skip
                        words += found
                        shown_at = shown_at or (file.made_at if found else None)
        return words

    def _booked(
        self, message: str, entry: AccountEntry, detail: TransactionDetail, sent: Sent, ours: tuple[File, ...]
    ) -> Outcome:
        shown = entry.share(detail)
        if shown != sent.amount:
            raise ProtocolError("correlation", f"{sent.reference}: the account shows {shown}")
        payee = "" if detail.creditor is None else detail.creditor.party.account.clear
        if entry.direction is Direction.DEBIT and payee not in ("", sent.creditor.clear):
            raise ProtocolError("correlation", f"{sent.reference}: the account shows another payee's account")
        if entry.direction is Direction.DEBIT:
            check_day(entry.booked_on, sent.bank_date, sent.reference)
        key = detail.bank_reference or entry.bank_reference or entry.reference
        code, text = entry.status, f"{message} entry {key}"
        if entry.direction is Direction.CREDIT:
            # Money that comes back with our own reference, and no word why, is for people to look at.
            code = "RTRN" if detail.returned else "RVSL" if entry.reversal else f"{entry.status} CRDT"
            why = "; ".join(f"{one.code} {one.text}".strip() for one in detail.reasons)
            text = f"{message} entry {key} {why}".strip()
        word = self._word("booking", code, plain(text), _serial(sent, ours))
        return Outcome(word.fate, code, plain(text), word.bank_serial, entry.booked_at, None, word.listed)


def _days(sent: Sent, context: Context) -> tuple[date, date]:
    around = timedelta(days=1)
    return sent.bank_date - around, max(sent.bank_date, context.bank_date) + around


def _serial(sent: Sent, ours: tuple[File, ...]) -> str | None:
    return ours[0].reference if ours else sent.bank_serial


def _is_sum(said: str, amount: Money) -> bool:
    """The schema writes sums as xs:double, so "1.0E1" is ten; nothing is computed with it."""
    return _DOUBLE.fullmatch(said) is not None and Decimal(said) == Decimal(str(amount))
