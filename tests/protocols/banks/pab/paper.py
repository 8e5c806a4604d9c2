"""Simple books for a twin, and a function that runs a conversation with the twin in memory; the test controls both."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from typing import Any, TypeVar

from protocols.bank import Ask, Bank, Context, Submit
from protocols.banks import pab
from protocols.canon.money import Money
from protocols.canon.order import Channel, Order, PaymentDetail, Urgency
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import FateQuestion, Sent
from protocols.canon.statement import Direction
from protocols.twin import Booked, Booking, Duplicate, DuplicateBundle, Entry, Holding, Instruction, Twin

R = TypeVar("R")
ZONE = timezone(timedelta(hours=8))
NOON = datetime(2025, 1, 2, 12, 0, 0, tzinfo=ZONE)
TODAY = NOON.date()
DEBTOR, CREDITOR = "00000000000017", "0000000000000000025"
ENTERPRISE = "00000000000000000017"
REFERENCE = "GW000000000000000001"


@dataclass
class PaperBooks:
    """Books that decide as the test says: `plan` gives the state of a new instruction."""

    at: datetime = NOON
    plan: Booked = Booked.TAKEN
    fee: Money | None = None
    bookings: dict[str, Booking] = field(default_factory=dict)
    bundles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    lines: list[Entry] = field(default_factory=list)
    holdings: dict[str, Holding] = field(default_factory=dict)
    next_serial: int = 1

    def now(self) -> datetime:
        return self.at

    def machine_now(self) -> datetime:
        return self.at

    def book_once(self, instruction: Instruction) -> Booking:
        known = self.bookings.get(instruction.reference)
        if known is not None:
            raise Duplicate(known)
        serial = f"{self.serial():022d}"
        booking = Booking(instruction, self.plan, serial, self.at, self.at.date(), self.fee)
        self.bookings[instruction.reference] = booking
        return booking

    def find(self, reference: str) -> Booking | None:
        return None if reference in self.hidden else self.bookings.get(reference)

    def becomes(self, reference: str, booked: Booked, **changes: Any) -> None:
        """Set the state of a booking."""
        self.bookings[reference] = replace(self.bookings[reference], booked=booked, **changes)

    def returns(self, account: str, first: date, last: date) -> tuple[Booking, ...]:
        return tuple(
            one
            for one in self.bookings.values()
            if one.booked is Booked.RETURNED
            and one.instruction.debtor_account == account
            and first <= (one.returned_on or one.bank_date) <= last
        )

    def take_bundle(self, reference: str, instructions: Sequence[Instruction]) -> tuple[Booking, ...]:
        if reference in self.bundles:
            raise DuplicateBundle(reference)
        self.bundles[reference] = tuple(self.book_once(one).instruction.reference for one in instructions)
        return tuple(self.bookings[one] for one in self.bundles[reference])

    def bundle(self, reference: str) -> tuple[Booking, ...]:
        found = (self.find(one) for one in self.bundles.get(reference, ()))
        return tuple(one for one in found if one is not None)

    def holding(self, account: str, on: date | None = None) -> Holding | None:
        return self.holdings.get(account)

    def holder_of(self, account: str) -> str | None:
        found = self.holdings.get(account)
        return None if found is None else found.holder

    def earlier(self, reference: str) -> Booking | None:
        return self.bookings.get(reference)

    def has_bundle(self, reference: str) -> bool:
        return reference in self.bundles

    def entries(self, account: str, first: date, last: date) -> tuple[Entry, ...]:
        return tuple(one for one in self.lines if first <= one.bank_date <= last)

    def serial(self) -> int:
        self.next_serial += 1
        return self.next_serial - 1


def books(**changes: Any) -> PaperBooks:
    """Books with the debtor's account."""
    holding = Holding(DEBTOR, "甲公司", "CNY", Money(100_088), Money(0), Money(107_588))
    return PaperBooks(holdings={DEBTOR: holding}, **changes)


def entry(number: int, day: date, amount: str = "1.00", **changes: Any) -> Entry:
    """One entry of the history; a debit, unless the test says otherwise."""
    at = datetime(day.year, day.month, day.day, 10, 30, 15, tzinfo=ZONE)
    plain = Entry(number, Direction.DEBIT, Money.parse(amount), at, day, CREDITOR, "示例丙", "货款", Money(1_000), "")
    return replace(plain, **changes)


def bank(**options: Any) -> Bank:
    """The adapter under test."""
    return pab.build({"enterprise_code": ENTERPRISE, **options})


def order(**changes: Any) -> Order[PaymentDetail]:
    """The sample payment of the bank's page."""
    sample = Order(
        "ERP0001",
        Party(AccountNumber(DEBTOR), Name("甲公司")),
        Party(AccountNumber(CREDITOR), Name("示例丙"), "中国工商银行", "102100099996"),
        Money(1_000),
        PaymentDetail(),
        purpose="货款",
        urgency=Urgency.NORMAL,
        channel=Channel.AUTO,
    )
    return replace(sample, **changes)


