"""The verbs of the query process for the console: the daemon's reading verbs, and pages made for the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from gateway.act_ports import Accounts
from gateway.call import Call, Denied, answers, answers_of
from gateway.control.access import name_of
from gateway.control.act_answers import act_answers
from gateway.control.asked import verbs_of
from gateway.control.ports import ControlPorts
from gateway.control.server import Verb, VerbAnswer
from gateway.control.web import shown_session
from gateway.control.web_access import WebJudge, WebSessions, guarded
from gateway.kernel.clock import Clock
from gateway.kernel.commit.audit import AuditEntry
from gateway.kernel.commit.store import Store
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.act_answers import order_view
from gateway.people.act_answers.person_sessions import PersonSessions
from gateway.people.rules.sessions import SessionLimits
from gateway.web.query import audit_pages, joint_tests, search
from gateway.web.query.joint_tests import JointRuns
from gateway.web.query.overview import AT_RISK, newest, overview
from gateway.web.query.recent_answers import RecentAnswers
from protocols.canon.outcome import State
from protocols.canon.party import mask
from protocols.erp.news import instant

_REF, _REF_DIGITS = b"account ref\n", 20
READING = frozenset(
    {
        *("accounts.today", "positions.show", "reports.make", "reconciliation.show", "tables.show", "orders.list"),
        *("orders.show", "roles.list", "delegations.list", "policy.show", "approvals.list", "proposals.list"),
        *("receipts.list", "receipts.missing", "receipts.facts", "worklists.show", "pools.list", "pools.show"),
        *("pools.show_run",),
    }
)
"""The daemon's acts that only read the journal."""
WORK_LISTS_S = 20.0
OVERVIEW_S = 2.0
"""The greatest age of the work lists and counts that the console shows."""


def query_verbs(ports: ControlPorts, judge_by: WebJudge, shelf: JointRuns | None = None) -> Sequence[Verb]:
    """All acts, behind the matrix of roles.

    `ports` have a journal that can only be read; `shelf` has the runs of joint tests, if the settings name a folder.
    """
    sessions, store, clock, limits = WebSessions(judge_by), ports.store, ports.clock, ports.sessions.limits
    pages = QueryAnswers(store, clock, ports.accounts, limits, sessions)
    lists, counted = (RecentAnswers(clock.monotonic_s, age_s) for age_s in (WORK_LISTS_S, OVERVIEW_S))
    changed = {
        "GET /orders/{}": _without_bytes,
        "GET /reconciliation/{}": pages.by_ref,
        "GET /reconciliation/{}/tables/{}": pages.by_ref,
        "GET /worklists": lists.of,
        "GET /overview": counted.of,
    }
    own = act_answers(ports, PersonSessions(clock, limits))
    # Files are read on a reader's thread too.
    tests = joint_tests.answers(shelf, lambda look: store.read(lambda _conn: look()))
    made = verbs_of({**{code: own[code] for code in READING}, **answers_of(pages), **tests})
    return guarded(sessions, [replace(one, act=changed.get(name_of(one), _as_is)(one.act)) for one in made])


