"""The campaign's comparison finds each fault: one changed line is enough."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from faults import compare, report
from faults.compare import Books, Result
from faults.incidents import Incident
from gateway.demo import stage
from gateway.demo.erp import ReceivedNews
from gateway.demo.orders import DemoCommand, DemoOrder, ExpectedAnswer, Story, write_story
from gateway.demo.verdict import Executed, Journalled
from protocols.canon.outcome import State
from protocols.twin import Booked

STAGE = stage.stage(("sample", "pab"), "run", datetime(2026, 11, 24, tzinfo=UTC))


def _story() -> Story:
    """Some plain orders of a demo's story."""
    whole = write_story(1, 200, 0, STAGE)
    orders = tuple(order for order in whole.orders if order.sort == "plain")[:5]
    ids = {order.id for order in orders}
    commands = tuple(command for command in whole.commands if command.order_id in ids)
    return replace(whole, orders=orders, commands=commands)


@dataclass
class World:
    """The records of the story at bank, journal and ERP, all of them correct at first."""

    story: Story = field(default_factory=_story)
    heard: list[ReceivedNews] = field(default_factory=list)
    unrouted: list[ReceivedNews] = field(default_factory=list)
    executed: list[Executed] = field(default_factory=list)
    payments: list[Journalled] = field(default_factory=list)
    waiting: int = 0

    def __post_init__(self) -> None:
        """Every order was accepted, sent once and settled."""
        commands = {command.order_id: command for command in self.story.commands}
        for n, order in enumerate(self.story.orders):
            self._settled(n, order, commands[order.id])

    def _settled(self, n: int, order: DemoOrder, command: DemoCommand) -> None:
        said = {"id": order.id, "payment": f"P{n}", "seq": 1, "state": "accepted"}
        for where in (ExpectedAnswer.REPLY, ExpectedAnswer.EVENT):
            self.heard.append(
                ReceivedNews(
                    where, f"m{n}{where}", command.message_id, "payment.accepted", said, command.content_type, 1.0
                )
            )
        settled = {**said, "seq": 2, "state": "settled"}
        self.heard.append(
            ReceivedNews(ExpectedAnswer.EVENT, f"s{n}", command.message_id, "payment.settled", settled, "", 2.0)
        )
        self.executed.append(
            Executed(order.bank, f"R{n}", order.debtor, order.creditor, order.amounts_minor[0], Booked.SETTLED)
        )
        self.payments.append(Journalled(f"P{n}", order.id, State.SETTLED, 2, order.bank, f"R{n}", 1))

    def result(self) -> Result:
        """The result of the comparison."""
        books = Books(tuple(self.payments), self.waiting, (), {})
        faults = Counter({"cut": 2, "half": 1})
        return compare.compare(self.story, self.heard, self.unrouted, self.executed, books, 3, faults, moved=4)


def _says_nothing(world: World) -> None:
    world.heard = [one for one in world.heard if one.said.get("payment") != "P0"]


def _doubt(world: World) -> None:
    world.payments[0] = replace(world.payments[0], state=State.IN_DOUBT)
    world.heard = [
        replace(one, said={**one.said, "state": "in_doubt"}) if one.message_id == "s0" else one for one in world.heard
    ]


def _refused(world: World) -> None:
    world.executed[0] = replace(world.executed[0], booked=Booked.REFUSED)


WRONG: list[tuple[str, Callable[[World], object], str]] = [
    ("executed twice", lambda world: world.executed.append(world.executed[0]), "1 duplicated, 0 lost, 0 contradicted"),
    (
        "executed under two references",
        lambda world: world.executed.append(replace(world.executed[0], reference="R9")),
        "1 duplicated, 0 lost, 1 contradicted",
    ),
    ("told nothing", _says_nothing, "0 duplicated, 2 lost, 1 contradicted"),
    ("left in doubt though booked", _doubt, "0 duplicated, 1 lost, 0 contradicted"),
    ("told settled though refused", _refused, "0 duplicated, 0 lost, 1 contradicted"),
    ("not booked at all", lambda world: world.executed.pop(0), "0 duplicated, 0 lost, 1 contradicted"),
    ("news left in the outbox", lambda world: setattr(world, "waiting", 1), "0 duplicated, 1 lost, 0 contradicted"),
    (
        "sent twice",
        lambda world: world.payments.append(replace(world.payments.pop(0), unfit=("x",))),
        "0 duplicated, 0 lost, 1 contradicted",
    ),
    ("not in the journal", lambda world: world.payments.pop(0), "0 duplicated, 0 lost, 1 contradicted"),
]


