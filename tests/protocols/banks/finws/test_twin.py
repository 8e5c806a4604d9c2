"""The bank's own side is strict and keeps files as its page says, for each kind of bank."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from lxml import etree

from protocols.bank import BadOptions
from protocols.banks import finws
from protocols.banks.finws import encryption, twin, twin_carrier, twin_papers, twin_rules
from protocols.banks.finws.files import File
from protocols.banks.finws.twin_rules_files import file_findings
from protocols.banks.finws.variant import variants
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.judge import XmlFields
from protocols.kit import dsig, http, xmldoc
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.finws.paper import (
    ACCEPTOR,
    BANK,
    DATA,
    ORDER,
    REFERENCE,
    SENT,
    STRANGER,
    US,
    VERIFIER,
    document_of,
    fate,
    options,
    pay,
    show,
    signer,
    stage,
)
from tests.protocols.banks.finws.test_payment import carried, submitted
from tests.protocols.kit.signing import D
from tests.world.dialogue import BankAndTwin


@pytest.mark.parametrize(("seconds", "code"), [(-301, "02"), (-300, "00"), (0, "00"), (3899, "00"), (3900, "02")])
def test_the_message_s_time(seconds: int, code: str) -> None:
    """Our clock may be five minutes ahead: the message is valid for its hour and five minutes more."""
    made = stage()
    frame = submitted(made)
    made.time.later(seconds)
    assert show(made.exchange("business", frame))[0] == code
    assert len(made.ledger.executions) == (code == "00")


@pytest.mark.parametrize(("key", "code"), [("transport", "02"), ("content", "18")])
def test_either_signature_of_another_key_is_refused(key: str, code: str) -> None:
    made = stage(signers={key: signer(STRANGER)})
    outcome = pay(made)
    assert (outcome.fate, outcome.code) == (Fate.FAILED, code)
    assert made.ledger.executions == []


@pytest.mark.parametrize("key", ["transport", "content"])
def test_a_signature_with_a_weak_hash_is_refused(key: str) -> None:
    made = stage(signers={key: signer(US, hashes.SHA1())})
    assert pay(made).code == {"transport": "02", "content": "18"}[key]


def changed(made: BankAndTwin, name: str, text: str | None) -> str:
    """The code that answers a request one of whose elements is changed and properly signed again."""
    frame = submitted(made)
    root = document_of(frame)
    for found in list(root.iter(f"{{http://bxd.fi/xmldata/}}{name}")):
        if text is None:
            root.remove(found)
        else:
            found.text = text
    root.remove(root[-1])
    profile = variants()["nordea"].content("ApplicationRequest", variants()["nordea"].request)
    prepared = dsig.prepare(etree.tostring(root), profile)
    document = dsig.attach(prepared, US.sign(prepared.octets))
    return show(made.exchange("business", carried(made, frame, document)))[0]


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("CustomerId", "2222", "10"),
        ("CustomerId", "1" * 17, "12"),
        ("Timestamp", "yesterday", "12"),
        ("Timestamp", None, "12"),
        ("Environment", "DEMO", "12"),
        ("SoftwareId", None, "12"),
        ("Command", "DeleteFile", "06"),
        ("AmountTotal", "many", "12"),
        ("CompressionMethod", "ZIP", "12"),
        ("Content", None, "29"),
        ("Content", "AAAA", "21"),
        ("FileType", "pain.008.001.02", "20"),
        ("SoftwareId", "bankgw", "00"),
    ],
)
def test_what_the_schema_and_the_contract_say(name: str, text: str | None, code: str) -> None:
    made = stage()
    assert changed(made, name, text) == code
    assert len(made.ledger.executions) == (code == "00")


def test_elements_out_of_order_or_twice() -> None:
    swapped, doubled = (document_of(submitted(stage())) for _ in range(2))
    swapped.insert(0, swapped[1])
    doubled.insert(3, etree.fromstring(etree.tostring(doubled[3])))
    books = stage().ledger
    for root in (swapped, doubled):
        found = [*twin_rules.document_findings(root), *twin_rules.RULES["uploadFile"].findings(XmlFields(root), books)]
        assert found and {one.refusal.code for one in found} == {"12"}


def test_files_live_from_new_to_downloaded_and_some_can_be_taken_back() -> None:
    made = stage(other_types=["report.txt"])
    files = finws.files(options())
    turn = files.wire.turn(made.context())
    pay(made)
    [status] = made.talk(files.listing("pain.002.001.03", turn, status="NEW"))
    assert (status.status, status.parent) == ("NEW", "000000000002")
    made.talk(files.download(status, turn))
    assert made.talk(files.listing("pain.002.001.03", turn, status="NEW")) == ()
    [again] = made.talk(files.listing("pain.002.001.03", turn, status="DLD"))
    assert again.reference == status.reference
    turn = files.wire.turn(made.context())
    _, request = made.talk(files.upload("report.txt", b"hello", "R1", turn))
    made.exchange("business", request)
    [waiting] = made.talk(files.listing("report.txt", turn))
    assert (waiting.status, waiting.name) == ("WFC", "R1")
    assert made.talk(files.delete(waiting, made.context())) == "DEL"
    with pytest.raises(Declined) as declined:
        made.talk(files.delete(waiting, made.context()))
    assert (declined.value.code, declined.value.outcome) == ("27", "failed")


def test_a_forwarded_payment_cannot_be_taken_back() -> None:
    made = stage()
    reference = pay(made).bank_serial
    assert reference is not None
    file = File(reference, "pain.001.001.03", "FWD", made.time.now)
    with pytest.raises(Declined) as declined:
        made.talk(finws.files(options()).delete(file, made.context()))
    assert declined.value.code == "27"


def test_user_info_says_what_may_be_sent() -> None:
    made = stage()
    rights = made.talk(finws.files(options()).user_info(made.context()))
    assert ("pain.001.001.03", "Upload") in {(one.kind, one.direction) for one in rights}


def test_a_probe_whose_rights_cannot_be_read_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = stage()
    assert made.talk(made.bank.sessions.probe(made.context())) is not None
    nameless = xmldoc.el("UserFileTypes", xmldoc.el("UserFileType", xmldoc.el("FileType", "pain.001.001.03")))
    monkeypatch.setattr(made.twin, "_user_info", lambda *_: [nameless])
    with pytest.raises(ProtocolError) as refused:
        made.talk(made.bank.sessions.probe(made.context()))
    assert refused.value.reason == "missing"


def test_a_file_of_another_kind_does_not_come() -> None:
    made = stage()
    pay(made)
    files = finws.files(options())
    turn = files.wire.turn(made.context())
    with pytest.raises(Declined) as declined:
        made.talk(files.download(File("999", "camt.053.001.02", "NEW", made.time.now), turn))
    assert declined.value.code == "24"


# ---- several signers ---------------------------------------------------------------------------------------------


def three(**swapped: Any) -> BankAndTwin:
    others = (VERIFIER.certificate_pem + ACCEPTOR.certificate_pem).decode()
    keys = {"content2": VERIFIER.certificate_pem, "content3": ACCEPTOR.certificate_pem}
    signers = {"content2": signer(VERIFIER), "content3": signer(ACCEPTOR), **swapped}
    return stage(adapter={"other_signers": others}, keys=keys, signers=signers)


def test_three_people_sign_one_upload() -> None:
    made = three()
    assert made.bank.profile.signs == ("content", "content2", "content3", "transport")
    assert pay(made).fate is Fate.PENDING
    assert len(list(document_of(made.said[0].request).iter(f"{D}Signature"))) == 3
    assert fate(made).fate is Fate.SETTLED


@pytest.mark.parametrize("who", ["content", "content2", "content3"])
def test_each_of_them_must_be_who_he_is(who: str) -> None:
    made = three(**{who: signer(STRANGER)})
    assert pay(made).code == "18"
    assert made.ledger.executions == []


def test_one_signer_is_not_enough_where_three_must_sign() -> None:
    made = stage(keys={"content2": VERIFIER.certificate_pem, "content3": ACCEPTOR.certificate_pem})
    assert pay(made).code == "18"


def test_the_last_of_three_verifies_under_a_plain_use_of_xmlsec(tmp_path: Path) -> None:
    if shutil.which("xmlsec1") is None:
        pytest.skip("the command xmlsec1 is not installed")
    made = three()
    pay(made)
    root = document_of(made.said[0].request)
    for key in (ACCEPTOR, VERIFIER, US):  # from the outside in: a verified signature is taken out
        (tmp_path / "key.pem").write_bytes(key.pin.pem)
        (tmp_path / "message.xml").write_bytes(etree.tostring(root))
        number = len(list(root.iter(f"{D}Signature")))
        run = subprocess.run(
            [
                "xmlsec1",
                "--verify",
                "--pubkey-pem",
                str(tmp_path / "key.pem"),
                "--node-xpath",
                f"/*/*[local-name()='Signature'][{number}]",
                str(tmp_path / "message.xml"),
            ],
            capture_output=True,
            timeout=20,
        )
        assert run.returncode == 0, run.stderr.decode()
        root.remove(root[-1])


# ---- encryption ---------------------------------------------------------------------------------------------------


def sealed(**more: Any) -> BankAndTwin:
    return stage(
        adapter={"profile": "danske", "encryption_certificate": BANK.certificate_pem.decode()},
        keys={"encryption": BANK.private_pem, "client_encryption": US.certificate_pem},
        **more,
    )


def test_messages_go_and_come_sealed() -> None:
    made = sealed(credentials={"decryption_key": US.private_pem.decode()})
    assert pay(made).fate is Fate.PENDING
    assert b"UploadFile" not in etree.tostring(document_of(made.said[0].request))
    assert fate(made).fate is Fate.SETTLED


def test_without_the_key_an_upload_is_known_by_its_envelope_and_a_list_by_nobody() -> None:
    made = sealed()
    assert pay(made).fate is Fate.PENDING
    repeat = made.exchange("business", made.said[0].request)
    assert made.bank.read(Kind.PAYMENT, SENT, repeat).fate is Fate.DUPLICATE
    with pytest.raises(ProtocolError) as refused:
        fate(made)
    assert refused.value.reason == "missing", "an empty list must not be read out of a sealed one"


def test_the_bank_refuses_what_is_not_sealed_for_it() -> None:
    made = stage(keys={"encryption": BANK.private_pem})
    assert pay(made).code == "22"


@pytest.mark.parametrize("cipher", ["tripledes-cbc", "aes256-cbc"])
def test_sealing_and_opening(cipher: str, tmp_path: Path) -> None:
    document = b'<a xmlns="urn:x"><b>1 &amp; 2</b></a>'
    closed = encryption.encrypt(document, cipher, BANK.certificate_pem)
    assert encryption.is_encrypted(closed) and not encryption.is_encrypted(document)
    assert encryption.decrypt(closed, BANK.private_pem) == document
    with pytest.raises(ProtocolError):
        encryption.decrypt(closed, STRANGER.private_pem)
    if shutil.which("xmlsec1"):
        (tmp_path / "key.pem").write_bytes(BANK.private_pem)
        (tmp_path / "message.xml").write_bytes(closed)
        run = subprocess.run(
            ["xmlsec1", "--decrypt", "--privkey-pem", str(tmp_path / "key.pem"), str(tmp_path / "message.xml")],
            capture_output=True,
            timeout=20,
        )
        assert b"<b>1 &amp; 2</b>" in run.stdout, run.stderr.decode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"rsa-1_5", b"rsa-oaep-mgf1p"),
        (b"tripledes-cbc", b"aes128-cbc"),
        (b"<xenc:CipherValue>", b'<xenc:CipherReference URI="file:///dev/zero"/><xenc:CipherValue>'),
        (b"</xenc:EncryptedKey>", b'</xenc:EncryptedKey><ds:RetrievalMethod URI="#x"/>'),
        (b"CipherValue>", b"CipherText>"),
    ],
)
def test_sealed_messages_of_another_shape_are_not_opened(old: bytes, new: bytes) -> None:
    closed = encryption.encrypt(b"<a/>", "tripledes-cbc", BANK.certificate_pem)
    assert old in closed
    with pytest.raises(ProtocolError):
        encryption.decrypt(closed.replace(old, new), BANK.private_pem)


# ---- options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("profile", "other"),
        ("customer", ""),
        ("customer", "a b"),
        ("bic", "FI"),
        ("certificate", "x"),
        ("bank_certificate", ""),
        ("bank_certificate", "-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----"),
        ("currencies", []),
        ("currencies", "EUR"),
        ("sessions", 0),
        ("life_s", 10),
        ("environment", "DEMO"),
        ("verify", "openssl"),
        ("other_signers", "x"),
        ("path", "x"),
        ("request_prefix", "a-b"),
        ("profil", "op"),
        ("type_status", ""),
        ("transport_certificate", "x"),
    ],
)
def test_bad_options_name_the_key(key: str, value: Any) -> None:
    assert finws.build(options()).profile.name == "finws"
    with pytest.raises(BadOptions) as refused:
        finws.build(options(**{key: value}))
    assert refused.value.key == key


def test_a_kind_of_bank_that_seals_needs_its_certificate() -> None:
    with pytest.raises(BadOptions) as refused:
        finws.build(options(profile="danske"))
    assert refused.value.key == "encryption_certificate"


@pytest.mark.parametrize("missing", ["bank", "client"])
def test_the_twin_names_missing_keys(missing: str) -> None:
    keys = {"bank": BANK.private_pem, "client": US.certificate_pem}
    del keys[missing]
    with pytest.raises(BadOptions, match=f"keys.{missing}"):
        twin.build({}, keys)


def test_the_cheap_twin_looks_at_no_signature() -> None:
    made = stage(cheap=True, signers={"content": signer(STRANGER), "transport": signer(STRANGER)})
    assert made.talk(made.bank.money[Kind.PAYMENT](ORDER, made.context(REFERENCE))).fate is Fate.PENDING


# ---- forms that other customers' programs write ----------------------------------------------------------------------


def body_alone(frame: bytes) -> bytes:
    """The frame with its envelope signed anew, over the body only."""
    root = etree.fromstring(http.parse_request(frame).body)
    [signature] = root.iter(f"{D}Signature")
    parent = signature.getparent()
    assert parent is not None
    parent.remove(signature)
    prepared = dsig.prepare(etree.tostring(root), twin_carrier.BODY_ALONE)
    return http.request("POST", "/x", "bank.test", [], dsig.attach(prepared, US.sign(prepared.octets)))


@pytest.mark.parametrize(("stamp_signed", "later_s", "code"), [(True, 0, "02"), (False, 0, "00"), (False, 301, "02")])
def test_a_body_signed_alone_counts_only_where_that_is_wanted_and_while_it_is_fresh(
    stamp_signed: bool, later_s: int, code: str
) -> None:
    made = stage(stamp_signed=stamp_signed)
    frame = body_alone(submitted(made))
    made.time.later(later_s)
    assert show(made.exchange("business", frame, money=True))[0] == code
    assert len(made.ledger.executions) == (code == "00")


@pytest.mark.parametrize("days", [-1, 1])
def test_a_time_stamp_is_judged_by_the_machine_s_clock_on_any_business_date(days: int) -> None:
    """The standard lets a stamp live for minutes; a joint test moves the business date of the books, not the time."""
    made = stage()
    made.ledger.set_ahead(days * 86_400_000)
    answer = made.exchange("business", submitted(made), money=True)
    assert show(answer)[0] == "00" and f"Created>{made.time.now.astimezone(UTC):%Y-%m-%dT%H:%M}".encode() in answer
    assert made.ledger.executions[0].at_ms == made.time.now_ms() + days * 86_400_000


def test_the_older_form_of_the_business_signature_counts_too() -> None:
    """A reference without a canonicalisation means the inclusive one."""
    made = stage()
    document = re.sub(rb"<ds:Signature .*</ds:Signature>", b"", etree.tostring(document_of(submitted(made))))
    older = dsig.SignatureProfile(
        "older", f"/{DATA}ApplicationRequest/{D}Signature", (dsig.Enveloped((dsig.ENVELOPED,)),)
    )
    prepared = dsig.prepare(document, older)
    signed = dsig.attach(prepared, US.sign(prepared.octets))
    assert show(made.exchange("business", carried(made, submitted(made), signed), money=True))[0] == "00"


def test_what_a_payment_file_may_leave_out_and_what_must_then_be_right() -> None:
    order = (Path(__file__).parent / "golden/payment.xml").read_bytes()
    group = b"<PmtMtd>TRF</PmtMtd><NbOfTxs>1</NbOfTxs><CtrlSum>12345.67</CtrlSum>"
    assert group in order
    assert twin_papers.read(order.replace(group, b"<PmtMtd>TRF</PmtMtd>")).message == REFERENCE
    books = stage().ledger
    assert file_findings(order, books) == ()
    for wrong in (group.replace(b">1<", b">2<"), group.replace(b".67", b".68")):
        [found] = file_findings(order.replace(group, wrong), books)
        assert found.place.startswith("Content:PmtInf[1]/")
