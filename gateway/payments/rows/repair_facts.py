"""The faults of a payment's rows, and the changes that a repair makes: the facts that two persons sign, in both
languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.kernel.core.code_names import HOLD_NAMES, STATE_NAMES, WORK_NAMES
from gateway.kernel.sql.sealed import SealBroken
from gateway.language import BilingualText, bilingual, coded, listed
from gateway.people.rules.signed_text import NONE, SignedFact, fact

Wrong = BilingualText | str
"""What is wrong with a payment's rows; "" if nothing is."""
WHY: Mapping[str, str] = {
    "was altered: its seal does not fit": "已被改动：签章不符",
    "has no seal, but this journal is sealed": "没有签章，而本流水库已加签章",
    "differs from its sealed order": "与其加封的付款指令不一致",
}
COLUMN_NAMES: Mapping[str, str] = {
    "accepted_ms": "受理时间",
    "amount_minor": "金额（最小货币单位）",
    "asked": "查询次数",
    "attempt": "发送次数",
    "bank": "银行",
    "bank_code": "银行返回码",
    "bank_ref": "银行参考号",
    "bank_serial": "银行流水号",
    "bank_text": "银行返回文字",
    "batch": "批次",
    "booked_ms": "入账时间",
    "changed_ms": "状态变动时间",
    "company": "公司",
    "content_type": "消息格式",
    "correlation_id": "消息关联号",
    "creditor_idx": "收款账号索引",
    "currency": "币种",
    "deadline_ms": "人工裁定时限",
    "debtor_idx": "付款账号索引",
    "doubted": "曾结果未知",
    "dup_key": "重复判别键",
    "epoch": "通道届次",
    "fingerprint": "指令指纹",
    "first_write_ms": "首次发送时间",
    "hold_cleared": "已解除的待放行原因",
    "hold_reason": "首要待放行原因",
    "hold_reasons": "待放行原因",
    "item_no": "批内序号",
    "kind": "业务种类",
    "lane": "通道",
    "last_write_ms": "末次发送时间",
    "not_found": "银行查无次数",
    "order": "付款指令",
    "order_id": "单号",
    "payment": "付款编号",
    "ref_bank": "参考号所属银行",
    "refusal": "拒绝内容",
    "replaying": "重发次数",
    "reply_to": "应答队列",
    "rules": "重发规则",
    "seal": "签章",
    "send_after_ms": "最早发送时间",
    "sender": "来源系统",
    "seq": "消息序号",
    "state": "状态",
    "tell_sent": "是否通知已发送",
    "traceparent": "跟踪号",
    "valid_until_ms": "有效期至",
    "version": "版本",
}
_WITH_CODES: Mapping[str, Mapping[str, str]] = {"state": STATE_NAMES, "hold_reason": HOLD_NAMES}


# ---- what is wrong ----


def unreadable(error: Exception) -> Wrong:
    """The text that an altered row cannot be read, with the error."""
    if not isinstance(error, SealBroken):
        text = str(error) or type(error).__name__
        return bilingual("{error}", "无法读取：{error}", error=text)
    return bilingual(
        "table {table}: the row of {key} {why}; nothing is decided on it. See {page}",
        "{table} 表：{key} 的行{why}；不据此作任何决定。见 {page}",
        table=error.table,
        key=error.key,
        why=bilingual(error.why, WHY[error.why]) if error.why in WHY else error.why,
        page="docs/do/runbooks/BankgwAlarmRowAltered.md",
    )


def lacks_entries(payment: str) -> BilingualText:
    """The text that the audit chain lacks entries about the payment."""
    return bilingual(
        "the audit chain lacks entries about payment {payment}", "审计链缺少付款 {payment} 的记录", payment=payment
    )


def has_no_entry(payment: str) -> BilingualText:
    """The text that the audit chain has no entry about the payment."""
    return bilingual(
        "the audit chain has no entry about payment {payment}", "审计链没有付款 {payment} 的任何记录", payment=payment
    )


def lacks_sends(payment: str) -> BilingualText:
    """The text that the audit chain lacks sends of the payment."""
    return bilingual(
        "the audit chain lacks sends of payment {payment}, or tells one twice",
        "审计链缺少付款 {payment} 的发送记录，或其中一次记了两遍",
        payment=payment,
    )


