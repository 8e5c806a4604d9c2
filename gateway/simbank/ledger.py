"""A simulated bank's books: the true state of each payment.

Every execution is a separate item in a list that only grows. An index beside it finds duplicates, so that money that
moved twice is visible in `truth()` even if the index is broken or turned off on purpose. The fate of an execution
(settles late, is refused late, comes back) is fixed when it is accepted and falls due by the clock, so that books that
are read back from their record after a kill continue exactly where they were.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any

from gateway.simbank.chance import SeededChance
from gateway.simbank.record import Execution, ExecutionRecord
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.twin import Booked, Booking, Duplicate, DuplicateBundle, Entry, Holding, Instruction

CHINA = timezone(timedelta(hours=8))
_SERIALS_RESERVED = 1_000
_DECIDE, _GIVE_BACK = 0, 1
_ASKED_REFUSALS = {
    "#refuse": "refused_by_bank",
    "#no-funds": "insufficient_funds",
    "#wrong-name": "账号户名不符",
    "#no-account": "收款账号不存在",
    "#over-limit": "超过银行限额",
    "#closed": "非营业时间",
}


@dataclass(frozen=True, slots=True)
class LedgerAccount:
    """An account of the bank, with its balance when the books were opened."""

    number: str
    holder: str
    opening: Money
    frozen_minor: int = 0


@dataclass(frozen=True, slots=True)
class BookingRules:
    """The rules for an instruction without a fault. Shares are of 1, delays in seconds.

    A payment whose purpose or payee's name contains one of the words `#refuse`, `#no-funds`, `#wrong-name`,
    `#no-account`, `#over-limit`, `#closed`, `#late`, `#late-refuse`, `#return`, `#hide` gets that fate, whatever the
    shares are. `fee_minor` is charged to the payer of each settled payment. `returns` False: money never comes back,
    whatever a word, a share or a fault demands; for banks that have no message about it. `dedup` False makes a bank
    that books a repeated reference again, to prove that a campaign detects double payments.
    """

    seed: str = "0"
    refuse_share: float = 0.0
    late_share: float = 0.0
    late_refuse_share: float = 0.0
    late_s: float = 30.0
    return_share: float = 0.0
    return_s: float = 60.0
    hide_s: float = 60.0
    fee_minor: int = 0
    returns: bool = True
    dedup: bool = True


@dataclass(frozen=True, slots=True)
class BookingFault:
    """A fault's effect on one booking: to refuse it with this reason, to hide it from enquiries, or to send it back."""

    refuse: str = ""
    hide_s: float = 0.0
    return_s: float | None = None


@dataclass(slots=True)
class _Sheet:
    """One account: entries, their dates for searching, the balance, and the amount held for undecided payments."""

    account: LedgerAccount
    balance_minor: int
    held_minor: int = 0
    entries: list[Entry] = field(default_factory=list)
    dates: list[date] = field(default_factory=list)


