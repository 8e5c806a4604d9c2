"""Each rule of the matching by an example: the match that it confirms, and the nearest case that it does not confirm."""

from __future__ import annotations

from datetime import date, timedelta

from gateway.reconciliation.rules.by_group import sums
from gateway.reconciliation.rules.decision import MatchResult, MatchRule, OpenReason, ProposalRule
from gateway.reconciliation.rules.matching import decide, lend_codes
from gateway.reconciliation.rules.rows import MatchRow, numbers_in, plain_name
from gateway.register.match_terms import BOOK_TERMS, PAYMENT_TERMS, MatchTerms, NumberRange, Tariff
from protocols.canon.statement import Direction

OWN = "0000001"


def row(
    id: str,
    amount: int,
    day: int = 10,
    party: str = "0000777",
    *,
    codes: str = "",
    serials: str = "",
    numbers: str = "",
    name: str = "",
    text: str = "",
    direction: Direction = Direction.DEBIT,
    account: str = OWN,
    currency: str = "CNY",
    reversal: bool = False,
    fee: bool = False,
    shadow: bool = False,
) -> MatchRow:
    return MatchRow(
        id,
        account,
        direction,
        amount,
        currency,
        date(2026, 9, 1) + timedelta(day),
        party,
        plain_name(name),
        frozenset(codes.split()),
        frozenset(serials.split()),
        frozenset(numbers.split()),
        text,
        reversal,
        fee,
        shadow,
    )


def found(
    entries: list[MatchRow], lines: list[MatchRow], terms: MatchTerms = PAYMENT_TERMS
) -> list[tuple[str, str, str]]:
    """The matches as (rule, entries, lines)."""
    return [
        (one.rule.value, " ".join(one.entries), " ".join(one.lines)) for one in decide(entries, lines, terms).matches
    ]


def decided(entries: list[MatchRow], lines: list[MatchRow], terms: MatchTerms = PAYMENT_TERMS) -> MatchResult:
    return decide(entries, lines, terms)


# ---- codes ------------------------------------------------------------------------------------------------


def test_a_code_finds_its_payment_among_others_of_the_same_amount() -> None:
    entries = [row("p1", 100, codes="code:A"), row("p2", 100, codes="code:B")]
    lines = [row("l1", 100, 12, codes="code:B"), row("l2", 100, 12, codes="code:A")]
    assert found(entries, lines) == [("code", "p1", "l2"), ("code", "p2", "l1")]


def test_a_code_narrows_and_the_amount_must_agree() -> None:
    entries = [row("p1", 100, codes="code:A"), row("p2", 90)]
    outcome = decided(entries, [row("l1", 90, codes="code:A")])
    assert outcome.matches == []
    assert outcome.open_entries["p1"] is outcome.open_lines["l1"] is OpenReason.AMOUNT
    assert [one.rule for one in outcome.proposals] == [ProposalRule.AMOUNT]


def test_a_code_counts_in_one_account_currency_and_direction() -> None:
    entry = row("p1", 100, codes="code:A")
    for other in (
        row("l1", 100, codes="code:A", account="0000002"),
        row("l1", 100, codes="code:A", currency="USD"),
        row("l1", 100, codes="code:A", direction=Direction.CREDIT),
    ):
        assert found([entry], [other]) == []


def test_a_code_on_two_lines_is_a_question() -> None:
    outcome = decided(
        [row("p1", 100, codes="code:A")], [row("l1", 100, codes="code:A"), row("l2", 100, codes="code:A")]
    )
    assert outcome.matches == [] and outcome.open_entries == {"p1": OpenReason.AMBIGUOUS}


def test_a_code_of_another_payment_keeps_a_line_from_the_weaker_rules() -> None:
    assert found([row("p1", 100, codes="code:A")], [row("l1", 100)]) == [("same_day", "p1", "l1")]
    assert found([row("p1", 100, codes="code:A")], [row("l1", 100, codes="code:B")]) == []


def test_a_batch_has_one_line_and_a_split_payment_has_many() -> None:
    batch = [row(f"p{one}", one, codes=f"code:{one} batch:X") for one in range(1, 41)]
    [match] = decided(batch, [row("l1", 820, codes="batch:X")]).matches
    assert match.rule is MatchRule.CODE and len(match.entries) == 40
    parts = [row("l1", 30, codes="code:A"), row("l2", 70, codes="code:A")]
    assert found([row("p1", 100, codes="code:A")], parts) == [("code", "p1", "l1 l2")]


