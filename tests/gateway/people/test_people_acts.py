"""People on a whole gateway: the ceremony, two administrators, scopes, sessions, delegation, and every refusal."""

from __future__ import annotations

import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.call import Denied, PeerCredentials
from gateway.cli import person_key
from gateway.control import access
from gateway.control.matrix import MATRIX
from gateway.people.rows.persons import COOL_DOWN_MS
from gateway.people.rules import one_time_codes, sign_in_text
from gateway.people.rules.lockouts import LOCKED_MS, MOST_FAILURES
from gateway.people.rules.sessions import SessionLimits
from tests.console.world_gateway import WorldGateway
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import LI, WANG, ZHAO, Hand, approval, approve, draft, enrol, hand, made_of
from tests.world.world import World

SUN, QIAN = hand("sun", 2004), hand("qian", 2005)
PASSWORD = "correct horse battery"


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    world = World(tmp_path, accounts=2)
    world.start()
    world.run(1)
    yield Operator(world)
    if world.life is not None:
        world.crash()


def appoint(operator: Operator, *hands: Hand, roles: str = "") -> Any:
    """Make WANG the security administrator and LI the system administrator, and give each of these persons `roles`."""
    enrol(operator, WANG, LI)
    said = operator.ask("POST", "ceremony", security_admin="wang", system_admin="li", reason="minutes of 28 Nov")
    for one in hands:
        let_in(operator, one, roles)
    return said


@pytest.fixture
def site(operator: Operator) -> Operator:
    """A site with WANG as the security administrator and LI as the system administrator."""
    said = appoint(operator)
    assert [one["roles"] for one in said["persons"]] == ["security_admin", "system_admin"]
    return operator


def ask_in(operator: Operator, one: Hand) -> str:
    """Enrol as this person; returns the person's state afterwards."""
    return str(
        operator.ask("POST", "persons", peer=one.peer, name=one.name, public_key=person_key.public(one.key))["state"]
    )


def decide(operator: Operator, kind: str, subject: str, to: str, first: Hand = WANG, second: Hand = LI) -> Any:
    wanted: dict[str, Any] = {"kind": kind, "subject": subject, "to": to, "note": "as the board said"}
    drafted = operator.ask("POST", "proposals", "draft", peer=first.peer, **wanted)
    made = made_of(drafted, first, wanted, b"")
    key = operator.ask("POST", "proposals", peer=first.peer, **made)["proposal"]
    return approve(operator, second, key)


def let_in(operator: Operator, one: Hand, roles: str) -> None:
    assert ask_in(operator, one) == "waiting"
    assert decide(operator, "enrol", one.name, roles)["state"] == "done"


def sign_in(operator: Operator, one: Hand) -> Any:
    text = operator.ask("POST", "sign-in", "challenge", peer=one.peer)["text"]
    return operator.ask("POST", "sign-in", peer=one.peer, signature=signed(one, text))


def signed(one: Hand, text: str) -> str:
    return b64encode(one.key.sign(sign_in_text.to_sign(text))).decode()


def ask_path(operator: Operator, one: Hand, method: str, *parts: str, **more: Any) -> Any:
    return operator.ask(method, *parts, peer=one.peer, **more)


def test_every_verb_has_its_row_and_every_row_its_verb(operator: Operator) -> None:
    web = WorldGateway(operator)
    every = {access.name_of(verb) for verb in (*operator.verbs, *web.daemon_verbs, *web.query_verbs)}
    assert sorted(every) == sorted(MATRIX)
    # A page can neither run the machine nor decide without a signature. A replay is the same message under the same id.
    changing = {access.name_of(verb) for verb in (*web.daemon_verbs, *web.query_verbs) if verb.method == "POST"}
    assert {name for name in changing if not name.startswith("POST /web/")} == {
        "POST /approvals/{}/renew",
        "POST /parked/{}/replay",
    }


# ---- the ceremony, and two administrators ----


def test_root_lets_in_and_appoints_until_there_are_administrators(site: Operator) -> None:
    assert ask_in(site, ZHAO) == "waiting"
    why = site.no(409, "ceremony_over", "POST", "persons", "zhao", "confirm", fingerprint="0" * 16)
    assert "two of them let zhao in" in why
    site.no(409, "ceremony_over", "POST", "ceremony", security_admin="li", system_admin="wang", reason="again")
    assert ("uid:root", "person.appointed") in site.trail("person:wang")
    listed = site.ask("GET", "roles")
    assert listed["ceremony_open"] is False
    assert {one["person"]: (one["state"], one["roles"]) for one in listed["persons"]} == {
        "wang": ("enrolled", "security_admin"),
        "li": ("enrolled", "system_admin"),
        "zhao": ("waiting", "none"),
    }


