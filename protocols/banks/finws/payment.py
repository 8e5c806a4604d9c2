"""Orders to the bank: the upload of a file with one payment or several, and the outcomes in answers and reports."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from protocols.bank import (
    BundleConversation,
    Bundles,
    Context,
    Conversation,
    Fates,
    MoneyConversation,
    MoneyStep,
    Submit,
)
from protocols.banks.finws import iso
from protocols.banks.finws.climb import Asked, Climb, Types
from protocols.banks.finws.files import Files
from protocols.banks.finws.messages import Answer
from protocols.banks.finws.names import D
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Bundle, Item, Kind
from protocols.canon.outcome import Outcome
from protocols.canon.query import BundleFateQuestion, FateQuestion, Sent, SentBundle
from protocols.kit.errors import ProtocolError
from protocols.kit.meanings import Meanings
from protocols.kit.orders import check_lines, own_account
from protocols.kit.xmldoc import value_or

KINDS: Final = (Kind.PAYMENT, Kind.TRANSFER)
TOGETHER: Final = (Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION)
_DOUBLE: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?([eE][+]?[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class Payments:
    """Sends orders, one or many in a file, reads the answers, and asks for the outcomes."""

    files: Files
    types: Types
    meanings: Meanings
    writing: iso.Writing

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """Upload the order as a file of its own. Raises ProtocolError before the Submit if it cannot be written."""
        item = Item(order, context.reference)
        answer = yield from self._upload(order.kind, (item,), order.amount, context)
        return self._taken(answer, context.reference, order.amount, "first")

    def _upload(
        self, kind: Kind, items: Sequence[Item], total: Money, context: Context
    ) -> Generator[MoneyStep, bytes, Answer]:
        """Send the file once. The context's reference is its MsgId, its name and its serial."""
        turn = self.files.wire.turn(context)
        content = self.writing.file(context.reference, kind, items, context)
        request_id, data = yield from self.files.upload(
            self._climb(kind).upload, content, context.reference, turn, total=str(total), count=len(items)
        )
        own = items[0].order.terms.end_to_end_id if len(items) == 1 and self.writing.end_to_end == iso.PAYER_S else ""
        # Stored for the enquiry: the number that only this file's one payment has; or the group of each payment of the
        # file.
        more = own or iso.members(kind, items)
        said = yield Submit("business", data, (request_id, more) if more else (request_id,))
        secret = context.credentials.get("decryption_key", "")
        return self.files.wire.read(said, "uploadFile", (request_id,), secret, context.now.date())

    def read(self, kind: Kind, sent: Sent, data: bytes) -> Outcome:
        """The outcome of the answer to the same bytes sent again: only "accepted", or proof that the bank had received
        them before."""
        if kind not in KINDS:
            raise ProtocolError("value", f"this bank carries no {kind.value} by itself")
        answer = self.files.wire.read(data, "uploadFile", sent.serials[:1])
        return self._taken(answer, sent.reference, sent.amount, "repeat")

    def fate(self, question: FateQuestion, context: Context) -> Conversation[Outcome]:
        """The outcome of a payment, from every kind of file that the bank offers. Raises Declined if the bank does not
        answer."""
        sent = question.sent
        asked = Asked(sent.reference, sent.bank_serial, sent.bank_date, {sent.reference: sent}, sent.serials[1:])
        found = yield from self._climb(Kind.PAYMENT).fates(asked, context)
        return found[sent.reference]

    def together(self, kind: Kind, most: int) -> Bundles:
        """The functions for sending several orders of a kind in one file."""
        made = _Together(self, kind, most)
        return Bundles(most, made.word, made.fate, made.read)

    def _climb(self, kind: Kind) -> Climb:
        collects = kind is Kind.COLLECTION
        upload = self.types.collection if collects else self.types.payment
        return Climb(self.files, self.types, self.meanings, upload, collects)

    def _taken(self, answer: Answer, reference: str, amount: Money, layer: str) -> Outcome:
        """The outcome of an answer to an upload. If the answer names serial, sum or file, they must be ours."""
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
        word = self.meanings.word("uploadFile", layer, answer.code, answer.text)
        return replace(word, bank_serial=bank_serial)


@dataclass(frozen=True, slots=True)
class _Together:
    """Sends orders of one kind in one file. The file is accepted or not; afterwards each order has its own outcome."""

    payments: Payments
    kind: Kind
    most: int

    def word(self, bundle: Bundle, context: Context) -> BundleConversation:
        """Upload all orders as one file. Raises ProtocolError before the Submit if one of them cannot be written."""
        check_lines(bundle, self.most)
        own_account(bundle)
        total = Money(bundle.sum_minor, bundle.items[0].order.amount.currency)
        answer = yield from self.payments._upload(self.kind, bundle.items, total, context)
        taken = self.payments._taken(answer, context.reference, total, "first")
        return {item.reference: taken for item in bundle.items}

    def read(self, sent: SentBundle, data: bytes) -> Fates:
        """The outcome of a stored answer, which must be an answer to one of our messages."""
        answer = self.payments.files.wire.read(data, "uploadFile", sent.serials[:1])
        total = Money(sum(item.amount.minor for item in sent.items), sent.items[0].amount.currency)
        taken = self.payments._taken(answer, sent.reference, total, "first")
        return {item.reference: taken for item in sent.items}

    def fate(self, question: BundleFateQuestion, context: Context) -> Conversation[Fates]:
        """Ask for the outcome of each order."""
        sent = question.sent
        items = {item.reference: item for item in sent.items}
        told = "".join(sent.serials[1:])
        groups = iso.groups_of(sent.reference, told, tuple(items)) if sent.serials else {}
        asked = Asked(sent.reference, sent.bank_serial, sent.bank_date, items, (), groups)
        return (yield from self.payments._climb(self.kind).fates(asked, context))


def _is_sum(said: str, amount: Money) -> bool:
    """True if the text is a number of xs:double, as the schema writes sums ("1.0E1" is ten). It is not used for
    arithmetic."""
    return _DOUBLE.fullmatch(said) is not None and Decimal(said) == Decimal(str(amount))
