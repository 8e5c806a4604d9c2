"""Uploads: sample messages, both signatures checked by other software, tampering, repeats, and the sources of a
fate."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from lxml import etree
from signxml.verifier import XMLVerifier

from gateway.simbank.ledger import BookingRules, LedgerAccount
from protocols.bank import BadOptions, Context, Replay
from protocols.banks.finws import messages, twin
from protocols.banks.finws.twin_enrolment import Hand, sign_enveloped
from protocols.banks.finws.variant import variant_of, variants
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import Address
from protocols.kit import dsig, http
from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022 import schema, transfer
from tests.protocols.banks.finws.paper import (
    DATA,
    DEBTOR,
    MODEL,
    ORDER,
    REFERENCE,
    SENT,
    STRANGER,
    US,
    body_of,
    document_of,
    fate,
    options,
    pay,
    show,
    signer,
    stage,
    submitted_by,
    unpacked,
)
from tests.protocols.kit.signing import D
from tests.world.dialogue import NOON, BankAndTwin, order_of, sent_of

GOLDEN = Path(__file__).parent / "golden"
PAYMENT = Kind.PAYMENT


def submitted(made: BankAndTwin, reference: str = REFERENCE) -> bytes:
    """The request of the golden order in the form in which it would leave."""
    return submitted_by(made, made.bank.money[PAYMENT](ORDER, made.context(reference)))


def answered(made: BankAndTwin, change: Callable[[etree._Element], None] | None = None, code: str = "") -> bytes:
    """The bank's answer to the golden upload, with its document changed and properly signed again."""
    request = submitted(made)
    made._serial = 1000
    if change is None and not code:
        return made.exchange("business", request, money=True)

    def altered(document: bytes, key: bytes, hand: Hand) -> bytes:
        root = etree.fromstring(document)
        if code and root.tag == f"{DATA}ApplicationResponse":
            element = root.find(f"{DATA}ResponseCode")
            assert element is not None
            element.text = code
        if change is not None:
            change(root)
        return sign(etree.tostring(root), key)

    sign = sign_enveloped
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twin, "sign_enveloped", altered)  # the bank itself gives another answer
        return made.exchange("business", request, money=True)


# ---- golden messages and other hands ------------------------------------------------------------------------


def shaped(message: bytes) -> bytes:
    """The message without the parts that depend on keys and packing."""
    names = rb"(Value>|Token [^>]*>|X509Certificate>|ApplicationRequest>|Content>)"
    return re.sub(names + rb"[A-Za-z0-9+/=]{20,}", rb"\1...", message)


def test_the_request_is_the_golden_one() -> None:
    """The whole request is fixed, except for certificates, digests and signature values."""
    message = http.parse_request(submitted(stage())).body
    assert shaped(message) == (GOLDEN / "upload-envelope.xml").read_bytes().rstrip()
    document = etree.tostring(document_of(submitted(stage())))
    assert shaped(document) == (GOLDEN / "upload-document.xml").read_bytes().rstrip()


def test_the_payment_file_is_the_golden_one() -> None:
    document = document_of(submitted(stage()))
    packed = base64.b64decode(document.findtext(f"{DATA}Content") or "")
    assert unpacked(packed) == (GOLDEN / "payment.xml").read_bytes().rstrip()
    assert packed == messages.gzip(unpacked(packed)), "the same file is packed to the same bytes"


@pytest.mark.skipif(shutil.which("xmlsec1") is None, reason="the command xmlsec1 is not installed")
@pytest.mark.parametrize("part", ["carrier", "content"])
def test_the_xmlsec1_command_verifies_both_signatures(part: str, tmp_path: Path) -> None:
    frame = submitted(stage())
    message = http.parse_request(frame).body if part == "carrier" else etree.tostring(document_of(frame))
    (tmp_path / "key.pem").write_bytes(US.pin.pem)
    command = ["xmlsec1", "--verify", "--pubkey-pem", str(tmp_path / "key.pem")]
    command += [word for name in ("Body", "Timestamp") for word in ("--id-attr:Id", name)]
    old, new = (b"<m:SenderId>1", b"<m:SenderId>2") if part == "carrier" else (b">UploadFile<", b">uploadFile<")
    for content, good in ((message, True), (message.replace(old, new), False)):
        (tmp_path / "message.xml").write_bytes(content)
        run = subprocess.run([*command, str(tmp_path / "message.xml")], capture_output=True, timeout=20)
        assert (run.returncode == 0) is good, run.stderr.decode()
    assert message.replace(old, new) != message


