"""Many orders in one message: sending them, and each order's fate in an answer, for all three kinds of message.

A line is identified by its number, which we gave it. It must then agree in account and amount, and in our own reference
if the line has it, so that equal lines never share a result. A line that is missing in the answer is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from lxml import etree

from protocols.bank import BundleConversation, Bundles, Context, Conversation, Fates, Submit
from protocols.banks.cib.fox import DONE, Answer, Fox, check_currency, read_answer
from protocols.banks.cib.table import refusal, signed_out
from protocols.canon.order import Bundle
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import BundleFateQuestion, Sent, SentBundle
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, digits, plain
from protocols.kit.orders import check_lines, own_account, sent_items
from protocols.kit.xmldoc import Markup, maybe, value, value_or

Word = Literal["batch", "payroll", "collection"]
PAID: Final = "PAYOUT"
"""XFERPRCCODE of what is paid, and also of what is only registered: then its text says 登记成功."""


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """One line of an answer. `number` counts from 1; texts are as the bank wrote them, "" if the answer leaves them
    out.

    `status` is the line's own code; `paid` is the collected amount, if it can differ; `mark` is our reference.
    """

    number: int
    account: str
    amount: str
    status: str
    text: str = ""
    mark: str = ""
    paid: str = ""


@dataclass(frozen=True, slots=True)
class Stated:
    """The body of an answer. `total` is the element with count and sum, `ours` our own account in it; then its
    lines."""

    total: etree._Element
    lines: tuple[AnswerLine, ...]
    ours: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """One of the bank's messages for many orders, as it is written and read.

    `content` writes the message (ProtocolError if an order does not fit); `stated` reads an answer's body, None if it
    has none. `enquiry` is the operation that asks about the message, and `asking` its content. Without an enquiry the
    question is the message itself, under the bundle's TRNUID and without content.
    """

    word: Word
    operation: str
    most: int
    content: Callable[[Bundle], Markup]
    stated: Callable[[etree._Element], Stated | None]
    enquiry: str = ""
    asking: Callable[[str], Markup | None] = field(default=lambda _reference: None)


@dataclass(frozen=True, slots=True)
class BundleWords:
    """Sends and asks about bundles in one of these messages."""

    fox: Fox
    form: Form

    def words(self) -> Bundles:
        """The functions that send, read and ask, as the description of a bank needs them."""
        return Bundles(self.form.most, self.send, self.fate, self.read)

    def send(self, bundle: Bundle, context: Context) -> BundleConversation:
        """Send the bundle. Raises ProtocolError before anything is sent, and Declined if the log-on was refused."""
        check_lines(bundle, self.form.most)
        own_account(bundle)
        if any(item.order.amount.currency != "CNY" or item.order.kind is not bundle.kind for item in bundle.items):
            raise ProtocolError("value", "a bundle's lines are of one kind, in CNY")
        wire = self.fox.request(self.form.operation, context.reference, self.form.content(bundle), context)
        frame = yield Submit("business", wire)
        answer = read_answer(frame, self.form.operation)
        if not answer.signed_on:
            signed_out(self.fox.meanings, self.form.word, answer.code, answer.text)
        return self._submitted(answer, context.reference, sent_items(bundle, context))

    def read(self, sent: SentBundle, frame: bytes) -> Fates:
        """The outcomes in the stored answer to a bundle."""
        answer = read_answer(frame, self.form.operation)
        if not answer.signed_on:
            refused = self.fox.meanings.word(self.form.word, "sonrs", answer.code, answer.text)
            return {item.reference: refused for item in sent.items}
        return self._submitted(answer, sent.reference, sent.items)

    def _submitted(self, answer: Answer, reference: str, items: Sequence[Sent]) -> Fates:
        if answer.trnuid != reference:
            raise ProtocolError("correlation", f"an answer to {answer.trnuid!r}, not {reference!r}")
        if answer.code != DONE:
            outcome = refusal(self.fox.meanings, self.form.word, answer.code, answer.text, again=False)
            return {item.reference: outcome for item in items}
        return self._told(answer, items)

    def fate(self, question: BundleFateQuestion, context: Context) -> Conversation[Fates]:
        """The outcome of each item. Raises Declined if the question itself is refused."""
        sent, form = question.sent, self.form
        own = None if form.enquiry else sent.reference
        operation, content = form.enquiry or form.operation, form.asking(sent.reference)
        answer = yield from self.fox.ask(operation, "enquiry", content, context, trnuid=own)
        if answer.code == DONE:
            return self._told(answer, sent.items)
        if self.fox.meanings.table.look_up("enquiry", "asked", answer.code, answer.text) != "not_found":
            self.fox.meanings.decline("enquiry", "asked", answer.code, answer.text)
        missing = Outcome(Fate.NOT_FOUND, answer.code, plain(answer.text))
        return {item.reference: missing for item in sent.items}

    def _told(self, answer: Answer, items: Sequence[Sent]) -> Fates:
        stated = self.form.stated(answer.within)
        if stated is None:
            raise ProtocolError("missing", f"{answer.operation} is done, but the answer has no body")
        head = self._head(answer.within, stated)
        fates = self._fates(head, stated, items)
        self._check_totals(stated, items, fates)
        return fates

    def _head(self, body: etree._Element, stated: Stated) -> Outcome | None:
        """The outcome of the whole message, by XFERPRCSTS, which is inside or beside the list."""
        within = stated.total.getparent()
        for parent in (stated.total, body if within is None else within, body):
            status = maybe(parent, "XFERPRCSTS")
            if status is not None:
                code, text = value(status, "XFERPRCCODE"), value_or(status, "MESSAGE")
                return self.fox.meanings.word(self.form.word, "word", code, text)
        return None

    def _check_totals(self, stated: Stated, items: Sequence[Sent], fates: Fates) -> None:
        total, ours = stated.total, stated.ours
        count, amount = value_or(total, "TOTALCOUNT"), value_or(total, "TOTALAMOUNT")
        counts, sums = {len(items)}, {sum(item.amount.minor for item in items)}
        if self.form.word == "payroll":
            # Failed lines are subtracted from the total debit. It is not public whether the answer's totals lack them
            # too.
            failed = {reference for reference, outcome in fates.items() if outcome.fate is Fate.FAILED}
            left = [item.amount.minor for item in items if item.reference not in failed]
            counts.add(len(left))
            sums.add(sum(left))
        if count and digits(count) not in counts:
            raise ProtocolError("correlation", f"the answer is about {count} lines, we sent {len(items)}")
        if amount and amount_minor(amount) not in sums:
            raise ProtocolError("correlation", f"the answer's sum is {amount}, ours is another")
        check_currency(value_or(total, "CURSYM"))
        own = items[0].creditor if self.form.word == "collection" else items[0].debtor
        if ours and ours != own.clear:
            raise ProtocolError("correlation", "the answer is about another account of ours")

    def _fates(self, head: Outcome | None, stated: Stated, items: Sequence[Sent]) -> Fates:
        fates: dict[str, Outcome] = {}
        seen: set[int] = set()
        for line in stated.lines:
            if not 1 <= line.number <= len(items) or line.number in seen:
                raise ProtocolError("correlation", f"line {line.number} is none of ours, or comes twice")
            seen.add(line.number)
            item = items[line.number - 1]
            self._check_line(line, item)
            outcome = self._line(line, head, item)
            if outcome is not None:
                fates[item.reference] = outcome
        if not stated.lines and head is not None and head.fate is not Fate.SETTLED:
            # One outcome for all items: taken, waiting, or refused as a whole. "Done" without lines proves nothing of
            # any item.
            fates = {item.reference: head for item in items}
        return fates

    def _check_line(self, line: AnswerLine, item: Sent) -> None:
        other = item.debtor if self.form.word == "collection" else item.creditor
        if line.account and line.account != other.clear:
            raise ProtocolError("correlation", f"line {line.number} is about another account")
        if line.amount and amount_minor(line.amount) != item.amount.minor:
            raise ProtocolError("correlation", f"line {line.number} has another amount")
        if line.mark and line.mark != item.reference:
            raise ProtocolError("correlation", f"line {line.number} carries another reference")

    def _line(self, line: AnswerLine, head: Outcome | None, item: Sent) -> Outcome | None:
        """The outcome of a line; in doubt if that of the whole message contradicts it. None if nothing is known of the
        line."""
        if not line.status:
            return head if head is not None and head.fate is not Fate.SETTLED else None
        told = self.fox.meanings.word(self.form.word, "line", line.status, line.text)
        if told.fate is Fate.SETTLED and _registered(head):
            # The bank has put the whole message on its list for later, so no line of it can be paid.
            return replace(told, fate=Fate.PENDING)
        if line.paid and told.fate is Fate.SETTLED and amount_minor(line.paid) != item.amount.minor:
            return replace(told, fate=Fate.UNKNOWN, listed=False)
        # A batch has a code for "paid in part" (PART_PAYOUT). So PAYOUT beside a line that is not paid is a
        # contradiction.
        decisive = (Fate.SETTLED, Fate.FAILED) if self.form.word == "batch" else (Fate.FAILED,)
        if head is not None and head.fate in decisive and told.fate is not head.fate:
            return replace(told, fate=Fate.UNKNOWN, listed=False)
        return told


def _registered(head: Outcome | None) -> bool:
    """True if the outcome of the whole message is PAYOUT in its second meaning: 登记成功, registered and not paid."""
    return head is not None and head.code == PAID and head.fate is Fate.PENDING
