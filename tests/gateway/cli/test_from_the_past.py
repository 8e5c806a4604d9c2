"""An older database is put back: nothing is sent, enquiries continue, and only two persons can release a lane."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.cluster.lane_pauses import FROM_THE_PAST
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import LI, WANG, approval, approve, draft, enrol, made_of
from tests.world.world import World

LANE = "sample.main"


class Restored(World):
    """A world whose database can be replaced by an older copy."""

    def copy(self, name: str) -> None:
        with sqlite3.connect(self.folder / "journal.db") as db, sqlite3.connect(self.folder / name) as other:
            db.backup(other)
        other.close()

    def restore(self, name: str) -> None:
        self.crash()
        for file in self.folder.glob("journal.db*"):
            file.unlink()
        (self.folder / "journal.db").write_bytes((self.folder / name).read_bytes())
        self.start()
        self.run(3)


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[Restored]:
    """AP-0 is in doubt and persons are enrolled when a copy is made. Then AP-1 is paid, and the copy is put back."""
    world = Restored(
        tmp_path, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]), bank_options={"first_enquiry_s": 600.0}
    )
    world.start()
    world.run(1)
    enrol(Operator(world), WANG, LI)
    world.submit("AP-0")
    world.run(5)
    assert world.last("AP-0")["state"] == "in_doubt"
    world.copy("an-hour-ago.db")
    world.submit("AP-1")
    world.run(5)
    assert world.last("AP-1")["state"] == "settled"
    world.restore("an-hour-ago.db")
    yield world
    if world.life is not None:
        world.crash()


def wish(lane: str = LANE, **changed: Any) -> dict[str, Any]:
    return {
        "kind": "resume",
        "subject": lane,
        "to": "send",
        "note": "each reference asked about at the bank",
        **changed,
    }


def propose(operator: Operator) -> str:
    wanted = wish()
    return str(
        operator.ask(
            "POST",
            "proposals",
            peer=WANG.peer,
            **made_of(draft(operator, WANG, wanted, b"list"), WANG, wanted, b"list"),
        )["proposal"]
    )


def test_nothing_is_sent_but_asking_goes_on(restored: Restored) -> None:
    operator = Operator(restored)
    assert operator.ask("GET", "lanes")["lanes"][0]["condition"] == f"paused:{FROM_THE_PAST}"
    assert operator.ask("GET", "status")["safe_mode"]
    (send,) = operator.ask("GET", "past")["sends"]
    assert send["lane"] == LANE
    assert f"{LANE}/{send['bank_reference']}" == restored.permits.written[-1].ref
    restored.submit("AP-2")
    restored.run(1_000)
    assert restored.told("AP-2") == ["payment.accepted"], "taken in, not sent"
    assert restored.last("AP-0")["state"] == "settled", "the doubt was asked about"
    assert len(restored.bank.ledger.executions) == 2


def test_one_operator_cannot_lift_it(restored: Restored) -> None:
    operator = Operator(restored)
    why = operator.no(409, "two_persons", "POST", "lanes", LANE, "resume")
    assert LANE in why and "bankgw leave-safe-mode" in why
    assert ("uid:root", "lane.resumed") not in operator.trail(LANE)
    # The operator's own pause ends, the other one stays.
    operator.ask("POST", "lanes", LANE, "pause", reason="x")
    assert operator.ask("POST", "lanes", LANE, "resume")["paused"] == [FROM_THE_PAST]
    proposal = propose(operator)
    operator.no(
        409,
        "same_person",
        "POST",
        "proposals",
        proposal,
        "approve",
        peer=WANG.peer,
        **approval(operator, WANG, proposal),
    )
    assert operator.gateway.lanes[LANE].paused == (FROM_THE_PAST,)


def test_no_pool_may_run_meanwhile(restored: Restored) -> None:
    operator = Operator(restored)
    assert operator.gateway._no_run_now() == FROM_THE_PAST
    assert approve(operator, LI, propose(operator))["state"] == "done"
    assert operator.gateway._no_run_now() == ""


def test_two_persons_lift_it_and_it_stays_lifted(restored: Restored) -> None:
    operator = Operator(restored)
    restored.submit("AP-2")
    restored.run(3)
    proposal = propose(operator)
    restored.run(3)
    assert restored.told("AP-2") == ["payment.accepted"], "a proposal changes nothing"
    assert approve(operator, LI, proposal)["state"] == "done"
    restored.run(5)
    assert restored.last("AP-2")["state"] == "settled"
    assert not operator.ask("GET", "status")["safe_mode"]
    trail = operator.trail(LANE)
    for entry in (
        ("uid:2001", "proposal.made"),
        ("uid:2001", "persons.propose"),
        ("uid:2002", "persons.approve"),
        ("uid:2002", "lane.past_cleared"),
    ):
        assert entry in trail
    why = operator.no(409, "not_now", "POST", "proposals", "draft", peer=WANG.peer, **wish())
    assert LANE in why
    # The permit log still has the sends that the database lacks. The journal records that two persons checked it.
    restored.crash()
    restored.start()
    restored.run(3)
    assert restored.life is not None and restored.life.gateway.lanes[LANE].paused == ()
    restored.submit("AP-3")
    restored.run(5)
    assert restored.last("AP-3")["state"] == "settled"


def test_another_past_must_be_lifted_anew(restored: Restored) -> None:
    approve(Operator(restored), LI, propose(Operator(restored)))
    restored.copy("later.db")
    restored.submit("AP-2")
    restored.run(5)
    assert restored.last("AP-2")["state"] == "settled"
    restored.restore("later.db")
    operator = Operator(restored)
    assert operator.gateway.lanes[LANE].paused == (FROM_THE_PAST,), "it was let go for what was forgotten then, not now"
    assert len(operator.ask("GET", "past")["sends"]) == 2


def test_a_lane_that_does_not_wait_has_nothing_to_lift(restored: Restored) -> None:
    operator = Operator(restored)
    operator.no(404, "no_such_lane", "POST", "proposals", "draft", peer=WANG.peer, **wish("icbc.main"))
    operator.no(400, "bad_choice", "POST", "proposals", "draft", peer=WANG.peer, **wish(to="failed"))


def test_a_node_that_noticed_and_lost_its_machine_does_not_end_the_wait_of_the_others(tmp_path: Path) -> None:
    world = Restored(tmp_path, settings={"journal": {"poll_ms": 250}})
    world.start("gw1")
    world.run(1)
    enrol(Operator(world), WANG, LI)
    world.copy("an-hour-ago.db")
    world.submit("AP-1")
    world.run(5)
    assert world.last("AP-1")["state"] == "settled"
    world.restore("an-hour-ago.db")
    noticed = world.life
    assert noticed is not None
    noticed.crash()
    shutil.rmtree(world.permit_folder("gw1"))
    # A new machine of the same name, whose permit log has no entries.
    back = world.start("gw1")
    second = world.start("gw2")
    world.life = second
    world.submit("AP-1")
    world.run(60)
    assert second.gateway.lanes[LANE].paused == back.gateway.lanes[LANE].paused == (FROM_THE_PAST,)
    assert world.state("AP-1") == "ready" and len(world.bank.ledger.executions) == 1
    back.crash()
    back = world.start("gw1")
    world.run(10)
    assert back.gateway.lanes[LANE].paused == second.gateway.lanes[LANE].paused == (FROM_THE_PAST,)
    world.life = back
    operator = Operator(world)
    [gap] = operator.ask("GET", "past")["gaps"]
    assert gap["lack"] == "found_before" and "its permit log, which listed them, is gone" in gap["words"]
    approve(operator, LI, propose(operator))
    world.life = second
    world.run(10)
    assert second.gateway.lanes[LANE].paused == back.gateway.lanes[LANE].paused == ()


def test_what_one_node_notices_stops_the_others(tmp_path: Path) -> None:
    world = Restored(tmp_path, settings={"journal": {"poll_ms": 250}})
    first = world.start("gw1")
    world.run(1)
    enrol(Operator(world), WANG, LI)
    world.copy("an-hour-ago.db")
    world.submit("AP-1")
    world.run(5)
    assert world.last("AP-1")["state"] == "settled"
    world.restore("an-hour-ago.db")
    noticed = world.life
    assert noticed is not None and noticed is not first
    # The permit log of this node has no entries.
    second = world.start("gw2")
    world.run(1)
    assert second.gateway.safe_mode.past.sends == () and second.gateway.lanes[LANE].paused == (FROM_THE_PAST,)
    # The node that noticed is gone and the other one has its lane: repeated orders are taken in, and wait.
    noticed.crash()
    world.life = second
    world.submit("AP-1")
    world.run(60)
    assert second.gateway.lanes[LANE].epoch and world.state("AP-1") == "ready"
    assert len(world.bank.ledger.executions) == 1
    # Here the lost part is unknown, and no one may sign that nothing was lost.
    why = Operator(world).no(409, "not_now", "POST", "proposals", "draft", peer=WANG.peer, **wish())
    assert "gw1" in why
    second.gateway.let_go(LANE)
    world.run(10)
    assert world.state("AP-1") == "ready" and len(world.bank.ledger.executions) == 1
    # Two persons release the lane on the node that noticed.
    back = world.start("gw1")
    world.run(1)
    world.life = back
    operator = Operator(world)
    approve(operator, LI, propose(operator))
    world.life = second
    world.run(10)
    assert second.gateway.lanes[LANE].paused == ()
