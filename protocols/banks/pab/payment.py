"""Payments: 4004, a single payment, and 4005, the enquiry after it; special.py has what goes by other messages.

An accepted 4004 is never more than pending. An answer belongs to the exchange on its own connection, and is
then checked against our voucher (ThirdVoucher), the amount and the accounts wherever the answer states them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time
from typing import Final

from lxml import etree

from protocols.bank import Ask, Context, Conversation, MoneyConversation, Submit
from protocols.banks.pab.header import ACCEPTED, HEADER, Answer, Sender, read_answer
from protocols.banks.pab.options import Options
from protocols.banks.pab.special import (
    FAST,
    FAST_ENQUIRY,
    check_special,
    fast_enquiry,
    fast_fate,
    fast_fields,
    operation_for,
    operation_of,
    serial_of,
    sweep_fields,
)
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Channel, Kind, Urgency
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import Party
from protocols.canon.query import FateQuestion, Sent
from protocols.canon.replaced import replace
from protocols.kit.charset import GBK
from protocols.kit.china import BEIJING, check_amount
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, amount_text, parse_date, plain
from protocols.kit.meanings import Meanings
from protocols.kit.orders import own_bank, required
from protocols.kit.xmldoc import Leaves, Markup, build, el, leaf, leaves

PURPOSE_CHARS: Final = 30
VOUCHER_CHARS: Final = 20
_VOUCHER = re.compile(r"[0-9A-Za-z]{1,20}", re.ASCII)
_SERIAL = slice(*HEADER.place("serial"))
_STATED: Final = CorrelationTags(
    must_name=True, amount="TranAmount", debtor="OutAcctNo", creditor="InAcctNo", currency="CcyCode",
    renminbi=("RMB", "CNY"), days=("submitTime", "AccountDate"),
)  # fmt: skip
SENT, ASKED, LINE = (replace(_STATED, reference=tag) for tag in ("ThirdVoucher", "OrigThirdVoucher", "SThirdVoucher"))
"""Where an answer to a payment, one to an enquiry and a line of a batch state the keys of the order."""
_FINAL: Final = (Fate.SETTLED, Fate.FAILED)


@dataclass(frozen=True, slots=True)
class Payments:
    """Orders of one enterprise: sending them, reading the answers, asking what became of them."""

    options: Options
    sender: Sender
    meanings: Meanings

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """4004, KHKF03 or 4052. Raises ProtocolError before anything is sent if the order does not fit the form."""
        operation = operation_for(order, self.options)
        body = build(self.body(order, context.reference), GBK)
        wire = self.sender.message(operation, body, serial=context.serials[0], now=context.now)
        serial = wire[_SERIAL].decode("ascii")
        frame = yield Submit("business", wire, (serial,) if operation == "4004" else (serial, operation))
        return self.submitted(frame, CorrelationKeys.of_order(order, context.reference), operation)

    def body(self, order: AnyOrder, voucher: str) -> Markup:
        """The <Result> of the request that carries the order."""
        operation = operation_for(order, self.options)
        if operation == "4004":
            fields = self.fields(order, voucher)
        else:
            self.check_voucher(voucher)
            self.check(order)
            fields = fast_fields(order, voucher, self.options) if operation == FAST else sweep_fields(order, voucher)
        return el("Result", leaves(fields, GBK, leaf))

    def check_voucher(self, voucher: str) -> None:
        """Raises "value" for what the bank does not take as a voucher."""
        if not _VOUCHER.fullmatch(voucher):
            raise ProtocolError("value", f"{voucher!r} is no voucher: 1 to {VOUCHER_CHARS} of 0-9A-Za-z")

    def check(self, order: AnyOrder) -> None:
        """Raises "value" for what no message of this bank carries."""
        check_amount("pab", order.amount)
        if len(order.purpose) > PURPOSE_CHARS:
            raise ProtocolError("value", f"purpose of {len(order.purpose)} characters, limit {PURPOSE_CHARS}")

    def inner_id(self, order: AnyOrder) -> str:
        """CstInnerFlowNo: the ERP's id if it fits, which the bank echoes and does not check."""
        return order.id if _VOUCHER.fullmatch(order.id) else ""

    def fields(self, order: AnyOrder, voucher: str) -> tuple[tuple[str, str], ...]:
        """What a 4004 says of an order, in its order of elements. Raises "value" or "missing"."""
        self.check_voucher(voucher)
        self.check(order)
        return (
            ("ThirdVoucher", voucher),
            ("CstInnerFlowNo", self.inner_id(order)),
            ("CcyCode", "RMB"),
            ("OutAcctNo", required(order.debtor.account.clear, "debtor's account")),
            ("OutAcctName", required(order.debtor.name.clear, "debtor's name")),
            ("OutAcctAddr", ""),
            ("InAcctBankNode", order.creditor.cnaps or ""),
            ("InAcctRecCode", ""),
            ("InAcctNo", required(order.creditor.account.clear, "creditor's account")),
            ("InAcctName", required(order.creditor.name.clear, "creditor's name")),
            ("InAcctBankName", required(self._bank_name(order), "creditor's bank name")),
            ("TranAmount", amount_text(order.amount.minor)),
            ("AmountCode", ""),
            ("UseEx", order.purpose),
            ("UnionFlag", "1" if order.channel is Channel.SAME_BANK or self.stays(order) else "0"),
            ("SysFlag", _rail(order)),
            ("AddrFlag", self.options.address_flag),
        )

    def stays(self, order: AnyOrder) -> bool:
        """Whether the other party banks here: by its bank's name and number, and without them but for a payment."""
        other = order.theirs
        unnamed = order.kind is not Kind.PAYMENT and not other.bank_name and not other.cnaps
        return unnamed or self.own_bank(other)

    def _bank_name(self, order: AnyOrder) -> str:
        given = order.creditor.bank_name or ""
        return given or ("平安银行" if order.kind is Kind.TRANSFER and self.stays(order) else "")

    def own_bank(self, party: Party) -> bool:
        """Whether a party banks here, as far as its bank's name and number tell."""
        return own_bank(party, self.options.own_names, self.options.own_cnaps)

    def submitted(self, frame: bytes, keys: CorrelationKeys, operation: str = "4004") -> Outcome:
        """What the answer to an order of this operation says about the payment of `keys`."""
        answer = read_answer(frame, operation)
        if answer.body is not None and operation != "4004":
            check_special(operation, answer.body, keys)
        elif answer.body is not None:
            said = Leaves(answer.body)
            if answer.accepted and not said.value("ThirdVoucher"):
                raise ProtocolError("missing", "accepted, but the answer names no ThirdVoucher")
            check_keys(said, keys, SENT)
        outcome = self.meanings.word(operation, "header", answer.code, answer.text)
        if answer.body is None:
            return outcome
        return replace(outcome, bank_serial=serial_of(operation, answer.body))

    def read(self, kind: Kind, sent: Sent, frame: bytes) -> Outcome:
        """The stored or replayed answer to the money word of `kind` that was written down as `sent`."""
        if kind not in (Kind.PAYMENT, Kind.TRANSFER):
            raise ProtocolError("value", f"pab sends no {kind.value}")
        return self.submitted(frame, CorrelationKeys.of(sent), operation_of(sent))

    def fate(self, question: FateQuestion, context: Context) -> Conversation[Outcome]:
        """4005 by our voucher; KHKF04 by it, for an order that went by KHKF03."""
        sent = question.sent
        if operation_of(sent) == FAST:
            return (yield from self._fast_fate(sent, context))
        body = el(
            "Result",
            leaf("OrigThirdLogNo"),
            leaf("OrigThirdVoucher", sent.reference),
            leaf("OrigFrontLogNo"),
        )
        wire = self.sender.message("4005", build(body, GBK), serial=context.serials[0], now=context.now)
        answer = read_answer((yield Ask("business", wire)), "4005")
        return self.told(answer, CorrelationKeys.of(sent))

    def told(self, answer: Answer, keys: CorrelationKeys) -> Outcome:
        """What the answer to a 4005 says about the payment of `keys`."""
        if not answer.accepted or answer.body is None:
            if answer.body is not None:
                check_keys(answer.body, keys, ASKED)
            return self.meanings.word("4005", "header", answer.code, answer.text)
        said = Leaves(answer.body)
        check_keys(said, keys, ASKED)
        return self._decided(said)

    def _fast_fate(self, sent: Sent, context: Context) -> Conversation[Outcome]:
        body = build(el("Result", leaves(fast_enquiry(sent), GBK, leaf)), GBK)
        wire = self.sender.message(FAST_ENQUIRY, body, serial=context.serials[0], now=context.now)
        answer = read_answer((yield Ask("business", wire)), FAST_ENQUIRY)
        if answer.accepted and answer.body is not None:
            return fast_fate(answer.body, sent, self.meanings)
        return self.meanings.word(FAST_ENQUIRY, "header", answer.code, answer.text)

    def decided(self, body: etree._Element) -> Outcome:
        """What Stt, IsBack and Yhcljg say together, in a 4005 answer or in a row of 4015."""
        return self._decided(Leaves(body))

    def _decided(self, said: Leaves) -> Outcome:
        stt, back, result = said.value_or("Stt"), said.value_or("IsBack"), said.value_or("Yhcljg")
        reason, _, text = result.partition(":")
        fallback = self.meanings.word("4005", "yhcljg", reason, text)
        outcome = self.meanings.word("4005", "stt", stt) if stt else fallback
        if back not in ("", "0"):
            outcome = self._came_back(outcome, back)
        elif stt and self._contradicted(outcome.fate, fallback, reason):
            # One of the two is wrong: a payment called failed is paid again, one called paid is forgotten.
            outcome = replace(outcome, fate=Fate.UNKNOWN, listed=False)
        if outcome.fate is Fate.FAILED and fallback.fate is Fate.DUPLICATE:
            # A line refused because its voucher is known: the first one arrived.
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
        """Whether Yhcljg, `told` by its own rows, says another thing than a final Stt.

        A code that has no row of its own means here what it means to a 4004: a refusal, or trouble that proves nothing.
        000000 is no refusal, whatever text it comes with. A code that is nowhere contradicts nothing: Stt is preferred.
        """
        if not told.listed and reason not in ("", ACCEPTED):
            told = self.meanings.word("4004", "header", reason)
        if fate is Fate.FAILED:
            known_otherwise = told.listed and told.fate in (Fate.SETTLED, Fate.PENDING, Fate.UNKNOWN)
            return reason == ACCEPTED or known_otherwise
        return fate is Fate.SETTLED and told.listed and told.fate is not Fate.SETTLED

    def _came_back(self, outcome: Outcome, back: str) -> Outcome:
        """IsBack speaks about a payment that was decided; beside any other status it is one more doubt."""
        returned = self.meanings.word("4005", "isback", back)
        if outcome.fate in _FINAL or not returned.listed:
            return returned
        return replace(outcome, fate=Fate.UNKNOWN, listed=False)


def _rail(order: AnyOrder) -> str:
    """SysFlag: N normal (小额), Y urgent (大额). The page documents no instant rail for 4004."""
    if order.channel is Channel.INSTANT:
        raise ProtocolError("value", "4004 has no instant channel; use auto, small_value or large_value")
    if order.channel is Channel.AUTO:
        return "Y" if order.urgency is Urgency.URGENT else "N"
    return "Y" if order.channel is Channel.LARGE_VALUE else "N"


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
