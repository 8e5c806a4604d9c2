"""What the parts that answer an ERP's questions share: the journal, the register, the clock and the way to a bank."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.asking import Asker
from gateway.clock import Clock
from gateway.erp.treasury_port import TreasuryPort
from gateway.journal.commit.store import Store
from gateway.registry import Registry


@dataclass(slots=True)
class QuestionContext:
    """`registry` is replaced when the settings are read again. `cursor_key` seals the cursors that an ERP is given.
    `treasury` answers what no bank is asked."""

    store: Store
    registry: Registry
    clock: Clock
    cursor_key: bytes
    ask: Asker
    treasury: TreasuryPort
