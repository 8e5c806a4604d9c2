"""Mistakes of 工商银行 ICBC's clients, written from the bank's page by a reader who did not know the twin's rules.

Each mistake is one that the programmer of an ERP makes who reads the page badly, or who brings the habits of another
bank's interface.
"""

from __future__ import annotations

from base64 import b64encode
from functools import partial

from protocols.judge import RuleKind
from tests.protocols.banks.icbc.client_mistakes import (
    OTHER,
    OWN,
    OWN_TOO,
    PACKAGE,
    SIGNED,
    Changes,
    message,
    posted,
    request,
    sign_request,
    signature,
)
from tests.protocols.banks.mistakes import Mistake

ELSEWHERE: Changes = {
    "in/rd[1]/SysIOFlg": "2",
    "in/rd[1]/RecICBCCode": "",
    "in/rd[1]/RecCityName": "深圳",
    "in/rd[1]/RecBankName": "某银行深圳分行",
    "in/rd[1]/RecBankNo": "308584000013",
}
"""What turns the good payment into one to a payee at another bank."""


def _changed(name: str, place: str, operation: str, changes: Changes, *, lines: int = 1, code: str = "") -> Mistake:
    """A good request of `operation` with changes anywhere."""
    return Mistake(name, partial(request, operation, changes, lines=lines), place, code=code)


def _pay(name: str, field: str, text: str | None, code: str = "") -> Mistake:
    """A good payment whose line has another value in `field`."""
    return _changed(name, f"rd[1]/{field}", "PAYENT", {f"in/rd[1]/{field}": text}, code=code)


def _away(name: str, field: str, text: str | None) -> Mistake:
    """A good payment to another bank whose line has another value in `field`."""
    return _changed(name, f"rd[1]/{field}", "PAYENT", {**ELSEWHERE, f"in/rd[1]/{field}": text})


def _head(name: str, operation: str, field: str, text: str | None) -> Mistake:
    """A good request of `operation` with another value in a field of `in` outside the lines."""
    return _changed(name, field, operation, {f"in/{field}": text})


def _text(name: str, place: str, operation: str, old: str, new: str, rule: RuleKind | None = None) -> Mistake:
    """A good request of `operation` in whose XML the first `old` became `new` before it was signed."""

    def made() -> bytes:
        text = message(operation).decode("gbk")
        assert old in text, (operation, old)
        text = text.replace(old, new, 1)
        return posted(operation, signature(text.encode("gbk")) if operation in SIGNED else text)

    return Mistake(name, made, place, rule)


def _unsigned(name: str, operation: str, old: str, new: str) -> Mistake:
    """As `_text`, for a message that the sign port refuses as none."""
    text = message(operation).decode("gbk")
    assert old in text, (operation, old)
    return Mistake(
        name, partial(sign_request, text.replace(old, new, 1).encode("gbk")), "", RuleKind.FRAME, port="sign"
    )


def _renamed(name: str, place: str, operation: str, rule: RuleKind | None, **names: str) -> Mistake:
    """A good question of `operation` with other names of elements."""

    def made() -> bytes:
        text = message(operation).decode("gbk")
        for old, new in names.items():
            text = text.replace(f"<{old}>", f"<{new}>").replace(f"</{old}>", f"</{new}>")
        return posted(operation, text)

    return Mistake(name, made, place, rule)


def mistakes() -> tuple[Mistake, ...]:
    """Mistakes in every part of the page: carrier, envelope, payments, packages, collections, questions, sign port."""
    return (
        *_carrier(),
        *_data(),
        *_envelope(),
        *_parties(),
        *_amounts_and_codes(),
        *_other_banks(),
        *_packages(),
        *_collections_and_payroll(),
        *_entries(),
        *_balances_and_results(),
        *_sign_port(),
    )


