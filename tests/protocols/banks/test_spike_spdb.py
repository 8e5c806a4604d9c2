"""SPDB's three exchanges for one payment fit the interfaces: sign, submit, verify; exactly one of them moves money."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field, replace

import pytest

from protocols.canon.order import Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import Sent
from protocols.kit import http
from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.pab.paper import REFERENCE, TODAY, context, order, question
from tests.protocols.banks.spikes.hops import Hops
from tests.protocols.banks.spikes.spdb import build_bank
from tests.world.dialogue import sent_of

SECRET = b"the key in the front end"
XML = '<?xml version="1.0" encoding="gb2312"?>'


def seal(content: bytes) -> str:
    """A stand-in for the front end's attached CMS, which contains the content that it signs."""
    return base64.b64encode(hmac.digest(SECRET, content, hashlib.sha256) + content).decode()


def unseal(sealed: str) -> bytes | None:
    raw = base64.b64decode(sealed)
    return raw[32:] if hmac.compare_digest(raw[:32], hmac.digest(SECRET, raw[32:], hashlib.sha256)) else None


@dataclass
class FrontEnd:
    """SPDB's two ports, written from its page: BISafe signs and verifies, the other port takes packets."""

    status: str = "4"
    refusal: str = ""
    packets: list[str] = field(default_factory=list)
    paid: dict[str, str] = field(default_factory=dict)
    garble: bool = False

    def __call__(self, port: str, data: bytes) -> bytes:
        asked = http.parse_request(data)
        return (self._sign if port == "sign" else self._take)(asked)

    def _sign(self, asked: http.HttpRequest) -> bytes:
        if asked.headers["content-type"] == "INFOSEC_SIGN/1.0":
            return self._page("0", f"<sign>{seal(asked.body)}</sign>")
        content = unseal(asked.body.decode())
        if content is None:
            raw = base64.b64decode(asked.body)[32:].decode("gbk", "replace")
            return self._page("-1", f"<sic>{raw}</sic>")
        return self._page("0", f"<sic>{content.decode('gbk')}</sic><cert>x</cert><certdn/>")

    def _page(self, result: str, body: str) -> bytes:
        head = f"<head><title>签名结果</title><result>{result}</result></head>"
        return http.answer(200, body=f"<html>{head}<body>{body}</body></html>".encode("gbk"))

    def _take(self, asked: http.HttpRequest) -> bytes:
        assert int(asked.body[:6]) == len(asked.body), "the six digits count themselves"
        packet = asked.body[6:].decode("gbk")
        operation, packet_id = _between(packet, "transCode"), _between(packet, "packetID")
        head = f"<transCode>{operation}</transCode><signFlag>1</signFlag><packetID>{packet_id}</packetID>"
        clear = unseal(_between(packet, "signature"))
        if clear is None or packet_id in self.packets or self.refusal:
            code = "EYY9994" if clear is None else self.refusal or "EYY8990"
            body = f"<returnCode>{code}</returnCode><returnMsg>报文</returnMsg>"
            return self._framed(head, code, body)
        self.packets.append(packet_id)
        told = self._pay(clear.decode("gbk")) if operation == "8801" else self._fate(clear.decode("gbk"))
        sealed = seal(f"<body>{told}</body>".encode("gbk"))
        sealed = "AAAA" + sealed[4:] if self.garble else sealed
        return self._framed(head, "AAAAAAA", f"<signature>{sealed}</signature>")

    def _pay(self, clear: str) -> str:
        self.paid[_between(clear, "elecChequeNo")] = _between(clear, "amount")
        return f"<acceptNo>PT1</acceptNo><transStatus>{self.status}</transStatus>"

    def _fate(self, clear: str) -> str:
        voucher = _between(clear, "elecChequeNo")
        if voucher not in self.paid:
            return '<totalCount>0</totalCount><lists name="LoopResult"/>'
        amount = f"<amount>{self.paid[voucher]}</amount>"
        row = f"<elecChequeNo>{voucher}</elecChequeNo><acceptNo>PT1</acceptNo>{amount}"
        return (
            f'<totalCount>1</totalCount><lists name="LoopResult"><list>{row}'
            f"<transStatus>{self.status}</transStatus></list></lists>"
        )

    def _framed(self, head: str, code: str, body: str) -> bytes:
        packet = f"{XML}<packet><head>{head}<returnCode>{code}</returnCode></head><body>{body}</body></packet>"
        content = packet.encode("gbk")
        return http.answer(200, body=str(len(content) + 6).ljust(6).encode() + content)


def _between(text: str, tag: str) -> str:
    return text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]


BANK = build_bank({"master_id": "2000000001"})


def sent(packet_id: str) -> Sent:
    return sent_of(order(), REFERENCE, TODAY, (packet_id,))


