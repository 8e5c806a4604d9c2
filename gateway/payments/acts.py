"""Acts about payments: list, release, cancel, enquire, decide a doubt, register a payee, rebuild rows."""

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
    ClearParam,
    CommandGroup,
    OrderParam,
    ParamForm,
    ReasonParam,
    RoomActs,
    TableAnswer,
)
from gateway.people.rules.roles import READERS, SUPERVISORS, PersonRole

OrderOrBatchParam = Annotated[
    str,
    ParamForm(
        (
            "The payment's key, or SENDER:ID of an order or a whole batch.",
            "付款的编号，或付款指令、整个批次的 SENDER:ID。",
        ),
        metavar="ORDER",
        names="order",
    ),
]


@dataclass(frozen=True, slots=True)
class ListOrders:
    """Selects the orders that are listed, and after which one the list begins."""

    state: Annotated[
        str | None,
        ParamForm(
            ("Only these states, separated by commas: held,in_doubt …", "仅这些状态，以逗号分隔：held,in_doubt ……")
        ),
    ] = None
    sender: Annotated[str | None, ParamForm(("Only this sender's.", "仅该来源系统的。"))] = None
    bank: Annotated[str | None, ParamForm(("Only this bank's.", "仅该银行的。"), names="bank")] = None
    lane: Annotated[str | None, ParamForm(("Only this lane's.", "仅该通道的。"), command=False)] = None
    id: Annotated[str | None, ParamForm(("Only this id of an order.", "仅该付款指令编号的。"), command=False)] = None
    batch: Annotated[str | None, ParamForm(("Only the items of this batch.", "仅该批次的明细。"), metavar="ID")] = None
    limit: Annotated[
        int, ParamForm(("At most so many, newest first.", "最多几条，最新的在前。"), least=1, most=1000)
    ] = 50
    after: Annotated[
        str | None,
        ParamForm(("Continue after this key: `next` of the previous page.", "接着该编号往后列：上一页的 `next`。")),
    ] = None


@dataclass(frozen=True, slots=True)
class ShowOrder:
    """An order or a batch, masked or clear."""

    order: OrderOrBatchParam
    clear: ClearParam = False


