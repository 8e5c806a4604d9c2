"""Sample Bank's own side, written from README.md alone. It imports nothing of the adapter.

It signs by hand (its answers are written in canonical form from the start), the adapter signs through the kit, and each
verifies the other, so that a mistake in one of the two shows as a signature that does not verify.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lxml import etree

from protocols.bank import BadOptions, Cutter
from protocols.banks.sample.twin_rules import ELEMENTS_ROW, MALFORMED, RULES, SIGNATURE_ROW, UNSIGNED
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.judge import BankRefusal, BothLanguages, PlainFields, RequestFinding, RuleKind
from protocols.kit import dsig, xmldoc
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.framing import LengthPrefix
from protocols.twin import Answer, Booked, Booking, Books, Duplicate, DuplicateBundle, Entry, Instruction, Twin

_NS: Final = "urn:sample-bank:1"
_TAG: Final = f"{{{_NS}}}"
_REQUEST_BYTES_MAX: Final = 262_144
_FRAMING: Final = LengthPrefix(8)
_SIGNATURE: Final = dsig.SignatureProfile("sample twin", f"/{_TAG}SampleBank/{{{dsig.DS}}}Signature")
_HEAD: Final = ("Customer", "Operation", "Serial", "Sent", "Token")
_PAY: Final = (
    "Reference",
    "DebtorAccount",
    "DebtorName",
    "CreditorAccount",
    "CreditorName",
    "CreditorBankName",
    "CreditorBankCode",
    "Amount",
    "Currency",
    "Purpose",
    "Urgent",
    "Private",
)
_BODIES: Final[Mapping[str, tuple[str, ...]]] = {
    "SignOn": ("User", "Password"),
    "SignOff": (),
    "Ping": (),
    "Pay": _PAY,
    "Move": _PAY,
    "Fate": ("Reference", "FirstDate", "LastDate"),
    "PayBatch": ("Reference", "DebtorAccount", "DebtorName", "Currency", "Count", "Sum", "List"),
    "CollectBatch": ("Reference", "CreditorAccount", "CreditorName", "Currency", "Count", "Sum", "List"),
    "BatchFate": ("Reference", "FirstDate", "LastDate"),
    "Balance": ("Account", "Currency", "On"),
    "Entries": ("Account", "Currency", "FirstDate", "LastDate", "Cursor"),
    "Returns": ("Account", "FirstDate", "LastDate", "Cursor"),
    "Receipt": ("Account", "BankDate", "Number", "Reference", "Ticket"),
}
_MONEY: Final = frozenset({"Pay", "Move", "PayBatch", "CollectBatch"})
_ORDER: Final = (
    "Reference",
    "CreditorAccount",
    "CreditorName",
    "CreditorBankName",
    "CreditorBankCode",
    "Amount",
    "Purpose",
    "Urgent",
    "Private",
)
_CLAIM: Final = ("Reference", "Agreement", "DebtorAccount", "DebtorName", "Amount", "Purpose")
_ITEMS: Final = {"PayBatch": _ORDER, "CollectBatch": _CLAIM}
_RECEIPT_S: Final = 5
_STATUS: Final = {Booked.TAKEN: "T", Booked.SETTLED: "S", Booked.REFUSED: "R", Booked.RETURNED: "B"}
_SERIAL: Final = re.compile(r"[0-9]{1,18}")
_PAGE_LINES: Final = 50

Elements = str
_DS: Final = 'xmlns:ds="http://www.w3.org/2000/09/xmldsig#"'
_SIGNED_INFO: Final = (
    f"<ds:SignedInfo {_DS}>"
    '<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod>'
    '<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod>'
    '<ds:Reference URI=""><ds:Transforms>'
    '<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>'
    '<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform></ds:Transforms>'
    '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod>'
    "<ds:DigestValue>%s</ds:DigestValue></ds:Reference></ds:SignedInfo>"
)


class _No(Exception):  # noqa: N818 - the bank's answer, with the code it carries
    def __init__(self, code: str, text: str, body: Elements = "", findings: tuple[RequestFinding, ...] = ()) -> None:
        super().__init__(code)
        self.code = code
        self.text = text
        self.body = body
        self.findings = findings


def _broken(
    refusal: BankRefusal, place: str, rule: RuleKind, value: str, source: str, english: str, chinese: str
) -> _No:
    """The answer to a request that breaks a rule outside the tables of twin_rules.py."""
    found = RequestFinding(place, rule, value, BothLanguages(english, chinese), source, refusal)
    return _No(refusal.code, refusal.text, findings=(found,))


@dataclass(frozen=True, slots=True)
class _Request:
    customer: str
    operation: str
    serial: str
    token: str
    body: Mapping[str, str]
    rows: tuple[Mapping[str, str], ...] = ()

    def day(self, name: str) -> date:
        try:
            return date.fromisoformat(self.body[name])
        except ValueError:
            raise _No("M300", f"{name} is not a date") from None


def build(options: Mapping[str, Any], keys: Mapping[str, bytes]) -> Twin:
    """The bank's side; README.md section 5 lists options and keys. Raises BadOptions."""
    known = {
        "user": None,
        "password": None,
        "customer": "0001",
        "page_lines": _PAGE_LINES,
        "cheap": False,
        "odd_rows": False,
    }
    for key in sorted(set(options) - set(known)):
        raise BadOptions(key, f"no such option; there are {', '.join(known)}")
    given = {**known, **options}
    for key in ("user", "password", "customer"):
        if not isinstance(given[key], str) or not given[key]:
            raise BadOptions(key, "must be text, not empty")
    if type(given["page_lines"]) is not int or not 1 <= given["page_lines"] <= _PAGE_LINES:
        raise BadOptions("page_lines", f"must be a whole number from 1 to {_PAGE_LINES}")
    for key in ("bank", "client"):
        if key not in keys:
            raise BadOptions(f"keys.{key}", "this key is needed")
    own = _private_key(keys["bank"])
    login = (given["user"], given["password"])
    return SampleTwin(
        given["customer"],
        login,
        own,
        dsig.PinnedKey.from_pem(keys["client"]),
        given["page_lines"],
        bool(given["cheap"]),
        bool(given["odd_rows"]),
    )


