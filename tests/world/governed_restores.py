"""Restored databases in the stories of `governed`: an older copy is put back, for a while or for good, on the same node, on
a new one without a permit log, or on the second of two nodes.

Whoever starts so must notice, send nothing, and believe none of the persons whose last words are missing. Two persons
end it, after they have done again what the database forgot and withdrawn what the banks have paid already.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gateway.erp.topology import MARK_QUEUE
from gateway.simbank.faults import ExchangeKind
from tests.world.between import UNDER_WAY_S, look_away
from tests.world.governed_site import APPROVERS, ROLES, SUPERVISORS, GovernedSite

BACK, FOR_GOOD, NEW_NODE = "older database for a while", "older database for good", "older database on a new node"
REPLICA, MACHINE = "replica promoted", "new node over the same database"
SAFE, LOST_PERSON = "SAFE MODE left by two persons", "person's last word lost"
KINDS = (BACK, FOR_GOOD, NEW_NODE, MACHINE, SAFE, LOST_PERSON)
_WORDS = (
    "select count(*) from audit where (entry like 'payment.%' or entry like 'person.%' or entry like 'pool.%' or entry"
    " like 'approval.given' or entry like 'policy.%') and actor not like 'node:%' and actor not like 'lane:%'"
    " and actor not like 'watch:%' and actor not like 'rule:%'"
)


@dataclass(frozen=True, slots=True)
class JournalCopy:
    """A copy of the journal, and the story's facts at its time."""

    file: Path
    at_ms: int
    permits: int
    words: int
    policy: int
    pools: tuple[tuple[int, int | None], ...]
    gone_ms: dict[str, int | None]


@dataclass(frozen=True, slots=True)
class StateBefore:
    """The story's facts before the copy was put back."""

    pools: tuple[tuple[int, int | None], ...]
    policy: int


def save(site: GovernedSite) -> JournalCopy:
    """Copy the journal while the daemon uses it."""
    world, referee = site.world, site.referee
    file = world.folder / "saved.db"
    file.unlink(missing_ok=True)
    with closing(sqlite3.connect(world.folder / "journal.db")) as source, closing(sqlite3.connect(file)) as target:
        source.backup(target)
    return JournalCopy(
        file,
        site.now_ms,
        len(world.permits.written),
        _words(file),
        referee.people.policies[-1][1],
        tuple(referee.pools),
        {name: one.gone_ms for name, one in referee.people.persons.items()},
    )


def restore(site: GovernedSite, saved: JournalCopy, here: random.Random) -> None:
    """Put the copy back in one of the possible ways."""
    world = site.world
    how = here.choice((BACK, BACK, FOR_GOOD, NEW_NODE, MACHINE, *((REPLICA, REPLICA) if site.second else ())))
    site.referee.judge_new_sends(world)
    world.run(UNDER_WAY_S)
    site.end_lives()
    # Bytes that the last life wrote arrive first: the bank reads them whoever lives.
    world.run(UNDER_WAY_S)
    site.referee.judge_new_sends(world)
    look_away(world)
    sends = len(world.permits.written) > (0 if how is MACHINE else saved.permits)
    lost = sends or (how is not MACHINE and _words(world.folder / "journal.db") > saved.words)
    aside = {file: file.with_name(f"newer-{file.name}") for file in world.folder.glob("journal.db*")}
    if how is not MACHINE:
        for file, kept in aside.items():
            file.rename(kept)
        saved.file.rename(world.folder / "journal.db")
    world.broker.away = how is BACK
    node = world.node
    if how in (NEW_NODE, MACHINE):
        node = f"gw{len(site.nodes) + 3}"
        site.nodes.append(node)
    elif how is REPLICA:
        node = "gw2" if node == "gw1" else "gw1"
    # A new machine has no permit log with persons' decisions, so that the sends in the journal must be enough there.
    heard = _money(site)
    life = world.start(node)
    world.run(here.choice((5.0, 60.0)))
    can_know = how in (BACK, FOR_GOOD) or _sent(site)
    if lost and can_know and not life.gateway.safe_mode.reason:
        site.referee.found.append(f"{how} went unnoticed at {site.now_ms}")
    if lost and can_know and _money(site) != heard:
        site.referee.found.append(
            f"with {how}, {_money(site) - heard} messages were sent before two persons allowed it"
        )
    site.story.actions[how] += 1
    if how is BACK and not lost:
        # The copy is the newest: later changes of its life would be lost without it.
        world.broker.away = False
        world.broker.delete(MARK_QUEUE)
        return
    if how is BACK:
        world.crash()
        look_away(world)
        for file in world.folder.glob("journal.db*"):
            file.unlink()
        for file, kept in aside.items():
            kept.rename(file)
        world.broker.away = False
        world.start(node)
        world.run(3)
        return
    # The mark may name a life that the older database lacks: the person who put it back deletes the mark.
    world.broker.delete(MARK_QUEUE)
    then = StateBefore(tuple(site.referee.pools), site.referee.people.policies[-1][1])
    if how is not MACHINE:
        site.for_good = True
        _forget(site, saved)
        if life.gateway.safe_mode.reason:
            _ghosts(site, saved, here)
        _done_again(site, saved, then, here)
    if life.gateway.safe_mode.reason:
        _leave(site, here)
    for kept in aside.values():
        kept.unlink(missing_ok=True)


