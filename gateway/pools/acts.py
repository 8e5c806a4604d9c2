"""Acts about cash pools (归集, 下拨) and linked payments (联动支付)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.act import (
    Act,
    ActDecision,
    ActEffect,
    ActProof,
    AnswerColumn,
    ClearParam,
    CommandGroup,
    ParamForm,
    ReasonParam,
    RoomActs,
    SentenceAnswer,
    TableAnswer,
)
from gateway.people.rules.roles import READERS, SUPERVISORS

PoolParam = Annotated[str, ParamForm(("The pool's name.", "资金池的名称。"), metavar="POOL")]
LinkedOrderName = Annotated[
    str, ParamForm(("The order, as SENDER:ID or by its key.", "付款指令：SENDER:ID，或付款的编号。"), metavar="ORDER")
]
_MOVE = (
    AnswerColumn("direction", ("", "")),
    AnswerColumn("debit", ("from", "付款账户")),
    AnswerColumn("credit", ("to", "收款账户")),
    AnswerColumn("amount", ("amount", "金额")),
)
_STAYS = TableAnswer(
    "stays",
    (
        AnswerColumn("direction", ("", "")),
        AnswerColumn("account", ("account", "账户")),
        AnswerColumn("why", ("why nothing is moved", "不划转的原因")),
    ),
)
RUN_ANSWER = (
    SentenceAnswer(
        (
            "run {run} is {state}, version {version} of pool {pool}, by {by}",
            "运行 {run} 的状态：{state}，资金池 {pool} 第 {version} 版，由 {by} 发起",
        )
    ),
    TableAnswer(
        "moves",
        (
            *_MOVE,
            AnswerColumn("state", ("state", "状态")),
            AnswerColumn("order", ("order", "指令")),
            AnswerColumn("why", ("why not", "未划转原因")),
        ),
        ("nothing was moved", "没有划转"),
    ),
    _STAYS,
)


@dataclass(frozen=True, slots=True)
class ViewPools:
    """The parameters of an act about all pools, masked or clear."""

    clear: ClearParam = False


@dataclass(frozen=True, slots=True)
class NamedPool:
    """The parameters of an act about one pool, masked or clear."""

    pool: PoolParam
    clear: ClearParam = False


@dataclass(frozen=True, slots=True)
class NamedRun:
    """The parameters of an act about one run of a pool, masked or clear."""

    run: Annotated[str, ParamForm(("The run's id.", "运行的编号。"), metavar="RUN")]
    clear: ClearParam = False


@dataclass(frozen=True, slots=True)
class RunPool:
    """A pool, the name of the run, and the reason for running it now."""

    pool: PoolParam
    slot: Annotated[
        str | None,
        ParamForm(
            ("Name of the run; the same name on the same day is the same run.", "运行的名称；同日同名即同一次运行。"),
            bad="bad_slot",
        ),
    ] = None
    reason: Annotated[str, ParamForm(("Why; needed where two persons sign it.", "理由；由两人签署时必填。"))] = ""


@dataclass(frozen=True, slots=True)
class DecideLink:
    """A decision about the money that came for a linked payment that failed."""

    order: LinkedOrderName
    to: Annotated[str, ParamForm(("return or stay.", "return（退回）或 stay（留在原账户）。"), command=False)]
    reason: ReasonParam


@dataclass(frozen=True, slots=True)
class ProposePool:
    """A pool, its text, and the reason."""

    pool: PoolParam
    text: Annotated[
        str,
        ParamForm(
            (
                "A file with the head, then one child a line; # is a comment.",
                "文件，首行为资金池，其后每行一个成员账户；# 之后为注释。",
            ),
            metavar="FILE",
            option="argument",
        ),
    ]
    reason: ReasonParam


@dataclass(frozen=True, slots=True)
class ClosePool:
    """A pool, and the reason for closing it."""

    pool: PoolParam
    reason: ReasonParam


POOLS = RoomActs(
    groups=(
        CommandGroup(
            "liquidity",
            ("Cash pools: what moves between own accounts by rules.", "资金池：按规则在本单位账户之间划转。"),
        ),
    ),
    acts=(
        Act(
            "GET",
            "/liquidity",
            "pools.list",
            "pools",
            ("List the pools in force, each with its last run.", "列出现行资金池及各自最近一次运行。"),
            params=ViewPools,
            answer=(
                TableAnswer(
                    "pools",
                    (
                        AnswerColumn("pool", ("pool", "资金池")),
                        AnswerColumn("version", ("version", "版本")),
                        AnswerColumn("currency", ("currency", "币种")),
                        AnswerColumn("header", ("header", "主账户")),
                        AnswerColumn("children", ("children", "成员账户数")),
                        AnswerColumn("slots", ("slots", "时段"), ("by hand", "手工")),
                        AnswerColumn("most_run", ("most a run", "每次上限")),
                        AnswerColumn("most_day", ("most a day", "每日上限")),
                        AnswerColumn("runs[].run", ("last run", "最近一次运行"), ("never", "从未")),
                        AnswerColumn("runs[].state", ("state", "状态")),
                    ),
                    ("no pool is in force", "没有现行资金池"),
                ),
            ),
            command="liquidity list",
            roles=READERS,
            scoped=True,
        ),
        Act(
            "GET",
            "/liquidity/{pool}",
            "pools.show",
            "pools",
            (
                "Show a pool: its rules, its versions, each member's loan, its runs. For a run: its moves.",
                "显示资金池：规则、版本、各成员上存余额、各次运行。给出运行编号则显示该次划转。",
            ),
            params=NamedPool,
            roles=READERS,
            scoped=True,
            command="liquidity show",
        ),
        Act(
            "GET",
            "/liquidity/{pool}/preview",
            "pools.preview",
            "pools",
            (
                "Show the moves of a run if it began now, and why nothing moves at the other accounts. Nothing is "
                "moved.",
                "现在运行会划转什么，其他账户为何不划转。不动用资金。",
            ),
            params=NamedPool,
            answer=(
                SentenceAnswer(("no run today: {closed}", "今日不运行：{closed}"), when="closed"),
                TableAnswer(
                    "moves",
                    (*_MOVE, AnswerColumn("over_ceiling", ("over a ceiling", "超过上限"))),
                    ("nothing would be moved", "不会有划转"),
                ),
                _STAYS,
                TableAnswer(
                    "accounts",
                    (
                        AnswerColumn("account", ("account", "账户")),
                        AnswerColumn("available", ("available", "可用余额")),
                        AnswerColumn("as_of", ("as of", "截至")),
                        AnswerColumn("debits_under_way", ("debits under way", "在途付款")),
                        AnswerColumn("credits_under_way", ("credits under way", "在途收款")),
                    ),
                ),
            ),
            command="liquidity preview",
            roles=READERS,
            scoped=True,
        ),
        Act(
            "POST",
            "/liquidity/{pool}/run",
            "pools.run",
            "pools",
            (
                "As supervisor: run the pool now. What was planned and not ordered within an hour is not ordered any "
                "more.",
                "主管：立即运行资金池。已计划而一小时内未提交的划转不再提交。",
            ),
            help=(
                "Where there are administrators this proposes the run, and another supervisor approves it with `bankgw "
                "resolve --approve`.",
                "设有管理员后，此命令提议运行，由另一名主管以 `bankgw resolve --approve` 批准。",
            ),
            params=RunPool,
            answer=RUN_ANSWER,
            command="liquidity run",
            roles=SUPERVISORS,
            scoped=True,
            proof=ActProof.TWO_PERSONS,
            moves_money=True,
            draft=True,
            form=2,
            decision=ActDecision("pool_run", SUPERVISORS, SUPERVISORS, "{pool}", "{slot}", until_administrators=True),
        ),
        Act(
            "GET",
            "/liquidity-runs/{run}",
            "pools.show_run",
            "pools",
            ("Show one run: each move and its order's state.", "显示一次运行：每笔划转及其指令的状态。"),
            params=NamedRun,
            answer=RUN_ANSWER,
            roles=READERS,
            scoped=True,
        ),
        Act(
            "",
            "",
            "pools.propose",
            "pools",
            (
                "As supervisor of all accounts: propose the pool in FILE. Another one approves it with `bankgw resolve "
                "--approve`. See docs/do/liquidity.md.",
                "全部账户的主管：提议文件中的资金池。由另一名主管以 `bankgw resolve --approve` 批准。"
                "见 docs/do/liquidity.md。",
            ),
            params=ProposePool,
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.LOOSENS,
            moves_money=True,
            draft=True,
            form=2,
            decision=ActDecision("pool", SUPERVISORS, SUPERVISORS, "{pool}", "{text}"),
            command="liquidity propose",
        ),
        Act(
            "",
            "",
            "pools.close",
            "pools",
            (
                "As supervisor of all accounts: propose that the pool ends. Another one approves it.",
                "全部账户的主管：提议终止资金池。由另一名主管批准。",
            ),
            params=ClosePool,
            command="liquidity close",
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.STOPS,
            draft=True,
            form=2,
            decision=ActDecision("pool", SUPERVISORS, SUPERVISORS, "{pool}", "none"),
        ),
        Act(
            "GET",
            "/linked",
            "linked.list",
            "pools",
            (
                "List linked payments (联动支付): what waits for its funding and why, and what waits for a decision.",
                "列出联动支付：等待补足资金的付款及原因，以及待裁定的资金。",
            ),
            params=ViewPools,
            answer=(
                TableAnswer(
                    "linked",
                    (
                        AnswerColumn("order", ("order", "指令")),
                        AnswerColumn("amount", ("amount", "金额")),
                        AnswerColumn("state", ("state", "状态")),
                        AnswerColumn("order_state", ("order is", "指令状态")),
                        AnswerColumn("funding", ("funded by", "补足指令")),
                        AnswerColumn("funded", ("brought", "已划入")),
                        AnswerColumn("why", ("waits for", "等待")),
                    ),
                    ("no linked payment waits", "没有等待中的联动支付"),
                ),
            ),
            command="liquidity linked",
            roles=READERS,
            scoped=True,
        ),
        Act(
            "POST",
            "/linked/{order}/decide",
            "linked.decide",
            "pools",
            (
                "Decide whether the funding of a failed linked payment is returned or stays.",
                "决定失败的联动支付所划入的资金退回还是留存。",
            ),
            params=DecideLink,
            roles=SUPERVISORS,
            scoped=True,
            proof=ActProof.TWO_PERSONS,
            moves_money=True,
            draft=True,
            form=2,
            decision=ActDecision("link", SUPERVISORS, SUPERVISORS, "{order}", "{to}", until_administrators=True),
        ),
    ),
)
