"""The report on a foreign client: findings first, then what was tried, then what the check stands on."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.jointtest.client_check import ClientCheck
from gateway.jointtest.client_report import html, pdf, report_on, rules_label, write_report
from gateway.language import Lang
from gateway.reports.typesetting import NoPdf
from gateway.simbank.exchange_log import ConnectionTrouble
from tests.gateway.jointtest.test_client_check import ORDER, TOO_LONG, checked

MADE = datetime(2026, 12, 1, 9, tzinfo=UTC)


def visit(folder: Path) -> ClientCheck:
    """A check that saw an order, a broken rule with markup in its value, and a handshake without a certificate."""
    broken = replace(TOO_LONG, value="<b>&1</b>")
    check, _ = checked(
        folder,
        ORDER,
        replace(ORDER, reference="", money=None, code="M300", findings=(broken,), machine_ms=61_000),
        replace(ORDER, client="", trouble=ConnectionTrouble.NO_CERTIFICATE, complaint="none came"),
    )
    return check


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("findings: 2; orders sent again: 0; operations tried: 1 of 2", "never tried", "without a certificate")),
        ("zh", ("发现 2 处，重复提交的指令 0 笔；2 种交易中测试了 1 种", "未测试", "未出示证书")),
    ],
)
def test_findings_come_first_and_all_is_there(tmp_path: Path, language: Lang, words: tuple[str, ...]) -> None:
    page = html(report_on(visit(tmp_path), "sample", "9.9.9", MADE), language)
    order = [page.index(one) for one in ("&lt;b&gt;&amp;1&lt;/b&gt;", words[1], "CN=their client")]
    assert order == sorted(order) and all(one in page for one in words)
    assert re.search(r" – 1970-01-0[12] \d\d:\d\d:\d\d [+-]\d{4}<", page), "the times of the findings have a zone"
    assert "9.9.9" in page and rules_label("sample") in page and "<b>" not in page
    assert ("reconstructed from public material" if language == "en" else "据公开资料推断") in page


def test_a_visit_without_findings_says_so(tmp_path: Path) -> None:
    check, _ = checked(tmp_path, ORDER)
    page = html(report_on(check, "sample", "9.9.9", MADE), "en")
    assert '<td class="good">no findings; operations tried: 1 of 2</td>' in page


def test_the_rules_of_two_banks_have_two_labels() -> None:
    assert rules_label("sample") != rules_label("pab") and "sha256" in rules_label("pab")


def test_all_four_files_are_written(tmp_path: Path) -> None:
    told = report_on(visit(tmp_path), "sample", "9.9.9", MADE)
    files, notes = write_report(told, tmp_path / "new" / "folder")
    pages = [one.name for one in files if one.suffix == ".html"]
    assert pages == ["client-report.en.html", "client-report.zh.html"]
    assert len(files) == (2 if notes else 4)
    with pytest.raises(NoPdf):
        pdf(told, "zh", folders=())
