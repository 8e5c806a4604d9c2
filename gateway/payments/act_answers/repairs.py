"""Handlers of the acts about rows that SQL altered or removed: list them, and rebuild them by a decision of two
supervisors.

Rows are rebuilt from the audit chain and the permit log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.call import Call, answers
from gateway.kernel.commit.store import Store, Tx
from gateway.kernel.core.code_names import STATE_NAMES
from gateway.kernel.sql.vaults import vault_of
from gateway.language import bilingual, coded
from gateway.payments.rows import repairs
from gateway.people.rows.persons import No
from gateway.people.rows.proposals import Proposal
from gateway.people.rules.signed_text import DecisionFacts, fact

CHOICES = ("rebuilt",)
"""The one decision: the rows as the chain tells, or stricter."""
_MEANT = coded(CHOICES[0], {CHOICES[0]: "重建"})


@dataclass(frozen=True, slots=True)
class RepairAnswers:
    """Answers the act that lists altered rows. A repair is proposed with the acts about proposals."""

    store: Store

    @answers("repair.list")
    async def listing(self, _call: Call) -> Any:
        """The open payments whose rows were altered by SQL. Reads every open payment."""
        found = await self.store.read(lambda conn: repairs.broken(conn, vault_of(conn)))
        return {
            "repairs": [
                {
                    "payment": payment,
                    "order": order,
                    "wrong": wrong,
                    "command": f'bankgw repair propose {payment} --reason "…"',
                }
                for payment, order, wrong in found
            ]
        }


def facts(tx: Tx, name: str, *, safe_mode: bool) -> DecisionFacts | No:
    """The payment's rows before and after the repair. Both persons sign them."""
    if safe_mode:
        return No(
            "not_now",
            "in SAFE MODE nothing is rebuilt, because the database may have forgotten entries of the "
            "audit chain; end SAFE MODE first (docs/do/restore.md). Nothing was changed",
        )
    found = _planned(tx, name)
    if isinstance(found, No):
        return found
    if isinstance(found, repairs.Removal):
        said = (fact("payment", "付款编号", found.payment), fact("order", "付款指令", found.order), *found.changes)
        effect = bilingual(
            "the row of order {order}, which the gateway never wrote, is removed",
            "删除付款指令 {order} 的行，该行并非网关写入",
            order=found.order,
        )
        return DecisionFacts(said, found.payment, f"order {found.order}", effect, _MEANT)
    row, name = found.row, f"{found.row.sender}:{found.row.order.id}"
    amount = f"{row.order.amount} {row.order.amount.currency}"
    effect = bilingual(
        "the altered rows of order {order} over {amount} are rebuilt; its state is then {state}, and it is not sent by "
        "this",
        "重建付款指令 {order}（金额 {amount}）被改动的行；其后状态为 {state}，不因此发送",
        order=name,
        amount=amount,
        state=coded(row.life.state.value, STATE_NAMES),
    )
    said = (
        fact("payment", "付款编号", row.payment),
        fact("order", "付款指令", name),
        fact("lane", "通道", row.lane),
        fact("amount", "金额", amount),
        fact("creditor", "收款账号", str(row.order.creditor.account)),
        *found.changes,
    )
    return DecisionFacts(said, row.payment, f"order {name}", effect, _MEANT)


def carry_out(tx: Tx, proposal: Proposal, actor: str, names: dict[str, Any]) -> No | None:
    """Rebuild the rows as both persons signed. This unit has determined the facts again, so the rows are still as
    signed."""
    found = _planned(tx, proposal.subject)
    if isinstance(found, No):
        return found
    detail = {**names, "proposal": proposal.proposal, "reason": proposal.note}
    if isinstance(found, repairs.Removal):
        repairs.remove(tx, found, actor, detail)
    else:
        repairs.carry_out(tx, found, actor, detail)
    return None


def _planned(tx: Tx, name: str) -> repairs.Repair | repairs.Removal | No:
    payment = repairs.find(tx.fresh, name)
    if payment is None:
        return No(
            "no_such_order",
            f"table payments has no row of order {name}, and its order stands nowhere else: "
            f"only a backup has it (docs/do/restore.md)",
        )
    found = repairs.plan(tx, payment)
    return No("not_now", f"order {name} ({payment}): {found}; nothing was changed") if isinstance(found, str) else found
