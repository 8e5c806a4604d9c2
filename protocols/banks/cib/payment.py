"""Single payments: XFERTRN, the pool's XPMTTRN, fast ICTRANSFERTRN; and the enquiries XFERINQTRN, INQSTATETRN.

TRNUID is our reference. If it is sent again, the bank executes nothing and returns the earlier result; if the first
copy never arrived, the second is executed (banks/cib.md 5). So nothing in these messages depends on a session or a
counter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from protocols.bank import Context, Conversation, MoneyConversation, Submit
from protocols.banks.cib.fox import DONE, Answer, Fox, attribute, check_stated, moment, read_answer
from protocols.banks.cib.requests import CENTRE, core_content, enquiry_content, leaf, transfer_info
from protocols.banks.cib.table import refusal, signed_out
from protocols.canon.order import AnyOrder, Kind, TransferDetail, Urgency
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import FateQuestion, Sent
from protocols.kit.correlation import CorrelationKeys
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import check_day, plain
from protocols.kit.orders import required
from protocols.kit.xmldoc import Markup, el, first_of, maybe, one, several, value, value_or

XFER: Final = "XFERTRN"
POOL: Final = "XPMTTRN"
FAST: Final = "ICTRANSFERTRN"
ENQUIRY: Final = "XFERINQTRN"
BODIES: Final = {XFER: "XFERRS", POOL: "XPMTRS", FAST: "XPMTRS"}
"""The request of pool and fast payments is XMPTRQ, the answer XPMTRS: the bank's spelling is the contract."""
PLAIN_TRANSFER: Final = "1"


