"""What changes between two lives of a simulated daemon, and what persons do: settings, an older database, decisions.

Each function is one action of a story: it does something to the world and says how it is counted, or None if it could
not be done here and now. What needs more than the gateway can do yet stands in `AWAITED` and is not drawn.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from twisted.python.failure import Failure

from gateway.clock import SeededEntropy
from gateway.core.states import Resolve
from gateway.journal import databases, vaults
from gateway.journal.committer import Committer
from gateway.journal.permits import NoPermits
from gateway.simbank.faults import Touch
from protocols.bank import Bank, Replay
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.twin import Booked
from tests.world.world import LifeClock, World

TWO_LANES = "two lanes at one bank"
MOVED, NEVER, KIND_OFF = "account moved to another lane", "repeats forbidden", "kind switched off"
LANE_RENAMED, SENDER_RENAMED = "lane renamed", "sender renamed"
RESTORED, RESTORED_QUIETLY = "older database", "older database that lost no send"
LOG_LOST, DAYS_AHEAD = "permit log lost", "clock days ahead"
RESOLVED, RESENT = "resolved by persons", "sent again by persons"
AWAITED = frozenset({TWO_LANES, MOVED, NEVER, KIND_OFF, LANE_RENAMED, SENDER_RENAMED, RESTORED_QUIETLY, LOG_LOST, DAYS_AHEAD})
"""Kinds of events that the gateway cannot take yet. Empty when it can take all of them."""
_DECIDED = {Booked.SETTLED: Fate.SETTLED, Booked.REFUSED: Fate.FAILED}
_OPEN = ("in_doubt", "escalated")


def drawn(kind: str) -> bool:
    """Whether stories may have it."""
    return kind not in AWAITED


# ---- persons -----------------------------------------------------------------------------------------------------


def resolve(world: World, chance: random.Random) -> str | None:
    """Two persons look at the bank's books and decide a payment in doubt as it is; or have it sent again, if it is not
    there."""
    doubted = [id_ for state in _OPEN for id_ in world.in_state(state)]
    if not doubted or world.life is None:
        return None
    id_ = chance.choice(doubted)
    [(bank, ref, attempt)] = world.look("select bank, bank_ref, attempt from payments where order_id = ?", id_)
    now_ms = round(world.clock.seconds() * 1000)
    executions = world.banks[bank].ledger.truth().get(ref, [])
    fate: Fate | None
    if executions:
        found = _DECIDED.get(executions[-1].booked(now_ms))
        if found is None or executions[-1].returned_ms is not None:
            return None
        fate = found
    else:
        fate = chance.choice((Fate.FAILED, None))
    world.befall(id_, Resolve(world.life.clock.now_ms(), fate, int(attempt)))
    return RESENT if fate is None else RESOLVED


# ---- settings ----------------------------------------------------------------------------------------------------


def settings(world: World, chance: random.Random) -> str | None:
    """The daemon stops, somebody changes its settings, and it starts again."""
    changes = [change for kind, change in SETTINGS.items() if drawn(kind)]
    if not changes or world.life is None:
        return None
    world.leave()
    done = chance.choice(changes)(world, chance)
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
    """What is in doubt by now may not be sent again any more, whatever the rules were when it was taken in."""
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
    """A kind of orders is not carried any more; the next time settings change, or in the calm, it is again."""
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
    """The kind is carried again from the next life on."""
    before = world.kinds_off.pop(bank)
    if before is None:
        world.adapters.pop(bank, None)
    else:
        world.adapters[bank] = before


def _rename_lane(world: World, chance: random.Random) -> str | None:
    """A lane gets another name, by the command for it; all that belongs to it goes along."""
    old = chance.choice(world.lanes)
    there = {lane for (lane,) in world.look("select lane from lanes where lane like ?", f"%.{old}")}
    if there != {f"{bank}.{old}" for bank in world.banks}:
        return None  # nobody has taken it yet
    new = f"renamed{len(world.old_lanes)}"
    for bank in world.banks:
        _offline(world, "rename_lane", f"{bank}.{old}", f"{bank}.{new}")
        world.old_lanes[f"{bank}.{old}"] = f"{bank}.{new}"
    world.lanes = tuple(new if lane == old else lane for lane in world.lanes)
    world.lane_of = {account: new if lane == old else lane for account, lane in world.lane_of.items()}
    return LANE_RENAMED


def _rename_sender(world: World, _chance: random.Random) -> str | None:
    old, new = world.sender, f"kingdee{len(world.old_senders) + 1}"
    _offline(world, "rename_sender", old, new)
    world.old_senders[old] = new
    world.sender = new
    return SENDER_RENAMED


def _offline(world: World, what: str, old: str, new: str) -> None:
    """Run a unit of `journal.renames` as the command does while no daemon works on the journal."""
    rename: Any = getattr(import_module("gateway.journal.renames"), what)
    engine = databases.connect(world.url, connections=1, writing=True)
    vaults.attach(engine, world.vault)
    clock = LifeClock(world.clock)
    entropy = SeededEntropy(world.seed * 7_919 + world.broker.clock.scheduled)
    committer = Committer(engine, clock, f"{world.node}.offline", world.vault, entropy, NoPermits())
    try:
        committer.open()
        [done] = committer.commit([lambda tx: rename(tx, old, new, "user:admin", "the simulation")]).results
    finally:
        committer.close()
    if isinstance(done, Failure):
        done.raiseException()


SETTINGS: dict[str, Callable[[World, random.Random], str | None]] = {
    MOVED: _move, NEVER: _never, KIND_OFF: _kind_off, LANE_RENAMED: _rename_lane, SENDER_RENAMED: _rename_sender,
}  # fmt: skip
"""What may be changed between two lives, by the kind of event that it is counted as."""


# ---- data --------------------------------------------------------------------------------------------------------


def older_database(world: World, chance: random.Random, orders: Callable[[], None]) -> Iterator[str]:
    """A copy of the journal is put back in place of the journal; the daemon must notice, and send nothing, until the
    newer one is back. Yields violations; the caller counts `RESTORED` if it was played at all."""
    folder, permits = world.folder, len(world.permits.written)
    copy = folder / "older.db"
    _backup(folder / "journal.db", copy)
    orders()
    world.run(chance.choice((2.0, 20.0)))
    world.crash()
    quietly = len(world.permits.written) == permits
    if quietly and not drawn(RESTORED_QUIETLY):
        copy.unlink()
        world.start(world.node)
        return
    aside = {file: file.with_name(f"newer-{file.name}") for file in folder.glob("journal.db*")}
    for file, kept in aside.items():
        file.rename(kept)
    copy.rename(folder / "journal.db")
    world.broker.away = True
    heard = _money(world)
    life = world.start(world.node)
    world.run(chance.choice((5.0, 60.0)))
    if not life.gateway.safe_mode:
        yield "a database from the past went unnoticed"
    if _money(world) != heard:
        yield f"with a database from the past {_money(world) - heard} messages were sent"
    if world.life is not None:
        world.crash()
    for file in folder.glob("journal.db*"):
        file.unlink()
    for file, kept in aside.items():
        kept.rename(file)
    world.broker.away = False
    world.start(world.node)
    world.older += 1


def _backup(file: Path, copy: Path) -> None:
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _money(world: World) -> int:
    return sum(site.simbank.tally.exchanges[Touch.MONEY] for site in world.banks.values())
