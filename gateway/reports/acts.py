"""Acts about money over all subjects: work lists and reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.act import Act, BankParam, ClearParam, CompanyParam, ParamForm, RoomActs
from gateway.people.rules.roles import READERS, PersonRole

WORK_LISTS = "escalated, returned, payroll, unclaimed, statement-gaps, receipts-missing, exceptions, linked, pools"


@dataclass(frozen=True, slots=True)
class ViewWork:
    """Parameters: the work lists and the accounts that are shown."""

    only: Annotated[
        str | None,
        ParamForm(
            (f"Only this one: {WORK_LISTS}.", f"仅该清单：{WORK_LISTS}。"), option="--list", wire="list", metavar="NAME"
        ),
    ] = None
    bank: BankParam = None
    company: CompanyParam = None
    clear: ClearParam = False


@dataclass(frozen=True, slots=True)
class MakeReport:
    """Parameters: a report, its period, and its accounts."""

    name: Annotated[str, ParamForm(("Which report.", "报表名称。"), metavar="NAME")]


REPORTS = RoomActs(
    acts=(
        Act(
            "GET",
            "/worklists",
            "worklists.show",
            "reports",
            (
                "Show the work lists: returned payments, payroll items, money to be claimed, statement gaps, receipts, "
                "exceptions.",
                "显示待办清单：退汇、代发、待认领来款、对账单缺口、回单缺失、未达账项。",
            ),
            help=(
                "Each row shows the reason, since when it waits, and the next step. No bank is asked.",
                "每行说明事由、已有多久、下一步。不向银行查询。",
            ),
            params=ViewWork,
            command="worklists",
            roles=READERS,
            scoped=True,
        ),
        Act(
            "GET",
            "/reports/{name}",
            "reports.make",
            "reports",
            ("Make a report about own accounts.", "生成本单位账户的报表。"),
            params=MakeReport,
            roles=READERS,
            scoped=True,
            command="report",
        ),
        Act(
            "GET",
            "/security-review",
            "reports.security_review",
            "reports",
            ("Make the report about rights and decisions.", "生成权限与决定的审阅报表。"),
            roles=frozenset({PersonRole.AUDIT_ADMIN, PersonRole.SECURITY_ADMIN}),
        ),
    )
)
