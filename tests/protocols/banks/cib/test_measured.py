"""Differences that the bank's own samples showed: banks/cib.md 9, item by item. FSTMT is in test_rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from protocols.canon.order import Kind, Urgency
from protocols.canon.outcome import Fate
from protocols.canon.query import FateQuestion, Sent
from tests.protocols.banks.every.bench import FINAL, bundled, sent_of, table


@pytest.mark.parametrize("fault", ["told_to_ask", "not_sent_it_says"])
def test_a_2002_whose_text_leaves_the_outcome_open_is_doubt_and_the_enquiry_decides(fault: str) -> None:
    words = {"told_to_ask": "请于15分钟后查询结果", "not_sent_it_says": "发送指令失败！"}[fault]
    made = table("cib", trouble="2002", trouble_words=words)
    reference = made.reference()
    first = made.pay(made.order(Kind.PAYMENT), reference)
    assert (first.fate, first.listed) == (Fate.UNKNOWN, True)
    assert made.executions(reference) == 1 and made.fate(reference).fate is Fate.SETTLED


@pytest.mark.parametrize(
    ("words", "fate"),
    [
        ("账号与核心户名不符,应为:test1", Fate.FAILED),
        ("收款人户名不符", Fate.FAILED),
        ("已存在任务", Fate.UNKNOWN),
        ("请联系客户经理", Fate.UNKNOWN),
        ("", Fate.UNKNOWN),
        ("TRNUID值已被使用", Fate.DUPLICATE),
    ],
)
def test_the_text_of_a_2002_decides(words: str, fate: Fate) -> None:
    made = table("cib", trouble="2002", trouble_words=words)
    assert made.pay(made.order(Kind.PAYMENT), made.reference()).fate is fate


@pytest.mark.parametrize("kind", bundled("cib"))
def test_no_line_of_a_bundle_ends_by_a_2002_that_nobody_lists(kind: Kind) -> None:
    def open_2002(frame: bytes) -> bytes:
        at = frame.rindex(b"<CODE>0</CODE><SEVERITY>INFO</SEVERITY></STATUS>")
        status = "<CODE>2002</CODE><SEVERITY>ERROR</SEVERITY><MESSAGE>请于15分钟后查询结果</MESSAGE></STATUS>".encode(
            "gbk"
        )
        end = frame.index(b"</SECURITIES_MSGSRSV1>")
        close = frame[frame.rindex(b"</", 0, end) : end]
        body = frame[:at] + status + close + frame[end:]
        http_head, _, document = body.partition(b"\r\n\r\n")
        length = b"Content-Length: %d" % len(document)
        lines = [length if line.lower().startswith(b"content-length") else line for line in http_head.split(b"\r\n")]
        return b"\r\n".join(lines) + b"\r\n\r\n" + document

    again = table("cib")
    again.stage.tamper = open_2002
    bundle, reference = again.bundle(kind, ("货款", "货款"))
    told = again.pay_bundle(bundle, reference)
    assert not {outcome.fate for outcome in told.values()} & FINAL


def fast(options: dict[str, Any], **twin: Any) -> tuple[Fate, bytes]:
    """The fate of an urgent payment by the enquiry that the options choose, and the questions that were asked."""
    made = table("cib", bank_options={"fast_pay": True, **options}, **twin)
    reference, order = made.reference(), made.order(Kind.PAYMENT)
    order = replace(order, urgency=Urgency.URGENT)
    context = made.stage.context(reference)
    sent: Sent = sent_of(order, reference, context.bank_date)
    submit = made.stage.talk(made.bank.money[Kind.PAYMENT](order, context))
    assert submit.fate is Fate.SETTLED
    ask = made.bank.questions.fate
    assert ask is not None
    sent = replace(sent, serials=("ICTRANSFERTRN",))
    told = made.stage.talk(ask(FateQuestion(sent), made.stage.context()))
    return told.fate, made.stage.said[-1].request


@pytest.mark.parametrize("enquiry", ["XFERINQTRN", "ICTRANSFERINQTRN"])
def test_the_enquiry_about_a_fast_payment_is_the_settings_choice(enquiry: str) -> None:
    fate, asked = fast({"fast_enquiry": enquiry})
    assert fate is Fate.SETTLED and f"<{enquiry}RQ>".encode() in asked
    fate, _ = fast({"fast_enquiry": enquiry}, fast_apart=True)
    assert fate is (Fate.SETTLED if enquiry == "ICTRANSFERINQTRN" else Fate.NOT_FOUND)


def test_what_a_payment_was_sent_as_is_written_down_for_its_enquiry() -> None:
    made = table("cib", bank_options={"fast_pay": True})
    for urgency, operation in ((Urgency.URGENT, "ICTRANSFERTRN"), (Urgency.NORMAL, "XFERTRN")):
        order = replace(made.order(Kind.PAYMENT), urgency=urgency)
        step = next(made.bank.money[Kind.PAYMENT](order, made.stage.context(made.reference())))
        assert getattr(step, "serials", None) == (operation,)
