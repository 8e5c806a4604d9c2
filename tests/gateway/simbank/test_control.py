"""Talking to a simulated bank: who closes its side after the question, as `echo … | socat` does, is answered too."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.threads import deferToThread

from gateway.simbank import control


def ask(path: Path, *commands: bytes) -> list[dict[str, Any]]:
    """Say everything, close that side, and read to the end."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(10)
        line.connect(str(path))
        line.sendall(b"".join(commands))
        line.shutdown(socket.SHUT_WR)
        with line.makefile("rb") as answers:
            return [json.loads(answer) for answer in answers]


async def test_a_caller_that_has_said_all_is_answered(tmp_path: Path) -> None:
    from twisted.internet import reactor

    calmed: list[bool] = []
    bank: Any = SimpleNamespace(script=SimpleNamespace(calm=lambda: calmed.append(True)))
    listening = control.listen(reactor, tmp_path / "bank.sock", bank)  # type: ignore[arg-type]
    try:
        for _ in range(20):
            said = await deferToThread(ask, tmp_path / "bank.sock", b'{"do": "calm"}\n', b'{"do": "dance"}\n')
            assert said[0] == {"faults_to_come": 0} and "no command 'dance'" in said[1]["error"]
    finally:
        await maybeDeferred(listening.stopListening)
    assert len(calmed) == 20
