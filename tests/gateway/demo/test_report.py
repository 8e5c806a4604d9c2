"""The demo's report is self-contained and hides nothing; the lines of its board show the progress."""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from rich.console import Console

from gateway.demo.board import Board, Snapshot
from gateway.demo.evidence import EvidenceLine, LeakedSecret
from gateway.demo.orders import DemoOrder
from gateway.demo.play import Kill
from gateway.demo.report import (
    FaultRow,
    KillRow,
    PaymentStory,
    PromiseCheck,
    ReportFacts,
    ReportTable,
    html,
    leak_check,
    money_check,
)
from gateway.demo.sums import AmountShare, MoneyRow, PaymentSum
from gateway.demo.texts import TEXTS, ZH, LanguageTexts, phrase
from gateway.demo.timeline_picture import Timeline, svg
from gateway.demo.verdict import BrokenPromise, FindingKind, OrderResult, Verdict
from gateway.language import lang_of
from gateway.simbank.faults import FAULTS, BankFault
from protocols.canon.outcome import State
from protocols.twin import Booked

ORDER = DemoOrder("AP-<1>", "sample", "00001000000001", "0000445803435177541", "示例乙公司", (12_345,), "货款", "plain")
FATE = OrderResult(ORDER, State.SETTLED, Booked.SETTLED, "P1", "R1")
FACTS = ReportFacts(
    seed=7,
    banks=("sample", "pab"),
    started=datetime(2026, 11, 24, tzinfo=UTC),
    lasted_s=61.0,
    commands=3,
    published_s=30.0,
    calm_s=40.0,
    verdict=Verdict((FATE,), ()),
    checks=(PromiseCheck("nothing twice", True, "0 twice"),),
    sorts={"plain": Counter(settled=1)},
    faults=(FaultRow("pab", "drop_after", "books, then closes", 4, {"settled": 3}),),
    kills=(KillRow(Kill(9.0, 0, 4711, 300, 20, 10.5), 11),),
    questions={"balance.query": {"balance.result": 8}},
    parked={"malformed": 2},
    repeats=5,
    stories=(PaymentStory("it came back", "AP-<1>", FATE, (EvidenceLine(0, "sent", "7 bytes"),)),),
    environment={"Python": "3"},
    again="bankgw demo --seed 7",
)


class Balanced(HTMLParser):
    """Finds elements that are closed without being open, and keeps those that stay open."""

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
    shown = re.sub(r"<[^>]+>", "", page)
    assert "demo: 1 orders, 1 settled, 0 failed, 0 rejected, 0 in doubt, 0 duplicated, 0 lost" in shown
    for said in (
        "4711",
        "drop after",
        "3 settled",
        "bankgw demo --seed 7",
        "2 malformed",
        "it came back",
        "AP-&lt;1&gt;",
        "nothing twice",
    ):
        assert said in page, said
    assert "<1>" not in page
    assert ORDER.creditor not in page
    assert ORDER.debtor not in page


def test_findings_are_shown() -> None:
    bad = Verdict((FATE,), (BrokenPromise(FindingKind.DUPLICATED, "AP-<1>", "sample executed it 2 times"),))
    page = html(replace(FACTS, verdict=bad, checks=(PromiseCheck("nothing twice", False, "1 twice"),)))
    assert "sample executed it 2 times" in page
    assert 'class="verdict bad"' in page
    assert ">NO<" in page
    assert 'class="verdict bad"' not in html(FACTS)


def test_leaks_break_the_promise() -> None:
    assert leak_check([], 3, 100).holds
    broken = leak_check([LeakedSecret("journal.db", "an account number ending in 0001")] * 2, 3, 100)
    assert not broken.holds
    assert "journal.db" in str(broken.detail)


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


LINE = Timeline(60.0, (1.0, 2.0, 2.5), (5.0, 9.0), ((3.0, 2), (7.0, 1)), ((4.0, 6.0), (20.0, None)), 40.0)
PAID = MoneyRow(
    "CNY", AmountShare.PAID, PaymentSum(2, 1_234_567_89), PaymentSum(2, 1_234_567_89), PaymentSum(2, 1_234_567_89)
)
BACK = MoneyRow("CNY", AmountShare.CAME_BACK, PaymentSum(), PaymentSum(), PaymentSum())
CHINESE = re.compile("[一-鿿]")


def cells(page: str, head: str) -> list[list[str]]:
    """A table's rows, found by the heading above it, without markup."""
    section = page.partition(f"<h2>{head}")[2].partition("<h2>")[0]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", section, re.DOTALL)
    return [
        [re.sub(r"<[^>]+>", " ", cell).strip() for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)]
        for row in rows
    ]


def test_sums_of_money_stand_before_all_that_is_for_engineers() -> None:
    page = html(replace(FACTS, money=(PAID, BACK)))
    assert page.index("Sums of money (CNY)") < page.index("<svg") < page.index("For engineers") < page.index("Kills")
    paid = cells(page, "Sums of money")[1]
    assert paid == ["carried out", *["1,234,567.89 2 payments"] * 3, "yes"]
    two = html(replace(FACTS, money=(PAID, replace(PAID, currency="USD"))))
    assert cells(two, "Sums of money")[2][1] == "USD 1,234,567.89 2 payments"
    wrong = html(replace(FACTS, money=(replace(PAID, ledgers=PaymentSum(1, 1)), BACK)))
    assert cells(wrong, "Sums of money")[1][-1] == "NO"


