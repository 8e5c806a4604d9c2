"""Points in which a contract may differ from its kind of bank: forms of the signatures, digest, charset, schema."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from protocols.bank import BadOptions
from protocols.banks import finws
from protocols.banks.finws.variant import variants
from protocols.canon.outcome import Fate
from protocols.kit import dsig, http
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.finws.paper import BANK, US, document_of, options, pay, stage
from tests.protocols.kit.signing import D, key_pair
from tests.world.dialogue import BankAndTwin

OLD = {"digest": "sha1", "method": "rsa-sha1"}
COMMENTS = ["enveloped", "inclusive_comments"]


def answer_of(made: BankAndTwin) -> bytes:
    """The bank's answer to the golden order, and the adapter's result."""
    assert pay(made).fate is Fate.PENDING
    return made.said[0].answer


def transforms_of(document: etree._Element) -> list[str | None]:
    return [one.get("Algorithm") for one in document.iter(f"{D}Transform")]


def form_of(document: etree._Element) -> tuple[list[str | None], str | None]:
    """The transforms of the reference, and the canonical form of SignedInfo."""
    [info] = document.iter(f"{D}CanonicalizationMethod")
    return transforms_of(document), info.get("Algorithm")


TWO, ONE = (
    {"answer_transforms": ["enveloped", "inclusive"], "answer_c14n": "inclusive"},
    {"answer_transforms": ["enveloped"]},
)


@pytest.mark.parametrize(
    ("profile", "form", "other"),
    [
        ("nordea", ([dsig.ENVELOPED, dsig.C14N], dsig.C14N), ONE),
        ("samlink", ([dsig.ENVELOPED, dsig.C14N], dsig.C14N), ONE),
        ("op", ([dsig.ENVELOPED], dsig.C14N_COMMENTS), TWO),
    ],
)
def test_the_kinds_of_bank_answer_as_genuine_answers_do(
    profile: str, form: tuple[list[str], str], other: dict[str, Any]
) -> None:
    """Nordea and Samlink name two transforms, OP one. Another form is that of another contract."""
    frame = answer_of(stage(adapter={"profile": profile}))
    assert form_of(document_of(frame)) == form
    with pytest.raises(ProtocolError):
        pay(stage(adapter={"profile": profile}, **other))
    contract = {word.removeprefix("answer_"): given for word, given in other.items()}
    assert pay(stage(adapter={"profile": profile, "answer": contract}, **other)).fate is Fate.PENDING


@pytest.mark.parametrize("engine", ["hand", "xmlsec"])
@pytest.mark.parametrize(
    "transforms", [["enveloped"], COMMENTS, ["enveloped", "exclusive"], ["enveloped", "exclusive_comments"]]
)
def test_transforms_of_answers_are_the_contract_s(engine: str, transforms: list[str]) -> None:
    adapter = {"verify": engine, "answer": {"transforms": transforms}}
    assert pay(stage(adapter=adapter, answer_transforms=transforms)).fate is Fate.PENDING


@pytest.mark.parametrize("charset", ["ISO-8859-15", "ISO-8859-1"])
def test_an_envelope_in_latin_is_read_where_the_contract_says_so(charset: str) -> None:
    frame = answer_of(stage(adapter={"charset": charset}, charset=charset))
    assert f"encoding='{charset}'".encode() in http.parse_answer(frame).body
    with pytest.raises(ProtocolError, match=charset):
        pay(stage(charset=charset))


def test_samlink_s_envelope_may_be_in_latin_9_or_in_utf_8() -> None:
    for charset in ("ISO-8859-15", "UTF-8"):
        assert pay(stage(adapter={"profile": "samlink"}, charset=charset)).fate is Fate.PENDING


def test_sha_1_needs_its_last_day_and_ends_on_it() -> None:
    forms: dict[str, Any] = {"answer": OLD, "answer_envelope": OLD}
    with pytest.raises(BadOptions, match="weak_until"):
        finws.build(options(**forms))
    until = {**forms, "weak_until": "2026-11-24"}
    assert pay(stage(adapter=until, answer_digest="sha1")).fate is Fate.PENDING
    with pytest.raises(ProtocolError, match="SHA-1"):
        pay(stage(adapter={**forms, "weak_until": "2026-11-23"}, answer_digest="sha1"))
    with pytest.raises(ProtocolError):
        pay(stage(answer_digest="sha1"))


OLD_BANK = key_pair("an old bank", 1024)
SMALL: dict[str, Any] = {"bank_certificate": OLD_BANK.certificate_pem.decode(), "verify": "hand"}


@pytest.mark.parametrize("profile", ["nordea", "op", "danske", "samlink"])
def test_each_profile_names_what_its_older_answers_need(profile: str) -> None:
    """SHA-1, and with OP keys under 2,048 bits. The words are those of the options."""
    older = variants()[profile].older
    form = {"digest": older.digest, "method": older.method}
    adapter = {
        "profile": profile,
        "answer": form,
        "answer_envelope": form,
        "min_rsa_bits": older.min_rsa_bits,
        "weak_until": "2026-11-24",
    }
    bank = OLD_BANK if older.min_rsa_bits == 1024 else BANK
    keys = {"bank": bank.private_pem, "bank_certificate": bank.certificate_pem}
    adapter["bank_certificate"] = bank.certificate_pem.decode()
    credentials = {}
    if profile == "danske":
        adapter["encryption_certificate"] = BANK.certificate_pem.decode()
        keys |= {"encryption": BANK.private_pem, "client_encryption": US.certificate_pem}
        credentials["decryption_key"] = US.private_pem.decode()
    made = stage(adapter=adapter, keys=keys, credentials=credentials, answer_digest="sha1")
    assert pay(made).fate is Fate.PENDING
    with pytest.raises(ProtocolError):
        pay(stage(adapter={**adapter, "answer": {}}, keys=keys, credentials=credentials, answer_digest="sha1"))


def test_a_short_key_needs_a_last_day_and_sha_1() -> None:
    keys = {"bank": OLD_BANK.private_pem, "bank_certificate": OLD_BANK.certificate_pem}
    with pytest.raises(BadOptions, match="weak_until"):
        finws.build(options(min_rsa_bits=1024))
    with pytest.raises(BadOptions, match="1024"):
        finws.build(options(min_rsa_bits=512, weak_until="2026-11-24"))
    forms: dict[str, Any] = {"answer": OLD, "answer_envelope": OLD, "weak_until": "2026-11-24"}
    for more, digest in (({**forms}, "sha1"), ({"min_rsa_bits": 1024, "weak_until": "2026-11-24"}, "sha256")):
        with pytest.raises(ProtocolError) as refused:
            pay(stage(adapter={**SMALL, **more}, keys=keys, answer_digest=digest))
        assert refused.value.reason == "wrong_key"
    good = {**SMALL, **forms, "min_rsa_bits": 1024}
    assert pay(stage(adapter=good, keys=keys, answer_digest="sha1")).fate is Fate.PENDING


@pytest.mark.parametrize("form", ["exclusive", "exclusive_comments", "inclusive"])
def test_the_envelope_we_sign_has_the_contract_s_canonical_form(form: str) -> None:
    """Clients use all three forms. The simulated bank accepts those that its contract lists."""
    made = stage(adapter={"envelope": {"c14n": form}, "answer_envelope": {"c14n": "exclusive"}}, carrier_forms=[form])
    assert pay(made).fate is Fate.PENDING
    everything = stage(
        adapter={"envelope": {"c14n": form}, "answer_envelope": {"c14n": "exclusive"}},
        carrier_forms=["exclusive", "exclusive_comments", "inclusive"],
    )
    assert pay(everything).fate is Fate.PENDING
    other = "inclusive" if form != "inclusive" else "exclusive"
    refused = stage(
        adapter={"envelope": {"c14n": form}, "answer_envelope": {"c14n": "exclusive"}}, carrier_forms=[other]
    )
    assert pay(refused).code == "02"


def test_a_document_with_a_comment_is_refused_whatever_the_form_is_called() -> None:
    """So the two forms with comments never cover other octets than the forms without."""
    profile = dsig.SignatureProfile(
        "answer", "/{urn:x}a/" + D + "Signature", (dsig.Enveloped((dsig.ENVELOPED, dsig.C14N_COMMENTS)),)
    )
    with pytest.raises(ProtocolError) as refused:
        dsig.verify(b'<a xmlns="urn:x"><!-- 1 --></a>', profile, BANK.pin)
    assert refused.value.reason == "comment"


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"answer": {"transforms": ["xslt"]}}, "answer.transforms"),
        ({"answer": {"transforms": ["inclusive"]}}, "answer"),
        ({"request": {"digest": "md5"}}, "request.digest"),
        ({"envelope": {"method": "hmac"}}, "envelope.method"),
        ({"envelope": "exclusive"}, "envelope"),
        ({"charset": "GBK"}, "charset"),
        ({"weak_until": "soon"}, "weak_until"),
        ({"compression": "yes"}, "compression"),
        ({"encryption": "des"}, "encryption"),
    ],
)
def test_wrong_words_name_their_option(wrong: dict[str, Any], key: str) -> None:
    with pytest.raises(BadOptions) as refused:
        finws.build(options(**wrong))
    assert refused.value.key == key
