"""Orders: PAYENT, PAYPER and PERDIS, and the enquiries after them.

Each takes at most three exchanges: the bank's work date if the settings ask for it, the sign port, then the one Submit.
Every step before the Submit may be repeated, because it is no instruction to the bank.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import date
from typing import Final

from protocols.bank import BundleConversation, Context, Conversation, Fates, MoneyConversation, MoneyStep, Submit
from protocols.banks.icbc.options import Options
from protocols.banks.icbc.package import COLLECTIONS, PAYMENTS, PAYROLL, Package, PackageOperations, sole
from protocols.banks.icbc.requests import WrittenMessage, WrittenPackage
from protocols.banks.icbc.requests import package as package_of
from protocols.banks.icbc.statement import Statements
from protocols.banks.icbc.wire import Message, Refused, Wire, read_answer
from protocols.canon.order import AnyOrder, Bundle, Item, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import BundleFateQuestion, FateQuestion, Sent, SentBundle
from protocols.kit.errors import ProtocolError
from protocols.kit.meanings import Meanings
from protocols.kit.orders import check_lines, own_account, sent_items

SINGLE: Final = (Kind.PAYMENT, Kind.TRANSFER)
_SILENT: Final = Outcome(Fate.UNKNOWN, text="the answer has no line about this payment", listed=False)


def words_of(kind: Kind, options: Options) -> PackageOperations:
    """The operations for a kind of order."""
    if kind is Kind.COLLECTION:
        return COLLECTIONS
    return PAYROLL if kind is Kind.PAYROLL_ITEM and options.payroll == "payper" else PAYMENTS


@dataclass(frozen=True, slots=True)
class Payments:
    """Sends the orders of one login, reads the answers, and asks for the outcomes."""

    options: Options
    wire: Wire
    meanings: Meanings
    statements: Statements

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """Send one order as a package of one line under the payment's own reference. Raises ProtocolError before
        anything is sent."""
        if order.kind not in SINGLE:
            raise ProtocolError("value", f"icbc sends no single {order.kind.value}")
        fates = yield from self._send(Bundle(order.kind, (Item(order, context.reference),)), context)
        return sole(fates, context.reference, _SILENT)

    def read(self, kind: Kind, sent: Sent, frame: bytes) -> Outcome:
        """The outcome in the stored answer to a single payment."""
        if kind not in SINGLE:
            raise ProtocolError("value", f"icbc sends no single {kind.value}")
        package = Package(PAYMENTS, sent.reference, (sent,))
        return sole(package.submitted(self._answer(frame, package), self.meanings), sent.reference, _SILENT)

    def fate(self, question: FateQuestion, context: Context) -> Conversation[Outcome]:
        """The outcome of a payment, by QPAYENT with our own number of the package."""
        sent = question.sent
        fates = yield from self._enquire(Package(PAYMENTS, sent.reference, (sent,)), context)
        return sole(fates, sent.reference, _SILENT)

    # ---- bundles ----

    def send_bundle(self, bundle: Bundle, context: Context) -> BundleConversation:
        """Send a package with a line for each item. Raises ProtocolError before anything is sent."""
        check_lines(bundle, self.options.package_lines)
        return (yield from self._send(bundle, context))

    def read_bundle(self, kind: Kind) -> Callable[[SentBundle, bytes], Fates]:
        """The function that reads the stored answer to a bundle of this kind."""

        def read(sent: SentBundle, frame: bytes) -> Fates:
            package = Package(words_of(kind, self.options), sent.reference, sent.items)
            return package.submitted(self._answer(frame, package), self.meanings)

        return read

    def bundle_fate(self, kind: Kind) -> Callable[[BundleFateQuestion, Context], Conversation[Fates]]:
        """The function that asks for the fates of a bundle of this kind."""

        def fate(question: BundleFateQuestion, context: Context) -> Conversation[Fates]:
            sent = question.sent
            return self._enquire(Package(words_of(kind, self.options), sent.reference, sent.items), context)

        return fate

    # ---- what all of them share ----

    def _send(self, bundle: Bundle, context: Context) -> Generator[MoneyStep, bytes, Fates]:
        own_account(bundle)
        if any(item.order.kind is not bundle.kind for item in bundle.items):
            raise ProtocolError("value", f"a package carries orders of one kind, here {bundle.kind.value}")
        package = Package(words_of(bundle.kind, self.options), context.reference, sent_items(bundle, context))

        def document(on: date) -> bytes:
            inner = package_of(WrittenPackage(bundle, on, context.now, self.options))
            return self.wire.document(package.words.submit, package.reference, on, context.now, inner)

        day = context.bank_date
        signed = document(day)  # so that an order that cannot be written is found before the first exchange
        if self.options.work_date == "balance":
            day = yield from self.statements.work_date(bundle.items[0].order.ours.account, context)
            signed = document(day)
        signature = yield from self.wire.signed(signed)
        message = WrittenMessage(package.words.submit, package.reference, day, context.now, self.options, signature)
        frame = yield Submit("business", self.wire.posted(message))
        return package.submitted(self._answer(frame, package), self.meanings)

    def _answer(self, frame: bytes, package: Package) -> Message | Refused:
        return read_answer(frame, package.words.submit, package.reference, self.options.cis)

    def _enquire(self, package: Package, context: Context) -> Conversation[Fates]:
        answer = yield from self.wire.ask(
            package.words.enquiry,
            context.serials[0],
            context.bank_date,
            context.now,
            package.asked(new=self.options.is_new),
        )
        return package.told(answer, self.meanings)
