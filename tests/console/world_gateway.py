"""Both sides of the gateway of one world, for the requests of a web page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from gateway.call import Call, Denied
from gateway.control.client import Refused
from gateway.control.ports import ControlPorts, LanePort, StopPort
from gateway.control.server import Verb
from gateway.control.web import PageOrigins, web_verbs
from gateway.control.web_access import WebJudge
from gateway.people.rules.passkeys import RelyingParty
from gateway.settings import OidcSettings
from gateway.web.query.joint_tests import JointRuns
from gateway.web.query.read_store import nothing
from gateway.web.query.verbs import query_verbs
from gateway.web.shared.gateway_client import GatewaySide
from tests.gateway.cli.control_operator import OTHER, Operator

CONSOLE, APPROVAL = "https://console.example", "https://approve.example"
PLACE = PageOrigins(RelyingParty("console.example", CONSOLE), RelyingParty("approve.example", APPROVAL))


class _ReadOnly:
    """The world's journal as the query process opens it."""

    def __init__(self, operator: Operator) -> None:
        self.read = operator.gateway.parts.store.read

    def write(self, *_given: Any, **_more: Any) -> Any:
        raise AssertionError("the query process writes nothing")

    listen, close = nothing, nothing


@dataclass
class _Side:
    gateway: WorldGateway
    verbs: Sequence[Verb]
    token: str

    def get(self, *parts: str, **query: str | int | None) -> Any:
        return self._ask("GET", parts, {name: str(value) for name, value in query.items() if value is not None}, {})

    def post(self, *parts: str, **body: Any) -> Any:
        return self._ask("POST", parts, {}, body)

    def _ask(self, method: str, parts: tuple[str, ...], query: Mapping[str, str], body: Mapping[str, Any]) -> Any:
        self.gateway.asked.append((method, parts, body))
        try:
            return self.gateway.operator.ask_one_of(self.verbs, method, parts, OTHER, query, body, self.token)
        except Denied as error:
            raise Refused(error.status, error.code, str(error)) from None


class WorldGateway:
    """Both sides of the gateway of one world. `asked` are all requests of the pages."""

    def __init__(self, operator: Operator, shelf: JointRuns | None = None, oidc: OidcSettings | None = None) -> None:
        self.operator = operator
        self.asked: list[tuple[str, tuple[str, ...], Mapping[str, Any]]] = []
        self.daemon_verbs = web_verbs(operator.ports, PLACE, oidc)
        ports = operator.ports

        async def note(call: Call, person: str, verb: str, code: str) -> None:
            (verb_of,) = [one for one in self.daemon_verbs if one.path == "/web/refused"]
            await verb_of.act(Call(OTHER, 77, (), {}, {"verb": verb, "code": code}, token=call.token))

        reading = reading_of(ports, _ReadOnly(operator))
        judge_by = WebJudge(reading.store.read, ports.clock.now_ms, ports.sessions.limits, note)
        self.query_verbs = query_verbs(reading, judge_by, shelf)

    def daemon(self, token: str) -> GatewaySide:
        return _Side(self, self.daemon_verbs, token)

    def query(self, token: str) -> GatewaySide:
        return _Side(self, self.query_verbs, token)


def reading_of(ports: ControlPorts, store: Any) -> ControlPorts:
    """The daemon's ports with the query process's store, and without the running parts."""
    node = replace(ports.node, ready=lambda: {"lanes": {}})
    stop = StopPort(nothing, nothing, nothing)
    return replace(ports, store=store, node=node, lanes=LanePort({}, cast(Any, nothing)), stop=stop)
