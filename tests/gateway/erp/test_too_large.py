"""Messages larger than any command may be: they are refused, parked whole by the broker, and never kept in memory or
journal."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from gateway.erp.topology import PARKED_QUEUE, UNROUTED_COMMANDS_QUEUE
from gateway.kernel.deliveries import CUT_BYTES, MONEY_QUEUE, NO_PROPERTIES, CutBody, Delivery
from gateway.kernel.sql import schema
from gateway.payments.erp import command
from gateway.payments.jobs import DAY_MS
from gateway.payments.rows import refusals
from protocols.canon.errors import Code
from protocols.erp.words import MAX_BODY_BYTES
from tests.world.world import World

LARGE = 15 * 1_048_576
KIND = {"content_type": "application/json"}


def answers(world: World, message_id: str) -> list[dict[str, Any]]:
    return [body for said, body in world.replies if said.correlation_id == message_id]


def journal_bytes(folder: Path) -> int:
    return sum(one.stat().st_size for one in folder.glob("journal.db*"))


def test_50_messages_of_15_mib_leave_the_journal_small_and_are_parked_whole(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.run(1)
    before, body = journal_bytes(tmp_path), b"x" * LARGE
    for _ in range(50):
        world.command("payment.submit", body, **KIND)
    world.submit("AP-1")
    world.run(20)
    assert journal_bytes(tmp_path) - before < 6_000_000, "of 750 MiB"
    assert world.state("AP-1") == "settled"
    for n in range(1, 51):
        [said] = answers(world, f"m-{n}")
        assert said["error"]["code"] == "too_large" and str(LARGE) in said["error"]["title"]
    parked = world.broker.drain(PARKED_QUEUE)
    assert len(parked) == 50 and all(one.body is body for one in parked), "by the broker, not by us"
    assert not world.broker.queues[MONEY_QUEUE] and world.life is not None and not world.life.amqp.unacked
    keys = world.read(lambda conn: [row.refusal for row in conn.execute(schema.refusals.select())])
    kept = world.read(lambda conn: refusals.fetch(conn, keys[0]))
    assert kept is not None and (kept.code, kept.body, kept.size) == (Code.TOO_LARGE, body[:CUT_BYTES], LARGE)
    assert kept.sha256 == hashlib.sha256(body).hexdigest()


def test_where_no_dead_letter_exchange_takes_it_its_beginning_is_parked(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.run(1)
    world.command("invoices.send", b"x" * (MAX_BODY_BYTES + 1), **KIND)
    world.run(5)
    [copy] = world.broker.drain(PARKED_QUEUE)
    assert copy.body == b"x" * CUT_BYTES and copy.properties.headers["refused"] == "too_large"
    assert copy.properties.headers["original_size"] == str(MAX_BODY_BYTES + 1)
    assert not world.broker.queues[UNROUTED_COMMANDS_QUEUE]


def test_it_is_refused_once_however_often_it_comes(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.run(1)
    reject = life.amqp.reject

    def lost(delivery: Delivery) -> None:
        """The connection breaks before the refusal is published."""

    life.amqp.reject = lost  # type: ignore[method-assign]
    world.command("payment.submit", b"x" * (MAX_BODY_BYTES + 1), **KIND)
    world.run(5)
    assert len(answers(world, "m-1")) == 1 and not world.broker.queues[PARKED_QUEUE]
    life.amqp.reject = reject  # type: ignore[method-assign]
    life.amqp.drop()
    world.run(5)
    assert len(answers(world, "m-1")) == 1, "its rejection was lost, not its refusal"
    assert len(world.broker.drain(PARKED_QUEUE)) == 1


def test_large_messages_with_one_beginning_are_two() -> None:
    def key(cut: CutBody | None) -> str:
        return command.delivery_key(Delivery("q", 1, 1, False, "", "k", NO_PROPERTIES, b"x", cut=cut))

    assert len({key(None), key(CutBody(5, "a")), key(CutBody(5, "b")), key(CutBody(6, "a"))}) == 4


def test_refusals_are_forgotten_after_their_retention_and_what_comes_again_is_refused_still(tmp_path: Path) -> None:
    world = World(tmp_path, settings={"journal": {"refusals_kept_days": 2}})
    life = world.start()
    world.command("payment.submit", b"{", **KIND)
    world.run(61)
    assert life.sample("bankgw_refusals_kept") == life.sample("bankgw_parked_copies_kept") == 1
    world.leave()
    world.clock.advance(2 * DAY_MS / 1000)
    life = world.start()
    world.run(61)
    assert life.sample("bankgw_refusals_kept") == life.sample("bankgw_parked_copies_kept") == 0
