"""A bank with as little work as possible, so that the gateway is the limit and not the simulator.

    python -m bench.stub JOB

It speaks Sample Bank's protocol on the simulator's port, settles every payment at once, signs its answers as the real
one must, and looks at nothing but what it repeats. Its cost is one RSA-2048 signature, which the protocol wants, and
some 60 microseconds. At SIGTERM it writes when the first byte of each payment came and when its answer went (seconds
of the machine's monotonic clock), and how many references came twice.
"""

from __future__ import annotations

import json
import re
import selectors
import signal
import socket
import ssl
import sys
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bench.straight import CHINA

_NS: Final = "urn:sample-bank:1"
_DS: Final = 'xmlns:ds="http://www.w3.org/2000/09/xmldsig#"'
_FIELD: Final = re.compile(rb"<(Operation|Serial|Reference|DebtorAccount|CreditorAccount|Amount)>([^<]*)<")
_SIGNED_INFO: Final = (
    f"<ds:SignedInfo {_DS}>"
    '<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod>'
    '<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod>'
    '<ds:Reference URI=""><ds:Transforms>'
    '<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>'
    '<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform></ds:Transforms>'
    '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod>'
    "<ds:DigestValue>%s</ds:DigestValue></ds:Reference></ds:SignedInfo>"
)


@dataclass(frozen=True, slots=True)
class StubJob:
    """The options of the stub: its port, its files, and the file for its record."""

    port: int
    cert: str
    key: str
    client_ca: str
    sign_key: str
    seen: str


@dataclass(slots=True)
class StubTimes:
    """The times of the first byte and of the answer, by creditor account. `twice`: references paid again."""

    came_s: dict[str, float] = field(default_factory=dict)
    went_s: dict[str, float] = field(default_factory=dict)
    twice: int = 0


class Stub:
    """A bank that does as little work as possible: it settles every payment at once and signs its answers."""

    def __init__(self, sign_key: bytes) -> None:
        key = load_pem_private_key(sign_key, None)
        assert isinstance(key, RSAPrivateKey)
        self._key = key
        self._references: set[str] = set()
        self.seen = StubTimes()

    def answer(self, request: bytes, came_s: float) -> bytes:
        """The framed answer to one request, which is given without its frame."""
        asked = {name.decode(): value.decode() for name, value in _FIELD.findall(request)}
        body = ""
        if asked["Operation"] == "SignOn":
            body = "<Token>stub</Token>"
        elif asked["Operation"] in ("Pay", "Move"):
            body = self._pay(asked, came_s)
        return self._signed(asked, body)

    def _pay(self, asked: Mapping[str, str], came_s: float) -> str:
        reference = asked["Reference"]
        if reference in self._references:
            self.seen.twice += 1
        self._references.add(reference)
        self.seen.came_s[asked["CreditorAccount"]] = came_s
        return (
            f"<Reference>{reference}</Reference><DebtorAccount>{asked['DebtorAccount']}</DebtorAccount>"
            f"<CreditorAccount>{asked['CreditorAccount']}</CreditorAccount><Amount>{asked['Amount']}</Amount>"
            f"<Currency>CNY</Currency><BankSerial>{len(self._references)}</BankSerial><Status>S</Status>"
            f"<BookedAt>{_now()}</BookedAt><Fee></Fee><Reason></Reason>"
        )

    def _signed(self, asked: Mapping[str, str], body: str) -> bytes:
        content = (
            f'<SampleBank xmlns="{_NS}"><Head><Customer>0001</Customer><Operation>{asked["Operation"]}</Operation>'
            f"<Serial>{asked['Serial']}</Serial><Code>0000</Code><Text>done</Text><BankTime>{_now()}</BankTime></Head>"
            f"<Body>{body}</Body>"
        )
        digest = b64encode(sha256((content + "</SampleBank>").encode()).digest()).decode()
        info = _SIGNED_INFO % digest
        value = b64encode(self._key.sign(info.encode(), PKCS1v15(), hashes.SHA256())).decode()
        data = (
            f'<?xml version="1.0" encoding="UTF-8"?>{content}<ds:Signature {_DS}>{info}'
            f"<ds:SignatureValue>{value}</ds:SignatureValue></ds:Signature></SampleBank>"
        ).encode()
        if "CreditorAccount" in asked:
            self.seen.went_s[asked["CreditorAccount"]] = time.monotonic()
        return b"%08d%s" % (len(data), data)


def _now() -> str:
    return datetime.now(CHINA).isoformat(timespec="milliseconds")


class _Serving:
    """Serves all connections in one thread. Each has at most one request in progress, as the protocol demands."""

    def __init__(self, stub: Stub, context: ssl.SSLContext, port: int) -> None:
        self._stub, self._context = stub, context
        self._listening = socket.create_server(("127.0.0.1", port), backlog=64)
        self._listening.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._heard: dict[ssl.SSLSocket, bytes] = {}

    def turn(self) -> None:
        """Serve the pending requests; waits at most a fifth of a second."""
        for key, _ in self._selector.select(0.2):
            if key.fileobj is self._listening:
                self._accept()
            else:
                assert isinstance(key.fileobj, ssl.SSLSocket)
                self._serve(key.fileobj)

    def _accept(self) -> None:
        plain, _ = self._listening.accept()
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.settimeout(5)
        try:
            conn = self._context.wrap_socket(plain, server_side=True)
        except OSError:
            plain.close()
            return
        conn.setblocking(False)
        self._heard[conn] = b""
        self._selector.register(conn, selectors.EVENT_READ)

    def _serve(self, conn: ssl.SSLSocket) -> None:
        came_s = time.monotonic()
        try:
            piece = conn.recv(65536)
        except ssl.SSLWantReadError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._selector.unregister(conn)
            del self._heard[conn]
            conn.close()
            return
        heard = self._heard[conn] + piece
        while len(heard) >= 8 and len(heard) >= 8 + int(heard[:8]):
            end = 8 + int(heard[:8])
            conn.sendall(self._stub.answer(heard[8:end], came_s))
            heard = heard[end:]
        self._heard[conn] = heard
        if conn.pending():
            self._serve(conn)


def read_seen(file: Path) -> StubTimes:
    """The record that a stub wrote when it ended."""
    return StubTimes(**json.loads(file.read_text("utf-8")))


def main(job: StubJob) -> None:
    """Serve until SIGTERM."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: told.append(number))
    stub = Stub(Path(job.sign_key).read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(job.cert, job.key)
    context.load_verify_locations(job.client_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    serving = _Serving(stub, context, job.port)
    print("ready", flush=True)
    while not told:
        serving.turn()
    Path(job.seen).write_text(json.dumps(asdict(stub.seen)), "utf-8")


if __name__ == "__main__":
    told_job: Any = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    main(StubJob(**told_job))
