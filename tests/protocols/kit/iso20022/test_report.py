"""pain.002: the payment's own line counts, then its group's, then the file's; never more than the report says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.canon.money import Money
from protocols.canon.outcome import Fate
from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022 import report
from protocols.kit.iso20022.parts import StatusReason
from protocols.kit.iso20022.report import FATES, GroupStatus, PaymentStatus, StatusReport, said_of
from tests.protocols.kit.iso20022.paper import AT, changed, tree


def about(status: str = "", *groups: GroupStatus, reasons: tuple[StatusReason, ...] = ()) -> StatusReport:
    return StatusReport("S-1", AT, "M-1", "pain.001.001.09", status, reasons, groups)


def group(*payments: PaymentStatus, status: str = "", name: str = "G-1") -> GroupStatus:
    return GroupStatus(name, status, (), payments)


def fate(told: StatusReport, name: str = "E2E-1", of: str = "") -> Fate | None:
    said = said_of(told, name, of)
    return None if said is None else said.fate


@pytest.mark.parametrize("name", ["pain.002.001.03", "pain.002.001.12"])
def test_a_report_comes_back_as_it_went(name: str) -> None:
    line = PaymentStatus("E2E-1", "RJCT", (StatusReason("AC04", "账户已销户"),), "I-1", Money(1, "EUR"), "B-1")
    told = about(
        "PART", group(line, PaymentStatus("E2E-2", "ACSC"), status="PART"), reasons=(StatusReason("", "部分成功"),)
    )
    assert report.read_status(tree(report.write_status(told, name))) == told


@pytest.mark.parametrize(("status", "expected"), FATES.items())
def test_a_file_of_one_status(status: str, expected: Fate) -> None:
    assert fate(about(status)) is expected


def test_partly_is_not_rejected() -> None:
    refused = PaymentStatus("E2E-2", "RJCT", (StatusReason("AC01"),))
    told = about("PART", group(refused, status="PART"))
    assert fate(told, "E2E-2") is Fate.FAILED
    assert fate(told, "E2E-1") is Fate.PENDING


def test_the_nearest_word_counts() -> None:
    told = about("ACCP", group(PaymentStatus("E2E-1", "ACSC"), status="ACSP"))
    assert fate(told) is Fate.SETTLED
    assert fate(told, "E2E-9", "G-1") is Fate.PENDING
    assert fate(about("RJCT", group(status="ACSC"), group(status="RJCT", name="G-2")), "E2E-1", "G-1") is Fate.SETTLED


def test_another_groups_word_is_not_ours() -> None:
    told = about("", group(PaymentStatus("E2E-1", "RJCT"), name="G-2"))
    assert fate(told, "E2E-1", "G-1") is None
    assert fate(about("", group(status="RJCT"), group(status="ACSC", name="G-2"))) is None


@pytest.mark.parametrize("code", ["AM05", "DU04"])
def test_a_repeat_dressed_as_a_refusal_is_a_duplicate(code: str) -> None:
    assert fate(about("RJCT", reasons=(StatusReason(code),))) is Fate.DUPLICATE


def test_two_words_about_one_payment_are_doubt() -> None:
    told = about("", group(PaymentStatus("E2E-1", "ACSC"), PaymentStatus("E2E-1", "RJCT")))
    assert fate(told) is Fate.UNKNOWN


def test_nothing_said_is_nothing_known() -> None:
    assert fate(about("")) is None
    assert fate(about("", group(PaymentStatus("E2E-2", "ACSC")))) is None


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=4, max_size=4))
def test_an_unknown_status_is_doubt(status: str) -> None:
    said = said_of(about(status), "E2E-1")
    assert said is not None
    assert said.listed is (status in FATES)
    if status not in FATES:
        assert said.fate is Fate.UNKNOWN


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<TxSts>RJCT</TxSts>", "<TxSts>RJCT</TxSts><TxSts>ACSC</TxSts>"),
        ('<InstdAmt Ccy="EUR">0.01', '<InstdAmt Ccy="EUR">0,01'),
    ],
)
def test_a_line_that_cannot_be_read_hides_no_other_and_is_not_the_rest(old: str, new: str) -> None:
    """The unreadable line may be about any payment without a line. For those payments the group's status then does not
    count."""
    line = PaymentStatus("E2E-1", "RJCT", (StatusReason("AC04"),), "I-1", Money(1, "EUR"))
    told = about("PART", group(line, PaymentStatus("E2E-2", "ACSC"), status="ACSP"))
    odd = report.read_status(changed(report.write_status(told), old, new))
    assert len(odd.findings) == 1 and "row 1 cannot be read" in odd.findings[0]
    assert (fate(odd, "E2E-2"), fate(odd, "E2E-1"), fate(odd, "E2E-9")) == (Fate.SETTLED, None, None)
    assert fate(told, "E2E-9") is Fate.PENDING


def test_a_group_s_status_that_cannot_be_read_hides_none_of_its_lines() -> None:
    told = about("RJCT", group(PaymentStatus("E2E-1", "ACSC"), status="RJCT"))
    odd = report.read_status(
        changed(report.write_status(told), "<PmtInfSts>RJCT</PmtInfSts>", "<PmtInfSts>R</PmtInfSts>" * 2)
    )
    assert (fate(odd, "E2E-1"), fate(odd, "E2E-9")) == (Fate.SETTLED, None) and odd.findings


def test_a_report_about_nothing_is_refused() -> None:
    data = report.write_status(about("ACSC"))
    with pytest.raises(ProtocolError) as error:
        report.read_status(changed(data, "<OrgnlMsgId>M-1</OrgnlMsgId>", ""))
    assert error.value.reason == "missing"


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("RCVC", "matches"),
        ("RVMC", "closely"),
        ("RVNM", "does not match"),
        ("RVNA", "could not"),
        ("RVCM", "not all"),
        ("ACFC", ""),
        ("PRES", ""),
    ],
)
def test_verification_of_payee_and_instant_payments_are_no_end(status: str, word: str) -> None:
    said = said_of(about(status), "E2E-1")
    assert said is not None and (said.fate, said.listed) == (Fate.PENDING, True)
    assert word in said.text