@dataclass(frozen=True, slots=True)
class ReleaseOrder:
    """The order to release, the reason, and which holds are cleared."""

    order: OrderOrBatchParam
    reason: ReasonParam
    held_for: Annotated[
        str | None,
        ParamForm(
            (
                "Clear these, commas between: approval, new_payee, suspected_duplicate …",
                "解除这些待放行原因，以逗号分隔：approval、new_payee、suspected_duplicate ……",
            ),
            metavar="REASONS",
            bad="bad_reason",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class WithdrawOrder:
    """The order to withdraw, and the reason."""

    order: OrderOrBatchParam
    reason: ReasonParam


@dataclass(frozen=True, slots=True)
class NamedOrder:
    """One order."""

    order: OrderParam


@dataclass(frozen=True, slots=True)
class RegisterPayee:
    """An order to the payee, and how the payee is known."""

    order: Annotated[
        str,
        ParamForm(
            (
                "An order to the payee: the payment's key, or SENDER:ID.",
                "付给该收款人的一笔指令：付款的编号，或 SENDER:ID。",
            ),
            metavar="ORDER",
        ),
    ]
    reason: Annotated[
        str,
        ParamForm(
            ("How you know the payee: a contract, a call to whom.", "如何核实该收款人：合同，或致电何人。"),
            option="--reason",
        ),
    ]


@dataclass(frozen=True, slots=True)
class DecideDoubt:
    """A payment in doubt, its outcome, and what the evidence shows."""

    order: OrderParam
    to: Annotated[
        str,
        ParamForm(
            (
                "settled, failed, or ready (to be sent once more).",
                "settled（已成功）、failed（已失败）或 ready（再发一次）。",
            ),
            option="--as",
            metavar="STATE",
        ),
    ]
    note: Annotated[str, ParamForm(("What the evidence shows, and who confirmed it.", "证据说明了什么，由谁确认。"))]


@dataclass(frozen=True, slots=True)
class RepairRows:
    """The payment whose rows are rebuilt, and the reason."""

    order: Annotated[
        str, ParamForm(("The payment's key, or SENDER:ID.", "付款的编号，或 SENDER:ID。"), metavar="ORDER")
    ]
    reason: ReasonParam


PAYMENTS = RoomActs(
    groups=(
        CommandGroup("orders", ("Look at orders and act on them.", "查看付款指令并处理。")),
        CommandGroup("payees", ("Payees that are registered by two persons.", "由两人登记的收款人。")),
        CommandGroup(
            "repair",
            ("Rebuild rows of the journal that SQL altered or removed.", "重建被 SQL 篡改或删除的流水库记录。"),
        ),
    ),
    acts=(
        Act(
            "GET",
            "/orders",
            "orders.list",
            "payments",
            (
                "List orders, the newest first. `orders show` takes the value of column `order`.",
                "列出付款指令，最新的在前。`orders show` 接受 `指令` 一栏的值。",
            ),
            params=ListOrders,
            roles=READERS,
            scoped=True,
            command="orders list",
        ),
        Act(
            "GET",
            "/orders/{order}",
            "orders.show",
            "payments",
            (
                "Show one order and everything that happened to it, from the ERP's message to the bank's bytes.",
                "显示一笔付款指令及其全过程：从 ERP 的消息到银行的报文。",
            ),
            params=ShowOrder,
            roles=READERS,
            scoped=True,
            command="orders show",
        ),
        Act(
            "POST",
            "/orders/{order}/release",
            "orders.release",
            "payments",
            (
                "Clear reasons for which an order is held: when none is left, it is sent once its bank is open. Of a "
                "batch: all its held items at once.",
                "解除付款指令的待放行原因：原因全部解除后，银行营业时即发送。批次则一次解除其全部待放行明细。",
            ),
            help=(
                "Each reason is cleared apart: where there are several, --held-for names those that you clear. The "
                "others stay, and amounts and payees are judged again. Where there are administrators, a supervisor "
                "signs it, who did not make the order, and a second one approves it with `bankgw resolve --approve`.",
                "每个原因分别解除：原因不止一个时，以 --held-for 指明要解除哪些。其余保留，金额与收款人重新判断。"
                "设有管理员后，由非经办人的一名主管签署，另一名主管以 `bankgw resolve --approve` 批准。",
            ),
            params=ReleaseOrder,
            command="orders release",
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.LOOSENS,
            moves_money=True,
            evidence=ActEvidence.OPTIONAL,
            draft=True,
            form=2,
            decision=ActDecision(
                "release", SUPERVISORS, SUPERVISORS, "{order}", "{held_for}", "send", until_administrators=True
            ),
        ),
        Act(
            "POST",
            "/orders/{order}/cancel",
            "orders.cancel",
            "payments",
            (
                "Withdraw an order that was not sent yet. Of a batch: every item that was not.",
                "撤销尚未发送的付款指令。批次则撤销其全部未发送的明细。",
            ),
            params=WithdrawOrder,
            command="orders cancel",
            proof=ActProof.COMMAND_LINE,
            effect=ActEffect.STOPS,
        ),
        Act(
            "POST",
            "/orders/{order}/enquire",
            "orders.enquire",
            "payments",
            (
                "Ask the bank now for the result of an order. This never sends the order again.",
                "立即向银行查询付款结果。绝不会因此重发。",
            ),
            params=NamedOrder,
            command="orders enquire",
            roles=frozenset({PersonRole.SUPERVISOR}),
            scoped=True,
            proof=ActProof.SESSION,
        ),
        Act(
            "",
            "",
            "orders.resolve",
            "payments",
            (
                "Decide a payment in doubt, by two enrolled persons with evidence.",
                "裁定结果未知的付款：由两名已登记人员凭证据裁定。",
            ),
            params=DecideDoubt,
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.LOOSENS,
            moves_money=True,
            evidence=ActEvidence.REQUIRED,
            draft=True,
            form=2,
            decision=ActDecision("resolve", SUPERVISORS, SUPERVISORS, "{order}", "{to}"),
            command="resolve",
        ),
        Act(
            "",
            "",
            "payees.register",
            "payments",
            (
                "Propose that an order's payee (account, name and bank) is known for its sender, whatever the amount. "
                "A second person approves it with `bankgw resolve --approve`. The order itself stays held until it is "
                "released.",
                "提议将付款指令的收款人（账号、户名、银行）登记为该来源系统的已知收款人，不限金额。"
                "由第二人以 `bankgw resolve --approve` 批准。该指令本身在放行前仍为待放行。",
            ),
            params=RegisterPayee,
            command="payees register",
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.LOOSENS,
            evidence=ActEvidence.OPTIONAL,
            draft=True,
            form=2,
            decision=ActDecision("register", SUPERVISORS, SUPERVISORS, "{order}", "known"),
        ),
        Act(
            "GET",
            "/repairs",
            "repair.list",
            "payments",
            (
                "List open payments whose rows are not as the gateway left them, each with the command that proposes "
                "to mend it. Reads every open payment and its audit entries. What is final by its row, `bankgw audit "
                "verify` compares.",
                "列出记录与网关所写不一致的未了结付款，每笔附提议修复的命令。逐笔读取未了结付款及其审计记录；"
                "已终结的由 `bankgw audit verify` 核对。",
            ),
            answer=(
                TableAnswer(
                    "repairs",
                    (
                        AnswerColumn("order", ("order", "指令")),
                        AnswerColumn("payment", ("payment", "付款编号")),
                        AnswerColumn("wrong", ("what is wrong", "不符之处")),
                        AnswerColumn("command", ("to mend it", "修复命令")),
                    ),
                    ("every open payment is as the gateway left it", "未了结付款的记录均与网关所写一致"),
                ),
            ),
            command="repair list",
            roles=frozenset({PersonRole.SUPERVISOR, PersonRole.SYSTEM_ADMIN, PersonRole.AUDIT_ADMIN}),
        ),
        Act(
            "",
            "",
            "repair.propose",
            "payments",
            (
                "As supervisor of all accounts: propose to rebuild a payment's rows (payments, attempts, work) from "
                "the audit chain and the permit log. Another supervisor reads the same columns before and after, and "
                "approves it with `bankgw resolve --approve`. It never becomes ready and never has fewer sends: what "
                "was ready is held, what may have left is in doubt.",
                "全部账户的主管：提议依审计链与发送许可日志重建一笔付款的记录（payments、attempts、work）。"
                "另一名主管核对同样的前后各栏，以 `bankgw resolve --approve` 批准。重建后不会变为待发送，发送次数不会减少："
                "原为待发送的转为待放行，可能已发出的转为结果未知。",
            ),
            params=RepairRows,
            command="repair propose",
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.LOOSENS,
            draft=True,
            form=2,
            decision=ActDecision("repair", SUPERVISORS, SUPERVISORS, "{order}", "rebuilt"),
        ),
    ),
)
