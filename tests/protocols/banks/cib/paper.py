"""Fixtures for the tests of cib: a stage with books, hand-written messages from the bank's page, and a reader."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, TypeVar

from lxml import etree

from gateway.simbank.ledger import CHINA, BookingRules, Ledger, LedgerAccount
from protocols.bank import Ask, Bank, Context, Submit
from protocols.banks import cib
from protocols.banks.cib import twin
from protocols.canon.money import Money
from protocols.canon.order import (
    AnyOrder,
    BatchItemDetail,
    Bundle,
    CollectionDetail,
    Item,
    Kind,
    Order,
    PaymentDetail,
    PayrollItemDetail,
)
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import FateQuestion, Sent, SentBundle
from protocols.kit import http
from tests.world.dialogue import BankAndTwin, BankTime

R = TypeVar("R")
NOON = datetime(2025, 1, 8, 12, tzinfo=CHINA)
TODAY = NOON.date()
DEBTOR, CREDITOR, CENTRE = "000000000000000017", "0000000000000025", "000000000000000033"
REFERENCE, BUNDLE = "CIB20250108000000001", "CIB2025010800000B001"
CUSTOMER, SECRETS = "1100000001", {"user": "erp01", "password": "secret"}
BASE: Mapping[str, Any] = {"customer": CUSTOMER, "probe_account": DEBTOR}
RICH: Mapping[str, Any] = {
    **BASE,
    "city": "福州",
    "cities": {"105345": "台州"},
    "fund_account": CENTRE,
    "firm_code": "0001",
    "collection_code": "00100",
    "statement_reference": "BIZREF",
    "receipt_path": "/receipt/{file_id}",
}


def bank(**options: Any) -> Bank:
    """The adapter under test."""
    return cib.build({**RICH, **options})


def stage(
    options: Mapping[str, Any] | None = None,
    accounts: Sequence[LedgerAccount] | None = None,
    conduct: BookingRules = BookingRules(),
    **faults: Any,
) -> BankAndTwin:
    """The adapter and the bank's side with three accounts, at noon."""
    time = BankTime(NOON)
    kept = accounts or [
        LedgerAccount(DEBTOR, "甲公司", Money(1_000_000_00)),
        LedgerAccount(CREDITOR, "乙公司", Money(0)),
        LedgerAccount(CENTRE, "甲集团", Money(5_000_00)),
    ]
    side = twin.build(
        {"customer": CUSTOMER, **SECRETS, "receipt_path": "/receipt/{file_id}", "reference_in": "BIZREF", **faults}, {}
    )
    return BankAndTwin(bank(**(options or {})), side, Ledger(time.now_ms, kept, conduct), time, {}, SECRETS)


def payment(**changes: Any) -> Order[PaymentDetail]:
    """The sample payment of the bank's page."""
    sample = Order(
        "ERP-1",
        Party(AccountNumber(DEBTOR), Name("甲公司")),
        Party(AccountNumber(CREDITOR), Name("乙公司"), "中国建设银行台州分行", "105345000001"),
        Money(1_024_50),
        PaymentDetail(),
        purpose="货款",
    )
    return replace(sample, **changes)


def line(number: int, kind: Kind = Kind.BATCH_ITEM, amount: str = "10.00", **creditor: Any) -> AnyOrder:
    """A line of a batch."""
    other = Party(
        AccountNumber(creditor.get("account", f"00000000000001{number:02d}")),
        Name(creditor.get("name", "示例丙")),
        creditor.get("bank_name", "中国工商银行"),
        creditor.get("cnaps", "102100099996"),
    )
    ours, money = Party(AccountNumber(DEBTOR), Name("甲公司")), Money.parse(amount)
    if kind is Kind.COLLECTION:
        return Order(f"E{number}", other, ours, money, CollectionDetail(f"A-{number}", "B", number), "电费")
    if kind is Kind.PAYROLL_ITEM:
        detail = PayrollItemDetail("B", number, creditor.get("purpose_code"))
        return Order(f"E{number}", ours, other, money, detail, "工资")
    return Order(f"E{number}", ours, other, money, BatchItemDetail("B", number), "货款")


def bundle(*lines: AnyOrder) -> Bundle:
    """A batch of lines, each with a reference."""
    return Bundle(lines[0].kind, tuple(Item(one, item_reference(n)) for n, one in enumerate(lines, start=1)))


