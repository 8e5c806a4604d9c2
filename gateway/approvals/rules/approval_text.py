"""The text that an approver reads before signing, in English or Chinese, made from the canonical bytes themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from gateway.approvals.rules import approval_digest
from gateway.approvals.rules.approval_digest import ApprovalLine, ApprovalSubject
from protocols.canon.money import Money

_LABELS: Mapping[str, tuple[str, str]] = {
    "title": ("Approve this payment", "复核付款"),
    "title_many": ("Approve these payments", "复核批量付款"),
    "environment": ("environment", "环境"),
    "instance": ("instance", "实例"),
    "verb": ("decision", "事项"),
    "nonce": ("request", "请求编号"),
    "sender": ("sender", "来源系统"),
    "kind": ("kind", "业务种类"),
    "channel": ("channel", "汇路"),
    "fee_bearer": ("fees paid by", "费用承担方"),
    "maker": ("made by", "经办人"),
    "not_before_ms": ("not before", "最早发送"),
    "valid_until_ms": ("valid until", "有效期至"),
    "policy": ("policy version", "审批策略版本"),
    "linked": ("covers also", "关联付款"),
    "order": ("order", "单号"),
    "debtor_account": ("from account", "付款账号"),
    "payee_name": ("payee", "收款人"),
    "payee_account": ("payee's account", "收款账号"),
    "payee_bank": ("payee's bank", "收款行"),
    "payee_cnaps": ("payee's bank number", "收款行联行号"),
    "amount": ("amount", "金额"),
    "purpose": ("purpose", "用途"),
    "count": ("payments", "笔数"),
    "sum": ("sum", "合计"),
    "digest": ("digest", "摘要"),
    "open": ("open", "不限"),
    "none": ("not given", "未填"),
    "unknown": ("not known", "未知"),
    "line": ("line", "第"),
}


def signed_text(octets: bytes, language: Literal["en", "zh"]) -> str:
    """Every fact of a canonical form, one per line, and its digest at the end. Raises approval_digest.BadForm."""
    subject = approval_digest.parse(octets)
    say = _Labels(language)
    many = len(subject.lines) > 1
    lines = [say.label("title_many" if many else "title"), *_head(subject, say)]
    for number, line in enumerate(subject.lines, start=1):
        if many:
            lines.append(f"{say.label('line')} {number}/{len(subject.lines)}")
        lines += [f"  {one}" if many else one for one in _line(line, say)]
    lines.append(say.fact("digest", approval_digest.digest(octets)))
    return "\n".join(lines) + "\n"


class _Labels:
    def __init__(self, language: Literal["en", "zh"]) -> None:
        self._at = ("en", "zh").index(language)

    def label(self, name: str) -> str:
        return _LABELS[name][self._at]

    def fact(self, name: str, value: str) -> str:
        shown = "".join(one if one.isprintable() else f"\\u{{{ord(one):x}}}" for one in value)
        return f"{self.label(name)}{': ' if self._at == 0 else ':'}{shown}"

    def moment(self, ms: int | None) -> str:
        if ms is None:
            return self.label("open")
        seconds, rest_ms = divmod(ms, 1000)
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{rest_ms:03d} UTC"


def _head(subject: ApprovalSubject, say: _Labels) -> Sequence[str]:
    texts = ("environment", "instance", "verb", "nonce", "sender", "kind", "channel")
    sums = (f"{Money(minor, currency)} {currency}" for currency, minor in sorted(subject.sums.items()))
    return (
        *(say.fact(name, getattr(subject, name)) for name in texts),
        say.fact("fee_bearer", subject.fee_bearer or say.label("none")),
        say.fact("maker", subject.maker or say.label("unknown")),
        say.fact("not_before_ms", say.moment(subject.not_before_ms)),
        say.fact("valid_until_ms", say.moment(subject.valid_until_ms)),
        say.fact("policy", str(subject.policy)),
        *(say.fact("linked", one) for one in subject.linked),
        say.fact("count", str(len(subject.lines))),
        say.fact("sum", ", ".join(sums)),
    )


def _line(line: ApprovalLine, say: _Labels) -> Sequence[str]:
    none = say.label("none")
    return (
        say.fact("order", line.order),
        say.fact("debtor_account", line.debtor_account),
        say.fact("payee_name", line.payee_name),
        say.fact("payee_account", line.payee_account),
        say.fact("payee_bank", line.payee_bank or none),
        say.fact("payee_cnaps", line.payee_cnaps or none),
        say.fact("amount", f"{Money(line.amount_minor, line.currency)} {line.currency}"),
        say.fact("purpose", line.purpose or none),
    )
