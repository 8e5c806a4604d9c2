"""Many orders in one message: DLPAYBAT (批量支付), DLSALIMP (代发工资), DLAGENTF (代扣), and the state of each line.

A line has a key of its own: ID in a batch, employeeNo in a payroll, and in a collection, which has none, our reference
at the beginning of its abstract. Only the key tells lines apart, never account, name and amount.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lxml import etree

from protocols.bank import Ask, BundleConversation, Bundles, Context, Conversation, Fates, Submit
from protocols.banks.citic.payment import (
    ENDED,
    NOW,
    PAYEE_CHARS,
    PAYER_CHARS,
    TEXT_BYTES,
    Payments,
    amount,
    bank_code,
    name,
    reference,
    text,
)
from protocols.banks.citic.table import not_told
from protocols.banks.citic.wire import Answer, Leaves, rows, status_of
from protocols.canon.order import AnyOrder, Bundle, Item, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import BundleFateQuestion, Sent, SentBundle
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, amount_text, digits, plain
from protocols.kit.orders import check_lines, common_purpose, fitting, own_account, sent_items
from protocols.kit.xmldoc import value, value_or

PAGE_LINES: Final = 20
"""pageNumber of DLSALDET is how many rows are wanted, 20 at most."""
LINE_TEXT_BYTES: Final = TEXT_BYTES - 21
"""What the reference and a blank leave of a line's text."""
_PAGES_MOST: Final = 6000


@dataclass(frozen=True, slots=True)
class Form:
    """How one kind of bundle is written, and asked about. `key` numbers a line with so many `places`."""

    submit: str
    detail: str
    operation: str
    key: str
    places: int
    account: str
    paged: bool


FORMS: Final[Mapping[Kind, Form]] = {
    Kind.BATCH_ITEM: Form("DLPAYBAT", "DLBATDET", "batch", "ID", 4, "recAccountNo", paged=False),
    Kind.PAYROLL_ITEM: Form("DLSALIMP", "DLSALDET", "batch", "employeeNo", 5, "recAccountNo", paged=True),
    Kind.COLLECTION: Form("DLAGENTF", "DLAGEDET", "collection", "", 0, "payAccountNo", paged=True),
}


