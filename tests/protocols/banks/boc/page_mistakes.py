"""Mistakes of 中国银行 BOC's clients, written from the bank's page by a reader who did not know the twin's rules.

Each mistake is one that the programmer of an ERP makes who reads the page badly, or who brings the habits of another
bank's interface.
"""

from __future__ import annotations

from base64 import b64encode
from functools import partial
from urllib.parse import quote_from_bytes

from protocols.judge import RuleKind
from tests.protocols.banks.boc.client_mistakes import INSID, OTHER, OWN, OWN_TOO, TOKEN, posted, request
from tests.protocols.banks.mistakes import Mistake

_PAY, _PERSON, _WAGES = "b2e0009", "b2e0061", "b2e0078"
_UUID = "1f0c9d2e-7a34-4c0b-9a55-0d6f2b7c8e91"
"""A reference as a program makes one that was not told a length."""


def _row(name: str, place: str, text: str | None, operation: str = _PAY, *, row: int = 1, lines: int = 1) -> Mistake:
    """A good request of `operation` with another value at `place` in one of its rows."""
    part = f"{operation}-rq[{row}]/{place}"
    return Mistake(name, partial(request, operation, {part: text}, lines=lines), place)


def _detail(name: str, place: str, text: str | None, *, line: int = 1) -> Mistake:
    """A good payroll of two lines with another value at `place` in one of them."""
    return Mistake(
        name, partial(request, _WAGES, {f"detail[{line}]/{place}": text}, lines=2), f"detail[{line}]/{place}"
    )


def _around(name: str, place: str, text: str | None, operation: str = _PAY) -> Mistake:
    """A good request of `operation` with another value in the head, an attribute or a field before the rows."""
    return Mistake(name, partial(request, operation, {place: text}), place.rpartition("/")[2].lstrip("@"))


def _body(operation: str = _PAY) -> bytes:
    return request(operation).split(b"\r\n\r\n", 1)[1]


def _text(name: str, place: str, operation: str, *swaps: tuple[str, str], rule: RuleKind | None = None) -> Mistake:
    """A good request of `operation` in whose XML the first of each of `swaps` became the second, wherever it stands."""

    def made() -> bytes:
        text = _body(operation).decode()
        for old, new in swaps:
            assert old in text, (operation, old)
            text = text.replace(old, new)
        return posted(text.encode())

    return Mistake(name, made, place, rule)


def mistakes() -> tuple[Mistake, ...]:
    """Mistakes in every part of the page: carrier, envelope, sign-on, payments, payroll, results, balances, entries."""
    return (
        *_carrier(),
        *_envelope(),
        *_heads(),
        *_sign_on(),
        *_parties(),
        *_amounts_and_texts(),
        *_dates_and_references(),
        *_rows(),
        *_persons(),
        *_payroll(),
        *_payroll_lines(),
        *_results_and_balances(),
        *_entries(),
        *_receipts(),
    )


def _carrier() -> tuple[Mistake, ...]:
    good = _body()
    bare = good.decode().partition("?>")[2]
    plain = f"<?xml version='1.0'?>{bare}"
    return (
        Mistake("POST as GET", lambda: request(_PAY).replace(b"POST ", b"GET ", 1), "method"),
        Mistake("path in small letters", partial(posted, good, "/b2ec/e2bservlet"), "path"),
        Mistake(
            "XML in a form field", partial(posted, b"reqData=" + quote_from_bytes(good).encode()), "", RuleKind.FRAME
        ),
        Mistake("XML in Base64", partial(posted, b64encode(good)), "", RuleKind.FRAME),
        Mistake(
            "length of eight digits before the XML", partial(posted, b"%08d" % len(good) + good), "", RuleKind.FRAME
        ),
        Mistake("zero bytes behind the XML", partial(posted, good + b"\0" * 8), "", RuleKind.FRAME),
        Mistake("length in characters", partial(posted, good[: len(good.decode())]), "", RuleKind.FRAME),
        Mistake("two documents in one request", partial(posted, good + good), "", RuleKind.FRAME),
        Mistake("GBK without a declaration", partial(posted, plain.encode("gbk")), "", RuleKind.CHARSET),
        Mistake(
            "GBK of a payment to a person under the label UTF-8",
            partial(posted, _body(_PERSON).decode().encode("gbk")),
            "",
            RuleKind.CHARSET,
        ),
        Mistake("UTF-8 under the label GBK", partial(posted, good.replace(b"UTF-8", b"GBK", 1)), "", RuleKind.CHARSET),
        Mistake(
            "UTF-16",
            partial(posted, f'<?xml version="1.0" encoding="UTF-16"?>{bare}'.encode("utf-16")),
            "",
            RuleKind.CHARSET,
        ),
        Mistake("nothing at all", partial(posted, b""), "", RuleKind.FRAME),
        Mistake("JSON", partial(posted, b'{"bocb2e":{"head":{"trncod":"b2e0009"}}}'), "", RuleKind.FRAME),
    )


