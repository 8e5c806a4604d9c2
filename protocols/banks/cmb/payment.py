"""Payments: DCPAYMNT (直接支付) and DCOPRTRF (内部转账) of one line, and the enquiry after them.

An accepted line is never more than pending. A line that says FIN and F may be our own repeat, refused because the
first one arrived (NCB4241), so its ERRCOD and its REQNBR are read before REQSTS and RTNFLG (banks/cmb.md 5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from lxml import etree

from protocols.bank import Ask, Context, Conversation, MoneyConversation, Submit
from protocols.banks.cmb.options import Options
from protocols.banks.cmb.table import FINISHED, decline, is_duplicate, status, too_often
from protocols.banks.cmb.wire import RENMINBI, Answer, Wire, part
from protocols.canon.order import AnyOrder, Channel, Kind, Urgency
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import FateQuestion, Sent
from protocols.kit.charset import GBK
from protocols.kit.china import check_amount
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_text, date_text, plain
from protocols.kit.meanings import Meanings
from protocols.kit.orders import fitting, own_bank, required
from protocols.kit.xmldoc import Markup, several, value, value_or

REFERENCE_CHARS: Final = 20
NAME_BYTES: Final = 62
LONG_NAME_BYTES: Final = 200
PURPOSE_BYTES: Final = 62
BANK_NAME_BYTES: Final = 62
SPAN: Final = timedelta(days=6)
"""An enquiry spans a week at most, both ends included."""
REACH: Final = timedelta(days=90)
"""An enquiry begins at most this long ago."""
NO_ERROR: Final = "SUC0000"
_REFERENCE = re.compile(r"[0-9A-Za-z]{1,30}", re.ASCII)
_ENDED: Final = (Fate.SETTLED, Fate.RETURNED)
_DCPAYMNT, _DCOPRTRF = "DCPAYMNT", "DCOPRTRF"
TAGS: Final = CorrelationTags(
    reference="YURREF", must_name=True, amount="TRSAMT", debtor="DBTACC", creditor="CRTACC", currency="CCYNBR",
    renminbi=(RENMINBI,), days=("OPRDAT",),
)  # fmt: skip
"""Where a line of an answer states the keys of its order. `debtor` is our own account."""
Leaves = tuple[tuple[str, str], ...]


def checked_reference(reference: str) -> str:
    """`reference` if it can be a YURREF. Raises "value" otherwise."""
    if not _REFERENCE.fullmatch(reference):
        raise ProtocolError("value", f"{reference!r} is no YURREF: 1 to 30 letters and digits")
    return reference


def bank_number(row: etree._Element) -> str:
    """REQNBR of a row; the bank writes zeros, or nothing, where it has none."""
    number = value_or(row, "REQNBR")
    return number if number.strip("0") else ""


@dataclass(frozen=True, slots=True)
class Payments:
    """Orders of one enterprise: sending them, reading the answers, asking what became of them."""

    options: Options
    wire: Wire
    meanings: Meanings

    # ---- handing in -------------------------------------------------------------------------------------------

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """One line. Raises ProtocolError before anything is sent if the order does not fit the bank's form."""
        function = self._function(order.kind)
        code = self._code(order.kind)
        wire = self.wire.message(function, *self.parts(function, [(order, context.reference)]))
        frame = yield Submit("business", wire, (code,))
        keys = CorrelationKeys.of_order(order, context.reference)
        return self.submitted(self.wire.read(frame, function), keys)

    def _function(self, kind: Kind) -> str:
        return _DCOPRTRF if kind is Kind.TRANSFER and self.options.transfer_code else _DCPAYMNT

    def _code(self, kind: Kind) -> str:
        """BUSCOD: the reference is unique within it, so it is written down with the attempt."""
        return self.options.transfer_code if self._function(kind) == _DCOPRTRF else self.options.payment_code

    def parts(self, function: str, lines: Iterable[tuple[AnyOrder, str]]) -> Iterable[Markup]:
        """The interfaces of a request with one line for each order and reference."""
        if function == _DCOPRTRF:
            yield part("SDKPAYRQX", (("BUSMOD", self.options.transfer_mode),))
            yield from (part("DCOPRTRFX", self._transfer(order, reference)) for order, reference in lines)
            return
        yield part("SDKPAYRQX", (("BUSCOD", self.options.payment_code), ("BUSMOD", self.options.mode)))
        yield from (part("DCOPDPAYX", self._payment(order, reference)) for order, reference in lines)

    def _beginning(self, order: AnyOrder, reference: str) -> Leaves:
        check_amount("cmb", order.amount)
        fitting(order.purpose, "purpose", PURPOSE_BYTES, min_bytes=0)
        debtor = required(order.debtor.account.clear, "debtor's account")
        return (
            ("YURREF", checked_reference(reference)), ("EPTDAT", ""), ("EPTTIM", ""), ("DBTACC", debtor),
            ("DBTBBK", self.branch(debtor)), ("TRSAMT", amount_text(order.amount.minor)), ("CCYNBR", RENMINBI),
        )  # fmt: skip

    def _payment(self, order: AnyOrder, reference: str) -> Leaves:
        same = self.same_bank(order)
        name = fitting(required(order.creditor.name.clear, "creditor's name"), "creditor's name", LONG_NAME_BYTES)
        long = GBK.byte_length(name) > NAME_BYTES
        bank = order.creditor.bank_name or ""
        if not same:
            required(bank, "creditor's bank name")
        return (
            *self._beginning(order, reference),
            ("STLCHN", "" if same else _rail(order)), ("NUSAGE", order.purpose), ("BUSNAR", ""),
            ("CRTACC", required(order.creditor.account.clear, "creditor's account")),
            ("CRTNAM", "" if long else name), ("LRVEAN", name if long else ""),
            ("BRDNBR", order.creditor.cnaps or ""), ("BNKFLG", "Y" if same else "N"), ("CRTBNK", bank),
            ("CTYCOD", ""), ("CRTADR", "" if same else self.options.payee_address or bank),
            ("CRTFLG", self.options.payee_flag), ("NTFCH1", ""), ("NTFCH2", ""), ("CRTSQN", ""),
            ("TRSTYP", self.options.payment_type), ("RCVCHK", "1" if self.options.check_name else "0"), ("RSV28Z", ""),
        )  # fmt: skip

    def _transfer(self, order: AnyOrder, reference: str) -> Leaves:
        creditor = required(order.creditor.account.clear, "creditor's account")
        return (
            *self._beginning(order, reference),
            ("NUSAGE", order.purpose), ("BUSNAR", ""), ("CRTACC", creditor),
            ("CRTFLG", self.options.payee_flag), ("CRTBBK", self.branch(creditor)),
        )  # fmt: skip

    def branch(self, account: str) -> str:
        """BBKNBR of an own account."""
        return self.options.branches.get(account, self.options.branch)

    def same_bank(self, order: AnyOrder) -> bool:
        """Whether the other side banks here too."""
        if order.channel is Channel.SAME_BANK or order.kind is Kind.TRANSFER:
            return True
        return own_bank(order.theirs, self.options.own_names, self.options.own_cnaps)

    # ---- the answer to it -------------------------------------------------------------------------------------

    def submitted(self, answer: Answer, keys: CorrelationKeys) -> Outcome:
        """What the answer to a message of one line says about that line."""
        rows = several(answer.root, "NTQPAYRQZ")
        for row in rows:
            check_keys(row, keys, TAGS)
        if not answer.done:
            return self.refused_call(answer, rows)
        if len(rows) != 1:
            raise ProtocolError("missing" if not rows else "ambiguous", f"{len(rows)} lines answer one line")
        return self.handed_in(rows[0])

    def refused_call(self, answer: Answer, rows: Sequence[etree._Element] = ()) -> Outcome:
        """RETCOD that is not 0: in doubt, or a duplicate where the text, or a line beside it, says so."""
        for row in rows:
            if self._repeated(row):
                return self.handed_in(row)
        word = self.meanings.word("submit", "retcod", answer.code, answer.text)
        fate = word.fate if word.fate is Fate.DUPLICATE else Fate.UNKNOWN
        return replace(word, fate=fate)

    def _repeated(self, row: etree._Element) -> bool:
        return is_duplicate(self.meanings, value_or(row, "ERRCOD"), value_or(row, "ERRTXT"))

    def handed_in(self, row: etree._Element) -> Outcome:
        """One NTQPAYRQZ or SDQPYRSTZ line: duplicates first, then REQSTS x RTNFLG, then whether they agree."""
        code, text = value_or(row, "ERRCOD"), plain(value_or(row, "ERRTXT"))
        number = bank_number(row)
        if is_duplicate(self.meanings, code, text):
            return Outcome(Fate.DUPLICATE, code=code, text=text, bank_serial=number or None)
        word = status(self.meanings, "submit", value_or(row, "REQSTS"), value_or(row, "RTNFLG"))
        word = replace(word, text=text, bank_serial=number or None)
        in_order = code in ("", NO_ERROR)
        if word.fate is Fate.FAILED:
            # The bank numbers what it takes. A "failure" it has no number for may be another duplicate.
            word = replace(word, code=word.code if in_order else code)
            return word if number else replace(word, fate=Fate.UNKNOWN, listed=False)
        if not in_order:
            return replace(word, fate=Fate.UNKNOWN, code=code, listed=False)
        return word

    def read(self, kind: Kind, sent: Sent, frame: bytes) -> Outcome:
        """The stored or replayed answer to the money word of `kind` that was written down as `sent`."""
        if kind not in (Kind.PAYMENT, Kind.TRANSFER):
            raise ProtocolError("value", f"cmb sends no single {kind.value}")
        return self.submitted(self.wire.read(frame, _DCPAYMNT, _DCOPRTRF), CorrelationKeys.of(sent))

    # ---- what became of it ------------------------------------------------------------------------------------

    def fate(self, question: FateQuestion, context: Context) -> Conversation[Outcome]:
        """NTQRYSTY by our reference; an empty answer is confirmed by NTQRYSTN, by date (banks/cmb.md 5)."""
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
        # NTSTLINF would tell the reason (RTNNAR), but a conversation gives its verdict at its end only: silence or
        # noise after a hop for people's sake would cost the verdict that is known here already.
        return outcome

    def by_reference(self, code: str, days: Leaves, keys: CorrelationKeys) -> Conversation[Outcome]:
        """NTQRYSTY: the bank finds exactly this YURREF. Raises Declined if we ask too often."""
        ask = part("NTQRYSTYX1", (("BUSCOD", code), ("YURREF", keys.reference), *days, ("RSV50Z", "")))
        answer = self.wire.read((yield Ask("business", self.wire.message("NTQRYSTY", ask))), "NTQRYSTY")
        return self.told(several(answer.root, "NTSTLLSTZ"), keys) if answer.done else self._not_told("NTQRYSTY", answer)

    def by_date(self, code: str, days: Leaves) -> Markup:
        """The request of NTQRYSTN: everything handed in on these days."""
        mode = self.options.transfer_mode if code == self.options.transfer_code else self.options.mode
        return part("NTQRYSTNY1", (("BUSCOD", code), ("BUSMOD", mode), *days, ("DATFLG", "A")))

    def _not_told(self, function: str, answer: Answer) -> Outcome:
        """The enquiry did not get through, which says nothing about the payment. Raises Declined if we ask too often.

        "Too frequent" is the lane's business: only it can slow down.
        """
        if too_often(self.meanings, "status", answer):
            decline(self.meanings, function, answer, "status")
        word = self.meanings.word("status", "retcod", answer.code, answer.text)
        return replace(word, fate=Fate.UNKNOWN)

    def told(self, rows: Sequence[etree._Element], keys: CorrelationKeys) -> Outcome:
        """What the rows of one reference say together.

        The bank may hold a reference twice, because it lets it be used again after a failure. A failure among other
        rows is then no more than that; two rows of which both moved money, or one that is unclear, are doubt.
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
            # An order that ended has the bank's number; without it this is not the row of the page.
            return replace(word, fate=Fate.UNKNOWN, listed=False)
        return word


def asked_days(bank_date: date, today: date) -> Leaves | None:
    """BGNDAT and ENDDAT around a bank date, a day more on either side where the bank's reach allows it.

    None for a day beyond its reach.
    """
    if bank_date < today - REACH:
        return None
    first = max(bank_date - timedelta(days=1), today - REACH)
    last = min(bank_date + timedelta(days=1), max(today, bank_date))
    return ("BGNDAT", date_text(first)), ("ENDDAT", date_text(last))


def _rail(order: AnyOrder) -> str:
    """STLCHN of a payment to another bank: F fast, N ordinary. The page documents no other rail in this mode."""
    if order.channel is not Channel.AUTO:
        raise ProtocolError("value", f"cmb has no {order.channel.value} channel here; use auto")
    return "F" if order.urgency is Urgency.URGENT else "N"
