"""A planted defect: each ordered move of a cash pool is ordered again, as another order.

Every order by itself is paid exactly once, so that only who knows the plans can see it.
`python -m tests.world.planted_pools SETTINGS` is a daemon with the defect.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.pools.rows import pool_moves, pool_runs
from tests.world import planted

_BEYOND = 100
"""A place that no plan uses."""


def main(settings: Path) -> int:
    """Run a daemon as `bankgw run` does, with the defect."""
    order_move = pool_runs.order_move

    def twice(tx: Tx, run: str, place: int, *more: Any) -> PaymentRow | None:
        row, found = order_move(tx, run, place, *more), pool_moves.find(tx.raw, run)
        if row is not None and found is not None:
            move = next(one for one in pool_moves.moves_of(tx.raw, run) if one.place == place)
            pool_runs.admit_move(tx, replace(move, place=place + _BEYOND), found, *more)
        return row

    vars(pool_runs)["order_move"] = twice
    return planted.serve(settings, lambda parts: parts)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
