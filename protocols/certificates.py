"""What asking a bank for a certificate over the wire is, for the command that drives it.

A request for a certificate cannot be asked twice at will: the code is good once. So, as with money, the bytes are kept
before they leave (`Submit`), an answer that does not come leaves the request in doubt, and `next_move` says what may be
done then: the same bytes again within their time, never a new request, and a person after that.

A bank that gives certificates this way has `certificates(options) -> Office` in its package, beside `build`.
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
    """Where a request for a certificate stands."""

    PREPARED = "prepared"
    ASKED = "asked"
    ARRIVED = "arrived"
    REFUSED = "refused"
    ISSUED = "issued"


class Move(StrEnum):
    """What may be done next. ASK_A_PERSON: call the bank; a new code is needed before anything is sent again."""

    SEND = "send"
    SEND_SAME_BYTES = "send_same_bytes"
    ASK_A_PERSON = "ask_a_person"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Request:
    """A request for a certificate as it must be kept. `wire` is what was or will be sent, byte by byte.

    `public_der` is the new key's public half: an issued certificate of another key is not ours.
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
    """What an answer says. `certificate` is set where `stage` is ISSUED: PEM, checked to be for our key."""

    stage: Stage
    code: str
    text: str
    certificate: bytes = b""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The certificate asked for: the new key's public half and the names the bank expects in the subject."""

    public: RSAPublicKey
    common_name: str
    country: str = "FI"


class Office(Protocol):
    """Conversations about certificates with one bank. Both sign with the key "new", `renew` also with `old_key`."""

    @property
    def port(self) -> Port:
        """How its answers are cut, and how long they may take."""

    @property
    def old_key(self) -> str:
        """The lane's key that signs a renewal."""

    def first(self, wanted: Wanted, code: str, context: Context) -> Enrolling:
        """Ask with the one-time code. Raises ProtocolError before the Submit."""

    def renew(self, wanted: Wanted, context: Context) -> Enrolling:
        """Ask with the key that is still good: no code, no person. Raises ProtocolError before the Submit."""

    def read(self, data: bytes, request_id: str, public_der: bytes, today: date | None = None) -> Issued:
        """What the answer to a request says, also to one sent again. Raises ProtocolError for what is no answer.

        `today` makes the days of the bank's certificates count, and is needed where the bank still signs with SHA-1.
        """


def begin(step: Submit, wanted: Wanted) -> Request:
    """What to keep when a conversation yields its Submit, before a byte leaves."""
    return Request(Stage.PREPARED, step.serials[0], step.data, public_der(wanted))


def sent(request: Request, now: datetime) -> Request:
    """What to keep right before the bytes leave: from here on the bank may have them."""
    return replace(request, stage=Stage.ASKED, asked_at=request.asked_at or now)


def heard(request: Request, issued: Issued) -> Request:
    """What to keep after an answer."""
    return replace(request, stage=issued.stage, code=issued.code, text=issued.text)


def next_move(request: Request, now: datetime, *, repeat_within: timedelta = timedelta(minutes=10)) -> Move:
    """What may be done with a request as it was kept, for instance after a crash. Never a new request by itself."""
    if request.stage is Stage.PREPARED:
        return Move.SEND
    if request.stage is Stage.ISSUED:
        return Move.DONE
    if request.stage is Stage.ASKED and request.asked_at is not None and now < request.asked_at + repeat_within:
        return Move.SEND_SAME_BYTES
    return Move.ASK_A_PERSON


def public_der(wanted: Wanted) -> bytes:
    """The public half of the key that a certificate is wanted for, as certificates carry it."""
    return wanted.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
