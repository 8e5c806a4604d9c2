"""The case of an order that the bank never carried out, at a bank whose orders are never sent again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway import capabilities
from gateway.jointtest import plays
from gateway.jointtest.cases import BadCase, case_templates, derive
from gateway.jointtest.player import Player
from gateway.jointtest.verdicts import CaseVerdict, SeenAt
from protocols.bank import Replay
from protocols.canon.order import Kind
from protocols.trial import banks

CASE = "closed-before.payment"
SENT, ASKED = {"what": "sent"}, {"what": "heard", "source": "enquiry"}


class OneOrder:
    """The part of a player that the play needs. The gateway's answers about the order are `shown`, one a look; the last
    one stays."""

    def __init__(self, *shown: list[dict[str, Any]], state: str = "in_doubt", executions: int = 0) -> None:
        self._shown, self._state, self._executions = list(shown), state, executions
        self._now_s, self._struck = 0.0, False
        self.facts: dict[str, Any] = {}
        self.patience_s = 10.0
        self.published: list[Any] = []
        case = next(one for one in derive(capabilities.tried("icbc")) if one.id == CASE)
        self.case = case
        self.world = SimpleNamespace(
            plan=SimpleNamespace(told=SimpleNamespace(sender="joint"), seen=SeenAt.TWIN),
            desk=SimpleNamespace(get=self._order),
            elsewhere=self._elsewhere,
            clock=SimpleNamespace(monotonic_s=lambda: self._now_s),
            line=SimpleNamespace(answers=lambda _message: []),
        )

    def _order(self, *_words: str) -> dict[str, Any]:
        return {"timeline": self._shown.pop(0) if len(self._shown) > 1 else self._shown[0]}

    async def _elsewhere(self, fn: Any, *args: Any) -> Any:
        return fn(*args)

    def order(self) -> Any:
        fields = {"debtor": {"account": "0001"}}
        return SimpleNamespace(id="JT-1", kind="payment", minor=100, items=(), fields=fields, message_id="m", later=[])

    async def publish(self, one: Any) -> None:
        self.published.append(one)

    async def until_state(self, _one: Any, states: Any) -> bool:
        return self._state in states

    def state(self, _one: Any) -> str:
        return self._state

    def told(self, _one: Any) -> list[Any]:
        return []

    def codes(self, _one: Any) -> list[str]:
        return []

    async def executions(self, _one: Any) -> list[dict[str, str]]:
        return [{"bank_serial": "1"}] * self._executions

    async def twin(self, do: str, **_more: Any) -> dict[str, Any]:
        self._struck = self._struck or do == "strike"
        return {"faults": {"drop_before": int(self._struck)}}

    def sleep(self, _clock: Any, seconds: float) -> Any:
        async def slept() -> None:
            self._now_s += seconds

        return slept()


async def play(one: OneOrder, monkeypatch: pytest.MonkeyPatch) -> tuple[CaseVerdict, str]:
    monkeypatch.setattr(plays, "sleep", one.sleep)
    found = await plays.left_in_doubt(cast(Player, one))
    assert len(one.published) == 1
    return found.verdict, found.why


async def test_an_order_that_stays_in_doubt_and_is_asked_about_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    one = OneOrder([SENT, ASKED], [SENT, ASKED, ASKED], [SENT, ASKED, ASKED, ASKED])
    verdict, why = await play(one, monkeypatch)
    assert verdict is CaseVerdict.PASSED
    assert why == "JT-1 stays in_doubt; sent once, asked about 3 times in 2 s; persons decide"


@pytest.mark.parametrize(
    ("shown", "state", "executions", "why"),
    [
        ([SENT, ASKED], "in_doubt", 0, "the bank was asked about JT-1 1 times only"),
        ([SENT, SENT, ASKED, ASKED, ASKED], "in_doubt", 0, "JT-1 was sent 2 times, not once"),
        ([SENT, ASKED, ASKED, ASKED], "in_doubt", 1, "JT-1: carried out 1 times, not 0"),
        ([SENT], "settled", 0, "JT-1 is settled for good, expected in_doubt or escalated"),
        ([SENT], "failed", 0, "JT-1 is failed for good, expected in_doubt or escalated"),
    ],
)
async def test_every_other_end_fails(
    shown: list[dict[str, Any]], state: str, executions: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = OneOrder(shown, state=state, executions=executions)
    assert await play(one, monkeypatch) == (CaseVerdict.FAILED, why)


@pytest.mark.parametrize("bank", banks())
def test_the_case_says_which_end_this_bank_has(bank: str) -> None:
    built = capabilities.tried(bank)
    case = next(one for one in derive(built) if one.id == CASE)
    if built.profile.replay[Kind.PAYMENT].policy is Replay.NEVER:
        assert (case.play, case.expect.states, case.expect.executions) == (
            "left-in-doubt",
            ("in_doubt", "escalated"),
            0,
        )
        assert "never sent again" in case.title and "从不重发" in case.title_zh
    else:
        assert (case.play, case.expect.states, case.expect.executions) == ("order", ("settled",), 1)
        assert "never sent again" not in case.title


def test_a_mistake_in_what_differs_is_refused() -> None:
    text = "[[case]]\nid = 'a'\ntitle = 't'\ntitle_zh = 't'\nplay = 'order'\nunrepeated = { expect = { stats = [] } }"
    with pytest.raises(BadCase, match="no such key: stats"):
        case_templates("file", text)
