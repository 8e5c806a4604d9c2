"""Statements from files in the control API. A statement arrives in portions, which the daemon holds in memory.

Nothing of it is recorded before all of it was added up, so a file that does not add up leaves nothing. Then it is
recorded in small units, so that payments go on beside it. What was not closed after IDLE_S is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.control import ledger_fields
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.ledger_fields import ROWS_BYTES, or_refused, own_account
from gateway.control.server import Call, Denied, Verb
from gateway.core.policy import Route
from gateway.journal.commit.store import Tx
from gateway.treasury import statements
from gateway.treasury.statements import StatementEnd
from protocols.canon.money import Money
from protocols.canon.statement import Line

IDLE_S = 900.0
MOST_LINES = 200_000
MOST_ARRIVING = 4
_AT_ONCE = 100


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about statements from files."""
    acts, one = _Acts(daemon_handle), "([^/]+)"
    return (
        Verb("POST", f"/reconciliation/{one}/statements", acts.begin),
        Verb("POST", f"/reconciliation/{one}/statements/{one}/rows", acts.rows, most_bytes=ROWS_BYTES),
        Verb("POST", f"/reconciliation/{one}/statements/{one}/close", acts.close),
    )


@dataclass(slots=True)
class _Arriving:
    account: str
    end: StatementEnd
    heard_s: float
    lines: list[Line] = field(default_factory=list)
    closing: bool = False


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle
        self._arriving: dict[str, _Arriving] = {}
        self._made = 0

    async def begin(self, call: Call) -> Any:
        """Open a statement: its period, both balances, how many entries it has. One at a time for each account."""
        route, _ = self._unwatched(call)
        said, currency, now_s = call.body, route.currency, self._daemon_handle.clock.monotonic_s()
        opening, closing = (Money(ledger_fields.minor(said.get(name), name, currency), currency)
                            for name in ("opening", "closing"))  # fmt: skip
        end = StatementEnd(ledger_fields.day(said.get("from"), "from"), ledger_fields.day(said.get("to"), "to"),
                           opening, closing, ledger_fields.count(said.get("count")))  # fmt: skip
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

    async def rows(self, call: Call) -> Any:
        """Entries of a statement that arrives. Nothing is recorded yet."""
        route, _ = self._unwatched(call)
        one = self._one(call, route)
        told = ledger_fields.rows(call, lambda row, place: ledger_fields.statement_line(row, place, route))
        if len(one.lines) + len(told) > one.end.count:
            raise Denied(409, "totals", f"it was to have {one.end.count} entries, and has more; nothing was changed")
        one.lines += told
        one.heard_s = self._daemon_handle.clock.monotonic_s()
        return {"statement": call.parts[1], "rows": len(told)}

    async def close(self, call: Call) -> Any:
        """Record the entries and close the last day, if all adds up; else record nothing. Either way it is over."""
        route, hearers = self._unwatched(call)
        one, store = self._one(call, route), self._daemon_handle.store
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
            self._arriving.pop(call.parts[1], None)
        end = one.end
        return {"from": end.first.isoformat(), "to": end.last.isoformat(), "closing": str(end.closing),
                "new": len(new), "rows": len(one.lines)}  # fmt: skip

    def _one(self, call: Call, route: Route) -> _Arriving:
        one = self._arriving.get(call.parts[1])
        if one is None or one.account != route.account or one.closing:
            raise Denied(409, "not_arriving", f"no statement {call.parts[1]} of this account takes entries now; begin "
                         "it again")  # fmt: skip
        return one

    def _unwatched(self, call: Call) -> tuple[Route, tuple[str, ...]]:
        """The account, and the senders that hear of its entries. What a lane tells must not come from a file, too."""
        route, register = own_account(self._daemon_handle, call), self._daemon_handle.register()
        if route.account in register.watched:
            raise Denied(409, "watched", "this account is watched: its entries come from the bank, under keys that a "
                         "file need not have; nothing was changed")  # fmt: skip
        return route, register.hearers(route.account)
