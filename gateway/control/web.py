"""The daemon's socket for web pages: sign-in, decisions, and the data that only the daemon has.

The query process (gateway.web.query) answers everything else that the console shows. Nothing here runs the machine: an
attacker who controls a page can only ask for what the signed-in persons may see.
"""

from __future__ import annotations

import grp
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from gateway import settings as conf
from gateway.act_ports import NodePort
from gateway.bank.token_bucket import TokenBucket
from gateway.call import Call, Denied, answers, answers_of
from gateway.control.act_answers import act_answers
from gateway.control.asked import verbs_of
from gateway.control.matrix import MATRIX
from gateway.control.ports import ControlPorts
from gateway.control.server import ControlServer, Verb
from gateway.control.web_access import WebJudge, WebSessions, actor_of, guarded
from gateway.control.web_oidc import OidcAnswers
from gateway.control.web_passkeys import PasskeyAnswers, PasskeyPorts
from gateway.control.web_refusals import PageRefusalAnswers
from gateway.kernel.clock import Clock
from gateway.kernel.commit import audit
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Store, Tx
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.act_answers import order_view
from gateway.payments.rows import lookup
from gateway.people.act_answers.person_sessions import PersonSessions
from gateway.people.act_answers.sign_in_attempts import Fits, code_fits, password_checked, secret, try_in
from gateway.people.rows import entitlements, sign_outs
from gateway.people.rows.entitlements import EntitledPerson
from gateway.people.rows.persons import No
from gateway.people.rules import passkeys, web_tokens
from gateway.people.rules.passkeys import RelyingParty
from gateway.people.rules.sessions import SessionLimits
from gateway.people.rules.web_tokens import WebPage, WebSession
from gateway.reports.forms import FORMS

FROM_THE_DAEMON = frozenset(
    {
        *("node.status", "lanes.list", "orders.show", "approvals.list", "approvals.show", "approvals.renew"),
        *("receipts.file", "pools.preview", "parked.list", "parked.replay"),
    }
)
"""Acts of the command line that web pages may ask for, too."""
_TRIES_PER_S, _TRIES_AT_ONCE = 2.0, 10
_NONCE_BYTES = 16
_OURS = ("password", "passkey")
NOT_IN = "name, password or code do not fit, or you are locked out for thirty minutes; you are not signed in"


@dataclass(frozen=True, slots=True)
class PageOrigins:
    """The addresses of the two pages. Each page is a relying party of WebAuthn of its own."""

    console: RelyingParty
    approval: RelyingParty

    def party(self, page: WebPage) -> RelyingParty:
        """The relying party of a page."""
        return self.console if page is WebPage.CONSOLE else self.approval


def web_verbs(ports: ControlPorts, place: PageOrigins, oidc: conf.OidcSettings | None = None) -> Sequence[Verb]:
    """All verbs that web pages can use at the daemon, each behind the matrix of roles."""
    store, clock, limits = ports.store, ports.clock, ports.sessions.limits

    async def note(call: Call, person: str, verb: str, code: str) -> None:
        await store.write(lambda tx: note_refusal(tx, person, verb, code))

    sessions = WebSessions(WebJudge(store.read, clock.now_ms, limits, note))
    pages = PageAnswers(store, clock, ports.node, limits, sessions, place, oidc)
    door = PasskeyPorts(place.party, pages.attempt, pages.prove, pages.slow_down)
    pending, own = ports.sessions.pending_passkeys, act_answers(ports, PersonSessions(clock, limits))
    made = answers_of(
        pages,
        PageRefusalAnswers(store, clock),
        PasskeyAnswers(store, clock, ports.accounts, pending, door),
        OidcAnswers(store, clock, pending, oidc, pages.attempt, pages.slow_down),
    )
    return guarded(sessions, verbs_of({**{code: own[code] for code in FROM_THE_DAEMON}, **made}))


class WebServer:
    """The daemon's socket for web pages. It listens only if the settings name the origins of both pages."""

    def __init__(self, reactor: Any, settings: conf.Settings, ports: ControlPorts) -> None:
        self._settings = settings
        self._server: ControlServer | None = None
        console, approval = settings.web.console_origin, settings.web.approval_origin
        if console is not None and approval is not None:
            passkeys.load()
            place = PageOrigins(
                RelyingParty(conf.host_of(console), console), RelyingParty(conf.host_of(approval), approval)
            )
            verbs_of = web_verbs(ports, place, settings.web.oidc)
            self._server = ControlServer(reactor, verbs_of, settings.environment_name(), pages=True)

    def open(self) -> None:
        """Listen. Raises CannotListenError, OSError, LookupError."""
        if self._server is not None:
            self._server.open(self._settings.web_socket(), gid=web_gid(self._settings))

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            await self._server.close()


