"""Requests a certificate from a bank. A request is stored before it is sent, and never sent blindly after a crash.

One folder has everything about a request: the new private key, the exact bytes that were or will be sent, each step
with its time, the bank's answers, and in the end the certificate. Each step is on the disk before the next one begins.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.bank.connection import NoAnswer
from gateway.bank.dialer import NotConnected
from protocols import certificates
from protocols.bank import Context, Sign
from protocols.certificates import CertificateSubject, Enrolling, NextStep, Office, Request, Stage
from protocols.kit.errors import ProtocolError

KEY, REQUEST, CERTIFICATE, ANSWER = "new-key.pem", "request.json", "certificate.pem", "answer-%d.bin"
KEY_BITS: Final = 2048
_LOCK: Final = ".lock"
_ENDS: Final = (Stage.ISSUED, Stage.REFUSED)

Signing = Callable[[str, bytes], Awaitable[bytes]]
ExchangeBytes = Callable[[bytes, Callable[[], None]], Awaitable[bytes]]
"""Sends the bytes and returns the answer.

It calls its second argument when the peer is proven and nothing is written yet. Raises NotConnected (nothing was sent)
and NoAnswer.
"""


class FolderBusy(Exception):  # noqa: N818 - says who is first
    """Another command is using the folder now."""


class RequestUnfinished(Exception):  # noqa: N818 - an answer, not a fault
    """The folder holds a request that is not finished. A second one would use up a code or a key twice."""


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """A stored request. `about` is bank, lane and the service's address; `steps` are times and texts, oldest first."""

    request: Request
    about: Mapping[str, str]
    steps: tuple[tuple[str, str], ...] = ()


