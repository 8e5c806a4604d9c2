"""Reconciliation in the control API: an ERP's book, what is matched and open, decisions, monthly statements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gateway.control import ledger_books, ledger_fields, ledger_statements
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.ledger_fields import LOOKS, changing, or_refused, own_account
from gateway.control.server import Call, Denied, Verb
from gateway.core.policy import Route
from gateway.journal.commit.store import Tx
from gateway.journal.people import entitlements
from gateway.journal.people.persons import No
from gateway.treasury import account_rows, balance_tables, decisions
from gateway.treasury.account_matchings import reconcile
from gateway.treasury.balance_tables import TableVersion
from gateway.treasury.basis import Basis, basis_of
from gateway.treasury.decisions import ASIDE, CONFIRM, MatchDecision
from gateway.treasury.exceptions import ReconciliationException, exceptions
from gateway.treasury.masked_text import masked_text
from gateway.treasury.reconciled import (
    NoTable,
    Reconciled,
    balance_table,
    facts_of,
    is_frozen,
    why_not_confirm,
)
from gateway.treasury.reconciliation.decision import Match
from gateway.treasury.reconciliation.rows import AccountTerms, Matching, MatchRow
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.erp.news import instant

T = TypeVar("T")
R = TypeVar("R")
LISTED = 500


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about reconciliation."""
    acts, one = _Acts(daemon_handle), "([^/]+)"
    return (
        *ledger_books.verbs(daemon_handle), *ledger_statements.verbs(daemon_handle),
        Verb("GET", f"/reconciliation/{one}", acts.show),
        Verb("POST", f"/reconciliation/{one}/confirm", acts.confirm),
        Verb("POST", f"/reconciliation/{one}/aside", acts.aside),
        Verb("POST", f"/reconciliation/{one}/undo", acts.undo),
        Verb("GET", f"/reconciliation/{one}/tables/{one}", acts.table),
        Verb("POST", f"/reconciliation/{one}/tables/{one}/submit", acts.submit),
        Verb("POST", f"/reconciliation/{one}/tables/{one}/approve", acts.approve),
    )  # fmt: skip


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle

    # ---- matching ----

    async def show(self, call: Call) -> Any:
        """What is matched, proposed and open, in both matchings."""
        route, last, terms = own_account(self._daemon_handle, call), self._last(call), self._terms()
        found = await self._daemon_handle.store.read(lambda conn: reconcile(conn, route, last, terms))
        wrong = exceptions(found, terms)
        return {
            "account": route.account, "to": last.isoformat(), "currency": route.currency,
            "matchings": {matching.value: _matching(found, matching, route.currency) for matching in Matching},
            "decisions": [_decision(one) for one in found.decided],
            "void": [{**_decision(one), "why": why} for one, why in found.void],
            "exceptions": [_exception(one, route) for one in wrong[:LISTED]], "exception_count": len(wrong),
        }  # fmt: skip

    async def confirm(self, call: Call) -> Any:
        """Confirm that rows belong together: their sums are equal, and none of them is matched."""
        return await self._decide(call, CONFIRM)

    async def aside(self, call: Call) -> Any:
        """Set open rows aside with a reason; they are exceptions no more, and stay in the monthly statement."""
        return await self._decide(call, ASIDE)

    async def _decide(self, call: Call, kind: str) -> Any:
        route, last, reason = own_account(self._daemon_handle, call), self._last(call), call.text("reason")
        matching, terms = _wanted_matching(call), self._terms()
        entries, lines = _ids(call, "entries"), _ids(call, "lines")
        if not entries and not lines or kind == CONFIRM and not (entries and lines):
            raise Denied(400, "missing", "name `entries` and `lines`; nothing was changed")

        def look(conn: Connection) -> tuple[Basis, dict[str, str]] | No:
            found = reconcile(conn, route, last, terms)
            why = why_not_confirm(found, matching, entries, lines) if kind == CONFIRM else _why_not_aside(
                found, matching, entries, lines)  # fmt: skip
            if why:
                return No("not_now", f"{why}; nothing was changed")
            if is_frozen(found.rows, (*entries, *lines), found.basis.frozen):
                return No("frozen", f"the statement up to {found.basis.frozen} is approved; nothing was changed")
            return found.basis, {id: facts_of(found.by_id[id]) for id in (*entries, *lines)}

        def decide(tx: Tx, facts: dict[str, str]) -> MatchDecision | No:
            return decisions.decide(
                tx, route.account, kind, matching, entries, lines, reason, call.peer.actor, facts
            )  # fmt: skip

        return _decision(or_refused(call, await self._on_basis(route, look, decide)))

    async def undo(self, call: Call) -> Any:
        """Take a decision back, unless it is in an approved statement."""
        route, today = own_account(self._daemon_handle, call), self._today()
        decision, reason = call.text("decision"), call.text("reason")

        def look(conn: Connection) -> tuple[Basis, None] | No:
            basis = basis_of(conn, route.account, today)
            one = next((one for one in decisions.in_force(conn, route.account) if one.decision == decision), None)
            if one is not None and is_frozen(account_rows.named(conn, route, one.rows), one.rows, basis.frozen):
                return No("frozen", f"the statement up to {basis.frozen} is approved; nothing was changed")
            return basis, None

        def undo(tx: Tx, _: None) -> MatchDecision | No:
            return decisions.undo(tx, route.account, decision, reason, call.peer.actor)

        return _decision(or_refused(call, await self._on_basis(route, look, undo)))

    async def _on_basis(
        self, route: Route, look: Callable[[Connection], tuple[Basis, T] | No], act: Callable[[Tx, T], R | No]
    ) -> R | No:
        """Look at a snapshot, which may take seconds; then act in a short unit, if what was looked at is still so."""
        store = self._daemon_handle.store
        for _ in range(LOOKS):
            seen = await store.read(look)
            if isinstance(seen, No):
                return seen
            basis, found = seen

            def unit(tx: Tx, basis: Basis = basis, found: T = found) -> R | No | None:
                return act(tx, found) if basis_of(tx.read, route.account, basis.last) == basis else None

            done = await store.write(unit)
            if done is not None:
                return done
        return changing()

    # ---- the monthly statement ----

    async def table(self, call: Call) -> Any:
        """The statement of a month as it stands now, and its versions."""
        route, month, last, terms = own_account(self._daemon_handle, call), call.parts[1], _month(call), self._terms()

        def look(conn: Any) -> tuple[dict[str, Any] | str, list[TableVersion]]:
            try:
                now: dict[str, Any] | str = balance_table(conn, route, reconcile(conn, route, last, terms))
            except NoTable as error:
                now = error.why
            return now, balance_tables.versions(conn, route.account, month)

        now, versions = await self._daemon_handle.store.read(look)
        return {
            "account": route.account, "month": month, "now": _content(now) if isinstance(now, dict) else None,
            "why_not": now if isinstance(now, str) else None, "versions": [
                {**_version(one), "changes": balance_tables.changes(_content(before.content), _content(one.content))
                 if before else None}
                for before, one in zip((None, *versions), versions, strict=False)
            ],
        }  # fmt: skip

    async def submit(self, call: Call) -> Any:
        """Write the statement down as a version. A person does, who made and approved none of its payments."""
        route, month, last, terms = own_account(self._daemon_handle, call), call.parts[1], _month(call), self._terms()
        person = _person(call)

        def look(conn: Connection) -> tuple[Basis, dict[str, Any]] | No:
            found = reconcile(conn, route, last, terms)
            try:
                content = balance_table(conn, route, found)
            except NoTable as error:
                return No("not_now", f"{error.why}; nothing was changed")
            return _why_not_person(found, person) or (found.basis, content)

        def submit(tx: Tx, content: dict[str, Any]) -> TableVersion | No:
            return balance_tables.submit(tx, route.account, month, content, person)

        return _version(or_refused(call, await self._on_basis(route, look, submit)))

    async def approve(self, call: Call) -> Any:
        """Approve the last version, as another person than the one who submitted it, if it says what is so now."""
        route, month, last, terms = own_account(self._daemon_handle, call), call.parts[1], _month(call), self._terms()
        version, person = int(call.number("version", 0, 10_000)), _person(call)

        def look(conn: Connection) -> tuple[Basis, None] | No:
            found, before = reconcile(conn, route, last, terms), balance_tables.versions(conn, route.account, month)
            try:
                now: dict[str, Any] | None = balance_table(conn, route, found)
            except NoTable:
                now = None
            if before and before[-1].version == version and before[-1].content != now:
                why = f"version {version} does not say what is so now: submit another; nothing was changed"
                return No("changed", why)
            return _why_not_person(found, person) or (found.basis, None)

        def approve(tx: Tx, _: None) -> TableVersion | No:
            before = balance_tables.versions(tx.read, route.account, month)
            made_by = before[-1].submitted_by if before else person
            if made_by != person and entitlements.one_seat(tx.read, made_by, person, tx.now_ms):
                return No("one_seat", f"{made_by} submitted it, and one of you stands in for the other; somebody else "
                          "approves; nothing was changed")  # fmt: skip
            return balance_tables.approve(tx, route.account, month, version, person)

        return _version(or_refused(call, await self._on_basis(route, look, approve)))

    def _terms(self) -> AccountTerms:
        return self._daemon_handle.register().reconciliation

    def _today(self) -> date:
        at = datetime.fromtimestamp(self._daemon_handle.clock.now_ms() / 1000, UTC)
        return at.astimezone(ZoneInfo("Asia/Shanghai")).date()

    def _last(self, call: Call) -> date:
        given = call.query.get("to", call.body.get("to"))
        return self._today() if given is None else ledger_fields.day(given, "to")