def test_the_ceremony_needs_root_and_two_enrolled_persons(operator: Operator) -> None:
    enrol(operator, WANG)
    both: dict[str, Any] = {"security_admin": "wang", "system_admin": "li", "reason": "x"}
    assert "li is not enrolled" in operator.no(403, "not_enrolled", "POST", "ceremony", **both)
    ask_in(operator, LI)
    operator.no(403, "not_enrolled", "POST", "ceremony", **both)
    operator.no(409, "same_person", "POST", "ceremony", **{**both, "system_admin": "wang"})
    operator.no(403, "not_allowed", "POST", "ceremony", peer=WANG.peer, **both)
    operator.no(403, "not_allowed", "POST", "ceremony", peer=PeerCredentials(77), **both)
    assert operator.ask("GET", "roles")["ceremony_open"]


def test_two_administrators_let_a_person_in_with_roles(site: Operator) -> None:
    let_in(site, ZHAO, "viewer@company:jia")
    (listed,) = [one for one in site.ask("GET", "persons")["persons"] if one["person"] == "zhao"]
    assert (listed["state"], listed["roles"]) == ("enrolled", "viewer@company:jia")
    assert ("uid:2002", "person.admitted") in site.trail("person:zhao")


def test_nobody_alone_and_nobody_about_oneself(site: Operator) -> None:
    ask_in(site, ZHAO)
    wanted: dict[str, Any] = {"kind": "enrol", "subject": "zhao", "to": "viewer@*", "note": "x"}
    assert "is for security_admin" in site.no(403, "not_allowed", "POST", "proposals", "draft", peer=LI.peer, **wanted)
    drafted = site.ask("POST", "proposals", "draft", peer=WANG.peer, **wanted)
    key = site.ask("POST", "proposals", peer=WANG.peer, **made_of(drafted, WANG, wanted, b""))["proposal"]
    site.no(409, "same_person", "POST", "proposals", key, "approve", peer=WANG.peer, **approval(site, WANG, key))
    own: dict[str, Any] = {"kind": "roles", "subject": "wang", "to": "audit_admin", "note": "x"}
    site.no(409, "same_person", "POST", "proposals", "draft", peer=WANG.peer, **own)
    about: dict[str, Any] = {"kind": "roles", "subject": "li", "to": "security_admin", "note": "x"}
    drafted = site.ask("POST", "proposals", "draft", peer=WANG.peer, **about)
    key = site.ask("POST", "proposals", peer=WANG.peer, **made_of(drafted, WANG, about, b""))["proposal"]
    assert "is about li" in site.no(
        409, "same_person", "POST", "proposals", key, "approve", peer=LI.peer, **approval(site, LI, key)
    )
    assert ("uid:2002", "proposal.refused") in site.trail(f"proposal:{key}")
    assert site.ask("GET", "roles")["persons"][0]["roles"] == "system_admin"


@pytest.mark.parametrize(
    ("kind", "to", "code"),
    [
        ("enrol", "boss@*", "bad_choice"),
        ("enrol", "viewer@*;audit_admin", "bad_choice"),
        ("enrol", "viewer @*", "bad_choice"),
        ("deactivate", "off", "bad_choice"),
        ("reset", "key", "bad_choice"),
    ],
)
def test_what_no_decision_can_say(site: Operator, kind: str, to: str, code: str) -> None:
    ask_in(site, ZHAO)
    site.no(400, code, "POST", "proposals", "draft", peer=WANG.peer, kind=kind, subject="zhao", to=to, note="x")


