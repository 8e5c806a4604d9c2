"""The journal opened for reading, on each database: every question of the query process is answered, and no write
passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, insert, text, update
from sqlalchemy.exc import DBAPIError, OperationalError
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from gateway.call import Denied
from gateway.kernel.commit import outbox
from gateway.kernel.core.gate import Hold
from gateway.kernel.sql import reading, schema
from gateway.notices import journal_look
from gateway.notices.kinds import NoticeKind
from gateway.people.rules.scopes import Scope
from gateway.web.query import audit_pages
from gateway.web.query.overview import AT_RISK, newest, overview
from gateway.web.query.read_store import ReadStore
from gateway.web.query.search import search
from protocols.canon.outcome import State
from tests.gateway.kernel.bench import DEBTOR, NOW_MS, Journal, hold, order, vault

ALL = Scope(frozenset(), frozenset(), whole=True)
WRITES = (
    insert(schema.meta).values(name="x", value="y"),
    update(schema.payments).values(state="settled"),
    delete(schema.audit),
    delete(schema.approvals),
    text("create table planted (x integer)"),
    text("drop table audit"),
)


class ImmediateExecutor:
    """An executor that is done when it returns."""

    def run(self, work: Callable[[], Any], then: Callable[[Any], object]) -> None:
        try:
            result: Any = work()
        except (DBAPIError, ArithmeticError):
            result = Failure()
        then(result)

    def stop(self) -> Deferred[None]:
        return succeed(None)


@pytest.fixture
def engine(journal: Journal) -> Iterator[Engine]:
    """The journal with one payment ready and one held, opened for reading."""
    journal.admit(order("AP-1"))
    journal.admit(order("AP-2"), judged=hold)
    made = reading.connect(journal.url, vault(), 2)
    yield made
    made.dispose()


def test_what_the_query_process_asks_is_answered(journal: Journal, engine: Engine) -> None:
    with engine.connect() as conn:
        said = overview(conn, ALL)
        assert [(row["state"], row["count"], row["sum"]) for row in said["open"]] == [
            ("held", 1, "12345.67"),
            ("ready", 1, "12345.67"),
        ]
        assert [row.order.id for row in newest(conn, ALL, (State.HELD,))] == ["AP-2"] and newest(
            conn, ALL, AT_RISK
        ) == []
        (found,) = search(conn, "AP-1", ALL).payments
        assert found.order.debtor.account.clear == DEBTOR
        assert {row.order.id for row in search(conn, DEBTOR, ALL).payments} == {"AP-1", "AP-2"}
        assert search(conn, "AP-1", Scope(frozenset({"yi"}), frozenset(), whole=False)).payments == ()
        (message, *_more) = [row.message_id for row in outbox.of_payment(conn, found.payment)]
        assert search(conn, message, ALL).payments == (found,)
        assert search(conn, message, Scope(frozenset({"yi"}), frozenset(), whole=False)).payments == ()
        first = audit_pages.page(conn, None, None, None)
        assert [one.entry for one in first][:2] == ["payment.admitted"] * 2
        assert audit_pages.page(conn, None, None, audit_pages.mark(first[0]))[0].seq == first[1].seq


@pytest.mark.parametrize("number", range(len(WRITES)))
def test_no_write_passes(journal: Journal, engine: Engine, number: int) -> None:
    with engine.connect() as conn, pytest.raises(DBAPIError):
        conn.execute(WRITES[number])
    with engine.connect() as conn:
        # The pooled connection can still only read.
        assert overview(conn, ALL)["open"]
        with pytest.raises(DBAPIError):
            conn.execute(WRITES[0])
    assert journal.count(schema.payments) == 2 and journal.count(schema.meta) == journal.count(schema.meta)


def test_what_the_journal_writes_is_seen_by_the_next_read(journal: Journal, engine: Engine) -> None:
    journal.admit(order("AP-3"))
    with engine.connect() as conn:
        assert len(search(conn, "AP-3", ALL).payments) == 1


def test_the_store_refuses_to_write_and_says_when_the_journal_is_away(engine: Engine) -> None:
    store, said = ReadStore(engine, ImmediateExecutor()), list[Any]()
    store.read(lambda conn: overview(conn, ALL)).addBoth(said.append)
    store.write(lambda tx: None).addBoth(said.append)

    def away(_conn: Connection) -> None:
        raise OperationalError("select", {}, OSError("gone"), connection_invalidated=True)

    store.read(away).addBoth(said.append)
    store.read(lambda conn: 1 // 0).addBoth(said.append)
    answered, written, trouble, defect = said
    assert (
        answered["open"]
        and isinstance(written, Failure)
        and isinstance(trouble, Failure)
        and isinstance(defect, Failure)
    )
    assert isinstance(written.value, Denied) and (written.value.status, written.value.code) == (403, "read_only")
    assert isinstance(trouble.value, Denied) and trouble.value.status == 503
    assert isinstance(defect.value, ZeroDivisionError)


def test_what_the_notices_process_asks_is_answered_without_the_vault(journal: Journal, engine: Engine) -> None:
    journal.admit(order("AP-3"), judged=lambda facts: Hold("new_payee"))
    blind = reading.connect(journal.url, None, 1)
    with blind.connect() as conn:
        heads = journal_look.heads(conn)
        assert heads["n1"] > 0
        part = journal_look.trail_part(conn, {"n1": 0})
        (held,) = [event.key for event in part.events if event.kind is NoticeKind.HELD]
        assert part.cursors["n1"] == heads["n1"] and journal_look.trail_part(conn, part.cursors).events == ()
        assert journal_look.still(conn, NoticeKind.HELD, [held, "none"]) == [held]
        assert journal_look.still(conn, NoticeKind.DOUBTFUL, [held]) == []
        assert journal_look.still(conn, NoticeKind.APPROVAL_WAITING, ["erp/AP-3"]) == []
        assert journal_look.requests(conn, NOW_MS, 60_000) == []
    blind.dispose()
