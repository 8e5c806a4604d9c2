"""Correct signing and verifying, here and with other implementations."""

from __future__ import annotations

import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest
import xmlsec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from signxml.algorithms import CanonicalizationMethod
from signxml.signer import XMLSigner
from signxml.verifier import XMLVerifier

from protocols.kit import dsig, xmldoc
from protocols.kit.charset import GBK, UTF8
from protocols.kit.dsig import stack
from protocols.kit.dsig.verify import Engine
from protocols.kit.errors import ErrorReason, ProtocolError
from protocols.kit.xmldoc import Markup, build, el, one, value
from tests.protocols.kit import signing
from tests.protocols.kit.signing import ENVELOPED, NS, SOAP, SOAP_SIGNED, WSSE, D, KeyPair, key_pair

ENGINES: tuple[Engine, ...] = ("xmlsec", "hand")
A = f"{{{NS}}}"


def refused(
    reason: ErrorReason, data: bytes, profile: dsig.SignatureProfile, *keys: dsig.PinnedKey, **more: object
) -> None:
    for engine in ENGINES:
        with pytest.raises(ProtocolError) as caught:
            dsig.verify(data, profile, keys, engine=engine, **more)  # type: ignore[arg-type]
        assert caught.value.reason == reason, caught.value


@pytest.mark.parametrize("engine", ENGINES)
def test_what_we_sign_we_verify_and_read_from_the_signed_octets(bank: KeyPair, engine: Engine) -> None:
    verified = dsig.verify(signing.signed(signing.answer(), ENVELOPED, bank), ENVELOPED, bank.pin, engine=engine)
    assert value(verified.root, f"{A}body/{A}amount") == "100.00"
    assert value(verified.root, f"{A}body/{A}payee") == "甲公司"
    assert value(verified.root, f"{A}body/{A}note") == "a & b < c"
    assert verified.root.getroottree().getroot() is verified.root
    assert etree.tostring(verified.root, method="c14n", exclusive=True) == verified.canonical
    assert b"Signature" not in verified.canonical
    assert verified.key == bank.pin


@pytest.mark.parametrize("engine", ENGINES)
def test_two_references_by_id(bank: KeyPair, engine: Engine) -> None:
    token = f'<wsse:SecurityTokenReference xmlns:wsse="{WSSE}"/>'
    info = dsig.key_info(SOAP_SIGNED, Markup(token))
    document = signing.signed(signing.envelope(), SOAP_SIGNED, bank, info)
    verified = dsig.verify(document, SOAP_SIGNED, bank.pin, engine=engine)
    assert verified.root.tag == f"{{{SOAP}}}Body"
    assert value(verified.root, f"{A}answer/{A}body/{A}amount") == "100.00"
    assert verified.parts[0] == verified.canonical
    assert b"2026-01-05T08:00:00Z" in verified.parts[1]


def test_octets_are_those_xmlsec_would_sign(bank: KeyPair) -> None:
    """The signature value of xmlsec over the same template is equal, byte by byte."""
    for profile, document in every_profile():
        prepared = dsig.prepare(document, profile)
        ours = dsig.attach(prepared, bank.sign(prepared.octets, hash_of(profile)))
        emptied = prepared.before + prepared.between + prepared.after
        assert stripped(signing.stock_signs(emptied, bank)) == stripped(ours), profile.name
        assert signing.stock_accepts(ours, bank), profile.name


def hash_of(profile: dsig.SignatureProfile) -> hashes.HashAlgorithm:
    return hashes.SHA512() if profile.signature_method == dsig.RSA_SHA512 else hashes.SHA256()


def stripped(document: bytes) -> bytes:
    """The signature value without line breaks, and the parts around it in canonical form."""
    root = etree.fromstring(document)
    for element in root.iter(f"{D}SignatureValue", f"{D}DigestValue"):
        element.text = "".join((element.text or "").split())
    return etree.tostring(root, method="c14n")


