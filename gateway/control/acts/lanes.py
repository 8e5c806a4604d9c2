"""Acts about lanes (logins at banks): pauses, exchanges, and the sends that a restored database lacks."""

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
    TableAnswer,
)
from gateway.people.rules.roles import EVERY_ROLE, MONEY_ROLES, RUNNERS, SUPERVISORS

LaneParam = Annotated[
    str,
    ParamForm(
        ("BANK.LOGIN, as `bankgw lanes list` names it.", "银行.登录名，如 `bankgw lanes list` 所示。"),
        metavar="LANE",
        names="lane",
    ),
]


@dataclass(frozen=True, slots=True)
class PauseLane:
    """Parameters: a lane, and the reason for pausing it."""

    lane: LaneParam
    reason: ReasonParam


@dataclass(frozen=True, slots=True)
class ResumeLane:
    """Parameters: a lane, and the reason why it may send again."""

    lane: LaneParam
    reason: Annotated[
        str,
        ParamForm(
            ("Why it may send again; both persons sign it.", "为何可以恢复发送；两人都要签署。"), option="--reason"
        ),
    ] = ""


@dataclass(frozen=True, slots=True)
class ReleaseRestored:
    """Parameters: a lane, and the findings about the sends that the database does not have any more."""

    lane: LaneParam
    reason: Annotated[
        str,
        ParamForm(
            (
                "The findings about the forgotten sends, and how they were made.",
                "对遗失的发送记录查明了什么，如何查明。",
            ),
            option="--reason",
        ),
    ]


@dataclass(frozen=True, slots=True)
class ProbeLane:
    """Parameters: a lane, and the time-out for each answer."""

    lane: LaneParam
    wait: Annotated[
        float, ParamForm(("Seconds to wait for each answer.", "每个应答等待的秒数。"), least=0.1, most=120)
    ] = 10.0


@dataclass(frozen=True, slots=True)
class TraceLane:
    """Parameters: a lane, and its events to show: the last ones, or those after a number."""

    lane: LaneParam
    last: Annotated[int, ParamForm(("How many events to show.", "显示多少条。"), least=1, most=1000)] = 40
    after: Annotated[
        int | None, ParamForm(("Only events after this number.", "只要此编号之后的。"), least=0, command=False)
    ] = None


@dataclass(frozen=True, slots=True)
class FindBranch:
    """Parameters: the bank that is asked, and a part of a branch's name or its number."""

    bank: Annotated[
        str,
        ParamForm(
            ("Whom to ask: the name of its table in the settings.", "向哪家银行查询：设置中该银行的表名。"),
            metavar="BANK",
            names="bank",
        ),
    ]
    name: Annotated[
        str | None, ParamForm(("A part of the branch's name.", "网点名称中的文字。"), metavar="TEXT", option="argument")
    ] = None
    cnaps: Annotated[str | None, ParamForm(("The branch's 12-digit number.", "12 位联行号。"), metavar="NUMBER")] = None
    limit: Annotated[int, ParamForm(("At most so many.", "最多几条。"), least=1, most=200)] = 50


