"""The journal as the signer sees it: opened for reading only, each row with its seal verified."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine, bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.kernel.cluster import lane_pauses, stops
from gateway.kernel.commit import payment_rows
from gateway.kernel.sql import driver, reading, schema, seal_mark
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import Vault, VaultError
from gateway.payments.rows import bundles
from gateway.signer.judgement import JournalRows, NotJudgedGood

R = TypeVar("R")
CONNECTION_S: Final = 10.0
"""So long a connection is used: a file that took the journal's place, as after a restoration, is seen then."""
STOPS_S: Final = 0.25
"""So long what was read of stops and pauses holds: they are read once for the payments of a quarter of a second."""
_P, _B, _I = schema.payments.c, schema.bundles.c, schema.bundle_items.c
_PAYMENT: Final = (
    select(schema.payments, _I.bundle)
    .outerjoin(schema.bundle_items, _I.payment == _P.payment)
    .where(_P.lane == bindparam("b_lane"), _P.bank_ref == bindparam("b_ref"))
)
_IN_BUNDLE: Final = (
    select(_I.payment)
    .join(schema.bundles, _B.bundle == _I.bundle)
    .where(_B.lane == bindparam("b_lane"), _B.bank_ref == bindparam("b_ref"))
    .limit(1)
)


class JournalView:
    """Reads the rows under a reference, and whether a lane may send. A row that was altered by SQL counts for
    nothing."""

    def __init__(self, url: str, vault: Vault, monotonic_s: Callable[[], float]) -> None:
        self._engine: Engine = reading.connect(url, vault, 1)
        self._conn: Connection | None = None
        self._since_s = 0.0
        self._vault = vault
        self._monotonic_s = monotonic_s
        self._held: dict[str, tuple[float, str]] = {}

    def close(self) -> None:
        """Close its connections."""
        self._end()
        self._engine.dispose()

    def rows(self, lane: str, reference: str) -> JournalRows:
        """The rows under a reference of this lane. Raises NotJudgedGood if there are none, or one is not believed."""
        return self._read(lambda conn: self._rows(conn, lane, reference))

    def why_stopped(self, lane: str) -> str:
        """Why the lane sends nothing: the emergency stop or a pause; "" if it may send. Raises NotJudgedGood."""
        now_s = self._monotonic_s()
        known = self._held.get(lane)
        if known is None or not 0 <= now_s - known[0] < STOPS_S:
            known = self._held[lane] = now_s, self._read(lambda conn: _stopped(conn, lane))
        return known[1]

    def _read(self, look: Callable[[Connection], R]) -> R:
        now_s = self._monotonic_s()
        if self._conn is not None and now_s - self._since_s > CONNECTION_S:
            self._conn.invalidate()
            self._end()
        conn = self._conn
        try:
            if conn is None:
                conn = self._conn = self._engine.connect()
                self._since_s = now_s
            # Once a journal is sealed, a row without a seal is a forged one. The mark never goes away again.
            if not self._vault.rows_sealed:
                self._vault.rows_sealed = seal_mark.is_marked(conn, self._vault)
            if not self._vault.rows_sealed:
                raise NotJudgedGood("not_sealed", "the journal's rows have no seals yet", later=True)
            return look(conn)
        except (SealBroken, VaultError) as error:
            raise NotJudgedGood("altered", str(error).partition(";")[0]) from None
        except SQLAlchemyError as error:
            if conn is not None:
                conn.invalidate()
            self._end()
            raise NotJudgedGood("journal_away", type(error).__name__, later=True) from None
        finally:
            # The connection is kept, and each look sees what was committed before it.
            if self._conn is not None:
                self._let_go(self._conn)

    def _let_go(self, conn: Connection) -> None:
        try:
            conn.rollback()
        except SQLAlchemyError:
            self._end()

    def _end(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            with suppress(SQLAlchemyError):
                conn.close()

    def _rows(self, conn: Connection, lane: str, reference: str) -> JournalRows:
        named = {"b_lane": lane, "b_ref": reference}
        row = driver.first_row(conn, _PAYMENT, named)
        if row is not None:
            if row.bundle is not None:
                raise NotJudgedGood("differs", f"{reference} travels in a bundle")
            return JournalRows((payment_rows.decode_row(row, self._vault),))
        member = driver.first_row(conn, _IN_BUNDLE, named)
        found = None if member is None else bundles.of_payment(conn, member.payment)
        if found is None or (found[0].lane, found[0].bank_ref) != (lane, reference):
            raise NotJudgedGood("unknown_reference", "the lane has no payment of this reference")
        return JournalRows(found[1], bundled=True, spent=found[0].spent)


def _stopped(conn: Connection, lane: str) -> str:
    if stops.last(conn).stopped:
        return "everything is stopped"
    return "the lane is paused" if lane_pauses.said(conn, [lane])[lane].paused else ""
