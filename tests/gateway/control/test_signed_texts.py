"""The texts that two persons sign: every kind has the same facts in both languages, and form 1 is unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from gateway.act import Act
from gateway.approvals.rules import approval_policy
from gateway.control import proposal_text
from gateway.control.register import REGISTER
from gateway.kernel.cluster.gaps import Gap, GapKind
from gateway.kernel.commit.permit_lines import RightsDecision
from gateway.kernel.core import code_names, policy
from gateway.kernel.core.states import Work
from gateway.kernel.sql import schema
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import VaultError
from gateway.language import BilingualText, bilingual, coded
from gateway.payments.act_answers import repairs
from gateway.payments.rows import repair_facts
from gateway.people.rows.proposals import ProposalKind
from gateway.people.rules import grants, roles, signed_text
from gateway.people.rules.roles import PersonRole
from gateway.people.rules.signed_text import FORM, Action, SignedFact, fact
from gateway.pools.act_answers import linked_orders
from gateway.pools.rules import pool as pool_text
from gateway.pools.rules import pool_lines
from protocols.canon.outcome import State
from tests.gateway.control.proposal_scenes import KEY, NOTE, STOPPED_BECAUSE, ProposalScene, every_action, file_of, page

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_HALF_WIDTH = re.compile(r"[\u4e00-\u9fff][,;:()?!]|[,;:()?!][\u4e00-\u9fff]")
_NUMBER = re.compile(r"[0-9]+(?:[.:-][0-9]+)*")
_PLAIN = bilingual("x", "无")
Every = Mapping[str, tuple[ProposalScene, Mapping[int, Action]]]


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Every:
    """The action of each scene, in each form."""
    return every_action(tmp_path_factory.mktemp("every"))


def halves(text: str) -> tuple[list[str], list[str]]:
    """The lines of a text of form 2 in English and in Chinese, without the headings."""
    english, chinese = text.removesuffix("\n").split("\n\n")
    return english.split("\n")[1:], chinese.split("\n")[1:]


def leaves(value: BilingualText | str) -> Iterator[str]:
    """The values that are the same in both languages."""
    if isinstance(value, str):
        yield value
    else:
        for one in value.values.values():
            yield from leaves(one)


# ---- every kind ----


def test_every_kind_of_proposal_is_among_the_scenes(every: Every) -> None:
    assert {scene.kind for scene, _actions in every.values()} == set(ProposalKind)
    for kind, choices in proposal_text.CHOICES.items():
        assert set(choices) <= {scene.to for scene, _actions in every.values() if scene.kind is kind}, kind


@pytest.mark.parametrize("form", [1, FORM])
def test_the_texts_of_each_form_are_what_they_were(every: Every, form: int) -> None:
    """The page of form 1 was written by the last version that had only form 1."""
    found = page({name: actions[form].text() for name, (_scene, actions) in every.items()})
    assert found.splitlines() == file_of(form).read_text("utf-8").splitlines()


def test_both_halves_of_each_text_have_the_same_facts(every: Every) -> None:
    for name, (scene, actions) in every.items():
        action = actions[FORM]
        english, chinese = halves(action.text())
        facts = (SignedFact(("effect", ""), action.effect), *action.facts)
        assert len(english) == len(chinese) == len(facts), name
        for one, said, chinese_line in zip(facts, english, chinese, strict=True):
            where = (name, said, chinese_line)
            assert _CHINESE.search(chinese_line.partition("：")[0]), where
            values = sorted(map(signed_text.escaped, leaves(one.value)))
            assert all(said.count(value) >= values.count(value) for value in values), where
            assert all(chinese_line.count(value) >= values.count(value) for value in values), where
            assert sorted(_NUMBER.findall(said)) == sorted(_NUMBER.findall(chinese_line)), where
            assert NOTE in chinese_line or STOPPED_BECAUSE in chinese_line or not _HALF_WIDTH.search(chinese_line), (
                where
            )
        assert {f"proposal: {KEY}", f"to: {scene.to}", f"proposed-by: {scene.first.name}"} <= set(english)


def test_the_english_half_has_the_facts_of_form_1_in_their_order(every: Every) -> None:
    for name, (_scene, actions) in every.items():
        assert halves(actions[FORM].text())[0][1:] == actions[1].text().splitlines()[1:], name


def test_what_the_english_says_in_words_the_chinese_says_in_chinese(every: Every) -> None:
    """A value that is the same in both is a name, a number or the text of a person, never a sentence of the gateway."""
    texts = {NOTE, STOPPED_BECAUSE}
    for name, (scene, actions) in every.items():
        for one in actions[FORM].facts:
            if one.label == signed_text.TO:  # of a policy or a pool its own text, which the lines explain
                continue
            for leaf in leaves(one.value):
                assert leaf in texts or leaf.startswith("{") or " " not in leaf.removesuffix(" CNY"), (
                    name,
                    scene,
                    leaf,
                )


# ---- forms ----


def test_an_act_that_two_persons_sign_has_the_present_form() -> None:
    decisions: list[Act] = [act for act in REGISTER.values() if act.decision is not None]
    assert {act.form for act in decisions} == {FORM} and len(decisions) >= len(ProposalKind)
    assert set(proposal_text.KIND_NAMES) == set(ProposalKind)


def test_forms_are_told_apart_by_the_first_line_and_have_other_digests(every: Every) -> None:
    for name, (_scene, actions) in every.items():
        texts = {form: action.text() for form, action in actions.items()}
        assert {signed_text.form_of(text): form for form, text in texts.items()} == {1: 1, FORM: FORM}
        assert actions[1].digest() != actions[FORM].digest(), name
        renamed = texts[FORM].replace("bankgw action 2", "bankgw action 1")
        assert signed_text.digest(renamed) not in {one.digest() for one in actions.values()}
    for other in ("", "bankgw action 3\n", "bankgw action 2 \n", "x\nbankgw action 1\n"):
        assert signed_text.form_of(other) is None


def test_every_character_of_either_half_is_in_the_digest(every: Every) -> None:
    action = every["release"][1][FORM]
    text = action.text()
    for before, after in (("放行", "撤销"), ("123.45", "923.45"), ("：", ":")):
        for at in (one.start() for one in re.finditer(before, text)):
            assert signed_text.digest(text[:at] + after + text[at + len(before) :]) != action.digest()


def test_a_value_cannot_make_a_line_or_a_half() -> None:
    for note in ("a\nto: failed", "x\n\n以下为中文", "\u2028决定：failed", "\u202eabc", "a\\nb"):
        action = Action(_PLAIN, (SignedFact(signed_text.TO, "settled"), fact("reason", "理由", note)))
        text = action.text()
        assert len(text.splitlines()) == 9 and all(map(str.isprintable, text.split("\n")))
    assert signed_text.escaped("a\\nb") != signed_text.escaped("a\nb"), "two values are never written alike"
    assert signed_text.escaped("示例　甲") == "示例\\u3000甲", "the rest stays readable"


@pytest.mark.parametrize("form", [1, FORM])
def test_a_text_states_its_own_choice_and_evidence_in_each_language(every: Every, form: int) -> None:
    for scene, actions in every.values():
        text = actions[form].text()
        assert signed_text.states_choice(text, scene.to, scene.evidence_sha256), text
        assert not signed_text.states_choice(text, "other", scene.evidence_sha256)
        assert not signed_text.states_choice(text, scene.to, "0" * 64)
        assert not signed_text.states_choice(text.replace(f"to: {scene.to}", "to: x"), scene.to, scene.evidence_sha256)
        forged = text.replace(f"决定：{scene.to}", "决定：x")
        assert form == 1 or not signed_text.states_choice(forged, scene.to, scene.evidence_sha256)
    assert not signed_text.states_choice("to: x\nevidence-sha256: none\n", "x", None)


def test_the_effect_is_read_in_each_language(every: Every) -> None:
    _scene, actions = every["deactivate"]
    english, chinese = signed_text.effect_of(actions[FORM].text())
    assert english.startswith("sun is deactivated") and chinese.startswith("停用人员 sun")
    assert signed_text.effect_of(actions[1].text()) == ("", "")


# ---- sentences ----


def test_two_languages_that_state_other_facts_cannot_be_declared() -> None:
    for english, chinese in (("{a} to {b}", "{a}"), ("{a}", "{a}{b}"), ("{a} {a}", "{a}{a}"), ("{a}", "")):
        with pytest.raises(AssertionError):
            bilingual(english, chinese, a="1", b="2")
    assert bilingual("{a} of {b}", "{b} 的 {a}", a="1", b=coded("x", {"x": "某"})).said("zh") == "x（某） 的 1"


def both(value: BilingualText | str) -> tuple[str, str]:
    """A sentence in both languages, after a check that its numbers are equal."""
    assert isinstance(value, BilingualText), value
    english, chinese = value.said("en"), value.said("zh")
    assert sorted(_NUMBER.findall(english)) == sorted(_NUMBER.findall(chinese)), (english, chinese)
    assert _CHINESE.search(chinese) and not _HALF_WIDTH.search(chinese), chinese
    return english, chinese


GAP = Gap(GapKind.JOURNAL, "gw1", (91, "ab"), (72, "cd"), 61, 51, 41, 0, 0, 31)
LOST = RightsDecision("gw2", 5, "person.deactivated", "person:zhao", "wang,li")
LIFE = "node gw 3 on an unnamed machine, journal 0f3a, fencing number 7, since 2026-11-18T11:07:00.000Z"


@pytest.mark.parametrize("lack", GapKind)
def test_every_gap_is_a_sentence_in_both_languages(lack: GapKind) -> None:
    gap = replace(GAP, lack=lack, unlogged=("gw7", "gw8"), note=LIFE, unsealed=(4, 3, 2))
    english, chinese = both(gap.bilingual())
    assert english == gap.sentence()
    assert "gw1" not in english or "gw1" in chinese
    if lack is GapKind.MARK:
        assert f"({LIFE})" in english and "节点 gw 3，主机 an unnamed machine" in chinese
    lost = replace(gap, lost_words=(LOST, LOST))
    if lack in (GapKind.JOURNAL, GapKind.FORKED):
        assert both(lost.bilingual())[0].endswith(
            "; among the words: person.deactivated person:zhao by wang,li; person.deactivated person:zhao by wang,li"
        )


def test_a_gap_has_the_fingerprint_that_it_had() -> None:
    assert b"unsealed" not in GAP.record() and b"note" not in GAP.record()
    assert replace(GAP, lack=GapKind.NOT_SEALED).name == replace(GAP, lack=GapKind.NOT_SEALED, unsealed=(1, 2, 3)).name


def test_everything_that_can_be_wrong_with_rows_is_said_in_both_languages() -> None:
    for wrong in (
        *(repair_facts.unreadable(one) for one in (SealBroken("work", "01M7"), VaultError("x"), ValueError())),
        *(repair_facts.unreadable(SealBroken("payments", "01M7", why)) for why in repair_facts.WHY),
        *(one("01M7") for one in (repair_facts.lacks_entries, repair_facts.has_no_entry)),
        *(repair_facts.lacks_sends("01M7"), repair_facts.differs((3, "ready"), (4, "settled"))),
        *(repair_facts.sends_differ(1, 2, 3), repair_facts.lacks_work("in_doubt", "enquire")),
        *(repair_facts.send_made_anew(1, altered=True, day="2026-11-18", node="gw1").value,),
        *(repair_facts.send_removed(2).value, repair_facts.work_set((), "held").value),
    ):
        both(wrong)
    assert str(SealBroken("work", "01M7")) == both(repair_facts.unreadable(SealBroken("work", "01M7")))[0]


def test_every_code_and_column_has_its_chinese_name() -> None:
    assert set(code_names.STATE_NAMES) == set(State) and set(code_names.WORK_NAMES) == set(Work)
    holds = {value for name, value in vars(policy).items() if name.startswith("HOLD_")}
    assert holds <= set(code_names.HOLD_NAMES) and set(roles.ROLE_NAMES) == set(PersonRole)
    assert {one.name for one in schema.payments.columns} == set(repair_facts.COLUMN_NAMES)
    assert set(linked_orders.CHOICES) and set(repairs.CHOICES)


@pytest.mark.parametrize(
    "text",
    [
        "none",
        "security_admin",
        "approver@*;viewer@company:yi+account:00000000000101",
        "maker@account:0001+account:0002",
    ],
)
def test_grants_are_in_english_as_they_are_written(text: str) -> None:
    made = grants.parse(text)
    assert both(made.bilingual())[0] == made.text()


@pytest.mark.parametrize(
    "text",
    [
        "none",
        "CNY 0..50000 0; CNY 50000.. 1; makers kingdee,sap",
        "CNY 0.. 0; JPY 0.. 1; CNY 0..1 1 kind=payroll_item; CNY 1.. 2 kind=payroll_item; CNY 0.. 2 payee=known group=a; group a=li,wu",
    ],
)
def test_a_policy_is_in_english_as_it_is_written(text: str) -> None:
    made = approval_policy.parse(text)
    assert [both(one)[0] for one in approval_policy.bilingual_lines(made)] == list(approval_policy.lines(made))


@pytest.mark.parametrize(
    "text",
    [
        "none",
        "pool CNY header=0001 most-run=5 most-day=9; child 0002 up=fixed:5; child 0003 down=fixed:5 below=6.00",
        "pool USD header=0001 slots=10:00-11:00 floor=1 least=2 round=100 most-run=5 most-day=9 fresh=60 calendar=us "
        "contract=HT-1 quota=7 until=2027-12-31; child 0002 up=part:30 floor=2; child 0003 up=keep:9 down=target:8; "
        "child 0004 up=all",
    ],
)
def test_a_pool_is_in_english_as_it_is_written(text: str) -> None:
    made = pool_text.parse(text)
    written = pool_text.NONE if made is None else made.text()
    assert [both(one)[0] for one in pool_lines.bilingual_lines(made)] == list(pool_text.lines(written))