class Ledger:
    """A simulated bank's books, with a clock and a seed; implements `protocols.twin.Books`.

    `file` is a record that is read back if it exists, and written before a booking counts; without a file the books
    last as long as the object. `cut_off` is the local time after which the bank books on the next date. `ahead_ms`: how
    far the bank's clock is ahead of `now_ms`.
    """

    def __init__(
        self,
        now_ms: Callable[[], int],
        accounts: Iterable[LedgerAccount],
        conduct: BookingRules = BookingRules(),
        *,
        file: Path | None = None,
        zone: tzinfo = CHINA,
        cut_off: time | None = None,
        ahead_ms: int = 0,
    ) -> None:
        self.conduct = conduct
        self.ahead_ms = ahead_ms
        self.duplicates = 0
        self.executions: list[Execution] = []
        self.heard: Counter[str] = Counter()
        self._machine_ms = now_ms
        self._zone = zone
        self._cut_off = cut_off
        self._chance = SeededChance(conduct.seed)
        self._sheets = {one.number: _Sheet(one, one.opening.minor) for one in accounts}
        self._index: dict[str, Execution] = {}
        self._bundles: dict[str, list[Execution]] = {}
        self._came_back: list[tuple[int, Execution]] = []
        self._due: list[tuple[int, int, int]] = []
        self._booked_ms = 0
        self._serial = 0
        self._reserved = 0
        self._record = None if file is None else ExecutionRecord(file)
        for line in () if self._record is None else self._record.lines:
            self._restore(line)

    # ---- what a twin may ask (Books) -----------------------------------------------------------------------

    def now(self) -> datetime:
        """The bank's own time in its own zone."""
        return self._moment(self._now_ms())

    def machine_now(self) -> datetime:
        """The machine's time in the bank's zone."""
        return self._moment(self._machine_ms())

    def book_once(self, instruction: Instruction) -> Booking:
        """Book `instruction`, at most once per reference (unless `dedup` is False). Raises Duplicate."""
        return self.book(instruction, BookingFault())

    def take_bundle(self, reference: str, instructions: Sequence[Instruction]) -> tuple[Booking, ...]:
        """Book all of them, or none if the bundle's reference is known; then it raises DuplicateBundle."""
        return self.book_bundle(reference, instructions, ())

    def bundle(self, reference: str) -> tuple[Booking, ...]:
        """A bundle's bookings as an enquiry sees them now, in their order, without those that are still hidden."""
        now_ms = self._advance()
        found = self._bundles.get(reference, [])
        return tuple(self._booking(one, now_ms) for one in found if now_ms >= one.visible_ms)

    def find(self, reference: str) -> Booking | None:
        """The booking as an enquiry sees it now; None if there is none, or while it is hidden."""
        now_ms = self._advance()
        found = self._index.get(reference)
        return None if found is None or now_ms < found.visible_ms else self._booking(found, now_ms)

    def returns(self, account: str, first: date, last: date) -> tuple[Booking, ...]:
        """This debtor's bookings that came back between two bank dates, in the order they came back."""
        now_ms = self._advance()
        return tuple(
            self._booking(execution, now_ms)
            for at_ms, execution in self._came_back
            if execution.instruction.debtor_account == account and first <= self.bank_date(at_ms) <= last
        )

    def holding(self, account: str, on: date | None = None) -> Holding | None:
        """The account's present state, with the money of undecided payments frozen; or its state at the end of the date
        `on`.
        """
        today = self.bank_date(self._advance())
        sheet = self._sheets.get(account)
        if sheet is None:
            return None
        currency, day = sheet.account.opening.currency, today if on is None else on
        previous = self._closing(sheet, bisect_left(sheet.dates, day))
        if day < today:
            book, frozen_minor = self._closing(sheet, bisect_right(sheet.dates, day)), 0
        else:
            book, frozen_minor = Money(sheet.balance_minor, currency), sheet.account.frozen_minor + sheet.held_minor
        return Holding(account, sheet.account.holder, currency, book, Money(frozen_minor, currency), previous)

    def holder_of(self, account: str) -> str | None:
        """The name of the account's holder; None if the bank does not know the account."""
        sheet = self._sheets.get(account)
        return None if sheet is None else sheet.account.holder

    def earlier(self, reference: str) -> Booking | None:
        """The booking under this reference, hidden or not; None if there is none."""
        found = self._index.get(reference)
        return None if found is None else self._booking(found, self._advance())

    def has_bundle(self, reference: str) -> bool:
        """True if a bundle has this reference, hidden or not."""
        return reference in self._bundles

    def _closing(self, sheet: _Sheet, count: int) -> Money:
        """The account's balance after its first `count` entries."""
        return sheet.entries[count - 1].balance_after if count else sheet.account.opening

    def entries(self, account: str, first: date, last: date) -> tuple[Entry, ...]:
        """The account's entries between two bank dates, oldest first; none if the bank does not keep the
        account.
        """
        self._advance()
        sheet = self._sheets.get(account)
        if sheet is None:
            return ()
        return tuple(sheet.entries[bisect_left(sheet.dates, first) : bisect_right(sheet.dates, last)])

    def serial(self) -> int:
        """A number never given out before, not even in an earlier run with this record."""
        if self._serial >= self._reserved:
            self._write({"serials_up_to": self._serial + _SERIALS_RESERVED})
            self._reserved = self._serial + _SERIALS_RESERVED
        self._serial += 1
        return self._serial

    # ---- what the simulator and the tests may do -----------------------------------------------------------

    def set_ahead(self, ahead_ms: int) -> None:
        """Set the bank's clock so far ahead of the machine's, or behind it. Raises ValueError if entries are later."""
        self._advance()
        if self._machine_ms() + ahead_ms < self._booked_ms:
            at = self._moment(self._booked_ms)
            raise ValueError(f"there are entries of {at:%Y-%m-%d %H:%M:%S}: the bank's clock cannot be earlier")
        self.ahead_ms = ahead_ms
        self._advance()

    def hear(self, reference: str) -> None:
        """Count the arrival of one message to move money, whatever its result. See `record.read_heard`."""
        self.heard[reference] += 1
        self._write({"heard": reference})

    def book(self, instruction: Instruction, wish: BookingFault) -> Booking:
        """Book `instruction` as `book_once` does, with the effect of a fault."""
        now_ms = self._advance()
        earlier = self._index.get(instruction.reference)
        if earlier is not None and self.conduct.dedup:
            self.duplicates += 1
            raise Duplicate(self._booking(earlier, now_ms))
        execution = self._meddled(self._plan(instruction, now_ms), wish)
        self._write({"execution": execution.to_plain()})
        self._enter(execution)
        return self._booking(execution, self._advance())

    def book_bundle(
        self, reference: str, instructions: Sequence[Instruction], wishes: Sequence[BookingFault]
    ) -> tuple[Booking, ...]:
        """Book a bundle as `take_bundle` does, with a fault's effect for each instruction. The last effect applies to
        all further ones."""
        now_ms = self._advance()
        if reference in self._bundles and self.conduct.dedup:
            self.duplicates += 1
            raise DuplicateBundle(reference)
        executions: list[Execution] = []
        seen: set[str] = set()
        for number, instruction in enumerate(instructions):
            wish = wishes[min(number, len(wishes) - 1)] if wishes else BookingFault()
            if self.conduct.dedup and (instruction.reference in self._index or instruction.reference in seen):
                wish = BookingFault(refuse="duplicate")
            seen.add(instruction.reference)
            planned = self._plan(replace(instruction, bundle=reference), now_ms, len(executions))
            executions.append(self._meddled(planned, wish))
        self._write({"bundle": reference, "executions": [one.to_plain() for one in executions]})
        self._enter_bundle(reference, executions)
        now_ms = self._advance()
        return tuple(self._booking(one, now_ms) for one in executions)

    def _enter_bundle(self, reference: str, executions: list[Execution]) -> None:
        self._bundles.setdefault(reference, []).extend(executions)
        for execution in executions:
            self._enter(execution)

    def truth(self) -> dict[str, list[Execution]]:
        """Every execution by reference. If a reference has more than one that was not refused, money moved twice."""
        found: dict[str, list[Execution]] = {}
        for execution in self.executions:
            found.setdefault(execution.instruction.reference, []).append(execution)
        return found

    def doubles(self) -> list[str]:
        """References with more than one execution that was not refused. An honest bank has none."""
        return [
            reference
            for reference, executions in self.truth().items()
            if sum(not execution.refused for execution in executions) > 1
        ]

    def report(self) -> dict[str, list[dict[str, Any]]]:
        """The books as plain values, with the present state of each execution, for another process to compare."""
        now_ms = self._advance()
        return {
            reference: [one.to_plain() | {"booked": one.booked(now_ms).value} for one in executions]
            for reference, executions in self.truth().items()
        }

    def bank_date(self, at_ms: int) -> date:
        """The bank's business date at a time: its local day, or the next day after the cut-off."""
        moment = self._moment(at_ms)
        late = self._cut_off is not None and moment.time() >= self._cut_off
        return moment.date() + timedelta(days=1) if late else moment.date()

    def close(self) -> None:
        """Close the record. Nothing can be booked any more."""
        if self._record is not None:
            self._record.close()

    # ---- deciding ------------------------------------------------------------------------------------------

    def _plan(self, instruction: Instruction, now_ms: int, ahead: int = 0) -> Execution:
        """Decide the result of an instruction, by rule and by chance."""
        conduct, hits, reference = self.conduct, self._chance.hits, instruction.reference
        words = _words(instruction)
        refused, decided_ms, returned_ms = self._refusal(instruction), now_ms, None
        if not refused:
            late_refuse = "#late-refuse" in words or hits(conduct.late_refuse_share, "late-refuse", reference)
            if late_refuse or "#late" in words or hits(conduct.late_share, "late", reference):
                decided_ms += _ms(conduct.late_s)
            refused = "refused_late" if late_refuse else ""
        if not refused and conduct.returns and ("#return" in words or hits(conduct.return_share, "return", reference)):
            returned_ms = decided_ms + _ms(conduct.return_s)
        serial = f"{self.bank_date(now_ms):%Y%m%d}{self.serial():012d}"
        return Execution(
            number=len(self.executions) + 1 + ahead,
            instruction=instruction,
            bank_serial=serial,
            at_ms=now_ms,
            decided_ms=decided_ms,
            refused=refused,
            returned_ms=returned_ms,
            visible_ms=now_ms + (_ms(conduct.hide_s) if "#hide" in words else 0),
            fee_minor=0 if refused else conduct.fee_minor,
        )

    def _refusal(self, instruction: Instruction) -> str:
        """The reason why the bank refuses the instruction at once; None if it does not."""
        sheet = self._sheets.get(instruction.debtor_account)
        if sheet is None:
            return "unknown_account"
        if sheet.account.opening.currency != instruction.amount.currency:
            return "wrong_currency"
        if instruction.amount.minor <= 0:
            return "bad_amount"
        words = _words(instruction)
        asked = next((reason for word, reason in _ASKED_REFUSALS.items() if word in words), "")
        if asked:
            return asked
        if self._chance.hits(self.conduct.refuse_share, "refuse", instruction.reference):
            return "refused_by_bank"
        if instruction.collects:
            return ""
        spendable = sheet.balance_minor - sheet.held_minor - sheet.account.frozen_minor
        return "insufficient_funds" if spendable < instruction.amount.minor + self.conduct.fee_minor else ""

    def _meddled(self, planned: Execution, wish: BookingFault) -> Execution:
        if wish.refuse:
            refused = planned.refused or wish.refuse
            return replace(planned, refused=refused, decided_ms=planned.at_ms, returned_ms=None, fee_minor=0)
        if wish.hide_s:
            planned = replace(planned, visible_ms=planned.at_ms + _ms(wish.hide_s))
        if wish.return_s is not None and self.conduct.returns and not planned.refused:
            planned = replace(planned, returned_ms=planned.decided_ms + _ms(wish.return_s))
        return planned

    # ---- booking -------------------------------------------------------------------------------------------

    def _enter(self, execution: Execution) -> None:
        """Book an execution, and schedule its later events."""
        self.executions.append(execution)
        if execution.refused != "duplicate":
            self._index[execution.instruction.reference] = execution
        if execution.refused and execution.decided_ms <= execution.at_ms:
            return
        sheet = self._sheets[execution.instruction.debtor_account]
        sheet.held_minor += _held_minor(execution)
        heapq.heappush(self._due, (execution.decided_ms, execution.number, _DECIDE))
        if execution.returned_ms is not None:
            heapq.heappush(self._due, (execution.returned_ms, execution.number, _GIVE_BACK))

    def _advance(self) -> int:
        """Carry out all events that are due, in order of time; returns the present time."""
        now_ms = self._now_ms()
        while self._due and self._due[0][0] <= now_ms:
            at_ms, number, stage = heapq.heappop(self._due)
            self._booked_ms = max(self._booked_ms, at_ms)
            execution = self.executions[number - 1]
            if stage == _DECIDE:
                self._decide(execution, at_ms)
            else:
                self._move(execution.instruction, at_ms, "returned", back=True)
                self._came_back.append((at_ms, execution))
        return now_ms

    def _decide(self, execution: Execution, at_ms: int) -> None:
        instruction = execution.instruction
        sheet = self._sheets[instruction.debtor_account]
        sheet.held_minor -= _held_minor(execution)
        assert sheet.held_minor >= 0, "more was released than was held"
        if execution.refused:
            return
        self._move(instruction, at_ms, instruction.purpose)
        if execution.fee_minor:
            charge = replace(
                instruction,
                creditor_account="",
                creditor_name="",
                amount=Money(execution.fee_minor, instruction.amount.currency),
            )
            self._line(sheet, Direction.DEBIT, charge, at_ms, ("", ""), "fee", fee=True)

    def _move(self, instruction: Instruction, at_ms: int, text: str, *, back: bool = False) -> None:
        """Write the debtor's line, and the creditor's if the bank keeps that account too."""
        out, into = Direction.DEBIT, Direction.CREDIT
        if back is not instruction.collects:
            out, into = into, out
        sheet = self._sheets[instruction.debtor_account]
        payee = (instruction.creditor_account, instruction.creditor_name)
        self._line(sheet, out, instruction, at_ms, payee, text)
        other = self._sheets.get(instruction.creditor_account)
        if other is not None:
            self._line(other, into, instruction, at_ms, (sheet.account.number, sheet.account.holder), text)

    def _line(
        self,
        sheet: _Sheet,
        direction: Direction,
        instruction: Instruction,
        at_ms: int,
        counterparty: tuple[str, str],
        text: str,
        *,
        fee: bool = False,
    ) -> None:
        amount = instruction.amount
        sheet.balance_minor += amount.minor if direction is Direction.CREDIT else -amount.minor
        day = self.bank_date(at_ms)
        assert not sheet.dates or sheet.dates[-1] <= day, "entries must be booked in order of time"
        sheet.dates.append(day)
        sheet.entries.append(
            Entry(
                len(sheet.entries) + 1,
                direction,
                amount,
                self._moment(at_ms),
                day,
                *counterparty,
                text,
                Money(sheet.balance_minor, amount.currency),
                instruction.reference,
                fee,
            )
        )

    def _booking(self, execution: Execution, now_ms: int) -> Booking:
        booked = execution.booked(now_ms)
        fee = Money(execution.fee_minor, execution.instruction.amount.currency) if execution.fee_minor else None
        back_ms = execution.returned_ms if booked is Booked.RETURNED else None
        reason = {Booked.REFUSED: execution.refused, Booked.RETURNED: "returned_by_payee_bank"}.get(booked, "")
        at_ms = execution.at_ms if booked is Booked.TAKEN else execution.decided_ms
        return Booking(
            execution.instruction,
            booked,
            execution.bank_serial,
            self._moment(at_ms),
            self.bank_date(execution.at_ms),
            fee,
            reason,
            None if back_ms is None else self.bank_date(back_ms),
        )

    def _now_ms(self) -> int:
        return self._machine_ms() + self.ahead_ms

    def _moment(self, at_ms: int) -> datetime:
        return datetime.fromtimestamp(at_ms / 1000, self._zone)

    # ---- the record ----------------------------------------------------------------------------------------

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._record is not None:
            self._record.append(line)

    def _restore(self, line: Mapping[str, Any]) -> None:
        if "serials_up_to" in line:
            self._serial = self._reserved = int(line["serials_up_to"])
        elif "heard" in line:
            self.heard[line["heard"]] += 1
        elif "bundle" in line:
            self._enter_bundle(line["bundle"], [Execution.from_plain(one) for one in line["executions"]])
        else:
            self._enter(Execution.from_plain(line["execution"]))


def _held_minor(execution: Execution) -> int:
    """The client's money that an undecided execution holds. A collection brings money, so it holds none."""
    return execution.fee_minor + (0 if execution.instruction.collects else execution.instruction.amount.minor)


def _words(instruction: Instruction) -> str:
    return f"{instruction.purpose} {instruction.creditor_name}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
