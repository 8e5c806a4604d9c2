"""Refusals by the pages themselves reach the audit trail as counts, once a minute at most, without personal data."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.control.client import NoDaemon, Refused
from gateway.kernel.commit import audit
from gateway.kernel.sql import schema
from gateway.kernel.sql.vaults import vault_of
from gateway.people.rules.page_refusals import PAGE_REFUSALS
from gateway.web.shared.refusal_counts import RefusalCounts
from tests.console.conftest import House
from tests.console.kit import Browser
from tests.console.world_gateway import APPROVAL
from tests.gateway.people.test_people_acts import SUN

EVIL = {"origin": "https://evil.example"}


def noted(house: House, page: str = "console") -> list[dict[str, Any]]:
    """The counts in each audit entry that a page has caused."""
    house.operator.world.run(0.5)

    def look(conn: Any) -> list[dict[str, Any]]:
        rows = conn.execute(schema.audit.select().order_by(schema.audit.c.seq))
        return [
            dict(one.detail)
            for one in audit.opened(rows, vault_of(conn))
            if (one.entry, one.object_id, one.actor) == ("page.refused", f"page:{page}", f"page:{page}")
        ]

    return house.operator.world.read(look)


def test_forged_forms_and_probes_are_in_the_audit_trail(house: House) -> None:
    browser = house.browser(SUN)
    token = browser.get("/").form_token
    assert browser.send("POST", "/sign-out", f"form_token={token}".encode(), EVIL).status == 403
    assert noted(house) == [{"form_is_old": 1}]
    for path in ("/wp-login.php", "/.git/config", "/account/0000111122223333", "/.env"):
        assert browser.send("GET", path).status == 404
    assert browser.send("GET", "/", headers={"host": "evil.example"}).status == 421
    assert noted(house) == [{"form_is_old": 1}], "it is told once a minute"
    house.operator.world.run(61)
    assert browser.get("/").status == 200
    assert noted(house)[1:] == [{"no_page": 4, "other_host": 1}]
    house.operator.world.run(61)
    browser.get("/")
    assert len(noted(house)) == 2, "what there is nothing to tell of is not told"


def test_each_site_tells_its_own(house: House) -> None:
    assert Browser(house.approval, APPROVAL).send("GET", "/admin").status == 404
    assert noted(house, "approval") == [{"no_page": 1}] and noted(house) == []


def test_what_the_daemon_did_not_hear_is_told_later(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, daemon = house.browser(SUN), house.gateway.daemon

    class Away:
        def post(self, *_parts: str, **_body: Any) -> Any:
            raise NoDaemon("away")

        get = staticmethod(daemon("").get)

    monkeypatch.setattr(house.gateway, "daemon", lambda _token: Away())
    assert browser.send("GET", "/nowhere").status == 404
    monkeypatch.setattr(house.gateway, "daemon", daemon)
    house.operator.world.run(61)
    assert browser.send("GET", "/nowhere").status == 404
    assert noted(house) == [{"no_page": 2}]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"page": "console"},
        {"page": "console", "counts": {}},
        {"page": "elsewhere", "counts": {"no_page": 1}},
        {"page": "console", "counts": {"account 0000111122223333": 1}},
        {"page": "console", "counts": {"no_page": "many"}},
        {"page": "console", "counts": {"no_page": 0}},
        {"page": "console", "counts": {"no_page": 10**9}},
        {"page": "console", "counts": {"no_page": True}},
        {"page": "console", "counts": ["no_page"]},
    ],
)
def test_a_page_can_write_counts_and_nothing_else(house: House, body: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        house.gateway.daemon("").post("web", "page-refusals", **body)
    assert caught.value.status == 400 and noted(house) == []


def test_a_page_that_tells_too_often_is_not_heard(house: House) -> None:
    daemon = house.gateway.daemon("")
    daemon.post("web", "page-refusals", page="console", counts=dict.fromkeys(PAGE_REFUSALS, 3))
    for _ in range(5):
        with pytest.raises(Refused, match="once a minute"):
            daemon.post("web", "page-refusals", page="console", counts={"no_page": 1})
    assert noted(house) == [dict.fromkeys(PAGE_REFUSALS, 3)]


def test_counts_have_kinds_that_are_known() -> None:
    counts = RefusalCounts()
    counts.add("no_page")
    counts.add("../../etc/passwd")
    assert counts.due(0.0) == {"no_page": 1} and counts.due(100.0) == {}
