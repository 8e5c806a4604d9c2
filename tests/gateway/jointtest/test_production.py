"""The production check: at most 1.00, between own accounts, by two persons. Every other end is a failure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway import capabilities
from gateway.jointtest import production
from gateway.jointtest.amounts import OverCap
from gateway.jointtest.player import Player
from gateway.jointtest.runner import Runner
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict

NOW = datetime(2026, 11, 28, 2, tzinfo=UTC)
SETTLED = {"state": "settled", "final": True, "payment": "P-1", "bank_serial": "S", "bank_reference": "R"}
STATEMENT = {
    "lines": [{"amount": "1.00"}],
    "checked": True,
    "closed": True,
    "count": 1,
    "opening": "9.00",
    "closing": "8.00",
}
HELD = {"would": "held", "hold_reasons": ["new_payee", "approval"]}
UNSTATED = {
    **STATEMENT,
    "checked": False,
    "date": "2026-11-28",
    "account": "0001",
    "credit_sum": "0.00",
    "debit_sum": "1.00",
}


@dataclass
class Somebody:
    """The part of a player that the check needs. `shown` is the gateway's answer about the order, `replies` are its
    answers.
    """

    shown: dict[str, Any] | None = None
    state_word: str = "held"
    would: dict[str, Any] | None = field(default_factory=lambda: dict(HELD))
    order_minor: int = 100
    to: str = "0002"
    day: date = date(2026, 11, 28)
    receipts_of: str = "payment"
    replies: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    published: int = 0
    started: datetime = NOW
    by: str = "wang"
    patience_s: float = 1.0

    def __post_init__(self) -> None:
        told = SimpleNamespace(sender="joint", receipts_of=self.receipts_of)
        line = SimpleNamespace(until=self._until)
        desk = SimpleNamespace(get=lambda *_words: self.shown)
        bank = SimpleNamespace(
            questions=SimpleNamespace(receipt=None if "receipt" not in self.replies else object()),
            profile=SimpleNamespace(past_balance_days=9),
        )
        self.world = SimpleNamespace(
            now=lambda: NOW, plan=SimpleNamespace(told=told), line=line, desk=desk, bank=bank, elsewhere=self._elsewhere
        )
        given = {"order": "JT-1", "date": "2026-11-28", "amount": "1.00", "account": "0001", "given_by": "wang"}
        self.one = SimpleNamespace(facts=given, started=self.started)
        self.case = SimpleNamespace(expect=SimpleNamespace(reply=("statement.ready", "receipt.ready")))

    async def _until(self, good: Any, _patience_s: float) -> bool:
        return bool(good())

    async def _elsewhere(self, fn: Any, *words: Any) -> Any:
        return fn(*words)

    def order(self, kind: str, change: dict[str, str]) -> Any:
        assert (kind, change) == ("transfer", {"/amount": "1.00"})
        fields = {"debtor": {"account": "0001"}, "creditor": {"account": self.to}, "amount": "1.00"}
        return SimpleNamespace(id="JT-1", minor=self.order_minor, fields=fields)

    async def publish(self, _one: Any) -> None:
        self.published += 1

    def state(self, _one: Any) -> str:
        return self.state_word

    def codes(self, _one: Any) -> list[str]:
        return []

    def today(self) -> date:
        return self.day

    async def ask(self, key: str, asked: Any, _patience_s: float = 0) -> Any:
        if key == "payment.validate":
            assert not self.published, "asked before it is given"
            return None if self.would is None else SimpleNamespace(name="payment.validated", said=self.would, code="")
        name = key.partition(".")[0]
        said = self.replies.get(f"{name} {asked.get('date')}", self.replies.get(name))
        if said is not None and "on" in asked:
            said = {"balances": [{"book": said[asked["on"]]}] if asked["on"] in said else []}
        return None if said is None else SimpleNamespace(name=f"{key.partition('.')[0]}.ready", said=said, code="")


def shown(*actors: str, **more: Any) -> dict[str, Any]:
    acts = [{"what": "act", "act": "order.released", "actor": actor} for actor in actors]
    return {**SETTLED, "timeline": [{"what": "told", "event": "payment.held"}, *acts], **more}


async def gave(player: Somebody) -> CaseFinding:
    return await production.give(cast(Player, player))


async def went_on(player: Somebody) -> CaseFinding:
    return await production.go_on(cast(Player, player))


async def test_it_waits_for_the_second_person() -> None:
    player = Somebody()
    found = await gave(player)
    assert (found.verdict, player.published) == (CaseVerdict.WAITING, 1)
    assert "bankgw orders release joint:JT-1" in found.why and player.facts["given_by"] == "wang"


REJECTED = {
    "would": "rejected",
    "error": {
        "code": "validation_failed",
        "title": "The order cannot be sent.",
        "errors": [{"at": "/amount", "code": "limit", "detail": "is over the limit of 0.50 for a day"}],
    },
}


@pytest.mark.parametrize(
    ("would", "why"),
    [
        (None, "did not answer payment.validate"),
        ({"would": "ready"}, "JT-1 would be sent now, and no second person would be asked: give the sender a band"),
        (
            {"would": "ready", "send_after": "2026-11-30T01:00:00.000Z"},
            "would be sent from 2026-11-30T01:00:00.000Z on",
        ),
        ({"would": "held", "hold_reasons": ["suspected_duplicate"]}, "would be held for suspected_duplicate only"),
        (
            REJECTED,
            "would be rejected: validation_failed The order cannot be sent. /amount is over the limit of 0.50 for a day",
        ),
        ({"would": "replayed"}, "would be replayed"),
        ({"error": {"code": "not_allowed", "title": "No."}}, "would be payment.validated: not_allowed No."),
    ],
)
async def test_what_no_band_would_hold_is_not_given(would: dict[str, Any] | None, why: str) -> None:
    player = Somebody(would=would)
    found = await gave(player)
    assert (found.verdict, player.published) == (CaseVerdict.FAILED, 0)
    assert why in found.why and "no money moved" in found.why


async def test_approvers_by_the_policy_count_as_the_second_person() -> None:
    said = shown()
    said["timeline"].append({"what": "act", "act": "order.approved", "actor": "li"})
    assert (await went_on(Somebody(shown=said))).verdict is CaseVerdict.WAITING


async def test_without_a_second_person_it_fails() -> None:
    assert (await gave(Somebody(state_word="settled"))).verdict is CaseVerdict.FAILED


@pytest.mark.parametrize("wrong", [{"order_minor": 101}, {"to": "0001"}])
async def test_nothing_larger_and_nothing_else_is_sent(wrong: dict[str, Any]) -> None:
    player = Somebody(**wrong)
    with pytest.raises(OverCap):
        await gave(player)
    assert player.published == 0


@pytest.mark.parametrize(
    ("said", "verdict", "why"),
    [
        (shown("uid:li"), CaseVerdict.WAITING, "statement and receipt"),
        (shown("uid:wang"), CaseVerdict.FAILED, "two persons are needed"),
        (shown("uid:li", "uid:wang"), CaseVerdict.FAILED, "two persons are needed"),
        (shown(), CaseVerdict.FAILED, "nobody released it"),
        (shown(state="held", final=False), CaseVerdict.WAITING, "is held"),
        (shown("uid:li", state="failed"), CaseVerdict.FAILED, "is failed"),
        (None, CaseVerdict.FAILED, "does not show"),
    ],
)
async def test_who_released_it_decides(said: dict[str, Any] | None, verdict: CaseVerdict, why: str) -> None:
    found = await went_on(Somebody(shown=said))
    assert found.verdict is verdict and why in found.why


@pytest.mark.parametrize(
    ("replies", "verdict"),
    [
        ({"statement": STATEMENT}, CaseVerdict.PASSED),
        ({"statement": STATEMENT, "receipt": {"name": "r", "size": 1, "media_type": "x"}}, CaseVerdict.PASSED),
        ({"statement": {**STATEMENT, "lines": []}}, CaseVerdict.FAILED),
        ({"statement": UNSTATED}, CaseVerdict.FAILED),
        ({"statement": UNSTATED, "balance": {"2026-11-27": "9.00", "2026-11-28": "8.00"}}, CaseVerdict.PASSED),
        ({"statement": UNSTATED, "balance": {"2026-11-27": "9.00", "2026-11-28": "7.99"}}, CaseVerdict.FAILED),
        ({"statement": UNSTATED, "balance": {"2026-11-28": "8.00"}}, CaseVerdict.FAILED),
        ({"statement": {**STATEMENT, "closed": False}}, CaseVerdict.WAITING),
        ({}, CaseVerdict.FAILED),
    ],
)
async def test_the_next_day_has_statement_and_receipt(replies: dict[str, Any], verdict: CaseVerdict) -> None:
    player = Somebody(shown=shown("uid:li"), day=date(2026, 11, 29), replies=replies)
    assert (await went_on(player)).verdict is verdict


EVENING = datetime(2026, 11, 28, 14, tzinfo=UTC)  # 22:00 in China


@pytest.mark.parametrize(
    ("started", "following", "verdict"),
    [
        (EVENING, STATEMENT, CaseVerdict.PASSED),
        (EVENING, {**STATEMENT, "closed": False}, CaseVerdict.WAITING),
        (EVENING, {**STATEMENT, "lines": []}, CaseVerdict.FAILED),
        (NOW, STATEMENT, CaseVerdict.FAILED),
    ],
    ids=["closed", "not yet closed", "not there either", "paid in the morning"],
)
async def test_a_payment_of_the_evening_may_stand_under_the_next_accounting_date(
    started: datetime, following: dict[str, Any], verdict: CaseVerdict
) -> None:
    replies = {"statement": {**STATEMENT, "lines": []}, "statement 2026-11-29": {**following, "date": "2026-11-29"}}
    player = Somebody(shown=shown("uid:li"), day=date(2026, 11, 29), replies=replies, started=started)
    found = await went_on(player)
    assert found.verdict is verdict
    if verdict is CaseVerdict.WAITING:
        assert found.why == "the bank has not closed 2026-11-29" and player.facts["date"] == "2026-11-29"


async def test_receipts_that_no_single_payment_has_are_not_asked_for() -> None:
    replies = {"statement": STATEMENT, "receipt": None}
    player = Somebody(shown=shown("uid:li"), day=date(2026, 11, 29), replies=replies, receipts_of="batch_item")
    found = await went_on(player)
    assert found.verdict is CaseVerdict.PASSED and "no receipt of a single payment" in found.why


def test_in_production_no_other_case_is_played() -> None:
    from gateway.jointtest.verdicts import SeenAt
    from tests.gateway.jointtest.samples import sample_cases

    told = SimpleNamespace(relay=object(), triggers={}, accounts=(1, 2))
    place: Any = SimpleNamespace(plan=SimpleNamespace(production=True, seen=SeenAt.BANK, told=told))
    playing = Runner(place, sample_cases(), lambda *_: None)
    ahead = [playing._ahead(case) for case in sample_cases()]
    assert all(one is not None and one.verdict in (CaseVerdict.BLOCKED, CaseVerdict.NOT_APPLICABLE) for one in ahead)
    assert playing._ahead(production.case(capabilities.tried("sample"))) is None
