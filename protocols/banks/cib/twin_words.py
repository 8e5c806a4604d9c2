"""What the parts of the simulated bank share: its faults, its refusals, and the contract's order of elements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lxml import etree

from protocols.canon.money import BadMoney, Money
from protocols.kit.xmldoc import Markup, el

_ACCOUNT_FROM: Final = ("ACCTID", "NAME", "BANKDESC", "BANKNUM", "CITY")
_INFO: Final = ("INDX", "ACCTFROM", "ACCTTO", "CHEQUENUM", "CURSYM", "TRNAMT", "PMTMODE", "USE", "PURPOSE", "REMARK",
                "DTDUE", "MEMO")  # fmt: skip
ORDER: Final[Mapping[str, tuple[str, ...]]] = {
    "SONRQ": ("DTCLIENT", "CID", "USERID", "USERPASS", "GENUSERKEY", "USERKEY", "LANGUAGE", "APPID", "APPVER"),
    "XFERTRNRQ": ("TRNUID", "XFERRQ"),
    "XPMTTRNRQ": ("TRNUID", "XMPTRQ"),
    "ICTRANSFERTRNRQ": ("TRNUID", "XMPTRQ"),
    "XMPTRQ": ("FUNDACCT", "XFERINFO"),
    "FUNDACCT": ("ACCTID", "XPMTTYPE"),
    "XFERRQ": ("XFERINFO",),
    "XFERINFO": _INFO,
    "ACCTFROM": _ACCOUNT_FROM,
    "ACCTTO": ("ACCTID", "NAME", "BANKDESC", "BANKNUM", "CITY", "COLLECT"),
    "XFERINQTRNRQ": ("TRNUID", "XFERINQRQ"),
    "ICTRANSFERINQTRNRQ": ("TRNUID", "XFERINQRQ"),
    "INQSTATETRNRQ": ("TRNUID", "INQSTATECOND"),
    "RPAYOFFINFO": ("ACCTFROM", "TITLE", "DESCRIPTION", "TOTALCOUNT", "TOTALAMOUNT", "CHEQUENUM", "DTDUE", "REMARK",
                    "RPAYOFFLIST"),
    "RPAYOFF": ("INDX", "ACCTNAME", "ACCTID", "TRNAMT"),
    "SCUSTSTMTRQ": ("VERSION", "ACCTFROM", "INCTRAN", "SELTYPE"),
    "INCTRAN": ("DTSTART", "DTEND", "PAGE", "NUM", "TRNTYPE", "MINAMT", "MAXAMT"),
    "HISBALQUERYINFO": ("ACCTID", "ACCTNAME", "DTSTART", "DTEND"),
}  # fmt: skip
REGISTERED: Final = ("PAYOUT", "登记成功")
"""Code and text of what is registered for later (banks/cib.md 5)."""
BATCH_ORDER: Final = ("TITLE", "ACCTFROM", "BIZTYPE", "TOTALCOUNT", "TOTALAMOUNT", "CHEQUENUM", "CURSYM", "PURPOSE",
                      "DTDUE", "MEMO", "XFERINFO", "XFERINFOTEXT")  # fmt: skip
GATHER_ORDER: Final = ("ACCTTO", "FIRMCODE", "BIZCODE", "SUMM", "LIMITDAYS", "TITLE", "MEMO", "TRNTYPE", "CHEQUENUM",
                       "PAYINFO")  # fmt: skip
PAYINFO_ORDER: Final = ("INDX", "CONTRACTID", "ACCTFROM", "PAYMODE", "APPLYAMT", "PURPOSE", "BIZCODE1", "BIZCODE2")


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong at this bank; see twin.py."""

    enable_sign: bool = True
    word: str = ""
    trouble: str = ""
    trouble_words: str = "操作执行异常，请查询"
    used: bool = False
    enquiry_code: str = ""
    not_found: str = "code"
    core: str = ""
    lower_size: bool = False
    turned: bool = False
    lost_line: int = 0
    strange_line: int = 0
    line_word: str = ""
    round: bool = False
    cut_names: bool = False
    indent: bool = False
    reference_in: str = ""
    zipped: bool = False
    bare: bool = False
    http_500: bool = False
    registered: bool = False
    reduced: bool = False
    odd_rows: bool = False
    fast_apart: bool = False


class Broke(Exception):  # noqa: N818 - not an error of ours: the front end answers 500, though the money moved
    """The fault `http_500`."""


class Refused(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """A STATUS other than 0; `harmless` is SEVERITY INFO, `body` what stands beside it all the same."""

    def __init__(self, code: str, words: str, body: Markup | None = None, *, harmless: bool = False) -> None:
        super().__init__(code)
        self.code, self.words, self.body, self.harmless = code, words, body, harmless


def sole(parent: etree._Element, path: str) -> etree._Element:
    """The element at `path`, or a refusal."""
    found = parent.find(path)
    if found is None:
        raise Refused("2002", f"缺少{path}")
    return found


def text(parent: etree._Element, tag: str) -> str:
    """The text of a child, "" where there is none."""
    return (parent.findtext(tag) or "").strip()


def money(said: str) -> Money:
    """An amount over zero, or a refusal."""
    try:
        amount = Money.parse(said)
    except BadMoney:
        raise Refused("2006", "金额格式错误") from None
    if amount.minor <= 0:
        raise Refused("2006", "金额格式错误")
    return amount


def leaves(parent: etree._Element) -> list[Markup]:
    """The leaves below an element, as they came."""
    return [el(str(child.tag), child.text or "") for child in parent]


def in_order(parent: etree._Element, order: tuple[str, ...]) -> None:
    """Refuses children that stand in another order; an element that may repeat stays in its place."""
    places = [order.index(str(child.tag)) if child.tag in order else -1 for child in parent]
    if -1 in places or places != sorted(places):
        raise Refused("2002", "报文格式错误")
