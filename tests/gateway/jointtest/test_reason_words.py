"""Reasons in Chinese: every sentence that a play can write has one, and a name that is none stays."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import capabilities
from gateway.jointtest.cases import derive
from gateway.jointtest.reason_words import in_chinese, reason_in
from protocols.trial import banks
from tests.house import ROOT

FILES = sorted(
    file
    for name in ("plays*.py", "runner.py", "production.py", "fillings.py", "amounts.py")
    for file in (ROOT / "gateway" / "jointtest").glob(name)
)


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("no answer within 25 s", "25 秒内没有应答"),
        ("JT-1: accepted settled", "JT-1: accepted（已受理） settled（成功）"),
        (
            "JT-1 is pending after 25 s, expected settled",
            "JT-1 等待 25 秒后仍为 pending（银行处理中），应为 settled（成功）",
        ),
        ("paid; the bank makes receipts of past days only", "已付款；银行只提供往日回单"),
        ("2 entries of 70 are this payment's", "70 笔明细中有 2 笔属于该付款"),
        ("step 2, order: no answer within 3 s", "第 2 步（order）：3 秒内没有应答"),
        ("not sent: 9.00 is over the cap of an order, 1.00", "未发送：9.00 超过单笔上限 1.00"),
        ("E102 户名不符", "E102 户名不符"),
        (
            "schema: /sum total: says 9.99, the items have 6.78",
            "/sum：笔数或合计与明细不符（total：says 9.99, the items have 6.78）",
        ),
        (
            "schema: /amout unknown_field: no such field; did you mean 'amount'?",
            "/amout：没有此字段（unknown_field：no such field）；是否为 'amount'？",
        ),
        ("bad_cursor", "翻页标记无效（bad_cursor）"),
    ],
)
def test_a_reason_in_chinese(english: str, chinese: str) -> None:
    assert in_chinese(english) == chinese and reason_in(english, "en") == english


def _sentences(node: ast.expr) -> Iterator[str]:
    """The sentences of a text in the code, with X for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(one.value) if isinstance(one, ast.Constant) else "X" for one in node.values)
    elif isinstance(node, ast.IfExp):
        yield from (*_sentences(node.body), *_sentences(node.orelse))


def _reasons(file: Path) -> Iterator[str]:
    """Every text that this file gives as a reason."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        at = {"passed": 0, "failed": 0, "CaseFinding": 1, "NoSuchValue": 0, "OverCap": 0}.get(name)
        if at is not None and len(node.args) > at:
            yield from _sentences(node.args[at])


def test_every_reason_of_a_play_has_chinese_words() -> None:
    said = {sentence for file in FILES for text in _reasons(file) for sentence in text.split("; ")}
    assert len(said) > 70
    plain = {one for one in said if not _has_chinese(in_chinese(one)) and any(len(word) > 2 for word in one.split())}
    assert plain == set(), plain


@pytest.mark.parametrize("bank", banks())
def test_every_reason_why_a_bank_lacks_a_case_has_chinese_words(bank: str) -> None:
    lacks = {case.lacks for case in derive(capabilities.tried(bank)) if case.lacks}
    assert not {one for one in lacks if not _has_chinese(in_chinese(one))}


def _has_chinese(text: str) -> bool:
    return any("一" <= c <= "鿿" for c in text)
