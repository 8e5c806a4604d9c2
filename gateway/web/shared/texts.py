"""Texts that the console and the approval page share, in English and Chinese."""

from __future__ import annotations

from gateway.web.shared.languages import Texts

SHARED_TEXTS: Texts = {
    "older": ("Older", "更早"),
    "needs_script": ("Passkeys need JavaScript.", "通行密钥需要 JavaScript。"),
    "passkey_trouble": ("Your passkey did not answer", "通行密钥没有应答"),
    "sign_in_button": ("Sign in with your passkey", "使用通行密钥登录"),
    "no_passkey": ("No passkey for this page yet?", "本页还没有通行密钥？"),
    "make_passkey": ("Make a passkey", "创建通行密钥"),
    "label": ("Your name in bankgw", "用户名"),
    "made_title": ("Bind the passkey to you", "绑定通行密钥"),
    "made_about": (
        "The passkey is nobody's yet. Run this as yourself on the gateway's machine within ten minutes:",
        "该通行密钥尚未绑定。请在十分钟内以本人身份在网关主机上运行：",
    ),
    "made_then": ("Then sign in", "然后登录"),
    "synced": ("This passkey may be on several devices.", "该通行密钥可能存在于多台设备。"),
    "request_open": ("open", "待复核"),
    "request_late": ("open, late", "待复核（逾期）"),
    "request_expired": ("expired", "已过期"),
    "request_approved": ("approved", "已同意"),
    "request_rejected": ("rejected", "已拒绝"),
    "request_void": ("void", "已作废"),
    "decision_approve": ("approved", "同意"),
    "decision_reject": ("rejected", "拒绝"),
}
"""The texts of both sites."""
