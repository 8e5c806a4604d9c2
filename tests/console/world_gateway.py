"""Both sides of the gateway of one world, as a web page asks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.control.client import Refused
from gateway.control.server import Call, Denied, Verb
from gateway.control.web import WebPlace, web_verbs
from gateway.control.web_access import WebJudge
from gateway.people.passkeys import RelyingParty
from gateway.query.joint_tests import JointRuns
from gateway.query.read_store import nothing
from gateway.query.verbs import query_verbs
from gateway.settings import OidcSettings
from gateway.web.gateway_client import WebAsker
from tests.gateway.cli.control_operator import OTHER, Operator

CONSOLE, APPROVAL = "https://console.example", "https://approve.example"
PLACE = WebPlace(RelyingParty("console.example", CONSOLE), RelyingParty("approve.example", APPROVAL))


class _ReadOnly:
    """The world's journal as the query process has it."""

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
    """Both sides of the gateway of one world. `asked` is all that the pages asked for."""

    def __init__(
        self, operator: Operator, shelf: JointRuns | None = None, oidc: OidcSettings | None = None
    ) -> None:
        self.operator = operator
        self.asked: list[tuple[str, tuple[str, ...], Mapping[str, Any]]] = []
        self.daemon_verbs = web_verbs(operator.handle, PLACE, oidc)
        handle = operator.handle

        async def note(call: Call, person: str, verb: str, code: str) -> None:
            (verb_of,) = [one for one in self.daemon_verbs if one.path == "/web/refused"]
            await verb_of.act(Call(OTHER, 77, (), {}, {"verb": verb, "code": code}, token=call.token))

        reading = DaemonLike(handle, _ReadOnly(operator))
        judge_by = WebJudge(reading.store.read, handle.clock.now_ms, handle.session_limits, note)
        self.query_verbs = query_verbs(reading.handle(), judge_by, shelf)

    def daemon(self, token: str) -> WebAsker:
        return _Side(self, self.daemon_verbs, token)

    def query(self, token: str) -> WebAsker:
        return _Side(self, self.query_verbs, token)


@dataclass
class DaemonLike:
    """The daemon's handle with the store of the query process and without what runs."""

    whole: Any
    store: Any

    def handle(self) -> Any:
        return replace(self.whole, store=self.store, lanes={}, ready=lambda: {"lanes": {}}, ask=nothing, stop=nothing)