@dataclass(frozen=True, slots=True)
class Together:
    """Sends and asks about one kind of bundle."""

    payments: Payments
    kind: Kind
    most: int

    @property
    def bundles(self) -> Bundles:
        """As the bank offers it."""
        return Bundles(self.most, self.word, self.fate, self.read)

    @property
    def form(self) -> Form:
        """How this kind is written."""
        return FORMS[self.kind]

    # ---- handing in -------------------------------------------------------------------------------------------

    def word(self, bundle: Bundle, context: Context) -> BundleConversation:
        """All items in one message. Raises ProtocolError before anything is sent if one of them does not fit."""
        check_lines(bundle, self.most)
        for item in bundle.items:
            reference(item.reference)
        head, lines = self._written(bundle, context)
        wire = self.payments.wire.message(self.form.submit, head, rows(lines))
        frame = yield Submit("business", wire, (self.form.submit,))
        answer = self.payments.wire.read(frame, self.form.submit)
        return self.submitted(answer, context.reference, sent_items(bundle, context))

    def _written(self, bundle: Bundle, context: Context) -> tuple[Leaves, list[Leaves]]:
        numbered = list(enumerate(bundle.items, start=1))
        total = (
            ("clientID", reference(context.reference)), ("totalNumber", str(len(numbered))),
            ("totalAmount", amount_text(bundle.sum_minor)),
        )  # fmt: skip
        if self.kind is Kind.BATCH_ITEM:
            return total, [self._payment(number, item, context) for number, item in numbered]
        account = fitting(own_account(bundle), "own account", PAYER_CHARS)
        if self.kind is Kind.COLLECTION:
            return (*total, ("rcvAccountNo", account)), [_collection(item) for item in bundle.items]
        purpose, message = text(common_purpose(bundle)), self.payments.options.payroll_message
        head = (
            *total, ("payAccountNo", account), ("abstract", purpose), ("msgAbstract", message), *NOW,
            ("yearMonth", f"{context.bank_date:%Y%m}"),
        )  # fmt: skip
        return head, [self._wage(number, item, told=bool(purpose)) for number, item in numbered]

    def _payment(self, number: int, item: Item, context: Context) -> Leaves:
        order = item.order
        return (
            ("ID", f"{number:04d}"), ("payAccountNo", fitting(order.debtor.account.clear, "payAccountNo", PAYER_CHARS)),
            ("recAccountNo", _account(order)), ("recAccountName", name(order)),
            ("recOpenBankCode", bank_code(order)),
            ("payType", self.payments.rail(order, context.now, night=False)), ("tranAmount", amount(order)),
            ("abstract", text(order.purpose)), ("memo", self._told(item)),
        )  # fmt: skip

    def _wage(self, number: int, item: Item, *, told: bool) -> Leaves:
        """`told`: the message's abstract says what for; where lines differ, each says it in wagDetl."""
        purpose = "" if told else text(item.order.purpose, LINE_TEXT_BYTES)
        return (
            ("employeeNo", f"{number:05d}"), ("employeeName", name(item.order)), ("recAccountNo", _account(item.order)),
            ("tranAmount", amount(item.order)), ("wagDetl", f"{self._told(item)} {purpose}".strip()),
        )  # fmt: skip

    def _told(self, item: Item) -> str:
        return item.reference if self.payments.options.line_reference else ""

    # ---- the answer to it -------------------------------------------------------------------------------------

    def read(self, sent: SentBundle, frame: bytes) -> Fates:
        """The stored answer to the message that was written down as `sent`."""
        return self.submitted(self.payments.wire.read(frame, self.form.submit), sent.reference, sent.items)

    def submitted(self, answer: Answer, client: str, items: tuple[Sent, ...]) -> Fates:
        """The bank's word on each line it lists; where it lists none, its word on the whole message for all of them.

        The message's own word is acceptance at most. One that is none counts for the lines too, whatever they say.
        """
        _check_message(answer.root, client, items)
        word = self.payments.meanings.word("submit", "outer", answer.status, answer.text)
        lines = self._lines(answer.rows, items)
        if word.fate is Fate.PENDING or (word.fate is Fate.UNKNOWN and answer.status == "BBBBBBB" and lines):
            if not lines:
                return {one.reference: word for one in items}
            return {key: self._word(row, "submit") for key, row in lines.items()}
        if word.fate is Fate.FAILED and lines:
            word = Outcome(Fate.UNKNOWN, word.code, word.text, listed=False)
        return {one.reference: word for one in items}

    # ---- what became of it ------------------------------------------------------------------------------------

    def fate(self, question: BundleFateQuestion, context: Context) -> Conversation[Fates]:
        """Every line by the message's clientID. Raises Declined if the question is answered with a status.

        Lines are numbered alike in every message, and answers seldom say which message they are about. So a page with
        an ending on it is asked for twice, over two connections, and an ending is believed if both say the same.
        """
        sent, form = question.sent, self.form
        found: dict[str, Outcome] = {}
        page = _Page({})
        begin = 1
        for _ in range(_PAGES_MOST):
            try:
                page = yield from self._page(sent, begin)
            except Declined:
                # Without a total the page after the last one is asked for too, and whatever answers it ends the walk.
                if not found or page.total is not None:
                    raise
                break
            if page.nothing is not None:
                if found:
                    break
                return {one.reference: page.nothing for one in sent.items}
            words = page.words
            if self.payments.options.confirm and any(word.fate in ENDED for word in words.values()):
                again = yield from self._page(sent, begin)
                words = {key: _agreed(word, again.words.get(key)) for key, word in words.items()}
            if words.keys() & found.keys():
                raise ProtocolError("paging", f"{form.detail} tells a line twice")
            found |= words
            begin += len(words)
            if not form.paged or not words or len(found) == len(sent.items):
                break
            if begin > page.total if page.total is not None else len(words) < PAGE_LINES:
                break
        if not found:
            nowhere = Outcome(Fate.NOT_FOUND, text="no line under this clientID")
            return {one.reference: nowhere for one in sent.items}
        return found

    def _page(self, sent: SentBundle, begin: int) -> Conversation[_Page]:
        """The lines from number `begin` on, or the bank's "not found". Raises Declined on another status."""
        wire, form = self.payments.wire, self.form
        place = (("pageNumber", str(PAGE_LINES)), ("startRecord", str(begin))) if form.paged else ()
        asked = (("clientID", reference(sent.reference)), *place)
        answer = wire.read((yield Ask("business", wire.message(form.detail, asked))), form.detail)
        _check_message(answer.root, sent.reference, sent.items)
        if not answer.done:
            return _Page({}, nothing=not_told(self.payments.meanings, form.detail, form.operation, answer))
        lines = self._lines(answer.rows, sent.items)
        stated = value_or(answer.root, "totalRecords")
        total = digits(stated) if stated else None
        if total is not None and total > len(sent.items):
            raise ProtocolError("correlation", f"the answer is about a message of {total} lines")
        return _Page({key: self._word(row, form.operation) for key, row in lines.items()}, total)

    def _word(self, row: etree._Element, operation: str) -> Outcome:
        status = status_of(row)
        return self.payments.meanings.word(operation, "row", status, plain(value_or(row, "statusText")))

    def _lines(self, found: list[etree._Element], items: tuple[Sent, ...]) -> dict[str, etree._Element]:
        """The rows by our reference. Raises "correlation" on another's, "ambiguous" on one that comes twice."""
        lines: dict[str, etree._Element] = {}
        for row in found:
            item = self._item(row, items)
            if item.reference in lines:
                raise ProtocolError("ambiguous", f"two lines answer {item.reference!r}")
            theirs = item.debtor if self.kind is Kind.COLLECTION else item.creditor
            stated, paid = value_or(row, self.form.account), value_or(row, "tranAmount")
            if (stated and stated != theirs.clear) or (paid and amount_minor(paid) != item.amount.minor):
                raise ProtocolError("correlation", f"{item.reference}: the line has another account or amount")
            lines[item.reference] = row
        return lines

    def _item(self, row: etree._Element, items: tuple[Sent, ...]) -> Sent:
        if not self.form.key:
            stated = value(row, "abstract").partition(" ")[0]
            found = next((one for one in items if one.reference == stated), None)
        else:
            number = digits(value(row, self.form.key), most=self.form.places)
            found = items[number - 1] if 1 <= number <= len(items) else None
        if found is None:
            raise ProtocolError("correlation", "a line that is not in this message")
        return found


