"""A flood of one sender does not delay another's orders, and each sender's messages keep their order."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.erp import sender_turns
from gateway.erp.consumer import WIDER
from gateway.erp.sender_turns import MOST_AT_ONCE, MOST_OF_ONE, SenderTurns
from gateway.kernel.deliveries import Delivery, Properties
from tests.world.world import World

PREFETCH = 200


class Recorded:
    """Records which deliveries were begun."""

    def __init__(self) -> None:
        self.begun: list[Delivery] = []
        self.asked: list[str] = []
        self.tag = 0
        self.turns = SenderTurns(
            PREFETCH,
            self.begun.append,
            lambda queue: self.asked.append(f"+{queue}"),
            lambda queue: self.asked.append(f"-{queue}"),
        )

    def put(self, user: str, count: int = 1, queue: str = "money") -> None:
        for _ in range(count):
            self.tag += 1
            self.turns.put(Delivery(queue, self.tag, 1, False, "", "k", Properties(user_id=user), b""))

    def users(self) -> str:
        return "".join(str(one.properties.user_id) for one in self.begun)


def test_another_sender_is_next_however_many_wait_before_it() -> None:
    seen = Recorded()
    seen.put("f", 5_000)
    assert seen.users() == "f" * MOST_OF_ONE, "one alone leaves room for others"
    seen.put("a", 3)
    assert seen.users()[MOST_OF_ONE:] == "aaa"
    assert seen.turns.waiting == 5_000 - MOST_OF_ONE


def test_senders_take_turns_and_each_keeps_its_order() -> None:
    seen = Recorded()
    for user in "fab":
        seen.put(user, MOST_AT_ONCE)
    done = 0
    while seen.turns.waiting:
        seen.turns.done(seen.begun[done])
        done += 1
    assert len(seen.begun) == 3 * MOST_AT_ONCE
    for user in "fab":
        tags = [one.tag for one in seen.begun if one.properties.user_id == user]
        assert tags == sorted(tags) and len(tags) == MOST_AT_ONCE
    assert seen.users()[MOST_AT_ONCE : MOST_AT_ONCE + 20] == "b" * 20, "who has least under way is next"
    assert "abab" in seen.users()


def test_more_is_asked_for_while_one_sender_has_most_of_it_and_no_more_afterwards() -> None:
    seen = Recorded()
    seen.put("f", MOST_OF_ONE + PREFETCH // 2)
    assert seen.asked == []
    seen.put("f")
    assert seen.asked == ["+money"]
    seen.put("f", (PREFETCH + WIDER) // 2)
    assert seen.asked == ["+money", "+money"]
    for n in range(MOST_OF_ONE + PREFETCH + WIDER):
        if n < len(seen.begun):
            seen.turns.done(seen.begun[n])
    assert seen.asked == ["+money", "+money", "-money"] and seen.turns.waiting == 0


def test_what_ends_at_once_is_no_recursion_and_what_is_lost_is_forgotten() -> None:
    seen = Recorded()
    seen.put("f", 5_000)

    def begin(delivery: Delivery) -> None:
        seen.begun.append(delivery)
        seen.turns.done(delivery)

    seen.turns._begin = begin
    seen.turns.done(seen.begun[0])
    assert len(seen.begun) == 5_000 and seen.turns.waiting == 0
    other = Recorded()
    other.put("f", 500)
    assert other.turns.forget() == 500 - MOST_OF_ONE and other.turns.waiting == 0
    for delivery in list(other.begun):
        other.turns.done(delivery)
    assert len(other.begun) == MOST_OF_ONE and other.turns._under_way == 0


def delays(folder: Path, flood: int) -> list[float]:
    """How long each of ten orders waits for its answer behind so many invalid messages of another sender."""
    world = World(folder)
    world.start()
    world.run(1)
    for _ in range(flood):
        world.command("payment.submit", b"{", user="somebody.else", reply_to=None)
    began_s, wanted = world.clock.seconds(), {f"AP-{n}" for n in range(10)}
    for id_ in sorted(wanted):
        world.submit(id_)
    took: dict[str, float] = {}
    while len(took) < len(wanted):
        world.run(0.01)
        for _head, said in world.replies:
            took.setdefault(said["id"], world.clock.seconds() - began_s)
    return sorted(took.values())


def test_invalid_messages_of_one_sender_do_not_delay_the_orders_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quiet").mkdir()
    quiet, flooded = delays(tmp_path / "quiet", 0), delays(tmp_path, 2_000)
    assert flooded[-1] < quiet[-1] + 0.08, (quiet, flooded)
    assert sender_turns.MOST_WIDENINGS * WIDER >= 20_000
