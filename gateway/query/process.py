"""The query process as a whole: the journal opened for reading, the verbs, a UNIX socket.

It holds the vault's key, to read; no key of a bank, no password of the broker, no right to write. It is trusted to show
each person what that person may see, and cannot be made to do anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from twisted.internet.threads import deferToThread

from gateway import log, registry
from gateway import settings as conf
from gateway.asking import Asker
from gateway.clock import Clock, SystemClock
from gateway.control.client import ControlClient, NoDaemon, Refused
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.offline import journal_access
from gateway.control.server import Call, ControlServer
from gateway.control.web import web_gid
from gateway.control.web_access import WebJudge
from gateway.erp.amqp_types import Amqp
from gateway.journal.sql import reading
from gateway.journal.sql.executor import ThreadExecutor
from gateway.people.sessions import SessionLimits
from gateway.query.joint_tests import JointRuns
from gateway.query.read_store import ReadStore, nothing
from gateway.query.verbs import query_verbs
from gateway.registry import Registry
from gateway.treasury.pool_service import PoolService
from gateway.version import VERSION
from protocols.bank import Bank

READERS = 4
_log = log.get("query")


class QueryProcess:
    """Serves the console's questions at `settings.query_socket()`. Raises journal_access.NoAccess, OSError."""

    def __init__(
        self, reactor: Any, settings: conf.Settings, banks: Mapping[str, Bank], shelf: JointRuns | None = None
    ) -> None:
        self._settings = settings
        url = journal_access.url_of(settings, None)
        engine = reading.connect(url, journal_access.vault_of(settings, None), READERS)
        self._store = ReadStore(engine, ThreadExecutor(reactor, "query-reader", READERS))
        clock = SystemClock(reactor)
        limits = session_limits(settings)
        handle = reading_handle(settings, self._store, clock, registry.build(without_keys(settings), banks))
        judge_by = WebJudge(self._store.read, clock.now_ms, limits, self._note)
        self._server = ControlServer(
            reactor, query_verbs(handle, judge_by, shelf), settings.environment_name(), pages=True
        )

    def open(self) -> None:
        """Listen."""
        self._server.open(self._settings.query_socket(), gid=web_gid(self._settings))

    async def close(self) -> None:
        """Stop listening."""
        await self._server.close()
        await self._store.close()

    async def _note(self, call: Call, person: str, verb: str, code: str) -> None:
        """A refusal is in the audit trail, which only the daemon writes. While it is away the log has it alone."""
        remote = ControlClient(self._settings.web_socket(), token=call.token)
        try:
            await deferToThread(remote.post, "web", "refused", verb=verb, code=code)
        except (NoDaemon, Refused) as error:
            _log.warning("query.refusal_not_noted", person=person, verb=verb, code=code, error=str(error))


def session_limits(settings: conf.Settings) -> SessionLimits:
    """How long sessions last."""
    control = settings.control
    return SessionLimits(int(control.session_idle_s * 1000), int(control.session_most_s * 1000))


def without_keys(settings: conf.Settings) -> conf.Settings:
    """The settings without what a reader needs no key for: the senders' keys are not read."""
    senders = {name: one.model_copy(update={"hmac_key": None}) for name, one in settings.senders.items()}
    return settings.model_copy(update={"senders": senders})


def reading_handle(settings: conf.Settings, store: ReadStore, clock: Clock, register: Registry) -> DaemonHandle:
    """The parts of a daemon that can be had without one. What runs is not there, and whoever asks for it is refused."""
    return DaemonHandle(
        identity={"version": VERSION, "mode": settings.mode, "node": settings.node,
                  "environment": settings.environment_name()},
        started_ms=clock.now_ms(), store=store, amqp=cast(Amqp, None), lanes={}, clock=clock,
        ready=lambda: {"lanes": {}}, safe_mode=nothing, draining=nothing, drain=nothing, republish=nothing,
        canary_age_s=nothing, certificates=dict, past=nothing, let_go=nothing, proposal_valid_ms=0,
        register=lambda: register, ask=cast(Asker, nothing), lost_ms=lambda: None, stop=nothing, stop_all=nothing,
        stop_said=nothing, pools=cast(PoolService, None), session_limits=session_limits(settings),
    )  # fmt: skip
