"""Changes between two lives of a simulated daemon, and decisions of persons: settings, an older database.

Each function is one action of a story: it does something to the world and says how it is counted, or None if it could
not be done here and now. Those that yield sentences look for broken promises on the way.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from twisted.python.failure import Failure

from gateway.kernel.cluster import restored_database
from gateway.kernel.cluster.safe_mode import SafeMode
from gateway.kernel.commit.committer import Committer
from gateway.kernel.commit.permit_log import NoPermits
from gateway.kernel.core.states import Resolve
from gateway.kernel.sql import databases, vaults
from gateway.simbank.faults import ExchangeKind
from gateway.wiring import PORTS
from protocols.bank import Bank, Replay
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.twin import Booked
from tests.world.entropy import SeededEntropy
from tests.world.life_clock import LifeClock
from tests.world.world import World

TWO_LANES = "two lanes at one bank"
MOVED, NEVER, KIND_OFF = "account moved to another lane", "repeats forbidden", "kind switched off"
LANE_RENAMED, SENDER_RENAMED = "lane renamed", "sender renamed"
RESTORED, RESTORED_QUIETLY = "older database", "older database that lost no send"
UNDER_WAY_S = 2.0
_LOOKED_S = 10.0
LOG_LOST, DAYS_AHEAD = "permit log lost", "clock days ahead"
RESOLVED, RESENT = "resolved by persons", "sent again by persons"
_DECIDED = {Booked.SETTLED: Fate.SETTLED, Booked.REFUSED: Fate.FAILED}
_OPEN = ("in_doubt", "escalated")


# ---- persons -----------------------------------------------------------------------------------------------------


def resolve(world: World, chance: random.Random) -> str | None:
    """Let two persons decide a payment in doubt by the bank's books, or have it sent again if it is not in them."""
    doubted = [id_ for state in _OPEN for id_ in world.in_state(state)]
    if not doubted or world.life is None:
        return None
    now_ms = round(world.clock.seconds() * 1000)
    found = {
        id_: world.query("select bank, bank_ref, attempt from payments where order_id = ?", id_)[0] for id_ in doubted
    }
    books = {id_: world.banks[bank].ledger.truth().get(ref, []) for id_, (bank, ref, _attempt) in found.items()}
    # A payment that did not arrive is rarer, and has more possible decisions.
    id_ = chance.choice([id_ for id_ in doubted if not books[id_]] or doubted)
    attempt, executions = found[id_][2], books[id_]
    fate: Fate | None
    if executions:
        fate = _DECIDED.get(executions[-1].booked(now_ms))
        if fate is None or executions[-1].returned_ms is not None:
            return None
    else:
        fate = chance.choice((Fate.FAILED, None, None))
    world.befall(id_, Resolve(world.life.clock.now_ms(), fate, int(attempt)))
    return RESENT if fate is None else RESOLVED


def resolve_other_amounts(world: World) -> None:
    """Let two persons settle payments in doubt whose reference the bank executed with another amount. After a restore a
    pool's transfer was planned anew, and no answer about it is accepted."""
    rows = "select order_id, bank, bank_ref, attempt, amount_minor from payments where state = ?"
    for id_, bank, ref, attempt, minor in [row for state in _OPEN for row in world.query(rows, state)]:
        for one in world.banks[bank].ledger.truth().get(ref, [])[-1:]:
            if (
                one.instruction.amount.minor != minor
                and one.booked(round(world.clock.seconds() * 1000)) is Booked.SETTLED
            ):
                assert world.life is not None
                world.befall(id_, Resolve(world.life.clock.now_ms(), Fate.SETTLED, int(attempt)))


# ---- settings ----------------------------------------------------------------------------------------------------


def settings(world: World, chance: random.Random) -> str | None:
    """Stop the daemon, change its settings, and start it again."""
    if world.life is None:
        return None
    world.leave()
    done = chance.choice(list(SETTINGS.values()))(world, chance)
    world.set_up_again()
    world.start(world.node)
    return done


def _move(world: World, chance: random.Random) -> str | None:
    account = chance.choice(sorted(world.lane_of))
    others = [lane for lane in world.lanes if lane != world.lane_of[account]]
    if not others:
        return None
    world.lane_of[account] = chance.choice(others)
    return MOVED


def _never(world: World, chance: random.Random) -> str | None:
    """Forbid that any payment in doubt is sent again, whatever the rules were at its admission."""
    allowed = sorted(set(world.banks) - set(world.never_since) - set(world.kinds_off))
    if not allowed:
        return None
    bank = chance.choice(allowed)
    before = world.adapters.get(bank)

    def forbidden(built: Bank) -> Bank:
        built = built if before is None else before(built)
        rules = {kind: replace(rule, policy=Replay.NEVER) for kind, rule in built.profile.replay.items()}
        return replace(built, profile=replace(built.profile, replay=rules))

    world.adapters[bank] = forbidden
    world.never_since[bank] = len(world.repeats(bank))
    return NEVER


