"""The questionnaire for a bank asks about everything that its profile assumes, in both languages."""

from __future__ import annotations

import pytest

from gateway import capabilities
from gateway.bank_questions import LANGUAGES, questions
from protocols.trial import banks
from tests.gateway.cli.chinese import CHINESE


@pytest.mark.parametrize("bank", banks())
def test_everything_reconstructed_is_asked(bank: str) -> None:
    built = capabilities.tried(bank)
    asked = questions(built)
    for claim in built.profile.reconstructed:
        assert any(claim in one.text for one in asked), claim
    assert len([one for one in asked if one.topic == "not found"]) == len(built.profile.replay)
    assert len({one.text for one in asked}) == len(asked)
    assert all(one.words(language) for one in asked for language in LANGUAGES)


def test_what_is_assumed_stands_beside_the_question() -> None:
    pace = next(one for one in questions(capabilities.tried("cmb")) if one.topic == "pace")
    assert pace.assumed == "2 a second, 2 at once"
    assert pace.assumed_in("zh") == "每秒 2 个请求，同时 2 个"


@pytest.mark.parametrize("bank", banks())
def test_topics_and_assumptions_are_in_chinese_too(bank: str) -> None:
    for one in questions(capabilities.tried(bank)):
        assert CHINESE.search(one.topic_in("zh"))
        assert not one.assumed or CHINESE.search(one.assumed_in("zh"))


def test_a_rule_of_repeats_is_said_in_words() -> None:
    payment = [one for one in questions(capabilities.tried("pab")) if one.text.startswith("payment:")]
    assert [(one.assumed_in("en"), one.assumed_in("zh")) for one in payment] == [
        ("ask first; the reference is known without end", "先查询；流水号防重无期限"),
        ("'not found' counts after 1 day and 2 answers", "请求发出 1 天之后、答复 2 次“查无此交易”才算数"),
    ]