def web_gid(settings: conf.Settings) -> int | None:
    """The group whose members may open the web sockets. Raises LookupError for a group that does not exist."""
    name = settings.web.group
    return None if name is None else grp.getgrnam(name).gr_gid


def note_refusal(tx: Tx, person: str, verb: str, code: str) -> None:
    """Log that a person in a browser was refused."""
    audit.append(tx, actor_of(person), "access.refused", f"person:{person}", {"verb": verb, "code": code})


def shown_session(session: WebSession, entitled: EntitledPerson, ends_ms: int, now_ms: int) -> dict[str, Any]:
    """A session as its page shows it."""
    return {
        "person": entitled.person.name,
        "roles": entitled.grants.text(),
        "page": session.page.value,
        "factor": session.factor,
        "ends_in_s": (ends_ms - now_ms) // 1000,
    }


class PageAnswers:
    """Answers the acts of web pages about their sessions."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        node: NodePort,
        limits: SessionLimits,
        sessions: WebSessions,
        place: PageOrigins,
        oidc: conf.OidcSettings | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._node = node
        self._limits = limits
        self._sessions = sessions
        self._place = place
        self._oidc = oidc
        self._tries = TokenBucket(_TRIES_PER_S, _TRIES_AT_ONCE, clock.monotonic_s())

    @answers("web.place")
    async def place(self, call: Call) -> Any:
        """The name of this environment, and the addresses of its pages."""
        identity = self._node.identity
        return {
            "environment": identity["environment"],
            "live": identity["mode"] == "production",
            "node": identity["node"],
            "version": identity["version"],
            "console_origin": self._place.console.origin,
            "approval_origin": self._place.approval.origin,
            "console_rp": self._place.console.id,
            "approval_rp": self._place.approval.id,
            "oidc": None
            if self._oidc is None
            else {"token_url": self._oidc.token_url, "client_id": self._oidc.client_id},
        }

    # ---- sessions ----

    @answers("web.sign_in")
    async def sign_in(self, call: Call) -> Any:
        """Open a session of the console with `person`, `password` and `one_time_code`."""
        person, password, code = call.text("person"), secret(call, "password"), secret(call, "one_time_code")
        self.slow_down()
        now_ms = self._clock.now_ms()
        checked = await self._store.read(lambda conn: password_checked(conn, person, password, now_ms))
        return await self.attempt(person, WebPage.CONSOLE, "password", code_fits(checked, code))

    def slow_down(self) -> None:
        """Refuse when there are too many sign-in attempts, because hashing passwords takes time from the journal's
        readers. Raises Denied 429."""
        if self._tries.wait_s(self._clock.monotonic_s()) > 0:
            raise Denied(429, "too_many", "too many try to sign in; wait a few seconds")

    async def attempt(self, person: str, page: WebPage, factor: str, fits: Fits) -> Any:
        """A session for a valid factor.

        Every invalid attempt gets the same answer; the audit trail has the reason.
        """

        def attempt_factor(tx: Tx) -> tuple[EntitledPerson, WebSession, str] | No:
            actor = actor_of(person)
            found = entitlements.of_name(tx.fresh, person, tx.now_ms)
            if not isinstance(found, No):
                found = try_in(tx, found, factor, fits, actor)
            else:
                audit.append(tx, actor, "sign_in.failed", "person:?", {"factor": factor, "code": found.code})
            if isinstance(found, No):
                return found
            proved_ms = tx.now_ms if factor in _OURS else 0
            nonce = tx.entropy.bytes(_NONCE_BYTES).hex()
            session = WebSession(person, page, factor, tx.now_ms, tx.now_ms, nonce, proved_ms)
            return found, session, web_tokens.encode(session, tx.vault.mac)

        said = await self._store.write(attempt_factor)
        if isinstance(said, No):
            raise Denied(403, "sign_in_failed", NOT_IN)
        entitled, session, token = said
        return {**self._shown(session, entitled), "token": token}

    @answers("web.step_up")
    async def step_up(self, call: Call) -> Any:
        """The same session, after its person gave `password` and `one_time_code` again, as an export of a
        file needs.
        """
        person = (await self._sessions.of(call.token)).entitled.person.name
        password, code = secret(call, "password"), secret(call, "one_time_code")
        self.slow_down()
        now_ms = self._clock.now_ms()
        checked = await self._store.read(lambda conn: password_checked(conn, person, password, now_ms))
        return await self.prove(call, "password", code_fits(checked, code))

    async def prove(self, call: Call, factor: str, fits: Fits) -> Any:
        """The call's session, marked as proven now, if its person's factor is valid. Failures count as those of signing
        in.
        """
        found = await self._sessions.of(call.token)
        person = found.entitled.person.name

        def prove_again(tx: Tx) -> tuple[WebSession, str] | No:
            entitled = entitlements.of_name(tx.fresh, person, tx.now_ms)
            if not isinstance(entitled, No):
                entitled = try_in(tx, entitled, f"{factor}, again", fits, actor_of(person))
            if isinstance(entitled, No):
                return entitled
            session = replace(found.session, seen_ms=tx.now_ms, proved_ms=tx.now_ms)
            return session, web_tokens.encode(session, tx.vault.mac)

        said = await self._store.write(prove_again)
        if isinstance(said, No):
            why = "what you showed does not fit, or you are locked out for thirty minutes; no file left the gateway"
            raise Denied(403, "step_up_failed", why)
        session, token = said
        return {**self._shown(session, found.entitled), "token": token}

    @answers("web.export_report")
    async def export(self, call: Call) -> Any:
        """Note in the audit trail that a person exports a report as a file. The query process makes the file."""
        report, period = call.parts[0], {name: str(call.body.get(name) or "")[:10] for name in ("from", "to")}
        if report not in FORMS:
            raise Denied(404, "no_such_report", f"there is no report {report[:40]}")
        await self._store.write(
            lambda tx: audit.append(tx, call.peer.actor, "report.exported", f"report:{report}", period)
        )
        return {"report": report, "noted": True}

    def _shown(self, session: WebSession, entitled: EntitledPerson) -> dict[str, Any]:
        ends_ms = session.ends_ms(self._limits)
        return shown_session(session, entitled, ends_ms, self._clock.now_ms())

    @answers("web.session")
    async def session(self, call: Call) -> Any:
        """The session's person and roles, and how long it lasts without use."""
        found = await self._sessions.of(call.token)
        return self._shown(found.session, found.entitled)

    @answers("web.renew")
    async def renew(self, call: Call) -> Any:
        """The same session, marked as used now."""
        found = await self._sessions.of(call.token)
        session = replace(found.session, seen_ms=self._clock.now_ms())

        def renewed_token(conn: Connection) -> str:
            return web_tokens.encode(session, vault_of(conn).mac)

        token = await self._store.read(renewed_token)
        return {**self._shown(session, found.entitled), "token": token}

    @answers("web.sign_out")
    async def sign_out(self, call: Call) -> Any:
        """End the session, for both processes and over their restarts."""
        session = (await self._sessions.of(call.token)).session
        until_ms = session.began_ms + self._limits.absolute_ms
        await self._store.write(lambda tx: sign_outs.end(tx, session.nonce, until_ms))
        return {"signed_in": False}

    @answers("web.refused")
    async def refused(self, call: Call) -> Any:
        """Note that the query process, which writes nothing, has refused this person."""
        verb, code, person = call.text("verb"), call.text("code"), call.person or ""
        if verb not in MATRIX:
            raise Denied(400, "no_such_verb", f"{verb} is not in the matrix of roles")
        await self._store.write(lambda tx: note_refusal(tx, person, verb, code[:40]))
        return {"noted": True}

    # ---- unmasked ----

    @answers("web.reveal")
    async def reveal(self, call: Call) -> Any:
        """The account numbers and names of one payment, unmasked. The audit trail notes who saw them."""
        key = call.parts[0]

        def read_and_audit(tx: Tx) -> PaymentRow | None:
            row = lookup.fetch(tx.read, key)
            if row is None or not call.scope.covers(row.company, row.order.ours.account.clear):
                return None
            detail = {"order_id": row.order.id, "sender": row.sender}
            audit.append(tx, call.peer.actor, "order.shown_clear", row.payment, detail)
            return row

        row = await self._store.write(read_and_audit)
        if row is None:
            raise Denied(404, "no_such_order", f"there is no payment {key} in your scope")
        clear = order_view.masking_of((row,), {}, clear=True)
        said = order_view.full(row, clear)
        return {"payment": row.payment, "debtor": said["debtor"], "creditor": said["creditor"]}
