"""Intake of ISO 20022 files: each order has its own result, is answered in pain.002, and is never paid twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from lxml import etree

from protocols.kit.iso20022 import report, schema
from protocols.kit.iso20022.report import StatusReport
from tests.protocols.erp.iso.paper import group, one, pain001
from tests.world.batching import SENDER, moved
from tests.world.points import KillAt
from tests.world.world import World

XML = "application/xml"
LONG_AGO = date(2026, 1, 5)
IDS = ["M-1/G-1/E2E-1", "M-1/G-1/E2E-2"]


def world(folder: Path, **more: Any) -> World:
    made = World(folder, sender=SENDER, **more)
    made.start()
    made.run(3)
    return made


def transfers(made: World, *amounts: str, message: str = "M-1", account: str = "") -> bytes:
    paid = (one(number, amount) for number, amount in enumerate(amounts, start=1))
    return pain001(group("G-1", *paid, account=account or made.bank.account, on=LONG_AGO), message=message)


def reports(made: World) -> list[StatusReport]:
    found = []
    for said, body in made.replies:
        root = etree.fromstring(body["xml"].encode())
        assert said.content_type == XML and schema.faults(root, "pain.002.001.12") == ()
        found.append(report.read_status(root))
    return found


def statuses(made: World) -> list[tuple[str, str]]:
    return [(line.end_to_end_id, line.status) for one in reports(made) for each in one.groups for line in each.payments]


def test_each_transfer_is_paid_once_and_answered(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.command("payment.submit", transfers(made, "1.00", "2.00"), content_type=XML)
    made.run(120)
    assert statuses(made) == [("E2E-1", "ACTC"), ("E2E-2", "ACTC")]
    assert {one.original_id for one in reports(made)} == {"M-1"}
    assert [made.state(id_) for id_ in IDS] == ["settled", "settled"]
    assert made.last(IDS[1])["tags"]["end_to_end_id"] == "E2E-2"
    assert sorted(moved(made).values()) == [1, 1]


def test_a_file_sent_again_pays_nothing_again(tmp_path: Path) -> None:
    made = world(tmp_path)
    for _ in range(2):
        made.command("payment.submit", transfers(made, "1.00", "2.00"), content_type=XML)
        made.run(120)
    assert statuses(made)[2:] == [("E2E-1", "ACSC"), ("E2E-2", "ACSC")], "answered as they stand"
    assert sorted(moved(made).values()) == [1, 1]


def test_the_same_ids_with_other_content_are_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.command("payment.submit", transfers(made, "1.00"), content_type=XML)
    made.run(5)
    made.command("payment.submit", transfers(made, "1.01", "2.00"), content_type=XML)
    made.run(120)
    again = reports(made)[1:]
    assert sorted((one.status, *(reason.code for reason in one.reasons)) for one in again) == [
        ("",),
        ("RJCT", "id_conflict"),
    ]
    assert [made.state(id_) for id_ in IDS] == ["settled", "settled"]
    assert sum(moved(made).values()) == 2


def test_each_group_is_a_batch_at_its_own_bank(tmp_path: Path) -> None:
    """The second group's account is unknown: it is refused, and the first group is carried out."""
    made = world(tmp_path)
    first = group("G-1", one(1, "1.00"), one(2, "2.00"), account=made.bank.account, on=LONG_AGO)
    body = pain001(first, group("G-2", one(3), account="0000000000000000099", on=LONG_AGO))
    made.command("batch.submit", body, content_type=XML)
    made.run(120)
    told = reports(made)
    assert [one.groups[0].status if one.groups else one.status for one in told] == ["ACSP", "RJCT"]
    assert [made.state(id_) for id_ in IDS] == ["settled", "settled"]


def test_a_file_that_counts_wrong_does_nothing(tmp_path: Path) -> None:
    made = world(tmp_path)
    body = transfers(made, "1.00", "2.00").replace(b"<CtrlSum>3.00<", b"<CtrlSum>3.01<", 1)
    made.command("payment.submit", body, content_type=XML)
    made.run(20)
    [told] = reports(made)
    assert (told.original_id, told.status, told.groups) == ("M-1", "RJCT", ())
    assert "/Document/CstmrCdtTrfInitn/GrpHdr/CtrlSum" in told.reasons[1].text
    assert not moved(made) and made.state(IDS[0]) is None


def test_what_became_of_it_can_be_asked_for_as_a_status_report(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.command("payment.submit", transfers(made, "1.00"), content_type=XML)
    made.run(120)
    made.command("status.query", {"id": IDS[0]}, headers={"accept": "pain.002.001.12"})
    made.run(5)
    assert statuses(made)[-1] == ("E2E-1", "ACSC")


def test_killed_between_commit_and_ack_each_part_has_one_answer(tmp_path: Path) -> None:
    made = World(tmp_path, sender=SENDER, points=KillAt("erp.ack.delivery.before"))
    made.start()
    # One order is accepted and one refused: both kinds of answer must survive the second delivery, once each.
    made.command("payment.submit", transfers(made, "1.00", "99999999999999.99"), content_type=XML)
    made.run(5)
    assert made.life is None
    made.start()
    made.run(120)
    told = {said.message_id: body for said, body in made.replies}
    assert len(told) == 2, "a message published twice has one id"
    assert [made.state(id_) for id_ in IDS] == ["settled", None]
    assert list(moved(made).values()) == [1]


def test_one_file_for_two_banks(tmp_path: Path) -> None:
    made = World(tmp_path, sender=SENDER, banks=("sample", "pab"))
    made.start()
    made.run(3)
    groups = [
        group(f"G-{n}", one(n, f"{n}.00"), account=site.account, on=LONG_AGO)
        for n, site in enumerate(made.banks.values(), 1)
    ]
    made.command("payment.submit", pain001(*groups), content_type=XML)
    made.run(300)
    assert statuses(made) == [("E2E-1", "ACTC"), ("E2E-2", "ACTC")]
    assert [len(site.ledger.executions) for site in made.banks.values()] == [1, 1]
    assert [made.state(f"M-1/G-{n}/E2E-{n}") for n in (1, 2)] == ["settled", "settled"]


def test_a_file_of_two_versions_of_one_order(tmp_path: Path) -> None:
    """The version is part of the content: the same ids under another version are other content."""
    made = world(tmp_path)
    first = replace(group("G-1", one(1, "1.00")), on=LONG_AGO, debtor=group("G", account=made.bank.account).debtor)
    for name in ("pain.001.001.09", "pain.001.001.03"):
        made.command("payment.submit", pain001(first, name=name), content_type=XML)
        made.run(60)
    assert sum(moved(made).values()) == 1


def test_killed_before_the_commit_no_refusal_is_lost(tmp_path: Path) -> None:
    """The second delivery finds nothing recorded: every part that is refused has its own answer."""
    made = world(tmp_path)
    made.points = KillAt("journal.commit.group.before")
    strange = group("G-2", one(2), one(3), account="0000000000000000099", on=LONG_AGO)
    good = group("G-1", one(1, "1.00"), account=made.bank.account, on=LONG_AGO)
    made.command("payment.submit", pain001(good, strange), content_type=XML)
    made.run(5)
    assert made.life is None and made.state(IDS[0]) is None, "nothing was written"
    made.start()
    made.run(120)
    assert sorted(one.status for one in reports(made)) == ["", "RJCT", "RJCT"]
    assert list(moved(made).values()) == [1]
