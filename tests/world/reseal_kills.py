"""Kills the process that seals a journal anew, again and again, while payments go on, and judges what is left.

`python -m tests.world.reseal_kills --kills 50` does it on SQLite, PostgreSQL and MariaDB. A process of a node seals the
rows of the journal anew and admits payments between its units; it is killed (SIGKILL) inside of a random unit before
its commit, or after the commit. Meanwhile another node admits and sends payments. At the end the journal is read with
the new key alone: no payment may be lost, no value unreadable, no seal wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from twisted.internet.defer import Deferred, succeed

from gateway.kernel.checkpoints import verify
from gateway.kernel.clock import SystemEntropy
from gateway.kernel.cluster import resealing
from gateway.kernel.cluster.resealing import BOUND_TO, TABLES, sealed_columns
from gateway.kernel.cluster.vault_rotation import DONE
from gateway.kernel.commit import vault_keys
from gateway.kernel.sql import databases, migrations, schema
from gateway.kernel.sql.vault import VaultError
from tests.gateway.kernel.bench import LANE, Journal, order, take_lane
from tests.gateway.kernel.rotating import (
    DirectStore,
    activate,
    both,
    only_next,
    progress,
    rotation,
    run_once,
    under_another_key,
)
from tests.world.databases import database_for_tests

KINDS = ("sqlite", "postgresql", "mariadb")
_UNIT_ROWS = 5
_UNITS_A_LIFE = 12


@dataclass(frozen=True, slots=True)
class KillResult:
    """What is left after the kills."""

    kind: str
    kills: int
    payments: int
    rows: int
    lost: int
    unreadable: int
    wrong_seals: int

    def line(self) -> str:
        """The result in one line."""
        return (
            f"{self.kind}: {self.kills} kills, {self.payments} payments meanwhile, {self.rows} rows sealed anew: "
            f"{self.lost} lost, {self.unreadable} unreadable, {self.wrong_seals} wrong seals"
        )

    def __bool__(self) -> bool:
        return not (self.lost or self.unreadable or self.wrong_seals)


class DyingStore(DirectStore):
    """Kills this process at its last unit, before the commit or after it."""

    def __init__(self, journal: Journal, units: int | None, early: bool, pay: Callable[[], object]) -> None:
        super().__init__(journal, pay)
        self._left, self._early = units, early

    def write(self, unit: Callable[..., Any], *, sender: str | None = None) -> Deferred[Any]:
        if self._left is None:
            return super().write(unit)
        self._left -= 1
        if self._left > 0:
            return super().write(unit)

        def last(tx: Any) -> Any:
            done = unit(tx)
            if self._early:
                tx.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        self._journal.do(last)
        os.kill(os.getpid(), signal.SIGKILL)
        return succeed(None)


class Payer:
    """The node that admits and sends payments while another one seals anew."""

    def __init__(self, url: str) -> None:
        self._url, self.admitted, self._epoch = url, 0, 0
        self.journal = self._opened()

    def _opened(self) -> Journal:
        made = _life(self._url, "n1")
        self._epoch = _patiently(lambda: made.do(lambda tx: take_lane(tx, LANE, "n1", 10**9))) or self._epoch
        return made

    def pay(self) -> None:
        """Admit an order, and send every second one."""
        row = _patiently(lambda: self.journal.admit(order(f"P-{self.admitted}"))).row
        self.admitted += 1
        if self.admitted % 2:
            _patiently(lambda: self.journal.send(row, epoch=self._epoch))

    def pay_until_over(self, child: int) -> int:
        """Pay until this process has ended; returns its status. The connections are of this time alone, because the
        next process is forked without them."""
        self.journal = self._opened()
        pid = status = 0
        while pid == 0:
            try:
                self.pay()
            except BaseException:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise
            pid, status = os.waitpid(child, os.WNOHANG)
        self.journal.close()
        return status


def _life(url: str, node: str) -> Journal:
    made = Journal(url, node, sealing=both(), entropy=SystemEntropy())
    made.committer.open()
    return made


def killed(kind: str, url: str, folder: Path, kills: int, seed: int = 1) -> KillResult:
    """Seal the journal at this URL anew while the process that does it is killed so many times."""
    chance, told = random.Random(seed), folder / "admitted.txt"
    told.write_text("")
    payer = Payer(url)
    # Enough rows for all lives: no life seals all that is left.
    for _ in range(6 + kills * 14):
        payer.pay()
    before = payer.admitted
    activate(payer.journal)
    payer.journal.vault.use("k2")
    payer.journal.do(vault_keys.tell)
    payer.journal.close()
    for life in (*range(kills), None):
        status = payer.pay_until_over(_forked(url, told, chance, life))
        ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)
        assert ended == (0 if life is None else signal.SIGKILL), (
            f"life {life} of the sealing process ended with {ended}"
        )
    names = [f"P-{n}" for n in range(payer.admitted)] + told.read_text().split()
    return _judged(kind, url, names, kills, len(names) - before)


def _forked(url: str, told: Path, chance: random.Random, life: int | None) -> int:
    units = None if life is None else chance.randint(1, _UNITS_A_LIFE)
    early = chance.random() < 0.5
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _seal(url, told, life, units, early)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def _seal(url: str, told: Path, life: int | None, units: int | None, early: bool) -> None:
    """The life of the process that seals anew: it ends by SIGKILL after so many units, or with the work."""
    resealing.UNIT_ROWS = _UNIT_ROWS
    one = _patiently(lambda: _life(url, "n2"))
    admitted = 0

    def pay() -> None:
        nonlocal admitted
        name = f"R-{life}-{admitted}"
        admitted += 1
        _patiently(lambda: one.admit(order(name)))
        with told.open("a") as file:
            file.write(name + "\n")

    made = rotation(one)
    store: Any = DyingStore(one, units, early, pay if units is not None else lambda: None)
    store.write = _patient_write(store)
    made._store = store
    run_once(one, made)


def _patient_write(store: DyingStore) -> Callable[..., Deferred[Any]]:
    kept = store.write
    return lambda unit, **more: _patiently(lambda: kept(unit, **more))


def _patiently(act: Callable[[], Any]) -> Any:
    """The result of `act`, tried again while another process has locked a row, as the store does it."""
    while True:
        try:
            return act()
        except Exception as error:  # drivers raise errors of their own, of which only a lock is expected
            if not databases.is_locked(error):
                raise


def _judged(kind: str, url: str, names: Sequence[str], kills: int, payments: int) -> KillResult:
    last = Journal(url, "n1", sealing=only_next())
    last.committer.open()
    state = progress(last)
    assert state is not None
    assert state.state == DONE
    found = last.read(lambda conn: set(conn.execute(select(schema.payments.c.order_id)).scalars()))
    unreadable = under_another_key(last)
    with last.readers.connect() as conn:
        for table in TABLES:
            for row in conn.execute(select(table)):
                for column in sealed_columns(table):
                    sealed = row._mapping[column.name]
                    try:
                        if sealed is not None:
                            last.vault.open(bytes(sealed), BOUND_TO[table.name][column.name](dict(row._mapping)))
                    except VaultError:
                        unreadable += 1
    problems = last.read(lambda conn: verify.whole(conn, last.vault)).problems
    for one in problems[:10]:
        print(one)
    last.close()
    lost = len(set(names) - found)
    return KillResult(kind, kills, payments, state.resealed, lost, unreadable, len(problems))


def run(kind: str, folder: Path, kills: int, seed: int = 1) -> KillResult:
    """The same in a new database of this kind."""
    with ExitStack() as stack:
        if kind == "sqlite":
            url = f"sqlite:///{folder / 'journal.db'}"
            migrations.upgrade(url)
        else:
            url = stack.enter_context(database_for_tests(kind, "reseal_kills"))
        return killed(kind, url, folder, kills, seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.world.reseal_kills", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--db", choices=KINDS)
    chosen = parser.parse_args(arguments)
    good = True
    for kind in KINDS if chosen.db is None else (chosen.db,):
        with tempfile.TemporaryDirectory(prefix="bankgw-reseal-") as folder:
            found = run(kind, Path(folder), chosen.kills, chosen.seed)
        print(found.line(), flush=True)
        good = good and bool(found)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
