"""The simulation: one seed gives one story of random orders, faults, crashes and outages, replayed exactly.

    python -m tests.world.sim 2000          # seeds 1 .. 2000
    python -m tests.world.sim --seed 4711   # one seed, with its story

Which faults may happen in a story, and how often, is itself drawn (a swarm), so that quiet stories and wild ones
both occur. At the end the banks become honest, time passes, and the history is held against the ledgers.
What no chance brings about is told on purpose in `scenes`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import structlog

from gateway.bank.lease import LEASE_MS
from gateway.kernel.core.states import Cancel, Release
from gateway.simbank.faults import BankFault, Delays, FaultPlan
from gateway.simbank.ledger import BookingRules
from protocols.bank import Bank, Replay, ReplayRule
from tests.world import approving, between, governed, outages
from tests.world.approving import Approving
from tests.world.batching import batch
from tests.world.history import standing, unsettled, untold, violations
from tests.world.story import Story, StoryTotals
from tests.world.world import Life, World

ORDERS = 400
STORY_S = 1_800.0
CALM_S = 7_200.0
# A calm that ends early still lasts this long, so that late events can come.
TAIL_S = 300.0
_DOUBT_S = 1_500.0
_STEPS = 24
_WRONG_MS = (-172_800_000, -172_800_000, -72_000_000, -3_600_000, 1_800_000)
_DAYS_AHEAD_MS = 172_800_000
OPTIONS = {"sample": {"heartbeat_s": 100.0}, "pab": {"probe_every_s": 200.0}}


def tell(
    seed: int,
    folder: Path,
    *,
    orders: int = ORDERS,
    dedup: bool = True,
    world: World | None = None,
    keep: frozenset[int] | None = None,
    peer_nodes: bool = False,
    govern: bool = False,
) -> Story:
    """Run one seed to its end; with `keep` only these steps. `peer_nodes`: two nodes. `govern`: a story of `governed`,
    whatever kind the seed draws."""
    if world is None and (govern or governed.drawn(seed)):
        return _governed(seed, folder, dedup, peer_nodes, keep)
    cpu_s = time.process_time()
    chance = random.Random(seed)
    story = Story(seed)
    world = world or _world(seed, folder, chance, dedup, peer_nodes)
    began_s = world.clock.seconds()
    story.actions["several accounts"] += len(world.bank.accounts) > 1
    story.actions[between.TWO_LANES] += len(world.lanes) > 1
    world.start()
    if world.approving is not None:
        world.approving.begin()
    _act(world, chance, story, orders, keep)
    _calm(world, story, whole=seed % 20 == 7)
    assert world.life is not None
    story.violations += violations(world) + world.life.fatal
    if world.approving is not None:
        story.violations += world.approving.complaints()
        story.actions.update(world.approving.done)
    close(story, world)
    story.simulated_s = world.clock.seconds() - began_s
    story.cpu_s = time.process_time() - cpu_s
    return story


def _governed(seed: int, folder: Path, dedup: bool, peer_nodes: bool, keep: frozenset[int] | None) -> Story:
    story, world = governed.tell(
        seed, folder, governed_adapters(seed, dedup), dedup=dedup, peer_nodes=peer_nodes, keep=keep
    )
    close(story, world)
    return story


def governed_adapters(seed: int, dedup: bool = True) -> dict[str, Callable[[Bank], Bank]]:
    """The banks of a governed story, with their rules for repeats."""
    return _adapters(random.Random(f"banks of {seed}"), dedup)


def close(story: Story, world: World) -> None:
    """Count the events of the story, and make its trace."""
    story.payments = len({event["payment"] for event in world.events if event.get("payment")})
    story.rules = world.rules()
    story.actions.update(world.between)
    for site in world.banks.values():
        story.faults.update({fault.value: count for fault, count in site.simbank.tally.faults.items()})
    story.trace = _hash(world)
    story.decided = world.decisions()
    story.told = [
        f"{event['at'][11:23]}  {event['event']:22}  {event['id']:14}  {event['seq']:2}  {event['bank']}"
        for event in world.events
        if event.get("payment")
    ]


def _calm(world: World, story: Story, *, whole: bool) -> None:
    """Make banks honest and reachable, and run until nothing is open, or as long as doubt may last."""
    for site in world.banks.values():
        site.simbank.script.calm()
        site.reachable = True
    world.broker.confirms_to_lose = 0
    if world.kinds_off:
        for bank in list(world.kinds_off):
            between.kind_on(world, bank)
        if world.life is not None:
            world.leave()
    if world.life is None:
        world.start(world.node)
    for client in world.broker.clients:
        client.block(False)
    between.end_safe_mode(world)
    began_s = world.clock.seconds()
    for step in range(_STEPS):
        world.run(CALM_S / _STEPS)
        if not step:
            # The last late answer has come: nothing hinders a payment any more that may be sent.
            story.violations += standing(world)
        if world.approving is not None:
            world.approving.all_approve()
            world.run(1.0)
        for id_ in world.in_state("held"):
            _let_go(world, id_)
        in_doubt_too = world.clock.seconds() - began_s < _DOUBT_S
        if not whole and unsettled(world, in_doubt_too=in_doubt_too) is None:
            world.run(TAIL_S)
            break
    # A decision of the last moment is still on its way to the ERP.
    for _ in range(_STEPS):
        if not untold(world):
            break
        world.run(0.25)


# ---- a world by chance -------------------------------------------------------------------------------------------


def _world(seed: int, folder: Path, chance: random.Random, dedup: bool, peer_nodes: bool) -> World:
    wild = chance.random()
    rates = {
        fault: round(chance.random() ** 2 * 0.25 * wild, 4) if chance.random() < 0.6 else 0.0 for fault in BankFault
    }
    # The returns watch is half the cost of a long quiet time: some banks never return any money.
    returning = chance.random() < 0.5
    if not returning:
        rates[BankFault.LATE_RETURN] = 0.0
    rates[BankFault.PROBE_SILENCE] = min(rates[BankFault.PROBE_SILENCE], 0.1)
    total = sum(rate for fault, rate in rates.items() if fault is not BankFault.PROBE_SILENCE)
    rates = {fault: rate / max(total / 0.7, 1.0) for fault, rate in rates.items()}
    delays = Delays(delay_s=150.0, hide_s=chance.choice((20.0, 900.0)), return_s=chance.choice((60.0, 900.0)))
    conduct = BookingRules(
        seed=str(seed),
        refuse_share=chance.choice((0.0, 0.05)),
        late_share=chance.choice((0.0, 0.2)),
        late_refuse_share=chance.choice((0.0, 0.1)),
        late_s=chance.choice((5.0, 600.0)),
        return_share=chance.choice((0.0, 0.05)) if returning else 0.0,
        return_s=1_000.0,
        dedup=dedup,
    )
    banks = chance.choice((("sample",), ("pab",), ("sample", "pab")))
    # One more reading of each payment after the last return.
    spans = {
        "enquiry_deadline_s": 1_800.0,
        "returns_watch_s": 4_100.0 if returning else 1.0,
        "returns_every_s": 2_100.0,
    }
    sender = chance.choice(({}, {}, {}, {}, {"limits": {"per_payment": "90000.00"}}, {"new_payee_hold": True}))
    # Several nodes read each other's work, which costs time, so that most stories have one.
    journal = {"poll_ms": 2_000} if chance.random() < 0.25 or peer_nodes else {}
    more = approving.SETTINGS if approving.drawn(seed) else {}
    world = World(
        folder,
        seed,
        banks=banks,
        settings={"journal": journal, **more},
        plan=FaultPlan(str(seed), rates, delays),
        conduct=conduct,
        spans=spans,
        options=OPTIONS,
        sender=sender,
        adapters=_adapters(chance, dedup),
        linger_ms=chance.choice((3.0, 30.0, 100.0)),
        accounts=chance.choice((1, 1, 3)),
        lanes=chance.choice((("main",), ("main", "second"))),
    )
    world.approving = Approving(world) if more else None
    return world


def _adapters(chance: random.Random, dedup: bool) -> dict[str, Callable[[Bank], Bank]]:
    """The banks' adapters, each with a rule for repeats: that of its profile, with a day cut to minutes, or never."""
    rules = {
        "sample": chance.choice((Replay.REPLAY_SAFE, Replay.REPLAY_SAFE, Replay.QUERY_FIRST, Replay.NEVER)),
        "pab": chance.choice((Replay.QUERY_FIRST, Replay.QUERY_FIRST, Replay.NEVER)),
    }
    window = chance.choice((None, timedelta(minutes=20)))
    # Nothing may be repeated to a bank that books a repeat a second time: its profile would have to say so.
    return {
        bank: partial(replaying, rule=ReplayRule(rule if dedup else Replay.NEVER, timedelta(seconds=120), 2, window))
        for bank, rule in rules.items()
    }


