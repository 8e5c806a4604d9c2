"""A journal of a benchmark's own, in a folder, and the committer that writes it in the caller's thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from twisted.internet.task import Clock as TimersOfNobody

from gateway.clock import SystemClock, SystemEntropy
from gateway.journal.commit.committer import Committer
from gateway.journal.commit.permit_log import PermitLog
from gateway.journal.sql import databases, migrations, vault, vaults
from gateway.journal.sql.vault import Vault

CLOCK = SystemClock(TimersOfNobody())
"""The machine's clocks. Nothing in a benchmark of the journal waits for a timer."""


@dataclass(frozen=True, slots=True)
class OwnJournal:
    """A SQLite journal with permit log and vault, as a daemon has it."""

    url: str
    vault: Vault
    committer: Committer


@contextmanager
def own_journal(folder: Path) -> Iterator[OwnJournal]:
    """Make one in `folder`; its committer is closed in the end."""
    url = f"sqlite:///{folder / 'journal.db'}"
    migrations.upgrade(url)
    sealing = vault.create(folder / "vault.key")
    engine = databases.connect(url, connections=1, writing=True)
    vaults.attach(engine, sealing)
    committer = Committer(engine, CLOCK, "gw1", sealing, SystemEntropy(), PermitLog(folder / "permits", sealing, "gw1"))
    try:
        yield OwnJournal(url, sealing, committer)
    finally:
        committer.close()
