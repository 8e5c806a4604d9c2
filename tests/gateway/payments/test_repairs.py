"""Two supervisors rebuild rows that SQL altered or removed: never looser, never with fewer sends, never sent twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from gateway.kernel.checkpoints import verify
from gateway.kernel.cluster import renames
from gateway.kernel.sql import schema
from gateway.payments.rows import repairs
from gateway.people.rows.proposals import Role
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from tests.gateway.approvals.test_signed_releases import HAN, proposed, refused, wanted
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import ZHAO, approve
from tests.gateway.kernel.bench import Journal, order
from tests.gateway.people.test_people_acts import QIAN, SUN, appoint, let_in
from tests.world.world import World

Alter = Callable[[sqlite3.Connection], object]


def opened(folder: Path, faults: list[ScriptedFault] | None = None, **more: Any) -> Operator:
    """SUN and QIAN are supervisors of all accounts, ZHAO makes payments, HAN may only read."""
    world = World(
        folder,
        accounts=2,
        plan=FaultScript(faults or []),
        sender={"suspected_duplicate_hours": 0, **more},
        bank_options={"first_enquiry_s": 600.0} if faults else None,
    )
    world.start()
    world.run(1)
    made = Operator(world)
    appoint(made)
    for one, roles in ((ZHAO, "maker@*"), (SUN, "supervisor@*"), (QIAN, "supervisor@*"), (HAN, "viewer@*")):
        let_in(made, one, roles)
    return made


def alter(operator: Operator, *statements: str) -> None:
    """Alter the database between two lives, without the vault's key."""
    operator.world.crash()
    with sqlite3.connect(operator.world.folder / "journal.db") as db:
        for one in statements:
            assert db.execute(one).rowcount != 0, one


def restarted(operator: Operator) -> Operator:
    operator.world.start()
    operator.world.run(2)
    return Operator(operator.world)


def restarted_after_crash(operator: Operator) -> Operator:
    operator.world.crash()
    return restarted(operator)


def asked(order: str) -> dict[str, Any]:
    return wanted(order, "rebuilt", "repair")


def mended(operator: Operator, order: str) -> list[str]:
    """Rebuild the order's row with both signatures. Returns the signed text."""
    key = proposed(operator, SUN, asked(order))
    text = operator.ask("GET", "proposals", key, peer=QIAN.peer)["text"].splitlines()
    digest = operator.ask("GET", "proposals", key)["digest"]
    operator.no(
        409,
        "same_person",
        "POST",
        "proposals",
        key,
        "approve",
        peer=SUN.peer,
        digest=digest,
        signature=SUN.sign(digest, Role.APPROVE),
    )
    assert approve(operator, QIAN, key)["state"] == "done"
    assert contradictions(operator) == []
    return list(text)


def contradictions(operator: Operator) -> list[str]:
    """The output of `bankgw audit verify`."""
    return operator.world.read(lambda conn: verify.whole(conn, operator.world.vault).problems)


def row_of(operator: Operator, id_: str) -> dict[str, Any]:
    with sqlite3.connect(operator.world.folder / "journal.db") as db:
        db.row_factory = sqlite3.Row
        return dict(db.execute("select * from payments where order_id = ?", (id_,)).fetchone())


def executions(operator: Operator) -> int:
    return len(operator.world.bank.ledger.executions)


def test_a_settled_payment_set_to_ready_is_settled_again_and_not_paid_again(tmp_path: Path) -> None:
    here = opened(tmp_path)
    here.world.submit("AP-1", 10_000, maker="zhao")
    here.world.run(5)
    assert here.world.state("AP-1") == "settled" and executions(here) == 1
    payment = here.world.last("AP-1")["payment"]
    alter(
        here,
        f"update payments set state = 'ready', attempt = 0, version = version + 1, send_after_ms = 0 where payment = '{payment}'",
        f"delete from attempts where payment = '{payment}'",
    )
    here = restarted(here)
    (listed,) = here.ask("GET", "repairs")["repairs"]
    assert (listed["order"], listed["payment"]) == ("kingdee:AP-1", payment) and "bankgw repair propose" in listed[
        "command"
    ]
    text = mended(here, "kingdee:AP-1")
    assert "row-state: ready -> settled" in text and "row-attempt: 0 -> 1" in text
    assert any(line.startswith("attempt-1: missing -> sent on ") and line.endswith("bytes lost") for line in text)
    here.world.run(60)
    row = row_of(here, "AP-1")
    assert (row["state"], row["attempt"], executions(here)) == ("settled", 1, 1)
    assert ("persons:sun+qian", "payment.repaired") in here.trail(payment)
    assert here.ask("GET", "repairs")["repairs"] == []
    # The lane continues with other payments.
    here.world.submit("AP-2", 200, maker="zhao")
    here.world.run(5)
    assert here.world.state("AP-2") == "settled" and executions(here) == 2
    here.world.crash()