def _envelope() -> tuple[Mistake, ...]:
    pay, rq = f"trn-{_PAY}-rq", f"{_PAY}-rq"
    frame = RuleKind.FRAME
    return (
        _text("root in capitals", "", _PAY, ("bocb2e", "BOCB2E"), rule=frame),
        _text("raw ampersand in a name", "", _PAY, ("乙公司", "乙&丙公司"), rule=frame),
        _text("raw less-than in a purpose", "", _PAY, ("货款", "货款<十一月"), rule=frame),
        _text("no head", "head", _PAY, ("<head>", "<header>"), ("</head>", "</header>")),
        _text("two heads", "head", _PAY, ("<head>", "<head></head><head>")),
        _text("no trans", "trans", _PAY, ("<trans>", "<body>"), ("</trans>", "</body>")),
        _text("two trans", "trans", _PAY, ("</trans>", "</trans><trans></trans>")),
        _text("rows right in trans", pay, _PAY, (f"<{pay}>", ""), (f"</{pay}>", "")),
        _text("answer's name of the message", pay, _PAY, (pay, f"trn-{_PAY}-rs")),
        _text("answer's name of the rows", rq, _PAY, (f"<{rq}>", f"<{_PAY}-rs>"), (f"</{rq}>", f"</{_PAY}-rs>")),
        _text("rows without -rq", rq, _PAY, (f"<{rq}>", f"<{_PAY}>"), (f"</{rq}>", f"</{_PAY}>")),
        _text("rows of another code", rq, _PAY, (f"<{rq}>", "<b2e0061-rq>"), (f"</{rq}>", "</b2e0061-rq>")),
        _text(
            "two messages in one", "trn-b2e0007-rq", _PAY, (f"</{pay}>", f"</{pay}><trn-b2e0007-rq></trn-b2e0007-rq>")
        ),
        _text("a status in the request", "status", _PAY, (f"<{rq}>", f"<status><rspcod>B001</rspcod></status><{rq}>")),
        _text("bare text between rows", f"trn-{_PAY}-rq", _PAY, (f"<{rq}>", f"12345<{rq}>")),
        _text("markup in the purpose", "furinfo", _PAY, ("<furinfo>货款", "<furinfo>货款<br/>十一月")),
        _text("element beside head and trans", "sign", _PAY, ("<trans>", "<sign>MIIE</sign><trans>")),
        _text("element of our own in a row", "erpno", _PAY, ("<priolv>", "<erpno>1</erpno><priolv>")),
        _text("name with a capital", "trnAmt", _PAY, ("trnamt>", "trnAmt>")),
        _text("element of our own in the head", "erpuser", _PAY, ("<trncod>", "<erpuser>1</erpuser><trncod>")),
        _text("two account elements", "account", "b2e0005", ("</account>", "</account><account></account>")),
        _around("version that does not exist", "@version", "200"),
        _around("version of the XML", "@version", "1.0", "b2e0035"),
    )


