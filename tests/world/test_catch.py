"""The table of planted mutants fits the present source, and its runner refuses a proof that fails without the mutant
too.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.world import catch
from tests.world.catch import PROOFS, CheckoutCopy, MutantStale, PlantedMutant, Proof, complaints, read_table

SOURCE = "def pays(known: bool) -> bool:\n    return not known\n"
SWAP = (("not known", "True"),)


def test_every_mutant_applies_and_is_named_once() -> None:
    assert list(complaints(read_table())) == []


def test_each_attack_that_was_successful_has_mutants_that_two_kinds_of_proofs_catch() -> None:
    page = (catch.ROOT / "docs/understand/simulation.md").read_text("utf-8")
    [table] = re.findall(r"<!-- attacks and their mutants -->\n(.*?)<!-- end -->", page, re.DOTALL)
    rows = [re.findall(r"`([^`]+)`", line) for line in table.splitlines()[2:]]
    planted = {one.name: one for one in read_table()}
    assert len(rows) >= 18
    assert all(rows)
    for name in (name for row in rows for name in row):
        one = planted[name]
        assert len({proof.kind for proof in one.proofs}) >= catch.INDEPENDENT and not one.alone, name


def test_there_are_mutants_enough_and_every_kind_of_proof_has_work() -> None:
    planted = read_table()
    assert sum(not one.awaits for one in planted) >= 20
    kinds = Counter(proof.kind for one in planted for proof in one.proofs)
    assert set(kinds) == set(PROOFS)


def test_a_mutant_that_does_not_apply_is_said(tmp_path: Path) -> None:
    (tmp_path / "money.py").write_text(SOURCE * 2, "utf-8")
    proofs = (Proof("units", "tests/a.py"), Proof("model", "tests/b.py"))
    [twice] = complaints([PlantedMutant("a", "money.py", SWAP, proofs)], tmp_path)
    assert "does not apply any more" in twice and "2 times" in twice
    [gone] = complaints([PlantedMutant("a", "money.py", (("nothing", "x"),), proofs)], tmp_path)
    assert "0 times" in gone
    [missing] = complaints([PlantedMutant("a", "moved.py", SWAP, proofs)], tmp_path)
    assert "moved.py" in missing
    with pytest.raises(MutantStale):
        PlantedMutant("a", "money.py", SWAP, proofs).mutated(SOURCE * 2)


def test_one_proof_is_not_enough_unless_the_table_says_why(tmp_path: Path) -> None:
    (tmp_path / "money.py").write_text(SOURCE, "utf-8")
    one = (Proof("units", "tests/a.py"),)
    assert [*complaints([PlantedMutant("a", "money.py", SWAP, one)], tmp_path)] != []
    assert [*complaints([PlantedMutant("a", "money.py", SWAP, one, alone="only there")], tmp_path)] == []


def test_a_mutant_awaits_code_only_as_long_as_it_is_not_there(tmp_path: Path) -> None:
    proofs = (Proof("units", "tests/a.py"), Proof("model", "tests/b.py"))
    waiting = PlantedMutant("a", "money.py", SWAP, proofs, awaits="the code")
    assert [*complaints([waiting], tmp_path)] == []
    (tmp_path / "money.py").write_text(SOURCE, "utf-8")
    [here] = complaints([waiting], tmp_path)
    assert "take `awaits` away" in here


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckoutCopy:
    """A checkout of one module and one test."""
    root = tmp_path / "root"
    (root / "tests").mkdir(parents=True)
    (root / "money.py").write_text(SOURCE, "utf-8")
    (root / "tests" / "test_money.py").write_text(
        "import money\n\ndef test_once() -> None:\n    assert not money.pays(True)\n\ndef test_nothing() -> None:\n    pass\n",
        "utf-8",
    )
    (root / "tests" / "test_broken.py").write_text("import nothing_of_this_name\n", "utf-8")
    monkeypatch.setattr(catch, "ROOT", root)
    return CheckoutCopy(tmp_path / "copy")


def _verdict(tree: CheckoutCopy, run: str, swap: tuple[tuple[str, str], ...] = SWAP) -> str:
    return tree.catches(PlantedMutant("a", "money.py", swap, (Proof("units", run),))).wrong


def test_a_mutant_is_caught_passed_over_or_not_looked_at(tree: CheckoutCopy, tmp_path: Path) -> None:
    assert tree.fails(Proof("units", "tests/test_money.py")) == ""
    assert _verdict(tree, "tests/test_money.py") == ""
    assert "passes with it" in _verdict(tree, "tests/test_money.py -k nothing")
    assert "proves nothing" in _verdict(tree, "tests/test_broken.py")
    assert "proves nothing" in _verdict(tree, "tests/test_money.py -k no_such_test")
    assert "does not apply" in _verdict(tree, "tests/test_money.py", (("gone", "x"),))
    assert (tmp_path / "copy" / "money.py").read_text("utf-8") == SOURCE, "taken out again"
    assert (tmp_path / "root" / "money.py").read_text("utf-8") == SOURCE, "the checkout is never touched"


def test_a_proof_must_see_what_the_table_says(tree: CheckoutCopy) -> None:
    asked = PlantedMutant("a", "money.py", SWAP, (Proof("units", "tests/test_money.py", "another finding"),))
    assert "failed without 'another finding'" in tree.catches(asked).wrong


def test_commands_of_other_proofs() -> None:
    assert Proof("crash", "--only bank.write").command_line == ["-m", "tests.world.deaths", "--only", "bank.write"]
    assert Proof("campaign", "--minutes 0.4").command_line[:2] == ["-m", "faults"]
    assert sys.executable not in Proof("simulation", "20").command_line
