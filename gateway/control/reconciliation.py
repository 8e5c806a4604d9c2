"""Reconciliation in the control API: an ERP's book, what is matched and open, decisions, monthly statements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gateway.control.daemon_handle import DaemonHandle
from gateway.control.persons import refused
from gateway.control.server import Call, Denied, Verb
from gateway.core.policy import Route
from gateway.journal.commit.store import Tx
from gateway.journal.people import entitlements
from gateway.journal.people.persons import No
from gateway.treasury import account_rows, balance_tables, books, decisions, statements
from gateway.treasury.balance_tables import TableVersion
from gateway.treasury.basis import Basis, basis_of
from gateway.treasury.books import BookEntry, BookHead, BookRow
from gateway.treasury.decisions import ASIDE, CONFIRM, MatchDecision
from gateway.treasury.reconciled import (
    NoTable,
    Reconciled,
    balance_table,
    facts_of,
    is_frozen,
    reconcile,
    why_not_confirm,
)
from gateway.treasury.reconciliation.decision import Match
from gateway.treasury.reconciliation.rows import AccountTerms, Matching, MatchRow
from gateway.treasury.statements import StatementEnd
from protocols.canon.money import BadMoney, Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction, Line
from protocols.erp.news import instant

T = TypeVar("T")
R = TypeVar("R")
ROWS_BYTES = 1_048_576
LISTED = 500
_LOOKS = 3


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about reconciliation."""
    acts, one = _Acts(daemon_handle), "([^/]+)"
    return (
        Verb("GET", f"/reconciliation/{one}", acts.show),
        Verb("POST", f"/reconciliation/{one}/books", acts.begin),
        Verb("POST", f"/reconciliation/{one}/books/{one}/rows", acts.rows, most_bytes=ROWS_BYTES),
        Verb("POST", f"/reconciliation/{one}/books/{one}/close", acts.close),
        Verb("POST", f"/reconciliation/{one}/books/{one}/withdraw", acts.withdraw),
        Verb("POST", f"/reconciliation/{one}/statements", acts.lines, most_bytes=ROWS_BYTES),
        Verb("POST", f"/reconciliation/{one}/statements/close", acts.close_statement),
        Verb("POST", f"/reconciliation/{one}/confirm", acts.confirm),
        Verb("POST", f"/reconciliation/{one}/aside", acts.aside),
        Verb("POST", f"/reconciliation/{one}/undo", acts.undo),
        Verb("GET", f"/reconciliation/{one}/tables/{one}", acts.table),
        Verb("POST", f"/reconciliation/{one}/tables/{one}/submit", acts.submit),
        Verb("POST", f"/reconciliation/{one}/tables/{one}/approve", acts.approve),
    )


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle

    # ---- the book ----

    async def begin(self, call: Call) -> Any:
        """Open a book: its period, balances and totals."""
        route = self._route(call)
        head = _head(call, route)
        made = await self._daemon_handle.store.write(lambda tx: books.begin(tx, head, call.peer.actor))
        return _book(_or_refused(call, made))

    async def rows(self, call: Call) -> Any:
        """Rows of a book that arrives."""
        route, key = self._route(call), call.parts[1]
        given = call.body.get("rows")
        if not isinstance(given, list) or len(given) > books.ROWS_AT_ONCE:
            raise Denied(400, "bad_rows", f"`rows` is a list of at most {books.ROWS_AT_ONCE}")
        entries = [_entry(one, place, route.currency) for place, one in enumerate(given, 1)]
        said = await self._daemon_handle.store.write(lambda tx: books.add(tx, route.account, key, entries))
        if said is not None:
            raise refused(said, actor=call.peer.actor)
        return {"book": key, "rows": len(entries)}

    async def close(self, call: Call) -> Any:
        """Put a book in force, if its totals agree."""
        route, key, store = self._route(call), call.parts[1], self._daemon_handle.store
        for _ in range(_LOOKS):
            judged = _or_refused(call, await store.read(lambda conn: books.judge(conn, route.account, key)))

            def unit(tx: Tx, judged: books.JudgedBook = judged) -> BookRow | No | None:
                return books.close(tx, judged, call.peer.actor)

            made = await store.write(unit)
            if made is not None:
                return _book(_or_refused(call, made))
        raise refused(_changing(), actor=call.peer.actor)

    async def withdraw(self, call: Call) -> Any:
        """Take a book out of force."""
        route, key, reason = self._route(call), call.parts[1], call.text("reason")
        made = await self._daemon_handle.store.write(
            lambda tx: books.withdraw(tx, route.account, key, reason, call.peer.actor)
        )
        return _book(_or_refused(call, made))

    # ---- statements from files ----

    async def lines(self, call: Call) -> Any:
        """Entries of a statement from a file."""
        route, hearers = self._unwatched(call)
        given = call.body.get("rows")
        if not isinstance(given, list) or len(given) > books.ROWS_AT_ONCE:
            raise Denied(400, "bad_rows", f"`rows` is a list of at most {books.ROWS_AT_ONCE}")
        told = [_line(one, place, route) for place, one in enumerate(given, 1)]
        new = await self._daemon_handle.store.write(lambda tx: statements.add(tx, route, told, hearers))
        return {"new": _or_refused(call, new), "rows": len(told)}

    async def close_statement(self, call: Call) -> Any:
        """Close the statement's last day, if its balances and entries agree."""
        route, hearers = self._unwatched(call)
        said = call.body
        opening, closing = (Money(_minor(said.get(name), name, route.currency), route.currency)
                            for name in ("opening", "closing"))  # fmt: skip
        end = StatementEnd(_day(said.get("from"), "from"), _day(said.get("to"), "to"), opening, closing,
                           int(call.number("count", 0, 1_000_000)) if said.get("count") else 0)  # fmt: skip
        why = await self._daemon_handle.store.write(
            lambda tx: statements.close(tx, route, end, hearers, call.peer.actor)
        )
        _or_refused(call, why)
        return {"from": end.first.isoformat(), "to": end.last.isoformat(), "closing": str(end.closing)}

    def _unwatched(self, call: Call) -> tuple[Route, tuple[str, ...]]:
        """The account, and the senders that hear of its entries. What a lane tells must not come from a file, too."""
        route, register = self._route(call), self._daemon_handle.register()
        if route.account in register.watched:
            raise Denied(409, "watched", "this account is watched: its entries come from the bank, under keys that a "
                         "file need not have; nothing was changed")  # fmt: skip
        return route, register.hearers(route.account)

    # ---- matching ----

    async def show(self, call: Call) -> Any:
        """What is matched, proposed and open, in both matchings."""
        route, last, terms = self._route(call), self._last(call), self._terms()
        found = await self._daemon_handle.store.read(lambda conn: reconcile(conn, route, last, terms))
        return {
            "account": route.account, "to": last.isoformat(), "currency": route.currency,
            "matchings": {matching.value: _matching(found, matching) for matching in Matching},
            "decisions": [_decision(one) for one in found.decided],
            "void": [{**_decision(one), "why": why} for one, why in found.void],
        }  # fmt: skip

    async def confirm(self, call: Call) -> Any:
        """Confirm that rows belong together: their sums are equal, and none of them is matched."""
        return await self._decide(call, CONFIRM)

    async def aside(self, call: Call) -> Any:
        """Set open rows aside with a reason; they are exceptions no more, and stay in the monthly statement."""
        return await self._decide(call, ASIDE)

    async def _decide(self, call: Call, kind: str) -> Any:
        route, last, reason = self._route(call), self._last(call), call.text("reason")
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

        return _decision(_or_refused(call, await self._on_basis(route, look, decide)))

    async def undo(self, call: Call) -> Any:
        """Take a decision back, unless it is in an approved statement."""
        route, decision, reason, today = self._route(call), call.text("decision"), call.text("reason"), self._today()

        def look(conn: Connection) -> tuple[Basis, None] | No:
            basis = basis_of(conn, route.account, today)
            one = next((one for one in decisions.in_force(conn, route.account) if one.decision == decision), None)
            if one is not None and is_frozen(account_rows.named(conn, route, one.rows), one.rows, basis.frozen):
                return No("frozen", f"the statement up to {basis.frozen} is approved; nothing was changed")
            return basis, None

        def undo(tx: Tx, _: None) -> MatchDecision | No:
            return decisions.undo(tx, route.account, decision, reason, call.peer.actor)

        return _decision(_or_refused(call, await self._on_basis(route, look, undo)))

    async def _on_basis(
        self, route: Route, look: Callable[[Connection], tuple[Basis, T] | No], act: Callable[[Tx, T], R | No]
    ) -> R | No:
        """Look at a snapshot, which may take seconds; then act in a short unit, if what was looked at is still so."""
        store = self._daemon_handle.store
        for _ in range(_LOOKS):
            seen = await store.read(look)
            if isinstance(seen, No):
                return seen
            basis, found = seen

            def unit(tx: Tx, basis: Basis = basis, found: T = found) -> R | No | None:
                return act(tx, found) if basis_of(tx.read, route.account, basis.last) == basis else None

            done = await store.write(unit)
            if done is not None:
                return done
        return _changing()

    # ---- the monthly statement ----

    async def table(self, call: Call) -> Any:
        """The statement of a month as it stands now, and its versions."""
        route, month, last, terms = self._route(call), call.parts[1], _month(call), self._terms()

        def look(conn: Any) -> tuple[dict[str, Any] | str, list[TableVersion]]:
            try:
                now: dict[str, Any] | str = balance_table(conn, route, reconcile(conn, route, last, terms))
            except NoTable as error:
                now = error.why
            return now, balance_tables.versions(conn, route.account, month)

        now, versions = await self._daemon_handle.store.read(look)
        return {
            "account": route.account, "month": month, "now": now if isinstance(now, dict) else None,
            "why_not": now if isinstance(now, str) else None, "versions": [_version(one) for one in versions],
        }  # fmt: skip

    async def submit(self, call: Call) -> Any:
        """Write the statement down as a version. A person does, who made and approved none of its payments."""
        route, month, last, terms = self._route(call), call.parts[1], _month(call), self._terms()
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

        return _version(_or_refused(call, await self._on_basis(route, look, submit)))

    async def approve(self, call: Call) -> Any:
        """Approve the last version, as another person than the one who submitted it, if it says what is so now."""
        route, month, last, terms = self._route(call), call.parts[1], _month(call), self._terms()
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

        return _version(_or_refused(call, await self._on_basis(route, look, approve)))

    def _route(self, call: Call) -> Route:
        route = self._daemon_handle.register().route_of(call.parts[0])
        if route is None or not call.scope.covers(route.company, route.account):
            raise Denied(404, "no_such_account", "no own account of yours has this number")
        return route

    def _terms(self) -> AccountTerms:
        return self._daemon_handle.register().reconciliation

    def _today(self) -> date:
        at = datetime.fromtimestamp(self._daemon_handle.clock.now_ms() / 1000, UTC)
        return at.astimezone(ZoneInfo("Asia/Shanghai")).date()

    def _last(self, call: Call) -> date:
        given = call.query.get("to", call.body.get("to"))
        return self._today() if given is None else _day(given, "to")