def pay(front: FrontEnd, serial: int = 1) -> tuple[Outcome, Hops]:
    hops = Hops(BANK.ports, front)
    conversation = BANK.money[Kind.PAYMENT](order(), context(serial))
    step = hops.prepare(conversation)
    before = len(hops.said)
    assert (before, step.port, step.serials) == (1, "business", (str(serial),))
    assert not front.paid, "nothing may move before the Submit"
    answer = hops.exchange(step.port, step.data)
    return hops.finish(conversation, answer), hops


def test_a_payment_takes_three_hops_and_one_of_them_submits() -> None:
    front = FrontEnd()
    outcome, hops = pay(front)
    assert [port for port, _ in hops.said] == ["sign", "business", "sign"]
    types = [http.parse_request(data).headers["content-type"] for _, data in hops.said]
    assert types == ["INFOSEC_SIGN/1.0", "text/plain", "INFOSEC_VERIFY_SIGN/1.0"]
    assert (outcome.fate, outcome.bank_serial) == (Fate.SETTLED, "PT1")
    assert front.paid == {REFERENCE: "10.00"}
    signed = http.parse_request(hops.said[0][1]).body
    assert signed.startswith(b"<body>")
    assert GBK.encode("示例丙") in signed


@pytest.mark.parametrize(
    ("status", "fate", "listed"),
    [
        ("4", Fate.SETTLED, True),
        ("8", Fate.FAILED, True),
        ("A", Fate.PENDING, True),
        ("3", Fate.PENDING, True),
        ("7", Fate.UNKNOWN, False),
    ],
)
def test_what_the_verified_answer_says(status: str, fate: Fate, listed: bool) -> None:
    outcome, _ = pay(FrontEnd(status))
    assert (outcome.fate, outcome.listed) == (fate, listed)


def test_an_unsigned_error_needs_no_third_hop() -> None:
    outcome, hops = pay(FrontEnd(refusal="EYY8998"))
    assert (outcome.fate, len(hops.said)) == (Fate.FAILED, 2)
    assert pay(FrontEnd(refusal="EYY0000"))[0].fate is Fate.UNKNOWN


def test_the_stored_bytes_again_are_a_duplicate_and_no_second_payment() -> None:
    front = FrontEnd()
    _, hops = pay(front)
    stored = hops.said[1][1]
    again = hops.exchange("business", stored)
    assert BANK.read(Kind.PAYMENT, sent("1"), again).fate is Fate.DUPLICATE
    assert len(front.packets) == 1


def test_an_answer_that_the_front_end_cannot_verify_is_no_answer() -> None:
    front = FrontEnd(garble=True)
    with pytest.raises(ProtocolError):
        pay(front)
    assert front.paid, "it was sent: this is doubt, and the lane says so"


def test_a_stored_signed_answer_is_doubt_because_reading_has_no_hops() -> None:
    front = FrontEnd()
    _, hops = pay(front)
    fresh = front("business", replace_packet(hops.said[1][1]))
    assert BANK.read(Kind.PAYMENT, sent("2"), fresh).fate is Fate.UNKNOWN


@pytest.mark.parametrize("refusal", ["", "EYY8998"])
def test_a_stored_answer_to_another_packet_is_refused(refusal: str) -> None:
    """The signed part of an answer may name neither reference, amount nor accounts. Its packet shows whose it is."""
    front = FrontEnd()
    _, hops = pay(front)
    front.refusal = refusal
    answer = front("business", replace_packet(hops.said[1][1]))
    BANK.read(Kind.PAYMENT, sent("2"), answer)
    with pytest.raises(ProtocolError) as refused:
        BANK.read(Kind.PAYMENT, sent("1"), answer)
    assert refused.value.reason == "correlation"


def replace_packet(data: bytes) -> bytes:
    return data.replace(b"<packetID>1<", b"<packetID>2<")


def test_an_enquiry_takes_the_same_three_hops() -> None:
    front = FrontEnd()
    pay(front)
    fate = BANK.questions.fate
    assert fate is not None
    hops = Hops(BANK.ports, front)
    assert hops.ask(fate(question(), context(2))).fate is Fate.SETTLED
    assert [port for port, _ in hops.said] == ["sign", "business", "sign"]
    assert hops.ask(fate(question("GW000000000000000009"), context(3))).fate is Fate.NOT_FOUND
    other = replace(question().sent, amount=replace(order().amount, minor=1))
    with pytest.raises(ProtocolError):
        hops.ask(fate(replace(question(), sent=other), context(4)))


def test_an_answer_to_another_packet_is_no_answer() -> None:
    front = FrontEnd()
    hops = Hops(BANK.ports, front)
    conversation = BANK.money[Kind.PAYMENT](order(), context(1))
    step = hops.prepare(conversation)
    answer = hops.exchange("business", replace_packet(step.data))
    with pytest.raises(ProtocolError):
        hops.finish(conversation, answer)
