"""The approval digest: every fact is in the digest and in the signed text, and each fact has one form only."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.approvals.rules.approval_digest import (
    PAY,
    ApprovalLine,
    ApprovalSubject,
    BadForm,
    canonical,
    digest,
    parse,
)
from gateway.approvals.rules.approval_text import signed_text

LINE = ApprovalLine(
    "erp:AP-1",
    "0000111122223333",
    "示例供应商有限公司",
    "0000999988887777",
    "示例银行某支行",
    "102100099996",
    1_234_567,
    "CNY",
    "货款 6月",
)
SUBJECT = ApprovalSubject(
    "live", "gw-main", PAY, "01JABC", "erp", "payment", "auto", "", "wang", None, 1_800_000_000_000, 3, (LINE,)
)
BATCH = replace(
    SUBJECT, kind="payroll_item", lines=tuple(replace(LINE, order=f"erp:P-{n}", amount_minor=n) for n in range(1, 501))
)


def test_version_1_is_written_like_this_for_ever() -> None:
    assert canonical(SUBJECT) == (
        b'["bankgw approval 1","live","gw-main","payment.approve","01JABC","erp","payment","auto","","wang",null,'
        b'1800000000000,3,[["erp:AP-1","0000111122223333",'
        b'"\\u793a\\u4f8b\\u4f9b\\u5e94\\u5546\\u6709\\u9650\\u516c\\u53f8","0000999988887777",'
        b'"\\u793a\\u4f8b\\u94f6\\u884c\\u67d0\\u652f\\u884c","102100099996",1234567,"CNY","\\u8d27\\u6b3e 6\\u6708"]],[]]'
    )
    assert digest(canonical(SUBJECT)) == "28bdee3c5839e532bccdb88662343442575122d90746eb8bf59b4a9e7e9aab6e"


def said(octets: bytes, language: Literal["en", "zh"]) -> list[str]:
    """The lines of the signed text, without the last line, which is the digest."""
    return signed_text(octets, language).splitlines()[:-1]


def other(value: Any) -> Any:
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, tuple):
        return (
            (*value, replace(LINE, order="erp:more")) if value and isinstance(value[0], ApprovalLine) else ("d" * 64,)
        )
    return 1 if value is None else value + 1


@pytest.mark.parametrize("name", [one.name for one in fields(ApprovalSubject)])
def test_every_fact_is_in_the_digest_and_in_the_words(name: str) -> None:
    changed = canonical(replace(SUBJECT, **{name: other(getattr(SUBJECT, name))}))
    assert digest(changed) != digest(canonical(SUBJECT))
    assert said(changed, "en") != said(canonical(SUBJECT), "en")
    assert said(changed, "zh") != said(canonical(SUBJECT), "zh")


@pytest.mark.parametrize("name", [one.name for one in fields(ApprovalLine)])
@pytest.mark.parametrize("at", [0, 499])
def test_every_fact_of_every_line_of_a_batch_counts(name: str, at: int) -> None:
    lines = list(BATCH.lines)
    changes: dict[str, Any] = {name: "USD" if name == "currency" else other(getattr(lines[at], name))}
    lines[at] = replace(lines[at], **changes)
    changed = canonical(replace(BATCH, lines=tuple(lines)))
    assert digest(changed) != digest(canonical(BATCH))
    assert said(changed, "zh") != said(canonical(BATCH), "zh")


def test_the_order_of_lines_counts() -> None:
    assert digest(canonical(replace(BATCH, lines=BATCH.lines[::-1]))) != digest(canonical(BATCH))


def test_the_words_in_both_languages() -> None:
    assert (
        signed_text(canonical(SUBJECT), "en")
        == f"""\
Approve this payment
environment: live
instance: gw-main
decision: payment.approve
request: 01JABC
sender: erp
kind: payment
channel: auto
fees paid by: not given
made by: wang
not before: open
valid until: 2027-01-15 08:00:00.000 UTC
policy version: 3
payments: 1
sum: 12345.67 CNY
order: erp:AP-1
from account: 0000111122223333
payee: 示例供应商有限公司
payee's account: 0000999988887777
payee's bank: 示例银行某支行
payee's bank number: 102100099996
amount: 12345.67 CNY
purpose: 货款 6月
digest: {digest(canonical(SUBJECT))}
"""
    )
    chinese = signed_text(canonical(BATCH), "zh")
    assert chinese.startswith("复核批量付款\n环境:live\n") and "笔数:500\n合计:1252.50 CNY\n" in chinese
    assert "  金额:5.00 CNY\n" in chinese and chinese.count("收款账号:") == 500


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(str.isprintable)
LINES = st.builds(ApprovalLine, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, st.integers(1, 10**15), st.just("CNY"), TEXT)
SUBJECTS = st.builds(
    ApprovalSubject,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    st.none() | st.integers(0, 10**13),
    st.none() | st.integers(0, 10**13),
    st.integers(0, 9),
    st.lists(LINES, min_size=1, max_size=3, unique_by=lambda line: line.order).map(tuple),
    st.lists(TEXT, max_size=2).map(tuple),
)


@given(SUBJECTS, SUBJECTS)
def test_different_subjects_have_different_forms_that_read_back(a: ApprovalSubject, b: ApprovalSubject) -> None:
    assert parse(canonical(a)) == a
    assert (canonical(a) == canonical(b)) == (a == b)


@pytest.mark.parametrize(
    "changed",
    [
        {"lines": ()},
        {"lines": (LINE, LINE)},
        {"lines": (replace(LINE, amount_minor=0),)},
        {"nonce": "a\nb"},
        {"lines": (replace(LINE, amount_minor=True),)},
        {"lines": (replace(LINE, payee_name="甲\u202e乙"),)},
        {"policy": 1.5},
        {"lines": (replace(LINE, purpose="a\x00"),)},
    ],
)
def test_what_has_no_canonical_form(changed: dict[str, Any]) -> None:
    with pytest.raises(BadForm):
        canonical(replace(SUBJECT, **changed))


def test_bytes_that_are_not_the_form_are_refused() -> None:
    good = canonical(SUBJECT)
    facts = json.loads(good)
    spaced, unescaped = (
        json.dumps(facts).encode(),
        json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode(),
    )
    newer = good.replace(b"approval 1", b"approval 2")
    for bad in (
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        good[:-1],
        good + b" ",
        spaced,
        unescaped,
        newer,
        good.replace(b"1234567", b"-1"),
        good.replace(b"1234567", b'"1"'),
        good.replace(b"]],[]]", b"]],[],1]"),
        good.replace(b',"CNY"', b""),
    ):
        with pytest.raises(BadForm):
            parse(bad)
        with pytest.raises(BadForm):
            signed_text(bad, "en")