def replaying(bank: Bank, rule: ReplayRule) -> Bank:
    """The same bank with another rule for sending again."""
    return replace(bank, profile=replace(bank.profile, replay=dict.fromkeys(bank.profile.replay, rule)))


# ---- what happens in it ------------------------------------------------------------------------------------------


def _act(world: World, chance: random.Random, story: Story, orders: int, keep: frozenset[int] | None) -> None:
    ids: list[str] = []
    weights = {
        "order": 30,
        "burst": 5,
        "batch": chance.choice((1, 3, 6)),
        "again": 6,
        "conflict": 2,
        "cancel": 4,
        "status": 3,
        "balance": 2,
        "lines": 2,
        "nonsense": 2,
        "release": 2,
        "crash": chance.choice((0, 1, 3)),
        "restart": chance.choice((0, 1)),
        "takeover": 2 if world.settings.journal.poll_ms else 0,
        "broker": chance.choice((0, 2)),
        "block": chance.choice((0, 1)),
        "outage": chance.choice((0, 2)),
        "pause": 3,
        "confirm lost": chance.choice((0, 1)),
        "persons": chance.choice((0, 2, 5)),
        "settings": chance.choice((0, 1, 3)),
        "older journal": chance.choice((0, 1, 2)),
        "lost log": chance.choice((0, 1)),
        "clock": chance.choice((0, 1, 3)) if _may_set_clock(world) else 0,
    }
    names, shares = list(weights), list(weights.values())
    per_s = chance.choice((20.0, 60.0, 200.0))
    until_s = world.clock.seconds() + STORY_S
    for step in count(1):
        if len(ids) >= orders or world.clock.seconds() >= until_s or (keep is not None and step > max(keep, default=0)):
            return
        action = chance.choices(names, shares)[0]
        # Each step draws from its own source, so that it stays the same when others are left out.
        here = random.Random(world.seed * 1_000_003 + step)
        if keep is None or step in keep:
            story.steps.append((step, action))
            story.actions[action] += 1
            ids += _step(world, here, story, action, f"AP-{world.seed}-{step}", ids)
            if world.approving is not None:
                world.approving.act()
            world.run(here.expovariate(per_s) if here.random() < 0.9 else here.random() * 20)