def differs(row: tuple[int, str], chain: tuple[int, str]) -> BilingualText:
    """The text that the row and the audit chain differ in version and state."""
    return bilingual(
        "the row has version {row} ({state}), the audit chain version {chain} ({told})",
        "该行为第 {row} 版，状态 {state}；审计链为第 {chain} 版，状态 {told}",
        row=str(row[0]),
        state=coded(row[1], STATE_NAMES),
        chain=str(chain[0]),
        told=coded(chain[1], STATE_NAMES),
    )


def sends_differ(row: int, attempts: int, chain: int) -> BilingualText:
    """The text that the row, table `attempts` and the audit chain differ in the number of sends."""
    return bilingual(
        "the row says {row} sends, table attempts has {attempts}, the audit chain {chain}",
        "该行记有 {row} 次发送，attempts 表有 {attempts} 次，审计链有 {chain} 次",
        row=str(row),
        attempts=str(attempts),
        chain=str(chain),
    )


def lacks_work(state: str, work: str) -> BilingualText:
    """The text that the payment lacks the work that its state needs."""
    return bilingual(
        "it is {state} and has no work {work}",
        "状态为 {state}，却没有待办 {work}",
        state=coded(state, STATE_NAMES),
        work=coded(work, WORK_NAMES),
    )


# ---- what is changed ----


def wrong_fact(wrong: Wrong) -> SignedFact:
    """The signed fact that says what is wrong with the rows."""
    return fact("wrong", "问题", wrong)


def column_changed(name: str, before: object, after: object) -> SignedFact:
    """The signed fact that says a column's value before and after."""
    return _column(
        name, bilingual("{was} -> {now}", "{was} → {now}", was=_value(name, before), now=_value(name, after))
    )


def column_removed(name: str, before: object) -> SignedFact:
    """The signed fact that says a column's value in a row that is removed."""
    return _column(name, bilingual("{was} -> removed", "{was} → 删除", was=_value(name, before)))


def send_made_anew(number: int, *, altered: bool, day: str, node: str) -> SignedFact:
    """A send whose row is made anew."""
    return _send(
        number,
        bilingual(
            "{was} -> sent on {day} by {node}, bytes lost",
            "{was} → 由 {node} 于 {day} 发送，报文已丢失",
            was=bilingual("altered", "已被改动") if altered else bilingual("missing", "缺失"),
            day=day,
            node=node,
        ),
    )


def send_removed(number: int) -> SignedFact:
    """The signed fact about a removed send that is not in the audit chain."""
    return _send(number, bilingual("not in the audit chain -> removed", "审计链中没有 → 删除"))


def work_set(kinds: Sequence[str], state: str) -> SignedFact:
    """The signed fact about the payment's work, which is set again."""
    there = listed([coded(one, WORK_NAMES) for one in kinds]) if kinds else coded("none", NONE)
    return fact(
        "work",
        "待办",
        bilingual(
            "{kinds} -> set anew for {state}",
            "{kinds} → 按状态 {state} 重设",
            kinds=there,
            state=coded(state, STATE_NAMES),
        ),
    )


def columns_kept(values: Mapping[str, object]) -> SignedFact:
    """The signed fact about the columns that stay, because neither the chain nor the sealed order has them."""
    pairs = [
        bilingual("{name}={value}", f"{COLUMN_NAMES[name]}（{{name}}）{{value}}", name=name, value=_value(name, value))
        for name, value in values.items()
    ]
    return fact("kept", "保持不变", listed(pairs, (", ", "，")))


def _column(name: str, value: BilingualText) -> SignedFact:
    return fact(f"row-{name}", f"{name} 列（{COLUMN_NAMES[name]}）", value)


def _send(number: int, value: BilingualText) -> SignedFact:
    return fact(f"attempt-{number}", f"第 {number} 次发送", value)


def _value(name: str, value: object) -> BilingualText | str:
    if value is None:
        return coded("none", NONE)
    return coded(str(value), _WITH_CODES.get(name, {}))
