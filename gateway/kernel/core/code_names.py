"""Chinese names of payments' states, reasons of a hold and kinds of work, as texts that persons sign have them.

A name that is changed here changes signed texts: that needs a new form (docs/adr/0044-both-languages-are-signed.md).
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.kernel.core import policy
from gateway.kernel.core.states import Work
from protocols.canon.outcome import State

STATE_NAMES: Mapping[str, str] = {
    State.ACCEPTED: "已受理",
    State.HELD: "待放行",
    State.READY: "待发送",
    State.SENDING: "发送中",
    State.PENDING: "银行处理中",
    State.IN_DOUBT: "结果未知",
    State.ESCALATED: "待人工裁定",
    State.SETTLED: "成功",
    State.FAILED: "失败",
    State.REJECTED: "已拒绝",
    State.CANCELLED: "已撤销",
    State.EXPIRED: "已过期",
    State.RETURNED: "已退汇",
    State.REVERSED: "已冲正",
}
HOLD_NAMES: Mapping[str, str] = {
    policy.HOLD_BAND: "需要复核",
    policy.HOLD_PAYEE: "新收款人",
    policy.HOLD_ALIKE: "疑似重复",
    policy.HOLD_FUNDING: "等待联动资金",
    policy.HOLD_RIGHT: "来源系统已无权限",
    "cannot_be_prepared": "无法生成银行报文",
}
WORK_NAMES: Mapping[str, str] = {
    Work.SEND: "发送",
    Work.ENQUIRE: "查询",
    Work.ESCALATE: "转人工裁定",
    Work.RETURNS: "退汇查询",
    Work.EXPIRE: "到期作废",
    Work.REPLAY: "原样重发",
}
