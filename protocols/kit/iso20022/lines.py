"""Account reports as the gateway's values: lines, balances, returned payments, and the fates of payments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date

from protocols.canon.money import Money
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Balance, Direction, Line, Return
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import plain
from protocols.kit.iso20022.account import AVAILABLE, INTERIM, AccountEntry, AccountReport, TransactionDetail
from protocols.kit.iso20022.parts import Side
from protocols.kit.paging import fingerprint


def lines(report: AccountReport, day: date | None = None, seen: Counter[str] | None = None) -> tuple[Line, ...]:
    """The booked entries, one line for each payment within them.

    An entry whose details do not account for all of its money is one line. `bank_line_id` is the bank's reference of
    the payment, else that of the entry, else made of the entry's fields, so that it is the same in today's report and
    in the statement; equal ids are counted. `day` is for entries that state none; `seen` (the ids so far, which is
    updated) is for a report that is read in parts. Raises ProtocolError "missing" if there is no day at all.
    """
    found: list[Line] = []
    seen = Counter() if seen is None else seen
    for entry in report.booked:
        for detail, line_id in zip(_shares(entry), ids_of(entry), strict=True):
            found.append(_line(report, entry, detail or TransactionDetail(None), line_id, seen[line_id], day))
            seen[line_id] += 1
    return tuple(found)


def ids_of(entry: AccountEntry) -> list[str]:
    """The id of each line that an entry gives."""
    shares = [one or TransactionDetail(None) for one in _shares(entry)]
    return [one.bank_reference or entry.bank_reference or _made_up(entry, one) for one in shares]


def _made_up(entry: AccountEntry, detail: TransactionDetail) -> str:
    """An id for an entry that has none. NtryRef is not used, because in many banks it is only a number that begins
    again in each report."""
    money, other = _part(entry, detail), _other(entry, detail)
    number = "" if other is None else other.party.account.clear
    mark = fingerprint(detail.instruction_id, detail.end_to_end_id, number)
    return f"{'C' if entry.direction is Direction.CREDIT else 'D'}{money.minor}{'F' if entry.fee else ''}-{mark}"


def _part(entry: AccountEntry, detail: TransactionDetail) -> Money:
    same = detail.amount is not None and detail.amount.currency == entry.amount.currency
    return detail.amount if same and detail.amount is not None and len(entry.details) > 1 else entry.amount


def _other(entry: AccountEntry, detail: TransactionDetail) -> Side | None:
    return detail.debtor if entry.direction is Direction.CREDIT else detail.creditor


def _shares(entry: AccountEntry) -> tuple[TransactionDetail | None, ...]:
    if not entry.details:
        return (None,)
    if len(entry.details) == 1:
        return entry.details
    amounts = [one.amount for one in entry.details if one.amount is not None]
    complete = len(amounts) == len(entry.details) and all(one.currency == entry.amount.currency for one in amounts)
    return entry.details if complete and sum(one.minor for one in amounts) == entry.amount.minor else (None,)


def _line(
    report: AccountReport,
    entry: AccountEntry,
    detail: TransactionDetail,
    line_id: str,
    occurrence: int,
    day: date | None,
) -> Line:
    other, money = _other(entry, detail), _part(entry, detail)
    on = entry.booked_on or entry.value_on or report.last or report.first or day
    if on is None:
        raise ProtocolError(
            "missing", f"entry {line_id} of report {report.id} has no date, and the report has none either"
        )
    party = None if other is None else other.party
    return Line(
        AccountNumber(report.account),
        line_id,
        entry.direction,
        money,
        on,
        entry.booked_at,
        entry.value_on,
        None if party is None or not party.account.clear else party.account,
        None if party is None or not party.name.clear else Name(plain(party.name.clear)),
        None if other is None else plain(other.party.bank_name or other.party.bic or "") or None,
        plain(detail.text or entry.text or detail.creditor_reference),
        None,
        _own_key(entry, detail) or None,
        occurrence,
        entry.fee,
    )


def _own_key(entry: AccountEntry, detail: TransactionDetail) -> str:
    """The reference under which the journal may know the payment: InstrId if the account's owner may have set it, else
    EndToEndId."""
    ours = entry.direction is Direction.DEBIT or detail.returned or entry.reversal
    return (detail.instruction_id if ours else "") or detail.end_to_end_id


def balance(report: AccountReport) -> Balance:
    """The balances in the report; a balance that it does not state is None."""
    book, available = report.balance(*INTERIM), report.balance(*AVAILABLE)
    previous = report.balance("OPBD", "PRCD")
    return Balance(
        AccountNumber(report.account),
        None if book is None else book.amount,
        None if available is None else available.amount,
        None,
        None if previous is None else previous.amount,
        report.created,
    )


def returns(report: AccountReport) -> tuple[Return, ...]:
    """Our payments that came back: returned by the payee's bank, or reversed by our own bank.

    Money that comes back for a whole file or group, and is not stated payment by payment, is reported under the file's
    own number; the sender of the file asks about it.
    """
    alone = tuple(
        Return(_own_key(entry, one), entry.share(one), entry.booked_on, _why(one), entry.reversal)
        for entry, one in _came_back(report)
    )
    together = tuple(
        Return(name, entry.amount, entry.booked_on, entry.text, entry.reversal)
        for entry in report.booked
        for name in _files_of(entry)
    )
    return alone + together


def _files_of(entry: AccountEntry) -> Iterator[str]:
    """The numbers of the payment files whose money an entry returns. A group's number begins with its file's number."""
    back = (entry.reversal and entry.direction is Direction.CREDIT) or any(one.returned for one in entry.details)
    known = sum(one.amount.minor for one in entry.details if one.amount is not None and _own_key(entry, one))
    if back and known != entry.amount.minor:
        names = [name for batch in entry.batches for name in (batch.message_id, batch.group_id)]
        names += [name for one in entry.details if not _own_key(entry, one) for name in (one.message_id, one.group_id)]
        yield from dict.fromkeys(name.partition("-")[0] for name in names if name)


def _came_back(report: AccountReport) -> Iterator[tuple[AccountEntry, TransactionDetail]]:
    for entry in report.booked:
        for one in entry.details:
            # Money out with return information is a collection that came back; a reversal of money in is none of our
            # payments.
            back = one.returned or (entry.reversal and entry.direction is Direction.CREDIT)
            if back and _own_key(entry, one):
                yield entry, one


def _why(detail: TransactionDetail) -> str:
    return "; ".join(f"{why.code} {why.text}".strip() for why in detail.reasons)


def said_of(report: AccountReport, end_to_end_id: str, amount: Money) -> Outcome | None:
    """The outcome of our payment by the account's entries: settled if it was booked out, returned or reversed if its
    money came back. None if no entry is about it.

    Only a booking with our own id and exactly our amount counts; another amount under our id is doubt.
    """
    for entry, one in _came_back(report):
        if end_to_end_id in (one.end_to_end_id, one.instruction_id):
            return Outcome(Fate.REVERSED if entry.reversal else Fate.RETURNED, f"{report.kind}", _why(one))
    for entry in report.booked:
        if entry.fee or entry.reversal or entry.direction is not Direction.DEBIT:
            continue
        for one in entry.details:
            if end_to_end_id in (one.end_to_end_id, one.instruction_id):
                money = entry.share(one)
                if money != amount:
                    return Outcome(Fate.UNKNOWN, report.kind, f"booked with another amount: {money}")
                return Outcome(
                    Fate.SETTLED, report.kind, "", one.bank_reference or entry.bank_reference or None, entry.booked_at
                )
    return None