def every_profile() -> list[tuple[dsig.SignatureProfile, bytes]]:
    path = ENVELOPED.signature_path
    inclusive = dsig.Enveloped((dsig.ENVELOPED, dsig.C14N), dsig.SHA384)
    bare = dsig.Enveloped((dsig.ENVELOPED,))
    deep = f"/{A}answer/{A}head/{D}Signature"
    by_id = dsig.ById(f"/{A}answer/{A}body", "Id", (dsig.C14N,))
    around = dsig.ById(f"/{A}answer", "Id", (dsig.ENVELOPED, dsig.EXC_C14N))
    document = signing.answer()
    deeper = el("more", el("deep", el("deeper", el("deepest", "x"))))
    with_body_id = signing.answer(extra=deeper).replace(b"<body>", b'<body Id="b">')
    with_root_id = document.replace(b"<answer ", b'<answer Id="all" xmlns:x="urn:unused" ')
    padded = document.replace(b"</body>", b"</body>\r\n  ").replace(b"<head>", b"\n\t<head >")
    return [
        (ENVELOPED, document),
        (ENVELOPED, padded),
        (dsig.SignatureProfile("inclusive", path, (inclusive,), c14n=dsig.C14N), with_root_id),
        (dsig.SignatureProfile("implied inclusive", path, (bare,), prefix=""), document),
        (dsig.SignatureProfile("deep, first", deep, signature_first=True, c14n=dsig.C14N), padded),
        (dsig.SignatureProfile("sha512", path, signature_method=dsig.RSA_SHA512), document),
        (dsig.SignatureProfile("by id, inclusive", deep, (by_id,), c14n=dsig.C14N), with_body_id),
        (dsig.SignatureProfile("around", path, (around,)), with_root_id),
        (SOAP_SIGNED, signing.envelope()),
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_kind_of_profile_goes_round(bank: KeyPair, engine: Engine) -> None:
    for profile, document in every_profile():
        prepared = dsig.prepare(document, profile)
        ours = dsig.attach(prepared, bank.sign(prepared.octets, hash_of(profile)))
        assert dsig.verify(ours, profile, bank.pin, engine=engine).key == bank.pin, profile.name
        changed = ours.replace(b"100.00", b"900.00")
        assert changed != ours
        with pytest.raises(ProtocolError, match="digest|signature"):
            dsig.verify(changed, profile, bank.pin, engine=engine)


def test_text_behind_the_signature_is_signed_too(bank: KeyPair) -> None:
    document = signing.signed(
        signing.answer(), dsig.SignatureProfile("first", ENVELOPED.signature_path, signature_first=True), bank
    )
    dsig.verify(document, ENVELOPED, bank.pin)
    refused("digest", document.replace(b"</ds:Signature>", b"</ds:Signature>x"), ENVELOPED, bank.pin)


def test_a_bank_that_writes_gbk(bank: KeyPair) -> None:
    document = build(el("answer", el("body", el("payee", "龙腾麤 & 子公司")), xmlns=NS), GBK)
    prepared = dsig.prepare(document, ENVELOPED, charset=GBK)
    wire = dsig.attach(prepared, bank.sign(prepared.octets))
    assert "龙腾麤".encode("gbk") in wire
    assert wire.startswith(b'<?xml version="1.0" encoding="GBK"?>')
    verified = dsig.verify(wire, ENVELOPED, bank.pin, charset=GBK)
    assert value(verified.root, f"{A}body/{A}payee") == "龙腾麤 & 子公司"
    assert signing.stock_accepts(wire, bank)


def test_prepare_refuses_what_it_cannot_sign(bank: KeyPair) -> None:
    with pytest.raises(ProtocolError, match="structure"):
        dsig.prepare(signing.signed(signing.answer(), ENVELOPED, bank), ENVELOPED)
    with pytest.raises(ProtocolError, match="structure"):
        dsig.prepare(b"<other/>", ENVELOPED)
    with pytest.raises(ProtocolError, match="structure"):
        dsig.prepare(signing.envelope().replace(b' wsu:Id="B-1"', b""), SOAP_SIGNED)
    with pytest.raises(ProtocolError, match="structure"):
        dsig.prepare(signing.envelope().replace(b"TS-1", b"B-1"), SOAP_SIGNED)
    for wrong in (b"", b"1", b"a b", b"id('x')", b"xpointer(/)", "标".encode()):
        with pytest.raises(ProtocolError, match="structure"):
            dsig.prepare(signing.envelope().replace(b"B-1", wrong), SOAP_SIGNED)


_XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r&<>"),
    max_size=12,
)