def _heads() -> tuple[Mistake, ...]:
    return (
        _around("termid as IP address", "head/termid", "192.168.1.10"),
        _around("termid without E", "head/termid", "192168001010"),
        _around("termid a digit short", "head/termid", "E19216800101"),
        _around("termid with the dots", "head/termid", "E192.168.1.10"),
        _around("no termid", "head/termid", "", "b2e0005"),
        _around("termid left out", "head/termid", None),
        _around("no trnid", "head/trnid", ""),
        _around("trnid left out", "head/trnid", None, "b2e0007"),
        _around("no custid", "head/custid", "", "b2e0035"),
        _around("custid left out", "head/custid", None),
        _around("no cusopr", "head/cusopr", ""),
        _around("cusopr left out", "head/cusopr", None, "b2e0012"),
        _around("trncod left out", "head/trncod", None),
        Mistake("trncod of another message", partial(request, _PAY, {"head/trncod": _PERSON}), f"trn-{_PERSON}-rq"),
        _around("trncod in capitals", "head/trncod", "B2E0009"),
        _around("trncod without its letters", "head/trncod", "0009"),
        _around("token left out", "head/token", None),
        _around("empty token", "head/token", "", "b2e0007"),
        _around("token twice in a row", "head/token", TOKEN * 3),
        _text("two tokens", "token", _PAY, ("<token>", f"<token>{TOKEN}</token><token>")),
        _text("two trncod", "trncod", _PAY, ("<trncod>", f"<trncod>{_PAY}</trncod><trncod>")),
        _text("two trnid", "trnid", "b2e0035", ("<trnid>", "<trnid>20261124120000002</trnid><trnid>")),
        _text(
            "token behind the head", "token", _PAY, (f"<token>{TOKEN}</token></head>", f"</head><token>{TOKEN}</token>")
        ),
        Mistake("a message that does not exist", partial(request, "b2e0010"), "trncod", RuleKind.OPERATION),
        Mistake("a message named in words", partial(request, "payment"), "", RuleKind.OPERATION),
    )


def _sign_on() -> tuple[Mistake, ...]:
    sign_on = "b2e0001"
    return (
        _row("sign-on with a blank as password", "oprpwd", " ", sign_on),
        _row("sign-on with the password left out", "oprpwd", None, sign_on),
        _row("sign-on without a time", "custdt", "", sign_on),
        _row("sign-on without seconds", "custdt", "202611241200", sign_on),
        _row("sign-on with a time in ISO's form", "custdt", "2026-11-24T12:00:00", sign_on),
        _row("sign-on at an hour that no clock has", "custdt", "20261124250000", sign_on),
        _row("sign-on with the password under another name", "password", "demo-only", sign_on),
        _around("sign-on without the operator", "head/cusopr", "", sign_on),
        _around("sign-on without the customer", "head/custid", None, sign_on),
        Mistake("sign-on of two operators", partial(request, sign_on, lines=2), "b2e0001-rq"),
        Mistake("sign-on without a row", partial(request, sign_on, lines=0), "b2e0001-rq"),
        _text("sign-on with two passwords", "oprpwd", sign_on, ("<oprpwd>", "<oprpwd>other</oprpwd><oprpwd>")),
        _row("sign-off without a time", "custdt", None, "b2e0002"),
        _row("sign-off with hyphens", "custdt", "2026-11-24", "b2e0002"),
    )


