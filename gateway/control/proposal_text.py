"""Makes the text of a proposal, which both persons sign.

Proposals are about a payment in doubt, a lane in SAFE MODE or paused, a paused company, an emergency stop, a payee, or
held orders.

The text has every fact whose change must make a proposal stale. An enquiry without news changes a payment's version,
but none of these facts; otherwise no proposal could outlive the next enquiry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from gateway import gate_lists
from gateway.approvals.act_answers import policy_changes
from gateway.control.ports import DecisionPorts
from gateway.kernel.cluster import lane_pauses, restored_database, sealing, stops
from gateway.kernel.cluster.lane_pauses import FROM_THE_PAST
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core import gate
from gateway.kernel.core.code_names import STATE_NAMES
from gateway.kernel.core.states import KNOWN
from gateway.language import BilingualText, bilingual, coded
from gateway.payments.act_answers import order_decisions, repairs
from gateway.payments.gates.release_facts import ReleaseFacts
from gateway.payments.rows import bundles, lookup, payees
from gateway.people.act_answers import people_changes
from gateway.people.rows.persons import No, Person
from gateway.people.rows.proposals import ProposalKind
from gateway.people.rules import signed_text
from gateway.people.rules.signed_text import Action, DecisionFacts, SignedFact, fact
from gateway.pools.act_answers import linked_orders, liquidity
from gateway.register.registry import Registry
from protocols.canon.outcome import Fate, State
from protocols.erp.news import instant

FATES: Mapping[str, Fate | None] = {"settled": Fate.SETTLED, "failed": Fate.FAILED, "ready": None}
CHOICES: Mapping[ProposalKind, tuple[str, ...]] = {
    ProposalKind.RESOLVE: tuple(FATES),
    ProposalKind.LEAVE_SAFE_MODE: ("send",),
    ProposalKind.RESTART: ("send",),
    ProposalKind.REGISTER: ("known",),
    ProposalKind.RESUME_LANE: ("send",),
    ProposalKind.RESUME_COMPANY: ("send",),
    ProposalKind.LINK: linked_orders.CHOICES,
    ProposalKind.REPAIR: repairs.CHOICES,
}
_DOUBT = (State.IN_DOUBT, State.ESCALATED)
KIND_NAMES: Mapping[str, str] = {
    ProposalKind.RESOLVE: "裁定结果未知的付款",
    ProposalKind.LEAVE_SAFE_MODE: "通道解除安全模式",
    ProposalKind.RESTART: "结束紧急停止",
    ProposalKind.REGISTER: "登记收款人",
    ProposalKind.RELEASE: "放行付款",
    ProposalKind.RESUME_LANE: "恢复通道",
    ProposalKind.RESUME_COMPANY: "恢复公司付款",
    ProposalKind.ENROL: "录入人员",
    ProposalKind.ROLES: "变更角色",
    ProposalKind.DEACTIVATE: "停用人员",
    ProposalKind.RESET: "更换密钥",
    ProposalKind.POLICY: "审批策略生效",
    ProposalKind.POOL: "资金池生效或关闭",
    ProposalKind.POOL_RUN: "运行资金池",
    ProposalKind.LINK: "联动资金的去向",
    ProposalKind.REPAIR: "重建被改动的行",
}
"""The Chinese name of each kind, as both persons sign it."""
_CHOICE_NAMES: Mapping[str, str] = {
    "settled": "已支付",
    "failed": "未支付",
    "ready": "再次发送",
    "send": "恢复发送",
    "known": "已知收款人",
}
_PAUSES: Mapping[str, str] = {
    FROM_THE_PAST: "数据库恢复自过去",
    lane_pauses.OPERATOR: "人工暂停",
    stops.STOPPED: "紧急停止",
}


@dataclass(frozen=True, slots=True)
class ProposedAction:
    """The action that a person proposes. `subject` is a payment (key or SENDER:ID), a lane, or `gateway`."""

    kind: ProposalKind
    subject: str
    to: str
    note: str
    evidence_sha256: str | None


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """A proposal's action with its text, the subject's own key, and its name in a sentence."""

    action: Action
    subject: str
    title: str


def sha256(octets: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(octets).hexdigest()


def action(
    tx: Tx,
    wanted: ProposedAction,
    key: str,
    person: Person,
    expires_ms: int,
    ports: DecisionPorts,
    form: int = signed_text.FORM,
) -> PlannedAction | No:
    """The proposal's text according to the present facts, or the reason why it cannot be made. `form` is the version of
    the text: that of the text which the first person signed."""
    found = _facts(tx, wanted, person, ports)
    if isinstance(found, No):
        return found
    common = (
        fact("proposal", "提议编号", key),
        fact("kind", "事项", coded(wanted.kind.value, KIND_NAMES)),
        SignedFact(signed_text.TO, found.to),
        *found.facts,
        fact("reason", "理由", wanted.note),
        SignedFact(signed_text.EVIDENCE, coded(wanted.evidence_sha256 or "none", signed_text.NONE)),
        fact("proposed-by", "提议人", person.name),
        fact("proposed-by-uid", "提议人用户号", str(person.uid)),
        fact("proposed-by-key", "提议人密钥指纹", person.fingerprint),
        fact("expires", "有效期至", instant(expires_ms)),
    )
    return PlannedAction(Action(found.effect, common, form), found.subject, found.title)


def _facts(tx: Tx, wanted: ProposedAction, person: Person, ports: DecisionPorts) -> DecisionFacts | No:
    kind, name, to = wanted.kind, wanted.subject, wanted.to
    if kind in (ProposalKind.RESOLVE, ProposalKind.REGISTER):
        return _about_order(tx, wanted, ports)
    if kind in people_changes.KINDS:
        return people_changes.facts(tx, kind, name, to, person.name, ports.accounts())
    if kind is ProposalKind.POLICY:
        return policy_changes.facts(tx, name, to, ports.accounts())
    if kind is ProposalKind.REPAIR:
        return repairs.facts(tx, name, safe_mode=ports.node.safe_mode())
    if kind is ProposalKind.LINK:
        return linked_orders.facts(tx, name, to)
    if kind is ProposalKind.POOL:
        return liquidity.facts(tx, name, to, ports)
    if kind is ProposalKind.POOL_RUN:
        return liquidity.run_facts(tx, name, to, ports)
    if kind is ProposalKind.RELEASE:
        return order_decisions.facts(tx, name, to, ports.lanes.lanes, ports.accounts)
    if kind is ProposalKind.RESTART:
        return _stop_facts(tx, wanted)
    if kind is ProposalKind.RESUME_LANE:
        return _pause_facts(tx, wanted, ports)
    if kind is ProposalKind.RESUME_COMPANY:
        return _company_facts(tx, wanted)
    return _why_not_let_go(tx, name, ports) or _lane_facts(wanted, ports)


def _about_order(tx: Tx, wanted: ProposedAction, ports: DecisionPorts) -> DecisionFacts | No:
    sender, colon, order_id = wanted.subject.partition(":")
    row = lookup.find(tx.fresh, sender, order_id) if colon else lookup.fetch(tx.fresh, wanted.subject)
    if row is None:
        return No("no_such_order", f"there is no order {wanted.subject}; name it by its key, or as SENDER:ID")
    resolves = wanted.kind is ProposalKind.RESOLVE
    why = _why_not(tx, row, wanted.to, ports.accounts()) if resolves else _why_not_register(tx, row)
    if why is not None:
        return No("not_now", f"order {row.sender}:{row.order.id} ({row.payment}): {why}; nothing was changed")
    return _payment_facts(row, wanted.to) if resolves else _payee_facts(tx, row, wanted.to)


def _why_not_let_go(tx: Tx, name: str, ports: DecisionPorts) -> No | None:
    """The reason why two persons cannot release this lane for sending; None if they can."""
    lane = ports.lanes.lanes.get(name)
    if lane is None:
        there = ", ".join(sorted(ports.lanes.lanes))
        return No("no_such_lane", f"there is no lane {name}; there are {there}")
    if FROM_THE_PAST not in lane.paused:
        return No(
            "not_now", f"lane {name} is not in SAFE MODE; a pause by an operator ends with `bankgw lanes resume {name}`"
        )
    contradictions = sealing.contradictions(ports.past.past())
    if contradictions:
        return No(
            "not_now",
            f"this journal of an older version is not sealed while it has {contradictions} "
            f"contradictions: mend what `bankgw audit verify` names, then restart the daemon",
        )
    if not ports.past.past().holds(name):
        # Only that node knows which sends were forgotten; here the persons would sign that there were none.
        others = restored_database.elsewhere(tx.fresh, tx.node).items()
        there = ", ".join(node for node, cleared in others if name not in cleared)
        return No(
            "not_now",
            f"lane {name} is in SAFE MODE because of what another node found; propose it on the node that knows the "
            f"forgotten sends: {there or 'the node that found it'}",
        )
    return None


def _why_not(tx: Tx, row: PaymentRow, to: str, registry: Registry) -> str | None:
    life, rules = row.life, row.life.rules
    if life.state not in _DOUBT:
        return f"it is {life.state.value}, and only doubt can be decided"
    if to != "ready":
        return None
    if bundles.has_left(tx.fresh, row.payment):
        return (
            "it travelled with others in one message, and neither that message nor an order out of it is sent "
            "once more; wait for the bank's word, or decide `failed` on its written word and have the ERP pay anew "
            "under a new id"
        )
    # A second send under the same reference is allowed only if the bank itself, asked late enough, does not know it.
    if life.not_found == KNOWN:
        return (
            "the bank has acknowledged it, so its `not found` proves nothing any more; decide `settled` or "
            "`failed` on the bank's written word"
        )
    if life.not_found < rules.not_found_needed:
        return (
            f"the bank said `not found` {life.not_found} times to questions asked after its quarantine of "
            f"{rules.quarantine_ms // 1000} s, and {rules.not_found_needed} are needed before it may be sent once "
            f"more; wait, ask (`bankgw orders enquire`), or decide `failed` and have the ERP pay anew"
        )
    if life.valid_until_ms is not None and life.valid_until_ms <= tx.now_ms:
        return f"its valid_until ({instant(life.valid_until_ms)}) has passed; decide `failed` instead"
    against = gate.first(gate_lists.RESEND, ReleaseFacts(tx, row, (), registry))
    return None if against is None else against.why


def _why_not_register(tx: Tx, row: PaymentRow) -> str | None:
    if row.order.ours is not row.order.debtor:
        return "it collects money; only whom we pay is a payee"
    if payees.is_registered(tx.fresh, row.sender, row.order):
        return f"its payee is registered already for sender {row.sender}"
    return None


def _payee_facts(tx: Tx, row: PaymentRow, to: str) -> DecisionFacts:
    """The payee as the order names it. The fingerprint binds the full account, name and bank to the signed text."""
    payee, order = row.order.creditor, f"{row.sender}:{row.order.id}"
    account, name = str(payee.account), str(payee.name)
    bank = payee.cnaps or payee.bank_name or payee.bic
    said = (
        fact("sender", "来源系统", row.sender),
        fact("order", "付款指令", order),
        fact("payee-account", "收款账号", account),
        fact("payee-name", "收款人", name),
        fact("payee-bank", "收款行", bank or bilingual("not named", "未注明")),
        fact("payee-fingerprint", "收款人指纹", payees.blind_key(tx.vault, row.order)),
    )
    effect = bilingual(
        "the payee of order {order}, {name} with account {account}, counts as known to sender {sender}",
        "付款指令 {order} 的收款人 {name}（账号 {account}）对来源系统 {sender} 登记为已知收款人",
        order=order,
        name=name,
        account=account,
        sender=row.sender,
    )
    return DecisionFacts(said, row.payment, f"order {order}", effect, coded(to, _CHOICE_NAMES))


_DECIDED: Mapping[str, tuple[str, str]] = {
    "settled": (
        "order {order} over {amount}, whose result is unknown, counts as paid by the bank",
        "结果未知的付款指令 {order}（金额 {amount}）裁定为银行已支付",
    ),
    "failed": (
        "order {order} over {amount}, whose result is unknown, counts as not paid, and is never sent again",
        "结果未知的付款指令 {order}（金额 {amount}）裁定为未支付，不再发送",
    ),
    "ready": (
        "order {order} over {amount}, whose result is unknown, is sent to its bank once more under the same reference",
        "结果未知的付款指令 {order}（金额 {amount}）以同一参考号再次发送给银行",
    ),
}


def _payment_facts(row: PaymentRow, to: str) -> DecisionFacts:
    life, order = row.life, f"{row.sender}:{row.order.id}"
    amount = f"{row.order.amount} {row.order.amount.currency}"
    said = (
        fact("payment", "付款编号", row.payment),
        fact("order", "付款指令", order),
        fact("amount", "金额", amount),
        fact("creditor", "收款账号", str(row.order.creditor.account)),
        fact("lane", "通道", row.lane),
        fact("bank-reference", "银行参考号", row.bank_ref),
        fact("from", "目前状态", coded(life.state.value, STATE_NAMES)),
        fact("told-seq", "已发给 ERP 的消息序号", str(life.seq)),
        fact("sends", "发送次数", str(life.attempt)),
    )
    effect = BilingualText(_DECIDED[to], {"order": order, "amount": amount})
    return DecisionFacts(said, row.payment, f"order {order}", effect, coded(to, _CHOICE_NAMES))


def _stop_facts(tx: Tx, wanted: ProposedAction) -> DecisionFacts | No:
    stop = stops.last(tx.fresh)
    if wanted.subject != stops.SUBJECT or not stop.stopped:
        return No("not_now", "there is no emergency stop in force; nothing was changed")
    said = (
        fact("from", "目前状态", coded(stops.STOPPED, _PAUSES)),
        fact("stop", "紧急停止编号", str(stop.number)),
        fact("stopped-by", "停止人", stop.by),
        fact("stopped-at", "停止时间", instant(stop.at_ms)),
        fact("stopped-because", "停止理由", stop.reason),
    )
    effect = bilingual(
        "emergency stop {stop} ends, and every lane may send again",
        "紧急停止 {stop} 结束，所有通道可以再次发送",
        stop=str(stop.number),
    )
    return DecisionFacts(said, stops.SUBJECT, "the emergency stop", effect, coded(wanted.to, _CHOICE_NAMES))


def _pause_facts(tx: Tx, wanted: ProposedAction, ports: DecisionPorts) -> DecisionFacts | No:
    lane = wanted.subject
    pause = lane_pauses.said(tx.fresh, [lane])[lane]
    if lane not in ports.lanes.lanes or not pause.paused:
        return No("not_now", f"no operator has paused lane {lane}; nothing was changed")
    said = (
        fact("lane", "通道", lane),
        fact("from", "目前状态", coded(lane_pauses.OPERATOR, _PAUSES)),
        fact("pause", "暂停编号", str(pause.number)),
    )
    effect = bilingual(
        "lane {lane}, which an operator paused, may send again", "人工暂停的通道 {lane} 可以再次发送", lane=lane
    )
    return DecisionFacts(said, lane, f"lane {lane}", effect, coded(wanted.to, _CHOICE_NAMES))


def _company_facts(tx: Tx, wanted: ProposedAction) -> DecisionFacts | No:
    company = wanted.subject
    pause = lane_pauses.said(tx.fresh, [lane_pauses.COMPANY + company])[lane_pauses.COMPANY + company]
    if not pause.paused:
        return No("not_now", f"nobody has paused company {company}; bankgw companies list. Nothing was changed")
    said = (
        fact("company", "公司", company),
        fact("from", "目前状态", coded(lane_pauses.OPERATOR, _PAUSES)),
        fact("pause", "暂停编号", str(pause.number)),
    )
    effect = bilingual(
        "payments of company {company}, which was paused, may be sent again",
        "已暂停的公司 {company} 的付款可以再次发送",
        company=company,
    )
    return DecisionFacts(said, company, f"company {company}", effect, coded(wanted.to, _CHOICE_NAMES))


def _lane_facts(wanted: ProposedAction, ports: DecisionPorts) -> DecisionFacts:
    lane, past = wanted.subject, ports.past.past()
    of_lane = str(len(past.of_lane(lane)))
    said = (
        fact("lane", "通道", lane),
        fact("from", "目前状态", coded(FROM_THE_PAST, _PAUSES)),
        fact("episode", "核对批号", past.episode),
        fact("forgotten-sends-of-this-lane", "本通道缺失的发送", of_lane),
        fact("forgotten-sends", "缺失的发送总数", str(past.forgotten)),
        *(fact(f"missing-{n}", f"缺失 {n}", gap.bilingual()) for n, gap in enumerate(past.gaps, start=1)),
    )
    effect = bilingual(
        "lane {lane} may send again, although the database has forgotten at least {count} of its sends",
        "通道 {lane} 可以再次发送，尽管数据库至少缺失该通道的 {count} 次发送",
        lane=lane,
        count=of_lane,
    )
    return DecisionFacts(said, lane, f"lane {lane}", effect, coded(wanted.to, _CHOICE_NAMES))
