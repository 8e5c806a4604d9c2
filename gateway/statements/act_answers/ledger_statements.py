"""Handlers of the acts about statements from files. A statement arrives in portions, which the daemon holds in memory.

Nothing of a statement is recorded before it was added up as a whole, so that a file with wrong sums leaves nothing
behind. Then it is recorded in small units, so that payments are not delayed. A statement that was not closed after
IDLE_S is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.act_ports import Accounts
from gateway.call import Call, Denied, answers
from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import Store, Tx
from gateway.kernel.core.policy import Route
from gateway.statements.act_answers import account_fields
from gateway.statements.act_answers.account_fields import or_refused, own_account
from gateway.statements.acts import NamedStatement, StatementAccount
from gateway.statements.rows import statements
from gateway.statements.rows.statements import StatementEnd
from protocols.canon.money import Money
from protocols.canon.statement import Line

IDLE_S = 900.0
MOST_LINES = 200_000
MOST_ARRIVING = 4
_AT_ONCE = 100


@dataclass(slots=True)
class _Arriving:
    account: str
    end: StatementEnd
    heard_s: float
    lines: list[Line] = field(default_factory=list)
    closing: bool = False


@dataclass(slots=True)
class StatementAnswers:
    """Answers the acts about statements from files."""

    store: Store
    clock: Clock
    accounts: Accounts
    _arriving: dict[str, _Arriving] = field(default_factory=dict, init=False)
    _made: int = field(default=0, init=False)

    @answers("statements.begin")
    async def begin(self, call: Call, params: StatementAccount) -> Any:
        """Open a statement: its period, both balances, and its number of entries. Only one at a time is open for an
        account.
        """
        route, _ = self._unwatched(call)
        said, currency, now_s = call.body, route.currency, self.clock.monotonic_s()
        opening, closing = (
            Money(account_fields.minor(said.get(name), name, currency), currency) for name in ("opening", "closing")
        )
        end = StatementEnd(
            account_fields.day(said.get("from"), "from"),
            account_fields.day(said.get("to"), "to"),
            opening,
            closing,
            account_fields.count(said.get("count")),
        )
        if end.count > MOST_LINES:
            raise Denied(400, "bad_number", f"a statement has at most {MOST_LINES} entries; hand it in by months")
        for key, one in list(self._arriving.items()):
            if not one.closing and (one.account == route.account or now_s - one.heard_s > IDLE_S):
                del self._arriving[key]
        if len(self._arriving) >= MOST_ARRIVING or any(one.account == route.account for one in self._arriving.values()):
            raise Denied(409, "busy", "other statements are being recorded; nothing was changed: ask again")
        self._made += 1
        key = str(self._made)
        self._arriving[key] = _Arriving(route.account, end, now_s)
        return {"statement": key}

    @answers("statements.rows")
    async def rows(self, call: Call, params: NamedStatement) -> Any:
        """Add entries to a statement that is arriving. Nothing is recorded yet."""
        route, _ = self._unwatched(call)
        one = self._one(params.statement, route)
        told = account_fields.rows(call, lambda row, place: account_fields.statement_line(row, place, route))
        if len(one.lines) + len(told) > one.end.count:
            raise Denied(
                409,
                "totals",
                f"the statement was announced with {one.end.count} entries, but more arrived; nothing was changed",
            )
        one.lines += told
        one.heard_s = self.clock.monotonic_s()
        return {"statement": params.statement, "rows": len(told)}

    @answers("statements.close")
    async def close(self, call: Call, params: NamedStatement) -> Any:
        """Record the entries and close the last day, if the totals agree; otherwise record nothing. In both cases the
        statement is not open any more."""
        route, hearers = self._unwatched(call)
        one, store = self._one(params.statement, route), self.store
        one.closing = True
        try:
            new = or_refused(call, await store.read(lambda conn: statements.judge(conn, route, one.end, one.lines)))
            for start in range(0, len(new), _AT_ONCE):

                def record(tx: Tx, some: Sequence[Line] = new[start : start + _AT_ONCE]) -> None:
                    statements.record(tx, route, some, hearers)

                await store.write(record)
            why = await store.write(lambda tx: statements.close(tx, route, one.end, hearers, call.peer.actor))
            or_refused(call, why)
        finally:
            self._arriving.pop(params.statement, None)
        end = one.end
        return {
            "from": end.first.isoformat(),
            "to": end.last.isoformat(),
            "closing": str(end.closing),
            "new": len(new),
            "rows": len(one.lines),
        }

    def _one(self, key: str, route: Route) -> _Arriving:
        one = self._arriving.get(key)
        if one is None or one.account != route.account or one.closing:
            raise Denied(409, "not_arriving", f"statement {key} of this account accepts no entries now; begin it again")
        return one

    def _unwatched(self, call: Call) -> tuple[Route, tuple[str, ...]]:
        """The account, and the senders that get the events about its entries.

        Denied for a watched account: its entries come from a lane, so they must not come from a file as well.
        """
        route, register = own_account(self.accounts, call), self.accounts()
        if route.account in register.watched:
            raise Denied(
                409,
                "watched",
                "this account is watched: its entries come from the bank, with keys that a "
                "file may lack; nothing was changed",
            )
        return route, register.hearers(route.account)
