"""Mistakes of CIB's clients, each a change to a good request written from the bank's page (cib.md 2 and 4).

`request(operation, changes)` builds any request of the page. `GOOD` has one for each operation, with its optional elements.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from lxml import etree

from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.banks.cib import twin
from protocols.canon.money import Money
from protocols.judge import RuleKind
from tests.protocols.banks.mistakes import Corner, Mistake, Side
from tests.world.dialogue import BankTime

PAYER, PAYEE, CENTRE = "000000000000000017", "0000000000000025", "000000000000000033"
HOLDER, CENTRE_HOLDER = "示例甲公司", "示例集团"
CUSTOMER, USER, PASSWORD = "1100000001", "erp01", "secret"
TODAY, YESTERDAY, TOMORROW = "2026-11-24", "2026-11-23", "2026-11-25"
"""The day of `side()`'s books, and those beside it."""

LOG_ON = (
    f"<DTCLIENT>{TODAY} 12:00:00</DTCLIENT><CID>{CUSTOMER}</CID><USERID>{USER}</USERID><USERPASS>{PASSWORD}</USERPASS>"
    "<GENUSERKEY>N</GENUSERKEY><LANGUAGE>CHS</LANGUAGE><APPID>XYFIB</APPID><APPVER>1000</APPVER>"
)
_FROM = (
    f"<ACCTFROM><ACCTID>{PAYER}</ACCTID><NAME>{HOLDER}</NAME><BANKDESC>兴业银行</BANKDESC><CITY>福州</CITY></ACCTFROM>"
)
_TO = (
    f'<ACCTTO INTERBANK="N" LOCAL="N"><ACCTID>{PAYEE}</ACCTID><NAME>示例乙公司</NAME><BANKDESC>示例银行台州分行</BANKDESC>'
    "<BANKNUM>105345000001</BANKNUM><CITY>台州</CITY></ACCTTO>"
)
_INFO = (
    f"<XFERINFO>{_FROM}{_TO}<CHEQUENUM>1</CHEQUENUM><CURSYM>RMB</CURSYM><TRNAMT>1024.50</TRNAMT>"
    "<PMTMODE>REAL_TIME</PMTMODE><PURPOSE>货款</PURPOSE><MEMO>PO-77</MEMO></XFERINFO>"
)
_POOL_INFO = _INFO.replace(PAYEE, CENTRE).replace('INTERBANK="N"', 'INTERBANK="Y"').replace("示例乙公司", CENTRE_HOLDER)
_HEAD = (
    f"<TITLE>批量付款</TITLE>{_FROM}<BIZTYPE>1</BIZTYPE><TOTALCOUNT>2</TOTALCOUNT><TOTALAMOUNT>3.00</TOTALAMOUNT>"
    "<CHEQUENUM>1</CHEQUENUM><CURSYM>RMB</CURSYM><PURPOSE>货款</PURPOSE><MEMO>PO-77</MEMO>"
)
LINES = (
    f"1|{PAYEE}|示例乙公司|N|N|105345000001|示例银行台州分行|台州|1.00|货款|一|",
    f"2|{PAYEE}|示例乙公司|N|N|105345000001|示例银行台州分行|台州|2.00|货款|二|",
)
_PERIOD = f"<INCTRAN><DTSTART>{YESTERDAY}</DTSTART><DTEND>{YESTERDAY}</DTEND><PAGE>1</PAGE>"
_ASKED = f"<ACCTFROM><ACCTID>{PAYER}</ACCTID><NAME>{HOLDER}</NAME></ACCTFROM>"


def _line(number: int, amount: str) -> str:
    return (
        f"<XFERINFO><INDX>{number}</INDX>{_TO}<TRNAMT>{amount}</TRNAMT><USE>货款</USE><REMARK>备注</REMARK></XFERINFO>"
    )


def _card(number: int, amount: str) -> str:
    card = f"<INDX>{number}</INDX><ACCTNAME>示例丙</ACCTNAME><ACCTID>000000000000000{number:03d}</ACCTID>"
    return f"<RPAYOFF>{card}<TRNAMT>{amount}</TRNAMT></RPAYOFF>"


