"""A run's own virtual host: it exists during the run with the users' rights, and is deleted afterwards or at the next
start.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.erp import BrokerTrouble
from gateway.demo.own_vhost import kept_vhost, own_vhost
from setup.amqp import LoginAnswer, login
from tests.gateway.erp.rabbit import ctl
from tests.world.services import ROOT, Broker, described

KILLED = """
import json, os, signal, sys
from gateway.demo.own_vhost import own_vhost
with own_vhost(json.loads(sys.argv[1]), "demo") as own:
    print(own["vhost"], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _admits(broker: Broker, vhost: str, role: str = "bankgw") -> bool:
    entry = broker.users[role]
    return login(broker.host, broker.port, entry.user, entry.password, vhost) is LoginAnswer.WELCOME


@pytest.fixture
def facts(broker: Broker) -> dict[str, Any]:
    """A description of a broker that lets a run make its own virtual host."""
    if broker.control is None:
        pytest.skip("no rabbitmqctl reaches this broker")
    return described(broker)


@pytest.mark.broker
def test_it_is_there_for_the_block_with_the_rights_of_the_described_one(broker: Broker, facts: dict[str, Any]) -> None:
    with own_vhost(facts, "try") as own, own_vhost(facts, "other") as other:
        assert len({own["vhost"], other["vhost"], broker.vhost}) == 3
        assert {key: own[key] for key in facts if key != "vhost"} == {
            key: facts[key] for key in facts if key != "vhost"
        }
        for role in ("bankgw", "erp-demo"):
            assert _admits(broker, own["vhost"], role)
        rights = [sorted(ctl("list_permissions", "-p", one).splitlines()) for one in (broker.vhost, own["vhost"])]
        assert rights[0] == rights[1]
    for one in (own, other):
        assert not _admits(broker, one["vhost"])
    assert _admits(broker, broker.vhost)


@pytest.mark.broker
def test_what_a_killed_run_left_goes_at_the_next_start(broker: Broker, facts: dict[str, Any], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, json.dumps(facts)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=100,
        check=False,
    )
    left = done.stdout.strip()
    assert left.startswith(f"{broker.vhost}-demo-1-"), done.stderr
    assert _admits(broker, left)
    kept = kept_vhost(facts, tmp_path)["vhost"]
    try:
        assert not _admits(broker, left), "its process is gone"
        with own_vhost(facts, "try") as own:
            assert _admits(broker, kept), "a site that is kept keeps its virtual host"
            assert _admits(broker, broker.test_vhost), "this process runs"
            assert _admits(broker, own["vhost"])
    finally:
        ctl("delete_vhost", kept)


def test_a_description_without_control_is_used_as_it_is(tmp_path: Path) -> None:
    facts = {"host": "127.0.0.1", "port": 1, "vhost": "mine"}
    with own_vhost(facts, "demo") as own:
        assert own == facts
    assert kept_vhost(facts, tmp_path) == facts


@pytest.mark.parametrize(
    "command", [["/nowhere/rabbitmqctl"], ["sh", "-c", "echo sudo: a password is required >&2; exit 1"]]
)
def test_who_may_not_make_one_is_told_what_to_do(command: list[str]) -> None:
    facts = {"host": "127.0.0.1", "port": 5672, "vhost": "v", "control": {"command": command, "env": dict(os.environ)}}
    with pytest.raises(BrokerTrouble) as caught, own_vhost(facts, "demo"):
        pass
    said = str(caught.value)
    assert "no virtual host of its own can be made on the RabbitMQ at 127.0.0.1:5672" in said
    assert "No such file" in said or "a password is required" in said
    assert "without `control`, a virtual host that nothing else uses" in said
