"""Runs a bank's adapter against its twin without sockets, and reads dialogues that a bank's engineer can read.

A `.dlg` file is a scene. Lines that begin with # are for people. The others:

    account NUMBER HOLDER AMOUNT           an account in the bank's books, before anything else
    do WORD key=value ...                  we begin a conversation: pay, fate, balance, lines, returns, probe
    we send NAME                           the request that must follow, with the fields below it, indented
        Field  value                       (… stands for any value)
    bank answers NAME                      the bank's answer to it, likewise
    therefore key=value ...                what we make of it
    later SECONDS                          the bank's clock moves on

`do pay-bundle kind=KIND reference=…` has its items below it, indented: REFERENCE key=value … as in `do pay`.
`do receipt account=… on=DAY line=KEY` asks for an entry's receipt, with the word `again` by the ticket it got.
`do bundle-fate reference=…` asks about them. After both, `therefore REFERENCE=FATE …` names items ("none": no word).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from gateway.simbank.ledger import CHINA, Ledger, LedgerAccount
from protocols.bank import Bank, Context, MoneyStep, Sign, Submit
from protocols.canon.host_days import ON_THE_CALENDAR, HostDays
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
    TransferDetail,
    Urgency,
)
from protocols.canon.party import AccountNumber, Name, Party, PartyKind
from protocols.canon.query import (
    BalanceQuestion,
    BundleFateQuestion,
    FateQuestion,
    LinesQuestion,
    ReceiptQuestion,
    ReturnsQuestion,
    Sent,
    SentBundle,
)
from protocols.canon.terms import DebitTerms
from protocols.judge import RequestFinding
from protocols.kit.errors import ProtocolError
from protocols.twin import Answer, Twin

R = TypeVar("R")
NOON = datetime(2026, 11, 24, 12, tzinfo=CHINA)


@dataclass(slots=True)
class Exchange:
    """One exchange with whole frames, as the cutters return them."""

    request: bytes
    answer: bytes
    money: bool


@dataclass(slots=True)
class BankTime:
    """The time in a scene, which the test sets."""

    now: datetime = NOON

    def now_ms(self) -> int:
        return round(self.now.timestamp() * 1000)

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass(slots=True)
class BankAndTwin:
    """The adapter and its twin, as the two sides of one connection. `tamper` changes the frame of each answer on its
    way to the adapter.

    `serials` are those of the last submit, as the journal would keep them. `findings` are the rules that the adapter's own
    requests broke: an honest adapter has none. `host` is the date of the bank's host as a lane has learnt it.
    """

    bank: Bank
    twin: Twin
    ledger: Ledger
    time: BankTime
    signers: Mapping[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    tamper: Callable[[bytes], bytes] | None = None
    said: list[Exchange] = field(default_factory=list)
    findings: list[RequestFinding] = field(default_factory=list)
    session: Mapping[str, str] = field(default_factory=dict)
    connection: dict[str, str] = field(default_factory=dict)
    serials: tuple[str, ...] = ()
    host: HostDays = ON_THE_CALENDAR
    _serial: int = 1000

    def context(self, reference: str = "") -> Context:
        """The context of a new conversation: new serials, the session so far, the scene's time."""
        count = self.bank.profile.serials_per_word
        serials = tuple(range(self._serial + 1, self._serial + count + 1))
        self._serial += count
        now = self.time.now
        day = now.date() if reference else now.date() + timedelta(days=self.host.ahead)
        return Context(reference, 1, day, now, serials, self.credentials, self.session, self.host)

    def talk(self, conversation: Generator[MoneyStep, bytes, R]) -> R:
        """Run a conversation to its end; a second Submit is an AssertionError."""
        submitted = False
        try:
            step = next(conversation)
            while True:
                if isinstance(step, Sign):
                    step = conversation.send(self.signers[step.key](step.octets))
                    continue
                assert not (submitted and isinstance(step, Submit)), "a conversation submitted twice"
                if isinstance(step, Submit):
                    submitted, self.serials = True, step.serials
                step = conversation.send(self.exchange(step.port, step.data, money=isinstance(step, Submit)))
        except StopIteration as end:
            result: R = end.value
            return result

    def exchange(self, port: str, data: bytes, *, money: bool = False) -> bytes:
        """The twin's answer to whole framed bytes, as the adapter's cutter returns it."""
        [request] = self.twin.requests(port).feed(data)
        told = self.twin.answer(port, request, self.ledger, self.connection)
        self.findings += told.findings
        answer = self.frame_of(port, told)
        if self.tamper is not None:
            answer = self.tamper(answer)
        self.said.append(Exchange(request, answer, money))
        return answer

    def frame_of(self, port: str, answer: Answer) -> bytes:
        """An answer as the adapter's cutter returns it."""
        cutter = self.bank.ports[port].answers()
        frames = cutter.feed(answer.data)
        [frame] = frames if frames or not answer.close else cutter.end()
        return frame

    def sign_on(self) -> None:
        """Sign on, if this bank has sessions."""
        if self.bank.sessions.sign_on is not None:
            self.session = self.talk(self.bank.sessions.sign_on(self.context()))


