"""camt.052, camt.053, camt.054: movements on an account during the day, at its end, and as they happen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from typing import Final, TypeVar

from lxml import etree

from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import plain
from protocols.kit.iso20022.names import MessageVersion, expect
from protocols.kit.iso20022.parts import Reader, Side, StatusReason, read_account, read_reasons, read_side

OPENING: Final = ("OPBD", "PRCD", "OPAV")
CLOSING: Final = ("CLBD",)
INTERIM: Final = ("ITBD", "CLBD")
AVAILABLE: Final = ("CLAV", "ITAV")
NO_REFERENCES: Final = frozenset({"", "NOTPROVIDED", "NONREF"})
"""Values that banks write if there is no reference."""
_FEES: Final = frozenset({"CHRG", "COMM", "FEES"})
ROWS: Final = {"camt.052": "Rpt", "camt.053": "Stmt", "camt.054": "Ntfctn"}
_STATUSES: Final = frozenset({"BOOK", "PDNG", "INFO", "FUTR"})
UNREAD_TOLD: Final = 20
"""The number of unreadable entries that are reported one by one. More would fill the log if a list has an
unknown form.
"""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CamtBalance:
    """A balance: `kind` is ISO's code (OPBD, CLBD, ITBD, CLAV …), `amount` negative when the account is overdrawn."""

    kind: str
    amount: Money
    on: date | None


@dataclass(frozen=True, slots=True)
class TransactionDetail:
    """One payment inside an entry. `reasons` says why it came back (RtrInf), if it did."""

    amount: Money | None
    end_to_end_id: str = ""
    instruction_id: str = ""
    message_id: str = ""
    group_id: str = ""
    bank_reference: str = ""
    debtor: Side | None = None
    creditor: Side | None = None
    text: str = ""
    creditor_reference: str = ""
    returned: bool = False
    reasons: tuple[StatusReason, ...] = ()


@dataclass(frozen=True, slots=True)
class BookedBatch:
    """A group of payments that an entry books as one (Btch). The ids are those of the payment file."""

    message_id: str
    group_id: str
    count: int | None = None
    total: Money | None = None


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """One entry. `status` is BOOK, PDNG, INFO or FUTR; `reversal` takes an earlier entry back.

    `odd` describes the parts that cannot be read. A detail that cannot be read stays in its place without content.
    """

    amount: Money
    direction: Direction
    status: str
    reversal: bool = False
    reference: str = ""
    bank_reference: str = ""
    booked_on: date | None = None
    booked_at: datetime | None = None
    value_on: date | None = None
    bank_code: str = ""
    text: str = ""
    details: tuple[TransactionDetail, ...] = ()
    batches: tuple[BookedBatch, ...] = ()
    odd: tuple[str, ...] = ()

    @property
    def fee(self) -> bool:
        """Whether the entry is a bank charge, by its transaction code (CHRG, COMM or FEES)."""
        return self.bank_code.rpartition("/")[2] in _FEES

    def share(self, detail: TransactionDetail) -> Money | None:
        """The amount of the entry that belongs to one of its details; None if it is unknown."""
        return detail.amount or (self.amount if len(self.details) == 1 else None)

    @property
    def signed_minor(self) -> int:
        """The entry's effect on the balance, in minor units."""
        return self.amount.minor if self.direction is Direction.CREDIT else -self.amount.minor


@dataclass(frozen=True, slots=True)
class AccountReport:
    """One statement, report or notification. `sequence` is the bank's own count, if the bank counts (ElctrncSeqNb).

    `unread` is the number of entries that cannot be read and are left out, each with a finding. A report whose account
    cannot be read has `account` "" and counts as one.
    """

    kind: str
    id: str
    account: str
    currency: str = ""
    created: datetime | None = None
    sequence: int | None = None
    first: date | None = None
    last: date | None = None
    page: int | None = None
    last_page: bool = True
    balances: tuple[CamtBalance, ...] = ()
    entries: tuple[AccountEntry, ...] = ()
    findings: tuple[str, ...] = ()
    unread: int = 0

    def balance(self, *kinds: str) -> CamtBalance | None:
        """The first stated balance of `kinds`."""
        return next((one for kind in kinds for one in self.balances if one.kind == kind), None)

    @property
    def booked(self) -> tuple[AccountEntry, ...]:
        """The booked entries; only these count."""
        return tuple(one for one in self.entries if one.status == "BOOK")


def read_reports(root: etree._Element) -> tuple[AccountReport, ...]:
    """The reports of a camt.052, .053 or .054 of any version; irregularities of each report are its findings.

    A part that cannot be read does not hide others. Raises ProtocolError "structure" or "missing" for another message.
    """
    version = expect(root, *ROWS)
    message = Reader(root, version.namespace).need(version.child)
    return tuple(_read_report(one, version) for one in message.all(ROWS[version.kind]))


