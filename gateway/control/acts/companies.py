"""Acts about companies: which are there, and the pause of one company's payments at all banks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.act import (
    Act,
    ActDecision,
    ActEffect,
    ActEvidence,
    ActProof,
    AnswerColumn,
    CommandGroup,
    ParamForm,
    ReasonParam,
    RoomActs,
    SentenceAnswer,
    SocketProof,
    TableAnswer,
)
from gateway.people.rules.roles import EVERY_ROLE, RUNNERS, SUPERVISORS

CompanyName = Annotated[
    str,
    ParamForm(
        ("The company's name, as `bankgw companies list` has it.", "公司代号，如 `bankgw companies list` 所示。"),
        metavar="COMPANY",
        names="company",
    ),
]


@dataclass(frozen=True, slots=True)
class PauseCompany:
    """Parameters: a company, and the reason for pausing it."""

    company: CompanyName
    reason: ReasonParam


@dataclass(frozen=True, slots=True)
class ResumeCompany:
    """Parameters: a company, and the reason why it may send again."""

    company: CompanyName
    reason: Annotated[
        str,
        ParamForm(
            ("Why it may send again; both persons sign it.", "为何可以恢复发送；两人都要签署。"), option="--reason"
        ),
    ] = ""


_CHANGED = (
    SentenceAnswer(
        (
            "{company}: no payment of it is sent at any bank until it is resumed; {ready} wait, and {under_way} had left "
            "before and are asked about",
            "{company}：恢复之前在任何银行都不发送其付款；{ready} 笔等待，{under_way} 笔此前已发出，照常查询",
        ),
        when="paused",
    ),
    SentenceAnswer(
        ("{company}: its payments are sent again; {ready} waited", "{company}：付款恢复发送；有 {ready} 笔在等待"),
        when="resumed",
    ),
    SentenceAnswer(
        (
            "other nodes and shards hear of this within {others_hear_within_s} s",
            "其他节点和分片在 {others_hear_within_s} 秒内得知",
        )
    ),
)
COMPANIES = RoomActs(
    groups=(
        CommandGroup(
            "companies",
            ("Look at companies, and stop the payments of one of them.", "查看各公司，停止其中一家的付款。"),
        ),
    ),
    acts=(
        Act(
            "GET",
            "/companies",
            "companies.list",
            "companies",
            (
                "List every company with its accounts, its open orders, and whether it is paused.",
                "列出各公司及其账户、未完结的付款指令，以及是否已暂停。",
            ),
            answer=(
                TableAnswer(
                    "companies",
                    (
                        AnswerColumn("company", ("company", "公司")),
                        AnswerColumn("paused_since", ("paused since", "暂停起始"), ("no", "未暂停")),
                        AnswerColumn("accounts", ("accounts", "账户")),
                        AnswerColumn("banks", ("banks", "银行")),
                        AnswerColumn("held", ("held", "待放行")),
                        AnswerColumn("ready", ("ready", "待发送")),
                        AnswerColumn("under_way", ("under way", "在途")),
                    ),
                    ("no companies", "没有公司"),
                ),
                SentenceAnswer(
                    ("{company}: paused by {by}: {reason}", "{company}：由 {by} 暂停：{reason}"), each="pauses"
                ),
                SentenceAnswer(
                    (
                        "{company} is paused, and no account of the settings has this company: was it renamed? Pause "
                        "the new name as well",
                        "{company} 已暂停，但设置中没有该公司的账户：是否已更名？请同时暂停新代号",
                    ),
                    each="unknown",
                ),
            ),
            command="companies list",
            roles=EVERY_ROLE,
            scoped=True,
        ),
        Act(
            "POST",
            "/companies/{company}/pause",
            "companies.pause",
            "companies",
            (
                "Send no payment of this company, at no bank and on no node, until it is resumed, restarts included. "
                "Other companies go on.",
                "在所有银行、所有节点停止发送该公司的付款，直到恢复为止，重启后仍然有效。其他公司照常。",
            ),
            help=(
                "Orders are still taken in and wait; they expire at their `valid_until`. What had left before is asked "
                "about. Moves of cash pools and linked payments to or from its accounts wait too.",
                "付款指令仍受理并等待，到 `valid_until` 过期。此前已发出的照常查询。资金池与联动支付中转入或转出其账户的"
                "划转也等待。",
            ),
            params=PauseCompany,
            answer=_CHANGED,
            command="companies pause",
            roles=RUNNERS | SUPERVISORS,
            shows=SocketProof.USER,
            scoped=True,
            proof=ActProof.ONE_PASSKEY,
            effect=ActEffect.STOPS,
        ),
        Act(
            "POST",
            "/companies/{company}/resume",
            "companies.resume",
            "companies",
            (
                "End the pause of a company. Where there are administrators, a supervisor signs it, and a second "
                "one approves it with `bankgw resolve --approve`.",
                "解除公司的暂停。设有管理员后，由一名主管签署，另一名主管以 `bankgw resolve --approve` 批准。",
            ),
            help=(
                "What waits is sent then, as far as it is still valid and the lanes send.",
                "等待的付款随即发送，前提是仍在有效期内且通道可发送。",
            ),
            params=ResumeCompany,
            answer=_CHANGED,
            command="companies resume",
            roles=RUNNERS,
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.LOOSENS,
            evidence=ActEvidence.OPTIONAL,
            draft=True,
            form=2,
            decision=ActDecision(
                "resume_company", SUPERVISORS, SUPERVISORS, "{company}", "send", until_administrators=True
            ),
        ),
    ),
)
