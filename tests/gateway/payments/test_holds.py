"""Holds with several reasons, each cleared separately, and payees who become known."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.commit.store import Tx
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import LI, WANG, approve, draft, enrol, made_of
from tests.gateway.kernel.owned import own_up
from tests.world.world import World

DAY_S = 86_400
STRICT: dict[str, Any] = {
    "bands": [{"upto": "100000", "action": "release"}, {"above": "100000", "action": "hold"}],
    "suspected_duplicate_hours": 24,
    "new_payee_hold": True,
}
TEN_MILLION = 1_000_000_000
SUPPLIER = {"account": "0000000000000000025", "name": "示例乙", "bank_name": "示例银行某支行"}


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    world = World(tmp_path, sender=STRICT)
    world.start()
    world.run(2)
    made = Operator(world)
    yield made
    if world.life is not None:
        world.crash()


def submit(operator: Operator, id_: str, minor: int, **creditor: str) -> Any:
    operator.world.submit(id_, minor, creditor={**SUPPLIER, **creditor})
    operator.world.run(3)
    return operator.world.last(id_)


def release(operator: Operator, id_: str, held_for: str | None = None) -> Any:
    said = operator.ask("POST", "orders", f"kingdee:{id_}", "release", reason="asked the buyer", held_for=held_for)
    operator.world.run(5)
    return said


def executions(operator: Operator) -> int:
    return len(operator.world.bank.ledger.executions)


def test_clearing_a_suspicion_does_not_clear_the_band(operator: Operator) -> None:
    """An order of ten million that resembles an earlier one, has a new payee and needs an approval has three reasons,
    not one."""
    submit(operator, "AP-1", TEN_MILLION)
    told = submit(operator, "AP-2", TEN_MILLION)
    assert told["hold_reason"] == "suspected_duplicate"
    assert told["hold_reasons"] == ["suspected_duplicate", "new_payee", "approval"]
    why = operator.no(409, "not_now", "POST", "orders", "kingdee:AP-2", "release", reason="x")
    assert "waits for suspected_duplicate, new_payee, approval" in why and "--held-for" in why
    said = release(operator, "AP-2", "suspected_duplicate")
    assert (said["state"], said["hold_reasons"]) == ("held", ["new_payee", "approval"])
    told = operator.world.last("AP-2")
    assert (told["event"], told["hold_reasons"], told["seq"]) == ("payment.held", ["new_payee", "approval"], 3)
    assert executions(operator) == 0
    why = operator.no(
        409, "not_now", "POST", "orders", "kingdee:AP-2", "release", reason="x", held_for="suspected_duplicate"
    )
    assert "not for suspected_duplicate" in why
    assert release(operator, "AP-2", "new_payee, approval")["state"] == "ready"
    assert operator.world.last("AP-2")["state"] == "settled" and executions(operator) == 1
    trail = [entry for _, entry in operator.trail(str(told["payment"]))]
    assert trail.count("order.hold_cleared") == trail.count("order.released") == 1


def test_all_reasons_of_a_batch_item_are_its_own(operator: Operator) -> None:
    from tests.world.batching import batch, states

    operator.world.command("batch.submit", batch(operator.world, "B-1", [100, TEN_MILLION]))
    operator.world.run(3)
    said = release(operator, "B-1", "approval")
    assert (said["changed_items"], said["held_for"]) == (2, {"new_payee": 2})
    assert states(operator.world, "B-1") == ["held", "held"] and executions(operator) == 0
    assert release(operator, "B-1")["held_for"] == {}
    assert states(operator.world, "B-1") == ["settled", "settled"]


def test_a_payee_is_known_after_three_business_days_and_for_ten_times_what_stayed(operator: Operator) -> None:
    submit(operator, "AP-1", 1)
    release(operator, "AP-1", "new_payee")
    assert operator.world.last("AP-1")["state"] == "settled"
    assert submit(operator, "AP-2", 2)["hold_reasons"] == ["new_payee"], "what settled just now may still come back"
    operator.world.crash()
    operator.world.clock.advance(6 * DAY_S)  # three business days at least, whatever the weekday
    operator.world.start()
    operator.world.run(5)
    assert "hold_reasons" not in submit(operator, "AP-3", 10)
    assert submit(operator, "AP-4", 11)["hold_reasons"] == ["new_payee"], "0.01 covers 0.10, not 0.11"
    assert submit(operator, "AP-5", TEN_MILLION)["hold_reasons"] == ["new_payee", "approval"]
    assert submit(operator, "AP-6", 3, name="示例丙")["hold_reasons"] == ["new_payee"], "the account under another name"
    assert submit(operator, "AP-7", 4, bank_name="另一银行")["hold_reasons"] == ["new_payee"], "at another bank"


def test_two_persons_register_a_payee(operator: Operator) -> None:
    enrol(operator, WANG, LI)
    submit(operator, "AP-1", 50_000)
    wanted = {"kind": "register", "subject": "kingdee:AP-1", "to": "known", "note": "contract HT-0931"}
    drafted = draft(operator, WANG, wanted)
    assert "payee-name" in drafted["text"] and SUPPLIER["account"] not in drafted["text"]
    made = operator.ask("POST", "proposals", peer=WANG.peer, **made_of(drafted, WANG, wanted))
    assert submit(operator, "AP-2", 60_000)["hold_reasons"] == ["new_payee"], "one person is not enough"
    assert approve(operator, LI, made["proposal"])["state"] == "done"
    assert "hold_reasons" not in submit(operator, "AP-3", 70_000)
    assert submit(operator, "AP-4", 71_000, name="示例丙")["hold_reasons"] == ["new_payee"]
    assert submit(operator, "AP-5", TEN_MILLION)["hold_reasons"] == ["approval"], "bands hold all the same"
    # Held orders are judged again when a reason is cleared.
    why = operator.no(409, "not_now", "POST", "proposals", "draft", peer=WANG.peer, **wanted)
    assert "registered already" in why


def test_a_row_that_nobody_sealed_registers_nobody(operator: Operator) -> None:
    """A person who can write to the database without the vault's key cannot register a payee."""
    enrol(operator, WANG, LI)
    submit(operator, "AP-1", 50_000)
    wanted = {"kind": "register", "subject": "kingdee:AP-1", "to": "known", "note": "contract"}
    made = operator.ask("POST", "proposals", peer=WANG.peer, **made_of(draft(operator, WANG, wanted), WANG, wanted))
    approve(operator, LI, made["proposal"])
    with sqlite3.connect(operator.world.folder / "journal.db") as db:
        assert db.execute("update payees_registered set body = cast(body || x'00' as blob)").rowcount == 1
    assert submit(operator, "AP-2", 60_000)["hold_reasons"] == ["new_payee"]


def test_a_row_of_an_older_version_names_one_reason(operator: Operator) -> None:
    submit(operator, "AP-1", 50_000)

    def as_before(tx: Tx) -> None:
        tx.fresh.exec_driver_sql("update payments set hold_reasons = null, hold_reason = 'suspected_duplicate'")
        own_up(tx.fresh, tx.vault, sends=False)

    operator.gateway.parts.store.write(as_before)
    operator.world.run(1)
    operator.world.crash()
    operator.world.start()
    operator.world.run(5)
    again = Operator(operator.world)
    assert again.ask("GET", "orders", "kingdee:AP-1")["hold_reasons"] == ["suspected_duplicate"]
    assert release(again, "AP-1")["hold_reasons"] == ["new_payee"], "and the payee is judged again"
