"""Handlers of the acts about reconciliation: matched and open rows, decisions, monthly statements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gateway.act_ports import Accounts
from gateway.call import Call, Denied, answers
from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import Store, Tx
from gateway.kernel.core.policy import Route
from gateway.people.rows import entitlements
from gateway.people.rows.persons import No
from gateway.reconciliation.act_answers.ledger_fields import LOOKS, changing
from gateway.reconciliation.acts import ApproveMonth, DecideRows, NamedMonth, ShowMatching, UndoDecision
from gateway.reconciliation.masked_text import masked_text
from gateway.reconciliation.rows import account_rows, balance_tables, decisions
from gateway.reconciliation.rows.account_matchings import reconcile
from gateway.reconciliation.rows.balance_tables import TableVersion
from gateway.reconciliation.rows.basis import Basis, basis_of
from gateway.reconciliation.rows.decisions import ASIDE, CONFIRM, MatchDecision
from gateway.reconciliation.rows.exceptions import ReconciliationException, exceptions
from gateway.reconciliation.rows.reconciled import (
    NoTable,
    Reconciled,
    balance_table,
    facts_of,
    is_frozen,
    why_not_confirm,
)
from gateway.reconciliation.rules.decision import Match
from gateway.reconciliation.rules.rows import Matching, MatchRow
from gateway.register.match_terms import AccountTerms
from gateway.statements.act_answers.account_fields import or_refused, own_account
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.erp.news import instant

T = TypeVar("T")
R = TypeVar("R")
LISTED = 500


@dataclass(frozen=True, slots=True)
class ReconciliationAnswers:
    """Answers the acts about reconciliation."""

    store: Store
    clock: Clock
    accounts: Accounts

    # ---- matching ----

    @answers("reconciliation.show")
    async def show(self, call: Call, params: ShowMatching) -> Any:
        """Answer with the matched, proposed and open rows of an account, in both matchings."""
        route, last, terms = own_account(self.accounts, call), params.to or self._today(), self._terms()
        found = await self.store.read(lambda conn: reconcile(conn, route, last, terms))
        wrong = exceptions(found, terms)
        return {
            "account": route.account,
            "to": last.isoformat(),
            "currency": route.currency,
            "matchings": {matching.value: _matching(found, matching, route.currency) for matching in Matching},
            "decisions": [_decision(one) for one in found.decided],
            "void": [{**_decision(one), "why": why} for one, why in found.void],
            "exceptions": [_exception(one, route) for one in wrong[:LISTED]],
            "exception_count": len(wrong),
        }

    @answers("reconciliation.confirm")
    async def confirm(self, call: Call, params: DecideRows) -> Any:
        """Confirm that rows belong together. Their sums must be equal, and none of them may be matched already."""
        return await self._decide(call, params, CONFIRM)

    @answers("reconciliation.aside")
    async def aside(self, call: Call, params: DecideRows) -> Any:
        """Set open rows aside with a reason. They are exceptions no more, but stay in the monthly statement."""
        return await self._decide(call, params, ASIDE)

    async def _decide(self, call: Call, params: DecideRows, kind: str) -> Any:
        route, last, reason = own_account(self.accounts, call), params.to or self._today(), params.reason
        matching, terms = _wanted_matching(params.matching), self._terms()
        entries, lines = sorted(set(params.entries)), sorted(set(params.lines))
        if not entries and not lines or kind == CONFIRM and not (entries and lines):
            raise Denied(400, "missing", "name `entries` and `lines`; nothing was changed")

        def judge_decision(conn: Connection) -> tuple[Basis, dict[str, str]] | No:
            found = reconcile(conn, route, last, terms)
            why = (
                why_not_confirm(found, matching, entries, lines)
                if kind == CONFIRM
                else _why_not_aside(found, matching, entries, lines)
            )
            if why:
                return No("not_now", f"{why}; nothing was changed")
            if is_frozen(found.rows, (*entries, *lines), found.basis.frozen):
                return No("frozen", f"the statement up to {found.basis.frozen} is approved; nothing was changed")
            return found.basis, {id: facts_of(found.by_id[id]) for id in (*entries, *lines)}

        def decide(tx: Tx, facts: dict[str, str]) -> MatchDecision | No:
            return decisions.decide(tx, route.account, kind, matching, entries, lines, reason, call.peer.actor, facts)

        return _decision(or_refused(call, await self._on_basis(route, judge_decision, decide)))

    @answers("reconciliation.undo")
    async def undo(self, call: Call, params: UndoDecision) -> Any:
        """Take a decision back, unless it is in an approved statement."""
        route, today = own_account(self.accounts, call), self._today()
        decision, reason = params.decision, params.reason

        def judge_undo(conn: Connection) -> tuple[Basis, None] | No:
            basis = basis_of(conn, route.account, today)
            one = next((one for one in decisions.in_force(conn, route.account) if one.decision == decision), None)
            if one is not None and is_frozen(account_rows.named(conn, route, one.rows), one.rows, basis.frozen):
                return No("frozen", f"the statement up to {basis.frozen} is approved; nothing was changed")
            return basis, None

        def undo(tx: Tx, _: None) -> MatchDecision | No:
            return decisions.undo(tx, route.account, decision, reason, call.peer.actor)

        return _decision(or_refused(call, await self._on_basis(route, judge_undo, undo)))

    async def _on_basis(
        self, route: Route, look: Callable[[Connection], tuple[Basis, T] | No], act: Callable[[Tx, T], R | No]
    ) -> R | No:
        """Judge a snapshot, which may take seconds; then act in a short unit, if the snapshot is still up to date."""
        store = self.store
        for _ in range(LOOKS):
            seen = await store.read(look)
            if isinstance(seen, No):
                return seen
            basis, found = seen

            def act_on_same_basis(tx: Tx, basis: Basis = basis, found: T = found) -> R | No | None:
                return act(tx, found) if basis_of(tx.read, route.account, basis.last) == basis else None

            done = await store.write(act_on_same_basis)
            if done is not None:
                return done
        return changing()

    # ---- the monthly statement ----

    @answers("tables.show")
    async def table(self, call: Call, params: NamedMonth) -> Any:
        """Answer with the present statement of a month, and its submitted versions."""
        route, month, last, terms = own_account(self.accounts, call), params.month, _month(params.month), self._terms()

        def table_and_versions(conn: Any) -> tuple[dict[str, Any] | str, list[TableVersion]]:
            try:
                now: dict[str, Any] | str = balance_table(conn, route, reconcile(conn, route, last, terms))
            except NoTable as error:
                now = error.why
            return now, balance_tables.versions(conn, route.account, month)

        now, versions = await self.store.read(table_and_versions)
        return {
            "account": route.account,
            "month": month,
            "now": _content(now) if isinstance(now, dict) else None,
            "why_not": now if isinstance(now, str) else None,
            "versions": [
                {
                    **_version(one),
                    "changes": balance_tables.changes(_content(before.content), _content(one.content))
                    if before
                    else None,
                }
                for before, one in zip((None, *versions), versions, strict=False)
            ],
        }

    @answers("tables.submit")
    async def submit(self, call: Call, params: NamedMonth) -> Any:
        """Record the statement as a version, as a person who neither made nor approved any of its payments."""
        route, month, last, terms = own_account(self.accounts, call), params.month, _month(params.month), self._terms()
        person = _person(call)

        def judge_submission(conn: Connection) -> tuple[Basis, dict[str, Any]] | No:
            found = reconcile(conn, route, last, terms)
            try:
                content = balance_table(conn, route, found)
            except NoTable as error:
                return No("not_now", f"{error.why}; nothing was changed")
            return _why_not_person(found, person) or (found.basis, content)

        def submit(tx: Tx, content: dict[str, Any]) -> TableVersion | No:
            return balance_tables.submit(tx, route.account, month, content, person)

        return _version(or_refused(call, await self._on_basis(route, judge_submission, submit)))

    @answers("tables.approve")
    async def approve(self, call: Call, params: ApproveMonth) -> Any:
        """Approve the last version, as another person than its submitter, if its content is still up to date."""
        route, month, last, terms = own_account(self.accounts, call), params.month, _month(params.month), self._terms()
        version, person = params.version, _person(call)

        def judge_approval(conn: Connection) -> tuple[Basis, None] | No:
            found, before = reconcile(conn, route, last, terms), balance_tables.versions(conn, route.account, month)
            try:
                now: dict[str, Any] | None = balance_table(conn, route, found)
            except NoTable:
                now = None
            if before and before[-1].version == version and before[-1].content != now:
                why = (
                    f"version {version} is out of date, because rows have changed: submit another; nothing was changed"
                )
                return No("changed", why)
            return _why_not_person(found, person) or (found.basis, None)

        def approve(tx: Tx, _: None) -> TableVersion | No:
            before = balance_tables.versions(tx.read, route.account, month)
            made_by = before[-1].submitted_by if before else person
            if made_by != person and entitlements.one_seat(tx.read, made_by, person, tx.now_ms):
                return No(
                    "one_seat",
                    f"{made_by} submitted it, and one of you stands in for the other; somebody else "
                    "approves; nothing was changed",
                )
            return balance_tables.approve(tx, route.account, month, version, person)

        return _version(or_refused(call, await self._on_basis(route, judge_approval, approve)))

    def _terms(self) -> AccountTerms:
        return self.accounts().reconciliation

    def _today(self) -> date:
        at = datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC)
        return at.astimezone(ZoneInfo("Asia/Shanghai")).date()


def _person(call: Call) -> str:
    """The person who asks. Persons prepare and approve a statement, never the machine's users."""
    if call.person is None:
        raise Denied(
            403,
            "not_a_person",
            f"{call.peer.actor} is no person: an enrolled person submits and another one "
            "approves, signed in as themselves (bankgw login); nothing was changed",
        )
    return call.person


