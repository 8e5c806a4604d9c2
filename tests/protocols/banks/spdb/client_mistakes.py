"""Mistakes of clients of 浦发's front end, each a change to a good request written from the bank's page (spdb.md 1-4).

`request("8801", {"amount": "1.5"})` is a good payment with another amount, signed at the sign port and framed:

    "amount": text            a field of the body; None leaves it out; a new name adds a field
    "list[2]/amount": text    a field of the second row (8800, 4402)
    "head/packetID": text     a field of the packet's head
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from html import escape
from typing import Final

from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.banks.spdb import twin
from protocols.canon.money import Money
from protocols.judge import RuleKind
from tests.protocols.banks.mistakes import Corner, Mistake, Side
from tests.protocols.banks.spdb.paper import AUTHORISER, CREDITOR, DEBTOR, MASTER, NOW, key_pem, wrapped
from tests.world.dialogue import BankTime

HOLDER, OWN_PAYEE = "示例甲公司", "0000021001000000009"
"""The holder of both own accounts, and the number of the second."""
VOUCHER, SECOND = "20260105000000000001", "20260105000000000002"
HEAD: Final[Mapping[str, str]] = {
    "transCode": "",
    "signFlag": "1",
    "masterID": MASTER,
    "packetID": "20260105101600000001",
    "timeStamp": "2026-01-05 10:16:00",
}
ORDER: Final[Mapping[str, str]] = {
    "elecChequeNo": VOUCHER,
    "acctNo": DEBTOR,
    "acctName": HOLDER,
    "bespeakDate": "",
    "payeeAcctNo": CREDITOR,
    "payeeName": "示例乙公司",
    "payeeType": "0",
    "payeeBankName": "示例银行某支行",
    "payeeAddress": "上海",
    "amount": "0.01",
    "sysFlag": "1",
    "remitLocation": "0",
    "note": "测试",
    "payeeBankSelectFlag": "",
    "payeeBankNo": "",
}
PLACE: Final[Mapping[str, str]] = {"queryNumber": "10", "beginNumber": "1"}
DAYS: Final[Mapping[str, str]] = {"beginDate": "20260105", "endDate": "20260105"}
BODIES: Final[Mapping[str, Mapping[str, str]]] = {
    "8801": {"totalNumber": "1", "totalAmount": "0.01", **ORDER},
    "8800": {"authMasterID": AUTHORISER, "totalNumber": "2", "totalAmount": "0.02", "packageNo": "SLW0001"},
    "8804": {
        "elecChequeNo": VOUCHER,
        "acctNo": DEBTOR,
        **DAYS,
        "acceptNo": "",
        "serialNo": "",
        **PLACE,
        "singleOrBatchFlag": "1",
    },
    "DO48": {"authMasterID": AUTHORISER, **DAYS, **PLACE, "entJnlSeqNo": "", "packageNo": "SLW0001"},
    "EY03": {
        "elecChequeNo": VOUCHER,
        "acctNo": DEBTOR,
        **DAYS,
        "seqNo": "",
        **PLACE,
        "transType": "8801",
        "authMasterID": AUTHORISER,
    },
    "4402": {},
    "8924": {"acctNo": DEBTOR, **DAYS, **PLACE, "transAmount": "", "subAccount": "", "subAcctName": ""},
}
"""The fields of a good request of each operation, without its rows."""
LINE: Final[Mapping[str, str]] = {**ORDER, "payPurpose": ""}
ROWS: Final[Mapping[str, Sequence[Mapping[str, str]]]] = {
    "8800": (LINE, {**LINE, "elecChequeNo": SECOND}),
    "4402": ({"acctNo": DEBTOR}, {"acctNo": OWN_PAYEE}),
}
"""The rows of a good request, for the operations that have rows."""


def side() -> Side:
    """The bank's side with two accounts of one customer, without sessions."""
    accounts = [LedgerAccount(one, HOLDER, Money(10_000_000_000_000)) for one in (DEBTOR, OWN_PAYEE)]
    return Side(twin.build({"master_id": MASTER}, {"bank": key_pem()}), Ledger(BankTime(NOW).now_ms, accounts))


@cache
def _sign_port() -> Side:
    """The front end that signs for every client in these tests. All twins of one process have the same front end's
    key."""
    return side()