def _debit(number: int) -> str:
    payer = f"<ACCTFROM><ACCTID>{PAYEE}</ACCTID><NAME>示例丁</NAME></ACCTFROM>"
    return (
        f"<PAYINFO><INDX>{number}</INDX><CONTRACTID>HT-1</CONTRACTID>{payer}<PAYMODE>0</PAYMODE>"
        "<APPLYAMT>8.00</APPLYAMT><PURPOSE>电费</PURPOSE></PAYINFO>"
    )


def _text(lines: tuple[str, ...]) -> str:
    listed = "\n".join(lines)
    return f'<XFERINFOTEXT SIZE="{len(lines)}">{listed}</XFERINFOTEXT>'


GOOD: Mapping[str, str] = {
    "XFERTRN": f"<XFERRQ>{_INFO}</XFERRQ>",
    "XPMTTRN": f"<XMPTRQ><FUNDACCT><ACCTID>{CENTRE}</ACCTID><XPMTTYPE>1</XPMTTYPE></FUNDACCT>{_POOL_INFO}</XMPTRQ>",
    "ICTRANSFERTRN": f"<XMPTRQ>{_INFO}</XMPTRQ>",
    "XFERINQTRN": "<XFERINQRQ><CLIENTREF>MISTAKE-0</CLIENTREF></XFERINQRQ>",
    "ICTRANSFERINQTRN": "<XFERINQRQ><CLIENTREF>MISTAKE-0</CLIENTREF></XFERINQRQ>",
    "RPAYOFFINQTRN": "<XFERINQRQ><CLIENTREF>MISTAKE-0</CLIENTREF></XFERINQRQ>",
    "INQSTATETRN": "<INQSTATECOND><CLIENTREF>MISTAKE-0</CLIENTREF></INQSTATECOND>",
    "RBATCHTRSFRTRN": f"<RQBODY>{_HEAD}{_line(1, '1.00')}{_line(2, '2.00')}</RQBODY>",
    "ASYNBATCHTRSFRTRN": f"<RQBODY>{_HEAD}{_text(LINES)}</RQBODY>",
    "RPAYOFFTRN": (
        f"<RPAYOFFRQ><RPAYOFFINFO>{_FROM}<TITLE>代发</TITLE><DESCRIPTION>006</DESCRIPTION><TOTALCOUNT>2</TOTALCOUNT>"
        "<TOTALAMOUNT>3.00</TOTALAMOUNT><CHEQUENUM>1</CHEQUENUM><REMARK>备注</REMARK>"
        f"<RPAYOFFLIST>{_card(1, '1.00')}{_card(2, '2.00')}</RPAYOFFLIST></RPAYOFFINFO></RPAYOFFRQ>"
    ),
    "GATHERTRN": (
        f"<GATHERRQ><GATHERINFO><ACCTTO><ACCTID>{PAYER}</ACCTID></ACCTTO><FIRMCODE>0001</FIRMCODE><BIZCODE>00100</BIZCODE>"
        f"<LIMITDAYS>3</LIMITDAYS><TITLE>电费</TITLE>{_debit(1)}{_debit(2)}</GATHERINFO></GATHERRQ>"
    ),
    "CURRACCTQUERYTRN": f"<RQBODY><ACCTID>{PAYER}</ACCTID></RQBODY>",
    "HISBALQUERYTRN": (
        f"<HISBALQUERYRQ><HISBALQUERYINFO><ACCTID>{PAYER}</ACCTID><ACCTNAME>{HOLDER}</ACCTNAME>"
        f"<DTSTART>{YESTERDAY}</DTSTART><DTEND>{YESTERDAY}</DTEND></HISBALQUERYINFO></HISBALQUERYRQ>"
    ),
    "SCUSTSTMTTRN": (
        f"<SCUSTSTMTRQ><VERSION>2.0</VERSION>{_ASKED}{_PERIOD}<TRNTYPE>2</TRNTYPE></INCTRAN>"
        "<SELTYPE>1</SELTYPE></SCUSTSTMTRQ>"
    ),
    "FSTMTTRN": (
        f"<SCUSTSTMTRQ><VERSION>2.0</VERSION>{_ASKED}{_PERIOD}<NUM>500</NUM><TRNTYPE>2</TRNTYPE><MINAMT>0.01</MINAMT>"
        "<MAXAMT>99.00</MAXAMT></INCTRAN></SCUSTSTMTRQ>"
    ),
    "ELECTRONICRECEIPTTRN": (
        f"<RQBODY><RECEIPT_TYPE>01</RECEIPT_TYPE><ACCTID>{PAYER}</ACCTID><RECEIPTDATE>{YESTERDAY}</RECEIPTDATE></RQBODY>"
    ),
    "ASYNRECEIPTINFOTRN": '<RQBODY PAGE="1"><CLT_REF_NO>E1</CLT_REF_NO></RQBODY>',
}
"""A good request for each operation of the page: the content of its XXXTRNRQ behind TRNUID."""

