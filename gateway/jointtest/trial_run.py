"""`bankgw joint-test trial`: makes a place with real parts, plays all cases of a bank, and prints the last line of the
run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.erp.broker_address import BrokerAddress
from gateway.jointtest import place, plan, session
from gateway.jointtest.case_files import own_cases
from gateway.jointtest.cases import derive
from gateway.jointtest.erp_line import ErpAccess
from gateway.jointtest.run_store import RunStore
from gateway.jointtest.runner import OnEnd
from gateway.jointtest.session import SessionRequest
from gateway.kernel.clock import Clock
from protocols.bank import Bank


@dataclass(frozen=True, slots=True)
class TrialParts:
    """The inputs of a trial: the broker's description, how a bank is built from the gateway's settings, and the folder
    with cases of one's own.
    """

    broker: Mapping[str, Any]
    load_bank: Callable[[Path, str], Bank]
    version: str
    now: Callable[[], datetime]
    own: Path | None = None


async def play(
    reactor: Any, clock: Clock, folder: Path, bank: str, trial: TrialParts, chosen: tuple[str, ...], on_end: OnEnd
) -> RunStore:
    """Start a simulated bank and a gateway, play a first round, stop both. Raises NotStarted, LineDown, NoDaemon,
    ValueError."""
    made = place.prepare(folder, bank)
    try:
        await place.start(made, trial.broker, clock, reactor)
        told = plan.load_plan(made.folder)
        built = trial.load_bank(made.site.settings, bank)
        catalogue = derive(built)
        cases = catalogue if trial.own is None else (*catalogue, *own_cases(trial.own, built, catalogue))
        store = session.open_store(made.folder, told, cases, trial.now)
        login = trial.broker["users"]["erp-demo"]
        address = BrokerAddress(
            trial.broker["host"], trial.broker["port"], trial.broker["vhost"], login["user"], login["password"]
        )
        access = ErpAccess(address, place.SENDER, "erp-demo.joint")
        await session.sit(
            reactor,
            clock,
            told,
            built,
            access,
            store,
            cases,
            SessionRequest(chosen=chosen),
            trial.version,
            trial.now,
            on_end,
            hooks=made,
        )
        return store
    finally:
        place.stop(made)
