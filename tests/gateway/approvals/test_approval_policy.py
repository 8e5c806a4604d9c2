"""The approval policy as text: which text is read, which is refused, and that writing and reading agree."""

from __future__ import annotations

import pytest

from gateway.approvals.rules import approval_policy
from gateway.approvals.rules.approval_bands import ApprovalFacts
from gateway.approvals.rules.approval_policy import BadPolicy, parse

GOOD = "CNY 0..50000.00 0; CNY 50000.00..1000000.00 1; CNY 1000000.00.. 2; CNY 0.. 1 payee=new group=desk; group desk=li,wang"


def test_writing_and_reading_agree() -> None:
    policy = parse(GOOD)
    assert parse(policy.text()) == policy
    assert policy.members("desk") == frozenset({"li", "wang"})
    assert policy.members("*") is None
    assert approval_policy.lines(policy)[-1] == "group desk=li,wang"


def test_the_bands_decide() -> None:
    def needs(amount_minor: int, payee: str = "known") -> tuple[tuple[str, int], ...]:
        facts = ApprovalFacts("CNY", amount_minor, "payment", payee, "erp", 0, "sun")
        return parse(GOOD).needed(facts).of_group

    assert needs(5_000_000) == ()
    assert needs(5_000_001) == (("*", 1),)
    assert needs(100_000_001) == (("*", 2),)
    assert needs(1, "new") == (("desk", 1),)
    assert parse("none").needed(ApprovalFacts("CNY", 1, "payment", "new", "erp")).of_group == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("CNY 0..50000.00 0; CNY 50000.01.. 1", "gap from 5000000 to 5000001"),
        ("CNY 0..50000.00 0; CNY 40000.00.. 1", "overlap"),
        ("CNY 0..50000.00 1", "gap above"),
        ("CNY 1.. 1", "gap from 0"),
        ("CNY 0.. 1 kind=payment", "no band that covers every kind"),
        ("CNY 0.. 2 group=desk; group desk=li; CNY 0.. 0", "group desk, which has 1"),
        ("CNY 0.. 1; group desk=li", "in no band"),
        ("CNY 0.. 1; CNY 0.. 1 group=desk", "which has 0 persons"),
        ("CNY 0.001.. 1", "decimals"),
        ("CNY 0.. one", "is not a valid band"),
        ("CNY 0.. 1 colour=red", "is not allowed here"),
        ("CNY 0-5 1", "ABOVE..UPTO"),
        ("group desk", "is not a valid group"),
        ("", "is not a valid band"),
        ("CNY 0.. 9", "0 to 5"),
    ],
)
def test_what_cannot_be_used_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadPolicy, match=why):
        parse(text)
