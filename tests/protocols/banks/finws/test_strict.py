"""Envelopes and requests that the simulated bank refuses although they are correctly signed."""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator
from typing import Any

import pytest
from lxml import etree

from protocols.bank import Sign
from protocols.banks import finws
from protocols.banks.finws.files import File
from protocols.banks.finws.messages import gzip
from protocols.banks.finws.variant import variants
from protocols.kit import dsig, http
from tests.protocols.banks.finws.paper import DATA, MODEL, US, document_of, options, pay, show, stage
from tests.protocols.banks.finws.test_payment import carried, submitted
from tests.protocols.kit.signing import SOAP, WSU, D
from tests.world.dialogue import BankAndTwin

Change = Callable[[etree._Element], None]


def enveloped(frame: bytes, change: Change) -> bytes:
    """The frame with its envelope changed and signed anew by its carrier."""
    root = etree.fromstring(http.parse_request(frame).body)
    change(root)
    [signature] = root.iter(f"{D}Signature")
    above = signature.getparent()
    assert above is not None
    above.remove(signature)
    prepared = dsig.prepare(etree.tostring(root), variants()["nordea"].transport())
    return http.request("POST", "/x", "bank.test", [], dsig.attach(prepared, US.sign(prepared.octets)))


def put(tag: str, text: str) -> Change:
    def change(root: etree._Element) -> None:
        [found] = root.iter(tag)
        found.text = text

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (put(f"{MODEL}SenderId", "22222222"), "07"),
        (put(f"{MODEL}RequestId", "R" * 36), "29"),
        (put(f"{MODEL}RequestId", "R" * 35), "00"),
        (put(f"{{{WSU}}}Expires", "2026-11-24T04:00:00.000000Z"), "02"),  # it expires no later than it was made
        (put(f"{{{WSU}}}Created", "noon"), "02"),
        (put(f"{MODEL}ApplicationRequest", "????"), "12"),
        (put(f"{MODEL}ApplicationRequest", ""), "12"),
        (put(f"{MODEL}ApplicationRequest", base64.b64encode(b"<a").decode()), "12"),
    ],
)
def test_what_an_envelope_says(change: Change, code: str) -> None:
    made = stage()
    assert show(made.exchange("business", enveloped(submitted(made), change)))[0] == code
    assert len(made.ledger.executions) == (code == "00")


def answer_to(made: BankAndTwin, frame: bytes) -> int:
    return http.parse_answer(made.exchange("business", frame)).status


def test_what_is_no_request_of_this_service() -> None:
    made = stage()
    frame = submitted(made)
    message = http.parse_request(frame).body
    assert answer_to(made, http.request("PUT", "/x", "bank.test", [], message)) == 405
    other = message.replace(b"http://bxd.fi/CorporateFileService", b"http://bxd.fi/OtherService")
    assert answer_to(made, http.request("POST", "/x", "bank.test", [], other)) == 500
    renamed = message.replace(b"uploadFilein", b"moveFilein")
    assert answer_to(made, http.request("POST", "/x", "bank.test", [], renamed)) == 500

    def twice(root: etree._Element) -> None:
        body = root.find(f"{{{SOAP}}}Body")
        assert body is not None
        other = etree.fromstring(etree.tostring(body[0]))
        other.tag = "{http://bxd.fi/CorporateFileService}deleteFilein"
        body.append(other)

    assert answer_to(made, enveloped(frame, twice)) == 500
    assert made.ledger.executions == []


def signed_anew(made: BankAndTwin, frame: bytes, change: Change) -> str:
    """The code that answers a request whose document is changed and signed anew, and its envelope too."""
    root = document_of(frame)
    change(root)
    root.remove(root[-1])
    profile = variants()["nordea"].content("ApplicationRequest", variants()["nordea"].request)
    prepared = dsig.prepare(etree.tostring(root), profile)
    document = dsig.attach(prepared, US.sign(prepared.octets))
    return show(made.exchange("business", carried(made, frame, document)))[0]


def test_a_file_that_was_packed_and_cut() -> None:
    made = stage()
    cut = base64.b64encode(gzip(b"<Document/>" * 100)[:-9]).decode()
    assert signed_anew(made, submitted(made), put(f"{DATA}Content", cut)) == "21"


def asked(made: BankAndTwin, talk: Generator[Any, bytes, Any]) -> bytes:
    """The request that a conversation makes."""
    step = next(talk)
    while isinstance(step, Sign):
        step = talk.send(made.signers[step.key](step.octets))
    data: bytes = step.data
    return data


@pytest.mark.parametrize("operation", ["fetch", "take back"])
@pytest.mark.parametrize("count", [0, 2])
def test_one_file_at_a_time(operation: str, count: int) -> None:
    made = stage()
    pay(made)
    files = finws.files(options())
    file = File("000000000003", "pain.002.001.03", "NEW", made.time.now)
    turn = files.wire.turn(made.context())
    frame = asked(made, files.download(file, turn) if operation == "fetch" else files.delete(file, made.context()))

    def several(root: etree._Element) -> None:
        [container] = root.iter(f"{DATA}FileReferences")
        [one] = container
        container.remove(one)
        for _ in range(count):
            container.append(etree.fromstring(etree.tostring(one)))

    assert signed_anew(made, frame, several) == "29"
