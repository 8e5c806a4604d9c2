"""Questions: one answer each, from the bank or from the cache, and pages that neither lose nor repeat a line."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.erp import question_service as answers_module
from gateway.parts import Parts
from gateway.simbank.faults import BankFault, ExchangeKind, FaultPlan
from gateway.statements.rows import questions
from protocols.bank import Bank
from protocols.canon.query import LinesQuestion
from protocols.canon.statement import Page
from tests.world import files
from tests.world.lines import events, lines
from tests.world.world import Life, World

TODAY = "2026-11-18"
_PAB = {"banks": ("pab",)}


def asked(world: World) -> int:
    return world.bank.simbank.tally.exchanges[ExchangeKind.QUESTION]


def ask(world: World, key: str, body: Any, wait_s: float = 5.0, **said: Any) -> dict[str, Any]:
    """The one answer to this question."""
    before = len(world.replies)
    world.command(key, body, **said)
    world.run(wait_s)
    [(_properties, answer)] = world.replies[before:]
    return answer


def balance(world: World, max_age: str = "PT0S", wait_s: float = 5.0, **more: Any) -> dict[str, Any]:
    return ask(world, "balance.query", {"accounts": [world.bank.account], "max_age": max_age, **more}, wait_s)


def code_of(answer: dict[str, Any]) -> str:
    [error] = answer["errors"]
    assert not answer["balances"] and error["resend"] and error["title"]
    code: str = error["code"]
    return code


def bank_with(change: Callable[[Bank], Bank]) -> Callable[[Life, Parts], Parts]:
    def wrap(_life: Life, parts: Parts) -> Parts:
        return replace(parts, banks={name: change(bank) for name, bank in parts.banks.items()})

    return wrap


def open_questions(world: World) -> int:
    return len(files.read_world(world, questions.waiting)[0])


# ---- balances ----


@pytest.mark.parametrize("bank", ["sample", "pab"])
def test_a_balance_comes_from_the_bank(bank: str, tmp_path: Path) -> None:
    world = World(tmp_path, banks=(bank,))
    world.start()
    world.submit("AP-1", 12_345)
    world.run(10)
    [said] = balance(world)["balances"]
    assert said["account"] == world.bank.account and said["currency"] == "CNY" and said["source"] == "bank"
    assert said["available"] == "9999999876.55"
    assert world.replies[-1][0].type == "balance.result" and world.replies[-1][0].correlation_id == "m-2"
    assert not open_questions(world)


def test_an_answer_young_enough_comes_from_memory_and_an_older_one_does_not(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.run(1)
    first = balance(world)
    count = asked(world)
    again = balance(world, "PT30S")
    assert again["balances"][0]["source"] == "cache" and asked(world) == count
    assert again["balances"][0]["as_of"] == first["balances"][0]["as_of"]
    world.run(30)
    assert balance(world, "PT30S")["balances"][0]["source"] == "bank" and asked(world) == count + 1
    assert balance(world, "PT0S")["balances"][0]["source"] == "bank" and asked(world) == count + 2


@pytest.mark.parametrize("skew_s", [-600, 600])
def test_a_bank_whose_clock_is_wrong_gives_no_stale_balance(skew_s: int, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.run(1)
    world.bank.ledger.set_ahead(skew_s * 1000)
    assert balance(world)["balances"]
    count = asked(world)
    assert balance(world, "PT0S")["balances"][0]["source"] == "bank"
    world.run(60)
    assert balance(world, "PT30S")["balances"][0]["source"] == "bank"
    assert asked(world) == count + 2


def test_each_account_has_its_own_answer_or_error(tmp_path: Path) -> None:
    world = World(tmp_path, banks=("sample", "pab"))
    world.start()
    world.run(1)
    world.banks["pab"].reachable = False
    both = [site.account for site in world.banks.values()]
    said = ask(world, "balance.query", {"accounts": both, "max_wait": "PT20S"}, 30)
    assert [one["account"] for one in said["balances"]] == [both[0]]
    assert [(one["account"], one["code"]) for one in said["errors"]] == [(both[1], "bank_unavailable")]


def test_a_bank_that_is_down_is_unavailable_after_max_wait(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.bank.reachable = False
    world.start()
    world.command("balance.query", {"accounts": [world.bank.account], "max_wait": "PT20S"})
    world.run(19)
    assert not world.replies, "until then it may come back"
    world.run(2)
    [(_said, answer)] = world.replies
    assert code_of(answer) == "bank_unavailable" and not open_questions(world)


def test_a_question_that_waited_for_us_too_long_is_expired(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.command(
        "balance.query", {"accounts": [world.bank.account], "max_wait": "PT20S"}, timestamp=round(world.clock.seconds())
    )
    world.run(25)
    world.start()
    world.run(5)
    [(_said, answer)] = world.replies
    assert answer["event"] == "command.rejected" and answer["error"]["code"] == "expired"
    assert asked(world) == 0


def test_a_question_that_outlived_its_life_is_expired_after_the_restart(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.bank.reachable = False
    world.start()
    world.command("balance.query", {"accounts": [world.bank.account], "max_wait": "PT20S"})
    world.run(5)
    world.crash()
    world.run(60)
    world.start()
    world.run(5)
    [(_said, answer)] = world.replies
    assert answer["error"]["code"] == "expired"


def test_a_restart_asks_again_and_answers_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.bank.reachable = False
    world.start()
    world.command("balance.query", {"accounts": [world.bank.account], "max_wait": "PT600S"})
    world.run(5)
    assert open_questions(world) == 1
    for _ in range(3):
        world.crash()
        world.run(1)
        world.start()
        world.run(1)
    assert not world.replies
    world.bank.reachable = True
    world.run(60)
    [(said, answer)] = world.replies
    assert answer["balances"] and said.correlation_id == "m-1"
    assert not open_questions(world) and asked(world) == 1


def test_an_orderly_stop_leaves_the_question_to_the_next_life(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.bank.reachable = False
    world.start()
    world.command("balance.query", {"accounts": [world.bank.account], "max_wait": "PT600S"})
    world.run(5)
    world.leave()
    world.run(1)
    assert not world.replies and open_questions(world) == 1
    world.bank.reachable = True
    world.start()
    world.run(60)
    [(_said, answer)] = world.replies
    assert answer["balances"] and not open_questions(world)


def test_the_same_question_twice_at_once_has_two_answers(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    for _ in range(2):
        world.command("balance.query", {"accounts": [world.bank.account]}, message_id="same")
    world.run(5)
    assert len(world.replies) == len({said.message_id for said, _body in world.replies}) == 2


@pytest.mark.parametrize("key", ["balance.query", "transactions.query"])
def test_what_the_bank_does_not_offer_is_unsupported(key: str, tmp_path: Path) -> None:
    def mute(bank: Bank) -> Bank:
        return replace(bank, questions=replace(bank.questions, balance=None, lines=None))

    world = World(tmp_path, wrap=bank_with(mute))
    world.start()
    if key == "balance.query":
        assert code_of(balance(world)) == "unsupported"
    else:
        said = ask(world, key, {"account": world.bank.account, "from": TODAY, "to": TODAY})
        assert said["error"]["code"] == "unsupported" and said["command"] == key


def test_a_balance_answer_that_cannot_be_used_is_unclear_and_not_kept(tmp_path: Path) -> None:
    from protocols.kit.errors import ProtocolError

    broken = [True]

    def change(bank: Bank) -> Bank:
        honest = bank.questions.balance
        assert honest is not None

        def spoiled(question: Any, context: Any) -> Any:
            answer = yield from honest(question, context)
            if broken[0]:
                raise ProtocolError("digest", "one byte differs")
            return answer

        return replace(bank, questions=replace(bank.questions, balance=spoiled))

    with lines() as heard:
        world = World(tmp_path, wrap=bank_with(change))
        life = world.start()
        world.run(1)
        assert code_of(balance(world, "PT60S")) == "bank_unclear"
    assert life.sample("bankgw_signature_failures_total", bank="sample") == 1
    assert [line["reason"] for line in events(heard, "bank.bad_answer")] == ["digest"]
    broken[0] = False
    world.run(30)
    assert balance(world, "PT60S")["balances"][0]["source"] == "bank"


def test_a_question_in_xml_is_answered_in_xml(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    body = f'<balance.query xmlns="urn:bankgw:1"><accounts><item>{world.bank.account}</item></accounts></balance.query>'
    said = ask(world, "balance.query", body.encode(), content_type="application/xml")
    assert f"<account>{world.bank.account}</account>" in said["xml"]
    assert world.replies[0][0].content_type == "application/xml"


# ---- entries ----


def page(
    world: World, limit: int = 500, after: str | None = None, first: str = TODAY, wait_s: float = 8, **more: Any
) -> dict[str, Any]:
    body = {"account": world.bank.account, "from": first, "to": TODAY, "limit": limit, "after": after, **more}
    return ask(world, "transactions.query", body, wait_s)


def walked(world: World, limit: int) -> tuple[list[dict[str, Any]], int]:
    """All lines, read by following `next`, and the number of pages."""
    found: list[dict[str, Any]] = []
    after, pages = None, 0
    while True:
        said = page(world, limit, after)
        assert len(said["lines"]) <= limit
        found += said["lines"]
        pages += 1
        after = said.get("next")
        assert said["complete"] is (after is None)
        if after is None:
            return found, pages
        assert len(said["lines"]) == limit, "only the last page may be short"


BANKS = [
    pytest.param({}, id="sample"),
    pytest.param({**_PAB, "bank_options": {"page_lines": 30, "today_lines": "4013"}}, id="pab-4013"),
    pytest.param({**_PAB, "bank_options": {"page_lines": 30, "today_lines": "4008"}}, id="pab-4008"),
]


@pytest.mark.parametrize("options", BANKS)
def test_walking_in_pages_of_any_size_gives_every_line_once_and_in_order(
    options: dict[str, Any], tmp_path: Path
) -> None:
    world = World(tmp_path, **options)
    world.start()
    world.run(1)
    for n in range(130):
        world.submit(f"AP-{n}", 1_000 + n)
    world.run(30)
    everything = page(world)
    assert everything["complete"] and "next" not in everything
    lines_of = [line["line"] for line in everything["lines"]]
    assert len(lines_of) == len(set(lines_of)) == 130
    amounts = sorted(line["amount"] for line in everything["lines"])
    assert amounts == sorted(f"{(1_000 + n) / 100:.2f}" for n in range(130))
    for limit in (130, 49, 7):
        found, pages = walked(world, limit)
        assert [line["line"] for line in found] == lines_of, f"pages of {limit}"
        assert pages == -(-130 // limit)


def test_a_line_names_the_payment_it_belongs_to(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.submit("AP-1", 777)
    world.run(5)
    [line] = page(world)["lines"]
    assert line["matched_payment"] == world.last("AP-1")["payment"]
    assert (line["direction"], line["amount"]) == ("debit", "7.77")


def test_a_day_without_entries_is_an_empty_complete_page(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    said = page(world)
    assert said["lines"] == [] and said["complete"] is True


@pytest.mark.parametrize("spoil", ["flip", "cut", "foreign", "account", "dates", "sender"])
def test_a_cursor_that_is_not_this_questions_own_never_reaches_the_bank(spoil: str, tmp_path: Path) -> None:
    other = {"users": ["other-user"], "operations": ["transactions.query"], "reply_to": r"erp-demo\..*"}
    accounts = [
        {"number": number, "name": "示例甲公司", "company": "jia", "bank": "sample"}
        for number in ("00000000000100", "00000000000999")
    ]
    world = World(tmp_path, settings={"senders": {"other": other}, "accounts": accounts})
    world.start()
    for n in range(5):
        world.submit(f"AP-{n}")
    world.run(10)
    good = page(world, 2)["next"]
    count = asked(world)
    data = bytearray(base64.urlsafe_b64decode(good + "=" * (-len(good) % 4)))
    data[-1] ^= 1
    body = {"account": world.bank.account, "from": TODAY, "to": TODAY, "limit": 2, "after": good}
    said: dict[str, Any] = {}
    if spoil == "flip":
        body["after"] = base64.urlsafe_b64encode(bytes(data)).rstrip(b"=").decode()
    elif spoil == "cut":
        body["after"] = good[:-4]
    elif spoil == "foreign":
        body["after"] = base64.urlsafe_b64encode(b"0" * 16 + b"[null,3]").rstrip(b"=").decode()
    elif spoil == "account":
        body["account"] = "00000000000999"
    elif spoil == "dates":
        body["from"] = "2026-11-17"
    else:
        said = {"user": "other-user"}
    answer = ask(world, "transactions.query", body, **said)
    assert answer["error"]["code"] == "bad_cursor" and asked(world) == count
    assert len(page(world, 2, good)["lines"]) == 2, "the good one still works"


def test_days_the_bank_no_longer_knows_are_refused_with_the_limit(tmp_path: Path) -> None:
    world = World(tmp_path, banks=("pab",))
    world.start()
    said = page(world, first="2026-01-01")
    [fault] = said["error"]["errors"]
    assert said["error"]["code"] == "validation"
    assert (fault["at"], fault["code"], fault["limit"]) == ("/from", "date_range", 90)
    assert asked(world) == 0


def test_a_continuation_that_does_not_end_is_unclear_and_ends_here(tmp_path: Path) -> None:
    def looping(bank: Bank) -> Bank:
        honest = bank.questions.lines
        assert honest is not None

        def lines_of(question: LinesQuestion, context: Any) -> Any:
            page: Page = yield from honest(replace(question, cursor=None), context)
            return replace(page, cursor="again")

        return replace(bank, questions=replace(bank.questions, lines=lines_of))

    world = World(tmp_path, wrap=bank_with(looping))
    world.start()
    world.run(1)
    said = page(world, wait_s=60)
    assert said["error"]["code"] == "bank_unclear" and asked(world) == 2


def test_entries_of_a_bank_that_is_down_are_unavailable(tmp_path: Path) -> None:
    world = World(tmp_path, plan=FaultPlan("1", {BankFault.PROBE_SILENCE: 1.0}))
    world.start()
    said = page(world, max_wait="PT10S", wait_s=12)
    assert said["error"]["code"] == "bank_unavailable"


def test_our_own_defect_is_answered_internal_and_the_next_question_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_args: object) -> None:
        raise ZeroDivisionError("planted")

    with lines() as heard:
        world = World(tmp_path)
        life = world.start()
        world.submit("AP-1")
        world.run(5)
        monkeypatch.setattr(answers_module, "ours", breaks)
        said = page(world)
        monkeypatch.undo()
        assert len(page(world)["lines"]) == 1
    assert said["error"]["code"] == "internal" and "planted" not in str(said)
    assert len(events(heard, "question.defect")) == 1
    assert not open_questions(world) and not life.fatal


def test_a_defect_outside_the_banks_answer_is_answered_internal_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_args: object) -> None:
        raise ZeroDivisionError("planted")

    world = World(tmp_path)
    life = world.start()
    world.run(5)
    monkeypatch.setattr(answers_module.QuestionService, "_balances_of", breaks)
    world.command("balance.query", {"accounts": [world.bank.account]})
    world.run(5)
    [(_said, answer)] = world.replies
    assert answer["error"]["code"] == "internal" and not open_questions(world) and not life.fatal
