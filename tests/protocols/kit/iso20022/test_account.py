"""camt.052/053/054: read leniently, with findings; sums and sequence; the fate of a payment by an account's entries."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from protocols.canon.money import Money
from protocols.canon.outcome import Fate
from protocols.canon.statement import Direction
from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022 import account, account_writer, lines
from protocols.kit.iso20022.account import AccountEntry, AccountReport, CamtBalance, TransactionDetail, gap
from protocols.kit.iso20022.parts import StatusReason
from tests.protocols.kit.iso20022.paper import AT, DAY, OURS_IBAN, changed, side, tree

NAMES = [f"{kind}.001.{version}" for kind in ("camt.052", "camt.053", "camt.054") for version in ("02", "08")]


def euros(text: str) -> Money:
    return Money.parse(text, "EUR")


def entry(
    amount: str,
    direction: Direction = Direction.DEBIT,
    *details: TransactionDetail,
    reference: str = "B-1",
    reversal: bool = False,
    status: str = "BOOK",
) -> AccountEntry:
    return AccountEntry(
        euros(amount), direction, status, reversal, "N-1", reference, DAY, None, DAY, "PMNT/ICDT/ESCT", "转账", details
    )


def detail(name: str, amount: str, *, back: str = "") -> TransactionDetail:
    why = (StatusReason(back, "账号不存在"),) if back else ()
    return TransactionDetail(
        euros(amount),
        name,
        f"I-{name}",
        "M-1",
        "G-1",
        f"T-{name}",
        None,
        side("示例乙", "0000000000000000025", bic="BBBBFIHH"),
        "货款",
        "",
        bool(back),
        why,
    )


def statement(
    *entries: AccountEntry,
    opening: str = "100.00",
    closing: str = "87.66",
    kind: str = "camt.053",
    sequence: int | None = 7,
) -> AccountReport:
    balances = (
        ()
        if kind == "camt.054"
        else (CamtBalance("OPBD", euros(opening), DAY - timedelta(days=1)), CamtBalance("CLBD", euros(closing), DAY))
    )
    return AccountReport(kind, "S-7", OURS_IBAN, "EUR", AT, sequence, DAY, DAY, None, True, balances, entries)


def back_and_forth(report: AccountReport, name: str) -> AccountReport:
    (found,) = account.read_reports(tree(account_writer.write_reports("M-9", AT, [report], name)))
    return found


PAID = entry("12.34", Direction.DEBIT, detail("E2E-1", "12.34"))


@pytest.mark.parametrize("name", NAMES)
def test_a_report_comes_back_as_it_went(name: str) -> None:
    report = statement(PAID, kind=name[:8])
    assert back_and_forth(report, name) == report


def test_what_does_not_add_up_is_a_finding_and_still_read() -> None:
    wrong = back_and_forth(statement(PAID, closing="87.65"), "camt.053.001.08")
    assert wrong.findings == ("opening 100.00 and entries -12.34 do not make closing 87.65: off by -0.01",)
    assert len(wrong.entries) == 1


def test_pending_entries_do_not_count() -> None:
    waiting = entry("5.00", status="PDNG")
    assert back_and_forth(statement(PAID, waiting), "camt.053.001.02").findings == ()
    assert len(lines.lines(statement(PAID, waiting))) == 1


def test_details_that_do_not_sum_are_a_finding_and_one_line() -> None:
    both = entry("12.34", Direction.DEBIT, detail("E2E-1", "10.00"), detail("E2E-2", "2.00"))
    found = back_and_forth(statement(both), "camt.053.001.08")
    assert found.findings == ("entry 1: its details do not sum to its amount",)
    assert [line.amount for line in lines.lines(found)] == [euros("12.34")]


def test_a_batch_booking_is_one_line_a_payment() -> None:
    both = entry("12.34", Direction.DEBIT, detail("E2E-1", "10.00"), detail("E2E-2", "2.34"))
    found = lines.lines(statement(both))
    assert [(line.reference, line.amount, line.bank_line_id) for line in found] == [
        ("I-E2E-1", euros("10.00"), "T-E2E-1"),
        ("I-E2E-2", euros("2.34"), "T-E2E-2"),
    ]


def test_alike_entries_are_counted_apart() -> None:
    plain = replace(PAID, details=())
    assert [(line.bank_line_id, line.occurrence) for line in lines.lines(statement(plain, plain))] == [
        ("B-1", 0),
        ("B-1", 1),
    ]


@pytest.mark.parametrize("written", ["", "NONREF", "NOTPROVIDED"])
def test_without_a_reference_of_the_bank_an_id_is_made_of_what_the_entry_says(written: str) -> None:
    """The id is the same in today's report and in the statement, whatever the numbers of the reports and the order of
    their entries."""
    whole = entry("12.34", Direction.DEBIT, detail("E2E-1", "10.00"), detail("E2E-2", "2.34"))
    fee = replace(entry("0.30"), bank_code="PMNT/ICDT/CHRG", text="fee")
    credit = entry("5.00", Direction.CREDIT, detail("E2E-3", "5.00"))
    bare = [
        replace(
            one, bank_reference=written, details=tuple(replace(each, bank_reference=written) for each in one.details)
        )
        for one in (whole, fee, fee, credit, entry("0.30"))
    ]
    today = [replace(one, reference=f"{n}") for n, one in enumerate(bare)]
    later = [replace(one, reference=f"{9 - n}") for n, one in enumerate(reversed(bare))]
    reports = (
        back_and_forth(replace(statement(*today, kind="camt.052"), id="R-1"), "camt.052.001.08"),
        back_and_forth(statement(*later), "camt.053.001.08"),
    )
    found = [
        {(one.bank_line_id, one.occurrence): (one.direction, one.amount, one.fee) for one in lines.lines(report)}
        for report in reports
    ]
    assert found[0] == found[1] and len(found[0]) == 6


def test_an_overdrawn_account_is_negative() -> None:
    found = back_and_forth(statement(opening="100.00", closing="100.00"), "camt.053.001.08")
    red = replace(found, balances=(CamtBalance("CLBD", euros("0.00") - euros("5.00"), DAY),))
    again = back_and_forth(red, "camt.053.001.08")
    assert lines.balance(again).book == Money(-500, "EUR")


@pytest.mark.parametrize(
    ("sequence", "opening", "sentence"),
    [
        (8, "87.66", ""),
        (10, "87.66", "2 statements missing before 10"),
        (7, "87.66", "statement 7 follows 7: repeated or out of order"),
        (8, "87.00", "opens with 87.00 where the one before closed with 87.66"),
        (1, "87.66", ""),
    ],
)
def test_gaps_between_statements(sequence: int, opening: str, sentence: str) -> None:
    assert gap(statement(PAID), statement(sequence=sequence, opening=opening, closing=opening)) == sentence


def test_a_payment_of_ours_is_found_by_its_id_and_amount() -> None:
    said = lines.said_of(statement(PAID), "E2E-1", euros("12.34"))
    assert said is not None and said.fate is Fate.SETTLED and said.bank_serial == "T-E2E-1"
    assert lines.said_of(statement(PAID), "E2E-2", euros("12.34")) is None
    other = lines.said_of(statement(PAID), "E2E-1", euros("12.35"))
    assert other is not None and other.fate is Fate.UNKNOWN


@pytest.mark.parametrize(("reversal", "fate"), [(False, Fate.RETURNED), (True, Fate.REVERSED)])
def test_money_that_came_back(reversal: bool, fate: Fate) -> None:
    code = "" if reversal else "AC01"
    back = entry("12.34", Direction.CREDIT, detail("E2E-1", "12.34", back=code), reversal=reversal)
    report = back_and_forth(statement(PAID, back, closing="100.00"), "camt.053.001.08")
    said = lines.said_of(report, "E2E-1", euros("12.34"))
    assert said is not None and said.fate is fate
    (one,) = lines.returns(report)
    assert (one.reference, one.amount, one.reversed) == ("I-E2E-1", euros("12.34"), reversal)


def test_money_that_came_in_is_no_payment_of_ours() -> None:
    came = entry("12.34", Direction.CREDIT, detail("E2E-1", "12.34"))
    assert lines.said_of(statement(came), "E2E-1", euros("12.34")) is None
    assert lines.returns(statement(came)) == ()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("<CdtDbtInd>DBIT</CdtDbtInd>", "<CdtDbtInd>BOTH</CdtDbtInd>", "neither CRDT nor DBIT"),
        (">12.34</Amt>", ">12,34</Amt>", "no amount"),
        ("<Cd>BOOK</Cd>", "<Cd>MAYBE</Cd>", "whether the entry is booked"),
    ],
)
def test_an_entry_that_cannot_be_read_is_left_out_alone(old: str, new: str, why: str) -> None:
    other = entry("1.00", Direction.CREDIT, reference="B-2")
    data = account_writer.write_reports("M-9", AT, [statement(PAID, other), statement(other)], "camt.053.001.08")
    first, second = account.read_reports(changed(data, old, new, 1))
    assert (len(first.entries), first.unread, len(second.entries), second.unread) == (1, 1, 1, 0)
    assert first.findings[-1].startswith("entry 1 cannot be read and is left out (") and why in first.findings[-1]


def test_a_part_of_an_entry_that_cannot_be_read_hides_neither_the_entry_nor_its_other_parts() -> None:
    both = entry("12.34", Direction.DEBIT, detail("E2E-1", "10.00"), detail("E2E-2", "2.34"))
    data = account_writer.write_reports("M-9", AT, [statement(both)], "camt.053.001.08")
    (found,) = account.read_reports(changed(data, ">10.00</Amt>", ">10,00</Amt>"))
    assert found.unread == 0 and [line.amount for line in lines.lines(found)] == [euros("12.34")]
    assert [(one.instruction_id, one.amount) for one in found.entries[0].details] == [
        ("", None),
        ("I-E2E-2", euros("2.34")),
    ]
    assert any("entry 1: a part of it cannot be read" in one for one in found.findings)


def test_a_head_that_cannot_be_read_in_part_keeps_its_entries_and_no_account_is_nobody_s() -> None:
    data = account_writer.write_reports("M-9", AT, [statement(PAID)], "camt.053.001.08")
    (found,) = account.read_reports(changed(data, ">87.66</Amt>", ">87,66</Amt>"))
    assert len(found.entries) == 1 and found.unread == 0 and found.balance("CLBD") is None
    assert any("a part of its head cannot be read" in one for one in found.findings)
    (nobody_s,) = account.read_reports(changed(data, "<Acct>", "<Acct/><Acct>"))
    assert (nobody_s.account, nobody_s.unread, nobody_s.entries) == ("", 1, found.entries)


def test_a_list_in_a_form_that_nobody_knows_does_not_fill_the_log() -> None:
    data = account_writer.write_reports("M-9", AT, [statement(*[PAID] * 50)], "camt.053.001.08")
    (found,) = account.read_reports(changed(data, "<Cd>BOOK</Cd>", "<Cd>MAYBE</Cd>"))
    assert found.unread == 50
    assert len([one for one in found.findings if "cannot be read" in one]) == account.UNREAD_TOLD + 1
    assert "30 more entries cannot be read" in found.findings[-1]


def test_a_miscounted_statement_is_a_finding() -> None:
    data = account_writer.write_reports("M-9", AT, [statement(PAID)], "camt.053.001.08")
    summary = "<TxsSummry><TtlNtries><NbOfNtries>2</NbOfNtries></TtlNtries></TxsSummry><Ntry>"
    (found,) = account.read_reports(changed(data, "<Ntry>", summary))
    assert found.findings == ("says it has 2 entries and has 1",)


def test_a_fee_under_our_id_is_not_the_payment() -> None:
    fee = replace(entry("0.50", Direction.DEBIT, detail("E2E-1", "0.50")), bank_code="PMNT/ICDT/CHRG")
    report = back_and_forth(statement(fee, PAID, closing="87.16"), "camt.053.001.08")
    said = lines.said_of(report, "E2E-1", euros("12.34"))
    assert said is not None and said.fate is Fate.SETTLED
    assert [line.fee for line in lines.lines(report)] == [True, False]


def test_an_entry_of_no_day_takes_the_day_it_is_given_or_is_refused() -> None:
    bare = replace(statement(replace(PAID, booked_on=None, booked_at=None, value_on=None)), first=None, last=None)
    assert lines.lines(bare, DAY)[0].bank_date == DAY
    with pytest.raises(ProtocolError) as error:
        lines.lines(bare)
    assert error.value.reason == "missing"


def test_what_a_bank_writes_cannot_deceive_a_reader() -> None:
    [line] = lines.lines(statement(replace(PAID, details=(), text="paid\u202eback")))
    assert line.text == "paid\ufffdback"


def test_a_day_without_entries_is_counted_right() -> None:
    data = account_writer.write_reports("M-9", AT, [statement(closing="100.00")], "camt.053.001.08")
    summary = "<TxsSummry><TtlNtries><NbOfNtries>{0}</NbOfNtries></TtlNtries></TxsSummry></Stmt>"
    for count, findings in (("0", ()), ("1", ("says it has 1 entries and has 0",))):
        (found,) = account.read_reports(changed(data, "</Bal></Stmt>", "</Bal>" + summary.format(count)))
        assert found.findings == findings


@pytest.mark.parametrize(
    ("lines_of_text", "read"),
    [(("货款", "一月"), "货款 一月"), (("货款", ""), "货款"), (("", "货款"), "货款"), (("", ""), "")],
)
def test_several_lines_are_one_text_and_empty_ones_are_none(lines_of_text: tuple[str, ...], read: str) -> None:
    data = account_writer.write_reports("M-9", AT, [statement(PAID)], "camt.053.001.08")
    several = "".join(f"<Ustrd>{one}</Ustrd>" for one in lines_of_text)
    (found,) = account.read_reports(changed(data, "<Ustrd>货款</Ustrd>", several))
    assert found.entries[0].details[0].text == read