def test_signxml_verifies_the_business_signature() -> None:
    document = etree.tostring(document_of(submitted(stage())))
    result = XMLVerifier().verify(document, x509_cert=US.certificate)
    assert not isinstance(result, list)
    assert b"<Command>UploadFile</Command>" in result.signed_data


def test_two_keys_may_sign_the_two_parts() -> None:
    made = stage(
        adapter={"transport_certificate": STRANGER.certificate_pem.decode()},
        keys={"client": STRANGER.certificate_pem, "content": US.certificate_pem},
        signers={"transport": signer(STRANGER)},
    )
    assert pay(made).fate is Fate.PENDING


# ---- tampering ----------------------------------------------------------------------------------------------


def places(frame: bytes, inside: bytes) -> range:
    found = re.search(inside, frame, re.DOTALL)
    assert found is not None
    return range(*found.span())


@pytest.mark.parametrize(
    "part", ["<soap:Body.*</soap:Body>", "<wsu:Timestamp.*</wsu:Timestamp>", "<ds:SignedInfo.*</ds:SignedInfo>"]
)
def test_no_byte_of_what_the_carrier_signed_can_be_changed(part: str) -> None:
    """Another byte is put at every seventh place: the bank refuses the message, or does not recognise it."""
    made = stage()
    frame = submitted(made)
    tried = 0
    span = places(frame, part.encode())
    for at in list(span)[:: max(1, len(span) // 200)]:
        mutant = frame[:at] + bytes((frame[at] ^ 1,)) + frame[at + 1 :]
        try:
            answer = made.exchange("business", mutant)
        except (ProtocolError, ValueError):  # not HTTP or XML any more
            continue
        operation = etree.QName(body_of(answer)[0]).localname
        assert operation == "Fault" or show(answer)[0] != "00", mutant[at - 20 : at + 20]
        tried += 1
    assert made.ledger.executions == []
    assert tried > 20


def test_no_byte_of_the_content_can_be_changed_even_by_the_carrier() -> None:
    """The carrier signs a changed document anew: only the business signature protects the money."""
    made = stage()
    frame = submitted(made)
    packed = re.search(rb"<m:ApplicationRequest>([^<]*)<", frame)
    assert packed is not None
    document = base64.b64decode(packed.group(1))
    span = places(document, rb"<CustomerId>.*</Content>")
    codes = set()
    for at in list(span)[::29]:
        mutant = document[:at] + bytes((document[at] ^ 1,)) + document[at + 1 :]
        codes.add(show(made.exchange("business", carried(made, frame, mutant)))[0])
    assert made.ledger.executions == []
    assert codes <= {"12", "18", "29"}
    assert "18" in codes


def carried(made: BankAndTwin, frame: bytes, document: bytes) -> bytes:
    """The frame with another document, its envelope signed anew by the client's own carrier."""
    root = etree.fromstring(http.parse_request(frame).body)
    [packed] = root.iter(f"{MODEL}ApplicationRequest")
    packed.text = base64.b64encode(document).decode()
    [signature] = root.iter(f"{D}Signature")
    parent = signature.getparent()
    assert parent is not None
    parent.remove(signature)
    prepared = dsig.prepare(etree.tostring(root), variants()["nordea"].transport())
    message = dsig.attach(prepared, US.sign(prepared.octets))
    return http.request("POST", "/x", "bank.test", [], message)


@pytest.mark.parametrize("engine", ["hand", "xmlsec"])
def test_spoiled_answers_are_never_believed(engine: str) -> None:
    made = stage(adapter={"verify": engine})
    assert pay(made).fate is Fate.PENDING
    answer = made.said[-1].answer
    for n in range(40 if engine == "hand" else 8):
        spoiled = made.twin.spoil(answer, n / 40)  # type: ignore[attr-defined]
        assert sum(a != b for a, b in zip(spoiled, answer)) == 1
        with pytest.raises(ProtocolError) as refused:
            made.bank.read(PAYMENT, SENT, spoiled)
        assert refused.value.reason == "digest"


def test_an_answer_signed_by_a_stranger_is_no_answer() -> None:
    made = stage(keys={"bank": STRANGER.private_pem})
    with pytest.raises(ProtocolError) as refused:
        pay(made)
    assert refused.value.reason == "signature"


# ---- the outcomes of answers ----------------------------------------------------------------------------------


def test_the_same_bytes_again_prove_delivery_and_deliver_nothing() -> None:
    made = stage()
    assert pay(made).fate is Fate.PENDING
    stored = made.said[0].request
    repeat = made.exchange("business", stored)
    outcome = made.bank.read(PAYMENT, SENT, repeat)
    assert (outcome.fate, outcome.code, outcome.listed) == (Fate.DUPLICATE, "31", True)
    assert len(made.ledger.executions) == 1
    assert made.bank.profile.replay[PAYMENT].policy is Replay.REPLAY_SAFE


def test_another_message_with_the_same_moment_is_32() -> None:
    made = stage()
    pay(made)
    made._serial = 2000  # a thousand serials later in the same moment: another RequestId, the same Timestamp
    assert pay(made, "GOLDEN00000000000002").code == "32"
    assert len(made.ledger.executions) == 1


def test_a_repeat_after_the_first_was_lost_delivers_it() -> None:
    made = stage()
    stored = submitted(made)  # the connection died before a byte arrived
    outcome = made.bank.read(PAYMENT, SENT, made.exchange("business", stored))
    assert outcome.fate is Fate.PENDING
    assert len(made.ledger.executions) == 1


def test_a_repeat_whose_time_is_over_says_nothing_about_the_first_copy() -> None:
    """The Timestamp of the repeat has expired, so code 02 refuses only this copy. Read as a failure, it would hide an
    executed payment."""
    made = stage()
    pay(made)
    made.time.later(3600 + 301)
    repeat = made.exchange("business", made.said[0].request)
    assert show(repeat)[0] == "02"
    outcome = made.bank.read(PAYMENT, SENT, repeat)
    assert (outcome.fate, outcome.code, outcome.listed) == (Fate.UNKNOWN, "02", True)
    window = made.bank.profile.replay[PAYMENT].window
    assert window == timedelta(hours=1)


FIRST = {
    "00": Fate.PENDING,
    "12": Fate.FAILED,
    "18": Fate.FAILED,
    "26": Fate.UNKNOWN,
    "23": Fate.UNKNOWN,
    "31": Fate.DUPLICATE,
    "32": Fate.DUPLICATE,
}


@pytest.mark.parametrize("code", FIRST)
def test_codes_of_the_first_copy_and_of_a_repeat(code: str) -> None:
    made = stage()
    envelope_says_ok = answered(made, code=code)
    repeat = made.bank.read(PAYMENT, SENT, envelope_says_ok)
    allowed = {"00": Fate.PENDING, "31": Fate.DUPLICATE, "32": Fate.DUPLICATE}
    assert (repeat.fate, repeat.code, repeat.listed) == (allowed.get(code, Fate.UNKNOWN), code, True)
    fresh = stage()
    fresh.tamper = lambda _frame: envelope_says_ok
    assert pay(fresh).fate is FIRST[code]


@pytest.mark.parametrize("code", ["33", "99", "0", "000", "1", "27"])
def test_unlisted_codes_are_doubt(code: str) -> None:
    made = stage()
    outcome = made.bank.read(PAYMENT, SENT, answered(made, code=code))
    assert (outcome.fate, outcome.code, outcome.listed) == (Fate.UNKNOWN, code, False)


@pytest.mark.parametrize(
    ("element", "text"),
    [
        ("ExecutionSerial", "GOLDEN00000000000009"),
        ("AmountTotal", "12345.68"),
        ("CustomerId", "22222222"),
        ("UserFilename", "GOLDEN00000000000009"),
    ],
)
def test_an_answer_about_something_else_is_refused(element: str, text: str) -> None:
    def change(root: etree._Element) -> None:
        for found in root.iter(DATA + element):
            found.text = text

    made = stage()
    with pytest.raises(ProtocolError) as refused:
        made.bank.read(PAYMENT, SENT, answered(made, change))
    assert refused.value.reason == "correlation"


@pytest.mark.parametrize("total", ["12345.67", "12345.670", "1.234567E4", "1.234567e+4"])
def test_sums_may_be_written_as_the_schema_s_double(total: str) -> None:
    def change(root: etree._Element) -> None:
        for found in root.iter(f"{DATA}AmountTotal"):
            found.text = total

    made = stage()
    assert made.bank.read(PAYMENT, SENT, answered(made, change)).fate is Fate.PENDING


def test_an_answer_of_two_minds_is_no_answer() -> None:
    """The envelope says code 31, the signed content code 00."""
    made = stage()
    pay(made)
    made._serial = 1000
    with pytest.raises(ProtocolError) as refused:
        made.bank.read(PAYMENT, SENT, answered(made, code="00"))
    assert refused.value.reason == "correlation"


def test_an_answer_to_another_message_is_refused() -> None:
    made = stage()
    pay(made)
    with pytest.raises(ProtocolError) as refused:
        made.bank.read(PAYMENT, replace(SENT, serials=("1002",)), made.said[0].answer)
    assert refused.value.reason == "correlation"


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\n\r\n<a/>",
        b"HTTP/1.1 500 Oops\r\n\r\n<Envelope/>",
        b"HTTP/1.1 200 OK\r\n\r\n<html></html>",
    ],
)
def test_what_is_no_answer(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        stage().bank.read(PAYMENT, SENT, frame)


# ---- the sources of a fate ------------------------------------------------------------------------------------


def test_statements_tell_where_there_are_no_notifications() -> None:
    made = stage(notifications=False)
    sent = replace(SENT, bank_serial=pay(made).bank_serial)
    assert fate(made, sent).code == "ACCP"
    made.time.later(86_400)
    outcome = fate(made, sent)
    assert (outcome.fate, outcome.code, outcome.bank_serial) == (Fate.SETTLED, "BOOK", sent.bank_serial)
    assert show(made.said[-1].request)[1]["FileType"] == "camt.053.001.02"


def test_the_text_of_a_booking_names_every_message_that_shows_it() -> None:
    made = stage(statement_s=60)
    sent = replace(SENT, bank_serial=pay(made).bank_serial)
    first = fate(made, sent)
    made.time.later(61)
    last = fate(made, sent)
    assert {one.fate for one in (first, last)} == {Fate.SETTLED} and {one.code for one in (first, last)} == {"BOOK"}
    assert first.text == "camt.054 entry E000000000001"
    assert last.text == "camt.054 entry E000000000001; camt.053 entry E000000000001"


def test_the_acknowledgement_was_lost_and_the_list_names_the_file() -> None:
    made = stage()
    made.exchange("business", submitted(made))
    outcome = fate(made)
    assert (outcome.fate, outcome.listed) == (Fate.SETTLED, True)
    assert outcome.bank_serial is not None


def test_nothing_anywhere_is_not_found_and_no_failure() -> None:
    assert fate(stage()).fate is Fate.NOT_FOUND


def test_a_refusal_that_comes_late() -> None:
    made = stage(conduct=BookingRules(late_refuse_share=1.0))
    pay(made)
    assert fate(made).code == "ACCP"
    made.time.later(31)
    outcome = fate(made)
    assert (outcome.fate, outcome.code) == (Fate.FAILED, "RJCT/refused_late")


def test_what_the_schema_forbids_is_refused_before_anybody_signs_it() -> None:
    made = stage()
    with pytest.raises(ProtocolError, match="MsgId") as refused:
        made.talk(made.bank.money[PAYMENT](ORDER, made.context("R" * 40)))
    assert refused.value.reason == "value"
    assert made.said == []


@pytest.mark.parametrize("form", ["pain.001.001.03", "pain.001.001.09"])
def test_the_payment_file_fits_its_schema_and_says_where_the_payer_lives(form: str) -> None:
    address = {"country": "FI", "town": "Helsinki", "postcode": "00100", "street": "Esimerkkikatu", "building": "1"}
    document = document_of(submitted(stage(adapter={"payment_form": form, "address": address})))
    root = etree.fromstring(unpacked(base64.b64decode(document.findtext(f"{DATA}Content") or "")))
    assert schema.faults(root, form) == ()
    read = transfer.read_transfers(root)
    [group] = read.groups
    assert group.debtor.party.address == Address("FI", "Helsinki", "00100", "Esimerkkikatu", "1")
    assert [str(one) for one in read.amounts] == ["12345.67"]


@pytest.mark.parametrize("address", [{"town": "Helsinki"}, {"country": "Finland"}, {"planet": "Earth"}, "Helsinki"])
def test_an_address_without_a_country_is_no_option(address: object) -> None:
    with pytest.raises(BadOptions) as refused:
        stage(adapter={"address": address})
    assert refused.value.key == "address"


def test_a_refusal_as_a_repeat_is_no_no() -> None:
    """RJCT with AM05 means that the bank knows the payment already. The account's entries then decide."""
    made = stage(notifications=False)
    pay(made)

    def repeated(document: bytes, key: bytes, hand: Hand) -> bytes:
        root = etree.fromstring(document)
        for content in root.iter(f"{DATA}Content"):
            inner = unpacked(base64.b64decode(content.text or ""))
            why = b"<TxSts>RJCT</TxSts><StsRsnInf><Rsn><Cd>AM05</Cd></Rsn></StsRsnInf>"
            content.text = base64.b64encode(messages.gzip(inner.replace(b"<TxSts>ACCP</TxSts>", why))).decode()
        return sign(etree.tostring(root), key)

    sign = sign_enveloped
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twin, "sign_enveloped", repeated)
        assert fate(made).fate is Fate.PENDING
    made.time.later(86_400)
    assert fate(made).fate is Fate.SETTLED