@dataclass(frozen=True, slots=True)
class _Page:
    """What one answer to an enquiry says: its lines, how many there are in all if it says so, or "not found"."""

    words: Mapping[str, Outcome]
    total: int | None = None
    nothing: Outcome | None = None


def _agreed(word: Outcome, again: Outcome | None) -> Outcome:
    """A line's word after it was asked for twice: two answers that differ, one of them an ending, are doubt."""
    if again is not None and (again.fate, again.code) == (word.fate, word.code):
        return again
    if word.fate not in ENDED and (again is None or again.fate not in ENDED):
        return word
    both = f"{word.code}, then {again.code if again is not None else 'nothing'}"
    return Outcome(Fate.UNKNOWN, code=both, text="two answers to one question differ", listed=False)


def _check_message(root: etree._Element, client: str, items: tuple[Sent, ...]) -> None:
    """Raises "correlation" if the answer states another clientID, count or sum than this message's."""
    stated, count, total = (value_or(root, tag) for tag in ("clientID", "totalNumber", "totalAmount"))
    if stated not in ("", client):
        raise ProtocolError("correlation", f"the answer is about {stated!r}, not {client!r}")
    if (count and digits(count) != len(items)) or (
        total and amount_minor(total) != sum(one.amount.minor for one in items)
    ):
        raise ProtocolError("correlation", f"the answer is to a message of {count} lines and {total}")


def _collection(item: Item) -> Leaves:
    order = item.order
    return (
        ("payAccountNo", fitting(order.debtor.account.clear, "payAccountNo", PAYEE_CHARS)),
        ("payAccountName", name(order)), ("tranAmount", amount(order)),
        ("abstract", f"{item.reference} {text(order.purpose, LINE_TEXT_BYTES)}".rstrip()),
    )  # fmt: skip


def _account(order: AnyOrder) -> str:
    return fitting(order.creditor.account.clear, "recAccountNo", PAYEE_CHARS)
