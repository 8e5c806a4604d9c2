"""The bank's side of B2Bi, written from the bank's page and not from our own adapter.

Each request is judged by twin_header.py and twin_rules.py before it is acted on. A request that breaks a rule is
refused and books nothing.

The twin keeps the habits seen in public logs: a blank before `?>`, elements that no manual names, front-end numbers of
22 digits, refusals without a body under service type 01, a description that begins with a colon and is cut at 100
bytes, and 4005 answers that have the original voucher in place of the header serial. A fee is a marked row with its
payment's trace. Today's list has the oldest entry first and no balances, the history the newest first. Bookings from
21:30 on have the next accounting date.

Codes that are not on the page begin with Z: ZREF and ZTAK are stt of a 4048 row that is refused or not decided, Z1 is
BStt of a batch that is not finished.

Options: `enterprise_code` (any, when left out), `page_lines_4008` (10), `page_lines_4015` (500),
`rate_limit_per_s` (4008 only, none when left out), `date_ahead_days` (0: how far the host's own date is ahead of the
calendar; the bank's test front end stood at -33 to 20), `wordy` (descriptions too long for their field), `faults` (a
list of FAULTS), `cheap` (changes nothing: there is no signature to skip).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from lxml import etree

from protocols.bank import BadOptions, Cutter
from protocols.banks.pab import twin_accounts, twin_batch, twin_special
from protocols.banks.pab.twin_answer import (
    NOT_OPENED,
    NOTHING,
    TROUBLE,
    Conduct,
    Done,
    Refused,
    calendar_day,
    flat,
    held,
    known,
    leaf,
)
from protocols.banks.pab.twin_header import FRAMING, Asked, framed, read, written
from protocols.banks.pab.twin_rows import RESULT, STT, ZONE, front_number, stamp
from protocols.banks.pab.twin_rules import ELSEWHERE, judged
from protocols.canon.money import Money
from protocols.judge import RequestFinding, XmlFields
from protocols.kit.xmldoc import el
from protocols.twin import Answer, Booked, Books, Duplicate, Instruction, Twin

BRANCHES: Final = twin_accounts.BRANCHES
"""The directory's branches, number and name: a demonstration compares the answers with them."""
FAULTS: Final = (
    "trouble_after_booking",  # AFE004 and no body, but the money moved
    "counts_characters",  # the header's length counts characters of the body, not bytes
    "others_voucher",  # the answers to 4005 and KHKF04, and the rows of 4015, name another voucher
    "others_amount",  # 4005 states one fen more
    "unlisted_status",  # 4005 has an undocumented Stt
    "page_repeats",  # 4008 and 4013 answer each question with the first page, and say that there are more
    "last_line_silent",  # 4015 and 4048 have no row about the last line
    "odd_rows",  # 4008, 4013, 4019: a first row whose fields are all empty
    "batch_untold",  # 4015 says that the batch is in process (B1), and has no lines
)
_MONEY: Final = frozenset({"4004", "4018", "4047", "4052", "KHKF03"})
_REQUEST_BYTES_MAX: Final = 1_048_576
_AHEAD_DAYS_MAX: Final = 366
_ACCEPTED: Final = ("000000", "交易受理成功")
_EXPLANATION: Final = ",请联系客户经理" * 8
Act = Callable[[etree._Element, Books, Conduct], Done]