LANES = RoomActs(
    groups=(CommandGroup("lanes", ("Show lanes (logins at banks) and control them.", "查看并控制通道（银行登录）。")),),
    acts=(
        Act(
            "GET",
            "/lanes",
            "lanes.list",
            "lanes",
            ("List every lane and its condition.", "列出各通道及其状态。"),
            command="lanes list",
            roles=EVERY_ROLE,
        ),
        Act(
            "POST",
            "/lanes/{lane}/pause",
            "lanes.pause",
            "lanes",
            (
                "Send nothing on this lane until it is resumed, restarts included. Questions and enquiries go on.",
                "暂停该通道的发送，直到恢复为止，重启后仍然有效。查询照常进行。",
            ),
            help=("It holds on every node, wherever it is given.", "无论在哪个节点发出，对所有节点都有效。"),
            params=PauseLane,
            command="lanes pause",
            roles=RUNNERS,
            proof=ActProof.ONE_PASSKEY,
            effect=ActEffect.STOPS,
        ),
        Act(
            "POST",
            "/lanes/{lane}/resume",
            "lanes.resume",
            "lanes",
            (
                "End the operator's pause. Where there are administrators, a supervisor signs it, and a second "
                "one approves it with `bankgw resolve --approve`.",
                "解除操作员的暂停。设有管理员后，由一名主管签署，另一名主管以 `bankgw resolve --approve` 批准。",
            ),
            help=(
                "A lane that waits because an older database was put back needs `bankgw leave-safe-mode` instead.",
                "因恢复旧数据库而等待的通道须用 `bankgw leave-safe-mode`。",
            ),
            params=ResumeLane,
            command="lanes resume",
            roles=RUNNERS,
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.LOOSENS,
            evidence=ActEvidence.OPTIONAL,
            draft=True,
            form=2,
            decision=ActDecision("resume_lane", SUPERVISORS, SUPERVISORS, "{lane}", "send", until_administrators=True),
        ),
        Act(
            "",
            "",
            "lanes.leave_safe_mode",
            "lanes",
            (
                "Propose that a lane sends again although an older database was restored; a second person approves "
                "it with `bankgw resolve --approve`. First ask the bank about each line of `bankgw lanes forgotten`.",
                "提议恢复旧数据库之后通道重新发送；由第二人以 `bankgw resolve --approve` 批准。"
                "须先就 `bankgw lanes forgotten` 的每一行向银行核实。",
            ),
            params=ReleaseRestored,
            command="leave-safe-mode",
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.LOOSENS,
            evidence=ActEvidence.OPTIONAL,
            draft=True,
            # Journals and signed texts have used this word from the start.
            form=2,
            decision=ActDecision("resume", SUPERVISORS, SUPERVISORS, "{lane}", "send"),
        ),
        Act(
            "POST",
            "/lanes/{lane}/probe",
            "lanes.probe",
            "lanes",
            (
                "Test the connection to the bank step by step: name, TCP, TLS, framing, sign-on, signatures, heartbeat, clock, balance.",
                "逐级检查到银行的线路：域名、TCP、TLS、报文框架、签到、签名、心跳、时钟、余额。",
            ),
            params=ProbeLane,
            roles=RUNNERS,
            proof=ActProof.SESSION,
            command="lanes probe",
        ),
        Act(
            "GET",
            "/lanes/{lane}/trace",
            "lanes.trace",
            "lanes",
            (
                "Show the lane's last connections and exchanges: what was signed, sent and received, and why they ended.",
                "显示通道最近的连接与收发：签名、发送、接收的内容及结束原因。",
            ),
            params=TraceLane,
            proof=ActProof.COMMAND_LINE,
            command="lanes trace",
        ),
        Act(
            "GET",
            "/past",
            "lanes.forgotten",
            "lanes",
            (
                "List the sends that the database does not know, but this machine's permit log does: ask the bank "
                "about each.",
                "列出数据库中没有、而本机发送许可日志中有的发送记录：须逐笔向银行核实。",
            ),
            answer=(
                TableAnswer(
                    "sends",
                    (
                        AnswerColumn("lane", ("lane", "通道")),
                        AnswerColumn("bank_reference", ("reference", "银行参考号")),
                        AnswerColumn("attempt", ("attempt", "第几次")),
                    ),
                    ("nothing forgotten", "没有遗失的记录"),
                ),
            ),
            command="lanes forgotten",
            proof=ActProof.COMMAND_LINE,
        ),
        Act(
            "GET",
            "/directory/{bank}",
            "directory.find",
            "lanes",
            (
                "Ask a bank which branches have a name, or a number (联行号). Exit 0 also when the bank knows none.",
                "向银行查询某名称或联行号的网点。查无结果时退出码也是 0。",
            ),
            help=(
                "Exit 3 when the bank has no directory, 69 when no lane of it can be asked or it does not answer, 1 "
                "when its answer is a refusal or cannot be used.",
                "该银行没有行名行号查询时退出码为 3；没有可用通道或银行无应答为 69；被银行拒绝或应答无法使用为 1。",
            ),
            params=FindBranch,
            roles=MONEY_ROLES,
            command="directory",
        ),
    ),
)
