"""Payments: DCPAYMNT (直接支付) and DCOPRTRF (内部转账) of one line, and the enquiry after them.

An accepted line is never more than pending. A line that says FIN and F may be our own repeat, refused because the
first one arrived (NCB4241), so its ERRCOD and its REQNBR are read before REQSTS and RTNFLG (banks/cmb.md 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from lxml import etree

from protocols.bank import Ask, Context, Conversation, MoneyConversation, Submit
from protocols.banks.cmb.options import Options
from protocols.banks.cmb.requests import (
    BY_DATE,
    BY_REFERENCE,
    PAYMENT_HEAD,
    PAYMENT_LINE,
    TRANSFER_HEAD,
    TRANSFER_LINE,
    OrdersAsked,
    PaidOrder,
    written,
)
from protocols.banks.cmb.table import FINISHED, decline, is_duplicate, status, too_often
from protocols.banks.cmb.wire import RENMINBI, Answer, Wire
from protocols.canon.order import AnyOrder, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import FateQuestion, Sent
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import plain
from protocols.kit.meanings import Meanings
from protocols.kit.xmldoc import Markup, several, value, value_or

REFERENCE_CHARS: Final = 20
SPAN: Final = timedelta(days=6)
"""An enquiry spans a week at most, both ends included."""
REACH: Final = timedelta(days=90)
"""An enquiry begins at most this long ago."""
NO_ERROR: Final = "SUC0000"
_ENDED: Final = (Fate.SETTLED, Fate.RETURNED)
_DCPAYMNT, _DCOPRTRF = "DCPAYMNT", "DCOPRTRF"
Days = tuple[date, date]
TAGS: Final = CorrelationTags(
    reference="YURREF",
    must_name=True,
    amount="TRSAMT",
    debtor="DBTACC",
    creditor="CRTACC",
    currency="CCYNBR",
    renminbi=(RENMINBI,),
    days=("OPRDAT",),
)
"""Where a line of an answer states the keys of its order. `debtor` is our own account."""


def bank_number(row: etree._Element) -> str:
    """REQNBR of a row; "" if the bank writes zeros or nothing, because it has no number."""
    number = value_or(row, "REQNBR")
    return number if number.strip("0") else ""


@dataclass(frozen=True, slots=True)
class Payments:
    """Sends the orders of one enterprise, reads the answers, and asks for the outcomes."""

    options: Options
    wire: Wire
    meanings: Meanings

    # ---- handing in -------------------------------------------------------------------------------------------

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """Send one order as one line. Raises ProtocolError before anything is sent if it does not fit the bank's
        form."""
        function = self._function(order.kind)
        code = self._code(order.kind)
        wire = self.wire.message(function, *self.parts(function, [(order, context.reference)]))
        frame = yield Submit("business", wire, (code,))
        keys = CorrelationKeys.of_order(order, context.reference)
        return self.submitted(self.wire.read(frame, function), keys)

    def _function(self, kind: Kind) -> str:
        return _DCOPRTRF if kind is Kind.TRANSFER and self.options.transfer_code else _DCPAYMNT

    def _code(self, kind: Kind) -> str:
        """BUSCOD of a kind. It is stored with the attempt, because the reference is unique only within it."""
        return self.options.transfer_code if self._function(kind) == _DCOPRTRF else self.options.payment_code

    def parts(self, function: str, lines: Iterable[tuple[AnyOrder, str]]) -> Iterable[Markup]:
        """The interfaces of a request with one line for each order and reference."""
        head, line = (TRANSFER_HEAD, TRANSFER_LINE) if function == _DCOPRTRF else (PAYMENT_HEAD, PAYMENT_LINE)
        yield written(head, self.options)
        yield from (written(line, PaidOrder(self.options, order, reference)) for order, reference in lines)

    # ---- the answer to it -------------------------------------------------------------------------------------

    def submitted(self, answer: Answer, keys: CorrelationKeys) -> Outcome:
        """The outcome of the one line in the answer to its message."""
        rows = several(answer.root, "NTQPAYRQZ")
        for row in rows:
            check_keys(row, keys, TAGS)
        if not answer.done:
            return self.refused_call(answer, rows)
        if len(rows) != 1:
            raise ProtocolError("missing" if not rows else "ambiguous", f"{len(rows)} lines answer one line")
        return self.handed_in(rows[0])

    def refused_call(self, answer: Answer, rows: Sequence[etree._Element] = (), *, lines: bool = False) -> Outcome:
        """The outcome for a RETCOD other than 0: in doubt, or a duplicate if the text or a line beside it says so.

        A RETCOD that the settings declare as a refusal ends the order, if the answer has no `lines`.
        """
        for row in rows:
            if self._repeated(row):
                return self.handed_in(row)
        word = self.meanings.word("submit", "retcod", answer.code, answer.text)
        declared = word.fate is Fate.FAILED and not rows and not lines
        return word if declared or word.fate is Fate.DUPLICATE else replace(word, fate=Fate.UNKNOWN)

    def _repeated(self, row: etree._Element) -> bool:
        return is_duplicate(self.meanings, value_or(row, "ERRCOD"), value_or(row, "ERRTXT"))

    def handed_in(self, row: etree._Element) -> Outcome:
        """The outcome of one NTQPAYRQZ or SDQPYRSTZ line: duplicates first, then REQSTS x RTNFLG, then whether they
        agree."""
        code, text = value_or(row, "ERRCOD"), plain(value_or(row, "ERRTXT"))
        number = bank_number(row)
        if is_duplicate(self.meanings, code, text):
            return Outcome(Fate.DUPLICATE, code=code, text=text, bank_serial=number or None)
        word = status(self.meanings, "submit", value_or(row, "REQSTS"), value_or(row, "RTNFLG"))
        word = replace(word, text=text, bank_serial=number or None)
        in_order = code in ("", NO_ERROR)
        if word.fate is Fate.FAILED:
            word = replace(word, code=word.code if in_order else code)
            return word if number else self._unnumbered(word, code, text)
        if not in_order:
            return replace(word, fate=Fate.UNKNOWN, code=code, listed=False)
        return word

    def _unnumbered(self, word: Outcome, code: str, text: str) -> Outcome:
        """A failure without the bank's number: doubt, unless the settings declare its ERRCOD as a refusal.

        The bank numbers each order that it takes. So a "failure" without a number may be another duplicate.
        """
        said = self.meanings.word("submit", "errcod", code, text)
        return word if said.fate is Fate.FAILED else replace(word, fate=Fate.UNKNOWN, listed=said.listed)

    def read(self, kind: Kind, sent: Sent, frame: bytes) -> Outcome:
        """The outcome in the stored or replayed answer to an order of `kind` that was stored as `sent`."""
        if kind not in (Kind.PAYMENT, Kind.TRANSFER):
            raise ProtocolError("value", f"cmb sends no single {kind.value}")
        return self.submitted(self.wire.read(frame, _DCPAYMNT, _DCOPRTRF), CorrelationKeys.of(sent))

    # ---- what became of it ------------------------------------------------------------------------------------

    def fate(self, question: FateQuestion, context: Context) -> Conversation[Outcome]:
        """The outcome of one payment, by NTQRYSTY with our reference. If its answer is empty, NTQRYSTN by date must
        confirm that."""
        sent = question.sent
        days = asked_days(sent.bank_date, context.bank_date)
        if days is None:
            return Outcome(Fate.UNKNOWN, text=f"the bank answers about the last {REACH.days} days only")
        code, keys = sent.serials[0] if sent.serials else self.options.payment_code, CorrelationKeys.of(sent)
        outcome = yield from self.by_reference(code, days, keys)
        if outcome.fate is Fate.NOT_FOUND and self.options.second_enquiry:
            frame = yield Ask("business", self.wire.message("NTQRYSTN", self.by_date(code, days)))
            answer = self.wire.read(frame, "NTQRYSTN")
            if not answer.done:
                return self._not_told("NTQRYSTN", answer)
            rows = several(answer.root, "NTSTLLSTZ")
            outcome = self.told([row for row in rows if value(row, "YURREF") == keys.reference], keys)
        # NTSTLINF would give the reason (RTNNAR), but a conversation gives its outcome only at its end. If this further
        # enquiry got no answer, the outcome that is known here already would be lost.
        return outcome

    def by_reference(self, code: str, days: Days, keys: CorrelationKeys) -> Conversation[Outcome]:
        """The outcome of one payment by NTQRYSTY, which finds exactly this YURREF. Raises Declined if we ask too
        often."""
        ask = written(BY_REFERENCE, OrdersAsked(code, days, keys.reference))
        answer = self.wire.read((yield Ask("business", self.wire.message("NTQRYSTY", ask))), "NTQRYSTY")
        return self.told(several(answer.root, "NTSTLLSTZ"), keys) if answer.done else self._not_told("NTQRYSTY", answer)

    def by_date(self, code: str, days: Days) -> Markup:
        """The request NTQRYSTN, for all payments that were handed in on these days."""
        mode = self.options.transfer_mode if code == self.options.transfer_code else self.options.mode
        return written(BY_DATE, OrdersAsked(code, days, mode=mode))

    def _not_told(self, function: str, answer: Answer) -> Outcome:
        """The outcome if the enquiry failed, which proves nothing about the payment. Raises Declined if we ask too
        often.

        "Too frequent" is raised, because only the lane can slow down.
        """
        if too_often(self.meanings, "status", answer):
            decline(self.meanings, function, answer, "status")
        word = self.meanings.word("status", "retcod", answer.code, answer.text)
        return replace(word, fate=Fate.UNKNOWN)

    def told(self, rows: Sequence[etree._Element], keys: CorrelationKeys) -> Outcome:
        """The outcome of the rows of one reference, taken together.

        The bank may have a reference twice, because a reference may be used again after a failure. A failure among
        other rows is then ignored. If two rows moved money, or if one is unclear, the outcome is doubt.
        """
        if not rows:
            return Outcome(Fate.NOT_FOUND, text="no record under this reference")
        words = [self._row(row, keys) for row in rows]
        live = [word for word in words if word.fate is not Fate.FAILED]
        if not live:
            return words[0]
        if len(live) == 1:
            return live[0]
        if all(word.fate is Fate.PENDING for word in live):
            return live[0]
        return replace(live[0], fate=Fate.UNKNOWN, text=f"{len(rows)} records under one reference", listed=False)

    def _row(self, row: etree._Element, keys: CorrelationKeys) -> Outcome:
        check_keys(row, keys, TAGS)
        reqsts, rtnflg = value(row, "REQSTS"), value_or(row, "RTNFLG")
        word = replace(status(self.meanings, "status", reqsts, rtnflg), bank_serial=bank_number(row) or None)
        if self._repeated(row):
            return replace(word, fate=Fate.DUPLICATE)
        if reqsts == FINISHED and word.fate in (*_ENDED, Fate.FAILED) and not word.bank_serial:
            # An order in a final state has the bank's number. A row without it is not of the form that the page
            # documents.
            return replace(word, fate=Fate.UNKNOWN, listed=False)
        return word


def asked_days(bank_date: date, today: date) -> Days | None:
    """The days to ask about around a bank date, one more on either side where the bank's reach allows it.

    None for a day outside the bank's reach.
    """
    if bank_date < today - REACH:
        return None
    return max(bank_date - timedelta(days=1), today - REACH), min(bank_date + timedelta(days=1), max(today, bank_date))