def _step(world: World, here: random.Random, story: Story, action: str, name: str, ids: list[str]) -> list[str]:
    """Play one action; returns the orders that it added."""
    banks = list(world.banks)
    if action == "order":
        return [_order(world, here, banks, name)]
    if action == "burst":
        return [_order(world, here, banks, f"{name}-{n}") for n in range(here.randrange(2, 40))]
    if action == "batch":
        return _batch(world, here, here.choice(banks), name)
    added: list[str] = []
    if action in ("again", "conflict", "cancel", "status", "release"):
        if ids:
            _about(world, here, action, here.choice(ids))
    elif action in ("balance", "lines"):
        _question(world, action, here.choice(banks))
    elif action == "nonsense":
        world.command(here.choice(("payment.submit", "payment.nothing", "balance.query")), b"{not json")
    elif action in _END:
        _END[action](world, here, story)
        story.crashes += action not in ("clock", "persons")
    elif action == "older journal":

        def more() -> None:
            added.extend(_order(world, here, banks, f"{name}-{n}") for n in range(here.randrange(1, 6)))
            if ids and here.random() < 0.3:
                _about(world, here, "cancel", here.choice(ids))

        story.violations += between.older_database(world, here, more)
        story.crashes += 1
    elif action == "lost log":
        story.violations += between.log_lost(world, here)
        story.crashes += 1
    else:
        outages.happen(world, here, action, banks)
    return added


def _order(world: World, chance: random.Random, banks: list[str], id_: str) -> str:
    changes: dict[str, object] = {}
    roll = chance.random()
    if roll < 0.03:
        changes["purpose"] = "x" * 500
    elif roll < 0.06:
        changes["valid_until"] = world.moment(chance.choice((1.0, 30.0, 900.0)))
    elif roll < 0.08:
        changes["not_before"] = world.moment(chance.choice((5.0, 600.0)))
    minor, bank = chance.randrange(1, 10**7), chance.choice(banks)
    if world.approving is not None:
        changes |= world.approving.made(id_, minor=minor)
    world.submit(id_, minor, bank, account=chance.choice(world.banks[bank].accounts), **changes)
    return id_


