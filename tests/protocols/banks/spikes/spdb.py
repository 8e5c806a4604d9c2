"""A trial adapter of SPDB (浦发), whose front end signs, takes and verifies: three exchanges for one order.

Only what proves that the seams carry it: single payment 8801, enquiry 8804, the banks/spdb.md shapes.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lxml import etree

from protocols.bank import (
    Ask,
    Bank,
    Context,
    Conversation,
    MoneyConversation,
    Port,
    Profile,
    Questions,
    QuestionStep,
    Sessions,
    Submit,
)
from protocols.canon.limits import Limits
from protocols.canon.order import AnyOrder, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import FateQuestion, Sent
from protocols.kit import codes, http
from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, amount_text, date_text
from protocols.kit.framing import LengthPrefix
from protocols.kit.xmldoc import Markup, build, el, maybe, one, parse, several, value, value_or

FRAMING = LengthPrefix(6, counts_self=True)
HOST = "fep.bank.test"
TABLE = codes.load("""
[[code]]
operation = "8801"
layer = "head"
code = "EYY8990"
outcome = "duplicate"
source = "banks/spdb.md 5: packetID used before: maybe delivered"

[[code]]
operation = "8801"
layer = "head"
code = ["EYY8998", "EGG0346"]
outcome = "failed"
source = "banks/spdb.md 5: over the limit; name and number do not fit"

[[code]]
operation = "*"
layer = "status"
code = "4"
outcome = "settled"
source = "banks/spdb.md 5"

[[code]]
operation = "*"
layer = "status"
code = ["8", "9"]
outcome = "failed"
source = "banks/spdb.md 5"

[[code]]
operation = "*"
layer = "status"
code = ["0", "1", "2", "3", "A"]
outcome = "pending"
source = "banks/spdb.md 5: 3 is waiting for authorisation, never paid"
""")
_FATES = {"settled": Fate.SETTLED, "failed": Fate.FAILED, "pending": Fate.PENDING, "duplicate": Fate.DUPLICATE}


def build_bank(options: Mapping[str, Any]) -> Bank:
    """The trial bank: two ports, no kept connection."""
    spdb = Spdb(str(options["master_id"]))
    doors = {name: Port(name, lambda: http.HttpAnswers().cutter(65_536), kept=False) for name in ("sign", "business")}
    profile = Profile("spdb", "SPDB", "浦发银行", Limits("gbk"), serials_per_word=1)
    return Bank(
        profile,
        doors,
        Sessions(window=1, probe=spdb.probe, probe_every_s=60),
        {Kind.PAYMENT: spdb.pay},
        Questions(fate=spdb.fate),
        spdb.read,
    )


@dataclass(frozen=True, slots=True)
class Packet:
    """An answer's head and body: `signature` if the body is signed, `text` if it is an error."""

    code: str
    text: str
    packet_id: str
    signature: str