def posted(body: bytes, content_type: str = "text/plain", method: str = "POST") -> bytes:
    """An HTTP request to the front end."""
    head = f"{method} / HTTP/1.1\r\nHost: fep\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def signature(content: bytes) -> str:
    """The sign port's answer for these bytes, in Base64."""
    page = _sign_port().answer(posted(content, "INFOSEC_SIGN/1.0"), "sign").data
    return page.partition(b"<sign>")[2].partition(b"</sign>")[0].decode("ascii")


def clear_body(
    operation: str, changes: Mapping[str, str | None] = {}, rows: Sequence[Mapping[str, str]] | None = None
) -> str:
    """The text that is signed: `<body>…</body>`. `rows` replaces the usual rows."""
    fields = _changed(BODIES.get(operation, {}), changes)
    usual = ROWS.get(operation, ()) if rows is None else rows
    lines = [
        "<list>" + _elements(_changed(row, changes, f"list[{number}]/")) + "</list>"
        for number, row in enumerate(usual, start=1)
    ]
    name = {"4402": ' name="acctList"'}.get(operation, "")
    listed = f"<lists{name}>{''.join(lines)}</lists>" if operation in ROWS else ""
    return f"<body>{_elements(fields)}{listed}</body>"


def packet(
    operation: str,
    content: bytes,
    changes: Mapping[str, str | None] = {},
    *,
    sign: str | None = None,
    declared: str = "GBK",
    charset: str = "gb18030",
) -> bytes:
    """The packet around signed bytes, without HTTP and without its length. `sign` replaces the signature."""
    head = _elements(_changed({**HEAD, "transCode": operation}, changes, "head/"))
    seal = signature(content) if sign is None else sign
    text = f"<packet><head>{head}</head><body><signature>{seal}</signature></body></packet>"
    return f"<?xml version='1.0' encoding='{declared}'?>{text}".encode(charset)


def framed(document: bytes, length: str | None = None) -> bytes:
    """A packet after its six characters of length, as an HTTP request. `length` replaces the right length."""
    return posted((f"{len(document) + 6:06d}" if length is None else length).encode() + document)


def request(
    operation: str,
    changes: Mapping[str, str | None] = {},
    *,
    rows: Sequence[Mapping[str, str]] | None = None,
    charset: str = "gb18030",
) -> bytes:
    """A good request of this operation with the changes: see the module. `charset` is that of the signed text."""
    return framed(packet(operation, clear_body(operation, changes, rows).encode(charset), changes))


def _changed(fields: Mapping[str, str], changes: Mapping[str, str | None], prefix: str = "") -> dict[str, str]:
    """The fields with the changes whose keys begin with `prefix`; without a prefix, the changes whose keys have no
    slash."""
    mine = {
        key.removeprefix(prefix): text
        for key, text in changes.items()
        if (key.startswith(prefix) if prefix else "/" not in key)
    }
    return {key: text for key, text in {**fields, **mine}.items() if text is not None}


def _elements(fields: Mapping[str, str]) -> str:
    return "".join(f"<{name}>{escape(text, quote=False)}</{name}>" for name, text in fields.items())


# ---- mistakes ----


def _field(operation: str, place: str, text: str | None, rule: RuleKind, code: str = "EGG0042") -> Mistake:
    shown = "left out" if text is None else repr(text[:24])
    return Mistake(f"{operation} {place} {shown}", partial(request, operation, {place: text}), place, rule, code)


def _whole(
    name: str, made: Callable[[], bytes], place: str, rule: RuleKind, code: str, port: str = "business"
) -> Mistake:
    return Mistake(name, made, place, rule, code, port)


def _good(operation: str = "8801") -> bytes:
    return clear_body(operation).encode("gb18030")


def _twice() -> bytes:
    return framed(packet("8801", _good().replace(b"<amount>", b"<amount>9.00</amount><amount>")))


def _foreign_signature() -> bytes:
    """A signature by a key that is not the front end's."""
    return framed(packet("8801", _good(), sign=wrapped(_good(), "stranger").decode()))


def _changed_after_signing() -> bytes:
    """The content of the signature, with another amount."""
    der = base64.b64decode(signature(_good()))
    assert der.count(b"<amount>0.01<") == 1
    changed = base64.b64encode(der.replace(b"<amount>0.01<", b"<amount>9.01<")).decode()
    return framed(packet("8801", _good(), sign=changed))