def _why_not_person(found: Reconciled, person: str) -> No | None:
    if person in found.rows.payers:
        return No(
            "own_payment",
            f"{person} made or approved payments of this account; somebody else reconciles it; nothing was changed",
        )
    return None


def _month(month: str) -> date:
    try:
        return balance_tables.last_day(month)
    except ValueError:
        raise Denied(400, "bad_month", f"a month is written as 2026-11, not {month!r}") from None


def _wanted_matching(given: str) -> Matching:
    try:
        return Matching(given)
    except ValueError:
        raise Denied(400, "bad_matching", "`matching` is A (payments) or B (book)") from None


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
    }


def _sum(opened: Sequence[tuple[MatchRow, str]], currency: str) -> Money:
    """The sum of all open rows of one side, also of rows that are not listed. Money out counts as negative."""
    signs = {Direction.CREDIT: 1, Direction.DEBIT: -1}
    return Money(sum(signs[row.direction] * row.amount_minor for row, _reason in opened), currency)


def _match(found: Reconciled, one: Match) -> dict[str, Any]:
    first = found.by_id[(one.lines or one.entries)[0]]
    return {
        "rule": one.rule.value,
        "entries": one.entries,
        "lines": one.lines,
        "evidence": one.evidence,
        "day": first.day.isoformat(),
        "amount": str(Money(first.amount_minor, first.currency)),
    }