def test_a_fee_needs_a_fee_line_or_the_tariff() -> None:
    entry, short = row("p1", 1_000, codes="code:A"), row("l1", 1_005, codes="code:A")
    assert found([entry], [short]) == []
    tariff = MatchTerms(tariffs={OWN: Tariff(((1_000, 5), (5_000, 10)))})
    [match] = decided([entry], [short], tariff).matches
    assert (match.rule, match.fee_minor) == (MatchRule.CODE, 5)
    assert found([row("p1", 1_001, codes="code:A")], [row("l1", 1_006, codes="code:A")], tariff) == []
    # Incoming money is less by the fee.
    received = row("p1", 1_000, codes="code:A", direction=Direction.CREDIT)
    assert found([received], [row("l1", 1_005, codes="code:A", direction=Direction.CREDIT)], tariff) == []
    assert found([received], [row("l1", 995, codes="code:A", direction=Direction.CREDIT)], tariff)
    # The bank's fee line beside the payment's own: the entry has both, or only the payment.
    both = [row("l1", 1_000, codes="code:A"), row("l2", 5, codes="code:A", fee=True)]
    assert found([row("p1", 1_005, codes="code:A")], both) == [("code", "p1", "l1 l2")]
    assert found([entry], both) == [("code", "p1", "l1")]


def test_a_tariff_without_a_code_is_only_proposed() -> None:
    terms = MatchTerms(tariffs={OWN: Tariff(((1_000, 5),))})
    outcome = decided([row("p1", 1_000)], [row("l1", 1_005)], terms)
    assert outcome.matches == [] and [one.rule for one in outcome.proposals] == [ProposalRule.FEE]


def test_serials_come_after_codes() -> None:
    entries = [row("p1", 100, serials="serial:T1"), row("p2", 100)]
    assert found(entries, [row("l1", 100, 14, serials="serial:T1")]) == [("serial", "p1", "l1")]


# ---- amounts ----------------------------------------------------------------------------------------------


def test_amount_and_counterparty_by_day() -> None:
    assert found([row("p1", 100)], [row("l1", 100)]) == [("same_day", "p1", "l1")]
    assert found([row("p1", 100)], [row("l1", 100, 15)]) == [("near_day", "p1", "l1")]
    late = decided([row("p1", 100)], [row("l1", 100, 16)])
    assert late.matches == [] and late.open_lines == {"l1": OpenReason.DATE}
    # A line is never older than its payment; a book row may be written later than its line.
    assert found([row("p1", 100)], [row("l1", 100, 9)]) == []
    assert found([row("w1", 100)], [row("l1", 100, 9)], BOOK_TERMS) == [("near_day", "w1", "l1")]


def test_names_serve_where_an_account_is_missing() -> None:
    entry = row("p1", 100, party="", name="上海(测试)有限公司")
    assert found([entry], [row("l1", 100, name="上海(测试)有限公司")]) == [("same_day", "p1", "l1")]
    assert found([entry], [row("l1", 100, name="北京(测试)有限公司")]) == []
    assert found([row("p1", 100, party="0000888", name="A")], [row("l1", 100, name="A")]) == []


def test_two_alike_on_one_side_are_proposed_never_confirmed() -> None:
    outcome = decided([row("p1", 100), row("p2", 100, 11)], [row("l1", 100, 12)])
    assert outcome.matches == [] and len(outcome.proposals) == 2
    assert outcome.open_lines == {"l1": OpenReason.AMBIGUOUS}
    assert found([row("p1", 100), row("p2", 100)], [row("l1", 100), row("l2", 100)]) == []


def test_a_row_of_unknown_counterparty_is_a_rival() -> None:
    assert found([row("p1", 100), row("p2", 100, party="")], [row("l1", 100)]) == []
    assert found([row("p1", 100), row("p2", 100, party="0000888")], [row("l1", 100)]) == [("same_day", "p1", "l1")]