@given(st.lists(_XML_TEXT, min_size=1, max_size=4))
def test_what_is_written_in_canonical_form_is_signed_as_if_it_had_been_parsed(texts: list[str]) -> None:
    fields = xmldoc.canonical((f"f{number}", text) for number, text in enumerate(texts))
    document = f'<answer xmlns="{NS}"><body>{fields}</body></answer>'
    assert canonical_of(document) == document.encode()
    assert dsig.prepare_canonical(document, ENVELOPED) == dsig.prepare(document.encode(), ENVELOPED)


def canonical_of(document: str) -> bytes:
    return etree.tostring(etree.fromstring(document.encode()), method="c14n", exclusive=True, with_comments=False)


def test_in_canonical_form_a_signature_is_still_found_and_another_document_refused(bank: KeyPair) -> None:
    named = f'<answer xmlns="{NS}"><body>{xmldoc.canonical([("note", dsig.DS)])}</body></answer>'
    assert dsig.prepare_canonical(named, ENVELOPED) == dsig.prepare(named.encode(), ENVELOPED)
    signed = f'<answer xmlns="{NS}"><ds:Signature xmlns:ds="{dsig.DS}"></ds:Signature></answer>'
    for wrong in (signed, f'<other xmlns="{NS}"></other>', f'<answer xmlns="{NS}"></answer> '):
        with pytest.raises(ProtocolError, match="structure"):
            dsig.prepare_canonical(wrong, ENVELOPED)
    with pytest.raises(AssertionError):
        dsig.prepare_canonical(named, SOAP_SIGNED)


def test_the_mark_for_the_signature_value_cannot_be_forged(bank: KeyPair) -> None:
    document = signing.answer(payee="\ue000甲\ue000\ue000")
    verified = dsig.verify(signing.signed(document, ENVELOPED, bank), ENVELOPED, bank.pin)
    assert value(verified.root, f"{A}body/{A}payee") == "\ue000甲\ue000\ue000"


def test_a_tree_can_be_signed_as_well_as_bytes(bank: KeyPair) -> None:
    tree = etree.fromstring(signing.answer())
    assert dsig.prepare(tree, ENVELOPED).octets == dsig.prepare(signing.answer(), ENVELOPED).octets


def test_certificates_shown_to_the_bank_are_accepted_but_never_used(bank: KeyPair, stranger: KeyPair) -> None:
    info = dsig.x509_key_info(ENVELOPED, [stranger.certificate])
    document = signing.signed(signing.answer(), ENVELOPED, bank, info)
    assert dsig.verify(document, ENVELOPED, bank.pin).key == bank.pin
    refused("wrong_key", signing.signed(signing.answer(), ENVELOPED, stranger, info), ENVELOPED, bank.pin)


def test_another_prefix_above_does_not_break_our_key_info(bank: KeyPair) -> None:
    document = signing.answer().replace(b"<answer ", b'<answer xmlns:sig="%s" ' % dsig.DS.encode())
    info = dsig.x509_key_info(ENVELOPED, [bank.certificate])
    dsig.verify(signing.signed(document, ENVELOPED, bank, info), ENVELOPED, bank.pin)


def test_key_rotation_accepts_either_pinned_key(bank: KeyPair, stranger: KeyPair) -> None:
    document = signing.signed(signing.answer(), ENVELOPED, stranger)
    for engine in ENGINES:
        pins = [bank.pin, stranger.pin]
        assert dsig.verify(document, ENVELOPED, pins, engine=engine).key == stranger.pin
    refused("signature", document, ENVELOPED, bank.pin)


