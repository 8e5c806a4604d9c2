"""Many orders in one message: DLPAYBAT (批量支付), DLSALIMP (代发工资), DLAGENTF (代扣), and the state of each line.

A line has a key of its own: employeeNo in a payroll, our reference at the beginning of a collection's abstract. A
batch's line is asked about without its ID (banks/citic.md 9): there our reference in memo is the key. Where the bank
leaves memo empty, it is the line's place, if as many lines are told as were sent and account and amount agree. The
summary of messages is asked for before the detail of one: the bank's must-read rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
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
from protocols.banks.citic.statement import CameBack, Statements
from protocols.banks.citic.table import not_told
from protocols.banks.citic.wire import Answer, Leaves, rows, status_of
from protocols.canon.order import AnyOrder, Bundle, Item, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import BundleFateQuestion, Sent, SentBundle
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, amount_text, date_text, digits, plain
from protocols.kit.orders import check_lines, common_purpose, fitting, own_account, sent_items
from protocols.kit.xmldoc import value, value_or

PAGE_LINES: Final = 20
"""pageNumber of DLSALDET is how many rows are wanted, 20 at most."""
LINE_TEXT_BYTES: Final = TEXT_BYTES - 21
"""What the reference and a blank leave of a line's text."""
_PAGES_MOST: Final = 6000
_DAY: Final = timedelta(days=1)


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
    summary: str


FORMS: Final[Mapping[Kind, Form]] = {
    Kind.BATCH_ITEM: Form("DLPAYBAT", "DLBATDET", "batch", "ID", 4, "recAccountNo", paged=False, summary="DLBATCOL"),
    Kind.PAYROLL_ITEM: Form("DLSALIMP", "DLSALDET", "batch", "employeeNo", 5, "recAccountNo", paged=True,
                            summary="DLSALCOL"),
    Kind.COLLECTION: Form("DLAGENTF", "DLAGEDET", "collection", "", 0, "payAccountNo", paged=True, summary="DLAGECOL"),
}


