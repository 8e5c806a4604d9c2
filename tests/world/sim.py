"""One seed, one story: orders, faults, crashes and outages, drawn by chance and replayed exactly.

    python -m tests.world.sim 2000          # seeds 1 .. 2000
    python -m tests.world.sim --seed 4711   # one seed, with its story

Which faults may happen in a story, and how often, is itself drawn (a swarm), so that quiet stories and wild ones
both occur. At the end the banks become honest, time passes, and the history is held against the ledgers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from gateway.simbank.faults import Delays, Fault, FaultPlan
from gateway.simbank.ledger import Conduct
from protocols.canon.money import Money
from tests.world.history import violations
from tests.world.world import World

ORDERS = 100
STORY_S = 1_800.0
CALM_S = 7_200.0


@dataclass(slots=True)
class Story:
    """What came of one seed."""

    seed: int
    trace: str = ""
    violations: list[str] = field(default_factory=list)
    rules: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    payments: int = 0
    crashes: int = 0
    simulated_s: float = 0.0


def tell(seed: int, folder: Path, *, orders: int = ORDERS, dedup: bool = True, world: World | None = None) -> Story:
    """Play one seed to its end."""
    chance = random.Random(seed)
    story = Story(seed)
    world = world or _world(seed, folder, chance, dedup)
    world.start()
    _act(world, chance, story, orders)
    for site in world.banks.values():
        site.simbank.script.calm()
        site.reachable = True
    if world.life is None:
        world.start()
    for client in world.broker.clients:
        client.block(False)
    for _ in range(24):
        world.run(CALM_S / 24)
    assert world.life is not None
    story.violations = violations(world) + world.life.fatal
    story.payments = len({event["payment"] for event in world.events if event.get("payment")})
    story.rules = world.rules()
    for site in world.banks.values():
        story.faults.update({fault.value: count for fault, count in site.simbank.tally.faults.items()})
    story.trace = _hash(world)
    story.simulated_s = STORY_S + CALM_S
    return story


def _world(seed: int, folder: Path, chance: random.Random, dedup: bool) -> World:
    wild = chance.random()
    rates = {
        fault: round(chance.random() ** 2 * 0.25 * wild, 4) if chance.random() < 0.6 else 0.0 for fault in Fault
    }
    rates[Fault.PROBE_SILENCE] = min(rates[Fault.PROBE_SILENCE], 0.1)
    total = sum(rate for fault, rate in rates.items() if fault is not Fault.PROBE_SILENCE)
    rates = {fault: rate / max(total / 0.7, 1.0) for fault, rate in rates.items()}
    delays = Delays(delay_s=150.0, hide_s=chance.choice((20.0, 900.0)), return_s=chance.choice((60.0, 900.0)))
    conduct = Conduct(
        seed=str(seed), refuse_share=chance.choice((0.0, 0.05)), late_share=chance.choice((0.0, 0.2)),
        late_refuse_share=chance.choice((0.0, 0.1)), late_s=chance.choice((5.0, 600.0)),
        return_share=chance.choice((0.0, 0.05)), return_s=1_000.0, dedup=dedup,
    )  # fmt: skip
    banks = chance.choice((("sample",), ("pab",), ("sample", "pab")))
    spans = {"enquiry_deadline_s": 1_800.0, "returns_watch_s": 6_000.0, "returns_every_s": 700.0}
    return World(folder, seed, banks=banks, plan=FaultPlan(str(seed), rates, delays), conduct=conduct, spans=spans)


def _act(world: World, chance: random.Random, story: Story, orders: int) -> None:
    banks = list(world.banks)
    ids: list[str] = []
    weights = {
        "order": 60, "again": 6, "conflict": 2, "cancel": 4, "status": 3, "balance": 2, "lines": 2, "nonsense": 2,
        "crash": chance.choice((0, 2, 6)), "restart": chance.choice((0, 1)), "broker": chance.choice((0, 2)),
        "block": chance.choice((0, 1)), "outage": chance.choice((0, 2)), "pause": 6,
    }  # fmt: skip
    names, shares = list(weights), list(weights.values())
    until_s = world.clock.seconds() + STORY_S
    while len(ids) < orders and world.clock.seconds() < until_s:
        action = chance.choices(names, shares)[0]
        story.actions[action] += 1
        if action == "order":
            ids.append(_order(world, chance, banks, len(ids)))
        elif action in ("again", "conflict", "cancel", "status") and ids:
            _about(world, chance, action, chance.choice(ids))
        elif action in ("balance", "lines"):
            _question(world, action, chance.choice(banks))
        elif action == "nonsense":
            world.command(chance.choice(("payment.submit", "payment.nothing", "balance.query")), b"{not json")
        elif action == "crash":
            _crash(world, chance, story)
        elif action == "restart":
            _restart(world, story)
        else:
            _weather(world, chance, action, banks)
        world.run(chance.expovariate(20) if chance.random() < 0.9 else chance.random() * 20)


def _order(world: World, chance: random.Random, banks: list[str], n: int) -> str:
    id_ = f"AP-{world.seed}-{n}"
    changes: dict[str, object] = {}
    roll = chance.random()
    if roll < 0.03:
        changes["purpose"] = "x" * 500
    elif roll < 0.06:
        changes["valid_until"] = world.moment(chance.choice((1.0, 30.0, 900.0)))
    elif roll < 0.08:
        changes["not_before"] = world.moment(chance.choice((5.0, 600.0)))
    world.submit(id_, chance.randrange(1, 10**7), chance.choice(banks), **changes)
    return id_


def _about(world: World, chance: random.Random, action: str, id_: str) -> None:
    if action == "again":
        world.again(id_, fresh=chance.random() < 0.5)
    elif action == "conflict":
        world.again(id_, fresh=True, amount=str(Money(chance.randrange(1, 10**6))))
    else:
        world.command({"cancel": "payment.cancel", "status": "status.query"}[action], {"id": id_})


def _question(world: World, action: str, bank: str) -> None:
    account = world.banks[bank].account
    if action == "balance":
        world.command("balance.query", {"accounts": [account], "max_age": "PT0S", "max_wait": "PT60S"})
    else:
        day = world.moment(0.0)[:10]
        asked = {"account": account, "from": day, "to": day, "limit": 50, "max_wait": "PT60S"}
        world.command("transactions.query", asked)


def _crash(world: World, chance: random.Random, story: Story) -> None:
    if chance.random() < 0.5:
        world.points.kill_at = world.points.passed + chance.randrange(1, 60)
        world.run(2.0)
        world.points.kill_at = None
    if world.life is not None:
        world.crash()
    story.crashes += 1
    world.run(chance.choice((0.0, 1.0, 40.0)))
    world.start()


def _restart(world: World, story: Story) -> None:
    """An orderly stop: SIGTERM, drain, start again."""
    assert world.life is not None
    world.leave()
    story.crashes += 1
    world.start()


def _weather(world: World, chance: random.Random, action: str, banks: list[str]) -> None:
    if action == "broker":
        for client in list(world.broker.clients):
            client.drop(chance.choice((0.1, 5.0)))
    elif action == "block":
        for client in list(world.broker.clients):
            client.block(not client.blocked)
    elif action == "outage":
        site = world.banks[chance.choice(banks)]
        site.reachable = not site.reachable
        if not site.reachable:
            for pipe in world.life.pipes if world.life else []:
                pipe.abortConnection()
    else:
        world.run(chance.random() * 30)


def _hash(world: World) -> str:
    """Everything anybody outside saw, in its order."""
    digest = hashlib.sha256()
    for event in world.events:
        digest.update(json.dumps(event, sort_keys=True).encode())
    for said, body in world.replies:
        digest.update(f"{said.message_id} {said.correlation_id}".encode() + json.dumps(body, sort_keys=True).encode())
    for bank, site in sorted(world.banks.items()):
        for one in site.ledger.executions:
            digest.update(f"{bank} {one.to_plain()}".encode())
    return digest.hexdigest()


CORPUS_FILE = Path(__file__).with_name("corpus.json")
CORPUS_SEEDS = (1, 2, 3, 5, 8, 13)


def quick_world(folder: Path) -> World:
    """A world without faults, for tests of the checks themselves."""
    return World(folder)


def write_corpus() -> None:
    """Play the corpus and keep its traces."""
    traces = {}
    for seed in CORPUS_SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            story = tell(seed, Path(folder))
        assert not story.violations, story.violations
        traces[str(seed)] = story.trace
    CORPUS_FILE.write_text(json.dumps(traces, indent=1) + "\n", "utf-8")


def quiet() -> None:
    """A simulation's thousands of log lines are nobody's news."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))