def test_an_unknown_company_or_person_and_a_wrong_state(site: Operator) -> None:
    ask_in(site, ZHAO)
    for status, code, wanted in (
        (404, "no_such_account", {"kind": "enrol", "subject": "zhao", "to": "viewer@company:nobody"}),
        (404, "no_such_account", {"kind": "enrol", "subject": "zhao", "to": "viewer@account:99999999"}),
        (404, "no_such_person", {"kind": "enrol", "subject": "nobody", "to": "viewer@*"}),
        (409, "not_now", {"kind": "roles", "subject": "zhao", "to": "viewer@*"}),
        (409, "not_now", {"kind": "enrol", "subject": "li", "to": "viewer@*"}),
        (409, "not_now", {"kind": "roles", "subject": "li", "to": "audit_admin"}),
        (409, "not_now", {"kind": "deactivate", "subject": "li", "to": "deactivated"}),
        (409, "not_now", {"kind": "reset", "subject": "li", "to": "new-key"}),
    ):
        site.no(status, code, "POST", "proposals", "draft", peer=WANG.peer, note="x", **wanted)


def test_a_change_of_roles_makes_an_older_proposal_stale(site: Operator) -> None:
    let_in(site, ZHAO, "viewer@*")
    wanted: dict[str, Any] = {"kind": "roles", "subject": "zhao", "to": "viewer@*;approver@*", "note": "x"}
    wanted["to"] = "approver@*;viewer@*"
    drafted = site.ask("POST", "proposals", "draft", peer=WANG.peer, **wanted)
    key = site.ask("POST", "proposals", peer=WANG.peer, **made_of(drafted, WANG, wanted, b""))["proposal"]
    let_in(site, SUN, "security_admin")
    assert "is open" in site.no(409, "proposed_already", "POST", "proposals", peer=SUN.peer, **again(site, SUN, wanted))
    with sqlite3.connect(site.world.folder / "journal.db") as db:
        db.execute("update proposals set state = 'withdrawn' where proposal = ?", (key,))
    decide(site, "roles", "zhao", "maker@*", first=SUN)
    with sqlite3.connect(site.world.folder / "journal.db") as db:
        db.execute("update proposals set state = 'open' where proposal = ?", (key,))
    site.no(409, "stale", "POST", "proposals", key, "approve", peer=LI.peer, **approval(site, LI, key))


def again(operator: Operator, one: Hand, wanted: dict[str, Any]) -> dict[str, Any]:
    return made_of(operator.ask("POST", "proposals", "draft", peer=one.peer, **wanted), one, wanted, b"")


def test_a_deactivated_person_does_nothing_any_more(site: Operator) -> None:
    let_in(site, ZHAO, "viewer@*")
    sign_in(site, ZHAO)
    assert site.ask("GET", "orders", peer=ZHAO.peer)["orders"] == []
    decide(site, "deactivate", "zhao", "deactivated")
    for asked in (("GET", "orders"), ("GET", "sign-in"), ("POST", "sign-in", "challenge")):
        assert "was deactivated" in site.no(403, "not_enrolled", *asked, peer=ZHAO.peer)
    assert [one["state"] for one in site.ask("GET", "persons")["persons"] if one["person"] == "zhao"] == ["deactivated"]
    # Name, user and key cannot be used again.
    assert ask_in(site, ZHAO) == "deactivated"


def test_the_last_administrators_do_not_remove_themselves(site: Operator) -> None:
    for one in (WANG, LI):
        site.no(409, "not_now", "POST", "persons", one.name, "remove", peer=one.peer, reason="tired")
    let_in(site, SUN, "system_admin")
    assert site.ask("POST", "persons", "li", "remove", peer=LI.peer, reason="tired")["state"] == "removed"
    assert not site.ask("GET", "roles")["ceremony_open"]
    # Root may, and then holds the ceremony again; the audit trail has both.
    site.ask("POST", "persons", "sun", "remove", reason="lost")
    assert site.ask("GET", "roles")["ceremony_open"]
    assert ("uid:root", "person.removed") in site.trail("person:sun")


def test_a_change_of_roles_ends_the_session_and_holds_at_once(site: Operator) -> None:
    let_in(site, ZHAO, "viewer@*")
    sign_in(site, ZHAO)
    site.ask("GET", "orders", peer=ZHAO.peer)
    decide(site, "roles", "zhao", "maker@*")
    site.no(403, "sign_in", "GET", "orders", peer=ZHAO.peer)
    decide(site, "roles", "zhao", "none")
    site.no(403, "not_allowed", "GET", "orders", peer=ZHAO.peer)


# ---- reading in one's scope ----