class QueryAnswers:
    """Answers the acts that only the query process answers."""

    def __init__(
        self, store: Store, clock: Clock, accounts: Accounts, limits: SessionLimits, sessions: WebSessions
    ) -> None:
        self._store = store
        self._clock = clock
        self._accounts = accounts
        self._limits = limits
        self._sessions = sessions

    @answers("query.overview")
    async def overview(self, call: Call) -> Any:
        """Counts of open payments, and the newest of those at which a person must look."""

        def overview_lists(conn: Connection) -> dict[str, Any]:
            lists = {
                "at_risk_list": newest(conn, call.scope, AT_RISK),
                "held_list": newest(conn, call.scope, (State.HELD,)),
            }
            return {
                **overview(conn, call.scope),
                **{name: [order_view.brief(row) for row in rows] for name, rows in lists.items()},
            }

        return {"at": instant(self._clock.now_ms()), **await self._store.read(overview_lists)}

    @answers("query.search")
    async def search(self, call: Call) -> Any:
        """Payments and requests with the id `q`."""
        text = call.query.get("q", "").strip()
        if not 0 < len(text) <= search.MOST_CHARACTERS:
            raise Denied(400, "missing", f"write an id, {search.MOST_CHARACTERS} characters at most")
        found = await self._store.read(lambda conn: search.search(conn, text, call.scope))
        return {"payments": [order_view.brief(row) for row in found.payments], "request": found.request}

    @answers("query.accounts")
    async def accounts(self, call: Call) -> Any:
        """Answer with the own accounts in scope. Each has a `ref` for addresses, because an account number must not be
        in an address."""
        own = [route for route in self._accounts().routes.values() if call.scope.covers(route.company, route.account)]
        refs = await self._refs()
        own.sort(key=lambda route: (route.company, route.bank, route.currency, route.account))
        return {
            "accounts": [
                {
                    "ref": refs[route.account],
                    "account": mask(route.account),
                    "company": route.company,
                    "bank": route.bank,
                    "currency": route.currency,
                }
                for route in own
            ]
        }

    async def _refs(self) -> Mapping[str, str]:
        register = self._accounts()

        def account_refs(conn: Connection) -> Mapping[str, str]:
            vault = vault_of(conn)
            return {account: vault.mac(_REF + account.encode()).hex()[:_REF_DIGITS] for account in register.routes}

        return await self._store.read(account_refs)

    def by_ref(self, act: VerbAnswer) -> VerbAnswer:
        """The verb for an account that is named by its `ref`."""

        async def found(call: Call) -> Any:
            refs = {ref: account for account, ref in (await self._refs()).items()}
            account = refs.get(call.parts[0], "")
            said = await act(replace(call, parts=(account, *call.parts[1:])))
            return {**said, "account": mask(account)}

        return found

    @answers("query.audit")
    async def audit(self, call: Call) -> Any:
        """A page of the audit trail, the newest first."""
        wanted = [call.query.get(name) for name in ("object", "actor", "after")]
        try:
            found = await self._store.read(lambda conn: audit_pages.page(conn, *wanted))
        except ValueError:
            raise Denied(400, "bad_place", "`after` must be the value that the previous page gave") from None
        following = audit_pages.mark(found[-1]) if len(found) == audit_pages.PAGE_ENTRIES else None
        return {"entries": [_entry(one) for one in found], "next": following}

    @answers("web.session")
    async def session(self, call: Call) -> Any:
        """The session's person and roles."""
        found = await self._sessions.of(call.token)
        ends_ms = found.session.ends_ms(self._limits)
        return shown_session(found.session, found.entitled, ends_ms, self._clock.now_ms())


def _entry(one: AuditEntry) -> dict[str, Any]:
    masking = order_view.Masking((), (), clear=False)
    return {
        "at": instant(one.at_ms),
        "node": one.node,
        "seq": one.seq,
        "actor": one.actor,
        "entry": one.entry,
        "object": masking.text(one.object_id),
        "detail": order_view.masked_value(one.detail, masking),
    }


def _as_is(act: VerbAnswer) -> VerbAnswer:
    return act


def _without_bytes(act: VerbAnswer) -> VerbAnswer:
    """Wrap a verb so that its answers have the size and fingerprint of bytes in place of the bytes.

    Only the daemon knows a lane's credentials and can cut them from the bytes; this process must not know them.
    """

    async def cut(call: Call) -> Any:
        return without_text(await act(call))

    return cut


def without_text(said: Any) -> Any:
    """The answer without the text of its bytes."""
    if isinstance(said, Mapping):
        if "sha256" in said and "text" in said:
            return {name: value for name, value in said.items() if name != "text"}
        return {name: without_text(value) for name, value in said.items()}
    return [without_text(one) for one in said] if isinstance(said, list) else said
