"""Four-eyes approval on a running daemon, by command line: two users approve a payment above the band, and a payroll of
500."""

from __future__ import annotations

import json
import re

import pytest

from gateway.cli import exit_codes
from gateway.demo import site as demo_site
from tests.gateway.cli.test_live import Live, order
from tests.gateway.cli.test_live_restore import LI, WANG, Person, Shelf, enrolled
from tests.gateway.cli.test_live_restore import live as live  # noqa: PLC0414 - a fixture
from tests.gateway.cli.test_live_restore import shelf as shelf  # noqa: PLC0414 - a fixture

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

ZHAO, SUN, QIAN = 42_004, 42_005, 42_006
LINES = 500


def payroll() -> dict[str, object]:
    items = [
        {
            "id": f"PR-{n}",
            "amount": f"{100 + n}.00",
            "creditor": {"account": f"00000000000001{n:05d}", "name": f"示例员工{n}"},
        }
        for n in range(1, LINES + 1)
    ]
    total = sum(100 + n for n in range(1, LINES + 1))
    debtor = {"account": demo_site.account_numbers("sample", 1)[0], "name": "示例甲公司"}
    return {
        "id": "PR",
        "count": LINES,
        "sum": f"{total}.00",
        "currency": "CNY",
        "purpose": "工资",
        "debtor": debtor,
        "items": items,
        "maker": "zhao",
    }


def let_in(live: Live, shelf: Shelf, name: str, uid: int, roles: str, first: Person, second: Person) -> Person:
    person = Person(live, shelf, name, uid)
    code, said = person.bankgw("persons", "enrol", name)
    assert code == exit_codes.OK, said
    approved_by_two(first, second, "persons", "admit", name, "--roles", roles, "--reason", "finance")
    return person


def approved_by_two(first: Person, second: Person, *words: str) -> None:
    code, said = first.bankgw(*words, "--yes", "--json")
    assert code == exit_codes.OK, said
    code, said = second.bankgw("resolve", "--approve", json.loads(said)["proposal"], "--yes")
    assert code == exit_codes.OK, said


def waiting(person: Person, subject: str) -> str:
    code, said = person.bankgw("approvals", "list", "--json", key=False)
    assert code == exit_codes.OK, said
    (key,) = [one["request"] for one in json.loads(said)["approvals"] if one["subject"] == subject]
    return str(key)


def test_two_users_approve_a_payment_and_a_payroll(live: Live, shelf: Shelf) -> None:
    wang, li = enrolled(live, shelf, "wang", WANG), enrolled(live, shelf, "li", LI)
    code, said = live.bankgw("roles", "ceremony", "wang", "li", "--reason", "minutes", config=True)
    assert code == exit_codes.OK, said
    zhao = let_in(live, shelf, "zhao", ZHAO, "maker@*;approver@*", wang, li)
    sun = let_in(live, shelf, "sun", SUN, "approver@*;supervisor@*", wang, li)
    qian = let_in(live, shelf, "qian", QIAN, "approver@*;supervisor@*", wang, li)
    policy = wang.home / "policy"
    policy.write_text("CNY 0..10000.00 0\nCNY 10000.00.. 2\n")
    policy.chmod(0o644)
    wang.home.chmod(0o711)
    approved_by_two(wang, li, "policy", "propose", str(policy), "--reason", "board of 28 Nov")

    code, said = live.send({**order("AP-1", "20000.00", "sample"), "maker": "zhao"}, "--timeout", "5")
    assert code != exit_codes.OK and "hold_reason approval" in said, said
    key = waiting(sun, "AP-1")
    code, said = zhao.bankgw("approvals", "approve", key, "--yes")
    assert (code, "own_payment" in said) == (exit_codes.REFUSED, True), said
    code, said = live.bankgw("orders", "release", "erp:AP-1", "--reason", "hurry", config=True)
    assert (code, "is not enrolled" in said) == (exit_codes.REFUSED, True), said
    code, said = sun.bankgw("orders", "release", "erp:AP-1", "--reason", "hurry", "--yes")
    assert (code, "bankgw approvals list" in said) == (exit_codes.REFUSED, True), said
    code, said = live.bankgw("lanes", "pause", "sample.main", "--reason", "the bank asked", config=True)
    assert code == exit_codes.OK, said
    code, said = sun.bankgw("approvals", "approve", key, "--yes", "--language", "zh")
    assert (code, "1 of any approver" in said) == (exit_codes.OK, True), said
    code, said = sun.bankgw("approvals", "approve", key, "--yes")
    assert (code, "decided_already" in said) == (exit_codes.REFUSED, True), said
    code, said = qian.bankgw("approvals", "approve", key, "--yes")
    assert (code, "approved: 1 of 1" in said) == (exit_codes.OK, True), said
    approved_by_two(sun, qian, "lanes", "resume", "sample.main", "--reason", "the bank is done")
    live.until(lambda: '"settled"' in live.bankgw("orders", "show", "erp:AP-1", "--json", config=True)[1])

    file = live.site.folder / "payroll.json"
    file.write_text(json.dumps(payroll()), "utf-8")
    code, said = live.bankgw("send", str(file), "--type", "payroll.submit", erp=True)
    assert code == exit_codes.OK, said
    live.until(
        lambda: "PR" in re.findall(r'"subject": "(\w+)"', sun.bankgw("approvals", "list", "--json", key=False)[1])
    )
    key = waiting(sun, "PR")
    code, said = sun.bankgw("approvals", "show", key, key=False)
    assert (code, f"{LINES}/{LINES}" in said, "missing: 2 of any approver" in said) == (exit_codes.OK, True, True), (
        said[-500:]
    )
    for one in (sun, qian):
        code, said = one.bankgw("approvals", "approve", key, "--yes")
        assert code == exit_codes.OK, said
    assert f"approved: {LINES} of {LINES}" in said
    live.until(lambda: '"open_items": 0' in live.bankgw("orders", "show", "erp:PR", "--json", config=True)[1])
    code, said = live.bankgw("orders", "show", "erp:PR", "--json", config=True)
    assert [one["state"] for one in json.loads(said)["states"]] == ["settled"], said[:500]
