"""Serial numbers per bank, reserved in blocks. Each number is given out once; numbers that are left over at a stop stay
unused.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select, update

from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.driver import first_row, run_write

BLOCK = 64
"""How many numbers are reserved at a time."""
_N = schema.counters.c
_SERIAL = select(_N.serial).where(_N.bank == bindparam("b_bank"))
_DRAW = update(schema.counters).where(_N.bank == bindparam("b_bank")).values(serial=_N.serial + bindparam("b_count"))


def draw_serials(tx: Tx, bank: str, n: int) -> range:
    """Draw `n` consecutive numbers, each of which is given out only once at this bank, whatever the lane."""
    block = tx.serials.blocks.get(bank, range(0))
    if len(block) < n:
        count = max(BLOCK, n)
        if run_write(tx.raw, _DRAW, {"b_bank": bank, "b_count": count}) == 0:
            insert_new(tx.raw, schema.counters, {"bank": bank, "serial": 0})
            run_write(tx.raw, _DRAW, {"b_bank": bank, "b_count": count})
        drawn: Any = first_row(tx.raw, _SERIAL, {"b_bank": bank})
        end = drawn.serial
        block = range(end - count, end)
    tx.serials.blocks[bank] = block[n:]
    return block[:n]
