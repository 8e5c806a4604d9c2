"""Every bank over connections with every fault: the ledger books each order once, and no state of the journal claims
more than the ledger.

One evening is played for each bank: for each fault a payment meets it, and a bundle where the bank takes them. Lane,
session and journal are the real ones; pipes stand for sockets, and the server's faults are those of gateway.simbank.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest

from gateway.demo import daily_operations
from gateway.demo import site as demo_site
from gateway.simbank.faults import FAULTS, BankFault, ExchangeKind, FaultScript, PlannedFault, ScriptedFault
from protocols.bank import Bank, Replay
from protocols.canon.order import Kind
from protocols.trial import banks, trial
from tests.gateway.bank.trials import trial_world
from tests.world import files, stand_ins
from tests.world.world import World

EVERY = banks()
LATE_S = 20.0
"""Longer than any patience in a hurry."""
FOR_EVER_S = 1e6
REFUSED, SILENT = "connection_refused", "silent_for_ever"
ON_MONEY = tuple(fault for fault in BankFault if ExchangeKind.MONEY in FAULTS[fault].where)
WAYS = (REFUSED, SILENT, *ON_MONEY)
UNKNOWN = {"in_doubt", "escalated"}
FILED = {"finws"}
"""Banks that show a file they have, without a word about a line: the line is in process until the deadline."""
MOVED, BACK = {"settled"}, {"settled", "returned", "reversed"}
KNOWN_BY = ("password", "login", "cis", "enterprise_code", "master_id", "customer")
"""The setting by which a twin knows a customer, the strictest first."""
TOGETHER = (Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION)


class RecordingScript(FaultScript):
    """A fault script that records the subject of each exchange, and whose message each fault hit."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: Counter[str] = Counter()
        self.struck: dict[str, BankFault] = {}

    def decide(self, touch: ExchangeKind, reference: str) -> PlannedFault | None:
        """See Plan."""
        strike = super().decide(touch, reference)
        if touch is ExchangeKind.MONEY:
            self.arrived[reference] += 1
            if strike is not None:
                self.struck[reference] = strike.fault
        return strike


@dataclass
class Order:
    """One order: the last event about it, how often the bank's ledger moved its money, and whether it came back."""

    state: str
    moved: int
    refused: bool


@dataclass
class FaultyDay:
    """The result of one bank's run: its orders by the way they were treated, alone and together."""

    bank: Bank
    script: RecordingScript
    alone: dict[str, list[Order]] = field(default_factory=dict)
    together: dict[str, list[Order]] = field(default_factory=dict)
    doubles: list[str] = field(default_factory=list)
    fatal: list[str] = field(default_factory=list)


def hurried(name: str) -> dict[str, object]:
    """Options that make a bank as fast as in a demo, but with few heartbeats."""
    beat = "probe_every_s" if "probe_every_s" in trial(name).hurried else "heartbeat_s"
    return {**trial(name).hurried, beat: 60}


def bundle_of(name: str, bank: Bank, way: str) -> daily_operations.DailyCommand | None:
    """Three orders in one message; None if the bank takes no such message."""
    kind = next((kind for kind in TOGETHER if kind in bank.bundles), None)
    if kind is None:
        return None
    number = WAYS.index(way)
    others = iter(f"00000000000000{number:02d}{n:02d}" for n in range(10, 20))
    own = demo_site.account_numbers(name, 1)
    [made] = daily_operations.of_bank(
        name,
        [kind.value],
        own,
        {own[0]: demo_site.HOLDERS[0]},
        others,
        ["示例乙"],
        trial(name).order,
        random.Random(number),
        number,
    )
    return made


@cache
def evening(name: str) -> FaultyDay:
    """Run a day at this bank with every fault."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        world, _ = trial_world(Path(folder), patch, (name,), options={name: hurried(name)})
        site = world.bank
        site.simbank.script = script = RecordingScript()
        life = world.start()
        world.run(2)
        world.submit("FIRST", minor=777)
        world.run(5)
        bank = life.gateway.parts.banks[name]
        bundles = {way: made for way in WAYS if (made := bundle_of(name, bank, way)) is not None}
        for number, way in enumerate(WAYS):
            with_fault(world, script, way, lambda way=way, number=number: world.submit(way, minor=1_000 + number))
            if way in bundles:
                made = bundles[way]
                with_fault(
                    world,
                    script,
                    way,
                    lambda made=made: world.command(daily_operations.COMMANDS[made.kind], dict(made.fields)),
                )
        repeats = [one.not_found_quarantine for one in bank.profile.replay.values() if one.policy is not Replay.NEVER]
        world.run(200 + max(repeats, default=timedelta()).total_seconds())
        found = FaultyDay(bank, script, doubles=site.ledger.doubles(), fatal=[*life.fatal])
        for way in WAYS:
            found.alone[way] = [as_it_is(world, way)]
            found.together[way] = [as_it_is(world, item.id) for item in bundles[way].items] if way in bundles else []
        return found


def with_fault(world: World, script: RecordingScript, way: str, publish: object) -> None:
    """Publish orders while the bank behaves with this fault."""
    assert callable(publish)
    if way == REFUSED:
        world.bank.reachable = False
        for pipe in [pipe for pipe in world.pipes if pipe.open]:
            pipe.abortConnection()
    else:
        seconds = FOR_EVER_S if way == SILENT else LATE_S
        script.add(
            ScriptedFault(
                BankFault.DELAY if way == SILENT else BankFault(way), touch=ExchangeKind.MONEY, seconds=seconds
            )
        )
    publish()
    world.run(20)
    world.bank.reachable = True
    # After refusals the next connection comes only after a pause.
    for _ in range(6):
        world.run(15)
        if not script.left() and way != REFUSED:
            break
    assert not script.left(), f"{way} struck nothing"


def as_it_is(world: World, id_: str) -> Order:
    """The order as the journal and the bank's ledger have it."""
    row = files.payment(world, id_)
    # An amount and a payee occur once; a line of a bundle need not carry our reference.
    theirs = [
        one
        for one in world.bank.ledger.executions
        if (one.instruction.amount, one.instruction.creditor_account)
        == (row.order.amount, row.order.theirs.account.clear)
    ]
    return Order(row.life.state.value, sum(not one.refused for one in theirs), any(one.refused for one in theirs))