def _parties() -> tuple[Mistake, ...]:
    return (
        _row("no payer's account", "fractn/actacn", ""),
        _row("payer's account left out", "fractn/actacn", None),
        _row("payer's account at another bank", "fractn/actacn", "622200000001"),
        _row("payer's account in groups of four", "fractn/actacn", "0000 0000 0001"),
        _row("payer's account without leading zeros", "fractn/actacn", OWN.lstrip("0")),
        _row("payer's account of 36 digits", "fractn/actacn", "0" * 24 + OWN),
        _row("no link number of the payer", "fractn/fribkn", ""),
        _row("link number of four digits", "fractn/fribkn", "4000"),
        _row("link number as bank code", "fractn/fribkn", "104"),
        _row("link number in letters", "fractn/fribkn", "BOCSZ"),
        _row("payer's name of another account", "fractn/actnam", "甲公司分公司"),
        _row("payer's name shortened", "fractn/actnam", "甲"),
        _row("payer's name of 72 bytes", "fractn/actnam", "甲" * 36),
        _row("no payee's account", "toactn/actacn", ""),
        _row("payee's account left out", "toactn/actacn", None),
        _row("payee's account of 36 characters", "toactn/actacn", "6" * 36),
        _row("payee's account in Chinese", "toactn/actacn", "见附件"),
        _row("payee's name of a blank", "toactn/toname", " "),
        _row("payee's name left out", "toactn/toname", None),
        _row("payee's name of 72 bytes in 36 characters", "toactn/toname", "乙" * 36),
        _row("payee's name of 71 letters", "toactn/toname", "B" * 71),
        _row("payee's address of 71 letters", "toactn/toaddr", "S" * 71),
        _row("payee's address of 72 bytes", "toactn/toaddr", "深" * 36),
        _row("payee bank's name of 71 bytes", "toactn/tobknm", "支行" * 17 + "123"),
        _row("bank number of a blank", "toactn/toibkn", " "),
        _row("bank number left out", "toactn/toibkn", None),
        _row("bank number of three digits", "toactn/toibkn", "104"),
        _row("bank number as SWIFT code", "toactn/toibkn", "BKCHCNBJ"),
        _row("bank's name as its number", "toactn/toibkn", "中国银行"),
        _text("payer named as in entries", "fribkn", _PAY, ("fribkn>", "ibknum>")),
        _text("payee's name as the payer's", "toname", _PAY, ("toname>", "actnam>")),
        _text("accounts right in the row", "fractn", _PAY, ("<fractn>", ""), ("</fractn>", "")),
        _text("two payers", "fractn", _PAY, ("</fractn>", f"</fractn><fractn><actacn>{OWN_TOO}</actacn></fractn>")),
        _text("two payees", "toactn", _PAY, ("</toactn>", f"</toactn><toactn><actacn>{OTHER}</actacn></toactn>")),
        _text("two payee names", "toname", _PAY, ("<toname>", "<toname>丙公司</toname><toname>")),
    )


def _amounts_and_texts() -> tuple[Mistake, ...]:
    return (
        _row("three decimals", "trnamt", "123.455"),
        _row("no yuan at all", "trnamt", "0"),
        _row("below zero", "trnamt", "-123.45"),
        _row("with a plus", "trnamt", "+123.45"),
        _row("separators", "trnamt", "1,234,567.00"),
        _row("decimal comma", "trnamt", "123,45"),
        _row("exponent", "trnamt", "1.2345E2"),
        _row("currency sign", "trnamt", "¥123.45"),
        _row("currency code in the amount", "trnamt", "CNY 123.45"),
        _row("amount in words", "trnamt", "壹佰元"),
        _row("full-width digits", "trnamt", "\uff11\uff12\uff13.45"),
        _row("no digit before the point", "trnamt", ".45"),
        _row("no digit behind the point", "trnamt", "123."),
        _row("thirty digits", "trnamt", "1" * 30 + ".00"),
        _row("no amount", "trnamt", ""),
        _row("amount left out", "trnamt", None),
        _row("not a number", "trnamt", "NaN"),
        _row("currency in Chinese", "trncur", "人民币"),
        _row("currency by ISO number", "trncur", "156"),
        _row("currency of dollars", "trncur", "USD"),
        _row("currency in small letters", "trncur", "cny"),
        _row("currency without its zeros", "trncur", "1"),
        _row("no currency", "trncur", ""),
        _row("priority in a word", "priolv", "加急"),
        _row("priority in two digits", "priolv", "01"),
        _row("priority as a letter", "priolv", "N"),
        _row("purpose of 82 bytes in 41 characters", "furinfo", "货" * 41),
        _row("purpose of 81 letters", "furinfo", "P" * 81),
        _row("full-width purpose of 41 characters", "furinfo", "\uff30" * 41),
        _text("two amounts", "trnamt", _PAY, ("<trnamt>", "<trnamt>123.45</trnamt><trnamt>")),
        _text("two purposes", "furinfo", _PAY, ("<furinfo>", "<furinfo>一</furinfo><furinfo>")),
        _text("two currencies", "trncur", _PAY, ("<trncur>", "<trncur>001</trncur><trncur>")),
        _around("transtype of two digits", "transtype", "01"),
        _around("transtype in a word", "transtype", "normal"),
        _around("transtype of zero", "transtype", "0"),
    )


