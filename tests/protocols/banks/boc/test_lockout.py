"""The lane and the operator's password: how the real lane uses the counts of refused sign-ons."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from itertools import pairwise
from pathlib import Path

import pytest

from protocols.bank import Bank
from protocols.banks import boc
from protocols.kit import http
from protocols.trial import trial
from protocols.twin import Answer, Books
from tests.gateway.bank.trials import trial_world

SIGN_ON = b"<trncod>b2e0001</trncod>"
DAY_S = 86_400.0
AnswerOf = Callable[[str, bytes, Books, MutableMapping[str, str]], Answer]


def fresh(_shared: Bank) -> Bank:
    """The adapter of a new process. Worlds of one process share one adapter, and with it its counts."""
    return boc.build(trial("boc").options)


@pytest.mark.parametrize("said", [b"", http.answer(500, (), b"<html/>")], ids=["nothing", "HTTP 500"])
def test_sign_ons_without_an_answer_of_the_bank_s_end_before_the_fifth(
    said: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, twins = trial_world(tmp_path, monkeypatch, ("boc",), adapters={"boc": fresh})
    bank = twins["boc"].twin
    usual: AnswerOf = bank.answer

    def mute(port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        return Answer(said, close=True) if SIGN_ON in request else usual(port, request, books, session)

    monkeypatch.setattr(type(bank), "answer", lambda _self, *told: mute(*told))
    life = world.start()
    world.run(3 * DAY_S)
    times = twins["boc"].times(SIGN_ON)
    assert [round(after - before, -2) for before, after in pairwise(times)] == [300.0, 3_600.0, DAY_S]
    assert not life.gateway.lanes["boc.main"].ready


def test_a_front_end_that_was_away_is_signed_on_to_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, twins = trial_world(tmp_path, monkeypatch, ("boc",), adapters={"boc": fresh})
    world.banks["boc"].reachable = False
    life = world.start()
    world.run(3_600)
    assert world.dials > 50
    world.banks["boc"].reachable = True
    world.run(60)
    assert len(twins["boc"].times(SIGN_ON)) == 1
    assert life.gateway.lanes["boc.main"].ready
