"""The report: it shows everything and interprets nothing, in both languages; as PDF where there is a font."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from gateway.jointtest import pdf, stamp_sheet
from gateway.jointtest.differences import Difference
from gateway.jointtest.pack_root import qr_svg
from gateway.jointtest.report import ReportContents, ReportLanguage, acts, html, rows, summary
from gateway.reports.typesetting import NoPdf
from tests.gateway.jointtest.samples import result, sample_cases

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
CASES = {
    "probe": result(
        "passed", title="the probe", title_zh="探测", facts={"bank_reference": "REF-1", "bank_serial": "S-1"}
    ),
    "settles.payment": result("failed", why='<script>alert(1)</script> #import "x" $x$', seen="bank"),
    "day-change": result("waiting", until="2026-11-29T09:00:00+08:00"),
    "login-lock": result("waived", owner="王示例", why="not this year", seen=None, by="王示例"),
}
TOLD = ReportContents(
    {"bank": "sample", "against": "twin", "environment": "test", "testers": {"ours": "甲", "bank": "乙"}},
    "abc123",
    2,
    NOW,
    None,
    NOW,
    CASES,
    sample_cases(),
    [{"at": "2026-11-28T09:00:00", "act": "business_date", "by": "甲", "date": "2026-12-01", "what": "act"}],
    [Difference("probe", ("verdict",), "failed in R1", "passed in R2")],
    "ab cd",
)


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
    for text in (
        words,
        "REF-1",
        "S-1",
        "ab cd",
        "甲",
        "乙",
        "王示例",
        "2026-12-01",
        "failed in R1",
        "<script>alert(1)</script>",
    ):
        assert text in page.text, text
    assert "script" not in page.tags
    assert page.tags.count("tr") == 10 + 5 + 5 + 3


def test_it_says_whose_scripts_they_are_and_where_a_twins_clock_went() -> None:
    moved = {"at": "2026-11-28T09:00:00", "act": "twin_clock", "by": "甲", "days": -1, "what": "act"}
    told = replace(TOLD, about={**TOLD.about, "scripts": "finance"}, acts=[moved])
    assert "<h1>财务验收报告 · 示例银行（虚构）（sample） · " in html(
        told, "zh"
    ) and "Finance acceptance report" in html(told, "en")
    assert "the simulated bank&#x27;s clock is set -1 d from ours" in html(told, "en")
    assert "模拟银行时钟设为与本机相差 -1 天" in html(told, "zh") and "联调测试报告" not in html(told, "zh")


@pytest.mark.parametrize(
    ("act", "english", "chinese"),
    [
        (
            {"act": "business_date", "date": "2026-12-01"},
            "the bank's business date is set to 2026-12-01",
            "银行业务日期设为 2026-12-01",
        ),
        ({"act": "twin_clock", "days": 0, "refused": -1}, "clock could not be moved", "模拟银行时钟未能调整"),
        ({"act": "trail_missed", "attempt": "R1-a-1", "why": "busy"}, "no verdict of R1-a-1: busy", "R1-a-1 的结论"),
        (
            {"act": "exchanges_missed", "lane": "a.b", "why": "off"},
            "lane a.b has no digests",
            "通道 a.b 没有报文校验值",
        ),
        ({"act": "later_invented"}, "later_invented", "later_invented"),
    ],
)
def test_an_act_is_told_in_a_sentence_at_the_banks_time(act: dict[str, object], english: str, chinese: str) -> None:
    one = {"at": "2026-11-28T22:00:00+00:00", "by": "甲", "what": "act", **act}
    told = replace(TOLD, acts=[one], cases={})
    for language, words in (("en", english), ("zh", chinese)):
        [line] = acts(told, ReportLanguage(language))
        assert line.startswith("11-29 06:00:00  甲  ") and words in line


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Not passed when this was signed (2): settles.payment, day-change"),
        ("zh", "签署时未通过的案例 (2)：settles.payment、day-change"),
    ],
)
def test_those_who_sign_see_which_cases_have_not_passed(language: str, words: str) -> None:
    assert words in html(TOLD, language)
    ended = {name: CASES[name] for name in ("probe", "login-lock")}
    assert words.partition(" (")[0] not in html(replace(TOLD, cases=ended), language)


def test_a_row_has_the_banks_words_the_money_and_the_reason_in_its_language() -> None:
    facts = {
        "operation": "4004",
        "bank_code": "E102",
        "bank_text": "户名不符",
        "amount": "1.05",
        "account_tail": "0017",
    }
    told = replace(TOLD, cases={"probe": result("failed", why="no answer within 3 s", facts=facts)})
    [english], [chinese] = (rows(told, ReportLanguage(language)) for language in ("en", "zh"))
    assert (english.code, english.money) == ("4004 E102 户名不符", "1.05 …0017")
    assert (english.why, chinese.why) == ("no answer within 3 s", "3 秒内没有应答")
    started = "11-28 09:00:00"
    assert english.started == started and started in html(told, "zh") and "1.05 …0017" in html(told, "zh")


def test_a_twin_does_not_count_as_the_bank() -> None:
    counted = {row[0]: row[1:] for row in summary(TOLD, ReportLanguage("en"))}
    assert counted == {
        "passed": ("1", "0", "1"),
        "failed": ("1", "1", "0"),
        "waiting": ("1", "0", "1"),
        "waived": ("1", "0", "0"),
    }
    assert [row.seen for row in rows(TOLD, ReportLanguage("en"))] == ["twin", "bank", "twin", "nobody"]


def test_a_language_it_does_not_speak_is_refused() -> None:
    with pytest.raises(ValueError, match="en and zh"):
        html(TOLD, "fr")


def _pages(octets: bytes) -> int:
    found = re.search(rb"/Type/Pages/Count (\d+)", octets)
    assert found is not None
    return int(found.group(1))


@pytest.mark.parametrize(
    ("language", "none"), [("en", "not packed yet: no root"), ("zh", "尚未生成证据包：无根校验值")]
)
def test_it_states_the_root_with_its_foot_and_its_qr_code(language: str, none: str) -> None:
    root = "8f3a91c0" * 8
    unpacked, packed = Page(), Page()
    unpacked.feed(html(TOLD, language))
    packed.feed(html(replace(TOLD, root=root), language))
    assert unpacked.text.count(none) == 2 and "svg" not in unpacked.tags
    assert " ".join(["8f3a 91c0"] * 8) in packed.text and none not in packed.text
    assert packed.text.rstrip().endswith("8f3a 91c0 …") and packed.tags.count("svg") == 1


def test_the_qr_code_of_each_root_is_its_own() -> None:
    one, other = (qr_svg(root * 8) for root in ("8f3a91c0", "8f3a91c1"))
    assert one != other and one == qr_svg("8f3a91c0" * 8) and one.startswith("<svg ")
    # 33 squares a side and the quiet zone: the smallest code for 64 digits, so that it prints large.
    assert 'viewBox="0 0 41 41"' in one


def test_without_a_font_it_says_what_to_install() -> None:
    with pytest.raises(NoPdf, match="fonts-noto-cjk"):
        pdf.pdf(TOLD, "zh", [])


def test_with_a_font_it_is_a_pdf() -> None:
    try:
        made = {language: pdf.pdf(TOLD, language) for language in ("en", "zh")}
    except NoPdf as error:
        pytest.skip(str(error))
    assert all(octets.startswith(b"%PDF-") for octets in made.values())
    assert _pages(stamp_sheet.pdf(TOLD)) == _pages(stamp_sheet.pdf(replace(TOLD, root="8f3a91c0" * 8))) == 1
    many = replace(TOLD, root="8f3a91c0" * 8, cases={f"case-{n}.batch_item": result("failed") for n in range(200)})
    assert _pages(stamp_sheet.pdf(many)) == 1
    more = pdf.pdf(replace(TOLD, cases={f"{n}": result("passed") for n in range(200)}), "zh")
    assert _pages(more) > _pages(made["zh"]) >= 2
