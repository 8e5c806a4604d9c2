"""Serial numbers per bank, reserved in blocks. Each number is given out once; what a stop leaves over stays unused."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select, update

from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from gateway.journal.sql.databases import insert_new
from gateway.journal.sql.driver import first_row, write

BLOCK = 64
"""How many numbers are reserved at a time."""
_N = schema.counters.c
_SERIAL = select(_N.serial).where(_N.bank == bindparam("b_bank"))
_DRAW = (
    update(schema.counters).where(_N.bank == bindparam("b_bank")).values(serial=_N.serial + bindparam("b_count"))
)  # fmt: skip


def draw_serials(tx: Tx, bank: str, n: int) -> range:
    """`n` consecutive numbers that were never and will never be given out at this bank again, on whichever lane."""
    block = tx.serials.blocks.get(bank, range(0))
    if len(block) < n:
        count = max(BLOCK, n)
        if write(tx.raw, _DRAW, {"b_bank": bank, "b_count": count}) == 0:
            insert_new(tx.raw, schema.counters, {"bank": bank, "serial": 0})
            write(tx.raw, _DRAW, {"b_bank": bank, "b_count": count})
        drawn: Any = first_row(tx.raw, _SERIAL, {"b_bank": bank})
        end = drawn.serial
        block = range(end - count, end)
    tx.serials.blocks[bank] = block[n:]
    return block[:n]


def carry_serials(tx: Tx, old: str, new: str) -> None:
    """A bank has another name from now on: its counter goes on where the old name's stands, or its own if that is
    higher. Within one bank a lane's name does not matter to the counter.
    """
    found: Any = first_row(tx.raw, _SERIAL.with_for_update(), {"b_bank": old})
    if found is None or old == new:
        return
    tx.serials.blocks.pop(old, None)
    insert_new(tx.raw, schema.counters, {"bank": new, "serial": 0})
    there: Any = first_row(tx.raw, _SERIAL.with_for_update(), {"b_bank": new})
    tx.serials.blocks.pop(new, None)
    if there.serial < found.serial:
        write(tx.raw, _DRAW, {"b_bank": new, "b_count": found.serial - there.serial})