def _carrier() -> tuple[Mistake, ...]:
    def as_get() -> bytes:
        return request("QACCBAL").replace(b"POST ", b"GET ", 1)

    def version_twice() -> bytes:
        whole = request("QACCBAL", {"pub/TranTime": "120000456"})
        head, body = whole.split(b"\r\n\r\n", 1)
        longer = body + b"&TransCode=QPD"
        length = b"Content-Length: "
        return head.replace(length + b"%d" % len(body), length + b"%d" % len(longer)) + b"\r\n\r\n" + longer

    return (
        Mistake("GET instead of POST", as_get, "method", RuleKind.HEADER),
        Mistake("two TransCode in the form", version_twice, "TransCode"),
        _changed("XML as content type", "content-type", "QACCBAL", {"http/content-type": "text/xml"}),
        _changed("path of another servlet", "path", "PAYENT", {"http/path": "/servlet/ICBCINBSReqServlet"}),
        _changed("URL without userID", "userID", "PAYENT", {"url/userID": None}),
        _changed("URL with another login", "userID", "PAYENT", {"url/userID": "other.y.4000"}),
        _changed("SendTime of six digits", "SendTime", "PAYENT", {"url/SendTime": "261124"}),
        _changed("URL without SendTime", "SendTime", "QPD", {"url/SendTime": None}),
        _changed("package of an earlier call in the URL", "PackageID", "PAYENT", {"url/PackageID": "PAYENT2026112411"}),
        _changed("form without PackageID", "PackageID", "QPAYENT", {"form/PackageID": ""}),
        _changed("form counts packages by itself", "PackageID", "QHISD", {"form/PackageID": "000001"}),
        _changed("form of a query around a payment", "TransCode", "PAYENT", {"form/TransCode": "QPAYENT"}),
        _changed("form with the bank's letters", "BankCode", "PAYENT", {"form/BankCode": "ICBC"}),
        _changed("form with another group", "GroupCIS", "PAYENT", {"form/GroupCIS": "40009000-5ZZZZZ"}),
        _changed("form without certificate id", "form/ID", "QPD", {"form/ID": None}),
        _changed("Version of the XML declaration", "Version", "QPD", {"form/Version": "1"}),
        _changed("new field under the old version", "AcctSeq", "QPD", {"form/Version": "0.0.0.1", "in/AcctSeq": "001"}),
        _changed("compression that was not made", "zipFlag", "QPD", {"form/zipFlag": "gzip"}),
        _changed("form without reqData", "reqData", "QPD", {"form/reqData": None}),
    )


