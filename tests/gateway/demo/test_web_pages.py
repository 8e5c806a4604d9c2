"""The orders that the demo's web pages offer for approval, the moment at which the colleague signs, and refused
visitors.
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.demo import approvals, web_pages
from gateway.demo.processes import person_daemon_command
from gateway.demo.web_pages import Colleague
from tests.world.services import ROOT

NOW = datetime(2026, 11, 29, 9, tzinfo=UTC)
REQUEST: dict[str, Any] = {"request": "R", "need": [{"group": "*", "approvers": 2}], "decided": [{"person": "chen"}]}


def minor(amount: str) -> int:
    return int(amount.replace(".", ""))


@pytest.mark.parametrize("banks", [("sample",), ("pab", "sample")])
def test_one_needs_one_approver_and_the_others_two(banks: tuple[str, ...]) -> None:
    (_, first, one), (_, second, two), (command, third, payroll) = list(web_pages.orders(banks, "abc", NOW))
    bodies = [json.loads(octets) for octets in (one, two, payroll)]
    assert command == "payroll.submit" and len({first, second, third}) == 3
    assert [approvals.needed(minor(body.get("amount") or body["sum"])) for body in bodies] == [1, 2, 2]
    items = bodies[2]["items"]
    assert (len(items), sum(minor(item["amount"]) for item in items)) == (500, minor(bodies[2]["sum"]))
    payees = [body["creditor"]["account"] for body in (*bodies[:2], *items)]
    assert len(set(payees)) == 502 and all(payee.startswith("0000") for payee in payees)
    assert {body["maker"] for body in bodies} == {approvals.MAKER}


@pytest.mark.parametrize(
    ("decided", "need", "due"),
    [(["chen"], 2, True), ([], 2, False), (["chen"], 1, False), (["chen", "lin"], 3, False), (["lin"], 2, False)],
)
def test_the_colleague_signs_after_you_where_one_more_is_needed(decided: list[str], need: int, due: bool) -> None:
    asked = {**REQUEST, "need": [{"group": "*", "approvers": need}], "decided": [{"person": one} for one in decided]}

    class Control:
        def get(self, *parts: str) -> Any:
            return {"approvals": [asked]} if len(parts) == 1 else asked

    control: Any = Control()
    colleague = Colleague(control, control, Ed25519PrivateKey.generate(), "abc", print)
    assert (colleague._due() == [asked]) is due


def test_ports_are_the_usual_ones_or_others() -> None:
    pages = web_pages.free_ports()
    assert pages.console_port != pages.approval_port
    assert pages.settings()["web"]["console_origin"] == f"http://console.localhost:{pages.console_port}"


def test_the_demos_daemon_serves_no_settings_of_another_mode(tmp_path: Path) -> None:
    file = tmp_path / "bankgw.toml"
    file.write_text('mode = "production"\nnode = "gw1"\nstate_dir = "/nowhere"\n', "utf-8")
    done = subprocess.run(
        person_daemon_command(file, 2_000_000_100), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "it runs with settings of the mode development only" in done.stderr