def order_of(given: Mapping[str, str]) -> AnyOrder:
    """The order that a `do pay` line describes. Every field except `amount` has a default."""
    debtor = Party(
        AccountNumber(given.get("from", "0000000000000000017")),
        Name(given.get("payer", "示例甲公司")),
        given.get("payer_bank"),
        given.get("payer_cnaps"),
    )
    creditor = Party(
        AccountNumber(given.get("to", "0000000000000000025")),
        Name(given.get("payee", "示例乙公司")),
        given.get("bank_name", "示例银行某支行"),
        given.get("cnaps", "000000000000"),
        PartyKind(given.get("payee_kind", "corporate")),
    )
    money, purpose = Money.parse(given["amount"]), given.get("purpose", "货款")
    urgency = Urgency(given.get("urgency", "normal"))
    number = given.get("id", "ERP-1")
    kind, place = given.get("kind"), int(given.get("item", "1"))
    if kind == "transfer":
        return Order(number, debtor, creditor, money, TransferDetail(), purpose, urgency)
    if kind == "batch_item":
        return Order(number, debtor, creditor, money, BatchItemDetail("B1", place), purpose, urgency)
    if kind == "payroll_item":
        return Order(number, debtor, creditor, money, PayrollItemDetail("B1", place), purpose, urgency)
    if kind == "collection":
        agreement = CollectionDetail(given.get("agreement", "A1"), "B1", place, DebitTerms("2026-01-02"))
        return Order(number, debtor, creditor, money, agreement, purpose, urgency)
    return Order(number, debtor, creditor, money, PaymentDetail(), purpose, urgency)


def sent_of(order: AnyOrder, reference: str, bank_date: date, serials: Sequence[str] = ()) -> Sent:
    """The journal's record of a payment, for questions."""
    return Sent(reference, bank_date, 1, tuple(serials), order.amount, order.debtor.account, order.creditor.account)


def sent_bundle_of(bundle: Bundle, reference: str, bank_date: date) -> SentBundle:
    """The journal's record of a bundle, for questions."""
    items = tuple(sent_of(item.order, item.reference, bank_date) for item in bundle.items)
    return SentBundle(reference, bank_date, 1, (), items)


Show = Callable[[bytes], tuple[str, Mapping[str, str]]]


