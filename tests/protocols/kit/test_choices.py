"""The options of a bank: valid values, and the message about each wrong one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from protocols.bank import BadOptions
from protocols.kit.choices import (
    COMMON,
    among,
    declared_codes,
    flag,
    hour,
    in_bytes,
    names,
    one_meaning,
    or_none,
    read_choices,
    remedy_of,
    seconds,
    table,
    text,
    texts,
    whole,
)
from protocols.kit.timing import Timing


@dataclass(frozen=True, slots=True)
class Options:
    login: str
    mode: str = "a"
    lines: int = 3
    names: tuple[str, ...] = ()
    codes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


CHOICES = {
    "login": (in_bytes(6), "a name"),
    "mode": (among("a", "b"), '"a" or "b"'),
    "lines": (whole(1, 9), "1 to 9"),
    "names": (texts("[a-z]+"), "a list"),
    "codes": (table("empty|refused", texts("[A-Z0-9]{7}")), "a table of lists"),
}


def test_what_is_given_is_taken_and_the_rest_has_its_value() -> None:
    made = read_choices("demo", Options, CHOICES, {"login": "中信", "names": ["x"], "codes": {"empty": ["ABC0001"]}})
    assert made == Options("中信", names=("x",), codes={"empty": ("ABC0001",)})


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("login", "中信银行"),
        ("login", ""),
        ("login", "a\n"),
        ("login", "𬭎"),
        ("mode", "c"),
        ("lines", 0),
        ("lines", True),
        ("names", "x"),
        ("names", ["X"]),
        ("codes", {"other": []}),
        ("codes", {"empty": ["x"]}),
        ("colour", "red"),
    ],
)
def test_a_wrong_one_is_named_with_its_remedy(key: str, given: Any) -> None:
    with pytest.raises(BadOptions) as caught:
        read_choices("demo", Options, CHOICES, {"login": "u", key: given})
    assert caught.value.key == key
    assert caught.value.remedy


def test_what_must_be_there_is_asked_for() -> None:
    with pytest.raises(BadOptions) as caught:
        read_choices("demo", Options, CHOICES, {})
    assert (caught.value.key, caught.value.remedy) == ("login", "a name")


def test_a_row_too_few_is_a_defect() -> None:
    with pytest.raises(AssertionError):
        read_choices("demo", Options, {"login": CHOICES["login"]}, {"login": "u"})


def test_what_is_kept_may_be_another_thing_than_what_is_written() -> None:
    assert read_choices("demo", Options, CHOICES, {"login": "u", "mode": "b"}, {"mode": str.upper}).mode == "B"
    with pytest.raises(BadOptions):
        read_choices("demo", Options, CHOICES, {"login": "u", "mode": "c"}, {"mode": str.upper})


def test_a_code_has_one_meaning() -> None:
    one_meaning({"duplicate": ("A1",), "refused": ("A2",), "empty": ("A1",)})
    with pytest.raises(BadOptions, match="A1 cannot mean both"):
        one_meaning({"duplicate": ("A1",), "refused": ("A2", "A1")})


def test_bounds() -> None:
    assert hour("00:00") and hour("23:59") and not hour("24:00") and not hour("9:00") and not hour(900)
    assert seconds(0.5)(0.5) and not seconds(0.5)(float("nan")) and not seconds(0.5)(True)
    assert or_none(flag)(None) and or_none(flag)(False) and not or_none(flag)(0)
    assert text("[0-9]")("1") and not text("[0-9]")("１")
    assert in_bytes(4, "utf-8", least=0)("") and not in_bytes(2, "utf-8")("中")


@dataclass(frozen=True, slots=True)
class Behind:
    """A bank with options that other banks have too, and a group of options."""

    login: str
    own_names: tuple[str, ...] = ("x",)
    timing: Timing = Timing(first_byte_s=7.0)


def test_a_group_stands_flat_in_the_settings_and_keeps_the_banks_own_values() -> None:
    rows = {"login": CHOICES["login"]}
    assert read_choices("demo", Behind, rows, {"login": "u"}).timing == Timing(first_byte_s=7.0)
    made = read_choices("demo", Behind, rows, {"login": "u", "exchange_s": 9, "own_names": ["y"]})
    assert made == Behind("u", ("y",), Timing(first_byte_s=7.0, exchange_s=9))
    assert names(Behind)[:2] == ("login", "own_names") and "exchange_s" in names(Behind)
    for key in ("timing", "window"):  # neither the group's own name is a key, nor an option that the bank lacks
        with pytest.raises(BadOptions) as caught:
            read_choices("demo", Behind, rows, {"login": "u", key: 1})
        assert caught.value.key == key


def test_a_common_row_checks_unless_the_bank_has_its_own() -> None:
    rows = {"login": CHOICES["login"]}
    with pytest.raises(BadOptions) as caught:
        read_choices("demo", Behind, rows, {"login": "u", "burst": 0})
    assert (caught.value.key, caught.value.remedy) == ("burst", COMMON["burst"][1])
    own = {**rows, "burst": (whole(5, 9), "5 to 9")}
    assert read_choices("demo", Behind, own, {"login": "u", "burst": 5}).timing.burst == 5
    with pytest.raises(BadOptions) as caught:
        read_choices("demo", Behind, own, {"login": "u", "burst": 4})
    assert caught.value.remedy == remedy_of("burst", own) == "5 to 9"


def test_codes_that_the_settings_may_declare() -> None:
    check, remedy = declared_codes(("refused", "empty"), "[A-Z]{2}", "2-letter codes")
    assert check({"refused": ["AB"]}) and not check({"refused": ["A"]}) and not check({"paid": ["AB"]})
    assert remedy == "a table of lists of 2-letter codes under refused, empty"
