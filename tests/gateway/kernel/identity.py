"""How fast the duplicate check finds an identity: `python -m tests.gateway.kernel.identity [keys] [looks]`.

Fills a SQLite journal with that many payments (the row of one real admission, copied under other keys: random order
ids, so that adjacent ones are spread over the index), then asks for known and unknown ones as an admission does, each time
in a transaction of its own. The last line is the figure; more than 5 ms at the 99th percentile is a failure (exit 1).
Ten million keys take about 16 GB and some minutes in the folder that TMPDIR names.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from gateway.kernel.clock import SystemEntropy
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.policy import UsageFacts
from gateway.kernel.sql import migrations, schema
from gateway.payments.rows.limits import OrderClaim
from tests.gateway.kernel.bench import NOW_MS, Journal, admit, order

LIMIT_MS = 5.0
CHUNK = 200_000
OLDEST_MS = 400 * 86_400_000
# n * FACTOR modulo a prime: ids that are all different, lie far apart, and can be computed again.
FACTOR, PRIME = 736_338_717, 4_294_967_291
_SPREAD = f"(n * {FACTOR}) % {PRIME}"
_CHANGED = {
    "payment": "printf('%026d', n)",
    "order_id": f"printf('AP-%010d', {_SPREAD})",
    "bank_ref": "printf('%020d', n)",
    "dup_key": f"printf('1:%010d', {_SPREAD})",
    "accepted_ms": f"{NOW_MS - OLDEST_MS} + n * {OLDEST_MS} / :keys",
    "state": "'settled'",
}


def order_id(number: int) -> str:
    """The id that `fill` gave payment `number`."""
    return f"AP-{number * FACTOR % PRIME:010d}"


def fill(file: Path, keys: int) -> None:
    """Insert copies of the one admitted payment, under the numbers 1 to `keys`."""
    columns = [column.name for column in schema.payments.columns]
    chosen = ", ".join(_CHANGED.get(name, f't."{name}"') for name in columns)
    names = ", ".join(f'"{name}"' for name in columns)
    statement = (
        "WITH RECURSIVE c(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM c WHERE n < :last) "
        f"INSERT INTO payments ({names}) SELECT {chosen} FROM c, (SELECT * FROM payments WHERE order_id = 'TEMPLATE') t"
    )
    with closing(sqlite3.connect(file, isolation_level=None)) as conn:
        conn.execute("PRAGMA synchronous = OFF")
        for first in range(1, keys + 1, CHUNK):
            last = min(first + CHUNK - 1, keys)
            conn.execute(statement, {"first": first, "last": last, "keys": keys})
            if first // CHUNK % 10 == 0:
                print(f"{last:,} of {keys:,} keys", flush=True)


def timed_look_up(asked: str, took_s: list[float]) -> Callable[[Tx], str | UsageFacts]:
    """One look-up as an admission makes it, timed inside its transaction."""

    def timed(tx: Tx) -> str | UsageFacts:
        claim = OrderClaim(tx, "erp", replace(order(), id=asked), "2026-11-24", f"new {asked}", NOW_MS - 3_600_000)
        began_s = time.perf_counter()
        found = claim.usage_facts()
        took_s.append(time.perf_counter() - began_s)
        return found

    return timed


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of all values do not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def main(keys: int = 1_000_000, looks: int = 5_000) -> int:
    """Fill, look up, print; the exit code."""
    chance = random.Random(keys)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/journal.db"
        migrations.upgrade(url)
        journal = Journal(url, entropy=SystemEntropy())
        journal.do(admit(order("TEMPLATE")))
        began_s = time.perf_counter()
        fill(Path(folder) / "journal.db", keys)
        filled_s = time.perf_counter() - began_s
        known_s: list[float] = []
        unknown_s: list[float] = []
        for _ in range(looks):
            number = chance.randint(1, keys)
            found = journal.do(timed_look_up(order_id(number), known_s))
            assert found == f"{number:026d}", f"payment {number} was forgotten: {found}"
            fresh = journal.do(timed_look_up(f"NEW-{chance.random()}", unknown_s))
            assert isinstance(fresh, UsageFacts), "an order that nobody sent is known"
        size_mb = sum(file.stat().st_size for file in Path(folder).iterdir()) >> 20
        journal.close()
    known, unknown = (percentile(values, 0.99) * 1000 for values in (known_s, unknown_s))
    print(
        f"identity: {keys:,} keys, {size_mb:,} MB, filled in {filled_s:.0f} s; of {looks:,} looks each the 99th "
        f"percentile is {known:.2f} ms for known and {unknown:.2f} ms for new orders (limit {LIMIT_MS:g} ms)"
    )
    return 0 if max(known, unknown) <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
