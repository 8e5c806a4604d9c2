"""mock-bank, an independent ISO 20022 bank, behind our simulated front end: a thousand payments, to the cent.

Our adapter signs and uploads each payment; the front end hands the pain.001 to mock-bank and puts what comes back on
its shelf; our adapter lists, fetches and reads it. Some payments are refused, some come back days later.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from gateway.simbank.ledger import Ledger, LedgerAccount
from gateway.simbank.pki import make_pki
from interop.jbank import expect, iban
from interop.peer import PYTHON, PeerDisagrees
from interop.samples import CUSTOMER, Samples, context, finws_bank, payment, private_key, sign
from protocols.bank import Bank, MoneyStep, Sign
from protocols.banks.finws import iso, twin
from protocols.banks.finws.twin_files import NOTIFICATION, PAYMENT, STATEMENT, STATUS, Shelved
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber
from protocols.canon.query import FateQuestion, LinesQuestion, ReturnsQuestion, Sent
from protocols.canon.statement import Direction, Line
from protocols.kit.iso20022 import account, lines, report
from protocols.kit.iso20022.account import AccountReport
from protocols.twin import Books

COUNT, REFUSED, RETURNED = 1000, 100, 100
SAMPLE = 40
# A Monday after the cut-off, so that all payments settle together on Tuesday.
MONDAY = date(2026, 11, 23)
OPENING = Money(100_000_000, "EUR")
_KINDS = {"pain.002": STATUS, "camt.054": NOTIFICATION, "camt.053": STATEMENT}
R = TypeVar("R")


class Server:
    """mock-bank's own HTTP, on loopback."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        """The JSON answer, also of a refusal (422)."""
        request = urllib.request.Request(self._base + path, body, {"Content-Type": kind}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            if refusal.code == 422:
                return json.load(refusal)
            raise PeerDisagrees(f"mock-bank: {method} {path}: {refusal.code} {refusal.read()[:300]!r}") from None

    def mail(self) -> list[str]:
        """The XML messages for us. Each is given out once."""
        return [one["body"] for one in self.ask("GET", "/_mock/mailbox")]


@dataclass(slots=True)
class Relay:
    """The front end's files: uploads go to mock-bank, and mock-bank's messages are there for download."""

    server: Server
    files: dict[str, Shelved] = field(default_factory=dict)
    uploads: dict[str, str] = field(default_factory=dict)

    def accept_file(self, kind: str, content: bytes, name: str, books: Books) -> Shelved:
        """See Shelves."""
        file = self._keep(PAYMENT, "FWD", content, books.now(), name)
        self.uploads[name] = file.reference
        self.server.ask("POST", "/payments", content, "application/xml")
        return file

    def collect(self) -> None:
        """Store mock-bank's messages. Its returns between banks (pacs.004) are left out, because they are not for
        customers.
        """
        for body in self.server.mail():
            root = iso.document(body.encode())
            kind = next((name for prefix, name in _KINDS.items() if prefix in str(root.tag)), None)
            if kind is None:
                continue
            if kind == STATUS:
                told = report.read_status(root)
                self._keep(kind, "NEW", body.encode(), told.created, parent=self.uploads[told.original_id])
                continue
            for one in account.read_reports(root):
                assert one.created is not None
                self._keep(kind, "NEW", body.encode(), one.created)

    def list(self, kind: str, status: str, first: date | None, last: date | None, books: Books) -> list[Shelved]:
        """See Shelves."""
        return [
            one
            for one in self.files.values()
            if one.kind == kind
            and status in ("ALL", one.status)
            and (first is None or first <= one.made_at.date())
            and (last is None or one.made_at.date() <= last)
        ]

    def fetch(self, reference: str, kind: str) -> Shelved | None:
        """See Shelves."""
        return self.files.get(reference)

    def delete(self, reference: str) -> Shelved | None:
        """See Shelves."""
        return None

    def _keep(
        self, kind: str, status: str, content: bytes, made_at: datetime, name: str = "", parent: str = ""
    ) -> Shelved:
        file = Shelved(f"{len(self.files) + 1:012d}", kind, status, made_at, content, name, parent)
        self.files[file.reference] = file
        return file


@dataclass(slots=True)
class AdapterExchange:
    """Our adapter and the front end in one process; each conversation has its own second."""

    banks: tuple[Bank, Bank]
    front: Any
    books: Ledger
    key: RSAPrivateKey
    moment: list[datetime]
    serial: int = 1000

    def run(self, bank: Bank, word: Any, reference: str = "") -> Any:
        """Run one conversation to its end; `word` makes it from a context."""
        self.serial += 4
        self.moment[0] += timedelta(seconds=1)
        return self._drive(bank, word(context(reference, self.serial, self.moment[0])))

    def _drive(self, bank: Bank, conversation: Generator[MoneyStep, bytes, R]) -> R:
        try:
            step = next(conversation)
            while True:
                if isinstance(step, Sign):
                    step = conversation.send(sign(self.key, step.octets))
                    continue
                [request] = self.front.requests(step.port).feed(step.data)
                cutter = bank.ports[step.port].answers()
                answer = self.front.answer(step.port, request, self.books, {})
                frames = cutter.feed(answer.data) or cutter.end()
                step = conversation.send(frames[0])
        except StopIteration as end:
            result: R = end.value
            return result


@dataclass(frozen=True, slots=True)
class OwnPayment:
    """A payment that we made, and its required result."""

    reference: str
    amount: Money
    debtor: str
    creditor: str
    wanted: Fate
    reason: str = ""
    bank_serial: str | None = None

    @property
    def sent(self) -> Sent:
        """The record from before the payment left."""
        return Sent(
            self.reference,
            MONDAY,
            1,
            (),
            self.amount,
            AccountNumber(self.debtor),
            AccountNumber(self.creditor),
            self.bank_serial,
        )


def check(samples: Samples) -> str:
    """Send a thousand payments and check their results."""
    with _server(samples.folder) as server:
        accepting, returning = iban(101), iban(102)
        for name, number, more in (
            ("PAYS", accepting, {}),
            ("RETURNS", returning, {"behaviour": "return-later", "parameters": {"days": 2, "reason": "AC04"}}),
        ):
            server.ask(
                "POST",
                "/_mock/accounts",
                json.dumps(
                    {
                        "id": name,
                        "name": f"Example {name}",
                        "iban": number,
                        "currency": "EUR",
                        "balance": OPENING.minor,
                        **more,
                    }
                ).encode(),
            )
        relay = Relay(server)
        talk = _talk(samples, relay)
        paid = _pay(talk, server, accepting, returning)
        relay.collect()
        for _ in range(4):
            server.ask("POST", "/_mock/advance?days=1")
            relay.collect()
        talk.moment[0] += timedelta(days=4)
        total = _judge_files(relay, paid, accepting, returning, server)
        _judge_answers(talk, paid, accepting, returning)
    ends = [(fate, sum(one.wanted is fate for one in paid)) for fate in (Fate.SETTLED, Fate.FAILED, Fate.RETURNED)]
    words = ", ".join(f"{count} {fate.value}" for fate, count in ends)
    return f"{len(paid)} payments, {total} EUR sent: {words}; every sum to the cent"


def _talk(samples: Samples, relay: Relay) -> AdapterExchange:
    moment = [datetime(MONDAY.year, MONDAY.month, MONDAY.day, 16, tzinfo=UTC)]
    pki = make_pki(samples.folder / "mock-bank-pki", ["interop"], moment[0])["interop"]  # certificates of that week
    front = twin.build(
        {"customer": CUSTOMER},
        {
            "bank": pki.bank_sign_key.read_bytes(),
            "client": pki.gateway_sign_cert.read_bytes(),
            "bank_certificate": pki.bank_sign_cert.read_bytes(),
        },
        relay,
    )
    books = Ledger(lambda: round(moment[0].timestamp() * 1000), [LedgerAccount(iban(101), "示例甲公司", OPENING)])
    banks = tuple(finws_bank(pki, payment_form=form) for form in iso.PAYMENT_FORMS)
    return AdapterExchange((banks[0], banks[1]), front, books, private_key(pki.gateway_sign_key), moment)


def _pay(talk: AdapterExchange, server: Server, accepting: str, returning: str) -> list[OwnPayment]:
    """Upload all payments, half of them in each version of pain.001."""
    held = {one["id"]: one["iban"] for one in server.ask("GET", "/_mock/accounts")}
    chance, paid = Random(20022), list[OwnPayment]()
    for number in range(COUNT):
        amount, creditor = Money(chance.randrange(1, 50_000), "EUR"), iban(1000 + number)
        debtor, wanted, reason = accepting, Fate.SETTLED, ""
        if number < REFUSED:
            name, reason = (("INITECH", "AC04"), ("EURODIS", "RC01"))[number % 2]
            creditor, wanted = held[name], Fate.FAILED
        elif number < REFUSED + RETURNED:
            debtor, wanted = returning, Fate.RETURNED
        reference = f"MOCK{number:016d}"
        order = payment(reference, amount, debtor, creditor)
        bank = talk.banks[number % 2]
        outcome: Outcome = talk.run(bank, lambda c, b=bank, o=order: b.money[Kind.PAYMENT](o, c), reference)
        expect(f"{reference}: the upload", outcome.fate, Fate.PENDING)
        paid.append(OwnPayment(reference, amount, debtor, creditor, wanted, reason, outcome.bank_serial))
    return paid


def _judge_files(relay: Relay, paid: list[OwnPayment], accepting: str, returning: str, server: Server) -> Money:
    """Read every file of mock-bank with our kit, and check each payment's fate and every account's sums."""
    told = {one.parent: iso.status(one.content)[0] for one in _of(relay, STATUS)}
    news = [one for file in _of(relay, NOTIFICATION) for one in iso.accounts(file.content)]
    days = [one for file in _of(relay, STATEMENT) for one in iso.accounts(file.content)]
    ours = {number: [one for one in days if one.account == number] for number in (accepting, returning)}
    for one in paid:
        word = report.said_of(told[one.bank_serial or ""], one.reference)
        refused = one.wanted is Fate.FAILED
        expect(
            f"{one.reference}: its status file",
            None if word is None else word.fate,
            Fate.FAILED if refused else Fate.PENDING,
        )
        expect(f"{one.reference}: why", refused and word is not None and word.code, refused and f"RJCT/{one.reason}")
        for where, reports in (("notifications", news), ("statements", ours[one.debtor])):
            said = {found for each in reports if (found := lines.said_of(each, one.reference, one.amount))}
            fates = {each.fate for each in said}
            wanted = set() if refused else {Fate.SETTLED, one.wanted}
            expect(f"{one.reference}: its {where}", fates, wanted)
    balances = {one["iban"]: one["balance"] for one in server.ask("GET", "/_mock/accounts")}
    for number, statements in ours.items():
        _judge_days(number, statements, [one for one in paid if one.debtor == number], balances[number])
    return Money(sum(one.amount.minor for one in paid), "EUR")


def _judge_days(number: str, statements: list[AccountReport], paid: list[OwnPayment], balance: int) -> None:
    """Check an account's days: each adds up, each follows the one before, and together they are our payments."""
    expect(f"{number}: findings", [one.findings for one in statements if one.findings], [])
    pairs = zip(statements, statements[1:], strict=False)
    expect(f"{number}: gaps", [found for pair in pairs if (found := account.gap(*pair))], [])
    moved = sum(entry.signed_minor for one in statements for entry in one.booked)
    lost = sum(one.amount.minor for one in paid if one.wanted is Fate.SETTLED)
    expect(f"{number}: what moved", moved, -lost)
    expect(f"{number}: what mock-bank says it holds", balance, OPENING.minor - lost)
    closing = statements[-1].balance("CLBD")
    expect(f"{number}: the last closing balance", None if closing is None else closing.amount.minor, balance)
    back = sum(one.amount.minor for each in statements for one in lines.returns(each) if one.amount is not None)
    expect(f"{number}: what came back", back, sum(one.amount.minor for one in paid if one.wanted is Fate.RETURNED))


def _judge_answers(talk: AdapterExchange, paid: list[OwnPayment], accepting: str, returning: str) -> None:
    """Check the same through the adapter: fates, entries and returns, as the gateway would ask."""
    bank = talk.banks[0]
    asks = bank.questions
    assert asks.fate is not None and asks.lines is not None and asks.returns is not None
    for one in paid[:: COUNT // SAMPLE]:
        outcome = talk.run(bank, lambda c, o=one: asks.fate(FateQuestion(o.sent), c))
        expect(f"{one.reference}: asked through the front end", outcome.fate, one.wanted)
    last = MONDAY + timedelta(days=3)
    for number in (accepting, returning):
        found, cursor = list[Line](), None
        while True:
            question = LinesQuestion(AccountNumber(number), MONDAY, last, "EUR", cursor)
            page = talk.run(bank, lambda c, q=question: asks.lines(q, c))
            expect("findings on the way", page.findings, ())
            found += page.lines
            cursor = page.cursor
            if cursor is None:
                break
        wanted = {(one.reference, one.amount) for one in paid if one.debtor == number and one.wanted is not Fate.FAILED}
        debits = [(one.reference, one.amount) for one in found if one.direction is Direction.DEBIT]
        expect(f"{number}: entries asked for", (set(debits), len(debits)), (wanted, len(wanted)))
    back = talk.run(bank, lambda c: asks.returns(ReturnsQuestion(AccountNumber(returning), MONDAY, last), c)).returns
    wanted_back = sorted((one.reference, str(one.amount)) for one in paid if one.wanted is Fate.RETURNED)
    expect("returns asked for", sorted((one.reference, str(one.amount)) for one in back), wanted_back)


def _of(relay: Relay, kind: str) -> list[Shelved]:
    return [one for one in relay.files.values() if one.kind == kind]


@contextmanager
def _server(folder: Path) -> Iterator[Server]:
    """mock-bank as its own process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = (folder / "mock-bank.txt").open("wb")
    process = subprocess.Popen(
        [PYTHON, "-m", "mockbank", "--host", "127.0.0.1", "--port", str(port), "--quiet", "--clock", f"{MONDAY}T16:00"],
        stdout=log,
        stderr=log,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    server, end = Server(port), time.monotonic() + 30
    try:
        while True:
            try:
                server.ask("GET", "/_mock/health")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    said = (folder / "mock-bank.txt").read_text()[-300:]
                    raise PeerDisagrees(f"mock-bank did not start: {said}") from None
                time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(10)
        log.close()
