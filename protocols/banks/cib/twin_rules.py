"""The rules of 兴业银行 for each field of a request, transcribed from the bank's page (cib.md). The adapter never reads
them.

Here are the log-on, single payments and enquiries. Batches, payrolls and collections are in twin_rules_bundles.py,
questions about accounts in twin_rules_accounts.py, the order of elements in twin_shape.py. `RULES` has every operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from protocols.banks.cib.twin_rules_accounts import ACCOUNT_RULES
from protocols.banks.cib.twin_rules_bundles import BUNDLE_RULES
from protocols.banks.cib.twin_rules_parts import (
    AMOUNT,
    AMOUNT_REFUSED,
    MALFORMED,
    NAME_DIFFERS,
    NO_PERMISSION,
    TRNUID,
    TRNUID_ROW,
    Check,
    due_day,
    due_within,
    needed,
    other_bank_named,
    other_side,
    own_side,
)
from protocols.judge import (
    BankRefusal,
    FieldContradiction,
    FieldRule,
    FieldsOf,
    HeldAccounts,
    RequestRules,
    RuleKind,
    TogetherRule,
    anything,
    moment,
    one_of,
    own_account,
    own_name,
    text,
    value,
)

_SAMPLE: Final = "cib.md 2, the sample request"
_CREDENTIALS: Final = "cib.md 1: credentials in every message"
_PAY: Final = "cib.md 4.3 XFERTRNRQ"
_POOL: Final = "cib.md 4.5 XPMTTRNRQ"
_FAST: Final = "cib.md 4.3 ICTRANSFERTRNRQ"
_ENQUIRY: Final = "cib.md 4.4 XFERINQTRNRQ"
_CORE: Final = "cib.md 4.4 INQSTATETRNRQ"
_OWN_ROW: Final = "cib.md 5: 2005 no permission"
_REFUSED_SAMPLE: Final = "cib.md 2: 2002 账号与核心户名不符"
_SUPER_MOST: Final = Decimal(50_000)
_DUE_DAYS: Final = 15

NO_OPERATOR: Final = BankRefusal("2000", "操作员不存在")
OTHER_CERTIFICATE: Final = BankRefusal("2000", "证书不符")
LOG_ON_FAILED: Final = BankRefusal("15500", "登录失败")
LOG_ON_MALFORMED: Final = BankRefusal("2000", "报文格式错误", reconstructed=True)
NO_SUCH_OPERATION: Final = BankRefusal("2000", "不支持的交易", reconstructed=True)
NO_FOX: Final = BankRefusal("400", "Bad Request", reconstructed=True)
"""HTTP 400: a request that is no POST of application/x-fox."""


def _without_key(fields: FieldsOf) -> bool:
    return not value(fields, "USERKEY")


LOG_ON: Final = RequestRules(
    "SONRQ",
    LOG_ON_MALFORMED,
    (
        needed("DTCLIENT", moment("%Y-%m-%d %H:%M:%S"), _SAMPLE, reconstructed=True),
        needed("CID", text(), _CREDENTIALS),
        FieldRule("USERID", text(), _CREDENTIALS, _without_key),
        FieldRule("USERPASS", anything, _CREDENTIALS, _without_key, LOG_ON_FAILED),
        FieldRule("GENUSERKEY", one_of("Y", "N"), "cib.md 1, session"),
        FieldRule("USERKEY", anything, "cib.md 1, session"),
        FieldRule("SESSCOOKIE", anything, "cib.md 1, session"),
        needed("LANGUAGE", one_of("CHS"), _SAMPLE, reconstructed=True),
        needed("APPID", one_of("XYFIB"), _SAMPLE, reconstructed=True),
        needed("APPVER", one_of("1000"), _SAMPLE, reconstructed=True),
    ),
)
"""The rules of the log-on that stands in every message."""


# ---- one payment -----------------------------------------------------------------------------------------------------


def _info(at: str, source: str) -> tuple[FieldRule, ...]:
    """The fields of XFERINFO."""
    return (
        *own_side(f"{at}/ACCTFROM", source),
        *other_side(f"{at}/ACCTTO", source, way=f"{at}/PMTMODE"),
        FieldRule(f"{at}/CHEQUENUM", anything, f"{source}, CHEQUENUM?"),
        FieldRule(f"{at}/CURSYM", one_of("RMB"), "cib.md 5: currency RMB in payments"),
        needed(f"{at}/TRNAMT", AMOUNT, f"{source}, TRNAMT(17,2); 5: amounts yuan, 2 decimals", AMOUNT_REFUSED),
        FieldRule(f"{at}/PMTMODE", one_of("SUPER", "REAL_TIME"), f"{source}, PMTMODE?"),
        needed(f"{at}/PURPOSE", text(60), f"{source}, PURPOSE (60 bytes, mandatory)"),
        due_day(f"{at}/DTDUE", f"{source}, DTDUE? (never empty)"),
        FieldRule(f"{at}/MEMO", text(60), f"{source}, MEMO?(60)"),
    )


def _paid(at: str, source: str) -> tuple[TogetherRule, ...]:
    """The rules over several fields of XFERINFO."""
    own, other = f"{at}/ACCTFROM", f"{at}/ACCTTO"
    return (
        own_account(f"{own}/ACCTID", _OWN_ROW, NO_PERMISSION, reconstructed=True),
        own_name(f"{own}/ACCTID", f"{own}/NAME", _REFUSED_SAMPLE, NAME_DIFFERS),
        TogetherRule(_holder_named(other), _REFUSED_SAMPLE, RuleKind.BOOKS, NAME_DIFFERS),
        other_bank_named(other, f"{source}, BANKDESC (must not contain 兴业银行 if other bank)"),
        TogetherRule(_super_limit(at), f"{source}, PMTMODE (SUPER up to 50,000)"),
        due_within(f"{at}/DTDUE", _DUE_DAYS, f"{source}, DTDUE (future, up to 15 days)"),
    )


def _holder_named(at: str) -> Check:
    """A payee whose account is said to be at this bank, and is, must have the name of its holder."""

    def check(fields: FieldsOf, books: HeldAccounts) -> FieldContradiction | None:
        holder, stated = books.holder_of(value(fields, f"{at}/ACCTID")), value(fields, f"{at}/NAME")
        if value(fields, f"{at}@INTERBANK") != "Y" or not holder or stated == holder:
            return None
        return FieldContradiction(f"{at}/NAME", stated, "is not the name of the account's holder", "与账户户名不符")

    return check


def _super_limit(at: str) -> Check:
    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated = value(fields, f"{at}/TRNAMT")
        if value(fields, f"{at}/PMTMODE") != "SUPER" or Decimal(stated) <= _SUPER_MOST:
            return None
        return FieldContradiction(f"{at}/TRNAMT", stated, "is more than SUPER carries", "超过超级网银限额 50,000")

    return check


# ---- the cash pool ---------------------------------------------------------------------------------------------------

_POOL_AT: Final = "XMPTRQ/XFERINFO"
_CENTRE: Final = "XMPTRQ/FUNDACCT"


def _pool_account(source: str, *, always: bool) -> tuple[FieldRule, ...]:
    def stands(fields: FieldsOf) -> bool:
        return always or bool(fields.rows(_CENTRE))

    return (
        FieldRule(f"{_CENTRE}/ACCTID", text(18), f"{source}, FUNDACCT; 4.3: 18", stands, None, True),
        FieldRule(f"{_CENTRE}/XPMTTYPE", anything, f"{source}, XPMTTYPE?"),
    )


def _centre_takes_part(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    centre = value(fields, f"{_CENTRE}/ACCTID")
    sides = (value(fields, f"{_POOL_AT}/ACCTFROM/ACCTID"), value(fields, f"{_POOL_AT}/ACCTTO/ACCTID"))
    if value(fields, f"{_CENTRE}/XPMTTYPE") != "1" or centre in sides:
        return None
    return FieldContradiction(
        f"{_CENTRE}/ACCTID", centre, "is neither payer nor payee of a plain transfer", "不是普通划转的任何一方"
    )


# ---- enquiries -------------------------------------------------------------------------------------------------------

_OTHER_TRNUID: Final = f"{_ENQUIRY}: own TRNUID must differ"


def _own_trnuid(place: str) -> TogetherRule:
    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated = value(fields, "TRNUID")
        if stated != value(fields, place):
            return None
        return FieldContradiction("TRNUID", stated, "is that of the instruction", "不能与原指令的TRNUID相同")

    return TogetherRule(check, _OTHER_TRNUID)


def _enquiry(operation: str, source: str) -> RequestRules:
    place = "XFERINQRQ/CLIENTREF"
    fields = (TRNUID, needed(place, text(30), f"{source}, CLIENTREF (the original TRNUID); {TRNUID_ROW}"))
    return RequestRules(operation, MALFORMED, fields, (_own_trnuid(place),))


def _without_serial(fields: FieldsOf) -> bool:
    return not value(fields, "INQSTATECOND/SRVRID")


# ---- all of them -----------------------------------------------------------------------------------------------------

_PAY_AT: Final = "XFERRQ/XFERINFO"
RULES: Final[Mapping[str, RequestRules]] = {
    one.operation: one
    for one in (
        RequestRules("XFERTRN", MALFORMED, (TRNUID, *_info(_PAY_AT, _PAY)), _paid(_PAY_AT, _PAY)),
        RequestRules(
            "XPMTTRN",
            MALFORMED,
            (TRNUID, *_pool_account(_POOL, always=True), *_info(_POOL_AT, _PAY)),
            (
                own_account(f"{_CENTRE}/ACCTID", _OWN_ROW, NO_PERMISSION, reconstructed=True),
                TogetherRule(_centre_takes_part, f"{_POOL}, XPMTTYPE=1: centre and member", reconstructed=True),
                *_paid(_POOL_AT, _PAY),
            ),
        ),
        RequestRules(
            "ICTRANSFERTRN",
            MALFORMED,
            (TRNUID, *_pool_account(_FAST, always=False), *_info(_POOL_AT, _PAY)),
            _paid(_POOL_AT, _PAY),
        ),
        _enquiry("XFERINQTRN", _ENQUIRY),
        _enquiry("ICTRANSFERINQTRN", "cib.md 4.3 ICTRANSFERINQTRNRQ"),
        _enquiry("RPAYOFFINQTRN", "cib.md 4.7 RPAYOFFINQTRN"),
        RequestRules(
            "INQSTATETRN",
            MALFORMED,
            (
                TRNUID,
                FieldRule("INQSTATECOND/SRVRID", anything, f"{_CORE}, SRVRID|CLIENTREF"),
                FieldRule("INQSTATECOND/CLIENTREF", text(30), f"{_CORE}, SRVRID|CLIENTREF", _without_serial),
            ),
            (_own_trnuid("INQSTATECOND/CLIENTREF"),),
        ),
        *BUNDLE_RULES,
        *ACCOUNT_RULES,
    )
}
"""The rules of each operation, by the bank's name of it without RQ."""

ASKED_AGAIN: Final[Mapping[str, RequestRules]] = {
    name: RequestRules(name, MALFORMED, (TRNUID,))
    for name in ("XPMTTRN", "RBATCHTRSFRTRN", "ASYNBATCHTRSFRTRN", "GATHERTRN")
}
"""The operations that ask about themselves, when nothing but the TRNUID stands in them."""
CONTENT: Final[Mapping[str, str]] = {
    "XPMTTRN": "XMPTRQ",
    "RBATCHTRSFRTRN": "RQBODY",
    "ASYNBATCHTRSFRTRN": "RQBODY",
    "GATHERTRN": "GATHERRQ",
}
"""The element without which such an operation is a question."""
