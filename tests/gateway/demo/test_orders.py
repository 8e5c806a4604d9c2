"""The demo's story is repeatable, and the contract's own reader reads its commands as the story means them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from gateway import capabilities
from gateway.demo import stage
from gateway.demo.orders import (
    ACCEPTED,
    HAN,
    SUBMIT,
    XML,
    BankNeeds,
    DemoAccounts,
    Story,
    amount_text,
    write_story,
    xml_body,
)
from gateway.kernel.core.policy import Route, check
from protocols import trial
from protocols.canon.errors import Refusal
from protocols.erp import commands, fingerprint, routing
from protocols.erp.words import BalanceQuery, CommandType, StatusQuery, SubmitOrder, TransactionsQuery

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
STAGE = DemoAccounts(
    {"sample": ("00001000000001", "00001000000002"), "pab": ("00002000000001", "00002000000002")},
    {
        "00001000000001": "示例甲公司",
        "00001000000002": "示例乙公司",
        "00002000000001": "示例丙公司",
        "00002000000002": "示例丁公司",
    },
    "00001000000009",
    "run",
    NOW,
    date(2026, 11, 24),
)


@pytest.fixture(scope="module")
def story() -> Story:
    return write_story(7, 1000, 20, STAGE)


def test_a_seed_tells_one_story(story: Story) -> None:
    again, other = write_story(7, 1000, 20, STAGE), write_story(8, 1000, 20, STAGE)
    assert [(c.order_id, c.body) for c in story.commands] == [(c.order_id, c.body) for c in again.commands]
    assert [o.creditor for o in story.orders] != [o.creditor for o in other.orders]


@pytest.mark.parametrize("count", [1, 5, 40, 1000])
def test_as_many_orders_as_asked_for(count: int) -> None:
    told = write_story(3, count, min(20, count), STAGE)
    assert len(told.orders) == count
    assert len({order.id for order in told.orders}) == count
    assert {command.order_id for command in told.commands if not command.is_question} == {o.id for o in told.orders}


def test_every_payee_belongs_to_one_order(story: Story) -> None:
    assert len({order.creditor for order in story.orders}) == len(story.orders)
    assert all(len(number) == 19 and number.startswith("0000") for number in (o.creditor for o in story.orders))
    assert {order.creditor for order in story.orders} | {"00001000000009"} <= story.numbers


def test_message_ids_are_unique(story: Story) -> None:
    assert len({command.message_id for command in story.commands}) == len(story.commands)


def test_the_story_holds_everything_it_should(story: Story) -> None:
    sorts = Counter(order.sort for order in story.orders)
    wanted = {
        "plain",
        "twice",
        "three times",
        "other content",
        "withdrawn",
        "reply queue gone",
        "events only",
        "body over 1 MiB",
        "broken JSON",
        "broken XML",
        "money as a JSON number",
        "unknown routing key",
        "contradictory types",
        "unknown account",
        "account of another",
        "over the sender's limit",
        "character the bank lacks",
        "purpose too long",
        "valid_until is past",
        "#hide",
        "#return",
    }
    assert wanted <= set(sorts)
    assert 0.08 < sum(c.content_type == XML for c in story.commands) / len(story.commands) < 0.25
    assert len(story.questions) == 20
    assert {question.key for question in story.questions} == {"balance.query", "transactions.query", "status.query"}
    assert sum(not order.carried for order in story.orders) < 100


def test_good_orders_are_read_as_the_order_they_are(story: Story) -> None:
    """The values that the contract's own reader gets from each body are those with which the verdict compares."""
    orders = {order.id: order for order in story.orders}
    read = 0
    for command in story.commands:
        if command.key != SUBMIT or not orders[command.order_id].carried:
            continue
        order = orders[command.order_id]
        word = commands.parse_command(CommandType.PAYMENT_SUBMIT, command.content_type, command.body)
        assert isinstance(word, SubmitOrder), word
        said = word.order
        parties = (said.debtor.account.clear, said.creditor.account.clear)
        assert (said.id, *parties) == (order.id, order.debtor, order.creditor)
        assert said.amount.minor in order.amounts_minor
        assert ACCEPTED in command.expect
        read += 1
    assert read > 900


@pytest.mark.parametrize("bank", trial.banks())
def test_every_bank_carries_the_good_orders_and_no_other(bank: str) -> None:
    built = capabilities.tried(bank)
    told = write_story(3, 200, 10, stage.stage((bank,), "run", NOW))
    orders = {order.id: order for order in told.orders}
    route = Route(
        "",
        "jia",
        bank,
        "main",
        "CNY",
        built.profile.limits,
        frozenset(built.money),
        kind_limits=built.profile.kind_limits,
    )
    unfit = set()
    for command in told.commands:
        order = orders.get(command.order_id)
        if command.key != SUBMIT or order is None or command.expect == {"type_conflict"}:
            continue
        word = commands.parse_command(CommandType.PAYMENT_SUBMIT, command.content_type, command.body)
        if order.carried:
            assert isinstance(word, SubmitOrder) and check(word.order, route, NOW.date()) == (), (bank, word)
        elif order.sort in ("purpose too long", "character the bank lacks"):
            assert not isinstance(word, SubmitOrder) or check(word.order, route, NOW.date()), (bank, order.sort)
            unfit.add(order.sort)
    assert len(unfit) == 2


