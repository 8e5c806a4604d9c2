"""What the console may ask of the query process: the daemon's own reading verbs, and pages made for the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from gateway.control import order_view
from gateway.control import verbs as daemon_verbs
from gateway.control.access import name_of
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.person_sessions import PersonSessions
from gateway.control.server import Act, Call, Denied, Verb
from gateway.control.web import shown_session
from gateway.control.web_access import WebJudge, WebSessions, guarded
from gateway.journal.commit.audit import AuditEntry
from gateway.journal.sql.vaults import vault_of
from gateway.query import audit_pages, joint_tests, search
from gateway.query.joint_tests import JointRuns
from gateway.query.overview import AT_RISK, newest, overview
from gateway.query.recent_answers import RecentAnswers
from protocols.canon.outcome import State
from protocols.canon.party import mask
from protocols.erp.news import instant

_REF, _REF_DIGITS = b"account ref\n", 20
READING = frozenset({
    "GET /today", "GET /positions", "GET /reports/{}", "GET /reconciliation/{}", "GET /reconciliation/{}/tables/{}",
    "GET /orders", "GET /orders/{}", "GET /roles", "GET /delegations", "GET /policy", "GET /approvals",
    "GET /proposals", "GET /receipts", "GET /receipts/missing", "GET /receipts/{}/facts", "GET /worklists",
    "GET /liquidity", "GET /liquidity/{}", "GET /liquidity-runs/{}",
})  # fmt: skip
"""The daemon's verbs that only read the journal."""
WORK_LISTS_S = 20.0
OVERVIEW_S = 2.0
"""So old may the work lists and the counted payments be that the console shows."""


def query_verbs(handle: DaemonHandle, judge_by: WebJudge, shelf: JointRuns | None = None) -> Sequence[Verb]:
    """All verbs, behind the matrix of roles. `handle` has a journal that can be read, and nothing that runs; `shelf`
    has the runs of joint tests, if the settings name a folder."""
    sessions = WebSessions(judge_by)
    acts = _Acts(handle, sessions)
    lists, counted = (RecentAnswers(handle.clock.monotonic_s, age_s) for age_s in (WORK_LISTS_S, OVERVIEW_S))
    own = daemon_verbs.unguarded(handle, PersonSessions(handle.clock, handle.session_limits))
    changed = {"GET /orders/{}": _without_bytes, "GET /reconciliation/{}": acts.by_ref,
               "GET /reconciliation/{}/tables/{}": acts.by_ref, "GET /worklists": lists.of}  # fmt: skip
    reading = [
        Verb(verb.method, verb.path, changed.get(name_of(verb), _as_is)(verb.act))
        for verb in own if name_of(verb) in READING
    ]  # fmt: skip
    return guarded(sessions, (
        *reading,
        Verb("GET", "/overview", counted.of(acts.overview)),
        Verb("GET", "/search", acts.search),
        Verb("GET", "/audit", acts.audit),
        Verb("GET", "/accounts", acts.accounts),
        Verb("GET", "/web/session", acts.session),
        # A reader's thread is as good a place as any for files.
        *joint_tests.verbs(shelf, lambda look: handle.store.read(lambda _conn: look())),
    ))  # fmt: skip


class _Acts:
    def __init__(self, handle: DaemonHandle, sessions: WebSessions) -> None:
        self._handle = handle
        self._sessions = sessions

    async def overview(self, call: Call) -> Any:
        """Open payments counted, and the newest of those that somebody has to look at."""

        def look(conn: Connection) -> dict[str, Any]:
            lists = {
                "at_risk_list": newest(conn, call.scope, AT_RISK), "held_list": newest(conn, call.scope, (State.HELD,)),
            }
            return {**overview(conn, call.scope),
                    **{name: [order_view.brief(row) for row in rows] for name, rows in lists.items()}}  # fmt: skip

        return {"at": instant(self._handle.clock.now_ms()), **await self._handle.store.read(look)}

    async def search(self, call: Call) -> Any:
        """Payments and requests that bear the id `q`."""
        text = call.query.get("q", "").strip()
        if not 0 < len(text) <= search.MOST_CHARACTERS:
            raise Denied(400, "missing", f"write an id, {search.MOST_CHARACTERS} characters at most")
        found = await self._handle.store.read(lambda conn: search.search(conn, text, call.scope))
        return {"payments": [order_view.brief(row) for row in found.payments], "request": found.request}

    async def accounts(self, call: Call) -> Any:
        """Own accounts in scope, each with a `ref` that says nothing: an account's number stands in no address."""
        own = [route for route in self._handle.register().routes.values()
               if call.scope.covers(route.company, route.account)]  # fmt: skip
        refs = await self._refs()
        own.sort(key=lambda route: (route.company, route.bank, route.currency, route.account))
        return {"accounts": [
            {"ref": refs[route.account], "account": mask(route.account), "company": route.company, "bank": route.bank,
             "currency": route.currency} for route in own
        ]}  # fmt: skip

    async def _refs(self) -> Mapping[str, str]:
        register = self._handle.register()

        def look(conn: Connection) -> Mapping[str, str]:
            vault = vault_of(conn)
            return {account: vault.mac(_REF + account.encode()).hex()[:_REF_DIGITS] for account in register.routes}

        return await self._handle.store.read(look)

    def by_ref(self, act: Act) -> Act:
        """The same verb, for an account that is named by its `ref`."""

        async def found(call: Call) -> Any:
            refs = {ref: account for account, ref in (await self._refs()).items()}
            account = refs.get(call.parts[0], "")
            said = await act(replace(call, parts=(account, *call.parts[1:])))
            return {**said, "account": mask(account)}

        return found

    async def audit(self, call: Call) -> Any:
        """A page of the audit trail, the newest first."""
        wanted = [call.query.get(name) for name in ("object", "actor", "after")]
        try:
            found = await self._handle.store.read(lambda conn: audit_pages.page(conn, *wanted))
        except ValueError:
            raise Denied(400, "bad_place", "`after` is the place that the page before named") from None
        following = audit_pages.mark(found[-1]) if len(found) == audit_pages.PAGE_ENTRIES else None
        return {"entries": [_entry(one) for one in found], "next": following}

    async def session(self, call: Call) -> Any:
        """Whose session it is, with which roles."""
        found = await self._sessions.of(call.token)
        ends_ms = found.session.ends_ms(self._handle.session_limits)
        return shown_session(found.session, found.entitled, ends_ms, self._handle.clock.now_ms())


def _entry(one: AuditEntry) -> dict[str, Any]:
    veiled = order_view.Veil((), (), clear=False)
    return {
        "at": instant(one.at_ms), "node": one.node, "seq": one.seq, "actor": one.actor, "entry": one.entry,
        "object": veiled.text(one.object_id), "detail": order_view.veiled_value(one.detail, veiled),
    }  # fmt: skip


def _as_is(act: Act) -> Act:
    return act


def _without_bytes(act: Act) -> Act:
    """The daemon knows a lane's credentials and cuts them from the bytes that it shows; this process must not know
    them, and shows size and fingerprint only."""

    async def cut(call: Call) -> Any:
        return without_text(await act(call))

    return cut


def without_text(said: Any) -> Any:
    """An answer in which bytes have lost their text."""
    if isinstance(said, Mapping):
        if "sha256" in said and "text" in said:
            return {name: value for name, value in said.items() if name != "text"}
        return {name: without_text(value) for name, value in said.items()}
    return [without_text(one) for one in said] if isinstance(said, list) else said

