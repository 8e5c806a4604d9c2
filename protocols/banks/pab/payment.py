"""Payments: 4004, a single payment, and 4005, the enquiry after it. Other messages are in special.py.

An accepted 4004 is never more than pending. An answer belongs to the exchange on its own connection. It is then checked
against our voucher (ThirdVoucher), the amount and the accounts, as far as the answer states them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from typing import Final

from lxml import etree

from protocols.bank import Ask, Context, Conversation, MoneyConversation, Submit
from protocols.banks.pab import requests
from protocols.banks.pab.header import ACCEPTED, HEADER, Answer, Sender, read_answer
from protocols.banks.pab.options import Options
from protocols.banks.pab.special import (
    check_host_date,
    check_special,
    fast_fate,
    operation_for,
    operation_of,
    serial_of,
)
from protocols.canon.host_days import HostDays
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import FateQuestion, Sent
from protocols.canon.replaced import replace
from protocols.kit.charset import GBK
from protocols.kit.china import BEIJING
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, parse_date, plain, stated_day
from protocols.kit.meanings import Meanings
from protocols.kit.xmldoc import ChildTexts, Markup, build

_SERIAL = slice(*HEADER.place("serial"))
_STATED: Final = CorrelationTags(
    must_name=True,
    amount="TranAmount",
    debtor="OutAcctNo",
    creditor="InAcctNo",
    currency="CcyCode",
    renminbi=("RMB", "CNY"),
    submitted="submitTime",
)
SENT, ASKED, LINE = (replace(_STATED, reference=tag) for tag in ("ThirdVoucher", "OrigThirdVoucher", "SThirdVoucher"))
"""Where an answer to a payment, one to an enquiry and a line of a batch state the keys of the order."""
_TABLES: Final = {"4004": requests.PAYMENT, requests.FAST: requests.FAST_PAYMENT, requests.SWEEP: requests.SWEPT}
_FINAL: Final = (Fate.SETTLED, Fate.FAILED)


@dataclass(frozen=True, slots=True)
class Payments:
    """Sends the orders of one enterprise, reads the answers, and asks for the outcomes."""

    options: Options
    sender: Sender
    meanings: Meanings

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """Send one order by 4004, KHKF03 or 4052. Raises ProtocolError before anything is sent if the order does not
        fit the form."""
        operation = operation_for(order, self.options)
        body = build(self.body(order, context.reference), GBK)
        wire = self.sender.message(operation, body, serial=context.serials[0], now=context.now)
        serial = wire[_SERIAL].decode("ascii")
        frame = yield Submit("business", wire, (serial,) if operation == "4004" else (serial, operation))
        return self.submitted(frame, CorrelationKeys.of_order(order, context.reference), operation)

    def body(self, order: AnyOrder, voucher: str) -> Markup:
        """The <Result> of the request with the order."""
        table = _TABLES[operation_for(order, self.options)]
        return requests.request(table, requests.Written(order, voucher, self.options))

    def submitted(self, frame: bytes, keys: CorrelationKeys, operation: str = "4004") -> Outcome:
        """The outcome of the payment of `keys`, in the answer to its order."""
        answer = read_answer(frame, operation)
        if answer.body is not None and operation != "4004":
            check_special(operation, answer.body, keys)
        elif answer.body is not None:
            said = ChildTexts(answer.body)
            if answer.accepted and not said.value("ThirdVoucher"):
                raise ProtocolError("missing", "accepted, but the answer names no ThirdVoucher")
            check_keys(said, keys, SENT)
        outcome = self.meanings.word(operation, "header", answer.code, answer.text)
        if answer.body is None:
            return outcome
        return replace(outcome, bank_serial=serial_of(operation, answer.body))

    def read(self, kind: Kind, sent: Sent, frame: bytes) -> Outcome:
        """The outcome in the stored or replayed answer to an order of `kind` that was stored as `sent`."""
        if kind not in (Kind.PAYMENT, Kind.TRANSFER):
            raise ProtocolError("value", f"pab sends no {kind.value}")
        return self.submitted(frame, CorrelationKeys.of(sent), operation_of(sent))

    def fate(self, question: FateQuestion, context: Context) -> Conversation[Outcome]:
        """The outcome of a payment: by 4005 with our voucher, or by KHKF04 for an order that was sent as KHKF03."""
        sent = question.sent
        if operation_of(sent) == requests.FAST:
            return (yield from self._fast_fate(sent, context))
        wire = self.sender.message(
            "4005", build(requests.request(requests.FATE, sent), GBK), serial=context.serials[0], now=context.now
        )
        answer = read_answer((yield Ask("business", wire)), "4005")
        return self.told(answer, CorrelationKeys.of(sent), context.host)

    def told(self, answer: Answer, keys: CorrelationKeys, host: HostDays) -> Outcome:
        """The outcome of the payment of `keys`, in the answer to a 4005."""
        if not answer.accepted or answer.body is None:
            if answer.body is not None:
                check_keys(answer.body, keys, ASKED)
            return self.meanings.word("4005", "header", answer.code, answer.text)
        said = ChildTexts(answer.body)
        check_keys(said, keys, ASKED)
        self.check_account_date(said, keys, host)
        return self._decided(said)

    def check_account_date(self, said: ChildTexts, keys: CorrelationKeys, host: HostDays) -> None:
        """Raises "correlation" for an AccountDate too far from the order's day, where no submitTime is stated.

        AccountDate is the host's date, which may differ from the calendar by weeks at a test front end. It is compared
        with the order's day by the host, and never outweighs the time of submission.
        """
        if stated_day(said.value_or("submitTime")) is None:
            check_host_date(said.value_or("AccountDate"), keys, host)

    def _fast_fate(self, sent: Sent, context: Context) -> Conversation[Outcome]:
        body = build(requests.request(requests.FAST_FATE, sent), GBK)
        wire = self.sender.message(requests.FAST_ENQUIRY, body, serial=context.serials[0], now=context.now)
        answer = read_answer((yield Ask("business", wire)), requests.FAST_ENQUIRY)
        if answer.accepted and answer.body is not None:
            return fast_fate(answer.body, sent, self.meanings, context.host)
        return self.meanings.word(requests.FAST_ENQUIRY, "header", answer.code, answer.text)

    def decided(self, body: etree._Element) -> Outcome:
        """The outcome that Stt, IsBack and Yhcljg give together, in a 4005 answer or in a row of 4015."""
        return self._decided(ChildTexts(body))

    def _decided(self, said: ChildTexts) -> Outcome:
        stt, back, result = said.value_or("Stt"), said.value_or("IsBack"), said.value_or("Yhcljg")
        reason, _, text = result.partition(":")
        fallback = self.meanings.word("4005", "yhcljg", reason, text)
        outcome = self.meanings.word("4005", "stt", stt) if stt else fallback
        if back not in ("", "0"):
            outcome = self._came_back(outcome, back)
        elif stt and self._contradicted(outcome.fate, fallback, reason):
            # One of the two is wrong. A payment wrongly reported as failed would be paid again; one wrongly reported as
            # paid would never be paid.
            outcome = replace(outcome, fate=Fate.UNKNOWN, listed=False)
        if outcome.fate is Fate.FAILED and fallback.fate is Fate.DUPLICATE:
            # A line was refused because its voucher is known: the first message arrived.
            outcome = fallback
        if outcome.fate is Fate.FAILED:
            outcome = replace(outcome, code=reason or said.value_or("hostErrorCode") or outcome.code)
        settled = outcome.fate is Fate.SETTLED
        return replace(
            outcome,
            text=plain(result or said.value_or("BackRem")),
            bank_serial=said.value_or("FrontLogNo") or None,
            booked_at=_day(said.value_or("AccountDate")) if settled else None,
            fee=fee_or_none(said.value_or("Fee")) if settled else None,
        )

    def _contradicted(self, fate: Fate, told: Outcome, reason: str) -> bool:
        """True if Yhcljg contradicts a final Stt. `told` is the outcome of Yhcljg by its own rows.

        A code without a row for this operation has its meaning for a 4004: a refusal, or a fault that proves nothing.
        000000 is no refusal, whatever its text. An unknown code contradicts nothing: Stt decides.
        """
        if not told.listed and reason not in ("", ACCEPTED):
            told = self.meanings.word("4004", "header", reason)
        if fate is Fate.FAILED:
            known_otherwise = told.listed and told.fate in (Fate.SETTLED, Fate.PENDING, Fate.UNKNOWN)
            return reason == ACCEPTED or known_otherwise
        return fate is Fate.SETTLED and told.listed and told.fate is not Fate.SETTLED

    def _came_back(self, outcome: Outcome, back: str) -> Outcome:
        """The outcome with IsBack, by which a decided payment came back. Beside any other status IsBack makes the
        outcome doubt."""
        returned = self.meanings.word("4005", "isback", back)
        if outcome.fate in _FINAL or not returned.listed:
            return returned
        return replace(outcome, fate=Fate.UNKNOWN, listed=False)


def _day(text: str) -> datetime | None:
    try:
        return datetime.combine(parse_date(text), time(), BEIJING)
    except ProtocolError:
        return None  # an odd date is no reason to doubt a clear status


def fee_or_none(text: str) -> Money | None:
    """The fee that an answer states; None for one that cannot be read."""
    try:
        return Money(amount_minor(text))
    except ProtocolError:
        return None  # as above