def context(serial: int = 1, now: datetime = NOON, reference: str = REFERENCE) -> Context:
    """A conversation's context, as a lane makes it."""
    return Context(reference, 1, now.date(), now, (serial,))


def question(reference: str = REFERENCE, amount: int = 1_000) -> FateQuestion:
    """The enquiry after the sample payment."""
    sent = Sent(reference, TODAY, 1, (), Money(amount), AccountNumber(DEBTOR), AccountNumber(CREDITOR))
    return FateQuestion(sent)


def replying(twin: Twin, paper: PaperBooks) -> Callable[[bytes], bytes]:
    """The twin as a function of bytes, with one short connection per request, as a lane uses it."""

    def reply(request: bytes) -> bytes:
        (frame,) = twin.requests("business").feed(request)
        answer = twin.answer("business", frame, paper, {})
        assert answer.close, "B2Bi closes after each answer"
        return answer.data

    return reply


def converse(conversation: Generator[Any, bytes, R], reply: Callable[[bytes], bytes]) -> R:
    """Passes a conversation's steps to `reply`. Each answer goes through a fresh cutter, as on a socket."""
    answers = bank().ports["business"].answers
    try:
        step = next(conversation)
        while True:
            assert isinstance(step, (Ask, Submit))
            assert step.port == "business"
            cutter = answers()
            frames = cutter.feed(reply(step.data)) + cutter.end()
            assert len(frames) == 1
            step = conversation.send(frames[0])
    except StopIteration as end:
        result: R = end.value
        return result


def first_step(conversation: Generator[Any, bytes, Any]) -> bytes:
    """The bytes that a conversation would send first."""
    step = next(conversation)
    conversation.close()
    assert isinstance(step, (Ask, Submit))
    return step.data


def framed(
    operation: str,
    body: str | None,
    *,
    code: str = "000000",
    text: str = "",
    service: str = "02",
    serial: str = "",
    padded: str = "right",
) -> bytes:
    """An answer written out by hand from the table of the bank's page, independent of adapter and twin."""
    content = b"" if body is None else body.encode("gbk")
    description = f":{text}".encode("gbk")[:100].ljust(100)
    length = b"%010d" % len(content) if padded == "right" else str(len(content)).encode().ljust(10)
    parts = (
        b"A001",
        b"01",
        b"01",
        b"01",
        ENTERPRISE.encode(),
        length,
        operation.encode().ljust(6),
        b"00000",
        service.encode(),
        b"20250102120001",
        serial.encode().ljust(20),
        code.encode().ljust(6),
        description,
        b"0",
        b"000",
        b"0",
        b"0",
        b"            ",
        b"0         ",
        b"0",
    )
    header = b"".join(parts)
    assert len(header) == 222
    return header + content


def fate_body(voucher: str = REFERENCE, **changes: str) -> str:
    """The page's 4005 answer."""
    leaves = {
        "OrigThirdVoucher": voucher,
        "FrontLogNo": "0000000000000000000001",
        "CcyCode": "RMB",
        "OutAcctBankName": "",
        "OutAcctNo": DEBTOR,
        "InAcctBankName": "中国工商银行",
        "InAcctNo": CREDITOR,
        "InAcctName": "示例丙",
        "TranAmount": "10.00",
        "UnionFlag": "1",
        "Yhcljg": "000000:转账交易成功",
        "Fee": "4.00",
        "CstInnerFlowNo": "",
        "Stt": "20",
        "IsBack": "0",
        "BackRem": "交易成功",
        "SysFlag": "N",
        "TransBsn": "4004",
        "submitTime": "20250102114308",
        "AccountDate": "20250102",
        "InAcctBankNode": "",
        "hostFlowNo": "H1",
        "hostErrorCode": "000000",
        "kType": "0",
        "dType": "0",
        "subBatchNo": "",
    }
    leaves.update(changes)
    inner = "".join(f"<{tag}>{text}</{tag}>" for tag, text in leaves.items())
    return f'<?xml version="1.0" encoding="GBK" ?><Result>{inner}<ProxyPayName/><ProxyPayAcc/></Result>'


def accepted_body(voucher: str = REFERENCE, **changes: str) -> str:
    """The page's 4004 answer."""
    leaves = {
        "ThirdVoucher": voucher,
        "FrontLogNo": "0000000000000000000001",
        "CcyCode": "RMB",
        "OutAcctName": "甲公司",
        "OutAcctNo": DEBTOR,
        "InAcctBankName": "中国工商银行",
        "InAcctNo": CREDITOR,
        "InAcctName": "示例丙",
        "TranAmount": "10.00",
        "UnionFlag": "0",
        "Fee1": "1.00",
        "Fee2": "0.00",
        "SOA_VOUCHER": "",
        "hostFlowNo": "",
        "hostTxDate": "20250102",
        "Mobile": "",
        "CstInnerFlowNo": "",
    }
    leaves.update(changes)
    inner = "".join(f"<{tag}>{text}</{tag}>" for tag, text in leaves.items())
    return f'<?xml version="1.0" encoding="GBK" ?><Result>{inner}</Result>'