def _dates_and_references() -> tuple[Mistake, ...]:
    return (
        _row("transfer of the month before", "trfdate", "20261024"),
        _row("transfer of last year", "trfdate", "20251124"),
        _row("transfer in six weeks", "trfdate", "20270105"),
        _row("transfer in a year", "trfdate", "20271124"),
        _row("transfer date with hyphens", "trfdate", "2026-11-24"),
        _row("transfer date with slashes", "trfdate", "2026/11/24"),
        _row("transfer date day first", "trfdate", "24112026"),
        _row("transfer date that no calendar has", "trfdate", "20261301"),
        _row("transfer date of six digits", "trfdate", "261124"),
        _row("transfer date with its time", "trfdate", "20261124120000"),
        _row("reference left out", "insid", None),
        _row("reference of 36 characters", "insid", _UUID),
        _row("reference in Chinese", "insid", "付款单一"),
        _row("reference with a blank", "insid", "GW 2611240001"),
        _text("two references", "insid", _PAY, ("<insid>", "<insid>GW2611240009</insid><insid>")),
    )


def _rows() -> tuple[Mistake, ...]:
    first = f"{_PAY}-rq[1]/"
    return (
        Mistake("payment to a person without a row", partial(request, _PERSON, lines=0), f"{_PERSON}-rq"),
        Mistake("1001 rows to persons", partial(request, _PERSON, lines=1001), f"{_PERSON}-rq"),
        Mistake("third row under the first's reference", _same_reference, f"{_PAY}-rq[3]/insid"),
        _row("second row without an amount", "trnamt", "", row=2, lines=2),
        _row("second row of three decimals", "trnamt", "0.001", row=2, lines=2),
        _row("second row from an account elsewhere", "fractn/actacn", OTHER, row=2, lines=2),
        _row("second row in dollars", "trncur", "USD", row=2, lines=2),
        _row("third row without a payee", "toactn/toname", "", row=3, lines=3),
        _row("third row of yesterday", "trfdate", "20261123", row=3, lines=3),
        _text(
            "row inside a row", f"{_PAY}-rq", _PAY, ("<obssid>", f"<{_PAY}-rq><insid>A1</insid></{_PAY}-rq><obssid>")
        ),
        Mistake("all fields empty", partial(request, _PAY, {first + one: "" for one in ("trnamt", "insid")}), "trnamt"),
    )


def _same_reference() -> bytes:
    return request(_PAY, {f"{_PAY}-rq[3]/insid": INSID}, lines=3)


def _persons() -> tuple[Mistake, ...]:
    return (
        _row("person with a blank as bocflag", "bocflag", " ", _PERSON),
        _row("person with bocflag left out", "bocflag", None, _PERSON),
        _row("person without acttyp", "toactn/acttyp", "", _PERSON),
        _row("person with acttyp left out", "toactn/acttyp", None, _PERSON),
        _row("person with acttyp that the page lacks", "toactn/acttyp", "120", _PERSON),
        _row("person with acttyp in a word", "toactn/acttyp", "借记卡", _PERSON),
        _row("person without a name", "toactn/toname", "", _PERSON),
        _row("person without an account", "toactn/actacn", "", _PERSON),
        _row("person paid with three decimals", "trnamt", "88.888", _PERSON),
        _row("person paid in dollars", "trncur", "USD", _PERSON),
        _row("person paid yesterday", "trfdate", "20261123", _PERSON),
        _row("person's purpose of 82 bytes", "furinfo", "款" * 41, _PERSON),
        _row("person paid from an account elsewhere", "fractn/actacn", OTHER, _PERSON),
        _row("person paid under a long reference", "insid", _UUID, _PERSON),
        _text(
            "acttyp beside toactn",
            "acttyp",
            _PERSON,
            ("<acttyp>119</acttyp></toactn>", "</toactn><acttyp>119</acttyp>"),
        ),
    )


def _wage(name: str, place: str, text: str | None) -> Mistake:
    """A good payroll of two lines with another value at `place` of its head."""
    return Mistake(name, partial(request, _WAGES, {f"{_WAGES}-rq[1]/{place}": text}, lines=2), place)


