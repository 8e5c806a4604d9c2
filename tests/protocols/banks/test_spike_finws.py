"""A Finnish upload fits the seams: two signatures, one Submit, the same bytes again, 31/32 as proof."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from protocols.bank import Bank, Replay, Submit
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import Sent
from protocols.kit import dsig, http
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import build, el, one, parse, value
from tests.protocols.banks.pab.paper import REFERENCE, TODAY, context, order
from tests.protocols.banks.spikes import finws
from tests.protocols.banks.spikes.hops import Hops
from tests.protocols.kit.signing import KeyPair, key_pair
from tests.world.dialogue import sent_of

US, BANK_KEY, STRANGER = (key_pair(name) for name in ("bank", "stranger", "content"))
FAR = f"{{{finws.MODEL}}}"


@pytest.fixture(autouse=True, scope="module")
def _started() -> None:
    dsig.start()


def signer(key: rsa.RSAPrivateKey) -> Callable[[bytes], bytes]:
    return lambda octets: key.sign(octets, padding.PKCS1v15(), hashes.SHA256())


@dataclass
class FinnishFrontEnd:
    """The bank: verifies both signatures with xmlsec, keeps ids for ever, answers signed."""

    key: KeyPair = BANK_KEY
    seen: set[str] = field(default_factory=set)
    files: list[str] = field(default_factory=list)
    force: str = ""
    shown: str = ""
    about: Mapping[str, str] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)

    def __call__(self, port: str, data: bytes) -> bytes:
        code, text = self._take(http.parse_request(data).body)
        said = el(
            "ApplicationResponse",
            {"xmlns": finws.DATA},
            el("CustomerId", "11111111"),
            el("ResponseCode", self.force or code),
            el("ResponseText", text),
            *(el(tag, told) for tag, told in {**self.last, **self.about}.items()),
        )
        prepared = dsig.prepare(build(said, UTF8), finws.ANSWER)
        content = dsig.attach(prepared, signer(self.key.private)(prepared.octets))
        head = el(
            "m:ResponseHeader",
            el("m:ResponseCode", self.shown or self.force or code),
            el("m:ResponseText", text),
        )
        out = el("c:uploadFileout", {"xmlns:c": finws.SERVICE, "xmlns:m": finws.MODEL}, head,
                 el("m:ApplicationResponse", base64.b64encode(content).decode()))  # fmt: skip
        soap = el("soap:Envelope", {"xmlns:soap": finws.SOAP}, el("soap:Body", out))
        return http.answer(200, body=build(soap, UTF8))

    def _take(self, message: bytes) -> tuple[str, str]:
        self.last = {}
        try:
            body = dsig.verify(message, finws.TRANSPORT, US.pin).root
        except ProtocolError:
            return "02", "SOAP signature error"
        upload = one(body, f"{{{finws.SERVICE}}}uploadFilein")
        content = base64.b64decode(value(upload, f"{FAR}ApplicationRequest"))
        try:
            asked = dsig.verify(content, finws.CONTENT, US.pin).root
        except ProtocolError:
            return "18", "Content digital signature not valid"
        self.last = {tag: value(asked, f"{{{finws.DATA}}}{tag}") for tag in ("ExecutionSerial", "AmountTotal")}
        request_id = value(upload, f"{FAR}RequestHeader/{FAR}RequestId")
        if request_id in self.seen:
            return "31", "Duplicate message rejected"
        self.seen.add(request_id)
        document = base64.b64decode(value(asked, f"{{{finws.DATA}}}Content"))
        self.files.append(value(parse(document, UTF8), "EndToEndId"))
        return "00", "OK"


def bank() -> Bank:
    return finws.build_bank({"certificate": US.certificate, "bank_keys": [BANK_KEY.pin]})


def sent() -> Sent:
    return sent_of(order(), REFERENCE, TODAY, ("77",))


def hops(front: FinnishFrontEnd, content: KeyPair = US, transport: KeyPair = US) -> Hops:
    keys = {"content": signer(content.private), "transport": signer(transport.private)}
    return Hops(bank().ports, front, sign=keys)


def upload(front: FinnishFrontEnd, carried: Hops | None = None) -> tuple[Outcome, Submit, Hops]:
    carried = carried or hops(front)
    conversation = bank().money[Kind.PAYMENT](order(), context(serial=77))
    step = carried.prepare(conversation)
    assert not carried.said, "signing needs no bank"
    return carried.finish(conversation, carried.exchange(step.port, step.data)), step, carried


def test_an_upload_is_signed_twice_and_submitted_once() -> None:
    front = FinnishFrontEnd()
    outcome, step, carried = upload(front)
    assert (outcome.fate, outcome.code) == (Fate.PENDING, "00")
    assert carried.signatures == ["content", "transport"]
    assert front.files == [REFERENCE]
    assert (step.port, step.serials) == ("business", ("77",))
    assert tuple(bank().profile.signs) == ("content", "transport")


def test_both_signatures_are_what_the_standard_s_own_library_accepts() -> None:
    """`dsig.verify` asks xmlsec; the enveloped one is verified again inside the base64 of the other."""
    _, step, _ = upload(FinnishFrontEnd())
    message = http.parse_request(step.data).body
    outer = dsig.verify(message, finws.TRANSPORT, US.pin, engine="xmlsec")
    assert len(outer.parts) == 2
    assert b"<wsu:Timestamp" in outer.parts[1]
    content = base64.b64decode(value(outer.root, f"{{{finws.SERVICE}}}uploadFilein/{FAR}ApplicationRequest"))
    inner = dsig.verify(content, finws.CONTENT, US.pin, engine="xmlsec")
    assert value(inner.root, f"{{{finws.DATA}}}ExecutionSerial") == REFERENCE


def test_the_stored_bytes_again_are_proof_of_delivery_and_no_second_file() -> None:
    front = FinnishFrontEnd()
    _, step, carried = upload(front)
    stored = bytes(step.data)
    answer = carried.exchange(step.port, stored)
    outcome = bank().read(Kind.PAYMENT, sent(), answer)
    assert (outcome.fate, outcome.code, outcome.listed) == (Fate.DUPLICATE, "31", True)
    assert carried.said[-1] == ("business", stored)
    assert front.files == [REFERENCE]
    front.force = "32"
    assert bank().read(Kind.PAYMENT, sent(), carried.exchange(step.port, stored)).fate is Fate.DUPLICATE
    assert bank().profile.replay[Kind.PAYMENT].policy is Replay.REPLAY_SAFE


def test_a_repeat_after_the_first_was_lost_delivers_it() -> None:
    front = FinnishFrontEnd()
    carried = hops(front)
    conversation = bank().money[Kind.PAYMENT](order(), context(serial=77))
    stored = carried.prepare(conversation).data
    conversation.close()  # the connection died before a byte arrived
    assert bank().read(Kind.PAYMENT, sent(), carried.exchange("business", stored)).fate is Fate.PENDING
    assert front.files == [REFERENCE]


ABOUT_ANOTHER = [{"ExecutionSerial": "GW000000000000000002"}, {"AmountTotal": "10.01"}]


@pytest.mark.parametrize("about", ABOUT_ANOTHER)
@pytest.mark.parametrize("code", ["00", "31", "12"])
def test_an_answer_about_another_upload_is_refused(about: Mapping[str, str], code: str) -> None:
    front = FinnishFrontEnd(force=code, about=about)
    carried = hops(front)
    conversation = bank().money[Kind.PAYMENT](order(), context(serial=77))
    answer = carried.exchange("business", carried.prepare(conversation).data)
    with pytest.raises(ProtocolError) as stored:
        bank().read(Kind.PAYMENT, sent(), answer)
    with pytest.raises(ProtocolError) as fresh:
        carried.finish(conversation, answer)
    assert stored.value.reason == fresh.value.reason == "correlation"


@pytest.mark.parametrize(("part", "code"), [("transport", "02"), ("content", "18")])
def test_the_bank_refuses_either_signature_of_another_key(part: str, code: str) -> None:
    front = FinnishFrontEnd()
    keys = {"content": US, "transport": US, part: STRANGER}
    outcome, _, _ = upload(front, hops(front, keys["content"], keys["transport"]))
    assert (outcome.fate, outcome.code) == (Fate.FAILED, code)
    assert not front.files


CHANGES = [
    (b'wsu:Id="body"', b'wsu:Id="bodi"'),
    (b"<m:SenderId>1", b"<m:SenderId>2"),
    (b"<wsu:Created>2", b"<wsu:Created>3"),
]


@pytest.mark.parametrize("changed", CHANGES)
def test_nothing_signed_can_be_changed_on_the_way(changed: tuple[bytes, bytes]) -> None:
    front = FinnishFrontEnd()
    _, step, _ = upload(FinnishFrontEnd())
    assert changed[0] in step.data
    answer = front("business", step.data.replace(*changed))
    assert bank().read(Kind.PAYMENT, sent(), answer).code == "02"
    assert not front.files


@pytest.mark.parametrize(("code", "fate", "listed"), [("26", Fate.UNKNOWN, True), ("99", Fate.UNKNOWN, False),
                                                      ("12", Fate.FAILED, True)])  # fmt: skip
def test_other_answers(code: str, fate: Fate, listed: bool) -> None:
    outcome, _, _ = upload(FinnishFrontEnd(force=code))
    assert (outcome.fate, outcome.listed) == (fate, listed)


@pytest.mark.parametrize("front", [FinnishFrontEnd(key=STRANGER), FinnishFrontEnd(force="12", shown="00")])
def test_an_answer_of_a_stranger_or_of_two_minds_is_no_answer(front: FinnishFrontEnd) -> None:
    with pytest.raises(ProtocolError):
        upload(front)