def _forget(site: GovernedSite, saved: JournalCopy) -> None:
    """Remove from the referee's records the acts that the gateway cannot know any more."""
    referee, people = site.referee, site.referee.people
    referee.pools, referee.forgot = [*saved.pools], True
    people.delegations = [one for one in people.delegations if one.from_ms <= saved.at_ms]
    if people.policies[-1][1] != saved.policy:
        people.policies.append((site.now_ms, saved.policy))
    site.ids = [id_ for id_ in site.ids if site.world.state(id_) is not None]


def _ghosts(site: GovernedSite, saved: JournalCopy, here: random.Random) -> None:
    """Check that a person about whom the last decision is missing can sign nothing: neither the end of SAFE MODE nor an
    approval."""
    assert site.world.life is not None
    persons, lanes = site.referee.people.persons, sorted(site.world.life.gateway.lanes)
    for one in (*SUPERVISORS, *APPROVERS):
        if persons[one.name].gone_ms is None or saved.gone_ms[one.name] is not None:
            continue
        site.story.actions[LOST_PERSON] += 1
        if one in SUPERVISORS:
            # Such a person's signature completes nothing, as the first or as the second.
            pair = [one, site.supervisors(here)[0]]
            here.shuffle(pair)
            if not site.two("resume", lanes[0], "send", *pair):
                site.referee.found.append(f"{one.name}, deactivated in what is missing, ended SAFE MODE of {lanes[0]}")


def _done_again(site: GovernedSite, saved: JournalCopy, before: StateBefore, here: random.Random) -> None:
    """Let persons repeat their decisions since the copy, and withdraw orders that were withdrawn or paid."""
    world, people = site.world, site.referee.people
    for one in (*SUPERVISORS, *APPROVERS):
        if site.changed_ms.get(one.name, 0) <= saved.at_ms:
            continue
        if one.name in site.deactivated:
            site.change_person("deactivate", one, "deactivated")
            continue
        # An administrator's decision must be a change: roles are removed, and given again if they are to stay.
        has = site.may(one)
        site.change_person("roles", one, ROLES["viewer"])
        if has:
            site.change_person("roles", one, ROLES["supervisor" if one in SUPERVISORS else "approver"])
    # At a bank that books whatever it gets, a slot is not run again.
    if before.pools != saved.pools or not site.dedup:
        site.put_pool(here, "" if before.pools[-1][1] is not None and site.dedup else "none")
    if people.policies[-1][1] != before.policy:
        site.set_policy(before.policy)
    paid = {one.instruction.creditor_account for bank in world.banks.values() for one in bank.ledger.executions}
    world.run(3)
    for id_, made in people.orders.items():
        state = world.state(id_)
        if state in ("held", "ready", "accepted") and (made.account in paid or id_ in site.referee.cancelled_ms):
            site.referee.withdrawn.add(id_)
            site.withdraw(id_)
    world.run(3)


def _leave(site: GovernedSite, here: random.Random) -> None:
    """Let two supervisors release every lane."""
    assert site.world.life is not None
    for lane in sorted(site.world.life.gateway.lanes):
        no = site.two("resume", lane, "send", *site.supervisors(here))
        if no:
            site.referee.found.append(f"two supervisors could not end SAFE MODE of {lane}: {site.refused}")
    site.world.run(3)
    site.story.actions[SAFE] += 1


def _words(file: Path) -> int:
    with closing(sqlite3.connect(file)) as db:
        return int(db.execute(_WORDS).fetchone()[0])


def _sent(site: GovernedSite) -> bool:
    """Whether the present journal has sends."""
    return bool(
        site.world.query(
            "select 1 from audit where entry in ('payment.send', 'payment.replay') and node <> ? limit 1",
            site.world.node,
        )
    )


def _money(site: GovernedSite) -> int:
    return sum(bank.simbank.tally.exchanges[ExchangeKind.MONEY] for bank in site.world.banks.values())