class Scene:
    """Plays one `.dlg` file: `make` builds the stage from its accounts, `show` reads a frame to compare."""

    def __init__(self, file: Path, make: Callable[[Sequence[LedgerAccount]], BankAndTwin], show: Show) -> None:
        self._file = file
        self._make = make
        self._show = show
        self._payments: dict[str, tuple[AnyOrder, date]] = {}
        self._bundles: dict[str, tuple[Bundle, date]] = {}
        self._result: object = None
        self._heard = 0
        self._stage: BankAndTwin | None = None
        self._accounts: list[LedgerAccount] = []

    def play(self) -> int:
        """Runs the scene; returns how many of its lines were compared. AssertionErrors name file and line."""
        compared = 0
        for number, line, fields in _lines(self._file):
            try:
                compared += self._line(line, fields)
            except (AssertionError, KeyError, ValueError) as error:
                raise AssertionError(f"{self._file.name}:{number}: {line}: {error!r}") from error
        return compared

    def _line(self, line: str, fields: Mapping[str, str]) -> int:
        verb, *words = shlex.split(line)
        if verb == "account":
            self._accounts.append(LedgerAccount(words[0], words[1], Money.parse(words[2])))
            return 0
        if self._stage is None:
            self._stage = self._make(self._accounts)
        if verb == "later":
            self._stage.time.later(float(words[0]))
        elif verb == "do":
            self._heard = len(self._stage.said)
            given = dict(word.split("=", 1) for word in words[1:])
            self._result = self._do(self._stage, words[0], given, fields)
        elif verb in ("we", "bank"):
            said = self._stage.said[self._heard]
            name, shown = self._show(said.request if verb == "we" else said.answer)
            self._heard += verb == "bank"
            assert (verb, words[0]) in (("we", "send"), ("bank", "answers")), "no such line"
            assert name == words[1], f"it was {name}"
            for key, value in fields.items():
                assert value == "…" or shown.get(key) == value, f"{key} was {shown.get(key)!r}"
            return 1
        else:
            assert verb == "therefore", "no such line"
            for key, value in (word.split("=", 1) for word in words):
                assert (told := self._told(key)) == value, f"{key} is {told}"
            return 1
        return 0

    def _told(self, key: str) -> str:
        """The values in the last result: an item's outcome after a bundle, otherwise an attribute of the result."""
        if isinstance(self._result, Mapping):
            return _plain(getattr(self._result.get(key), "fate", None))
        return _plain(getattr(self._result, key))

    def _do(self, stage: BankAndTwin, word: str, given: Mapping[str, str], fields: Mapping[str, str]) -> object:
        try:
            if word in ("pay-bundle", "bundle-fate"):
                return self._bundle(stage, word, given, fields)
            return self._conversation(stage, word, given)
        except ProtocolError as error:
            return error

    def _bundle(self, stage: BankAndTwin, word: str, given: Mapping[str, str], fields: Mapping[str, str]) -> object:
        reference, today = given["reference"], stage.time.now.date()
        if word == "bundle-fate":
            bundle, day = self._bundles[reference]
            asked = BundleFateQuestion(sent_bundle_of(bundle, reference, day))
            return stage.talk(stage.bank.bundles[bundle.kind].fate(asked, stage.context()))
        items = []
        for place, (key, text) in enumerate(fields.items(), 1):
            of_item = dict(one.split("=", 1) for one in shlex.split(text))
            items.append(Item(order_of({**given, "item": str(place), **of_item}), key))
        bundle = Bundle(Kind(given["kind"]), tuple(items))
        self._bundles[reference] = (bundle, today)
        return stage.talk(stage.bank.bundles[bundle.kind].word(bundle, stage.context(reference)))

    def _conversation(self, stage: BankAndTwin, word: str, given: Mapping[str, str]) -> object:
        questions, bank, today = stage.bank.questions, stage.bank, stage.time.now.date()
        account = AccountNumber(given.get("account", "0000000000000000017"))
        if word == "pay":
            order, reference = order_of(given), given["reference"]
            self._payments[reference] = (order, today)
            return stage.talk(bank.money[order.kind](order, stage.context(reference)))
        if word == "fate":
            sent = sent_of(self._payments[given["reference"]][0], given["reference"], today)
            assert questions.fate is not None
            return stage.talk(questions.fate(FateQuestion(sent), stage.context()))
        if word == "balance":
            assert questions.balance is not None
            return stage.talk(questions.balance(BalanceQuestion(account), stage.context()))
        # Only these two words have days in `from` and `to`: in `do pay` they are accounts.
        first, last = (date.fromisoformat(given.get(key, today.isoformat())) for key in ("from", "to"))
        if word == "lines":
            assert questions.lines is not None
            cursor = getattr(self._result, "cursor", None) if "next" in given else None
            return stage.talk(questions.lines(LinesQuestion(account, first, last, cursor=cursor), stage.context()))
        if word == "returns":
            assert questions.returns is not None
            return stage.talk(questions.returns(ReturnsQuestion(account, first, last), stage.context()))
        if word == "receipt":
            assert questions.receipt is not None
            ticket = getattr(self._result, "ticket", None) if "again" in given else None
            wanted = ReceiptQuestion(account, date.fromisoformat(given["on"]), given["line"], ticket=ticket)
            return stage.talk(questions.receipt(wanted, stage.context()))
        assert word == "probe", f"no word {word!r}"
        return stage.talk(bank.sessions.probe(stage.context()))


def _lines(file: Path) -> Iterator[tuple[int, str, Mapping[str, str]]]:
    """Each line of a scene with its number and the fields indented below it."""
    found: list[tuple[int, str, dict[str, str]]] = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        if line[0] in " \t":
            key, _, value = line.strip().partition(" ")
            found[-1][2][key] = value.strip()
        else:
            found.append((number, line.strip(), {}))
    yield from found


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return str(len(value))
    return str(value.value) if isinstance(value, Enum) else str(value).lower() if value is None else str(value)
