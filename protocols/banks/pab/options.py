"""The bank's options in the settings. An option without a default is required."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from protocols.bank import Replay
from protocols.kit.choices import Choices, among, declared_codes, flag, one_meaning, read_choices, text, texts, whole
from protocols.kit.timing import Timing

TODAY_STYLES: Final = ("4008", "4013")
CODE_WORDS: Final = ("duplicate", "refused")
"""What a header code may be declared to mean, because the bank's own list of codes is not public."""


@dataclass(frozen=True, slots=True)
class Options:
    """How this enterprise uses the bank. Times in seconds; limits of None are not checked before sending.

    `own_names` are texts in a payee bank's name, and `own_cnaps` beginnings of its 12-digit number, that show that the
    payee banks here. `agreement` and `agreement_item` are AGREE_NO and BusiType of 4047: payroll and collection are
    offered only with them. `agency_refused` are the values of stt in 4048 that refuse a line, `agency_in_process` those
    of BStt for a batch that is not finished: only the bank knows them, and until they are set such lines stay in doubt.
    `address_flag` is AddrFlag of payments to other banks: 1 same city, 2 another city. `fast_pay_item` is BusiType
    (费项) of fast pay (KHKF03): instant payments are offered only with it; `fast_pay_company` is its CorpId. `sweeps`:
    the message of transfers with the direction sweep or push. `batch_receipts`: whether 401802 is asked for receipts.
    `codes` declares the bank's statements about header codes that codes.toml does not have; its keys are CODE_WORDS.
    """

    enterprise_code: str
    operator: str = "00000"
    serial_prefix: str = "GW"
    reference_prefix: str = ""
    today_lines: str = "4013"
    page_lines: int = 100
    history_days: int = 90
    replay: str = "query_first"
    agreement: str = ""
    agreement_item: str = ""
    agency_refused: tuple[str, ...] = ()
    agency_in_process: tuple[str, ...] = ()
    own_names: tuple[str, ...] = ("平安银行",)
    own_cnaps: tuple[str, ...] = ()
    address_flag: str = "1"
    fast_pay_item: str = ""
    fast_pay_company: str = ""
    sweeps: str = "4004"
    batch_receipts: bool = False
    codes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    max_name_bytes: int | None = None
    max_bank_name_bytes: int | None = None
    max_amount_minor: int | None = None
    window: int = 4
    timing: Timing = Timing(probe_every_s=60.0, per_second=10.0, burst=10, first_enquiry_s=5.0)


_CHOICES: Final[Choices] = {
    "enterprise_code": (text("[0-9]{20}"), "the enterprise's 20 digits (企业银企直连标准代码) as text"),
    "operator": (text("[ -~]{1,5}"), 'up to 5 characters, usually "00000"'),
    "serial_prefix": (text("[0-9A-Za-z]{0,6}"), "up to 6 letters or digits, different for each gateway"),
    "today_lines": (among(*TODAY_STYLES), '"4008" (cursor) or "4013" (page number)'),
    "page_lines": (whole(30, 1000), "30 to 1000 lines a page of 4013"),
    "replay": (
        among(Replay.NEVER.value, Replay.QUERY_FIRST.value),
        '"query_first" or "never"; this bank refuses a repeated voucher, so nothing is replay_safe',
    ),
    "agreement": (text("[ -~]{0,30}"), "number of the payroll or collection agreement (AGREE_NO), or leave it out"),
    "agency_refused": (texts("[0-9A-Za-z]{1,10}"), "a list of the stt values that the bank calls refused"),
    "agency_in_process": (
        lambda value: texts("[0-9A-Za-z]{1,10}")(value) and not {"3", "4"} & set(value),
        "a list of the BStt values that the bank calls in process; 3 and 4 have a meaning already",
    ),
    "agreement_item": (text("[ -~]{0,20}"), "the fee item (费项, BusiType) of that agreement"),
    "fast_pay_item": (text("[0-9A-Za-z]{0,10}"), "the fee item (BusiType) of fast pay, or leave it out"),
    "fast_pay_company": (text("[0-9A-Za-z]{0,32}"), "the company's number (CorpId) in fast pay, or leave it out"),
    "sweeps": (among("4004", "4052"), '"4004" (a payment) or "4052" (the message for groups)'),
    "batch_receipts": (flag, "true asks 401802 for the receipts of a batch's lines"),
    "codes": declared_codes(CODE_WORDS, "(?!000000)[0-9A-Za-z]{1,6}", "codes of up to 6 letters or digits"),
    "address_flag": (among("1", "2"), '"1" same city or "2" another city'),
}


def read_options(given: Mapping[str, Any]) -> Options:
    """The options in the settings' table. Raises BadOptions naming the first wrong key and the remedy."""
    options = read_choices("pab", Options, _CHOICES, given)
    one_meaning(options.codes)
    return options
