"""Payments: DLOUTTRN (对外支付), DLINETRN (集团内部转账), sweeps and pushes, and DLCIDSTT, the enquiry after them.

The status that answers a payment is acceptance at most. The answer to DLCIDSTT has two: the outer one says that the
question succeeded, the row's stt gives the result of the payment (banks/citic.md 2, 5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from protocols.bank import Context, Conversation, MoneyConversation, Submit
from protocols.banks.citic import requests
from protocols.banks.citic.options import Options
from protocols.banks.citic.requests import Asked, Written
from protocols.banks.citic.table import handed_in, not_told, told
from protocols.banks.citic.wire import Answer, Wire, status_of
from protocols.canon.order import AnyOrder, Kind, TransferDetail
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import FateQuestion, Sent
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.meanings import Meanings
from protocols.kit.xmldoc import value, value_or

ENDED: Final = (Fate.SETTLED, Fate.FAILED)
TAGS: Final = CorrelationTags(reference="clientID", amount="tranAmount", debtor="payAccountNo", creditor="recAccountNo")
"""Where an answer may state an order's keys. The bank's own samples state no clientID."""
_MESSAGES: Final = {Kind.PAYMENT: "DLOUTTRN", Kind.TRANSFER: "DLINETRN"}
_POOLED: Final = {"sweep": "CMMANSWP", "push": "CMDWNSWP"}


@dataclass(frozen=True, slots=True)
class Payments:
    """Sends the orders of one enterprise, reads the answers, and asks for the outcomes."""

    options: Options
    wire: Wire
    meanings: Meanings

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """Send one order. Raises ProtocolError before anything is sent if it does not fit the bank's form."""
        action = self._action(order)
        written = Written(order, context.reference, self.options, context.now)
        frame = yield Submit("business", self.wire.request(requests.SINGLE[action], written), (action,))
        return self.submitted(self.wire.read(frame, action), CorrelationKeys.of_order(order, context.reference))

    def _action(self, order: AnyOrder) -> str:
        if isinstance(order.detail, TransferDetail) and self.options.pooled:
            return _POOLED.get(order.detail.direction, "DLINETRN")
        return _MESSAGES[order.kind]

    def submitted(self, answer: Answer, keys: CorrelationKeys) -> Outcome:
        """The outcome of the order in the answer to its message: at most pending."""
        check_keys(answer.root, keys, TAGS)
        word = handed_in(self.meanings, "submit", "outer", answer.status, answer.text)
        return replace(word, bank_serial=value_or(answer.root, "tranNo") or None)

    def read(self, kind: Kind, sent: Sent, frame: bytes) -> Outcome:
        """The outcome in the stored answer to an order of `kind` that was stored as `sent`."""
        if kind not in _MESSAGES:
            raise ProtocolError("value", f"citic sends no single {kind.value}")
        action = sent.serials[0] if sent.serials else _MESSAGES[kind]
        return self.submitted(self.wire.read(frame, action), CorrelationKeys.of(sent))

    def fate(self, question: FateQuestion, context: Context) -> Conversation[Outcome]:
        """The outcome by DLCIDSTT with our clientID. Raises Declined if the question itself is answered with a status.

        Its answer does not name its question, and the empty answer to any other question looks the same. So a final
        outcome and "not found" are asked for twice, over two connections, and believed if both answers are the same.
        """
        once = yield from self._told(question.sent)
        if once.fate not in (*ENDED, Fate.NOT_FOUND) or not self.options.confirm:
            return once
        again = yield from self._told(question.sent)
        if (again.fate, again.code) == (once.fate, once.code):
            return again
        both = ", then ".join(one.code or one.fate.value for one in (once, again))
        return Outcome(Fate.UNKNOWN, code=both, text="two answers to one question differ", listed=False)

    def _told(self, sent: Sent) -> Conversation[Outcome]:
        """The answer to one DLCIDSTT. Our ids are unique over all actions, so `type` may be empty if it was not
        stored."""
        asked = Asked(sent.reference, sent.serials[0] if sent.serials else "")
        answer = yield from self.wire.asked(requests.DLCIDSTT, asked)
        keys = CorrelationKeys.of(sent)
        check_keys(answer.root, keys, TAGS)
        if not answer.done:
            return not_told(self.meanings, "DLCIDSTT", "status", answer)
        rows = answer.rows
        if not rows:
            return Outcome(Fate.NOT_FOUND, text="no row under this clientID")
        if len(rows) > 1:
            raise ProtocolError("ambiguous", f"{len(rows)} rows answer one clientID")
        check_keys(rows[0], keys, TAGS)
        return told(self.meanings, value(rows[0], "stt"), status_of(rows[0]), value_or(rows[0], "statusText"))
