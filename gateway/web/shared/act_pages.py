"""The route of a page's form, made from an act that has plain fields only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import Response

from gateway.act import Act, ActProof, params_of
from gateway.control.register import REGISTER
from gateway.web.shared.act_fields import is_asked
from gateway.web.shared.site import PageRequest, WebRoute


def act_route(code: str, path: str, then: Callable[[Any], str]) -> WebRoute:
    """The route of the act's form at `path`, whose parameters have the names of the act's.

    `then` gives the next page from the answer. AssertionError for an act that needs more than a session.
    """
    act = REGISTER[code]
    assert act.method == "POST" and act.proof is ActProof.SESSION, f"{code} is not done by a page's session"

    def ask(visit: PageRequest) -> Response:
        return visit.go(then(visit.daemon.post(*_parts(act, visit), **_given(act, visit.form))))

    return WebRoute("POST", path, ask)


def _parts(act: Act, visit: PageRequest) -> list[str]:
    return [visit.part(one[1:-1]) if one.startswith("{") else one for one in act.path.strip("/").split("/")]


def _given(act: Act, form: Mapping[str, str]) -> dict[str, Any]:
    """The values of the act's parameters from the form. They are not checked here, because the daemon checks them."""
    found: dict[str, Any] = {}
    for one in params_of(act):
        text = form.get(one.name, "").strip()
        if is_asked(one) and text:
            found[one.wire] = True if one.type is bool else text.split() if one.type == tuple[str, ...] else text
    return found
