"""Payments: DLOUTTRN (对外支付), DLINETRN (集团内部转账), sweeps and pushes, and DLCIDSTT, the enquiry after them.

Sweeps (CMMANSWP, 手动归集) and pushes (CMDWNSWP, 手动下拨) move money between a group's account and a member's.

The status that answers a payment is acceptance at most. DLCIDSTT has two: the outer one says that the question
worked, the row's stt what became of the payment (banks/citic.md 2, 5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time
from typing import Final

from protocols.bank import Ask, Context, Conversation, MoneyConversation, Submit
from protocols.banks.citic.options import Options
from protocols.banks.citic.table import not_told, told
from protocols.banks.citic.wire import Answer, Leaves, Wire, status_of
from protocols.canon.order import AnyOrder, Channel, Kind, TransferDetail, Urgency
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import FateQuestion, Sent
from protocols.kit.china import BEIJING, check_amount
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_text
from protocols.kit.meanings import Meanings
from protocols.kit.orders import fitting
from protocols.kit.xmldoc import value, value_or

REFERENCE_CHARS: Final = 20
TEXT_BYTES: Final = 102
NAME_BYTES: Final = 122
PAYER_CHARS: Final = 19
PAYEE_CHARS: Final = 32
AMOUNT_MOST: Final = 10**15 - 1
_REFERENCE = re.compile(r"[0-9A-Za-z]{1,20}", re.ASCII)
_DLOUTTRN, _DLINETRN, SWEEP, PUSH = "DLOUTTRN", "DLINETRN", "CMMANSWP", "CMDWNSWP"
_OPENS, _CLOSES = time(9), time(17)
_SATURDAY = 5
ENDED: Final = (Fate.SETTLED, Fate.FAILED)
NOW: Final = (("preFlg", "0"), ("preDate", ""), ("preTime", ""))
"""At once: schedules know four clock times a day, and the gateway waits itself."""

HEAD_OFFICES: Final[Mapping[str, str]] = {
    "工商银行": "102100099996", "农业银行": "103100000026", "中国银行": "104100000004", "建设银行": "105100000017",
    "交通银行": "301290000007", "招商银行": "308584000013", "平安银行": "307584007998", "浦东发展银行": "310290000013",
    "浦发银行": "310290000013", "兴业银行": "309391000011", "民生银行": "305100000013", "光大银行": "303100000006",
    "邮政储蓄银行": "403100000004", "广发银行": "306581000003",
}  # fmt: skip
"""The head offices' numbers in the bank's manual, for payees whose branch has none in the order (banks/citic.md 5)."""

_OTHERS: Final = tuple(sorted({number[:3] for number in HEAD_OFFICES.values()}))
"""How the numbers of other banks begin: the first three digits name the bank."""
TAGS: Final = CorrelationTags(reference="clientID", amount="tranAmount", debtor="payAccountNo", creditor="recAccountNo")
"""Where an answer may state an order's keys. The bank's own samples state no clientID."""


@dataclass(frozen=True, slots=True)
class Payments:
    """Orders of one enterprise: sending them, reading the answers, asking what became of them."""

    options: Options
    wire: Wire
    meanings: Meanings

    # ---- handing in -------------------------------------------------------------------------------------------

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """One order. Raises ProtocolError before anything is sent if it does not fit the bank's form."""
        action = self._action(order)
        fitting(order.debtor.account.clear, "payAccountNo", PAYER_CHARS)
        fitting(order.creditor.account.clear, "recAccountNo", PAYEE_CHARS)
        keys = CorrelationKeys.of_order(order, context.reference)
        leaves = {
            _DLINETRN: self._transfer, SWEEP: self._sweep, PUSH: self._sweep,
        }.get(action, self._payment)(order, keys, context.now)  # fmt: skip
        frame = yield Submit("business", self.wire.message(action, leaves), (action,))
        return self.submitted(self.wire.read(frame, action), keys)

    def _action(self, order: AnyOrder) -> str:
        if not isinstance(order.detail, TransferDetail):
            return _DLOUTTRN
        if self.options.sweeps == _DLINETRN:
            return _DLINETRN
        return {"sweep": SWEEP, "push": PUSH}.get(order.detail.direction, _DLINETRN)

    def _transfer(self, order: AnyOrder, keys: CorrelationKeys, now: datetime) -> Leaves:
        return (
            ("clientID", reference(keys.reference)), *NOW, ("payAccountNo", keys.debtor),
            ("recAccountNo", keys.creditor), ("tranAmount", amount(order)), ("abstract", text(order.purpose)),
            ("memo", ""), ("cryType", ""),
        )  # fmt: skip

    def _sweep(self, order: AnyOrder, keys: CorrelationKeys, now: datetime) -> Leaves:
        """From a member to the group's account (conAccountNo), or from that (coreAccountNo) to a member."""
        upward = self._action(order) == SWEEP
        upper, member = (keys.creditor, keys.debtor) if upward else (keys.debtor, keys.creditor)
        return (
            ("clientID", reference(keys.reference)),
            ("conAccountNo" if upward else "coreAccountNo", fitting(upper, "the group's account", PAYER_CHARS)),
            ("accountNo", fitting(member, "the member's account", PAYER_CHARS)), ("tranAmount", amount(order)), *NOW,
            ("abstract", text(order.purpose)),
        )  # fmt: skip

    def _payment(self, order: AnyOrder, keys: CorrelationKeys, now: datetime) -> Leaves:
        same = self.same_bank(order)
        return (
            ("clientID", reference(keys.reference)), *NOW,
            ("payType", "01" if same else self.rail(order, now)), ("recBankNo", ""),
            ("payAccountNo", keys.debtor), ("recAccountNo", keys.creditor),
            ("recAccountName", name(order)), ("recOpenBankName", self.bank_name(order)),
            ("recOpenBankCode", order.creditor.cnaps or "" if same else bank_code(order)),
            ("citicbankFlag", "0" if same else "1"), ("cityFlag", self.options.city_flag),
            ("tranAmount", amount(order)), ("abstract", text(order.purpose)), ("memo", ""),
            ("takerName", ""), ("takerID", ""), ("takerIDType", ""), ("chkNum", ""),
        )  # fmt: skip

    def same_bank(self, order: AnyOrder) -> bool:
        """Whether the other side banks here too. A number of another bank beats a name that has ours in it.

        Our own numbers are not on the bank's page, so without `own_cnaps` only those of the banks that are decide.
        """
        if order.channel is Channel.SAME_BANK:
            return True
        bank, number = order.theirs.bank_name or "", order.theirs.cnaps or ""
        if number and self.options.own_cnaps:
            return number.startswith(self.options.own_cnaps)
        return not number.startswith(_OTHERS) and any(own in bank for own in self.options.own_names)

    def bank_name(self, order: AnyOrder) -> str:
        """recOpenBankName. Raises ProtocolError if it is missing or too long."""
        found = order.creditor.bank_name or ""
        if not found and not self.same_bank(order):
            raise ProtocolError("missing", "citic needs the payee bank's name")
        return fitting(found, "payee bank's name", NAME_BYTES, min_bytes=0)

    def rail(self, order: AnyOrder, now: datetime, *, night: bool = True) -> str:
        """payType of a payment to another bank: 02 大额, 03 小额, B5 大额夜间.

        02 is open on working days 9:00 to 17:00: Monday to Friday but for `holidays`. Outside, what the order leaves
        open goes by 03. Raises "value" for a large-value order that nothing can carry now; nothing was sent.
        """
        limit = self.options.large_value_from_minor
        by_amount = limit is not None and order.amount.minor >= limit
        wanted = order.channel is Channel.LARGE_VALUE
        if order.channel not in (Channel.AUTO, Channel.LARGE_VALUE, Channel.SMALL_VALUE):
            raise ProtocolError("value", f"citic has no {order.channel.value} channel here; use auto")
        if order.channel is Channel.SMALL_VALUE or not (wanted or by_amount or order.urgency is Urgency.URGENT):
            return "03"
        local = now.astimezone(BEIJING)
        works = local.weekday() < _SATURDAY and local.date().isoformat() not in self.options.holidays
        if works and _OPENS <= local.time() < _CLOSES:
            return "02"
        if night and self.options.night:
            return "B5"
        if wanted or by_amount:
            raise ProtocolError("value", "large-value payments go on working days from 9:00 to 17:00")
        return "03"

    # ---- the answer to it -------------------------------------------------------------------------------------

    def submitted(self, answer: Answer, keys: CorrelationKeys) -> Outcome:
        """What the answer to one order says about it: taken at most."""
        check_keys(answer.root, keys, TAGS)
        word = self.meanings.word("submit", "outer", answer.status, answer.text)
        return replace(word, bank_serial=value_or(answer.root, "tranNo") or None)

    def read(self, kind: Kind, sent: Sent, frame: bytes) -> Outcome:
        """The stored answer to the money word of `kind` that was written down as `sent`."""
        if kind not in (Kind.PAYMENT, Kind.TRANSFER):
            raise ProtocolError("value", f"citic sends no single {kind.value}")
        action = sent.serials[0] if sent.serials else _DLINETRN if kind is Kind.TRANSFER else _DLOUTTRN
        return self.submitted(self.wire.read(frame, action), CorrelationKeys.of(sent))

    # ---- what became of it ------------------------------------------------------------------------------------

    def fate(self, question: FateQuestion, context: Context) -> Conversation[Outcome]:
        """DLCIDSTT by our clientID. Raises Declined if the question itself is answered with a status.

        Its answer says nothing of what it answers, and the empty one to any other question looks like it. So an ending
        and "not found" are asked for twice, over two connections, and believed if both answers are the same.
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
        """One DLCIDSTT. Our ids are unique over all actions, so `type` may stay empty where it was not written down."""
        action = sent.serials[0] if sent.serials else ""
        asked = (("clientID", reference(sent.reference)), ("type", action))
        answer = self.wire.read((yield Ask("business", self.wire.message("DLCIDSTT", asked))), "DLCIDSTT")
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


def reference(given: str) -> str:
    """`given` if it can be a clientID. Raises "value" otherwise."""
    if not _REFERENCE.fullmatch(given):
        raise ProtocolError("value", f"{given!r} is no clientID: 1 to 20 letters and digits")
    return given


def name(order: AnyOrder) -> str:
    """The other side's name. Raises ProtocolError if it is missing or too long."""
    return fitting(order.theirs.name.clear, "name", NAME_BYTES)


def amount(order: AnyOrder) -> str:
    """tranAmount in yuan. Raises "value" on another currency and on what does not fit 13.2 digits."""
    check_amount("citic", order.amount, AMOUNT_MOST)
    return amount_text(order.amount.minor)


def text(purpose: str, most: int = TEXT_BYTES) -> str:
    """abstract. Raises "value" if it is too long."""
    return fitting(purpose, "purpose", most, min_bytes=0)


def bank_code(order: AnyOrder) -> str:
    """recOpenBankCode: the order's number, else that of the head office. Raises "missing" if there is none.

    Without one, 02 and 03 fall to people at the bank's counter.
    """
    bank = order.creditor.bank_name or ""
    found = order.creditor.cnaps or next((HEAD_OFFICES[one] for one in HEAD_OFFICES if one in bank), "")
    if not found:
        raise ProtocolError("missing", "citic needs the payee bank's 12-digit number")
    return found
