"""What a contract may say otherwise than its kind of bank does: forms of the signatures, digest, charset, schema."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from protocols.bank import BadOptions
from protocols.banks import finws
from protocols.canon.outcome import Fate
from protocols.kit import dsig, http
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.finws.paper import BANK, document_of, options, pay, stage
from tests.protocols.kit.signing import D
from tests.world.dialogue import Stage

OLD = {"digest": "sha1", "method": "rsa-sha1"}
COMMENTS = ["enveloped", "inclusive_comments"]


def answer_of(made: Stage) -> bytes:
    """The bank's answer to the golden order, beside what the adapter made of it."""
    assert pay(made).fate is Fate.PENDING
    return made.said[0].answer


def transforms_of(document: etree._Element) -> list[str | None]:
    return [one.get("Algorithm") for one in document.iter(f"{D}Transform")]


@pytest.mark.parametrize(
    ("profile", "canonical"), [("nordea", dsig.C14N), ("samlink", dsig.C14N), ("op", dsig.C14N_COMMENTS)]
)
def test_the_kinds_of_bank_answer_as_genuine_answers_do(profile: str, canonical: str) -> None:
    """Two transforms, as in all genuine answers; the older single one is another contract's."""
    frame = answer_of(stage(adapter={"profile": profile}))
    assert transforms_of(document_of(frame)) == [dsig.ENVELOPED, canonical]
    with pytest.raises(ProtocolError):
        pay(stage(adapter={"profile": profile}, answer_transforms=["enveloped"]))
    single = {"profile": profile, "answer": {"transforms": ["enveloped"]}}
    assert pay(stage(adapter=single, answer_transforms=["enveloped"])).fate is Fate.PENDING


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


@pytest.mark.parametrize("form", ["exclusive", "exclusive_comments", "inclusive"])
def test_the_envelope_we_sign_has_the_contract_s_canonical_form(form: str) -> None:
    """Clients are seen with all three; the simulated bank takes those that its own contract lists."""
    made = stage(adapter={"envelope": {"c14n": form}, "answer_envelope": {"c14n": "exclusive"}}, carrier_forms=[form])
    assert pay(made).fate is Fate.PENDING
    everything = stage(adapter={"envelope": {"c14n": form}, "answer_envelope": {"c14n": "exclusive"}},
                       carrier_forms=["exclusive", "exclusive_comments", "inclusive"])  # fmt: skip
    assert pay(everything).fate is Fate.PENDING
    other = "inclusive" if form != "inclusive" else "exclusive"
    refused = stage(
        adapter={"envelope": {"c14n": form}, "answer_envelope": {"c14n": "exclusive"}}, carrier_forms=[other]
    )
    assert pay(refused).code == "02"


def test_a_document_with_a_comment_is_refused_whatever_the_form_is_called() -> None:
    """So the two forms with comments never cover other octets than those without."""
    profile = dsig.SignatureProfile(
        "answer", "/{urn:x}a/" + D + "Signature", (dsig.Enveloped((dsig.ENVELOPED, dsig.C14N_COMMENTS)),)
    )
    with pytest.raises(ProtocolError) as refused:
        dsig.verify(b'<a xmlns="urn:x"><!-- 1 --></a>', profile, BANK.pin)
    assert refused.value.reason == "comment"


@pytest.mark.parametrize(("wrong", "key"), [
    ({"answer": {"transforms": ["xslt"]}}, "answer.transforms"),
    ({"answer": {"transforms": ["inclusive"]}}, "answer"),
    ({"request": {"digest": "md5"}}, "request.digest"),
    ({"envelope": {"method": "hmac"}}, "envelope.method"),
    ({"envelope": "exclusive"}, "envelope"),
    ({"charset": "GBK"}, "charset"),
    ({"weak_until": "soon"}, "weak_until"),
    ({"compression": "yes"}, "compression"),
    ({"encryption": "des"}, "encryption"),
])  # fmt: skip
def test_wrong_words_name_their_option(wrong: dict[str, Any], key: str) -> None:
    with pytest.raises(BadOptions) as refused:
        finws.build(options(**wrong))
    assert refused.value.key == key
