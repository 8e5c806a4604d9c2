"""pain.001 and pain.008: a written file fits its schema and is read back unchanged."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.canon.money import Money
from protocols.canon.party import is_iban
from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022 import debit, transfer
from protocols.kit.iso20022.debit import Debit, DebitFile, DebitGroup, Mandate
from protocols.kit.iso20022.parts import control_sum, read_money
from tests.protocols.kit.iso20022.paper import AT, DAY, OURS_IBAN, changed, initiator, side, transfer_file, tree

CREDIT = ["pain.001.001.03", "pain.001.001.09"]
DEBIT = ["pain.008.001.02", "pain.008.001.08"]


def debit_file() -> DebitFile:
    payer = side("示例乙", "0000000000000000025", bic="BBBBFIHH", person=True)
    one = Debit(
        "D-1",
        Money.parse("10.01", "EUR"),
        payer,
        Mandate("MND-1", date(2026, 1, 2), "FI00ZZZ0000000000"),
        "会费",
        "I-1",
    )
    return DebitFile(
        "M-2", AT, initiator(), (DebitGroup("G-1", side("示例甲公司", OURS_IBAN, bic="AAAAFIHH"), DAY, (one,)),)
    )


@pytest.mark.parametrize("name", CREDIT)
def test_transfers_come_back_as_they_went(name: str) -> None:
    file = transfer_file("12345.67", "0.01", "100")
    urgent = replace(file.groups[0], id="G-2", urgent=True, category="SALA", charge_bearer="SLEV", batch_booking=True)
    file = replace(file, groups=(*file.groups, urgent))
    assert transfer.read_transfers(tree(transfer.write_transfers(file, name))) == file


@pytest.mark.parametrize("name", DEBIT)
def test_debits_come_back_as_they_went(name: str) -> None:
    file = debit_file()
    assert debit.read_debits(tree(debit.write_debits(file, name))) == file


@pytest.mark.parametrize("name", CREDIT)
def test_what_does_not_fit_the_schema_is_refused_before_anybody_signs_it(name: str) -> None:
    file = transfer_file()
    with pytest.raises(ProtocolError) as error:
        transfer.write_transfers(replace(file, message_id="x" * 36), name)
    assert error.value.reason == "value"
    assert "MsgId" in str(error.value)


def test_counts_and_sums_are_compared_with_what_is_there() -> None:
    data = transfer.write_transfers(transfer_file("1.00", "2.50"))
    assert transfer.miscounted(tree(data)) == ()
    wrong = transfer.miscounted(changed(data, "<CtrlSum>3.50<", "<CtrlSum>3.51<"))
    assert wrong == (
        "GrpHdr: CtrlSum is 3.51, the amounts sum to 3.50",
        "PmtInf G-1: CtrlSum is 3.51, the amounts sum to 3.50",
    )
    (count, *_) = transfer.miscounted(changed(data, "<NbOfTxs>2<", "<NbOfTxs>3<"))
    assert count == "GrpHdr: NbOfTxs is 3, there are 2"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("<EndToEndId>E2E-0001</EndToEndId>", "", "missing"),
        (">12345.67</InstdAmt>", ">12,5</InstdAmt>", "value"),
        ('Ccy="EUR"', 'Ccy="eur"', "value"),
        ("<Dt>2026-11-24</Dt>", "<Dt>2026-02-30</Dt>", "value"),
        (">12345.67</InstdAmt>", ">-1</InstdAmt>", "value"),
        (">12345.67</InstdAmt>", ">1e3</InstdAmt>", "value"),
    ],
)
def test_a_broken_order_is_not_half_read(old: str, new: str, reason: str) -> None:
    with pytest.raises(ProtocolError) as error:
        transfer.read_transfers(changed(transfer.write_transfers(transfer_file()), old, new))
    assert error.value.reason == reason


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 10**14), min_size=1, max_size=5))
def test_no_fen_is_lost(minors: list[int]) -> None:
    amounts = [str(Money(minor, "EUR")) for minor in minors]
    file = transfer_file(*amounts)
    back = transfer.read_transfers(tree(transfer.write_transfers(file)))
    assert [one.minor for one in back.amounts] == minors
    assert transfer.miscounted(tree(transfer.write_transfers(file))) == ()


def test_sums_of_currencies_with_other_decimals() -> None:
    assert control_sum([Money(1, "JPY"), Money(1, "EUR"), Money(1, "KWD")]) == "1.011"
    assert control_sum([]) == "0.00"


@pytest.mark.parametrize(
    ("said", "minor"), [("12.30", 1230), ("12.3", 1230), ("012", 1200), ("+1.00000", 100), (".5", 50), ("7.", 700)]
)
def test_the_decimals_of_xml_schema(said: str, minor: int) -> None:
    assert read_money(said, "EUR") == Money(minor, "EUR")


@pytest.mark.parametrize("said", ["", ".", "1.001", "1 0", "१", "NaN", "-0.01"])
def test_what_is_no_amount(said: str) -> None:
    with pytest.raises(ProtocolError):
        read_money(said, "EUR")


def test_an_iban_has_check_digits() -> None:
    assert is_iban(OURS_IBAN)
    assert not is_iban("FI2112345600000786")
    assert not is_iban("0000000000000000025")
