"""One JSON object to a control socket of a simulated bank or of our relay, one back."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ANSWER_S = 10.0
_PART_BYTES = 65_536


class NobodyThere(Exception):  # noqa: N818 - says who is missing
    """Nothing answers at the socket; the text says which."""


def tell(control: Path, command: Mapping[str, Any], timeout_s: float = ANSWER_S) -> dict[str, Any]:
    """Give a command and return the answer; blocks, at most `timeout_s` at each step. Raises NobodyThere, also for an
    answer that is an error."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(timeout_s)
            line.connect(str(control))
            line.sendall(json.dumps(dict(command)).encode() + b"\n")
            said = b""
            while not said.endswith(b"\n"):
                part = line.recv(_PART_BYTES)
                if not part:
                    raise NobodyThere(f"{control}: the connection ended")
                said += part
    except OSError as error:
        raise NobodyThere(f"{control}: {error}; start what listens there") from None
    answer: dict[str, Any] = json.loads(said)
    if "error" in answer:
        raise NobodyThere(f"{control}: {answer['error']}")
    return answer
