"""Every text of the approval page in English and Chinese."""

from __future__ import annotations

from gateway.web.shared.languages import Texts
from gateway.web.shared.texts import SHARED_TEXTS

TEXTS: Texts = {
    **SHARED_TEXTS,
    "product": ("bankgw approval page", "银企直联复核页"),
    "skip": ("Skip to the content", "跳到正文"),
    "test_band": ("TEST — no real money", "测试环境 — 非真实资金"),
    "live_band": ("LIVE — real money", "生产环境 — 真实资金"),
    "other_language": ("中文", "English"),
    "sign_out": ("Sign out", "退出"),
    "signed_in_as": ("Signed in as", "当前用户"),
    "nothing": ("Nothing waits for approval.", "没有待复核的付款。"),
    "overview": ("Waiting for approval", "待复核"),
    "error": ("This page cannot be shown", "无法显示此页"),
    "no_page": ("There is no such page.", "没有这个页面。"),
    "away": (
        "The gateway does not answer; nothing was decided. Try again in a minute.",
        "网关没有应答，未作任何决定。请一分钟后再试。",
    ),
    "too_many": ("Too many requests from your address; wait a few seconds.", "来自您地址的请求过多，请稍候。"),
    "too_large": ("The form is too large.", "表单过大。"),
    "no_form": ("This is not a form of this site.", "不是本站的表单。"),
    "form_is_old": (
        "This form is too old, or was not sent from this site; nothing was decided. Open the page again.",
        "表单已过期，或不是从本站提交的；未作任何决定。请重新打开页面。",
    ),
    "other_host": ("This site has another host name.", "本站使用其他域名。"),
    "words_differ": (
        "The gateway's words are not those of the bytes that would be signed. Nothing was signed. Stop, and "
        "tell the auditor.",
        "网关给出的文字与待签字节不符，未签署。请停止操作并告知审计管理员。",
    ),
    "sign_in": ("Sign in to the approval page", "登录复核页"),
    "passkey_sign_in_about": (
        "Check the address of this page. Payments are decided here and nowhere else in a browser.",
        "请核对本页地址。浏览器中只有本页可以决定付款。",
    ),
    "make_title": ("Make a passkey for approving", "创建复核用通行密钥"),
    "make_about": (
        "Use a security key, or a device that keeps the key to itself. A passkey that is synced to other devices "
        "counts only where one approver is needed.",
        "请使用安全密钥或不同步密钥的设备。会同步到其他设备的通行密钥，仅在需要一名复核人时有效。",
    ),
    "request": ("Request", "请求编号"),
    "state": ("State", "状态"),
    "sender": ("Sender", "来源系统"),
    "order": ("Order", "单号"),
    "payment_count": ("Payments", "笔数"),
    "sum": ("Sum", "合计"),
    "maker": ("Made by", "经办人"),
    "needs": ("Needs", "需要"),
    "decided_by": ("Decided by", "已决定"),
    "expires": ("Expires", "截止"),
    "of_group": ("of group", "组"),
    "any_approver": ("any approver", "任一复核人"),
    "not_known": ("not known", "未知"),
    "none": ("none", "无"),
    "read_about": (
        "Read these words. They are made from the bytes that your passkey signs.",
        "请阅读以下文字，它们由通行密钥所签的字节生成。",
    ),
    "words": ("What you approve", "复核内容"),
    "approve": ("Approve with your passkey", "使用通行密钥同意"),
    "reject": ("Reject with your passkey", "使用通行密钥拒绝"),
    "reason": ("Why not", "拒绝理由"),
    "missing": ("Still missing", "尚缺"),
    "closed": ("This request takes no decision any more.", "该请求不再接受决定。"),
    "decided": ("Your decision is recorded", "决定已记录"),
    "changed": ("Payments that it changed", "涉及付款笔数"),
    "back": ("Back to what waits", "返回待复核"),
}