def test_every_bank_gets_all_of_a_day_s_work_and_is_asked_for_balance_and_entries() -> None:
    """The day has one order of each sort that the bank takes. The contract reads it and the bank carries it."""
    banks = trial.banks()
    told = write_story(7, 1000, 3 * len(banks), stage.stage(banks, "run", NOW))
    assert len(told.orders) == 1000 and len({order.creditor for order in told.orders}) == 1000
    asked = {one.order_id for one in told.questions}
    for bank in banks:
        built = capabilities.tried(bank)
        assert {f"{bank} balance", f"{bank} entries"} <= asked
        route = Route(
            "",
            "jia",
            bank,
            "main",
            "CNY",
            built.profile.limits,
            frozenset({*built.money, *built.bundles}),
            kind_limits=built.profile.kind_limits,
        )
        kinds = {order.kind for order in told.orders if order.bank == bank}
        assert kinds == {
            "payment",
            *(kind.value for kind in built.bundles),
            *({"transfer"} & {one.value for one in built.money}),
        }
        carried: set[str] = set()
        for command in told.commands:
            if command.order_id.endswith(f"-7-{bank}"):
                word = commands.parse_command(CommandType(command.key), command.content_type, command.body)
                orders = getattr(word, "orders", None) or [getattr(word, "order", None)]
                for order in orders:
                    assert order is not None and check(order, route, NOW.date()) == (), (bank, word)
                    carried.add(order.id)
        assert carried == {order.id for order in told.orders if order.bank == bank and order.kind != "payment"}


def test_a_slow_bank_gets_fewer_orders() -> None:
    slow = {"sample": BankNeeds(share=0.05)}
    counts = Counter(order.bank for order in write_story(7, 1000, 0, replace(STAGE, manners=slow)).orders)
    assert 10 < counts["sample"] < 100
    assert stage.orders(("sample", "pab")) == stage.orders(trial.banks()) == 1000
    assert stage.orders(("finws",)) < 100


def test_a_letter_that_a_charset_lacks_goes_where_one_is_lacking() -> None:
    told = write_story(7, 1000, 0, replace(STAGE, manners={"pab": BankNeeds(lacks=HAN)}))
    lacking = [order for order in told.orders if order.sort == "character the bank lacks"]
    assert lacking and {order.bank for order in lacking} == {"pab"}
    bodies = [command.body.decode() for command in told.commands if command.order_id in {one.id for one in lacking}]
    assert all(HAN in body for body in bodies)


def test_a_question_that_a_bank_has_not_is_unsupported() -> None:
    told = write_story(
        7, 40, 40, replace(STAGE, manners={"pab": BankNeeds(unanswered=frozenset({"transactions.page"}))})
    )
    asked = {one.order_id: one.expect for one in told.questions}
    assert "unsupported" in asked["pab entries"] and "transactions.page" not in asked["pab entries"]
    assert "transactions.page" in asked["sample entries"]


def test_repeats_are_the_same_order_whatever_their_form(story: Story) -> None:
    prints: dict[str, set[str]] = {}
    messages: Counter[str] = Counter()
    for command in story.commands:
        if command.key == SUBMIT:
            word = commands.parse_command(CommandType.PAYMENT_SUBMIT, command.content_type, command.body)
            if isinstance(word, SubmitOrder):
                prints.setdefault(command.order_id, set()).add(fingerprint.fingerprint(word.order))
                messages[command.order_id] += 1
    for order in story.orders:
        if order.sort in ("twice", "three times"):
            assert messages[order.id] == (2 if order.sort == "twice" else 3)
            assert len(prints[order.id]) == 1
        elif order.sort == "other content":
            assert len(prints[order.id]) == 2


def test_what_cannot_be_read_is_refused_for_the_reason_the_story_expects(story: Story) -> None:
    seen = set()
    for command in story.commands:
        type_ = routing.message_type(command.key, None, command.named_type)
        refused = (
            type_ if isinstance(type_, Refusal) else commands.parse_command(type_, command.content_type, command.body)
        )
        if isinstance(refused, Refusal) and "too_large" not in command.expect:
            assert refused.code.value in command.expect, command.order_id
            seen.add(refused.code.value)
    assert seen == {"unknown_type", "type_conflict", "schema", "malformed"}


def test_huge_is_huge(story: Story) -> None:
    huge = [command for command in story.commands if "too_large" in command.expect]
    assert huge
    assert all(len(command.body) > 1 << 20 for command in huge)


def test_questions_are_questions(story: Story) -> None:
    for question in story.questions:
        word = commands.parse_command(CommandType(question.key), question.content_type, question.body)
        assert isinstance(word, (BalanceQuery, TransactionsQuery, StatusQuery)), word


def test_xml_escapes() -> None:
    body = xml_body("status.query", {"id": "A<&>B"}).decode()
    assert "<id>A&lt;&amp;&gt;B</id>" in body
    assert amount_text(5) == "0.05"
