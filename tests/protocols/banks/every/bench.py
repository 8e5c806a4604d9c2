"""A test bench for any bank: its adapter and its own twin, built from its trial, with every operation that it declares.

No bank is known here by name. What a bank needs beyond the usual is in its `trial.toml`.
"""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache
from importlib import import_module
from pathlib import Path
from shutil import rmtree
from typing import Any, cast

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.demo import site
from gateway.simbank.ledger import BookingRules, Ledger, LedgerAccount
from gateway.simbank.pki import BankPki, make_pki
from protocols.bank import Bank, Build
from protocols.canon.money import Money
from protocols.canon.order import (
    AnyOrder,
    BatchItemDetail,
    Bundle,
    CollectionDetail,
    Detail,
    Item,
    Kind,
    Order,
    PaymentDetail,
    PayrollItemDetail,
    TransferDetail,
)
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber, Name, Party, PartyKind
from protocols.canon.query import BundleFateQuestion, FateQuestion, LinesQuestion, ReturnsQuestion, Sent, SentBundle
from protocols.canon.statement import Line, Return
from protocols.canon.terms import DebitTerms
from protocols.kit import dsig
from protocols.trial import banks, trial
from protocols.twin import BuildTwin
from tests.world.dialogue import NOON, BankAndTwin, BankTime

EVERY = banks()
OPENING = Money(100_000_000)
PAGES_MAX = 50
_DETAIL: Mapping[Kind, Detail] = {
    Kind.PAYMENT: PaymentDetail(),
    Kind.TRANSFER: TransferDetail(),
    Kind.BATCH_ITEM: BatchItemDetail("B1", 1),
    Kind.PAYROLL_ITEM: PayrollItemDetail("B1", 1),
    Kind.COLLECTION: CollectionDetail("A1", "B1", 1, DebitTerms("2026-01-02")),
}


@cache
def pki(bank: str) -> BankPki:
    """Keys and certificates of one bank, made once per process."""
    folder = Path(tempfile.mkdtemp(prefix="bankgw-every-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    return make_pki(folder, [bank], NOON)[bank]


@cache
def _client_key(bank: str) -> RSAPrivateKey:
    return cast(RSAPrivateKey, load_pem_private_key(pki(bank).gateway_sign_key.read_bytes(), None))


@dataclass
class Table:
    """A bank with its twin and books, and the messages sent so far."""

    name: str
    stage: BankAndTwin
    own: tuple[str, ...]
    sent: dict[str, Sent] = field(default_factory=dict)
    bundles: dict[str, SentBundle] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))

    @property
    def bank(self) -> Bank:
        return self.stage.bank

    @property
    def today(self) -> date:
        return self.stage.time.now.date()

    def reference(self) -> str:
        """A fresh reference of the bank's form."""
        form = self.bank.profile.limits.reference
        room = form.length - len(form.prefix)
        return form.prefix + str(next(self.numbers)).rjust(room, "0" if "0" in form.alphabet else form.alphabet[0])

    # ---- money ----

    def order(self, kind: Kind, *, purpose: str = "货款", minor: int = 1_234_567, number: int = 1) -> AnyOrder:
        """An order that every bank can carry; `purpose` may hold a word that controls the books."""
        wants = trial(self.name).order
        # A payroll line need not have a purpose. The books also read a control word in the payee's name.
        word = purpose.partition("#")[1:] if kind is Kind.PAYROLL_ITEM else ()
        party = PartyKind(wants.get("/creditor/kind", "person" if kind is Kind.PAYROLL_ITEM else "corporate"))
        ours = Party(AccountNumber(self.own[0]), Name(site.HOLDERS[0]))
        theirs = Party(
            AccountNumber(str(wants.get("/creditor/account", "0000000000000000025"))),
            Name("".join(("示例乙", *word))),
            str(wants.get("/creditor/bank_name", "示例银行某支行")),
            str(wants.get("/creditor/cnaps", "000000000000")),
            party,
        )
        if kind is Kind.TRANSFER:
            theirs = Party(AccountNumber(self.own[1]), Name(site.HOLDERS[1]), theirs.bank_name, theirs.cnaps)
        if kind is Kind.COLLECTION:
            ours, theirs = theirs, ours
        detail = _DETAIL[kind]
        if not isinstance(detail, (PaymentDetail, TransferDetail)):
            detail = replace(detail, item_no=number)
        return cast(AnyOrder, Order(f"ERP{number}", ours, theirs, Money(minor), cast(Any, detail), purpose))

    def pay(self, order: AnyOrder, reference: str) -> Outcome:
        """Send an order, and keep the record that the journal would keep."""
        context = self.stage.context(reference)
        self.sent[reference] = sent_of(order, reference, context.bank_date)
        told = self.stage.talk(self.bank.money[order.kind](order, context))
        self.sent[reference] = replace(self.sent[reference], serials=self.stage.serials)
        return told

    def fate(self, reference: str) -> Outcome:
        """Ask for the fate of the payment."""
        ask = self.bank.questions.fate
        assert ask is not None, f"{self.name} sends money and cannot be asked about it"
        return self.stage.talk(ask(FateQuestion(self.sent[reference]), self.stage.context()))

    def bundle(self, kind: Kind, purposes: tuple[str, ...]) -> tuple[Bundle, str]:
        """Items of one kind that differ only in number and reference."""
        items = tuple(
            Item(self.order(kind, purpose=purpose, number=number), self.reference())
            for number, purpose in enumerate(purposes, start=1)
        )
        return Bundle(kind, items), self.reference()

    def pay_bundle(self, bundle: Bundle, reference: str) -> Mapping[str, Outcome]:
        """Send a bundle, and keep the record that the journal would keep."""
        context = self.stage.context(reference)
        items = tuple(sent_of(item.order, item.reference, context.bank_date) for item in bundle.items)
        self.bundles[reference] = SentBundle(reference, context.bank_date, 1, (), items)
        return self.stage.talk(self.bank.bundles[bundle.kind].word(bundle, context))

    def bundle_fate(self, kind: Kind, reference: str) -> Mapping[str, Outcome]:
        """Ask for the fate of each item."""
        question = BundleFateQuestion(self.bundles[reference])
        return self.stage.talk(self.bank.bundles[kind].fate(question, self.stage.context()))

    # ---- questions ----

    def walk(self, account: str, first: date, last: date) -> list[Line]:
        """Every page of an account's entries."""
        ask, cursor = self.bank.questions.lines, None
        assert ask is not None
        found: list[Line] = []
        for _ in range(PAGES_MAX):
            question = LinesQuestion(AccountNumber(account), first, last, cursor=cursor)
            page = self.stage.talk(ask(question, self.stage.context()))
            found += page.lines
            self.findings += page.findings
            cursor = page.cursor
            if cursor is None:
                return found
        raise AssertionError("the walk does not end")

    def returns(self) -> list[Return]:
        """The returns of the last days and of tomorrow, as the gateway asks, if the bank can be asked."""
        ask = self.bank.questions.returns
        if ask is None:
            return []
        day, cursor, found = timedelta(days=1), None, list[Return]()
        for _ in range(PAGES_MAX):
            question = ReturnsQuestion(AccountNumber(self.own[0]), self.today - day, self.today + day, cursor)
            page = self.stage.talk(ask(question, self.stage.context()))
            found += page.returns
            cursor = page.cursor
            if cursor is None:
                return found
        raise AssertionError("the walk does not end")

    def executions(self, reference: str) -> int:
        """The number of times that the bank moved money for the reference, by its books."""
        return sum(not one.refused for one in self.stage.ledger.truth().get(reference, []))

    def lines_carried_out(self, bundle: Bundle, reference: str) -> list[int]:
        """For each item the number of times that the bank moved money: found by its reference, or by its place if the
        lines have no reference."""
        by_reference = [self.executions(item.reference) for item in bundle.items]
        if any(by_reference):
            return by_reference
        executions = [one for lines in self.stage.ledger.truth().values() for one in lines]
        by_place = [int(not one.refused) for one in executions if one.instruction.bundle == reference]
        return by_place or by_reference