def test_when_all_agree_nothing_is_found() -> None:
    result = World().result()
    assert result.holds, result.findings
    assert result.last_line() == (
        "faults: 3 kills, 3 faults of 2 kinds, 5 payments, 0 duplicated, 0 lost, 0 contradicted, 4 pool moves"
    )


@pytest.mark.parametrize(("name", "change", "ending"), WRONG, ids=[name for name, _change, _ending in WRONG])
def test_one_wrong_line_is_seen(name: str, change: Callable[[World], object], ending: str) -> None:
    world = World()
    change(world)
    result = world.result()
    assert not result.holds
    assert f" {ending}," in result.last_line(), [str(finding) for finding in result.findings]


def test_a_reply_whose_queue_was_deleted_is_not_lost() -> None:
    world = World()
    reply = next(one for one in world.heard if one.where is ExpectedAnswer.REPLY)
    world.heard.remove(reply)
    assert " 1 lost, 0 contradicted," in world.result().last_line()
    world.unrouted.append(replace(reply, where=ExpectedAnswer.UNROUTED))
    assert world.result().holds


def test_the_report_shows_each_incident_and_each_finding() -> None:
    world = World()
    world.executed.append(world.executed[0])
    incident = Incident("bank <cut>", "sample for gw1", 1.0, 1_000, 2.5, "3 connections", heard_s=2.7)
    facts = report.Facts(
        result=world.result(),
        incidents=[incident],
        timelines=[[report.Moment(0.0, "it is cut"), report.Moment(1.5, "over")]],
        lasted_s=60.0,
        stories=[],
        rules={"silent": 3},
        environment={"journal": "SQLite"},
        again="make faults SEED=1",
    )
    page = report.html(facts)
    assert "1 duplicated" in page and "executed it 2 times" in page
    assert "bank &lt;cut&gt;" in page and "<cut>" not in page
    assert "+1.50 s<td>over" in page and "make faults SEED=1" in page


def test_a_zombies_late_word_is_found_but_not_what_the_right_owner_sent_again(tmp_path: Path) -> None:
    url, ledger = f"sqlite:///{tmp_path / 'j.db'}", tmp_path / "sample.jsonl"
    engine = create_engine(url)
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE payments (payment text, lane text, bank text, bank_ref text)"))
        conn.execute(text("CREATE TABLE attempts (payment text, node text, epoch integer)"))
        for ref, sends in {"LATE": [("gw1", 1)], "AGAIN": [("gw1", 1), ("gw2", 2)], "GW2": [("gw2", 1)]}.items():
            conn.execute(text("INSERT INTO payments VALUES (:ref, 'l', 'sample', :ref)"), {"ref": ref})
            for node, epoch in sends:
                conn.execute(
                    text("INSERT INTO attempts VALUES (:ref, :node, :epoch)"),
                    {"ref": ref, "node": node, "epoch": epoch},
                )
    engine.dispose()
    with ledger.open("w", encoding="utf-8") as file:
        for number, ref in enumerate(("LATE", "AGAIN", "GW2")):
            line = {
                "number": number,
                "reference": ref,
                "debtor": "1",
                "creditor": "2",
                "creditor_name": "示例",
                "minor": 1,
                "currency": "CNY",
                "purpose": "",
                "urgent": False,
                "bundle": "",
                "collects": False,
                "bank_serial": "1",
                "at_ms": 5_000,
                "decided_ms": 5_000,
                "refused": "",
                "returned_ms": None,
                "visible_ms": 5_000,
                "fee_minor": 0,
            }
            file.write(json.dumps({"execution": line}) + "\n")
    assert compare.late_words(url, {"sample": ledger}, "gw1", 4_000, {"l": 2}) == ["LATE"]
    assert compare.late_words(url, {"sample": ledger}, "gw1", 6_000, {"l": 2}) == []