def _batch(world: World, chance: random.Random, bank: str, name: str) -> list[str]:
    kind = chance.choice(("batch", "batch", "payroll", "collection"))
    minors = [chance.randrange(1, 10**6) for _ in range(chance.randrange(2, 60))]
    body = batch(world, name, minors, kind=kind, account=chance.choice(world.banks[bank].accounts))
    if world.approving is not None:
        body |= world.approving.made(*(item["id"] for item in body["items"]), minor=sum(minors))
    if chance.random() < 0.1:
        body["items"][0]["purpose"] = "x" * 500
        body["on_item_error"] = chance.choice(("refuse_item", "refuse_batch"))
    world.submit_batch(f"{kind}.submit", body)
    return [item["id"] for item in body["items"]]


def _about(world: World, chance: random.Random, action: str, id_: str) -> None:
    if action == "again":
        world.again(id_, fresh=chance.random() < 0.5)
    elif action == "conflict":
        world.again(id_, fresh=True, purpose=f"第{chance.randrange(10**6)}号")
    elif action == "release":
        _let_go(world, id_)
    else:
        world.command({"cancel": "payment.cancel", "status": "status.query"}[action], {"id": id_})


def _let_go(world: World, id_: str) -> None:
    """Let a person release a held order, or withdraw it if its account is on another lane now."""
    if world.life is not None and id_ in world.in_state("held"):
        now_ms = world.life.clock.now_ms()
        moved = world.query("select 1 from payments where order_id = ? and hold_reason = 'not_entitled'", id_)
        world.befall(id_, Cancel(now_ms) if moved else Release(now_ms, now_ms))


def _question(world: World, action: str, bank: str) -> None:
    account = world.banks[bank].accounts[-1]
    if action == "balance":
        world.command("balance.query", {"accounts": [account], "max_age": "PT0S", "max_wait": "PT60S"})
    else:
        day = world.moment(0.0)[:10]
        asked = {"account": account, "from": day, "to": day, "limit": 50, "max_wait": "PT60S"}
        world.command("transactions.query", asked)


def _take_over(world: World, chance: random.Random, story: Story) -> None:
    """Suspend the node until another one takes its lanes. It resumes, finds that it lost them, and is killed."""
    zombie = world.life
    assert zombie is not None
    # In the middle of sending: some payments are committed and not written yet.
    for n in range(chance.randrange(1, 8)):
        _order(world, chance, list(world.banks), f"AP-{world.seed}-{story.steps[-1][0]}-{n}")
    world.run(chance.random() * 0.2)
    zombie.clock.freeze()
    stood_s = chance.choice((1.0, 16.0, 40.0))
    world.run(stood_s)
    world.start("gw2" if world.node == "gw1" else "gw1")
    looked_s = chance.choice((0.5, 20.0, 60.0))
    world.run(looked_s)
    # A lane that no node has acquired yet is the old owner's again as soon as its lease is renewed.
    assert world.life is not None
    taken = {name for name, lane in world.life.gateway.lanes.items() if lane.epoch}
    said = _said(zombie, taken)
    zombie.clock.thaw()
    world.run(chance.choice((0.1, 8.0)))
    zombie.crash()
    if stood_s + looked_s > LEASE_MS / 1000 and _said(zombie, taken) != said:
        story.violations.append(f"a zombie said {_said(zombie, taken) - said} words to a bank")


def _may_set_clock(world: World) -> bool:
    """Whether the clock may be set wrong: not if nodes compare their clocks by a lease, nor if a returns watch is
    shorter than a day."""
    return not world.settings.journal.poll_ms and world.spans.get("returns_watch_s", 604_800.0) <= 1.0


def _set_clock(world: World, chance: random.Random, story: Story) -> None:
    """Set the machine's clock wrong, or start with a wrong one; later it is set right."""
    node, off_ms = world.node, chance.choice((*_WRONG_MS, _DAYS_AHEAD_MS, _DAYS_AHEAD_MS))
    story.actions["clock days off"] += abs(off_ms) >= _DAYS_AHEAD_MS
    story.actions[between.DAYS_AHEAD] += off_ms >= _DAYS_AHEAD_MS
    if chance.random() < 0.5:
        world.leave()
        story.crashes += 1
        world.start(node, off_ms=off_ms)
    assert world.life is not None
    world.life.clock.off_ms = off_ms
    world.run(chance.choice((1.0, 10.0, 90.0)))
    world.life.clock.off_ms = 0


def _persons(world: World, chance: random.Random, story: Story) -> None:
    """Let two persons decide payments, or release held orders."""
    if held := world.in_state("held"):
        _let_go(world, chance.choice(held))
        story.actions["released by persons"] += 1
    elif done := between.resolve(world, chance):
        story.actions[done] += 1