def test_a_payment_in_doubt_stays_in_doubt_with_its_send_and_is_asked_about(tmp_path: Path) -> None:
    here = opened(tmp_path, [ScriptedFault(BankFault.DROP_AFTER)])
    here.world.submit("AP-1", 10_000, maker="zhao")
    here.world.run(5)
    assert here.world.state("AP-1") == "in_doubt" and executions(here) == 1
    reference = row_of(here, "AP-1")["bank_ref"]
    alter(
        here,
        "update payments set bank_ref = 'X' || bank_ref, state = 'ready', attempt = 0, first_write_ms = null, last_write_ms = null, send_after_ms = 0",
        "delete from attempts",
        "delete from work where kind <> 'enquire'",
        "update work set kind = 'send', due_ms = due_ms * 9",
    )
    here = restarted(here)
    text = mended(here, "kingdee:AP-1")
    assert "row-state: ready -> in_doubt" in text and f"row-bank_ref: X{reference} -> {reference}" in text
    row = row_of(here, "AP-1")
    assert (row["attempt"], row["not_found"]) == (1, -1), "never repeated without persons"
    here.world.run(30)
    assert here.world.state("AP-1") == "settled" and executions(here) == 1
    here.world.crash()


@pytest.mark.parametrize(
    "harm",
    [
        "update payments set state = 'ready', hold_reason = null, hold_reasons = null, send_after_ms = 0, version = version + 1",
        "update payments set hold_reason = null, hold_reasons = null, state = 'cancelled'",
    ],
)
def test_a_held_payment_is_held_again_for_the_same_reasons_and_more(tmp_path: Path, harm: str) -> None:
    here = opened(tmp_path, bands=[{"above": "0", "action": "hold"}])
    here.world.submit("AP-1", 10_000, maker="zhao")
    here.world.run(5)
    assert here.world.last("AP-1")["hold_reasons"] == ["approval"]
    alter(here, harm)
    here = restarted(here)
    mended(here, "kingdee:AP-1")
    here.world.run(30)
    said = here.world.last("AP-1")
    assert (said["state"], said["hold_reasons"], executions(here)) == ("held", ["suspected_duplicate", "approval"], 0)
    # The existing acts decide: two persons release it, and it is paid once.
    key = proposed(here, SUN, wanted("kingdee:AP-1", "approval,suspected_duplicate"))
    approve(here, QIAN, key)
    here.world.run(5)
    assert here.world.state("AP-1") == "settled" and executions(here) == 1
    here.world.crash()


def test_a_ready_payment_becomes_held(tmp_path: Path) -> None:
    here = opened(tmp_path)
    here.ask("POST", "lanes", "sample.main", "pause", reason="the bank asked")
    here.world.submit("AP-1", 10_000, maker="zhao")
    here.world.run(5)
    assert here.world.state("AP-1") == "ready"
    alter(here, "delete from work")
    here = restarted(here)
    (listed,) = here.ask("GET", "repairs")["repairs"]
    assert listed["wrong"] == "it is ready and has no work send"
    text = mended(here, "kingdee:AP-1")
    assert "row-state: ready -> held" in text and "row-hold_reasons: none -> suspected_duplicate" in text
    here.world.run(5)
    assert here.world.last("AP-1")["hold_reasons"] == ["suspected_duplicate"] and executions(here) == 0
    here.world.crash()


def test_the_lane_that_halted_for_the_row_goes_on_without_a_restart(tmp_path: Path) -> None:
    here = opened(tmp_path)
    for name in ("AP-1", "AP-2"):
        here.world.submit(name, 10_000 if name == "AP-1" else 200, maker="zhao")
        here.world.run(5)
    payment = here.world.last("AP-1")["payment"]
    alter(
        here,
        f"update payments set state = 'ready', attempt = 0 where payment = '{payment}'",
        f"delete from attempts where payment = '{payment}'",
        f"insert or replace into work (payment, kind, lane, due_ms, epoch) values ('{payment}', 'send', 'sample.main', 0, 0)",
    )
    here = restarted(here)
    lane = here.gateway.lanes["sample.main"]
    assert (lane.halted or "").startswith("row_altered:") and executions(here) == 2
    here.world.submit("AP-3", 300, maker="zhao")
    mended(here, payment)
    here.world.run(60)
    assert lane.halted is None and (here.world.state("AP-1"), here.world.state("AP-3")) == ("settled", "settled")
    assert executions(here) == 3
    # It reads everything anew, so the next altered row halts it again.
    with sqlite3.connect(here.world.folder / "journal.db") as db:
        db.execute("update payments set state = 'ready', attempt = 0 where order_id = 'AP-2'")
        db.execute(
            "insert or replace into work (payment, kind, lane, due_ms, epoch) select payment, 'send', lane, 0, 0 from payments "
            "where order_id = 'AP-2'"
        )
    here = restarted_after_crash(here)
    assert (here.gateway.lanes["sample.main"].halted or "").startswith("row_altered:") and executions(here) == 3
    here.world.crash()


