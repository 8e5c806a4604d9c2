"""The requests that the front end takes, function by function, transcribed from the bank's page. The adapter never
reads it. Those that move money are in twin_rules_orders.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from protocols.banks.cmb.twin_rules_forms import (
    AGENCY,
    BALANCE,
    BRANCHES,
    BUSCOD,
    CLAIMS,
    DAY,
    DETAILS,
    ENVELOPE,
    HELPERS,
    KINDS,
    NO_ACCOUNT,
    NOT_ASKED,
    NOT_LOGGED_IN,
    NOT_TAKEN,
    NOTICES,
    RECEIPTS,
    STATUS,
    TYPES,
    WAGES,
    YURREF,
    account,
    ascii_text,
    asks_about_own,
    each,
    either,
    gbk_text,
    guess,
    may,
    mode,
    needs,
    number,
    once,
    period,
    spans,
)
from protocols.banks.cmb.twin_rules_orders import MONEY_RULES
from protocols.judge import (
    FieldRule,
    RequestRules,
    RowsRule,
    RuleKind,
    amount,
    days_in_order,
    digits,
    one_of,
    own_account,
    pattern,
)

_INFO: Final = (
    FieldRule("INFO/LGNNAM", gbk_text(), ENVELOPE, required=True, refusal=NOT_LOGGED_IN, rule=RuleKind.HEADER),
    FieldRule("INFO/DATTYP", one_of("2"), ENVELOPE, required=True, rule=RuleKind.HEADER, reconstructed=True),
)


# ---- questions ----

BRANCH: Final = FieldRule("BBKNBR", digits(2), BRANCHES, reconstructed=True)
_ACCOUNT: Final = account("ACCNBR", BALANCE)
PERIOD: Final = (needs("BGNDAT", DAY, TYPES), needs("ENDDAT", DAY, TYPES))
_QUESTIONS: Final = (
    RequestRules(
        "NTQRYSTY",
        NOT_TAKEN,
        once(
            "NTQRYSTYX1",
            needs("BUSCOD", BUSCOD, STATUS),
            needs("YURREF", YURREF, STATUS),
            *PERIOD,
            may("RSV50Z", gbk_text(50), STATUS),
        ),
        spans("NTQRYSTYX1", 7, STATUS),
    ),
    RequestRules(
        "NTQRYSTN",
        NOT_TAKEN,
        once(
            "NTQRYSTNY1",
            needs("BUSCOD", BUSCOD, STATUS),
            *mode(may("BUSMOD", ascii_text(), STATUS)),
            *PERIOD,
            needs("DATFLG", one_of("A", "B"), STATUS),
        ),
        spans("NTQRYSTNY1", 7, STATUS),
    ),
    RequestRules("NTSTLINF", NOT_TAKEN, (RowsRule("NTSTLINFX", number(STATUS), STATUS, 1),)),
    RequestRules("GetNewNotice", NOT_TAKEN),
    RequestRules(
        "GetHisNoticeEX",
        NOT_TAKEN,
        once(
            "DCHISMSGX",
            guess("LSTNBR", ascii_text()),
            needs("RECNUM", digits(1, 4), NOTICES),
            needs(
                "RECNUM",
                pattern("0*([1-9][0-9]{2}|1[0-9]{3}|2000)", "is not 100 to 2000", "不在 100 至 2000 之间"),
                NOTICES,
            ),
        ),
    ),
    RequestRules(
        "GetBatchPayOprRes", NOT_TAKEN, once("SDQPYRSTX", needs("RSTSET", ascii_text(), "cmb.md A2, 31-1500 lines"))
    ),
    RequestRules(
        "NTAGCINY",
        NOT_TAKEN,
        once(
            "NTAGCINYX1",
            guess("BUSCOD", BUSCOD, AGENCY, required=True),
            needs("YURREF", YURREF, AGENCY),
            guess("BGNDAT", DAY, AGENCY),
            guess("ENDDAT", DAY, AGENCY),
        ),
        (days_in_order("NTAGCINYX1/BGNDAT", "NTAGCINYX1/ENDDAT", AGENCY, reconstructed=True),),
    ),
    RequestRules(
        "NTAGDINF",
        NOT_TAKEN,
        once(
            "NTAGDINFY1",
            *number(AGENCY),
            may("BTHNBR", ascii_text(), AGENCY),
            may("TRXSEQ", digits(1, 8), AGENCY, reconstructed=True),
            may("HISTAG", ascii_text(), AGENCY),
        ),
    ),
    RequestRules("GetAgentDetail", NOT_TAKEN, once("SDKATDQYX", *number(AGENCY))),
    RequestRules(
        "NTAGDRFD",
        NOT_TAKEN,
        once(
            "NTAGDRFDY1",
            guess("BBKNBR", digits(2), AGENCY, required=True),
            guess("ACCNBR", ascii_text(35), AGENCY, required=True),
            guess("TRSTYP", one_of(*WAGES, *CLAIMS), KINDS, required=True),
            guess("BGNDAT", DAY, AGENCY, required=True),
            guess("ENDDAT", DAY, AGENCY, required=True),
            *number(AGENCY, required=False),
            guess("CTNKRY", ascii_text(80), AGENCY),
            guess("RSV50Z", gbk_text(50), AGENCY),
        ),
        (
            days_in_order("NTAGDRFDY1/BGNDAT", "NTAGDRFDY1/ENDDAT", AGENCY, reconstructed=True),
            own_account("NTAGDRFDY1/ACCNBR", AGENCY, NOT_ASKED, reconstructed=True),
        ),
    ),
    RequestRules("ListMode", NOT_TAKEN, once("SDKMDLSTX", needs("BUSCOD", BUSCOD, HELPERS))),
    RequestRules(
        "NTQADINF",
        NOT_TAKEN,
        (RowsRule("NTQADINFX", (BRANCH, *_ACCOUNT), BALANCE, 1, 30),),
        (each("NTQADINFX", asks_about_own, "cmb.md 9.2, FAAQ086 CSAB051", NO_ACCOUNT),),
    ),
    RequestRules(
        "SDKNTQABINF",
        NOT_TAKEN,
        once("NTQABINFY", BRANCH, *_ACCOUNT, *PERIOD),
        (*spans("NTQABINFY", 31, BALANCE), own_account("NTQABINFY/ACCNBR", BALANCE, NOT_ASKED, reconstructed=True)),
    ),
    RequestRules(
        "GetTransInfoEX",
        NOT_TAKEN,
        once(
            "SDKRBPTRSX",
            either("BBKNBR", "SDKRBPTRSX/C_BBKNBR", digits(2), DETAILS),
            guess("C_BBKNBR", gbk_text(62), DETAILS),
            *_ACCOUNT,
            needs("TRSDAT", DAY, DETAILS),
            may("TRSSEQ", digits(1, 9), DETAILS),
        ),
        (own_account("SDKRBPTRSX/ACCNBR", DETAILS, NOT_ASKED, reconstructed=True),),
    ),
    RequestRules(
        "SDKCSFDFBRT",
        NOT_TAKEN,
        once(
            "CSRRCFDFY0",
            guess("EACNBR", ascii_text(35), RECEIPTS, required=True),
            guess("BEGDAT", DAY, RECEIPTS, required=True),
            guess("ENDDAT", DAY, RECEIPTS, required=True),
            guess("RRCFLG", one_of("1", "2"), "cmb.md 9.6, rrcflg 1 unprinted/2 printed", required=True),
            guess("BEGAMT", amount(13, 2, zero=True), RECEIPTS),
            guess("ENDAMT", amount(13, 2, zero=True), RECEIPTS),
            guess("RRCCOD", ascii_text(), RECEIPTS),
        ),
        (
            *period("CSRRCFDFY0/BEGDAT", "CSRRCFDFY0/ENDDAT", 31, RECEIPTS, reconstructed=True),
            own_account("CSRRCFDFY0/EACNBR", RECEIPTS, NOT_ASKED, reconstructed=True),
        ),
    ),
)

RULES: Final[Mapping[str, RequestRules]] = {
    one.operation: replace(one, fields=(*_INFO, *one.fields)) for one in (*MONEY_RULES, *_QUESTIONS)
}
"""The rules of each function, by its FUNNAM. The transport and the envelope are judged in twin_reading.py."""

INTERFACES: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(part for field in rules.fields for part in [field.place.partition("/")[0]] if part != "INFO")
    for name, rules in RULES.items()
}
"""The interface elements that each function takes."""