def item_reference(number: int) -> str:
    """The reference of a bundle's line."""
    return f"CIB20250108ITEM{number:05d}"


def sent(order: AnyOrder | None = None, reference: str = REFERENCE, attempt: int = 1) -> Sent:
    """The record of a payment before it was sent."""
    given = order or payment()
    return Sent(reference, TODAY, attempt, (), given.amount, given.debtor.account, given.creditor.account)


def sent_bundle(given: Bundle, reference: str = BUNDLE) -> SentBundle:
    """The record of a bundle before it was sent."""
    return SentBundle(reference, TODAY, 1, (), tuple(sent(item.order, item.reference) for item in given.items))


def question(order: AnyOrder | None = None, reference: str = REFERENCE) -> FateQuestion:
    """The enquiry after a payment."""
    return FateQuestion(sent(order, reference))


def context(
    reference: str = REFERENCE, today: date = TODAY, secrets: Mapping[str, str] = {}, attempt: int = 1
) -> Context:
    """A conversation's context, as a lane makes it; its questions have the numbers Q…0001 and Q…0002."""
    now = datetime.combine(today, NOON.timetz())
    return Context(reference, attempt, today, now, (1, 2), {**SECRETS, **secrets})


QUERY, QUERY_2 = f"Q{1:020d}", f"Q{2:020d}"


def body_of(step: object) -> str:
    """The document in a step's request."""
    assert isinstance(step, (Ask, Submit))
    request = http.parse_request(step.data)
    return request.body.decode("gbk")


def http_answer(document: str | bytes, status: int = 200) -> bytes:
    """An HTTP frame with this document."""
    body = document if isinstance(document, bytes) else document.encode("gb18030")
    return (
        b"HTTP/1.1 %d OK\r\nContent-Type: application/x-fox\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body
    )


SIGNED_ON = (
    "<SIGNONMSGSRSV1><SONRS><STATUS><CODE>0</CODE><SEVERITY>INFO</SEVERITY></STATUS>"
    "<DTSERVER>2025-01-08 09:30:01</DTSERVER></SONRS></SIGNONMSGSRSV1>"
)


def fox(operation: str, trnuid: str, content: str, code: str = "0", words: str = "") -> bytes:
    """A whole answer of the bank, written by hand from the page."""
    message = f"<MESSAGE>{words}</MESSAGE>" if words else ""
    status = f"<STATUS><CODE>{code}</CODE><SEVERITY>{'INFO' if code == '0' else 'ERROR'}</SEVERITY>{message}</STATUS>"
    return http_answer(
        '<?xml version="1.0" encoding="GBK" standalone="yes"?>\n'
        f"<FOX>{SIGNED_ON}<SECURITIES_MSGSRSV1><{operation}RS><TRNUID>{trnuid}</TRNUID>{status}{content}"
        f"</{operation}RS></SECURITIES_MSGSRSV1></FOX>"
    )


def refused_log_on(code: str = "15500", words: str = "登录失败") -> bytes:
    """An answer that stops at the log-on."""
    return http_answer(
        f"<FOX><SIGNONMSGSRSV1><SONRS><STATUS><CODE>{code}</CODE><SEVERITY>ERROR</SEVERITY><MESSAGE>{words}</MESSAGE>"
        "</STATUS><DTSERVER>2025-01-08 09:30:01</DTSERVER></SONRS></SIGNONMSGSRSV1></FOX>"
    )


INFO = (
    f"<XFERINFO><ACCTFROM><ACCTID>{DEBTOR}</ACCTID><NAME>甲公司</NAME></ACCTFROM>"
    f'<ACCTTO INTERBANK="N" LOCAL="N"><ACCTID>{CREDITOR}</ACCTID><NAME>乙公司</NAME></ACCTTO><CHEQUENUM/>'
    "<CURSYM>RMB</CURSYM><TRNAMT>1024.50</TRNAMT><PURPOSE>货款</PURPOSE><DTDUE/><MEMO>PO-77</MEMO></XFERINFO>"
)


def processed(word: str, words: str = "交易成功") -> str:
    """XFERPRCSTS."""
    return (
        f"<XFERPRCSTS><XFERPRCCODE>{word}</XFERPRCCODE><DTXFERPRC>2025-01-08 09:30:02</DTXFERPRC>"
        f"<MESSAGE>{words}</MESSAGE></XFERPRCSTS>"
    )


