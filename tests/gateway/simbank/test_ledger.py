"""The books of a simulated bank: each payment is booked at most once, nothing is lost, and the record shows it if that
promise is broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simbank.chance import SeededChance
from gateway.simbank.ledger import CHINA, BookingFault, BookingRules, Ledger, LedgerAccount
from gateway.simbank.record import read_executions
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.twin import Booked, Books, Duplicate, Instruction

A, B, OUTSIDE = "0000000000000001", "0000000000000002", "0000000000000099"
START_MS = round(datetime(2026, 11, 24, 23, 50, tzinfo=CHINA).timestamp() * 1000)
TODAY, TOMORROW = date(2026, 11, 24), date(2026, 11, 25)


@dataclass(slots=True)
class Hands:
    """A clock that is moved by hand."""

    ms: int = START_MS

    def now_ms(self) -> int:
        return self.ms

    def later(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


def accounts(opening: int = 100_000) -> tuple[LedgerAccount, ...]:
    return (LedgerAccount(A, "甲", Money(opening), frozen_minor=500), LedgerAccount(B, "乙", Money(0)))


def books(
    hands: Hands, conduct: BookingRules | None = None, file: Path | None = None, cut_off: time | None = None
) -> Ledger:
    made = BookingRules() if conduct is None else conduct
    return Ledger(hands.now_ms, accounts(), made, file=file, cut_off=cut_off)


def asked(
    reference: str = "R1", minor: int = 1_000, purpose: str = "", to: str = OUTSIDE, source: str = A
) -> Instruction:
    return Instruction(reference, source, to, "丙", Money(minor), purpose)


def test_it_is_what_a_twin_may_ask_for() -> None:
    ledger: Books = books(Hands())
    assert ledger.now() == datetime(2026, 11, 24, 15, 50, tzinfo=UTC)
    assert ledger.now().utcoffset() == timedelta(hours=8)


def test_settled_at_once_moves_the_money() -> None:
    ledger = books(Hands())
    booking = ledger.book_once(asked(to=B))
    assert (booking.booked, booking.bank_date, booking.reason) == (Booked.SETTLED, TODAY, "")
    held, other = ledger.holding(A), ledger.holding(B)
    assert held is not None
    assert other is not None
    assert (held.book, held.frozen, held.previous_day) == (Money(99_000), Money(500), Money(100_000))
    assert other.book == Money(1_000)
    [entry] = ledger.entries(A, TODAY, TODAY)
    assert (entry.number, entry.direction, entry.amount) == (1, Direction.DEBIT, Money(1_000))
    assert (entry.counterparty_account, entry.reference, entry.balance_after) == (B, "R1", Money(99_000))
    [entry] = ledger.entries(B, TODAY, TODAY)
    assert (entry.direction, entry.counterparty_account) == (Direction.CREDIT, A)
    assert ledger.find("R1") == booking


def test_a_repeated_reference_is_a_duplicate_of_the_first_and_moves_nothing() -> None:
    ledger = books(Hands())
    first = ledger.book_once(asked())
    with pytest.raises(Duplicate) as again:
        ledger.book_once(asked(minor=77))
    assert again.value.booking == first
    assert len(ledger.truth()["R1"]) == 1
    assert (ledger.duplicates, ledger.doubles()) == (1, [])


def test_a_bank_without_deduplication_books_twice_and_the_truth_shows_it() -> None:
    ledger = books(Hands(), BookingRules(dedup=False))
    ledger.book_once(asked())
    ledger.book_once(asked())
    assert len(ledger.truth()["R1"]) == 2
    assert ledger.doubles() == ["R1"]
    held = ledger.holding(A)
    assert held is not None
    assert held.book == Money(98_000)


def test_the_truth_shows_a_double_even_if_the_index_is_broken() -> None:
    ledger = books(Hands())
    ledger.book_once(asked())
    ledger._index.clear()
    ledger.book_once(asked())
    assert ledger.doubles() == ["R1"]


def test_a_refused_first_copy_is_no_double() -> None:
    ledger = books(Hands(), BookingRules(dedup=False))
    ledger.book_once(asked(purpose="#refuse"))
    ledger.book_once(asked())
    assert len(ledger.truth()["R1"]) == 2
    assert ledger.doubles() == []


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [
        (asked(purpose="please #refuse"), "refused_by_bank"),
        (asked(purpose="货款 #no-funds"), "insufficient_funds"),
        (asked(purpose="#wrong-name"), "账号户名不符"),
        (asked(purpose="#no-account"), "收款账号不存在"),
        (asked(purpose="#over-limit"), "超过银行限额"),
        (asked(purpose="#closed"), "非营业时间"),
        (asked(minor=99_501), "insufficient_funds"),
        (asked(source=OUTSIDE), "unknown_account"),
        (replace(asked(), amount=Money(5, "USD")), "wrong_currency"),
        (asked(minor=0), "bad_amount"),
    ],
)
def test_refusals(instruction: Instruction, reason: str) -> None:
    ledger = books(Hands())
    booking = ledger.book_once(instruction)
    assert (booking.booked, booking.reason) == (Booked.REFUSED, reason)
    assert ledger.entries(A, TODAY, TOMORROW) == ()
    assert ledger.find("R1") == booking


def test_the_last_fen_can_be_spent() -> None:
    assert books(Hands()).book_once(asked(minor=99_500)).booked is Booked.SETTLED


def test_late_settlement_holds_the_money_until_then() -> None:
    hands = Hands()
    ledger = books(hands, BookingRules(late_s=30))
    assert ledger.book_once(asked(purpose="#late", minor=90_000)).booked is Booked.TAKEN
    held = ledger.holding(A)
    assert held is not None
    assert (held.book, held.frozen) == (Money(100_000), Money(90_500))
    assert ledger.book_once(asked("R2", minor=9_501)).reason == "insufficient_funds"
    hands.later(29.999)
    found = ledger.find("R1")
    assert found is not None
    assert found.booked is Booked.TAKEN
    hands.later(0.001)
    found = ledger.find("R1")
    assert found is not None
    assert (found.booked, found.at) == (Booked.SETTLED, ledger.now())
    held = ledger.holding(A)
    assert held is not None
    assert (held.book, held.frozen) == (Money(10_000), Money(500))


def test_late_refusal_gives_the_held_money_free() -> None:
    hands = Hands()
    ledger = books(hands)
    assert ledger.book_once(asked(purpose="#late-refuse")).booked is Booked.TAKEN
    hands.later(30)
    found = ledger.find("R1")
    assert found is not None
    assert (found.booked, found.reason) == (Booked.REFUSED, "refused_late")
    held = ledger.holding(A)
    assert held is not None
    assert (held.book, held.frozen) == (Money(100_000), Money(500))


def test_hidden_from_enquiries_but_booked() -> None:
    hands = Hands()
    ledger = books(hands, BookingRules(hide_s=60))
    ledger.book_once(asked(purpose="#hide"))
    assert ledger.find("R1") is None
    assert len(ledger.entries(A, TODAY, TODAY)) == 1
    with pytest.raises(Duplicate):
        ledger.book_once(asked())
    hands.later(60)
    assert ledger.find("R1") is not None


def test_returned_across_the_day_change() -> None:
    hands = Hands()
    ledger = books(hands, BookingRules(return_s=900, fee_minor=20))
    ledger.book_once(asked(purpose="#return", to=B))
    hands.later(900)
    found = ledger.find("R1")
    assert found is not None
    assert (found.booked, found.bank_date, found.returned_on) == (Booked.RETURNED, TODAY, TOMORROW)
    assert ledger.returns(A, TOMORROW, TOMORROW) == (found,)
    assert ledger.returns(A, TODAY, TODAY) == ()
    assert ledger.returns(B, TODAY, TOMORROW) == ()
    entries = ledger.entries(A, TODAY, TOMORROW)
    assert [(one.direction.value, one.amount.minor, one.fee) for one in entries] == [
        ("debit", 1_000, False),
        ("debit", 20, True),
        ("credit", 1_000, False),
    ]
    held = ledger.holding(A)
    assert held is not None
    assert (held.book, held.previous_day) == (Money(99_980), Money(98_980))
    other = ledger.holding(B)
    assert other is not None
    assert other.book == Money(0)


def test_after_the_cut_off_it_is_tomorrow() -> None:
    ledger = books(Hands(), cut_off=time(23, 50))
    assert ledger.book_once(asked()).bank_date == TOMORROW
    assert books(Hands(), cut_off=time(23, 51)).book_once(asked()).bank_date == TODAY


def test_faults_have_their_wish() -> None:
    hands = Hands()
    ledger = books(hands)
    assert ledger.book(asked("R1"), BookingFault(refuse="no")).reason == "no"
    ledger.book(asked("R2"), BookingFault(hide_s=5))
    assert ledger.find("R2") is None
    ledger.book(asked("R3"), BookingFault(return_s=5))
    hands.later(5)
    assert [booking.instruction.reference for booking in ledger.returns(A, TODAY, TODAY)] == ["R3"]


def test_accounts_it_does_not_keep() -> None:
    ledger = books(Hands())
    assert ledger.holding(OUTSIDE) is None
    assert ledger.entries(OUTSIDE, TODAY, TODAY) == ()


def test_shares_are_kept_by_chance_that_does_not_depend_on_order() -> None:
    conduct = BookingRules(seed="s", refuse_share=0.2, late_share=0.3)
    references = [f"R{n}" for n in range(400)]

    def decided(order: Sequence[str]) -> dict[str, Booked]:
        ledger = books(Hands(), conduct)
        return {reference: ledger.book_once(asked(reference, minor=1)).booked for reference in order}

    forwards = decided(references)
    assert decided(references[::-1]) == forwards
    counts = [list(forwards.values()).count(one) for one in (Booked.REFUSED, Booked.TAKEN)]
    assert 50 <= counts[0] <= 110
    assert 60 <= counts[1] <= 130


def test_chance_is_even_and_seeded() -> None:
    rolls = [SeededChance("x").roll("a", n) for n in range(2_000)]
    assert all(0.0 <= roll < 1.0 for roll in rolls)
    assert 0.47 < sum(rolls) / len(rolls) < 0.53
    assert rolls[:3] != [SeededChance("y").roll("a", n) for n in range(3)]
    assert SeededChance("x").octets(100, "a") == SeededChance("x").octets(200, "a")[:100]
    assert not SeededChance("x").hits(0.0, "a")
    assert SeededChance("x").hits(1.0, "a")


# ---- the record ------------------------------------------------------------------------------------


def test_a_killed_bank_goes_on_where_it_was(tmp_path: Path) -> None:
    file, hands = tmp_path / "ledger.jsonl", Hands()
    conduct = BookingRules(fee_minor=3)
    first = books(hands, conduct, file)
    first.book_once(asked("R1", to=B))
    first.book_once(asked("R2", purpose="#late"))
    first.book_once(asked("R3", purpose="#return"))
    serial = first.serial()
    hands.later(10)  # no close: the process was killed
    second = books(hands, conduct, file)
    assert second.truth() == first.truth()
    with pytest.raises(Duplicate):
        second.book_once(asked("R1"))
    hands.later(100)
    for account in (A, B):
        assert second.holding(account) == first.holding(account)
        assert second.entries(account, TODAY, TOMORROW) == first.entries(account, TODAY, TOMORROW)
    assert second.returns(A, TODAY, TOMORROW) == first.returns(A, TODAY, TOMORROW)
    assert second.serial() > serial
    assert read_executions(file) == second.executions
    second.close()


def test_a_line_cut_by_the_kill_never_was(tmp_path: Path) -> None:
    file, hands = tmp_path / "ledger.jsonl", Hands()
    books(hands, None, file).book_once(asked("R1"))
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"execution":{"number":2,')
    assert [one.number for one in read_executions(file)] == [1]
    again = books(hands, None, file)
    again.book_once(asked("R2"))
    assert [one.instruction.reference for one in read_executions(file)] == ["R1", "R2"]


def test_a_record_that_is_none_is_refused_by_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    file.write_text('{"serials_up_to":1000}\nno json\n')
    with pytest.raises(ValueError, match=r"ledger\.jsonl: line 2"):
        books(Hands(), None, file)


def test_the_booking_is_written_before_it_counts(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    ledger = books(Hands(), None, file)
    ledger.close()
    with pytest.raises(ValueError):
        ledger.book_once(asked())
    assert ledger.executions == []
    assert ledger.find("R1") is None


def test_report_says_where_each_stands_now() -> None:
    hands = Hands()
    ledger = books(hands)
    ledger.book_once(asked("R1", purpose="#late"))
    assert ledger.report()["R1"][0]["booked"] == "taken"
    hands.later(31)
    line = ledger.report()["R1"][0]
    assert (line["booked"], line["minor"], line["debtor"]) == ("settled", 1_000, A)


# ---- invariants ------------------------------------------------------------------------------------

_WORDS = st.sampled_from(["", "#late", "#late-refuse", "#return", "#hide", "#late #return"])
_TAKES = st.tuples(
    st.integers(0, 12), st.integers(1, 60_000), _WORDS, st.sampled_from([B, OUTSIDE]), st.integers(0, 40)
)


@given(st.lists(_TAKES, max_size=40), st.integers(0, 50))
def test_money_is_neither_made_nor_lost(takes: list[tuple[int, int, str, str, int]], fee: int) -> None:
    hands = Hands()
    ledger = books(hands, BookingRules(fee_minor=fee, late_s=25, return_s=35))
    for number, minor, words, to, wait_s in takes:
        try:
            ledger.book_once(asked(f"R{number}", minor, words, to))
        except Duplicate:
            pass  # as often as the list has the number
        held = ledger.holding(A)
        assert held is not None
        assert held.book.minor - held.frozen.minor >= 0
        hands.later(wait_s)
    hands.later(100)
    executions = ledger.truth()
    assert all(len(one) == 1 for one in executions.values())
    left = 0
    for [one] in executions.values():
        booked = one.booked(hands.ms)
        assert booked is not Booked.TAKEN
        amount = one.instruction.amount.minor
        gone = booked is Booked.SETTLED and one.instruction.creditor_account == OUTSIDE
        left += (amount if gone else 0) + (0 if booked is Booked.REFUSED else one.fee_minor)
    holdings = [ledger.holding(account) for account in (A, B)]
    assert sum(one.book.minor for one in holdings if one is not None) == 100_000 - left
    for account, opening in ((A, 100_000), (B, 0)):
        balance = opening
        entries = ledger.entries(account, TODAY, TOMORROW)
        assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
        assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
        for entry in entries:
            balance += entry.amount.minor * (1 if entry.direction is Direction.CREDIT else -1)
            assert entry.balance_after.minor == balance


@given(st.lists(st.tuples(st.integers(0, 8), _WORDS, st.integers(0, 40)), max_size=20))
def test_a_restart_at_any_time_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, takes: list[tuple[int, str, int]]
) -> None:
    file, hands = tmp_path_factory.mktemp("books") / "ledger.jsonl", Hands()
    steady, restarted = books(hands), books(hands, None, file)
    for number, words, wait_s in takes:
        for ledger in (steady, restarted):
            try:
                ledger.book_once(asked(f"R{number}", 900, words, B))
            except Duplicate:
                pass
        restarted.close()
        hands.later(wait_s)
        restarted = books(hands, None, file)
    hands.later(100)
    for account in (A, B):
        lines = [
            [replace(entry, number=0) for entry in ledger.entries(account, TODAY, TOMORROW)]
            for ledger in (steady, restarted)
        ]
        assert lines[0] == lines[1]
        assert steady.holding(account) == restarted.holding(account)
    restarted.close()


def test_the_clock_goes_back_until_there_is_an_entry_and_forward_always() -> None:
    ledger, day_ms = books(Hands()), 86_400_000
    ledger.set_ahead(-day_ms)
    ledger.book_once(asked("R1"))
    ledger.set_ahead(0)
    ledger.book_once(asked("R2"))
    assert [[one.reference for one in ledger.entries(A, day, day)] for day in (TODAY - timedelta(days=1), TODAY)] == [
        ["R1"],
        ["R2"],
    ]
    with pytest.raises(ValueError, match="entries of 2026-11-24 23:50:00: the bank's clock cannot be earlier"):
        ledger.set_ahead(-1)
    ledger.set_ahead(day_ms)
    assert ledger.now().date() == TOMORROW
    ledger.set_ahead(0)
    assert ledger.ahead_ms == 0 and ledger.now().date() == TODAY


def test_what_falls_due_when_the_clock_goes_ahead_keeps_it_there() -> None:
    ledger = books(Hands(), BookingRules(late_s=60))
    ledger.book_once(asked(purpose="#late"))
    ledger.set_ahead(120_000)
    with pytest.raises(ValueError, match="cannot be earlier"):
        ledger.set_ahead(0)