def _kind_off(world: World, chance: random.Random) -> str | None:
    """Switch a kind of orders off. It is on again at the next change of settings, or at the end."""
    bank = chance.choice(sorted(world.banks))
    if bank in world.kinds_off:
        kind_on(world, bank)
        return None
    before, off = world.adapters.get(bank), chance.choice((Kind.PAYMENT, Kind.BATCH_ITEM, Kind.PAYROLL_ITEM))
    world.kinds_off[bank] = before

    def without(built: Bank) -> Bank:
        built = built if before is None else before(built)
        return replace(built, money={kind: how for kind, how in built.money.items() if kind is not off})

    world.adapters[bank] = without
    return KIND_OFF


def kind_on(world: World, bank: str) -> None:
    """Switch the kind of orders on again from the next life on."""
    before = world.kinds_off.pop(bank)
    if before is None:
        world.adapters.pop(bank, None)
    else:
        world.adapters[bank] = before


def _rename_lane(world: World, chance: random.Random) -> str | None:
    """Rename a lane by the command for it; everything that belongs to it moves along."""
    old = chance.choice(world.lanes)
    there = {lane for (lane,) in world.query("select lane from lanes where lane like ?", f"%.{old}")}
    if there != {f"{bank}.{old}" for bank in world.banks}:
        return None  # no node has acquired it yet
    new = f"renamed{len(world.old_lanes)}"
    for bank in world.banks:
        _offline(world, "rename_lane", f"{bank}.{old}", f"{bank}.{new}")
        world.old_lanes[f"{bank}.{old}"] = f"{bank}.{new}"
    world.lanes = tuple(new if lane == old else lane for lane in world.lanes)
    world.lane_of = {account: new if lane == old else lane for account, lane in world.lane_of.items()}
    return LANE_RENAMED


def _rename_sender(world: World, _chance: random.Random) -> str | None:
    old, new = world.sender, f"kingdee{len(world.old_senders) + 1}"
    if not world.query("select 1 from payments where sender = ? limit 1", old):
        return None  # the command says that it knows no such lane
    _offline(world, "rename_sender", old, new)
    world.old_senders[old] = new
    world.sender = new
    return SENDER_RENAMED


def _offline(world: World, what: str, old: str, new: str) -> None:
    """Run a unit of `journal.renames` as the command does, while no daemon works on the journal."""
    rename: Any = getattr(import_module("gateway.kernel.cluster.renames"), what)
    engine = databases.connect(world.url, connections=1, writing=True)
    vaults.attach(engine, world.vault)
    clock = LifeClock(world.clock)
    entropy = SeededEntropy(world.seed * 7_919 + world.broker.clock.scheduled)
    committer = Committer(engine, clock, f"{world.node}.offline", world.vault, entropy, NoPermits(), ports=PORTS)
    try:
        committer.open()
        [done] = committer.commit([lambda tx: rename(tx, old, new, "user:admin", "the simulation")]).results
    finally:
        committer.close()
    if isinstance(done, Failure):
        done.raiseException()


SETTINGS: dict[str, Callable[[World, random.Random], str | None]] = {
    MOVED: _move,
    NEVER: _never,
    KIND_OFF: _kind_off,
    LANE_RENAMED: _rename_lane,
    SENDER_RENAMED: _rename_sender,
}
"""The possible changes between two lives, by the kind of event that each is counted as."""


# ---- data --------------------------------------------------------------------------------------------------------


def older_database(world: World, chance: random.Random, orders: Callable[[], None]) -> Iterator[str]:
    """Put an older copy in the journal's place. The daemon must notice, and send nothing, until the newer journal is
    back. Yields violations, and counts in `world.between` how it was played, if it was."""
    assert world.life is not None
    folder, permits = world.folder, len(world.permits.written)
    copy = folder / "older.db"
    _backup(folder / "journal.db", copy)
    if chance.random() < 0.5:
        for lane in world.life.gateway.lanes.values():
            lane.pause("the simulation")
    orders()
    world.run(chance.choice((2.0, 20.0)))
    world.crash()
    quietly = len(world.permits.written) == permits
    if quietly and _words(folder / "journal.db") == _words(copy):
        # The node repeats acts of its own, so that nothing is lost.
        copy.unlink()
        world.start(world.node)
        return
    aside = {file: file.with_name(f"newer-{file.name}") for file in folder.glob("journal.db*")}
    for file, kept in aside.items():
        file.rename(kept)
    copy.rename(folder / "journal.db")
    world.broker.away = True
    yield from _noticed(world, chance, "a database from the past")
    world.crash()
    for file in folder.glob("journal.db*"):
        file.unlink()
    for file, kept in aside.items():
        kept.rename(file)
    world.broker.away = False
    world.start(world.node)
    world.between[RESTORED_QUIETLY if quietly else RESTORED] += 1


