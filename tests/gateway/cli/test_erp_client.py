"""How `bankgw send` recognises a body, and how it reads the answers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import erp_client, exit_codes
from gateway.cli.commands.send import _short, _verdict
from protocols.canon.outcome import State
from protocols.erp.words import CommandType

AT = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        (b'{"amount": "1.00", "creditor": {}}', CommandType.PAYMENT_SUBMIT),
        (b'{"accounts": []}', CommandType.BALANCE_QUERY),
        (b'{"account": "1", "from": "x"}', CommandType.TRANSACTIONS_QUERY),
        (b'{"id": "AP-1"}', None),
        (b'{"payment": "01KA5V3Q8ZJ4M2N7R9T6W0XYBC"}', None),
        (b'{"id": "AP-1", "reason": "late"}', None),
        (b'{"account": "1", "to": "x"}', CommandType.RECONCILIATION_QUERY),
        (b'{"id": "JZ-1", "account": "1", "from": "x", "to": "y", "part": 1, "parts": 1}', CommandType.LEDGER_SUBMIT),
        # Fields that a batch and a payroll share do not decide between them.
        (b'{"debtor": {}, "items": [{"creditor": {"account": "1", "name": "x", "cnaps": "1"}}]}', None),
        (b'{"debtor": {}, "agreement": "1", "items": [{"creditor": {"account": "1", "kind": "person"}}]}', None),
        (b'{"debtor": {}, "items": [{"creditor": {"account": "1", "document": "1"}}]}', CommandType.PAYROLL_SUBMIT),
        (b'{"debtor": {}, "items": 5}', None),
        (b'{"debtor": {}, "items": [5, {"creditor": 6}]}', None),
        (b"[1]", None),
        (b"{", None),
        (b'<?xml version="1.0"?><payment.submit xmlns="urn:bankgw:1"/>', CommandType.PAYMENT_SUBMIT),
        (b'<b:balance.query xmlns:b="urn:bankgw:1"/>', CommandType.BALANCE_QUERY),
        (b"<nonsense/>", None),
    ],
)
def test_a_body_tells_its_command(body: bytes, type_: CommandType | None) -> None:
    assert erp_client.guess_type(body) is type_


EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "lookup" / "contract" / "examples"
# Bodies that fit several commands, so that a person must name the command.
AMBIGUOUS = {"status.query", "status.query+payment", "payment.cancel", "ledger.withdraw"}


@pytest.mark.parametrize("kind", list(CommandType))
def test_every_commands_example_tells_its_command_or_none(kind: CommandType) -> None:
    files = sorted(file for file in EXAMPLES.glob(f"{kind.value}*.*") if file.stem.partition("+")[0] == kind.value)
    assert len(files) >= 2
    for file in files:
        guess = erp_client.guess_type(file.read_bytes())
        if kind is CommandType.PAYMENT_VALIDATE and file.suffix == ".json":
            assert guess is CommandType.PAYMENT_SUBMIT, "a rehearsal has the body of what it rehearses"
            continue
        assert guess is kind or (guess is None and file.suffix == ".json" and file.stem in AMBIGUOUS), file.name


def heard(event: str, state: str | None, seq: int = 1, **said: Any) -> erp_client.ReceivedMessage:
    told = {} if state is None else {"state": state}
    return erp_client.ReceivedMessage(AT, event, {"event": event, "seq": seq, **told, **said}, b"")


@pytest.mark.parametrize(
    ("question", "messages", "code"),
    [
        (False, [], exit_codes.UNAVAILABLE),
        (False, [heard("payment.accepted", "accepted")], exit_codes.IN_DOUBT),
        (
            False,
            [heard("payment.accepted", "accepted"), heard("payment.settled", "settled", 2, final=True)],
            exit_codes.OK,
        ),
        (
            False,
            [heard("payment.settled", "settled", 3, final=True), heard("payment.in_doubt", "in_doubt", 2)],
            exit_codes.OK,
        ),
        (
            False,
            [heard("payment.accepted", "accepted"), heard("payment.failed", "failed", 2, final=True)],
            exit_codes.FAILED,
        ),
        (False, [heard("payment.rejected", "rejected", error={}, final=True)], exit_codes.FAILED),
        (False, [heard("payment.accepted", "accepted"), heard("payment.held", "held", 2)], exit_codes.REFUSED),
        (False, [heard("payment.accepted", "accepted"), heard("payment.in_doubt", "in_doubt", 2)], exit_codes.IN_DOUBT),
        (
            False,
            [heard("payment.settled", "settled", 2, final=True), heard("payment.returned", "returned", 3, final=True)],
            exit_codes.FAILED,
        ),
        (True, [heard("balance.result", None)], exit_codes.OK),
        (True, [heard("balance.rejected", None, error={})], exit_codes.FAILED),
        (True, [], exit_codes.UNAVAILABLE),
    ],
)
def test_exit_codes_say_what_became_of_it(
    question: bool, messages: list[erp_client.ReceivedMessage], code: int
) -> None:
    kind = CommandType.BALANCE_QUERY if question else CommandType.PAYMENT_SUBMIT
    assert _verdict(kind, messages, 1.0) == code


def test_the_highest_number_wins() -> None:
    assert erp_client.last_state([heard("a", "settled", 3), heard("b", "in_doubt", 2)]) is State.SETTLED
    assert erp_client.last_state([heard("a", None)]) is None


@pytest.mark.parametrize(
    ("one", "final"),
    [
        (heard("payment.settled", "settled", final=True), True),
        (heard("payment.accepted", "accepted", final=False), False),
        (heard("balance.result", None), True),
        (heard("payment.rejected", None, error={"code": "schema"}), True),
    ],
)
def test_what_ends_the_waiting(one: erp_client.ReceivedMessage, final: bool) -> None:
    assert one.ends(CommandType.PAYMENT_SUBMIT) is final


@pytest.mark.parametrize(
    ("one", "over"),
    [
        (heard("batch.accepted", None, final=False), False),
        (heard("batch.accepted", None, final=True), True),
        (heard("batch.rejected", None, error={"code": "schema"}), True),
        (heard("batch.completed", None, 2, final=True), True),
        # Each item has a final state of its own; a rejected one also has an error.
        (heard("payment.settled", "settled", 2, final=True), False),
        (heard("payment.rejected", "rejected", error={}, final=True), False),
    ],
)
def test_a_batch_is_over_when_it_says_so_itself(one: erp_client.ReceivedMessage, over: bool) -> None:
    for kind in (CommandType.BATCH_SUBMIT, CommandType.PAYROLL_SUBMIT, CommandType.COLLECTION_SUBMIT):
        assert one.ends(kind) is over


def taken(*states: str) -> erp_client.ReceivedMessage:
    items = [{"id": f"I-{n}", "seq": 1, "state": state} for n, state in enumerate(states, 1)]
    return heard("batch.accepted", None, final=False, items=items, count=len(items))


def completed(**shares: int) -> erp_client.ReceivedMessage:
    return heard(
        "batch.completed",
        None,
        2,
        final=True,
        states=[{"state": state, "count": count, "sum": "1.00"} for state, count in shares.items()],
    )


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], exit_codes.UNAVAILABLE),
        ([taken("ready", "ready"), completed(settled=2)], exit_codes.OK),
        ([completed(settled=2), taken("ready", "ready")], exit_codes.OK),
        ([taken("ready", "ready"), completed(settled=1, failed=1)], exit_codes.FAILED),
        ([taken("ready", "held"), heard("payment.settled", "settled", 2, id="I-1", final=True)], exit_codes.REFUSED),
        ([taken("ready", "held"), heard("payment.in_doubt", "in_doubt", 2, id="I-1")], exit_codes.IN_DOUBT),
        ([taken("ready", "ready"), heard("payment.settled", "settled", 2, id="I-1", final=True)], exit_codes.IN_DOUBT),
        ([heard("batch.rejected", None, error={"code": "validation"})], exit_codes.FAILED),
        ([heard("payment.settled", "settled", 2, id="I-1", final=True)], exit_codes.IN_DOUBT),
        ([heard("batch.accepted", None, final=True, states=[{"state": "settled", "count": 2}])], exit_codes.OK),
    ],
)
def test_exit_codes_say_what_became_of_a_batch(messages: list[erp_client.ReceivedMessage], code: int) -> None:
    assert _verdict(CommandType.BATCH_SUBMIT, messages, 1.0) == code


def test_an_items_older_word_does_not_outweigh_its_newer_one() -> None:
    said = erp_client.batch_standing(
        [
            heard("payment.settled", "settled", 3, id="I-1"),
            heard("payment.in_doubt", "in_doubt", 2, id="I-1"),
            taken("ready"),
        ]
    )
    assert said is not None and said.states == {"I-1": State.SETTLED}


def test_words_of_different_items_are_not_taken_for_one() -> None:
    one, other = heard("payment.settled", "settled", 2, id="I-1"), heard("payment.settled", "settled", 2, id="I-2")
    assert not erp_client._same(one, other)
    assert erp_client._same(one, heard("payment.settled", "settled", 2, id="I-1"))


@pytest.mark.parametrize(
    ("kind", "messages", "code"),
    [
        (CommandType.STATEMENT_REQUEST, [heard("statement.ready", None)], exit_codes.OK),
        (CommandType.RECEIPT_REQUEST, [heard("command.rejected", None, error={"code": "expired"})], exit_codes.FAILED),
        (CommandType.TRANSFER_SUBMIT, [heard("payment.settled", "settled", 2, final=True)], exit_codes.OK),
        (CommandType.PAYMENT_CANCEL, [heard("status.result", "cancelled", final=True)], exit_codes.OK),
        (CommandType.PAYMENT_CANCEL, [heard("command.rejected", None, error={"code": "too_late"})], exit_codes.FAILED),
        (CommandType.PAYMENT_VALIDATE, [heard("payment.validated", None, would="ready")], exit_codes.OK),
        (CommandType.PAYMENT_VALIDATE, [heard("payment.validated", None, would="held")], exit_codes.REFUSED),
        (
            CommandType.PAYMENT_VALIDATE,
            [heard("payment.validated", None, would="rejected", error={})],
            exit_codes.FAILED,
        ),
        (
            CommandType.PAYMENT_VALIDATE,
            [heard("command.rejected", None, error={"code": "not_allowed"})],
            exit_codes.FAILED,
        ),
    ],
)
def test_exit_codes_of_other_commands(kind: CommandType, messages: list[erp_client.ReceivedMessage], code: int) -> None:
    assert messages[-1].ends(kind)
    assert _verdict(kind, messages, 1.0) == code


def test_a_receipts_bytes_are_not_poured_over_the_screen() -> None:
    said = _short({"pages": 1, "data": "QUJD" * 1000, "lines": [{"text": "x"}]})
    assert said["data"].startswith("QUJD") and len(said["data"]) < 200 and "4000 characters" in said["data"]
    assert (said["pages"], said["lines"]) == (1, [{"text": "x"}])


def test_answers_in_xml() -> None:
    said = erp_client._xml_fields(b'<r xmlns="urn:bankgw:1"><state>settled</state><final>true</final><x><y/></x></r>')
    assert said == {"state": "settled", "final": True}
    batch = erp_client._xml_fields((EXAMPLES / "batch.accepted.xml").read_bytes())
    assert batch["final"] is False and [one["state"] for one in batch["items"]] == ["ready", "held", "ready"]
    standing = erp_client.batch_standing([erp_client.ReceivedMessage(AT, "batch.accepted", batch, b"")])
    assert standing is not None and standing.shares == {State.HELD: 1, State.READY: 2}
    assert "error" in erp_client._xml_fields((EXAMPLES / "batch.rejected.xml").read_bytes())
    assert erp_client._xml_fields(b"<") == {}


def test_an_order_taken_before_is_followed_by_its_payment() -> None:
    repeat = heard("payment.accepted", "pending", 3, replayed=True, payment="P1", final=False)
    assert repeat.is_repeat and not repeat.ends(CommandType.PAYMENT_SUBMIT)
    assert not heard("payment.settled", "settled", 4, payment="P1").about.isdisjoint(repeat.about)
    assert heard("payment.settled", "settled", 4, payment="P2").about.isdisjoint(repeat.about)
    assert not heard("payment.accepted", "accepted", payment="P1").is_repeat
