"""Every text of the console in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.console.code_texts import CODE_TEXTS
from gateway.console.treasury_texts import TREASURY_TEXTS
from gateway.web.languages import Texts
from gateway.web.texts import SHARED_TEXTS
from protocols.canon.outcome import STATE_TABLE

STATES: Texts = {
    "accepted": ("accepted", "已受理"), "held": ("held", "待放行"), "ready": ("ready", "待发送"),
    "sending": ("sending", "发送中"), "pending": ("pending at the bank", "银行处理中"),
    "in_doubt": ("in doubt", "存疑"), "escalated": ("escalated", "待人工裁定"), "settled": ("settled", "成功"),
    "failed": ("failed", "失败"), "rejected": ("rejected", "已拒绝"), "cancelled": ("cancelled", "已撤销"),
    "expired": ("expired", "已过期"), "returned": ("returned", "已退票"), "reversed": ("reversed", "已冲正"),
}  # fmt: skip

_MEANINGS: Mapping[str, str] = {
    "accepted": "已受理并持久保存", "held": "等待放行", "ready": "等待发送", "sending": "正在发往银行",
    "pending": "银行已受理,结果未定", "in_doubt": "结果不明,正在向银行查询", "escalated": "银行未给出结论,需两人裁定",
    "settled": "银行确认成功", "failed": "银行确认失败", "rejected": "网关拒绝,未发送", "cancelled": "已撤销,未发送",
    "expired": "已过期,未发送", "returned": "资金已退回", "reversed": "已冲正",
}  # fmt: skip

TEXTS: Texts = {
    **{f"meaning_{state.value}": (facts.meaning, _MEANINGS[state.value]) for state, facts in STATE_TABLE.items()},
    "condition_ready": ("ready", "就绪"), "condition_down": ("down", "中断"),
    "condition_standing_by": ("standing by", "备用"), "condition_halted": ("halted", "停用"),
    "condition_paused": ("paused", "已暂停"),
    **SHARED_TEXTS,
    **CODE_TEXTS,
    **TREASURY_TEXTS,
    # everywhere
    "product": ("bankgw console", "银企直联控制台"),
    "skip": ("Skip to the content", "跳到正文"), "menu": ("Pages", "页面"),
    "test_band": ("TEST — no real money", "测试环境 — 非真实资金"), "live_band": ("LIVE — real money", "生产环境 — 真实资金"),
    "overview": ("Overview", "总览"), "search": ("Search", "查找"), "payments": ("Payments", "付款"),
    "approvals": ("Approvals", "复核"), "positions": ("Positions", "头寸"),
    "reconciliation": ("Reconciliation", "对账"), "reports": ("Reports", "报表"), "people": ("People", "人员"),
    "audit": ("Audit trail", "审计"), "lanes": ("Lanes", "银行通道"), "other_language": ("中文", "English"),
    "sign_in": ("Sign in", "登录"), "sign_out": ("Sign out", "退出"), "signed_in_as": ("Signed in as", "当前用户"),
    "nothing": ("Nothing to show.", "没有内容。"), "back": ("Back", "返回"),
    "none": ("none", "无"), "yes": ("yes", "是"), "no": ("no", "否"), "show": ("Show", "查看"),
    "time": ("Time", "时间"), "state": ("State", "状态"), "amount": ("Amount", "金额"),
    "currency": ("Currency", "币种"), "count": ("Count", "笔数"), "sum": ("Sum", "合计"), "bank": ("Bank", "银行"),
    "order": ("Order", "单号"), "sender": ("Sender", "来源系统"), "from_account": ("From account", "付款账号"),
    "to_account": ("To account", "收款账号"), "reason": ("Reason", "原因"), "company": ("Company", "公司"),
    "account": ("Account", "账号"), "kind": ("Kind", "业务种类"), "name": ("Name", "户名"),
    # errors
    "error": ("This page cannot be shown", "无法显示此页"),
    "no_page": ("There is no such page.", "没有这个页面。"),
    "away": ("The gateway does not answer. Payments go on without this console; try again in a minute.",
             "网关没有应答。付款不受控制台影响;请一分钟后再试。"),
    "too_many": ("Too many requests from your address; wait a few seconds.", "来自您地址的请求过多,请稍候。"),
    "too_large": ("The form is too large.", "表单过大。"), "no_form": ("This is not a form of this site.", "不是本站的表单。"),
    "form_is_old": ("This form is too old, or was not sent from this site; nothing was done. Open the page again.",
                    "表单已过期,或不是从本站提交的;未执行任何操作。请重新打开页面。"),
    "other_host": ("This site has another name.", "本站使用其他域名。"),
    # sign in
    "sign_in_about": ("With your password and the present code of your telephone. The password is set with the command "
                      "bankgw login --set-password.", "使用密码与手机动态码登录。密码用命令 bankgw login --set-password 设置。"),
    "person": ("Your name in bankgw", "用户名"), "password": ("Password", "密码"),
    "with_oidc": ("Sign in with your company's account", "使用企业统一身份登录"),
    "oidc_not_begun": ("This sign-in was not begun in this browser, or too long ago; begin again.", "此登录不是从本浏览器发起,或已超时;请重新开始。"),
    "oidc_no": ("The identity provider did not sign you in.", "身份提供方未完成登录。"),
    "oidc_away": ("The identity provider does not answer; sign in with password and code.", "身份提供方没有应答;请使用密码与动态码登录。"),
    "one_time_code": ("One-time code", "动态码"), "sign_in_failed": ("You are not signed in", "登录未成功"),
    # overview
    "money_at_risk": ("Money at risk", "风险资金"),
    "money_at_risk_about": ("Payments of which nobody can say whether the bank carried them out. They are never sent again; "
                            "the bank is asked.", "银行是否执行尚不明确的付款。绝不重发,只向银行查询。"),
    "no_money_at_risk": ("No payment is in doubt.", "没有存疑付款。"),
    "open_payments": ("Open payments", "未完结付款"), "held_payments": ("Held payments", "待放行付款"),
    "waiting_approvals": ("Waiting for approval", "待复核"), "lane": ("Lane", "通道"),
    "condition": ("Condition", "状况"), "since": ("Since", "自"), "next_try": ("Next try (s)", "下次尝试(秒)"),
    "trouble": ("Trouble", "故障"), "paused": ("Paused for", "暂停原因"),
    "stopped": ("Emergency stop: nothing is sent", "紧急停止:不发送任何付款"),
    # search
    "search_hint": ("Any id: payment, order, batch, bank reference, request, account, message, receipt, run",
                    "任意编号:付款、单号、批次、银行参考号、复核请求、账号、消息、回单、资金池执行"),
    "found_request": ("A request for approval", "一个复核请求"), "search_about": ("Results for what you typed", "查找结果"),
    # payment
    "payment": ("Payment", "付款"), "timeline": ("Timeline", "时间线"), "facts": ("Facts", "要素"),
    "purpose": ("Purpose", "用途"), "batch": ("Batch", "批次"), "bank_reference": ("Bank reference", "银行参考号"),
    "bank_says": ("The bank says", "银行答复"), "hold_reasons": ("Held for", "待放行原因"),
    "accepted_at": ("Accepted", "受理时间"), "changed_at": ("In this state since", "状态时间"),
    "attempts": ("Sends", "发送次数"), "meaning": ("Meaning", "含义"), "payer": ("Payer", "付款方"),
    "payee": ("Payee", "收款方"), "reveal": ("Show account numbers (noted in the audit trail)", "显示账号(记入审计)"),
    "revealed": ("Unmasked; looking is in the audit trail.", "未遮蔽;查看已记入审计。"),
    "bytes": ("Show the bytes (masked)", "显示报文(已遮蔽)"), "what": ("What", "事项"), "who": ("Who", "操作者"),
    "act": ("act", "操作"), "sent": ("sent to the bank", "发往银行"), "heard": ("heard from the bank", "银行答复"),
    "told": ("told to the ERP", "通知 ERP"), "message": ("Message", "报文"), "items": ("Items", "明细"),
    "replay_hint": ("A parked message is published again by a system administrator: page ERP messages, or bankgw parked "
                    "replay.", "滞留的消息由系统管理员重新发布:ERP 消息页,或 bankgw parked replay。"),
    # approvals
    "inbox": ("Waiting for approval", "待复核"), "history": ("All requests", "全部请求"),
    "request": ("Request", "请求编号"), "maker": ("Made by", "经办人"), "needs": ("Needs", "需要"),
    "decided_by": ("Decided by", "已决定"), "expires": ("Expires", "截止"), "of_group": ("of group", "组"),
    "any_approver": ("any approver", "任一复核人"), "not_known": ("not known", "未知"),
    "go_to_approval": ("Decide on the approval page", "到复核页处理"),
    "go_to_approval_about": ("Decisions are made on the approval page, which is another site. Check its address in your "
                             "browser: read the words there, not here.",
                             "决定在复核页作出,复核页是另一个站点。请核对浏览器地址栏,以复核页的文字为准。"),
    "missing": ("Missing", "尚缺"), "renew": ("Ask anew", "重新发起"), "renewed": ("Asked anew.", "已重新发起。"),
    "words": ("Show the exact words (noted in the audit trail)", "显示确切文字(记入审计)"),
    "decision": ("Decision", "决定"), "by_way_of": ("By way of", "途径"), "payment_count": ("Payments", "笔数"),
    # positions
    "book": ("Book balance", "账面余额"), "available": ("Available", "可用余额"), "as_of": ("As of", "余额时间"),
    "in_doubt_sum": ("In doubt", "存疑"), "entries": ("Entries today", "当日明细"),
    "account_tree": ("Account tree", "账户树"), "with_those_below": ("With those below", "含下级"),
    "not_sent": ("Not sent", "未发送"), "under_way": ("Under way", "在途"), "balance": ("Balance", "余额"),
    "group_total": ("All currencies", "各币种合计"), "no_rate": ("no rate for", "缺汇率:"),
    "known_to_come": ("Known to come", "已知收支"), "money_out": ("Out", "付"), "money_in": ("In", "收"),
    "balance_then": ("Balance then", "届时余额"),
    "missing_days": ("Missing statements", "缺对账单"), "note": ("Note", "说明"), "total": ("Total", "合计"),
    "positions_about": ("Balances are the banks' last answers; money in doubt is told apart and not taken off.",
                        "余额为银行最近一次答复;存疑资金单列,不从余额中扣除。"),
    # reconciliation
    "matching_a": ("Payments and bank entries", "付款 ↔ 银行明细"), "matching_b": ("Book and bank entries", "日记账 ↔ 银行明细"),
    "matched": ("Matched by rule", "已匹配(按规则)"), "proposed": ("Proposed", "建议匹配"),
    "left_side": ("Ours, open", "我方未达"), "right_side": ("The bank's, open", "银行未达"),
    "day": ("Day", "日期"), "direction": ("Direction", "方向"), "about": ("About", "摘要"),
    "difference": ("Difference of the open rows", "未达差额"), "ours": ("ours", "我方"), "banks": ("the bank's", "银行"),
    "tick": ("Tick", "勾选"), "difference_of_ticked": ("Show the difference of the ticked rows", "计算所勾选行的差额"),
    "difference_ticked": ("Difference of the ticked rows", "所勾选行的差额"), "listed_of": ("Rows shown", "显示行数"),
    "ticked_agree": ("They agree. To confirm that they belong together:", "两方一致。确认为同一笔:"),
    "choose_account": ("Choose an account", "选择账户"), "rule": ("Rule", "规则"),
    "decide_by_command": ("Rows are confirmed and set aside with bankgw reconcile.", "确认与搁置用命令 bankgw reconcile。"),
    # reports
    "report": ("Report", "报表"), "from": ("From", "自"), "to": ("To", "至"), "make": ("Make", "生成"),
    "csv": ("Download CSV (masked)", "下载 CSV(已遮蔽)"), "more_rows": ("More rows", "更多行"),
    # people and audit
    "roles": ("Roles", "角色"), "roles_now": ("With delegation, now", "含委托,当前"),
    "policy": ("Approval policy in force", "现行审批策略"), "version": ("Version", "版本"),
    "ceremony_open": ("There are no two administrators yet: root lets persons in.", "尚无两名管理员:由 root 录入人员。"),
    "actor": ("Actor", "操作者"), "entry": ("Entry", "事项"), "object": ("Object", "对象"), "detail": ("Detail", "详情"),
    "node": ("Node", "节点"), "filter": ("Filter", "筛选"),
    **{f"state_{name}": both for name, both in STATES.items()},
}  # fmt: skip
