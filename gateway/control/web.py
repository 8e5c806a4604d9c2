"""What web pages may ask of the daemon, at a socket of its own: sign in, what only the daemon knows, and decisions.

Everything else that the console shows comes from the query process (gateway.query). Nothing here runs the machine: a
page that is taken over can ask for what the persons who are signed in may see, and for nothing more.
"""

from __future__ import annotations

import grp
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from gateway import settings as conf
from gateway.bank.token_bucket import TokenBucket
from gateway.control import order_view, verbs, web_refusals
from gateway.control.access import name_of
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.person_sessions import PersonSessions
from gateway.control.server import Call, ControlServer, Denied, Verb
from gateway.control.sign_in_attempts import Fits, code_fits, password_checked, secret, try_in
from gateway.control.web_access import WebJudge, WebSessions, actor_of, guarded
from gateway.control.web_oidc import oidc_verbs
from gateway.control.web_passkeys import PasskeyDoor, passkey_verbs
from gateway.journal.commit import audit
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import lookup
from gateway.journal.people import entitlements, sign_outs
from gateway.journal.people.entitlements import EntitledPerson
from gateway.journal.people.persons import No
from gateway.journal.sql.vaults import vault_of
from gateway.people import passkeys, web_tokens
from gateway.people.matrix import MATRIX
from gateway.people.passkeys import RelyingParty
from gateway.people.web_tokens import WebPage, WebSession
from gateway.treasury.reports.forms import FORMS

FROM_THE_DAEMON = frozenset({
    "GET /status", "GET /lanes", "GET /orders/{}", "GET /approvals", "GET /approvals/{}", "POST /approvals/{}/renew",
    "GET /receipts/{}/file", "GET /liquidity/{}/preview", "GET /parked", "POST /parked/{}/replay",
})  # fmt: skip
"""Verbs of the command line that web pages may ask for, too."""
_TRIES_PER_S, _TRIES_AT_ONCE = 2.0, 10
_NONCE_BYTES = 16
_OURS = ("password", "passkey")
NOT_IN = "name, password or code do not fit, or you are locked out for thirty minutes; you are not signed in"


@dataclass(frozen=True, slots=True)
class WebPlace:
    """Where browsers find the two pages: each is a relying party of its own."""

    console: RelyingParty
    approval: RelyingParty

    def party(self, page: WebPage) -> RelyingParty:
        """The relying party of a page."""
        return self.console if page is WebPage.CONSOLE else self.approval


def web_verbs(
    daemon_handle: DaemonHandle, place: WebPlace, oidc: conf.OidcSettings | None = None
) -> Sequence[Verb]:
    """All that web pages can ask of the daemon, each behind the matrix of roles."""

    async def note(call: Call, person: str, verb: str, code: str) -> None:
        await daemon_handle.store.write(lambda tx: note_refusal(tx, person, verb, code))

    sessions = WebSessions(WebJudge(
        daemon_handle.store.read, daemon_handle.clock.now_ms, daemon_handle.session_limits, note
    ))  # fmt: skip
    acts, one = _Acts(daemon_handle, sessions, place, oidc), "([^/]+)"
    own = verbs.unguarded(daemon_handle, PersonSessions(daemon_handle.clock, daemon_handle.session_limits))
    return guarded(sessions, (
        *(verb for verb in own if name_of(verb) in FROM_THE_DAEMON),
        Verb("GET", "/place", acts.place),
        Verb("POST", "/web/sign-in", acts.sign_in),
        Verb("GET", "/web/session", acts.session),
        Verb("POST", "/web/renew", acts.renew),
        Verb("POST", "/web/sign-out", acts.sign_out),
        Verb("POST", "/web/refused", acts.refused),
        Verb("POST", "/web/step-up", acts.step_up),
        Verb("POST", f"/web/exports/reports/{one}", acts.export),
        Verb("POST", f"/web/orders/{one}/reveal", acts.reveal),
        *web_refusals.verbs(daemon_handle),
        *passkey_verbs(daemon_handle, PasskeyDoor(place.party, acts.attempt, acts.prove, acts.slow_down)),
        *oidc_verbs(daemon_handle, oidc, acts.attempt, acts.slow_down),
    ))  # fmt: skip


