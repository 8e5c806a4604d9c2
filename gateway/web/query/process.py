"""The query process: the journal opened for reading, the verbs, and a UNIX socket.

It has the vault's key for reading. It has no key of a bank, no password of the broker, and no right to write. It must
show each person only what that person may see, and cannot be made to do anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from twisted.internet.threads import deferToThread

from gateway import settings as conf
from gateway.act_ports import IntakePort, NodePort
from gateway.call import Call
from gateway.control.client import ControlClient, NoDaemon, Refused
from gateway.control.offline import journal_access
from gateway.control.ports import BrokerPort, ControlPorts, LanePort, RestoredDatabasePort, SessionPort, StopPort
from gateway.control.server import ControlServer
from gateway.control.web import web_gid
from gateway.control.web_access import WebJudge
from gateway.erp.amqp_types import Amqp
from gateway.kernel import log
from gateway.kernel.asking import AskBank
from gateway.kernel.clock import Clock, SystemClock
from gateway.kernel.sql import reading
from gateway.kernel.sql.executor import ThreadExecutor
from gateway.people.act_answers.person_sessions import limits_of
from gateway.pools.jobs import PoolService
from gateway.register import registry
from gateway.register.registry import Registry
from gateway.version import VERSION
from gateway.web.query.joint_tests import JointRuns
from gateway.web.query.read_store import ReadStore, nothing
from gateway.web.query.verbs import query_verbs
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
        limits = limits_of(settings)
        ports = reading_ports(settings, self._store, clock, registry.build(without_keys(settings), banks))
        judge_by = WebJudge(self._store.read, clock.now_ms, limits, self._note)
        self._server = ControlServer(
            reactor, query_verbs(ports, judge_by, shelf), settings.environment_name(), pages=True
        )

    def open(self) -> None:
        """Listen on the socket."""
        self._server.open(self._settings.query_socket(), gid=web_gid(self._settings))

    async def close(self) -> None:
        """Stop listening on the socket."""
        await self._server.close()
        await self._store.close()

    async def _note(self, call: Call, person: str, verb: str, code: str) -> None:
        """Ask the daemon to record a refusal in the audit trail, which only the daemon writes. While the daemon does
        not run, only the log has it."""
        remote = ControlClient(self._settings.web_socket(), token=call.token)
        try:
            await deferToThread(remote.post, "web", "refused", verb=verb, code=code)
        except (NoDaemon, Refused) as error:
            _log.warning("query.refusal_not_noted", person=person, verb=verb, code=code, error=str(error))


def without_keys(settings: conf.Settings) -> conf.Settings:
    """The settings without the senders' keys, which a reader of the journal does not need."""
    senders = {name: one.model_copy(update={"hmac_key": None}) for name, one in settings.senders.items()}
    return settings.model_copy(update={"senders": senders})


def reading_ports(settings: conf.Settings, store: ReadStore, clock: Clock, register: Registry) -> ControlPorts:
    """The ports of the query process. A request for a part that runs only in the daemon is refused."""
    identity = {
        "version": VERSION,
        "mode": settings.mode,
        "node": settings.node,
        "environment": settings.environment_name(),
    }
    return ControlPorts(
        store=store,
        clock=clock,
        accounts=lambda: register,
        node=NodePort(identity, clock.now_ms(), lambda: {"lanes": {}}, lambda: None, nothing),
        intake=IntakePort(nothing, nothing),
        broker=BrokerPort(cast(Amqp, None), nothing, dict, nothing),
        lanes=LanePort({}, cast(AskBank, nothing)),
        stop=StopPort(nothing, nothing, nothing),
        past=RestoredDatabasePort(nothing, nothing),
        pools=cast(PoolService, None),
        proposal_valid_ms=0,
        sessions=SessionPort(limits_of(settings)),
    )
