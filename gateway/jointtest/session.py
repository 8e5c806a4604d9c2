"""One session of a joint test: connects to the gateway as an ERP, plays a round or resumes one, disconnects."""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from gateway.control.client import ControlClient
from gateway.jointtest import runner
from gateway.jointtest.amounts import AmountBudget
from gateway.jointtest.cases import FILES, FINANCE, Case
from gateway.jointtest.erp_line import ErpAccess, ErpLine
from gateway.jointtest.plan import RunPlan
from gateway.jointtest.player import CHINA, PlaceHooks, RunContext
from gateway.jointtest.run_store import RunStore
from gateway.jointtest.runner import OnEnd, Runner
from gateway.kernel.clock import Clock
from protocols.bank import Bank


class NotAllowed(Exception):  # noqa: N818 - an answer, not a fault
    """The request is not allowed in this environment; the text says why."""


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """The options of a session: the round (`fresh` begins the next one), the cases, the business date."""

    fresh: bool = True
    chosen: tuple[str, ...] = ()
    business_date: date | None = None
    by: str = ""


def open_store(folder: Path, plan: RunPlan, cases: Sequence[Case], now: Callable[[], datetime]) -> RunStore:
    """The run's journal. It begins a run if there is none. Cases of one's own may come later.

    Raises BadJournal, NotAllowed for another bank's run, or for a catalogue that has other cases than the run.
    """
    store = RunStore(folder, now)
    if store.run.opened is None:
        store.open(secrets.token_hex(3), plan.bank, [case.id for case in cases])
    if store.run.bank != plan.bank:
        raise NotAllowed(f"{folder} has a run of {store.run.bank}; take another folder for {plan.bank}")
    missing = [case for case in cases if case.id not in store.run.cases]
    of_catalogue = [case.id for case in missing if case.section in (*FILES, *FINANCE)]
    if of_catalogue:
        raise NotAllowed(f"the run was opened without the cases {', '.join(of_catalogue)}; open a new one")
    if missing:
        store.add_cases([case.id for case in missing])
    return store


def versions_of(plan: RunPlan, version: str) -> dict[str, str]:
    """The versions of both sides, as a round records them."""
    return {"gateway": plan.told.versions.gateway or version, "front_end": plan.told.versions.front_end}


async def sit(
    reactor: Any,
    clock: Clock,
    plan: RunPlan,
    bank: Bank,
    access: ErpAccess,
    store: RunStore,
    cases: Sequence[Case],
    wish: SessionRequest,
    version: str,
    now: Callable[[], datetime],
    on_end: OnEnd,
    hooks: PlaceHooks | None = None,
) -> None:
    """Play the chosen cases in one session. Raises NotAllowed, LineDown, NoDaemon; ValueError for a case that does not
    exist."""
    if wish.business_date is not None:
        if plan.production:
            raise NotAllowed("a business date is set in test environments only; this plan says production")
        store.act("business_date", wish.by, date=wish.business_date.isoformat())
    runner.wanted(store.run, cases, store.run.rounds, wish.chosen)
    if wish.fresh or not store.run.rounds:
        store.begin_round(versions_of(plan, version))
    line = ErpLine(reactor, access, clock, f"{store.run.id}.{secrets.token_hex(2)}")
    world = RunContext(
        reactor,
        clock,
        plan,
        bank,
        line,
        ControlClient(plan.path(plan.told.socket)),
        store,
        AmountBudget(plan.told.caps),
        now,
        lambda: wish.business_date or now().astimezone(CHINA).date(),
        hooks,
        getpass.getuser(),
    )
    runner.restore_purse(world)
    await line.open()
    try:
        await Runner(world, cases, on_end).play(wish.chosen)
    finally:
        await line.close()