class WebServer:
    """The daemon's socket for web pages. Where the settings have none, it listens nowhere."""

    def __init__(self, reactor: Any, settings: conf.Settings, handle: DaemonHandle) -> None:
        self._settings = settings
        self._server: ControlServer | None = None
        console, approval = settings.web.console_origin, settings.web.approval_origin
        if console is not None and approval is not None:
            passkeys.load()
            place = WebPlace(RelyingParty(conf.host_of(console), console),
                             RelyingParty(conf.host_of(approval), approval))  # fmt: skip
            verbs_of = web_verbs(handle, place, settings.web.oidc)
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
    """The group whose members may open the web sockets. Raises LookupError for a group that is not there."""
    name = settings.web.group
    return None if name is None else grp.getgrnam(name).gr_gid


def note_refusal(tx: Tx, person: str, verb: str, code: str) -> None:
    """A person in a browser was refused."""
    audit.append(tx, actor_of(person), "access.refused", f"person:{person}", {"verb": verb, "code": code})


def shown_session(session: WebSession, entitled: EntitledPerson, ends_ms: int, now_ms: int) -> dict[str, Any]:
    """A session as its page shows it."""
    return {
        "person": entitled.person.name, "roles": entitled.grants.text(), "page": session.page.value,
        "factor": session.factor, "ends_in_s": (ends_ms - now_ms) // 1000,
    }  # fmt: skip


