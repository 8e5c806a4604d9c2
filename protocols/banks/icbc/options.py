"""The bank's options in the settings. An option without a default is required."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from protocols.kit.choices import (
    Choices,
    among,
    declared_codes,
    flag,
    one_meaning,
    read_choices,
    seconds,
    table,
    text,
    whole,
)
from protocols.kit.timing import OpeningHours, Timing

CODE_WORDS: Final = ("duplicate", "not_found", "refused", "empty")
"""What a RetCode may be declared to mean, because the bank's own list of them is not public."""


@dataclass(frozen=True, slots=True)
class Options:
    """How this customer uses the bank. Times in seconds; limits of None are not checked before sending.

    `cis` is the group's number (GroupCIS, CIS), `certificate_id` the login's certificate (ID). `probe_account` is an
    own account whose balance is asked for to test the connection to the bank. `own_names` are texts in a payee bank's
    name, and `own_cnaps` beginnings of its 12-digit number, that show that the payee banks here. `cities` gives the
    city (RecCityName) by the beginning of the payee bank's number, by the longest matching one; `default_city` is the
    city of all others. `codes` declares the meanings of RetCodes that are not public; the keys are CODE_WORDS.
    """

    cis: str
    certificate_id: str
    probe_account: str
    bank_code: str = "102"
    version: str = "0.0.1.0"
    host_header: str = "127.0.0.1"
    query_prefix: str = "Q"
    reference_prefix: str = ""
    query_data: str = "plain"
    language_and_zip: bool = False
    check_signed_content: bool = True
    work_date: str = "clock"
    batch_flag: str = "1"
    package_lines: int = 20
    payroll: str = "payper"
    collection_bus_code: str = "022"
    reference_in_ref: bool = False
    same_city: str = "1"
    cities: Mapping[str, str] = field(default_factory=dict)
    default_city: str = ""
    own_names: tuple[str, ...] = ("工商银行", "工行")
    own_cnaps: tuple[str, ...] = ("102",)
    codes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    previous_balance: bool = False
    history_days: int = 90
    history_span_days: int = 30
    not_found_after_s: float = 86_400.0
    max_name_bytes: int | None = None
    max_bank_name_bytes: int | None = None
    max_purpose_bytes: int | None = None
    max_amount_minor: int | None = None
    window: int = 4
    sign_first_byte_s: float = 60.0
    opening: OpeningHours = OpeningHours()
    timing: Timing = Timing(
        probe_every_s=120.0, first_byte_s=120.0, exchange_s=180.0, per_second=5.0, burst=5, first_enquiry_s=5.0
    )

    @property
    def is_new(self) -> bool:
        """Whether the customer uses the newer message version, which adds AcctSeq and similar fields."""
        return self.version == "0.0.1.0"


_CHOICES: Final[Choices] = {
    "cis": (text("[0-9A-Za-z-]{1,20}"), "the group's CIS number as text, up to 20 letters, digits or hyphens"),
    "certificate_id": (text("[0-9A-Za-z._-]{1,64}"), "the id of the login's certificate, such as demo.y.4000"),
    "probe_account": (text("[0-9]{1,32}"), "an own account at this bank as text; its balance is asked as a probe"),
    "bank_code": (text("[0-9a-z]{3,4}"), 'the BankCode that the bank gave you, usually "102"'),
    "version": (among("0.0.0.1", "0.0.1.0"), '"0.0.1.0" (with AcctSeq and the like) or "0.0.0.1" (without)'),
    "host_header": (text("[0-9A-Za-z.:-]{1,255}"), "what stands in the Host header, such as the front end's name"),
    "query_prefix": (text("[0-9A-Z]{1,6}"), "1 to 6 capitals or digits, another one for each gateway of the group"),
    "query_data": (among("plain", "base64"), '"plain" or "base64": how the XML of a question is written in reqData'),
    "language_and_zip": (flag, "true sends Language=zh_CN and zipFlag=0 too, false does not"),
    "check_signed_content": (flag, "true demands that the signature contains the message that was to be signed"),
    "work_date": (among("clock", "balance"), '"clock", or "balance": LastTranDate of a QACCBAL before each payment'),
    "batch_flag": (among("1", "2"), '"1" packages are online (联机), "2" batch'),
    "package_lines": (whole(1, 1000), "1 to 1000 lines a package; ask the bank for its limit"),
    "payroll": (among("payper", "payent", "none"), '"payper", "payent" (as payments to persons), or "none"'),
    "collection_bus_code": (text("[0-9A-Za-z]{0,8}"), "BusCode of collections, up to 8 letters or digits"),
    "reference_in_ref": (flag, "true writes our reference into Ref and reads it there in entries"),
    "previous_balance": (
        flag,
        "true once the bank has confirmed that AccBalance is the closing balance of the calendar day before",
    ),
    "same_city": (among("1", "2"), '"1" or "2", IsSameCity of payments'),
    "cities": (
        table("[0-9]{3,12}", lambda city: isinstance(city, str) and bool(city.strip())),
        'a table of the beginning of a bank number (3 to 12 digits) and its city, {"105100" = "北京"}',
    ),
    "default_city": (lambda value: isinstance(value, str), "the city of payee banks that are in no row of cities"),
    "codes": declared_codes(CODE_WORDS, "(?!0$)[0-9A-Za-z_.-]{1,20}", "RetCodes (never 0)"),
    "history_span_days": (whole(1, 366), "days that one QHISD may span, 1 to 366"),
    "not_found_after_s": (seconds(0.001), "seconds before 'no such package' counts"),
}


def read_options(given: Mapping[str, Any]) -> Options:
    """The options in the settings' table. Raises BadOptions naming the first wrong key and the remedy."""
    options = read_choices("icbc", Options, _CHOICES, given)
    one_meaning(options.codes)
    return options
