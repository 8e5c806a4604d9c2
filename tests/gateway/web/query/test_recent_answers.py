"""Cached answers: they are no older than allowed, never used for another scope, and made once for several callers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.call import Call, Denied, PeerCredentials
from gateway.people.rules.scopes import WHOLE, Scope
from gateway.web.query.recent_answers import RecentAnswers

CALL = Call(PeerCredentials(-1, "web:sun"), 77, (), {}, {}, scope=WHOLE)
ACME = Scope(frozenset({"acme"}))


class Verb:
    """A verb that answers when the test says so, and counts how often it was asked."""

    def __init__(self, age_s: float = 2.0) -> None:
        self.now_s = 100.0
        self.asked: list[Call] = []
        self.waits: list[Deferred[Any]] = []
        self.at_once = True
        self.verb = RecentAnswers(lambda: self.now_s, age_s).of(self._act)

    async def _act(self, call: Call) -> Any:
        self.asked.append(call)
        if not self.at_once:
            self.waits.append(Deferred())
            await self.waits[-1]
        return {"scope": call.scope.text(), "asked": len(self.asked), "query": dict(call.query)}

    def ask(self, call: Call) -> list[Any]:
        async def asked() -> Any:
            return await self.verb(call)

        heard: list[Any] = []
        Deferred.fromCoroutine(asked()).addBoth(heard.append)
        return heard


def test_an_answer_is_kept_until_it_is_too_old() -> None:
    verb = Verb()
    first = verb.ask(CALL)
    verb.now_s += 1.9
    assert verb.ask(CALL) == first and len(verb.asked) == 1
    verb.now_s += 0.1
    assert verb.ask(CALL)[0]["asked"] == 2


def test_the_age_counts_from_the_question() -> None:
    verb = Verb()
    verb.at_once = False
    slow = verb.ask(CALL)
    verb.now_s += 1.5
    verb.waits[0].callback(None)
    assert slow[0]["asked"] == 1
    verb.now_s += 0.5
    verb.at_once = True
    assert verb.ask(CALL)[0]["asked"] == 2


def test_scopes_queries_and_the_unmasked_share_nothing() -> None:
    verb = Verb()
    assert verb.ask(CALL)[0]["scope"] == "*"
    assert verb.ask(replace(CALL, scope=ACME))[0] == {"scope": "company:acme", "asked": 2, "query": {}}
    assert verb.ask(replace(CALL, query={"bank": "sample"}))[0]["asked"] == 3
    clear = replace(CALL, query={"clear": "1"}, peer=PeerCredentials(0, "root"))
    assert [verb.ask(clear)[0]["asked"] for _ in range(2)] == [4, 5]
    verb.at_once = False
    waiting = (
        verb.ask(replace(CALL, scope=Scope(frozenset({"other"})))),
        verb.ask(replace(CALL, scope=Scope(accounts=frozenset({"0001"})))),
    )
    assert len(verb.waits) == 2 and waiting == ([], [])


def test_who_asks_while_it_is_made_waits_for_it() -> None:
    verb = Verb()
    verb.at_once = False
    heard = [verb.ask(CALL) for _ in range(20)]
    assert len(verb.asked) == 1 and heard == [[]] * 20
    verb.waits[0].callback(None)
    assert all(one == heard[0] and len(one) == 1 for one in heard)


def test_a_refusal_is_everybodys_and_is_not_kept() -> None:
    verb = Verb()
    verb.at_once = False
    heard = [verb.ask(CALL) for _ in range(3)]
    verb.waits[0].errback(Denied(503, "away", "the journal is away"))
    assert [one[0].check(Denied) for one in heard] == [Denied] * 3
    verb.at_once = True
    assert verb.ask(CALL)[0]["asked"] == 2
    with pytest.raises(Denied):
        next(one[0] for one in heard if isinstance(one[0], Failure)).raiseException()
