"""Forms of pages that are made from acts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.act import ActProof
from gateway.control.register import REGISTER
from gateway.web.shared.act_fields import fields_of
from gateway.web.shared.act_pages import act_route


class Visit:
    """A visit with a given form and path. It records its requests."""

    def __init__(self, form: dict[str, str], **parts: str) -> None:
        self.form = form
        self.part = parts.__getitem__
        self.asked: list[Any] = []
        self.daemon = SimpleNamespace(post=self.post)

    def post(self, *path: str, **given: Any) -> Any:
        self.asked.append((path, given))
        return {"request": "R2"}

    def go(self, path: str) -> Any:
        return path


def test_a_form_asks_for_its_act() -> None:
    visit = Visit({"form_token": "x"}, request="R1")
    route = act_route("approvals.renew", "/approvals/{request}/renew", lambda made: f"/approvals/{made['request']}")
    assert (route.method, route.path) == ("POST", "/approvals/{request}/renew")
    assert cast(Any, route.act)(visit) == "/approvals/R2"
    assert visit.asked == [(("approvals", "R1", "renew"), {})]


def test_a_form_has_a_field_for_each_parameter_in_the_pages_language() -> None:
    (english,), (chinese,) = (fields_of("receipts.none", language) for language in ("en", "zh"))
    assert (english.name, english.type, english.required) == ("reason", "text", True)
    assert (
        english.help == "Why; kept in the audit trail."
        and chinese.help == "\u7406\u7531\uff0c\u8bb0\u5165\u5ba1\u8ba1\u94fe\u3002"
    )
    visit = Visit({"reason": " the bank said so ", "more": "x"}, payment="P1")
    cast(Any, act_route("receipts.none", "/receipts/{payment}/none", lambda _: "/receipts").act)(visit)
    assert visit.asked == [(("receipts", "P1", "none"), {"reason": "the bank said so"})]


@pytest.mark.parametrize(
    "code", [code for code, act in REGISTER.items() if act.path and act.proof is not ActProof.SESSION]
)
def test_what_needs_more_than_a_session_has_no_such_form(code: str) -> None:
    with pytest.raises(AssertionError):
        act_route(code, "/x", str)