def _exception(one: ReconciliationException, route: Route) -> dict[str, Any]:
    amount = Money(abs(one.amount_minor), route.currency)
    return {
        "kind": one.kind.value,
        "matching": one.matching.value,
        "rows": one.rows,
        "day": one.day.isoformat(),
        "amount": f"-{amount}" if one.amount_minor < 0 else str(amount),
        "about": masked_text(one.about),
        "next_step": one.next_step,
    }


def _open(found: Reconciled, row: MatchRow, reason: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "day": row.day.isoformat(),
        "direction": row.direction.value,
        "amount": str(Money(row.amount_minor, row.currency)),
        "reason": masked_text(reason),
        "about": masked_text(found.rows.about.get(row.id, "")),
    }


def _decision(one: MatchDecision) -> dict[str, Any]:
    return {
        "decision": one.decision,
        "kind": one.kind,
        "matching": one.matching.value,
        "entries": one.entries,
        "lines": one.lines,
        "reason": masked_text(one.reason),
        "by": one.actor,
        "at": instant(one.at_ms),
    }


def _version(one: TableVersion) -> dict[str, Any]:
    return {
        "month": one.month,
        "version": one.version,
        "state": one.state,
        "at": instant(one.at_ms),
        "submitted_by": one.submitted_by,
        "approved_by": one.approved_by or None,
        "content": _content(one.content),
    }


def _content(content: Mapping[str, Any]) -> dict[str, Any]:
    """A statement with its texts masked. The stored and compared one is unmasked."""
    return {
        name: [{**item, "about": masked_text(item["about"]), "reason": masked_text(item["reason"])} for item in value]
        if isinstance(value, list)
        else value
        for name, value in content.items()
    }
