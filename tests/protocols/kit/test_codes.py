"""Code tables: duplicates first, then the more exact rule; no code is guessed."""

from __future__ import annotations

import pytest

from protocols.kit.codes import load
from protocols.kit.errors import ProtocolError

TABLE = load(
    """
[[code]]
operation = "*"
layer = "header"
code = "000000"
outcome = "pending"
source = "s"
[[code]]
operation = "balance.query"
layer = "header"
code = "000000"
outcome = "settled"
source = "s"
[[code]]
operation = "*"
layer = "header"
code = ["AFE003", "AFE004"]
outcome = "in_doubt"
source = "s"
[[code]]
operation = "*"
layer = "header"
code = "ET*"
outcome = "in_doubt"
source = "s"
[[code]]
operation = "*"
layer = "header"
code = "ETX*"
outcome = "retry"
source = "s"
[[code]]
operation = "*"
layer = "header"
code = "ET9"
outcome = "failed"
source = "s"
[[code]]
operation = "payment.submit"
layer = "line"
code = "FAIL"
outcome = "failed"
source = "s"
[[code]]
operation = "*"
layer = "line"
text = "重复|已存在"
outcome = "duplicate"
source = "s"
note = "a duplicate in the clothes of a failure"
[[code]]
operation = "*"
layer = "line"
code = "2000"
text = "不存在"
outcome = "not_found"
source = "s"
[[code]]
operation = "*"
layer = "line"
code = "2000"
outcome = "failed"
source = "s"
[[code]]
operation = "*"
layer = "line"
text = "甲"
outcome = "settled"
source = "s"
[[code]]
operation = "*"
layer = "line"
text = "乙"
outcome = "failed"
source = "s"
"""
)


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [
        (("payment.submit", "header", "000000", ""), "pending"),
        (("balance.query", "header", "000000", ""), "settled"),
        (("x", "header", "AFE004", ""), "in_doubt"),
        (("x", "header", "ET12", ""), "in_doubt"),
        (("x", "header", "ETX1", ""), "retry"),
        (("x", "header", "ET9", ""), "failed"),
        (("payment.submit", "line", "FAIL", "余额不足"), "failed"),
        (("payment.submit", "line", "FAIL", "业务参考号重复"), "duplicate"),
        (("x", "line", "2000", "支付指令不存在"), "not_found"),
        (("x", "line", "2000", "别的"), "failed"),
        (("x", "line", "9", "甲"), "settled"),
        (("x", "line", "9", "甲乙"), None),
        (("x", "line", "FAIL", ""), None),
        (("x", "line", "000000", ""), None),
        (("x", "header", "", ""), None),
        (("x", "nowhere", "000000", ""), None),
    ],
)
def test_look_up(asked: tuple[str, str, str, str], outcome: str | None) -> None:
    assert TABLE.look_up(*asked) == outcome


ROW = '[[code]]\noperation = "*"\nlayer = "header"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "at least one"),
        ("x = 1\n" + ROW + 'code = "1"\noutcome = "failed"\nsource = "s"', "at least one"),
        ("[[code", "not TOML"),
        (ROW + 'code = "1"\noutcome = "done"\nsource = "s"', "outcome 'done' is none of"),
        (ROW + 'code = "1"\noutcome = "failed"', "source is missing"),
        (ROW + 'code = "1"\noutcome = "failed"\nsource = " "', "source is missing"),
        (ROW + 'outcome = "failed"\nsource = "s"', "neither code nor text"),
        (ROW + 'code = 1\noutcome = "failed"\nsource = "s"', "code must be text"),
        (ROW + 'code = []\noutcome = "failed"\nsource = "s"', "code must be text"),
        (ROW + 'text = "("\noutcome = "failed"\nsource = "s"', "not a regular expression"),
        (ROW + 'code = "1"\noutcom = "failed"\nsource = "s"', "unknown key outcom"),
        ((ROW + 'code = "1"\noutcome = "failed"\nsource = "s"\n') * 2, "row 2 says again what row 1 says"),
        (ROW + 'code = ["1", "1"]\noutcome = "failed"\nsource = "s"\n', "row 1 says again what row 1 says"),
    ],
)
def test_wrong_tables_name_file_and_row(text: str, told: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        load(text, "pab/codes.toml")
    assert caught.value.reason == "table"
    assert "pab/codes.toml: " in str(caught.value)
    assert told in str(caught.value)


def test_all_mistakes_at_once_and_operations_from_the_banks_list() -> None:
    with pytest.raises(ProtocolError) as caught:
        load(ROW.replace("*", "pay") + 'code = "1"\noutcome = "x"', operations=["payment.submit"])
    assert "row 1" in str(caught.value)
    assert "operation is none of *, payment.submit" in str(caught.value)
    assert "source is missing" in str(caught.value)
    assert "outcome 'x'" in str(caught.value)


def test_an_outcome_the_bank_does_not_expect_names_file_code_and_the_expected_ones() -> None:
    row = ROW + 'code = "E77"\noutcome = "reversed"\nsource = "s"'
    assert load(row).rows[0].outcome == "reversed"
    with pytest.raises(ProtocolError) as caught:
        load(row, "protocols/banks/pab/codes.toml", outcomes=("settled", "failed"))
    assert caught.value.reason == "table"
    assert "protocols/banks/pab/codes.toml: row 1 (* header E77 None)" in str(caught.value)
    assert "outcome 'reversed' is none of failed, settled" in str(caught.value)