class RequestFolder:
    """The folder of one request. When a method returns, its change is on the disk as a whole, or did not happen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other commands out of the folder. Raises FolderBusy."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderBusy(f"{self.folder}: another command works there") from None
            yield

    def kept(self) -> KeptRequest | None:
        """The request in the folder, if there is one."""
        file = self.folder / REQUEST
        if not file.exists():
            return None
        said: dict[str, Any] = json.loads(file.read_text("utf-8"))
        asked_at = said["asked_at"]
        return KeptRequest(
            Request(
                Stage(said["stage"]),
                said["request_id"],
                base64.b64decode(said["wire"]),
                base64.b64decode(said["public_der"]),
                None if asked_at is None else datetime.fromisoformat(asked_at),
                said["code"],
                said["text"],
            ),
            said["about"],
            tuple((at, what) for at, what in said["steps"]),
        )

    def keep(self, kept: KeptRequest) -> None:
        """Store the request."""
        one = kept.request
        said = {
            "stage": one.stage.value,
            "request_id": one.request_id,
            "code": one.code,
            "text": one.text,
            "asked_at": None if one.asked_at is None else one.asked_at.isoformat(),
            "about": dict(kept.about),
            "steps": [list(step) for step in kept.steps],
            "public_der": base64.b64encode(one.public_der).decode("ascii"),
            "wire": base64.b64encode(one.wire).decode("ascii"),
        }
        self.put(REQUEST, json.dumps(said, ensure_ascii=False, indent=1).encode())

    def put(self, name: str, content: bytes) -> None:
        """Write a file as a whole or not at all, readable only by its owner."""
        fresh = self.folder / f"{name}.new"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
            # A single os.write may write half of it and return only a number; on a full disk that would be half a key.
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(fresh, self.folder / name)
        self._sync()

    def put_answer(self, answer: bytes) -> None:
        """Store an answer as evidence, under a number of its own."""
        number = 1
        while (self.folder / (ANSWER % number)).exists():
            number += 1
        self.put(ANSWER % number, answer)

    def set_aside(self, name: str) -> Path:
        """Move everything in the folder into a subfolder of this name, so that the folder is empty. Returns the
        subfolder's path."""
        place = self.folder / name
        place.mkdir(exist_ok=True, mode=0o700)
        for file in sorted(self.folder.iterdir()):
            # The request is moved last: until then the folder still shows that it has one.
            if file.is_file() and file.name not in (_LOCK, REQUEST):
                file.rename(place / file.name)
        (self.folder / REQUEST).rename(place / REQUEST)
        self._sync()
        return place

    def put_away(self, kept: KeptRequest) -> Path:
        """Move a finished request into a subfolder of its own, where it is kept. Returns the subfolder's path."""
        return self.set_aside(kept.request.request_id) if kept.request.stage in _ENDS else self.folder

    def latest(self) -> tuple[Path, KeptRequest] | None:
        """The open request, or else the newest finished one, and its place."""
        places = [self.folder, *sorted((one for one in self.folder.glob("*/")), key=_made_at, reverse=True)]
        found = ((place, RequestFolder(place).kept()) for place in places)
        return next(((place, kept) for place, kept in found if kept is not None), None)

    def _sync(self) -> None:
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@dataclass(frozen=True, slots=True)
class EnrolmentDriver:
    """Asks a bank's certificate service about the request that a folder holds. `sign` signs with the lane's keys."""

    office: Office
    request_folder: RequestFolder
    now: Callable[[], datetime]
    sign: Signing

    async def prepare(self, name: str, country: str, code: str | None, about: Mapping[str, str]) -> KeptRequest:
        """Make and store a new key and a request signed with it. Nothing is sent. `code` None: a renewal with the old
        key.

        Raises RequestUnfinished, and ProtocolError if the certificate cannot be requested in this way.
        """
        before = self.request_folder.kept()
        if before is not None and before.request.stage not in _ENDS:
            raise RequestUnfinished(
                f"{self.request_folder.folder}: request {before.request.request_id} is {before.request.stage.value}"
            )
        if before is not None:
            self.request_folder.put_away(before)
        key = rsa.generate_private_key(65537, KEY_BITS)
        self.request_folder.put(KEY, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        now = self.now()
        # The time of one machine, because the bank wants a number that it has not seen for three months.
        context = Context("", 1, now.date(), now, (int(now.timestamp() * 1000),))
        wanted = CertificateSubject(key.public_key(), name, country)
        office = self.office
        talk = office.renew(wanted, context) if code is None else office.first(wanted, code, context)
        request = await self._up_to_submit(talk, key, wanted)
        kept = self._step(KeptRequest(request, about), "prepared" if code else "prepared, to be renewed")
        self.request_folder.keep(kept)
        return kept

    async def _up_to_submit(self, talk: Enrolling, new: rsa.RSAPrivateKey, wanted: CertificateSubject) -> Request:
        try:
            step = next(talk)
            while isinstance(step, Sign):
                if step.key == "new":
                    step = talk.send(new.sign(step.octets, padding.PKCS1v15(), SHA256()))
                else:
                    step = talk.send(await self.sign(step.key, step.octets))
            return certificates.begin(step, wanted)
        finally:
            talk.close()

    async def carry_on(self, exchange: ExchangeBytes) -> KeptRequest:
        """Do the next permitted step, if any: send the request, or send the same bytes again. Returns the request as it
        is known then.

        Raises NotConnected: nothing was sent. A missing answer, and bytes that are no answer, are stored and raise
        nothing.
        """
        kept = self.request_folder.kept()
        assert kept is not None, "there is no request"
        move = certificates.next_move(kept.request, self.now())
        if move not in (NextStep.SEND, NextStep.SEND_SAME_BYTES):
            return kept
        again = move is NextStep.SEND_SAME_BYTES
        asked: list[KeptRequest] = []

        def before_the_first_byte() -> None:
            asked.append(
                self._step(
                    KeptRequest(certificates.sent(kept.request, self.now()), kept.about, kept.steps),
                    "sent again, byte for byte" if again else "sent",
                )
            )
            self.request_folder.keep(asked[0])

        try:
            answer = await exchange(kept.request.wire, before_the_first_byte)
        except NotConnected as error:
            self.request_folder.keep(self._step(kept, f"not connected: {error}"))
            raise
        except NoAnswer as silence:
            return self._noted(asked[0], f"no answer: {silence.reason}", silence.partial)
        return self._heard(asked[0], answer)

    def _heard(self, kept: KeptRequest, answer: bytes) -> KeptRequest:
        try:
            issued = self.office.read_answer(
                answer, kept.request.request_id, kept.request.public_der, self.now().date()
            )
        except ProtocolError as error:
            return self._noted(kept, f"not an answer: {error}", answer)
        self.request_folder.put_answer(answer)
        if issued.stage is Stage.ISSUED:
            # The certificate is stored before the request's stage, so that an issued request always has its
            # certificate.
            self.request_folder.put(CERTIFICATE, issued.certificate)
        told = f"{issued.stage.value}: {issued.code} {issued.text}".strip()
        known = self._step(KeptRequest(certificates.heard(kept.request, issued), kept.about, kept.steps), told)
        self.request_folder.keep(known)
        return known

    def _noted(self, kept: KeptRequest, what: str, partial: bytes) -> KeptRequest:
        if partial:
            self.request_folder.put_answer(partial)
        noted = self._step(kept, what)
        self.request_folder.keep(noted)
        return noted

    def abandon(self, why: str) -> Path:
        """Set a request aside that a person has settled with the bank; returns its new place."""
        kept = self.request_folder.kept()
        assert kept is not None, "there is no request"
        self.request_folder.keep(self._step(kept, f"abandoned: {why}"))
        return self.request_folder.set_aside(kept.request.request_id)

    def _step(self, kept: KeptRequest, what: str) -> KeptRequest:
        at = self.now().astimezone(UTC).isoformat(timespec="seconds")
        return KeptRequest(kept.request, kept.about, (*kept.steps, (at, what)))


def _made_at(place: Path) -> float:
    file = place / REQUEST
    return file.stat().st_mtime if file.exists() else 0.0
