"""Certificates: a code is used once, a request is never repeated blindly, and the next key follows the old one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from protocols import certificates
from protocols.bank import Sign, Submit
from protocols.banks import finws
from protocols.banks.finws import enrolment
from protocols.banks.finws.enrolment import Enrolment
from protocols.banks.finws.pki import Factory
from protocols.certificates import CertificateSubject, Enrolling, Issued, NextStep, Request, Stage
from protocols.kit import http
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.finws.paper import BANK, STRANGER, US, VERIFIER, options, pay, signer
from tests.protocols.banks.finws.paper import stage as stage_of
from tests.protocols.kit.signing import KeyPair
from tests.world import dialogue

CODE = "1234567890ABCDEF"


def stage(profile: str = "op", **more: Any) -> dialogue.BankAndTwin:
    return stage_of(adapter={"profile": profile}, **more)


def enroller(profile: str = "op") -> Enrolment:
    made = finws.certificates(options(profile=profile))
    assert isinstance(made, Enrolment)
    return made


def wanted(key: KeyPair = VERIFIER) -> CertificateSubject:
    return CertificateSubject(key.private.public_key(), "示例甲公司")


def up_to_submit(conversation: Enrolling, new: KeyPair = VERIFIER, old: KeyPair = US) -> Submit:
    step = next(conversation)
    while isinstance(step, Sign):
        step = conversation.send({"new": new, "content": old}[step.key].sign(step.octets))
    return step


def carry(made: dialogue.BankAndTwin, request: Request) -> bytes:
    """The bank's answer to the stored bytes."""
    [whole] = made.twin.requests("business").feed(request.wire)
    answer = made.twin.answer("business", whole, made.ledger, {})
    [frame] = http.HttpAnswers().cutter(1_000_000).feed(answer.data)
    return frame


def asked(made: dialogue.BankAndTwin, code: str = CODE, profile: str = "op") -> tuple[Request, Issued]:
    what = wanted()
    request = certificates.begin(up_to_submit(enroller(profile).first(what, code, made.context())), what)
    request = certificates.sent(request, made.time.now)
    return request, enroller(profile).read_answer(carry(made, request), request.request_id, request.public_der)


@pytest.mark.parametrize(("profile", "by_hmac"), [("op", False), ("nordea", True), ("samlink", False)])
def test_a_code_gets_a_certificate_of_our_key(profile: str, by_hmac: bool) -> None:
    made = stage(profile, hmac=by_hmac)
    request, issued = asked(made, profile=profile)
    assert issued.stage is Stage.ISSUED
    certificate = x509.load_pem_x509_certificate(issued.certificate)
    assert certificate.public_key() == VERIFIER.private.public_key()
    kept = certificates.heard(request, issued)
    assert certificates.next_move(kept, made.time.now) is NextStep.DONE
    assert CODE.encode() not in request.wire if by_hmac else True


def test_the_request_is_a_pkcs10_that_openssl_s_library_believes() -> None:
    conversation = enroller().first(wanted(), CODE, stage().context())
    step = next(conversation)
    assert isinstance(step, Sign) and step.key == "new"
    der = enrolment._der(
        0x30, step.octets + enrolment._SHA256_RSA + enrolment._der(3, b"\x00" + VERIFIER.sign(step.octets))
    )
    request = x509.load_der_x509_csr(der)
    assert request.is_signature_valid
    assert request.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == "示例甲公司"


def test_a_wrong_code_is_refused_and_a_person_is_asked() -> None:
    made = stage()
    request, issued = asked(made, code="0" * 16)
    assert (issued.stage, issued.code) == (Stage.REFUSED, "30")
    assert certificates.next_move(certificates.heard(request, issued), made.time.now) is NextStep.ASK_A_PERSON


def test_silence_allows_the_same_bytes_for_a_while_and_then_nothing() -> None:
    """The process crashes at each point: the stored request determines the next permitted step."""
    made = stage()
    what = wanted()
    step = up_to_submit(enroller().first(what, CODE, made.context()))
    request = certificates.begin(step, what)
    assert certificates.next_move(request, made.time.now) is NextStep.SEND
    request = certificates.sent(request, made.time.now)
    assert request.wire == step.data
    assert certificates.next_move(request, made.time.now + timedelta(minutes=9)) is NextStep.SEND_SAME_BYTES
    assert certificates.next_move(request, made.time.now + timedelta(minutes=10)) is NextStep.ASK_A_PERSON
    assert certificates.sent(request, made.time.now + timedelta(minutes=5)) == request, "the first time counts"