_BEFORE = {"DTDUE": ("MEMO", "REMARK"), "PMTMODE": ("PURPOSE",), "SESSCOOKIE": ("LANGUAGE",), "USERKEY": ("LANGUAGE",)}


def request(
    operation: str,
    changes: Mapping[str, str | None] = {},
    *,
    trnuid: str = "MISTAKE-1",
    tag: str = "",
    again: bool = False,
    replaced: tuple[str, str] = ("", ""),
    headers: Mapping[str, str] = {},
    charset: str = "gb18030",
    method: str = "POST",
) -> bytes:
    """A whole HTTP request: the good one of `operation` with `changes`.

    `operation` is the bank's name without RQ ("XFERTRN"). A key of `changes` is a path below XXXTRNRQ, such as
    "XFERRQ/XFERINFO/TRNAMT"; "[2]" chooses one of several elements, "@SIZE" at the end an attribute. A path that begins
    with "SONRQ/" is in the log-on. The value is the new text; None takes the element or attribute away; an element that
    is not there is put at the place of the page. `tag` is another name of the operation's element. `again` leaves all
    content out but TRNUID. `replaced` changes the finished document as text, for order and broken XML. `headers` are
    HTTP headers beside or instead of the usual ones. `charset` is the one that the document is written in.
    """
    name = tag or f"{operation}RQ"
    content = "" if again else GOOD[operation]
    document = etree.fromstring(
        f"<FOX><SIGNONMSGSRQV1><SONRQ>{LOG_ON}</SONRQ></SIGNONMSGSRQV1>"
        f"<SECURITIES_MSGSRQV1><{name}><TRNUID>{trnuid}</TRNUID>{content}</{name}></SECURITIES_MSGSRQV1></FOX>"
    )
    for path, text in changes.items():
        start = document[0] if path.startswith("SONRQ/") else document[1][0]
        _change(start, path, text)
    old, new = replaced
    written = '<?xml version="1.0" encoding="GBK"?>' + etree.tostring(document, encoding="unicode")
    assert old in written, f"{old!r} is not in the request"
    body = (written.replace(old, new, 1) if old else written).encode(charset)
    lines = {"Host": "fep", "Content-Type": "application/x-fox", "Content-Length": str(len(body)), **headers}
    head = "".join(f"{key}: {value}\r\n" for key, value in lines.items() if value)
    return f"{method} / HTTP/1.1\r\n{head}\r\n".encode() + body


def batch(*lines: str, changes: Mapping[str, str | None] = {}, size: str = "") -> bytes:
    """An asynchronous batch with these lines, `size` in place of their number."""
    named = {"RQBODY/XFERINFOTEXT": "\n".join(lines), "RQBODY/XFERINFOTEXT@SIZE": size or str(len(lines))}
    return request("ASYNBATCHTRSFRTRN", {**named, **changes})


def line(number: int = 1, **cells: str) -> str:
    """A line of an asynchronous batch with some cells changed: account, name, inside, local, number_of_bank, bank, city,
    amount, use, remark."""
    usual = {
        "account": PAYEE,
        "name": "示例乙公司",
        "inside": "N",
        "local": "N",
        "number_of_bank": "105345000001",
        "bank": "示例银行台州分行",
        "city": "台州",
        "amount": "1.00",
        "use": "货款",
        "remark": "备注",
    }
    assert cells.keys() <= usual.keys()
    return "|".join([str(number), *(usual | cells).values()]) + "|"


