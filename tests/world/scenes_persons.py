"""Scenes of an older database in which persons still have rights that had ended. See `scenes`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from gateway.erp.topology import MARK_QUEUE
from gateway.kernel.commit import barred_persons
from gateway.kernel.commit.store import Tx
from gateway.people.rows import entitlements, persons
from gateway.people.rows.persons import No, Person
from gateway.people.rules.grants import Grants
from tests.world import between
from tests.world.scenes_amnesia import PEOPLE, keep, paid, put_back
from tests.world.stage import ORDER, SPANS, scene
from tests.world.world import World


@scene
def a_deactivated_supervisor_in_an_older_database(folder: Path) -> World:
    """A supervisor is deactivated, and the database from before is restored. The permit log names the person among the
    missing entries: that person can neither sign the end of SAFE MODE nor use any role, whatever the older database
    says."""
    world = World(folder, spans=SPANS)
    life = world.start()
    world.run(3)
    for name, uid in PEOPLE.items():
        life.store.write(partial(let_in, name=name, uid=uid))
    paid(world, "AP-0")
    copy = keep(world)
    life.store.write(lambda tx: deactivate(tx, "zhao"))
    world.run(5)
    world.leave()
    put_back(world, copy)
    life = world.start()
    world.run(30)
    past = life.gateway.safe_mode.past
    assert life.gateway.safe_mode.reason and past.barred == {"zhao"}, past
    assert "person.deactivated person:zhao by wang,li" in past.gaps[0].sentence()
    now_ms = life.clock.now_ms()
    said = world.read(lambda conn: [entitlements.of_name(conn, name, now_ms) for name in PEOPLE])
    assert [one.code if isinstance(one, No) else one.person.name for one in said] == ["words_missing", "wang", "li"]
    between.let_go(world)
    world.run(30)
    assert not life.gateway.safe_mode.reason
    assert world.read(barred_persons.barred) == {"zhao"}, "the older database is the journal now: it stays so"
    # Two administrators repeat the lost decision.
    life.store.write(lambda tx: deactivate(tx, "zhao"))
    world.run(5)
    assert world.read(barred_persons.barred) == frozenset()
    paid(world, ORDER)
    assert not world.bank.ledger.doubles() and life.fatal == []
    return world


@scene
def words_that_were_lost_before_hold_nothing_again(folder: Path) -> World:
    """A person's decision is lost for good, and two persons release the lane. Later an older database runs for a while,
    and the right one is put back. It lacks only the node's own writes of that while, so it sends."""
    world = World(folder, spans=SPANS)
    life = world.start()
    world.run(3)
    life.store.write(lambda tx: let_in(tx, "zhao", 2001))
    paid(world, "AP-0")
    copy = keep(world)
    life.store.write(lambda tx: deactivate(tx, "zhao"))
    world.run(5)
    world.leave()
    put_back(world, copy)
    world.start()
    world.run(30)
    between.let_go(world)
    paid(world, "AP-1")
    older = keep(world, "older.db")
    paid(world, "AP-2")
    world.leave()
    right = keep(world, "right.db")
    put_back(world, older)
    life = world.start()
    world.run(5)
    assert life.gateway.safe_mode.holds("sample.main"), "it lacks the send of AP-2"
    world.crash()
    put_back(world, right)
    world.broker.delete(MARK_QUEUE)
    life = world.start()
    world.run(30)
    assert not life.gateway.safe_mode.holds("sample.main"), life.gateway.safe_mode.past
    assert world.read(barred_persons.barred) == {"zhao"}
    paid(world, ORDER)
    assert not world.bank.ledger.doubles() and life.fatal == []
    return world


def let_in(tx: Tx, name: str, uid: int) -> None:
    """Enrol a person, as two administrators decided."""
    made = persons.enrol(tx, name, uid, bytes([uid % 250]) * 32, f"uid:{uid}")
    assert isinstance(made, Person)
    persons.change(tx, replace(made, enrolled=True), "person.admitted", "persons:x+y", {})


def deactivate(tx: Tx, name: str) -> None:
    """Two administrators end the person's rights."""
    person = persons.of_name(tx.fresh, name)
    assert person is not None
    gone = replace(person, enrolled=False, deactivated=True, grants=Grants())
    persons.change(tx, gone, "person.deactivated", "persons:wang+li", {"by": ["wang", "li"]})
