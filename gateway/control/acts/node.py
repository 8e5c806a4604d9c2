"""Acts about a node: its state, its intake, the emergency stop, and messages that the broker could not deliver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.act import (
    Act,
    ActDecision,
    ActEffect,
    ActEvidence,
    ActProof,
    ClearParam,
    CommandGroup,
    ParamForm,
    ReasonParam,
    RoomActs,
    SentenceAnswer,
    SocketProof,
)
from gateway.people.rules.roles import EVERY_ROLE, RUNNERS, SUPERVISORS

MessageId = Annotated[
    str,
    ParamForm(
        ("The message id, as `bankgw parked list` shows it.", "消息编号，如 `bankgw parked list` 所示。"),
        metavar="MESSAGE",
        names="message",
    ),
]


@dataclass(frozen=True, slots=True)
class SwitchIntake:
    """Parameters: whether the node stops taking in commands."""

    on: Annotated[
        bool, ParamForm(("Take in no commands; false: take commands in again.", "停止受理；false 为恢复受理。"))
    ] = True


@dataclass(frozen=True, slots=True)
class StopEverything:
    """Parameters: the reason for stopping everything that moves money."""

    reason: ReasonParam


@dataclass(frozen=True, slots=True)
class RestartEverything:
    """Parameters: the reason why it is safe to send again."""

    reason: Annotated[
        str,
        ParamForm(
            ("Why it is safe to send again; both persons sign it.", "为何可以安全地恢复发送；两人都要签署。"),
            option="--reason",
        ),
    ]


@dataclass(frozen=True, slots=True)
class ListParked:
    """Parameters: the number of parked messages to list, and the message after which the list begins."""

    limit: Annotated[int, ParamForm(("At most so many of each kind.", "每类最多几条。"), least=1, most=1000)] = 50
    after: Annotated[str | None, ParamForm(("Continue after this message.", "接着该消息往后列。"), command=False)] = (
        None
    )


@dataclass(frozen=True, slots=True)
class ShowParked:
    """Parameters: a parked message, and whether it is shown masked or clear."""

    message: MessageId
    clear: ClearParam = False


@dataclass(frozen=True, slots=True)
class NamedMessage:
    """Parameters: one parked message."""

    message: MessageId


@dataclass(frozen=True, slots=True)
class DiscardMessage:
    """Parameters: a parked message, and the reason why nobody needs it any more."""

    message: MessageId
    reason: ReasonParam


SinceParam = Annotated[
    str | None,
    ParamForm(
        (
            "Only messages written at or after this time, as 2026-11-30T09:00+08:00.",
            "仅限该时间及以后写入的消息，如 2026-11-30T09:00+08:00。",
        ),
        bad="bad_time",
    ),
]
WordParam = Annotated[
    str | None,
    ParamForm(
        (
            "Only messages whose last try ended with this word, as returned, 403 or NO_ROUTE.",
            "仅限最后一次发布的结果含有该词的消息，如 returned、403、NO_ROUTE。",
        ),
        wire="word",
    ),
]


@dataclass(frozen=True, slots=True)
class CountParked:
    """Parameters: filters for the parked messages to the ERP that are counted."""

    since: SinceParam = None
    word: WordParam = None


@dataclass(frozen=True, slots=True)
class ReplayParked:
    """Parameters: the parked messages to the ERP that are published again: those after one message, up to and including
    another one."""

    through: Annotated[str, ParamForm(("The last message that was counted.", "计数时的最后一条消息。"))]
    after: Annotated[str, ParamForm(("Continue after this message.", "接着该消息往后。"))] = ""
    limit: Annotated[int, ParamForm(("At most so many at once.", "每次最多几条。"), least=1, most=500)] = 100
    since: SinceParam = None
    word: WordParam = None


NODE = RoomActs(
    groups=(CommandGroup("parked", ("Show messages that wait for a person.", "查看等待人工处理的消息。")),),
    acts=(
        Act(
            "GET",
            "/status",
            "node.status",
            "node",
            (
                "Show the daemon's state: readiness with reasons, lanes, broker, orders under way, certificates.",
                "守护进程的状态：是否就绪及原因、通道、消息服务器、在途付款指令、证书。",
            ),
            roles=EVERY_ROLE,
            command="status",
        ),
        Act(
            "GET",
            "/top",
            "node.top",
            "node",
            (
                "Show the work at a glance, again and again: rates per second, doubts, lanes, the oldest order, the "
                "broker.",
                "持续显示工作概况：每秒速率、结果未知、通道、最早的付款指令、消息服务器。",
            ),
            help=(
                "Keys on a terminal: q ends, s sorts the lanes by queue or by name. With --once one view is printed, "
                "for scripts. Rates are those of this node.",
                "终端上的按键：q 结束，s 切换通道按待办或名称排序。--once 只输出一次，供脚本使用。速率为本节点的。",
            ),
            roles=EVERY_ROLE,
            command="top",
        ),
        Act(
            "POST",
            "/drain",
            "node.drain",
            "node",
            (
                "Take in no more commands; accepted orders are still sent. Use it before a planned stop, or instead of one.",
                "停止受理新指令，已受理的继续办理。用于计划停机之前，或代替停机。",
            ),
            params=SwitchIntake,
            roles=RUNNERS,
            proof=ActProof.ONE_PASSKEY,
            effect=ActEffect.STOPS,
            command="drain",
        ),
        Act(
            "POST",
            "/stop",
            "node.stop",
            "node",
            (
                "Stop everything that moves money, at once and on every node that shares the journal; restarts do not "
                "end it.",
                "立即停止一切资金划转，对共用该流水库的所有节点有效；重启后仍然有效。",
            ),
            help=(
                "Orders are still taken in and wait; sent payments are asked about. Two persons start it again "
                "(`restart-all`). Exit 69: this node has stopped, and the journal could not be reached, so that the "
                "others have not heard of it yet.",
                "付款指令仍受理并等待；已发送的照常查询。由两人恢复（`restart-all`）。退出码 69：本节点已停止，"
                "但流水库无法访问，其他节点尚未得知。",
            ),
            params=StopEverything,
            command="stop-all",
            roles=RUNNERS | SUPERVISORS,
            shows=SocketProof.USER,
            proof=ActProof.ONE_PASSKEY,
            effect=ActEffect.STOPS,
        ),
        Act(
            "",
            "",
            "node.restart",
            "node",
            (
                "Propose to end the emergency stop on every node; a second person approves it with `bankgw resolve "
                "--approve`.",
                "提议在所有节点解除紧急停止；由第二人以 `bankgw resolve --approve` 批准。",
            ),
            params=RestartEverything,
            command="restart-all",
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.LOOSENS,
            moves_money=True,
            evidence=ActEvidence.OPTIONAL,
            draft=True,
            form=2,
            decision=ActDecision("restart", SUPERVISORS, SUPERVISORS, "gateway", "send"),
        ),
        Act(
            "GET",
            "/parked",
            "parked.list",
            "node",
            (
                "List events whose receiver is gone (outbox) and refused or returned commands (queue bankgw.parked).",
                "列出无人接收的通知（发件箱）与被拒或退回的指令（队列 bankgw.parked）。",
            ),
            params=ListParked,
            roles=RUNNERS,
            command="parked list",
        ),
        Act(
            "GET",
            "/parked/{message}",
            "parked.show",
            "node",
            ("Show a parked message with its body.", "显示一条滞留消息及其内容。"),
            params=ShowParked,
            proof=ActProof.COMMAND_LINE,
            command="parked show",
        ),
        Act(
            "POST",
            "/parked/{message}/replay",
            "parked.replay",
            "node",
            (
                "Publish an event again, once its receiver is back. A parked command cannot be replayed: its ERP sends it "
                "again.",
                "接收方恢复后重新发布通知。滞留的指令不能重放，由 ERP 重新发送。",
            ),
            params=NamedMessage,
            answer=(SentenceAnswer(("{message_id} is published again", "{message_id} 已重新发布")),),
            command="parked replay",
            roles=RUNNERS,
            proof=ActProof.SESSION,
        ),
        Act(
            "GET",
            "/replays",
            "parked.count",
            "node",
            ("Count the parked messages to the ERP that would be published again.", "统计将重新发布的滞留通知。"),
            params=CountParked,
            roles=RUNNERS,
        ),
        Act(
            "POST",
            "/replays",
            "parked.replay_all",
            "node",
            (
                "Publish parked messages to the ERP again, the oldest first. Parked commands of an ERP are left alone.",
                "按先后顺序重新发布滞留的通知。ERP 的滞留指令不会重放。",
            ),
            params=ReplayParked,
            roles=RUNNERS,
            proof=ActProof.SESSION,
        ),
        Act(
            "POST",
            "/parked/{message}/discard",
            "parked.discard",
            "node",
            (
                "Mark a parked event as dealt with. Its copy stays in queue bankgw.unrouted.news.",
                "将滞留的通知记为已处理。其副本保留在队列 bankgw.unrouted.news 中。",
            ),
            params=DiscardMessage,
            answer=(SentenceAnswer(("{message_id} is dealt with", "{message_id} 已处理")),),
            command="parked discard",
            proof=ActProof.COMMAND_LINE,
        ),
    ),
)
