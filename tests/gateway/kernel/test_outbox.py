from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, select, text

from gateway.kernel.commit import outbox
from gateway.kernel.commit.rows import DeliveryTries, OutboxRow, OutboxState
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import migrations, schema
from gateway.kernel.sql.migrations.versions import v0016_delivery_tries, v0017_sealed_life, v0018_vault_keys
from gateway.kernel.sql.vaults import vault_of
from tests.gateway.kernel.bench import NOW_MS, Journal, message


def mail(journal: Journal, *rows: OutboxRow) -> None:
    def enqueue_all(tx: Tx) -> None:
        for row in rows:
            tx.enqueue(row)

    journal.do(enqueue_all)


def ids(journal: Journal, node: str = "n1", after: str = "", limit: int = 500) -> list[str]:
    return [row.message_id for row in journal.read(lambda conn: outbox.unsent(conn, node, after, limit))]


def test_mail_is_read_back_as_it_was_written(journal: Journal) -> None:
    row = OutboxRow(
        "m1",
        "n1",
        "bankgw.events",
        "payment.settled.icbc.kingdee",
        "正文".encode(),
        {"type": "x", "bank": "icbc"},
        "corr",
        "application/xml",
        None,
        NOW_MS,
    )
    mail(journal, row)
    assert journal.read(lambda conn: outbox.unsent(conn, "n1")) == [row]
    assert journal.messages == [row]


def test_waiting_mail_comes_in_order_a_page_at_a_time_and_only_this_nodes(journal: Journal) -> None:
    mail(journal, *[message(f"m{n}") for n in range(5)], message("other", "n2"))
    assert ids(journal, limit=2) == ["m0", "m1"]
    assert ids(journal, after="m1") == ["m2", "m3", "m4"]
    assert ids(journal, "n2") == ["other"]


def test_a_page_ends_with_its_number_or_its_bytes(journal: Journal) -> None:
    mail(journal, *[message(f"m{n}", body=b"x" * 10_000) for n in range(5)])

    def page(after: str, limit: int, most_bytes: int) -> tuple[list[str], bool]:
        found, more = journal.read(lambda conn: outbox.page(conn, "n1", after, limit, most_bytes))
        return [row.message_id for row in found], more

    assert page("", 9, 25_000) == (["m0", "m1", "m2"], True)
    assert page("m2", 9, 25_000) == (["m3", "m4"], False)
    assert page("", 2, 1_000_000) == (["m0", "m1"], True)
    assert page("", 9, 1) == (["m0"], True)
    assert page("m4", 9, 1) == ([], False)


def test_marked_mail_does_not_come_again_and_marking_twice_is_harmless(journal: Journal) -> None:
    mail(journal, *[message(f"m{n:04d}") for n in range(1100)])
    assert journal.do(lambda tx: outbox.mark(tx, [f"m{n:04d}" for n in range(1050)], OutboxState.SENT)) == 1050
    entries = journal.count(schema.audit)
    assert journal.do(lambda tx: outbox.mark(tx, ["m0000"], OutboxState.SENT)) == 0
    assert journal.count(schema.audit) == entries
    journal.do(lambda tx: outbox.mark(tx, ["m1099"], OutboxState.PARKED))
    assert len(ids(journal)) == 49
    assert journal.read(outbox.depth) == outbox.OutboxDepth(49, NOW_MS, 1)


LOST = DeliveryTries(2, NOW_MS - 5, "lost")
RETURNED = DeliveryTries(1, NOW_MS - 3, "returned", "312 NO_ROUTE")


def tries(journal: Journal) -> dict[str, DeliveryTries | None]:
    def tries_by_id(conn: Connection) -> dict[str, DeliveryTries | None]:
        vault = vault_of(conn)
        return {row.message_id: outbox.decode_row(row, vault).tries for row in conn.execute(select(schema.outbox))}

    return journal.read(tries_by_id)


