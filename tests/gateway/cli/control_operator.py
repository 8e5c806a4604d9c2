"""The verbs of the control API over one world's gateway. A call lets simulated time pass until the answer has come."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.act_ports import IntakePort, NodePort
from gateway.call import Call, Denied, PeerCredentials
from gateway.control.ports import BrokerPort, ControlPorts, LanePort, RestoredDatabasePort, StopPort
from gateway.control.server import Verb
from gateway.control.verbs import verbs
from gateway.guarded_journal import GuardedStore
from gateway.watch.health import readiness
from tests.world.world import World

ROOT, OTHER = PeerCredentials(0), PeerCredentials(4_000_000)
VALID_MS = 4 * 3_600_000


class NoAnswer(AssertionError):
    """A verb has not answered in 20 seconds."""


class Operator:
    """The verbs of the control API over one world's gateway. `ask` lets simulated time pass until the answer is
    there."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.republished = 0
        self.lost_ms: int | None = None
        life = world.life
        assert life is not None
        gateway = life.gateway
        self.gateway = gateway

        def republish() -> None:
            self.republished += 1
            gateway.outbox.up()

        self.ports = ControlPorts(
            store=GuardedStore(gateway.parts.store, gateway.parts.clock, lambda: self.lost_ms),
            clock=gateway.parts.clock,
            accounts=lambda: gateway.registry,
            node=NodePort(
                {"version": "0", "mode": "development", "node": "gw1", "environment": "development"},
                0,
                ready=lambda: readiness(
                    lambda: True, gateway.parts.amqp, gateway.lanes, stopping=False, draining=gateway.draining
                ).as_json(),
                lost_ms=lambda: self.lost_ms,
                safe_mode=lambda: bool(gateway.safe_mode.reason),
            ),
            intake=IntakePort(lambda: gateway.draining, gateway.drain),
            broker=BrokerPort(gateway.parts.amqp, republish, gateway.erp.mark.status, lambda: 2.5),
            lanes=LanePort(gateway.lanes, gateway.ask, companies=gateway.companies),
            stop=StopPort(lambda: gateway.emergency.word, gateway.emergency.stop_all, gateway.emergency.apply),
            past=RestoredDatabasePort(lambda: gateway.safe_mode.past, gateway.let_go),
            pools=gateway.pools,
            proposal_valid_ms=VALID_MS,
            certificates=lambda: {("sample", "client"): 1_800_000_000.0},
        )
        self.verbs: tuple[Verb, ...] = tuple(verbs(self.ports))

    def ask(
        self,
        method: str,
        *parts: str,
        peer: PeerCredentials = ROOT,
        query: dict[str, str] | None = None,
        person: str | None = None,
        **body: Any,
    ) -> Any:
        return self.ask_one_of(self.verbs, method, parts, peer, query or {}, body, person=person)

    def ask_one_of(
        self,
        verbs: Sequence[Verb],
        method: str,
        parts: Sequence[str],
        peer: PeerCredentials,
        query: Mapping[str, str],
        body: Mapping[str, Any],
        token: str = "",
        person: str | None = None,
    ) -> Any:
        path = "/" + "/".join(quote(part, safe="") for part in parts)
        ((act, found),) = [
            (verb.act, found) for verb in verbs if verb.method == method and (found := re.fullmatch(verb.path, path))
        ]
        results: list[Any] = []
        call = Call(peer, 77, tuple(unquote(part) for part in found.groups()), query, body, person=person, token=token)

        async def asked() -> Any:
            return await act(call)

        Deferred.fromCoroutine(asked()).addBoth(results.append)
        for _ in range(200):
            if results:
                break
            self.world.run(0.1)
        if not results:
            raise NoAnswer("no answer in 20 seconds")
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return json.loads(json.dumps(results[0]))

    def no(self, status: int, code: str, *asked: str, **more: Any) -> str:
        with pytest.raises(Denied) as caught:
            self.ask(*asked, **more)
        assert (caught.value.status, caught.value.code) == (status, code)
        return str(caught.value)

    def trail(self, object_id: str) -> list[tuple[str, str]]:
        with sqlite3.connect(self.world.folder / "journal.db") as db:
            rows = db.execute("select actor, entry from audit where object_id = ? order by seq", (object_id,))
            return [(actor, entry) for actor, entry in rows]