def log_lost(world: World, chance: random.Random) -> Iterator[str]:
    """Remove this machine's permit log. The daemon must notice, and send nothing, until the log is back or two persons
    have released every lane. Yields violations, and counts in `world.between` whether it was played."""
    assert world.life is not None
    if not _sent_before_the_last_group(world):
        return
    node, folder = world.node, world.permit_folder(world.node)
    waited = bool(world.life.gateway.safe_mode.reason)
    world.crash()
    kept = folder.with_name(f"kept-{folder.name}")
    folder.rename(kept)
    yield from _noticed(world, chance, "a lost permit log")
    if chance.random() < 0.5:
        world.crash()
        shutil.rmtree(folder)
        kept.rename(folder)
        safe_mode = world.start(node).gateway.safe_mode
        world.run(_LOOKED_S)
        if safe_mode.reason and not (waited or safe_mode.noticed_by):
            yield "the lost permit log is back, and the lanes still wait"
    else:
        shutil.rmtree(kept)
        let_go(world)
    world.between[LOG_LOST] += 1


def _noticed(world: World, chance: random.Random, what: str) -> Iterator[str]:
    """Start a life that lacks something. It must wait, and send nothing about money."""
    # Bytes that the last life wrote arrive first: the bank reads them whoever lives.
    world.run(UNDER_WAY_S)
    heard = _money(world)
    life = world.start(world.node)
    world.run(chance.choice((5.0, 60.0)))
    if not life.gateway.safe_mode.reason:
        yield f"{what} went unnoticed"
    if _money(world) != heard:
        yield f"with {what} {_money(world) - heard} messages were sent"


def let_go(world: World) -> None:
    """Let two persons release every lane in spite of the missing data, by the same unit as the control API's. The lanes
    send after the commit; if the daemon dies before, they still wait."""
    life = world.life
    assert life is not None
    past, gateway = life.gateway.safe_mode.past, life.gateway

    def release(lane: str) -> None:
        unit = partial(restored_database.let_go, lane=lane, past=past, proposal="the simulation")
        life.store.write(unit).addCallback(lambda _done: gateway.let_go(lane))

    for lane in gateway.lanes:
        release(lane)


def end_safe_mode(world: World) -> None:
    """Let two persons end SAFE MODE where a story left it: here, and on each node whose findings make the lanes wait,
    because a lane is released on the node that noticed the gap."""
    home = world.node
    safe_mode = _released(world)
    others = safe_mode.noticed_by if safe_mode.reason else ()
    for node in (*others, *([home] if others else [])):
        world.leave()
        world.start(node)
        _released(world)


def _released(world: World) -> SafeMode:
    """Let two persons release the lanes for what this node has found."""
    life = world.life
    assert life is not None
    world.run(_LOOKED_S)
    if life.gateway.safe_mode.reason and life.gateway.safe_mode.past.episode:
        let_go(world)
        world.run(_LOOKED_S)
    return life.gateway.safe_mode


def _words(file: Path) -> int:
    """The number of audit entries about payments whose actor is a person or an ERP, not the node, a lane or the
    watch."""
    with closing(sqlite3.connect(file)) as db:
        asked = "select count(*) from audit where entry like 'payment.%' and actor not like 'node:%'"
        asked += " and actor not like 'lane:%' and actor not like 'watch:%'"
        return int(db.execute(asked).fetchone()[0])


def _sent_before_the_last_group(world: World) -> bool:
    """Whether this node sent before its last group, which a permit log may lack. All of a group have one time."""
    return bool(
        world.query(
            "select 1 from audit a where a.entry in ('payment.send', 'payment.replay') and a.node = ? and exists (select 1"
            " from audit b where b.node = a.node and b.seq > a.seq and b.at_ms != a.at_ms) limit 1",
            world.node,
        )
    )


def look_away(world: World) -> None:
    """Close every connection to the journal's file, including those of dead lives. When the last one closes, SQLite
    deletes the log beside a file by name, which could be the log of another file after an exchange."""
    for store in list(world.dead):
        store._committer.close()
        store._readers.dispose()
    world.dead.clear()
    if world._outside is not None:
        world._outside.close()
        world._outside = None


def _backup(file: Path, copy: Path) -> None:
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _money(world: World) -> int:
    return sum(site.simbank.tally.exchanges[ExchangeKind.MONEY] for site in world.banks.values())
