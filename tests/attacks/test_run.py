"""Tests of the judge: it calls a wrongly believed answer accepted, and detects a weakened check."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType, SimpleNamespace
from unittest.mock import patch

import pytest
from lxml import etree

from protocols.canon.money import Money
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import Name
from protocols.canon.statement import Page, ReturnsPage
from protocols.kit import xmldoc
from protocols.kit.dsig import gate
from protocols.kit.errors import ProtocolError
from tests.attacks import trap
from tests.attacks.catalogue import ALL
from tests.attacks.kind import AttackKind
from tests.attacks.run import BUDGET_S, FILE_MAX_BYTES, AttackCounts, Case, attack_bank, judged, least, slowness
from tests.attacks.targets import KIT, goldens

ONE, TWO = Money(100), Money(200)
PAGE = Page((), opening=ONE, closing=TWO)
YES = Outcome(Fate.SETTLED, "1", "paid", "S1", datetime(2026, 11, 24))


@pytest.mark.parametrize(
    ("golden", "said", "word"),
    [
        (YES, ProtocolError("digest", "x"), "refused"),
        (YES, YES, "same"),
        (YES, Outcome(Fate.UNKNOWN, "9"), "doubt"),
        (YES, Outcome(Fate.FAILED, "1"), "accepted"),
        (YES, Outcome(Fate.SETTLED, "1", "paid", "S2", YES.booked_at), "accepted"),
        (YES, Outcome(Fate.SETTLED, "1", "paid", None, YES.booked_at), "left"),
        (Outcome(Fate.PENDING, "1"), Outcome(Fate.PENDING, "2"), "doubt"),
        (Outcome(Fate.PENDING, "1"), Outcome(Fate.SETTLED, "1"), "accepted"),
        (YES, Outcome(Fate.PENDING, "1"), "accepted"),
        (YES, Outcome(Fate.PENDING, "1", findings=("a file cannot be read",)), "doubt"),
        (YES, Outcome(Fate.FAILED, "1", findings=("a file cannot be read",)), "accepted"),
        (YES, Outcome(Fate.PENDING, "1", bank_serial="S2", findings=("a file cannot be read",)), "accepted"),
        (PAGE, Page((), opening=ONE, findings=("a balance cannot be read",)), "left"),
        (PAGE, Page((), opening=ONE, closing=ONE, findings=("a balance cannot be read",)), "accepted"),
        (PAGE, replace(PAGE, findings=("a file cannot be read",), unread=1), "left"),
        ({"a": YES}, {"a": YES, "b": YES}, "accepted"),
        ({"a": YES, "b": YES}, {"a": YES}, "doubt"),
        ((1, 2), (1, 3), "accepted"),
        ((1, 2), (1,), "accepted"),
        (YES, Outcome(Fate.SETTLED, "1", trap.CANARY, "S1", YES.booked_at), "accepted"),
    ],
)
def test_verdicts(golden: object, said: object, word: str) -> None:
    assert judged(golden, said, cleans=False).split()[0].strip(":") == word


def test_what_people_read_must_be_clean() -> None:
    assert judged((Name("a"),), (Name("a\u202eb"),), cleans=True).startswith("accepted")
    assert judged((Name("a"),), (Name("a\ufffdb"),), cleans=True) == "cleaned"
    assert judged(YES, Outcome(Fate.SETTLED, "1", "a\nb", "S1"), cleans=True).startswith("accepted")


@pytest.mark.parametrize("finding", ["line 3: a\u202eb", "line 3: a\nb"])
def test_what_people_read_of_an_answers_form_must_be_clean_too(finding: str) -> None:
    good = ReturnsPage((), findings=("line 2 is too long",))
    assert judged(good, ReturnsPage((), findings=("line 3 is too long",)), cleans=False) == "same"
    for said in (ReturnsPage((), findings=(finding,)), {"a": (ReturnsPage((), findings=("fine", finding)),)}):
        assert judged(good, said, cleans=False).startswith("accepted: a finding says")


def test_slowness_is_noted() -> None:
    tally = AttackCounts()
    tally.add(ALL[0], "x", "refused y", BUDGET_S * 2)
    assert tally.slow and tally.sum().line() == "attacks: 1 kinds, 1 cases, 0 accepted, worst 100 ms"


def test_only_an_answer_that_is_due_to_bring_a_file_may_take_longer_for_its_size() -> None:
    due = {
        golden.recording.name: [at for at, _ in golden.spots() if golden.brings_a_file(at)]
        for golden in goldens("finws")
    }
    assert not due["payment"] and not due["bundle"] and due["fate"] and due["lines"] and due["balance"]
    lines = next(one for one in goldens("finws") if one.recording.name == "lines")
    others = {at for at, _ in lines.spots()} - set(due["lines"])
    assert others, "the list of files is no file"
    sizes = (1_000, 10_000_000, FILE_MAX_BYTES, 10 * FILE_MAX_BYTES)
    assert {Case(lines, at, b" " * size, "").most_s for at in others for size in sizes} == {BUDGET_S}
    allowed = [Case(lines, due["lines"][0], b" " * size, "").most_s for size in sizes]
    assert allowed == [BUDGET_S, pytest.approx(0.15), pytest.approx(0.2517, abs=1e-4), allowed[2]]
    assert not any(golden.brings_a_file(at) for golden in goldens("sample") for at, _ in golden.spots())


def test_what_takes_longer_than_its_size_allows_is_slow() -> None:
    tally = AttackCounts()
    tally.add(ALL[0], "x", "refused y", 0.11, 0.12)
    assert not tally.slow
    tally.add(ALL[0], "y", "refused y", 0.13, 0.12)
    assert tally.slow == ["y: 130 ms"]
    tries = iter([0.115] * 9)
    assert least(0.13, lambda: next(tries), 0.12) == 0.115


def test_what_takes_long_by_itself_stays_long() -> None:
    tries = iter([0.4, 0.2, 0.3, 0.25, 0.5])
    assert least(0.01, lambda: next(tries)) == 0.01
    assert BUDGET_S < least(0.3, lambda: next(tries)) <= 0.2
    with patch("tests.attacks.run.slowness", lambda: 3.0):
        assert least(0.06, lambda: 0.06) == pytest.approx(0.02)
    assert slowness() >= 1.0


def _number(number: int) -> AttackKind:
    return next(kind for kind in ALL if kind.number == number)


def _accepted(bank: str, *numbers: int) -> int:
    tally = AttackCounts()
    for number in numbers:
        attack_bank(bank, _number(number), tally)
    return len(tally.accepted)


def test_a_gate_without_its_two_locks_is_found_out() -> None:
    """Signature wrapping is stopped twice: an id must be unique, and the digest is computed of the element that is
    read.
    """
    assert _accepted(KIT, 46, 48, 50, 52) == 0
    with patch.object(gate, "_is_unique", lambda root, target, value: True):
        assert _accepted(KIT, 46, 48, 50, 52) == 0
        with patch.object(
            sys.modules["protocols.kit.dsig.verify"], "hmac", SimpleNamespace(compare_digest=lambda one, other: True)
        ):
            assert _accepted(KIT, 46, 48, 50, 52) > 0


def test_a_reader_that_takes_the_first_of_two_is_found_out() -> None:
    def lax(parent: etree._Element, step: str, path: str) -> etree._Element | None:
        return next(parent.iterchildren(step), None)

    assert _accepted("pab", 40) == 0
    with patch.object(xmldoc, "_only", lax):
        assert _accepted("pab", 40) > 0


def test_a_parser_that_drops_comments_is_found_out() -> None:
    parser = etree.XMLParser(encoding="utf-8", resolve_entities=True, remove_comments=True, huge_tree=True)
    with (
        patch.object(xmldoc, "_scan", lambda *_: None),
        patch.object(xmldoc, "_inspect", lambda *_: None),
        patch.object(xmldoc, "_PARSER", parser),
    ):
        assert _accepted("sample", 13) + _accepted("pab", 13) > 0


def test_verdicts_do_not_depend_on_the_sort_of_mapping() -> None:
    assert judged({"a": YES}, MappingProxyType({"a": YES}), cleans=False) in ("same", "doubt")
