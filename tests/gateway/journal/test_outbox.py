from __future__ import annotations

import threading
from dataclasses import replace

from gateway.journal.commit import outbox
from gateway.journal.commit.rows import OutboxRow, OutboxState
from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from tests.gateway.journal.bench import NOW_MS, Journal, message


def mail(journal: Journal, *rows: OutboxRow) -> None:
    def unit(tx: Tx) -> None:
        for row in rows:
            tx.enqueue(row)

    journal.do(unit)


def ids(journal: Journal, node: str = "n1", after: str = "", limit: int = 500) -> list[str]:
    return [row.message_id for row in journal.read(lambda conn: outbox.unsent(conn, node, after, limit))]


def test_mail_is_read_back_as_it_was_written(journal: Journal) -> None:
    row = OutboxRow("m1", "n1", "bankgw.events", "payment.settled.icbc.kingdee", "正文".encode(),
                    {"type": "x", "bank": "icbc"}, "corr", "application/xml", None, NOW_MS)  # fmt: skip
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
    assert journal.read(outbox.depth) == outbox.Depth(49, NOW_MS, 1)


def test_an_empty_outbox_has_no_depth(journal: Journal) -> None:
    assert journal.read(outbox.depth) == outbox.Depth(0, None, 0)


def test_the_mail_of_a_dead_node_goes_to_one_claimer(journal: Journal) -> None:
    mail(journal, *[message(f"m{n}", "dead") for n in range(200)], replace(message("sent", "dead"), state=OutboxState.SENT))
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
