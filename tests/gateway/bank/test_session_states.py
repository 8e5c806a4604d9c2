"""A session changes its state only as the table says, in the table itself and in the pool."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from gateway.bank.session_states import MEANINGS, TABLE, IllegalMove, S, SessionEvent, SessionState, after
from gateway.kernel import meters
from gateway.simbank.faults import BankFault, FaultPlan
from tests.world.world import World

E = SessionEvent


def test_no_two_rows_speak_of_the_same_state_and_event() -> None:
    pairs = [(state, move.event) for move in TABLE for state in move.before]
    assert len(pairs) == len(set(pairs))


def test_every_state_can_be_reached_and_left_and_has_words() -> None:
    reached, left = {move.after for move in TABLE}, {state for move in TABLE for state in move.before}
    assert reached == left == set(SessionState) == set(MEANINGS)
    assert {move.event for move in TABLE} == set(SessionEvent)
    assert tuple(state.value for state in SessionState) == meters.SESSION_STATES, "the metric's label"


def test_only_what_the_bank_has_answered_on_may_carry_money() -> None:
    """A session becomes live only by an answer of the bank, and stays live while taken or released."""
    for move in TABLE:
        for state in move.before:
            if move.after.live and not state.live:
                assert move.event is E.PROVEN, move
    assert {state for state in SessionState if state.live} == {S.READY, S.BUSY}


def test_a_conversation_keeps_its_session_until_it_releases_it() -> None:
    for move in TABLE:
        for state in move.before:
            if state.held is not move.after.held:
                assert move.event is (E.RELEASED if state.held else E.TAKEN), move


@pytest.mark.parametrize(("state", "event"), list(product(SessionState, SessionEvent)))
def test_what_the_table_does_not_list_is_a_defect(state: SessionState, event: SessionEvent) -> None:
    rows = [move for move in TABLE if state in move.before and move.event is event]
    if rows:
        assert after(state, event) is rows[0].after
    else:
        with pytest.raises(IllegalMove, match=f"{state.value}.*{event.value}"):
            after(state, event)


def test_an_illegal_move_halts_the_lane(tmp_path: Path) -> None:
    world = World(tmp_path, bank_options={"sessions": 1})
    life = world.start()
    world.run(1)
    lane: Any = life.gateway.lanes["sample.main"]
    [session] = lane.session_pool.sessions
    world.bank.reachable = False
    life.pipes[-1].abortConnection()
    world.run(1)
    session.state = S.SIGNING_ON  # as if a defect moved it while it waits to connect again
    world.run(60)
    assert lane.halted == "defect:IllegalMove" and life.sample("bankgw_alarms_total", alarm="impossible") >= 1


def test_the_gauges_count_each_session_once_whatever_happens(tmp_path: Path) -> None:
    world = World(
        tmp_path, plan=FaultPlan("7", {BankFault.DROP_BEFORE: 0.2, BankFault.DROP_AFTER: 0.2, BankFault.DELAY: 0.1})
    )
    life = world.start()
    pool: Any = life.gateway.lanes["sample.main"].session_pool
    for n in range(30):
        world.submit(f"AP-{n}")
        world.run(1.3)
        if n % 7 == 3:
            world.bank.reachable = not world.bank.reachable
        states = [session.state for session in pool.sessions]
        for state in SessionState:
            told = life.sample("bankgw_session_state", bank="sample", lane="sample.main", state=state.value)
            assert told == states.count(state), state
        up = life.sample("bankgw_session_up", bank="sample", lane="sample.main")
        assert up == sum(state.live for state in states)