def _change(start: etree._Element, path: str, text: str | None) -> None:
    way, _, attribute = path.partition("@")
    *above, last = way.rstrip("/").split("/")
    parent = start
    for step in above:
        found = parent.find(_step(step))
        assert found is not None, path
        parent = found
    element = parent.find(_step(last))
    if element is None:
        assert text is not None and not attribute, path
        element = etree.SubElement(parent, last)
        sibling = next((one for name in _BEFORE.get(last, ()) if (one := parent.find(name)) is not None), None)
        if sibling is not None:
            sibling.addprevious(element)
    if attribute and text is None:
        del element.attrib[attribute]
    elif attribute:
        element.set(attribute, text or "")
    elif text is None:
        parent.remove(element)
    else:
        element.text = text


def _step(step: str) -> str:
    assert re.fullmatch(r"[A-Z0-9_]+(\[[0-9]+\])?", step), step
    return step


def side() -> Side:
    """The bank's side with the payer's account and the centre of the pool, at noon of `TODAY`."""
    accounts = (
        LedgerAccount(PAYER, HOLDER, Money(10_000_000_000_000_000_000)),
        LedgerAccount(CENTRE, CENTRE_HOLDER, Money(1_000_00)),
    )
    options = {"customer": CUSTOMER, "user": USER, "password": PASSWORD, "cheap": True}
    return Side(twin.build(options, {}), Ledger(BankTime().now_ms, accounts))


INFO = "XFERRQ/XFERINFO"
TO = f"{INFO}/ACCTTO"


def _one(
    operation: str, path: str, text: str | None, rule: RuleKind, code: str = "2002", place: str = "", **more: str | None
) -> Mistake:
    shown = "none" if text is None else repr(text[:20])
    changes = {path: text, **{key.replace("__", "/"): value for key, value in more.items()}}
    name = f"{operation} {path.rpartition('/')[2]}={shown}" + "".join(f" {key}" for key in more)
    return Mistake(name, partial(request, operation, changes), place or path, rule, code)


def _payment(path: str, text: str | None, rule: RuleKind, code: str = "2002") -> Mistake:
    return _one("XFERTRN", f"{INFO}/{path}", text, rule, code)


def _log_on(tag: str, text: str | None, rule: RuleKind, code: str) -> Mistake:
    return _one("CURRACCTQUERYTRN", f"SONRQ/{tag}", text, rule, code)


def _line_wrong(name: str, row: str, place: str, rule: RuleKind, code: str = "2000") -> Mistake:
    return Mistake(f"line {name}", partial(batch, row, changes=_TOTALS_OF_ONE), f"XFERINFOTEXT[1]/{place}", rule, code)


_TOTALS_OF_ONE = {"RQBODY/TOTALCOUNT": "1", "RQBODY/TOTALAMOUNT": "1.00"}
_SECOND_JOB = partial(request, "ELECTRONICRECEIPTTRN", trnuid="MISTAKE-2")


