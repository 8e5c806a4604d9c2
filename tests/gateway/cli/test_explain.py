"""`bankgw explain`: which octets were signed and why they do not match, without any name or account."""

from __future__ import annotations

import base64
import json
import os
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from gateway.cli import application, exit_codes
from gateway.cli.signed_message import masked
from protocols.kit import cms, dsig
from tests.attacks.targets import bank_key, goldens
from tests.protocols.banks.finws.paper import ACCEPTOR, US, VERIFIER, pay, signer, stage
from tests.protocols.banks.finws.test_twin import sealed
from tests.protocols.kit import signing
from tests.protocols.kit.signing import ENVELOPED, KeyPair


def run(*words: object, stdin: bytes | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(application.application(), ["explain", *map(str, words)], input=stdin)
    return result.exit_code, result.output


def layers(*words: object) -> list[Any]:
    found = json.loads(run(*words, "--json")[1])["layers"]
    assert isinstance(found, list)
    return found


def put(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    """A Finnish upload with its HTTP head, as it is stored as evidence."""
    made = stage()
    pay(made)
    file = tmp_path / "upload.bin"
    file.write_bytes(made.said[0].request)
    (tmp_path / "key.pem").write_bytes(US.pin.pem)
    return file


def test_both_signatures_of_an_upload_are_explained(sent: Path) -> None:
    code, text = run(sent, "--key", sent.parent / "key.pem")
    assert code == exit_codes.OK, text
    assert text.count("signature /") == 2
    assert "inside /Envelope/Body/uploadFilein/ApplicationRequest" in text
    assert text.count(" fits\n") == 3
    assert f"fits the key pinned {US.pin.fingerprint}" in text
    assert "11111111" not in text and "00000000" in text


def test_names_and_numbers_are_shown_only_when_asked(sent: Path) -> None:
    assert "GOLDEN00000000000001" not in run(sent)[1]
    code, text = run(sent, "--clear", "--json")
    assert code == exit_codes.OK
    layers = json.loads(text)["layers"]
    assert "GOLDEN00000000000001" in layers[1]["signatures"][0]["references"][0]["octets"]


def test_a_changed_byte_is_found(sent: Path) -> None:
    good = json.loads(run(sent, "--clear", "--json")[1])["layers"][0]["signatures"][0]["references"][0]
    (sent.parent / "theirs.txt").write_text(good["octets"])
    sent.write_bytes(sent.read_bytes().replace(b"<m:SenderId>1", b"<m:SenderId>2"))
    code, text = run(sent, "--against", sent.parent / "theirs.txt", "--json")
    assert code == exit_codes.FAILED
    body, stamp = json.loads(text)["layers"][0]["signatures"][0]["references"]
    assert (body["fits"], stamp["fits"]) == (False, True)
    assert body["stated"] == good["stated"] != body["ours"]
    assert good["octets"].encode()[body["differs_at"]["byte"] - 12 :].startswith(b"<m:SenderId>1")
    assert "DOES NOT FIT" in run(sent)[1]


@pytest.mark.parametrize(
    "content", [b"", b"no xml", b"<a/>", b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///dev/zero'>]><a>&x;</a>"]
)
def test_what_has_no_signature(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    code, text = run(tmp_path / "x")
    assert code == exit_codes.FAILED
    assert text.strip()


def test_what_cannot_be_read(tmp_path: Path, sent: Path) -> None:
    assert run(tmp_path / "gone")[0] == exit_codes.FAILED
    (tmp_path / "no.pem").write_text("x")
    assert run(sent, "--key", tmp_path / "no.pem")[0] == exit_codes.USAGE
    assert run(sent, "--charset", "UTF-16")[0] == exit_codes.USAGE


def test_masking_keeps_the_shape() -> None:
    text = '<a xmlns="urn:x" name="Ann 7"><b>Ä1 &amp; 张三\n</b><DigestValue>abc=</DigestValue></a>'
    assert masked(text) == '<a xmlns="urn:x" name="Xxx 0"><b>字0 &amp; 字字\n</b><DigestValue>abc=</DigestValue></a>'


# ---- the cases of a bank's engineer: good, changed, another key, weak, wrapped ------------------------------------


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """An upload signed by three persons, and their certificates."""
    others = (VERIFIER.certificate_pem + ACCEPTOR.certificate_pem).decode()
    made = stage(
        adapter={"other_signers": others},
        keys={"content2": VERIFIER.certificate_pem, "content3": ACCEPTOR.certificate_pem},
        signers={"content2": signer(VERIFIER), "content3": signer(ACCEPTOR)},
    )
    pay(made)
    put(tmp_path, "keys.pem", b"".join(one.certificate_pem for one in (US, VERIFIER, ACCEPTOR)))
    return put(tmp_path, "upload.bin", made.said[0].request)


def test_three_people_who_sign_after_each_other(three: Path) -> None:
    code, text = run(three, "--key", three.parent / "keys.pem")
    assert code == exit_codes.OK, text
    assert text.count("value: fits the key pinned") == 4 and text.count("(keys.pem)") == 4
    assert [part["later"] for one in layers(three)[1]["signatures"] for part in one["references"]] == [2, 1, 0]
    assert "as it was before 2 more signed" in text and "Signature[3] inside" in text


def test_a_change_below_three_signatures_breaks_each(three: Path) -> None:
    data = base64.b64decode(re.findall(rb"<m:ApplicationRequest>([^<]*)<", three.read_bytes())[0])
    inner = put(three.parent, "inner.xml", data.replace(b"<AmountTotal>1", b"<AmountTotal>2"))
    code, text = run(inner)
    assert code == exit_codes.FAILED
    assert text.count("DOES NOT FIT") == 3 and text.count("value: fits") == 3


def test_the_second_signature_alone_changed(three: Path) -> None:
    data = base64.b64decode(re.findall(rb"<m:ApplicationRequest>([^<]*)<", three.read_bytes())[0])
    first, second, third = re.findall(rb"<ds:SignatureValue>([^<]*)<", data)
    inner = put(three.parent, "inner.xml", data.replace(second, first))
    [one, two, last] = layers(inner)[0]["signatures"]
    assert one["signers"] and one["references"][0]["fits"]
    assert not two["signers"] and two["references"][0]["fits"]
    assert last["signers"] and not last["references"][0]["fits"]
    assert first != third


def test_what_took_the_place_of_what_was_signed(sent: Path) -> None:
    data = sent.read_bytes().partition(b"\r\n\r\n")[2]
    [body] = re.findall(rb"<soap:Body.*</soap:Body>", data, re.DOTALL)
    evil = body.replace(b"<m:SenderId>1", b"<m:SenderId>9").replace(b'Id="body"', b'Id="other"')
    moved = data.replace(body, evil).replace(b"</soap:Header>", b"<x>%b</x></soap:Header>" % body)
    code, text = run(put(sent.parent, "wrapped.xml", moved))
    assert code == exit_codes.FAILED
    assert "NOT SIGNED: /Envelope/Body;" in text
    assert "covers /Envelope/Header/x/Body, " in text
    assert "NOT SIGNED" not in run(sent)[1]


def test_two_elements_of_one_id(sent: Path) -> None:
    data = sent.read_bytes().partition(b"\r\n\r\n")[2]
    twice = put(sent.parent, "twice.xml", data.replace(b"</soap:Header>", b'<x Id="body"/></soap:Header>'))
    code, text = run(twice)
    assert code == exit_codes.FAILED and "2 elements carry the id 'body'" in text


def test_another_key_than_the_one_trusted(sent: Path) -> None:
    (sent.parent / "other.pem").write_bytes(VERIFIER.certificate_pem)
    code, text = run(sent, "--key", sent.parent / "other.pem")
    assert code == exit_codes.FAILED
    assert "the message's own claim" in text and "pinned" not in text
    assert text.endswith("NOT good: see above\n")


def weak(key: KeyPair) -> bytes:
    """An upload signed with SHA-1 throughout."""
    path = ENVELOPED.signature_path
    profile = dsig.SignatureProfile(
        "weak", path, (dsig.Enveloped(digest=dsig.SHA1),), signature_method=dsig.RSA_SHA1, weak_until=date(2030, 1, 1)
    )
    prepared = dsig.prepare(signing.answer(), profile)
    shown = dsig.x509_key_info(profile, [key.certificate])
    return dsig.attach(prepared, key.sign(prepared.octets, hashes.SHA1()), shown)


def test_what_is_too_weak_is_not_good(tmp_path: Path) -> None:
    file = put(tmp_path, "weak.xml", weak(signing.key_pair("us")))
    code, text = run(file)
    assert code == exit_codes.FAILED
    assert "WEAK: the signature uses SHA-1" in text and "WEAK: reference '' uses SHA-1" in text
    assert run(file, "--sha1")[0] == exit_codes.OK
    code, text = run(put(tmp_path, "short.xml", weak(signing.key_pair("short", 1024))), "--sha1")
    assert code == exit_codes.FAILED and "WEAK: the key has 1024 bits" in text


def test_md5_is_named(tmp_path: Path) -> None:
    data = signing.signed(signing.answer(), ENVELOPED, US).replace(b"#rsa-sha256", b"#rsa-md5")
    code, text = run(put(tmp_path, "md5.xml", data))
    assert code == exit_codes.FAILED
    assert "WEAK: the signature uses MD5" in text and "rsa-md5' is not carried out" in text


def test_a_value_says_itself_what_it_was_made_over(tmp_path: Path) -> None:
    """The key's owner signed SignedInfo in another canonical form. The digest of that form is inside the signature
    value."""
    prepared = dsig.prepare(signing.answer(), ENVELOPED)
    inclusive = prepared.octets.replace(b"<ds:Signed", b"<ds:Signed", 1)
    theirs = inclusive.replace(b' xmlns:ds="', b' xmlns="urn:bankgw:test" xmlns:ds="', 1)
    document = dsig.attach(prepared, US.sign(theirs), dsig.x509_key_info(ENVELOPED, [US.certificate]))
    code, text = run(put(tmp_path, "value.xml", document))
    assert code == exit_codes.FAILED
    assert f"made with the key shown {US.pin.fingerprint}, but over other octets" in text
    assert "it would fit if the other canonical form were taken" in text
    digest = hashes.Hash(hashes.SHA256())
    digest.update(theirs)
    assert f"signed sha256 {digest.finalize().hex()}" in text


def spdb_answer() -> bytes:
    """A bank's answer in GBK, with the body inside a CMS."""
    [*_, (_, answer)] = goldens("spdb")[0].recording.exchanges()
    return answer


def test_a_cms_in_a_packet_of_another_charset(tmp_path: Path) -> None:
    file = put(tmp_path, "answer.bin", spdb_answer())
    key = put(tmp_path, "bank.der", bank_key("spdb").certificate.public_bytes(Encoding.DER))
    code, text = run(file, "--key", key)
    assert code == exit_codes.OK, text
    assert "signature /SignerInfo inside CMS at byte" in text and "(bank.der)" in text
    assert re.search(r"signed octets: <\?xml|signed octets: <body>", text)
    assert "�" not in run(file, "--clear")[1]
    other = put(tmp_path, "other.pem", US.certificate_pem)
    assert run(file, "--key", other)[0] == exit_codes.FAILED


def test_a_cms_of_which_a_byte_was_changed(tmp_path: Path) -> None:
    content = b"<body><amount>100.00</amount></body>"
    good = cms.attach(content, US.sign(content), US.certificate.public_bytes(Encoding.DER), "sha256")
    assert run(put(tmp_path, "good.der", good))[0] == exit_codes.OK
    bad = put(tmp_path, "bad.der", good.replace(b"100.00", b"900.00"))
    code, text = run(bad, "--against", put(tmp_path, "theirs", content))
    assert code == exit_codes.FAILED
    assert "made with the key shown" in text and "differs from theirs at byte 14" in text
    weak_one = cms.attach(content, US.sign(content, hashes.SHA1()), US.certificate.public_bytes(Encoding.DER), "sha1")
    code, text = run(put(tmp_path, "sha1.der", weak_one))
    assert code == exit_codes.FAILED and "WEAK: the signature uses SHA-1" in text
    code, text = run(put(tmp_path, "cut.der", good[:200]))
    assert code == exit_codes.FAILED and ("no XML and no CMS" in text or "not looked at" in text)


def test_signed_octets_are_saved_as_they_are(sent: Path) -> None:
    folder = sent.parent / "octets"
    assert run(sent, "--save", folder)[0] == exit_codes.OK
    assert sorted(one.name for one in folder.iterdir()) == [
        "1-reference-1",
        "1-reference-2",
        "1-signed",
        "2-reference-1",
        "2-signed",
    ]
    stated = base64.b64encode(_sha256((folder / "1-reference-1").read_bytes()))
    assert stated in (folder / "1-signed").read_bytes()
    assert folder.stat().st_mode & 0o077 == 0
    assert run(sent, "--save", folder)[0] == exit_codes.FAILED


def _sha256(octets: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(octets)
    return digest.finalize()


def test_the_nearest_of_several_is_held_against_theirs(sent: Path) -> None:
    good = layers(sent, "--clear")[0]["signatures"][0]["references"][1]["octets"].encode()
    theirs = put(sent.parent, "theirs", good.replace(b"2026", b"2027", 1))
    code, text = run(sent, "--against", theirs)
    assert code == exit_codes.OK and text.count("differs from theirs at byte") == 1
    assert run(sent, "--against", put(sent.parent, "same", good))[1].count("theirs are the same octets") == 1


def test_in_chunks_and_from_stdin(sent: Path) -> None:
    body = sent.read_bytes().partition(b"\r\n\r\n")[2]
    parts = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in (body[:999], body[999:]))
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"
    assert run("-", stdin=chunked)[0] == exit_codes.OK
    assert run(put(sent.parent, "cut", sent.read_bytes()[:-100]))[0] == exit_codes.FAILED


def test_names_of_signers_are_masked_too(sent: Path) -> None:
    assert "certificate 3e8 of CN=xx, 2025-01-01 to 2035-12-31, 2048 bits" in run(sent)[1]
    assert "of CN=us," in run(sent, "--clear")[1]


def test_what_is_no_message_at_all(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    said = {
        "pipe": "not an ordinary file",
        "": "Is a directory",
        "gone": "No such file",
        "empty": "is empty",
        "huge": "over 16777216 bytes",
        "picture": "no XML and no CMS",
    }
    put(tmp_path, "empty", b"\n")
    put(tmp_path, "picture", b"\x89PNG\r\n\x1a\n" + bytes(200))
    with put(tmp_path, "huge", b"").open("wb") as made:
        made.truncate(16_777_217)
    for name, word in said.items():
        code, text = run(tmp_path / name)
        assert (code, word in text) == (exit_codes.FAILED, True), (name, text)


def test_a_message_beyond_every_gate_is_looked_at(tmp_path: Path) -> None:
    rows = b"<row>%b</row>" % (b"x" * 100)
    code, text = run(put(tmp_path, "large.xml", b"<a>%b</a>" % (rows * 30_000)))
    assert (code, text) == (exit_codes.FAILED, "a: no signature\nNOT good: see above\n")


def test_a_message_is_read_in_its_own_charset(tmp_path: Path) -> None:
    for head in ('<?xml version="1.0" encoding="GBK"?>', ""):
        file = put(tmp_path, "gbk.xml", f"{head}<a>张三</a>".encode("gbk"))
        assert run(file) == (exit_codes.FAILED, "a: no signature\nNOT good: see above\n")
    content = "<body>张三</body>".encode("gbk")
    der = cms.attach(content, US.sign(content), US.certificate.public_bytes(Encoding.DER), "sha256")
    packet = b'<?xml version="1.0" encoding="GBK"?><p>%b</p>' % base64.b64encode(der)
    assert "signed octets: <body>张三</body>" in run(put(tmp_path, "packet.xml", packet), "--clear")[1]


def test_what_is_sealed_is_said_to_be_so(tmp_path: Path) -> None:
    made = sealed()
    pay(made)
    code, text = run(put(tmp_path, "sealed.bin", made.said[0].request))
    assert code == exit_codes.OK, "the envelope's signature is whole"
    inside = "inside /Envelope/Body/uploadFilein/ApplicationRequest"
    assert re.search(rf"EncryptedData {inside}: encrypted, so nothing in it can be seen", text)
