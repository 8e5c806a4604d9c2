from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.erp.ack_window import AckWindow


class Broker:
    """RabbitMQ's view of one channel: refuses to ack what it does not hold."""

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.acks: list[int] = []
        self.acked: set[int] = set()

    def ack_through(self, tag: int) -> None:
        assert tag in self.held, "406: unknown delivery tag"
        covered = {held for held in self.held if held <= tag}
        self.acked |= covered
        self.held -= covered
        self.acks.append(tag)


def test_acks_follow_the_unbroken_run_only() -> None:
    broker = Broker()
    window = AckWindow(broker.ack_through)
    for tag in range(1, 6):
        broker.held.add(tag)
        window.delivered(tag)
    window.done(2)
    window.done(3)
    assert not window.flush()
    window.done(1)
    assert window.flush()
    assert broker.acks == [3]
    window.done(5)
    assert not window.flush()
    assert window.open == 1


def test_done_through_covers_all_before() -> None:
    broker = Broker()
    window = AckWindow(broker.ack_through)
    for tag in range(1, 5):
        broker.held.add(tag)
        window.delivered(tag)
    window.done_through(3)
    window.flush()
    assert (broker.acks, window.open) == ([3], 1)


@pytest.mark.parametrize("tag", [0, -1, 2, 99])
def test_a_tag_that_was_never_delivered_is_a_mistake(tag: int) -> None:
    window = AckWindow(lambda _tag: None)
    window.delivered(1)
    with pytest.raises(ValueError, match="never delivered"):
        window.done(tag)
    with pytest.raises(ValueError, match="never delivered"):
        window.done_through(tag)


def test_a_gap_in_tags_is_a_mistake() -> None:
    window = AckWindow(lambda _tag: None)
    window.delivered(1)
    with pytest.raises(ValueError, match="are missing"):
        window.delivered(3)


MOVES = st.lists(
    st.tuples(st.sampled_from(["deliver", "done", "again", "back", "flush", "through"]), st.integers(0, 10**6)),
    max_size=200,
)


@given(MOVES)
def test_never_acks_an_undone_delivery_and_in_the_end_acks_all(moves: list[tuple[str, int]]) -> None:
    broker = Broker()
    window = AckWindow(broker.ack_through)
    last, done, back = 0, set[int](), set[int]()
    for move, chance in moves:
        undone = sorted(set(range(1, last + 1)) - done - back)
        if move == "deliver":
            last += 1
            broker.held.add(last)
            window.delivered(last)
        elif move == "flush":
            window.flush()
        elif move == "again" and done:
            window.done(sorted(done)[chance % len(done)])
        elif undone:
            tag = undone[chance % len(undone)]
            if move == "done":
                done.add(tag)
                window.done(tag)
            elif move == "back":
                back.add(tag)
                broker.held.discard(tag)
                assert window.given_back(tag)
                assert not window.given_back(tag)
            elif move == "through":
                done |= {low for low in undone if low <= tag}
                window.done_through(tag)
        assert broker.acked <= done
        assert window.open == len(set(range(1, last + 1)) - done - back)
    for tag in set(range(1, last + 1)) - done - back:
        done.add(tag)
        window.done(tag)
    window.flush()
    assert broker.acked == done
    assert not broker.held
    assert len(broker.acks) == len(set(broker.acks))