@lru_cache(maxsize=8)
def _private_key(pem: bytes) -> RSAPrivateKey:
    """The key, read once: OpenSSL verifies its primes at each reading, which takes 40 ms. Raises BadOptions."""
    own = load_pem_private_key(pem, None)
    if not isinstance(own, RSAPrivateKey):
        raise BadOptions("keys.bank", "must be an RSA key")
    return own


class SampleTwin:
    """The bank's side of every connection. Data that must outlive a connection is in the books."""

    ports: tuple[str, ...] = ("business",)

    def __init__(
        self,
        customer: str,
        login: tuple[str, str],
        own: RSAPrivateKey,
        client: dsig.PinnedKey,
        page_lines: int,
        cheap: bool,
        odd_rows: bool,
    ) -> None:
        self._odd_rows = odd_rows
        self._customer = customer
        self._login = login
        self._key = own
        self._client = client
        self._page_lines = page_lines
        self._cheap = cheap
        self._answers: Mapping[str, Callable[[_Request, Books], Elements]] = {
            "Pay": self._pay,
            "Move": self._pay,
            "Fate": self._fate,
            "PayBatch": self._batch,
            "CollectBatch": self._batch,
            "BatchFate": self._batch_fate,
            "Receipt": self._receipt,
            "Balance": self._balance,
            "Entries": self._entries,
            "Returns": self._returns,
        }

    def requests(self, port: str) -> Cutter:
        """A cutter for one connection's requests."""
        return _FRAMING.cutter(_REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request. A request that is not even XML of this bank raises ProtocolError."""
        root = xmldoc.parse(request, UTF8)
        asked = _read(root)
        findings: tuple[RequestFinding, ...] = ()
        try:
            self._verify(request)
            body = self._act(asked, books, session)
            code, text = "0000", "done"
        except _No as no:
            code, text, body, findings = no.code, no.text, no.body, no.findings
        data = self._signed(asked, code, text, body, books.now())
        return Answer(data, False, asked.operation, code, text, findings)

    def spoil(self, answer: bytes, where: float) -> bytes:
        """The answer with one digit of what is signed changed."""
        first, last = answer.index(b"<Head>"), answer.index(b"</Body>")
        digits = [at for at in range(first, last) if 48 <= answer[at] <= 57]
        at = digits[int(where * len(digits))]
        return answer[:at] + b"%d" % ((answer[at] - 47) % 10) + answer[at + 1 :]

    def _verify(self, request: bytes) -> None:
        if self._cheap:
            return
        try:
            dsig.verify(request, _SIGNATURE, self._client, engine="hand")
        except ProtocolError as error:
            raise _broken(
                UNSIGNED,
                "Signature",
                RuleKind.SIGNATURE,
                error.reason,
                SIGNATURE_ROW,
                "does not verify with the customer's registered key",
                "用客户登记的密钥验签不通过",
            ) from None

    def _act(self, asked: _Request, books: Books, session: MutableMapping[str, str]) -> Elements:
        self._judge_elements(asked)
        if asked.operation == "SignOn":
            return self._sign_on(asked, books, session)
        if "token" not in session:
            raise _No("S100", "not signed on")
        if asked.operation not in _MONEY and asked.token != session["token"]:
            raise _No("S100", "not this session's token")
        if asked.operation == "SignOff":
            session.clear()
        _judge_fields(asked, books)
        act = self._answers.get(asked.operation)
        return "" if act is None else act(asked, books)

    def _judge_elements(self, asked: _Request) -> None:
        names = _BODIES.get(asked.operation)
        if names is None:
            words = ("is no operation of this bank", "本行没有此交易")
            raise _broken(MALFORMED, "Head/Operation", RuleKind.OPERATION, asked.operation, ELEMENTS_ROW, *words)
        item = _ITEMS.get(asked.operation, ())
        odd = next((row for row in asked.rows if tuple(row) != item), None)
        if tuple(asked.body) != names or odd is not None:
            stands = " ".join(asked.body if odd is None else odd)[:80]
            words = ("are not the elements of this operation in their order", "元素不是该交易规定的元素及顺序")
            raise _broken(
                MALFORMED, "Body" if odd is None else "Body/List/Item", RuleKind.FRAME, stands, ELEMENTS_ROW, *words
            )
        if self._customer != asked.customer:
            words = ("is not this customer's number", "不是该客户的客户号")
            row = "README.md 2, Head"
            raise _broken(MALFORMED, "Head/Customer", RuleKind.HEADER, asked.customer, row, *words)

    def _sign_on(self, asked: _Request, books: Books, session: MutableMapping[str, str]) -> Elements:
        if (asked.body["User"], asked.body["Password"]) != self._login:
            raise _No("S200", "user or password is wrong")
        session["token"] = blake2b(b"%d" % books.serial(), digest_size=12).hexdigest()
        return _elements(("Token", session["token"]))

    def _pay(self, asked: _Request, books: Books) -> Elements:
        body = asked.body
        instruction = Instruction(
            body["Reference"],
            body["DebtorAccount"],
            body["CreditorAccount"],
            body["CreditorName"],
            Money.parse(body["Amount"], body["Currency"]),
            body["Purpose"],
            body["Urgent"] == "Y",
        )
        try:
            return _payment(books.book_once(instruction))
        except Duplicate as duplicate:
            raise _No("D100", "reference used before", _payment(duplicate.booking)) from None

    def _fate(self, asked: _Request, books: Books) -> Elements:
        booking = books.find(asked.body["Reference"])
        if booking is None or not asked.day("FirstDate") <= booking.bank_date <= asked.day("LastDate"):
            raise _No("N100", "nothing known under this reference")
        return _payment(booking)

    def _batch(self, asked: _Request, books: Books) -> Elements:
        body, collects = asked.body, asked.operation == "CollectBatch"
        own = body["CreditorAccount" if collects else "DebtorAccount"]
        amounts = [Money.parse(row["Amount"], body["Currency"]) for row in asked.rows]
        other = "Debtor" if collects else "Creditor"
        instructions = [
            Instruction(
                row["Reference"],
                own,
                row[f"{other}Account"],
                row[f"{other}Name"],
                amount,
                row["Purpose"],
                row.get("Urgent") == "Y",
                collects=collects,
            )
            for row, amount in zip(asked.rows, amounts, strict=True)
        ]
        try:
            return _results(body["Reference"], books.take_bundle(body["Reference"], instructions))
        except DuplicateBundle:
            raise _No("D100", "reference used before") from None

    def _batch_fate(self, asked: _Request, books: Books) -> Elements:
        first, last = asked.day("FirstDate"), asked.day("LastDate")
        bookings = [one for one in books.bundle(asked.body["Reference"]) if first <= one.bank_date <= last]
        if not bookings:
            raise _No("N100", "nothing known under this reference")
        return _results(asked.body["Reference"], bookings)

    def _receipt(self, asked: _Request, books: Books) -> Elements:
        """Answer with a receipt, which is made on demand and ready five seconds later. Until then the answer is a
        ticket."""
        account, ticket = asked.body["Account"], asked.body["Ticket"]
        wanted = [
            entry
            for entry in books.entries(account, asked.day("BankDate"), asked.day("BankDate"))
            if not entry.fee
            and (
                str(entry.number) == asked.body["Number"]
                or (entry.reference and entry.reference == asked.body["Reference"])
            )
        ]
        if not wanted:
            raise _No("N100", "no such entry")
        due, now = ticket, int(books.now().timestamp())
        if not due or not _SERIAL.fullmatch(due):
            due = str(now + _RECEIPT_S)
        if now < int(due):
            named = (("Ticket", due), ("AfterSeconds", str(int(due) - now)))
            return _elements(
                ("Account", account), *named, ("MediaType", ""), ("FileName", ""), ("File", ""), ("Sha256", "")
            )
        data = _entry(wanted[0]).encode()
        return _elements(
            ("Account", account),
            ("Ticket", ""),
            ("AfterSeconds", ""),
            ("MediaType", "application/xml"),
            ("FileName", f"{account}-{wanted[0].number}.xml"),
            ("File", b64encode(data).decode()),
            ("Sha256", sha256(data).hexdigest()),
        )

    def _balance(self, asked: _Request, books: Books) -> Elements:
        holding = books.holding(asked.body["Account"])
        if holding is None or holding.currency != asked.body["Currency"]:
            raise _No("A100", "not an account of this customer")
        named = (("Account", holding.number), ("Currency", holding.currency))
        if asked.body["On"]:
            on = asked.day("On")
            later = books.entries(holding.number, on + timedelta(days=1), date.max)
            end = holding.book.minor - sum(_signed_minor(entry) for entry in later)
            book = str(Money(end, holding.currency))
            return _elements(*named, ("Book", book), ("Available", ""), ("Frozen", ""), ("PreviousDay", ""))
        return _elements(
            *named,
            ("Book", str(holding.book)),
            ("Available", str(holding.book - holding.frozen)),
            ("Frozen", str(holding.frozen)),
            ("PreviousDay", str(holding.previous_day)),
        )

    def _entries(self, asked: _Request, books: Books) -> Elements:
        account = asked.body["Account"]
        holding = books.holding(account)
        if holding is None or holding.currency != asked.body["Currency"]:
            raise _No("A100", "not an account of this customer")
        first, last = asked.day("FirstDate"), asked.day("LastDate")
        entries = books.entries(account, first, last)
        since = books.entries(account, first, date.max)
        opening = holding.book.minor - sum(_signed_minor(entry) for entry in since)
        closing = opening + sum(_signed_minor(entry) for entry in entries)
        page, cursor = self._page(asked, entries)
        return _elements(
            ("Account", account),
            ("Currency", holding.currency),
            ("Total", str(len(entries))),
            ("Opening", str(Money(opening, holding.currency))),
            ("Closing", str(Money(closing, holding.currency))),
            ("Cursor", cursor),
        ) + _list("Entry", self._rows(map(_entry, page)))

    def _returns(self, asked: _Request, books: Books) -> Elements:
        account = asked.body["Account"]
        if books.holding(account) is None:
            raise _No("A100", "not an account of this customer")
        page, cursor = self._page(asked, books.returns(account, asked.day("FirstDate"), asked.day("LastDate")))
        named = _elements(("Account", account), ("Cursor", cursor))
        return named + _list("Returned", self._rows(map(_returned, page)))

    def _rows(self, rows: Iterable[Elements]) -> Iterable[Elements]:
        """The rows. With the switch `odd_rows`, the first row is repeated before them with an unreadable amount."""
        for number, row in enumerate(rows):
            if self._odd_rows and number == 0:
                yield re.sub("<Amount>[^<]*", "<Amount>1,00", row)
            yield row

    def _page(self, asked: _Request, rows: tuple[Any, ...]) -> tuple[tuple[Any, ...], str]:
        start = asked.body["Cursor"] or "0"
        if not _SERIAL.fullmatch(start):
            raise _No("M300", "this cursor was not made here")
        end = int(start) + self._page_lines
        return rows[int(start) : end], str(end) if end < len(rows) else ""

    def _signed(self, asked: _Request, code: str, text: str, body: Elements, now: datetime) -> bytes:
        """The framed answer. The part before the signature is in canonical form already, so it is hashed as it is."""
        head = _elements(
            ("Customer", self._customer),
            ("Operation", asked.operation),
            ("Serial", asked.serial),
            ("Code", code),
            ("Text", text),
            ("BankTime", now.isoformat(timespec="milliseconds")),
        )
        content = f'<SampleBank xmlns="{_NS}"><Head>{head}</Head><Body>{body}</Body>'.encode()
        digest = b64encode(sha256(content + b"</SampleBank>").digest()).decode()
        info = (_SIGNED_INFO % digest).encode()
        value = b64encode(self._key.sign(info, PKCS1v15(), hashes.SHA256()))
        return _FRAMING.wrap(
            b"".join(
                (
                    b'<?xml version="1.0" encoding="UTF-8"?>',
                    content,
                    b"<ds:Signature ",
                    _DS.encode(),
                    b">",
                    info,
                    b"<ds:SignatureValue>",
                    value,
                    b"</ds:SignatureValue></ds:Signature></SampleBank>",
                )
            )
        )


def _read(root: etree._Element) -> _Request:
    head = {str(child.tag).removeprefix(_TAG): xmldoc.text(child) for child in xmldoc.one(root, f"{_TAG}Head")}
    inner = xmldoc.one(root, f"{_TAG}Body")
    body = {str(child.tag).removeprefix(_TAG): "" if len(child) else xmldoc.text(child) for child in inner}
    rows = tuple(
        {str(cell.tag).removeprefix(_TAG): xmldoc.text(cell) for cell in item}
        for item in root.iterfind(f"{_TAG}Body/{_TAG}List/{_TAG}Item")
    )
    if root.tag != f"{_TAG}SampleBank" or tuple(head) != _HEAD or not _SERIAL.fullmatch(head["Serial"]):
        raise ProtocolError("value", "not a message of this bank")
    return _Request(head["Customer"], head["Operation"], head["Serial"], head["Token"], body, rows)


def _judge_fields(asked: _Request, books: Books) -> None:
    """Refuse a request whose fields break the rules of the page, with every rule that they break."""
    fields = PlainFields(asked.body, {"Item": [PlainFields(row) for row in asked.rows]})
    found = RULES[asked.operation].findings(fields, books)
    if found:
        refusal = found[0].refusal
        raise _No(refusal.code, f"{found[0].place}: {refusal.text}", findings=found)


def _escaped(text: str) -> str:
    """Text in canonical form (XML-C14N 1.0, section 2.3)."""
    if "&" in text or "<" in text or ">" in text or "\r" in text:
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")
    return text


def _elements(*pairs: tuple[str, str]) -> Elements:
    return "".join([f"<{name}>{_escaped(text)}</{name}>" for name, text in pairs])


def _list(name: str, rows: Iterable[Elements]) -> Elements:
    return f"<List>{''.join(f'<{name}>{row}</{name}>' for row in rows)}</List>"


def _payment(booking: Booking) -> Elements:
    asked = booking.instruction
    return _elements(
        ("Reference", asked.reference),
        ("DebtorAccount", asked.debtor_account),
        ("CreditorAccount", asked.creditor_account),
        ("Amount", str(asked.amount)),
        ("Currency", asked.amount.currency),
        ("BankSerial", booking.bank_serial),
        ("Status", _STATUS[booking.booked]),
        ("BookedAt", booking.at.isoformat(timespec="milliseconds")),
        ("Fee", "" if booking.fee is None else str(booking.fee)),
        ("Reason", booking.reason),
    )


def _results(reference: str, bookings: Sequence[Booking]) -> Elements:
    rows = (
        _elements(
            ("Reference", one.instruction.reference),
            ("Amount", str(one.instruction.amount)),
            ("BankSerial", one.bank_serial),
            ("Status", _STATUS[one.booked]),
            ("BookedAt", one.at.isoformat(timespec="milliseconds")),
            ("Fee", "" if one.fee is None else str(one.fee)),
            ("Reason", one.reason),
        )
        for one in bookings
    )
    return _elements(("Reference", reference), ("Count", str(len(bookings)))) + _list("Result", rows)


def _entry(entry: Entry) -> Elements:
    return _elements(
        ("Number", str(entry.number)),
        ("Direction", "C" if entry.direction is Direction.CREDIT else "D"),
        ("Amount", str(entry.amount)),
        ("BankDate", entry.bank_date.isoformat()),
        ("BookedAt", entry.at.isoformat(timespec="milliseconds")),
        ("PeerAccount", entry.counterparty_account),
        ("PeerName", entry.counterparty_name),
        ("Text", entry.text),
        ("Balance", str(entry.balance_after)),
        ("Reference", entry.reference),
        ("Fee", "Y" if entry.fee else "N"),
    )


def _returned(booking: Booking) -> Elements:
    assert booking.returned_on is not None
    asked = booking.instruction
    return _elements(
        ("Reference", asked.reference),
        ("Amount", str(asked.amount)),
        ("Currency", asked.amount.currency),
        ("ReturnedOn", booking.returned_on.isoformat()),
        ("Text", booking.reason),
    )


def _signed_minor(entry: Entry) -> int:
    return entry.amount.minor if entry.direction is Direction.CREDIT else -entry.amount.minor