def _of_the_whole() -> tuple[Mistake, ...]:
    """Mistakes of HTTP, the envelope, the order of elements and the charset."""
    pay = partial(request, "XFERTRN")
    swapped = ("<CURSYM>RMB</CURSYM><TRNAMT>1024.50</TRNAMT>", "<TRNAMT>1024.50</TRNAMT><CURSYM>RMB</CURSYM>")
    utf8 = ('encoding="GBK"', 'encoding="UTF-8"')
    twice = ("<TRNAMT>1024.50</TRNAMT>", "<TRNAMT>1024.50</TRNAMT><TRNAMT>9.00</TRNAMT>")
    two_log_ons = ("</SONRQ>", f"</SONRQ><SONRQ>{LOG_ON}</SONRQ>")
    unknown = ("<MEMO>", "<NOTE>x</NOTE><MEMO>")
    frame, header = RuleKind.FRAME, RuleKind.HEADER
    return (
        Mistake("sent as text/xml", partial(pay, headers={"Content-Type": "text/xml"}), "Content-Type", header, "400"),
        Mistake("PUT", partial(pay, method="PUT"), "method", header, "400"),
        Mistake("cut in the middle", partial(pay, replaced=("</FOX>", "")), "FOX", frame),
        Mistake("a bare &", partial(pay, replaced=("<MEMO>PO-77", "<MEMO>a & b")), "FOX", frame),
        Mistake("declared as UTF-8", partial(pay, replaced=utf8, charset="utf-8"), "FOX", RuleKind.CHARSET),
        Mistake("UTF-8 declared as GBK", partial(pay, charset="utf-8"), "FOX", RuleKind.CHARSET),
        Mistake("another root", partial(pay, {}, replaced=("<FOX>", "<FX>")), "FOX", frame),
        Mistake("two log-ons", partial(pay, replaced=two_log_ons), "SONRQ", RuleKind.REPEATED),
        Mistake("amount before currency", partial(pay, replaced=swapped), "CURSYM", frame, "2002"),
        Mistake("an element that the page does not have", partial(pay, replaced=unknown), "NOTE", frame, "2002"),
        Mistake("two amounts", partial(pay, replaced=twice), "TRNAMT", RuleKind.REPEATED),
        Mistake("an operation of no page", partial(pay, tag="PAYTRNRQ"), "PAYTRNRQ", RuleKind.OPERATION, "2000"),
        Mistake("an answer's name", partial(pay, tag="XFERTRNRS"), "XFERTRNRS", RuleKind.OPERATION, "2000"),
        Mistake("no TRNUID", partial(pay, {"TRNUID": None}), "TRNUID", RuleKind.MISSING, "2002"),
        Mistake("31 characters of TRNUID", partial(pay, trnuid="T" * 31), "TRNUID", RuleKind.LENGTH, "2002"),
        Mistake(
            "the FUNDACCT of a pool behind XFERINFO",
            partial(
                request,
                "XPMTTRN",
                {"XMPTRQ/FUNDACCT": None},
                replaced=("</XFERINFO>", f"</XFERINFO><FUNDACCT><ACCTID>{CENTRE}</ACCTID></FUNDACCT>"),
            ),
            "FUNDACCT",
            frame,
            "2002",
        ),
    )


def _of_payments() -> tuple[Mistake, ...]:
    due, form, books = f"{INFO}/DTDUE", RuleKind.FORM, RuleKind.BOOKS
    return (
        _payment("ACCTFROM/ACCTID", "0" * 19, RuleKind.LENGTH),
        _payment("ACCTFROM/ACCTID", "000000000000000099", books, "2005"),
        _payment("ACCTFROM/NAME", "别人公司", books),
        _payment("ACCTTO@INTERBANK", "1", RuleKind.CODE),
        _payment("ACCTTO@INTERBANK", None, RuleKind.MISSING),
        _payment("ACCTTO@LOCAL", "", RuleKind.MISSING),
        _payment("ACCTTO/ACCTID", "6217 0000", RuleKind.ALPHABET),
        _payment("ACCTTO/ACCTID", "9" * 33, RuleKind.LENGTH),
        _payment("ACCTTO/NAME", "名" * 26, RuleKind.LENGTH),
        _payment("ACCTTO/NAME", None, RuleKind.MISSING),
        _payment("ACCTTO/NAME", "𬭎", RuleKind.CHARSET),
        _payment("ACCTTO/BANKDESC", None, RuleKind.MISSING),
        _payment("ACCTTO/BANKDESC", "兴业银行台州分行", RuleKind.TOGETHER),
        _payment("ACCTTO/BANKNUM", "1053450000011", RuleKind.LENGTH),
        _payment("ACCTTO/CITY", "城" * 16, RuleKind.LENGTH),
        _payment("CURSYM", "CNY", RuleKind.CODE),
        _payment("TRNAMT", "1,024.50", form, "2006"),
        _payment("TRNAMT", "10.245", form, "2006"),
        _payment("TRNAMT", "0.00", form, "2006"),
        _payment("TRNAMT", "-1.00", form, "2006"),
        _payment("TRNAMT", "1" + "0" * 15 + ".00", RuleKind.LENGTH, "2006"),
        _payment("PMTMODE", "NORMAL", RuleKind.CODE),
        _payment("PURPOSE", "", RuleKind.MISSING),
        _payment("PURPOSE", "用" * 31, RuleKind.LENGTH),
        _payment("MEMO", "a<b", RuleKind.ALPHABET),
        _payment("MEMO", "M" * 61, RuleKind.LENGTH),
        _payment("DTDUE", "", RuleKind.MISSING),
        _payment("DTDUE", TODAY, RuleKind.TOGETHER),
        _payment("DTDUE", "2026-12-10", RuleKind.TOGETHER),
        Mistake(
            "SUPER above 50,000",
            partial(request, "XFERTRN", {f"{INFO}/PMTMODE": "SUPER", f"{INFO}/TRNAMT": "50000.01"}),
            "TRNAMT",
            RuleKind.TOGETHER,
            "2002",
        ),
        Mistake(
            "SUPER without a bank number",
            partial(request, "XFERTRN", {f"{INFO}/PMTMODE": "SUPER", f"{TO}/BANKNUM": None}),
            "BANKNUM",
            RuleKind.MISSING,
            "2002",
        ),
        Mistake(
            "another name of an account at this bank",
            partial(request, "XFERTRN", {f"{TO}@INTERBANK": "Y", f"{TO}/ACCTID": CENTRE}),
            "ACCTTO/NAME",
            books,
            "2002",
        ),
        Mistake(
            "a fast payment in dollars", partial(request, "ICTRANSFERTRN", {"XMPTRQ/XFERINFO/CURSYM": "USD"}), "CURSYM"
        ),
        _one("XPMTTRN", "XMPTRQ/FUNDACCT", None, RuleKind.MISSING),
        _one("XPMTTRN", "XMPTRQ/FUNDACCT/ACCTID", "000000000000000099", books, "2005"),
        Mistake("a due day without dashes", partial(request, "XFERTRN", {due: "20261130"}), "DTDUE", form, "2002"),
    )


