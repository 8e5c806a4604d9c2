"""The present state of own accounts: the last reading, expected money and money in doubt; masked, and with sums."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.cluster import jobs
from gateway.kernel.core.hours import bank_date
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from gateway.simbank.ledger import CHINA
from gateway.statements.acts import ALL_BANKS
from gateway.statements.rules.statement_jobs import account_key
from protocols.bank import Bank
from tests.gateway.cli.control_operator import OTHER, Operator
from tests.world.batching import batch
from tests.world.world import World

SPARE = "00000000000118"
POLL_S = 60.0


def counter(tmp_path: Path, *, watch: bool = True, **more: Any) -> Operator:
    """A gateway with one watched account and one unwatched account at `sample`, and one account at `pab`."""
    world = World(tmp_path, banks=("sample", "pab"), options={"sample": {"sessions": 1, "heartbeat_s": 110}}, **more)
    own = {"name": "示例甲公司", "company": "jia"}
    world._changes = {
        "accounts": [
            {**own, "number": world.banks["sample"].account, "bank": "sample", "watch": watch},
            {**own, "number": SPARE, "bank": "sample"},
            {**own, "number": world.banks["pab"].account, "bank": "pab"},
        ],
        "banks": {"sample": {"poll_every_s": POLL_S, "most_repeats": 0}},
    }
    world.settings = world._settings()
    world.start()
    world.run(2)
    return Operator(world)


def of(said: Any, bank: str, *, watched: bool = False) -> Any:
    (one,) = [one for one in said["accounts"] if one["bank"] == bank and one["watched"] is watched]
    return one


def total(said: Any, bank: str) -> Any:
    (one,) = [one for one in said["totals"] if one["bank"] == bank]
    return one


def test_a_watched_account_shows_what_the_last_look_saw(tmp_path: Path) -> None:
    operator = counter(tmp_path)
    operator.world.submit("AP-1", 12_345, bank="sample")
    operator.world.run(POLL_S + 5)
    said = operator.ask("GET", "today")
    one = of(said, "sample", watched=True)
    assert one["balance"]["book"] == "9999999876.55" and one["balance"]["currency"] == "CNY"
    assert one["balance"]["as_of"] <= one["balance"]["heard_at"] <= said["at"]
    assert (one["entries"], one["in_doubt"], one["note"]) == (1, {"count": 0, "sum": "0.00"}, "watched")
    assert (one["lane"], one["lane_condition"]) == ("sample.main", "ready")
    # The others were never read. The answer says so, instead of showing nothing.
    for bank in ("sample", "pab"):
        other = of(said, bank)
        assert (other["balance"], other["entries"], other["statement"]) == (None, None, None)
        assert other["note"].startswith("not watched")
    assert [row["bank"] for row in said["totals"]] == ["pab", "sample", ALL_BANKS]
    added = total(said, "sample")
    assert (added["accounts"], added["watched"], added["book"], added["book_accounts"]) == (2, 1, "9999999876.55", 1)
    assert total(said, "pab")["book"] is None and total(said, ALL_BANKS)["accounts"] == 3
    operator.world.crash()


def test_a_cut_off_ends_no_day(tmp_path: Path) -> None:
    def after_hours(bank: Bank) -> Bank:
        hours = replace(bank.profile.limits.hours, cut_off=time(0, 0))
        return replace(bank, profile=replace(bank.profile, limits=replace(bank.profile.limits, hours=hours)))

    operator = counter(tmp_path, adapters={"sample": after_hours})
    operator.world.submit("AP-1", 12_345, bank="sample")
    operator.world.run(POLL_S + 5)
    one = of(operator.ask("GET", "today"), "sample", watched=True)
    today = operator.world.banks["sample"].ledger.now().astimezone(CHINA).date()
    assert (one["bank_date"], one["entries"]) == (today.isoformat(), 1)
    assert one["statement"]["date"] == (today - timedelta(days=1)).isoformat()
    operator.world.crash()


def test_yesterdays_statement_is_expected_until_it_arrived(tmp_path: Path) -> None:
    operator = counter(tmp_path)
    world, bank = operator.world, operator.gateway.parts.banks["sample"]
    day = bank_date(bank.profile.limits.hours, round(world.clock.seconds() * 1000))
    before = (day - timedelta(days=1), day - timedelta(days=2))
    job = f"statement:{account_key(world.banks['sample'].account)}"
    store = operator.gateway.parts.store
    world.run(5)
    # The standing after a reading that could not close either day: one begun earlier, and yesterday.
    found: list[Any] = []
    store.write(
        lambda tx: [tx.fresh.exec_driver_sql("delete from jobs"), jobs.claim(tx, job, "sample", before[1])]
    ).addBoth(found.append)
    world.run(1)
    assert found[0][1] is True
    one = of(operator.ask("GET", "today"), "sample", watched=True)
    dates = [each.isoformat() for each in sorted(before)]
    assert one["statement"] == {"date": dates[1], "expected": True, "arrived": False, "missing": dates}
    store.write(lambda tx: [jobs.claim(tx, job, "sample", before[0]), jobs.finish(tx, job, "sample", before[0])])
    # Another job of the same day, or of the same account at another bank, is no statement of this account.
    store.write(
        lambda tx: [
            jobs.claim(tx, "statement:other", "sample", before[1]),
            jobs.finish(tx, "statement:other", "sample", before[1]),
            jobs.claim(tx, job, "pab", before[1]),
            jobs.finish(tx, job, "pab", before[1]),
        ]
    )
    world.run(1)
    said = operator.ask("GET", "today")
    assert of(said, "sample", watched=True)["statement"] == {
        "date": dates[1],
        "expected": True,
        "arrived": True,
        "missing": dates[:1],
    }
    added = total(said, "sample")
    assert (added["statements_expected"], added["statements_arrived"], added["statements_missing"]) == (1, 1, 1)
    world.crash()


def test_money_in_doubt_is_counted_and_summed(tmp_path: Path) -> None:
    operator = counter(
        tmp_path,
        watch=False,
        plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER), ScriptedFault(BankFault.DROP_AFTER)]),
        bank_options={"first_enquiry_s": 600.0},
    )
    operator.world.submit("AP-1", 10_000, bank="sample")
    operator.world.run(5)
    operator.world.submit("AP-2", 2_550, bank="sample")
    operator.world.run(5)
    operator.world.submit("AP-3", 99_900, bank="sample")
    operator.world.run(5)
    assert operator.world.in_state("in_doubt") == ["AP-1", "AP-2"]
    said = operator.ask("GET", "today")
    found = [one["in_doubt"] for one in said["accounts"] if one["bank"] == "sample"]
    assert found == [{"count": 2, "sum": "125.50"}, {"count": 0, "sum": "0.00"}]
    assert total(said, ALL_BANKS)["in_doubt"] == {"count": 2, "sum": "125.50"}
    assert total(said, "pab")["in_doubt"] == {"count": 0, "sum": "0.00"}
    operator.world.crash()


def test_a_collection_in_doubt_is_our_accounts_though_others_pay(tmp_path: Path) -> None:
    operator = counter(
        tmp_path,
        watch=False,
        plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]),
        bank_options={"first_enquiry_s": 600.0},
    )
    operator.world.command("collection.submit", batch(operator.world, "C-1", [4_000, 320], kind="collection"))
    operator.world.run(5)
    assert operator.world.in_state("in_doubt") == ["C-1-1", "C-1-2"]
    assert total(operator.ask("GET", "today"), "sample")["in_doubt"] == {"count": 2, "sum": "43.20"}
    operator.world.crash()


def test_numbers_are_masked_unless_asked_for_by_those_who_may(tmp_path: Path) -> None:
    operator = counter(tmp_path)
    numbers = [site.account for site in operator.world.banks.values()] + [SPARE]
    text = json.dumps(operator.ask("GET", "today"))
    assert not [number for number in numbers if number in text]
    operator.no(403, "not_enrolled", "GET", "today", peer=OTHER, query={"clear": "1"})
    assert ("uid:root", "accounts.shown_clear") not in operator.trail("gw1")
    said = operator.ask("GET", "today", query={"clear": "1"})
    assert sorted(one["account"] for one in said["accounts"]) == sorted(numbers)
    assert ("uid:root", "accounts.shown_clear") in operator.trail("gw1")
    operator.world.crash()


def test_one_bank_alone_and_a_lane_that_is_down(tmp_path: Path) -> None:
    operator = counter(tmp_path)
    said = operator.ask("GET", "today", query={"bank": "pab"})
    assert [one["bank"] for one in said["accounts"]] == ["pab"]
    assert "sample" in operator.no(404, "no_such_bank", "GET", "today", query={"bank": "icbc"})
    operator.gateway.lanes["sample.main"].pause("operator")
    assert of(operator.ask("GET", "today"), "sample", watched=True)["lane_condition"] == "paused:operator"
    operator.world.crash()


# ---- the directory -----------------------------------------------------------------------------------------


def test_a_bank_is_asked_for_a_branch(tmp_path: Path) -> None:
    operator = counter(tmp_path)
    said = operator.ask("GET", "directory", "pab", query={"name": "工商银行"})
    assert said["branches"] and not said["cut"]
    assert all("示例" in one["name"] and len(one["cnaps"]) == 12 for one in said["branches"])
    number = said["branches"][0]["cnaps"]
    (one,) = operator.ask("GET", "directory", "pab", query={"cnaps": number})["branches"]
    assert one == said["branches"][0]
    assert operator.ask("GET", "directory", "pab", query={"name": "工商银行无此分行"})["branches"] == []
    cut = operator.ask("GET", "directory", "pab", query={"name": "工商银行", "limit": "1"})
    assert (len(cut["branches"]), cut["cut"]) == (1, True)
    assert ("uid:root", "directory.asked") in operator.trail("pab.main")
    operator.world.crash()


def test_why_a_directory_cannot_be_asked(tmp_path: Path) -> None:
    operator = counter(tmp_path)
    why = operator.no(409, "unsupported", "GET", "directory", "sample", query={"name": "示例"})
    assert "sample has no directory" in why and "pab can be asked" in why
    assert "pab, sample" in operator.no(404, "no_such_bank", "GET", "directory", "icbc", query={"name": "示例"})
    for query in ({}, {"name": " "}, {"name": "x", "cnaps": "000000000000"}, {"name": "x" * 61}):
        operator.no(400, "bad_question", "GET", "directory", "pab", query=query)
    for cnaps in ("12", "00000000000x", "0000000000000"):
        operator.no(400, "bad_number", "GET", "directory", "pab", query={"cnaps": cnaps})
    operator.world.banks["pab"].reachable = False
    for pipe in list(operator.world.life.pipes if operator.world.life else ()):
        pipe.vanish()
    operator.world.run(60)
    why = operator.no(503, "lane_not_ready", "GET", "directory", "pab", query={"name": "示例"})
    assert "pab.main is down" in why
    assert ("uid:root", "directory.asked") not in operator.trail("pab.main")
    operator.world.crash()


@pytest.mark.parametrize("limit", ["0", "201", "x"])
def test_a_directorys_limit(limit: str, tmp_path: Path) -> None:
    operator = counter(tmp_path)
    operator.no(400, "bad_number", "GET", "directory", "pab", query={"name": "x", "limit": limit})
    operator.world.crash()