def test_two_files_of_one_name_are_read_together() -> None:
    """A second message has the same payment. The bank books one of them, and the refusal of the other says nothing
    about the first."""
    made = stage(conduct=BookingRules(late_s=30, late_share=1.0))
    pay(made)
    pay(made)
    assert len(made.ledger.executions) == 1
    assert fate(made).fate is Fate.PENDING
    made.time.later(31)
    assert fate(made).fate is Fate.SETTLED


def test_money_in_another_account_of_ours_is_not_the_debit() -> None:
    """A transfer between own accounts appears in both under one EndToEndId. Only the debtor's line is the payment's."""
    other = LedgerAccount("0000000000000000025", "示例甲公司", Money(0))
    made = stage([LedgerAccount(DEBTOR, "示例甲公司", Money(10_000_000)), other])
    pay(made)
    outcome = fate(made)
    assert (outcome.fate, outcome.code) == (Fate.SETTLED, "BOOK")


def test_only_the_debtor_s_account_speaks() -> None:
    made = stage()
    pay(made)
    sent = sent_of(order_of({"amount": "12345.67", "from": "0000000000000000099"}), REFERENCE, NOON.date(), ("1001",))
    assert fate(made).fate is Fate.SETTLED
    assert fate(made, sent).fate is Fate.PENDING