def _of_bundles() -> tuple[Mistake, ...]:
    batches, pays, gathers = "ASYNBATCHTRSFRTRN", "RPAYOFFRQ/RPAYOFFINFO", "GATHERRQ/GATHERINFO"
    realtime, together = "RBATCHTRSFRTRN", RuleKind.TOGETHER
    many = tuple(line(number) for number in range(1, 102))
    return (
        _one(batches, "RQBODY/TOTALCOUNT", "3", together, "51027"),
        _one(batches, "RQBODY/TOTALAMOUNT", "3.01", together, "51027"),
        _one(batches, "RQBODY/BIZTYPE", "2", RuleKind.CODE),
        _one(batches, "RQBODY/XFERINFOTEXT@SIZE", "3", together, "2000"),
        Mistake("101 lines", partial(batch, *many), "XFERINFOTEXT", RuleKind.COUNT, "2000"),
        Mistake("no lines", partial(batch, size="0"), "XFERINFOTEXT", RuleKind.COUNT, "2000"),
        _line_wrong("of ten cells", "|".join(line().split("|")[:10]) + "|", "", RuleKind.FRAME),
        _line_wrong("whose use holds a |", line(use="a|b"), "", RuleKind.FRAME),
        _line_wrong("of 1 yuan", line(amount="1"), "金额", RuleKind.FORM),
        _line_wrong("of y", line(inside="y"), "兴业", RuleKind.CODE),
        _line_wrong("without a bank", line(bank=""), "行名", RuleKind.MISSING),
        _line_wrong("at this bank and not", line(bank="兴业银行福州分行"), "行名", together, "60010"),
        _line_wrong("of a long remark", line(remark="备" * 26), "备注", RuleKind.LENGTH),
        Mistake("one line twice", partial(batch, line(1), line(1)), "XFERINFOTEXT[2]/序号", together, "2000"),
        _one(realtime, "RQBODY/TOTALAMOUNT", "2.00", together, "51027"),
        _one(realtime, "RQBODY/XFERINFO[2]/TRNAMT", "2", RuleKind.FORM, "2006"),
        _one(realtime, "RQBODY/XFERINFO[2]/INDX", "100000", RuleKind.LENGTH, "2000"),
        _one(realtime, "RQBODY/XFERINFO[1]/USE", "用" * 31, RuleKind.LENGTH),
        _one(realtime, "RQBODY/DTDUE", "2026-12-25", together),
        _one("RPAYOFFTRN", f"{pays}/DESCRIPTION", "001", RuleKind.CODE),
        _one("RPAYOFFTRN", f"{pays}/TITLE", "题" * 16, RuleKind.LENGTH),
        _one("RPAYOFFTRN", f"{pays}/RPAYOFFLIST/RPAYOFF[2]/ACCTNAME", "名" * 11, RuleKind.LENGTH),
        _one("RPAYOFFTRN", f"{pays}/RPAYOFFLIST/RPAYOFF[1]/ACCTID", "6" * 19, RuleKind.LENGTH),
        _one("RPAYOFFTRN", f"{pays}/TOTALCOUNT", "1", together, "51027"),
        _one("GATHERTRN", f"{gathers}/LIMITDAYS", "4", RuleKind.CODE),
        _one("GATHERTRN", f"{gathers}/FIRMCODE", "00001", RuleKind.LENGTH),
        _one("GATHERTRN", f"{gathers}/BIZCODE", "0010", RuleKind.LENGTH),
        _one("GATHERTRN", f"{gathers}/PAYINFO[2]/PAYMODE", "3", RuleKind.CODE),
        _one("GATHERTRN", f"{gathers}/PAYINFO[1]/CONTRACTID", None, RuleKind.MISSING),
        _one("GATHERTRN", f"{gathers}/ACCTTO/ACCTID", PAYEE, RuleKind.BOOKS, "2005"),
    )


