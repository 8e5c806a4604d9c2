"""Payroll (代发) and collection (代扣): NTAGCSAL and NTAGCACL, or AgentRequest, and the enquiry after each line.

Lines of equal account, name and amount are common here. With NTAGC* the bank keeps our running number (TRXSEQ) for
each line and says it back; AgentRequest has no number, so there the line's text (TRSDSP) is our item's reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lxml import etree

from protocols.bank import Ask, BundleConversation, Bundles, Context, Conversation, Fates, Submit
from protocols.banks.cmb.payment import Payments, asked_days, bank_number, checked_reference
from protocols.banks.cmb.table import decline, is_duplicate
from protocols.banks.cmb.table import status as status_of
from protocols.banks.cmb.wire import RENMINBI, Answer, part
from protocols.canon.order import AnyOrder, Bundle, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import BundleFateQuestion, Sent, SentBundle
from protocols.kit.china import check_amount
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, amount_text, digits, plain
from protocols.kit.orders import check_lines, common_purpose, fitting, own_account, required
from protocols.kit.xmldoc import Markup, several, value, value_or

BUSINESS_CODES: Final[Mapping[Kind, str]] = {Kind.PAYROLL_ITEM: "N03010", Kind.COLLECTION: "N03030"}
BIG_FUNCTIONS: Final[Mapping[Kind, str]] = {Kind.PAYROLL_ITEM: "NTAGCSAL", Kind.COLLECTION: "NTAGCACL"}
TEXT_BYTES: Final = 42
NAME_BYTES: Final = 62
_SMALL = "AgentRequest"
_PAGES_MOST: Final = 20
_PLACE: Final = ("BTHNBR", "TRXSEQ", "HISTAG")


@dataclass(frozen=True, slots=True)
class Agency:
    """Payroll or collection of one enterprise."""

    payments: Payments
    kind: Kind

    @property
    def bundles(self) -> Bundles:
        """As the bank's description wants it."""
        return Bundles(self.payments.options.agency_lines, self.word, self.fate, self.read)

    @property
    def function(self) -> str:
        """The function this kind is handed in with."""
        return _SMALL if self.payments.options.agency == _SMALL else BIG_FUNCTIONS[self.kind]

    @property
    def _numbered(self) -> bool:
        return self.function != _SMALL

    # ---- handing in -------------------------------------------------------------------------------------------

    def word(self, bundle: Bundle, context: Context) -> BundleConversation:
        """All items in one message. Raises ProtocolError before anything is sent if one of them does not fit."""
        options = self.payments.options
        check_lines(bundle, options.agency_lines)
        if bundle.kind is not self.kind:
            raise ProtocolError("value", f"{self.function} carries no {bundle.kind.value}")
        parts = self._big(bundle, context.reference) if self._numbered else self._small(bundle, context.reference)
        frame = yield Submit("business", self.payments.wire.message(self.function, *parts), (self._code,))
        return self.submitted(self.payments.wire.read(frame, self.function), [one.reference for one in bundle.items])

    @property
    def _code(self) -> str:
        return BUSINESS_CODES[self.kind]

    @property
    def _mode(self) -> str:
        options = self.payments.options
        return options.payroll_mode if self.kind is Kind.PAYROLL_ITEM else options.collection_mode

    @property
    def _type(self) -> str:
        options = self.payments.options
        return options.payroll_type if self.kind is Kind.PAYROLL_ITEM else options.collection_type

    def _big(self, bundle: Bundle, reference: str) -> list[Markup]:
        """NTAGCSAL, NTAGCACL in one part: it begins and ends the batch."""
        account, total, count = (
            required(own_account(bundle), "own account"),
            amount_text(bundle.sum_minor),
            str(len(bundle.items)),
        )
        head = part("NTAGCAGCX1", (
            ("BEGTAG", "Y"), ("ENDTAG", "Y"), ("REQNBR", ""), ("TTLAMT", total), ("TTLCNT", count), ("TTLNUM", "1"),
            ("CURAMT", total), ("CURCNT", count), ("CNVNBR", ""), ("CCYNBR", RENMINBI), ("NTFINF", ""),
            ("BBKNBR", self.payments.branch(account)), ("ACCNBR", account), ("CCYMKT", self.payments.options.market),
            ("TRSTYP", self._type), ("NUSAGE", _fitting(common_purpose(bundle))), ("EPTDAT", ""), ("EPTTIM", ""),
            ("YURREF", checked_reference(reference)), ("DMANBR", ""), ("GRTFLG", ""),
        ))  # fmt: skip
        lines = [self._big_line(item.order, item.reference, n) for n, item in enumerate(bundle.items, start=1)]
        return [part("NTBUSMODY", (("BUSMOD", self._mode),)), head, *lines]

    def _big_line(self, order: AnyOrder, reference: str, number: int) -> Markup:
        same = self._same_bank(order)
        options, checked = self.payments.options, checked_reference(reference)
        told = checked if options.line_reference else ""
        kept = checked if options.refund_reference and self.kind is Kind.PAYROLL_ITEM else ""
        return part("NTAGCDTLY1", (
            ("TRXSEQ", f"{number:08d}"), ("ACCNBR", _account(order)), ("ACCNAM", _name(order)),
            ("TRSAMT", _amount(order)), ("TRSDSP", _fitting(order.purpose)), ("BNKFLG", "Y" if same else "N"),
            ("EACBNK", "" if same else order.theirs.bank_name or ""), ("EACCTY", ""), ("FSTFLG", "N"),
            ("RCVBNK", "" if same else order.theirs.cnaps or ""), ("CPRACT", kept), ("CPRREF", told),
        ))  # fmt: skip

    def _small(self, bundle: Bundle, reference: str) -> list[Markup]:
        account = required(own_account(bundle), "own account")
        head = part("SDKATSRQX", (
            ("BUSCOD", self._code), ("BUSMOD", self._mode), ("TRSTYP", self._type), ("EPTDAT", ""),
            ("DBTACC", account), ("BBKNBR", self.payments.branch(account)), ("SUM", amount_text(bundle.sum_minor)),
            ("TOTAL", str(len(bundle.items))), ("CCYNBR", RENMINBI), ("YURREF", checked_reference(reference)),
            ("MEMO", _fitting(common_purpose(bundle))), ("DMANBR", ""), ("GRTFLG", ""),
        ))  # fmt: skip
        return [head, *(self._small_line(item.order, item.reference) for item in bundle.items)]

    def _small_line(self, order: AnyOrder, reference: str) -> Markup:
        if len(reference) > 20:
            raise ProtocolError("value", f"{reference!r} does not fit TRSDSP, 20 bytes")
        same = self._same_bank(order)
        return part("SDKATDRQX", (
            ("ACCNBR", _account(order)), ("CLTNAM", _name(order)), ("TRSAMT", _amount(order)),
            ("BNKFLG", "Y" if same else "N"), ("EACBNK", "" if same else order.theirs.bank_name or ""),
            ("EACCTY", ""), ("TRSDSP", checked_reference(reference)),
        ))  # fmt: skip

    def _same_bank(self, order: AnyOrder) -> bool:
        """A line that names no other bank is paid inside this one."""
        return not (order.theirs.bank_name or order.theirs.cnaps) or self.payments.same_bank(order)

    # ---- the answer to it -------------------------------------------------------------------------------------

    def read(self, sent: SentBundle, frame: bytes) -> Fates:
        """The stored answer to the message that was written down as `sent`."""
        answer = self.payments.wire.read(frame, BIG_FUNCTIONS[self.kind], _SMALL)
        return self.submitted(answer, [one.reference for one in sent.items])

    def submitted(self, answer: Answer, references: Sequence[str]) -> Fates:
        """The bank's word on the whole message, for each item: taken at most, never paid."""
        if not answer.done:
            return dict.fromkeys(references, self.payments.refused_call(answer))
        rows = several(answer.root, "NTAGCAGCZ1") + several(answer.root, "NTREQNBRY")
        if len(rows) != 1:
            raise ProtocolError("missing" if not rows else "ambiguous", f"{len(rows)} interfaces answer one message")
        # AgentRequest tells the status in the first three characters of a reserved field.
        status = value_or(rows[0], "REQSTA") or value_or(rows[0], "RSV50Z")[:3]
        word = self.payments.meanings.word("submit", "reqsts", status)
        number = bank_number(rows[0]) or None
        return dict.fromkeys(references, Outcome(word.fate, status, bank_serial=number, listed=word.listed))

    # ---- what became of it ------------------------------------------------------------------------------------

    def fate(self, question: BundleFateQuestion, context: Context) -> Conversation[Fates]:
        """The lines by the bank's number of the message; NTAGCINY by our reference where it is not known."""
        sent = question.sent
        number = sent.bank_serial or next((one.bank_serial for one in sent.items if one.bank_serial), None)
        lines = (yield from self._lines_if_told(number)) if number else []
        if lines:
            return self._told(lines, sent)
        days = asked_days(sent.bank_date, context.bank_date)
        if days is None or not self.payments.options.agency_enquiry:
            return {}
        ask = part(self.payments.options.agency_enquiry, (("BUSCOD", self._code), ("YURREF", sent.reference), *days))
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
        # The message's own ending is not each line's: without lines only "not yet", "seen before" and "not at all" are
        # believed, the last only where the bank was heard to list no line, not where it declined to list them.
        if whole.fate in (Fate.PENDING, Fate.DUPLICATE) or (whole.fate is Fate.FAILED and lines is not None):
            return {one.reference: whole for one in sent.items}
        return {}

    def _lines_if_told(self, number: str) -> Conversation[list[etree._Element] | None]:
        """`_lines`, or None where the bank declines the list: its state of the message may still be told.

        "Too frequent" goes on up, so that the lane slows down instead of asking the next thing at once.
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
        """The message's row. Raises "correlation" if it is another one. Here the status is called REQSTA."""
        total = sum(one.amount.minor for one in sent.items)
        if value(row, "YURREF") != sent.reference:
            raise ProtocolError("correlation", f"the answer is about {value(row, 'YURREF')!r}, not {sent.reference!r}")
        count, amount = value_or(row, "TRSNUM"), value_or(row, "TOTAMT")
        if (count and digits(count) != len(sent.items)) or (amount and amount_minor(amount) != total):
            raise ProtocolError("correlation", f"{sent.reference}: the answer has {count} lines of {amount}")
        code, text = value_or(row, "ERRCOD"), plain(value_or(row, "ERRDSP"))
        number = bank_number(row) or None
        if is_duplicate(self.payments.meanings, code, text):
            # Our own repeat, dressed as a failure: the first one may have been paid (banks/cmb.md 5).
            return Outcome(Fate.DUPLICATE, code, text, number)
        word = status_of(self.payments.meanings, "agency", value(row, "REQSTA"), value_or(row, "RTNFLG"))
        if word.fate is Fate.FAILED and number is None:
            # The bank numbers what it takes. A "failure" it has no number for may be another duplicate.
            word = Outcome(Fate.UNKNOWN, word.code, listed=False)
        if word.fate is Fate.FAILED and value_or(row, "SUCNUM").strip("0") + value_or(row, "SUCNUM")[:1] != "0":
            # A message that failed may still have paid some lines; only the bank's own "none" rules that out.
            word = Outcome(Fate.UNKNOWN, word.code)
        return Outcome(word.fate, word.code, text, number, listed=word.listed)

    def _lines(self, number: str) -> Conversation[list[etree._Element]]:
        """All lines of a message. NTAGDINF hands back where to go on; an echo of the same place is the end."""
        if not self._numbered:
            answer = yield from self._asked("GetAgentDetail", part("SDKATDQYX", (("REQNBR", number),)))
            rows = several(answer.root, "NTQATDQYZ")
            _of_message(number, rows)
            return rows
        rows = []
        place: tuple[str, ...] = ("", "", "")
        seen: set[tuple[str, ...]] = set()
        for _page in range(_PAGES_MOST):
            seen.add(place)
            where = zip(_PLACE, place, strict=True)
            answer = yield from self._asked("NTAGDINF", part("NTAGDINFY1", (("REQNBR", number), *where)))
            page, further = several(answer.root, "NTAGCDTLY1"), several(answer.root, "NTAGDINFY1")
            _of_message(number, [*page, *further])
            rows += page
            place = tuple(value_or(further[-1], tag) for tag in _PLACE) if further else ()
            if not any(place):
                return rows
            if place in seen:
                raise ProtocolError("paging", f"NTAGDINF goes round at {place}")
        raise ProtocolError("paging", f"NTAGDINF: more than {_PAGES_MOST} pages")

    def _told(self, rows: Sequence[etree._Element], sent: SentBundle) -> Fates:
        """What each line says. One without a status is in doubt (banks/cmb.md 9), one that cannot be read has no word:
        neither hides another line. A line that names another order, account or amount is no answer to us.
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
        """Whose line it is, by the bank's line number or our reference, never by account, name and amount."""
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


def _account(order: AnyOrder) -> str:
    return required(order.theirs.account.clear, "other party's account")


def _name(order: AnyOrder) -> str:
    return fitting(required(order.theirs.name.clear, "other party's name"), "name", NAME_BYTES)


def _amount(order: AnyOrder) -> str:
    check_amount("cmb", order.amount)
    return amount_text(order.amount.minor)


def _fitting(text: str) -> str:
    return fitting(text, "purpose", TEXT_BYTES, min_bytes=0)
