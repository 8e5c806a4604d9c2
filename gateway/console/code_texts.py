"""The gateway's own codes in Chinese: audit entries, reasons, kinds, states. English pages show the codes."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.console.treasury_texts import TREASURY_TEXTS
from gateway.treasury.liquidity.plan import REASONS
from gateway.web.languages import Texts

_ENTRIES: Mapping[str, str] = {
    "access.refused": "访问被拒绝", "accounts.shown_clear": "查看未遮蔽账号", "approval.denied": "复核拒绝",
    "approval.given": "复核同意", "approval.refused": "复核未被接受", "approval.request_approved": "复核完成",
    "approval.request_rejected": "复核被拒绝", "approval.request_void": "复核请求作废",
    "approval.requested": "发起复核", "approval.shown": "查看复核内容", "audit.checkpoint": "审计检查点",
    "audit.purged": "审计记录已清理", "balance_table.approved": "余额调节表已审批",
    "balance_table.submitted": "余额调节表已提交", "batch.admitted": "批次已受理", "batch.cancelled": "批次已撤销",
    "batch.completed": "批次已完成", "batch.released": "批次已放行", "book.begun": "日记账开始导入",
    "book.refused": "日记账被拒绝", "book.withdrawn": "日记账已撤回", "books.in_force": "日记账生效",
    "bundle.made": "已组成银行批次", "bundle.sending": "银行批次发送中", "command.refused": "指令被拒绝",
    "credit.claimed": "来款已认领", "credit.released": "来款认领已解除", "delegation.ended": "委托已结束",
    "delegation.made": "已委托", "delegation.refused": "委托被拒绝", "directory.asked": "已查询行名行号",
    "gateway.restarted": "恢复发送", "gateway.stopped": "紧急停止", "job.claimed": "任务已领取",
    "job.inherited": "任务已接管", "lane.leased": "通道已取得", "lane.past_cleared": "通道恢复核对完成",
    "lane.paused": "通道已暂停", "lane.probed": "通道已探测", "lane.released": "通道已释放",
    "lane.renamed": "通道已更名", "lane.resumed": "通道已恢复", "lane.trace_shown": "查看通道报文跟踪",
    "link.back": "联动资金退回", "link.stay": "联动资金留存", "order.approval_void": "复核失效",
    "order.approved": "付款已复核", "order.cancelled": "付款已撤销", "order.enquire_now": "立即查询银行",
    "order.hold_cleared": "解除一项待放行原因", "order.not_approved": "付款未获复核",
    "order.not_as_approved": "付款与复核内容不符", "order.released": "付款已放行", "order.repeated": "收到重复指令",
    "order.shown_clear": "查看未遮蔽付款", "outbox.claimed": "消息已接管", "outbox.discarded": "消息已丢弃",
    "outbox.left": "消息待投递", "outbox.parked": "消息已滞留", "outbox.replayed": "消息已重新发布",
    "outbox.sent": "消息已投递", "outbox.shown_clear": "查看未遮蔽消息", "page.refused": "页面拒绝的请求",
    "payee.registered": "收款人已登记", "payment.admitted": "付款已受理", "payment.booked_twice": "银行重复入账",
    "payment.cannot_be_prepared": "无法生成报文", "payment.entry_disagrees": "银行明细与付款不符",
    "payment.purged": "付款已清理", "person.admitted": "人员已录入", "person.appointed": "人员已任命",
    "person.confirmed": "人员已确认", "person.deactivated": "人员已停用", "person.enrolled": "人员已登记",
    "person.key_offered": "已提交密钥", "person.key_reset": "密钥已重置", "person.passkey_bound": "通行密钥已绑定",
    "person.password_confirmed": "密码已确认", "person.password_set": "密码已设置", "person.removed": "人员已移除",
    "person.roles_changed": "角色已变更", "persons.approve": "第二人签署", "persons.propose": "第一人签署",
    "policy.in_force": "审批策略生效", "pool.in_force": "资金池生效", "pool.move_ordered": "划转已下单",
    "pool.move_refused": "划转被拒绝", "pool.run_done": "资金池运行完成", "pool.run_planned": "资金池运行已计划",
    "proposal.done": "提议已执行", "proposal.made": "已提议", "proposal.refused": "提议被拒绝",
    "proposal.shown": "查看提议", "push.received": "收到银行推送", "question.answered": "查询已答复",
    "question.asked": "收到查询", "receipt.kept": "回单已归档", "receipt.none": "确认无回单",
    "receipt.shown": "查看回单原件", "reconciliation.aside": "对账行已搁置", "reconciliation.confirm": "匹配已确认",
    "reconciliation.undo": "匹配已撤销", "refusals.forgotten": "拒绝记录已清理", "report.exported": "报表已导出",
    "report.sent": "报表已发送", "report.shown_clear": "查看未遮蔽报表", "report.written": "报表已生成",
    "rows.purged": "旧数据已清理", "sender.renamed": "来源系统已更名", "settings.reloaded": "设置已重新加载",
    "sign_in.done": "登录成功", "sign_in.failed": "登录失败", "sign_in.locked": "登录已锁定",
    "statement.booked_twice": "对账单重复入账", "statement.disagrees": "对账单不一致",
    "statement.from_file": "对账单由文件导入",
}  # fmt: skip
_RULES: Mapping[str, str] = {
    "asked_failed": "银行答复失败", "asked_failed_overtaken": "某一份被拒,其他仍可能入账",
    "asked_in_vain": "查询无果,继续查询", "asked_in_vain_moot": "查询无果,结果已知",
    "asked_pending": "银行答复处理中", "asked_settled": "银行答复成功", "back_again": "已退回,重复答复",
    "back_contradicted": "已退回,又被拒:答复矛盾", "cancel": "已撤销,未发送", "cancel_too_late": "撤销过晚",
    "dated_ahead": "时钟曾超前,不再重发", "dated_ahead_in_vain": "时钟曾超前,查询无果",
    "doubt_not_found": "银行查无此笔,不等于失败", "doubt_unclear": "答复仍不明确",
    "ended_known": "未发送却为银行所知", "ended_unknown": "未发送,银行亦无记录", "expire": "已过期,未发送",
    "expire_moot": "过期检查:已发送或已终结", "failed_again": "再次答复失败",
    "failed_contradicted": "已失败,又被受理:答复矛盾", "failed_old_news": "较早的答复,已有终局",
    "failed_overtaken": "失败之前的答复", "hold": "待放行", "hold_again": "仍有待放行原因",
    "not_sent": "未发出任何字节,重新待发", "not_sent_moot": "未发送通知:已有其他结论",
    "not_sent_overdue": "后知未发出,重新待发", "overdue": "超时,待人工裁定", "overdue_moot": "超时检查:结果已知",
    "overdue_sending": "发送超时,待人工裁定", "pending_not_found": "银行先受理后称查无",
    "pending_unclear": "答复不明确,维持处理中", "reject": "网关拒绝", "release": "放行",
    "repeat_refused": "重发被拒,首发仍存疑", "repeats_used_up": "重发次数用完,待人工裁定",
    "repeats_used_up_in_vain": "重发次数用完,查询无果", "replay": "按银行规则原样重发",
    "replay_known": "重发判重:首发已到", "replay_moot": "无需重发", "replay_not_sent": "重发未发出",
    "replay_refused": "银行规则不允许重发", "resend_expired": "再发前已过期,待人工裁定",
    "resend_held": "暂不能再发,待人工裁定", "resolve_denied": "裁定不适用", "resolved_failed": "两人裁定:未支付",
    "resolved_resend": "两人裁定:重新发送", "resolved_settled": "两人裁定:已支付", "returned": "资金退回",
    "reversed": "银行冲正", "send": "发送前已落库", "sent_failed": "银行明确拒绝",
    "sent_overtaken": "答复属于较早的一份", "sent_pending": "银行已受理", "sent_settled": "银行确认成功",
    "sent_unclear": "答复不明确,存疑", "settled_again": "再次确认成功",
    "settled_contradicted": "已成功,又被拒:答复矛盾", "settled_old_news": "较早的答复,已有终局",
    "settled_overtaken": "成功之前的答复", "silent": "无应答,存疑", "silent_moot": "无应答,已有其他结论",
    "still_pending": "仍在处理中", "taken_over": "节点接管,存疑", "unsent_known": "未发送却为银行所知,停止",
    "unsent_unknown": "未发送,银行亦无记录", "watched_in_vain": "退票查询无果",
}  # fmt: skip
_WORDS: Mapping[str, Mapping[str, str]] = {
    "entry": {**_ENTRIES, **{f"payment.{rule}": said for rule, said in _RULES.items()}},
    "kind": {"payment": "付款", "transfer": "转账", "batch_item": "批量明细", "payroll_item": "代发明细",
             "collection": "代收", "batch": "批量", "payroll": "代发"},
    "hold": {"approval": "需要复核", "new_payee": "新收款人", "suspected_duplicate": "疑似重复",
             "funding": "等待联动资金"},
    "source": {"submit": "发送应答", "enquiry": "查询", "returns": "退票查询", "statement": "对账单",
               "persons": "人工裁定"},
    "fate": {"settled": "成功", "failed": "失败", "pending": "处理中", "in_doubt": "不明确", "not_found": "查无此笔",
             "duplicate": "重复", "returned": "退回", "reversed": "冲正"},
    "message": {"waiting": "等待投递", "sent": "已投递", "parked": "滞留"},
    "direction": {"debit": "借", "credit": "贷"},
    "unmatched": {"amount_differs": "金额不符", "ambiguous": "多个候选", "date_differs": "日期不符",
                  "no_counterpart": "无对应行"},
    "matchrule": {"reversed": "冲正", "code": "对账码", "serial": "银行流水号", "same_day": "同日金额",
                  "near_day": "邻日金额", "number": "摘要编号", "group": "组合",
                  "ambiguous": "多个候选", "amount_differs": "金额不符", "sum_of_some": "部分合计相符",
                  "fee_difference": "手续费差额", "name_alike": "户名相近", "amount_only": "仅金额相符"},
    "person": {"waiting": "待录入", "enrolled": "已启用", "deactivated": "已停用"},
    "pause": {"operator": "人工暂停", "database_from_the_past": "数据库恢复自过去"},
}  # fmt: skip

CODE_TEXTS: Texts = {
    f"{kind}_{code}": (code, said) for kind, words in _WORDS.items() for code, said in words.items()
}

SENTENCES: Mapping[str, str] = {
    "un-book it; if it is owed still, pay it again under a new id with what was wrong corrected":
        "冲销入账;如仍应付,更正后以新单号重付",
    "correct the payee's account or name, and send the item again under a new id":
        "更正收款账号或户名,以新单号重发该笔",
    "wait for the decision about it: bankgw orders show": "等待裁定:bankgw orders show",
    "ask the bank; then: bankgw resolve": "询问银行;然后:bankgw resolve", "no word from the bank": "银行没有答复",
    "not claimed": "未认领",
    "find whose it is; the ERP claims it: credit.claim with this line":
        "确认来源;由 ERP 认领:对该行发送 credit.claim",
    "no complete statement": "对账单不完整",
    "see whether the lane is ready: bankgw lanes probe {}; then ask the bank":
        "检查通道是否就绪:bankgw lanes probe {};再询问银行",
    "ask the bank; if it gives none: bankgw receipts none {}": "询问银行;确无回单则:bankgw receipts none {}",
    "not asked yet": "尚未查询", "later": "银行尚在制作", "cannot_ask": "无法向银行查询", "unknown_payment": "付款未知",
    "decide: bankgw liquidity return, or bankgw liquidity stay":
        "裁定:bankgw liquidity return 或 bankgw liquidity stay",
    "cancel the order, or send it without: bankgw orders release --held-for funding":
        "撤销该指令,或不等资金直接发送:bankgw orders release --held-for funding",
    "see why; it goes on by itself once that is mended": "查看原因;排除后自动继续",
    "compare the amounts; correct the book and hand it in again, or aside with the bank's word":
        "核对金额;更正日记账后重新导入,或凭银行答复搁置",
    "look whether the two are the same; then confirm, else aside with the reason":
        "核对两行是否同一笔;是则确认,否则注明原因搁置",
    "find out which belongs to which, and confirm that pair": "查明对应关系并确认该对",
    "enter it in the ERP, and hand in the book again": "在 ERP 补记,并重新导入日记账",
    "ask whether it was presented or paid; aside with the answer": "查明是否已提示或支付;凭答复搁置",
    "ask the bank for the entry: bankgw orders enquire; look at the order's timeline":
        "向银行索取明细:bankgw orders enquire;查看付款时间线",
    "undo the decision, and decide again about the rows as they are now": "撤销原决定,按现状重新处理",
    "amount_differs": "金额不符", "date_differs": "日期不符", "ambiguous": "多个候选",
    "missing_in_book": "日记账缺记", "missing_at_bank": "银行未入账", "payment_without_entry": "付款无银行明细",
    "void_decision": "决定已失效", "failed": "失败", "rejected": "已拒绝", "returned": "已退票", "reversed": "已冲正",
    "escalated": "待人工裁定",
    "not watched: `watch = false` stands in the account register": "未监视:账户登记中设为 watch = false",
    "not watched": "未监视", "not heard of yet": "尚无银行答复", "no balance is known of that day": "当日余额未知",
    "watched, not heard of yet": "已监视,尚无银行答复", "watched": "已监视",
    **{words: TREASURY_TEXTS[f"stay_{one.value}"][1] for one, words in REASONS.items()},
}  # fmt: skip
"""What the gateway says in work lists and of positions, in Chinese; `{}` stands for an id."""


def said(text: str, language: str) -> str:
    """A sentence of the gateway in the page's language. A bank's own words are shown as they are."""
    if language != "zh":
        return text
    if text in SENTENCES:
        return SENTENCES[text]
    for english, chinese in SENTENCES.items():
        before, hole, after = english.partition("{}")
        if hole and text.startswith(before) and text.endswith(after) and len(text) > len(before) + len(after):
            return chinese.replace("{}", text[len(before) : len(text) - len(after)])
    return text
