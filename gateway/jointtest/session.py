"""One sitting of a joint test: connects to the gateway as an ERP, plays a round or goes on with one, hangs up."""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from gateway.control.client import ControlClient
from gateway.jointtest import runner
from gateway.jointtest.amounts import Purse
from gateway.jointtest.cases import Case
from gateway.jointtest.erp_line import ErpAccess, ErpLine
from gateway.jointtest.plan import RunPlan
from gateway.jointtest.player import CHINA, Hooks, World
from gateway.jointtest.run_store import RunStore
from gateway.jointtest.runner import OnEnd, Runner
from protocols.bank import Bank


class NotAllowed(Exception):  # noqa: N818 - an answer, not a fault
    """What was asked for is not done in this environment; the text says why."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a sitting is for: which round (`fresh` begins the next), which cases, on which business date."""

    fresh: bool = True
    chosen: tuple[str, ...] = ()
    business_date: date | None = None
    by: str = ""


def open_store(folder: Path, plan: RunPlan, cases: Sequence[Case], now: Callable[[], datetime]) -> RunStore:
    """The run's journal; begins a run where there is none. Raises BadJournal, NotAllowed for another bank's run."""
    store = RunStore(folder, now)
    if store.run.opened is None:
        store.open(secrets.token_hex(3), plan.bank, [case.id for case in cases])
    if store.run.bank != plan.bank:
        raise NotAllowed(f"{folder} has a run of {store.run.bank}; take another folder for {plan.bank}")
    missing = [case.id for case in cases if case.id not in store.run.cases]
    if missing:
        raise NotAllowed(f"the run was opened without the cases {', '.join(missing)}; open a new one")
    return store


def versions_of(plan: RunPlan, version: str) -> dict[str, str]:
    """Both sides' versions, as a round keeps them."""
    return {"gateway": plan.told.versions.gateway or version, "front_end": plan.told.versions.front_end}


async def sit(reactor: Any, clock: Clock, plan: RunPlan, bank: Bank, access: ErpAccess, store: RunStore,
              cases: Sequence[Case], wish: Wish, version: str, now: Callable[[], datetime], on_end: OnEnd,
              hooks: Hooks | None = None) -> None:  # fmt: skip
    """Play. Raises NotAllowed, LineDown, NoDaemon; ValueError for a case that does not exist."""
    if wish.business_date is not None:
        if plan.production:
            raise NotAllowed("a business date is set in test environments only; this plan says production")
        store.act("business_date", wish.by, date=wish.business_date.isoformat())
    runner.wanted(store.run, cases, store.run.rounds, wish.chosen)
    if wish.fresh or not store.run.rounds:
        store.begin_round(versions_of(plan, version))
    line = ErpLine(reactor, access, clock, f"{store.run.id}.{secrets.token_hex(2)}")
    world = World(
        reactor, clock, plan, bank, line, ControlClient(plan.path(plan.told.socket)), store, Purse(plan.told.caps), now,
        lambda: wish.business_date or now().astimezone(CHINA).date(), hooks,
        getpass.getuser(),
    )  # fmt: skip
    runner.restore_purse(world)
    await line.open()
    try:
        await Runner(world, cases, on_end).play(wish.chosen)
    finally:
        await line.close()


def as_chosen(cases: Iterable[str]) -> tuple[str, ...]:
    """Names as they were given, each once."""
    return tuple(dict.fromkeys(cases))
