"""The verbs over one world's gateway, asked as a test asks: time passes until the answer is there."""

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

from gateway.control.daemon_handle import DaemonHandle
from gateway.control.guarded_journal import GuardedStore
from gateway.control.peer_credentials import PeerCredentials
from gateway.control.server import Call, Denied, Verb
from gateway.control.verbs import verbs
from gateway.watch.health import readiness
from tests.world.world import World

ROOT, OTHER = PeerCredentials(0), PeerCredentials(4_000_000)
VALID_MS = 4 * 3_600_000


class Operator:
    """The verbs over one world's gateway. `ask` lets time pass until the answer is there."""

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

        self.handle = DaemonHandle(
            identity={"version": "0", "mode": "development", "node": "gw1", "environment": "development"}, started_ms=0,
            store=GuardedStore(gateway.parts.store, gateway.parts.clock, lambda: self.lost_ms),
            amqp=gateway.parts.amqp, lanes=gateway.lanes, clock=gateway.parts.clock,
            ready=lambda: readiness(lambda: True, gateway.parts.amqp, gateway.lanes, stopping=False,
                                    draining=gateway.draining).words(),
            safe_mode=lambda: gateway.safe_mode, draining=lambda: gateway.draining, drain=gateway.drain,
            republish=republish, canary_age_s=lambda: 2.5, certificates=lambda: {("sample", "client"): 1_800_000_000.0},
            past=lambda: gateway.past, let_go=gateway.let_go, proposal_valid_ms=VALID_MS,
            register=lambda: gateway.registry, ask=gateway.ask, lost_ms=lambda: self.lost_ms,
            stop=lambda: gateway.emergency.word, stop_all=gateway.emergency.stop_all, stop_said=gateway.emergency.apply,
            pools=gateway.pools,
        )  # fmt: skip
        self.verbs: tuple[Verb, ...] = tuple(verbs(self.handle))

    def ask(
        self, method: str, *parts: str, peer: PeerCredentials = ROOT, query: dict[str, str] | None = None,
        person: str | None = None, **body: Any,
    ) -> Any:  # fmt: skip
        return self.ask_one_of(self.verbs, method, parts, peer, query or {}, body, person=person)

    def ask_one_of(
        self, verbs: Sequence[Verb], method: str, parts: Sequence[str], peer: PeerCredentials, query: Mapping[str, str],
        body: Mapping[str, Any], token: str = "", person: str | None = None,
    ) -> Any:  # fmt: skip
        path = "/" + "/".join(quote(part, safe="") for part in parts)
        (act, found), = [(verb.act, found) for verb in verbs
                         if verb.method == method and (found := re.fullmatch(verb.path, path))]  # fmt: skip
        results: list[Any] = []
        call = Call(peer, 77, tuple(unquote(part) for part in found.groups()), query, body, person=person, token=token)

        async def asked() -> Any:
            return await act(call)

        Deferred.fromCoroutine(asked()).addBoth(results.append)
        for _ in range(200):
            if results:
                break
            self.world.run(0.1)
        assert results, "no answer in 20 seconds"
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
