"""The rules of 兴业银行 for batches, payrolls and collections, transcribed from the bank's page (cib.md 4.6 to 4.8)."""

from __future__ import annotations

from typing import Final

from protocols.banks.cib.twin_rules_parts import (
    AMOUNT,
    AMOUNT_REFUSED,
    BANK_NUMBER,
    COUNT,
    LINE,
    LINES,
    LINES_WRONG,
    LINES_WRONG_TOO,
    MALFORMED,
    NAME_DIFFERS,
    NO_PERMISSION,
    OTHER_ACCOUNT,
    TOTALS_DIFFER,
    TRNUID,
    WHOLE_LINE,
    YES_NO,
    due_day,
    due_within,
    named_here,
    needed,
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
    RowsRule,
    RuleKind,
    TogetherRule,
    ValueForm,
    anything,
    digits,
    each_row,
    no_row_twice,
    one_of,
    own_account,
    own_name,
    pattern,
    row_totals,
    text,
    value,
)

_REALTIME: Final = "cib.md 4.6 RBATCHTRSFRTRNRQ"
_ASYNC: Final = "cib.md 4.6 ASYNBATCHTRSFRTRNRQ"
_PAYROLL: Final = "cib.md 4.7 RPAYOFFTRNRQ"
_COLLECTION: Final = "cib.md 4.8 GATHERTRNRQ"
_TOTALS_ROW: Final = "cib.md 5: 51027 totals differ"
_OWN_ROW: Final = "cib.md 5: 2005 no permission"
_DESCRIPTIONS: Final = ("006", "022", "047", "048", "008", "007", "813", "080", "605", "747")
_PAYROLL_AT: Final = "RPAYOFFRQ/RPAYOFFINFO"
_CARDS: Final = f"{_PAYROLL_AT}/RPAYOFFLIST/RPAYOFF"
_GATHER_AT: Final = "GATHERRQ/GATHERINFO"
_DEBITS: Final = f"{_GATHER_AT}/PAYINFO"


def _of_own(at: str) -> tuple[TogetherRule, ...]:
    """The own account is the customer's, and has the name that is stated."""
    return (
        own_account(f"{at}/ACCTID", _OWN_ROW, NO_PERMISSION, reconstructed=True),
        own_name(f"{at}/ACCTID", f"{at}/NAME", "cib.md 2, the refused sample", NAME_DIFFERS, reconstructed=True),
    )


# ---- batches ---------------------------------------------------------------------------------------------------------


def _batch_head(source: str, kinds: ValueForm, *, reconstructed: bool) -> tuple[FieldRule, ...]:
    """The elements before the lines. The page does not mark which of them may be left out."""
    return (
        TRNUID,
        needed("RQBODY/TITLE", text(), f"{source}, TITLE", reconstructed=True),
        *own_side("RQBODY/ACCTFROM", source),
        needed("RQBODY/BIZTYPE", kinds, f"{source}, BIZTYPE"),
        needed("RQBODY/TOTALCOUNT", COUNT, f"{source}, TOTALCOUNT", reconstructed=reconstructed),
        needed(
            "RQBODY/TOTALAMOUNT",
            AMOUNT,
            f"{source}, TOTALAMOUNT; 5: 2 decimals",
            AMOUNT_REFUSED,
            reconstructed=reconstructed,
        ),
        FieldRule("RQBODY/CHEQUENUM", anything, f"{source}, CHEQUENUM", reconstructed=reconstructed),
        FieldRule("RQBODY/CURSYM", one_of("RMB"), "cib.md 5: currency RMB in payments"),
        FieldRule("RQBODY/PURPOSE", text(60), f"{source}, PURPOSE; 4.3: 60 bytes", True, None, True),
        due_day("RQBODY/DTDUE", f"{source}, DTDUE; 4.3: never empty", reconstructed=reconstructed),
        FieldRule("RQBODY/MEMO", text(60), f"{source}, MEMO; 4.3: 60", reconstructed=True),
    )


