"""`bankgw joint-test trial`: a place with real parts, all cases of a bank, and the last line of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from gateway.erp.broker_address import BrokerAddress
from gateway.jointtest import place, plan, session
from gateway.jointtest.cases import derive
from gateway.jointtest.erp_line import ErpAccess
from gateway.jointtest.run_store import RunStore
from gateway.jointtest.runner import OnEnd
from gateway.jointtest.session import Wish
from protocols.bank import Bank


@dataclass(frozen=True, slots=True)
class TrialParts:
    """What a trial needs from outside: the broker's description, how a bank is built from the gateway's settings."""

    broker: Mapping[str, Any]
    load_bank: Callable[[Path, str], Bank]
    version: str
    now: Callable[[], datetime]


async def play(reactor: Any, clock: Clock, folder: Path, bank: str, trial: TrialParts, chosen: tuple[str, ...],
               on_end: OnEnd) -> RunStore:  # fmt: skip
    """Make the place, play a first round, take the place down. Raises NotStarted, LineDown, NoDaemon, ValueError."""
    made = place.prepare(folder, bank)
    try:
        await place.start(made, trial.broker, clock, reactor)
        told = plan.read(made.folder)
        built = trial.load_bank(made.site.settings, bank)
        cases = derive(built)
        store = session.open_store(made.folder, told, cases, trial.now)
        login = trial.broker["users"]["erp-demo"]
        address = BrokerAddress(trial.broker["host"], trial.broker["port"], trial.broker["vhost"], login["user"],
                                login["password"])  # fmt: skip
        access = ErpAccess(address, place.SENDER, "erp-demo.joint")
        await session.sit(reactor, clock, told, built, access, store, cases, Wish(chosen=chosen), trial.version,
                          trial.now, on_end, hooks=made)  # fmt: skip
        return store
    finally:
        place.stop(made)