def _of_questions() -> tuple[Mistake, ...]:
    span, past, books = "SCUSTSTMTRQ/INCTRAN", "HISBALQUERYRQ/HISBALQUERYINFO", RuleKind.BOOKS
    return (
        _log_on("CID", "1100000002", RuleKind.HEADER, "2000"),
        _log_on("USERID", "nobody", RuleKind.HEADER, "2000"),
        _log_on("USERPASS", "guess", RuleKind.HEADER, "15500"),
        _log_on("USERPASS", None, RuleKind.MISSING, "15500"),
        _log_on("DTCLIENT", "20261124120000", RuleKind.FORM, "2000"),
        _log_on("GENUSERKEY", "X", RuleKind.CODE, "2000"),
        _one("CURRACCTQUERYTRN", "RQBODY/ACCTID", PAYEE, books, "2005"),
        _one("CURRACCTQUERYTRN", "RQBODY/ACCTID", "", RuleKind.MISSING),
        _one("HISBALQUERYTRN", f"{past}/DTSTART", "2025-11-22", RuleKind.TOGETHER, "6000", place=f"{past}/DTEND"),
        _one("HISBALQUERYTRN", f"{past}/DTSTART", TODAY, RuleKind.TOGETHER),
        _one("SCUSTSTMTTRN", f"{span}/DTEND", TODAY, RuleKind.TOGETHER),
        _one("SCUSTSTMTTRN", f"{span}/DTSTART", TODAY, RuleKind.TOGETHER),
        _one("SCUSTSTMTTRN", f"{span}/TRNTYPE", "3", RuleKind.CODE),
        _one("SCUSTSTMTTRN", f"{span}/PAGE", "0", RuleKind.FORM),
        _one("SCUSTSTMTTRN", "SCUSTSTMTRQ/SELTYPE", "2", RuleKind.CODE),
        _one("FSTMTTRN", f"{span}/NUM", "150", RuleKind.FORM),
        _one("FSTMTTRN", f"{span}/NUM", "1100", RuleKind.FORM),
        _one("FSTMTTRN", "SCUSTSTMTRQ/SELTYPE", "1", RuleKind.FRAME),
        _one("ELECTRONICRECEIPTTRN", "RQBODY/RECEIPTDATE", TODAY, RuleKind.TOGETHER),
        _one("ELECTRONICRECEIPTTRN", "RQBODY/RECEIPT_TYPE", "02", RuleKind.CODE),
        Mistake(
            "a second receipt job",
            partial(request, "ELECTRONICRECEIPTTRN"),
            "RECEIPTDATE",
            books,
            "2002",
            before=(_SECOND_JOB,),
        ),
        _one("ASYNRECEIPTINFOTRN", "RQBODY@PAGE", None, RuleKind.MISSING),
        _one("XFERINQTRN", "XFERINQRQ/CLIENTREF", "MISTAKE-1", RuleKind.TOGETHER, place="TRNUID"),
        _one("XFERINQTRN", "XFERINQRQ/CLIENTREF", None, RuleKind.MISSING),
        _one("INQSTATETRN", "INQSTATECOND/CLIENTREF", None, RuleKind.MISSING),
    )