@dataclass(frozen=True, slots=True)
class Together:
    """Sends and asks about one kind of bundle."""

    payments: Payments
    kind: Kind
    most: int
    statements: Statements | None = None
    """Where entries state whose they are: they tell which line came back, and no other message does."""

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
            return (*total, *NOW), [self._payment(number, item, context) for number, item in numbered]
        account = fitting(own_account(bundle), "own account", PAYER_CHARS)
        if self.kind is Kind.COLLECTION:
            return (*total, *NOW, ("rcvAccountNo", account)), [_collection(item) for item in bundle.items]
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
            ("abstract", text(order.purpose)), ("memo", item.reference),
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
        an ending on it is asked for twice, over two connections, and an ending is believed if both say the same. So is
        "not found": an empty answer to any other question looks like it.
        """
        sent, form = question.sent, self.form
        waiting = (yield from self._summary(sent)) if self.payments.options.summary_first else None
        if waiting is not None:
            return {one.reference: waiting for one in sent.items}
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
                return (yield from self._absent(sent, page.nothing))
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
            return (yield from self._absent(sent, Outcome(Fate.NOT_FOUND, text="no line under this clientID")))
        settled = [one for one in sent.items if one.reference in found and found[one.reference].fate is Fate.SETTLED]
        if self.statements is not None and settled and all(one.fate in ENDED for one in found.values()):
            own = settled[0].creditor if self.kind is Kind.COLLECTION else settled[0].debtor
            back = yield from self.statements.came_back(own, sent.bank_date - _DAY, context)
            found |= self._returned(sent.reference, settled, back)
        return found

    def _absent(self, sent: SentBundle, word: Outcome) -> Conversation[Fates]:
        """`word` on all lines of a message of which the bank lists none; doubt where the same question finds some."""
        if word.fate is Fate.NOT_FOUND and self.payments.options.confirm:
            again = yield from self._page(sent, 1)
            if again.words or (again.nothing is not None and again.nothing.fate is not Fate.NOT_FOUND):
                word = Outcome(Fate.UNKNOWN, word.code, "two answers to one question differ", listed=False)
        return {one.reference: word for one in sent.items}

    def _returned(self, message: str, settled: Sequence[Sent], back: Sequence[CameBack]) -> Fates:
        """The lines that came back, by their own number, or by account and amount under the message's.

        Where fewer came back than are alike in both, which ones they are is not said: all alike are in doubt.
        """
        words: dict[str, Outcome] = {}
        alike: dict[tuple[str, int], list[Sent]] = {}
        for one in settled:
            if any(each.number == one.reference and each.amount == one.amount for each in back):
                words[one.reference] = Outcome(Fate.RETURNED, "e3rtFlag 0", "its entry came back")
                continue
            theirs = one.debtor if self.kind is Kind.COLLECTION else one.creditor
            alike.setdefault((theirs.clear, one.amount.minor), []).append(one)
        for (other, minor), lines in alike.items():
            ours = (message, other, minor)
            told = [each for each in back if (each.number, each.other, each.amount.minor) == ours]
            if not told:
                continue
            word = Outcome(Fate.RETURNED, "e3rtFlag 0", told[0].text)
            if len(told) < len(lines):
                some = f"{len(told)} of {len(lines)} lines that are alike came back; ask the bank which"
                word = Outcome(Fate.UNKNOWN, "e3rtFlag 0", some)
            words |= {one.reference: word for one in lines}
        return words

    def _summary(self, sent: SentBundle) -> Conversation[Outcome | None]:
        """…COL over the message's day or month. The word on all lines where it says that the message is under way.

        Whatever else it says, or not, the detail decides: also where it states another count or sum, as of a message
        of which the bank has a part. Raises Declined on a status.
        """
        wire, form, day = self.payments.wire, self.form, sent.bank_date
        span = (("startDate", date_text(day - _DAY)), ("endDate", date_text(day + _DAY)))
        asked = (("yearMonth", f"{day:%Y%m}"),) if self.kind is Kind.PAYROLL_ITEM else span
        answer = wire.read((yield Ask("business", wire.message(form.summary, asked))), form.summary)
        if not answer.done:
            if not self.payments.meanings.is_empty("question", "outer", answer.status, answer.text):
                not_told(self.payments.meanings, form.summary, form.operation, answer)
            return None
        ours = [row for row in answer.rows if value_or(row, "clientID") == sent.reference]
        if len(ours) != 1 or not value_or(ours[0], "status"):
            return None
        try:
            _check_message(ours[0], sent.reference, sent.items)
        except ProtocolError:
            return None
        word = self._word(ours[0], form.operation)
        return word if word.fate is Fate.PENDING else None

    def _page(self, sent: SentBundle, begin: int) -> Conversation[_Page]:
        """The lines from number `begin` on, or the bank's "not found". Raises Declined on another status."""
        wire, form = self.payments.wire, self.form
        place = (("pageNumber", str(PAGE_LINES)), ("startRecord", str(begin))) if form.paged else ()
        asked = (("clientID", reference(sent.reference)), *place)
        answer = wire.read((yield Ask("business", wire.message(form.detail, asked))), form.detail)
        _check_message(answer.root, sent.reference, sent.items)
        if not answer.done:
            return _Page({}, nothing=not_told(self.payments.meanings, form.detail, form.operation, answer))
        stated = value_or(answer.root, "totalRecords")
        total = digits(stated) if stated else None
        if total is not None and total > len(sent.items):
            raise ProtocolError("correlation", f"the answer is about a message of {total} lines")
        if self.kind is Kind.BATCH_ITEM:
            return _Page(self._batch_words(answer.rows, sent.items), total)
        lines = self._lines(answer.rows, sent.items)
        return _Page({key: self._word(row, form.operation) for key, row in lines.items()}, total)

    def _batch_words(self, found: list[etree._Element], items: tuple[Sent, ...]) -> dict[str, Outcome]:
        """The words of DLBATDET's rows, by our reference in memo; without it by their place, account and amount.

        Where places decide, lines that are alike in account and amount and have different words are in doubt: which of
        them is which, nothing in the answer tells.
        """
        whole, ours = len(found) == len(items), {item.reference: item for item in items}
        words: dict[str, Outcome] = {}
        placed: dict[tuple[str, int], list[str]] = {}
        for place, row in enumerate(found):
            memo = value_or(row, "memo")
            item = ours.get(memo) if memo else items[place] if whole else None
            if item is None:
                if memo:
                    raise ProtocolError("correlation", f"a line is about {memo!r}, which is not in this message")
                continue
            if item.reference in words:
                raise ProtocolError("ambiguous", f"two lines answer {item.reference!r}")
            self._same(row, item, must=not memo)
            words[item.reference] = self._word(row, "batch")
            if not memo:
                placed.setdefault((item.creditor.clear, item.amount.minor), []).append(item.reference)
        for alike in placed.values():
            if len({(words[one].fate, words[one].code) for one in alike}) > 1:
                mixed = "lines that are alike have different words, and no memo"
                words |= {one: replace(words[one], fate=Fate.UNKNOWN, text=mixed, listed=False) for one in alike}
        if found and not words:
            raise ProtocolError("missing", f"{len(found)} lines without memo of a message of {len(items)}")
        return words

    def _same(self, row: etree._Element, item: Sent, *, must: bool = False) -> None:
        """Raises "correlation" on another account or amount; with `must`, "missing" if one of them is not stated."""
        theirs = item.debtor if self.kind is Kind.COLLECTION else item.creditor
        stated, paid = value_or(row, self.form.account), value_or(row, "tranAmount")
        if must and not (stated and paid):
            raise ProtocolError("missing", f"{item.reference}: a line with neither memo nor account and amount")
        if (stated and stated != theirs.clear) or (paid and amount_minor(paid) != item.amount.minor):
            raise ProtocolError("correlation", f"{item.reference}: the line has another account or amount")

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
            self._same(row, item)
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
