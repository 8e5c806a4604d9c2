"""The seal of a row: a MAC under the vault's key, by which a reader tells the gateway's rows from rows altered by SQL.

A seal covers the table's name and the columns that a decision depends on. It detects a row that was changed, inserted
or exchanged with another row. It does not detect a row that was deleted or replaced by an older row of its own: the
audit chain and the permit log answer for these (see docs/adr/0036-a-sealed-life.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from hmac import compare_digest
from operator import itemgetter
from typing import Any

from sqlalchemy import Table

from gateway.kernel.sql.vault import Vault
from protocols.kit.json_writer import json_writer

SEAL = "seal"
"""The column that holds a row's seal, 64 hexadecimal digits. Rows from before schema 17 have none."""
ROW_ALTERED = "row_altered"
"""The name of such a fault: of a lane that stopped for it, of the alarm, and of an answer about the row."""
_encode = json_writer()
_AS_THEY_ARE = frozenset({str, int, type(None)})


class SealBroken(Exception):  # noqa: N818 - names what was found, not whose mistake it is
    """A row is not as the gateway wrote it: SQL changed or inserted it, or it has no seal in a sealed journal."""

    def __init__(self, table: str, key: str, why: str = "was altered: its seal does not fit") -> None:
        super().__init__(
            f"table {table}: the row of {key} {why}; nothing is decided on it. "
            f"See docs/do/runbooks/BankgwAlarmRowAltered.md"
        )
        self.table = table
        self.key = key
        self.why = why


@dataclass(frozen=True, slots=True)
class RowSeal:
    """The columns and the key names with which the rows of one table are sealed. `keys` name a row in an error.

    The seal covers `columns`, in this order, and a digest of the columns `fixed`, which never change after the row was
    written: a writer that keeps this digest does not need their values again. Of a column of `present` it covers only
    whether it is empty.
    """

    table: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    fixed: tuple[str, ...] = ()
    present: frozenset[str] = frozenset()
    _purpose: bytes = field(init=False, repr=False, compare=False)
    _read: Callable[[Mapping[str, Any]], tuple[Any, ...]] = field(init=False, repr=False, compare=False)
    _read_fixed: Callable[[Mapping[str, Any]], tuple[Any, ...]] = field(init=False, repr=False, compare=False)
    _places: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        named = f"row\n{self.table}\n{len(self.columns)} {len(self.fixed)}\n"
        object.__setattr__(self, "_purpose", named.encode())
        object.__setattr__(self, "_read", _reader(self.columns))
        object.__setattr__(self, "_read_fixed", _reader(self.fixed))
        object.__setattr__(self, "_places", tuple(self.columns.index(name) for name in self.present))

    def fixed_part(self, values: Mapping[str, Any]) -> str:
        """The digest of the columns that never change."""
        return hashlib.sha256(_encode(_plain(list(self._read_fixed(values)))).encode()).hexdigest()

    def over(self, vault: Vault, values: Mapping[str, Any], fixed_part: str | None = None) -> str:
        """The seal of a row with these values, by column name. A missing column is an error of the caller."""
        said = list(self._read(values))
        for place in self._places:
            said[place] = int(said[place] is not None)
        if self.fixed:
            said.append(self.fixed_part(values) if fixed_part is None else fixed_part)
        return vault.mac(self._purpose + _encode(_plain(said)).encode()).hex()

    def with_seal(self, vault: Vault, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values with their seal, as they are written."""
        return {**values, SEAL: self.over(vault, values)}

    def changed(self, vault: Vault, row: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        """The columns to write so that the row gets these `values` and a seal that fits. `row` has all columns, and was
        checked."""
        return {**values, SEAL: self.over(vault, {**by_name(row), **values})}

    def check(self, vault: Vault, row: Any, fixed_part: str | None = None) -> None:
        """Raise SealBroken unless the row is as the gateway wrote it. `row` is a row of the database or a mapping.

        A row without a seal passes only while the journal is not sealed yet (`Vault.rows_sealed`).
        """
        values = row if isinstance(row, Mapping) else by_name(row)
        seal = values[SEAL]
        if seal is None:
            if vault.rows_sealed:
                raise SealBroken(self.table, self._key(values), "has no seal, but this journal is sealed")
            return
        if not compare_digest(seal.encode(), self.over(vault, values, fixed_part).encode()):
            raise SealBroken(self.table, self._key(values))

    def _key(self, values: Mapping[str, Any]) -> str:
        return "/".join(str(values[name]) for name in self.keys)


PAYMENT_CHANGES = (
    "state",
    "version",
    "epoch",
    "seq",
    "attempt",
    "asked",
    "not_found",
    "doubted",
    "replaying",
    "first_write_ms",
    "last_write_ms",
    "deadline_ms",
    "send_after_ms",
    "changed_ms",
    "bank_serial",
    "bank_code",
    "booked_ms",
    "hold_reason",
    "hold_reasons",
    "hold_cleared",
    "refusal",
)
"""The columns of a payment that change and that its seal covers."""
SEALED: Mapping[str, tuple[str, ...]] = {
    "payments": ("order", "bank_text"),
    "attempts": ("wire",),
    "pools": (),
    "pool_runs": (),
    "pool_moves": (),
    "linked_orders": (),
    "bundles": ("wire", "answer"),
    "bundle_items": (),
}
"""The tables whose writers seal each row, with the columns that their seals leave out. The vault binds those columns to
their row. All rows of these tables are sealed when a journal from before schema 17 is released. A column that a later
schema adds must be left out, because otherwise the seals of all older rows would break."""
_PRESENT = frozenset({"refusal"})


def by_name(row: Any) -> Mapping[str, Any]:
    """A database row from SQLAlchemy or from `driver` as a mapping by column name."""
    mapping = getattr(row, "_mapping", None)
    found: Mapping[str, Any] = row._asdict() if mapping is None else mapping
    return found


@cache
def row_seal(table: Table) -> RowSeal:
    """How the rows of this table are sealed: over all columns except the seal and those that SEALED leaves out."""
    left_out = {SEAL, *SEALED.get(table.name, ())}
    assert left_out <= set(table.c.keys()), f"{table.name} has no column {left_out - set(table.c.keys())}"
    columns = tuple(sorted(set(table.c.keys()) - left_out))
    keys = tuple(column.name for column in table.primary_key.columns)
    if table.name != "payments":
        return RowSeal(table.name, keys, columns)
    fixed = tuple(name for name in columns if name not in PAYMENT_CHANGES)
    return RowSeal(table.name, keys, PAYMENT_CHANGES, fixed, _PRESENT)


def seal_of(vault: Vault, table: Table, values: Mapping[str, Any]) -> str:
    """The seal of a row of this table over all its columns."""
    return row_seal(table).over(vault, values)


def check(vault: Vault, table: Table, row: Any) -> None:
    """Raise SealBroken unless the row, with all its columns, is as the gateway wrote it."""
    row_seal(table).check(vault, row)


def _reader(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """A function that reads these columns of a row, in order."""
    if len(names) < 2:
        return lambda values: tuple([values[name] for name in names])
    return itemgetter(*names)  # attrgetter returns the value itself, not a tuple, for one name


def _plain(values: list[Any]) -> list[Any]:
    """The values as every database gives them back: numbers for truth values, sealed bytes as their hash."""
    if _AS_THEY_ARE.issuperset(map(type, values)):
        return values
    for at, value in enumerate(values):
        kind = type(value)
        if kind is bool:
            values[at] = int(value)
        elif kind in (bytes, bytearray, memoryview):
            values[at] = hashlib.sha256(value).hexdigest()
    return values