def test_finance_reads_in_its_scope_only(site: Operator) -> None:
    site.world.submit("AP-1")
    site.world.run(5)
    (order,) = site.ask("GET", "orders")["orders"]
    company = site.ask("GET", "today")["accounts"][0]["company"]
    account = site.world.order("AP-1")["debtor"]["account"]
    own = site.gateway.registry.routes
    other = next(number for number in own if number != account)
    let_in(site, ZHAO, f"viewer@company:{company}")
    let_in(site, SUN, f"viewer@account:{other}")
    let_in(site, QIAN, f"viewer@account:{account}")
    for one in (ZHAO, SUN, QIAN):
        site.no(403, "sign_in", "GET", "today", peer=one.peer)
        sign_in(site, one)
    everything = site.ask("GET", "today")
    assert len(site.ask("GET", "today", peer=ZHAO.peer)["accounts"]) == len(everything["accounts"])
    assert len(site.ask("GET", "today", peer=SUN.peer)["accounts"]) == 1
    assert len(everything["accounts"]) > 1
    assert site.ask("GET", "orders", peer=ZHAO.peer)["orders"] == [order]
    assert site.ask("GET", "orders", peer=QIAN.peer)["orders"] == [order]
    assert site.ask("GET", "orders", peer=SUN.peer)["orders"] == []
    assert site.ask("GET", "orders", order["payment"], peer=ZHAO.peer)["id"] == "AP-1"
    assert "outside of your scope" in site.no(403, "out_of_scope", "GET", "orders", order["payment"], peer=SUN.peer)
    # The role may only read: it can release, withdraw and unmask nothing, and a refusal is recorded.
    for asked in (
        ("POST", "orders", order["payment"], "cancel"),
        ("POST", "orders", order["payment"], "release"),
        ("POST", "lanes", "sample.main", "pause"),
        ("POST", "stop"),
        ("GET", "parked"),
    ):
        site.no(403, "not_allowed", *asked, peer=ZHAO.peer, reason="x")
    site.no(403, "not_allowed", "GET", "orders", order["payment"], peer=ZHAO.peer, query={"clear": "1"})
    assert ("uid:2003", "access.refused") in site.trail("person:zhao")


def test_administrators_see_no_money_and_run_lanes(site: Operator) -> None:
    for one in (WANG, LI):
        sign_in(site, one)
        site.no(403, "not_allowed", "GET", "today", peer=one.peer)
    assert site.ask("POST", "lanes", "sample.main", "pause", peer=LI.peer, reason="x")["paused"]
    site.no(403, "not_allowed", "POST", "lanes", "sample.main", "resume", peer=WANG.peer)


# ---- signing in ----


def test_a_session_is_bound_to_the_user_and_ends(site: Operator) -> None:
    let_in(site, ZHAO, "viewer@*")
    limits = SessionLimits()
    assert sign_in(site, ZHAO)["ends_in_s"] == limits.idle_ms // 1000
    shown = site.ask("GET", "sign-in", peer=ZHAO.peer)
    assert (shown["person"], shown["signed_in"], shown["factor"]) == ("zhao", True, "key")
    site.no(403, "not_enrolled", "GET", "orders", peer=PeerCredentials(2999))
    site.world.run(limits.idle_ms / 1000 - 60)
    site.ask("GET", "orders", peer=ZHAO.peer)
    site.world.run(limits.idle_ms / 1000 - 60)
    site.ask("GET", "orders", peer=ZHAO.peer)
    site.world.run(limits.idle_ms / 1000 + 1)
    assert "bankgw login" in site.no(403, "sign_in", "GET", "orders", peer=ZHAO.peer)
    sign_in(site, ZHAO)
    assert site.ask("POST", "sign-out", peer=ZHAO.peer) == {"signed_in": False}
    site.no(403, "sign_in", "GET", "orders", peer=ZHAO.peer)


