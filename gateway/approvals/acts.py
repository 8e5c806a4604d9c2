"""Acts about approvals: requests that wait, the policy, and proposals of two persons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.act import (
    Act,
    ActDecision,
    ActEffect,
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
from gateway.people.rules.roles import DECIDERS, EVERY_ROLE, SECURITY_ADMINS, SUPERVISORS, TWO_ADMINS, PersonRole

RequestKey = Annotated[
    str,
    ParamForm(
        ("The request's key, as `list` shows it.", "复核请求的编号，如 `list` 所示。"),
        metavar="REQUEST",
        names="request",
    ),
]
_LOOKERS = frozenset({PersonRole.MAKER, PersonRole.APPROVER, PersonRole.SUPERVISOR, PersonRole.AUDIT_ADMIN})
_APPROVERS = frozenset({PersonRole.APPROVER})
EVIDENCE_MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ListRequests:
    """Selects the requests that are listed."""

    every: Annotated[bool, ParamForm(("Also decided requests.", "包括已有决定的。"), option="--all", wire="all")] = (
        False
    )
    sender: Annotated[str, ParamForm(("Of one order: its sender.", "某指令的来源系统。"), command=False)] = ""
    subject: Annotated[str, ParamForm(("Of one order: its id.", "某指令的编号。"), command=False)] = ""
    request: Annotated[str, ParamForm(("One request.", "某一请求。"), command=False)] = ""
    after: Annotated[str, ParamForm(("Continue after this request.", "接着该请求往后列。"), command=False)] = ""


@dataclass(frozen=True, slots=True)
class NamedRequest:
    """The parameters of an act about one approval request."""

    request: RequestKey


@dataclass(frozen=True, slots=True)
class RejectRequest:
    """The request to reject, and the reason for rejecting it."""

    request: RequestKey
    reason: ReasonParam


@dataclass(frozen=True, slots=True)
class NamedProposal:
    """The parameters of an act about one proposal."""

    proposal: Annotated[
        str, ParamForm(("Its key, as `bankgw resolve --list` shows it.", "编号，如 `bankgw resolve --list` 所示。"))
    ]


@dataclass(frozen=True, slots=True)
class WithdrawProposal:
    """The proposal to withdraw, and the reason for withdrawing it."""

    proposal: Annotated[
        str, ParamForm(("Its key, as `bankgw resolve --list` shows it.", "编号，如 `bankgw resolve --list` 所示。"))
    ]
    reason: ReasonParam


@dataclass(frozen=True, slots=True)
class ProposePolicy:
    """The text of the policy, and the reason for it."""

    text: Annotated[
        str,
        ParamForm(
            (
                "A file with one band or group a line, as `CNY 0..50000.00 1`; # is a comment.",
                "文件，每行一个金额档或小组，如 `CNY 0..50000.00 1`；# 之后为注释。",
            ),
            metavar="FILE",
            option="argument",
        ),
    ]
    reason: ReasonParam


APPROVALS = RoomActs(
    groups=(
        CommandGroup("approvals", ("Payments that wait for approvers.", "等待复核的付款。")),
        CommandGroup(
            "policy", ("The approval policy: bands of amounts and groups of persons.", "审批策略：金额档与人员小组。")
        ),
    ),
    acts=(
        Act(
            "GET",
            "/approvals",
            "approvals.list",
            "approvals",
            (
                "List the requests that wait for approvers in your scope, the newest first. `late`: it waits too long.",
                "列出您范围内等待复核的请求，最新的在前。`late`：等待超时。",
            ),
            params=ListRequests,
            answer=(
                TableAnswer(
                    "approvals",
                    (
                        AnswerColumn("request", ("request", "请求")),
                        AnswerColumn("state", ("state", "状态")),
                        AnswerColumn("sender", ("sender", "来源系统")),
                        AnswerColumn("subject", ("order", "指令")),
                        AnswerColumn("kind", ("kind", "种类")),
                        AnswerColumn("count", ("payments", "笔数")),
                        AnswerColumn("sum", ("sum", "金额合计")),
                        AnswerColumn("maker", ("made by", "经办人"), ("not known", "未知")),
                        AnswerColumn("need", ("needs", "需要")),
                        AnswerColumn("decided[].person", ("decided by", "已决定")),
                        AnswerColumn("expires_at", ("expires", "失效时间")),
                    ),
                    ("nothing waits for approvers", "没有等待复核的请求"),
                ),
            ),
            command="approvals list",
            roles=_LOOKERS,
            shows=SocketProof.USER,
            scoped=True,
        ),
        Act(
            "GET",
            "/approvals/{request}",
            "approvals.show",
            "approvals",
            (
                "Show the text that approvers sign, the signatures so far, and the missing ones. The audit trail "
                "records that you looked.",
                "显示复核人签署的文字、已签署的人、尚缺的人。查看记入审计链。",
            ),
            params=NamedRequest,
            roles=_LOOKERS,
            shows=SocketProof.USER,
            scoped=True,
            command="approvals show",
        ),
        Act(
            "POST",
            "/approvals/{request}/approve",
            "approvals.approve",
            "approvals",
            (
                "As approver: read the text and sign it. After the last approval that is needed, the payment may be sent.",
                "复核人：阅读文字并签署。所需的最后一个复核完成后，付款即发出。",
            ),
            params=NamedRequest,
            roles=_APPROVERS,
            shows=SocketProof.SIGNATURE,
            scoped=True,
            proof=ActProof.ONE_PASSKEY,
            moves_money=True,
            command="approvals approve",
        ),
        Act(
            "POST",
            "/approvals/{request}/reject",
            "approvals.reject",
            "approvals",
            (
                "As approver: sign a rejection. The payment, or the waiting part of the batch, is cancelled; nothing was sent.",
                "复核人：签署拒绝。该付款或批次中等待的部分被撤销；没有发送任何内容。",
            ),
            params=RejectRequest,
            roles=_APPROVERS,
            shows=SocketProof.SIGNATURE,
            scoped=True,
            proof=ActProof.ONE_PASSKEY,
            effect=ActEffect.STOPS,
            command="approvals reject",
        ),
        Act(
            "POST",
            "/approvals/{request}/renew",
            "approvals.renew",
            "approvals",
            ("Renew an expired request. All approvers sign again.", "对已失效的请求重新发起复核。全部复核人重新签署。"),
            params=NamedRequest,
            answer=(
                SentenceAnswer(
                    ("request {request} is open until {expires_at}", "请求 {request} 在 {expires_at} 之前有效")
                ),
            ),
            command="approvals renew",
            roles=frozenset({PersonRole.MAKER, PersonRole.APPROVER}),
            shows=SocketProof.USER,
            scoped=True,
            proof=ActProof.SESSION,
        ),
        Act(
            "GET",
            "/policy",
            "policy.show",
            "approvals",
            ("Show the policy in force, and the earlier ones.", "显示现行审批策略及以前的版本。"),
            command="policy show",
            roles=EVERY_ROLE,
        ),
        Act(
            "",
            "",
            "policy.propose",
            "approvals",
            (
                "As security administrator: propose the policy in FILE, instead of the present one. Another "
                "administrator, or a supervisor of all accounts, approves it with `bankgw resolve --approve`. Gaps and "
                "overlaps are refused.",
                "安全管理员：提议以文件中的策略取代现行策略。由另一名管理员或全部账户的主管以 `bankgw resolve --approve` "
                "批准。金额档有缺口或重叠则拒绝。",
            ),
            params=ProposePolicy,
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.LOOSENS,
            draft=True,
            form=2,
            decision=ActDecision("policy", SECURITY_ADMINS, TWO_ADMINS | SUPERVISORS, "approvals", "{text}"),
            command="policy propose",
        ),
        Act(
            "POST",
            "/proposals/draft",
            "proposals.draft",
            "approvals",
            ("Have the text of a proposal made. Nothing is stored.", "生成提议的文字。不保存任何内容。"),
            roles=DECIDERS,
            shows=SocketProof.SIGNATURE,
        ),
        Act(
            "POST",
            "/proposals",
            "proposals.make",
            "approvals",
            ("Store a proposal with the first person's signature.", "保存第一人签署的提议。"),
            roles=DECIDERS,
            shows=SocketProof.SIGNATURE,
            proof=ActProof.ONE_PASSKEY,
            most_bytes=EVIDENCE_MOST_BYTES * 4 // 3 + 65_536,
        ),
        Act(
            "GET",
            "/proposals",
            "proposals.list",
            "approvals",
            ("List proposals, the newest first.", "列出提议，最新的在前。"),
            roles=DECIDERS | {PersonRole.AUDIT_ADMIN},
            shows=SocketProof.USER,
        ),
        Act(
            "GET",
            "/proposals/{proposal}",
            "proposals.show",
            "approvals",
            (
                "Show a proposal's text and its evidence. The audit trail records that you looked.",
                "显示提议的文字与证据。查看记入审计链。",
            ),
            params=NamedProposal,
            roles=DECIDERS | {PersonRole.AUDIT_ADMIN},
            shows=SocketProof.USER,
        ),
        Act(
            "POST",
            "/proposals/{proposal}/approve",
            "proposals.approve",
            "approvals",
            (
                "As second person: sign the same text; then it is carried out, once.",
                "第二人：签署同样的文字，随即执行一次。",
            ),
            params=NamedProposal,
            roles=DECIDERS,
            shows=SocketProof.SIGNATURE,
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.LOOSENS,
            moves_money=True,
        ),
        Act(
            "POST",
            "/proposals/{proposal}/withdraw",
            "proposals.withdraw",
            "approvals",
            ("End a proposal without carrying it out.", "撤回提议，不执行。"),
            params=WithdrawProposal,
            roles=DECIDERS,
            shows=SocketProof.USER,
            proof=ActProof.SESSION,
            effect=ActEffect.STOPS,
        ),
    ),
)
