"""The ERP's commands to the treasury, as values: its bank journal, a claim of money received, questions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction

MAX_LEDGER_ROWS = 500
"""The most rows of one part of a book."""
MAX_LEDGER_PARTS = 2_000
"""The most parts of one book."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One row of a book. Debit is money out of the bank account; a red entry has a negative amount."""

    id: str
    day: date
    direction: Direction
    amount_minor: int
    party: AccountNumber | None = None
    party_name: Name | None = None
    reference: str = ""
    voucher: str = ""
    settlement: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class LedgerHead:
    """The head in each part of a book: account, period, balances, count and totals in minor units."""

    account: AccountNumber
    first: date
    last: date
    currency: str
    opening_minor: int
    closing_minor: int
    count: int
    debit_minor: int
    credit_minor: int
    parts: int


@dataclass(frozen=True, slots=True)
class SubmitLedger:
    """`ledger.submit`: part `part` (from 1) of the book `id`. The book counts once all parts are there and its totals
    agree.
    """

    id: str
    head: LedgerHead
    part: int
    rows: tuple[LedgerRow, ...]


@dataclass(frozen=True, slots=True)
class WithdrawLedger:
    """`ledger.withdraw`: the book `id` is no longer in force."""

    id: str
    reason: str = ""


class ClaimAct(StrEnum):
    """An ERP's act about money received: to claim it, or to release it."""

    CLAIM = "claim"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class ClaimCredit:
    """`credit.claim`: the credit entry `line` of an own account is for `reference`; or its claim is released."""

    id: str
    account: AccountNumber
    line: str
    act: ClaimAct = ClaimAct.CLAIM
    reference: str = ""
    customer: Name | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class ReconciliationQuery:
    """`reconciliation.query`: an own account's reconciliation up to a day; None means today. Lists `limit` open
    rows."""

    account: AccountNumber
    last: date | None
    limit: int
    max_wait_s: int


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """`report.request`: page `page` of a report as a file. Days are given as for `bankgw report`; None is that
    command's default."""

    report: str
    form: str
    language: str
    page: int
    max_wait_s: int
    first: date | None = None
    last: date | None = None
    bank: str | None = None
    company: str | None = None
    account: AccountNumber | None = None


TreasuryCommand = SubmitLedger | WithdrawLedger | ClaimCredit
"""The commands that change the treasury's tables, in one unit each."""
TreasuryQuestion = ReconciliationQuery | ReportRequest
"""The questions that the gateway answers from its journal, and those that take too long to be answered in a unit."""
