"""One question about fifty accounts at six banks: each bank goes at its own pace, and none waits for another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.gateway.bank.trials import trial_world
from tests.world.world import World

SIX = ("cib", "citic", "cmb", "icbc", "pab", "spdb")
EACH = 9
MORE_S = 5.0


def asked(world: World, accounts: list[str]) -> tuple[float, dict[str, Any]]:
    """The seconds that one question about these accounts takes, and its answer."""
    before, began_s = len(world.replies), world.clock.seconds()
    world.command("balance.query", {"accounts": accounts, "max_age": "PT0S", "max_wait": "PT5M"})
    while len(world.replies) == before:
        world.run(0.1)
        assert world.clock.seconds() - began_s < 300, "no answer"
    return world.clock.seconds() - began_s, world.replies[-1][1]


def test_fifty_accounts_at_six_banks_take_no_longer_than_the_slowest_bank_and_five_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, twins = trial_world(tmp_path, monkeypatch, SIX, accounts=EACH)
    world.start()
    world.run(10)
    own = {bank: [one["number"] for one in _accounts(world) if one["bank"] == bank] for bank in SIX}
    alone_s = {}
    for bank in SIX:
        alone_s[bank], said = asked(world, own[bank])
        assert len(said["balances"]) == EACH and not said["errors"], bank
        world.run(60)
    fifty = [number for numbers in own.values() for number in numbers][:50]
    together_s, said = asked(world, fifty)
    assert [one["account"] for one in said["balances"]] == fifty and not said["errors"]
    assert {one["source"] for one in said["balances"]} == {"bank"} and all("as_of" in one for one in said["balances"])
    slowest_s = max(alone_s.values())
    assert slowest_s + MORE_S < sum(alone_s.values()), "one after the other would not do"
    assert together_s <= slowest_s + MORE_S, alone_s
    # Balances in the cache need no bank.
    before = {bank: len(heard.requests_seen) for bank, heard in twins.items()}
    world.command("balance.query", {"accounts": fifty, "max_age": "PT10M"})
    world.run(0.5)
    assert len(world.replies[-1][1]["balances"]) == 50
    assert {one["source"] for one in world.replies[-1][1]["balances"]} == {"cache"}
    assert {bank: len(heard.requests_seen) for bank, heard in twins.items()} == before


def test_a_bank_that_is_silent_holds_up_no_other_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, _twins = trial_world(tmp_path, monkeypatch, SIX[:3], accounts=2)
    world.start()
    world.run(10)
    silent = world.banks["citic"]
    silent.reachable = False
    own = [one["number"] for one in _accounts(world)]
    world.command("balance.query", {"accounts": own, "max_age": "PT0S", "max_wait": "PT20S"})
    world.run(30)
    said = world.replies[-1][1]
    assert len(said["balances"]) == 4 and len(said["errors"]) == 2
    assert all(one["code"] in ("bank_unavailable", "bank_silent") for one in said["errors"])


def _accounts(world: World) -> list[dict[str, Any]]:
    return [one.model_dump() for one in world.settings.accounts]
