"""Debian's amqp-tools as an ERP: they can set neither user-id nor message-id, so they may ask but not pay."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.independent.site import PREFIX, Running, program, until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]
QUEUE = f"{PREFIX}.tools"


def tool(site: Running, name: str, *words: str, limit_s: float = 30) -> str:
    done = subprocess.run(
        [program(name), f"--url={site.url}", *words],
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{name} {words}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def queue(site: Running) -> Iterator[str]:
    for name in ("amqp-declare-queue", "amqp-publish", "amqp-consume", "amqp-delete-queue"):
        program(name)
    tool(site, "amqp-declare-queue", "--durable", f"--queue={QUEUE}")
    yield QUEUE
    tool(site, "amqp-delete-queue", f"--queue={QUEUE}")


def publish(site: Running, key: str, body: Any) -> None:
    tool(
        site,
        "amqp-publish",
        "--exchange=bankgw.commands",
        f"--routing-key={key}",
        f"--reply-to={QUEUE}",
        "--content-type=application/json",
        "--persistent",
        f"--body={json.dumps(body)}",
    )


def hear(site: Running) -> Any:
    return json.loads(tool(site, "amqp-consume", f"--queue={QUEUE}", "--count=1", "cat"))


@pytest.mark.parametrize("bank", ["sample", "pab"])
def test_a_balance_is_asked_and_the_reply_printed(site: Running, queue: str, bank: str) -> None:
    publish(site, "balance.query", {"accounts": [site.account(bank, 1)], "max_age": "PT0S"})
    said = hear(site)
    [balance] = said["balances"]
    assert balance["account"] == site.account(bank, 1) and balance["available"] == "1000000000.00"
    assert balance["currency"] == "CNY" and balance["source"] == "bank" and said["errors"] == []


def test_a_wrong_question_is_answered_with_every_fault(site: Running, queue: str) -> None:
    publish(site, "balance.query", {"accounts": [1], "max_age": "soon", "wings": 2})
    error = hear(site)["error"]
    assert error["code"] == "schema"
    assert {fault["at"] for fault in error["errors"]} == {"/accounts/0", "/max_age", "/wings"}


def test_without_a_user_id_no_money_moves_and_a_person_sees_it(site: Running, queue: str) -> None:
    before = len(site.booked("sample"))
    body = {
        "id": "TOOLS-1",
        "debtor": {"account": site.account("sample"), "name": "示例甲公司"},
        "creditor": {"account": "0000000000000000025", "name": "示例乙公司"},
        "amount": "1.00",
        "currency": "CNY",
    }
    publish(site, "payment.submit", body)
    assert hear(site)["error"]["code"] == "no_sender"
    until(lambda: site.rabbit.depth("bankgw.parked") > 0, 10, "the parked copy")
    [(_method, said, parked)] = site.rabbit.get_all("bankgw.parked")
    assert json.loads(parked) == body and said.headers["refused"] == "no_sender"
    assert len(site.booked("sample")) == before
