"""Acts about electronic receipts (电子回单): kept ones, missing ones, and their original files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from gateway.act import (
    AccountParam,
    Act,
    ActProof,
    AnswerColumn,
    BankParam,
    ClearParam,
    CommandGroup,
    CompanyParam,
    ParamForm,
    ReasonParam,
    RoomActs,
    SentenceAnswer,
    TableAnswer,
)
from gateway.people.rules.roles import KEEPERS, READERS

ReceiptKey = Annotated[str, ParamForm(("The receipt's key.", "回单的编号。"), metavar="RECEIPT")]


@dataclass(frozen=True, slots=True)
class ListReceipts:
    """Parameters: filters for the receipts that are listed."""

    first: Annotated[
        date | None,
        ParamForm(
            ("First bank date; default: of the month.", "首个银行日期；默认本月首日。"),
            option="--from",
            wire="from",
            metavar="DAY",
        ),
    ] = None
    last: Annotated[
        date | None,
        ParamForm(
            ("Last bank date; default: today.", "末个银行日期；默认今天。"), option="--to", wire="to", metavar="DAY"
        ),
    ] = None
    bank: BankParam = None
    company: CompanyParam = None
    account: AccountParam = None
    clear: ClearParam = False
    after: Annotated[str, ParamForm(("Continue after this receipt.", "接着该回单往后列。"), command=False)] = ""


@dataclass(frozen=True, slots=True)
class MissingReceipts:
    """Parameters: filters for the missing receipts that are listed."""

    older: Annotated[
        float,
        ParamForm(
            ("Only those missing for so long.", "仅缺失超过该天数的。"),
            option="--older",
            wire="older_days",
            metavar="DAYS",
            least=0,
            most=3_650,
        ),
    ] = 0
    bank: BankParam = None
    company: CompanyParam = None
    account: AccountParam = None
    clear: ClearParam = False


@dataclass(frozen=True, slots=True)
class NamedReceipt:
    """Parameters: one receipt, masked or clear."""

    receipt: ReceiptKey
    clear: ClearParam = False


@dataclass(frozen=True, slots=True)
class ReceiptPiece:
    """Parameters: one receipt, and the byte at which the piece begins."""

    receipt: ReceiptKey
    at: Annotated[str, ParamForm(("From this byte on.", "自该字节起。"), command=False)] = "0"


@dataclass(frozen=True, slots=True)
class NoReceipt:
    """Parameters: a payment or entry, and the person's reason for stating that the bank gives no receipt of it."""

    payment: Annotated[
        str,
        ParamForm(
            ("The key of the payment or entry, as `missing` has it.", "付款或明细的编号，如 `missing` 所示。"),
            metavar="KEY",
        ),
    ]
    reason: ReasonParam


RECEIPTS = RoomActs(
    groups=(
        CommandGroup(
            "receipts",
            ("Electronic receipts (电子回单) of payments and of money that came in.", "付款与来款的电子回单。"),
        ),
    ),
    acts=(
        Act(
            "GET",
            "/receipts",
            "receipts.list",
            "receipts",
            ("List the receipts that are kept.", "列出已保存的电子回单。"),
            params=ListReceipts,
            answer=(
                TableAnswer(
                    "receipts",
                    (
                        AnswerColumn("order", ("order", "指令")),
                        AnswerColumn("line", ("bank's number", "银行流水号")),
                        AnswerColumn("bank", ("bank", "银行")),
                        AnswerColumn("account", ("account", "账户")),
                        AnswerColumn("bank_date", ("bank date", "银行日期")),
                        AnswerColumn("amount", ("amount", "金额")),
                        AnswerColumn("media_type", ("file", "文件")),
                        AnswerColumn("size", ("bytes", "字节")),
                    ),
                    ("no receipts", "没有回单"),
                ),
            ),
            command="receipts list",
            roles=READERS,
            scoped=True,
        ),
        Act(
            "GET",
            "/receipts/missing",
            "receipts.missing",
            "receipts",
            (
                "List settled payments and incoming money without a receipt, the oldest first, with the reason.",
                "列出缺少回单的已成功付款与来款，最久的在前，附原因。",
            ),
            params=MissingReceipts,
            answer=(
                TableAnswer(
                    "missing",
                    (
                        AnswerColumn("order", ("order", "指令")),
                        AnswerColumn("subject", ("payment or entry", "付款或明细")),
                        AnswerColumn("bank", ("bank", "银行")),
                        AnswerColumn("account", ("account", "账户")),
                        AnswerColumn("bank_date", ("bank date", "银行日期")),
                        AnswerColumn("age_days", ("days", "天数")),
                        AnswerColumn("tries", ("tries", "已查询次数")),
                        AnswerColumn("why", ("why", "原因")),
                    ),
                    ("none is missing", "没有缺失"),
                ),
            ),
            command="receipts missing",
            roles=READERS,
            scoped=True,
        ),
        Act(
            "GET",
            "/receipts/{receipt}/facts",
            "receipts.facts",
            "receipts",
            ("Show the facts of a receipt, without its bytes.", "一份回单的要素，不含原件。"),
            params=NamedReceipt,
            roles=READERS,
            scoped=True,
        ),
        Act(
            "GET",
            "/receipts/{receipt}/file",
            "receipts.file",
            "receipts",
            ("Read a receipt's original, piece by piece.", "分段取回回单原件。"),
            params=ReceiptPiece,
            roles=READERS,
            scoped=True,
            proof=ActProof.STEP_UP,
        ),
        Act(
            "POST",
            "/receipts/{payment}/none",
            "receipts.none",
            "receipts",
            (
                "State that the bank gives no receipt of a payment or entry (确认无回单); the search for it ends.",
                "确认银行对某笔付款或明细不提供回单（确认无回单）；不再查找。",
            ),
            params=NoReceipt,
            answer=(SentenceAnswer(("{payment}: no receipt", "{payment}：无回单")),),
            command="receipts none",
            roles=KEEPERS,
            scoped=True,
            proof=ActProof.SESSION,
        ),
    ),
)
