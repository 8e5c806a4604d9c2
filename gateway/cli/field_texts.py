"""The Chinese names of the fields that commands show beside their values, and the console's Chinese texts for codes."""

from __future__ import annotations

from collections.abc import Mapping

IN_CHINESE: Mapping[str, str] = {
    "accepted_at": "受理时间",
    "account": "账号",
    "alarms": "告警",
    "amount": "金额",
    "attempt": "第几次发送",
    "attempts": "发送次数",
    "bank": "银行",
    "bank_code": "银行代码",
    "bank_name": "开户行",
    "bank_reference": "银行参考号",
    "bank_serial": "银行流水号",
    "bank_text": "银行答复",
    "batch": "批次",
    "bic": "BIC",
    "body": "内容",
    "booked_at": "入账时间",
    "changed_at": "状态时间",
    "channel": "汇路",
    "cnaps": "联行号",
    "code": "代码",
    "company": "公司",
    "company_paused": "已暂停的公司",
    "correlation_id": "关联编号",
    "count": "笔数",
    "creditor": "收款方",
    "currency": "币种",
    "deadline": "截止时间",
    "debtor": "付款方",
    "denied": "不适用",
    "detail": "详情",
    "enquiries": "查询次数",
    "epoch": "任期号",
    "event": "事项",
    "exchange": "交换机",
    "fate": "结果",
    "final": "已了结",
    "fingerprint": "指纹",
    "first_sent_at": "首次发送",
    "from": "所在",
    "headers": "消息头",
    "hold_cleared": "已解除原因",
    "hold_reason": "待放行原因",
    "hold_reasons": "全部待放行原因",
    "id": "单号",
    "in_batch": "所属批次",
    "item_no": "明细序号",
    "items": "明细",
    "kind": "种类",
    "lane": "通道",
    "last_result": "最近结果",
    "last_sent_at": "最近发送",
    "last_text": "最近说明",
    "last_tried_at": "最近尝试",
    "meaning": "含义",
    "message_id": "消息编号",
    "name": "户名",
    "open_items": "未了结明细",
    "payment": "付款编号",
    "purpose": "用途",
    "reason": "理由",
    "refusal": "拒绝原因",
    "refused": "拒绝原因",
    "replay_policy": "重发规则",
    "reply_to": "答复队列",
    "resend": "能否重发",
    "routing_key": "路由键",
    "send_after": "不早于",
    "sender": "来源系统",
    "sender_user": "发布用户",
    "seq": "通知序号",
    "source": "来源",
    "state": "状态",
    "sum": "合计",
    "tags": "标签",
    "terms": "付款条件",
    "title": "说明",
    "traceparent": "跟踪编号",
    "tries": "尝试次数",
    "urgency": "加急",
    "valid_until": "有效期至",
    "version": "版本",
    "written_at": "写入时间",
}


def sentence(english: str) -> str:
    """A sentence of the gateway's work lists and positions in Chinese, as the console shows it."""
    from gateway.web.console.code_texts import said

    return said(english, "zh")


def code_meaning(kind: str, code: str) -> str:
    """The console's Chinese text for a code of this kind; "" if the console has none."""
    from gateway.web.console.texts import TEXTS

    return TEXTS.get(f"{kind}_{code}", ("", ""))[1]
