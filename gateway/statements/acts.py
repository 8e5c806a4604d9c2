"""Acts about own accounts and their statements: today, and statements from files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.act import ROWS_BYTES, AccountNo, Act, ActProof, BankParam, ClearParam, ParamForm, RoomActs
from gateway.people.rules.roles import KEEPERS, READERS

ALL_BANKS = "*"
"""The bank of the totals over all banks."""
StatementKey = Annotated[str, ParamForm(("The statement that arrives.", "正在导入的对账单。"))]


@dataclass(frozen=True, slots=True)
class ViewToday:
    """Parameters: filters for the accounts that are shown."""

    bank: BankParam = None
    clear: ClearParam = False


@dataclass(frozen=True, slots=True)
class StatementAccount:
    """Parameters: the account of a statement."""

    account: AccountNo


@dataclass(frozen=True, slots=True)
class NamedStatement:
    """Parameters: one account, and its statement whose entries are arriving."""

    account: AccountNo
    statement: StatementKey


STATEMENTS = RoomActs(
    acts=(
        Act(
            "GET",
            "/today",
            "accounts.today",
            "reports",
            (
                "Show every own account as it stands: balance and of when, entries, statement, payments in doubt; with "
                "totals.",
                "显示每个本单位账户的现状：余额及其时间、明细、对账单、结果未知的付款，并列合计。",
            ),
            help=(
                "No bank is asked: balances and entries are those of the last reading of a watched account.",
                "不向银行查询：余额与明细为受监控账户最近一次查询所得。",
            ),
            params=ViewToday,
            command="today",
            roles=READERS,
            scoped=True,
        ),
        Act(
            "POST",
            "/reconciliation/{account}/statements",
            "statements.begin",
            "reconciliation",
            (
                "Begin to hand in a bank's statement of an account that is not watched.",
                "开始导入未监控账户的银行对账单。",
            ),
            params=StatementAccount,
            roles=KEEPERS,
            scoped=True,
            proof=ActProof.ONE_PASSKEY,
            command="reconcile statement",
        ),
        Act(
            "POST",
            "/reconciliation/{account}/statements/{statement}/rows",
            "statements.rows",
            "reconciliation",
            ("Hand in entries of a statement.", "导入对账单的明细。"),
            params=NamedStatement,
            roles=KEEPERS,
            scoped=True,
            proof=ActProof.ONE_PASSKEY,
            most_bytes=ROWS_BYTES,
        ),
        Act(
            "POST",
            "/reconciliation/{account}/statements/{statement}/close",
            "statements.close",
            "reconciliation",
            (
                "Record the statement and close its last day, if it adds up.",
                "余额与明细核对相符时记录对账单，并日结其最后一日。",
            ),
            params=NamedStatement,
            roles=KEEPERS,
            scoped=True,
            proof=ActProof.ONE_PASSKEY,
        ),
    )
)
