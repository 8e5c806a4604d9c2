"""An ERP in Node, written from the documented contract alone: it pays, and receives the events."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.independent.site import PREFIX, SENDER, Running, program

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]
HERE = Path(__file__).parent / "node"


def order(site: Running, id_: str, bank: str = "sample", **changes: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "debtor": {"account": site.account(bank), "name": "示例甲公司"},
        "creditor": {
            "account": "0000000000000000025",
            "name": "示例乙公司",
            "bank_name": "示例银行某支行",
            "cnaps": "000000000000",
            "kind": "corporate",
        },
        "amount": "12345.67",
        "currency": "CNY",
        "purpose": f"货款 {id_}",
        "tags": {"invoice": "INV-0931"},
        **changes,
    }


def play(site: Running, modules: Path, *orders: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Let the client publish these pairs of message id and body; returns the messages that it received."""
    env = {
        **os.environ,
        "NODE_PATH": str(modules),
        "AMQP_URL": site.url,
        "AMQP_USER": site.erp.user,
        "SENDER": SENDER,
        "PREFIX": f"{PREFIX}.node",
        "LIMIT_S": "60",
        "ORDERS": json.dumps([{"message": message, "body": body} for message, body in orders]),
    }
    done = subprocess.run(
        [program("node"), str(HERE / "pay.js")],
        env=env,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{site.daemon.tail()}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def booked(site: Running, bank: str, id_: str) -> list[dict[str, Any]]:
    return [one for one in site.booked(bank) if id_ in json.dumps(one, ensure_ascii=False)]


@pytest.mark.parametrize("bank", ["sample", "pab"])
def test_a_payment_is_submitted_and_settled(site: Running, modules: Path, bank: str) -> None:
    id_ = f"NODE-{bank}"
    heard = play(site, modules, (f"m-{bank}", order(site, id_, bank)))
    [reply] = [one for one in heard if one["from"] == "reply"]
    events = {one["body"]["seq"]: one for one in heard if one["from"] == "event"}
    assert reply["body"]["event"] == "payment.accepted" and reply["body"]["id"] == id_
    assert reply["body"]["replayed"] is False and reply["body"]["bank"] == bank
    assert all(one["properties"]["correlationId"] == f"m-{bank}" for one in heard)
    last = events[max(events)]
    assert (last["body"]["event"], last["body"]["state"], last["body"]["iso"]) == ("payment.settled", "settled", "ACSC")
    assert last["body"]["final"] is True and last["body"]["payment"] == reply["body"]["payment"]
    assert last["key"] == f"payment.settled.{bank}.{SENDER}" and last["body"]["tags"] == {"invoice": "INV-0931"}
    assert sorted(events) == list(range(1, len(events) + 1)), "one event per state change, numbered"
    headers = last["properties"]["headers"]
    assert headers["cloudEvents_type"] == "payment.settled" and headers["sender"] == SENDER
    assert len(booked(site, bank, id_)) == 1, "the bank's own books say the same"


def test_an_order_sent_twice_is_one_payment(site: Running, modules: Path) -> None:
    body = order(site, "NODE-TWICE")
    heard = play(site, modules, ("m-1st", body))
    again = play(site, modules, ("m-2nd", body))
    [first] = [one["body"] for one in heard if one["from"] == "reply"]
    [second] = [one["body"] for one in again if one["from"] == "reply"]
    assert second["replayed"] is True and second["payment"] == first["payment"] and second["state"] == "settled"
    assert len(booked(site, "sample", "NODE-TWICE")) == 1


def test_what_is_wrong_is_said_and_the_next_order_settles(site: Running, modules: Path) -> None:
    heard = play(
        site,
        modules,
        ("m-number", order(site, "NODE-NUMBER", amount=12.5)),
        ("m-account", order(site, "NODE-ACCOUNT", debtor={"account": "00000000009999", "name": "示例甲公司"})),
        ("m-good", order(site, "NODE-GOOD")),
    )
    replies = {one["properties"]["correlationId"]: one["body"] for one in heard if one["from"] == "reply"}
    assert replies["m-number"]["error"]["code"] == "schema"
    assert replies["m-number"]["error"]["errors"][0]["at"] == "/amount"
    assert replies["m-account"]["error"]["errors"][0]["code"] == "unknown_account"
    assert replies["m-good"]["event"] == "payment.accepted"
    assert {one["body"]["id"] for one in heard if one["body"].get("event") == "payment.settled"} == {"NODE-GOOD"}