def _person(call: Call) -> str:
    """The person who asks. A statement is prepared and approved by persons, not by the machine's users."""
    if call.person is None:
        raise Denied(403, "not_a_person", f"{call.peer.actor} is no person: an enrolled person submits and another one "
                     "approves, signed in as themselves (bankgw login); nothing was changed")  # fmt: skip
    return call.person


def _why_not_person(found: Reconciled, person: str) -> No | None:
    if person in found.rows.payers:
        return No("own_payment", f"{person} made or approved payments of this account; somebody else reconciles it; "
                  "nothing was changed")  # fmt: skip
    return None


def _month(call: Call) -> date:
    try:
        return balance_tables.last_day(call.parts[1])
    except ValueError:
        raise Denied(400, "bad_month", f"a month is written as 2026-11, not {call.parts[1]!r}") from None


def _wanted_matching(call: Call) -> Matching:
    try:
        return Matching(call.text("matching"))
    except ValueError:
        raise Denied(400, "bad_matching", "`matching` is A (payments) or B (book)") from None


def _ids(call: Call, name: str) -> list[str]:
    given = call.body.get(name, [])
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given) or len(given) > 200:
        raise Denied(400, "bad_rows", f"`{name}` is a list of at most 200 ids")
    return sorted(set(given))


def _why_not_aside(found: Reconciled, matching: Matching, entries: Sequence[str], lines: Sequence[str]) -> str:
    one = found.matched[matching]
    wrong = [id for id in entries if id not in one.open_entries] + [id for id in lines if id not in one.open_lines]
    return f"{wrong[0]} is not open" if wrong else ""