def test_the_same_bytes_again_tell_that_the_first_arrived() -> None:
    made = stage()
    request, _lost = asked(made)
    again = enroller().read_answer(carry(made, request), request.request_id, request.public_der)
    assert (again.stage, again.code) == (Stage.ARRIVED, "31")
    assert certificates.next_move(certificates.heard(request, again), made.time.now) is NextStep.ASK_A_PERSON


def test_a_code_is_good_once() -> None:
    made = stage()
    asked(made)
    _, second = asked(made)
    assert (second.stage, second.code) == (Stage.REFUSED, "30")


def test_renewal_is_signed_with_the_old_key_and_the_new_one_signs_from_then_on() -> None:
    made = stage()
    what = wanted()
    step = up_to_submit(enroller().renew(what, made.context()))
    request = certificates.begin(step, what)
    issued = enroller().read_answer(carry(made, request), request.request_id, request.public_der)
    assert issued.stage is Stage.ISSUED
    made.signers = {"content": signer(VERIFIER), "transport": signer(VERIFIER)}
    assert pay(made).code == "00"
    made.signers = {"content": signer(US), "transport": signer(US)}
    assert pay(made, "GOLDEN00000000000002").code == "00", "the old one stays good until it ends"


def test_a_renewal_signed_by_somebody_else_is_refused() -> None:
    made = stage()
    what = wanted()
    request = certificates.begin(up_to_submit(enroller().renew(what, made.context()), old=STRANGER), what)
    issued = enroller().read_answer(carry(made, request), request.request_id, request.public_der)
    assert (issued.stage, issued.code) == (Stage.REFUSED, "18")


def test_a_certificate_of_another_key_is_not_ours() -> None:
    made = stage()
    request, _ = asked(made)
    answer = carry(stage(), request)
    assert enroller().read_answer(answer, request.request_id, request.public_der).stage is Stage.ISSUED
    with pytest.raises(ProtocolError) as refused:
        enroller().read_answer(answer, request.request_id, b"another key")
    assert refused.value.reason == "wrong_key"
    with pytest.raises(ProtocolError) as other:
        enroller().read_answer(answer, "C1", request.public_der)
    assert other.value.reason == "correlation"


def test_the_answer_must_be_the_bank_s() -> None:
    made = stage(keys={"bank": STRANGER.private_pem})
    with pytest.raises(ProtocolError):
        asked(made)
    assert BANK.pin != STRANGER.pin


def test_no_code_and_no_office() -> None:
    context = stage().context()
    with pytest.raises(ProtocolError, match="no code"):
        next(enroller().first(wanted(), "", context))
    bare = replace(
        enroller(), wire=replace(enroller().wire, variant=replace(enroller().wire.variant, enrolment="none"))
    )
    for conversation in (bare.first(wanted(), CODE, context), bare.renew(wanted(), context)):
        with pytest.raises(ProtocolError, match="another way"):
            next(conversation)


# ---- Danske's own service ------------------------------------------------------------------------------------------


DANSKE = {
    "profile": "danske",
    "encryption_certificate": BANK.certificate_pem.decode(),
    "certificate_path": "/ra/pkiservice.asmx",
}


def danske(**more: Any) -> dialogue.BankAndTwin:
    return stage_of(
        adapter=DANSKE, keys={"encryption": BANK.private_pem, "client_encryption": US.certificate_pem}, **more
    )


def factory(**more: Any) -> Factory:
    made = finws.certificates(options(**{**DANSKE, **more}))
    assert isinstance(made, Factory)
    return made


def with_pin(made: dialogue.BankAndTwin, code: str = CODE, **more: Any) -> Request:
    what = wanted()
    request = certificates.begin(up_to_submit(factory(**more).first(what, code, made.context())), what)
    return certificates.sent(request, made.time.now)