@dataclass(frozen=True, slots=True)
class Payments:
    """Sends single payments of one customer, reads the answers, and asks for the outcomes."""

    fox: Fox

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """Send one payment or transfer. Raises ProtocolError before anything is sent if it does not fit the bank's
        form.

        Raises Declined after the Submit if the bank does not accept the log-on. The order is then in doubt, and the
        lane does not use this password for a while.
        """
        operation, content = self.message(order)
        wire = self.fox.request(operation, context.reference, content, context)
        frame = yield Submit("business", wire, (operation,))
        answer = read_answer(frame, operation)
        if not answer.signed_on:
            signed_out(self.fox.meanings, "pay", answer.code, answer.text)
        keys = CorrelationKeys.of_order(order, context.reference)
        # An order that people send again under the same TRNUID may have been executed the first time, as with a repeat.
        return self._submitted(answer, keys, again=context.attempt > 1)

    def message(self, order: AnyOrder) -> tuple[str, Markup]:
        """The operation for this order, and its content."""
        options, info = self.fox.options, transfer_info(order, self.fox.options)
        pool = self._pool(order)
        if pool is not None:
            return POOL, el("XMPTRQ", pool, info)
        if options.fast_pay and order.urgency is Urgency.URGENT:
            return FAST, el("XMPTRQ", info)
        return XFER, el("XFERRQ", info)

    def _pool(self, order: AnyOrder) -> Markup | None:
        """FUNDACCT, if the order moves money between the pool's centre and a member."""
        centre = self.fox.options.fund_account
        if not isinstance(order.detail, TransferDetail):
            return None
        direction, sides = order.detail.direction, (order.debtor.account.clear, order.creditor.account.clear)
        if direction == "transfer" and (not centre or centre not in sides):
            return None
        required(centre, f"pool's centre for a {direction}; set the option fund_account")
        if (direction == "sweep" and sides[1] != centre) or (direction == "push" and sides[0] != centre):
            raise ProtocolError("value", f"a {direction} must have the pool's centre on its other end")
        kind = PLAIN_TRANSFER if direction == "transfer" else ""
        return el("FUNDACCT", CENTRE.elements((centre, kind), leaf))

    # ---- the answer to a submit ----------------------------------------------------------------------------

    def read(self, kind: Kind, sent: Sent, frame: bytes) -> Outcome:
        """The outcome in the stored or replayed answer to an order of `kind` that was stored as `sent`.

        Raises Declined as `pay` does, because a repeat has the password of the first copy, and the lane must not
        continue with a password that the bank refuses.
        """
        if kind not in (Kind.PAYMENT, Kind.TRANSFER):
            raise ProtocolError("value", f"cib sends no single {kind.value}")
        answer = read_answer(frame, *BODIES)
        if not answer.signed_on:
            signed_out(self.fox.meanings, "pay", answer.code, answer.text)
        return self._submitted(answer, CorrelationKeys.of(sent), again=sent.attempt > 1)

    def _submitted(self, answer: Answer, keys: CorrelationKeys, *, again: bool) -> Outcome:
        if answer.trnuid != keys.reference:
            raise ProtocolError("correlation", f"an answer to {answer.trnuid!r}, not {keys.reference!r}")
        body = maybe(answer.within, BODIES[answer.operation])
        if body is not None:
            check_stated(body, keys, named=False)
        if answer.code == DONE:
            if body is None:
                raise ProtocolError("missing", f"{answer.operation} is done, but the answer names no payment")
            return self._decided("pay", body)
        refused = refusal(self.fox.meanings, "pay", answer.code, answer.text, again=again)
        said = None if body is None or maybe(body, "XFERPRCSTS") is None else self._decided("pay", body)
        if said is not None and said.fate is not refused.fate:
            # The two layers contradict each other: doubt, unless one of them says that the first copy is known.
            fate = refused.fate if refused.fate is Fate.DUPLICATE else Fate.UNKNOWN
            return replace(refused, fate=fate, bank_serial=said.bank_serial)
        return refused

    def _decided(self, operation: str, parent: etree._Element) -> Outcome:
        """The outcome that XFERPRCSTS states for the payment in `parent`."""
        status = one(parent, "XFERPRCSTS")
        code, text = value(status, "XFERPRCCODE"), value_or(status, "MESSAGE")
        if not code:
            raise ProtocolError("missing", "XFERPRCSTS without XFERPRCCODE")
        outcome = self.fox.meanings.word(operation, "word", code, text)
        booked_at = moment(value_or(status, "DTXFERPRC")) if outcome.fate is Fate.SETTLED else None
        return replace(outcome, bank_serial=_serial(parent), booked_at=booked_at)

    # ---- the enquiry ---------------------------------------------------------------------------------------

    def fate(self, question: FateQuestion, context: Context) -> Conversation[Outcome]:
        """The outcome of one payment: by XFERINQTRN with our reference, and if that stays unclear, by INQSTATETRN, from
        the core system.

        Raises Declined if the enquiry itself is refused, which says nothing about the payment.
        """
        keys = CorrelationKeys.of(question.sent)
        content = enquiry_content(keys.reference)
        fast = FAST in question.sent.serials
        asks = self.fox.options.fast_enquiry if fast else ENQUIRY
        answer = yield from self.fox.ask(asks, "enquiry", content, context)
        found = self._listed(answer, keys)
        if found is None:
            return Outcome(Fate.NOT_FOUND, answer.code, plain(answer.text))
        outcome = self._decided("enquiry", found)
        booked_on = None if outcome.booked_at is None else outcome.booked_at.date()
        check_day(booked_on, question.sent.bank_date, keys.reference)
        if outcome.fate is not Fate.UNKNOWN or not self.fox.options.core_enquiry:
            return outcome
        inside = _interbank(found)
        return (yield from self._core(keys, inside, outcome, context))

    def _listed(self, answer: Answer, keys: CorrelationKeys) -> etree._Element | None:
        """The only XFER in the answer to an enquiry; None if the bank knows of none."""
        if answer.code != DONE:
            if self.fox.meanings.table.look_up("enquiry", "asked", answer.code, answer.text) == "not_found":
                return None
            self.fox.meanings.decline("enquiry", "asked", answer.code, answer.text)
        found = one(answer.within, "XFERINQRS/XFERLIST")
        rows = several(found, "XFER")
        if {value_or(found, "FROM"), value_or(found, "TO")} == {"-1"} and not rows:
            return None
        if len(rows) != 1:
            raise ProtocolError("ambiguous" if rows else "missing", f"{len(rows)} payments where one was asked about")
        check_stated(rows[0], keys, named=True)
        return rows[0]

    def _core(self, keys: CorrelationKeys, inside: str, first: Outcome, context: Context) -> Conversation[Outcome]:
        """The outcome by INQSTATETRN, or `first` if the core system does not state one."""
        content = core_content(keys.reference)
        try:
            answer = yield from self.fox.asked("INQSTATETRN", "core", content, context, 1)
        except Declined as declined:
            if declined.outcome == "signed_out":
                raise
            return first
        body = first_of(answer.within, "TXNSTATERS", "INQSTATERS/TXNSTATERS")
        if body is None:
            raise ProtocolError("missing", "the core system's answer has no TXNSTATERS")
        check_stated(body, keys, named=False)
        result, status = value(body, "CORERESULT"), value_or(body, "CORESTATUS")
        # A payment inside the bank has no CORESTATUS. A code made of both is in no table, and so stays unclear.
        layer = {"Y": "intra", "N": "inter"}.get(_interbank(body) or inside, "")
        code = f"{result}/{status}" if status else result
        told = self.fox.meanings.word("core", layer, code, value_or(body, "CORECLM"))
        return replace(told, text=first.text, bank_serial=first.bank_serial) if told.fate is not Fate.UNKNOWN else first


def _serial(parent: etree._Element) -> str | None:
    """The bank's number: SRVRID in an answer to a submit, SRVRTID in one to an enquiry."""
    return value_or(parent, "SRVRID") or value_or(parent, "SRVRTID") or None


def _interbank(parent: etree._Element) -> str:
    to = maybe(parent, "XFERINFO/ACCTTO")
    return "" if to is None else attribute(to, "INTERBANK")
