"""The rules of Sample Bank for each field of a request, transcribed from README.md. The adapter never reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from protocols.judge import (
    BankRefusal,
    FieldRule,
    RequestRules,
    RowsRule,
    TogetherRule,
    ValueForm,
    amount,
    days_in_order,
    digits,
    moment,
    no_row_twice,
    one_of,
    own_account,
    own_name,
    pattern,
    row_totals,
    text,
)

MALFORMED: Final = BankRefusal("M100", "no such operation, or not its elements in their order")
UNSIGNED: Final = BankRefusal("M200", "the request's signature does not verify")
NOT_ALLOWED: Final = BankRefusal("M300", "a value is not allowed; nothing was booked")
NOT_OWN: Final = BankRefusal("A100", "not an account of this customer")
_OPERATIONS: Final = "README.md 3, table of operations"
_REFERENCE_ROW: Final = "README.md 3, Reference"
_BATCH_ROW: Final = "README.md 3, a batch"
_LIMITS: Final = "README.md 3, limits in bytes"
_TIMES: Final = "README.md 2, times, dates and amounts"
_LIST_MOST: Final = 200

_REFERENCE: Final = text(exact=20, charset="utf-8", alphabet="[0-9A-Z]", takes="0-9A-Z")
_ACCOUNT: Final = pattern("[0-9A-Za-z]{4,34}", "takes 4 to 34 letters and digits", "应为 4 至 34 位字母或数字")
_NAME: Final = text(120, charset="utf-8")
_AMOUNT: Final = amount(11, 2, fixed=True)
_LEADING_ZERO: Final = pattern(r"(0|[1-9][0-9]*)\..*", "has zeros before the number", "金额前有多余的零")
_DAY: Final = moment("%Y-%m-%d")
_YES_NO: Final = one_of("Y", "N")
_CNY: Final = one_of("CNY")


def _needed(place: str, form: ValueForm, source: str, refusal: BankRefusal | None = None) -> FieldRule:
    return FieldRule(place, form, source, required=True, refusal=refusal)


_PARTY: Final = (
    _needed("CreditorAccount", _ACCOUNT, _LIMITS),
    _needed("CreditorName", _NAME, _LIMITS),
    FieldRule("CreditorBankName", _NAME, _LIMITS),
    FieldRule("CreditorBankCode", text(34, charset="utf-8"), _OPERATIONS),
)
_MONEY: Final = (_needed("Amount", _AMOUNT, _TIMES), _needed("Amount", _LEADING_ZERO, _TIMES))
_WAY: Final = (
    FieldRule("Purpose", text(140, charset="utf-8"), _LIMITS),
    _needed("Urgent", _YES_NO, _OPERATIONS),
    _needed("Private", _YES_NO, _OPERATIONS),
)
_PAYS: Final = (
    _needed("Reference", _REFERENCE, _REFERENCE_ROW),
    _needed("DebtorAccount", _ACCOUNT, _LIMITS),
    _needed("DebtorName", _NAME, _LIMITS),
    *_PARTY,
    *_MONEY,
    _needed("Currency", _CNY, _OPERATIONS),
    *_WAY,
)
_PAID_BY: Final = (
    own_account("DebtorAccount", _OPERATIONS, NOT_OWN),
    own_name("DebtorAccount", "DebtorName", _OPERATIONS, NOT_ALLOWED),
)
_PERIOD: Final = (_needed("FirstDate", _DAY, _TIMES), _needed("LastDate", _DAY, _TIMES))
_IN_ORDER: Final = days_in_order("FirstDate", "LastDate", _OPERATIONS)
_ASKED: Final = (_needed("Account", _ACCOUNT, _LIMITS),)
_CURSOR: Final = FieldRule("Cursor", digits(1, 18), "README.md 3, Cursor")
_HELD: Final = own_account("Account", _OPERATIONS, NOT_OWN)
_HEAD_OF_BATCH: Final = (
    _needed("Currency", _CNY, _OPERATIONS),
    _needed("Count", digits(1, 3), _BATCH_ROW),
    _needed("Sum", _AMOUNT, _BATCH_ROW),
)


def _batch(own: str, rows: tuple[FieldRule, ...], operation: str) -> RequestRules:
    return RequestRules(
        operation,
        NOT_ALLOWED,
        (
            _needed("Reference", _REFERENCE, _REFERENCE_ROW),
            _needed(f"{own}Account", _ACCOUNT, _LIMITS),
            _needed(f"{own}Name", _NAME, _LIMITS),
            *_HEAD_OF_BATCH,
            RowsRule("Item", rows, _BATCH_ROW, 1, _LIST_MOST, MALFORMED),
        ),
        (
            own_account(f"{own}Account", _OPERATIONS, NOT_OWN),
            own_name(f"{own}Account", f"{own}Name", _OPERATIONS, NOT_ALLOWED),
            row_totals("Item", "Amount", "Count", "Sum", _BATCH_ROW),
            no_row_twice("Item", "Reference", _REFERENCE_ROW),
        ),
    )


_ITEM_PAID: Final = (_needed("Reference", _REFERENCE, _REFERENCE_ROW), *_PARTY, *_MONEY, *_WAY)
_ITEM_CLAIMED: Final = (
    _needed("Reference", _REFERENCE, _REFERENCE_ROW),
    _needed("Agreement", text(34, charset="utf-8"), _OPERATIONS),
    _needed("DebtorAccount", _ACCOUNT, _LIMITS),
    _needed("DebtorName", _NAME, _LIMITS),
    *_MONEY,
    FieldRule("Purpose", text(140, charset="utf-8"), _LIMITS),
)
_MOVED_TO: Final[tuple[TogetherRule, ...]] = (
    own_account("CreditorAccount", "README.md 3, Move: both accounts are the customer's own", NOT_OWN),
)

RULES: Final[Mapping[str, RequestRules]] = {
    one.operation: one
    for one in (
        RequestRules(
            "SignOn",
            NOT_ALLOWED,
            (
                _needed("User", text(charset="utf-8"), _OPERATIONS),
                _needed("Password", text(charset="utf-8"), _OPERATIONS),
            ),
        ),
        RequestRules("SignOff", NOT_ALLOWED),
        RequestRules("Ping", NOT_ALLOWED),
        RequestRules("Pay", NOT_ALLOWED, _PAYS, _PAID_BY),
        RequestRules("Move", NOT_ALLOWED, _PAYS, (*_PAID_BY, *_MOVED_TO)),
        RequestRules("Fate", NOT_ALLOWED, (_needed("Reference", _REFERENCE, _REFERENCE_ROW), *_PERIOD), (_IN_ORDER,)),
        _batch("Debtor", _ITEM_PAID, "PayBatch"),
        _batch("Creditor", _ITEM_CLAIMED, "CollectBatch"),
        RequestRules(
            "BatchFate", NOT_ALLOWED, (_needed("Reference", _REFERENCE, _REFERENCE_ROW), *_PERIOD), (_IN_ORDER,)
        ),
        RequestRules(
            "Balance",
            NOT_ALLOWED,
            (*_ASKED, _needed("Currency", text(3, charset="utf-8"), _OPERATIONS), FieldRule("On", _DAY, _TIMES)),
            (_HELD,),
        ),
        RequestRules(
            "Entries",
            NOT_ALLOWED,
            (*_ASKED, _needed("Currency", text(3, charset="utf-8"), _OPERATIONS), *_PERIOD, _CURSOR),
            (_HELD, _IN_ORDER),
        ),
        RequestRules("Returns", NOT_ALLOWED, (*_ASKED, *_PERIOD, _CURSOR), (_HELD, _IN_ORDER)),
        RequestRules(
            "Receipt",
            NOT_ALLOWED,
            (
                *_ASKED,
                _needed("BankDate", _DAY, _TIMES),
                FieldRule("Number", digits(1, 18), _OPERATIONS),
                FieldRule("Reference", _REFERENCE, _REFERENCE_ROW),
                FieldRule("Ticket", digits(1, 18), _OPERATIONS),
            ),
            (_HELD,),
        ),
    )
}
"""The rules of each operation, by its name. The head, the order of elements and the signature are judged in twin.py."""

SIGNATURE_ROW: Final = "README.md 2, Signature"
ELEMENTS_ROW: Final = _OPERATIONS