def _many(count: int) -> list[dict[str, str]]:
    return [{**LINE, "elecChequeNo": f"{number:020d}"} for number in range(1, count + 1)]


TOTALS: Final = {"totalNumber": "21", "totalAmount": "0.21"}


def _frames() -> tuple[Mistake, ...]:
    """Mistakes in HTTP, length, packet, charset and signature."""
    frame, charset, seal = RuleKind.FRAME, RuleKind.CHARSET, RuleKind.SIGNATURE
    long = packet("8801", _good())
    words = clear_body("8801")
    return (
        _whole("GET", lambda: posted(b"", method="GET"), "method", frame, "405"),
        _whole("another length", lambda: framed(long, f"{len(long):06d}"), "length", frame, "500"),
        _whole("a length that is no number", lambda: framed(long, "00abcd"), "length", frame, "500"),
        _whole("no length", lambda: posted(long), "length", frame, "500"),
        _whole("the root in capitals", lambda: framed(long.replace(b"packet>", b"Packet>")), "packet", frame, "500"),
        _whole("a tag that is not closed", lambda: framed(long.replace(b"</head>", b"")), "packet", frame, "500"),
        _whole("declared as UTF-8", lambda: framed(long.replace(b"'GBK'", b"'UTF-8'")), "packet", charset, "500"),
        _whole(
            "a head in UTF-8",
            lambda: framed(packet("8801", _good(), {"head/masterID": "示例"}, charset="utf-8")),
            "packet",
            charset,
            "500",
        ),
        _whole(
            "the body at the sign port's type",
            lambda: posted(_good(), "INFOSEC_SIGN/1.0"),
            "Content-Type",
            RuleKind.HEADER,
            "500",
        ),
        _whole(
            "another type at the sign port",
            lambda: posted(_good(), "text/xml"),
            "Content-Type",
            RuleKind.HEADER,
            "-1",
            "sign",
        ),
        _whole("nothing to sign", lambda: posted(b"", "INFOSEC_SIGN/1.0"), "body", RuleKind.MISSING, "-1", "sign"),
        _whole(
            "no signature to verify",
            lambda: posted(b"plain", "INFOSEC_VERIFY_SIGN/1.0"),
            "signature",
            seal,
            "-1",
            "sign",
        ),
        _whole(
            "a signed body in UTF-8",
            lambda: framed(packet("8801", words.encode("utf-8"))),
            "signature",
            charset,
            "EGG0042",
        ),
        _whole(
            "a signed body with a declaration",
            lambda: framed(packet("8801", b'<?xml version="1.0" encoding="GBK"?>' + _good())),
            "signature",
            frame,
            "EGG0042",
        ),
        _whole(
            "a signed body that is no XML", lambda: framed(packet("8801", _good()[:-7])), "signature", frame, "EGG0042"
        ),
        _whole(
            "another root in the signature", lambda: framed(packet("8801", b"<Body/>")), "signature", frame, "EGG0042"
        ),
        _whole(
            "no signature",
            lambda: framed(packet("8801", _good(), sign="")),
            "body/signature",
            RuleKind.MISSING,
            "EYY9994",
        ),
        _whole(
            "the clear body in place of the signature",
            lambda: framed(long[: long.index(b"<body>")] + _good() + b"</packet>"),
            "body/signature",
            RuleKind.MISSING,
            "EYY9994",
        ),
        _whole(
            "a signature that is no Base64",
            lambda: framed(packet("8801", _good(), sign="***")),
            "body/signature",
            seal,
            "EYY9994",
        ),
        _whole("a signature by another key", _foreign_signature, "body/signature", seal, "EYY9994"),
        _whole("changed after it was signed", _changed_after_signing, "body/signature", seal, "EYY9994"),
        Mistake(
            "a packetID twice on one day",
            partial(request, "4402", {"head/timeStamp": "2026-01-05 10:16:09"}),
            "head/packetID",
            RuleKind.BOOKS,
            "EYY8990",
            before=(partial(request, "4402"),),
        ),
        _field("AQ99", "head/transCode", "AQ99", RuleKind.OPERATION),
        _field("8801", "head/transCode", "", RuleKind.MISSING),
        _field("8801", "head/signFlag", "0", RuleKind.CODE),
        _field("8801", "head/masterID", "2000000009", RuleKind.HEADER, "B2E0005"),
        _field("8801", "head/masterID", None, RuleKind.MISSING),
        _field("8801", "head/packetID", "202601051016000000001", RuleKind.LENGTH),
        _field("8801", "head/packetID", None, RuleKind.MISSING),
        _field("8801", "head/timeStamp", "20260105101600", RuleKind.FORM),
    )


