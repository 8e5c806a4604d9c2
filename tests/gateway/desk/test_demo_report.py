"""What the demo shows: the report needs nothing else and hides nothing; the board's lines say how far it is."""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from rich.console import Console

from gateway.desk.demo_board import Board, Snapshot
from gateway.desk.demo_evidence import Leak, Step
from gateway.desk.demo_orders import Order
from gateway.desk.demo_play import Kill
from gateway.desk.demo_report import Check, Facts, FaultRow, KillRow, Story, html, leak_check
from gateway.desk.demo_verdict import Fate, Finding, Verdict, Wrong
from protocols.canon.outcome import State
from protocols.twin import Booked

ORDER = Order("AP-<1>", "sample", "00001000000001", "0000445803435177541", "示例乙公司", (12_345,), "货款", "plain")
FATE = Fate(ORDER, State.SETTLED, Booked.SETTLED, "P1", "R1")
FACTS = Facts(
    seed=7, banks=("sample", "pab"), started=datetime(2026, 11, 24, tzinfo=UTC), lasted_s=61.0, commands=3,
    published_s=30.0, calm_s=40.0, verdict=Verdict((FATE,), ()), checks=(Check("nothing twice", True, "0 twice"),),
    sorts={"plain": Counter(settled=1)},
    faults=(FaultRow("pab", "drop_after", "books, then closes", 4, {"settled": 3}),),
    kills=(KillRow(Kill(9.0, 0, 4711, 300, 20, 10.5), 11),), questions={"balance.query": {"balance.result": 8}},
    parked={"malformed": 2}, repeats=5,
    stories=(Story("it came back", "AP-<1>", FATE, (Step(0, "sent", "7 bytes"),)),),
    environment={"Python": "3"}, again="bankgw demo --seed 7",
)  # fmt: skip


class Balanced(HTMLParser):
    """Complains about an element that is closed and not open, and keeps those that stay open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes |= {name for name, _value in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    page = html(FACTS)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert parser.attributes.isdisjoint({"src", "href", "onclick", "action"})
    assert "//" not in re.sub(r"<!doctype html>", "", page)


def test_the_page_says_what_happened() -> None:
    page = html(FACTS)
    for said in ("demo: 1 orders, 1 settled", "4711", "drop after", "3 settled", "bankgw demo --seed 7", "2 malformed",
                 "it came back", "AP-&lt;1&gt;", "nothing twice"):  # fmt: skip
        assert said in page, said
    assert "<1>" not in page
    assert ORDER.creditor not in page
    assert ORDER.debtor not in page


def test_findings_are_shown() -> None:
    bad = Verdict((FATE,), (Finding(Wrong.DUPLICATED, "AP-<1>", "sample executed it 2 times"),))
    page = html(replace(FACTS, verdict=bad, checks=(Check("nothing twice", False, "1 twice"),)))
    assert "sample executed it 2 times" in page
    assert 'class="sum bad"' in page
    assert ">NO<" in page
    assert 'class="sum bad"' not in html(FACTS)


def test_leaks_break_the_promise() -> None:
    assert leak_check([], 3, 100).holds
    broken = leak_check([Leak("journal.db", "an account number ending in 0001")] * 2, 3, 100)
    assert not broken.holds
    assert "journal.db" in broken.detail


SNAPSHOT = Snapshot(12.0, 480, 1100, 455, {"settled": 380, "in_doubt": 9}, 1, 3, {"sample": 8, "pab": 4})


def test_plain_lines_come_now_and_then() -> None:
    out = io.StringIO()
    board = Board(Console(file=out, force_terminal=False, width=40))
    board.show(SNAPSHOT)
    board.show(replace(SNAPSHOT, at_s=13.0))
    board.show(replace(SNAPSHOT, at_s=15.5))
    board.close()
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert "sent 480/1100" in lines[0]
    assert "in_doubt 9" in lines[0]
    assert "kills 1/3" in lines[0]
    assert "sample 8 pab 4" in lines[0]


@pytest.mark.parametrize("up", [True, False])
def test_a_terminal_gets_a_board(up: bool) -> None:
    out = io.StringIO()
    board = Board(Console(file=out, force_terminal=True, width=80))
    board.show(replace(SNAPSHOT, daemon_up=up))
    board.say("a line that stays")
    board.close()
    assert "orders in_doubt" in out.getvalue()
    assert "a line that stays" in out.getvalue()
    assert ("killed, starting again" in out.getvalue()) is not up