def _data() -> tuple[Mistake, ...]:
    """Mistakes in what stands in reqData."""

    def url_safe() -> bytes:
        told = signature(message("PAYENT"))
        return posted("PAYENT", told.replace("+", "-").replace("/", "_"))

    def tags_left() -> bytes:
        return posted("PAYENT", f"<result>0</result><sign>{signature(message('PAYENT'))}</sign>")

    def unsigned_as_base64() -> bytes:
        return posted("PAYENT", b64encode(message("PAYENT")).decode("ascii"))

    def half() -> bytes:
        told = signature(message("PAYENT"))
        return posted("PAYENT", told[: len(told) // 2])

    def other_package() -> bytes:
        return posted("PAYENT", signature(message("PAYENT", {"pub/fSeqno": "PAYENT20261124120000009"})))

    def utf8_under_gbk() -> bytes:
        text = message("QHISD", {"in/DueBillNo": "借据一"}).decode("gbk")
        return posted("QHISD", text, encoding="utf-8")

    def cut_by_characters() -> bytes:
        text = message("QHISD", {"in/DueBillNo": "借据号一二三四五六"}).decode("gbk")
        return posted("QHISD", text[: len(text) - 9])

    def bare_xml() -> bytes:
        head, body = request("QPD").split(b"\r\n\r\n", 1)
        xml = message("QPD")
        return head.replace(b"Length: %d" % len(body), b"Length: %d" % len(xml)) + b"\r\n\r\n" + xml

    def unencoded() -> bytes:
        changes: Changes = {"in/DueBillNo": "借据二"}
        head, body = request("QHISD", changes).split(b"\r\n\r\n", 1)
        raw = body[: body.index(b"reqData=") + 8] + message("QHISD", changes)
        return head.replace(b"Length: %d" % len(body), b"Length: %d" % len(raw)) + b"\r\n\r\n" + raw

    return (
        Mistake("signature in URL-safe Base64", url_safe, "reqData"),
        Mistake("signature with its tags", tags_left, "reqData"),
        Mistake("payment as Base64 without a signature", unsigned_as_base64, "reqData", RuleKind.SIGNATURE),
        Mistake("half a signature", half, "reqData"),
        Mistake("signature of another package", other_package, "fSeqno"),
        Mistake("UTF-8 under the label GBK", utf8_under_gbk, "", RuleKind.CHARSET),
        Mistake("XML cut by its Chinese characters", cut_by_characters, "reqData", RuleKind.FRAME),
        Mistake("form that is not percent-encoded", unencoded, "form"),
        Mistake("XML without a form", bare_xml, "form"),
        Mistake("payroll in clear", partial(request, "PAYPER", clear=True), "reqData", RuleKind.SIGNATURE),
        Mistake("question in UTF-8", partial(request, "QHISD", encoding="utf-8"), "reqData", RuleKind.CHARSET),
        _text(
            "raw ampersand", "reqData", "QHISD", "<DueBillNo></DueBillNo>", "<DueBillNo>A&B</DueBillNo>", RuleKind.FRAME
        ),
    )


def _envelope() -> tuple[Mistake, ...]:
    line = "<rd><iSeqno>"
    return (
        _renamed("older envelope", "", "QACCBAL", RuleKind.FRAME, CMS="ICBCYH", eb="opReq"),
        _renamed("root in small letters", "", "QPD", RuleKind.FRAME, CMS="cms"),
        _renamed("head of another bank", "", "QACCBAL", RuleKind.FRAME, pub="head"),
        _renamed("answer sent as a request", "", "QPD", RuleKind.FRAME, **{"in": "out"}),
        _renamed("name without its capital", "AccNo", "QPD", None, AccNo="accNo"),
        _renamed("lines named row", "rd", "QACCBAL", None, rd="row"),
        _text("two fSeqno", "fSeqno", "PAYENT", "<fSeqno>", "<fSeqno>PAYENT0000000000001</fSeqno><fSeqno>"),
        _text("two PayAmt", "PayAmt", "PAYENT", "<PayAmt>", "<PayAmt>12345</PayAmt><PayAmt>"),
        _text("two payees", "RecAccNo", "PAYENT", "<RecAccNo>", f"<RecAccNo>{OWN_TOO}</RecAccNo><RecAccNo>"),
        _text("two totals", "TotalAmt", "PAYENT", "<TotalAmt>", "<TotalAmt>12345</TotalAmt><TotalAmt>"),
        _text("line beside in", "rd", "PAYENT", "<in>", "<rd><iSeqno>9</iSeqno></rd><in>"),
        _text("line inside a line", "rd", "PAYENT", line, "<rd><rd><iSeqno>9</iSeqno></rd><iSeqno>"),
        _changed("unknown operation", "TransCode", "PAYMENT", {}),
        _changed("operation in small letters", "TransCode", "PAYENT", {"pub/TransCode": "payent"}),
        _changed("pub without CIS", "CIS", "PAYENT", {"pub/CIS": None}),
        _changed("pub with another group", "CIS", "QPAYENT", {"pub/CIS": "40009000-5ZZZZZ"}),
        _changed("pub with another bank", "BankCode", "PAYENT", {"pub/BankCode": "104"}),
        _changed("pub without ID", "pub/ID", "PAYENT", {"pub/ID": ""}),
        _changed(
            "pub without fSeqno",
            "fSeqno",
            "PAYENT",
            {"pub/fSeqno": "", "url/PackageID": PACKAGE, "form/PackageID": PACKAGE},
        ),
        _changed("TranDate of tomorrow", "TranDate", "PERDIS", {"pub/TranDate": "20261125"}),
        _changed("TranDate two digits short", "TranDate", "QPD", {"pub/TranDate": "261124"}),
        _changed("TranDate of yesterday", "TranDate", "PAYENT", {"pub/TranDate": "20261123"}),
        _changed("TranTime without its thousandths", "TranTime", "PAYENT", {"pub/TranTime": "120000"}),
        _changed("pub with the answer's code", "RetCode", "QPD", {"pub/RetCode": "0"}),
        _unsigned("two in", "PAYENT", "</in>", "</in><in></in>"),
        _unsigned("two eb", "PAYENT", "</eb>", "</eb><eb></eb>"),
        _text("two pub", "", "QACCBAL", "<pub>", "<pub></pub><pub>", RuleKind.FRAME),
        _text("markup in a text", "UseCN", "PAYENT", "<UseCN>货款", "<UseCN>货款<br/>十一月"),
        _text("SignTime in pub too", "SignTime", "PAYENT", "</pub>", "<SignTime>20261124120000123</SignTime></pub>"),
        _text("element beside eb", "page", "QPD", "<CMS>", "<CMS><page>1</page>"),
        _text("bare text between elements", "in", "QPD", "<in>", f"<in>{OWN}", RuleKind.FRAME),
        _changed("TranTime with colons", "TranTime", "PAYENT", {"pub/TranTime": "12:00:00.123"}),
        _changed("TranTime past midnight", "TranTime", "QACCBAL", {"pub/TranTime": "246000123"}),
        _changed("TranTime without its date", "TranTime", "QACCBAL", {"pub/TranTime": None}),
    )


def _parties() -> tuple[Mistake, ...]:
    return (
        _pay("payer's account left out", "PayAccNo", None),
        _pay("payer's account of another group", "PayAccNo", "0000021001000000096"),
        _pay("payer's account in groups of four", "PayAccNo", "0000 0210 0100 0000 001"),
        _pay("payer's account without leading zeros", "PayAccNo", OWN.lstrip("0")),
        _pay("payer's short name", "PayAccNameCN", "甲", code="B0043"),
        _pay("payer's name with a blank in it", "PayAccNameCN", "甲 公司", code="B0043"),
        _pay("name of the own branch", "PayAccNameCN", "甲公司分公司", code="B0043"),
        _changed(
            "payee of the third line is the payer",
            "RecAccNo",
            "PAYENT",
            {"in/rd[3]/RecAccNo": OWN},
            lines=3,
            code="B0052",
        ),
        _pay("no payee's account", "RecAccNo", None),
        _pay("a payee whose name is left out", "RecAccNameCN", None),
        _changed(
            "payer of the second line belongs to nobody",
            "rd[2]/PayAccNo",
            "PAYENT",
            {"in/rd[2]/PayAccNo": OTHER},
            lines=2,
        ),
        _changed(
            "payer's name of the first line in the second",
            "rd[2]/PayAccNameCN",
            "PAYENT",
            {"in/rd[2]/PayAccNo": OWN_TOO},
            lines=2,
            code="B0043",
        ),
    )


def _amounts_and_codes() -> tuple[Mistake, ...]:
    return (
        _pay("amount in yuan", "PayAmt", "1234.50"),
        _pay("amount with a point and no cents", "PayAmt", "12345."),
        _pay("amount of zeros", "PayAmt", "000"),
        _pay("amount below zero", "PayAmt", "-500"),
        _pay("amount with a plus", "PayAmt", "+12345"),
        _pay("amount with separators", "PayAmt", "1,234,500"),
        _pay("amount with an exponent", "PayAmt", "1.2345E4"),
        _pay("amount in full-width digits", "PayAmt", "\uff11\uff12\uff13"),
        _pay("amount with a blank inside", "PayAmt", "12 345"),
        _pay("amount with its currency", "PayAmt", "CNY12345"),
        _pay("no amount", "PayAmt", ""),
        _pay("currency in Chinese", "CurrType", "人民币"),
        _pay("currency without its zeros", "CurrType", "1"),
        _pay("currency by ISO number", "CurrType", "156"),
        _pay("no currency", "CurrType", ""),
        _pay("PayType with a zero before it", "PayType", "01"),
        _pay("no PayType", "PayType", ""),
        _pay("PayType in a word", "PayType", "加急"),
        _pay("SysIOFlg as yes or no", "SysIOFlg", "Y"),
        _pay("SysIOFlg as a letter of its kind", "SysIOFlg", "I"),
        _pay("no SysIOFlg", "SysIOFlg", ""),
        _pay("IsSameCity as a truth value", "IsSameCity", "true"),
        _pay("IsSameCity counted from zero", "IsSameCity", "0"),
        _pay("Prop as a letter", "Prop", "P"),
        _head("OnlBatF counted from zero", "PAYENT", "OnlBatF", "0"),
        _head("no OnlBatF", "PAYENT", "OnlBatF", ""),
        _head("no SettleMode", "PAYENT", "SettleMode", ""),
        _head("SettleMode in a word", "PAYENT", "SettleMode", "逐笔"),
        _head("SignTime of tomorrow", "PAYENT", "SignTime", "20261125000000000"),
        _head("SignTime of the day before", "PAYENT", "SignTime", "20261123235959999"),
        _head("SignTime with hyphens", "PAYENT", "SignTime", "2026-11-24-12.00.00.123"),
        _head("SignTime of the day alone", "PAYENT", "SignTime", "20261124"),
        _pay("StartDate with slashes", "StartDate", "2026/11/25"),
    )


def _other_banks() -> tuple[Mistake, ...]:
    return (
        _away("another bank and no Prop", "Prop", ""),
        _away("another bank and Prop left out", "Prop", None),
        _away("another bank and no city", "RecCityName", ""),
        _away("another bank and no bank name", "RecBankName", None),
        _away("another bank and a letter as Prop", "Prop", "C"),
        _away("another bank and no payee's name", "RecAccNameCN", ""),
    )


def _packages() -> tuple[Mistake, ...]:
    return (
        _changed("total of zero", "TotalAmt", "PAYENT", {"in/TotalAmt": "0"}),
        _changed("total with its currency", "TotalAmt", "PAYENT", {"in/TotalAmt": "RMB12345"}),
        _changed("total one fen short", "TotalAmt", "PAYENT", {"in/TotalAmt": "24689"}, lines=2),
        _changed("total of the first line alone", "TotalAmt", "PAYENT", {"in/TotalAmt": "12345"}, lines=3),
        _changed("no total", "TotalAmt", "PAYENT", {"in/TotalAmt": None}),
        _changed("count of one for two lines", "TotalNum", "PAYENT", {"in/TotalNum": "1"}, lines=2),
        _changed("count of none", "TotalNum", "PAYENT", {"in/TotalNum": "0"}),
        _changed("no count", "TotalNum", "PAYENT", {"in/TotalNum": ""}),
        _changed("count in words", "TotalNum", "PAYENT", {"in/TotalNum": "一"}),
        _changed("collection without a line", "rd", "PERDIS", {}, lines=0),
        _changed("last line numbered like the first", "rd[3]/iSeqno", "PAYENT", {"in/rd[3]/iSeqno": "1"}, lines=3),
        _changed("line without a number", "rd[2]/iSeqno", "PAYENT", {"in/rd[2]/iSeqno": ""}, lines=2),
        _changed("second line in yuan", "rd[2]/PayAmt", "PAYENT", {"in/rd[2]/PayAmt": "123.45"}, lines=2),
        _changed("second line in dollars", "rd[2]/CurrType", "PAYENT", {"in/rd[2]/CurrType": "USD"}, lines=2),
    )


def _collections_and_payroll() -> tuple[Mistake, ...]:
    return (
        _head("collection for an account elsewhere", "PERDIS", "RecAccNo", OTHER),
        _head("collection without our account", "PERDIS", "RecAccNo", ""),
        _head("collection under another name", "PERDIS", "RecAccNameCN", "乙公司"),
        _head("collection without SignTime", "PERDIS", "SignTime", ""),
        _changed("collection in yuan", "rd[1]/PayAmt", "PERDIS", {"in/rd[1]/PayAmt": "123.45"}),
        _changed("collection from nobody", "rd[2]/PayAccNo", "PERDIS", {"in/rd[2]/PayAccNo": ""}, lines=2),
        _changed("collection from our own account", "AccNo", "PERDIS", {"in/rd[1]/PayAccNo": OWN}),
        _head("collection of yesterday", "PERDIS", "SignTime", "20261123120000123"),
        _head("payroll of tomorrow", "PAYPER", "SignTime", "20261125120000123"),
        _changed("collection whose total is wrong", "TotalAmt", "PERDIS", {"in/TotalAmt": "1"}, lines=2),
        _changed("collection whose lines repeat", "iSeqno", "PERDIS", {"in/rd[2]/iSeqno": "1"}, lines=2),
        _changed("collection in another currency", "CurrType", "PERDIS", {"in/rd[1]/CurrType": "10"}),
        _changed("payroll whose count is wrong", "TotalNum", "PAYPER", {"in/TotalNum": "3"}, lines=2),
        _changed("payroll whose total is wrong", "TotalAmt", "PAYPER", {"in/TotalAmt": "24691"}, lines=2),
        _changed("payroll line of zero", "rd[2]/PayAmt", "PAYPER", {"in/rd[2]/PayAmt": "0"}, lines=2),
        _changed(
            "payroll from an account elsewhere", "PayAccNo", "PAYPER", {"in/rd[1]/PayAccNo": "0000021001000000098"}
        ),
        _changed(
            "payroll under a short name", "PayAccNameCN", "PAYPER", {"in/rd[1]/PayAccNameCN": "甲司"}, code="B0043"
        ),
    )


def _entries() -> tuple[Mistake, ...]:
    in_line = f"<rd><AccNo>{OWN}</AccNo></rd>"
    return (
        _text("today's question in a line", "AccNo", "QPD", f"<AccNo>{OWN}</AccNo>", in_line),
        _head("today's entries of no account", "QPD", "AccNo", ""),
        _head("today's entries of an account elsewhere", "QPD", "AccNo", OTHER),
        _head("today's least amount in yuan", "QPD", "MinAmt", "100.00"),
        _head("today's most amount with separators", "QPD", "MaxAmt", "1,000,000"),
        _head("today's entries in letters of a currency", "QPD", "CurrType", "CNY"),
        _head("past entries of no account", "QHISD", "AccNo", None),
        _head("past entries of an account elsewhere", "QHISD", "AccNo", "0000021001000000097"),
        _head("first day with slashes", "QHISD", "BeginDate", "2026/11/01"),
        _head("next page by its number", "QHISD", "NextTag", "2"),
        _head("today's next page by its first row", "QPD", "NextTag", "21"),
        _head("today's entries with days", "QPD", "BeginDate", "20261124"),
        _head("first day with its time", "QHISD", "BeginDate", "20261031000000"),
        _head("last day that no calendar has", "QHISD", "EndDate", "20261131"),
        _head("no first day", "QHISD", "BeginDate", ""),
        _head("no last day", "QHISD", "EndDate", None),
        _changed("last day before the first", "BeginDate", "QHISD", {"in/EndDate": "20261031"}),
        _head("past entries of two years", "QHISD", "BeginDate", "20241123"),
        _head("past entries in fen with a sign", "QHISD", "MinAmt", "-1"),
        _head("past entries with the answer's currency", "QHISD", "CurrType", "RMB"),
    )


def _balances_and_results() -> tuple[Mistake, ...]:
    return (
        _changed("balance of no account", "AccNo", "QACCBAL", {"in/rd[1]/AccNo": ""}),
        _changed("balances counted wrongly", "TotalNum", "QACCBAL", {"in/TotalNum": "5"}, lines=2),
        _changed("balances without a line", "rd", "QACCBAL", {"in/TotalNum": "1"}, lines=0),
        _changed("balance in letters of a currency", "CurrType", "QACCBAL", {"in/rd[1]/CurrType": "CNY"}),
        _changed("balance of an account with hyphens", "AccNo", "QACCBAL", {"in/rd[1]/AccNo": "0000-0210-0100-0000"}),
        _changed("result of a package left out", "QryfSeqno", "QPAYENT", {"in/QryfSeqno": None}),
        _changed("result of no payroll", "QryfSeqno", "QPAYPER", {"in/QryfSeqno": None}),
        _changed("result of no collection", "QryfSeqno", "QPERDIS", {"in/QryfSeqno": ""}),
        _text(
            "two packages asked about",
            "QryfSeqno",
            "QPAYENT",
            "<QryfSeqno>",
            f"<QryfSeqno>{PACKAGE}</QryfSeqno><QryfSeqno>",
        ),
    )


def _sign_port() -> tuple[Mistake, ...]:
    def utf8() -> bytes:
        return sign_request(message("PAYENT").decode("gbk").encode("utf-8"))

    def cut() -> bytes:
        document = message("PAYENT")
        characters = len(document.decode("gbk"))
        return sign_request(document[:characters])

    def as_form() -> bytes:
        return sign_request(message("PAYENT"), "application/x-www-form-urlencoded")

    def as_verify() -> bytes:
        return sign_request(message("PAYENT"), "INFOSEC_VERIFY_SIGN/1.0")

    return (
        Mistake("UTF-8 to be signed under the label GBK", utf8, "", RuleKind.CHARSET, port="sign"),
        Mistake("length of the signed message in characters", cut, "", RuleKind.FRAME, port="sign"),
        Mistake(
            "message in UTF-8 to be signed",
            partial(sign_request, message("PAYENT", encoding="utf-8")),
            "",
            RuleKind.CHARSET,
            port="sign",
        ),
        Mistake("message to be signed as one to be verified", as_verify, "content-type", port="sign"),
        Mistake("message to be signed as a form", as_form, "content-type", RuleKind.HEADER, port="sign"),
    )