def test_days_of_a_certificate_count_when_the_day_is_known(bank: KeyPair) -> None:
    pin = dsig.PinnedKey.from_pem(bank.certificate_pem)
    assert pin.fingerprint == bank.pin.fingerprint
    document = signing.signed(signing.answer(), ENVELOPED, bank)
    dsig.verify(document, ENVELOPED, pin)
    dsig.verify(document, ENVELOPED, pin, today=date(2035, 12, 31))
    refused("wrong_key", document, ENVELOPED, pin, today=date(2036, 1, 1))
    refused("wrong_key", document, ENVELOPED, pin, today=date(2024, 12, 31))


def test_pins_that_cannot_be(bank: KeyPair) -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = elliptic.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    no_signing = key_pair("cipher only", may_sign=False).certificate_pem
    for wrong in (pem, no_signing, b"nonsense", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"):
        with pytest.raises(ProtocolError, match="wrong_key"):
            dsig.PinnedKey.from_pem(wrong)
    public = bank.pin.pem
    assert dsig.PinnedKey.from_pem(public) == bank.pin


def test_sha1_needs_a_date_and_ends_with_it(bank: KeyPair) -> None:
    reference = dsig.Enveloped(digest=dsig.SHA1)
    with pytest.raises(ProtocolError, match="algorithm"):
        dsig.SignatureProfile("no date", ENVELOPED.signature_path, (reference,))
    with pytest.raises(ProtocolError, match="algorithm"):
        dsig.SignatureProfile("no date", ENVELOPED.signature_path, signature_method=dsig.RSA_SHA1)
    old = dsig.SignatureProfile(
        "old bank", ENVELOPED.signature_path, (reference,), signature_method=dsig.RSA_SHA1, weak_until=date(2027, 6, 30)
    )
    prepared = dsig.prepare(signing.answer(), old)
    document = dsig.attach(prepared, bank.sign(prepared.octets, hashes.SHA1()))
    for engine in ENGINES:
        dsig.verify(document, old, bank.pin, today=date(2027, 6, 30), engine=engine)
    refused("algorithm", document, old, bank.pin, today=date(2027, 7, 1))
    refused("algorithm", document, old, bank.pin)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"signature_method": "http://www.w3.org/2001/04/xmldsig-more#rsa-md5"}, "algorithm"),
        ({"c14n": "http://www.w3.org/2006/12/xml-c14n11"}, "algorithm"),
        (
            {"references": (dsig.Enveloped((dsig.ENVELOPED, "http://www.w3.org/TR/1999/REC-xslt-19991116")),)},
            "algorithm",
        ),
        ({"references": (dsig.Enveloped((dsig.EXC_C14N, dsig.ENVELOPED)),)}, "algorithm"),
        ({"references": (dsig.Enveloped((dsig.EXC_C14N,)),)}, "algorithm"),
        ({"references": ()}, "structure"),
        ({"body": 1}, "structure"),
        ({"references": (dsig.ById(f"/{A}answer"),)}, "structure"),
        ({"references": (dsig.ById(f"/{A}answer/{A}b", "Id", (dsig.ENVELOPED, dsig.C14N)),)}, "structure"),
        ({"signature_path": "/answer"}, "structure"),
    ],
)
def test_profiles_that_cannot_be(change: dict[str, object], reason: str) -> None:
    arguments = {"name": "wrong", "signature_path": ENVELOPED.signature_path, **change}
    with pytest.raises(ProtocolError, match=reason):
        dsig.SignatureProfile(**arguments)  # type: ignore[arg-type]


def test_self_test_passes_here_and_notices_another_libxml2(monkeypatch: pytest.MonkeyPatch) -> None:
    dsig.self_test()
    monkeypatch.setattr(stack._STATE, "started", False)
    monkeypatch.setattr(etree, "LIBXML_VERSION", (2, 99, 0))
    with pytest.raises(ProtocolError, match=r"libxml2 2\.99\.0.*lxml>=6"):
        dsig.self_test()


