"""The rules of requests that move money: payments, transfers, payrolls, collections. They are transcribed from the
bank's page, for the twin.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from protocols.banks.cmb.twin_rules_forms import (
    AGENT,
    BIG,
    BRANCHES,
    BUSCOD,
    CHECKED,
    CLAIMS,
    DAY,
    KEY,
    KINDS,
    MONEY,
    NO_ACCOUNT,
    NOT_ASKED,
    NOT_TAKEN,
    OTHER_MODE,
    PAY,
    REPEATED_REFERENCE,
    TIME,
    TRANSFER,
    TYPES,
    WAGES,
    YES_NO,
    YURREF,
    account,
    ascii_text,
    each,
    either,
    gbk_text,
    given_if,
    guess,
    may,
    mode,
    needs,
    number,
    once,
    payee_is_named,
    pays_another,
    pays_from_own,
)
from protocols.judge import (
    FieldContradiction,
    FieldRule,
    FieldsOf,
    HeldAccounts,
    RequestRules,
    RowsRule,
    RuleKind,
    TogetherRule,
    digits,
    no_row_twice,
    one_of,
    own_account,
    pattern,
    row_totals,
    value,
)

# ---- payments ----


def _other_bank(row: FieldsOf) -> bool:
    return value(row, "BNKFLG") == "N"


_LINE_BEGINS: Final = (
    needs("YURREF", YURREF, KEY),
    may("EPTDAT", DAY, TYPES),
    may("EPTTIM", TIME, TYPES),
    *account("DBTACC", PAY),
    may("DBTBBK", digits(2), BRANCHES, reconstructed=True),
    needs("TRSAMT", MONEY, TYPES),
    needs("CCYNBR", one_of("10"), PAY),
    may("NUSAGE", gbk_text(62), PAY),
    may("BUSNAR", gbk_text(200), PAY),
    *account("CRTACC", PAY),
    guess("CRTFLG", YES_NO),
)
_PAYMENT_LINE: Final = (
    *_LINE_BEGINS,
    needs("BNKFLG", YES_NO, PAY),
    FieldRule("STLCHN", one_of("N", "F"), PAY, required=_other_bank, reconstructed=True),
    FieldRule("CRTNAM", gbk_text(62), PAY, required=lambda row: not value(row, "LRVEAN")),
    may("LRVEAN", gbk_text(200), PAY),
    guess("BRDNBR", ascii_text(30), OTHER_MODE),
    FieldRule("CRTBNK", gbk_text(62), PAY, required=_other_bank),
    FieldRule("CRTADR", gbk_text(62), PAY, required=_other_bank),
    guess("CTYCOD", ascii_text()),
    guess("NTFCH1", ascii_text(40), OTHER_MODE),
    guess("NTFCH2", ascii_text(20), OTHER_MODE),
    guess("CRTSQN", ascii_text(20), OTHER_MODE),
    may("TRSTYP", one_of("100001", "101001", "101002"), PAY),
    may("RCVCHK", one_of("1", "0"), PAY, reconstructed=True),
    may("RSV28Z", gbk_text(28), PAY, reconstructed=True),
)
_PAYMENT: Final = RequestRules(
    "DCPAYMNT",
    NOT_TAKEN,
    (
        *once(
            "SDKPAYRQX",
            needs("BUSCOD", BUSCOD, PAY),
            FieldRule("BUSCOD", one_of("N02031", "N02041"), PAY, reconstructed=True),
            *mode(needs("BUSMOD", ascii_text(), PAY)),
        ),
        RowsRule("DCOPDPAYX", _PAYMENT_LINE, PAY, 1, 1500),
    ),
    (
        no_row_twice("DCOPDPAYX", "YURREF", KEY, REPEATED_REFERENCE, reconstructed=True),
        each("DCOPDPAYX", pays_from_own, "cmb.md 9.2, FAAQ086 CSAB051", NO_ACCOUNT),
        each("DCOPDPAYX", pays_another, PAY, CHECKED),
        each("DCOPDPAYX", payee_is_named, "cmb.md A2, RCVCHK=1 checks name of CMB payee", CHECKED),
    ),
)
_TRANSFERS: Final = RequestRules(
    "DCOPRTRF",
    NOT_TAKEN,
    (
        *once(
            "SDKPAYRQX",
            *mode(either("BUSMOD", "SDKPAYRQX/MODALS", ascii_text(), TRANSFER)),
            may("MODALS", gbk_text(62), TRANSFER),
        ),
        RowsRule("DCOPRTRFX", (*_LINE_BEGINS, guess("CRTBBK", digits(2), BRANCHES)), TRANSFER, 1, 30),
    ),
    (
        no_row_twice("DCOPRTRFX", "YURREF", KEY, REPEATED_REFERENCE, reconstructed=True),
        each("DCOPRTRFX", pays_from_own, "cmb.md 9.2, FAAQ086 CSAB051", NO_ACCOUNT),
        each("DCOPRTRFX", pays_another, TRANSFER, CHECKED),
    ),
)


# ---- payroll and collection ----


def _agent_kind(business: str, kinds: tuple[str, ...]) -> TogetherRule:
    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        place = "SDKATSRQX/TRSTYP"
        stated = value(fields, place)
        if value(fields, "SDKATSRQX/BUSCOD") != business or not stated or stated in kinds:
            return None
        return FieldContradiction(place, stated, f"is no kind of {business}", f"不是 {business} 的交易类型")

    return TogetherRule(check, KINDS, RuleKind.CODE, NOT_TAKEN, reconstructed=True)


_EMPTY: Final = pattern("(?!)", "is not supported and must be empty", "不支持，须为空")
_NAMES_ITS_BANK: Final = FieldRule("EACBNK", gbk_text(62), AGENT, required=_other_bank, reconstructed=True)
_AGENT_REQUEST: Final = RequestRules(
    "AgentRequest",
    NOT_TAKEN,
    (
        *once(
            "SDKATSRQX",
            needs("BUSCOD", one_of("N03010", "N03020", "N03030"), AGENT),
            *mode(either("BUSMOD", "SDKATSRQX/MODALS", ascii_text(), AGENT)),
            may("MODALS", gbk_text(62), AGENT),
            either("TRSTYP", "SDKATSRQX/C_TRSTYP", ascii_text(4), AGENT),
            may("C_TRSTYP", gbk_text(62), AGENT),
            may("EPTDAT", _EMPTY, AGENT),
            *account("DBTACC", AGENT),
            either("BBKNBR", "SDKATSRQX/BANKAREA", digits(2), AGENT),
            may("BANKAREA", gbk_text(62), AGENT),
            needs("SUM", MONEY, AGENT),
            needs("TOTAL", digits(1, 4), AGENT),
            either("CCYNBR", "SDKATSRQX/CURRENCY", one_of("10"), AGENT),
            may("CURRENCY", gbk_text(62), AGENT),
            needs("YURREF", YURREF, KEY),
            may("MEMO", gbk_text(42), AGENT),
            guess("DMANBR", ascii_text(20), OTHER_MODE),
            may("GRTFLG", YES_NO, AGENT),
        ),
        RowsRule(
            "SDKATDRQX",
            (
                *account("ACCNBR", AGENT),
                needs("CLTNAM", gbk_text(62), AGENT),
                needs("TRSAMT", MONEY, AGENT),
                may("BNKFLG", YES_NO, AGENT),
                _NAMES_ITS_BANK,
                guess("EACCTY", gbk_text(62)),
                may("TRSDSP", gbk_text(20), AGENT),
            ),
            AGENT,
            1,
            9999,
        ),
    ),
    (
        row_totals("SDKATDRQX", "TRSAMT", "SDKATSRQX/TOTAL", "SDKATSRQX/SUM", AGENT),
        _agent_kind("N03010", WAGES),
        _agent_kind("N03020", WAGES),
        _agent_kind("N03030", CLAIMS),
        own_account("SDKATSRQX/DBTACC", "cmb.md 9.2, FAAQ086 CSAB051", NOT_ASKED, reconstructed=True),
    ),
)


def _whole(fields: FieldsOf) -> bool:
    return value(fields, "NTAGCAGCX1/TTLNUM").lstrip("0") == "1"


def _whole_ends(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    for place in ("NTAGCAGCX1/BEGTAG", "NTAGCAGCX1/ENDTAG"):
        if _whole(fields) and value(fields, place) != "Y":
            return FieldContradiction(place, value(fields, place), "must be Y in the only part", "只有一批时应为 Y")
    return None


def _later(fields: FieldsOf) -> bool:
    """Whether this is a later part of a batch in several parts."""
    return value(fields, "NTAGCAGCX1/BEGTAG") != "Y"


def _whole_totals() -> TogetherRule:
    rule = row_totals("NTAGCDTLY1", "TRSAMT", "NTAGCAGCX1/TTLCNT", "NTAGCAGCX1/TTLAMT", BIG)
    return replace(rule, check=lambda fields, books: rule.check(fields, books) if _whole(fields) else None)


def _big(operation: str, kinds: tuple[str, ...]) -> RequestRules:
    return RequestRules(
        operation,
        NOT_TAKEN,
        (
            *once("NTBUSMODY", *mode(needs("BUSMOD", ascii_text(), BIG))),
            *once(
                "NTAGCAGCX1",
                needs("BEGTAG", YES_NO, BIG),
                needs("ENDTAG", YES_NO, BIG),
                *number(BIG, required=False),
                needs("TTLAMT", MONEY, BIG),
                needs("TTLCNT", digits(1, 9), BIG),
                needs("TTLNUM", digits(1, 9), BIG),
                needs("CURAMT", MONEY, BIG),
                needs("CURCNT", digits(1, 9), BIG),
                guess("CNVNBR", ascii_text()),
                needs("CCYNBR", one_of("10"), BIG),
                guess("NTFINF", gbk_text()),
                may("BBKNBR", digits(2), BIG),
                *account("ACCNBR", BIG),
                may("CCYMKT", one_of("0", "1", "2"), BIG),
                FieldRule("TRSTYP", one_of(*kinds), KINDS, required=True, reconstructed=True),
                may("NUSAGE", gbk_text(42), BIG),
                may("EPTDAT", DAY, TYPES),
                may("EPTTIM", TIME, TYPES),
                needs("YURREF", YURREF, KEY),
                guess("DMANBR", ascii_text(20), OTHER_MODE),
                guess("GRTFLG", YES_NO, AGENT),
            ),
            RowsRule("NTAGCDTLY1", _BIG_LINE, BIG, 1),
        ),
        (
            given_if(
                "NTAGCAGCX1/REQNBR",
                _later,
                "is empty in the first part, the bank's number later",
                "首批为空，后续批次必填",
                BIG,
            ),
            TogetherRule(_whole_ends, BIG, RuleKind.TOGETHER, NOT_TAKEN),
            row_totals("NTAGCDTLY1", "TRSAMT", "NTAGCAGCX1/CURCNT", "NTAGCAGCX1/CURAMT", BIG),
            _whole_totals(),
            no_row_twice("NTAGCDTLY1", "TRXSEQ", BIG),
            own_account("NTAGCAGCX1/ACCNBR", "cmb.md 9.2, FAAQ086 CSAB051", NOT_ASKED, reconstructed=True),
        ),
    )


_BIG_LINE: Final = (
    needs("TRXSEQ", digits(8), BIG),
    *account("ACCNBR", BIG),
    FieldRule("ACCNAM", gbk_text(62), AGENT, required=True, reconstructed=True),
    needs("TRSAMT", MONEY, BIG),
    may("TRSDSP", gbk_text(42), BIG),
    may("BNKFLG", YES_NO, AGENT),
    replace(_NAMES_ITS_BANK, source=BIG, required=lambda row: _other_bank(row) and not value(row, "RCVBNK")),
    guess("EACCTY", gbk_text(62)),
    may("FSTFLG", YES_NO, BIG),
    guess("RCVBNK", ascii_text(30), OTHER_MODE),
    guess("CPRACT", ascii_text()),
    guess("CPRREF", ascii_text()),
)

MONEY_RULES: Final = (
    _PAYMENT,
    _TRANSFERS,
    _AGENT_REQUEST,
    _big("NTAGCSAL", WAGES),
    _big("NTAGCAPY", WAGES),
    _big("NTAGCACL", CLAIMS),
)
"""The rules of each function that moves money."""
