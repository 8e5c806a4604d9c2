"""The rules of the bank's own side: the adapter's own requests break none, and each operation has some."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from protocols.banks.finws import twin_rules, twin_rules_certificates
from protocols.banks.finws.names import OPERATIONS
from protocols.banks.finws.twin_rules_files import DEBIT_FILE, DEBIT_GROUP, TRANSFER_FILE, TRANSFER_GROUP
from protocols.canon.order import Bundle, Channel, Item, Kind, Urgency
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion
from protocols.canon.terms import Remittance, Terms
from protocols.judge import RequestFinding, RequestRules, RowsRule
from protocols.kit import http
from tests.protocols.banks.every.bench import Table, bundled, kinds, table
from tests.protocols.banks.finws.client_mistakes import certificate_request, request, side
from tests.protocols.banks.finws.paper import BANK, REFERENCE, US, fate, pay, stage
from tests.protocols.banks.finws.test_enrolment import (
    CODE,
    asked,
    carry,
    danske,
    enroller,
    up_to_submit,
    wanted,
    with_pin,
)
from tests.protocols.kit.signing import SOAP, WSSE, WSU
from tests.world.dialogue import BankAndTwin, order_of


def told(findings: list[RequestFinding]) -> list[tuple[str, str, str]]:
    return [(one.place, one.value, one.words.english) for one in findings]


def play(at: Table) -> None:
    """Every operation of the adapter once: all kinds of orders, all questions, a file that is taken back."""
    for kind in kinds("finws"):
        reference = at.reference()
        at.pay(at.order(kind), reference)
        at.fate(reference)
    for kind in bundled("finws"):
        bundle, reference = at.bundle(kind, ("货款", "运费"))
        at.pay_bundle(bundle, reference)
        at.bundle_fate(kind, reference)
    for day in (None, at.today):
        question = BalanceQuestion(AccountNumber(at.own[0]), on=day)
        assert at.bank.questions.balance is not None
        at.stage.talk(at.bank.questions.balance(question, at.stage.context()))
        at.stage.time.later(86_400)
    at.walk(at.own[0], at.today.replace(day=1), at.today)
    at.returns()
    at.stage.talk(at.bank.sessions.probe(at.stage.context()))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"payment_form": "pain.001.001.09", "collection_form": "pain.008.001.08"},
        {"service_level": "SEPA", "end_to_end": "reference", "batch_booking": True},
        {"request_prefix": "ABCDEFGH", "target": "T" * 80, "software": "s" * 80, "environment": "PRODUCTION"},
    ],
)
@pytest.mark.parametrize("cheap", [False, True])
def test_no_request_of_the_adapter_breaks_a_rule(more: dict[str, Any], cheap: bool) -> None:
    at = table("finws", bank_options=more, cheap=cheap)
    play(at)
    assert told(at.stage.findings) == []
    assert len(at.stage.ledger.executions) >= 5 and len(at.stage.said) > 20


@pytest.mark.parametrize("rules", ["iso", "sps", "dk"])
@pytest.mark.parametrize("form", ["pain.001.001.03", "pain.001.001.09"])
def test_orders_with_all_terms_break_no_rule(rules: str, form: str) -> None:
    made = stage(adapter={"rules": rules, "payment_form": form, "address": {"country": "FI", "town": "Helsinki"}})
    terms = Terms(end_to_end_id="E" * 35, purpose_code="SALA", remittances=(Remittance("RF18539007547034"),))
    items = []
    for number, (channel, urgency) in enumerate([(Channel.AUTO, Urgency.URGENT), (Channel.INSTANT, Urgency.NORMAL)], 1):
        order = order_of({"amount": "12345.67", "kind": "batch_item", "item": str(number)})
        more = replace(terms, end_to_end_id=f"E{number}")
        changed = replace(order, purpose="", channel=channel, urgency=urgency, terms=more)
        items.append(Item(changed, f"GOLDEN0000000000000{number}"))
    bundle = Bundle(Kind.BATCH_ITEM, tuple(items))
    made.talk(made.bank.bundles[Kind.BATCH_ITEM].word(bundle, made.context(REFERENCE)))
    assert told(made.findings) == []
    assert len(made.ledger.executions) == 2


def each_kind_of_bank() -> list[BankAndTwin]:
    sealed = stage(
        adapter={"profile": "danske", "encryption_certificate": BANK.certificate_pem.decode()},
        keys={"encryption": BANK.private_pem, "client_encryption": US.certificate_pem},
        credentials={"decryption_key": US.private_pem.decode()},
    )
    return [sealed, *(stage(adapter={"profile": name}) for name in ("nordea", "op", "samlink"))]


def test_no_request_to_any_kind_of_bank_breaks_a_rule() -> None:
    for made in each_kind_of_bank():
        pay(made)
        fate(made)
        assert told(made.findings) == []
        assert len(made.ledger.executions) == 1


def test_the_same_bytes_again_break_no_rule_and_are_refused() -> None:
    made = stage()
    pay(made)
    twin = made.twin
    message = made.said[0].request
    again = twin.answer("business", message, made.ledger, {})
    assert (again.operation, again.code, again.reason, again.findings) == (
        "uploadFile",
        "31",
        "Duplicate message rejected.",
        (),
    )


def test_no_request_for_a_certificate_breaks_a_rule() -> None:
    for profile, by_hmac in (("op", False), ("nordea", True), ("samlink", False)):
        made = stage(adapter={"profile": profile}, hmac=by_hmac, transfer_key="0123456789" if by_hmac else CODE)
        conversation = enroller(profile).first(wanted(), "0123456789" if by_hmac else CODE, made.context())
        [whole] = made.twin.requests("business").feed(up_to_submit(conversation).data)
        answer = made.twin.answer("business", whole, made.ledger, {})
        assert (answer.operation, answer.code, told(list(answer.findings))) == ("getCertificate", "00", [])
        [whole] = made.twin.requests("business").feed(
            up_to_submit(enroller(profile).renew(wanted(), made.context())).data
        )
        answer = made.twin.answer("business", whole, made.ledger, {})
        assert (answer.operation, answer.code, told(list(answer.findings))) == ("getCertificate", "00", [])
    made = danske()
    [whole] = made.twin.requests("business").feed(with_pin(made).wire)
    answer = made.twin.answer("business", whole, made.ledger, {})
    assert (answer.operation, answer.code, told(list(answer.findings))) == ("CreateCertificate", "00", [])


def every_rule() -> list[RequestRules]:
    files = [TRANSFER_FILE, TRANSFER_GROUP, DEBIT_FILE, DEBIT_GROUP]
    return [
        *twin_rules.RULES.values(),
        twin_rules.HEADER_RULES,
        twin_rules.HTTP_RULES,
        twin_rules.SECURITY_RULES,
        *files,
        *twin_rules_certificates.RULES.values(),
        twin_rules_certificates.HEADER_RULES,
        twin_rules_certificates.FACTORY_HEADER_RULES,
    ]


def test_each_operation_has_rules_and_each_rule_a_source() -> None:
    assert set(twin_rules.RULES) == set(OPERATIONS)
    assert set(twin_rules_certificates.RULES) == {"getCertificate", "CreateCertificate"}
    for rules in every_rule():
        assert rules.fields, rules.operation
        for one in (*rules.fields, *rules.together):
            assert one.source.startswith(("README.md ", "ISO ")), one
            for cell in one.fields if isinstance(one, RowsRule) else ():
                assert cell.source


def test_a_good_answer_says_what_it_says() -> None:
    other = side()
    answer = other.answer(request("getUserInfo"))
    assert (answer.operation, answer.code, answer.reason, answer.findings) == ("getUserInfo", "00", "OK.", ())
    nothing = other.answer(
        request("downloadFileList", {"Timestamp": "2026-11-24T04:00:01Z"}, header={"RequestId": "R2"})
    )
    assert (nothing.code, nothing.reason, nothing.findings) == ("24", "Content not found.", ())


def test_several_mistakes_are_all_told() -> None:
    answer = side().answer(request("getUserInfo", {"Environment": "DEMO"}, header={"Language": "english"}))
    assert [one.place for one in answer.findings] == ["RequestHeader/Language", "ApplicationRequest/Environment"]
    assert answer.code == "29"


def test_a_wrong_code_breaks_no_rule_and_gets_no_certificate() -> None:
    """A secret that does not fit is no mistake of form: the bank refuses it, and the program is right."""
    answer = side().answer(certificate_request({"TransferKey": "0" * 16}))
    assert (answer.code, answer.findings) == ("30", ())
    made = stage(adapter={"profile": "op"})
    stored, issued = asked(made)
    assert issued.code == "00" and carry(made, stored)


def test_every_envelope_shows_the_bank_s_certificate() -> None:
    """A strict client looks for the token, its encoding, and a reference to it; so in every genuine answer."""
    certificates = []
    for made in (table("finws").stage, stage()):
        made.talk(made.bank.sessions.probe(made.context()))
        root = etree.fromstring(http.parse_answer(made.said[-1].answer).body)
        [token] = root.iter(f"{{{WSSE}}}BinarySecurityToken")
        certificates.append(x509.load_der_x509_certificate(base64.b64decode(token.text or "")))
        kinds_of = [str(token.get(name)).partition("#")[2] for name in ("EncodingType", "ValueType")]
        assert kinds_of == ["Base64Binary", "X509v3"]
        [security] = root.iter(f"{{{WSSE}}}Security")
        assert security.get(f"{{{SOAP}}}mustUnderstand") == "1"
        [pointer] = root.iter(f"{{{WSSE}}}Reference")
        assert pointer.get("URI") == f"#{token.get(f'{{{WSU}}}Id')}"
        assert pointer.get("ValueType") == token.get("ValueType")
    assert certificates[-1].public_bytes(Encoding.PEM) == BANK.certificate_pem, "the one that it was given to show"
