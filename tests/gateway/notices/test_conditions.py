"""Conditions: told once, told again at each step, over once, and never twice because a source was away."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gateway.kernel.meters import TROUBLES
from gateway.notices import wording
from gateway.notices.conditions import MOST_KNOWN, Condition, Known, of_troubles, still_there, update
from gateway.notices.kinds import CONDITIONS, NoticeKind, kind_of_trouble
from gateway.notices.notice_queue import Notice
from tests.gateway.notices.test_couriers import NOTICE, PLACE
from tests.house import ROOT

K = NoticeKind
LASTING_MS = 120_000
LANE = Condition(K.LANE_DOWN, "boc.main", "BankgwLaneDown")


class Source:
    """One source of conditions over time."""

    def __init__(self, lasting_ms: int = LASTING_MS) -> None:
        self.known: Known = {}
        self.now_ms, self.lasting_ms = 0, lasting_ms

    def shows(self, *present: Condition, after_s: int, source: str = "page") -> list[tuple[NoticeKind, str]]:
        self.now_ms += after_s * 1000
        events = update(self.known, source, present, self.now_ms, self.lasting_ms)
        return [(event.kind, event.key) for event in events]


def test_a_condition_is_told_once_when_it_has_lasted_and_once_when_it_is_over() -> None:
    page = Source()
    assert page.shows(LANE, after_s=0) == [] and page.shows(LANE, after_s=119) == []
    assert page.shows(LANE, after_s=1) == [(K.LANE_DOWN, "boc.main · BankgwLaneDown")]
    assert page.shows(LANE, after_s=86_400) == []
    assert page.shows(after_s=119) == [] and page.shows(after_s=1) == [(K.OVER, "lane_down boc.main")]
    assert page.shows(after_s=300) == [] and page.known == {}


def test_what_is_over_before_it_was_told_is_not_told_at_all() -> None:
    page = Source()
    assert page.shows(LANE, after_s=0) == [] and page.shows(after_s=120) == [] and page.shows(after_s=120) == []


def test_a_lane_that_goes_up_and_down_is_one_condition() -> None:
    page, events = Source(), []
    for n in range(60):
        events += page.shows(*([LANE] if n % 2 else []), after_s=30)
    assert events == [(K.LANE_DOWN, "boc.main · BankgwLaneDown")]


def test_another_source_or_one_that_is_away_ends_nothing() -> None:
    page = Source(0)
    assert page.shows(LANE, after_s=0) != []
    assert page.shows(after_s=86_400, source="another page") == [], "each source ends its own conditions"
    assert page.shows(LANE, after_s=86_400) == [], "a page that was away for a day tells nothing twice"


def test_a_further_step_is_told_again() -> None:
    page = Source()
    ends = Condition(K.CERTIFICATE_ENDS, "boc tls", "30 days", "30 days")
    page.shows(ends, after_s=0)
    assert page.shows(ends, after_s=120) == [(K.CERTIFICATE_ENDS, "boc tls · 30 days")]
    nearer = replace(ends, detail="7 days", step="7 days")
    assert page.shows(nearer, after_s=1) == [(K.CERTIFICATE_ENDS, "boc tls · 7 days")]
    assert page.shows(nearer, after_s=120) == []
    assert still_there(page.known, K.CERTIFICATE_ENDS, ["boc tls · 30 days", "boc sign · 30 days"]) == [
        "boc tls · 30 days"
    ]


@pytest.mark.parametrize("kind", [K.REPORT_FAILED, K.STATEMENT_MISSING, K.RECEIPT_MISSING])
def test_what_came_late_is_no_news(kind: NoticeKind) -> None:
    journal = Source(0)
    assert journal.shows(Condition(kind, "daily"), after_s=0) == [(kind, "daily")]
    assert journal.shows(after_s=1) == [] and journal.known == {}


def test_the_known_conditions_do_not_grow_for_ever() -> None:
    page = Source(0)
    page.shows(*(Condition(K.TROUBLE, f"{n}") for n in range(MOST_KNOWN + 50)), after_s=0)
    assert len(page.known) == MOST_KNOWN


def test_every_trouble_of_the_daemon_has_a_kind_and_an_unknown_one_is_not_lost() -> None:
    names = (*TROUBLES, "new")
    said = [{"trouble": name, "subject": f"of {name}", "runbook": "BankgwX", "cause": "c"} for name in names]
    found = of_troubles(said, lambda subject: frozenset({subject}))
    assert len(found) == len(TROUBLES), "an emergency stop is told as security, and all others are here"
    assert {one.kind for one in found} == {K.TROUBLE, K.LANE_DOWN, K.CERTIFICATE_ENDS, K.BACKUP, K.UPKEEP}
    assert kind_of_trouble("stopped") is None and kind_of_trouble("new") is K.TROUBLE
    assert all(kind_of_trouble(name) is K.TROUBLE for name in ("bank_hangs", "broker_queue", "permit_log_unwritable"))
    assert all(kind_of_trouble(name) is K.UPKEEP for name in ("disk_filling", "settings"))
    assert all(one.subject.endswith("".join(one.companies)) and one.detail == "BankgwX" for one in found)
    assert {company for one in found for company in one.companies} == {f"of {name}" for name in names} - {"of stopped"}


@pytest.mark.parametrize(
    "one", [{}, {"trouble": 1, "subject": "x"}, {"trouble": "lane"}, {"trouble": "lane", "subject": ["x"]}]
)
def test_a_page_of_another_form_is_no_condition(one: dict[str, object]) -> None:
    assert of_troubles([one], lambda _subject: frozenset()) == []


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("kind", sorted(CONDITIONS | {K.OVER}))
def test_chat_names_the_first_conditions_and_what_to_do(kind: NoticeKind, language: wording.NoticeLanguage) -> None:
    keys = tuple(f"bank{n}.main · https://evil.example/{n}\n" for n in range(9))
    notice = Notice(NOTICE.id, kind, NOTICE.made_ms, NOTICE.since_ms, keys, 0)
    text = wording.brief(notice, PLACE, language)
    lines = text.splitlines()
    assert "bank0.main" in lines[1] and "bank4.main" in lines[5] and "bank5" not in text and "://" not in text
    assert "4" in lines[6] and len(lines) == 10 and len(text.encode()) < 1_500
    assert all(len(line) < 120 for line in lines), "what to do is one line"


def test_every_command_that_a_notice_names_exists() -> None:
    said = "\n".join(
        wording.full(Notice("x", kind, 0, 0, ("k",), 0), PLACE, language)
        for kind in NoticeKind
        for language in ("en", "zh")
    )
    commands = set(re.findall(r"bankgw ((?:[a-z]+(?:-[a-z]+)*)(?: [a-z]+(?:-[a-z]+)*)?)", said))
    reference = (ROOT / "docs" / "lookup" / "cli.md").read_text("utf-8")
    unknown = [
        one
        for one in commands
        if f"`bankgw {one}" not in reference and f"### bankgw {one.split()[0]}\n" not in reference
    ]
    assert commands and unknown == []
