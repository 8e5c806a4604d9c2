"""The processor time of one payment by part: each part alone, in one thread, warm.

    python -m bench.anatomy

In the daemon the parts cost more than their sum here: its caches are colder and its two threads share one interpreter.
Each figure is the best of several repetitions, in microseconds of processor time for one payment.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bench.orders import DEBTORS, order
from bench.own_journal import CLOCK, own_journal
from gateway.bank.exchange_ring import ExchangeRing
from gateway.bank.exchange_trace import LaneTrace
from gateway.demo import site
from gateway.kernel.clock import Entropy, SystemEntropy
from gateway.kernel.commit import outbox
from gateway.kernel.commit.committer import Committer
from gateway.kernel.commit.rows import AttemptRow, Evidence, OutboxRow, OutboxState, PaymentRow, Reply
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.policy import Allowance
from gateway.kernel.core.states import Answered, Rules, Send, Source
from gateway.kernel.sql import vault
from gateway.payments.gates.order_facts import OrderTerms
from gateway.payments.rows import admission
from gateway.payments.rows import transition as applying
from gateway.payments.rows.redelivery import Redelivery
from gateway.simbank.ledger import Ledger, LedgerAccount
from gateway.simbank.pki import BankPki, make_pki
from protocols.bank import Bank, Context
from protocols.banks import sample
from protocols.banks.sample import twin as sample_twin
from protocols.canon.limits import ReferenceForm
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder
from protocols.canon.outcome import Fate, Outcome
from protocols.erp import commands, fingerprint
from protocols.erp.words import CommandType, SubmitOrder
from protocols.kit import dsig

COUNT, REPEATS, GROUP, ALONE = 400, 5, 10, 100
CHINA = timezone(timedelta(hours=8))
ACCOUNTS = site.account_numbers("sample", 2)


class Stopwatch:
    """Adds up thread time by part. `best` keeps the smallest sum of all repetitions."""

    def __init__(self) -> None:
        self.best: dict[str, float] = {}
        self._sums: dict[str, int] = {}

    def time(self, part: str, work: Callable[[], Any]) -> Any:
        """Run `work`, and count its time for `part`."""
        started_ns = time.thread_time_ns()
        result = work()
        self._sums[part] = self._sums.get(part, 0) + time.thread_time_ns() - started_ns
        return result

    def lap(self, count: int) -> None:
        """End a repetition over `count` payments."""
        for part, spent_ns in self._sums.items():
            each_us = spent_ns / count / 1000
            self.best[part] = min(self.best.get(part, each_us), each_us)
        self._sums.clear()


def _orders(repeat: int) -> list[AnyOrder]:
    made: list[AnyOrder] = []
    for number in range(repeat * COUNT, (repeat + 1) * COUNT):
        read = commands.parse_command(CommandType.PAYMENT_SUBMIT, "application/json", order("A", number, ACCOUNTS))
        assert isinstance(read, SubmitOrder), read
        made.append(read.order)
    return made


@dataclass(frozen=True, slots=True)
class PaymentExchange:
    """Both sides of one payment's conversation with `sample`, without a network."""

    bank: Bank
    twin: Any
    books: Ledger
    key: RSAPrivateKey

    @classmethod
    def of(cls, files: BankPki, verify: str) -> PaymentExchange:
        """The exchange with keys of an invented PKI."""
        own = load_pem_private_key(files.gateway_sign_key.read_bytes(), None)
        assert isinstance(own, RSAPrivateKey)
        keys = {"bank": files.bank_sign_key.read_bytes(), "client": files.gateway_sign_cert.read_bytes()}
        accounts = [
            LedgerAccount(number, holder, Money(10**14)) for number, holder in zip(ACCOUNTS, DEBTORS, strict=True)
        ]
        return cls(
            sample.build({"bank_certificate": files.bank_sign_cert.read_text(), "verify": verify}),
            sample_twin.build({"user": "u", "password": "p", "cheap": True}, keys),
            Ledger(CLOCK.now_ms, accounts),
            own,
        )

    def pay(self, watch: Stopwatch, made: AnyOrder, reference: str, serial: int) -> None:
        """Play one payment's conversation, and time its parts."""
        now = datetime.now(CHINA)
        context = Context(reference, 1, now.date(), now, (serial,), {}, {})
        words = self.bank.money[made.kind](made, context)
        sign = watch.time("bank's XML: write and canonicalise", lambda: next(words))
        value = watch.time("RSA-2048 signature", lambda: self.key.sign(sign.octets, PKCS1v15(), hashes.SHA256()))
        submit = watch.time("bank's XML: write and canonicalise", lambda: words.send(value))
        answer = self.twin.answer("business", submit.data[8:], self.books, {"token": "t"}).data[8:]
        outcome = watch.time("bank's answer: verify and read", lambda: _end(words, answer))
        assert outcome.fate is Fate.SETTLED, outcome


