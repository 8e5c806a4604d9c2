"""The bank's options in the settings. An option without a default is required."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from protocols.bank import BadOptions
from protocols.kit.choices import (
    Choices,
    among,
    day,
    declared_codes,
    flag,
    one_meaning,
    or_none,
    read_choices,
    seconds,
    text,
    whole,
)
from protocols.kit.dsig.key import PinnedKey
from protocols.kit.errors import ProtocolError
from protocols.kit.timing import OpeningHours, Timing

CODE_WORDS: Final = ("duplicate", "refused", "empty")
"""What a returnCode may be declared to mean, because the bank's own list of them is not public."""
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Options:
    """How this customer uses the bank. Times in seconds; limits of None are not checked before sending.

    `master_id` is the customer's number (masterID), `auth_master_id` that of the customer whose web-bank users
    authorise. `authorisation`: users authorise, so that submitted orders wait for them and are asked about in two
    stages. `bank_certificate` are the keys with which the bank signs its answers; without them the front end verifies.
    `own_names` are texts in a payee bank's name, and `own_cnaps` beginnings of its 12-digit number, that show that the
    payee banks here. `codes` declares the meanings of returnCodes that are not public; its keys are CODE_WORDS.
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
    line_ids_from: str = "2027-01-01"
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


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _certificates(value: Any) -> bool:
    try:
        return bool(_pinned(value))
    except (ProtocolError, TypeError):
        return False


def _pinned(text: Any) -> tuple[PinnedKey, ...]:
    pem = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    return tuple(PinnedKey.from_pem(found.group().encode("utf-8")) for found in _PEM.finditer(pem))


_LOCATION: Final = (among("0", "1"), '"0" for the same city, "1" for another')
_PURPOSE: Final = (text("[0-9A-Za-z]{0,4}"), "the bank's code (payPurpose), up to 4 letters or digits")
_ROWS: Final = (text("[0-9A-Za-z]{0,4}"), "singleOrBatchFlag as the bank tells you, such as 1, or empty")
_CHOICES: Final[Choices] = {
    "master_id": (text("[0-9A-Za-z]{1,20}"), "the customer's number (masterID) as text, up to 20 letters or digits"),
    "probe_account": (text("[0-9]{1,32}"), "an own account at this bank as text; its balance is asked as a probe"),
    "auth_master_id": (text("[0-9A-Za-z]{0,20}"), "the number of the authorising customer (授权客户号) as text"),
    "authorisation": (flag, "true if web-bank users must authorise what is handed in, else false"),
    "bank_certificate": (_certificates, "PEM of the certificate that the bank signs answers with, or leave it out"),
    "sha1_until": (or_none(day), 'the last day SHA-1 counts, as "2027-12-31"; only with bank_certificate'),
    "packet_prefix": (text("[0-9]{0,4}"), "up to 4 digits, others for each gateway of the same masterID"),
    "reference_prefix": (text("[0-9]{0,6}"), "up to 6 digits"),
    "length_padding": (among("zeros", "blanks"), '"zeros" (003519) or "blanks" (3519 and two blanks)'),
    "host_header": (text("[0-9A-Za-z.:-]{1,255}"), "what stands in the Host header, such as the front end's name"),
    "single_flag": _ROWS,
    "batch_flag": _ROWS,
    "schedule_date": (among("empty", "today"), '"empty" or "today": bespeakDate of a payment that is not scheduled'),
    "own_remit_location": _LOCATION,
    "other_remit_location": _LOCATION,
    "payee_address": (lambda value: isinstance(value, str), "payeeAddress of payees at other banks, or empty"),
    "payee_bank_flag": (text("[0-9A-Za-z]{0,4}"), "payeeBankSelectFlag beside a payeeBankNo; empty sends neither"),
    "person_purpose": _PURPOSE,
    "payroll_purpose": _PURPOSE,
    "codes": declared_codes(CODE_WORDS, "(?!AAAAAAA)[0-9A-Za-z]{7}", "7-character codes (never AAAAAAA)"),
    "enquiry_rows": (whole(1, 30), "rows of one 8804 answer, 1 to 30"),
    "enquiry_pages": (whole(1, 30), "pages of 8804 read for one payment before it stays in doubt, 1 to 30"),
    "history_days": (whole(1, 366), "days back that 8804 answers about, 1 to 366"),
    "not_found_after_s": (seconds(0.001), "seconds before 'no such payment' counts"),
}


def read_options(given: Mapping[str, Any]) -> Options:
    """The options in the settings' table. Raises BadOptions naming the first wrong key and the remedy."""
    made = {"bank_certificate": _pinned, "sha1_until": _date}
    options = read_choices("spdb", Options, _CHOICES, given, made)
    one_meaning(options.codes)
    if options.authorisation and not options.auth_master_id:
        raise BadOptions("auth_master_id", "needed where authorisation is true: the authorising customer's number")
    if options.sha1_until is not None and not options.bank_certificate:
        raise BadOptions("sha1_until", "has a meaning only beside bank_certificate; the front end verifies otherwise")
    return options