def _payroll() -> tuple[Mistake, ...]:
    return (
        _wage("payroll counted short", "pybnum", "1"),
        _wage("payroll without a count", "pybnum", None),
        _wage("payroll counted in words", "pybnum", "两笔"),
        _wage("payroll a fen short", "pybamt", "199.99"),
        _wage("payroll total of one line", "pybamt", "100.00"),
        _wage("payroll total in fen", "pybamt", "20000"),
        _wage("payroll without a total", "pybamt", None),
        _wage("payroll total with separators", "pybamt", "2,00.00"),
        _wage("payroll in RMB", "pybcur", "RMB"),
        _wage("payroll without a currency", "pybcur", ""),
        _wage("payroll of an unknown kind", "crdtyp", "1"),
        _wage("payroll of a kind in words", "crdtyp", "本行"),
        _wage("payroll of no kind", "crdtyp", ""),
        _wage("payroll's usage in words", "furinfo", "代发工资"),
        _wage("payroll's usage as an English word", "furinfo", "SALARY"),
        _wage("payroll without a usage", "furinfo", ""),
        _wage("payroll from an account elsewhere", "fractn/actacn", OTHER),
        _wage("payroll from no account", "fractn/actacn", ""),
        _wage("payroll of yesterday", "trfdate", "20261123"),
        _wage("payroll date with hyphens", "trfdate", "2026-11-25"),
        _wage("payroll without a reference", "insid", ""),
        _wage("payroll under a long reference", "insid", _UUID),
        Mistake("payroll without a line", partial(request, _WAGES, lines=0), "detail"),
        _text(
            "payroll in two heads",
            f"{_WAGES}-rq",
            _WAGES,
            (f"</{_WAGES}-rq>", f"</{_WAGES}-rq><{_WAGES}-rq></{_WAGES}-rq>"),
        ),
        _text("payroll lines named details", "detail", _WAGES, ("detail>", "details>")),
    )


def _payroll_lines() -> tuple[Mistake, ...]:
    own_bank = {f"{_WAGES}-rq[1]/crdtyp": "7"}
    return (
        _detail("wage of three decimals", "pydamt", "100.005", line=2),
        _detail("wage of nothing", "pydamt", "0.00", line=2),
        _detail("wage below zero", "pydamt", "-1.00"),
        _detail("wage left out", "pydamt", None),
        _detail("wage in dollars", "pydcur", "USD", line=2),
        _detail("wage to no account", "toactn", ""),
        _detail("wage to an account of 36 digits", "toactn", "6" * 36),
        _detail("wage to nobody", "toname", "", line=2),
        _detail("wage to a name of 72 bytes", "toname", "示" * 36),
        _detail("wage elsewhere without a bank number", "toibkn", ""),
        _detail("wage elsewhere with a province", "toibkn", "40", line=2),
        _detail("wage elsewhere with eleven digits", "toibkn", "10210009999"),
        Mistake("wage at this bank with a CNAPS number", partial(request, _WAGES, own_bank), "toibkn"),
        Mistake(
            "wage at this bank with a province in words",
            partial(request, _WAGES, own_bank | {"detail[1]/toibkn": "广东"}),
            "toibkn",
        ),
        _text("wage with two amounts", "pydamt", _WAGES, ("<pydamt>", "<pydamt>100.00</pydamt><pydamt>")),
    )


