"""The bank's table in the settings: what is known has a value here, the rest is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from protocols.bank import BadOptions, Replay

TRANSPORTS: Final = ("http", "http-form", "socket")
AGENCIES: Final = ("NTAGC", "AgentRequest")


@dataclass(frozen=True, slots=True)
class Options:
    """How this enterprise uses the front end. Times in seconds; limits of None are not checked before sending.

    `login` is the user's name at the front end (LGNNAM), `mode` the BUSMOD of direct payments, `branch` the BBKNBR
    of own accounts that are not in `branches` (account number to BBKNBR). `transfer_code` is the business code with
    which DCOPRTRF is asked about; without it transfers go out as DCPAYMNT. `payroll_mode` and `collection_mode` are
    the BUSMODs of 代发 and 代扣, which are only offered with them; `collection_type` is the collection's TRSTYP.
    """

    login: str
    mode: str
    branch: str
    transport: str = "http"
    http_path: str = "/"
    http_host: str = "127.0.0.1"
    reference_prefix: str = ""
    branches: Mapping[str, str] = field(default_factory=dict)
    own_names: tuple[str, ...] = ("招商银行",)
    own_cnaps: tuple[str, ...] = ()
    payment_code: str = "N02031"
    payment_type: str = "100001"
    payee_address: str = ""
    payee_flag: str = "Y"
    check_name: bool = True
    transfer_code: str = ""
    transfer_mode: str = "00001"
    batch_lines: int = 1500
    second_enquiry: bool = True
    agency: str = "NTAGC"
    agency_lines: int = 1000
    agency_enquiry: str = "NTAGCINYX1"
    line_reference: bool = False
    market: str = "0"
    payroll_mode: str = ""
    payroll_type: str = "BYSA"
    collection_mode: str = ""
    collection_type: str = ""
    history_days: int = 90
    past_balance_days: int = 31
    replay: str = "query_first"
    not_found_quarantine_s: float = 1800.0
    max_amount_minor: int | None = None
    window: int = 2
    probe_every_s: float = 60.0
    first_byte_s: float = 90.0
    exchange_s: float = 180.0
    per_second: float = 2.0
    burst: int = 2
    submit_apart_s: float = 1.0
    query_apart_s: float = 2.0
    first_enquiry_s: float = 10.0
    poll_every_s: float = 600.0


def _text(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None


def _whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= 604_800


def _words(pattern: str) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, (list, tuple))
        and all(isinstance(word, str) and re.fullmatch(pattern, word) for word in value)
    )


def _in_gbk(most_bytes: int, *, empty: bool = False) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if not isinstance(value, str) or not (value or empty) or not all(char.isprintable() for char in value):
            return False
        try:
            return len(value.encode("gbk")) <= most_bytes
        except UnicodeEncodeError:
            return False

    return check


def _branches(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(account, str) and isinstance(branch, str) and re.fullmatch("[0-9]{2}", branch)
        for account, branch in value.items()
    )


def _one_of(*words: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: isinstance(value, str) and value in words, "one of " + ", ".join(f'"{word}"' for word in words)


_MODE, _CODE = "[0-9A-Z]{1,5}", "N[0-9]{5}"
_CHECKS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "login": (_in_gbk(60), "the user's name at the front end (LGNNAM), up to 60 GBK bytes"),
    "mode": (_text(_MODE), 'the BUSMOD of direct payments as the front end lists it, for instance "00001"'),
    "branch": (_text("[0-9]{2}"), "the two digits of the branch (BBKNBR) that keeps your accounts, as text"),
    "transport": _one_of(*TRANSPORTS),
    "http_path": (_text("/[!-~]{0,200}"), 'the path of the HTTP request, usually "/"'),
    "http_host": (_text("[!-~]{1,200}"), "what the HTTP header Host says"),
    "reference_prefix": (_text("[0-9A-Z]{0,6}"), "up to 6 capital letters or digits"),
    "branches": (_branches, 'a table of account number to branch, for instance { "0000000000000017" = "75" }'),
    "own_names": (_words(".+"), "a list of texts found in the names of this bank's branches"),
    "own_cnaps": (_words("[0-9]{3,12}"), "a list of how this bank's numbers begin, 3 to 12 digits"),
    "payment_code": (_text(_CODE), 'the BUSCOD of direct payments, "N02031"'),
    "payment_type": (_text("[0-9]{6}"), 'TRSTYP, "100001" for an ordinary remittance'),
    "payee_address": (_in_gbk(62, empty=True), "CRTADR for every payee, up to 62 GBK bytes; empty: the bank's name"),
    "payee_flag": (_text("[YN]"), 'CRTFLG, "Y" or "N"'),
    "check_name": (lambda value: isinstance(value, bool), "true or false"),
    "transfer_code": (_text(f"(?:{_CODE})?"), "the BUSCOD under which DCOPRTRF is asked about, or empty"),
    "transfer_mode": (_text(_MODE), "the BUSMOD of DCOPRTRF"),
    "batch_lines": (_whole(1, 1500), "1 to 1500 lines in one message; above 30 the bank answers by notice"),
    "second_enquiry": (lambda value: isinstance(value, bool), "true or false"),
    "agency": _one_of(*AGENCIES),
    "agency_lines": (_whole(1, 9999), "1 to 9999 lines in one payroll or collection message"),
    "agency_enquiry": (_text("[A-Z0-9]{0,12}"), "the element in which NTAGCINY is asked; empty: it is not asked"),
    "line_reference": (lambda value: isinstance(value, bool), "true (CPRREF is your line's reference) or false"),
    "market": (_text("[0-2]"), 'CCYMKT, "0", "1" or "2"'),
    "payroll_mode": (_text(f"(?:{_MODE})?"), "the BUSMOD of 代发, or empty: no payroll"),
    "payroll_type": (_text("[A-Z0-9]{4}"), 'TRSTYP of payroll, "BYSA"'),
    "collection_mode": (_text(f"(?:{_MODE})?"), "the BUSMOD of 代扣, or empty: no collections"),
    "collection_type": (_text("(?:[A-Z0-9]{4})?"), "TRSTYP of collections as the bank agreed it with you"),
    "history_days": (_whole(1, 3650), "days back that the bank answers about entries, at least 1"),
    "past_balance_days": (_whole(0, 3650), "days back that the bank tells a day's balance, 0: not at all"),
    "replay": (
        lambda value: value in (Replay.NEVER.value, Replay.QUERY_FIRST.value),
        '"query_first" or "never"; a repeated reference is refused here, so nothing is replay_safe',
    ),
    "not_found_quarantine_s": (
        lambda value: _seconds(value) and value >= 300,
        'seconds before "not found" counts, at least the 300 that the bank\'s guide asks for',
    ),
    "max_amount_minor": (
        lambda value: value is None or _whole(1, 10**13 - 1)(value),
        "the most fen one order may carry, or leave it out",
    ),
    "window": (_whole(1, 50), "how many exchanges may run at once, 1 to 50; one user's requests queue there"),
    "probe_every_s": (_seconds, "seconds between probes"),
    "first_byte_s": (_seconds, "seconds to wait for the first byte of an answer, the front end's own queue included"),
    "exchange_s": (_seconds, "seconds one whole exchange may take"),
    "per_second": (_seconds, "requests a second, all sorts together"),
    "burst": (_whole(1, 10_000), "requests that may go out at once"),
    "submit_apart_s": (_seconds, "seconds between one user's orders; the bank wants 1"),
    "query_apart_s": (_seconds, "seconds between one user's queries; the bank wants 2"),
    "first_enquiry_s": (_seconds, "seconds before a payment is first asked about"),
    "poll_every_s": (_seconds, "seconds between two looks for an account's new entries"),
}  # fmt: skip
assert _CHECKS.keys() == {each.name for each in fields(Options)}
_REQUIRED: Final = ("login", "mode", "branch")


def read_options(table: Mapping[str, Any]) -> Options:
    """The options in the settings' table. Raises BadOptions naming the first wrong key and the remedy."""
    for key in table:
        if key not in _CHECKS:
            raise BadOptions(key, f"no such option of cmb; there are {', '.join(sorted(_CHECKS))}")
    for key in _REQUIRED:
        if key not in table:
            raise BadOptions(key, _CHECKS[key][1])
    for key, value in table.items():
        check, remedy = _CHECKS[key]
        if not check(value):
            raise BadOptions(key, remedy)
    plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
    options = Options(**plain)
    if options.collection_mode and not options.collection_type:
        raise BadOptions("collection_type", _CHECKS["collection_type"][1])
    return options
