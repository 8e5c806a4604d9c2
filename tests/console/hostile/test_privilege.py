"""The whole matrix of roles through a browser's session: each verb for each role, and each id outside the person's
scope.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest

from gateway.act import SocketProof
from gateway.control.access import name_of
from gateway.control.client import Refused
from gateway.control.matrix import MATRIX
from gateway.control.server import Verb
from gateway.control.web_access import APPROVAL_PAGE
from gateway.kernel.sql.vaults import vault_of
from gateway.people.rules import web_tokens
from gateway.people.rules.roles import ADMIN_ROLES, PersonRole
from gateway.people.rules.web_tokens import WebPage, WebSession
from tests.console.conftest import House
from tests.gateway.approvals.test_approval_acts import key_of
from tests.gateway.approvals.test_approval_holds import OVER, submit
from tests.gateway.cli.resolving import hand
from tests.gateway.people.test_people_acts import let_in

_NONCES = count()


def token(house: House, person: str, page: WebPage = WebPage.CONSOLE, **changed: int) -> str:
    """A session in the form in which the daemon writes it."""
    now_ms = house.operator.ports.clock.now_ms()
    times = {"began_ms": now_ms, "seen_ms": now_ms, **changed}
    session = WebSession(person, page, "password", times["began_ms"], times["seen_ms"], f"nonce {next(_NONCES)}")
    return house.operator.world.read(lambda conn: web_tokens.encode(session, vault_of(conn).mac))


def side_of(house: House, verbs: Sequence[Verb], given: str) -> Any:
    return house.gateway.daemon(given) if verbs is house.gateway.daemon_verbs else house.gateway.query(given)


def ask(house: House, verbs: Sequence[Verb], verb: Verb, given: str, part: str = "none") -> str:
    """The code with which the daemon refuses the request; "" if the matrix of roles did not refuse it."""
    parts = verb.path.replace("([^/]+)", part).strip("/").split("/")
    side = side_of(house, verbs, given)
    try:
        side.get(*parts) if verb.method == "GET" else side.post(*parts, reason="x", verb="GET /audit", code="x")
    except Refused as error:
        return error.code
    return ""


@pytest.mark.parametrize("role", PersonRole)
def test_every_verb_for_every_role(house: House, role: PersonRole) -> None:
    one = hand(f"a{role.value.replace('_', '')}", 2100)
    let_in(house.operator, one, role.value if role in ADMIN_ROLES else f"{role.value}@*")
    for verbs in (house.gateway.daemon_verbs, house.gateway.query_verbs):
        for verb in verbs:
            rule, name = MATRIX[name_of(verb)], name_of(verb)
            if rule.everybody or rule.shows is SocketProof.SIGNATURE:
                continue
            before = len(house.operator.trail(f"person:{one.name}"))
            code = ask(house, verbs, verb, token(house, one.name))
            noted = house.operator.trail(f"person:{one.name}")[before:]
            if role in rule.roles:
                assert code not in ("not_allowed", "sign_in"), name
            else:
                assert code == "not_allowed", name
                assert (f"web:{one.name}", "access.refused") in noted, name
            house.operator.world.run(1)


def test_no_session_no_answer(house: House) -> None:
    good = token(house, "sun")
    said, proof = good.split(".")
    octets = urlsafe_b64decode(said)
    other = urlsafe_b64encode(octets.replace(b"sun", b"qian")).decode()
    now_ms = house.operator.ports.clock.now_ms()
    idle, whole = house.operator.ports.sessions.limits.idle_ms, house.operator.ports.sessions.limits.absolute_ms
    bad = [
        "",
        ".",
        "x.y",
        said,
        f"{said}.",
        f"{other}.{proof}",
        f"{said}.{proof[:-4]}AAA=",
        "é.é",
        good * 10,
        token(house, "sun", seen_ms=now_ms - idle - 1),
        token(house, "sun", began_ms=now_ms - whole - 1),
        token(house, "sun", seen_ms=now_ms + idle + 60_000),
        token(house, "nobody"),
    ]
    for verbs in (house.gateway.daemon_verbs, house.gateway.query_verbs):
        for verb in verbs:
            rule = MATRIX[name_of(verb)]
            if rule.everybody or rule.shows is SocketProof.SIGNATURE:
                continue
            for given in bad:
                assert ask(house, verbs, verb, given) in ("sign_in", "not_enrolled"), (verb.path, given[:40])
    assert side_of(house, house.gateway.query_verbs, good).get("web", "session")["person"] == "sun"


def test_a_session_of_the_approval_page_reads_nothing_else(house: House) -> None:
    given = token(house, "sun", WebPage.APPROVAL)
    assert house.gateway.daemon(given).get("approvals") == {"approvals": [], "next": None}
    for verbs in (house.gateway.daemon_verbs, house.gateway.query_verbs):
        for verb in verbs:
            rule, name = MATRIX[name_of(verb)], name_of(verb)
            if rule.everybody or rule.shows is SocketProof.SIGNATURE or name in APPROVAL_PAGE:
                continue
            assert ask(house, verbs, verb, given) == "not_allowed", name


def test_ids_outside_of_ones_scope_are_not_there(house: House) -> None:
    submit(house.operator, "AP-1", OVER, maker="zhao")
    account = house.operator.world.bank.account
    elsewhere = next(one for one in sorted(house.operator.gateway.registry.routes) if one != account)
    let_in(house.operator, hand("nearby", 2101), f"approver@account:{elsewhere};viewer@account:{elsewhere}")
    payment = house.operator.world.query("select payment from payments where order_id = ?", "AP-1")[0][0]
    request = key_of(house.operator, "AP-1")
    given = token(house, "nearby")
    daemon, query = house.gateway.daemon(given), house.gateway.query(given)
    asks: Sequence[tuple[Callable[..., Any], tuple[str, ...]]] = (
        (daemon.get, ("orders", payment)),
        (query.get, ("orders", payment)),
        (query.get, ("orders", "kingdee:AP-1")),
        (daemon.post, ("web", "orders", payment, "reveal")),
        (daemon.get, ("approvals", request)),
        (daemon.post, ("approvals", request, "renew")),
        (query.get, ("reconciliation", account)),
    )
    for ask_for, parts in asks:
        with pytest.raises(Refused) as caught:
            ask_for(*parts)
        assert caught.value.code in ("out_of_scope", "no_such_order", "no_such_request", "no_such_account"), parts
    assert query.get("orders")["orders"] == [] and query.get("approvals")["approvals"] == []
    assert query.get("overview")["open"] == [] and query.get("search", q="AP-1") == {"payments": [], "request": None}
    assert query.get("search", q=request)["request"] is None
    assert [one["account"] for one in query.get("accounts")["accounts"]] != [] and len(
        query.get("accounts")["accounts"]
    ) == 1
