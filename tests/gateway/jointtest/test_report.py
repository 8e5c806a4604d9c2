"""The report: everything in it, nothing of it interpreted, in both languages; as PDF where there is a font."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from gateway.jointtest import pdf
from gateway.jointtest.differences import Difference
from gateway.jointtest.report import Contents, Tongue, html, rows, summary
from gateway.typesetting import NoPdf
from tests.gateway.jointtest.samples import result, sample_cases

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
CASES = {
    "probe": result("passed", title="the probe", title_zh="探测", facts={"bank_reference": "REF-1", "bank_serial": "S-1"}),
    "settles.payment": result("failed", why="<script>alert(1)</script> #import \"x\" $x$", seen="bank"),
    "day-change": result("waiting", until="2026-11-29T09:00:00+08:00"),
    "login-lock": result("waived", owner="王示例", why="not this year", seen=None, by="王示例"),
}
TOLD = Contents(
    {"bank": "sample", "against": "twin", "environment": "test", "testers": {"ours": "甲", "bank": "乙"}}, "abc123", 2,
    NOW, None, NOW, CASES, sample_cases(), [{"at": "2026-11-28T09:00:00", "act": "business_date", "by": "甲",
    "date": "2026-12-01", "what": "act"}], [Difference("probe", ("verdict",), "failed in R1", "passed in R2")], "ab cd",
)  # fmt: skip


class Page(HTMLParser):
    """Counts elements and keeps the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(("language", "words"), [("en", "Sign-off"), ("zh", "签署页")])
def test_everything_is_in_it(language: str, words: str) -> None:
    page = Page()
    page.feed(html(TOLD, language))
    for text in (words, "REF-1", "S-1", "ab cd", "甲", "乙", "王示例", "business_date 2026-12-01", "failed in R1",
                 "<script>alert(1)</script>"):  # fmt: skip
        assert text in page.text, text
    assert "script" not in page.tags
    assert page.tags.count("tr") == 10 + 5 + 5 + 3


def test_it_says_whose_scripts_they_are_and_where_a_twins_clock_went() -> None:
    moved = {"at": "2026-11-28T09:00:00", "act": "twin_clock", "by": "甲", "days": -1, "what": "act"}
    told = replace(TOLD, about={**TOLD.about, "scripts": "finance"}, acts=[moved])
    assert "<h1>财务验收报告 · sample" in html(told, "zh") and "Finance acceptance report" in html(told, "en")
    assert "twin_clock -1 d" in html(told, "en") and "联调测试报告" not in html(told, "zh")


def test_a_twin_does_not_count_as_the_bank() -> None:
    counted = {row[0]: row[1:] for row in summary(TOLD, Tongue("en"))}
    assert counted == {"passed": ("1", "0", "1"), "failed": ("1", "1", "0"), "waiting": ("1", "0", "1"),
                       "waived": ("1", "0", "0")}  # fmt: skip
    assert [row.seen for row in rows(TOLD, Tongue("en"))] == ["twin", "bank", "twin", "nobody"]


def test_a_language_it_does_not_speak_is_refused() -> None:
    with pytest.raises(ValueError, match="en and zh"):
        html(TOLD, "fr")


def _pages(octets: bytes) -> int:
    found = re.search(rb"/Type/Pages/Count (\d+)", octets)
    assert found is not None
    return int(found.group(1))


def test_without_a_font_it_says_what_to_install() -> None:
    with pytest.raises(NoPdf, match="fonts-noto-cjk"):
        pdf.pdf(TOLD, "zh", [])


def test_with_a_font_it_is_a_pdf() -> None:
    try:
        made = {language: pdf.pdf(TOLD, language) for language in ("en", "zh")}
    except NoPdf as error:
        pytest.skip(str(error))
    assert all(octets.startswith(b"%PDF-") for octets in made.values())
    more = pdf.pdf(replace(TOLD, cases={f"{n}": result("passed") for n in range(200)}), "zh")
    assert _pages(more) > _pages(made["zh"]) >= 2
