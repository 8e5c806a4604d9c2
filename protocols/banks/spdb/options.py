"""The bank's table in the settings: what is known has a value here, the rest is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, time
from typing import Any, Final

from protocols.bank import BadOptions
from protocols.kit.dsig.key import PinnedKey
from protocols.kit.errors import ProtocolError

CODE_WORDS: Final = ("duplicate", "refused", "empty")
"""What a returnCode may be declared to mean, because the bank's own list of them is not public."""
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Options:
    """How this customer uses the bank. Times in seconds; limits of None are not checked before sending.

    `master_id` is the customer's number (masterID), `auth_master_id` the one whose web-bank users authorise.
    `authorisation` says that they do: then what was handed in waits for them, and is asked about in two stages.
    `bank_certificate` are the keys that the bank signs its answers with; without them the front end verifies.
    `own_names` are what a payee bank's name contains when it is this bank, `own_cnaps` what its 12-digit number begins
    with. `codes` says what returnCodes mean that are not public; its keys are CODE_WORDS.
    """

    master_id: str
    probe_account: str
    auth_master_id: str = ""
    authorisation: bool = False
    bank_certificate: tuple[PinnedKey, ...] = ()
    sha1_until: date | None = None
    packet_prefix: str = ""
    reference_prefix: str = ""
    length_padding: str = "zeros"
    http_path: str = "/"
    host_header: str = "127.0.0.1"
    single_flag: str = "1"
    batch_flag: str = "1"
    schedule_date: str = "empty"
    own_remit_location: str = "0"
    other_remit_location: str = "1"
    payee_address: str = ""
    payee_bank_flag: str = ""
    person_purpose: str = "1"
    payroll_purpose: str = ""
    own_names: tuple[str, ...] = ("浦发", "浦东发展")
    own_cnaps: tuple[str, ...] = ()
    codes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    enquiry_rows: int = 30
    enquiry_pages: int = 20
    history_days: int = 30
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


def _day(value: Any) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value) is not None
    except ValueError:
        return False


def _codes(value: Any) -> bool:
    word = _words("[0-9A-Za-z]{7}")
    return isinstance(value, Mapping) and value.keys() <= set(CODE_WORDS) and all(
        word(codes) and "AAAAAAA" not in codes for codes in value.values()
    )  # fmt: skip


def _certificates(value: Any) -> bool:
    try:
        return bool(_pinned(value))
    except (ProtocolError, TypeError):
        return False


def _pinned(text: Any) -> tuple[PinnedKey, ...]:
    pem = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    return tuple(PinnedKey.from_pem(found.group().encode("utf-8")) for found in _PEM.finditer(pem))


_BYTES: Final = (_or_none(_whole(1, 1000)), "a number of GBK bytes, or leave it out")
_LOCATION: Final = (_among("0", "1"), '"0" for the same city, "1" for another')
_PURPOSE: Final = (_text("[0-9A-Za-z]{0,4}"), "the bank's code (payPurpose), up to 4 letters or digits")
_ROWS: Final = (_text("[0-9A-Za-z]{0,4}"), "singleOrBatchFlag as the bank tells you, such as 1, or empty")
_CHECKS: Final[Mapping[str, tuple[Check, str]]] = {
    "master_id": (_text("[0-9A-Za-z]{1,20}"), "the customer's number (masterID) as text, up to 20 letters or digits"),
    "probe_account": (_text("[0-9]{1,32}"), "an own account at this bank as text; its balance is asked as a probe"),
    "auth_master_id": (_text("[0-9A-Za-z]{0,20}"), "the number of the authorising customer (授权客户号) as text"),
    "authorisation": (_flag, "true if web-bank users must authorise what is handed in, else false"),
    "bank_certificate": (_certificates, "PEM of the certificate that the bank signs answers with, or leave it out"),
    "sha1_until": (_or_none(_day), 'the last day SHA-1 counts, as "2027-12-31"; only with bank_certificate'),
    "packet_prefix": (_text("[0-9]{0,4}"), "up to 4 digits, others for each gateway of the same masterID"),
    "reference_prefix": (_text("[0-9]{0,6}"), "up to 6 digits"),
    "length_padding": (_among("zeros", "blanks"), '"zeros" (003519) or "blanks" (3519 and two blanks)'),
    "http_path": (_text("/[!-~]{0,200}"), "the path of both doors, beginning with a slash"),
    "host_header": (_text("[0-9A-Za-z.:-]{1,255}"), "what stands in the Host header, such as the front end's name"),
    "single_flag": _ROWS,
    "batch_flag": _ROWS,
    "schedule_date": (_among("empty", "today"), '"empty" or "today": bespeakDate of a payment that is not scheduled'),
    "own_remit_location": _LOCATION,
    "other_remit_location": _LOCATION,
    "payee_address": (lambda value: isinstance(value, str), "payeeAddress of payees at other banks, or empty"),
    "payee_bank_flag": (_text("[0-9A-Za-z]{0,4}"), "payeeBankSelectFlag beside a payeeBankNo; empty sends neither"),
    "person_purpose": _PURPOSE,
    "payroll_purpose": _PURPOSE,
    "own_names": (_words(".+"), "a list of texts found in the names of this bank's branches"),
    "own_cnaps": (_words("[0-9]{3,12}"), "a list of how this bank's numbers begin, 3 to 12 digits"),
    "codes": (_codes, f"a table of lists of 7-character codes under {', '.join(CODE_WORDS)}; never AAAAAAA"),
    "enquiry_rows": (_whole(1, 30), "rows of one 8804 answer, 1 to 30"),
    "enquiry_pages": (_whole(1, 30), "pages of 8804 read for one payment before it stays in doubt, 1 to 30"),
    "history_days": (_whole(1, 366), "days back that 8804 answers about, 1 to 366"),
    "not_found_after_s": (_seconds, "seconds before 'no such payment' counts"),
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
_NEEDED: Final = ("master_id", "probe_account")


def read_options(table: Mapping[str, Any]) -> Options:
    """The options in the settings' table. Raises BadOptions naming the first wrong key and the remedy."""
    for key in table:
        if key not in _CHECKS:
            raise BadOptions(key, f"no such option of spdb; there are {', '.join(sorted(_CHECKS))}")
    for key in _NEEDED:
        if key not in table:
            raise BadOptions(key, _CHECKS[key][1])
    for key, value in table.items():
        check, remedy = _CHECKS[key]
        if not check(value):
            raise BadOptions(key, remedy)
    plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
    plain["codes"] = {word: tuple(codes) for word, codes in table.get("codes", {}).items()}
    if "bank_certificate" in table:
        plain["bank_certificate"] = _pinned(table["bank_certificate"])
    if plain.get("sha1_until") is not None:
        plain["sha1_until"] = date.fromisoformat(plain["sha1_until"])
    options = Options(**plain)
    _contradictions(options)
    return options


def _contradictions(options: Options) -> None:
    """What is right by itself and wrong together."""
    for code in options.codes.get("duplicate", ()):
        # It would turn a payment that was made into one that was not.
        if code in options.codes.get("refused", ()):
            raise BadOptions("codes", f"{code} cannot be both duplicate and refused")
    if options.authorisation and not options.auth_master_id:
        raise BadOptions("auth_master_id", "needed where authorisation is true: the authorising customer's number")
    if options.sha1_until is not None and not options.bank_certificate:
        raise BadOptions("sha1_until", "has a meaning only beside bank_certificate; the front end verifies otherwise")


def clock(text: str) -> time:
    """A time of day from `HH:MM`."""
    return time(int(text[:2]), int(text[3:]))
