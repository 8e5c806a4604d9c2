"""Connections to others that end at a time limit, however slowly the other side answers.

A socket's own time-out begins again with each byte. A server that sends one byte every few seconds would hold a thread
for days, so a timer shuts the connection down.
"""

from __future__ import annotations

import http.client
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from threading import Timer
from urllib.parse import urlsplit

TIMEOUT_S = 10.0
MOST_S = 60.0
"""The longest time that one exchange may take."""
MOST_REPLY_BYTES = 262_144
"""The most bytes of one mail server's replies. Without a limit, a reply of endless lines would fill the memory."""


@contextmanager
def ending(line: socket.socket, most_s: float) -> Iterator[None]:
    """Shut the connection down after `most_s` seconds. Reading from it then ends with an error or at its end."""
    # TLS takes the socket over, so the timer has a descriptor of its own of the same connection.
    copy = line.dup()

    def shut() -> None:
        with suppress(OSError):
            copy.shutdown(socket.SHUT_RDWR)

    timer = Timer(most_s, shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        copy.close()


@dataclass(frozen=True, slots=True)
class BoundedAnswer:
    """The answer to a request: its status, and the beginning of its body."""

    status: int
    body: bytes


def exchanged(
    method: str,
    url: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
    *,
    ca_file: Path | None = None,
    most_bytes: int = 65_536,
    most_s: float = MOST_S,
) -> BoundedAnswer:
    """Send a request to the host of `url` and read the beginning of the answer. No redirection is followed.

    Raises OSError, of which TimeoutError is one, or http.client.HTTPException.
    """
    split = urlsplit(url)
    host, secure = split.hostname or "", split.scheme == "https"
    port = split.port or (443 if secure else 80)
    until_s = time.monotonic() + most_s
    raw = socket.create_connection((host, port), TIMEOUT_S)
    try:
        with ending(raw, most_s):
            if secure:
                raw = ssl.create_default_context(cafile=ca_file).wrap_socket(raw, server_hostname=host)
            line = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
            line.sock = raw
            line.request(method, path, body, {"Host": split.netloc, "Connection": "close", **headers})
            answer = line.getresponse()
            return BoundedAnswer(answer.status, _beginning(answer, most_bytes))
    except (OSError, http.client.HTTPException) as error:
        if time.monotonic() >= until_s:
            raise TimeoutError("the answer took too long") from error
        raise
    finally:
        raw.close()


def _beginning(answer: http.client.HTTPResponse, most_bytes: int) -> bytes:
    read = b""
    while len(read) < most_bytes:
        piece = answer.read1(min(4_096, most_bytes - len(read)))
        if not piece:
            break
        read += piece
    return read


class BoundedSmtp(smtplib.SMTP):
    """An SMTP session over a connection that is open already, whose replies together have a most size."""

    def __init__(self, line: socket.socket, host: str, port: int) -> None:
        self._open = line
        super().__init__(host, port, timeout=TIMEOUT_S)

    def _get_socket(self, _host: str, _port: int, _timeout: float) -> socket.socket:
        return self._open

    def getreply(self) -> tuple[int, bytes]:
        """Read a reply. Raises SMTPServerDisconnected after too many bytes."""
        if self.file is None and self.sock is not None:
            self.file = _BoundedReplies(self.sock.makefile("rb"))
        return super().getreply()


class _BoundedReplies:
    """A mail server's replies, read by lines. It ends the session where they are too long."""

    def __init__(self, lines: BufferedReader) -> None:
        self._lines, self._left = lines, MOST_REPLY_BYTES

    def readline(self, most: int = -1) -> bytes:
        """Read one line. Raises OSError."""
        line = self._lines.readline(most)
        self._left -= len(line)
        if self._left < 0:
            raise OSError("the replies are too long")
        return line

    def close(self) -> None:
        """Close the file."""
        self._lines.close()