def _or_refused(call: Call, said: Any) -> Any:
    if isinstance(said, No):
        raise refused(said, actor=call.peer.actor)
    return said


def _changing() -> No:
    return No("busy", f"the account's rows changed {_LOOKS} times meanwhile; nothing was changed: ask again")


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


def _day(given: object, name: str) -> date:
    try:
        return date.fromisoformat(str(given))
    except ValueError:
        raise Denied(400, "bad_day", f"`{name}` is a day as 2026-11-30, not {given!r}") from None


def _head(call: Call, route: Route) -> BookHead:
    said = call.body
    currency = said.get("currency", route.currency)
    if currency != route.currency:
        raise Denied(400, "bad_currency", f"the account is in {route.currency}, the book in {currency}")
    count = said.get("count")
    if count is not None and (not isinstance(count, int) or count < 0):
        raise Denied(400, "bad_number", "`count` is the number of rows")
    return BookHead(
        route.account, _day(said.get("from"), "from"), _day(said.get("to"), "to"), route.currency,
        _minor(said.get("opening"), "opening", currency), _minor(said.get("closing"), "closing", currency), count,
        None if said.get("debit") is None else _minor(said["debit"], "debit", currency),
        None if said.get("credit") is None else _minor(said["credit"], "credit", currency),
    )  # fmt: skip


