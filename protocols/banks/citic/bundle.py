"""Many orders in one message: DLPAYBAT (批量支付), DLSALIMP (代发工资), DLAGENTF (代扣), and the state of each line.

A line has a key of its own: employeeNo in a payroll, our reference at the beginning of a collection's abstract. A
batch's line is asked about without its ID (banks/citic.md 9), and our reference in memo is the key. If the bank leaves
memo empty, the key is the line's place, provided that the answer has as many lines as were sent and that account and
amount agree. The summary of messages is asked for before the detail of one, as the bank's page requires.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from lxml import etree

from protocols.bank import BundleConversation, Bundles, Context, Conversation, Fates, Submit
from protocols.banks.citic import requests
from protocols.banks.citic.payment import ENDED, Payments
from protocols.banks.citic.requests import PAGE_LINES, Asked, Written, WrittenHead, client_id
from protocols.banks.citic.statement import CameBack, Statements
from protocols.banks.citic.table import handed_in, is_empty, not_told
from protocols.banks.citic.wire import Answer, rows, status_of
from protocols.canon.order import Bundle, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import BundleFateQuestion, Sent, SentBundle
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, digits, plain
from protocols.kit.orders import check_lines, sent_items
from protocols.kit.request_fields import RequestTable
from protocols.kit.xmldoc import value, value_or

_PAGES_MOST: Final = 6000
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Form:
    """The messages and elements of one kind of bundle. `key` is the element with a line's number, which has `places`
    digits."""

    head: RequestTable[WrittenHead]
    row: RequestTable[Written]
    summary: RequestTable[Asked]
    detail: RequestTable[Asked]
    operation: str
    account: str
    key: str = ""
    places: int = 0
    paged: bool = True

    @property
    def submit(self) -> str:
        """The action that hands a bundle in."""
        return self.head.operation


FORMS: Final[Mapping[Kind, Form]] = {
    Kind.BATCH_ITEM: Form(
        requests.DLPAYBAT,
        requests.DLPAYBAT_ROW,
        requests.DLBATCOL,
        requests.DLBATDET,
        "batch",
        "recAccountNo",
        "ID",
        4,
        paged=False,
    ),
    Kind.PAYROLL_ITEM: Form(
        requests.DLSALIMP,
        requests.DLSALIMP_ROW,
        requests.DLSALCOL,
        requests.DLSALDET,
        "batch",
        "recAccountNo",
        "employeeNo",
        5,
    ),
    Kind.COLLECTION: Form(
        requests.DLAGENTF, requests.DLAGENTF_ROW, requests.DLAGECOL, requests.DLAGEDET, "collection", "payAccountNo"
    ),
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
        """The functions that send, read and ask, as the description of a bank needs them."""
        return Bundles(self.most, self.word, self.fate, self.read)

    @property
    def form(self) -> Form:
        """The messages and elements of this kind."""
        return FORMS[self.kind]

    # ---- handing in -------------------------------------------------------------------------------------------

    def word(self, bundle: Bundle, context: Context) -> BundleConversation:
        """Send all items in one message. Raises ProtocolError before anything is sent if an item does not fit."""
        check_lines(bundle, self.most)
        options, form = self.payments.options, self.form
        head = WrittenHead(bundle, context.reference, options, context.bank_date)
        lines = [
            Written(
                item.order,
                client_id(item.reference),
                options,
                context.now,
                number,
                told=bool(head.purpose),
                night=False,
            )
            for number, item in enumerate(bundle.items, start=1)
        ]
        wire = self.payments.wire.request(form.head, head, rows(form.row, lines))
        answer = self.payments.wire.read((yield Submit("business", wire, (form.submit,))), form.submit)
        return self.submitted(answer, context.reference, sent_items(bundle, context))

    # ---- the answer to it -------------------------------------------------------------------------------------

    def read(self, sent: SentBundle, frame: bytes) -> Fates:
        """The outcomes in the stored answer to the message that was stored as `sent`."""
        return self.submitted(self.payments.wire.read(frame, self.form.submit), sent.reference, sent.items)

    def submitted(self, answer: Answer, client: str, items: tuple[Sent, ...]) -> Fates:
        """The outcome of each line in the answer. If the answer lists no lines, all have the outcome of the whole
        message.

        The message's own outcome is acceptance at most. If the message was not accepted, its outcome also counts for
        the lines, whatever they state.
        """
        _check_message(answer.root, client, items)
        word = handed_in(self.payments.meanings, "submit", "outer", answer.status, answer.text)
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
        """The outcome of every line, by the message's clientID. Raises Declined if the question is answered with a
        status.

        Lines are numbered in the same way in every message, and answers seldom name their message. So a page with a
        final outcome is asked for twice, over two connections, and a final outcome is believed if both answers agree.
        The same holds for "not found", because the empty answer to any other question looks like it.
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
                # Without a total the page after the last one is asked for too. Every answer of the bank to that
                # question ends the walk.
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
                raise ProtocolError("paging", f"{form.detail.operation} tells a line twice")
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
        """The outcome `word` for all lines of a message of which the bank lists none; in doubt if the same question
        then finds some."""
        if word.fate is Fate.NOT_FOUND and self.payments.options.confirm:
            again = yield from self._page(sent, 1)
            if again.words or (again.nothing is not None and again.nothing.fate is not Fate.NOT_FOUND):
                word = Outcome(Fate.UNKNOWN, word.code, "two answers to one question differ", listed=False)
        return {one.reference: word for one in sent.items}

    def _returned(self, message: str, settled: Sequence[Sent], back: Sequence[CameBack]) -> Fates:
        """The outcomes of lines that came back. A line is found by its own number, or by account and amount under the
        message's number.

        If fewer lines came back than are equal in both, the answer does not tell which ones: all equal lines are in
        doubt.
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
        """The outcome for all lines while the message is under way, from a …COL enquiry over the message's day or
        month.

        In every other case the detail decides, also if the summary states another count or sum, as for a message that
        arrived in part. Raises Declined on a status.
        """
        form, day = self.form, sent.bank_date
        span = Asked(first=day) if self.kind is Kind.PAYROLL_ITEM else Asked(first=day - _DAY, last=day + _DAY)
        answer = yield from self.payments.wire.asked(form.summary, span)
        action = form.summary.operation
        if not answer.done:
            if not is_empty(self.payments.meanings, action, answer):
                not_told(self.payments.meanings, action, form.operation, answer)
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
        form = self.form
        answer = yield from self.payments.wire.asked(form.detail, Asked(sent.reference, begin=begin))
        _check_message(answer.root, sent.reference, sent.items)
        if not answer.done:
            return _Page({}, nothing=not_told(self.payments.meanings, form.detail.operation, form.operation, answer))
        stated = value_or(answer.root, "totalRecords")
        total = digits(stated) if stated else None
        if total is not None and total > len(sent.items):
            raise ProtocolError("correlation", f"the answer is about a message of {total} lines")
        if self.kind is Kind.BATCH_ITEM:
            return _Page(self._batch_words(answer.rows, sent.items), total)
        lines = self._lines(answer.rows, sent.items)
        return _Page({key: self._word(row, form.operation) for key, row in lines.items()}, total)

    def _batch_words(self, found: list[etree._Element], items: tuple[Sent, ...]) -> dict[str, Outcome]:
        """The outcomes in DLBATDET's rows, by our reference in memo; without one by place, account and amount.

        If places decide, lines with equal account and amount and different outcomes are in doubt, because nothing in
        the answer distinguishes them.
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
        """Raises "correlation" on another account or amount. With `must`, raises "missing" if one of them is not
        stated."""
        theirs = item.debtor if self.kind is Kind.COLLECTION else item.creditor
        stated, paid = value_or(row, self.form.account), value_or(row, "tranAmount")
        if must and not (stated and paid):
            raise ProtocolError("missing", f"{item.reference}: a line with neither memo nor account and amount")
        if (stated and stated != theirs.clear) or (paid and amount_minor(paid) != item.amount.minor):
            raise ProtocolError("correlation", f"{item.reference}: the line has another account or amount")

    def _word(self, row: etree._Element, operation: str) -> Outcome:
        status = status_of(row)
        return handed_in(self.payments.meanings, operation, "row", status, plain(value_or(row, "statusText")))

    def _lines(self, found: list[etree._Element], items: tuple[Sent, ...]) -> dict[str, etree._Element]:
        """The rows by our reference. Raises "correlation" on another message's reference, "ambiguous" on one that
        appears twice."""
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
    """One answer to an enquiry: its lines, the total number of lines if it is stated, or "not found"."""

    words: Mapping[str, Outcome]
    total: int | None = None
    nothing: Outcome | None = None


def _agreed(word: Outcome, again: Outcome | None) -> Outcome:
    """The outcome of a line that was asked for twice; in doubt if the two answers differ and one of them is final."""
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
