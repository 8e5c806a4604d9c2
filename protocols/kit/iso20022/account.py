"""camt.052, camt.053, camt.054: what moved on an account, during the day, at its end, and as it happens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

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
"""What banks write where there is no reference."""
_FEES: Final = frozenset({"CHRG", "COMM", "FEES"})
ROWS: Final = {"camt.052": "Rpt", "camt.053": "Stmt", "camt.054": "Ntfctn"}


@dataclass(frozen=True, slots=True)
class CamtBalance:
    """A balance: `kind` is ISO's code (OPBD, CLBD, ITBD, CLAV …), `amount` negative when the account is overdrawn."""

    kind: str
    amount: Money
    on: date | None


@dataclass(frozen=True, slots=True)
class TransactionDetail:
    """One payment inside an entry. `reasons` is why it came back (RtrInf), where it did."""

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
    """A group of payments that an entry books as one (Btch). The ids are those of the file they were in."""

    message_id: str
    group_id: str
    count: int | None = None
    total: Money | None = None


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """One entry. `status` is BOOK, PDNG or INFO; `reversal` takes an earlier entry back."""

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

    @property
    def fee(self) -> bool:
        """Whether it is the bank's charge for something, by its transaction code (CHRG, COMM or FEES)."""
        return self.bank_code.rpartition("/")[2] in _FEES

    def share(self, detail: TransactionDetail) -> Money | None:
        """How much of the entry one of its details is; None if nobody says."""
        return detail.amount or (self.amount if len(self.details) == 1 else None)

    @property
    def signed_minor(self) -> int:
        """The entry's effect on the balance, in minor units."""
        return self.amount.minor if self.direction is Direction.CREDIT else -self.amount.minor


@dataclass(frozen=True, slots=True)
class AccountReport:
    """One statement, report or notification. `sequence` is the bank's own count where it counts (ElctrncSeqNb)."""

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

    def balance(self, *kinds: str) -> CamtBalance | None:
        """The balance of the first of `kinds` that is told."""
        return next((one for kind in kinds for one in self.balances if one.kind == kind), None)

    @property
    def booked(self) -> tuple[AccountEntry, ...]:
        """The entries that count: booked ones."""
        return tuple(one for one in self.entries if one.status == "BOOK")


def read(root: etree._Element) -> tuple[AccountReport, ...]:
    """The reports of a camt.052, .053 or .054 of any version, with what is odd about each as findings.

    Raises ProtocolError "structure", "missing" or "value" for what cannot be read at all.
    """
    version = expect(root, *ROWS)
    message = Reader(root, version.namespace).need(version.child)
    return tuple(_read_report(one, version) for one in message.all(ROWS[version.kind]))


def _read_report(one: Reader, version: MessageVersion) -> AccountReport:
    entries = tuple(read_entry(each) for each in one.all("Ntry"))
    report = replace(read_head(one, version), entries=entries)
    return replace(report, findings=(*_miscounted(one, report), *_whole(report), *entry_findings(report)))


def read_head(one: Reader, version: MessageVersion) -> AccountReport:
    """A report without its entries, which follow everything else. Raises ProtocolError."""
    account = one.need("Acct")
    number = read_account(account)
    if not number:
        raise ProtocolError("missing", "a report that does not name its account")
    balances = tuple(_read_balance(each) for each in one.all("Bal"))
    page, last_page = one.text("StmtPgntn/PgNb", "RptPgntn/PgNb", "NtfctnPgntn/PgNb"), one.text(
        "StmtPgntn/LastPgInd", "RptPgntn/LastPgInd", "NtfctnPgntn/LastPgInd")  # fmt: skip
    return AccountReport(
        version.kind, one.must("Id"), number, plain(account.text("Ccy")), one.moment("CreDtTm"),
        _number(one.text("ElctrncSeqNb")), one.day("FrToDt/FrDtTm"), one.day("FrToDt/ToDtTm"), _number(page),
        last_page != "false", balances,
    )  # fmt: skip


def _read_balance(one: Reader) -> CamtBalance:
    money = one.money("Amt")
    if money is None:
        raise ProtocolError("missing", "a balance without an amount")
    if _direction(one) is Direction.DEBIT:
        money = Money(-money.minor, money.currency)
    return CamtBalance(one.choice("Tp/CdOrPrtry"), money, one.day("Dt"))