def _minor(given: object, name: str, currency: str) -> int:
    """A signed amount written as text."""
    text = str(given) if isinstance(given, str) else ""
    try:
        minor = Money.parse(text.removeprefix("-"), currency).minor
    except BadMoney as error:
        raise Denied(400, "bad_amount", f"`{name}`: {error}") from None
    return -minor if text.startswith("-") else minor


_TEXTS = {"counterparty_account": "party", "counterparty_name": "party_name", "reference": "reference",
          "voucher": "voucher", "settlement_no": "settlement", "text": "text"}  # fmt: skip


def _entry(given: object, place: int, currency: str) -> BookEntry:
    if not isinstance(given, Mapping):
        raise Denied(400, "bad_rows", f"row {place} is no object")
    unknown = sorted(given.keys() - {"id", "date", "direction", "amount", *_TEXTS})
    if unknown:
        raise Denied(400, "bad_rows", f"row {place} has {unknown[0]}, which is no field of a book")
    id = given.get("id")
    if not isinstance(id, str) or not 0 < len(id) <= 128:
        raise Denied(400, "bad_rows", f"row {place} needs an `id` of at most 128 characters")
    try:
        direction = Direction(str(given.get("direction")))
    except ValueError:
        raise Denied(400, "bad_rows", f"row {id}: `direction` is credit (money in) or debit (money out)") from None
    amount = _minor(given.get("amount"), f"amount of row {id}", currency)
    texts = {name: str(given[key])[:500] for key, name in _TEXTS.items() if given.get(key)}
    return BookEntry(id, _day(given.get("date"), f"date of row {id}"), direction, amount, **texts)


