"""The bank's options in the settings. An option without a default is required."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from protocols.bank import BadOptions, Replay
from protocols.canon.order import AnyOrder, Channel, Kind
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
    whole,
)
from protocols.kit.orders import own_bank
from protocols.kit.timing import Timing

TRANSPORTS: Final = ("http", "http-form", "socket")
AGENCIES: Final = ("NTAGC", "AgentRequest")
CODE_WORDS: Final = ("duplicate", "refused")
"""What a line code (ERRCOD) may be declared to mean, because the bank's own list of them is not public."""


@dataclass(frozen=True, slots=True)
class Options:
    """How this enterprise uses the front end. Times in seconds; limits of None are not checked before sending.

    `login` is the user's name at the front end (LGNNAM), `mode` the BUSMOD of direct payments, `branch` the BBKNBR of
    own accounts that are not in `branches` (account number to BBKNBR). `transfer_code` is the business code under which
    DCOPRTRF is asked about; without it transfers are sent as DCPAYMNT. `payroll_mode` and `collection_mode` are the
    BUSMODs of 代发 and 代扣, which are only offered with them; `collection_type` is the collection's TRSTYP. `codes`
    declares the meanings of ERRCODs that are not public, and the RETCODs with which nothing was submitted; its keys are
    CODE_WORDS.
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
    refund_reference: bool = False
    market: str = "0"
    payroll_mode: str = ""
    payroll_type: str = "BYSA"
    collection_mode: str = ""
    collection_type: str = ""
    receipts: bool = False
    codes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    history_days: int = 90
    past_balance_days: int = 31
    line_ids_from: str = "2027-01-01"
    replay: str = "never"
    not_found_quarantine_s: float = 1800.0
    max_amount_minor: int | None = None
    window: int = 2
    submit_apart_s: float = 1.0
    query_apart_s: float = 2.0
    poll_every_s: float = 600.0
    timing: Timing = Timing(probe_every_s=60.0, first_byte_s=90.0, exchange_s=180.0, per_second=2.0, burst=2)

    def branch_of(self, account: str) -> str:
        """BBKNBR (the branch) of an own account."""
        return self.branches.get(account, self.branch)

    def same_bank(self, order: AnyOrder) -> bool:
        """True if the other party's account is at this bank too."""
        if order.channel is Channel.SAME_BANK or order.kind is Kind.TRANSFER:
            return True
        return own_bank(order.theirs, self.own_names, self.own_cnaps)

    def agency_mode(self, kind: Kind) -> str:
        """BUSMOD of a payroll or a collection."""
        return self.payroll_mode if kind is Kind.PAYROLL_ITEM else self.collection_mode

    def agency_type(self, kind: Kind) -> str:
        """TRSTYP of a payroll or a collection."""
        return self.payroll_type if kind is Kind.PAYROLL_ITEM else self.collection_type


def _one_of(words: tuple[str, ...]) -> str:
    return "one of " + ", ".join(f'"{word}"' for word in words)


_APART: Final = seconds(0.001, 604_800)
_MODE, _CODE = "[0-9A-Z]{1,5}", "N[0-9]{5}"
_CHOICES: Final[Choices] = {
    "login": (in_bytes(60), "the user's name at the front end (LGNNAM), up to 60 GBK bytes"),
    "mode": (text(_MODE), 'the BUSMOD of direct payments as the front end lists it, for instance "00001"'),
    "branch": (text("[0-9]{2}"), "the two digits of the branch (BBKNBR) that keeps your accounts, as text"),
    "transport": (among(*TRANSPORTS), _one_of(TRANSPORTS)),
    "branches": (
        table(".+", text("[0-9]{2}")),
        'a table of account number to branch, for instance { "0000000000000017" = "75" }',
    ),
    "payment_code": (text(_CODE), 'the BUSCOD of direct payments, "N02031"'),
    "payment_type": (text("[0-9]{6}"), 'TRSTYP, "100001" for an ordinary remittance'),
    "payee_address": (in_bytes(62, least=0), "CRTADR for every payee, up to 62 GBK bytes; empty: the bank's name"),
    "payee_flag": (text("[YN]"), 'CRTFLG, "Y" or "N"'),
    "check_name": (flag, "true or false"),
    "transfer_code": (text(f"(?:{_CODE})?"), "the BUSCOD under which DCOPRTRF is asked about, or empty"),
    "transfer_mode": (text(_MODE), "the BUSMOD of DCOPRTRF"),
    "batch_lines": (whole(1, 1500), "1 to 1500 lines in one message; above 30 the bank answers by notice"),
    "second_enquiry": (flag, "true or false"),
    "agency": (among(*AGENCIES), _one_of(AGENCIES)),
    "agency_lines": (whole(1, 9999), "1 to 9999 lines in one payroll or collection message"),
    "agency_enquiry": (text("[A-Z0-9]{0,12}"), "the element in which NTAGCINY is asked; empty: it is not asked"),
    "refund_reference": (flag, "true (CPRACT is your line's reference, and NTAGDRFD is asked by it) or false"),
    "line_reference": (flag, "true (CPRREF is your line's reference) or false"),
    "market": (text("[0-2]"), 'CCYMKT, "0", "1" or "2"'),
    "payroll_mode": (text(f"(?:{_MODE})?"), "the BUSMOD of 代发, or empty: no payroll"),
    "payroll_type": (text("[A-Z0-9]{4}"), 'TRSTYP of payroll, "BYSA"'),
    "collection_mode": (text(f"(?:{_MODE})?"), "the BUSMOD of 代扣, or empty: no collections"),
    "collection_type": (text("(?:[A-Z0-9]{4})?"), "TRSTYP of collections as the bank agreed it with you"),
    "receipts": (flag, "true once the bank has confirmed that TRSSEQ of a receipt is REFNBR of its entry, else false"),
    "codes": declared_codes(
        CODE_WORDS,
        "(?!SUC0000|NCB4241)[0-9A-Z]{7}|-[34567]",
        "7-character ERRCODs (never SUC0000 or NCB4241), or RETCODs -3 to -7,",
    ),
    "replay": (
        among(Replay.NEVER.value, Replay.QUERY_FIRST.value),
        '"never", or "query_first" once the bank has said that a reference which no enquiry knows may be sent again',
    ),
    "not_found_quarantine_s": (
        seconds(300, 604_800),
        'seconds before "not found" counts, at least the 300 that the bank\'s guide asks for',
    ),
    "max_amount_minor": (or_none(whole(1, 10**13 - 1)), "the most fen one order may carry, or leave it out"),
    "window": (whole(1, 50), "how many exchanges may run at once, 1 to 50; one user's requests queue there"),
    "submit_apart_s": (_APART, "seconds between one user's orders; the bank wants 1"),
    "query_apart_s": (_APART, "seconds between one user's queries; the bank wants 2"),
}


def read_options(given: Mapping[str, Any]) -> Options:
    """The options in the settings' table. Raises BadOptions naming the first wrong key and the remedy."""
    options = read_choices("cmb", Options, _CHOICES, given)
    one_meaning(options.codes)
    if options.collection_mode and not options.collection_type:
        raise BadOptions("collection_type", _CHOICES["collection_type"][1])
    return options
