"""The interface of a bank's certificate service, and the states of a request, for the command that drives them.

A request for a certificate cannot be repeated at will, because its code is valid once. So its bytes are stored before
they are sent (`Submit`), as those of a payment are, and a missing answer leaves the request in doubt. `next_move` gives
the next permitted step: the same bytes again within their time, after that a person, and never a new request.

A bank that issues certificates in this way has `certificates(options) -> Office` in its package, beside `build`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.bank import Context, Port, Sign, Submit

Enrolling = Generator[Sign | Submit, bytes, "Issued"]


class Stage(StrEnum):
    """The state of a request for a certificate."""

    PREPARED = "prepared"
    ASKED = "asked"
    ARRIVED = "arrived"
    REFUSED = "refused"
    ISSUED = "issued"


class NextStep(StrEnum):
    """The steps that may come next. ASK_A_PERSON: call the bank; a new code is needed before anything is sent again."""

    SEND = "send"
    SEND_SAME_BYTES = "send_same_bytes"
    ASK_A_PERSON = "ask_a_person"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Request:
    """The record of a request for a certificate. `wire` holds the exact bytes that were or will be sent.

    `public_der` is the new key's public half: a certificate issued for another key is not ours.
    """

    stage: Stage
    request_id: str
    wire: bytes
    public_der: bytes
    asked_at: datetime | None = None
    code: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Issued:
    """The result of an answer. `certificate` is set where `stage` is ISSUED: PEM, checked to be for our key."""

    stage: Stage
    code: str
    text: str
    certificate: bytes = b""


@dataclass(frozen=True, slots=True)
class CertificateSubject:
    """The certificate asked for: the new key's public half and the names the bank expects in the subject."""

    public: RSAPublicKey
    common_name: str
    country: str = "FI"


class Office(Protocol):
    """The conversations with one bank's certificate service. Both sign with the key "new", `renew` also with
    `old_key`."""

    @property
    def port(self) -> Port:
        """The port of the service: how its answers are cut, and their time-outs."""

    @property
    def old_key(self) -> str:
        """The lane's key that signs a renewal."""

    def first(self, wanted: CertificateSubject, code: str, context: Context) -> Enrolling:
        """Request a certificate with the one-time code. Raises ProtocolError before the Submit."""

    def renew(self, wanted: CertificateSubject, context: Context) -> Enrolling:
        """Request a new certificate with the key that is still valid; neither a code nor a person is needed. Raises
        ProtocolError before the Submit."""

    def read_answer(self, data: bytes, request_id: str, public_der: bytes, today: date | None = None) -> Issued:
        """The result of the answer to a request, also to a repeated one. Raises ProtocolError for bytes that are no
        answer.

        With `today` the validity of the bank's certificates is checked; it is needed if the bank still signs with
        SHA-1.
        """


def begin(step: Submit, wanted: CertificateSubject) -> Request:
    """The certificate request's record to store when a conversation yields its Submit, before a byte is sent."""
    return Request(Stage.PREPARED, step.serials[0], step.data, public_der(wanted))


def sent(request: Request, now: datetime) -> Request:
    """The certificate request's record to store right before the bytes are sent, because from then on the bank may have
    them."""
    return replace(request, stage=Stage.ASKED, asked_at=request.asked_at or now)


def heard(request: Request, issued: Issued) -> Request:
    """The certificate request's record to store after an answer."""
    return replace(request, stage=issued.stage, code=issued.code, text=issued.text)


def next_move(request: Request, now: datetime, *, repeat_within: timedelta = timedelta(minutes=10)) -> NextStep:
    """The next permitted step for a stored request, for instance after a crash. It is never a new request."""
    if request.stage is Stage.PREPARED:
        return NextStep.SEND
    if request.stage is Stage.ISSUED:
        return NextStep.DONE
    if request.stage is Stage.ASKED and request.asked_at is not None and now < request.asked_at + repeat_within:
        return NextStep.SEND_SAME_BYTES
    return NextStep.ASK_A_PERSON


def public_der(wanted: CertificateSubject) -> bytes:
    """The public key of the certificate, encoded as in a certificate."""
    return wanted.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