def _orders() -> tuple[Mistake, ...]:
    """Mistakes in the orders 8801 and 8800."""
    missing, code, form, books = RuleKind.MISSING, RuleKind.CODE, RuleKind.FORM, RuleKind.BOOKS
    batch = partial(request, "8800")
    return (
        _field("8801", "totalNumber", "2", code),
        _field("8801", "totalAmount", "0.02", RuleKind.TOGETHER),
        _field("8801", "elecChequeNo", "", missing),
        _field("8801", "acctNo", "0000021001000000077", books),
        _field("8801", "acctName", "别人公司", books),
        _field("8801", "acctName", None, missing),
        _field("8801", "bespeakDate", "2026-01-06", form),
        _field("8801", "bespeakDate", "20260104", books),
        _field("8801", "bespeakDate", "20260206", books),
        _field("8801", "payeeAcctNo", "", missing),
        _field("8801", "payeeName", None, missing),
        _field("8801", "payeeType", "2", code),
        _field("8801", "payeeType", None, missing),
        _field("8801", "payeeBankName", "", missing),
        _field("8801", "amount", "1,000.00", form),
        _field("8801", "amount", "0.00", form),
        _field("8801", "amount", "-0.01", form),
        _field("8801", "amount", "0.010", form),
        _field("8801", "sysFlag", "Y", code),
        _field("8801", "sysFlag", None, missing),
        _field("8801", "remitLocation", "2", code),
        _field("8801", "payeeBankNo", "10210000", RuleKind.LENGTH),
        _whole("8801 an amount twice", _twice, "amount", RuleKind.REPEATED, "EGG0042"),
        Mistake(
            "8801 an own payee under another name",
            partial(request, "8801", {"payeeAcctNo": OWN_PAYEE, "sysFlag": "0"}),
            "payeeName",
            books,
            "EGG0346",
        ),
        _field("8800", "totalNumber", "3", RuleKind.TOGETHER),
        _field("8800", "totalAmount", "0.03", RuleKind.TOGETHER),
        _field("8800", "packageNo", "", missing),
        _field("8800", "list[2]/elecChequeNo", VOUCHER, RuleKind.TOGETHER),
        Mistake(
            "8800 a person without a purpose",
            partial(batch, {"list[2]/payeeType": "1"}),
            "list[2]/payPurpose",
            missing,
            "EGG0042",
        ),
        _field("8800", "list[2]/amount", "0.0", form),
        _field("8800", "list[2]/payeeBankName", "", missing),
        _field("8800", "list[2]/payeeName", None, missing),
        _field("8800", "list[2]/sysFlag", "2", code),
        _field("8800", "list[2]/bespeakDate", "20251231", books),
        _field("8800", "list[2]/acctNo", "0000021001000000077", books),
        _field("8800", "list[1]/acctName", "别人公司", books),
        Mistake(
            "8800 without lines", partial(batch, {"totalNumber": "1"}, rows=()), "lists/list", RuleKind.COUNT, "EGG0042"
        ),
        Mistake("8800 with 21 lines", partial(batch, TOTALS, rows=_many(21)), "lists/list", RuleKind.COUNT, "EGG0042"),
    )


