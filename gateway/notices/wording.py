"""The texts of notices, English and Chinese.

They have kinds, counts and the gateway's ids; no person, no account, no amount, no link. A chat service does not get
the ids of orders either, but it gets the names of lanes and banks that have troubles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from gateway.notices.kinds import CONDITIONS, NoticeKind
from gateway.notices.notice_queue import Notice, local_time

NoticeLanguage = Literal["en", "zh"]
MOST_LISTED = 20
_LANGUAGES: tuple[NoticeLanguage, ...] = ("en", "zh")
_TITLES: Mapping[NoticeKind, tuple[str, str]] = {
    NoticeKind.SECURITY: ("security: {n} events", "安全事件 {n} 项"),
    NoticeKind.DAEMON_STOPPED: ("{n} daemons have stopped", "{n} 个网关进程已停止"),
    NoticeKind.CONTRADICTED: ("{n} payments: the bank contradicts itself", "银行答复前后矛盾：{n} 笔付款"),
    NoticeKind.TROUBLE: ("{n} troubles of the gateway", "网关故障 {n} 项"),
    NoticeKind.APPROVAL_EXPIRING: ("{n} requests for approval end soon", "复核请求即将到期：{n} 个"),
    NoticeKind.EXPIRED: ("{n} expired", "已过期：{n} 项"),
    NoticeKind.LANE_DOWN: ("{n} lanes are down", "银行通道中断：{n} 条"),
    NoticeKind.CHANNEL_BROKEN: ("{n} destinations take no notices", "通知对象收不到通知：{n} 个"),
    NoticeKind.DOUBTFUL: ("{n} payments are in doubt", "结果未知的付款：{n} 笔"),
    NoticeKind.RETURNED: ("{n} payments came back", "退汇或冲正：{n} 笔"),
    NoticeKind.HELD: ("{n} payments are held", "待放行付款：{n} 笔"),
    NoticeKind.APPROVAL_WAITING: ("{n} requests wait for approval", "待复核：{n} 个请求"),
    NoticeKind.CERTIFICATE_ENDS: ("{n} certificates or passwords end", "证书或密码将到期：{n} 个"),
    NoticeKind.BACKUP: ("{n} troubles of the backups", "备份故障 {n} 项"),
    NoticeKind.STATEMENT_MISSING: ("statements are missing at {n} banks", "对账单缺失：{n} 家银行"),
    NoticeKind.RECEIPT_MISSING: ("receipts are missing on {n} lanes", "电子回单缺失：{n} 条银行通道"),
    NoticeKind.REPORT_FAILED: ("{n} reports were not written", "报表未生成：{n} 份"),
    NoticeKind.UPKEEP: ("{n} tasks of upkeep", "运行维护事项 {n} 项"),
    NoticeKind.OVER: ("{n} troubles are over", "已恢复：{n} 项"),
    NoticeKind.ALIVE: ("notices work", "通知正常"),
}
_TO_DO: Mapping[NoticeKind, tuple[str, str]] = {
    NoticeKind.SECURITY: (
        "See who did what: bankgw report security-review",
        "请查看操作记录：bankgw report security-review",
    ),
    NoticeKind.DAEMON_STOPPED: (
        "No payment leaves. Start it and read why it ended: systemctl start bankgw, journalctl -u bankgw",
        "付款不会发出。请启动并查明停止原因：systemctl start bankgw，journalctl -u bankgw",
    ),
    NoticeKind.CONTRADICTED: ("A person must look: bankgw worklists", "须人工核实：bankgw worklists"),
    NoticeKind.TROUBLE: (
        "Read cause and remedy: bankgw status; then the page of that name in docs/do/runbooks",
        "请查看原因与处理办法：bankgw status；再看 docs/do/runbooks 中的同名页面",
    ),
    NoticeKind.APPROVAL_EXPIRING: (
        "Without an answer their payments are not sent: bankgw approvals list",
        "未答复则不付款：bankgw approvals list",
    ),
    NoticeKind.EXPIRED: ("Nothing of it was sent: bankgw approvals list", "均未发送：bankgw approvals list"),
    NoticeKind.LANE_DOWN: (
        "Its payments wait. Find the cause: bankgw lanes list, then bankgw lanes probe LANE",
        "该通道的付款在等待。请查明原因：bankgw lanes list，再执行 bankgw lanes probe LANE",
    ),
    NoticeKind.CHANNEL_BROKEN: (
        "Nobody is told there. See why, and mend it: bankgw notices status",
        "该对象收不到任何通知。请查明原因并修复：bankgw notices status",
    ),
    NoticeKind.DOUBTFUL: (
        "Never send them again; the bank is asked: bankgw worklists",
        "切勿重发；正在向银行查询：bankgw worklists",
    ),
    NoticeKind.RETURNED: ("The money is back, or comes back: bankgw worklists", "资金已退汇或将退回：bankgw worklists"),
    NoticeKind.HELD: ("A person must release or withdraw them: bankgw worklists", "须人工放行或撤回：bankgw worklists"),
    NoticeKind.APPROVAL_WAITING: (
        "Type the address of the approval page yourself, or: bankgw approvals list",
        "请自行输入复核页网址，或：bankgw approvals list",
    ),
    NoticeKind.CERTIFICATE_ENDS: (
        "Renew it at the bank before it ends: bankgw certificates list, docs/do/certificates.md",
        "请在到期前向银行更新：bankgw certificates list，docs/do/certificates.md",
    ),
    NoticeKind.BACKUP: (
        "Without a good backup a lost disk loses the journal. Read cause and remedy: bankgw status",
        "没有可用备份时，磁盘损坏会丢失流水库。请查看原因与处理办法：bankgw status",
    ),
    NoticeKind.STATEMENT_MISSING: (
        "See which days, and ask the bank for them: bankgw today",
        "请查看缺失的日期并向银行索取：bankgw today",
    ),
    NoticeKind.RECEIPT_MISSING: (
        "See which, then ask the bank or add them by hand: bankgw receipts missing",
        "请查看缺失清单，再向银行索取或人工补录：bankgw receipts missing",
    ),
    NoticeKind.REPORT_FAILED: (
        "The log says why (report.failed); write it by hand: bankgw report",
        "原因见日志（report.failed）；可手工生成：bankgw report",
    ),
    NoticeKind.UPKEEP: (
        "It can wait until the morning. Read cause and remedy: bankgw status",
        "可待上班后处理。请查看原因与处理办法：bankgw status",
    ),
    NoticeKind.OVER: ("Nothing is left to do for these", "以上各项无须再处理"),
    NoticeKind.ALIVE: (
        "If this daily notice does not come, look at bankgw notices status",
        "若每日通知缺失，请查看 bankgw notices status",
    ),
}
_SHOWN_IN_CHAT = CONDITIONS | {NoticeKind.OVER}
MOST_IN_CHAT = 5
_SINCE, _ID, _AND_MORE = ("Since", "自"), ("Notice", "通知编号"), ("… and {n} more", "… 另有 {n} 项")
_LIVE, _TEST = ("LIVE", "生产"), ("TEST", "测试")


@dataclass(frozen=True, slots=True)
class NoticePlace:
    """The names of the gateway that sends the notice."""

    environment: str
    live: bool
    zone: ZoneInfo


def title(notice: Notice, place: NoticePlace, language: NoticeLanguage) -> str:
    """The notice's title in one line: the gateway, the kind, the number of events."""
    words = _said(_TITLES[notice.kind], language).format(n=notice.count)
    if notice.count == 1 and language == "en":
        words = _one(words)
    return f"[bankgw {_said(_LIVE if place.live else _TEST, language)} {place.environment}] {words}"