def _read_report(one: Reader, version: MessageVersion) -> AccountReport:
    head = read_head(one, version)
    entries, odd, unread = read_entries(map(entry_or_error, one.all("Ntry")), head.currency)
    report = replace(head, entries=entries, unread=head.unread + unread)
    return replace(report, findings=(*head.findings, *_miscounted(one, report), *_whole(report), *odd))


def read_head(one: Reader, version: MessageVersion) -> AccountReport:
    """The report without its entries, which come after all other elements."""
    odd: list[str] = []
    number = _or_none(lambda: read_account(one.need("Acct")), odd)
    if not number:
        why = odd[0] if odd else "it does not name its account"
        finding = f"a report cannot be read and is left out ({why})"
        return AccountReport(version.kind, "", "", findings=(finding,), unread=1)

    def text(*paths: str) -> str:
        return _or_none(lambda: one.text(*paths), odd) or ""

    balances = [_or_none(partial(_read_balance, each), odd) for each in one.all("Bal")]
    page, last_page = (
        text("StmtPgntn/PgNb", "RptPgntn/PgNb", "NtfctnPgntn/PgNb"),
        text("StmtPgntn/LastPgInd", "RptPgntn/LastPgInd", "NtfctnPgntn/LastPgInd"),
    )
    report = AccountReport(
        version.kind,
        text("Id"),
        number,
        plain(text("Acct/Ccy")),
        _or_none(lambda: one.moment("CreDtTm"), odd),
        _number(text("ElctrncSeqNb")),
        _or_none(lambda: one.day("FrToDt/FrDtTm"), odd),
        _or_none(lambda: one.day("FrToDt/ToDtTm"), odd),
        _number(page),
        last_page != "false",
        tuple(each for each in balances if each is not None),
    )
    return replace(report, findings=tuple(f"a part of its head cannot be read ({each})" for each in odd))


def _or_none(read: Callable[[], T], odd: list[str]) -> T | None:
    """The result of `read`. If it fails: None, and the reason is added to the list `odd`."""
    try:
        return read()
    except ProtocolError as error:
        odd.append(str(error))
        return None


def _read_balance(one: Reader) -> CamtBalance:
    money = one.money("Amt")
    if money is None:
        raise ProtocolError("missing", "a balance without an amount")
    if _direction(one) is Direction.DEBIT:
        money = Money(-money.minor, money.currency)
    return CamtBalance(one.choice("Tp/CdOrPrtry"), money, one.day("Dt"))


def read_entries(
    rows: Iterable[AccountEntry | ProtocolError], currency: str, first: int = 1
) -> tuple[tuple[AccountEntry, ...], tuple[str, ...], int]:
    """The readable entries, the oddities of all of them, and the number of unreadable ones.

    `currency` is the account's, if it is stated; `first` is the number of the first entry.
    """
    found: list[AccountEntry] = []
    findings: list[str] = []
    unread = 0
    for number, one in enumerate(rows, start=first):
        if not isinstance(one, ProtocolError):
            found.append(one)
            findings += _odd(number, one, currency)
            continue
        unread += 1
        if unread <= UNREAD_TOLD:
            findings.append(f"entry {number} cannot be read and is left out ({one})")
    if unread > UNREAD_TOLD:
        findings.append(f"{unread - UNREAD_TOLD} more entries cannot be read and are left out")
    return tuple(found), tuple(findings), unread


def entry_or_error(one: Reader) -> AccountEntry | ProtocolError:
    """An entry with its details, or the reason why it cannot be read."""
    try:
        return read_entry(one)
    except ProtocolError as error:
        return error


def read_entry(one: Reader) -> AccountEntry:
    """An entry with its details. Raises ProtocolError."""
    money = one.money("Amt")
    if money is None:
        raise ProtocolError("missing", "an entry without an amount")
    status = one.choice("Sts")
    if status not in _STATUSES:
        raise ProtocolError(
            "value", f"an entry of status {status[:35]!r}: the status does not show whether the entry is booked"
        )
    code = "/".join(
        filter(
            None, (one.text("BkTxCd/Domn/Cd"), one.text("BkTxCd/Domn/Fmly/Cd"), one.text("BkTxCd/Domn/Fmly/SubFmlyCd"))
        )
    ) or one.text("BkTxCd/Prtry/Cd")
    odd: list[str] = []
    parts = one.all("NtryDtls")
    details = [_or_none(partial(_read_detail, each), odd) for part in parts for each in part.all("TxDtls")]
    batches = [_or_none(partial(_read_batch, each), odd) for part in parts for each in part.all("Btch")]
    return AccountEntry(
        money,
        _direction(one),
        status,
        one.text("RvslInd") in ("true", "1"),
        _told(one, "NtryRef"),
        _told(one, "AcctSvcrRef"),
        one.day("BookgDt"),
        one.moment("BookgDt"),
        one.day("ValDt"),
        code,
        one.text("AddtlNtryInf"),
        tuple(each or TransactionDetail(None) for each in details),
        tuple(each or BookedBatch("", "") for each in batches),
        tuple(odd),
    )


