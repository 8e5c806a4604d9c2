"""Mistakes of 中信 CITIC's clients, each a change to a good request written from banks/citic.md.

`request` makes a framed request of any operation, with changes; see its docstring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.banks.citic import twin
from protocols.canon.money import Money
from protocols.judge import RuleKind
from tests.protocols.banks.mistakes import Corner, Mistake, Side
from tests.world.dialogue import BankTime

OWN, MEMBER, STRANGER = "0000000000000000017", "0000000000000000033", "0000000000000000099"
"""Two accounts of the customer at this bank, and one that the bank does not have."""
HOLDER = "示例甲公司"
CLIENT_ID = "20261124000000000001"
LOGIN = "erpuser1"
NOW = {"preFlg": "0", "preDate": "", "preTime": ""}
PERIOD = {"startDate": "20261101", "endDate": "20261124"}
TOTAL = {"totalNumber": "2", "totalAmount": "3.00"}
PLACE = {"pageNumber": "20", "startRecord": "1"}

GOOD: Mapping[str, Mapping[str, str]] = {
    "DLOUTTRN": {
        "clientID": CLIENT_ID, **NOW, "payType": "03", "recBankNo": "", "payAccountNo": OWN,
        "recAccountNo": "0000000000000000025", "recAccountName": "示例乙公司", "recOpenBankName": "中国工商银行示例支行",
        "recOpenBankCode": "102100099996", "citicbankFlag": "1", "cityFlag": "1", "tranAmount": "10.00",
        "abstract": "货款", "memo": "", "takerName": "", "takerID": "", "takerIDType": "", "chkNum": "",
    },
    "DLINETRN": {
        "clientID": CLIENT_ID, **NOW, "payAccountNo": OWN, "recAccountNo": MEMBER, "tranAmount": "10.00",
        "abstract": "调拨", "memo": "", "cryType": "",
    },
    "CMMANSWP": {
        "clientID": CLIENT_ID, "conAccountNo": OWN, "accountNo": MEMBER, "tranAmount": "10.00", **NOW, "abstract": "归集",
    },
    "CMDWNSWP": {
        "clientID": CLIENT_ID, "coreAccountNo": OWN, "accountNo": MEMBER, "tranAmount": "10.00", **NOW, "abstract": "下拨",
    },
    "DLCIDSTT": {"clientID": CLIENT_ID, "type": "DLOUTTRN"},
    "DLPAYBAT": {"clientID": CLIENT_ID, **TOTAL, **NOW},
    "DLBATCOL": PERIOD,
    "DLBATDET": {"clientID": CLIENT_ID},
    "DLSALIMP": {
        "clientID": CLIENT_ID, **TOTAL, "payAccountNo": OWN, "abstract": "工资", "msgAbstract": "1", **NOW,
        "yearMonth": "202611",
    },
    "DLSALCOL": {"yearMonth": "202611"},
    "DLSALDET": {"clientID": CLIENT_ID, **PLACE},
    "DLAGENTF": {"clientID": CLIENT_ID, **TOTAL, "rcvAccountNo": OWN, **NOW},
    "DLAGECOL": PERIOD,
    "DLAGEDET": {"clientID": CLIENT_ID, **PLACE},
    "DLBALQRY": {},
    "DLHBLQRY": {"accountNo": OWN, "startDate": "20261101", "endDate": "20261123"},
    "DLTRNALL": {
        "accountNo": OWN, "lowAmount": "0.00", "upAmount": "9999999999999.99", **PERIOD, **PLACE, "controlFlag": "2",
    },
    "DLEDDRSQ": {
        "qryType": "2", "accNo": OWN, "billType": "0", "minAmt": "0.00", "maxAmt": "9999999999999.99",
        "startDate": "20261101", "endDate": "20261123", "pageSize": "100", "startNo": "1",
    },
    "DLEDCDTD": {"isCurrDay": "1", "accNo": OWN},
}  # fmt: skip
"""The elements of a good request of each operation after action and userName, in their order."""

_LINE = {"payAccountNo": OWN, "recAccountNo": "0000000000000000025", "recAccountName": "示例乙公司",
         "recOpenBankCode": "102100099996", "payType": "03"}  # fmt: skip
_WAGE = {"employeeName": "示例丙", "recAccountNo": "0000000000000000041"}
_CLAIM = {"payAccountNo": "0000000000000000041", "payAccountName": "示例丙"}
GOOD_ROWS: Mapping[str, Sequence[Mapping[str, str]]] = {
    "DLPAYBAT": (
        {"ID": "0001", **_LINE, "tranAmount": "1.00", "abstract": "货款", "memo": "GW000000000000000001"},
        {"ID": "0002", **_LINE, "tranAmount": "2.00", "abstract": "货款", "memo": "GW000000000000000002"},
    ),
    "DLSALIMP": (
        {"employeeNo": "00001", **_WAGE, "tranAmount": "1.00", "wagDetl": ""},
        {"employeeNo": "00002", **_WAGE, "tranAmount": "2.00", "wagDetl": ""},
    ),
    "DLAGENTF": (
        {**_CLAIM, "tranAmount": "1.00", "abstract": "会费"},
        {**_CLAIM, "tranAmount": "2.00", "abstract": "会费"},
    ),
    "DLBALQRY": ({"accountNo": OWN}, {"accountNo": MEMBER}),
    "DLEDCDTD": ({"brSeqNo": "2026112400000000000000000001", "billType": "1"},),
}
"""The rows of a good request, for the operations that have rows."""

Row = Mapping[str, str | None]


def request(
    operation: str,
    changes: Row | None = None,
    rows: Sequence[Row] | None = None,
    *,
    action: str | None = None,
    login: str | None = LOGIN,
) -> bytes:
    """A framed good request of `operation`, with `changes`.

    In `changes` a text replaces or adds an element of the head, and None leaves the element out. `rows` are the rows
    instead of the good ones (see `row`); an empty sequence writes a list without rows. `action` is written instead of
    the operation's, `login` as userName; None leaves userName out.
    """
    return framed(document(operation, changes, rows, action=action, login=login).encode("gb18030"))


def document(
    operation: str,
    changes: Row | None = None,
    rows: Sequence[Row] | None = None,
    *,
    action: str | None = None,
    login: str | None = LOGIN,
) -> str:
    """The XML of `request` as text, for changes to the text itself."""
    head: dict[str, str | None] = {"action": operation if action is None else action, "userName": login}
    inner = _written({**head, **GOOD[operation], **(changes or {})})
    lines = GOOD_ROWS.get(operation) if rows is None else rows
    if lines is not None:
        inner += '<list name="userDataList">' + "".join(f"<row>{_written(one)}</row>" for one in lines) + "</list>"
    return f'<?xml version="1.0" encoding="GBK"?>\n<stream>{inner}</stream>'


def row(operation: str, number: int, **changes: str | None) -> list[Row]:
    """The good rows of `operation`, with changes to the row of this number (from 1); None removes an element."""
    lines: list[Row] = list(GOOD_ROWS[operation])
    lines[number - 1] = {**lines[number - 1], **changes}
    return lines


def framed(body: bytes, method: str = "POST") -> bytes:
    """`body` as an HTTP request to the front end."""
    head = f"{method} / HTTP/1.1\r\nHost: fep.example\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


def side() -> Side:
    """The front end with two accounts of the customer. The time is noon on Tuesday 2026-11-24."""
    accounts = (LedgerAccount(OWN, HOLDER, Money(2 * 10**15)), LedgerAccount(MEMBER, HOLDER, Money(10**9)))
    return Side(twin.build({"login": LOGIN}, {}), Ledger(BankTime().now_ms, accounts))


def _written(fields: Row) -> str:
    return "".join(f"<{name}>{content}</{name}>" for name, content in fields.items() if content is not None)


def _head(operation: str, name: str, content: str | None, rule: RuleKind, code: str = "TWIN000") -> Mistake:
    shown = "absent" if content is None else repr(content[:24])
    return Mistake(f"{operation} {name} {shown}", partial(request, operation, {name: content}), name, rule, code)


def _row(operation: str, name: str, content: str | None, rule: RuleKind, code: str = "TWIN000") -> Mistake:
    shown = "absent" if content is None else repr(content[:24])
    lines = row(operation, 2, **{name: content})
    return Mistake(
        f"{operation} row {name} {shown}", partial(request, operation, None, lines), f"list/row[2]/{name}", rule, code
    )


def _frames() -> tuple[Mistake, ...]:
    good = document("DLOUTTRN")
    return (
        Mistake("GET", partial(framed, good.encode("gbk"), "GET"), "HTTP", RuleKind.FRAME, "TWIN000"),
        Mistake("UTF-8", partial(framed, good.replace("GBK", "UTF-8").encode()), "body", RuleKind.CHARSET),
        Mistake("UTF-8 under a GBK label", partial(framed, good.encode()), "body", RuleKind.CHARSET),
        Mistake("bytes that are no GBK", partial(framed, good.encode("gbk") + b"\xff\xff"), "body", RuleKind.CHARSET),
        Mistake("cut off", partial(framed, good.encode("gbk")[:-9]), "body", RuleKind.FRAME),
        Mistake(
            "another root", partial(framed, good.replace("stream", "Stream").encode("gbk")), "stream", RuleKind.FRAME
        ),
        Mistake("an action of no bank", partial(request, "DLOUTTRN", action="DLPAYOUT"), "action", RuleKind.OPERATION),
        Mistake(
            "an action in small letters", partial(request, "DLOUTTRN", action="dlouttrn"), "action", RuleKind.OPERATION
        ),
        Mistake("no userName", partial(request, "DLOUTTRN", login=None), "userName", RuleKind.MISSING),
        Mistake("another userName", partial(request, "DLOUTTRN", login="erpuser2"), "userName", RuleKind.HEADER),
        Mistake("a userName of 31", partial(request, "DLOUTTRN", login="u" * 31), "userName", RuleKind.LENGTH),
        Mistake(
            "a list of another name",
            partial(framed, document("DLPAYBAT").replace("userDataList", "list").encode("gbk")),
            "list",
            RuleKind.FRAME,
        ),
        Mistake(
            "tags in another case",
            partial(framed, good.replace("payAccountNo>", "PayAccountNo>").encode("gbk")),
            "payAccountNo",
            RuleKind.MISSING,
        ),
        Mistake(
            "an amount twice",
            partial(framed, good.replace("<abstract>", "<tranAmount>10.00</tranAmount><abstract>").encode("gbk")),
            "tranAmount",
            RuleKind.REPEATED,
        ),
    )


def _payments() -> tuple[Mistake, ...]:
    pay = partial(_head, "DLOUTTRN")
    return (
        pay("clientID", "", RuleKind.MISSING),
        pay("clientID", "2026112400000000000012", RuleKind.LENGTH),
        pay("clientID", "2026-1124", RuleKind.ALPHABET),
        pay("preFlg", "", RuleKind.MISSING),
        pay("preFlg", "2", RuleKind.CODE),
        pay("preDate", "20261201", RuleKind.TOGETHER),
        pay("payType", "06", RuleKind.CODE),
        Mistake(
            "an instant payment without its bank",
            partial(request, "DLOUTTRN", {"payType": "05"}),
            "recBankNo",
            RuleKind.MISSING,
        ),
        pay("citicbankFlag", "0", RuleKind.TOGETHER),
        pay("payAccountNo", "0" * 20, RuleKind.LENGTH),
        pay("payAccountNo", STRANGER, RuleKind.BOOKS, "BLR0024"),
        pay("recAccountNo", "", RuleKind.MISSING),
        pay("recAccountNo", "0" * 33, RuleKind.LENGTH),
        pay("recAccountName", "名" * 62, RuleKind.LENGTH),
        pay("recAccountName", "㐂公司", RuleKind.CHARSET),
        pay("recOpenBankName", "行" * 62, RuleKind.LENGTH),
        pay("recOpenBankCode", "1021000999", RuleKind.LENGTH),
        pay("citicbankFlag", "Y", RuleKind.CODE),
        pay("cityFlag", "", RuleKind.MISSING),
        pay("tranAmount", "10", RuleKind.FORM),
        pay("tranAmount", "1000.000", RuleKind.FORM),
        pay("tranAmount", "0.00", RuleKind.FORM),
        pay("tranAmount", "-10.00", RuleKind.FORM),
        pay("tranAmount", "1,000.00", RuleKind.FORM),
        pay("tranAmount", "10000000000000.00", RuleKind.LENGTH),
        pay("abstract", "款" * 52, RuleKind.LENGTH),
        pay("memo", "备" * 31, RuleKind.LENGTH),
        pay("memo", None, RuleKind.MISSING),
        Mistake(
            "a schedule without its day",
            partial(request, "DLOUTTRN", {"preFlg": "1", "preTime": "100000"}),
            "preDate",
            RuleKind.MISSING,
        ),
        Mistake(
            "a schedule at another time",
            partial(request, "DLOUTTRN", {"preFlg": "1", "preDate": "20261201", "preTime": "093000"}),
            "preTime",
            RuleKind.CODE,
        ),
        Mistake(
            "a schedule in the past",
            partial(request, "DLOUTTRN", {"preFlg": "1", "preDate": "20261124", "preTime": "100000"}),
            "preDate",
            RuleKind.TOGETHER,
        ),
        Mistake(
            "a schedule by night",
            partial(request, "DLOUTTRN", {"preFlg": "1", "preDate": "20261201", "preTime": "100000", "payType": "B5"}),
            "preFlg",
            RuleKind.TOGETHER,
        ),
        Mistake(
            "no bank named",
            partial(request, "DLOUTTRN", {"recOpenBankName": "", "recOpenBankCode": ""}),
            "recOpenBankName",
            RuleKind.TOGETHER,
        ),
        _head("DLINETRN", "recAccountNo", STRANGER, RuleKind.BOOKS, "BLR0027"),
        _head("DLINETRN", "cryType", None, RuleKind.MISSING),
        _head("CMMANSWP", "accountNo", STRANGER, RuleKind.BOOKS, "BLR0024"),
        _head("CMDWNSWP", "accountNo", STRANGER, RuleKind.BOOKS, "BLR0027"),
    )


def _bundles() -> tuple[Mistake, ...]:
    many: list[Row] = [GOOD_ROWS["DLPAYBAT"][0]] * 10_000
    return (
        _head("DLPAYBAT", "totalNumber", "3", RuleKind.TOGETHER),
        _head("DLPAYBAT", "totalAmount", "3.01", RuleKind.TOGETHER),
        _head("DLPAYBAT", "preFlg", None, RuleKind.MISSING),
        _row("DLPAYBAT", "ID", "0001", RuleKind.TOGETHER),
        _row("DLPAYBAT", "ID", "00002", RuleKind.LENGTH),
        _row("DLPAYBAT", "payType", "01", RuleKind.CODE),
        _row("DLPAYBAT", "payAccountNo", STRANGER, RuleKind.BOOKS, "BLR0024"),
        _row("DLPAYBAT", "memo", None, RuleKind.MISSING),
        _row("DLPAYBAT", "recOpenBankCode", "", RuleKind.MISSING),
        Mistake("a batch without rows", partial(request, "DLPAYBAT", None, ()), "list/row", RuleKind.COUNT),
        Mistake(
            "10,000 rows", partial(request, "DLPAYBAT", {"totalNumber": "10000"}, many), "list/row", RuleKind.COUNT
        ),
        _head("DLSALIMP", "msgAbstract", "8", RuleKind.CODE),
        _head("DLSALIMP", "yearMonth", "202613", RuleKind.FORM),
        _head("DLSALIMP", "payAccountNo", STRANGER, RuleKind.BOOKS, "BLR0024"),
        _row("DLSALIMP", "employeeNo", "100000", RuleKind.LENGTH),
        _row("DLSALIMP", "tranAmount", "2", RuleKind.FORM),
        _row("DLSALIMP", "wagDetl", None, RuleKind.MISSING),
        _head("DLAGENTF", "rcvAccountNo", STRANGER, RuleKind.BOOKS, "TWIN005"),
        _head("DLAGENTF", "preFlg", "", RuleKind.MISSING),
        _row("DLAGENTF", "payAccountName", "", RuleKind.MISSING),
        _row("DLAGENTF", "abstract", "费" * 52, RuleKind.LENGTH),
    )


def _questions() -> tuple[Mistake, ...]:
    return (
        _head("DLCIDSTT", "clientID", "", RuleKind.MISSING),
        _head("DLCIDSTT", "type", "payment", RuleKind.FORM),
        _head("DLBATCOL", "startDate", "20261125", RuleKind.TOGETHER),
        _head("DLBATDET", "clientID", None, RuleKind.MISSING),
        _head("DLSALCOL", "yearMonth", "2026-11", RuleKind.FORM),
        _head("DLSALDET", "pageNumber", "21", RuleKind.FORM),
        _head("DLAGECOL", "endDate", "", RuleKind.MISSING),
        _head("DLAGEDET", "startRecord", "0", RuleKind.FORM),
        Mistake(
            "11 accounts",
            partial(request, "DLBALQRY", None, [GOOD_ROWS["DLBALQRY"][0]] * 11),
            "list/row",
            RuleKind.COUNT,
        ),
        _row("DLBALQRY", "accountNo", STRANGER, RuleKind.BOOKS, "TWIN005"),
        _head("DLHBLQRY", "startDate", "20261024", RuleKind.TOGETHER),
        _head("DLTRNALL", "lowAmount", "", RuleKind.MISSING, "ED01016"),
        _head("DLTRNALL", "upAmount", "", RuleKind.MISSING),
        _head("DLTRNALL", "lowAmount", "9999999999999.999", RuleKind.FORM),
        _head("DLTRNALL", "startDate", "20260824", RuleKind.TOGETHER),
        _head("DLTRNALL", "startDate", "2026-11-01", RuleKind.FORM),
        _head("DLTRNALL", "pageNumber", "100", RuleKind.LENGTH),
        _head("DLTRNALL", "startRecord", "10000", RuleKind.LENGTH),
        _head("DLTRNALL", "controlFlag", "8", RuleKind.CODE),
        _head("DLTRNALL", "accountNo", STRANGER, RuleKind.BOOKS, "TWIN005"),
        Mistake(
            "entries of four years ago",
            partial(request, "DLTRNALL", {"startDate": "20221101", "endDate": "20221130"}),
            "startDate",
            RuleKind.TOGETHER,
        ),
        Mistake(
            "amounts the wrong way round",
            partial(request, "DLTRNALL", {"lowAmount": "2.00", "upAmount": "1.00"}),
            "lowAmount",
            RuleKind.TOGETHER,
        ),
        _head("DLEDDRSQ", "qryType", "1", RuleKind.TOGETHER),
        _head("DLEDDRSQ", "qryType", "3", RuleKind.CODE),
        _head("DLEDDRSQ", "billType", "", RuleKind.MISSING),
        _head("DLEDDRSQ", "pageSize", "101", RuleKind.FORM),
        _head("DLEDCDTD", "isCurrDay", "0", RuleKind.CODE),
        Mistake(
            "a number of T+0 as one of T+1",
            partial(request, "DLEDCDTD", {"isCurrDay": "2"}),
            "brSeqNo",
            RuleKind.TOGETHER,
        ),
        Mistake("a receipt that is none", partial(request, "DLEDCDTD"), "brSeqNo", RuleKind.BOOKS),
    )


def mistakes() -> tuple[Mistake, ...]:
    """Every rule of the page, broken once."""
    return (*_frames(), *_payments(), *_bundles(), *_questions())


def corners() -> tuple[Corner, ...]:
    """The longest and the shortest requests that the page allows, and characters at the edge of GBK."""
    longest = {
        "recAccountNo": "9" * 32, "recAccountName": "名" * 61, "recOpenBankName": "行" * 61, "abstract": "款" * 51,
        "memo": "备" * 30,
    }  # fmt: skip
    empty = {"recOpenBankCode": "", "abstract": "款", "memo": ""}
    wages: list[Row] = [
        {**GOOD_ROWS["DLSALIMP"][0], "employeeNo": f"{number:05d}", "tranAmount": "0.01"} for number in range(1, 1001)
    ]
    lines: list[Row] = [
        {**GOOD_ROWS["DLPAYBAT"][0], "ID": f"{number:04d}", "tranAmount": "1.00"} for number in range(1, 9_999 + 1)
    ]
    inside = {"payType": "01", "citicbankFlag": "0", "recOpenBankCode": "", "recOpenBankName": "中信银行示例支行"}
    return (
        Corner("the longest texts", partial(request, "DLOUTTRN", longest)),
        Corner("one fen, and the shortest texts", partial(request, "DLOUTTRN", {"tranAmount": "0.01", **empty})),
        Corner("the largest amount", partial(request, "DLOUTTRN", {"tranAmount": "9999999999999.99"})),
        Corner("full-width characters", partial(request, "DLOUTTRN", {"recAccountName": "ＡＢＣ（示例）镕"})),
        Corner("a clientID of one character", partial(request, "DLOUTTRN", {"clientID": "1"})),
        Corner("a payee at this bank", partial(request, "DLOUTTRN", inside)),
        Corner("large value at noon", partial(request, "DLOUTTRN", {"payType": "02"})),
        Corner("large value at night", partial(request, "DLOUTTRN", {"payType": "B5"})),
        Corner("an instant payment", partial(request, "DLOUTTRN", {"payType": "05", "recBankNo": "102100099996"})),
        Corner(
            "a message without a declaration", partial(framed, document("DLOUTTRN").partition("\n")[2].encode("gbk"))
        ),
        Corner("a transfer within the group", partial(request, "DLINETRN")),
        Corner("a sweep", partial(request, "CMMANSWP")),
        Corner("a push", partial(request, "CMDWNSWP")),
        Corner("a collection", partial(request, "DLAGENTF"), 2),
        Corner(
            "1,000 wages", partial(request, "DLSALIMP", {"totalNumber": "1000", "totalAmount": "10.00"}, wages), 1000
        ),
        Corner(
            "9,999 lines", partial(request, "DLPAYBAT", {"totalNumber": "9999", "totalAmount": "9999.00"}, lines), 9999
        ),
        Corner("30 days of balances", partial(request, "DLHBLQRY", {"startDate": "20261025"}), 0),
        Corner("balances up to today", partial(request, "DLHBLQRY", {"endDate": "20261124"}), 0),
        Corner("92 days of entries", partial(request, "DLTRNALL", {"startDate": "20260825"}), 0),
        Corner("an enquiry without a type, of an order that is unknown", partial(request, "DLCIDSTT", {"type": ""}), 0),
        *(
            Corner(f"a good {operation}", partial(request, operation), 0)
            for operation in (
                "DLBATCOL",
                "DLBATDET",
                "DLSALCOL",
                "DLSALDET",
                "DLAGECOL",
                "DLAGEDET",
                "DLBALQRY",
                "DLEDDRSQ",
            )
        ),
    )
