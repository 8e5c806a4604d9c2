"""The cost of the seals of a payment's rows: microseconds of processor time, compared with the parts of one payment.

    python -m bench.seals

A payment that is accepted, sent and answered has four seals: its row three times, and its attempt. The parts are those
of `bench.anatomy`, in the same process. In the daemon a payment costs more than their sum: the share is smaller there.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import Table
from sqlalchemy.types import BigInteger, LargeBinary

from bench.anatomy import COUNT, REPEATS, Stopwatch, door_parts, journal_parts, talk_parts
from gateway.kernel.sql import schema
from gateway.kernel.sql.sealed import row_seal
from gateway.kernel.sql.vault import Vault
from protocols.kit import dsig

KEY = b"k" * 32


def main() -> int:
    """Print the cost of the seals, and their share of a payment's cost."""
    dsig.start()
    watch, seals = Stopwatch(), Stopwatch()
    for _ in range(REPEATS):
        seal_parts(seals)
    with tempfile.TemporaryDirectory(prefix="bankgw-seals-") as name:
        door_parts(watch)
        journal_parts(Path(name), watch)
        talk_parts(Path(name), "hand", watch)
    seals_us, parts_us = sum(seals.best.values()), sum(watch.best.values())
    for part, each_us in seals.best.items():
        print(f"{each_us:6.1f} us  {part}")
    print(f"{seals_us:6.1f} us  the seals of one payment")
    print(f"{parts_us:6.0f} us  all parts of one payment: the seals are {100 * seals_us / parts_us:.1f} % of them")
    return 0


def seal_parts(watch: Stopwatch) -> None:
    """Measure the seals of COUNT payments."""
    vault = Vault({"k1": KEY}, "k1")
    payment, attempt = row_seal(schema.payments), row_seal(schema.attempts)
    row, sent = _row(schema.payments), _row(schema.attempts)
    fixed = payment.fixed_part(row)

    def changed() -> None:
        payment.over(vault, row, fixed)

    for _ in range(COUNT):
        watch.time(
            "accepted: the whole row, and its fixed part to be kept",
            lambda: (payment.over(vault, row), payment.fixed_part(row)),
        )
        watch.time("sent: the row", changed)
        watch.time("sent: the attempt", lambda: attempt.over(vault, sent))
        watch.time("answered: the row", changed)
    watch.lap(COUNT)


def _row(table: Table) -> dict[str, Any]:
    """A row of this table with values of a common length."""
    return {column.name: _value(column.type) for column in table.columns}


def _value(kind: Any) -> Any:
    if isinstance(kind, BigInteger):
        return 1_764_000_000_000
    return b"x" * 300 if isinstance(kind, LargeBinary) or kind.__class__.__name__ == "SealedBytes" else "x" * 24


if __name__ == "__main__":
    sys.exit(main())