def _end(words: Any, answer: bytes) -> Outcome:
    try:
        words.send(answer)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
    raise AssertionError("the conversation did not end")


def talk_parts(folder: Path, verify: str, watch: Stopwatch) -> None:
    """Measure the conversation with `sample`."""
    talk = PaymentExchange.of(make_pki(folder / verify, ["sample"], datetime.now(UTC))["sample"], verify)
    for repeat in range(REPEATS):
        for number, made in enumerate(_orders(repeat)):
            talk.pay(watch, made, f"{verify[:1].upper()}{repeat:03d}{number:016d}", repeat * COUNT + number + 1)
        watch.lap(COUNT)


def journal_parts(folder: Path, watch: Stopwatch) -> None:
    """Measure the three units of a payment and the marks of its two events, with GROUP units a commit."""
    with own_journal(folder) as journal:
        for repeat in range(REPEATS):
            _journal_lap(journal.committer, watch, _orders(repeat))
            watch.lap(COUNT)


def alone_parts(folder: Path, watch: Stopwatch) -> None:
    """Measure units that are committed alone, with their commit: one that does nothing, and one that accepts an
    order."""
    (folder / "alone").mkdir()
    with own_journal(folder / "alone") as journal:
        entropy = SystemEntropy()
        for repeat in range(REPEATS):
            for made in _orders(repeat)[:ALONE]:
                unit = _accepting(admission_of(made), entropy)
                watch.time("one unit alone, commit and all: nothing", partial(journal.committer.commit, [_nothing]))
                watch.time("one unit alone, commit and all: accept", partial(journal.committer.commit, [unit]))
            watch.lap(ALONE)


def _nothing(_tx: Tx) -> None:
    """A unit that does nothing, to measure the cost of an empty commit."""


def _journal_lap(committer: Committer, watch: Stopwatch, made: Sequence[AnyOrder]) -> None:
    messages: list[OutboxRow] = []

    def run(part: str, units: Sequence[Callable[[Tx], Any]]) -> list[Any]:
        results: list[Any] = []
        for start in range(0, len(units), GROUP):
            done = watch.time(part, partial(committer.commit, units[start : start + GROUP]))
            results += done.results
            messages.extend(done.hand_over.messages)
        return results

    entropy = SystemEntropy()
    asked = [admission_of(one) for one in made]
    rows = [one.row for one in run("journal: accept", [_accepting(one, entropy) for one in asked])]
    rows = [one.row_after for one in run("journal: about to send", [_sending(row) for row in rows])]
    run("journal: the bank's word", [_answered(row) for row in rows])
    ids = [mail.message_id for mail in messages]
    marks = [tuple(ids[start : start + 50]) for start in range(0, len(ids), 50)]
    run("journal: events confirmed", [_marking(some) for some in marks])


def _accepting(asked: admission.Admission, entropy: Entropy) -> Callable[[Tx], Any]:
    return lambda tx: admission.admit(tx, asked, entropy)


