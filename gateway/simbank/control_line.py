"""Sends one JSON object to the control socket of a simulated bank or of our relay, and reads one back."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ANSWER_S = 10.0
_PART_BYTES = 65_536


class NobodyListens(Exception):  # noqa: N818 - says who is missing
    """No process answers at the socket that the text names."""


def tell(control: Path, command: Mapping[str, Any], timeout_s: float = ANSWER_S) -> dict[str, Any]:
    """Send a command and return the answer; blocks, at most `timeout_s` at each step.

    Raises NobodyListens, also if the answer is an error.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(timeout_s)
            line.connect(str(control))
            line.sendall(json.dumps(dict(command)).encode() + b"\n")
            said = b""
            while not said.endswith(b"\n"):
                part = line.recv(_PART_BYTES)
                if not part:
                    raise NobodyListens(f"{control}: the connection ended")
                said += part
    except OSError as error:
        raise NobodyListens(f"{control}: {error}; start what listens there") from None
    answer: dict[str, Any] = json.loads(said)
    if "error" in answer:
        raise NobodyListens(f"{control}: {answer['error']}")
    return answer