def _line(given: object, place: int, route: Route) -> Line:
    if not isinstance(given, Mapping):
        raise Denied(400, "bad_rows", f"row {place} is no object")
    id, party, name = (str(given.get(key) or "") for key in ("id", "counterparty_account", "counterparty_name"))
    if not 0 < len(id) <= 128:
        raise Denied(400, "bad_rows", f"row {place} needs an `id` of at most 128 characters")
    try:
        direction = Direction(str(given.get("direction")))
    except ValueError:
        raise Denied(400, "bad_rows", f"row {id}: `direction` is credit (money in) or debit (money out)") from None
    minor = _minor(given.get("amount"), f"amount of row {id}", route.currency)
    if minor < 0:
        raise Denied(400, "bad_amount", f"row {id}: an entry's amount has no sign; say its direction")
    occurrence = given.get("occurrence", 0)
    return Line(
        AccountNumber(route.account), id, direction, Money(minor, route.currency),
        _day(given.get("date"), f"date of row {id}"), text=str(given.get("text") or "")[:500],
        counterparty_account=AccountNumber(party) if party else None, counterparty_name=Name(name) if name else None,
        reference=str(given["reference"])[:128] if given.get("reference") else None,
        occurrence=occurrence if isinstance(occurrence, int) else 0, fee=given.get("fee") is True,
    )  # fmt: skip


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


def _matching(found: Reconciled, matching: Matching) -> dict[str, Any]:
    one = found.matched[matching]
    rules: dict[str, int] = {}
    for match in one.matches:
        rules[match.rule.value] = rules.get(match.rule.value, 0) + 1
    confirmed = [one for one in found.decided if one.matching is matching and one.kind == CONFIRM]
    return {
        "matched": {**rules, "confirmed": len(confirmed)},
        "matches": [_match(found, each) for each in one.matches[:LISTED]],
        "proposals": [
            {"rule": each.rule.value, "entries": each.entries, "lines": each.lines, "evidence": each.evidence}
            for each in one.proposals[:LISTED]
        ],
        "open_entries": [_open(found, *each) for each in found.open(matching, lines=False)[:LISTED]],
        "open_lines": [_open(found, *each) for each in found.open(matching, lines=True)[:LISTED]],
        "open_count": [len(one.open_entries), len(one.open_lines)],
    }  # fmt: skip


def _match(found: Reconciled, one: Match) -> dict[str, Any]:
    first = found.by_id[(one.lines or one.entries)[0]]
    return {"rule": one.rule.value, "entries": one.entries, "lines": one.lines, "evidence": one.evidence,
            "day": first.day.isoformat(), "amount": str(Money(first.amount_minor, first.currency))}  # fmt: skip


def _open(found: Reconciled, row: MatchRow, reason: str) -> dict[str, Any]:
    return {"id": row.id, "day": row.day.isoformat(), "direction": row.direction.value,
            "amount": str(Money(row.amount_minor, row.currency)), "reason": reason,
            "about": found.rows.about.get(row.id, "")}  # fmt: skip


def _book(one: BookRow) -> dict[str, Any]:
    head = one.head
    return {"book": one.book, "state": one.state, "from": head.first.isoformat(), "to": head.last.isoformat(),
            "opening": str(Money(head.opening_minor, head.currency)),
            "closing": str(Money(head.closing_minor, head.currency))}  # fmt: skip


def _decision(one: MatchDecision) -> dict[str, Any]:
    return {"decision": one.decision, "kind": one.kind, "matching": one.matching.value, "entries": one.entries,
            "lines": one.lines, "reason": one.reason, "by": one.actor, "at": instant(one.at_ms)}  # fmt: skip


def _version(one: TableVersion) -> dict[str, Any]:
    return {
        "month": one.month, "version": one.version, "state": one.state, "at": instant(one.at_ms),
        "submitted_by": one.submitted_by, "approved_by": one.approved_by or None, "content": one.content,
    }  # fmt: skip
