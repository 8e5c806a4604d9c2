"""The daemon dies at every point, one after the other, and no promise is broken; c1 to c13 by name."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.deliveries import MONEY_QUEUE
from gateway.simbank.faults import BankFault, ExchangeKind, FaultScript, ScriptedFault
from protocols.bank import Replay, ReplayRule
from tests.world import sim
from tests.world.crashes import CALM_S, KillWhen, Recorded, cutting, row, settle, state, story
from tests.world.points import Points
from tests.world.world import Life, World

NAMES = {
    f"{seam}.{side}"
    for seam in (
        "journal.commit.group",
        "permits.append.group",
        "bank.write.request",
        "bank.read.answer",
        "erp.deliver.command",
        "erp.ack.delivery",
        "erp.publish.message",
        "erp.confirm.message",
    )
    for side in ("before", "after")
} | {"permits.note.group.before"}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    sim.quiet()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder that needs no disk writes, because hundreds of worlds each commit dozens of times."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as folder:
        yield Path(folder)


# ---- every point -------------------------------------------------------------------------------------------------


# A bank adds no point of its own: every run proves them with one, `make test-long` with both.
@pytest.mark.timeout(240)
@pytest.mark.parametrize("bank", ["sample", pytest.param("pab", marks=pytest.mark.slow)])
def test_a_life_may_end_at_any_point(bank: str, memory: Path) -> None:
    passed: list[str] = []
    for n in count(1):
        world = story(_folder(memory, n), Points(n), bank)
        killed = world.points.killed
        assert settle(world) == [], f"killed at point {n}, {killed}"
        _told_everything(world)
        shutil.rmtree(world.folder)
        if killed is None:
            break
        passed.append(killed)
    print(f"{bank}: {len(passed)} points of {len(set(passed))} names")
    assert len(passed) >= 40
    assert set(passed) == NAMES


def _told_everything(world: World) -> None:
    """Check the end that the story must have wherever the life ended."""
    assert world.last("AP-1")["state"] in ("settled", "in_doubt")
    assert world.last("AP-2")["state"] in ("settled", "in_doubt")
    assert world.last("AP-4")["state"] == "cancelled"
    refusals = [said for said, reply in world.replies if reply.get("event") == "payment.rejected"]
    assert refusals, "the order that cannot be carried was refused"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bank", ["sample", "pab"])
def test_a_life_may_end_at_any_point_and_the_next_one_too(bank: str, memory: Path) -> None:
    """The second life ends a prime number of points into its recovery of the first."""
    for n in count(1):
        for further in (2, 7, 13, 29):
            world = story(_folder(memory, n * 100 + further), Points(n), bank)
            killed = world.points.killed
            if killed is None:
                return
            world.points.kill_at = world.points.passed + further
            world.start()
            world.run(30)
            assert settle(world) == [], f"killed at point {n}, {killed}, and {further} points later"
            _told_everything(world)


def _folder(parent: Path, n: int) -> Path:
    folder = parent / str(n)
    folder.mkdir()
    return folder


# ---- c1 to c13 ---------------------------------------------------------------------------------------------------


def _killed(tmp_path: Path, point: str, when: Callable[[World], bool], **more: Any) -> World:
    """A world with one order, whose life ended at the first passing of `point` at which `when` holds for the stored
    state."""
    made: list[World] = []
    points = KillWhen(point, lambda: bool(made) and when(made[0]))
    world = World(tmp_path, points=points, **more)
    made.append(world)
    world.start()
    world.run(3)
    world.submit("AP-1")
    world.run(3)
    assert points.killed == point and world.life is None, "the point was never passed like this"
    return world


def _ends(world: World, state_: str, *, sends: int, told: list[str] | None = None) -> None:
    assert settle(world) == []
    assert state(world) == state_
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == sends
    assert len(world.bank.ledger.executions) == (1 if state_ == "settled" else 0)
    if told is not None:
        # A repeated event has the number of the first; the ERP counts numbers.
        assert list({event["seq"]: event["event"] for event in _news(world)}.values()) == told


def _news(world: World) -> list[dict[str, Any]]:
    return sorted((event for event in world.events if event.get("id") == "AP-1"), key=lambda event: event["seq"])


ACCEPTED, SETTLED, DOUBT = "payment.accepted", "payment.settled", "payment.in_doubt"


def test_c1_before_the_journal_commits_nothing_is_known_and_the_order_comes_again(tmp_path: Path) -> None:
    world = _killed(tmp_path, "journal.commit.group.before", lambda w: w.points.names["erp.deliver.command.after"] > 0)
    assert state(world) is None
    _ends(world, "settled", sends=1, told=[ACCEPTED, SETTLED])


def test_c2_committed_but_not_acknowledged(tmp_path: Path) -> None:
    world = _killed(tmp_path, "journal.commit.group.after", lambda w: state(w) == "ready")
    assert world.points.names["erp.ack.delivery.before"] == 0
    assert len(world.broker.queues[MONEY_QUEUE]) == 1, "it will be delivered again"
    _ends(world, "settled", sends=1)
    replies = {said.message_id for said, _reply in world.replies}
    assert len(replies) == 1, "one command has one reply, however often it is delivered"


def test_c3_the_answer_to_the_commit_is_lost(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.run(3)
    dialect = life.store._committer._engine.dialect
    commit = dialect.do_commit

    def lose_answer(connection: Any) -> None:
        commit(connection)
        if state(world) == "ready" and world.life is life:
            raise OSError("the answer to COMMIT is lost")

    dialect.do_commit = lose_answer  # type: ignore[method-assign, assignment]
    world.submit("AP-1")
    world.run(1)
    assert any("only a restart shows whether the transaction is on disk" in fatal for fatal in life.fatal)
    assert state(world) == "ready" and not world.bank.ledger.executions
    world.crash()
    _ends(world, "settled", sends=1, told=[ACCEPTED, SETTLED])


def test_c4_ready_and_not_yet_sending(tmp_path: Path) -> None:
    # Which commit is the sending one is known only afterwards; the same seed gives the same story.
    first = _folder(tmp_path, 1)
    made: list[World] = []
    recorded = Recorded(lambda: state(made[0]) if made else None)
    made.append(World(first, points=recorded))
    made[0].start()
    made[0].run(3)
    made[0].submit("AP-1")
    made[0].run(3)
    commits = [seen for point, seen in recorded.seen if point == "journal.commit.group.after"]
    nth = commits.index("sending") + 1
    world = _killed(
        _folder(tmp_path, 2),
        "journal.commit.group.before",
        lambda w: w.points.names["journal.commit.group.before"] == nth,
    )
    assert state(world) == "ready"
    _ends(world, "settled", sends=1, told=[ACCEPTED, SETTLED])


# The bank promises nothing about repeats. Nobody knows that nothing left, so that it is asked about for ever and never
# sent again: the price of safety.
STRICT = {"sample": partial(sim.replaying, rule=ReplayRule(Replay.NEVER))}


def test_c5_sending_is_committed_and_nothing_is_written(tmp_path: Path) -> None:
    world = _killed(tmp_path, "bank.write.request.before", lambda w: state(w) == "sending", adapters=STRICT)
    assert state(world) == "sending" and len(world.permits.written) == 1
    _ends(world, "in_doubt", sends=0, told=[ACCEPTED, DOUBT])


def test_c5_at_a_bank_that_knows_references_again_the_same_bytes_leave(tmp_path: Path) -> None:
    world = _killed(tmp_path, "bank.write.request.before", lambda w: state(w) == "sending")
    _ends(world, "settled", sends=1, told=[ACCEPTED, DOUBT, SETTLED])
    assert len(world.permits.written) == 2


def test_c6_between_the_commit_and_the_permit_log(tmp_path: Path) -> None:
    world = _killed(tmp_path, "permits.append.group.before", lambda w: state(w) == "sending", adapters=STRICT)
    assert world.permits.written == []
    _ends(world, "in_doubt", sends=0, told=[ACCEPTED, DOUBT])


def test_c6_a_permit_log_that_lacks_the_last_group_is_no_older_database(tmp_path: Path) -> None:
    """The next life goes on where the journal ends, whatever it writes first."""
    world = _killed(tmp_path, "permits.note.group.before", lambda w: state(w) == "sending", adapters=STRICT)
    life = world.start()
    world.run(5)
    assert not life.gateway.safe_mode.reason
    _ends(world, "in_doubt", sends=0, told=[ACCEPTED, DOUBT])


def test_c7_half_of_the_request_is_written(tmp_path: Path) -> None:
    world = World(tmp_path, wrap=cutting(lambda data: state(world) == "sending"), adapters=STRICT)
    world.start()
    world.run(3)
    world.submit("AP-1")
    world.run(3)
    assert world.life is None and state(world) == "sending"
    _ends(world, "in_doubt", sends=0, told=[ACCEPTED, DOUBT])


def test_c8_written_and_no_answer_read(tmp_path: Path) -> None:
    world = _killed(tmp_path, "bank.write.request.after", lambda w: state(w) == "sending")
    _ends(world, "settled", sends=1, told=[ACCEPTED, DOUBT, SETTLED])


def test_c9_the_answer_is_read_and_not_committed(tmp_path: Path) -> None:
    world = _killed(
        tmp_path, "bank.read.answer.after", lambda w: state(w) == "sending" and bool(w.bank.ledger.executions)
    )
    assert state(world) == "sending"
    _ends(world, "settled", sends=1, told=[ACCEPTED, DOUBT, SETTLED])


def test_c10_the_result_is_committed_and_not_told(tmp_path: Path) -> None:
    world = _killed(tmp_path, "journal.commit.group.after", lambda w: state(w) == "settled")
    world.run(1)
    assert world.told("AP-1") == [ACCEPTED]
    _ends(world, "settled", sends=1, told=[ACCEPTED, SETTLED])


def test_c11_told_and_the_mark_is_lost(tmp_path: Path) -> None:
    def told(world: World) -> bool:
        kept = [body for queue in world.broker.queues.values() for body in (one.body for one in queue)]
        return state(world) == "settled" and any(b'"payment.settled"' in body for body in kept)

    world = _killed(tmp_path, "erp.confirm.message.before", told)
    settle(world)
    repeats = [event for event in world.events if event["event"] == SETTLED]
    assert len(repeats) >= 2, "it was published again"
    assert len({(event["payment"], event["seq"]) for event in repeats}) == 1, "under the number it had"
    _ends(world, "settled", sends=1)


@pytest.mark.parametrize(
    "point", ["journal.commit.group.after", "bank.write.request.before", "bank.write.request.after"]
)
def test_c12_during_a_repeat(tmp_path: Path, point: str) -> None:
    """The first copy was lost, and the bank recognises references. The process ends while the same bytes are sent
    again."""
    made: list[World] = []
    lost = FaultScript([ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.MONEY)])
    world = World(tmp_path, points=KillWhen(point, lambda: bool(made) and _second(made[0])), plan=lost)
    made.append(world)
    world.start()
    world.run(3)
    world.submit("AP-1")
    world.run(CALM_S)
    found = row(world)
    assert found is not None and (found.state, found.attempt) == ("sending", 2) and world.life is None
    assert settle(world) == []
    assert state(world) == "settled" and len(world.bank.ledger.executions) == 1


def test_c12_during_a_second_first_send(tmp_path: Path) -> None:
    """The first attempt was not sent (no permit). The process ends while the second one is under way."""
    world = World(tmp_path, points=KillWhen("bank.write.request.after", lambda: _second(world)))
    life = world.start()
    world.run(3)
    lane = life.gateway.lanes["sample.main"]
    permits, refused = lane.gate.permits, [True]
    lane.gate.permits = lambda *asked: not refused.pop() if refused else permits(*asked)  # type: ignore[method-assign]
    world.submit("AP-1")
    world.run(6)
    found = row(world)
    assert found is not None and (found.state, found.attempt) == ("sending", 2) and world.life is None
    _ends(world, "settled", sends=1)


def _second(world: World) -> bool:
    found = row(world)
    return found is not None and (found.state, found.attempt) == ("sending", 2)


@pytest.mark.parametrize("point", ["journal.commit.group.before", "journal.commit.group.after"])
def test_c13_during_a_take_over(tmp_path: Path, point: str) -> None:
    """One node is suspended while it sends; the next one dies while it takes the lane over; a third process finishes
    the payment."""
    world = World(tmp_path)
    zombie = world.start("gw1")
    world.run(3)
    world.submit("AP-1")
    while state(world) != "sending":
        world.run(0.0005)
    zombie.clock.freeze()
    world.run(20)
    taking = Points()
    world.points = taking
    for n in count(1):
        taking.kill_at = taking.passed + n
        heir = world.start("gw2")
        world.run(5)
        if world.life is not None:
            break
        assert heir.clock.dead
        world.run(20)
    taking.kill_at = None
    written = [pipe.written for pipe in zombie.pipes]
    zombie.clock.thaw()
    world.run(CALM_S)
    assert world.life is not None, "and the one that took over lives"
    assert [pipe.written for pipe in zombie.pipes] == written, "a zombie writes nothing"
    zombie.crash()
    assert len(world.bank.ledger.executions) <= 1
    _ends_after_take_over(world)


def _ends_after_take_over(world: World) -> None:
    assert settle(world) == []
    found = row(world)
    assert found is not None and found.state in ("settled", "in_doubt") and found.epoch >= 2


def test_points_are_named_by_seam_verb_and_subject(tmp_path: Path) -> None:
    world = story(tmp_path, Points())
    assert set(world.points.names) == NAMES
    assert world.points.passed >= 100


def test_a_life_that_ended_hears_nothing(tmp_path: Path) -> None:
    lives: list[Life] = []
    world = World(tmp_path)
    lives.append(world.start())
    world.run(3)
    world.submit("AP-1")
    world.run(0.0015)
    world.crash()
    before = state(world)
    world.run(60)
    assert state(world) == before