def test_a_challenge_is_taken_once_and_by_its_own_person(site: Operator) -> None:
    let_in(site, ZHAO, "viewer@*")
    site.no(403, "no_challenge", "POST", "sign-in", peer=ZHAO.peer, signature=signed(ZHAO, "x"))
    text = site.ask("POST", "sign-in", "challenge", peer=ZHAO.peer)["text"]
    site.ask("POST", "sign-in", peer=ZHAO.peer, signature=signed(ZHAO, text))
    site.no(403, "no_challenge", "POST", "sign-in", peer=ZHAO.peer, signature=signed(ZHAO, text))
    # The text of another user's challenge does not fit, nor does another's key.
    other = site.ask("POST", "sign-in", "challenge", peer=WANG.peer)["text"]
    site.ask("POST", "sign-in", "challenge", peer=ZHAO.peer)
    site.no(403, "sign_in_failed", "POST", "sign-in", peer=ZHAO.peer, signature=signed(ZHAO, other))
    text = site.ask("POST", "sign-in", "challenge", peer=ZHAO.peer)["text"]
    site.no(403, "sign_in_failed", "POST", "sign-in", peer=ZHAO.peer, signature=signed(WANG, text))
    text = site.ask("POST", "sign-in", "challenge", peer=ZHAO.peer)["text"]
    site.world.run(121)
    site.no(403, "no_challenge", "POST", "sign-in", peer=ZHAO.peer, signature=signed(ZHAO, text))


def test_ten_failures_lock_out_over_a_restart_of_the_daemon(site: Operator) -> None:
    let_in(site, ZHAO, "viewer@*")
    for n in range(MOST_FAILURES):
        site.ask("POST", "sign-in", "challenge", peer=ZHAO.peer)
        code = "locked" if n == MOST_FAILURES - 1 else "sign_in_failed"
        site.no(403, code, "POST", "sign-in", peer=ZHAO.peer, signature=signed(WANG, "x"))
    site.world.crash()
    site.world.start()
    site.world.run(1)
    later = Operator(site.world)
    text = later.ask("POST", "sign-in", "challenge", peer=ZHAO.peer)["text"]
    assert "tell the auditor" in later.no(
        403, "locked", "POST", "sign-in", peer=ZHAO.peer, signature=signed(ZHAO, text)
    )
    later.world.run(LOCKED_MS / 1000)
    assert sign_in(later, ZHAO)["person"] == "zhao"
    trail = [entry for _actor, entry in later.trail("person:zhao")]
    assert trail.count("sign_in.failed") == MOST_FAILURES - 1 and trail.count("sign_in.locked") == 2
    # Other persons are not affected.
    assert sign_in(later, WANG)["person"] == "wang"


