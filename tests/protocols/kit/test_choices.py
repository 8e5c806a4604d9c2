"""The options of a bank: what passes, and what a wrong one is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from protocols.bank import BadOptions
from protocols.kit.choices import (
    among,
    flag,
    hour,
    in_bytes,
    one_meaning,
    or_none,
    read,
    seconds,
    table,
    text,
    whole,
    words,
)


@dataclass(frozen=True, slots=True)
class Options:
    login: str
    mode: str = "a"
    lines: int = 3
    names: tuple[str, ...] = ()
    codes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


CHOICES = {
    "login": (in_bytes(6), "a name"), "mode": (among("a", "b"), '"a" or "b"'), "lines": (whole(1, 9), "1 to 9"),
    "names": (words("[a-z]+"), "a list"), "codes": (table("empty|refused", words("[A-Z0-9]{7}")), "a table of lists"),
}  # fmt: skip


def test_what_is_given_is_taken_and_the_rest_has_its_value() -> None:
    made = read("demo", Options, CHOICES, {"login": "中信", "names": ["x"], "codes": {"empty": ["ABC0001"]}})
    assert made == Options("中信", names=("x",), codes={"empty": ("ABC0001",)})


@pytest.mark.parametrize(
    ("key", "given"),
    [("login", "中信银行"), ("login", ""), ("login", "a\n"), ("login", "𬭎"), ("mode", "c"), ("lines", 0), ("lines", True),
     ("names", "x"), ("names", ["X"]), ("codes", {"other": []}), ("codes", {"empty": ["x"]}), ("colour", "red")],
)  # fmt: skip
def test_a_wrong_one_is_named_with_its_remedy(key: str, given: Any) -> None:
    with pytest.raises(BadOptions) as caught:
        read("demo", Options, CHOICES, {"login": "u", key: given})
    assert caught.value.key == key
    assert caught.value.remedy


def test_what_must_be_there_is_asked_for() -> None:
    with pytest.raises(BadOptions) as caught:
        read("demo", Options, CHOICES, {})
    assert (caught.value.key, caught.value.remedy) == ("login", "a name")


def test_a_row_too_few_is_a_defect() -> None:
    with pytest.raises(AssertionError):
        read("demo", Options, {"login": CHOICES["login"]}, {"login": "u"})


def test_what_is_kept_may_be_another_thing_than_what_is_written() -> None:
    assert read("demo", Options, CHOICES, {"login": "u", "mode": "b"}, {"mode": str.upper}).mode == "B"
    with pytest.raises(BadOptions):
        read("demo", Options, CHOICES, {"login": "u", "mode": "c"}, {"mode": str.upper})


def test_a_code_has_one_meaning() -> None:
    one_meaning({"duplicate": ("A1",), "refused": ("A2",), "empty": ("A1",)})
    with pytest.raises(BadOptions, match="A1 cannot be both"):
        one_meaning({"duplicate": ("A1",), "refused": ("A2", "A1")})


def test_bounds() -> None:
    assert hour("00:00") and hour("23:59") and not hour("24:00") and not hour("9:00") and not hour(900)
    assert seconds(0.5)(0.5) and not seconds(0.5)(float("nan")) and not seconds(0.5)(True)
    assert or_none(flag)(None) and or_none(flag)(False) and not or_none(flag)(0)
    assert text("[0-9]")("1") and not text("[0-9]")("１")
    assert in_bytes(4, "utf-8", least=0)("") and not in_bytes(2, "utf-8")("中")