class _Acts:
    def __init__(
        self, daemon_handle: DaemonHandle, sessions: WebSessions, place: WebPlace, oidc: conf.OidcSettings | None
    ) -> None:
        self._oidc = oidc
        self._daemon_handle = daemon_handle
        self._sessions = sessions
        self._place = place
        self._tries = TokenBucket(_TRIES_PER_S, _TRIES_AT_ONCE, daemon_handle.clock.monotonic_s())

    async def place(self, call: Call) -> Any:
        """Which environment this is, and where its pages are."""
        identity = self._daemon_handle.identity
        return {
            "environment": identity["environment"], "live": identity["mode"] == "production",
            "node": identity["node"], "version": identity["version"],
            "console_origin": self._place.console.origin, "approval_origin": self._place.approval.origin,
            "console_rp": self._place.console.id, "approval_rp": self._place.approval.id,
            "oidc": None if self._oidc is None else {
                "token_url": self._oidc.token_url, "client_id": self._oidc.client_id,
            },
        }  # fmt: skip

    # ---- sessions ----

    async def sign_in(self, call: Call) -> Any:
        """Open a session of the console with `person`, `password` and `one_time_code`."""
        person, password, code = call.text("person"), secret(call, "password"), secret(call, "one_time_code")
        self.slow_down()
        now_ms = self._daemon_handle.clock.now_ms()
        checked = await self._daemon_handle.store.read(
            lambda conn: password_checked(conn, person, password, now_ms)
        )
        return await self.attempt(person, WebPage.CONSOLE, "password", code_fits(checked, code))

    def slow_down(self) -> None:
        """Refuse when too many try: hashes are computed where the journal is read. Raises Denied 429."""
        if self._tries.wait_s(self._daemon_handle.clock.monotonic_s()) > 0:
            raise Denied(429, "too_many", "too many try to sign in; wait a few seconds")

    async def attempt(self, person: str, page: WebPage, factor: str, fits: Fits) -> Any:
        """A session for what fits. What does not is told alike, whatever it was: the audit trail has the reason."""

        def unit(tx: Tx) -> tuple[EntitledPerson, WebSession, str] | No:
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
            return found, session, web_tokens.write(session, tx.vault.mac)

        said = await self._daemon_handle.store.write(unit)
        if isinstance(said, No):
            raise Denied(403, "sign_in_failed", NOT_IN)
        entitled, session, token = said
        return {**self._shown(session, entitled), "token": token}

    async def step_up(self, call: Call) -> Any:
        """The same session, after its person showed `password` and `one_time_code` again: for what leaves as a file."""
        person = (await self._sessions.of(call.token)).entitled.person.name
        password, code = secret(call, "password"), secret(call, "one_time_code")
        self.slow_down()
        now_ms = self._daemon_handle.clock.now_ms()
        checked = await self._daemon_handle.store.read(
            lambda conn: password_checked(conn, person, password, now_ms)
        )
        return await self.prove(call, "password", code_fits(checked, code))

    async def prove(self, call: Call, factor: str, fits: Fits) -> Any:
        """The session of the call, proven now, if what its person shows fits. Failures count as those of signing in."""
        found = await self._sessions.of(call.token)
        person = found.entitled.person.name

        def unit(tx: Tx) -> tuple[WebSession, str] | No:
            entitled = entitlements.of_name(tx.fresh, person, tx.now_ms)
            if not isinstance(entitled, No):
                entitled = try_in(tx, entitled, f"{factor}, again", fits, actor_of(person))
            if isinstance(entitled, No):
                return entitled
            session = replace(found.session, seen_ms=tx.now_ms, proved_ms=tx.now_ms)
            return session, web_tokens.write(session, tx.vault.mac)

        said = await self._daemon_handle.store.write(unit)
        if isinstance(said, No):
            why = "this does not fit, or you are locked out for thirty minutes; nothing left the gateway"
            raise Denied(403, "step_up_failed", why)
        session, token = said
        return {**self._shown(session, found.entitled), "token": token}

    async def export(self, call: Call) -> Any:
        """Note that a person takes a report away as a file; the query process makes it."""
        report, period = call.parts[0], {name: str(call.body.get(name) or "")[:10] for name in ("from", "to")}
        if report not in FORMS:
            raise Denied(404, "no_such_report", f"there is no report {report[:40]}")
        await self._daemon_handle.store.write(
            lambda tx: audit.append(tx, call.peer.actor, "report.exported", f"report:{report}", period)
        )
        return {"report": report, "noted": True}

    def _shown(self, session: WebSession, entitled: EntitledPerson) -> dict[str, Any]:
        ends_ms = session.ends_ms(self._daemon_handle.session_limits)
        return shown_session(session, entitled, ends_ms, self._daemon_handle.clock.now_ms())

    async def session(self, call: Call) -> Any:
        """Whose session it is, with which roles, and how long it lasts without use."""
        found = await self._sessions.of(call.token)
        return self._shown(found.session, found.entitled)

    async def renew(self, call: Call) -> Any:
        """The same session, seen now."""
        found = await self._sessions.of(call.token)
        session = replace(found.session, seen_ms=self._daemon_handle.clock.now_ms())

        def look(conn: Connection) -> str:
            return web_tokens.write(session, vault_of(conn).mac)

        token = await self._daemon_handle.store.read(look)
        return {**self._shown(session, found.entitled), "token": token}

    async def sign_out(self, call: Call) -> Any:
        """End the session, for both processes and over their restarts."""
        session = (await self._sessions.of(call.token)).session
        until_ms = session.began_ms + self._daemon_handle.session_limits.absolute_ms
        await self._daemon_handle.store.write(lambda tx: sign_outs.end(tx, session.nonce, until_ms))
        return {"signed_in": False}

    async def refused(self, call: Call) -> Any:
        """The query process, which writes nothing, has refused this person."""
        verb, code, person = call.text("verb"), call.text("code"), call.person or ""
        if verb not in MATRIX:
            raise Denied(400, "no_such_verb", f"{verb} is not in the matrix of roles")
        await self._daemon_handle.store.write(lambda tx: note_refusal(tx, person, verb, code[:40]))
        return {"noted": True}

    # ---- unmasked ----

    async def reveal(self, call: Call) -> Any:
        """The account numbers and names of one payment, unmasked. Looking is in the audit trail."""
        key = call.parts[0]

        def unit(tx: Tx) -> PaymentRow | None:
            row = lookup.fetch(tx.read, key)
            if row is None or not call.scope.covers(row.company, row.order.ours.account.clear):
                return None
            detail = {"order_id": row.order.id, "sender": row.sender}
            audit.append(tx, call.peer.actor, "order.shown_clear", row.payment, detail)
            return row

        row = await self._daemon_handle.store.write(unit)
        if row is None:
            raise Denied(404, "no_such_order", f"there is no payment {key} in your scope")
        clear = order_view.veil((row,), {}, clear=True)
        said = order_view.full(row, clear)
        return {"payment": row.payment, "debtor": said["debtor"], "creditor": said["creditor"]}
