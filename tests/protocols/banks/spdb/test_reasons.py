"""A payment's fate follows from the bank's own text about it, not from our text or from the refusal of another copy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.kernel.core.policy import field_faults
from gateway.simbank.ledger import BookingRules
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import FateQuestion
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.spdb.paper import (
    BUNDLE,
    ITEMS,
    REASON,
    REFERENCE,
    bank,
    bundle,
    context,
    listed,
    order,
    refused,
    row,
    sent,
    sent_bundle,
    stage,
    steps,
    talk,
)
from tests.world.dialogue import BankAndTwin


def ask(*rows: str) -> Outcome:
    fate = bank().questions.fate
    assert fate is not None
    return talk(fate(FateQuestion(sent()), context()), listed(*rows))


def asked(scene: BankAndTwin) -> Outcome:
    fate = scene.bank.questions.fate
    assert fate is not None
    return scene.talk(fate(FateQuestion(sent()), scene.context()))


# ---- the note ----

NOTES = [
    # Our own purpose is no reason, whatever it says.
    ("4", "错误原因:EYY8990 更正", Fate.SETTLED, "4"),
    ("4", "货款|&lt;错误原因:EYY8990 重复&gt;", Fate.SETTLED, "4"),
    ("1", "错误原因:EYY8990 更正", Fate.PENDING, "1"),
    ("3", "货款 错误原因:X1 退票", Fate.PENDING, "3"),
    # Where it cannot be distinguished from the bank's text, the outcome is unknown.
    ("8", "货款 错误原因:X1 退票", Fate.UNKNOWN, "8"),
    ("8", "错误原因:EYY8990", Fate.UNKNOWN, "8"),
    ("9", "错误原因:EGG0042", Fate.UNKNOWN, "9"),
    # A note that was cut may lack the deciding words.
    ("8", "货款|&lt;错误原因:EGG0042 处理失败", Fate.UNKNOWN, "8"),
    ("8", "货款|&lt;错误原因:EYY8", Fate.UNKNOWN, "8"),
    # The bank's form, at the end.
    ("8", REASON, Fate.FAILED, "EGG0042"),
    ("8", "货款|&lt;错误原因:X1 退票&gt;|&lt;错误原因:EGG0042 余额不足&gt;", Fate.FAILED, "EGG0042"),
    ("8", "错误原因:X1 退票|&lt;错误原因:EGG0042 余额不足&gt;", Fate.FAILED, "EGG0042"),
    ("8", "货款|&lt;错误原因:EYY8990 重复&gt; ", Fate.DUPLICATE, "EYY8990"),
    ("8", "货款|&lt;错误原因: 人行退票&gt;", Fate.RETURNED, "8"),
    ("8", "货款|&lt;错误原因:EGG0042 &lt;甲&gt; 错误原因:X1&gt;", Fate.FAILED, "EGG0042"),
]


@pytest.mark.parametrize(("status", "note", "fate", "code"), NOTES)
def test_a_reason_counts_only_beside_a_refusal_and_in_the_bank_s_form(
    status: str, note: str, fate: Fate, code: str
) -> None:
    outcome = ask(row(status, note))
    assert (outcome.fate, outcome.code, outcome.listed) == (fate, code, fate is not Fate.UNKNOWN)


def test_a_purpose_that_looks_like_a_reason_is_refused_before_anything_is_sent() -> None:
    for purpose in ("错误原因:X1", "货款 错误原因:X1 退票"):
        with pytest.raises(ProtocolError):
            steps(bank().money[Kind.PAYMENT](order(purpose=purpose), context(REFERENCE)))
        for limits in (bank().profile.limits, *bank().profile.kind_limits.values()):
            [limit] = [one for one in limits.fields if one.at == "/purpose"]
            assert len(list(field_faults(limit, purpose, "gbk"))) == 1
            assert not list(field_faults(limit, "货款 原因:更正", "gbk"))


def test_a_refusal_whose_note_was_cut_is_doubt() -> None:
    scene = stage(["cut_notes"], conduct=BookingRules(refuse_share=1))
    scene.talk(scene.bank.money[Kind.PAYMENT](order(), scene.context(REFERENCE)))
    assert asked(scene).fate is Fate.UNKNOWN


# ---- several records ----


@pytest.mark.parametrize("ids", [{}, {"acceptNo": "", "serialNo": "", "seqNo": ""}])
@pytest.mark.parametrize(("one", "other"), [("4", "8"), ("8", "4"), ("1", "8"), ("8", "A")])
def test_two_records_that_disagree_are_doubt_though_nothing_tells_them_apart(
    ids: dict[str, str], one: str, other: str
) -> None:
    assert ask(row(one, **ids), row(other, **ids)).fate is Fate.UNKNOWN
    assert ask(row(one, **ids), row(one, **ids)).fate is ask(row(one)).fate


def test_records_without_the_bank_s_numbers_never_hide_a_payment() -> None:
    scene = stage(["bare_rows", "two_records"])
    scene.talk(scene.bank.money[Kind.PAYMENT](order(), scene.context(REFERENCE)))
    assert asked(scene).fate is Fate.UNKNOWN
    alone = stage(["bare_rows"])
    alone.talk(alone.bank.money[Kind.PAYMENT](order(), alone.context(REFERENCE)))
    assert asked(alone).fate is Fate.SETTLED


# ---- another copy ----


@pytest.mark.parametrize("code", ["EYY8998", "EGG0346"])
def test_what_people_send_again_may_be_refused_for_what_its_first_copy_did(code: str) -> None:
    answer = refused("8801", REFERENCE, code)
    for attempt, fate in ((1, Fate.FAILED), (2, Fate.UNKNOWN)):
        given = replace(context(REFERENCE), attempt=attempt)
        assert talk(bank().money[Kind.PAYMENT](order(), given), answer).fate is fate
        assert bank().read(Kind.PAYMENT, replace(sent(), attempt=attempt), answer).fate is fate
    batches = bank(codes={"refused": [code]}).bundles[Kind.BATCH_ITEM]
    given = replace(context(BUNDLE), attempt=2)
    told = talk(batches.word(bundle(), given), refused("8800", BUNDLE, code))
    assert told == batches.read(replace(sent_bundle(), attempt=2), refused("8800", BUNDLE, code))
    assert {told[one].fate for one in ITEMS[:3]} == {Fate.UNKNOWN}
    again = replace(context(REFERENCE), attempt=2)
    known = talk(bank().money[Kind.PAYMENT](order(), again), refused("8801", REFERENCE, "EYY8990"))
    assert known.fate is Fate.DUPLICATE
