"""The log of a simulated bank's exchanges: one JSON object a line, the bytes of both sides in base64.

The file has everything that clients sent, passwords included. It is for tests, has mode 0600, and is written only if
the configuration asks for it. A line of an older program has fewer keys; the missing fields are empty.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from protocols.judge import BankRefusal, BothLanguages, RequestFinding, RuleKind

_BLOCK_BYTES = 65_536


class ConnectionTrouble(StrEnum):
    """The faults of a connection itself, before or between its requests."""

    NO_CERTIFICATE = "no_client_certificate"  # a TLS handshake without the client's certificate
    WRONG_CERTIFICATE = "wrong_client_certificate"  # a certificate of another authority, expired, too weak
    NOT_TLS = "not_tls"  # bytes that are not TLS at a port for TLS
    TLS_AT_PLAIN_PORT = "tls_at_plain_port"  # TLS at a port without it
    CLIENT_REFUSED_BANK = "client_refused_bank"  # the client did not accept the bank's certificate
    TLS_VERSION = "tls_version"  # no common version of TLS
    TLS_CIPHERS = "tls_ciphers"  # no common cipher suite
    TLS_OTHER = "tls_other"  # another error of the handshake
    LEFT_IN_HANDSHAKE = "left_in_handshake"  # the client went away before the handshake was over
    HALF_FRAME = "half_frame"  # the client closed in the middle of a request
    TOO_MANY = "too_many"  # more requests than the bank keeps waiting on one connection


@dataclass(frozen=True, slots=True)
class ExchangeMoney:
    """The money that an exchange wants to move: how many orders, their sum, and the last digits of the accounts.

    `payee` is empty for several orders. `refused` counts the orders that the bank did not carry out, `reason` is the
    reason for the first of them.
    """

    orders: int
    amount: str
    currency: str
    own: str
    payee: str = ""
    refused: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LoggedExchange:
    """One request and its answer, or one trouble of a connection.

    `at_ms` is the time by the bank's clock, `machine_ms` by the machine's. `touch` is the kind of the exchange, `fault`
    the committed fault. `trouble` is the reason why the bank's side closed without an answer: a reason of
    `ProtocolError` for a request that it could not read, or a `ConnectionTrouble`; `complaint` is its detail.
    `connection` counts the bank's connections from 1; `peer` is the client's address, `client` the subject of its
    certificate. `operation`, `code`, `reason` and `findings` are the twin's own description of its answer.
    """

    at_ms: int
    port: str
    touch: str
    reference: str
    request: bytes
    answer: bytes
    fault: str = ""
    complaint: str = ""
    trouble: str = ""
    machine_ms: int = 0
    connection: int = 0
    peer: str = ""
    client: str = ""
    operation: str = ""
    code: str = ""
    reason: str = ""
    findings: tuple[RequestFinding, ...] = ()
    money: ExchangeMoney | None = None


class ExchangeLog:
    """The log file of exchanges, open for appending."""

    def __init__(self, file: Path) -> None:
        self._handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, one: LoggedExchange) -> None:
        """Append one exchange. When this returns, the kernel has the line."""
        money = one.money
        said: dict[str, Any] = {
            "at_ms": one.at_ms,
            "machine_ms": one.machine_ms,
            "port": one.port,
            "connection": one.connection,
            "peer": one.peer,
            "client": one.client,
            "touch": one.touch,
            "reference": one.reference,
            "operation": one.operation,
            "code": one.code,
            "reason": one.reason,
            "fault": one.fault,
            "trouble": one.trouble,
            "complaint": one.complaint,
            "findings": [_finding_to_plain(found) for found in one.findings],
            "money": None
            if money is None
            else {
                "orders": money.orders,
                "amount": money.amount,
                "currency": money.currency,
                "own": money.own,
                "payee": money.payee,
                "refused": money.refused,
                "reason": money.reason,
            },
            "request": base64.b64encode(one.request).decode(),
            "answer": base64.b64encode(one.answer).decode(),
        }
        os.write(self._handle, json.dumps(said, ensure_ascii=False).encode(errors="backslashreplace") + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


def read_exchanges(file: Path, offset: int = 0, end: int | None = None) -> Iterator[LoggedExchange]:
    """The whole lines of a log that end between two byte offsets; none if the file does not exist.

    The size of a file that is being written may lie inside of a line, so an offset need not be the start of one.
    """
    if not file.exists():
        return
    with file.open("rb") as lines:
        offset = _line_start(lines, offset)
        lines.seek(offset)
        for line in lines:
            offset += len(line)
            if line.endswith(b"\n") and (end is None or offset <= end):
                yield _exchanged(json.loads(line))


def _line_start(lines: BinaryIO, offset: int) -> int:
    """The start of the line that has the byte at `offset`."""
    while offset > 0:
        begin = max(0, offset - _BLOCK_BYTES)
        lines.seek(begin)
        found = lines.read(offset - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        offset = begin
    return 0


def _finding_to_plain(one: RequestFinding) -> dict[str, Any]:
    return {
        "place": one.place,
        "rule": one.rule.value,
        "value": one.value,
        "english": one.words.english,
        "chinese": one.words.chinese,
        "source": one.source,
        "code": one.refusal.code,
        "text": one.refusal.text,
        "code_reconstructed": one.refusal.reconstructed,
        "reconstructed": one.reconstructed,
    }


def _finding(said: Mapping[str, Any]) -> RequestFinding:
    return RequestFinding(
        said["place"],
        RuleKind(said["rule"]),
        said["value"],
        BothLanguages(said["english"], said["chinese"]),
        said["source"],
        BankRefusal(said["code"], said["text"], said["code_reconstructed"]),
        said["reconstructed"],
    )


def _exchanged(said: Mapping[str, Any]) -> LoggedExchange:
    complaint, money = said.get("complaint", ""), said.get("money")
    return LoggedExchange(
        said["at_ms"],
        said["port"],
        said["touch"],
        said["reference"],
        base64.b64decode(said["request"]),
        base64.b64decode(said["answer"]),
        said["fault"],
        complaint,
        # An older program wrote the reason in front of the complaint only.
        said.get("trouble") or complaint.partition(":")[0],
        said.get("machine_ms") or said["at_ms"],
        said.get("connection", 0),
        said.get("peer", ""),
        said.get("client", ""),
        said.get("operation", ""),
        said.get("code", ""),
        said.get("reason", ""),
        tuple(_finding(one) for one in said.get("findings", ())),
        None if money is None else ExchangeMoney(**money),
    )