def _results_and_balances() -> tuple[Mistake, ...]:
    result, balance, past = "b2e0007", "b2e0005", "b2e0012"
    return (
        _row("result with the reference left out", "insid", None, result),
        _row("second result of nothing", "insid", "", result, row=2, lines=2),
        Mistake("result without a row", partial(request, result, lines=0), f"{result}-rq"),
        _row("result of a long reference", "insid", _UUID, result),
        _text("result of two references in a row", "insid", result, ("<insid>", "<insid>GW2611240002</insid><insid>")),
        _row("balance without a link number", "account/ibknum", "", balance),
        _row("balance with a link number of six digits", "account/ibknum", "400000", balance),
        _row("balance of no account", "account/actacn", None, balance),
        _row("balance of an account with hyphens", "account/actacn", "0000-0000-0001", balance),
        _text("balance without account around it", "account", balance, ("<account>", ""), ("</account>", "")),
        _text(
            "balance of two accounts in a row", "actacn", balance, ("<actacn>", f"<actacn>{OWN_TOO}</actacn><actacn>")
        ),
        Mistake("balance without a row", partial(request, balance, lines=0), f"{balance}-rq"),
        _row("past balance of no account", "account/actacn", "", past),
        _row("past balance with a long link number", "account/ibknum", "40000000", past),
        _row("past balances day first", "datescope/from", "22112026", past),
        _row("past balances from a day that is none", "datescope/from", "20261100", past),
        _row("past balances without a first day", "datescope/from", "", past),
        _row("past balances without a last day", "datescope/to", None, past),
        _row("past balances backwards", "datescope/from", "20261124", past),
    )


def _entries() -> tuple[Mistake, ...]:
    asked = "b2e0035"
    row = f"{asked}-rq[1]/"

    def days(name: str, first: str, last: str, kind: str = "2002") -> Mistake:
        changes = {row + "type": kind, row + "datescope/from": first, row + "datescope/to": last}
        return Mistake(name, partial(request, asked, changes), "datescope")

    return (
        _row("entries with the account left out", "actacn", None, asked),
        _row("entries of an account elsewhere", "actacn", OTHER, asked),
        _row("entries without a link number", "ibknum", None, asked),
        _row("entries with a link number of four digits", "ibknum", "4000", asked),
        _row("entries of a kind that the page lacks", "type", "2006", asked),
        _row("entries of a kind in a word", "type", "history", asked),
        _row("entries of no kind", "type", "", asked),
        _row("entries from row zero in eight digits", "begnum", "00000000", asked),
        _row("entries from a row below zero", "begnum", "-1", asked),
        _row("entries from a row of nine digits", "begnum", "100000001", asked),
        _row("entries from row two and a half", "begnum", "2.5", asked),
        _row("99 entries a page", "recnum", "99", asked),
        _row("a thousand entries a page", "recnum", "1000", asked),
        _row("entries a page in one digit", "recnum", "9", asked),
        _row("no entries a page", "recnum", "00", asked),
        _row("entries of a direction that the page lacks", "direction", "6", asked),
        _row("entries of a direction in a word", "direction", "借", asked),
        _row("amounts with separators", "amountscope/to", "1,000,000", asked),
        _row("amounts below zero", "amountscope/from", "-1", asked),
        _row("amounts in words", "amountscope/to", "无限", asked),
        _row("first day with hyphens", "datescope/from", "2026-11-01", asked),
        _row("last day with slashes", "datescope/to", "2026/11/23", asked),
        _row("first day left out", "datescope/from", None, asked),
        _row("last day empty", "datescope/to", "", asked),
        days("days backwards", "20261123", "20261122"),
        days("more than a month", "20261001", "20261115"),
        days("a day more than a month", "20261001", "20261102"),
        days("more than a year ago", "20251001", "20251020"),
        days("today's entries of last week", "20261116", "20261117", "2001"),
        _text("days right in the row", "datescope", asked, ("<datescope>", ""), ("</datescope>", "")),
        _text("two kinds", "type", asked, ("<type>", "<type>2001</type><type>")),
        _text("two ranges of days", "datescope", asked, ("<amountscope>", "<datescope></datescope><amountscope>")),
        _text(
            "account as in balances",
            "actacn",
            asked,
            ("<ibknum>", "<account><ibknum>"),
            ("</actacn>", "</actacn></account>"),
        ),
    )


def _receipts() -> tuple[Mistake, ...]:
    receipt = "b2e0500"
    return (
        _row("receipts with hyphens in the day", "datescope/from", "2026-11-24", receipt),
        _row("receipts backwards", "datescope/from", "20261125", receipt),
        _row("receipts of an amount of three decimals", "amtscope/minamt", "1.001", receipt),
        _row("receipts of an amount with separators", "amtscope/maxamt", "1,000.00", receipt),
        Mistake("receipts without a row", partial(request, receipt, lines=0), f"{receipt}-rq"),
    )
