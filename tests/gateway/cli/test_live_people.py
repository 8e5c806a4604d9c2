"""Four real users on a running daemon, as docs/do/people.md says: two administrators, and two with reading roles of
finance.
"""

from __future__ import annotations

import json
import re

import pytest

from gateway.cli import exit_codes
from tests.gateway.cli.test_live import Live, order
from tests.gateway.cli.test_live_restore import LI, STRANGER, WANG, Person, Shelf, enrolled
from tests.gateway.cli.test_live_restore import live as live  # noqa: PLC0414 - a fixture
from tests.gateway.cli.test_live_restore import shelf as shelf  # noqa: PLC0414 - a fixture

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]


def test_two_administrators_let_finance_in_and_finance_looks(live: Live, shelf: Shelf) -> None:
    wang, li = enrolled(live, shelf, "wang", WANG), enrolled(live, shelf, "li", LI)
    code, said = live.bankgw("roles", "ceremony", "wang", "li", "--reason", "minutes", config=True)
    assert code == exit_codes.OK, said
    zhao = Person(live, shelf, "zhao", STRANGER)
    code, said = zhao.bankgw("persons", "enrol", "zhao")
    assert code == exit_codes.OK, said
    fingerprint = re.search(r"^fingerprint: (\w+)$", said, re.MULTILINE)
    assert fingerprint, said
    code, said = live.bankgw("persons", "confirm", "zhao", fingerprint[1][:16], config=True)
    assert (code, "ceremony_over" in said) == (exit_codes.REFUSED, True), said

    code, said = wang.bankgw(
        "persons", "admit", "zhao", "--roles", "viewer@*", "--reason", "finance", "--yes", "--json"
    )
    assert code == exit_codes.OK, said
    proposal = json.loads(said)["proposal"]
    for one, expected in ((wang, exit_codes.REFUSED), (zhao, exit_codes.REFUSED), (li, exit_codes.OK)):
        code, said = one.bankgw("resolve", "--approve", proposal, "--yes")
        assert code == expected, said

    code, said = live.send(order("AP-1", "10.00", "sample"))
    assert code == exit_codes.OK, said
    code, said = zhao.bankgw("orders", "list", key=False)
    assert (code, "bankgw login" in said) == (exit_codes.REFUSED, True), said
    code, said = zhao.bankgw("login")
    assert (code, "zhao is signed in by key: viewer@*" in said) == (exit_codes.OK, True), said
    code, said = zhao.bankgw("orders", "list", "--json", key=False)
    assert [one["id"] for one in json.loads(said)["orders"]] == ["AP-1"]
    code, said = zhao.bankgw("today", "--json", key=False)
    assert code == exit_codes.OK and json.loads(said)["accounts"], said
    code, said = zhao.bankgw("lanes", "pause", "sample.main", "--reason", "x", key=False)
    assert (code, "not_allowed" in said) == (exit_codes.REFUSED, True), said
    code, said = zhao.bankgw("roles", "list", key=False)
    assert (code, "not_allowed" in said) == (exit_codes.REFUSED, True), said
    code, said = wang.bankgw("roles", "list", key=False)
    assert (code, "security_admin" in said and "viewer@*" in said) == (exit_codes.OK, True), said

    code, said = wang.bankgw("persons", "deactivate", "zhao", "--reason", "left", "--yes", "--json")
    assert code == exit_codes.OK, said
    code, said = li.bankgw("resolve", "--approve", json.loads(said)["proposal"], "--yes")
    assert code == exit_codes.OK, said
    code, said = zhao.bankgw("whoami", key=False)
    assert (code, "was deactivated" in said) == (exit_codes.REFUSED, True), said
