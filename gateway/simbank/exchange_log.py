"""Every exchange of a simulated bank in a file: one JSON object a line, the bytes of both sides in base64.

The file holds what clients said, passwords included: it is for tests, mode 0600, and is never written unless asked for.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One request and what was answered. `touch` is what it asked of the books, `fault` what the plan did to it,
    `complaint` why the bank's side could not read it: such a request is not answered, and the connection is closed.
    """

    at_ms: int
    port: str
    touch: str
    reference: str
    request: bytes
    answer: bytes
    fault: str = ""
    complaint: str = ""


class ExchangeLog:
    """The open file."""

    def __init__(self, file: Path) -> None:
        self._handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, one: Exchanged) -> None:
        """Append one exchange; with the kernel when this returns."""
        said = {
            "at_ms": one.at_ms, "port": one.port, "touch": one.touch, "reference": one.reference, "fault": one.fault,
            "complaint": one.complaint,
            "request": base64.b64encode(one.request).decode(), "answer": base64.b64encode(one.answer).decode(),
        }  # fmt: skip
        os.write(self._handle, json.dumps(said, ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


def read_exchanges(file: Path, offset: int = 0) -> Iterator[Exchanged]:
    """The whole lines of a log from a byte offset on; none if there is no file."""
    if not file.exists():
        return
    with file.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            if line.endswith(b"\n"):
                yield _exchanged(json.loads(line))


def _exchanged(said: Mapping[str, Any]) -> Exchanged:
    return Exchanged(
        said["at_ms"], said["port"], said["touch"], said["reference"], base64.b64decode(said["request"]),
        base64.b64decode(said["answer"]), said["fault"], said.get("complaint", ""),
    )  # fmt: skip
