"""The words of notices, English and Chinese. They name kinds, counts and the gateway's ids; no person, no account, no
amount, no link. What a chat service is told has no id of an order either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from gateway.notices.kinds import NoticeKind
from gateway.notices.notice_queue import Notice, local_time

NoticeLanguage = Literal["en", "zh"]
MOST_LISTED = 20
_LANGUAGES: tuple[NoticeLanguage, ...] = ("en", "zh")
_TITLES: Mapping[NoticeKind, tuple[str, str]] = {
    NoticeKind.SECURITY: ("security: {n} events", "安全事件 {n} 项"),
    NoticeKind.CONTRADICTED: ("{n} payments: the bank contradicts itself", "银行答复前后矛盾:{n} 笔付款"),
    NoticeKind.APPROVAL_EXPIRING: ("{n} requests for approval end soon", "复核请求即将到期:{n} 个"),
    NoticeKind.EXPIRED: ("{n} expired", "已过期:{n} 项"),
    NoticeKind.DOUBTFUL: ("{n} payments are in doubt", "存疑付款:{n} 笔"),
    NoticeKind.RETURNED: ("{n} payments came back", "退票或冲正:{n} 笔"),
    NoticeKind.HELD: ("{n} payments are held", "待放行付款:{n} 笔"),
    NoticeKind.APPROVAL_WAITING: ("{n} requests wait for approval", "待复核:{n} 个请求"),
    NoticeKind.ALIVE: ("notices work", "通知正常"),
}
_TO_DO: Mapping[NoticeKind, tuple[str, str]] = {
    NoticeKind.SECURITY: ("Look at the audit trail: bankgw audit show", "请查看审计:bankgw audit show"),
    NoticeKind.CONTRADICTED: ("A person must look: bankgw worklists", "须人工核实:bankgw worklists"),
    NoticeKind.APPROVAL_EXPIRING: (
        "Without an answer their payments are not sent: bankgw approvals list", "未答复则不付款:bankgw approvals list"),
    NoticeKind.EXPIRED: ("Nothing of it was sent: bankgw approvals list", "均未发送:bankgw approvals list"),
    NoticeKind.DOUBTFUL: (
        "Never send them again; the bank is asked: bankgw worklists", "切勿重发;正在向银行查询:bankgw worklists"),
    NoticeKind.RETURNED: ("The money is back, or comes back: bankgw worklists", "资金已退回或将退回:bankgw worklists"),
    NoticeKind.HELD: ("A person must release or withdraw them: bankgw worklists", "须人工放行或撤回:bankgw worklists"),
    NoticeKind.APPROVAL_WAITING: (
        "Type the address of the approval page yourself, or: bankgw approvals list",
        "请自行输入复核页网址,或:bankgw approvals list"),
    NoticeKind.ALIVE: (
        "If this daily notice does not come, look at bankgw notices status",
        "若每日通知缺失,请查看 bankgw notices status"),
}  # fmt: skip
_SINCE, _ID, _AND_MORE = ("Since", "自"), ("Notice", "通知编号"), ("… and {n} more", "… 另有 {n} 项")
_LIVE, _TEST = ("LIVE", "生产"), ("TEST", "测试")


@dataclass(frozen=True, slots=True)
class NoticePlace:
    """The gateway that tells."""

    environment: str
    live: bool
    zone: ZoneInfo


def title(notice: Notice, place: NoticePlace, language: NoticeLanguage) -> str:
    """One line: where, what, how many."""
    words = _said(_TITLES[notice.kind], language).format(n=notice.count)
    if notice.count == 1 and language == "en":
        words = _one(words)
    return f"[bankgw {_said(_LIVE if place.live else _TEST, language)} {place.environment}] {words}"


def _one(words: str) -> str:
    for many, one in (("payments are", "payment is"), ("payments:", "payment:"), ("payments came", "payment came"),
                      ("requests for approval end", "request for approval ends"), ("requests wait", "request waits"),
                      ("events", "event")):  # fmt: skip
        words = words.replace(many, one)
    return words


def brief(notice: Notice, place: NoticePlace, language: NoticeLanguage) -> str:
    """The text for chat services: no key of any kind."""
    return "\n".join((title(notice, place, language), *_end(notice, place, language)))


def full(notice: Notice, place: NoticePlace, language: NoticeLanguage) -> str:
    """The text for e-mail: the first keys, too."""
    listed = notice.keys[:MOST_LISTED]
    rest = notice.count - len(listed)
    keys = [f"  {_plain(key)}" for key in listed]
    if rest:
        keys.append("  " + _said(_AND_MORE, language).format(n=rest))
    return "\n".join((title(notice, place, language), "", *keys, "", *_end(notice, place, language), ""))


def _end(notice: Notice, place: NoticePlace, language: NoticeLanguage) -> tuple[str, ...]:
    since = local_time(place.zone, notice.since_ms).isoformat(sep=" ", timespec="seconds")
    return (_said(_TO_DO[notice.kind], language), f"{_said(_SINCE, language)} {since}",
            f"{_said(_ID, language)} {notice.id}")  # fmt: skip


def _plain(key: str) -> str:
    """An id as one line that no mail program makes a link of: an ERP chooses the ids of its orders."""
    return "".join(letter if letter.isprintable() else "?" for letter in key)[:160].replace("://", ":/ /")


def _said(both: tuple[str, str], language: NoticeLanguage) -> str:
    return both[_LANGUAGES.index(language)]
