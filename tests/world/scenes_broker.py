"""Scenes of one virtual host: another journal, a copy of the journal, a lost mark, several nodes. See `scenes`."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from gateway.erp.journal_mark import FRESH_S, MarkMessage, read_mark
from gateway.erp.topology import MARK_QUEUE
from gateway.kernel.cluster.broker_holds import BrokerHold
from gateway.simbank.faults import BankFault, ExchangeKind, ScriptedFault
from tests.world.history import violations
from tests.world.stage import ORDER, SPANS, SceneWorld, scene
from tests.world.world import Life, World

SHARED = {"journal": {"poll_ms": 250}}


def mark_of(world: World) -> MarkMessage:
    """The content of the mark in the virtual host."""
    [kept] = world.broker.queues[MARK_QUEUE]
    return read_mark(kept.body)


def beside(world: World, folder: Path, journal: str | None = None) -> World:
    """Start another gateway in the same virtual host, with a journal of its own or with a copy of this one's
    journal."""
    folder.mkdir()
    other = World(folder, spans=SPANS, beside=world)
    if journal is None:
        for file in world.folder.glob("journal.db*"):
            shutil.copy(file, folder / file.name)
    else:
        with sqlite3.connect(folder / "journal.db") as conn:
            conn.execute("update meta set value = ? where name = 'journal'", (journal,))
        conn.close()
    return other


def takes_in(life: Life) -> bool:
    """Whether the gateway consumes commands."""
    return life.amqp.up and not life.amqp.paused


@scene
def another_journal_in_the_virtual_host(folder: Path) -> World:
    """A second gateway, with a journal of its own, is configured for the virtual host of the first. It takes in no
    command, says whose virtual host it is, and ends. The same happens if the first one does not run at that moment."""
    world = SceneWorld(folder)
    other = beside(world, folder / "other", "another journal's id")
    for number in range(2):
        second = other.start("demo")
        world.run(5)
        ids = [f"AP-{number}-{n}" for n in range(5)]
        for id_ in ids:
            world.submit(id_)
        world.run(5)
        assert [other.state(id_) for id_ in ids] == [None] * 5, (
            "taken in by a gateway that was meant for something else"
        )
        said = second.fatal[0]
        assert "virtual host bankgw belongs to another gateway: node gw1" in said and "delete_queue" in said, said
        assert not second.amqp.up
        other.crash()
        world.run(60)
        if world.life is None:
            world.start()
            world.run(60)
        assert [world.state(id_) for id_ in ids] == ["settled"] * 5
        if not number:
            world.leave()
    assert violations(world) == [] and world.life is not None and world.life.fatal == []
    return world


@scene
def a_copy_of_the_journal(folder: Path) -> World:
    """A copy of the journal is started beside the original. The first gateway has the exclusive queue. Later the copy
    does not know the lives that the first one began since: it takes in no command, even while the first one does not
    run."""
    world = SceneWorld(folder)
    world.leave()
    copy = beside(world, folder / "copy")
    world.start()
    world.run(3)
    life = copy.start()
    world.run(10)
    world.submit(ORDER)
    world.run(60)
    assert (world.state(ORDER), copy.state(ORDER)) == ("settled", None)
    assert not takes_in(life) and "this database lacks" in life.gateway.erp.mark.why, life.gateway.erp.mark.why
    world.leave()
    world.submit("AP-2")
    world.run(60)
    assert copy.state("AP-2") is None and not takes_in(life)
    assert life.sample("bankgw_journal_mark_held") == 0.0
    world.start()
    world.run(60)
    assert world.state("AP-2") == "settled"
    copy.crash()
    assert violations(world) == [] and world.life is not None and world.life.fatal == []
    return world


@scene
def the_mark_is_lost(folder: Path) -> World:
    """The exclusive queue is deleted, then the mark's message is replaced. No command is taken in until the mark is
    back. Accepted payments are still sent, and no restart is needed."""
    world = SceneWorld(folder, [ScriptedFault(BankFault.HIDE, seconds=30.0)])
    life = world.life
    assert life is not None and takes_in(life)
    world.broker.unlock()
    world.run(0.5)
    assert not takes_in(life)
    world.run(10)
    assert takes_in(life) and mark_of(world).hold.fence == 2
    world.submit(ORDER)
    world.run(1)
    ours = mark_of(world)
    world.broker.queues[MARK_QUEUE][0].body = MarkMessage("another journal's id", BrokerHold(1, "x", "y", 0)).body()
    world.run(3)
    world.submit("AP-2")
    world.run(120)
    assert not takes_in(life) and world.state("AP-2") is None
    assert "belongs to another gateway: node x on y" in life.gateway.erp.mark.why
    assert world.state(ORDER) == "settled", "a payment goes on without the mark"
    world.broker.queues[MARK_QUEUE][0].body = ours.body()
    world.run(60)
    assert takes_in(life) and world.state("AP-2") == "settled"
    assert mark_of(world).hold.fence == 3
    return world.ends("settled", sends=2)


@scene
def the_holder_of_a_shared_journal_dies(folder: Path) -> World:
    """Two nodes of one journal share the virtual host. When the one that holds it dies, the other takes in no command
    until it holds the virtual host itself, some seconds later."""
    world = World(folder, settings=SHARED, spans=SPANS)
    first = world.start("gw1")
    world.run(5)
    second = world.start("gw2")
    world.run(5)
    assert takes_in(first) and takes_in(second) and mark_of(world).hold.node == "gw1"
    first.crash()
    world.run(FRESH_S + 5)
    assert takes_in(second) and mark_of(world).hold.node == "gw2"
    world.submit(ORDER)
    world.run(120)
    assert world.state(ORDER) == "settled"
    assert violations(world) == [] and second.fatal == []
    return world


@scene
def a_holder_that_stood_still(folder: Path) -> World:
    """The node that holds the virtual host is suspended. The broker ends its connection, and another node begins a new
    life. When the first node resumes, its fencing number is old: it gives the virtual host up and shares it."""
    world = World(folder, settings=SHARED, spans=SPANS)
    first = world.start("gw1")
    world.run(5)
    second = world.start("gw2")
    world.run(5)
    first.clock.freeze()
    world.run(FRESH_S + 4)
    assert not takes_in(second), "the exclusive queue is still the other one's"
    world.broker.unlock(first.amqp)
    world.run(5)
    assert takes_in(second) and mark_of(world).hold == BrokerHold(2, "gw2", "", mark_of(world).hold.since_ms)
    first.clock.thaw()
    world.run(10)
    assert first.gateway.erp.mark.why == "node gw2 of this journal holds the virtual host"
    world.submit(ORDER)
    world.run(120)
    assert world.state(ORDER) == "settled"
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 1
    assert violations(world) == [] and first.fatal + second.fatal == []
    return world


def _told_in_order(world: World, ids: list[str]) -> None:
    for id_ in ids:
        numbers = [body["seq"] for body in world.events if body.get("id") == id_]
        assert numbers == sorted(numbers) and len(numbers) == len(set(numbers)), f"{id_}: {numbers}"


@scene
def a_right_is_lost_and_comes_back(folder: Path) -> World:
    """The gateway's user may not publish one sender's events for 20 seconds. Nothing is parked or lost, status says so
    within five seconds, and another sender is not delayed. When the right is back, all events are published in
    order."""
    other = {"users": ["erp-other"], "operations": ["payment.submit"], "reply_to": r"erp-demo\..*"}
    world = SceneWorld(folder, settings={"senders": {"yonyou": other}})
    life = world.life
    assert life is not None
    ids = [f"AP-{n}" for n in range(1, 6)]
    world.broker.no_right.add(("bankgw.events", "payment.settled.sample.kingdee"))
    for id_ in ids:
        world.submit(id_)
    world.command("payment.submit", world.order("BP-1"), user="erp-other")
    world.run(5)
    assert not any("payment.settled" in world.told(id_) for id_ in ids)
    assert world.told("BP-1")[-1] == "payment.settled", "another sender waits for nothing"
    assert len(world.replies) == 6, "nor do the replies, which take another way"
    assert "403" in life.gateway.erp.refusals()["bankgw.events"]
    assert life.gateway.outbox.depth and life.sample("bankgw_messages_held")
    world.run(15)
    world.broker.no_right.clear()
    world.run(6)
    assert [world.told(id_)[-1] for id_ in ids] == ["payment.settled"] * 5
    _told_in_order(world, ids)
    assert life.gateway.erp.refusals() == {} and life.sample("bankgw_messages_held") == 0.0
    assert not world.broker.drain("bankgw.unrouted.news"), "nothing is parked"
    world.run(60)
    return world.ends("settled", sends=6)