def code_now(operator: Operator, secret: str, steps: int = 0) -> str:
    now_ms = operator.gateway.parts.clock.now_ms()
    return one_time_codes.code_at(secret, now_ms // 30_000 + steps)


def with_password(operator: Operator, one: Hand) -> str:
    sign_in(operator, one)
    secret = str(operator.ask("POST", "factors", "password", peer=one.peer, password=PASSWORD)["secret"])
    said = operator.ask(
        "POST", "factors", "password", "confirm", peer=one.peer, one_time_code=code_now(operator, secret)
    )
    assert said["confirmed"]
    operator.ask("POST", "sign-out", peer=one.peer)
    return secret


def test_password_and_code_open_a_session_and_a_code_is_taken_once(site: Operator) -> None:
    let_in(site, ZHAO, "viewer@*")
    secret = with_password(site, ZHAO)
    used: dict[str, Any] = {"password": PASSWORD, "one_time_code": code_now(site, secret)}
    assert "taken once" in site.no(403, "sign_in_failed", "POST", "sign-in", peer=ZHAO.peer, **used)
    site.world.run(31)
    good: dict[str, Any] = {"password": PASSWORD, "one_time_code": code_now(site, secret)}
    site.no(403, "sign_in_failed", "POST", "sign-in", peer=ZHAO.peer, **{**good, "password": "correct horse batterz"})
    assert site.ask("POST", "sign-in", peer=ZHAO.peer, **good)["factor"] == "password"
    site.no(403, "sign_in_failed", "POST", "sign-in", peer=ZHAO.peer, **good)
    site.ask("GET", "orders", peer=ZHAO.peer)
    # A password opens sessions; it changes no factor, and it signs nothing.
    site.no(403, "sign_in", "POST", "factors", "password", peer=ZHAO.peer, password=PASSWORD)
    with sqlite3.connect(site.world.folder / "journal.db") as db:
        (body,) = db.execute("select body from password_factors").fetchone()
    assert secret.encode() not in body and b"argon2" not in body


def test_a_password_without_its_confirmed_code_opens_nothing(site: Operator) -> None:
    let_in(site, ZHAO, "viewer@*")
    site.no(403, "sign_in_failed", "POST", "sign-in", peer=ZHAO.peer, password=PASSWORD, one_time_code="000000")
    sign_in(site, ZHAO)
    site.no(400, "weak_password", "POST", "factors", "password", peer=ZHAO.peer, password="zhao zhao zhao")
    site.no(400, "missing", "POST", "factors", "password", peer=ZHAO.peer, password="x" * 200)
    secret = site.ask("POST", "factors", "password", peer=ZHAO.peer, password=PASSWORD)["secret"]
    site.no(403, "wrong_code", "POST", "factors", "password", "confirm", peer=ZHAO.peer, one_time_code="12345")
    site.ask("POST", "sign-out", peer=ZHAO.peer)
    site.no(
        403,
        "sign_in_failed",
        "POST",
        "sign-in",
        peer=ZHAO.peer,
        password=PASSWORD,
        one_time_code=code_now(site, secret),
    )


@pytest.mark.usefixtures("long_lease")
def test_a_reset_takes_a_new_key_after_a_day_and_forgets_the_rest(site: Operator) -> None:
    let_in(site, ZHAO, "supervisor@*")
    secret = with_password(site, ZHAO)
    new = Hand("zhao", ZHAO.uid, SUN.key)
    assert ask_in(site, new) == "enrolled"
    sign_in(site, ZHAO)  # the old key is good until two administrators decided
    decide(site, "reset", "zhao", "new-key")
    for one in (ZHAO, new):
        assert "less than 24 hours" in site.no(403, "cool_down", "GET", "orders", peer=one.peer)
    site.world.run(COOL_DOWN_MS / 1000 - 60)
    site.no(403, "cool_down", "POST", "sign-in", "challenge", peer=new.peer)
    site.world.run(61)
    site.no(403, "sign_in", "GET", "orders", peer=ZHAO.peer)
    site.no(
        403,
        "sign_in_failed",
        "POST",
        "sign-in",
        peer=ZHAO.peer,
        password=PASSWORD,
        one_time_code=code_now(site, secret),
    )
    site.ask("POST", "sign-in", "challenge", peer=ZHAO.peer)
    text = site.ask("POST", "sign-in", "challenge", peer=ZHAO.peer)["text"]
    site.no(403, "sign_in_failed", "POST", "sign-in", peer=ZHAO.peer, signature=signed(ZHAO, text))
    assert sign_in(site, new)["person"] == "zhao"
    assert ("uid:2002", "person.key_reset") in site.trail("person:zhao")


# ---- delegation ----


def test_a_delegate_acts_until_the_end_and_is_one_seat_with_the_delegator(site: Operator) -> None:
    let_in(site, ZHAO, "supervisor@*;viewer@*")
    let_in(site, SUN, "viewer@*")
    let_in(site, QIAN, "supervisor@*")
    for one in (ZHAO, SUN):
        sign_in(site, one)
    given: dict[str, Any] = {"delegate": "sun", "roles": "supervisor", "scope": "*", "days": 7, "reason": "leave"}
    made = site.ask("POST", "delegations", peer=ZHAO.peer, **given)
    assert site.ask("GET", "sign-in", peer=SUN.peer)["roles"] == "supervisor@*;viewer@*"
    site.ask("POST", "stop", reason="drill")
    wanted: dict[str, Any] = {"kind": "restart", "subject": "gateway", "to": "send", "note": "over"}
    key = site.ask("POST", "proposals", peer=ZHAO.peer, **made_of(draft(site, ZHAO, wanted), ZHAO, wanted))["proposal"]
    assert "stand in" in site.no(
        403, "one_seat", "POST", "proposals", key, "approve", peer=SUN.peer, **approval(site, SUN, key)
    )
    assert approve(site, QIAN, key)["state"] == "done"
    ended = site.ask("POST", "delegations", made["delegation"], "end", peer=SUN.peer, reason="back")
    assert ended["until"] < made["until"]
    assert site.ask("GET", "sign-in", peer=SUN.peer)["roles"] == "viewer@*"
    site.no(404, "no_such_delegation", "POST", "delegations", made["delegation"], "end", peer=SUN.peer, reason="x")
    assert [entry for _a, entry in site.trail("person:zhao")][-2:] == ["delegation.made", "delegation.ended"]
    assert len(site.ask("GET", "delegations", peer=SUN.peer)["delegations"]) == 1


@pytest.mark.usefixtures("long_lease")
def test_an_expired_delegation_gives_nothing(site: Operator) -> None:
    let_in(site, ZHAO, "supervisor@*")
    let_in(site, SUN, "viewer@*")
    sign_in(site, ZHAO)
    site.ask("POST", "delegations", peer=ZHAO.peer, delegate="sun", roles="supervisor", scope="*", days=1, reason="x")
    site.world.run(86_390)
    assert "supervisor" in site.ask("GET", "sign-in", peer=SUN.peer)["roles"]
    site.world.run(11)
    assert "supervisor" not in site.ask("GET", "sign-in", peer=SUN.peer)["roles"]


@pytest.mark.parametrize(
    "given",
    [
        {"delegate": "zhao"},
        {"delegate": "nobody"},
        {"delegate": "wang"},
        {"roles": "maker"},
        {"roles": "audit_admin"},
        {"roles": "boss"},
        {"scope": "company:ACME"},
        {"days": 31},
        {"days": 0},
    ],
)
def test_what_is_not_delegated(site: Operator, given: dict[str, Any]) -> None:
    let_in(site, ZHAO, "supervisor@*;viewer@*")
    let_in(site, SUN, "viewer@*")
    sign_in(site, ZHAO)
    good: dict[str, Any] = {"delegate": "sun", "roles": "supervisor", "scope": "*", "days": 7, "reason": "leave"}
    with pytest.raises(Denied):
        site.ask("POST", "delegations", peer=ZHAO.peer, **{**good, **given})
    assert site.ask("GET", "delegations")["delegations"] == []


def test_an_altered_delegation_or_role_is_noticed(site: Operator) -> None:
    let_in(site, ZHAO, "supervisor@*")
    let_in(site, SUN, "viewer@*")
    sign_in(site, ZHAO)
    site.ask("POST", "delegations", peer=ZHAO.peer, delegate="sun", roles="supervisor", scope="*", days=1, reason="x")
    with sqlite3.connect(site.world.folder / "journal.db") as db:
        db.execute("update delegations set until_ms = until_ms + 1")
    # The delegated approval does not count, because the two still count as one person.
    assert "supervisor" not in site.ask("GET", "sign-in", peer=SUN.peer)["roles"]
    with sqlite3.connect(site.world.folder / "journal.db") as db:
        db.execute("update persons set at_ms = at_ms + 1 where person = 'sun'")
    site.no(409, "altered", "GET", "sign-in", peer=SUN.peer)


def test_a_supervisor_of_one_company_does_not_decide_for_all(site: Operator) -> None:
    company = site.ask("GET", "today")["accounts"][0]["company"]
    let_in(site, ZHAO, f"supervisor@company:{company}")
    site.ask("POST", "stop", reason="drill")
    wanted: dict[str, Any] = {"kind": "restart", "subject": "gateway", "to": "send", "note": "over"}
    site.no(403, "out_of_scope", "POST", "proposals", "draft", peer=ZHAO.peer, **wanted)
    site.no(
        403,
        "out_of_scope",
        "POST",
        "proposals",
        "draft",
        peer=ZHAO.peer,
        kind="resolve",
        subject="kingdee:none",
        to="failed",
        note="x",
        evidence_sha256="0" * 64,
    )


@pytest.mark.parametrize("roles", ["viewer@*", "supervisor@company:{}"])
def test_who_proposed_may_not_any_more_when_the_second_signs(site: Operator, roles: str) -> None:
    """The role of the first person is removed, or cut to one company, between the two signatures."""
    company = site.ask("GET", "today")["accounts"][0]["company"]
    for one in (ZHAO, SUN):
        let_in(site, one, "supervisor@*")
    site.ask("POST", "stop", reason="drill")
    wanted: dict[str, Any] = {"kind": "restart", "subject": "gateway", "to": "send", "note": "over"}
    key = site.ask("POST", "proposals", peer=ZHAO.peer, **made_of(draft(site, ZHAO, wanted), ZHAO, wanted))["proposal"]
    decide(site, "roles", "zhao", roles.format(company))
    why = site.no(409, "first_is_gone", "POST", "proposals", key, "approve", peer=SUN.peer, **approval(site, SUN, key))
    assert "zhao may not propose this any more" in why
    decide(site, "roles", "zhao", "supervisor@*")
    assert approve(site, SUN, key)["state"] == "done"
