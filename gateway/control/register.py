"""The register of acts: every declaration, by code, by command and by row of the matrix."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.act import Act, CommandGroup, RoomActs
from gateway.approvals.acts import APPROVALS
from gateway.control.acts.companies import COMPANIES
from gateway.control.acts.joint_runs import JOINT_RUNS
from gateway.control.acts.keys import KEYS
from gateway.control.acts.lanes import LANES
from gateway.control.acts.node import NODE
from gateway.control.acts.web import WEB
from gateway.payments.acts import PAYMENTS
from gateway.people.acts import PEOPLE
from gateway.pools.acts import POOLS
from gateway.positions.acts import POSITIONS
from gateway.receipts.acts import RECEIPTS
from gateway.reconciliation.acts import RECONCILIATION
from gateway.reports.acts import REPORTS
from gateway.statements.acts import STATEMENTS

ROOMS: tuple[RoomActs, ...] = (
    NODE,
    POSITIONS,
    REPORTS,
    RECEIPTS,
    RECONCILIATION,
    STATEMENTS,
    POOLS,
    PAYMENTS,
    LANES,
    COMPANIES,
    JOINT_RUNS,
    KEYS,
    PEOPLE,
    APPROVALS,
    WEB,
)
REGISTER: Mapping[str, Act] = {act.code: act for room in ROOMS for act in room.acts}
"""Every act by its code."""
GROUPS: Mapping[str, CommandGroup] = {group.name: group for room in ROOMS for group in room.groups}
"""Every group of commands by its name."""