def sent_of(order: AnyOrder, reference: str, day: date) -> Sent:
    """The record of an order that the journal would store."""
    return Sent(reference, day, 1, (), order.amount, order.debtor.account, order.creditor.account)


def table(
    name: str,
    conduct: BookingRules = BookingRules(),
    bank_options: Mapping[str, Any] | None = None,
    **twin_options: Any,
) -> Table:
    """A bank, its twin and books, signed on; `bank_options` are options in addition to those of its trial."""
    dsig.start()
    known, files, time = trial(name), pki(name), BankTime()
    build = cast(Build, import_module(f"protocols.banks.{name}").build)
    options = {
        **known.options,
        **{option: getattr(files, which).read_text("ascii") for option, which in known.files.items()},
        **(bank_options or {}),
    }
    build_twin = cast(BuildTwin, import_module(f"protocols.banks.{name}.twin").build)
    keys = {"bank": files.bank_sign_key.read_bytes(), "client": files.gateway_sign_cert.read_bytes()}
    own = site.account_numbers(name, 2)
    accounts = [LedgerAccount(number, site.HOLDERS[n], OPENING) for n, number in enumerate(own)]
    books = Ledger(time.now_ms, accounts, replace(conduct, **known.books))
    sign: Callable[[bytes], bytes] = lambda octets: _client_key(name).sign(octets, PKCS1v15(), hashes.SHA256())  # noqa: E731
    stage = BankAndTwin(
        build(options),
        build_twin({**known.twin, **twin_options}, keys),
        books,
        time,
        signers=dict.fromkeys(known.keys, sign),
        credentials=known.credentials,
    )
    stage.sign_on()
    return Table(name, stage, own)


def kinds(name: str) -> tuple[Kind, ...]:
    """The kinds of orders that the bank takes in single messages."""
    return tuple(kind for kind in Kind if kind in _built(name).money)


def bundled(name: str) -> tuple[Kind, ...]:
    """The kinds of orders that the bank takes in messages of many."""
    return tuple(kind for kind in Kind if kind in _built(name).bundles)


def answering(question: str) -> tuple[str, ...]:
    """The banks that can be asked this question."""
    return tuple(name for name in EVERY if getattr(_built(name).questions, question) is not None)


@cache
def _built(name: str) -> Bank:
    return table(name).bank


FINAL = frozenset({Fate.SETTLED, Fate.FAILED, Fate.RETURNED, Fate.REVERSED})