@dataclass(frozen=True, slots=True)
class Spdb:
    """The conversations with the trial bank."""

    master_id: str

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """8801: Ask("sign"), Submit("business"), Ask("verify")."""
        body = el(
            "body",
            el("totalNumber", "1"),
            el("totalAmount", amount_text(order.amount.minor)),
            el("elecChequeNo", context.reference),
            el("acctNo", order.debtor.account.clear),
            el("payeeAcctNo", order.creditor.account.clear),
            el("payeeName", order.creditor.name.clear),
            el("amount", amount_text(order.amount.minor)),
            el("note", order.purpose),
        )
        packet_id, signature = str(context.serials[0]), (yield from _signed(body))
        answer = yield Submit("business", self._packet("8801", packet_id, signature, context), (packet_id,))
        packet = _packet_of(answer, (packet_id,))
        if not packet.signature:
            return _word("8801", "head", packet.code, packet.text)
        clear = yield from _verified(packet.signature)
        return _status(clear, "8801")

    def fate(self, question: FateQuestion, context: Context) -> Conversation[Outcome]:
        """8804: the same three exchanges, all of them repeatable."""
        sent = question.sent
        day = timedelta(days=1)
        body = el(
            "body",
            el("elecChequeNo", sent.reference),
            el("acctNo", sent.debtor.clear),
            el("beginDate", date_text(sent.bank_date - day)),
            el("endDate", date_text(sent.bank_date + day)),
            el("queryNumber", "30"),
            el("beginNumber", "1"),
        )
        packet_id, signature = str(context.serials[0]), (yield from _signed(body))
        asked = self._packet("8804", packet_id, signature, context)
        packet = _packet_of((yield Ask("business", asked)), (packet_id,))
        if not packet.signature:
            return Outcome(Fate.UNKNOWN, packet.code, packet.text)
        clear = yield from _verified(packet.signature)
        for line in several(clear, "lists/list"):
            if value(line, "elecChequeNo") == sent.reference:
                if amount_minor(value(line, "amount")) != sent.amount.minor:
                    raise ProtocolError("correlation", "8804: our voucher with another amount")
                return _status(line, "8804")
        return Outcome(Fate.NOT_FOUND, "AAAAAAA")

    def probe(self, context: Context) -> Conversation[None]:
        """Any signature proves that the sign port answers."""
        yield from _signed(el("body"))

    def read(self, kind: Kind, sent: Sent, data: bytes) -> Outcome:
        """The outcome in a stored answer: doubt, because a signed answer cannot be judged unless the front end verifies
        it.

        What an unsigned one is about, only its packet tells.
        """
        packet = _packet_of(data, sent.serials)
        return Outcome(Fate.UNKNOWN) if packet.signature else _word("8801", "head", packet.code, packet.text)

    def _packet(self, operation: str, packet_id: str, signature: str, context: Context) -> bytes:
        head = el(
            "head",
            el("transCode", operation),
            el("signFlag", "1"),
            el("masterID", self.master_id),
            el("packetID", packet_id),
            el("timeStamp", context.now.strftime("%Y-%m-%d %H:%M:%S")),
        )
        packet = build(el("packet", head, el("body", el("signature", signature))), GBK)
        return http.request("POST", "/", HOST, [("Content-Type", "text/plain")], FRAMING.wrap(packet))


def _signed(body: Markup) -> Generator[QuestionStep, bytes, str]:
    """One exchange with the sign port: the front end's signature over exactly these bytes."""
    asked = http.request("POST", "/", HOST, [("Content-Type", "INFOSEC_SIGN/1.0")], GBK.encode(body))
    page = _page((yield Ask("sign", asked)))
    return value(page, "body/sign")


def _verified(signature: str) -> Generator[QuestionStep, bytes, etree._Element]:
    """One exchange with the sign port: the clear body that the signature covers. Nothing else is read."""
    headers = [("Content-Type", "INFOSEC_VERIFY_SIGN/1.0")]
    page = _page((yield Ask("sign", http.request("POST", "/", HOST, headers, signature.encode("ascii")))))
    return one(page, "body/sic/body")


def _page(answer: bytes) -> etree._Element:
    page = parse(http.expect_status(http.parse_answer(answer)), GBK)
    result = value(page, "head/result")
    if result != "0":
        raise ProtocolError("signature", f"the front end's sign port answered {result}")
    return page


def _packet_of(answer: bytes, ours: Sequence[str]) -> Packet:
    frames = (cutter := FRAMING.cutter(65_536)).feed(http.expect_status(http.parse_answer(answer)))
    cutter.end()
    if len(frames) != 1:
        raise ProtocolError("frame_length", f"{len(frames)} packets in one answer")
    root = parse(frames[0], GBK)
    head, body = one(root, "head"), one(root, "body")
    told = value(head, "packetID")
    if told not in ours:
        raise ProtocolError("correlation", f"the answer is to packet {told}, not {', '.join(ours)}")
    code, signature = value(head, "returnCode"), value_or(body, "signature")
    if (code == "AAAAAAA") != bool(signature):
        raise ProtocolError("unsigned", f"code {code} and signature {signature[:8]!r} do not go together")
    return Packet(code, value_or(body, "returnMsg"), told, signature)


def _status(element: etree._Element, operation: str) -> Outcome:
    found = maybe(element, "transStatus")
    status = "" if found is None else value(element, "transStatus")
    outcome = _word(operation, "status", status, "")
    serial = value_or(element, "acceptNo") or None
    return Outcome(outcome.fate, outcome.code, outcome.text, serial, listed=outcome.listed)


def _word(operation: str, layer: str, code: str, text: str) -> Outcome:
    found = TABLE.look_up(operation, layer, code, text)
    return Outcome(_FATES.get(found or "", Fate.UNKNOWN), code, text, listed=found is not None)