_REALTIME_LINE: Final = (
    needed("INDX", digits(1, 5), f"{_REALTIME}, INDX(5)", LINES_WRONG_TOO),
    *other_side("ACCTTO", _REALTIME, reconstructed=False),
    needed("TRNAMT", AMOUNT, f"{_REALTIME}, TRNAMT; 5: 2 decimals", AMOUNT_REFUSED),
    FieldRule("USE", text(60), f"{_REALTIME}, USE(60)"),
    FieldRule("REMARK", text(50), f"{_REALTIME}, REMARK(50)"),
)


def _line_elsewhere(fields: FieldsOf) -> bool:
    return value(fields, "兴业") == "N"


_ELEVEN: Final = pattern(r"(?:[^|]*\|){11}", "does not have eleven '|'", "应有 11 个“|”")
_NUMBER, _ACCOUNT, _NAME, _INSIDE, _LOCAL, _BANKNUM, _BANK, _CITY, _AMOUNT, _USE, _REMARK = LINE
_ASYNC_LINE: Final = (
    FieldRule(WHOLE_LINE, _ELEVEN, f"{_ASYNC}, 11 '|'", True, LINES_WRONG, rule=RuleKind.FRAME),
    needed(_NUMBER, digits(1, 5), f"{_ASYNC}, 序号", LINES_WRONG),
    needed(_ACCOUNT, OTHER_ACCOUNT, f"{_ASYNC}, 收款账号; 4.3 ACCTTO/ACCTID(32)", LINES_WRONG),
    needed(_NAME, text(50), f"{_ASYNC}, 收款人名称; 4.3 NAME(50)", LINES_WRONG),
    needed(_INSIDE, YES_NO, f"{_ASYNC}, Y/N兴业", LINES_WRONG),
    needed(_LOCAL, YES_NO, f"{_ASYNC}, Y/N同城", LINES_WRONG),
    FieldRule(_BANKNUM, BANK_NUMBER, f"{_ASYNC}, 行号; 4.3 BANKNUM(12)", False, LINES_WRONG),
    FieldRule(_BANK, text(50), f"{_ASYNC}, 行名; 4.3 BANKDESC(50)", _line_elsewhere, LINES_WRONG),
    FieldRule(_CITY, text(30), f"{_ASYNC}, 地址; 4.3 CITY(30)", False, LINES_WRONG, True),
    needed(_AMOUNT, AMOUNT, f"{_ASYNC}, 金额; 5: 2 decimals", LINES_WRONG),
    FieldRule(_USE, text(60), f"{_ASYNC}, 用途; 4.6 USE(60)", False, LINES_WRONG, True),
    FieldRule(_REMARK, text(50), f"{_ASYNC}, 备注; 4.6 REMARK(50)", False, LINES_WRONG, True),
)