def test_a_standing_order_is_paired_day_by_day() -> None:
    days = (1, 3, 5, 7)
    entries, lines = [row(f"p{day}", 100, day) for day in days], [row(f"l{day}", 100, day) for day in days]
    assert len(found(entries, lines)) == 4
    # A payment that waits for its line disturbs none of the earlier ones; a late line could belong to any of them.
    assert len(found([*entries, row("p8", 100, 8)], lines)) == 4
    assert found(entries, [row(one.id, 100, one.day.day + 1) for one in lines]) == []
    assert found(entries, [one for one in lines if one.id != "l3"]) == []
    # A line never belongs to a later payment, so l1 does not compete.
    assert len(found(entries[1:], lines)) == 3
    # A book may be written before or after the line, so dates of like pairs can cross.
    assert found(entries, lines, BOOK_TERMS) == []
    assert len(found(entries[::2], lines[::2], BOOK_TERMS)) == 2


def test_a_payment_does_not_take_the_line_of_something_else_in_the_book() -> None:
    entries = [row("p1", 100, codes="order:1")]
    own = row("w1", 100, codes="order:1", shadow=True)
    assert found([*entries, own], [row("l1", 100)]) == [("same_day", "p1", "l1")]
    unknown = row("w2", 100, shadow=True)
    assert found([*entries, unknown], [row("l1", 100)]) == [("same_day", "p1", "l1")]
    assert found([*entries, own, unknown], [row("l1", 100)]) == []
    others = row("w3", 100, codes="order:2", shadow=True)
    assert found([*entries, own, others], [row("l1", 100)]) == [("same_day", "p1", "l1")]


def test_a_number_in_the_text_tells_like_rows_apart() -> None:
    terms = MatchTerms(numbers=(NumberRange("INV", 1_000, 1_999, 4),))
    entries = [row("p1", 100, numbers="1001"), row("p2", 100, numbers="1002")]
    lines = [row("l1", 100, 11, text="货款INV1002"), row("l2", 100, 11, text="INV1001/部分")]
    assert found(entries, lines, terms) == [("number", "p1", "l2"), ("number", "p2", "l1")]
    assert found(entries, lines) == []
    # One of the two leaves a single candidate to the other.
    assert found(entries, [lines[0], row("l2", 100, 11)], terms) == [("near_day", "p1", "l2"), ("number", "p2", "l1")]
    assert found(entries, [row("l1", 100, 11, text="INV1001 INV1002")], terms) == []


def test_numbers_in_a_text() -> None:
    ranges = (NumberRange("INV", 1_000, 1_999, 4), NumberRange("", 50, 59, 2))
    assert numbers_in("INV1500, INV2500, INV15000, x55,60", ranges) == {"1500", "55"}


# ---- groups -----------------------------------------------------------------------------------------------


def test_a_group_of_one_payee_and_day() -> None:
    entries = [row("p1", 100), row("p2", 250), row("p3", 70)]
    assert found(entries, [row("l1", 420)]) == [("group", "p1 p2 p3", "l1")]
    assert found(entries[:2], [row("l1", 420)]) == []
    assert found([row("p1", 350)], [row("l1", 100), row("l2", 250)]) == [("group", "p1", "l1 l2")]


def test_a_group_needs_one_payee_one_day_and_at_most_20_rows() -> None:
    assert found([row("p1", 100), row("p2", 250, party="0000888")], [row("l1", 350)]) == []
    assert found([row("p1", 100), row("p2", 250, 9)], [row("l1", 350)]) == []
    many = [row(f"p{one:02}", 2**one) for one in range(21)]
    assert found(many[:20], [row("l1", 2**20 - 1)]) and not found(many, [row("l1", 2**21 - 1)])


def test_some_rows_of_a_day_are_no_group_however_well_they_add_up() -> None:
    """Among many amounts, some sums agree by chance: a sum that agrees is no proof that p1 and p2 were paid
    together."""
    entries = [row("p1", 100), row("p2", 250), row("p3", 900)]
    outcome = decided(entries, [row("l1", 350)])
    assert outcome.matches == []
    assert [(one.rule, one.entries) for one in outcome.proposals] == [(ProposalRule.SUM, ("p1", "p2"))]
    # p3 has a line of its own, so only the other two are open.
    assert ("group", "p1 p2", "l1") in found(entries, [row("l1", 350), row("l2", 900)])
    # A batch declares them, whatever else the payee is paid that day.
    batch = [row("p1", 100, codes="batch:erp:B1"), row("p2", 250, codes="batch:erp:B1"), row("p3", 900)]
    assert found(batch, [row("l1", 350)]) == [("group", "p1 p2", "l1")]
    assert found([*batch, row("p4", 5, codes="batch:erp:B1")], [row("l1", 350)]) == []