def read_entry(one: Reader) -> AccountEntry:
    """An entry with its details. Raises ProtocolError."""
    money = one.money("Amt")
    if money is None:
        raise ProtocolError("missing", "an entry without an amount")
    code = "/".join(filter(None, (one.text("BkTxCd/Domn/Cd"), one.text("BkTxCd/Domn/Fmly/Cd"),
                                  one.text("BkTxCd/Domn/Fmly/SubFmlyCd")))) or one.text("BkTxCd/Prtry/Cd")  # fmt: skip
    return AccountEntry(
        money, _direction(one), one.choice("Sts"), one.text("RvslInd") in ("true", "1"), _told(one, "NtryRef"),
        _told(one, "AcctSvcrRef"), one.day("BookgDt"), one.moment("BookgDt"), one.day("ValDt"), code,
        one.text("AddtlNtryInf"),
        tuple(_read_detail(each) for part in one.all("NtryDtls") for each in part.all("TxDtls")),
        tuple(_read_batch(each) for part in one.all("NtryDtls") for each in part.all("Btch")),
    )  # fmt: skip


def _read_batch(one: Reader) -> BookedBatch:
    return BookedBatch(_told(one, "MsgId"), _told(one, "PmtInfId"), _number(one.text("NbOfTxs")), one.money("TtlAmt"))


def _read_detail(one: Reader) -> TransactionDetail:
    money = one.money("Amt") or one.money("AmtDtls/TxAmt/Amt") or one.money("AmtDtls/InstdAmt/Amt")
    parties, agents = one.find("RltdPties"), one.find("RltdAgts")

    def side(name: str) -> Side | None:
        return read_side(
            None if parties is None else parties.find(name), None if parties is None else parties.find(f"{name}Acct"),
            None if agents is None else agents.find(f"{name}Agt"),
        )  # fmt: skip

    back = one.find("RtrInf")
    return TransactionDetail(
        money, _told(one, "Refs/EndToEndId"), _told(one, "Refs/InstrId"), _told(one, "Refs/MsgId"),
        _told(one, "Refs/PmtInfId"), _told(one, "Refs/AcctSvcrRef"), side("Dbtr"), side("Cdtr"),
        one.joined("RmtInf/Ustrd"), one.text("RmtInf/Strd/CdtrRefInf/Ref"),
        back is not None, () if back is None else read_reasons([back]),
    )  # fmt: skip


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


def entry_findings(report: AccountReport, first: int = 1) -> list[str]:
    """What does not agree within each entry; `first` is the number of the first one."""
    found = []
    for number, entry in enumerate(report.entries, start=first):
        amounts = [one.amount for one in entry.details]
        if len(amounts) > 1 and all(one is not None and one.currency == entry.amount.currency for one in amounts):
            total = sum(one.minor for one in amounts if one is not None)
            if total != entry.amount.minor:
                found.append(f"entry {number}: its details do not sum to its amount")
        if report.currency and entry.amount.currency != report.currency:
            found.append(f"entry {number} is in {entry.amount.currency}, the account in {report.currency}")
    return found


def _miscounted(one: Reader, report: AccountReport) -> list[str]:
    said = one.text("TxsSummry/TtlNtries/NbOfNtries")
    if said and (said.lstrip("0") or "0") != str(len(report.entries)):
        return [f"says it has {said} entries and has {len(report.entries)}"]
    return []


def unbalanced(report: AccountReport) -> str:
    """A sentence if opening balance and booked entries do not make the closing balance; "" if they do or cannot be
    compared (no such balances, or one page of several)."""
    return unbalanced_by(report, sum(one.signed_minor for one in report.booked))


def unbalanced_by(report: AccountReport, moved: int) -> str:
    """As `unbalanced`, where the booked entries move so many minor units together."""
    opening, closing = report.balance(*OPENING[:2]), report.balance(*CLOSING)
    if opening is None or closing is None or report.page not in (None, 1) or not report.last_page:
        return ""
    off = closing.amount.minor - opening.amount.minor - moved
    if not off:
        return ""
    return (f"opening {opening.amount} and entries {Money(moved, opening.amount.currency)} do not make closing "
            f"{closing.amount}: off by {Money(off, opening.amount.currency)}")  # fmt: skip


def gap(earlier: AccountReport, later: AccountReport) -> str:
    """A sentence if something is missing between two statements of one account; "" if nothing shows.

    Looks at the bank's own count, and at the earlier closing against the later opening balance.
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