def _stated_size(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    stated, found = value(fields, f"{LINES}@SIZE"), len(fields.rows(LINES))
    if stated.lstrip("0") == str(found):
        return None
    return FieldContradiction(
        f"{LINES}@SIZE", stated, f"is not the number of lines, {found}", f"与明细行数 {found} 不符"
    )


def _other_bank_named(rows: str, inside: str, bank: str, refusal: BankRefusal) -> TogetherRule:
    source = "cib.md 4.3, BANKDESC (must not contain 兴业银行 if other bank)"
    rule = TogetherRule(lambda row, _books: named_here(row, inside, bank), source, refusal=refusal)
    return each_row(rows, rule)


_REALTIME_RULES: Final = RequestRules(
    "RBATCHTRSFRTRN",
    MALFORMED,
    (
        *_batch_head(_REALTIME, one_of("0", "1", "2", "3"), reconstructed=False),
        RowsRule("RQBODY/XFERINFO", _REALTIME_LINE, f"{_REALTIME}, up to 100", 1, 100, LINES_WRONG_TOO),
    ),
    (
        *_of_own("RQBODY/ACCTFROM"),
        due_within("RQBODY/DTDUE", 30, f"{_REALTIME}, DTDUE (up to 30 d)"),
        no_row_twice("RQBODY/XFERINFO", "INDX", f"{_REALTIME}, INDX", LINES_WRONG_TOO, reconstructed=True),
        _other_bank_named("RQBODY/XFERINFO", "ACCTTO@INTERBANK", "ACCTTO/BANKDESC", LINES_WRONG_TOO),
        row_totals("RQBODY/XFERINFO", "TRNAMT", "RQBODY/TOTALCOUNT", "RQBODY/TOTALAMOUNT", _TOTALS_ROW, TOTALS_DIFFER),
    ),
)
_ASYNC_RULES: Final = RequestRules(
    "ASYNBATCHTRSFRTRN",
    MALFORMED,
    (
        *_batch_head(_ASYNC, one_of("0", "1"), reconstructed=True),
        needed(f"{LINES}@SIZE", COUNT, f'{_ASYNC}, SIZE="n"', LINES_WRONG),
        RowsRule(LINES, _ASYNC_LINE, f"{_ASYNC}, up to 100", 1, 100, LINES_WRONG),
    ),
    (
        *_of_own("RQBODY/ACCTFROM"),
        due_within("RQBODY/DTDUE", 30, f"{_REALTIME}, DTDUE (up to 30 d)", reconstructed=True),
        TogetherRule(_stated_size, f'{_ASYNC}, SIZE="n"', refusal=LINES_WRONG),
        no_row_twice(LINES, _NUMBER, f"{_ASYNC}, 序号", LINES_WRONG, reconstructed=True),
        _other_bank_named(LINES, _INSIDE, _BANK, BankRefusal("60010", "明细有误")),
        row_totals(LINES, _AMOUNT, "RQBODY/TOTALCOUNT", "RQBODY/TOTALAMOUNT", _TOTALS_ROW, TOTALS_DIFFER),
    ),
)


# ---- payrolls --------------------------------------------------------------------------------------------------------

_CARD: Final = (
    needed("INDX", digits(1, 10), f"{_PAYROLL}, INDX(10)"),
    needed("ACCTNAME", text(20), f"{_PAYROLL}, ACCTNAME(20)"),
    needed("ACCTID", text(18), f"{_PAYROLL}, ACCTID(18)"),
    needed("TRNAMT", AMOUNT, f"{_PAYROLL}, TRNAMT; 5: 2 decimals", AMOUNT_REFUSED),
)
_PAYROLL_RULES: Final = RequestRules(
    "RPAYOFFTRN",
    MALFORMED,
    (
        TRNUID,
        *own_side(f"{_PAYROLL_AT}/ACCTFROM", _PAYROLL),
        needed(f"{_PAYROLL_AT}/TITLE", text(30), f"{_PAYROLL}, TITLE(30)"),
        needed(f"{_PAYROLL_AT}/DESCRIPTION", one_of(*_DESCRIPTIONS), f"{_PAYROLL}, DESCRIPTION"),
        needed(f"{_PAYROLL_AT}/TOTALCOUNT", COUNT, f"{_PAYROLL}, TOTALCOUNT"),
        needed(f"{_PAYROLL_AT}/TOTALAMOUNT", AMOUNT, f"{_PAYROLL}, TOTALAMOUNT; 5: 2 decimals", AMOUNT_REFUSED),
        FieldRule(f"{_PAYROLL_AT}/CHEQUENUM", anything, f"{_PAYROLL}, CHEQUENUM"),
        due_day(f"{_PAYROLL_AT}/DTDUE", f"{_PAYROLL}, DTDUE; 4.3: never empty"),
        FieldRule(f"{_PAYROLL_AT}/REMARK", text(50), f"{_PAYROLL}, REMARK(50)"),
        RowsRule(_CARDS, _CARD, f"{_PAYROLL}, up to 300", 1, 300),
    ),
    (
        *_of_own(f"{_PAYROLL_AT}/ACCTFROM"),
        due_within(f"{_PAYROLL_AT}/DTDUE", 29, f"{_PAYROLL}, DTDUE (up to 29 d)"),
        no_row_twice(_CARDS, "INDX", f"{_PAYROLL}, INDX", reconstructed=True),
        row_totals(
            _CARDS, "TRNAMT", f"{_PAYROLL_AT}/TOTALCOUNT", f"{_PAYROLL_AT}/TOTALAMOUNT", _TOTALS_ROW, TOTALS_DIFFER
        ),
    ),
)


# ---- collections -----------------------------------------------------------------------------------------------------


def _other_bank_pays(row: FieldsOf) -> bool:
    return value(row, "PAYMODE") == "1"


_DEBIT: Final = (
    needed("INDX", digits(1, 8), f"{_COLLECTION}, INDX(8)"),
    needed("CONTRACTID", text(60), f"{_COLLECTION}, CONTRACTID(60)"),
    FieldRule("ACCTFROM/ACCTID", OTHER_ACCOUNT, f"{_COLLECTION}, ACCTFROM; 4.3: 32", True, None, True),
    FieldRule("ACCTFROM/NAME", text(50), f"{_COLLECTION}, ACCTFROM; 4.3: 50", True, None, True),
    FieldRule("ACCTFROM/BANKDESC", text(50), f"{_COLLECTION}, PAYMODE 1 小额跨行", _other_bank_pays, None, True),
    FieldRule("ACCTFROM/BANKNUM", BANK_NUMBER, f"{_COLLECTION}, PAYMODE 1 小额跨行", _other_bank_pays, None, True),
    needed("PAYMODE", one_of("0", "1", "2"), f"{_COLLECTION}, PAYMODE(0本行 1小额跨行 2自缴)"),
    needed("APPLYAMT", AMOUNT, f"{_COLLECTION}, APPLYAMT; 5: 2 decimals", AMOUNT_REFUSED),
    FieldRule("PURPOSE", text(30), f"{_COLLECTION}, PURPOSE(30)"),
    FieldRule("BIZCODE1", anything, f"{_COLLECTION}, BIZCODE1"),
    FieldRule("BIZCODE2", anything, f"{_COLLECTION}, BIZCODE2"),
)
_COLLECTION_RULES: Final = RequestRules(
    "GATHERTRN",
    MALFORMED,
    (
        TRNUID,
        FieldRule(f"{_GATHER_AT}/ACCTTO/ACCTID", text(18), f"{_COLLECTION}, ACCTTO>ACCTID; 4.3: 18", True, None, True),
        needed(f"{_GATHER_AT}/FIRMCODE", text(4), f"{_COLLECTION}, FIRMCODE(4)"),
        needed(f"{_GATHER_AT}/BIZCODE", digits(5), f"{_COLLECTION}, BIZCODE(5, 00100 to 09001)"),
        FieldRule(f"{_GATHER_AT}/SUMM", anything, f"{_COLLECTION}, SUMM"),
        needed(f"{_GATHER_AT}/LIMITDAYS", one_of("1", "2", "3"), f"{_COLLECTION}, LIMITDAYS(1-3)"),
        *(
            FieldRule(f"{_GATHER_AT}/{name}", anything, f"{_COLLECTION}, {name}")
            for name in ("TITLE", "MEMO", "TRNTYPE", "CHEQUENUM")
        ),
        RowsRule(_DEBITS, _DEBIT, f"{_COLLECTION}, PAYINFO", 1),
    ),
    (
        own_account(f"{_GATHER_AT}/ACCTTO/ACCTID", _OWN_ROW, NO_PERMISSION, reconstructed=True),
        no_row_twice(_DEBITS, "INDX", f"{_COLLECTION}, INDX", reconstructed=True),
    ),
)

BUNDLE_RULES: Final = (_REALTIME_RULES, _ASYNC_RULES, _PAYROLL_RULES, _COLLECTION_RULES)