def test_two_groups_of_one_sum_are_not_decided() -> None:
    assert found([row("p1", 100), row("p2", 250), row("p3", 150), row("p4", 200)], [row("l1", 350)]) == []
    # One row can be part of one group only.
    assert found([row("p1", 100), row("p2", 200), row("p3", 50)], [row("l1", 300), row("l2", 250)]) == []


def test_a_row_that_may_be_part_of_a_sum_is_not_taken_alone() -> None:
    # l1 could be p1's own, or with l2 the two parts of p2.
    outcome = decided([row("p1", 100), row("p2", 350)], [row("l1", 100), row("l2", 250)])
    assert outcome.matches == [] and outcome.open_entries["p1"] is OpenReason.AMBIGUOUS


def test_sums() -> None:
    assert sums((1, 2, 3), 6) == [(0, 1, 2)]
    assert len(sums((1, 2, 3), 3)) == 2
    assert sums((1, 2, 3), 7) == []


# ---- both sides of one account ------------------------------------------------------------------------------


def test_reversed_pairs_go_first() -> None:
    lines = [row("l1", 100), row("l2", 100, direction=Direction.CREDIT, reversal=True), row("l3", 100, 11)]
    assert found([row("p1", 100)], lines) == [("reversed", "", "l1 l2"), ("near_day", "p1", "l3")]
    red = [row("w1", 100), row("w2", -100)]
    assert found(red, [], BOOK_TERMS) == [("reversed", "w1 w2", "")]


def test_a_reversal_of_one_of_two_is_a_question_unless_it_names_it() -> None:
    two = [row("l1", 100, serials="s:1"), row("l2", 100, serials="s:2")]
    assert found([], [*two, row("l3", 100, direction=Direction.CREDIT, reversal=True)]) == []
    named = row("l3", 100, direction=Direction.CREDIT, reversal=True, serials="s:2")
    assert found([], [*two, named]) == [("reversed", "", "l2 l3")]
    assert found([], [two[0], row("l3", 100, reversal=True)]) == []


def test_a_text_does_not_net_what_a_code_has() -> None:
    """A payer writes 冲正 in the purpose. The payment keeps its line."""
    words = row("l2", 100, 11, direction=Direction.CREDIT, text="冲正上月多付", reversal=True)
    assert found([row("p1", 100, codes="code:A")], [row("l1", 100, codes="code:A"), words]) == [("code", "p1", "l1")]
    named = row("l2", 100, 11, codes="code:A", direction=Direction.CREDIT, reversal=True)
    assert found([row("p1", 100, codes="code:A")], [row("l1", 100, codes="code:A"), named]) == [
        ("reversed", "", "l1 l2")
    ]


def test_a_payment_lends_its_codes_to_the_book() -> None:
    payments = [row("p1", 100, codes="code:A order:1"), row("p2", 100, codes="code:B order:2")]
    lines = [row("l1", 100, codes="code:A"), row("l2", 100, codes="code:B")]
    book = [row("w1", 100, codes="order:2"), row("w2", 100, codes="order:1")]
    assert found(book, lines, BOOK_TERMS) == []
    lent = lend_codes(lines, decided(payments, lines).matches, {one.id: one for one in payments})
    assert found(book, lent, BOOK_TERMS) == [("code", "w1", "l2"), ("code", "w2", "l1")]


def test_every_row_is_matched_or_has_its_reason() -> None:
    outcome = decided([row("p1", 100), row("p2", 5)], [row("l1", 100), row("l2", 7)])
    assert outcome.open_entries == {"p2": OpenReason.NO_COUNTERPART}
    assert outcome.open_lines == {"l2": OpenReason.NO_COUNTERPART}


def test_a_like_name_or_a_bare_amount_is_only_proposed() -> None:
    entry = row("p1", 100, party="", name="上海测试贸易有限公司")
    alike = decided([entry], [row("l1", 100, name="上海测试贸易公司")])
    assert alike.matches == [] and [one.rule for one in alike.proposals] == [ProposalRule.NAME]
    bare = decided([entry], [row("l1", 100, party="0000999", name="x")])
    assert bare.matches == [] and [one.rule for one in bare.proposals] == [ProposalRule.AMOUNT_ONLY]
