"""The order of a message's elements and the characters of its values, judged by the bank's page (cib.md 1, 2 and 4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from lxml import etree

from protocols.banks.cib.twin_rules_parts import MALFORMED, broken_rule
from protocols.judge import BankRefusal, RequestFinding, RuleKind

Shape: TypeAlias = Mapping[str, "Shape | None"]
"""The elements inside an element, in their order; None for one that has a value."""

_ORDER_ROW: Final = "cib.md 1: element order is part of the contract"
_VALUE_ROW: Final = "cib.md 1: values must not contain < > &"
_CHARSET_ROW: Final = "cib.md 1: charset GBK"


def _leaves(names: str) -> dict[str, Shape | None]:
    return dict.fromkeys(names.split())


_PAYER: Final = _leaves("ACCTID NAME BANKDESC CITY")
_PAYEE: Final = _leaves("ACCTID NAME BANKDESC BANKNUM CITY COLLECT")
_INFO: Final[Shape] = {
    "ACCTFROM": _PAYER,
    "ACCTTO": _PAYEE,
    **_leaves("CHEQUENUM CURSYM TRNAMT PMTMODE PURPOSE DTDUE MEMO"),
}
_POOLED: Final[Shape] = {"FUNDACCT": _leaves("ACCTID XPMTTYPE"), "XFERINFO": _INFO}
_BATCH_HEAD: Final = {
    "TITLE": None,
    "ACCTFROM": _PAYER,
    **_leaves("BIZTYPE TOTALCOUNT TOTALAMOUNT CHEQUENUM CURSYM PURPOSE DTDUE MEMO"),
}
_LINE: Final[Shape] = {"INDX": None, "ACCTTO": _PAYEE, **_leaves("TRNAMT USE REMARK")}
_PAYROLL: Final[Shape] = {
    "ACCTFROM": _PAYER,
    **_leaves("TITLE DESCRIPTION TOTALCOUNT TOTALAMOUNT CHEQUENUM DTDUE REMARK"),
    "RPAYOFFLIST": {"RPAYOFF": _leaves("INDX ACCTNAME ACCTID TRNAMT")},
}
_DEBIT: Final[Shape] = {
    **_leaves("INDX CONTRACTID"),
    "ACCTFROM": _leaves("ACCTID NAME BANKDESC BANKNUM"),
    **_leaves("PAYMODE APPLYAMT PURPOSE BIZCODE1 BIZCODE2"),
}
_COLLECTION: Final[Shape] = {
    "ACCTTO": _leaves("ACCTID"),
    **_leaves("FIRMCODE BIZCODE SUMM LIMITDAYS TITLE MEMO TRNTYPE CHEQUENUM"),
    "PAYINFO": _DEBIT,
}
_ASKED: Final[Shape] = {"VERSION": None, "ACCTFROM": _PAYER, "INCTRAN": _leaves("DTSTART DTEND PAGE TRNTYPE")}
_FILE: Final[Shape] = {**_ASKED, "INCTRAN": _leaves("DTSTART DTEND PAGE NUM TRNTYPE MINAMT MAXAMT")}
_OF_ONE: Final[Shape] = {"XFERINQRQ": _leaves("CLIENTREF")}

OPEN: Final[Shape] = {}
"""The content of an element that is judged elsewhere."""
ENVELOPE: Final[Shape] = {
    "SIGNONMSGSRQV1": {
        "SONRQ": _leaves("DTCLIENT CID USERID USERPASS GENUSERKEY USERKEY SESSCOOKIE LANGUAGE APPID APPVER")
    },
    "SECURITIES_MSGSRQV1": OPEN,
}
"""The elements of FOX. The page does not tell the places of USERKEY and SESSCOOKIE."""
_CONTENTS: Final[Mapping[str, Shape]] = {
    "XFERTRN": {"XFERRQ": {"XFERINFO": _INFO}},
    "XPMTTRN": {"XMPTRQ": _POOLED},
    "ICTRANSFERTRN": {"XMPTRQ": _POOLED},
    "XFERINQTRN": _OF_ONE,
    "ICTRANSFERINQTRN": _OF_ONE,
    "RPAYOFFINQTRN": _OF_ONE,
    "INQSTATETRN": {"INQSTATECOND": _leaves("SRVRID CLIENTREF")},
    "RBATCHTRSFRTRN": {"RQBODY": {**_BATCH_HEAD, "XFERINFO": _LINE}},
    "ASYNBATCHTRSFRTRN": {"RQBODY": {**_BATCH_HEAD, "XFERINFOTEXT": None}},
    "RPAYOFFTRN": {"RPAYOFFRQ": {"RPAYOFFINFO": _PAYROLL}},
    "GATHERTRN": {"GATHERRQ": {"GATHERINFO": _COLLECTION}},
    "CURRACCTQUERYTRN": {"RQBODY": _leaves("ACCTID")},
    "HISBALQUERYTRN": {"HISBALQUERYRQ": {"HISBALQUERYINFO": _leaves("ACCTID ACCTNAME DTSTART DTEND")}},
    "SCUSTSTMTTRN": {"SCUSTSTMTRQ": {**_ASKED, "SELTYPE": None}},
    "FSTMTTRN": {"SCUSTSTMTRQ": _FILE},
    "ELECTRONICRECEIPTTRN": {"RQBODY": _leaves("RECEIPT_TYPE ACCTID RECEIPTDATE")},
    "ASYNRECEIPTINFOTRN": {"RQBODY": _leaves("CLT_REF_NO")},
}
SHAPES: Final[Mapping[str, Shape]] = {name: {"TRNUID": None, **inside} for name, inside in _CONTENTS.items()}
"""The elements of each operation, by the bank's name of it without RQ."""


