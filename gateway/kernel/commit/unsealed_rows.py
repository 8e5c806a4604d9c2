"""Seals the rows of a table that were written before schema 17, some in each unit. An altered row gets no seal.

No decision is based on an altered row from then on, because a row without a seal counts as altered in a sealed journal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, or_, select, update

from gateway.kernel.commit import registers
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql.sealed import SEAL, SealBroken, row_seal
from gateway.kernel.sql.vault import VaultError

AT_ONCE = 200
"""The rows that one unit seals."""
_NOW = "the row failed its check when the journal was sealed, and has no seal; nothing is decided on it"
Sealing = Callable[[Tx, Any], Mapping[str, Any]]
"""Checks a row from before schema 17, and returns the columns to write with its seal. SealBroken, VaultError or
ValueError if the row was altered."""


@dataclass(frozen=True, slots=True)
class SealedRows:
    """The result of sealing one page of a table: the key of its last row (None if no row is left), and the rows without
    a seal.
    """

    last: tuple[Any, ...] | None = None
    sealed: int = 0
    refused: tuple[str, ...] = ()


def as_it_is(table: Table) -> Sealing:
    """A function that seals a row of this table unchecked, because no other record shows what its clear columns must
    contain.
    """
    return lambda tx, row: {SEAL: row_seal(table).over(tx.vault, dict(row._mapping))}


def seal_page(tx: Tx, table: Table, sealing: Sealing, after: tuple[Any, ...] = (), most: int = AT_ONCE) -> SealedRows:
    """Seal the table's next rows that have no seal, in the order of their keys, after the key `after`."""
    keys = list(table.primary_key.columns)
    wanted = select(table).where(table.c[SEAL].is_(None)).order_by(*keys).limit(most)
    found = tx.fresh.execute(wanted.where(later_than(keys, after)) if after else wanted).all()
    refused = list[str]()
    for row in found:
        key = [row._mapping[column.name] for column in keys]
        try:
            values = sealing(tx, row)
        except (SealBroken, VaultError, ValueError) as error:
            broken = error if isinstance(error, SealBroken) else SealBroken(table.name, "/".join(map(str, key)))
            registers.report(tx.vault, broken, _NOW)
            refused.append(str(broken))
            continue
        mine = [column == value for column, value in zip(keys, key, strict=True)]
        tx.raw.execute(update(table).where(*mine).values(dict(values)))
    through = len(found) < most
    last = None if through else tuple(found[-1]._mapping[column.name] for column in keys)
    return SealedRows(last, len(found) - len(refused), tuple(refused))


def later_than(keys: list[Any], after: tuple[Any, ...]) -> ColumnElement[bool]:
    """The condition for rows whose key comes after this one. Not every database compares several columns at once."""
    return or_(
        *(and_(*(keys[place] == after[place] for place in range(at)), keys[at] > after[at]) for at in range(len(keys)))
    )
