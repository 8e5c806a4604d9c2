"""The bank's table in the settings: what is known has a value here, the rest is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import time
from typing import Any, Final

from protocols.bank import BadOptions

CODE_WORDS: Final = ("duplicate", "not_found", "refused", "empty")
"""What a RetCode may be declared to mean, because the bank's own list of them is not public."""


@dataclass(frozen=True, slots=True)
class Options:
    """How this customer uses the bank. Times in seconds; limits of None are not checked before sending.

    `cis` is the group's number (GroupCIS, CIS), `certificate_id` the login's certificate (ID). `probe_account` is an
    own account whose balance is asked for to see whether the way to the bank is open. `own_names` are what a payee
    bank's name contains when it is this bank, `own_cnaps` what its 12-digit number begins with. `cities` gives the
    city (RecCityName) by the beginning of the payee bank's number, the longest one that fits; `default_city` is the
    city of all others. `codes` says what RetCodes mean that are not public; the keys are CODE_WORDS.
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
    history_days: int = 90
    history_span_days: int = 30
    not_found_after_s: float = 86_400.0
    max_name_bytes: int | None = None
    max_bank_name_bytes: int | None = None
    max_purpose_bytes: int | None = None
    max_amount_minor: int | None = None
    opens: str = "00:00"
    closes: str = "00:00"
    cut_off: str | None = None
    window: int = 4
    probe_every_s: float = 120.0
    first_byte_s: float = 120.0
    exchange_s: float = 180.0
    sign_first_byte_s: float = 60.0
    per_second: float = 5.0
    burst: int = 5
    first_enquiry_s: float = 5.0

    @property
    def is_new(self) -> bool:
        """Whether the newer message version is spoken, which adds AcctSeq and the like."""
        return self.version == "0.0.1.0"


Check = Callable[[Any], bool]


def _text(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None


def _among(*words: str) -> Check:
    return lambda value: value in words


def _whole(least: int, most: int) -> Check:
    return lambda value: type(value) is int and least <= value <= most


def _seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= 1_000_000


def _flag(value: Any) -> bool:
    return type(value) is bool


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _words(pattern: str) -> Check:
    return lambda value: (
        isinstance(value, (list, tuple))
        and all(isinstance(word, str) and re.fullmatch(pattern, word) for word in value)
    )


def _clock(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("([01][0-9]|2[0-3]):[0-5][0-9]", value, re.ASCII) is not None


def _cities(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, str) and re.fullmatch("[0-9]{3,12}", key) and isinstance(city, str) and city.strip()
        for key, city in value.items()
    )


def _codes(value: Any) -> bool:
    word = _words("[0-9A-Za-z_.-]{1,20}")
    return isinstance(value, Mapping) and value.keys() <= set(CODE_WORDS) and all(
        word(codes) and "0" not in codes for codes in value.values()
    )  # fmt: skip


_BYTES: Final = (_or_none(_whole(1, 1000)), "a number of GBK bytes, or leave it out")
_CHECKS: Final[Mapping[str, tuple[Check, str]]] = {
    "cis": (_text("[0-9A-Za-z]{1,20}"), "the group's CIS number as text, up to 20 letters or digits"),
    "certificate_id": (_text("[0-9A-Za-z._-]{1,64}"), "the id of the login's certificate, such as demo.y.4000"),
    "probe_account": (_text("[0-9]{1,32}"), "an own account at this bank as text; its balance is asked as a probe"),
    "bank_code": (_text("[0-9a-z]{3,4}"), 'the BankCode that the bank gave you, usually "102"'),
    "version": (_among("0.0.0.1", "0.0.1.0"), '"0.0.1.0" (with AcctSeq and the like) or "0.0.0.1" (without)'),
    "host_header": (_text("[0-9A-Za-z.:-]{1,255}"), "what stands in the Host header, such as the front end's name"),
    "query_prefix": (_text("[0-9A-Z]{1,6}"), "1 to 6 capitals or digits, another one for each gateway of the group"),
    "reference_prefix": (_text("[0-9A-Z]{0,6}"), "up to 6 capital letters or digits"),
    "query_data": (_among("plain", "base64"), '"plain" or "base64": how the XML of a question is written in reqData'),
    "language_and_zip": (_flag, "true sends Language=zh_CN and zipFlag=0 too, false does not"),
    "check_signed_content": (_flag, "true demands that the signature contains the message that was to be signed"),
    "work_date": (_among("clock", "balance"), '"clock", or "balance": LastTranDate of a QACCBAL before each payment'),
    "batch_flag": (_among("1", "2"), '"1" packages are online (联机), "2" batch'),
    "package_lines": (_whole(1, 1000), "1 to 1000 lines a package; ask the bank for its limit"),
    "payroll": (_among("payper", "payent", "none"), '"payper", "payent" (as payments to persons), or "none"'),
    "collection_bus_code": (_text("[0-9A-Za-z]{0,8}"), "BusCode of collections, up to 8 letters or digits"),
    "reference_in_ref": (_flag, "true writes our reference into Ref and reads it there in entries"),
    "same_city": (_among("1", "2"), '"1" or "2", IsSameCity of payments'),
    "cities": (_cities, 'a table of the beginning of a bank number (3 to 12 digits) and its city, {"105100" = "北京"}'),
    "default_city": (lambda value: isinstance(value, str), "the city of payee banks that are in no row of cities"),
    "own_names": (_words(".+"), "a list of texts found in the names of this bank's branches"),
    "own_cnaps": (_words("[0-9]{3,12}"), "a list of how this bank's numbers begin, 3 to 12 digits"),
    "codes": (_codes, f"a table of lists of RetCodes under {', '.join(CODE_WORDS)}; 0 is never among them"),
    "history_days": (_whole(1, 3650), "days back that the bank answers about entries, at least 1"),
    "history_span_days": (_whole(1, 366), "days that one QHISD may span, 1 to 366"),
    "not_found_after_s": (_seconds, "seconds before 'no such package' counts"),
    "max_name_bytes": _BYTES,
    "max_bank_name_bytes": _BYTES,
    "max_purpose_bytes": _BYTES,
    "max_amount_minor": (_or_none(_whole(1, 10**17)), "the most fen one order may carry, or leave it out"),
    "opens": (_clock, 'when the bank begins to take orders, as "08:30"; equal to closes: round the clock'),
    "closes": (_clock, 'when the bank stops taking orders, as "17:00"'),
    "cut_off": (_or_none(_clock), 'the last moment for today\'s bank date, as "16:30", or leave it out'),
    "window": (_whole(1, 64), "how many exchanges may run at once, 1 to 64"),
    "probe_every_s": (_seconds, "seconds between probes"),
    "first_byte_s": (_seconds, "seconds to wait for the first byte of an answer"),
    "exchange_s": (_seconds, "seconds one whole exchange may take"),
    "sign_first_byte_s": (_seconds, "seconds to wait for the sign port"),
    "per_second": (_seconds, "requests a second the bank tolerates"),
    "burst": (_whole(1, 10_000), "requests that may go out at once"),
    "first_enquiry_s": (_seconds, "seconds before a payment is first asked about"),
}
assert _CHECKS.keys() == {one.name for one in fields(Options)}
_NEEDED: Final = ("cis", "certificate_id", "probe_account")


def read_options(table: Mapping[str, Any]) -> Options:
    """The options in the settings' table. Raises BadOptions naming the first wrong key and the remedy."""
    for key in table:
        if key not in _CHECKS:
            raise BadOptions(key, f"no such option of icbc; there are {', '.join(sorted(_CHECKS))}")
    for key in _NEEDED:
        if key not in table:
            raise BadOptions(key, _CHECKS[key][1])
    for key, value in table.items():
        check, remedy = _CHECKS[key]
        if not check(value):
            raise BadOptions(key, remedy)
    plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
    plain["cities"] = dict(table.get("cities", {}))
    plain["codes"] = {word: tuple(codes) for word, codes in table.get("codes", {}).items()}
    _contradictions(plain["codes"])
    return Options(**plain)


def _contradictions(codes: Mapping[str, tuple[str, ...]]) -> None:
    """A code that is both a duplicate and a refusal would turn a payment that was made into one that was not."""
    for code in codes.get("duplicate", ()):
        if code in codes.get("refused", ()):
            raise BadOptions("codes", f"{code} cannot be both duplicate and refused")


def clock(text: str) -> time:
    """A time of day from `HH:MM`."""
    return time(int(text[:2]), int(text[3:]))