def test_a_booking_of_another_amount_is_not_believed() -> None:
    made = stage(statuses=False)
    pay(made)
    sent = sent_of(order_of({"amount": "12345.66"}), REFERENCE, NOON.date(), ("1001",))
    with pytest.raises(ProtocolError, match="the account shows"):
        fate(made, sent)


def test_a_status_about_another_amount_is_not_believed() -> None:
    made = stage()
    pay(made)
    sent = sent_of(order_of({"amount": "12345.66"}), REFERENCE, made.time.now.date(), ("1001",))
    with pytest.raises(ProtocolError) as refused:
        fate(made, sent)
    assert refused.value.reason == "correlation"


def test_one_conversation_s_requests_differ_in_id_and_moment() -> None:
    made = stage()
    pay(made)
    fate(made)
    shown = [
        (body_of(one.request)[0][0].findtext(f"{MODEL}RequestId"), show(one.request)[1]["Timestamp"])
        for one in made.said
    ]
    ids, moments = ({pair[n] for pair in shown} for n in (0, 1))
    assert len(ids) == len(moments) == len(shown) > 4
    assert "1002" in ids and "1002-1" in ids


def test_weak_algorithms_are_refused_and_named_ones_end() -> None:
    table = {
        "title": "old",
        "title_zh": "旧",
        "answer_envelope_signed": False,
        "compression": False,
        "max_file_bytes": 1000,
        "enrolment": "none",
        "reconstructed": [],
        **{
            key: {
                "transforms": ["exclusive"] if key == "envelope" else ["enveloped", "exclusive"],
                "c14n": "exclusive",
                "digest": "sha1",
                "method": "rsa-sha1",
            }
            for key in ("request", "answer", "envelope")
        },
    }
    with pytest.raises(ProtocolError) as refused:
        variant_of("old", table).transport()
    assert refused.value.reason == "algorithm"
    ending = variant_of("old", {**table, "weak_until": date(2026, 11, 23)})
    ending.transport().require_day(date(2026, 11, 23))
    with pytest.raises(ProtocolError):
        ending.transport().require_day(date(2026, 11, 24))
    assert not any(one.transport().is_weak for one in variants().values())


def test_options_are_the_bank_s() -> None:
    assert options()["customer"] == "11111111"
    profile = stage().bank.profile
    assert (profile.name, profile.signs) == ("finws", ("content", "transport"))
    assert profile.limits.amount.currencies == ("CNY",)


def test_many_requests_of_conversations_in_one_moment_have_timestamps_of_their_own() -> None:
    """An enquiry fetches up to two hundred files; the bank refuses a Timestamp that came before as a repeat."""
    turns = [messages.Turn("P", Context(REFERENCE, 1, NOON.date(), NOON, (serial,))) for serial in range(1, 9)]
    told = [turn.next() for turn in turns for _ in range(200)]
    assert len({stamp for _, stamp in told}) == len({number for number, _ in told}) == len(told)