def main(arguments: list[str]) -> int:
    """Play seeds, print one line at the end; non-zero if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.world.sim")
    parser.add_argument("seeds", nargs="?", type=int, default=500)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--write-corpus", action="store_true")
    asked = parser.parse_args(arguments)
    quiet()
    if asked.write_corpus:
        write_corpus()
        return 0
    seeds = [asked.seed] if asked.seed is not None else range(asked.first, asked.first + asked.seeds)
    started_s, cpu_s = time.monotonic(), time.process_time()
    broken, payments, crashes, played, simulated_s = 0, 0, 0, 0, 0.0
    rules: Counter[str] = Counter()
    for seed in seeds:
        if asked.minutes is not None and time.monotonic() - started_s > asked.minutes * 60:
            break
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
            story = tell(seed, Path(folder))
        played += 1
        payments += story.payments
        crashes += story.crashes
        simulated_s += story.simulated_s
        rules.update(story.rules)
        for violation in story.violations:
            broken += 1
            print(f"seed {seed}: {violation}")
        if asked.seed is not None:
            print(json.dumps({"trace": story.trace, "rules": story.rules, "faults": story.faults,
                              "actions": story.actions}))  # fmt: skip
    cpu_s = time.process_time() - cpu_s
    print(
        f"sim: {played} seeds, {broken} violations, {payments} payments, {crashes} crashes, "
        f"{len(rules)} rows of the table reached, {payments / cpu_s:.0f} payments per CPU second, "
        f"{simulated_s / max(time.monotonic() - started_s, 0.001):.0f} : 1"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
