"""Batches: DCPAYMNT with many lines. Up to 30 are answered line by line, 31 to 1500 by a notice later.

Each line has its item's own YURREF, which alone distinguishes lines. The message itself has no key at the bank. The
lines are asked about by date (NTQRYSTN). A line that the bank refused when it was submitted is not in that list: for a
large batch only the notice NCBCHOPR reports it, whose RSTSET is read with GetBatchPayOprRes (banks/cmb.md A2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from lxml import etree

from protocols.bank import Ask, BundleConversation, Context, Conversation, Fates, Submit
from protocols.banks.cmb.payment import TAGS, Days, Payments, asked_days
from protocols.banks.cmb.requests import BATCH_RESULT, HISTORY, written
from protocols.banks.cmb.table import decline, too_often
from protocols.banks.cmb.wire import Answer
from protocols.canon.order import Bundle
from protocols.canon.outcome import Outcome
from protocols.canon.query import BundleFateQuestion, SentBundle
from protocols.kit.correlation import CorrelationKeys, by_reference, check_keys
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.orders import check_lines
from protocols.kit.xmldoc import Markup, several, value, value_or

SYNCHRONOUS_LINES: Final = 30
"""A message of more lines is answered without any."""
NOTICE: Final = "NCBCHOPR"
NOTICE_LINES: Final = 2000
_RESULTS_MOST: Final = 20
_CONFIRMED_MOST: Final = 10
_FUNCTION: Final = "DCPAYMNT"


@dataclass(frozen=True, slots=True)
class Batches:
    """Sends and asks about orders by DCPAYMNT with more than one line."""

    payments: Payments

    def word(self, bundle: Bundle, context: Context) -> BundleConversation:
        """Send all items in one message. Raises ProtocolError before anything is sent if an item does not fit."""
        payments, options = self.payments, self.payments.options
        check_lines(bundle, options.batch_lines)
        lines = [(item.order, item.reference) for item in bundle.items]
        keys = {item.reference: CorrelationKeys.of_order(item.order, item.reference) for item in bundle.items}
        wire = payments.wire.message(_FUNCTION, *payments.parts(_FUNCTION, lines))
        frame = yield Submit("business", wire, (options.payment_code,))
        return self.submitted(payments.wire.read(frame, _FUNCTION), keys)

    def read(self, sent: SentBundle, frame: bytes) -> Fates:
        """The outcomes in the stored answer to the batch that was stored as `sent`."""
        return self.submitted(self.payments.wire.read(frame, _FUNCTION), _keys(sent))

    def submitted(self, answer: Answer, keys: Mapping[str, CorrelationKeys]) -> Fates:
        """The outcome of each item. An item that a synchronous answer leaves out is left out here too."""
        rows = _lines(several(answer.root, "NTQPAYRQZ"), keys)
        if not answer.done:
            beside = {one: [rows[one]] if one in rows else [] for one in keys}
            return {one: self.payments.refused_call(answer, beside[one], lines=bool(rows)) for one in keys}
        if rows or len(keys) <= SYNCHRONOUS_LINES:
            if not rows:
                raise ProtocolError("missing", f"no line answers {len(keys)} lines")
            return {reference: self.payments.handed_in(row) for reference, row in rows.items()}
        taken = self.payments.meanings.word("submit", "retcod", answer.code, answer.text)
        return dict.fromkeys(keys, taken)

    def fate(self, question: BundleFateQuestion, context: Context) -> Conversation[Fates]:
        """The outcomes of all items, by NTQRYSTN; of a large batch also by notices, if some items are missing."""
        payments, sent = self.payments, question.sent
        keys = _keys(sent)
        days = asked_days(sent.bank_date, context.bank_date)
        if days is None:
            return {}
        ask = payments.by_date(payments.options.payment_code, days)
        answer = payments.wire.read((yield Ask("business", payments.wire.message("NTQRYSTN", ask))), "NTQRYSTN")
        if not answer.done:
            decline(payments.meanings, "NTQRYSTN", answer, "status")
        found: dict[str, list[etree._Element]] = {}
        for row in several(answer.root, "NTSTLLSTZ"):
            found.setdefault(value(row, "YURREF"), []).append(row)
        fates = {one: payments.told(found[one], keys[one]) for one in keys if one in found}
        try:
            yield from self._looked_for(keys, fates, days, context.serials[0])
        except Declined:
            # The bank refused the rest of the answer, because we ask too often. The fates known so far still count, if
            # there are any.
            if not fates:
                raise
        return fates

    def _looked_for(
        self, keys: Mapping[str, CorrelationKeys], fates: dict[str, Outcome], days: Days, turn: int
    ) -> Conversation[None]:
        """Add the outcomes of missing lines to `fates`, from notices and from single enquiries."""
        payments = self.payments
        missing = {one: keys[one] for one in keys if one not in fates}
        if missing and len(keys) > SYNCHRONOUS_LINES:
            yield from self._noticed(missing, fates)
        still = [keys[one] for one in keys if one not in fates]
        # An empty answer is no proof: a second kind of enquiry must agree. Each call asks about a few lines, other ones
        # each time.
        begin = turn % len(still) if still else 0
        for one in (still[begin:] + still[:begin])[:_CONFIRMED_MOST]:
            fates[one.reference] = yield from payments.by_reference(payments.options.payment_code, days, one)

    # ---- notices ----------------------------------------------------------------------------------------------

    def _noticed(self, missing: Mapping[str, CorrelationKeys], fates: dict[str, Outcome]) -> Conversation[None]:
        """Add the outcomes of lines that only a notice in the answer (SDQPYRSTZ) has to `fates`.

        GetNewNotice gives each notice once, to the first caller. Nothing is stored here: its content is read again with
        GetHisNoticeEX, so that another batch's notice is not lost. LSTNBR never advances, because its rule is not
        public: a result beyond the history's first 2000 notices is not found this way.
        """
        sets: list[str] = []
        history = written(HISTORY, str(NOTICE_LINES))
        for function, parts in (("GetNewNotice", ()), ("GetHisNoticeEX", (history,))):
            fresh = [one for one in (yield from self._result_sets(function, parts)) if one not in sets]
            sets += fresh
            for result_set in reversed(fresh[-_RESULTS_MOST:]):
                fates |= yield from self._result(result_set, missing)
                if fates.keys() >= missing.keys():
                    return

    def _result_sets(self, function: str, parts: Iterable[Markup]) -> Conversation[list[str]]:
        """The RSTSETs of the batch notices in the order of their arrival; none if the user may not read notices."""
        payments = self.payments
        answer = payments.wire.read((yield Ask("business", payments.wire.message(function, *parts))), function)
        if not answer.done:
            self._refused(function, answer)
            return []
        notices = several(answer.root, "NTQNTCGTZ")
        return [one for row in notices if value_or(row, "MSGTYP") == NOTICE for one in _texts(row, "RSTSET")]

    def _result(self, result_set: str, missing: Mapping[str, CorrelationKeys]) -> Conversation[dict[str, Outcome]]:
        payments = self.payments
        ask = written(BATCH_RESULT, result_set)
        frame = yield Ask("business", payments.wire.message("GetBatchPayOprRes", ask))
        answer = payments.wire.read(frame, "GetBatchPayOprRes")
        if not answer.done:
            self._refused("GetBatchPayOprRes", answer)
            return {}
        rows = [row for row in several(answer.root, "SDQPYRSTZ") if value_or(row, "YURREF") in missing]
        return {one: payments.handed_in(row) for one, row in _lines(rows, missing).items()}

    def _refused(self, function: str, answer: Answer) -> None:
        """Raises Declined if we ask too often. Any other refusal of this further enquiry changes no outcome."""
        if too_often(self.payments.meanings, "question", answer):
            decline(self.payments.meanings, function, answer)


def _lines(rows: Iterable[etree._Element], keys: Mapping[str, CorrelationKeys]) -> dict[str, etree._Element]:
    """The rows by YURREF. Each row is checked to be about its item."""
    found = by_reference(rows, "YURREF", keys)
    for reference, row in found.items():
        check_keys(row, keys[reference], TAGS)
    return found


def _keys(sent: SentBundle) -> dict[str, CorrelationKeys]:
    return {item.reference: CorrelationKeys.of(item) for item in sent.items}


def _texts(row: etree._Element, tag: str) -> Iterator[str]:
    """The texts of every `tag` in a notice, on any level, because the bank's page does not state the level."""
    for element in row.iter(tag):
        content = (element.text or "").strip()
        if content:
            yield content