def judge_shape(
    element: etree._Element, shape: Shape, refusal: BankRefusal = MALFORMED, path: str = ""
) -> Iterator[RequestFinding]:
    """The faults in the order of elements and in the characters of values inside `element`, which is at `path`.

    The page does not say what the bank does about an element that it does not name: that rule is reconstructed.
    """
    names, place = list(shape), 0
    counts, seen = Counter(str(child.tag) for child in element), Counter[str]()
    for child in element:
        tag = str(child.tag)
        seen[tag] += 1
        at = f"{path}{tag}[{seen[tag]}]" if counts[tag] > 1 else path + tag
        if tag not in shape:
            words = ("is no element of this message at this place", "该报文此处没有此元素")
            yield broken_rule(refusal, at, RuleKind.FRAME, "", _ORDER_ROW, words, reconstructed=True)
            continue
        if names.index(tag) < place:
            words = (f"must stand before {names[place]}", f"应在 {names[place]} 之前")
            yield broken_rule(refusal, at, RuleKind.FRAME, "", _ORDER_ROW, words)
        place = max(place, names.index(tag))
        inside = shape[tag]
        for name, said in child.attrib.items():
            yield from _value(f"{at}@{name!s}", str(said), refusal)
        if inside is OPEN:
            continue
        if inside is not None:
            yield from judge_shape(child, inside, refusal, f"{at}/")
        elif len(child):
            words = ("has elements where a value is due", "应为值,却含有元素")
            yield broken_rule(refusal, at, RuleKind.FRAME, str(child[0].tag), _ORDER_ROW, words)
        else:
            yield from _value(at, child.text or "", refusal)


def _value(at: str, said: str, refusal: BankRefusal) -> Iterator[RequestFinding]:
    if any(char in said for char in "<>&"):
        words = ("holds one of < > &, which are refused even escaped", "不得含有 < > &,转义也不行")
        yield broken_rule(refusal, at, RuleKind.ALPHABET, said, _VALUE_ROW, words)
    try:
        said.encode("gbk")
    except UnicodeEncodeError as error:
        bad = said[error.start]
        words = (f"{bad!r} does not exist in GBK", f"GBK 字符集中没有 {bad!r}")
        yield broken_rule(refusal, at, RuleKind.CHARSET, said, _CHARSET_ROW, words)
