"""A journal for a benchmark, in a folder, and a committer that writes it in the caller's thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from twisted.internet.task import Clock as TimersOfNobody

from gateway.kernel.clock import SystemClock, SystemEntropy
from gateway.kernel.commit.committer import Committer
from gateway.kernel.commit.permit_log import PermitLog
from gateway.kernel.sql import databases, migrations, vault, vaults
from gateway.kernel.sql.vault import Vault
from gateway.wiring import PORTS

CLOCK = SystemClock(TimersOfNobody())
"""The machine's clocks. No benchmark of the journal waits for a timer."""


@dataclass(frozen=True, slots=True)
class OwnJournal:
    """A SQLite journal with permit log and vault, as a daemon has it."""

    url: str
    vault: Vault
    committer: Committer


@contextmanager
def own_journal(folder: Path) -> Iterator[OwnJournal]:
    """Make a journal in `folder`; its committer is closed at the end of the block."""
    url = f"sqlite:///{folder / 'journal.db'}"
    migrations.upgrade(url)
    sealing = vault.create(folder / "vault.key")
    engine = databases.connect(url, connections=1, writing=True)
    vaults.attach(engine, sealing)
    committer = Committer(
        engine, CLOCK, "gw1", sealing, SystemEntropy(), PermitLog(folder / "permits", sealing, "gw1"), ports=PORTS
    )
    try:
        yield OwnJournal(url, sealing, committer)
    finally:
        committer.close()