@pytest.mark.parametrize("engine", ["hand", "xmlsec"])
def test_danske_gives_two_certificates_of_one_key_for_a_pin(engine: str) -> None:
    made = danske()
    request = with_pin(made)
    assert CODE.encode() not in request.wire and b"EncryptedData" in request.wire, "the PIN travels sealed"
    assert len(request.request_id) <= 10
    issued = factory(verify=engine).read_answer(carry(made, request), request.request_id, request.public_der)
    assert issued.stage is Stage.ISSUED
    assert x509.load_pem_x509_certificate(issued.certificate).public_key() == VERIFIER.private.public_key()
    made.signers = {"content": signer(VERIFIER), "transport": signer(VERIFIER)}
    assert pay(made).code == "00", "and it signs from then on"


def test_a_fault_of_danske_s_service_is_nobody_s_word() -> None:
    """The fault is not signed: the request keeps its state, and a person is asked after a while."""
    made = danske()
    request = with_pin(made, "0" * 16)
    with pytest.raises(ProtocolError, match="30 Authentication failed") as refused:
        factory().read_answer(carry(made, request), request.request_id, request.public_der)
    assert refused.value.reason == "unsigned"
    assert certificates.next_move(request, made.time.now + timedelta(minutes=10)) is NextStep.ASK_A_PERSON


def test_danske_s_answer_must_be_signed_by_the_bank_for_our_key_and_request() -> None:
    made = danske()
    request = with_pin(made)
    answer = carry(made, request)
    for changed in (answer.replace(b"<tns:ReturnText>OK", b"<tns:ReturnText>Ok"), answer.replace(b"xml:id", b"id")):
        assert changed != answer
        with pytest.raises(ProtocolError):
            factory().read_answer(changed, request.request_id, request.public_der)
    with pytest.raises(ProtocolError) as refused:
        factory().read_answer(answer, request.request_id, b"another key")
    assert refused.value.reason == "wrong_key"
    with pytest.raises(ProtocolError) as other:
        factory().read_answer(answer, "1", request.public_der)
    assert other.value.reason == "correlation"
    with pytest.raises(ProtocolError):
        factory(bank_certificate=STRANGER.certificate_pem.decode()).read_answer(
            answer, request.request_id, request.public_der
        )


def test_danske_s_sha_1_counts_until_its_last_day() -> None:
    """The genuine answer of 2022 was signed with SHA-1."""
    old: dict[str, Any] = {"answer": {"digest": "sha1", "method": "rsa-sha1"}, "weak_until": "2026-11-24"}
    made = danske(answer_digest="sha1")
    request = with_pin(made, **old)
    answer, today = carry(made, request), made.time.now.date()
    assert factory(**old).read_answer(answer, request.request_id, request.public_der, today).stage is Stage.ISSUED
    with pytest.raises(ProtocolError, match="SHA-1"):
        factory(**old).read_answer(answer, request.request_id, request.public_der, today + timedelta(days=1))


def test_danske_s_requests_need_a_pin_and_renewals_a_new_one() -> None:
    context = danske().context()
    for conversation, why in (
        (factory().first(wanted(), "", context), "no code"),
        (factory().renew(wanted(), context), "PIN"),
    ):
        with pytest.raises(ProtocolError, match=why):
            next(conversation)


def test_the_first_one_is_asked_for_when_there_is_none_to_show() -> None:
    made = stage()
    first = finws.certificates({name: given for name, given in options(profile="op").items() if name != "certificate"})
    what = wanted()
    request = certificates.begin(up_to_submit(first.first(what, CODE, made.context())), what)
    assert first.read_answer(carry(made, request), request.request_id, request.public_der).stage is Stage.ISSUED
    with pytest.raises(ProtocolError, match="no certificate yet"):
        next(first.renew(what, made.context()))


def test_a_renewal_may_come_as_pem_under_another_code_of_success() -> None:
    """Samlink's answer has been seen with code 0 and base64 of PEM."""
    made = stage("samlink", pem=True)
    request, issued = asked(made, profile="samlink")
    assert (issued.stage, issued.code) == (Stage.ISSUED, "0")
    assert x509.load_pem_x509_certificate(issued.certificate).public_key() == VERIFIER.private.public_key()
    assert request.public_der
