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
    in_bytes,
    one_meaning,
    or_none,
    read_choices,
    seconds,
    table,
    text,
    texts,
    whole,
)
from protocols.kit.timing import Timing

CODE_WORDS: Final = ("duplicate", "not_found", "refused", "empty")
"""What a rspcod may be declared to mean, because the bank's list is not public."""


@dataclass(frozen=True, slots=True)
class Options:
    """How this customer uses the front end. Times in seconds; limits of None are not checked before sending.

    `terminal` is the front end's id (termid), `customer` and `operator` are custid and cusopr. `branch` is the link
    number (ibknum) of own accounts that are not in `branches` (account number to link number). `probe_account` is an
    own account whose balance is asked for as a heartbeat. `sign_on_tries` is how many refused sign-ons this process
    makes before it stops using the login; four sign-ons that brought no token, for whatever reason, have the same
    effect. `codes` declares the meanings of codes that are not public; the keys are CODE_WORDS. `payroll_provinces`
    maps a text in the name of a payee's bank to the two digits that b2e0078 wants for an account at this bank;
    `payroll_province` has the digits for all others. `receipt_path` is the address from which a receipt's file is
    fetched.
    """

    terminal: str
    customer: str
    operator: str
    branch: str
    probe_account: str
    branches: Mapping[str, str] = field(default_factory=dict)
    version: str = "120"
    charset: str = "UTF-8"
    http_path: str = "/B2EC/E2BServlet"
    http_host: str = "127.0.0.1"
    content_type: str = "application/xml"
    sign_on_tries: int = 1
    reference_prefix: str = ""
    reference_chars: int = 12
    currency: str = "CNY"
    fee_account: str = ""
    payee_address: str = ""
    own_names: tuple[str, ...] = ("中国银行",)
    persons: bool = False
    person_flags: tuple[str, ...] = ("1", "0")
    person_account_type: str = "119"
    payroll: bool = False
    payroll_usage: str = ""
    payroll_province: str = ""
    payroll_provinces: Mapping[str, str] = field(default_factory=dict)
    returns: bool = False
    receipt_path: str = ""
    receipt_type: str = ""
    batch_lines: int = 1000
    enquiry_lines: int = 50
    codes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    history_days: int = 365
    past_balance_days: int = 365
    line_ids_from: str = "2027-01-01"
    not_found_quarantine_s: float = 3600.0
    max_amount_minor: int | None = None
    poll_every_s: float = 600.0
    timing: Timing = Timing()

    @property
    def renminbi(self) -> tuple[str, str]:
        """The two codes with which the bank writes the currency renminbi."""
        return ("CNY", "001")


_CHOICES: Final[Choices] = {
    "terminal": (text("E[0-9]{12}"), 'the front end\'s termid: E and 12 digits, such as "E127000000001"'),
    "customer": (text("[0-9A-Za-z]{1,20}"), "the BOC customer number (custid) as text"),
    "operator": (text("[0-9A-Za-z]{1,20}"), "the operator's number (cusopr) as text; only one lane may use it"),
    "branch": (text("[0-9]{5}"), "the five digits of the branch link number (ibknum) of your accounts, as text"),
    "probe_account": (text("[0-9]{1,35}"), "an own account at this bank as text; its balance is asked as a heartbeat"),
    "branches": (
        table(".+", text("[0-9]{5}")),
        'a table of account number to link number, for instance { "0000000000000017" = "40000" }',
    ),
    "version": (among("100", "110", "120"), '"100", "110" or "120", as the front end speaks'),
    "charset": (among("UTF-8", "GBK"), '"UTF-8" or "GBK": what our requests are written in'),
    "content_type": (text("[!-~]{1,80}"), 'the header Content-Type, such as "application/xml"'),
    "sign_on_tries": (whole(1, 4), "1 to 4; the bank locks an operator after 5 wrong passwords in a day"),
    "reference_prefix": (text("[0-9A-Z]{0,4}"), "up to 4 capital letters or digits"),
    "reference_chars": (whole(12, 20), "12 to 20 characters of insid; the bank recommends 12 at most"),
    "currency": (among("CNY", "001"), '"CNY" or "001": how renminbi is written in payments'),
    "fee_account": (text("[0-9]{0,35}"), "the account that pays fees (comacn), or empty"),
    "payee_address": (in_bytes(70, least=0), "toaddr of every payee, up to 70 GBK bytes, or empty"),
    "persons": (flag, "true once the bank has confirmed bocflag and acttyp of b2e0061, else false"),
    "person_flags": (
        lambda value: texts("[0-9A-Za-z]{1,2}")(value) and len(value) == 2,
        "two words: bocflag of a payee at this bank and of another",
    ),
    "person_account_type": (among("119", "101", "188"), 'acttyp, "119" (debit card), "101" or "188"'),
    "payroll": (flag, "true once the bank has confirmed that b2e0007 tells of a b2e0078 with one line, else false"),
    "payroll_usage": (text("[0-9A-Z]{0,4}"), 'the usage code (furinfo) of payrolls, such as "G8", or empty'),
    "payroll_province": (text("([0-9]{2})?"), "two digits of the province of payees at this bank, or empty"),
    "payroll_provinces": (
        table(".+", text("[0-9]{2}")),
        'a table of text in a payee bank\'s name to two digits, for instance { "江苏" = "32" }',
    ),
    "returns": (flag, "true once the bank has confirmed that the entry of a returned payment states its insid"),
    "receipt_path": (
        text(r"(/[!-z|~]*\{filename\}[!-z|~]*)?"),
        'the path of a receipt\'s file on this port, such as "/receipts/{filename}", or empty',
    ),
    "receipt_type": (text("[0-9A-Za-z]{0,8}"), "tratype of receipts, or empty"),
    "batch_lines": (whole(1, 1000), "1 to 1000 lines in one b2e0009"),
    "enquiry_lines": (whole(1, 1000), "how many orders one b2e0007 asks about, 1 to 1000"),
    "codes": declared_codes(CODE_WORDS, "[0-9A-Z]{4}", "4-character codes"),
    "history_days": (whole(1, 366), "days back that the bank answers about entries, up to a year"),
    "not_found_quarantine_s": (seconds(60), 'seconds before "not found" counts, at least 60'),
    "max_amount_minor": (or_none(whole(1, 10**17 - 1)), "the most fen one order may carry, or leave it out"),
}


def read_options(given: Mapping[str, Any]) -> Options:
    """The options in the settings' table. Raises BadOptions naming the first wrong key and the remedy."""
    options = read_choices("boc", Options, _CHOICES, given)
    one_meaning(options.codes)
    return options