def _one(words: str) -> str:
    for many, one in (
        ("payments are", "payment is"),
        ("payments:", "payment:"),
        ("payments came", "payment came"),
        ("requests for approval end", "request for approval ends"),
        ("requests wait", "request waits"),
        ("daemons have", "daemon has"),
        ("troubles are", "trouble is"),
        ("troubles", "trouble"),
        ("lanes are down", "lane is down"),
        ("destinations take", "destination takes"),
        ("certificates or passwords end", "certificate or password ends"),
        ("1 banks", "1 bank"),
        ("1 lanes", "1 lane"),
        ("reports were", "report was"),
        ("tasks of", "task of"),
        ("events", "event"),
    ):
        words = words.replace(many, one)
    return words


def brief(notice: Notice, place: NoticePlace, language: NoticeLanguage) -> str:
    """The notice's text for chat services. It names conditions, and no order, payment or person."""
    listed = _listed(notice, language, MOST_IN_CHAT) if notice.kind in _SHOWN_IN_CHAT else ()
    return "\n".join((title(notice, place, language), *listed, *_end(notice, place, language)))


def full(notice: Notice, place: NoticePlace, language: NoticeLanguage) -> str:
    """The notice's text for e-mail, which also has the first keys."""
    keys = _listed(notice, language, MOST_LISTED)
    return "\n".join((title(notice, place, language), "", *keys, "", *_end(notice, place, language), ""))


def _listed(notice: Notice, language: NoticeLanguage, most: int) -> list[str]:
    shown = notice.keys[:most]
    keys = [f"  {_plain(key)}" for key in shown]
    if rest := notice.count - len(shown):
        keys.append("  " + _said(_AND_MORE, language).format(n=rest))
    return keys


def _end(notice: Notice, place: NoticePlace, language: NoticeLanguage) -> tuple[str, ...]:
    since = local_time(place.zone, notice.since_ms).isoformat(sep=" ", timespec="seconds")
    return (
        _said(_TO_DO[notice.kind], language),
        f"{_said(_SINCE, language)} {since}",
        f"{_said(_ID, language)} {notice.id}",
    )


def _plain(key: str) -> str:
    """The id as one line that no mail program turns into a link. This is needed because an ERP chooses the ids of its
    orders."""
    return "".join(letter if letter.isprintable() else "?" for letter in key)[:160].replace("://", ":/ /")


def _said(both: tuple[str, str], language: NoticeLanguage) -> str:
    return both[_LANGUAGES.index(language)]
