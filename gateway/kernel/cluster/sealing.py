"""Seals the rows of a journal from before schema 17, after two persons have released all lanes of this node.

It runs beside the lanes, some rows in each unit. It begins again after a crash, and marks the journal at its end. A row
that was altered before, or that disagrees with the audit chain, gets no seal, and no decision is based on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Table, func, select

from gateway.kernel import log
from gateway.kernel.checkpoints import verify
from gateway.kernel.cluster.gaps import Gap, GapKind, RestoreFindings
from gateway.kernel.cluster.restored_database import Comparison, past_of
from gateway.kernel.commit import audit, chain_check, registers
from gateway.kernel.commit.store import Store, Tx
from gateway.kernel.commit.unsealed_rows import Sealing, as_it_is, seal_page
from gateway.kernel.sql import schema, seal_mark
from gateway.kernel.sql.sealed import SEAL
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of
from gateway.kernel.tasks import Tasks

SEALED_TABLES = (
    schema.payments,
    schema.attempts,
    schema.bundles,
    schema.bundle_items,
    schema.persons,
    schema.delegations,
    schema.password_factors,
    schema.sign_in_failures,
    schema.proposals,
    schema.approval_policies,
    schema.approval_requests,
    schema.approvals,
    schema.stops,
    schema.payees_registered,
    schema.pools,
    schema.pool_runs,
    schema.pool_moves,
    schema.linked_orders,
)
"""The tables whose rows are sealed, in this order. `gateway.wiring` gives the check that a row must pass before."""
_OURS = (registers.ENTRY, "journal.sealed")
_log = log.get("journal.sealing")


class JournalSealing:
    """Seals the rows of a journal from before schema 17. `sealings` are the tables whose rows are sealed, each with the
    check that a row must pass before.
    """

    def __init__(self, store: Store, sealings: Mapping[Table, Sealing]) -> None:
        self._store = store
        self._sealings = sealings
        self._tasks = Tasks(
            lambda failure: _log.error(
                "sealing.failed",
                error=str(failure.value),
                action="the journal is not sealed yet; sealing begins again at the next start",
            )
        )
        self._begun = False

    def begin_if_due(self, past: RestoreFindings, *, waits: bool) -> None:
        """Begin to seal if the journal has no seals and no lane waits for two persons any more."""
        if not self._begun and not waits and any(gap.lack is GapKind.NOT_SEALED for gap in past.gaps):
            self._begun = True
            self._tasks.spawn(self.seal_everything())

    def stop(self) -> None:
        """Stop sealing. The next start continues."""
        self._tasks.stop()

    async def seal_everything(self) -> None:
        """Seal every row that has no seal, then mark the journal."""
        rows, refused = 0, list[str]()
        for table, how in self._sealings.items():
            after: tuple[Any, ...] | None = ()
            while after is not None:
                done = await self._store.write(partial(seal_page, table=table, sealing=how, after=after))
                after, rows = done.last, rows + done.sealed
                refused += done.refused
        vault = await self._store.write(partial(finish, rows=rows, refused=refused))
        # The vault changes only after the commit, because until then the journal is not marked.
        vault.rows_sealed = True
        _log.info("journal.sealed", rows=rows, refused=refused, action="older versions refuse this journal from now on")


def contradictions(past: RestoreFindings) -> int:
    """The number of contradictions found in a journal that is not sealed yet."""
    return sum(gap.others for gap in past.gaps if gap.lack is GapKind.NOT_SEALED)


def compared(conn: Connection, node: str, compare: Callable[[], Comparison]) -> Comparison:
    """The comparison of permit log and journal at the start. A journal that is not sealed is verified as well, so that
    two persons sign the result.

    The writers of this node and of others may mark an empty journal meanwhile, and on a server each statement sees what
    was committed before it. A new journal gets its mark together with its first rows. So the rows are read before the
    mark: if a row is seen here, its mark is there when the mark is read.
    """
    vault, head = vault_of(conn), audit.head_of(conn, node)
    new = seal_mark.is_new(conn)
    sealed = seal_mark.is_there(conn)
    if sealed:
        # Never set to False here, because this node's writer may have marked the journal and set it to True since.
        vault.rows_sealed = True
    found = compare()
    if new or sealed:
        return found
    report = verify.whole(conn, vault)
    for problem in report.problems:
        _log.error(
            "journal.contradiction",
            what=problem,
            action="the journal is sealed only after this fault is corrected; see bankgw audit verify",
        )
    # This gap is not recorded beside the permit log, because it ends when the journal is sealed.
    gap = Gap(
        GapKind.NOT_SEALED,
        node,
        (0, ""),
        (head.seq, head.hash),
        head.seq,
        entries=report.entries,
        others=len(report.problems),
        count=report.payments,
        unsealed=_unsealed(conn),
    )
    return replace(found, past=past_of(conn, (*found.past.gaps, gap)))


def _unsealed(conn: Connection) -> tuple[int, int, int]:
    """The number of rows without a seal, of rows with a seal, and of audit entries that only this version writes. The
    numbers show whether somebody removed seals.
    """
    having, lacking, ours = 0, 0, select(func.count()).where(schema.audit.c.entry.in_(_OURS))
    for table in SEALED_TABLES:
        one = select(func.count(table.c[SEAL]), func.count()).select_from(table)
        there, rows = conn.execute(one).one()
        having, lacking = having + there, lacking + rows - there
    return lacking, having, conn.execute(ours).scalar_one()


def waits_for_seals(past: RestoreFindings) -> str:
    """The text for lanes that wait only because the journal is not sealed yet; "" otherwise."""
    alone = not past.sends and all(gap.lack is GapKind.NOT_SEALED for gap in past.gaps)
    return next((gap.sentence() for gap in past.gaps if alone), "")


def seal_old_payment(tx: Tx, row: Any) -> Mapping[str, Any]:
    """Seal a payment from before schema 17. Raises SealBroken if the audit chain contradicts the row."""
    chain_check.check(tx.raw, tx.vault, row)
    return as_it_is(schema.payments)(tx, row)


def finish(tx: Tx, rows: int, refused: list[str]) -> Vault:
    """Mark the journal as sealed. Returns the vault, so that the caller can switch it to sealed rows."""
    if not seal_mark.is_marked(tx.fresh, tx.vault):
        seal_mark.mark(tx.raw, tx.vault, tx.now_ms)
        audit.append(tx, f"node:{tx.node}", "journal.sealed", f"node:{tx.node}", {"rows": rows, "refused": refused})
    return tx.vault