def mistakes() -> tuple[Mistake, ...]:
    """Every rule of cib.md 1, 2 and 4, broken once."""
    return (*_of_the_whole(), *_of_payments(), *_of_bundles(), *_of_questions())


def corners() -> tuple[Corner, ...]:
    """The longest, shortest, largest and rarest that the page allows."""
    longest = {
        f"{TO}/ACCTID": "9-" * 16,
        f"{TO}/NAME": "名" * 25,
        f"{TO}/BANKDESC": "行" * 25,
        f"{TO}/CITY": "城" * 15,
        f"{INFO}/PURPOSE": "用" * 30,
        f"{INFO}/MEMO": "备" * 30,
    }
    optional: tuple[str, ...] = (
        "CHEQUENUM",
        "CURSYM",
        "PMTMODE",
        "MEMO",
        "ACCTFROM/NAME",
        "ACCTFROM/BANKDESC",
        "ACCTFROM/CITY",
    )
    optional += ("ACCTTO/CITY", "ACCTTO/BANKNUM")
    hundred = tuple(line(number) for number in range(1, 101))
    hundred_totals = {"RQBODY/TOTALCOUNT": "100", "RQBODY/TOTALAMOUNT": "100.00"}
    cards = "".join(_card(number, "1.00") for number in range(1, 301))
    payroll = GOOD["RPAYOFFTRN"].partition("<RPAYOFFLIST>")[2].partition("</RPAYOFFLIST>")[0]
    rapid = {f"{INFO}/PMTMODE": "SUPER", f"{INFO}/TRNAMT": "50000.00"}
    info = "RPAYOFFRQ/RPAYOFFINFO"
    return (
        Corner("the longest fields", partial(request, "XFERTRN", longest, trnuid="T" * 30)),
        Corner(
            "without optional elements", partial(request, "XFERTRN", dict.fromkeys(f"{INFO}/{x}" for x in optional))
        ),
        Corner("the largest amount", partial(request, "XFERTRN", {f"{INFO}/TRNAMT": "9" * 15 + ".99"})),
        Corner("one fen", partial(request, "XFERTRN", {f"{INFO}/TRNAMT": "0.01"})),
        Corner("full-width and rare characters of GBK", partial(request, "XFERTRN", {f"{TO}/NAME": "ＡＢ（镕麤）"})),
        Corner("SUPER of 50,000", partial(request, "XFERTRN", rapid)),
        Corner("due in 15 days", partial(request, "XFERTRN", {f"{INFO}/DTDUE": "2026-12-09"})),
        Corner("a fast payment, the shortest TRNUID", partial(request, "ICTRANSFERTRN", trnuid="1")),
        Corner("a transfer with the centre", partial(request, "XPMTTRN")),
        Corner(
            "a document without declaration",
            partial(request, "XFERTRN", replaced=('<?xml version="1.0" encoding="GBK"?>', "")),
        ),
        Corner("a document labelled GB2312", partial(request, "XFERTRN", replaced=('"GBK"', '"GB2312"'))),
        Corner("two lines in real time", partial(request, "RBATCHTRSFRTRN"), 2),
        Corner("100 lines", partial(batch, *hundred, changes=hundred_totals), 100),
        Corner("size in small letters", partial(request, "ASYNBATCHTRSFRTRN", replaced=("SIZE=", "size=")), 2),
        Corner(
            "300 cards",
            partial(
                request,
                "RPAYOFFTRN",
                {f"{info}/TOTALCOUNT": "300", f"{info}/TOTALAMOUNT": "300.00"},
                replaced=(payroll, cards),
            ),
            300,
        ),
        Corner("collections", partial(request, "GATHERTRN"), 2),
        Corner(
            "balances up to today",
            partial(request, "HISBALQUERYTRN", {"HISBALQUERYRQ/HISBALQUERYINFO/DTEND": TODAY}),
            0,
        ),
    )