def _matching(found: Reconciled, matching: Matching, currency: str) -> dict[str, Any]:
    one = found.matched[matching]
    rules: dict[str, int] = {}
    for match in one.matches:
        rules[match.rule.value] = rules.get(match.rule.value, 0) + 1
    confirmed = [one for one in found.decided if one.matching is matching and one.kind == CONFIRM]
    opened = {lines: found.open(matching, lines=lines) for lines in (False, True)}
    return {
        "matched": {**rules, "confirmed": len(confirmed)},
        "matches": [_match(found, each) for each in one.matches[:LISTED]],
        "proposals": [
            {"rule": each.rule.value, "entries": each.entries, "lines": each.lines, "evidence": each.evidence}
            for each in one.proposals[:LISTED]
        ],
        "open_entries": [_open(found, *each) for each in opened[False][:LISTED]],
        "open_lines": [_open(found, *each) for each in opened[True][:LISTED]],
        "open_count": [len(one.open_entries), len(one.open_lines)],
        "open_sums": [str(_sum(opened[lines], currency)) for lines in (False, True)],
        "listed_of": [len(opened[lines]) for lines in (False, True)],
    }  # fmt: skip


def _sum(opened: Sequence[tuple[MatchRow, str]], currency: str) -> Money:
    """Of all open rows of one side, also those that are not listed; money out is negative."""
    signs = {Direction.CREDIT: 1, Direction.DEBIT: -1}
    return Money(sum(signs[row.direction] * row.amount_minor for row, _reason in opened), currency)


def _match(found: Reconciled, one: Match) -> dict[str, Any]:
    first = found.by_id[(one.lines or one.entries)[0]]
    return {"rule": one.rule.value, "entries": one.entries, "lines": one.lines, "evidence": one.evidence,
            "day": first.day.isoformat(), "amount": str(Money(first.amount_minor, first.currency))}  # fmt: skip


def _exception(one: ReconciliationException, route: Route) -> dict[str, Any]:
    amount = Money(abs(one.amount_minor), route.currency)
    return {"kind": one.kind.value, "matching": one.matching.value, "rows": one.rows, "day": one.day.isoformat(),
            "amount": f"-{amount}" if one.amount_minor < 0 else str(amount), "about": masked_text(one.about),
            "next_step": one.next_step}  # fmt: skip


def _open(found: Reconciled, row: MatchRow, reason: str) -> dict[str, Any]:
    return {"id": row.id, "day": row.day.isoformat(), "direction": row.direction.value,
            "amount": str(Money(row.amount_minor, row.currency)), "reason": masked_text(reason),
            "about": masked_text(found.rows.about.get(row.id, ""))}  # fmt: skip


def _decision(one: MatchDecision) -> dict[str, Any]:
    return {"decision": one.decision, "kind": one.kind, "matching": one.matching.value, "entries": one.entries,
            "lines": one.lines, "reason": masked_text(one.reason), "by": one.actor,
            "at": instant(one.at_ms)}  # fmt: skip


def _version(one: TableVersion) -> dict[str, Any]:
    return {
        "month": one.month, "version": one.version, "state": one.state, "at": instant(one.at_ms),
        "submitted_by": one.submitted_by, "approved_by": one.approved_by or None, "content": _content(one.content),
    }  # fmt: skip


def _content(content: Mapping[str, Any]) -> dict[str, Any]:
    """A statement with its texts masked. What is kept and compared is the clear one."""
    return {
        name: [{**item, "about": masked_text(item["about"]), "reason": masked_text(item["reason"])} for item in value]
        if isinstance(value, list) else value
        for name, value in content.items()
    }  # fmt: skip