def test_a_row_that_the_gateway_never_wrote_is_removed(tmp_path: Path) -> None:
    here = opened(tmp_path)
    here.world.submit("AP-1", 10_000, maker="zhao")
    here.world.run(5)
    alter(
        here,
        "create table twin as select * from payments",
        "update twin set payment = substr(payment, 1, 25) || 'Z', order_id = 'AP-Z', bank_ref = bank_ref || '9', state = 'ready', "
        "attempt = 0, version = 1",
        "insert into payments select * from twin",
        "insert into work (payment, kind, lane, due_ms, epoch) select payment, 'send', lane, 0, 0 from twin",
    )
    here = restarted(here)
    assert (here.gateway.lanes["sample.main"].halted or "").startswith("row_altered:")
    text = mended(here, "kingdee:AP-Z")
    assert "row-state: ready -> removed" in text and "row-order_id: AP-Z -> removed" in text
    here.world.run(60)
    assert here.gateway.lanes["sample.main"].halted is None and executions(here) == 1
    assert here.ask("GET", "repairs")["repairs"] == [] and here.world.state("AP-1") == "settled"
    here.world.crash()


def test_a_payment_of_a_sender_that_was_renamed_is_rebuilt_under_its_new_name(small: Journal) -> None:
    row = small.admit().row
    small.do(lambda tx: renames.rename_sender(tx, "erp", "kingdee", "uid:0", "one name"))

    def plan(name: str) -> Any:
        with small.stranger() as conn:
            conn.execute(update(schema.payments).values(sender=name, state="settled"))
        return small.do(lambda tx: repairs.plan(tx, row.payment))

    found = plan("kingdee")
    assert isinstance(found, repairs.Repair) and found.row.sender == "kingdee", found
    assert "the audit chain erp:AP-1" in plan("other")
    # The name went on to another sender: a payment from before the renaming belongs to the first one.
    small.hands.task.advance(60)
    later = small.admit(order("AP-2")).row
    with small.stranger() as conn:
        conn.execute(update(schema.payments).values(sender="kingdee", state="settled"))
    assert "the audit chain erp:AP-2" in str(small.do(lambda tx: repairs.plan(tx, later.payment)))


def test_who_may_not_and_what_cannot_be_rebuilt_is_refused(tmp_path: Path) -> None:
    here = opened(tmp_path)
    here.world.submit("AP-1", 10_000, maker="zhao")
    here.world.run(5)
    assert "nothing to rebuild" in refused(here, 409, "not_now", SUN, asked("kingdee:AP-1"))
    assert "only a backup" in refused(here, 404, "no_such_order", SUN, asked("kingdee:AP-9"))
    payment = here.world.last("AP-1")["payment"]
    alter(here, "update payments set attempt = 2")
    here = restarted(here)
    refused(here, 403, "not_allowed", HAN, asked("kingdee:AP-1"))
    here.no(400, "bad_choice", "POST", "proposals", "draft", peer=SUN.peer, **{**asked("kingdee:AP-1"), "to": "ready"})
    object.__setattr__(here.ports.node, "safe_mode", lambda: True)
    assert "in SAFE MODE nothing is rebuilt" in refused(here, 409, "not_now", SUN, asked("kingdee:AP-1"))
    object.__setattr__(here.ports.node, "safe_mode", lambda: False)
    # One signature changes nothing, and a row that changes meanwhile makes it invalid.
    key = proposed(here, SUN, asked("kingdee:AP-1"))
    assert row_of(here, "AP-1")["attempt"] == 2
    digest = here.ask("GET", "proposals", key)["digest"]
    with sqlite3.connect(here.world.folder / "journal.db") as db:
        db.execute("update payments set attempt = 3")
    here.no(
        409,
        "stale",
        "POST",
        "proposals",
        key,
        "approve",
        peer=QIAN.peer,
        digest=digest,
        signature=QIAN.sign(digest, Role.APPROVE),
    )
    # A start refuses such a chain as a whole; here the daemon runs.
    with sqlite3.connect(here.world.folder / "journal.db") as db:
        db.execute(f"delete from audit where object_id = '{payment}' and entry = 'payment.send'")
    assert "the audit chain lacks entries" in refused(here, 409, "not_now", SUN, asked(payment))
    here.world.crash()