@dataclass(slots=True)
class B2Bi:
    """The simulated front end. Each short connection carries one exchange."""

    conduct: Conduct
    ports: tuple[str, ...] = ("business",)

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for one connection's requests."""
        assert port == "business", port
        return FRAMING.cutter(_REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request and close."""
        conduct = self.conduct
        asked = read(request, conduct.enterprise_code)
        now = books.now().astimezone(ZONE) + conduct.ahead
        try:
            done = self._act(asked, books)
            if asked.operation in _MONEY and "trouble_after_booking" in conduct.faults:
                raise Refused(TROUBLE, own_service=True)
        except Refused as refused:
            code, text = refused.refusal.code, refused.refusal.text
            service = b"01" if refused.own_service else b"02"
            data = framed(asked.head, now, service, code, text + _EXPLANATION if conduct.wordy else text)
            return Answer(data, True, asked.operation, code, text, refused.findings)
        body = written(asked, done.body)
        counted = len(body.decode("gb18030")) if "counts_characters" in conduct.faults else None
        data = framed(asked.head, now, b"02", *_ACCEPTED, body, done.serial, counted)
        return Answer(data, True, asked.operation, *_ACCEPTED)

    def _act(self, asked: Asked, books: Books) -> Done:
        """The answer of the operation to a request that breaks no rule."""
        if asked.findings:
            raise _refused(asked.findings, own_service=True)
        if asked.operation in ELSEWHERE:
            raise Refused(NOT_OPENED)
        today = calendar_day(books)
        found = judged(asked.operation, XmlFields(asked.root), books, today, today + self.conduct.ahead)
        if found:
            raise _refused(found)
        return _ACTS[asked.operation](asked.root, books, self.conduct)


def build(options: Mapping[str, Any], keys: Mapping[str, bytes]) -> Twin:
    """The twin under `options`; it signs nothing, so `keys` may be empty. Raises BadOptions."""
    faults = frozenset(options.get("faults", ()))
    if not faults <= set(FAULTS):
        raise BadOptions("faults", f"a list of {', '.join(FAULTS)}")
    ahead = options.get("date_ahead_days", 0)
    if type(ahead) is not int or abs(ahead) > _AHEAD_DAYS_MAX:
        raise BadOptions("date_ahead_days", f"must be a whole number from -{_AHEAD_DAYS_MAX} to {_AHEAD_DAYS_MAX}")
    return B2Bi(
        Conduct(
            enterprise_code=str(options.get("enterprise_code", "")),
            page_lines_4008=int(options.get("page_lines_4008", 10)),
            page_lines_4015=int(options.get("page_lines_4015", 500)),
            rate_limit_per_s=int(options.get("rate_limit_per_s", 0)),
            wordy=bool(options.get("wordy", False)),
            faults=faults,
            ahead=timedelta(days=ahead),
        )
    )


def _refused(findings: tuple[RequestFinding, ...], *, own_service: bool = False) -> Refused:
    return Refused(findings[0].refusal, findings, own_service=own_service)


def _alive(_root: etree._Element, books: Books, conduct: Conduct) -> Done:
    now = books.now().astimezone(ZONE) + conduct.ahead
    return Done(el("Result", el("Desc", f"hostNo[7],port[49999],currentServerTime[{now:%Y%m%d%H%M%S}]")))


def _pay(root: etree._Element, books: Books, conduct: Conduct) -> Done:
    """Answer 4004: accept the payment; its outcome is decided later."""
    debtor, amount = held(books, leaf(root, "OutAcctNo")), Money.parse(leaf(root, "TranAmount"))
    wanted = Instruction(
        leaf(root, "ThirdVoucher"),
        debtor.number,
        leaf(root, "InAcctNo"),
        leaf(root, "InAcctName"),
        amount,
        leaf(root, "UseEx"),
        urgent=leaf(root, "SysFlag") in ("Y", "S"),
    )
    try:
        booking = books.book_once(wanted)
    except Duplicate as duplicate:
        raise known("ThirdVoucher", wanted.reference, [duplicate.booking.instruction], [wanted]) from None
    leaves = {
        "ThirdVoucher": wanted.reference, "FrontLogNo": front_number(booking), "CcyCode": "RMB",
        "OutAcctName": leaf(root, "OutAcctName"), "OutAcctNo": debtor.number,
        "InAcctBankName": leaf(root, "InAcctBankName"), "InAcctNo": wanted.creditor_account,
        "InAcctName": wanted.creditor_name, "TranAmount": str(amount),
        "UnionFlag": leaf(root, "UnionFlag"), "Fee1": str(booking.fee or Money(0)), "Fee2": "0.00",
        "SOA_VOUCHER": "", "hostFlowNo": "", "hostTxDate": stamp(booking.bank_date + conduct.ahead), "Mobile": "",
        "CstInnerFlowNo": leaf(root, "CstInnerFlowNo"),
    }  # fmt: skip
    return Done(flat(leaves))


def _fate(root: etree._Element, books: Books, conduct: Conduct) -> Done:
    """Answer 4005. A payment is found by OrigThirdVoucher; the other two numbers alone find none here."""
    voucher = leaf(root, "OrigThirdVoucher")
    booking = books.find(voucher)
    if booking is None:
        raise Refused(NOTHING)
    done, paid = booking.instruction, booking.booked in (Booked.SETTLED, Booked.RETURNED)
    refused = booking.booked is Booked.REFUSED
    result = f"YQ9982:{booking.reason}" if refused and booking.reason else RESULT[booking.booked]
    reason, _, words = result.partition(":")
    leaves = {
        "OrigThirdVoucher": conduct.named(voucher), "FrontLogNo": front_number(booking), "CcyCode": "RMB",
        "OutAcctBankName": "", "OutAcctNo": done.debtor_account, "InAcctBankName": "",
        "InAcctNo": done.creditor_account, "InAcctName": done.creditor_name,
        "TranAmount": str(Money(done.amount.minor + ("others_amount" in conduct.faults))), "UnionFlag": "0",
        "Yhcljg": result, "Fee": str(booking.fee or Money(0)), "CstInnerFlowNo": "",
        "Stt": "77" if "unlisted_status" in conduct.faults else STT[booking.booked],
        "IsBack": "1" if booking.booked is Booked.RETURNED else "0",
        "BackRem": booking.reason if booking.booked is Booked.RETURNED else words, "SysFlag": "N",
        "TransBsn": "4004", "submitTime": f"{booking.at.astimezone(ZONE):%Y%m%d%H%M%S}",
        "AccountDate": stamp(booking.bank_date + conduct.ahead) if paid else "", "InAcctBankNode": "",
        "hostFlowNo": booking.bank_serial if paid else "",
        "hostErrorCode": reason if refused else "000000",
        "kType": "0", "dType": "0", "subBatchNo": "", "ProxyPayName": "", "ProxyPayAcc": "",
        "ProxyPayBankName": "",
    }  # fmt: skip
    return Done(flat(leaves), serial=voucher)


_ACTS: Final[Mapping[str, Act]] = {
    "S001": _alive,
    "4001": twin_accounts.balance,
    "4012": twin_accounts.balance_on,
    "4008": twin_accounts.today,
    "4013": twin_accounts.entries,
    "4004": _pay,
    "4005": _fate,
    "4019": twin_accounts.returns,
    "4018": twin_batch.batch,
    "4015": twin_batch.batch_fate,
    "4047": twin_batch.agency,
    "4048": twin_batch.agency_fate,
    "4017": twin_accounts.branches,
    "KHKF03": twin_special.fast,
    "KHKF04": twin_special.fast_fate,
    "4052": twin_special.sweep,
    "401802": twin_special.receipt,
}
