"""Payroll (代发) and collection (代扣): NTAGCSAL and NTAGCACL, or AgentRequest, and the enquiry after each line.

Lines of equal account, name and amount are common here. With NTAGC* the bank stores our running number (TRXSEQ) for
each line and returns it. AgentRequest has no number, so that the line's text (TRSDSP) is our item's reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lxml import etree

from protocols.bank import Ask, BundleConversation, Bundles, Context, Conversation, Fates, Submit
from protocols.banks.cmb.payment import Payments, asked_days, bank_number
from protocols.banks.cmb.requests import (
    AGENCY_HEAD,
    AGENCY_LINE,
    AGENCY_LINES,
    AGENCY_MODE,
    AGENCY_STATE,
    AGENT_HEAD,
    AGENT_LINE,
    AGENT_LINES,
    BUSINESS_CODES,
    AgencyMessage,
    OrdersAsked,
    written,
)
from protocols.banks.cmb.table import decline, is_duplicate
from protocols.banks.cmb.table import status as status_of
from protocols.banks.cmb.wire import Answer, leaf
from protocols.canon.order import Bundle, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import BundleFateQuestion, Sent, SentBundle
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, digits, plain
from protocols.kit.orders import check_lines
from protocols.kit.xmldoc import Markup, el, several, value, value_or

BIG_FUNCTIONS: Final[Mapping[Kind, str]] = {Kind.PAYROLL_ITEM: "NTAGCSAL", Kind.COLLECTION: "NTAGCACL"}
_SMALL = "AgentRequest"
_PAGES_MOST: Final = 20
_PLACE: Final = ("BTHNBR", "TRXSEQ", "HISTAG")


@dataclass(frozen=True, slots=True)
class Agency:
    """Sends payroll or collections of one enterprise, and asks for their outcomes."""

    payments: Payments
    kind: Kind

    @property
    def bundles(self) -> Bundles:
        """The functions that send, read and ask, as the description of a bank needs them."""
        return Bundles(self.payments.options.agency_lines, self.word, self.fate, self.read)

    @property
    def function(self) -> str:
        """The function with which this kind is sent."""
        return _SMALL if self.payments.options.agency == _SMALL else BIG_FUNCTIONS[self.kind]

    @property
    def _numbered(self) -> bool:
        return self.function != _SMALL

    # ---- handing in -------------------------------------------------------------------------------------------

    def word(self, bundle: Bundle, context: Context) -> BundleConversation:
        """Send all items in one message. Raises ProtocolError before anything is sent if an item does not fit."""
        options = self.payments.options
        check_lines(bundle, options.agency_lines)
        if bundle.kind is not self.kind:
            raise ProtocolError("value", f"{self.function} carries no {bundle.kind.value}")
        message = AgencyMessage(options, bundle, context.reference)
        heads, line = ((AGENCY_MODE, AGENCY_HEAD), AGENCY_LINE) if self._numbered else ((AGENT_HEAD,), AGENT_LINE)
        parts = [*(written(head, message) for head in heads), *(written(line, one) for one in message.lines())]
        frame = yield Submit("business", self.payments.wire.message(self.function, *parts), (self._code,))
        return self.submitted(self.payments.wire.read(frame, self.function), [one.reference for one in bundle.items])

    @property
    def _code(self) -> str:
        return BUSINESS_CODES[self.kind]

    # ---- the answer to it -------------------------------------------------------------------------------------

    def read(self, sent: SentBundle, frame: bytes) -> Fates:
        """The outcomes in the stored answer to the message that was stored as `sent`."""
        answer = self.payments.wire.read(frame, BIG_FUNCTIONS[self.kind], _SMALL)
        return self.submitted(answer, [one.reference for one in sent.items])

    def submitted(self, answer: Answer, references: Sequence[str]) -> Fates:
        """The outcome of the whole message, for each item: at most pending, never paid."""
        if not answer.done:
            return dict.fromkeys(references, self.payments.refused_call(answer))
        rows = several(answer.root, "NTAGCAGCZ1") + several(answer.root, "NTREQNBRY")
        if len(rows) != 1:
            raise ProtocolError("missing" if not rows else "ambiguous", f"{len(rows)} interfaces answer one message")
        # AgentRequest has the status in the first three characters of a reserved field.
        status = value_or(rows[0], "REQSTA") or value_or(rows[0], "RSV50Z")[:3]
        word = self.payments.meanings.word("submit", "reqsts", status)
        number = bank_number(rows[0]) or None
        return dict.fromkeys(references, Outcome(word.fate, status, bank_serial=number, listed=word.listed))

    # ---- what became of it ------------------------------------------------------------------------------------

    def fate(self, question: BundleFateQuestion, context: Context) -> Conversation[Fates]:
        """The outcomes of the lines, by the bank's number of the message; by our reference (NTAGCINY) if that number is
        not known."""
        sent = question.sent
        number = sent.bank_serial or next((one.bank_serial for one in sent.items if one.bank_serial), None)
        lines = (yield from self._lines_if_told(number)) if number else []
        if lines:
            return self._told(lines, sent)
        days = asked_days(sent.bank_date, context.bank_date)
        if days is None or not self.payments.options.agency_enquiry:
            return {}
        asked = AGENCY_STATE.elements(OrdersAsked(self._code, days, sent.reference), leaf)
        ask = el(self.payments.options.agency_enquiry, asked)
        rows = several((yield from self._asked("NTAGCINY", ask)).root, "NTAGCINQZ")
        if not rows:
            nowhere = Outcome(Fate.NOT_FOUND, text="no record under this reference")
            return {one.reference: nowhere for one in sent.items}
        if len(rows) > 1:
            return {}
        whole = self._whole(rows[0], sent)
        if whole.bank_serial and whole.bank_serial != number:
            lines = yield from self._lines_if_told(whole.bank_serial)
        if lines:
            return self._told(lines, sent)
        # The end of the message is not the end of each line. Without lines only "pending", "duplicate" and "failed" are
        # believed, "failed" only if the bank listed no line, not if it declined to list them.
        if whole.fate in (Fate.PENDING, Fate.DUPLICATE) or (whole.fate is Fate.FAILED and lines is not None):
            return {one.reference: whole for one in sent.items}
        return {}

    def _lines_if_told(self, number: str) -> Conversation[list[etree._Element] | None]:
        """As `_lines`, or None if the bank declines the list, because it may still state the whole message's status.

        "Too frequent" is raised, so that the lane slows down instead of sending the next question at once.
        """
        try:
            return (yield from self._lines(number))
        except Declined as declined:
            if declined.outcome == "rate_limited":
                raise
            return None

    def _asked(self, function: str, ask: Markup) -> Conversation[Answer]:
        wire = self.payments.wire
        answer = wire.read((yield Ask("business", wire.message(function, ask))), function)
        if not answer.done:
            decline(self.payments.meanings, function, answer, "agency")
        return answer

    def _whole(self, row: etree._Element, sent: SentBundle) -> Outcome:
        """The row of the whole message. Raises "correlation" if it is another message's. Its status element is called
        REQSTA."""
        total = sum(one.amount.minor for one in sent.items)
        if value(row, "YURREF") != sent.reference:
            raise ProtocolError("correlation", f"the answer is about {value(row, 'YURREF')!r}, not {sent.reference!r}")
        count, amount = value_or(row, "TRSNUM"), value_or(row, "TOTAMT")
        if (count and digits(count) != len(sent.items)) or (amount and amount_minor(amount) != total):
            raise ProtocolError("correlation", f"{sent.reference}: the answer has {count} lines of {amount}")
        code, text = value_or(row, "ERRCOD"), plain(value_or(row, "ERRDSP"))
        number = bank_number(row) or None
        if is_duplicate(self.payments.meanings, code, text):
            # An answer to our own repeat that looks like a failure: the first message may have been paid (banks/cmb.md
            # 5).
            return Outcome(Fate.DUPLICATE, code, text, number)
        word = status_of(self.payments.meanings, "agency", value(row, "REQSTA"), value_or(row, "RTNFLG"))
        if word.fate is Fate.FAILED and number is None:
            # The bank numbers each order that it takes. So a "failure" without a number may be another duplicate.
            word = Outcome(Fate.UNKNOWN, word.code, listed=False)
        if word.fate is Fate.FAILED and value_or(row, "SUCNUM").strip("0") + value_or(row, "SUCNUM")[:1] != "0":
            # A message that failed may still have paid some lines; only the bank's own "none" rules that out.
            word = Outcome(Fate.UNKNOWN, word.code)
        return Outcome(word.fate, word.code, text, number, listed=word.listed)

    def _lines(self, number: str) -> Conversation[list[etree._Element]]:
        """All lines of a message. NTAGDINF returns the place of the next page; the same place twice is the end."""
        if not self._numbered:
            answer = yield from self._asked("GetAgentDetail", written(AGENT_LINES, number))
            rows = several(answer.root, "NTQATDQYZ")
            _of_message(number, rows)
            return rows
        rows = []
        place: tuple[str, ...] = ("", "", "")
        seen: set[tuple[str, ...]] = set()
        for _page in range(_PAGES_MOST):
            seen.add(place)
            answer = yield from self._asked("NTAGDINF", written(AGENCY_LINES, (number, *place)))
            page, further = several(answer.root, "NTAGCDTLY1"), several(answer.root, "NTAGDINFY1")
            _of_message(number, [*page, *further])
            rows += page
            place = tuple(value_or(further[-1], tag) for tag in _PLACE) if further else ()
            if not any(place):
                return rows
            if place in seen:
                raise ProtocolError("paging", f"NTAGDINF repeats its pages at {place}")
        raise ProtocolError("paging", f"NTAGDINF: more than {_PAGES_MOST} pages")

    def _told(self, rows: Sequence[etree._Element], sent: SentBundle) -> Fates:
        """The outcome of each line.

        A line without a status is in doubt (banks/cmb.md 9), and one that cannot be read has no outcome; neither hides
        another line. A line that names another order, account or amount raises "correlation".
        """
        fates: dict[str, Outcome] = {}
        for row in rows:
            try:
                item = self._item(row, sent)
            except ProtocolError as error:
                if error.reason == "correlation":
                    raise
                continue
            if item.reference in fates:
                raise ProtocolError("ambiguous", f"two lines answer {item.reference!r}")
            status, text = value_or(row, "STSCOD"), plain(value_or(row, "ERRDSP"))
            if is_duplicate(self.payments.meanings, value_or(row, "ERRCOD"), text):
                fates[item.reference] = Outcome(Fate.DUPLICATE, status, text)
                continue
            if not status:
                fates[item.reference] = Outcome(Fate.UNKNOWN, text=text or "a line without STSCOD", listed=False)
                continue
            word = self.payments.meanings.word("agency", "stscod" if self._numbered else "stscod.small", status)
            fates[item.reference] = Outcome(word.fate, status, text, listed=word.listed)
        return fates

    def _item(self, row: etree._Element, sent: SentBundle) -> Sent:
        """The item of a line, by the bank's line number or our reference, never by account and amount."""
        if self._numbered:
            number = digits(value(row, "TRXSEQ"), most=8)
            found = sent.items[number - 1] if 1 <= number <= len(sent.items) else None
        else:
            text = value(row, "TRSDSP")
            found = next((one for one in sent.items if one.reference == text), None)
        if found is None:
            raise ProtocolError("correlation", f"{sent.reference}: a line that is not in this message")
        if value_or(row, "CPRREF") not in ("", found.reference):
            raise ProtocolError("correlation", f"{found.reference}: the line has another CPRREF")
        account, amount = value_or(row, "ACCNBR"), value_or(row, "TRSAMT")
        theirs = found.debtor if self.kind is Kind.COLLECTION else found.creditor
        if (account and account != theirs.clear) or (amount and amount_minor(amount) != found.amount.minor):
            raise ProtocolError("correlation", f"{found.reference}: the line has another account or amount")
        return found


def _of_message(number: str, rows: Sequence[etree._Element]) -> None:
    """Raises "correlation" if one of `rows` names another message's REQNBR than the one asked about."""
    for row in rows:
        stated = bank_number(row)
        if stated and stated != number:
            raise ProtocolError("correlation", f"the lines are of message {stated}, we asked about {number}")