def test_self_test_notices_a_changed_canonical_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.kit.dsig.sign.element_octets", lambda element, method: b"other")
    with pytest.raises(ProtocolError, match="self-test"):
        dsig.self_test()


def test_verify_insists_on_start(bank: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack._STATE, "started", False)
    with pytest.raises(AssertionError, match=r"dsig\.start"):
        dsig.verify(signing.signed(signing.answer(), ENVELOPED, bank), ENVELOPED, bank.pin)


def test_signxml_verifies_ours(bank: KeyPair) -> None:
    info = dsig.x509_key_info(ENVELOPED, [bank.certificate])
    document = signing.signed(signing.answer(), ENVELOPED, bank, info)
    result = XMLVerifier().verify(document, x509_cert=bank.certificate)
    assert not isinstance(result, list)
    assert result.signed_data == dsig.verify(document, ENVELOPED, bank.pin).canonical


@pytest.mark.parametrize("engine", ENGINES)
def test_we_verify_what_signxml_signs(bank: KeyPair, engine: Engine) -> None:
    signer = XMLSigner(c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0)
    root = signer.sign(etree.fromstring(signing.answer()), key=bank.private, cert=[bank.certificate])
    document = etree.tostring(root)
    verified = dsig.verify(document, ENVELOPED, bank.pin, engine=engine)
    assert value(verified.root, f"{A}body/{A}amount") == "100.00"
    refused("digest", document.replace(b"100.00", b"900.00"), ENVELOPED, bank.pin)


@pytest.mark.parametrize("engine", ENGINES)
def test_we_verify_what_xmlsec_signs_from_its_own_template(bank: KeyPair, engine: Engine) -> None:
    root = etree.fromstring(signing.answer())
    node = xmlsec.template.create(root, xmlsec.constants.TransformExclC14N, xmlsec.constants.TransformRsaSha256)
    root.append(node)
    reference = xmlsec.template.add_reference(node, xmlsec.constants.TransformSha256, uri="")
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformExclC14N)
    document = signing.stock_signs(etree.tostring(root), bank)
    verified = dsig.verify(document, ENVELOPED, bank.pin, engine=engine)
    assert one(verified.root, f"{A}body/{A}amount").text == "100.00"


@pytest.mark.skipif(shutil.which("xmlsec1") is None, reason="the command xmlsec1 is not installed")
@pytest.mark.parametrize("case", range(9))
def test_the_xmlsec1_command_verifies_ours(bank: KeyPair, case: int, tmp_path: Path) -> None:
    profile, document = every_profile()[case]
    prepared = dsig.prepare(document, profile)
    (tmp_path / "key.pem").write_bytes(bank.pin.pem)
    wire = dsig.attach(prepared, bank.sign(prepared.octets, hash_of(profile)))
    ids = ["answer", "body", "Body", "Timestamp"]
    command = ["xmlsec1", "--verify", "--pubkey-pem", str(tmp_path / "key.pem")]
    command += [word for name in ids for word in ("--id-attr:Id", name)]
    for content, good in ((wire, True), (wire.replace(b"100.00", b"900.00"), False)):
        (tmp_path / "message.xml").write_bytes(content)
        run = subprocess.run([*command, str(tmp_path / "message.xml")], capture_output=True, timeout=20)
        assert (run.returncode == 0) is good, run.stderr.decode()


def test_limits_reach_the_parser(bank: KeyPair) -> None:
    document = signing.signed(signing.answer(), ENVELOPED, bank)
    with pytest.raises(ProtocolError, match="frame_too_long"):
        dsig.verify(document, ENVELOPED, bank.pin, max_bytes=len(document) - 1)
    with pytest.raises(ProtocolError, match="xml_limits"):
        dsig.verify(document, ENVELOPED, bank.pin, max_nodes=10)


def test_utf8_is_the_default_charset() -> None:
    assert dsig.prepare(signing.answer(), ENVELOPED).before.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
    assert UTF8.name == "UTF-8"
