from __future__ import annotations

from functools import partial

from sqlalchemy import update

from gateway.kernel.commit import outbox
from gateway.kernel.commit.rows import QuestionRow, Reply
from gateway.kernel.sql import schema
from gateway.statements.rows import questions
from tests.gateway.kernel.bench import NOW_MS, Journal, message


def question(id: str, at_ms: int = NOW_MS) -> QuestionRow:
    reply = Reply("erp.replies", "corr", "00-1", "application/xml")
    return QuestionRow(id, "erp", "balance.query", b'{"accounts":["6222"]}', reply, at_ms, at_ms + 30_000)


def test_open_questions_come_back_as_asked_the_oldest_first(journal: Journal) -> None:
    second, first = question("q2", 2), question("q1", 1)
    assert journal.do(lambda tx: questions.ask(tx, second))
    assert journal.do(lambda tx: questions.ask(tx, first))
    assert journal.read(questions.waiting)[0] == [first, second]


def test_a_question_that_comes_twice_is_asked_once(journal: Journal) -> None:
    assert journal.do(lambda tx: questions.ask(tx, question("q")))
    assert not journal.do(lambda tx: questions.ask(tx, question("q")))
    assert len(journal.read(questions.waiting)[0]) == 1
    assert journal.count(schema.audit) == 1


def test_a_question_is_answered_once(journal: Journal) -> None:
    journal.do(lambda tx: questions.ask(tx, question("q")))
    assert journal.do(lambda tx: questions.answer(tx, "q", message("a")))
    assert not journal.do(lambda tx: questions.answer(tx, "q", message("b")))
    assert journal.read(questions.waiting)[0] == []
    assert [mail.message_id for mail in journal.read(lambda conn: outbox.unsent(conn, "n1"))] == ["a"]


def test_a_question_that_cannot_be_opened_keeps_no_other_from_an_answer(journal: Journal) -> None:
    for key in ("q1", "q2", "q3"):
        journal.do(partial(questions.ask, row=question(key)))
    spoil = update(schema.questions).where(schema.questions.c.question == "q2").values(body=b"spoilt")
    journal.do(lambda tx: tx.fresh.execute(spoil).rowcount)
    assert [row.question for row in journal.read(questions.waiting)[0]] == ["q1", "q3"]
    [(lost, why)] = journal.read(questions.waiting)[1].items()
    assert lost == "q2" and "sealed" in why
