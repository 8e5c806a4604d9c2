"""Answers the acts about companies: list, pause, resume. Every change is one unit that names its actor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from gateway.act_ports import Accounts
from gateway.bank.company_pauses import CompanyPauses
from gateway.call import Call, Denied, answers
from gateway.control import open_orders
from gateway.control.acts.companies import PauseCompany, ResumeCompany
from gateway.kernel.cluster import lane_pauses
from gateway.kernel.cluster.peer_nodes import BEAT_S
from gateway.kernel.commit.store import Store
from gateway.people.act_answers.persons import administered
from protocols.canon.outcome import State
from protocols.erp.news import instant

_NAMED = 20
"""At most so many companies are named in a refusal."""


@dataclass(frozen=True, slots=True)
class _Journal:
    """The open orders of each company in each state, and who paused those that are paused: since, by, reason."""

    orders: dict[str, Counter[str]]
    pauses: dict[str, tuple[str | None, str, str]]


@dataclass(frozen=True, slots=True)
class CompanyAnswers:
    """Answers the acts about companies. `companies` are the pauses in force on this node."""

    store: Store
    accounts: Accounts
    companies: CompanyPauses

    @answers("companies.list")
    async def listing(self, call: Call) -> Any:
        """Every company that has an account in the asker's scope, from the register and the journal."""
        said = await self.store.read(_read)
        routes = [one for one in self.accounts().routes.values() if call.scope.covers(one.company, one.account)]
        there = {one.company for one in routes}
        unknown = {name for name in said.pauses if name not in self._known() and call.scope.covers(name, "")}
        rows = []
        for name in sorted(there | unknown):
            own = [one for one in routes if one.company == name]
            since = said.pauses[name][0] or "?" if name in said.pauses else None
            banks = ", ".join(sorted({one.bank for one in own}))
            counts = _counts(said, name)
            rows.append({"company": name, "paused_since": since, "accounts": len(own), "banks": banks, **counts})
        pauses = [
            {"company": name, "by": by, "reason": reason}
            for name, (_since, by, reason) in sorted(said.pauses.items())
            if name in there | unknown
        ]
        return {"companies": rows, "pauses": pauses, "unknown": [{"company": name} for name in sorted(unknown)]}

    @answers("companies.pause")
    async def pause(self, call: Call, params: PauseCompany) -> Any:
        """Send no payment of this company, at whichever bank. The pause stays after a restart."""
        name = self._company(call, params.company, self._known())
        return await self._said(call, name, paused=True, detail={"reason": params.reason})

    @answers("companies.resume")
    async def resume(self, call: Call, params: ResumeCompany) -> Any:
        """End the pause of a company, which need not have an account any more.

        Where there are administrators, two persons sign it instead (`ProposalKind.RESUME_COMPANY`).
        """
        said = await self.store.read(lambda conn: lane_pauses.said_with_companies(conn, ()))
        paused = {name for name, state in lane_pauses.company_states(said).items() if state.paused}
        name = self._company(call, params.company, self._known() | paused)
        if await administered(self.store):
            raise Denied(
                409,
                "two_persons",
                f"two supervisors must sign that a paused company sends again here: "
                f"bankgw companies resume {name} --reason … as one of them, then bankgw resolve --approve as the "
                f"other; nothing was changed",
            )
        return await self._said(call, name, paused=False, detail={"reason": params.reason} if params.reason else {})

    async def _said(self, call: Call, name: str, *, paused: bool, detail: dict[str, Any]) -> Any:
        key, actor = lane_pauses.COMPANY + name, call.peer.actor
        state = await self.store.write(lambda tx: lane_pauses.say(tx, key, actor, paused=paused, detail=detail))
        self.companies.apply({name: state})
        counts, hear_s = _counts(await self.store.read(_read), name), round(BEAT_S)
        return {"company": name, "paused": paused, "resumed": not paused, **counts, "others_hear_within_s": hear_s}

    def _known(self) -> set[str]:
        return {route.company for route in self.accounts().routes.values()}

    @staticmethod
    def _company(call: Call, name: str, known: set[str]) -> str:
        """The company, if it exists and the whole of it is in the asker's scope."""
        if name not in known:
            raise Denied(404, "no_such_company", no_such_company(name, known))
        if not (call.scope.whole or name in call.scope.companies):
            raise Denied(
                403, "out_of_scope", f"company {name} is not wholly in the scope of your roles; nothing was changed"
            )
        return name


def no_such_company(name: str, known: Iterable[str]) -> str:
    """The refusal of a name that no company has, with the names that there are."""
    names = sorted(known)
    more = f" and {len(names) - _NAMED} more (bankgw companies list)" if len(names) > _NAMED else ""
    return f"there is no company {name}; there are {', '.join(names[:_NAMED])}{more}"


def _read(conn: Connection) -> _Journal:
    orders: dict[str, Counter[str]] = {}
    for (company, _bank), states in open_orders.by_company(conn).items():
        orders.setdefault(company, Counter()).update(states)
    said = lane_pauses.company_states(lane_pauses.said_with_companies(conn, ()))
    return _Journal(orders, {name: _pause(conn, name) for name, state in said.items() if state.paused})


def _pause(conn: Connection, name: str) -> tuple[str | None, str, str]:
    """Since when a company is paused, who paused it and why; `?` where the audit trail was altered."""
    entry = lane_pauses.last_pause(conn, name)
    if entry is None:
        return None, "?", "?"
    return instant(entry.at_ms), entry.actor, str(entry.detail.get("reason", "?"))


def _counts(said: _Journal, name: str) -> dict[str, int]:
    """The company's orders that wait for a release, that wait to be sent, and that have left."""
    states = said.orders.get(name, Counter())
    waiting = {State.HELD.value: "held", State.READY.value: "ready"}
    under_way = sum(number for state, number in states.items() if state not in waiting)
    return {**{group: states[state] for state, group in waiting.items()}, "under_way": under_way}
