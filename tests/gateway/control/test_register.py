"""The register of acts: each declaration is complete, in both languages, and pure; its signed words do not change."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest

from gateway.act import Act, Bilingual, RoomActs, SentenceAnswer, params_of
from gateway.control import act_answers, web
from gateway.control.register import GROUPS, REGISTER, ROOMS
from gateway.control.signed_words import POLICY_SUBJECT, STOP_SUBJECT
from gateway.people.rows.proposals import ProposalKind
from gateway.web.query import verbs
from tests.house import FLOORS

ROOT = Path(__file__).resolve().parents[3]
ACTS = sorted([*(ROOT / "gateway" / "control" / "acts").glob("[a-z]*.py"), *(ROOT / "gateway").glob("*/acts.py")])
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_HALF = re.compile(r"[\u4e00-\u9fff][,;:()?!]|[,;:()?!][\u4e00-\u9fff]")
# The word in the signed text of each act's form, by hand: what was signed once must verify for ever. Form 1 had the same
# words (tests/gateway/control/proposals_form_1.txt).
SIGNED = {
    ("companies.resume", 2): "resume_company",
    ("lanes.leave_safe_mode", 2): "resume",
    ("lanes.resume", 2): "resume_lane",
    ("linked.decide", 2): "link",
    ("node.restart", 2): "restart",
    ("orders.release", 2): "release",
    ("orders.resolve", 2): "resolve",
    ("payees.register", 2): "register",
    ("persons.admit", 2): "enrol",
    ("persons.deactivate", 2): "deactivate",
    ("persons.reset", 2): "reset",
    ("policy.propose", 2): "policy",
    ("pools.close", 2): "pool",
    ("pools.propose", 2): "pool",
    ("pools.run", 2): "pool_run",
    ("repair.propose", 2): "repair",
    ("roles.set", 2): "roles",
}
# The modules that make or verify a signed text.
SIGNING = (
    *(
        "gateway/control/proposal_text.py",
        "gateway/payments/act_answers/order_decisions.py",
        "gateway/people/act_answers/people_changes.py",
    ),
    *("gateway/people/rows/proposals.py", "gateway/approvals/rows/approvals.py"),
    *("gateway/language.py", "gateway/people/rules/signed_text.py", "gateway/people/rules/grants.py"),
    *("gateway/kernel/core/code_names.py", "gateway/kernel/cluster/gaps.py"),
    *("gateway/payments/rows/repair_facts.py", "gateway/payments/act_answers/repairs.py"),
    *("gateway/approvals/rules/approval_policy.py", "gateway/approvals/act_answers/policy_changes.py"),
    "gateway/pools/rules/pool_lines.py",
    *(
        "gateway/approvals/rules/approval_digest.py",
        "gateway/approvals/rules/approval_text.py",
        "gateway/people/rules/sign_in_text.py",
    ),
)


def texts(act: Act) -> Iterator[Bilingual]:
    """Every text of a declaration that a person reads."""
    yield from (text for text in (act.title, act.help) if any(text))
    yield from (one.form.help for one in params_of(act))
    for piece in act.answer:
        if isinstance(piece, SentenceAnswer):
            yield piece.text
        else:
            yield from (text for text in (piece.nothing, *(one.title for one in piece.columns)) if any(text))


@pytest.mark.parametrize("act", REGISTER.values(), ids=REGISTER.keys())
def test_an_act_speaks_both_languages(act: Act) -> None:
    for english, chinese in texts(act):
        assert re.search("[A-Za-z]", english), english
        assert _CHINESE.search(chinese) or english == chinese, f"{act.code}: no Chinese for {english!r}"
        assert not _HALF.search(chinese), f"{act.code}: half-width mark in {_HALF.findall(chinese)}"


def test_half_width_marks_are_seen() -> None:
    assert _HALF.search("\u7406\u7531,") and not _HALF.search("\u7406\u7531\uff0c\u8bb0 `a, b`")


@pytest.mark.parametrize("act", REGISTER.values(), ids=REGISTER.keys())
def test_a_declaration_is_whole(act: Act) -> None:
    assert bool(act.path) or act.decision is not None, "neither asked for at a path nor proposed"
    assert act.path or act.draft, "what is only proposed is drafted by a page"
    assert act.form >= 1
    group = act.command.split()[0] if " " in act.command else ""
    assert not group or group in GROUPS, f"there is no group {group}"
    names = {one.name for one in params_of(act)}
    if act.decision is not None:
        wanted = set(re.findall(r"\{(\w+)\}", act.decision.subject + act.decision.to))
        assert wanted <= names, "what is signed names parameters that are not there"


def test_codes_names_and_commands_are_given_once() -> None:
    acts = [act for room in ROOMS for act in room.acts]
    for what in ("code", "name", "command"):
        given = [getattr(act, what) for act in acts if getattr(act, what) and (what != "name" or act.path)]
        assert sorted(given) == sorted(set(given)), what


def test_signed_words_are_what_they_were() -> None:
    assert {(act.code, act.form): act.decision.kind for act in REGISTER.values() if act.decision} == SIGNED
    assert set(SIGNED.values()) == set(ProposalKind)
    subjects = {code: act.decision.subject for code, act in REGISTER.items() if act.decision}
    assert (subjects["node.restart"], subjects["policy.propose"]) == (STOP_SUBJECT, POLICY_SUBJECT)


@pytest.mark.parametrize("path", SIGNING)
def test_no_signed_text_is_made_of_titles(path: str) -> None:
    assert imported(ROOT / path).isdisjoint({"gateway.act", "gateway.control.register", "gateway.control.matrix"})


@pytest.mark.parametrize("path", ACTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_declaration_imports_the_form_and_the_roles_alone(path: Path) -> None:
    ours = {name for name in imported(path) if name.split(".")[0] in ("gateway", "protocols")}
    assert ours <= {"gateway.act", "gateway.people.rules.roles"}
    assert imported(path) - ours <= {"__future__", "dataclasses", "datetime", "typing"}


def test_an_answer_takes_the_parameters_of_its_act() -> None:
    answered = set()
    for module in (act_answers, web, verbs):
        for group in vars(module).values():
            for method in (
                vars(group).values() if isinstance(group, type) and group.__name__.endswith("Answers") else ()
            ):
                code = getattr(method, "act_code", None)
                if code is not None:
                    answered.add(code)
                    assert get_type_hints(method).get("params") is REGISTER[code].params, code
    # The answers about joint tests are functions over a folder.
    assert {code for code, act in REGISTER.items() if act.path} - answered == {
        "joint_tests.file",
        "joint_tests.list",
        "joint_tests.show",
        "joint_tests.try",
    }


def test_an_act_is_answered_in_the_room_that_declares_it() -> None:
    declared = {
        act.code: path.parent.name
        for path in ACTS
        if path.parent.name != "acts"
        for room in vars(import_module(f"gateway.{path.parent.name}.acts")).values()
        if isinstance(room, RoomActs)
        for act in room.acts
    }
    assert len(declared) > 60
    elsewhere = set()
    for group in vars(act_answers).values():
        for method in vars(group).values() if isinstance(group, type) else ():
            room = declared.get(getattr(method, "act_code", ""))
            if room is not None and not method.__module__.startswith(f"gateway.{room}."):
                elsewhere.add((method.act_code, method.__module__))
    # Decisions of two persons can be about every subject.
    assert {module for _code, module in elsewhere} == {"gateway.control.proposals"}
    assert all(code.startswith("proposals.") for code, _module in elsewhere), elsewhere


def test_the_form_is_below_the_subjects() -> None:
    (floor,) = [number for number, rooms in enumerate(FLOORS) if "gateway.act" in rooms]
    (journal,) = [number for number, rooms in enumerate(FLOORS) if "gateway.payments" in rooms]
    assert floor < journal


def imported(path: Path) -> set[str]:
    """The modules that a file imports; `from a import b` counts as `a`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found
