"""The control socket of a simulated bank: a caller that closes its sending side, as `echo … | socat` does, is answered
too.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.threads import deferToThread

from gateway.simbank import control
from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.canon.money import Money
from protocols.twin import Instruction


def ask(path: Path, *commands: bytes) -> list[dict[str, Any]]:
    """Send everything, close the sending side, and read to the end."""
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


def test_the_clock_is_told_and_said() -> None:
    ledger = Ledger(lambda: 0, [LedgerAccount("1", "甲", Money(10_000))])
    bank: Any = SimpleNamespace(ledger=ledger)
    assert control.obey(bank, {"do": "clock", "ahead_s": 86_400}) == {
        "now": "1970-01-02T08:00:00+08:00",
        "ahead_s": 86_400.0,
    }
    assert control.obey(bank, {"do": "clock"}) == {"error": "clock: needs ahead_s"}
    assert "could not convert" in control.obey(bank, {"do": "clock", "ahead_s": "soon"})["error"]
    ledger.book_once(Instruction("R", "1", "2", "乙", Money(100), ""))
    assert "cannot be earlier" in control.obey(bank, {"do": "clock", "ahead_s": 0})["error"]
    assert ledger.ahead_ms == 86_400_000
