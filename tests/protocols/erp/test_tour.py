"""The tour for ERP developers: the gateway reads its order, and its programs use the contract's names."""

from __future__ import annotations

import json
import re
from pathlib import Path

from protocols.canon.outcome import CORRECTION_EVENT, STATE_TABLE
from protocols.erp.commands import parse_command
from protocols.erp.words import BalanceQuery, CommandType, SubmitOrder

LEARN = Path(__file__).parents[3] / "docs" / "learn"
ENGLISH, CHINESE = ((LEARN / f"erp-developer{zh}.md").read_text("utf-8") for zh in ("", ".zh"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_both_languages_show_the_same_programs() -> None:
    shown = blocks(ENGLISH, "[a-z]*")
    assert len(shown) == 12
    assert blocks(CHINESE, "[a-z]*") == shown


def test_the_order_is_read() -> None:
    (order,) = blocks(ENGLISH, "json")
    assert isinstance(parse_command(CommandType.PAYMENT_SUBMIT, "application/json", order.encode()), SubmitOrder)


def test_the_question_is_read() -> None:
    body = re.search(r"^echo '(.*)' >balance.json$", ENGLISH, re.MULTILINE)
    assert body is not None
    assert isinstance(
        parse_command(CommandType.BALANCE_QUERY, "application/json", body.group(1).encode()), BalanceQuery
    )
    assert json.loads(body.group(1))["max_age"] == "PT30S"


def test_the_python_program_compiles() -> None:
    (program,) = blocks(ENGLISH, "python")
    compile(program, "pay.py", "exec")


def test_every_program_publishes_an_order_as_the_contract_says() -> None:
    for language in ("python", "javascript", "java", "csharp"):
        program = blocks(ENGLISH, language)[0]
        for needed in (
            '"bankgw.commands"',
            '"payment.submit"',
            '"bankgw.events"',
            "payment.*.*.",
            "quorum",
            '"application/json"',
            "seq",
            "final",
        ):
            assert needed in program, f"{language} lacks {needed}"
        lowered = program.lower().replace("_", "")
        for needed in ("userid", "messageid", "replyto", "confirm"):
            assert needed in lowered, f"{language} lacks {needed}"


def test_every_program_ends_when_an_order_is_held_or_nothing_comes() -> None:
    waits = {
        "python": "time.monotonic() + 600",
        "javascript": "}, 600_000);",
        "java": "await(10, TimeUnit.MINUTES)",
        "csharp": "WaitAsync(TimeSpan.FromMinutes(10))",
    }
    for language, wait in waits.items():
        program = blocks(ENGLISH, language)[0]
        assert wait in program, f"{language} waits for ever"
        assert '"held"' in program and "a person decides" in program, f"{language} does not know held orders"


def test_questions_are_put_as_the_contract_says() -> None:
    for language in ("javascript", "java"):
        question = blocks(ENGLISH, language)[1]
        for needed in ('"balance.query"', '"amq.rabbitmq.reply-to"', "userId", '"application/json"', "75"):
            assert needed in question, f"{language} lacks {needed}"


def test_every_event_has_an_advice() -> None:
    events = {facts.event for facts in STATE_TABLE.values() if facts.event and not facts.optional}
    for event in events | {CORRECTION_EVENT}:
        assert f"`{event}`" in ENGLISH
        assert f"`{event}`" in CHINESE


def test_its_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)", ENGLISH + CHINESE):
        assert (LEARN / link).exists(), link
