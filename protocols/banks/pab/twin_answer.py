"""Parts that all operations of the twin share: its options, its refusals, and the bodies of its answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TypeVar

from lxml import etree

from protocols.banks.pab.twin_rows import ZONE
from protocols.judge import BankRefusal, BothLanguages, RequestFinding, RuleKind
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Books, Holding, Instruction

T = TypeVar("T")
TROUBLE = BankRefusal("AFE004", "通讯异常-接收后台服务响应")
NOT_OPENED = BankRefusal("YQ9990", "企业没有开通此交易")
NO_ACCOUNT = BankRefusal("2778", "未找到账户")
KNOWN = BankRefusal("MA4045", "重复的第三方流水号或凭证号")
NOTHING = BankRefusal("MA0103", "没有满足条件纪录")
NO_RECORD = BankRefusal("YQ9996", "没有满足条件纪录")
NO_ENTRIES = BankRefusal("ES0200", "没有交易明细")
TOO_MANY = BankRefusal("YQ9971", "交易请求频率过高,请稍后再试")
NO_SUCH_DAY = BankRefusal("YQ9993", "查询日期无效")


class Refused(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """An answer that is only a header. `own_service` keeps 01: the front end itself refused."""

    def __init__(
        self, refusal: BankRefusal, findings: tuple[RequestFinding, ...] = (), *, own_service: bool = False
    ) -> None:
        super().__init__(refusal.code)
        self.refusal, self.findings, self.own_service = refusal, findings, own_service


@dataclass(frozen=True, slots=True)
class Done:
    """The body of an accepted answer, and the header's serial (None: that of the request)."""

    body: Markup
    serial: str | None = None


@dataclass(frozen=True, slots=True)
class Conduct:
    """The twin's options. `ahead`: how far the host's own date is ahead of the calendar; behind it if negative."""

    enterprise_code: str = ""
    page_lines_4008: int = 10
    page_lines_4015: int = 500
    rate_limit_per_s: int = 0
    wordy: bool = False
    faults: frozenset[str] = frozenset()
    ahead: timedelta = timedelta()
    asked: deque[datetime] = field(default_factory=deque)
    """When 4008 was asked in the last second, for the limit of the rate."""

    def named(self, voucher: str) -> str:
        """The voucher that an answer names: another one under the fault `others_voucher`."""
        return voucher[::-1] + "9" if "others_voucher" in self.faults else voucher

    def silent(self, rows: Sequence[Mapping[str, str]]) -> Sequence[Mapping[str, str]]:
        """The rows, without the last one under the fault `last_line_silent`."""
        return rows[:-1] if "last_line_silent" in self.faults else rows

    def odd(self, rows: Sequence[Mapping[str, str]]) -> Sequence[Mapping[str, str]]:
        """The rows. Under the fault `odd_rows` a row with the same elements, all empty, comes before them."""
        return [dict.fromkeys(rows[0], ""), *rows] if "odd_rows" in self.faults and rows else rows


def known(place: str, voucher: str, first: Sequence[Instruction], wanted: Sequence[Instruction]) -> Refused:
    """The refusal of a voucher that the books have from `first`.

    A finding names the voucher if one of `first` is not in `wanted`. A repeat of the same instructions breaks no rule.
    """
    if all(one in wanted for one in first):
        return Refused(KNOWN)
    words = BothLanguages("was used before, for another instruction", "此前已用于另一笔指令")
    source = "pab.md 5, idempotency key: ThirdVoucher unique per customer forever; MA4045"
    return Refused(KNOWN, (RequestFinding(place, RuleKind.BOOKS, voucher, words, source, KNOWN),))


def leaf(root: etree._Element, tag: str) -> str:
    """The text of an element without blanks around it; empty if the element is absent."""
    return (root.findtext(tag) or "").strip()


def number(text: str, default: int) -> int:
    """The number in a field that the rules have judged, or the default of an empty one."""
    return int(text) if text else default


def day(text: str) -> date:
    """The date in a field that the rules have judged."""
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))


def calendar_day(books: Books) -> date:
    """The calendar day at the bank, by the books' clock."""
    return books.now().astimezone(ZONE).date()


def held(books: Books, account: str) -> Holding:
    """The account in the books. Raises Refused if an account that the bank knows cannot be read now."""
    found = books.holding(account)
    if found is None:
        raise Refused(NO_ACCOUNT)
    return found


def flat(leaves: Mapping[str, str]) -> Markup:
    """A body without rows."""
    return el("Result", [el(tag, content) for tag, content in leaves.items()])


def with_rows(head: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> Markup:
    """A body with `list` elements after its head."""
    leaves = [el(tag, content) for tag, content in head.items()]
    lists = [el("list", [el(tag, content) for tag, content in row.items()]) for row in rows]
    return el("Result", leaves, lists)


def cut(items: Sequence[T], number: int, size: int) -> tuple[Sequence[T], bool]:
    """Page `number`, from 1, of `size` items, and whether more follow."""
    begin = (number - 1) * size
    return items[begin : begin + size], begin + size < len(items)
