"""The bank's options in the settings. An option without a default is required."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from protocols.kit.choices import (
    Choices,
    among,
    declared_codes,
    flag,
    in_bytes,
    one_meaning,
    or_none,
    read_choices,
    seconds,
    text,
    whole,
)
from protocols.kit.timing import Timing

CODE_WORDS: Final = ("duplicate", "not_found", "refused", "settled", "empty")
"""What a status may be declared to mean, because the bank's list of server codes is not public."""
LISTS: Final = ("DLTRNALL", "DLEDDRSQ", "DLBATCOL", "DLSALCOL", "DLAGECOL")
"""The actions that answer with a list: a status may be declared to mean "empty" for one of them alone."""


@dataclass(frozen=True, slots=True)
class Options:
    """How this enterprise uses the front end. Times in seconds; limits of None are not checked before sending.

    `login` is the front end's login name (userName); `probe_account` is an own account whose balance is asked for to
    test the connection to the bank. `own_names` are texts in a payee bank's name, and `own_cnaps` beginnings of its
    12-digit number, that show that the payee banks here. `holidays` are weekdays on which large value is closed.
    `codes` declares the meanings of statuses that are not public; the keys are CODE_WORDS, and "empty" followed by one
    of LISTS. `sweeps`: the message of transfers whose direction is sweep or push. From "2" on, `control_flag` makes
    entries state their origin (oriNum), and the list of returns is made from it.
    """

    login: str
    probe_account: str
    http_path: str = "/"
    http_host: str = "127.0.0.1"
    reference_prefix: str = ""
    own_names: tuple[str, ...] = ("中信银行",)
    own_cnaps: tuple[str, ...] = ()
    city_flag: str = "1"
    large_value_from_minor: int | None = None
    night: bool = False
    holidays: tuple[str, ...] = ()
    batch_lines: int = 500
    payroll_lines: int = 1000
    payroll_message: str = "1"
    collections: bool = False
    collection_lines: int = 500
    line_reference: bool = False
    summary_first: bool = True
    codes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sweeps: str = "DLINETRN"
    control_flag: str = "0"
    currency_id: str = ""
    receipt_type: str = "0"
    history_days: int = 365
    past_balance_days: int = 30
    not_found_quarantine_s: float = 3600.0
    max_amount_minor: int | None = None
    confirm: bool = True
    window: int = 1
    poll_every_s: float = 600.0
    timing: Timing = Timing(probe_every_s=300.0, burst=2)

    @property
    def pooled(self) -> bool:
        """Whether sweeps and pushes go by messages of their own."""
        return self.sweeps != "DLINETRN"

    @property
    def states_origin(self) -> bool:
        """Whether entries have oriNum: true if controlFlag is 2 or more."""
        return self.control_flag >= "2"


def _days(value: Any) -> bool:
    try:
        return isinstance(value, list) and all(date.fromisoformat(one).isoformat() == one for one in value)
    except (TypeError, ValueError):
        return False


_SEVEN, _STATUSES = "[0-9A-Z]{7}", "7-character statuses"
_WORDS, _WORDS_REMEDY = declared_codes(CODE_WORDS, _SEVEN, _STATUSES)
_BY_ACTION, _BY_ACTION_REMEDY = declared_codes(LISTS, _SEVEN, _STATUSES)


def _codes(value: Any) -> bool:
    """Check the option `codes`: a list under each word; under `empty` a list for all questions, or a table of lists by
    action."""
    if not isinstance(value, Mapping) or not isinstance(value.get("empty"), Mapping):
        return _WORDS(value)
    return _BY_ACTION(value["empty"]) and _WORDS({word: given for word, given in value.items() if word != "empty"})


def _flat(value: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    """The option `codes` with a key of its own ("empty DLTRNALL") for each action."""
    empty = value.get("empty")
    by_action = {f"empty {action}": given for action, given in empty.items()} if isinstance(empty, Mapping) else {}
    words = {word: given for word, given in value.items() if word != "empty" or not by_action}
    return {key: tuple(given) for key, given in (words | by_action).items()}


_CHOICES: Final[Choices] = {
    "login": (in_bytes(30), "the login name at the front end (userName), up to 30 GBK bytes"),
    "probe_account": (text("[0-9]{1,19}"), "an own account at this bank as text; its balance is asked as a probe"),
    "city_flag": (text("[01]"), 'cityFlag of payments, "0" or "1"'),
    "large_value_from_minor": (or_none(whole(1, 10**15)), "from how many fen on payType is 02, or leave it out"),
    "night": (flag, "true sends large-value payments outside working hours as B5 (大额夜间), false does not"),
    "holidays": (_days, 'a list of weekdays on which large value is closed, ["2026-10-01", "2026-10-02"]'),
    "batch_lines": (whole(1, 9999), "1 to 9999 lines in one DLPAYBAT"),
    "payroll_lines": (whole(1, 99_999), "1 to 99999 lines in one DLSALIMP"),
    "payroll_message": (text("[1-7]"), 'msgAbstract of payrolls, "1" to "7"'),
    "collections": (flag, "true once the bank has confirmed the layout of DLAGENTF, else false"),
    "collection_lines": (whole(1, 9999), "1 to 9999 lines in one DLAGENTF"),
    "line_reference": (flag, "true writes our reference into wagDetl (payroll), or false"),
    "summary_first": (flag, "true asks for the summary (…COL) before the detail (…DET), as the bank wants"),
    "codes": (_codes, f"{_WORDS_REMEDY}; under empty also {_BY_ACTION_REMEDY}"),
    "sweeps": (
        among("DLINETRN", "CMMANSWP"),
        '"DLINETRN" (a transfer), or "CMMANSWP": sweeps by CMMANSWP, pushes by CMDWNSWP, where a cash pool is agreed',
    ),
    "control_flag": (text("[0-7]"), 'controlFlag of DLTRNALL, "0" to "7"; from "2" on returns can be asked for'),
    "currency_id": (text("[0-9A-Za-z]{0,8}"), "what currencyID says for renminbi; empty: it is not looked at"),
    "receipt_type": (text("[0-6]"), 'billType of receipts, "0" (all) to "6"'),
    "not_found_quarantine_s": (
        seconds(600),
        'seconds before "not found" counts, at least 600: the front end may send again by itself',
    ),
    "max_amount_minor": (or_none(whole(1, 10**15 - 1)), "the most fen one order may carry, or leave it out"),
    "confirm": (flag, "true asks twice before an ending of DLCIDSTT is believed, false once"),
    "window": (whole(1, 50), "how many exchanges may run at once; 1, for answers do not say what they answer"),
    "probe_every_s": (seconds(1, 1800), "seconds between probes, at most 1800: an idle session ends after 30 minutes"),
}


def read_options(given: Mapping[str, Any]) -> Options:
    """The options in the settings' table. Raises BadOptions naming the first wrong key and the remedy."""
    options = read_choices("citic", Options, _CHOICES, given, {"codes": _flat})
    one_meaning(options.codes)
    return options
