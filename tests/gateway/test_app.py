"""The whole gateway on one clock: an order's way from the broker to the bank and back."""

from __future__ import annotations

from pathlib import Path

from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from tests.world.world import World


def test_an_order_travels_to_the_bank_and_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.submit("AP-1")
    world.run(5)
    assert world.told("AP-1") == ["payment.accepted", "payment.settled"]
    assert len(world.bank.ledger.executions) == 1
    [(properties, reply)] = world.replies
    assert reply["event"] == "payment.accepted" and properties.correlation_id == "m-1"


def test_silence_after_booking_is_doubt_and_is_resolved_by_asking(tmp_path: Path) -> None:
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]))
    world.start()
    world.submit("AP-1")
    world.run(10)
    assert world.told("AP-1") == ["payment.accepted", "payment.in_doubt", "payment.settled"]
    assert world.last("AP-1")["was"] == "in_doubt" and world.last("AP-1")["evidence"] == "enquiry"
    assert len(world.bank.ledger.executions) == 1


def test_a_killed_daemon_never_pays_twice(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    for n in range(20):
        world.submit(f"AP-{n}")
    world.run(0.012)
    world.crash()
    world.start()
    world.run(60)
    assert {world.last(f"AP-{n}")["state"] for n in range(20)} <= {"settled", "in_doubt"}
    assert not world.bank.ledger.doubles()
