"""A mail server and a receiver of web-hooks on the loopback. Each keeps the received messages and can refuse."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import BaseRequestHandler, StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any


@dataclass
class Mailbox:
    """The messages that a mail server received. `verdict` is its answer to the data, `unknown` are recipients that it
    refuses."""

    port: int = 0
    verdict: str = "250 taken"
    unknown: set[str] = field(default_factory=set)
    took: list[EmailMessage] = field(default_factory=list)
    to: list[list[str]] = field(default_factory=list)


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    """The part of SMTP that smtplib needs."""
    box = Mailbox()

    class Session(StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 here")
            addresses: list[str] = []
            while line := self.rfile.readline().decode().strip():
                word = line.split(" ")[0].upper()
                if word == "DATA":
                    self.say("354 go on")
                    octets = b""
                    while (piece := self.rfile.readline()) != b".\r\n":
                        octets += piece
                    if box.verdict.startswith("2"):
                        box.took.append(message_from_bytes(octets, policy=policy.default))
                        box.to.append(addresses)
                    self.say(box.verdict)
                elif word == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    address = line.partition(":")[2].strip("<>") if word == "RCPT" else ""
                    if address in box.unknown:
                        self.say("550 nobody here of that name")
                        continue
                    if address:
                        addresses.append(address)
                    self.say("250 yes")

        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with _serving(Session) as server:
        box.port = server
        yield box


@dataclass
class HookInbox:
    """The requests that a receiver of web-hooks got."""

    port: int = 0
    answer: tuple[int, bytes, dict[str, str]] = (200, b'{"errcode": 0}', {})
    took: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(body) for _path, _headers, body in self.took]


@contextmanager
def hook_server(tls: ssl.SSLContext | None = None) -> Iterator[HookInbox]:
    """An HTTP server that takes every POST."""
    inbox = HookInbox()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            inbox.took.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            status, said, headers = inbox.answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST

        def log_message(self, *_given: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    inbox.port = server.server_address[1]
    with _running(server.serve_forever, server.shutdown, server.server_close):
        yield inbox


@contextmanager
def dripping_server(beginning: bytes, piece: bytes, every_s: float, after_request: bool = True) -> Iterator[int]:
    """A server that sends `beginning`, then `piece` again and again until the client is gone; it never ends an answer
    by itself."""

    class Drip(BaseRequestHandler):
        def handle(self) -> None:
            try:
                if after_request:
                    self.request.recv(65_536)
                self.request.sendall(beginning)
                while True:
                    self.request.sendall(piece)
                    time.sleep(every_s)
            except OSError:
                return

    with _serving(Drip) as port:
        yield port


@contextmanager
def _serving(session: type[BaseRequestHandler]) -> Iterator[int]:
    server = ThreadingTCPServer(("127.0.0.1", 0), session)
    server.daemon_threads = True
    with _running(server.serve_forever, server.shutdown, server.server_close):
        yield server.server_address[1]


@contextmanager
def _running(serve: Callable[[float], None], stop: Callable[[], None], close: Callable[[], None]) -> Iterator[None]:
    thread = Thread(target=serve, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        close()
        thread.join(5)