def paid(word: str = "PAYOUT", words: str = "交易成功", info: str = INFO, reference: str = REFERENCE) -> bytes:
    """The page's answer to a payment."""
    content = (
        f"<XFERRS><SRVRID>006014120001</SRVRID>{info}{processed(word, words)}"
        f"<CLIENTREF>{reference}</CLIENTREF></XFERRS>"
    )
    return fox("XFERTRN", reference, content)


def refused(code: str, words: str, operation: str = "XFERTRN", reference: str = REFERENCE) -> bytes:
    """The page's refusal of a payment: it has only a status."""
    return fox(operation, reference, "", code, words)


def told(word: str = "PAYOUT", words: str = "交易成功", info: str = INFO, trnuid: str = QUERY) -> bytes:
    """The page's answer to an enquiry."""
    row = f"<XFER><SRVRTID>006014120001</SRVRTID>{info}{processed(word, words)}</XFER>"
    content = f'<XFERINQRS><XFERLIST MORE="N"><FROM>1</FROM><TO>1</TO>{row}</XFERLIST></XFERINQRS>'
    return fox("XFERINQTRN", trnuid, content)


def core(result: str, status: str = "", reason: str = "", inside: str = "N") -> bytes:
    """The core system's answer, as in its samples: with SRVRID inside XFERINFO, without CLIENTREF."""
    info = INFO.replace("<XFERINFO>", "<XFERINFO><SRVRID>006014120001</SRVRID>")
    info = info.replace('INTERBANK="N"', f'INTERBANK="{inside}"')
    more = "".join(f"<{tag}>{said}</{tag}>" for tag, said in (("CORESTATUS", status), ("CORECLM", reason)) if said)
    return fox("INQSTATETRN", QUERY_2, f"<TXNSTATERS>{info}<CORERESULT>{result}</CORERESULT>{more}</TXNSTATERS>")


def finish(conversation: Generator[Any, bytes, R], *answers: bytes) -> R:
    """Run a conversation with these answers, in their order. It must need exactly as many."""
    next(conversation)
    try:
        for answer in answers:
            conversation.send(answer)
    except StopIteration as end:
        result: R = end.value
        return result
    raise AssertionError("the conversation wants another answer")


def pay(answer: bytes, order: AnyOrder | None = None, **options: Any) -> Any:
    """The adapter's outcome of this answer to the sample payment."""
    given = order or payment()
    return finish(bank(**options).money[given.kind](given, context()), answer)


def ask(*answers: bytes, **options: Any) -> Any:
    """The adapter's outcome of these answers to the enquiry about it."""
    fate = bank(**options).questions.fate
    assert fate is not None
    return finish(fate(question(), context()), *answers)


Change = Callable[[bytes], bytes]


def show(frame: bytes) -> tuple[str, Mapping[str, str]]:
    """A frame as a bank's engineer reads it: operation or code, and every leaf and attribute by its path."""
    head, _, body = frame.partition(b"\r\n\r\n")
    is_answer, shown = head.startswith(b"HTTP/"), {"(首行)": head.split(b"\r\n")[0].decode()}
    if not body or body.startswith((b"%PDF", b"PK")):
        return (head.split(b" ")[1] if is_answer else head.split(b" ")[0]).decode(), shown
    root = etree.fromstring(body.decode("gb18030").partition("?>")[2] or body.decode("gb18030"))
    sign_on = root[0][0]
    _flatten(sign_on, "", shown, "log-on/")
    if len(root) < 2:
        return sign_on.findtext("STATUS/CODE") or "", shown
    operation = root[1][0]
    _flatten(operation, "", shown, "")
    return (operation.findtext("STATUS/CODE") or "") if is_answer else str(operation.tag), shown


def _flatten(parent: etree._Element, path: str, shown: dict[str, str], prefix: str) -> None:
    places: dict[str, int] = {}
    for child in parent:
        tag = str(child.tag)
        places[tag] = places.get(tag, 0) + 1
        here = f"{path}/{tag}" if path else tag
        if len(parent.findall(tag)) > 1:
            here += f".{places[tag]}"
        shown |= {f"{prefix}{here}@{key!s}": str(value) for key, value in child.attrib.items()}
        if len(child):
            _flatten(child, here, shown, prefix)
            continue
        rows = [row for row in (child.text or "").split("\n") if row.strip()]
        shown[prefix + here] = (child.text or "").strip()
        if "|" in (child.text or ""):
            shown |= {f"{prefix}{here}.{number}": row for number, row in enumerate(rows, start=1)}
