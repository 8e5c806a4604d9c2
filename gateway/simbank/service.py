"""Runs a simulated bank as a process of its own: builds it from its configuration, starts and stops it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTime, IReactorUNIX

from gateway.bank.tls import server_context
from gateway.kernel.clock import SystemClock
from gateway.simbank import control
from gateway.simbank.config import BadConfig, SimConfig
from gateway.simbank.exchange_log import ExchangeLog
from gateway.simbank.faults import FaultPlan
from gateway.simbank.handshakes import ObservedServerTls
from gateway.simbank.ledger import Ledger
from gateway.simbank.server import SimBank
from protocols.bank import BadOptions
from protocols.kit import dsig
from protocols.kit.errors import ProtocolError
from protocols.twin import BuildTwin, Twin


@dataclass(frozen=True, slots=True)
class RunningBank:
    """A simulated bank that is running. `stop` closes its ports, its control socket and its record."""

    bank: SimBank
    control: IListeningPort | None

    async def stop(self) -> None:
        """Stop serving. The record of executions stays."""
        if self.control is not None:
            await maybeDeferred(self.control.stopListening)
        await self.bank.stop()
        if self.bank.log is not None:
            self.bank.log.close()
        self.bank.ledger.close()


def serve(reactor: IReactorTime, config: SimConfig, now_ms: Callable[[], int] | None = None) -> RunningBank:
    """Open the books and the ports of the bank that `config` describes.

    Raises BadConfig for a bank, option or key that cannot be used, KeyFileError (a ValueError) for TLS files,
    CannotListenError for a port that is taken. `now_ms` is the machine's clock unless given.
    """
    dsig.start()
    twin = build_twin(config)
    machine_ms, ahead_ms = now_ms or SystemClock(reactor).now_ms, round(config.clock_ahead_s * 1000)
    ledger = Ledger(machine_ms, config.accounts, config.conduct, file=config.ledger_file, ahead_ms=ahead_ms)
    plan = FaultPlan(config.fault_seed, config.fault_rates, config.delays)
    files = config.tls
    tls = None if files is None else ObservedServerTls(server_context(files.cert, files.key, files.client_ca))
    try:
        log = None if config.exchange_log is None else ExchangeLog(config.exchange_log)
        bank = SimBank(reactor, twin, ledger, plan, tls, config.ports, seed=config.fault_seed, log=log)
    except ValueError as error:
        raise BadConfig(config.bank, "ports", str(error)) from None
    bank.listen(config.interface)
    listening = None
    if config.control is not None:
        listening = control.listen(cast(IReactorUNIX, reactor), config.control, bank)
    if config.ready_file is not None:
        _write_whole(config.ready_file, {"bank": config.bank, "ports": dict(bank.ports), "pid": os.getpid()})
    return RunningBank(bank, listening)


def build_twin(config: SimConfig) -> Twin:
    """The twin of the bank that the configuration names, with its keys read from their files."""
    keys: dict[str, bytes] = {}
    for name, file in config.keys.items():
        try:
            keys[name] = file.read_bytes()
        except OSError as error:
            raise BadConfig(config.bank, f"keys.{name}", f"{file} cannot be read ({error.strerror})") from None
    module = f"protocols.banks.{config.bank}.twin"
    try:
        build = cast(BuildTwin, import_module(module).build)
    except ModuleNotFoundError as error:
        if error.name is not None and not module.startswith(error.name):
            raise
        raise BadConfig(config.bank, "bank", "there is no such folder with a twin under protocols/banks") from None
    options: dict[str, Any] = {**config.options, "cheap": config.cheap}
    try:
        return build(options, keys)
    except BadOptions as error:
        raise BadConfig(config.bank, f"options.{error.key}", error.remedy) from None
    except (ValueError, KeyError, ProtocolError) as error:
        raise BadConfig(config.bank, "keys", f"cannot be used: {error}") from None


def _write_whole(file: Path, content: dict[str, Any]) -> None:
    """Write the file under another name and rename it, so that a waiting process reads only a whole file."""
    fresh = file.with_suffix(f"{file.suffix}.new")
    fresh.write_text(json.dumps(content), "utf-8")
    fresh.replace(file)