def _read_batch(one: Reader) -> BookedBatch:
    return BookedBatch(_told(one, "MsgId"), _told(one, "PmtInfId"), _number(one.text("NbOfTxs")), one.money("TtlAmt"))


def _read_detail(one: Reader) -> TransactionDetail:
    money = one.money("Amt") or one.money("AmtDtls/TxAmt/Amt") or one.money("AmtDtls/InstdAmt/Amt")
    parties, agents = one.find("RltdPties"), one.find("RltdAgts")

    def side(name: str) -> Side | None:
        return read_side(
            None if parties is None else parties.find(name),
            None if parties is None else parties.find(f"{name}Acct"),
            None if agents is None else agents.find(f"{name}Agt"),
        )

    back = one.find("RtrInf")
    return TransactionDetail(
        money,
        _told(one, "Refs/EndToEndId"),
        _told(one, "Refs/InstrId"),
        _told(one, "Refs/MsgId"),
        _told(one, "Refs/PmtInfId"),
        _told(one, "Refs/AcctSvcrRef"),
        side("Dbtr"),
        side("Cdtr"),
        one.joined("RmtInf/Ustrd"),
        one.text("RmtInf/Strd/CdtrRefInf/Ref"),
        back is not None,
        () if back is None else read_reasons([back]),
    )


def _told(one: Reader, path: str) -> str:
    said = one.text(path)
    return "" if said in NO_REFERENCES else said


def _direction(one: Reader) -> Direction:
    said = one.text("CdtDbtInd")
    if said not in ("CRDT", "DBIT"):
        raise ProtocolError("value", f"CdtDbtInd is {said!r}, neither CRDT nor DBIT")
    return Direction.CREDIT if said == "CRDT" else Direction.DEBIT


def _number(said: str) -> int | None:
    return int(said) if said.isascii() and said.isdigit() else None


# ---- what must agree ---------------------------------------------------------------------------------------------


def _whole(report: AccountReport) -> list[str]:
    return [sentence for sentence in (unbalanced(report),) if sentence]


def _odd(number: int, entry: AccountEntry, currency: str) -> list[str]:
    """Sentences about the contradictions within an entry."""
    found = [f"entry {number}: a part of it cannot be read ({one})" for one in entry.odd]
    amounts = [one.amount for one in entry.details]
    if len(amounts) > 1 and all(one is not None and one.currency == entry.amount.currency for one in amounts):
        total = sum(one.minor for one in amounts if one is not None)
        if total != entry.amount.minor:
            found.append(f"entry {number}: its details do not sum to its amount")
    if currency and entry.amount.currency != currency:
        found.append(f"entry {number} is in {entry.amount.currency}, the account in {currency}")
    return found


def _miscounted(one: Reader, report: AccountReport) -> list[str]:
    said = _or_none(lambda: one.text("TxsSummry/TtlNtries/NbOfNtries"), []) or ""
    has = len(report.entries) + report.unread
    if said and (said.lstrip("0") or "0") != str(has):
        return [f"says it has {said} entries and has {has}"]
    return []


def unbalanced(report: AccountReport) -> str:
    """A sentence if opening balance and booked entries do not make the closing balance.

    "" if they do, or if they cannot be compared (such balances are missing, or it is one page of several).
    """
    return unbalanced_by(report, sum(one.signed_minor for one in report.booked))


def unbalanced_by(report: AccountReport, moved: int) -> str:
    """A sentence if the sum of the booked entries, given in minor units, does not lead from the opening to the closing
    balance; see `unbalanced`."""
    opening, closing = report.balance(*OPENING[:2]), report.balance(*CLOSING)
    if opening is None or closing is None or report.page not in (None, 1) or not report.last_page:
        return ""
    off = closing.amount.minor - opening.amount.minor - moved
    if not off:
        return ""
    return (
        f"opening {opening.amount} and entries {Money(moved, opening.amount.currency)} do not make closing "
        f"{closing.amount}: off by {Money(off, opening.amount.currency)}"
    )


def gap(earlier: AccountReport, later: AccountReport) -> str:
    """A sentence if something is missing between two statements of one account; "" if no gap can be seen.

    Compares the bank's own counts, and the earlier closing with the later opening balance.
    """
    if earlier.sequence is not None and later.sequence is not None and later.sequence != 1:
        if later.sequence <= earlier.sequence:
            return f"statement {later.sequence} follows {earlier.sequence}: repeated or out of order"
        if later.sequence != earlier.sequence + 1:
            return f"{later.sequence - earlier.sequence - 1} statements missing before {later.sequence}"
    closing, opening = earlier.balance(*CLOSING), later.balance(*OPENING[:2])
    if closing is not None and opening is not None and closing.amount != opening.amount:
        return f"opens with {opening.amount} where the one before closed with {closing.amount}"
    return ""
