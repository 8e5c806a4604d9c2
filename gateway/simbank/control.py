"""The control socket of a running simulated bank: one JSON object a line over a UNIX socket, one JSON object back.

{"do": "report"}                                     what happened so far
{"do": "truth"}                                      every execution by reference
{"do": "strike", "fault": "half", "reference": "…", "skip": 0, "touch": "money", "seconds": 5}
{"do": "calm"}                                       no more faults, neither by rate nor by script
{"do": "clock", "ahead_s": 86400}                    the bank's clock, and its business date; not behind its entries
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from twisted.internet.interfaces import IHalfCloseableProtocol, IListeningPort, IReactorUNIX, ITransport
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver
from zope.interface import implementer

from gateway.simbank.faults import BankFault, ExchangeKind, ScriptedFault
from gateway.simbank.server import SimBank

_LINE_BYTES_MAX = 65_536


def obey(bank: SimBank, command: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out one command. A command that cannot be understood gets `error` as its answer, and never raises."""
    act = _COMMANDS.get(str(command.get("do")))
    if act is None:
        return {"error": f"no command {command.get('do')!r}; there are {', '.join(sorted(_COMMANDS))}"}
    try:
        return act(bank, command)
    except (ValueError, TypeError, KeyError) as error:
        what = f"needs {error.args[0]}" if isinstance(error, KeyError) else str(error)
        return {"error": f"{command['do']}: {what}"}


def _report(bank: SimBank, _command: Mapping[str, Any]) -> dict[str, Any]:
    return bank.report()


def _truth(bank: SimBank, _command: Mapping[str, Any]) -> dict[str, Any]:
    return {"truth": bank.ledger.report()}


def _strike(bank: SimBank, command: Mapping[str, Any]) -> dict[str, Any]:
    touch, seconds = command.get("touch"), command.get("seconds")
    bank.script.add(
        ScriptedFault(
            BankFault(str(command.get("fault"))),
            command.get("reference"),
            int(command.get("skip", 0)),
            None if touch is None else ExchangeKind(touch),
            None if seconds is None else float(seconds),
        )
    )
    return {"faults_to_come": len(bank.script.left())}


def _calm(bank: SimBank, _command: Mapping[str, Any]) -> dict[str, Any]:
    bank.script.calm()
    return {"faults_to_come": 0}


def _clock(bank: SimBank, command: Mapping[str, Any]) -> dict[str, Any]:
    bank.ledger.set_ahead(round(float(command["ahead_s"]) * 1000))
    return {"now": bank.ledger.now().isoformat(), "ahead_s": bank.ledger.ahead_ms / 1000}


_COMMANDS: Mapping[str, Callable[[SimBank, Mapping[str, Any]], dict[str, Any]]] = {
    "report": _report,
    "truth": _truth,
    "strike": _strike,
    "calm": _calm,
    "clock": _clock,
}


def listen(reactor: IReactorUNIX, path: Path, bank: SimBank) -> IListeningPort:
    """Take commands on a UNIX socket that only this user can reach; a stale socket file is replaced."""
    path.unlink(missing_ok=True)
    factory = Factory.forProtocol(lambda: _Commands(bank))
    factory.noisy = False
    return reactor.listenUNIX(str(path), cast(Any, factory), mode=0o600)


@implementer(IHalfCloseableProtocol)
class _Commands(LineOnlyReceiver):
    delimiter = b"\n"
    MAX_LENGTH = _LINE_BYTES_MAX

    def __init__(self, bank: SimBank) -> None:
        self._bank = bank

    def lineReceived(self, line: bytes) -> None:
        try:
            command = json.loads(line)
        except ValueError:
            command = None
        answer = obey(self._bank, command) if isinstance(command, dict) else {"error": "not a JSON object"}
        reply = json.dumps(answer, ensure_ascii=False).encode() + self.delimiter
        cast(ITransport, self.transport).write(reply)

    def readConnectionLost(self) -> None:
        """Note that the caller has closed its sending side (`echo … | socat`). It still gets its answers."""
        cast(ITransport, self.transport).loseConnection()

    def writeConnectionLost(self) -> None:
        """Note that the caller has closed its receiving side."""
