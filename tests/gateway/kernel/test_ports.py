"""Ports of lower packages to higher ones: each is filled, and an unfilled port never counts as permission."""

from __future__ import annotations

import pytest

from gateway.kernel.cluster.renames import SENDER_ROWS
from gateway.kernel.cluster.sealing import SEALED_TABLES
from gateway.kernel.commit.ports import NO_PORTS, RoomPort, Unfilled
from gateway.kernel.sql import schema
from gateway.payments.gates.lists import LISTS
from gateway.payments.rows import admission as admitting
from gateway.payments.rows import rules_above
from gateway.wiring import PORTS, SEALINGS
from tests.gateway.kernel.bench import Journal, admission, order


def test_every_port_of_payments_and_of_the_journal_is_filled() -> None:
    asked = [one for one in vars(rules_above).values() if isinstance(one, RoomPort)]
    assert len(asked) == 4
    assert all(PORTS.of(one) for one in (*asked, LISTS, SENDER_ROWS))


def test_an_order_is_not_admitted_by_a_journal_without_ports(sqlite_url: str) -> None:
    journal = Journal(sqlite_url, ports=NO_PORTS)
    with pytest.raises(Unfilled, match="payments.gate_lists"):
        journal.do(lambda tx: admitting.admit(tx, admission(order("a1")), tx.entropy))
    assert journal.read(lambda conn: conn.execute(schema.payments.select()).all()) == []
    journal.close()


def test_each_sealed_table_is_sealed_and_counted_in_the_same_order() -> None:
    assert tuple(SEALINGS) == SEALED_TABLES
