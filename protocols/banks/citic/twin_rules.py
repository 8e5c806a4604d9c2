"""The rules of 中信 CITIC's front end for each field of a request, transcribed from banks/citic.md. The adapter never
reads them.

Of refusals the page has few codes: ED01016 (the lower amount is empty), BLR0024 and BLR0027 (no such account of the
payer, of the payee). TWIN000 and TWIN005 are this twin's own, so each of them is marked as reconstructed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from protocols.banks.citic.twin_checks import (
    CODES_ROW,
    ENTRIES_ROW,
    ENVELOPE_ROW,
    MALFORMED,
    NO_ACCOUNT,
    NO_PAYEE,
    NO_PAYER,
    NOW_ROW,
    OPERATIONS_ROW,
    RECEIPTS_ROW,
    ROWS,
    SCHEDULE_ROW,
    at_most_days,
    names_a_bank,
    names_this_bank,
    no_night_schedule,
    now_is_empty,
    present,
    present_in_rows,
    receipt_numbers,
    scheduled,
    whole,
)
from protocols.judge import (
    BankRefusal,
    FieldRule,
    RequestRules,
    RowsRule,
    TogetherRule,
    ValueForm,
    amount,
    amounts_in_order,
    anything,
    days_in_order,
    digits,
    each_row,
    moment,
    no_row_twice,
    one_of,
    own_account,
    pattern,
    row_totals,
    text,
    value,
)

LOW_AMOUNT_EMPTY: Final = BankRefusal("ED01016", "最低金额不能为空")
_FORMS: Final = "citic.md 1: amount 13.2 digits, date YYYYMMDD, time hhmmss"
_MANDATORY: Final = "citic.md 1: fields are mandatory unless the manual says 可空"
_LENGTHS: Final = "citic.md 5, lengths: abstract 102, memo 60, name 122, payer 19, payee 32"
_CLIENT_ID: Final = "citic.md 5: clientID char(20)"
_PAY_ROW: Final = "citic.md 4, external pay"
_PAGES: Final = "citic.md 4 and 9.2: at most 20 rows, startRecord char(4) from 1"
_TIMES: Final = ("100000", "120000", "140000", "160000")
_RAILS: Final = ("00", "01", "02", "03", "04", "05", "B5")


def _gbk(most: int | None = None) -> ValueForm:
    return text(most, charset="gbk")


def _needed(
    place: str, form: ValueForm, source: str, refusal: BankRefusal | None = None, *, reconstructed: bool = False
) -> FieldRule:
    return FieldRule(place, form, source, required=True, refusal=refusal, reconstructed=reconstructed)


_DAY, _ACCOUNT = moment("%Y%m%d"), _gbk(19)
_SOME_AMOUNT: Final = amount(13, 2, fixed=True, zero=True)

HEAD: Final = (_needed("action", anything, ENVELOPE_ROW), _needed("userName", _gbk(30), "citic.md 2; 9.2: userName 30"))
"""The fields of every request."""
_ID: Final = (
    _needed("clientID", _gbk(20), _CLIENT_ID),
    FieldRule(
        "clientID",
        text(charset="gbk", alphabet="[0-9A-Za-z]", takes="0-9A-Za-z"),
        "citic.md 5 has no alphabet; the common one of all banks",
        reconstructed=True,
    ),
)
_AMOUNT: Final = (
    _needed("tranAmount", _SOME_AMOUNT, _FORMS),
    FieldRule(
        "tranAmount",
        pattern(r"(?![0.]*\Z).*", "must be above zero", "必须大于零"),
        "citic.md 1: 0.00 is a form of amounts; no payment of it",
        reconstructed=True,
    ),
)
_TEXT: Final = FieldRule("abstract", _gbk(102), _LENGTHS)
_PURPOSE: Final = (
    _TEXT,
    # The page marks no field as 可空, and its samples leave memo empty, but never abstract.
    _needed("abstract", anything, _MANDATORY, reconstructed=True),
)
_MEMO: Final = FieldRule("memo", _gbk(60), _LENGTHS)


def _when(source: str, *, reconstructed: bool = False) -> tuple[FieldRule, ...]:
    return (
        _needed("preFlg", one_of("0", "1"), source, reconstructed=reconstructed),
        FieldRule("preDate", _DAY, SCHEDULE_ROW, required=scheduled),
        FieldRule("preTime", one_of(*_TIMES), SCHEDULE_ROW, required=scheduled),
    )


# ---- the operations ----------------------------------------------------------------------------------------------

_DLOUTTRN: Final = RequestRules(
    "DLOUTTRN",
    MALFORMED,
    (
        *_ID,
        *_when(SCHEDULE_ROW),
        _needed("payType", one_of(*_RAILS), _PAY_ROW),
        FieldRule("recBankNo", _gbk(), _PAY_ROW, required=lambda fields: value(fields, "payType") == "05"),
        _needed("payAccountNo", _ACCOUNT, _LENGTHS),
        _needed("recAccountNo", _gbk(32), _LENGTHS),
        _needed("recAccountName", _gbk(122), _LENGTHS),
        FieldRule("recOpenBankName", _gbk(122), _LENGTHS),
        FieldRule("recOpenBankCode", digits(12), "citic.md 5: numbers of the CNAPS table", reconstructed=True),
        _needed("citicbankFlag", one_of("0", "1"), _PAY_ROW),
        _needed("cityFlag", one_of("0", "1"), _PAY_ROW),
        *_AMOUNT,
        *_PURPOSE,
        _MEMO,
        *(FieldRule(name, _gbk(), "citic.md 2, DLOUTTRN") for name in ("takerName", "takerID", "takerIDType")),
        FieldRule("chkNum", _gbk(), "citic.md 2, DLOUTTRN"),
    ),
    (
        *present("preDate", "preTime", "recBankNo", "recOpenBankName", "recOpenBankCode", "memo"),
        *present("takerName", "takerID", "takerIDType", "chkNum"),
        now_is_empty(SCHEDULE_ROW, reconstructed=True),
        TogetherRule(no_night_schedule, SCHEDULE_ROW),
        TogetherRule(names_this_bank, _PAY_ROW, reconstructed=True),
        TogetherRule(names_a_bank, "citic.md 5, routing trap", reconstructed=True),
        own_account("payAccountNo", CODES_ROW, NO_PAYER),
    ),
)
_DLINETRN: Final = RequestRules(
    "DLINETRN",
    MALFORMED,
    (
        *_ID,
        *_when(SCHEDULE_ROW),
        _needed("payAccountNo", _ACCOUNT, _LENGTHS),
        _needed("recAccountNo", _gbk(32), _LENGTHS),
        *_AMOUNT,
        *_PURPOSE,
        _MEMO,
        FieldRule("cryType", _gbk(), OPERATIONS_ROW),
    ),
    (
        *present("preDate", "preTime", "memo", "cryType"),
        now_is_empty(SCHEDULE_ROW, reconstructed=True),
        own_account("payAccountNo", CODES_ROW, NO_PAYER),
        own_account("recAccountNo", "citic.md 4: within the group; 9.1", NO_PAYEE),
    ),
)


def _sweep(operation: str, upper: str, payer: str, payee: str) -> RequestRules:
    source = "citic.md 4, sweep and allocate"
    return RequestRules(
        operation,
        MALFORMED,
        (
            *_ID,
            _needed(upper, _ACCOUNT, source),
            _needed("accountNo", _ACCOUNT, source),
            *_AMOUNT,
            *_when(source),
            _TEXT,
        ),
        (
            *present("preDate", "preTime", reconstructed=True),
            now_is_empty(source, reconstructed=True),
            own_account(payer, CODES_ROW, NO_PAYER),
            own_account(payee, CODES_ROW, NO_PAYEE),
        ),
    )


_STATUS: Final = RequestRules(
    "DLCIDSTT",
    MALFORMED,
    (
        *_ID,
        FieldRule(
            "type",
            pattern("[A-Z]{8}", "is no action (eight capitals)", "不是交易代码(八位大写字母)"),
            "citic.md 4, status: the original action, or empty",
            reconstructed=True,
        ),
    ),
    present("type"),
)

_TOTALS: Final = (
    _needed("totalNumber", whole(1, 99_999), OPERATIONS_ROW),
    _needed("totalAmount", _SOME_AMOUNT, _FORMS),
)
_SUMS: Final = row_totals(ROWS, "tranAmount", "totalNumber", "totalAmount", OPERATIONS_ROW)
_BATCH_ROW: Final = "citic.md 4 and 9, batch pay"
_DLPAYBAT: Final = RequestRules(
    "DLPAYBAT",
    MALFORMED,
    (
        *_ID,
        *_TOTALS,
        *_when(NOW_ROW),
        RowsRule(
            ROWS,
            (
                _needed("ID", _gbk(4), _BATCH_ROW),
                FieldRule("ID", digits(1, 4), "citic.md 4: ID(4)", reconstructed=True),
                _needed("payAccountNo", _ACCOUNT, _LENGTHS),
                _needed("recAccountNo", _gbk(32), _LENGTHS),
                _needed("recAccountName", _gbk(122), _LENGTHS),
                _needed("recOpenBankCode", _gbk(), _MANDATORY),
                FieldRule("recOpenBankCode", digits(12), "citic.md 5: numbers of the CNAPS table", reconstructed=True),
                _needed("payType", one_of("02", "03"), _BATCH_ROW),
                *_AMOUNT,
                *_PURPOSE,
                _MEMO,
            ),
            "citic.md 4: ID(4)",
            1,
            9_999,
        ),
    ),
    (
        *present("preDate", "preTime"),
        *present_in_rows("memo"),
        now_is_empty(NOW_ROW, reconstructed=False),
        no_row_twice(ROWS, "ID", _BATCH_ROW, reconstructed=True),
        _SUMS,
        each_row(ROWS, own_account("payAccountNo", CODES_ROW, NO_PAYER)),
    ),
)
_PAYROLL_ROW: Final = "citic.md 4, payroll"
_MONTH: Final = _needed("yearMonth", moment("%Y%m"), _PAYROLL_ROW)
_DLSALIMP: Final = RequestRules(
    "DLSALIMP",
    MALFORMED,
    (
        *_ID,
        *_TOTALS,
        _needed("payAccountNo", _ACCOUNT, _LENGTHS),
        _TEXT,
        _needed("msgAbstract", one_of(*"1234567"), _PAYROLL_ROW),
        *_when(_PAYROLL_ROW),
        _MONTH,
        RowsRule(
            ROWS,
            (
                _needed("employeeNo", _gbk(5), _PAYROLL_ROW),
                _needed("employeeName", _gbk(122), _LENGTHS),
                _needed("recAccountNo", _gbk(32), _LENGTHS),
                *_AMOUNT,
                FieldRule("wagDetl", _gbk(), _PAYROLL_ROW),
            ),
            _PAYROLL_ROW,
            1,
            99_999,
        ),
    ),
    (
        *present("abstract", "preDate", "preTime"),
        *present_in_rows("wagDetl"),
        now_is_empty(SCHEDULE_ROW, reconstructed=True),
        no_row_twice(ROWS, "employeeNo", _PAYROLL_ROW, reconstructed=True),
        _SUMS,
        own_account("payAccountNo", CODES_ROW, NO_PAYER),
    ),
)
_COLLECTION_ROW: Final = "citic.md 4, collect from persons; 9: preFlg, preDate, preTime"
_DLAGENTF: Final = RequestRules(
    "DLAGENTF",
    MALFORMED,
    (
        *_ID,
        *(
            FieldRule(one.place, one.form, one.source, required=True, reconstructed=True)
            for one in _TOTALS  # the page does not list them here
        ),
        _needed("rcvAccountNo", _ACCOUNT, _COLLECTION_ROW),
        *_when(NOW_ROW),
        RowsRule(
            ROWS,
            (
                _needed("payAccountNo", _ACCOUNT, _LENGTHS),
                _needed("payAccountName", _gbk(122), _LENGTHS),
                *_AMOUNT,
                _TEXT,
            ),
            _COLLECTION_ROW,
            1,
            9_999,
            reconstructed=True,
        ),
    ),
    (
        *present("preDate", "preTime"),
        *present_in_rows("abstract"),
        now_is_empty(NOW_ROW, reconstructed=False),
        row_totals(ROWS, "tranAmount", "totalNumber", "totalAmount", _COLLECTION_ROW, reconstructed=True),
        own_account("rcvAccountNo", _COLLECTION_ROW, NO_ACCOUNT, reconstructed=True),
    ),
)

_PERIOD: Final = (_needed("startDate", _DAY, _FORMS), _needed("endDate", _DAY, _FORMS))
_IN_ORDER: Final = days_in_order("startDate", "endDate", OPERATIONS_ROW)
_PLACE: Final = (_needed("pageNumber", whole(1, 20), _PAGES), _needed("startRecord", whole(1, 9_999), _PAGES))
_HELD: Final = own_account("accountNo", OPERATIONS_ROW, NO_ACCOUNT)


def _asked(operation: str, *fields: FieldRule | RowsRule, together: Sequence[TogetherRule] = ()) -> RequestRules:
    return RequestRules(operation, MALFORMED, fields, tuple(together))


def _summary(operation: str, *, reconstructed: bool) -> RequestRules:
    fields = (FieldRule(one.place, one.form, one.source, True, reconstructed=reconstructed) for one in _PERIOD)
    return _asked(operation, *fields, together=(_IN_ORDER,))


RULES: Final[Mapping[str, RequestRules]] = {
    one.operation: one
    for one in (
        _DLOUTTRN,
        _DLINETRN,
        _sweep("CMMANSWP", "conAccountNo", "accountNo", "conAccountNo"),
        _sweep("CMDWNSWP", "coreAccountNo", "coreAccountNo", "accountNo"),
        _STATUS,
        _DLPAYBAT,
        _summary("DLBATCOL", reconstructed=False),
        _asked("DLBATDET", *_ID),
        _DLSALIMP,
        _asked("DLSALCOL", _MONTH),
        _asked("DLSALDET", *_ID, *_PLACE),
        _DLAGENTF,
        _summary("DLAGECOL", reconstructed=True),
        _asked(
            "DLAGEDET",
            *_ID,
            # The page does not list them here: a client may ask without them, and gets all rows.
            *(FieldRule(one.place, one.form, one.source, reconstructed=True) for one in _PLACE),
        ),
        _asked(
            "DLBALQRY",
            RowsRule(
                ROWS, (_needed("accountNo", _ACCOUNT, _LENGTHS),), "citic.md 2 and 9.3: at most 10 accounts", 1, 10
            ),
        ),
        _asked(
            "DLHBLQRY",
            _needed("accountNo", _ACCOUNT, _LENGTHS),
            *_PERIOD,
            together=(_IN_ORDER, at_most_days(30, "citic.md 4, history balance: at most 30 days"), _HELD),
        ),
        _asked(
            "DLTRNALL",
            _needed("accountNo", _ACCOUNT, _LENGTHS),
            _needed("lowAmount", anything, "citic.md 9.1, ED01016", LOW_AMOUNT_EMPTY),
            FieldRule("lowAmount", _SOME_AMOUNT, _FORMS),
            _needed("upAmount", _SOME_AMOUNT, "citic.md 4: both amounts always filled"),
            *_PERIOD,
            *_PLACE,
            _needed("controlFlag", one_of(*"01234567"), ENTRIES_ROW),
            together=(
                _IN_ORDER,
                at_most_days(92, "citic.md 9.2: at most 92 days"),
                amounts_in_order("lowAmount", "upAmount", OPERATIONS_ROW, reconstructed=True),
                _HELD,
            ),
        ),
        _asked(
            "DLEDDRSQ",
            _needed("qryType", one_of("1", "2"), RECEIPTS_ROW),
            _needed("accNo", _ACCOUNT, _LENGTHS),
            _needed("billType", one_of(*"0123456"), RECEIPTS_ROW),
            _needed("minAmt", _SOME_AMOUNT, _FORMS),
            _needed("maxAmt", _SOME_AMOUNT, _FORMS),
            *_PERIOD,
            _needed("pageSize", whole(1, 100), RECEIPTS_ROW),
            _needed("startNo", whole(1, 999_999), "citic.md 4, e-receipt"),
            together=(
                _IN_ORDER,
                amounts_in_order("minAmt", "maxAmt", OPERATIONS_ROW, reconstructed=True),
                own_account("accNo", OPERATIONS_ROW, NO_ACCOUNT),
            ),
        ),
        _asked(
            "DLEDCDTD",
            _needed("isCurrDay", one_of("1", "2"), "citic.md 9: DLEDCDTD isCurrDay 1 = yes, 2 = no"),
            _needed("accNo", _ACCOUNT, _LENGTHS),
            FieldRule("fileType", one_of("0", "1", "2"), RECEIPTS_ROW),
            RowsRule(
                ROWS,
                (
                    _needed(
                        "brSeqNo",
                        pattern("[0-9]{28}|[0-9]{46}", "has neither 28 nor 46 digits", "应为 28 或 46 位数字"),
                        RECEIPTS_ROW,
                    ),
                    _needed("billType", one_of(*"0123456"), RECEIPTS_ROW),
                ),
                "citic.md 9.3: at most 10 rows",
                1,
                10,
            ),
            together=(TogetherRule(receipt_numbers, RECEIPTS_ROW), own_account("accNo", OPERATIONS_ROW, NO_ACCOUNT)),
        ),
    )
}
"""The rules of each operation, by its action. The HTTP frame, the list's name and the login are judged in twin.py."""