each = pytest.mark.parametrize(("name", "way"), [(name, way) for name in EVERY for way in WAYS])


def orders(name: str, way: str) -> Iterator[tuple[str, Order]]:
    """All orders that were treated in this way."""
    played = evening(name)
    yield from (("alone", one) for one in played.alone[way])
    yield from (("together", one) for one in played.together[way])


@each
def test_no_way_of_failing_books_twice_or_makes_a_wrong_fate(name: str, way: str) -> None:
    for where, one in orders(name, way):
        what = f"{name}, {way}, {where}: {one}"
        assert one.moved <= 1, what
        if one.moved:
            assert one.state in (BACK if way == BankFault.LATE_RETURN else MOVED), what
        elif one.refused:
            assert one.state in {"failed"} | UNKNOWN, what
        elif way == BankFault.PART and name in FILED and where == "together":
            assert one.state in {"pending"} | UNKNOWN, what
        else:
            assert one.state in UNKNOWN, what
    assert not evening(name).doubles and not evening(name).fatal


@pytest.mark.parametrize("name", EVERY)
def test_nothing_leaves_twice_unless_the_banks_rule_says_so(name: str) -> None:
    played = evening(name)
    rules = played.bank.profile.replay
    alone = {one.policy for kind, one in rules.items() if kind not in TOGETHER}
    assert len(played.script.arrived) >= len(WAYS)
    bundles = [one for way in WAYS for one in played.together[way]]
    assert bool(bundles) is bool(played.bank.bundles.keys() & set(TOGETHER))
    for reference, copies in played.script.arrived.items():
        fault = played.script.struck.get(reference)
        may = alone != {Replay.NEVER} and fault not in (None, BankFault.TWICE, BankFault.REFUSE)
        assert copies == 1 or may, f"{name}: {fault} made {copies} copies leave"
        assert copies <= 1 + max(rule.most for rule in rules.values())


@pytest.mark.parametrize("name", sorted(FILED))
def test_a_line_of_a_file_that_was_read_in_part_escalates_at_the_deadline(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line is pending as long as the bank shows the file. A person looks at it at the deadline, and it never ends
    by itself."""
    deadline = {"banks": {name: {"enquiry_deadline_s": 900}}}
    world, _ = trial_world(tmp_path, monkeypatch, (name,), options={name: hurried(name)}, settings=deadline)
    world.bank.simbank.script = script = RecordingScript()
    life = world.start()
    world.run(7)
    made = bundle_of(name, life.gateway.parts.banks[name], BankFault.PART)
    assert made is not None
    with_fault(
        world, script, BankFault.PART, lambda: world.command(daily_operations.COMMANDS[made.kind], dict(made.fields))
    )
    world.run(300)
    before = [as_it_is(world, item.id) for item in made.items]
    waiting = [n for n, one in enumerate(before) if not one.moved]
    assert {before[n].state for n in waiting} == {"pending"}
    world.run(700)
    after = [as_it_is(world, item.id) for item in made.items]
    assert {after[n].state for n in waiting} == {"escalated"} and not any(after[n].moved for n in waiting)
    assert life.sample("bankgw_alarms_total", alarm="escalated") == len(waiting)
    assert {one.state for n, one in enumerate(after) if n not in waiting} <= MOVED


@pytest.fixture
def adapters_of_its_own() -> Iterator[None]:
    """Give each world adapters of its own, because boc's adapter counts the refused sign-ons of its process."""
    stand_ins._bank.cache_clear()
    yield
    stand_ins._bank.cache_clear()


@pytest.mark.usefixtures("adapters_of_its_own")
@pytest.mark.parametrize("name", EVERY)
def test_a_login_that_the_bank_does_not_know_moves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password is wrong, or the customer name in each message. A password is not tried in a loop."""
    option = next((option for option in KNOWN_BY if option in trial(name).twin), "")
    assert option, "what does this twin know its customer by?"
    known = trial(name).twin[option]
    other = "9" * len(known) if known.isdigit() else known[::-1]
    world, twins = trial_world(tmp_path, monkeypatch, (name,), twin={option: other})
    life = world.start()
    world.run(2)
    world.submit("AP-1")
    world.run(250)
    seen = len(twins[name].requests_seen)
    assert seen == 1 or (option != "password" and seen > 0)
    assert world.told("AP-1") == ["payment.accepted"], "nothing is ordered before the bank was heard"
    assert not world.bank.ledger.executions and not life.gateway.lanes[f"{name}.main"].ready and not life.fatal
