"""The catalogue: every bank has its cases, derived from its declarations, and every entry of a file is used."""

from __future__ import annotations

import re

import pytest

from gateway import capabilities
from gateway.jointtest import cases
from gateway.jointtest.cases import BadCase, case_templates, derive, templates
from gateway.jointtest.runner import PLAYS
from gateway.jointtest.verdicts import ConditionCause, SeenAt
from protocols.canon.order import Channel, Kind, Urgency
from protocols.canon.outcome import State
from protocols.trial import banks
from tests.house import texts

LEAST = 40


@pytest.mark.parametrize("bank", banks())
def test_every_bank_has_forty_cases_of_its_own(bank: str) -> None:
    found = derive(capabilities.tried(bank))
    applicable = [case for case in found if not case.lacks]
    assert len(applicable) >= LEAST, f"{len(applicable)} of {len(found)}"
    assert len({case.id for case in found}) == len(found)


@pytest.mark.parametrize("bank", banks())
def test_a_case_of_a_kind_applies_where_the_bank_declares_the_kind(bank: str) -> None:
    built = capabilities.tried(bank)
    has = {kind.value for kind in built.money.keys() | built.bundles.keys()}
    for case in derive(built):
        if case.kind and case.kind not in has:
            assert case.lacks, case.id


@pytest.mark.parametrize("bank", banks())
def test_a_case_asks_for_no_rail_and_no_urgency_that_intake_refuses_for_its_kind(bank: str) -> None:
    profile = capabilities.tried(bank).profile
    for case in derive(capabilities.tried(bank)):
        if case.lacks or not case.kind:
            continue
        limits = profile.kind_limits.get(Kind(case.kind), profile.limits)
        assert Channel(case.change.get("/channel", "auto")) in limits.channels, case.id
        assert Urgency(case.change.get("/urgency", "normal")) in limits.urgencies, case.id


def test_an_urgent_payment_is_tried_where_the_bank_takes_urgent_orders() -> None:
    lacks = {
        bank: case.lacks for bank in banks() for case in derive(capabilities.tried(bank)) if case.id == "urgent.payment"
    }
    assert [bank for bank, why in lacks.items() if why] == ["spdb"]
    assert lacks["spdb"] == "this bank takes no urgent orders"


def test_every_case_can_be_played_and_expects_what_exists() -> None:
    states = {state.value for state in State}
    for bank in banks():
        for case in derive(capabilities.tried(bank)):
            assert case.play in PLAYS, case.id
            assert set(case.expect.states) | set(case.expect.through) | set(case.expect.items) <= states, case.id
            assert (
                case.play == "hand"
                or case.lacks
                or case.expect != cases.ExpectedResult()
                or case.id in ("probe", "directory")
            )


def test_finance_has_scripts_of_its_own_with_steps_in_both_languages_as_the_page_lists_them() -> None:
    found = derive(capabilities.tried("sample"), cases.FINANCE)
    assert {(case.play, case.cause) for case in found} == {("hand", ConditionCause.HAND)}
    assert all(case.steps and case.steps_zh for case in found)
    for page in ("docs/do/go-live.md", "docs/do/go-live.zh.md"):
        assert re.findall(r"^\| `([a-z-]+)`[:：]", texts()[page], re.MULTILINE) == [case.id for case in found]
    assert not {case.id for case in found} & {case.id for case in derive(capabilities.tried("sample"))}


def test_what_only_a_twin_can_show_says_so() -> None:
    found = {case.id: case for case in derive(capabilities.tried("sample"))}
    assert found["bad-bank-signature.payment"].by_twin_only
    assert found["answer-lost.payment"].cause is ConditionCause.PROXY
    assert found["answer-lost.payment"].seen == (SeenAt.BANK, SeenAt.TWIN)
    assert found["bank-maintenance"].seen == (SeenAt.BANK,)


def test_a_login_is_locked_by_hand_only() -> None:
    for _section, one in templates():
        if "login-lock" in one["id"]:
            assert (one["play"], one["cause"]) == ("hand", "hand")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[case]]\nid = 'a'\ntitle = 't'\ntitle_zh = 't'\nplay = 'order'\nfalt = 'half'", "no such key: falt"),
        ("[[case]]\nid = 'a'\ntitle = 't'\nplay = 'order'", "is missing title_zh"),
        (
            "[[case]]\nid = 'a'\ntitle = 't'\ntitle_zh = 't'\nplay = 'order'\nexpect = { stats = [] }",
            "no such key: stats",
        ),
        ("[case]\nid = 'a'", r"only \[\[case\]\] tables"),
        ("[[case]", "is not TOML"),
        ("[[kase]]\nid = 'a'", r"only \[\[case\]\] tables"),
    ],
)
def test_a_file_with_a_mistake_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(BadCase, match=complaint):
        case_templates("file", text)
