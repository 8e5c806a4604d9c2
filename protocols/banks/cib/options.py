"""The bank's options in the settings. An option without a default is required."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from protocols.bank import BadOptions, Replay
from protocols.kit.choices import (
    Check,
    Choices,
    among,
    declared_codes,
    flag,
    hour,
    one_meaning,
    read_choices,
    seconds,
    table,
    text,
    whole,
)
from protocols.kit.timing import Timing

PAYROLL_CODES: Final = ("006", "022", "047", "048", "008", "007", "813", "080", "605", "747")
"""DESCRIPTION of a payroll (banks/cib.md 4.7): 工资 奖金 福利 报销 水费 电费 高温 报刊 理赔 公积金."""
COLLECTION_LINES_MAX: Final = 2_000
"""So many lines of an answer can be read, each as long as the bank's form allows; with more all would stay in doubt."""
CODE_WORDS: Final = ("duplicate", "not_found", "refused", "empty")
"""The meanings that a code may be declared to have, because the bank's list of codes is not public."""
LOCK_OUT: Final = "a wrong password tried again and again locks the operator"


@dataclass(frozen=True, slots=True)
class Options:
    """How this customer uses the bank. Times in seconds; limits of None are not checked before sending.

    `customer` is the bank's customer number (CID); `probe_account` is an own account whose balance is asked for to test
    the connection to the bank. `fast_enquiry` is the operation that asks about a 快速支付. `holder` is the holder's
    name of all own accounts. `city` is the payer's city; `cities` gives the payee's by the beginning of its bank
    number, by the longest matching one. `fund_account` is the centre of the cash pool (集团支付). `receipt_path` is the
    address from which a receipt's FILE_ID is fetched. `codes` declares the meanings of codes that are not public; its
    keys are CODE_WORDS. `opens` and `closes` are times of the bank's day, HH:MM.
    """

    customer: str
    probe_account: str
    path: str = "/"
    host_header: str = "127.0.0.1"
    holder: str = ""
    reference_prefix: str = ""
    replay: str = "replay_safe"
    own_names: tuple[str, ...] = ("兴业银行",)
    own_cnaps: tuple[str, ...] = ()
    city: str = ""
    cities: Mapping[str, str] = field(default_factory=dict)
    payment_mode: str = "REAL_TIME"
    fast_pay: bool = False
    fast_enquiry: str = "XFERINQTRN"
    fund_account: str = ""
    core_enquiry: bool = True
    batch: str = "async"
    batch_biztype: str = ""
    batch_title: str = "批量付款"
    batch_remark: bool = True
    payroll_title: str = "代发"
    firm_code: str = ""
    collection_code: str = ""
    collection_days: int = 3
    collection_type: str = ""
    collection_lines: int = 100
    lines: str = "SCUSTSTMT"
    statement_version: str = "2.0"
    statement_reference: str = ""
    file_lines: int = 500
    receipt_path: str = ""
    history_days: int = 365
    max_purpose_bytes: int = 60
    max_amount_minor: int | None = None
    codes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    opens: str = "01:00"
    closes: str = "00:00"
    window: int = 1
    poll_every_s: float = 900.0
    timing: Timing = Timing(probe_every_s=900.0, per_second=2.0, burst=2, first_enquiry_s=900.0)


def _wording(most_bytes: int) -> Check:
    def fits(value: Any) -> bool:
        if not isinstance(value, str) or re.search(r"[<>&|\x00-\x1f\x7f]", value):
            return False
        try:
            return len(value.encode("gbk")) <= most_bytes
        except UnicodeEncodeError:
            return False

    return fits


