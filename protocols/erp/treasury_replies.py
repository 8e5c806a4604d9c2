"""The bodies of the treasury's messages; `replies.reply_body` turns them into JSON or XML."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any

from protocols.canon.money import Money
from protocols.erp.news import instant
from protocols.erp.replies import (
    CREDIT_CLAIMED,
    CREDIT_RELEASED,
    CREDIT_RESULT,
    LEDGER_CLOSED,
    LEDGER_RESULT,
    RECONCILIATION_COMPLETED,
    RECONCILIATION_EXCEPTION,
    RECONCILIATION_MATCHED,
    RECONCILIATION_RESULT,
    REPORT_READY,
)
from protocols.erp.treasury_words import LedgerHead

FILE_PAGE_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The state of a book. `closed_now`: this command put the book in force. `head`: the book's head at that moment."""

    id: str
    book: str
    head: LedgerHead
    state: str
    received: int
    replayed: bool = False
    closed_now: bool = False


def ledger_result(one: LedgerState) -> dict[str, Any]:
    """The reply about a book."""
    return {
        "event": LEDGER_RESULT,
        "id": one.id,
        "book": one.book,
        "account": one.head.account.clear,
        "state": one.state,
        "received": one.received,
        "parts": one.head.parts,
        "replayed": one.replayed,
    }


def ledger_closed(one: LedgerState, sender: str, by: str, bank: str, at_ms: int) -> dict[str, Any]:
    """Event: a book is in force."""
    head = one.head
    return {
        "event": LEDGER_CLOSED,
        "sender": sender,
        "bank": bank,
        "account": head.account.clear,
        "id": one.id,
        "by": by,
        "book": one.book,
        "at": instant(at_ms),
        "from": head.first.isoformat(),
        "to": head.last.isoformat(),
        "currency": head.currency,
        "opening": str(Money(head.opening_minor, head.currency)),
        "closing": str(Money(head.closing_minor, head.currency)),
        "count": head.count,
    }


@dataclass(frozen=True, slots=True)
class ClaimState:
    """The state of an entry's claim. `new`: this command changed the state."""

    id: str
    sender: str
    account: str
    line: str
    amount: Money
    claimed: bool
    reference: str = ""
    customer: str = ""
    by: str = ""
    new: bool = True


def credit_result(one: ClaimState) -> dict[str, Any]:
    """The reply about a claim."""
    said: dict[str, Any] = {
        "event": CREDIT_RESULT,
        "id": one.id,
        "account": one.account,
        "line": one.line,
        "state": "claimed" if one.claimed else "released",
    }
    if one.reference:
        said["reference"] = one.reference
    return {**said, "replayed": not one.new}


def credit_news(one: ClaimState, sender: str, bank: str, at_ms: int) -> dict[str, Any]:
    """Event: a claim was made or released."""
    said: dict[str, Any] = {
        "event": CREDIT_CLAIMED if one.claimed else CREDIT_RELEASED,
        "sender": sender,
        "bank": bank,
        "account": one.account,
        "line": one.line,
        "amount": str(one.amount),
        "currency": one.amount.currency,
        "at": instant(at_ms),
        "id": one.id,
        "by_sender": one.sender,
    }
    told = {"reference": one.reference, "customer": one.customer, "by": one.by}
    return {**said, **{name: value for name, value in told.items() if value}}


@dataclass(frozen=True, slots=True)
class OpenRowReply:
    """A row without its counterpart; `amount_minor` may be negative."""

    id: str
    day: date
    direction: str
    amount: Money
    reason: str
    about: str = ""

    def fields(self) -> dict[str, Any]:
        """The part of the reply's body about this row."""
        return {
            "id": self.id,
            "day": self.day.isoformat(),
            "direction": self.direction,
            "amount": str(self.amount),
            "reason": self.reason,
            "about": self.about,
        }


@dataclass(frozen=True, slots=True)
class MatchingReply:
    """One matching: counts, and the first of its open rows."""

    matching: str
    matched: Mapping[str, int]
    proposed: int
    open_entries: int
    open_lines: int
    entries: Sequence[OpenRowReply] = ()
    lines: Sequence[OpenRowReply] = ()

    def fields(self) -> dict[str, Any]:
        """The part of the reply's body about this matching."""
        return {
            "matching": self.matching,
            "matched": dict(self.matched),
            "proposed": self.proposed,
            "open_entries": self.open_entries,
            "open_lines": self.open_lines,
            "entries": [one.fields() for one in self.entries],
            "lines": [one.fields() for one in self.lines],
        }


def reconciliation_result(
    account: str, currency: str, last: date, books: int, matchings: Sequence[MatchingReply]
) -> dict[str, Any]:
    """The reply about an account's reconciliation."""
    return {
        "event": RECONCILIATION_RESULT,
        "account": account,
        "currency": currency,
        "to": last.isoformat(),
        "books": books,
        "matchings": [one.fields() for one in matchings],
    }


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A report as a file, with the days that it covers. `rows` is unknown for a stored file."""

    report: str
    first: date
    last: date
    name: str
    media_type: str
    data: bytes
    rows: int | None = None

    @property
    def pages(self) -> int:
        """The number of pages; an empty file has one."""
        return max(1, -(-len(self.data) // FILE_PAGE_BYTES))


def report_ready(file: ReportFile, page: int) -> dict[str, Any]:
    """Page `page` (from 1, at most `file.pages`) of a report."""
    said: dict[str, Any] = {
        "event": REPORT_READY,
        "report": file.report,
        "from": file.first.isoformat(),
        "to": file.last.isoformat(),
    }
    if file.rows is not None:
        said["rows"] = file.rows
    start = (page - 1) * FILE_PAGE_BYTES
    return {
        **said,
        "name": file.name,
        "media_type": file.media_type,
        "size": len(file.data),
        "sha256": sha256(file.data).hexdigest(),
        "page": page,
        "pages": file.pages,
        "data": b64encode(file.data[start : start + FILE_PAGE_BYTES]).decode(),
    }


@dataclass(frozen=True, slots=True)
class AccountPlace:
    """The receiver of an event about an account, and the account."""

    sender: str
    bank: str
    account: str
    at_ms: int

    def fields(self, event: str) -> dict[str, Any]:
        """The fields with which the event's body begins."""
        return {
            "event": event,
            "sender": self.sender,
            "bank": self.bank,
            "account": self.account,
            "at": instant(self.at_ms),
        }


def reconciliation_matched(
    place: AccountPlace, rule: str, payments: Sequence[str], lines: Sequence[str]
) -> dict[str, Any]:
    """Event: payments were matched with their entries."""
    return {**place.fields(RECONCILIATION_MATCHED), "rule": rule, "payments": list(payments), "lines": list(lines)}


def reconciliation_exception(place: AccountPlace, matching: str, row: OpenRowReply) -> dict[str, Any]:
    """Event: a person must look at a row."""
    return {**place.fields(RECONCILIATION_EXCEPTION), "matching": matching, "row": row.fields()}


def reconciliation_completed(
    place: AccountPlace, last: date, matched: int, open_payments: int, open_lines: int
) -> dict[str, Any]:
    """Event: the rules have processed a closed day."""
    return {
        **place.fields(RECONCILIATION_COMPLETED),
        "to": last.isoformat(),
        "matched": matched,
        "open_payments": open_payments,
        "open_lines": open_lines,
    }
