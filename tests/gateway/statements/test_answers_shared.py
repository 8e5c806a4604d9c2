"""Questions with several nodes over one journal: the node that speaks to the bank answers, and every question gets an
answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import ProgrammingError
from twisted.internet.defer import Deferred, fail

from gateway.erp.question_service import OVERDUE_MS
from gateway.statements.rows import questions
from tests.world import files, sim
from tests.world.world import Life, World

TODAY = "2026-11-18"
SHARED = {"journal": {"poll_ms": 250}}


def two(folder: Path, *, reachable: bool = True, **more: Any) -> tuple[World, Life, Life]:
    """A world of two nodes: the first speaks to the bank, the second takes every command in."""
    world = World(folder, settings=SHARED, **more)
    world.bank.reachable = reachable
    first = world.start("gw1")
    world.run(1)
    second = world.start("gw2")
    world.run(5)
    first.amqp.pause()
    return world, first, second


def waiting(world: World) -> int:
    return len(files.read_world(world, questions.waiting)[0])


@pytest.mark.parametrize("key", ["balance.query", "transactions.query", "statement.request", "receipt.request"])
def test_what_another_node_took_in_is_answered_by_the_one_that_speaks_to_the_bank(key: str, tmp_path: Path) -> None:
    world, first, second = two(tmp_path)
    world.submit("AP-1")
    world.run(10)
    account = world.bank.account
    bodies: dict[str, dict[str, Any]] = {
        "balance.query": {"accounts": [account]},
        "transactions.query": {"account": account, "from": TODAY, "to": TODAY},
        "statement.request": {"account": account, "date": TODAY},
        "receipt.request": {"id": "AP-1"},
    }
    world.command(key, bodies[key])
    world.run(400)
    [(said, answer)] = [(said, answer) for said, answer in world.replies if said.correlation_id == "m-2"]
    assert said.type in ("balance.result", "transactions.page", "statement.ready", "receipt.ready"), answer
    assert not answer.get("errors") and not waiting(world)
    assert world.declined(second) == 0 and first.fatal + second.fatal == []


def test_a_question_for_the_banks_of_two_nodes_names_the_account_that_is_asked_elsewhere(tmp_path: Path) -> None:
    world, first, second = two(tmp_path, banks=("sample", "pab"))
    Deferred.fromCoroutine(first.gateway.lanes["pab.main"]._lease.end())
    world.run(5)
    assert second.gateway.lanes["pab.main"].ready and first.gateway.lanes["sample.main"].ready
    ours, theirs = (world.banks[bank].account for bank in ("sample", "pab"))
    for accounts in ([ours, theirs], [theirs, ours]):
        world.command("balance.query", {"accounts": accounts})
        world.run(10)
        [balance], [error] = world.replies[-1][1]["balances"], world.replies[-1][1]["errors"]
        assert (balance["account"], error["account"]) == tuple(accounts)
        assert error["code"] == "bank_unavailable" and "another node" in error["title"]
    assert len(world.replies) == 2


def test_a_question_in_the_hands_of_a_node_that_dies_is_answered_by_the_next_owner(tmp_path: Path) -> None:
    world, first, second = two(tmp_path, reachable=False)
    world.command("balance.query", {"accounts": [world.bank.account], "max_wait": "PT600S"})
    world.run(5)
    assert waiting(world) == 1 and not world.replies
    first.crash()
    world.bank.reachable = True
    world.run(60)
    [(_said, answer)] = world.replies
    assert answer["balances"] and not waiting(world) and second.fatal == []


def test_a_question_that_nobody_can_put_is_expired_when_its_time_is_over(tmp_path: Path) -> None:
    """A suspended node owns its lane: other nodes know only that its time is over."""
    world, first, second = two(tmp_path)
    first.clock.freeze()
    world.command("balance.query", {"accounts": [world.bank.account], "max_wait": "PT5S"})
    world.run(5 + OVERDUE_MS / 1000 - 1)
    assert not world.replies
    world.run(2)
    [(_said, answer)] = world.replies
    assert answer["error"]["code"] == "expired" and not waiting(world) and second.fatal == []
    first.clock.thaw()
    world.run(60)
    assert len(world.replies) == 1 and first.fatal == []


def test_a_node_that_loses_its_lane_leaves_the_question_to_the_new_owner(tmp_path: Path) -> None:
    world, first, second = two(tmp_path, reachable=False)
    world.command("balance.query", {"accounts": [world.bank.account], "max_wait": "PT600S"})
    world.run(5)
    first.clock.freeze()
    world.run(40)
    first.clock.thaw()
    world.run(10)
    world.bank.reachable = True
    world.run(60)
    [(_said, answer)] = world.replies
    assert answer["balances"] and not waiting(world) and first.fatal + second.fatal == []


def test_a_receipt_is_asked_for_at_once_when_the_lane_comes_back(tmp_path: Path) -> None:
    """Pauses get longer while the bank cannot be reached; a node that lost the lane meanwhile begins again with short
    pauses."""
    world, first, second = two(tmp_path)
    world.submit("AP-1")
    world.run(10)
    world.bank.reachable = False
    for pipe in first.pipes:
        pipe.abortConnection()
    world.command("receipt.request", {"id": "AP-1", "max_wait": "PT3H"})
    world.run(300)
    first.clock.freeze()
    world.run(40)
    first.clock.thaw()
    world.run(400)
    second.crash()
    world.bank.reachable = True
    world.run(90)
    assert [said.type for said, _answer in world.replies][-1] == "receipt.ready" and first.fatal == []


def test_the_story_of_a_question_whose_node_was_killed_after_it_had_acknowledged_it(tmp_path: Path) -> None:
    """Seed 25: a node accepted a question between its resume and its death, and the question got no answer."""
    assert sim.tell(25, tmp_path).violations == []


def test_looking_for_what_other_nodes_took_in_goes_on_after_a_read_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, first, _second = two(tmp_path)
    real, failures = first.store.read, [1, 2]

    def read_or_fail(fn: Any) -> Any:
        if fn is questions.waiting and failures:
            failures.pop()
            return fail(ProgrammingError("select", {}, Exception("a lock wait timeout")))
        return real(fn)

    monkeypatch.setattr(
        first.gateway.questions.context, "store", SimpleNamespace(read=read_or_fail, write=first.store.write)
    )
    world.run(2)
    assert not failures
    world.command("balance.query", {"accounts": [world.bank.account], "max_wait": "PT60S"})
    world.run(10)
    [(_said, answer)] = world.replies
    assert answer["balances"] and not waiting(world)
