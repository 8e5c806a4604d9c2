"""Acts about reconciliation (对账): books, matching, the monthly statement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from gateway.act import (
    ROWS_BYTES,
    AccountNo,
    Act,
    ActProof,
    CommandGroup,
    ParamForm,
    ReasonParam,
    RoomActs,
    SentenceAnswer,
)
from gateway.people.rules.roles import KEEPERS, READERS, SUPERVISORS

UntilDay = Annotated[
    date | None,
    ParamForm(("Rows up to this day; default: today.", "截至该日的各行；默认今天。"), option="--to", metavar="DAY"),
]
Month = Annotated[str, ParamForm(("As 2026-11.", "如 2026-11。"), metavar="MONTH")]
BookKey = Annotated[str, ParamForm(("Its key, as `book` printed it.", "编号，由 `book` 给出。"), metavar="BOOK")]
_BOOK = (SentenceAnswer(("book {book} is {state}", "日记账 {book} 的状态：{state}")),)
_DECISION = (SentenceAnswer(("decision {decision}: {kind}", "裁定 {decision}：{kind}")),)
_VERSION = (SentenceAnswer(("{month} version {version} is {state}", "{month} 第 {version} 版的状态：{state}")),)


@dataclass(frozen=True, slots=True)
class ShowMatching:
    """Parameters: one account, and the day up to which its matching is shown."""

    account: AccountNo
    to: UntilDay = None


@dataclass(frozen=True, slots=True)
class NamedBook:
    """Parameters: a book of one account."""

    account: AccountNo
    book: BookKey


@dataclass(frozen=True, slots=True)
class WithdrawBook:
    """Parameters: a book of one account, and the reason for withdrawing it."""

    account: AccountNo
    book: BookKey
    reason: ReasonParam


@dataclass(frozen=True, slots=True)
class DecideRows:
    """Parameters: open rows of one account, the decision about them, and the reason."""

    account: AccountNo
    matching: Annotated[
        str,
        ParamForm(
            ("A: payments and entries. B: book and entries.", "A：付款与银行明细。B：日记账与银行明细。"),
            option="--matching",
        ),
    ]
    reason: ReasonParam
    entries: Annotated[
        tuple[str, ...],
        ParamForm(
            ("A payment's or book row's id, as `show` has it.", "付款或日记账行的编号，如 `show` 所示。"),
            option="--entry",
        ),
    ] = ()
    lines: Annotated[
        tuple[str, ...],
        ParamForm(("An entry's id, as `show` has it.", "银行明细的编号，如 `show` 所示。"), option="--line"),
    ] = ()
    to: UntilDay = None


@dataclass(frozen=True, slots=True)
class UndoDecision:
    """Parameters: a decision about rows of one account, and the reason for taking it back."""

    account: AccountNo
    decision: Annotated[
        str, ParamForm(("Its key, as `show` has it.", "编号，如 `show` 所示。"), metavar="DECISION", option="argument")
    ]
    reason: ReasonParam


@dataclass(frozen=True, slots=True)
class NamedMonth:
    """Parameters: a month of one account."""

    account: AccountNo
    month: Month


@dataclass(frozen=True, slots=True)
class ApproveMonth:
    """Parameters: a version of the statement of a month, which a person approves."""

    account: AccountNo
    month: Month
    version: Annotated[int, ParamForm(("The last version.", "最新版本。"), most=10_000, option="--version")]


@dataclass(frozen=True, slots=True)
class NamedAccount:
    """Parameters: one account."""

    account: AccountNo


RECONCILIATION = RoomActs(
    groups=(CommandGroup("reconcile", ("Reconciliation (自动对账) of own accounts.", "本单位账户的自动对账。")),),
    acts=(
        Act(
            "GET",
            "/reconciliation/{account}",
            "reconciliation.show",
            "reconciliation",
            ("Show the matched, proposed and open rows, in both matchings.", "显示两种对账的已匹配、建议与未匹配。"),
            params=ShowMatching,
            command="reconcile show",
            roles=READERS,
            scoped=True,
        ),
        Act(
            "POST",
            "/reconciliation/{account}/books",
            "books.begin",
            "reconciliation",
            ("Begin to hand in a book: its period, balances and totals.", "开始导入日记账：期间、余额与合计。"),
            params=NamedAccount,
            roles=KEEPERS,
            scoped=True,
            proof=ActProof.ONE_PASSKEY,
            command="reconcile book",
        ),
        Act(
            "POST",
            "/reconciliation/{account}/books/{book}/rows",
            "books.rows",
            "reconciliation",
            ("Hand in rows of a book.", "导入日记账的各行。"),
            params=NamedBook,
            roles=KEEPERS,
            scoped=True,
            proof=ActProof.ONE_PASSKEY,
            most_bytes=ROWS_BYTES,
        ),
        Act(
            "POST",
            "/reconciliation/{account}/books/{book}/close",
            "books.close",
            "reconciliation",
            (
                "Put a book in force if its rows lead from the opening to the closing balance.",
                "期初余额经各行与期末余额相符时，日记账生效。",
            ),
            params=NamedBook,
            roles=KEEPERS,
            scoped=True,
            proof=ActProof.ONE_PASSKEY,
        ),
        Act(
            "POST",
            "/reconciliation/{account}/books/{book}/withdraw",
            "books.withdraw",
            "reconciliation",
            ("Take a book out of force. Its rows are deleted.", "撤回日记账，其各行被删除。"),
            params=WithdrawBook,
            answer=_BOOK,
            command="reconcile withdraw",
            roles=KEEPERS,
            scoped=True,
            proof=ActProof.SESSION,
        ),
        Act(
            "POST",
            "/reconciliation/{account}/confirm",
            "reconciliation.confirm",
            "reconciliation",
            (
                "Confirm that open rows belong together. Their sums must be equal; several on one side are a split.",
                "确认未匹配的各行相互对应。两边合计须相等；一边可有多行。",
            ),
            params=DecideRows,
            answer=_DECISION,
            command="reconcile confirm",
            roles=KEEPERS,
            scoped=True,
            proof=ActProof.SESSION,
        ),
        Act(
            "POST",
            "/reconciliation/{account}/aside",
            "reconciliation.aside",
            "reconciliation",
            (
                "Set open rows aside with a reason. The monthly statement lists them with it.",
                "附理由搁置未匹配的各行。余额调节表列示各行及理由。",
            ),
            params=DecideRows,
            answer=_DECISION,
            command="reconcile aside",
            roles=KEEPERS,
            scoped=True,
            proof=ActProof.SESSION,
        ),
        Act(
            "POST",
            "/reconciliation/{account}/undo",
            "reconciliation.undo",
            "reconciliation",
            (
                "Take a decision back. A decision on which an approved statement depends cannot be taken back.",
                "撤销一项裁定。已批准的余额调节表所依据的不能撤销。",
            ),
            params=UndoDecision,
            answer=(SentenceAnswer(("decision {decision} is undone", "裁定 {decision} 已撤销")),),
            command="reconcile undo",
            roles=KEEPERS,
            scoped=True,
            proof=ActProof.SESSION,
        ),
        Act(
            "GET",
            "/reconciliation/{account}/tables/{month}",
            "tables.show",
            "reconciliation",
            (
                "Show a month's reconciliation statement (余额调节表) in its present state, and its versions.",
                "显示当月余额调节表的现状及其各版本。",
            ),
            params=NamedMonth,
            command="reconcile table",
            roles=READERS,
            scoped=True,
        ),
        Act(
            "POST",
            "/reconciliation/{account}/tables/{month}/submit",
            "tables.submit",
            "reconciliation",
            (
                "Submit the statement as a version; another person approves it.",
                "提交余额调节表的一个版本；由另一人批准。",
            ),
            params=NamedMonth,
            answer=_VERSION,
            command="reconcile submit",
            roles=KEEPERS,
            scoped=True,
            proof=ActProof.ONE_PASSKEY,
        ),
        Act(
            "POST",
            "/reconciliation/{account}/tables/{month}/approve",
            "tables.approve",
            "reconciliation",
            (
                "Approve the last version of a statement without a difference. From then on it is frozen.",
                "批准没有差额的余额调节表的最新版本。此后不再变动。",
            ),
            params=ApproveMonth,
            answer=_VERSION,
            command="reconcile approve",
            roles=SUPERVISORS,
            scoped=True,
            proof=ActProof.ONE_PASSKEY,
        ),
    ),
)
