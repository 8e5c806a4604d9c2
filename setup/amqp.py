"""A small part of AMQP 0-9-1, to ask a broker whether it admits a user to a virtual host."""

from __future__ import annotations

import enum
import socket
import struct

CONNECTION = 10
START, START_OK, TUNE, TUNE_OK, OPEN, OPEN_OK, CLOSE = 10, 11, 30, 31, 40, 41, 50
FRAME_END = b"\xce"


class LoginAnswer(enum.Enum):
    """The result of a login attempt."""

    NO_BROKER = "nothing there speaks AMQP 0-9-1"
    REFUSED = "the broker refused the user or the virtual host"
    WELCOME = "the virtual host was opened"


def login(host: str, port: int, user: str, password: str, vhost: str, timeout_s: float = 5) -> LoginAnswer:
    """Open `vhost` as `user`, disconnect, and return the result."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            if _receive(connection) != START:
                return LoginAnswer.NO_BROKER
            try:
                return _enter(connection, user, password, vhost)
            except (OSError, EOFError):
                # RabbitMQ drops the connection on a wrong password, unless the client asks to be told about it.
                return LoginAnswer.REFUSED
    except (OSError, EOFError, struct.error):
        return LoginAnswer.NO_BROKER


def _enter(connection: socket.socket, user: str, password: str, vhost: str) -> LoginAnswer:
    secret = f"\x00{user}\x00{password}".encode()
    _send(
        connection,
        START_OK,
        struct.pack(">I", 0) + _short("PLAIN") + struct.pack(">I", len(secret)) + secret + _short("en_US"),
    )
    if _receive(connection) != TUNE:
        return LoginAnswer.REFUSED
    _send(connection, TUNE_OK, struct.pack(">HIH", 1, 131072, 0))
    _send(connection, OPEN, _short(vhost) + _short("") + b"\x00")
    if _receive(connection) != OPEN_OK:
        return LoginAnswer.REFUSED
    _send(connection, CLOSE, struct.pack(">H", 200) + _short("") + struct.pack(">HH", 0, 0))
    _receive(connection)
    return LoginAnswer.WELCOME


def _short(text: str) -> bytes:
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def _send(connection: socket.socket, method: int, arguments: bytes) -> None:
    payload = struct.pack(">HH", CONNECTION, method) + arguments
    connection.sendall(struct.pack(">BHI", 1, 0, len(payload)) + payload + FRAME_END)


def _receive(connection: socket.socket) -> int:
    """The method id of the next frame of the connection class; -1 for anything else."""
    kind, channel, size = struct.unpack(">BHI", _exactly(connection, 7))
    if kind != 1 or channel != 0 or size > 131072:
        return -1
    payload = _exactly(connection, size + 1)
    class_id, method = struct.unpack(">HH", payload[:4])
    return int(method) if class_id == CONNECTION else -1


def _exactly(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            raise EOFError("the broker hung up")
        received += part
    return received
