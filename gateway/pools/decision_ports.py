"""The parts of the running gateway that two persons' decision about a cash pool needs."""

from __future__ import annotations

from typing import Protocol

from gateway.act_ports import Accounts, IntakePort
from gateway.kernel.commit.store import Store
from gateway.pools.jobs import PoolService


class PoolDecisionPorts(Protocol):
    """The parts that decisions about pools need: the journal, the accounts in force, the intake state, and the pools'
    job."""

    @property
    def store(self) -> Store:
        """The journal."""

    @property
    def accounts(self) -> Accounts:
        """The account register in force."""

    @property
    def intake(self) -> IntakePort:
        """The port that says whether the daemon is draining."""

    @property
    def pools(self) -> PoolService:
        """The service that plans pool runs and asks for new balances."""