_PLAIN: Final = "text that GBK carries, without < > & |, of at most"
_CHOICES: Final[Choices] = {
    "customer": (text("[0-9A-Za-z]{1,32}"), "the customer number (CID) the bank gave you, as text"),
    "probe_account": (text("[0-9A-Za-z-]{1,32}"), "one of your accounts at this bank, for harmless balance questions"),
    "path": (text("/[!-~]*"), 'the path of the front end, usually "/"'),
    "host_header": (text("[0-9A-Za-z.:-]{1,255}"), "the front end's host name, as HTTP's Host line shall name it"),
    "holder": (_wording(50), f"the name your accounts are held in, {_PLAIN} 50 bytes"),
    "replay": (among(*(one.value for one in Replay)), '"replay_safe", "query_first" or "never"'),
    "city": (_wording(30), f"the payer's city, {_PLAIN} 30 bytes"),
    "cities": (
        table("[0-9]{1,12}", lambda city: bool(city) and _wording(30)(city)),
        f"a table: the beginning of a bank number = its city, {_PLAIN} 30 bytes",
    ),
    "payment_mode": (among("REAL_TIME", ""), '"REAL_TIME", or "" to leave PMTMODE out'),
    "fast_pay": (flag, "true sends urgent payments as 快速支付: no approval and no limits at the bank"),
    "fast_enquiry": (among("XFERINQTRN", "ICTRANSFERINQTRN"), "the enquiry about 快速支付, as the bank names it"),
    "fund_account": (text("[0-9A-Za-z-]{0,18}"), "the account in the centre of the cash pool, up to 18 characters"),
    "core_enquiry": (flag, "true asks the core system (INQSTATE) where the first enquiry stays unclear"),
    "batch": (among("async", "realtime"), '"async" (ASYNBATCHTRSFRTRN) or "realtime" (RBATCHTRSFRTRN)'),
    "batch_biztype": (text("[0-3]?"), 'BIZTYPE, one digit, or "" for 1 (async: a debit each) or 0 (realtime: 支付)'),
    "batch_title": (_wording(30), f"TITLE and PURPOSE of batches, {_PLAIN} 30 bytes"),
    "batch_remark": (flag, "true writes our reference into each line's remark, and checks it in the result"),
    "payroll_title": (_wording(30), f"TITLE of payrolls, {_PLAIN} 30 bytes"),
    "firm_code": (text("([0-9A-Za-z]{4})?"), "FIRMCODE, 4 characters, for collections (托收)"),
    "collection_code": (text("([0-9]{5})?"), "BIZCODE of collections, 5 digits such as 00100 (电费)"),
    "collection_days": (whole(1, 3), "LIMITDAYS, 1 to 3 days"),
    "collection_type": (text("[0-9A-Za-z]{0,8}"), "TRNTYPE of collections, which the bank must name; or leave it out"),
    "collection_lines": (
        whole(1, COLLECTION_LINES_MAX),
        f"how many collections go in one message, 1 to {COLLECTION_LINES_MAX:,}",
    ),
    "lines": (among("SCUSTSTMT", "FSTMT"), '"SCUSTSTMT" (XML rows) or "FSTMT" (rows of 530 bytes)'),
    "statement_version": (among("2.0", ""), '"2.0", or "" for the older rows'),
    "statement_reference": (text("([A-Z][A-Z0-9]{1,30})?"), "the element of an entry that carries our TRNUID, if any"),
    "file_lines": (lambda value: whole(100, 1000)(value) and value % 100 == 0, "100 to 1000, a multiple of 100"),
    "receipt_path": (
        lambda value: value == "" or (text("/[!-~]*")(value) and value.count("{file_id}") == 1),
        "a path with {file_id} in it, as the bank tells you; or leave it out",
    ),
    "max_purpose_bytes": (whole(1, 60), "30 or 60 bytes; the bank's manual says both"),
    "codes": declared_codes(CODE_WORDS, "(?!0$)[0-9A-Za-z]{1,12}", "codes (never 0)"),
    "opens": (hour, 'when the bank\'s hour of quiet ends, as "01:00"; equal to closes: round the clock'),
    "closes": (hour, 'when it begins, as "00:00"'),
    "window": (whole(1, 16), f"how many exchanges may run at once, 1 to 16; {LOCK_OUT}"),
    "first_enquiry_s": (seconds(0.01, 604_800), "seconds before a payment is first asked about; the bank says 900"),
    "poll_every_s": (seconds(1, 604_800), "seconds between two looks at an account's entries; the bank says 900"),
}


def read_options(given: Mapping[str, Any]) -> Options:
    """The options in the settings' table. Raises BadOptions naming the first wrong key and the remedy."""
    options = read_choices("cib", Options, _CHOICES, given)
    one_meaning(options.codes)
    if bool(options.firm_code) is not bool(options.collection_code):
        missing = "collection_code" if options.firm_code else "firm_code"
        raise BadOptions(missing, f"{_CHOICES[missing][1]}; collections need both")
    return options