def _change_settings(world: World, chance: random.Random, story: Story) -> None:
    if world.approving is not None:
        world.approving.change_policy()
    if done := between.settings(world, chance):
        story.actions[done] += 1


def _said(life: Life, lanes: set[str]) -> int:
    return sum(len(pipe.written) for pipe in life.pipes if pipe.lane in lanes)


_END: dict[str, Callable[[World, random.Random, Story], None]] = {
    "crash": lambda world, chance, _story: outages.kill(world, chance),
    "restart": lambda world, _chance, _story: outages.restart(world),
    "takeover": _take_over,
    "clock": _set_clock,
    "persons": _persons,
    "settings": _change_settings,
}


def _hash(world: World) -> str:
    """A hash of everything visible from outside, in order."""
    digest = hashlib.sha256()
    for event in world.events:
        digest.update(json.dumps(event, sort_keys=True).encode())
    for said, body in world.replies:
        digest.update(f"{said.message_id} {said.correlation_id}".encode() + json.dumps(body, sort_keys=True).encode())
    for bank, site in sorted(world.banks.items()):
        for one in site.ledger.executions:
            digest.update(f"{bank} {one.to_plain()}".encode())
    return digest.hexdigest()


# ---- many of them ------------------------------------------------------------------------------------------------


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder that is deleted afterwards, in memory if possible."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


def tell_one(seed: int, **more: Any) -> Story:
    """Run one seed in a folder of its own; `more` are arguments of `tell`."""
    quiet()
    with memory_folder() as folder:
        return tell(seed, folder, **more)


def _tell_briefly(seed: int, more: dict[str, bool]) -> Story:
    return replace(tell_one(seed, **more), told=[], decided=[])


def tell_many(seeds: Iterable[int], processes: int, **more: bool) -> Iterator[Story]:
    """Run seeds on several cores, in any order."""
    if processes == 1:
        yield from (tell_one(seed, **more) for seed in seeds)
        return
    # A process that cannot even start breaks this pool, loudly; the older kind would start another one for ever.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        left = iter(seeds)
        waiting: set[Future[Story]] = set()
        try:
            while True:
                waiting |= {
                    pool.submit(_tell_briefly, seed, more) for seed in islice(left, 2 * processes - len(waiting))
                }
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            for future in waiting:
                future.cancel()


def quick_world(folder: Path) -> World:
    """A world without faults, for tests of the checks themselves."""
    return World(folder)


def quiet() -> None:
    """Drop the thousands of log lines of a simulation."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))


def main(arguments: list[str]) -> int:
    """Run seeds, print one line at the end; non-zero if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.world.sim")
    parser.add_argument("seeds", nargs="?", type=int, default=500)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--peer-nodes", action="store_true", help="two nodes over one journal in every story")
    parser.add_argument("--govern", action="store_true", help="people, pools and restored databases in every story")
    parser.add_argument(
        "--dedup",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="--no-dedup: banks book whatever they are sent, and nothing is sent again by itself",
    )
    parser.add_argument("--whole", action="store_true", help="do not reduce the first story that fails")
    parser.add_argument("--stop", action="store_true", help="end with the first story that fails, as it is")
    parser.add_argument("--write-corpus", action="store_true", help="play the fixed corpus anew and keep its traces")
    asked = parser.parse_args(arguments)
    quiet()
    if asked.write_corpus:
        from tests.world import corpus

        corpus.keep_traces()
        return 0
    seeds = [asked.seed] if asked.seed is not None else range(asked.first, asked.first + asked.seeds)
    until_s = time.monotonic() + asked.minutes * 60 if asked.minutes is not None else float("inf")
    sums, failed = StoryTotals(), 0
    how = {"peer_nodes": asked.peer_nodes, "dedup": asked.dedup, "govern": asked.govern}
    for story in tell_many(seeds, min(asked.processes, len(seeds)), **how):
        sums.add(story)
        failed = failed or (story.seed if story.violations else 0)
        for violation in story.violations:
            print(f"seed {story.seed}: {violation}", flush=True)
        if asked.seed is not None:
            print("\n".join(story.told))
            print(
                json.dumps(
                    {"trace": story.trace, "rules": story.rules, "faults": story.faults, "actions": story.actions}
                )
            )
        if sums.played % 100 == 0:
            print(sums.last_line(), file=sys.stderr, flush=True)
        if time.monotonic() > until_s or (asked.stop and sums.broken):
            break
    if failed and not (asked.whole or asked.stop):
        from tests.world import reduce

        print(reduce.report(failed, **how), flush=True)
    print(sums.breakdown())
    print(sums.last_line())
    return 1 if sums.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