@pytest.mark.parametrize("count", [3, 60])
def test_a_mark_writes_the_tries_of_its_messages_and_adds_to_those_before(journal: Journal, count: int) -> None:
    names = [f"m{n:02}" for n in range(count)]
    mail(journal, *map(message, [*names, "parked", "waits"]))
    journal.do(lambda tx: outbox.note_tries(tx, {"m00": LOST, "waits": LOST}))
    assert tries(journal) == {**dict.fromkeys([*names, "parked"]), "m00": LOST, "waits": LOST}
    thrice = DeliveryTries(3, NOW_MS - 1, "confirmed")
    assert journal.do(lambda tx: outbox.mark(tx, names, OutboxState.SENT, {"m01": thrice})) == count
    journal.do(lambda tx: outbox.mark(tx, ["parked"], OutboxState.PARKED, {"parked": RETURNED}))
    once = DeliveryTries(1, NOW_MS, "confirmed")
    assert tries(journal) == {
        **dict.fromkeys(names, once),
        "m00": DeliveryTries(3, NOW_MS, "confirmed"),
        "m01": thrice,
        "parked": RETURNED,
        "waits": LOST,
    }


def test_marking_twice_counts_no_try_twice_and_what_is_sent_keeps_its_result(journal: Journal) -> None:
    mail(journal, message("m1"))
    for _ in range(2):
        journal.do(lambda tx: outbox.mark(tx, ["m1"], OutboxState.SENT))
    journal.do(lambda tx: outbox.note_tries(tx, {"m1": LOST}))
    assert tries(journal) == {"m1": DeliveryTries(1, NOW_MS, "confirmed")}


def test_messages_of_before_have_no_tries_until_they_are_marked(journal: Journal) -> None:
    mail(journal, message("sent"), message("waits"))
    journal.do(lambda tx: outbox.mark(tx, ["sent"], OutboxState.SENT))
    engine = create_engine(journal.url)
    with engine.begin() as conn, Operations.context(MigrationContext.configure(conn)):
        v0018_vault_keys.downgrade()
        v0017_sealed_life.downgrade()
        v0016_delivery_tries.downgrade()
        conn.execute(text("UPDATE alembic_version SET version_num = '0015'"))
    engine.dispose()
    migrations.upgrade(journal.url)
    assert tries(journal) == {"sent": None, "waits": None}
    assert ids(journal) == ["waits"]
    journal.do(lambda tx: outbox.mark(tx, ["waits"], OutboxState.SENT))
    assert tries(journal) == {"sent": None, "waits": DeliveryTries(1, NOW_MS, "confirmed")}


def test_what_a_broker_says_fits_its_column(journal: Journal) -> None:
    mail(journal, message("m1"))
    journal.do(lambda tx: outbox.note_tries(tx, {"m1": replace(RETURNED, text="312 " + "长" * 300 + "\0")}))
    [one] = tries(journal).values()
    assert one is not None and one.text == "312 " + "长" * 251


@pytest.mark.parametrize("count", [1, 50])
def test_tries_cost_a_mark_no_statement(small: Journal, count: int) -> None:
    mail(small, *[message(f"m{n}") for n in range(count)])
    said: list[str] = []

    def mark_traced(tx: Tx) -> None:
        driver: Any = tx.raw.connection.driver_connection
        driver.set_trace_callback(said.append)
        outbox.mark(tx, [f"m{n}" for n in range(count)], OutboxState.SENT)
        driver.set_trace_callback(None)

    small.do(mark_traced)
    # On SQLite each message is marked by a prepared statement.
    assert len([one for one in said if "outbox" in one]) == count


def test_an_empty_outbox_has_no_depth(journal: Journal) -> None:
    assert journal.read(outbox.depth) == outbox.OutboxDepth(0, None, 0)


def test_the_mail_of_a_dead_node_goes_to_one_claimer(journal: Journal) -> None:
    mail(
        journal,
        *[message(f"m{n}", "dead") for n in range(200)],
        replace(message("sent", "dead"), state=OutboxState.SENT),
    )
    claimers = [Journal(journal.url, name) for name in ("n2", "n3")]
    claimed: dict[str, int] = {}

    def claim(node: Journal) -> None:
        claimed[node.node] = node.do(lambda tx: outbox.claim_orphans(tx, "dead", node.node))

    threads = [threading.Thread(target=claim, args=(node,)) for node in claimers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed.values()) == [0, 200]
    assert ids(journal, "dead") == []
    assert sorted(len(ids(journal, name)) for name in ("n2", "n3")) == [0, 200]
    for node in claimers:
        node.close()