def _questions() -> tuple[Mistake, ...]:
    """Mistakes in the questions 8804, DO48, EY03, 4402 and 8924."""
    missing, form, count, books = RuleKind.MISSING, RuleKind.FORM, RuleKind.COUNT, RuleKind.BOOKS
    together, letters = RuleKind.TOGETHER, RuleKind.ALPHABET
    unnamed = clear_body("4402").replace(' name="acctList"', "").encode()
    return (
        _field("8804", "acctNo", "0000021001000000077", books),
        _field("8804", "beginDate", "2026-01-05", form),
        _field("8804", "beginDate", "20260106", together),
        _field("8804", "endDate", "", missing),
        _field("8804", "queryNumber", "31", count),
        _field("8804", "queryNumber", "", missing),
        _field("8804", "beginNumber", "0", form),
        _field("8804", "beginNumber", "one", letters),
        _field("DO48", "authMasterID", "", missing),
        _field("DO48", "queryNumber", "11", count),
        _field("DO48", "beginDate", "20260231", form),
        Mistake(
            "DO48 about more than a month",
            partial(request, "DO48", {"beginDate": "20251204"}),
            "endDate",
            together,
            "EGG0042",
        ),
        _field("EY03", "transType", "8800", RuleKind.CODE),
        _field("EY03", "acctNo", "", missing),
        _field("EY03", "queryNumber", "0", form),
        _field("DO48", "beginNumber", None, missing),
        _field("EY03", "authMasterID", None, missing),
        _field("EY03", "elecChequeNo", "", missing),
        _field("4402", "list[2]/acctNo", "0000021001000000077", books),
        _field("4402", "list[1]/acctNo", "", missing),
        Mistake("4402 without accounts", partial(request, "4402", rows=()), "lists/list", count, "EGG0042"),
        Mistake(
            "4402 a list without its name", lambda: framed(packet("4402", unnamed)), "lists@name", missing, "EGG0042"
        ),
        _field("8924", "acctNo", "0000021001000000077", books),
        _field("8924", "queryNumber", "21", count),
        _field("8924", "endDate", "05.01.2026", form),
        _field("8924", "beginDate", "20260106", together),
        _field("8924", "transAmount", "all", form),
    )


def mistakes() -> tuple[Mistake, ...]:
    """The rules of spdb.md 1 to 4, each broken in one place."""
    return (*_frames(), *_orders(), *_questions())


def corners() -> tuple[Corner, ...]:
    """Requests at the edge of what the page allows."""
    single = partial(request, "8801")
    signed = packet("8801", _good())
    shuffled = clear_body("8801").replace("<note>测试</note>", "").replace("<body>", "<body><note>测试</note>")
    swapped = signed[: signed.index(b"<head>")] + signed[signed.index(b"<body>") : signed.index(b"</packet>")]
    head = signed[signed.index(b"<head>") : signed.index(b"<body>")]
    return (
        Corner("one fen", single),
        Corner("the largest amount", partial(single, {"amount": "99999999999.99", "totalAmount": "99999999999.99"})),
        Corner("a whole amount", partial(single, {"amount": "5", "totalAmount": "5.00"})),
        Corner("full-width and rare characters", partial(single, {"payeeName": "ABC麤　堃", "note": "〇·—"})),
        Corner("a character of GB18030 alone", partial(single, {"payeeName": "示例𬭎乙"})),
        Corner("no note, no address", partial(single, {"note": "", "payeeAddress": None})),
        Corner("inside the bank without a bank's name", partial(single, {"sysFlag": "0", "payeeBankName": ""})),
        Corner(
            "an own payee under its name",
            partial(single, {"payeeAcctNo": OWN_PAYEE, "payeeName": HOLDER, "sysFlag": "0"}),
        ),
        Corner("a schedule for today", partial(single, {"bespeakDate": "20260105"})),
        Corner("a schedule a month ahead", partial(single, {"bespeakDate": "20260205"})),
        Corner("fields in another order", lambda: framed(packet("8801", shuffled.encode("gb18030")))),
        Corner("the body before the head", lambda: framed(swapped + head + b"</packet>")),
        Corner("the length padded with blanks", lambda: framed(signed, f"{len(signed) + 6:<6}")),
        Corner("declared as gb2312", lambda: framed(packet("8801", _good(), declared="gb2312"))),
        Corner(
            "a signature in one line", lambda: framed(packet("8801", _good(), sign="".join(signature(_good()).split())))
        ),
        Corner("a packetID of one character", partial(single, {"head/packetID": "1"})),
        Corner(
            "twenty lines", partial(request, "8800", {"totalNumber": "20", "totalAmount": "0.20"}, rows=_many(20)), 20
        ),
        Corner("an empty authMasterID", partial(request, "8800", {"authMasterID": ""}), 2),
        Corner(
            "thirty rows from the second on", partial(request, "8804", {"queryNumber": "30", "beginNumber": "2"}), 0
        ),
        Corner("a month of packages", partial(request, "DO48", {"beginDate": "20251205", "queryNumber": "10"}), 0),
        Corner("both balances", partial(request, "4402"), 0),
        Corner("entries of any amount", partial(request, "8924", {"transAmount": "0", "queryNumber": "20"}), 0),
    )
