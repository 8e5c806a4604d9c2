"""The questionnaire for a bank asks about everything that its profile assumes, in both languages."""

from __future__ import annotations

import pytest

from gateway import capabilities
from gateway.bank_questions import LANGUAGES, questions
from protocols.trial import banks


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