def _marking(message_ids: tuple[str, ...]) -> Callable[[Tx], Any]:
    return lambda tx: outbox.mark(tx, message_ids, OutboxState.SENT)


def admission_of(made: AnyOrder) -> admission.Admission:
    """The admission of an order, as its journal unit needs it."""
    return admission.Admission(
        company="jia",
        sender="erp",
        bank="sample",
        lane="sample.main",
        order=made,
        fingerprint=fingerprint.fingerprint(made),
        rules=Rules(),
        reply=Reply(None, None),
        coming=Redelivery(redelivered=False, arrived_ms=1),
        form=ReferenceForm(20, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        actor="user:erp",
        day="2026-11-24",
        terms=OrderTerms(1, 1, Allowance("erp")),
        dup_key=fingerprint.dup_key(made),
    )


def _sending(row: PaymentRow) -> Callable[[Tx], Any]:
    attempt = AttemptRow(row.payment, 1, 1, "gw1", "2026-11-24", ("1",), "business", b"x" * 1700, "order", 1, "never")
    return lambda tx: applying.apply(
        tx,
        row.payment,
        Send(tx.now_ms),
        epoch=1,
        actor="lane:sample.main",
        attempt=replace(attempt, first_write_ms=tx.now_ms),
    )


def _answered(row: PaymentRow) -> Callable[[Tx], Any]:
    outcome = Outcome(Fate.SETTLED, "S", "done", bank_serial="1", booked_at=datetime.now(UTC))
    evidence = Evidence(Source.SUBMIT, b"y" * 1700, Fate.SETTLED, "S", "done")
    return lambda tx: applying.apply(
        tx,
        row.payment,
        Answered(tx.now_ms, Fate.SETTLED, Source.SUBMIT),
        epoch=1,
        actor="lane:sample.main",
        evidence=evidence,
        outcome=outcome,
    )


def door_parts(watch: Stopwatch) -> None:
    """Measure reading a command and computing its fingerprint."""
    for _ in range(REPEATS):
        for number in range(COUNT):
            body = order("D", number, ACCOUNTS)
            reading = partial(commands.parse_command, CommandType.PAYMENT_SUBMIT, "application/json", body)
            read = watch.time("ERP's command: read", reading)
            watch.time("ERP's command: fingerprint", partial(fingerprint.fingerprint, read.order))
        watch.lap(COUNT)


def trace_parts(folder: Path, watch: Stopwatch) -> None:
    """Measure writing one exchange to the lane's trace, with signed octets, request and answer of a payment's size."""
    ring = ExchangeRing(folder / "traces", "sample.main", 4 << 20, vault.create(folder / "traces.key"))
    trace = LaneTrace(ring, {"user": "demo", "password": "demo-password"}, CLOCK)
    session = trace.session(0)
    line = session.connection("business")

    def exchange() -> None:
        session.signed("order", b"o" * 1200)
        line.request(b"x" * 1700)
        line.answer(b"y" * 1700, 1700)

    for _ in range(REPEATS):
        for _number in range(COUNT):
            watch.time("bank's exchange: trace", exchange)
        watch.lap(COUNT)


def main() -> int:
    """Measure all parts and print the table."""
    dsig.start()
    watch, by_hand, alone = Stopwatch(), Stopwatch(), Stopwatch()
    with tempfile.TemporaryDirectory(prefix="bankgw-anatomy-") as name:
        door_parts(watch)
        journal_parts(Path(name), watch)
        alone_parts(Path(name), alone)
        trace_parts(Path(name), watch)
        talk_parts(Path(name), "xmlsec", watch)
        talk_parts(Path(name), "hand", by_hand)
    for part, each_us in watch.best.items():
        print(f"{each_us:6.0f} us  {part}")
    print(f"{sum(watch.best.values()):6.0f} us  all of these")
    read = "bank's answer: verify and read"
    print(f'{by_hand.best[read]:6.0f} us  {read}, with verify = "hand"')
    for part, each_us in alone.best.items():
        print(f"{each_us:6.0f} us  {part}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