def test_six_tiles() -> None:
    tiles = re.findall(r"<div class=tile><b>(.*?)</b><span>(.*?)</span>", html(FACTS))
    assert tiles == [
        ("1", "orders"),
        ("1", "times the gateway was killed"),
        ("4", "faults of the banks"),
        ("0", "paid twice"),
        ("0", "lost"),
        ("61 s", "from start to comparison"),
    ]
    assert "repeat(6, 1fr)" in html(FACTS) and "repeat(3, 1fr)" in html(FACTS)


def test_heads_stand_over_their_numbers_and_backticks_become_code() -> None:
    page = ReportTable(LanguageTexts())(("name", "count", "after"), [("`x`", 7, "1.0 s"), ("y", 8, "-")])
    assert re.findall(r"<th[^>]*>", page) == ["<th>", "<th class=n>", "<th class=n>"]
    assert "<th class=n>" not in ReportTable(LanguageTexts())(("name", "ended"), [("x", "-"), ("y", "-")])
    assert "<code>x</code>" in page and "`" not in page
    faults = (FaultRow("pab", "delay", FAULTS[BankFault.DELAY].meaning, 4, {"settled": 3}),)
    assert "books, answers only after a delay" in html(replace(FACTS, faults=faults))
    assert "`" not in html(replace(FACTS, faults=faults))


def test_the_picture_shows_orders_faults_and_kills() -> None:
    picture = svg(LINE, LanguageTexts())
    assert picture.count('<circle class="fault"') == 2
    assert picture.count('<line class="kill"') == picture.count('<rect class="away"') == 2
    assert ">kill 2</text>" in picture and '<line class="calm"' in picture
    curves = {name: points.split() for name, points in re.findall(r'<polyline class="(\w+)" points="([^"]*)"', picture)}
    times, counts = zip(*(map(float, point.split(",")) for point in curves["settled"]), strict=True)
    assert len(set(counts)) == 3, "two settled: two steps"
    assert all(
        later - earlier <= 1 or above == below
        for earlier, later, above, below in zip(times, times[1:], counts, counts[1:], strict=False)
    ), "level while nothing happens"
    heights = [float(point.split(",")[1]) for point in curves["taken"]]
    assert heights == sorted(heights, reverse=True) and heights[-1] == min(heights)
    assert "xmlns" not in picture and "script" not in picture
    assert 'class="calm"' not in svg(replace(LINE, calm_s=None), LanguageTexts())
    Balanced().feed(svg(Timeline(0.0), LanguageTexts()))


def test_the_chinese_page_is_chinese() -> None:
    checks = (leak_check([], 3, 100), money_check((PAID, BACK)))
    facts = replace(
        FACTS,
        money=(PAID, BACK),
        timeline=LINE,
        checks=checks,
        faults=tuple(FaultRow("pab", fault.value, FAULTS[fault].meaning, 1, {}) for fault in BankFault),
    )
    page = html(facts, "zh")
    parser = Balanced()
    parser.feed(page)
    assert parser.open == [] and '<html lang="zh-CN">' in page
    heads = re.findall(r"<(?:h1|h2|th|figcaption)[^>]*>([^<]+)<", page)
    assert len(heads) > 30 and [head for head in heads if not CHINESE.search(head)] == []
    for row in (*cells(page, "银行故障"), *cells(page, "核对了什么")):
        assert [cell for cell in row[1:3] if not CHINESE.search(cell)] == []
    assert "2 笔" in page and "资金合计 (CNY)" in page and ">1,234,567.89<" in page


def test_every_text_has_the_same_values_in_both_languages() -> None:
    pairs = [*ZH.items(), *TEXTS.values()]
    for english, chinese in pairs:
        assert sorted(re.findall(r"{(\w+)", english)) == sorted(re.findall(r"{(\w+)", chinese)), english
        assert CHINESE.search(chinese), english
    with pytest.raises(KeyError):
        LanguageTexts("zh")(phrase("{count} things nobody translated", count=1))


@pytest.mark.parametrize(
    ("environment", "lang"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LC_ALL": "en_GB.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_ALL": "", "LANG": "zh_TW"}, "zh"),
    ],
)
def test_the_language_is_the_environments(environment: dict[str, str], lang: str) -> None:
    assert lang_of(environment) == lang


def test_a_narrow_terminal_breaks_lines_between_words() -> None:
    out = io.StringIO()
    board = Board(Console(file=out, force_terminal=True, width=40))
    board.say("  ok  no account number, name or password can be read in the raw files: 1019 of them looked for", 6)
    board.close()
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip() for line in out.getvalue().splitlines()]
    lines = [line for line in lines if line]
    assert lines[0].startswith("  ok  no account") and len(lines) > 2
    assert all(line.startswith("      ") and not line.startswith("       ") for line in lines[1:])
    assert max(map(len, lines)) <= 40
    assert " ".join(" ".join(lines).split()).endswith("1019 of them looked for")
