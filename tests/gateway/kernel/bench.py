"""A journal to test with: the committer over a real database, driven by hand, and orders to put into it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from sqlalchemy import Connection
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock as TaskClock
from twisted.python.failure import Failure

from gateway.gate_lists import OF_ORDER
from gateway.kernel.clock import Entropy
from gateway.kernel.cluster import lane_leases
from gateway.kernel.commit.committer import Committer
from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.lane_releases import MAY_LACK_SENDS
from gateway.kernel.commit.permit_lines import PeerHead
from gateway.kernel.commit.permit_log import NoPermits, Permits
from gateway.kernel.commit.rows import AttemptRow, OutboxRow, PaymentRow, Permit, Reply, WorkRow
from gateway.kernel.commit.store import Tx, Unit
from gateway.kernel.core.gate import Hold, RuleVerdict
from gateway.kernel.core.policy import Allowance, UsageFacts
from gateway.kernel.core.states import Event, Rules, Send
from gateway.kernel.sql import databases, vaults
from gateway.kernel.sql.vault import Vault
from gateway.payments.gates.order_facts import OrderFacts, OrderTerms
from gateway.payments.rows import admission as payments_admission
from gateway.payments.rows import transition as applying
from gateway.payments.rows.redelivery import Redelivery
from gateway.wiring import PORTS
from protocols.canon.limits import ReferenceForm
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Order, PaymentDetail
from protocols.canon.party import AccountNumber, Name, Party
from tests.gateway.kernel.owned import own_up
from tests.world.entropy import SeededEntropy

T = TypeVar("T")
Judged = Callable[[UsageFacts], RuleVerdict]
NOW_MS = 1_795_500_000_000
LANE = "sample.main"
KEY = b"k" * 32
DEBTOR, CREDITOR = "0000000000000000017", "0000000000000000025"
DEBTOR_NAME, CREDITOR_NAME, PURPOSE = "示例甲公司", "示例乙公司", "货款 合同 HT-0931"


NO_REACTOR: Any = None
"""For a store whose executors run everything at once: it asks no reactor for threads."""


class ManualClock:
    """A clock that a test moves; `later` is called when it is advanced."""

    def __init__(self) -> None:
        self.task = TaskClock()

    def now_ms(self) -> int:
        return NOW_MS + int(self.task.seconds() * 1000)

    def monotonic_s(self) -> float:
        return self.task.seconds()

    def later(self, delay_s: float, fn: Callable[..., object], *args: Any) -> IDelayedCall:
        return self.task.callLater(delay_s, fn, *args)


def vault() -> Vault:
    return Vault({"k1": KEY}, "k1")


def order(id: str = "AP-1", *, minor: int = 1_234_567, creditor: str = CREDITOR, **changed: Any) -> AnyOrder:
    made: Order[PaymentDetail] = Order(
        id=id,
        debtor=Party(AccountNumber(DEBTOR), Name(DEBTOR_NAME)),
        creditor=Party(AccountNumber(creditor), Name(CREDITOR_NAME), "示例银行某支行", "000000000000"),
        amount=Money(minor),
        detail=PaymentDetail(),
        purpose=PURPOSE,
        tags={"invoice": "INV-0931"},
    )
    return replace(made, **changed)


class StubRule:
    """A rule before all others whose verdict a test sets, by what the journal counted."""

    name = "judged_by"
    asks = "What does the test say?"
    answers = ()

    def __init__(self, judged: Judged) -> None:
        self._judged = judged

    def judge(self, facts: OrderFacts) -> RuleVerdict:
        return self._judged(facts.usage)


def admission(
    made: AnyOrder | None = None, allowance: Allowance | None = None, judged: Judged | None = None, **changed: Any
) -> payments_admission.Admission:
    made = made or order()
    terms = OrderTerms(NOW_MS, NOW_MS, allowance or Allowance("erp", alike_hours=0))
    return replace(
        payments_admission.Admission(
            company="jia",
            sender="erp",
            bank="sample",
            lane=LANE,
            order=made,
            fingerprint=f"1:{made.id}:{made.amount.minor}:{made.creditor.account.clear}",
            rules=Rules(),
            reply=Reply("erp.replies", "corr-1", "00-aa-bb-01"),
            form=ReferenceForm(),
            terms=terms,
            judged_by=OF_ORDER if judged is None else (StubRule(judged), *OF_ORDER),
            actor="user:erp",
            day="2026-11-24",
            coming=Redelivery(redelivered=False, arrived_ms=NOW_MS),
        ),
        **changed,
    )


def admit(made: AnyOrder, allowance: Allowance | None = None) -> Callable[[Tx], payments_admission.Admitted]:
    """The unit that admits this order."""
    asked = admission(made, allowance)
    return lambda tx: payments_admission.admit(tx, asked, tx.entropy)


def hold(facts: UsageFacts) -> RuleVerdict:
    return Hold("approval")


@dataclass
class MemoryPermits:
    """Permits in memory, with what was committed when each group of them was written."""

    groups: list[list[Permit]] = field(default_factory=list)
    on_write: Callable[[], object] = lambda: None

    def append_permits(self, permits: Any) -> None:
        self.on_write()
        self.groups.append(list(permits))

    @property
    def peers(self) -> Mapping[str, PeerHead]:
        return {}

    def permitted(self, ref: str, attempt: int) -> bool:
        return False

    def note(self, group: Any, words: Any = ()) -> None:
        pass

    def another(self, at_ms: int) -> None:
        pass

    def close(self) -> None:
        pass


class Journal:
    """One node over one database. `do` commits one unit and returns its value or raises its exception."""

    def __init__(
        self,
        url: str,
        node: str = "n1",
        *,
        permits: Permits | None = None,
        entropy: Entropy | None = None,
        hands: ManualClock | None = None,
        sealing: Vault | None = None,
        **options: Any,
    ) -> None:
        self.url = url
        self.node = node
        self.hands = hands or ManualClock()
        self.entropy = entropy or SeededEntropy(zlib.crc32(node.encode()))
        self.vault = sealing or vault()
        self.engine = databases.connect(url, connections=1, writing=True)
        self.readers = databases.connect(url, connections=2, writing=False)
        for engine in (self.engine, self.readers):
            vaults.attach(engine, self.vault)
        options.setdefault("ports", PORTS.filled(MAY_LACK_SENDS, lambda _lane: False))
        options.setdefault("pause", lambda seconds: self.hands.task.advance(seconds))
        self.committer = Committer(
            self.engine, self.hands, node, self.vault, self.entropy, permits or NoPermits(), **options
        )
        self.messages: list[OutboxRow] = []
        self.works: list[WorkRow] = []

    def group(self, units: Sequence[Unit[Any]]) -> list[Any]:
        done = self.committer.commit(units)
        self.messages, self.works = list(done.hand_over.messages), list(done.hand_over.works)
        return list(done.results)

    def do(self, unit: Callable[[Tx], T]) -> T:
        value = self.group([unit])[0]
        if isinstance(value, Failure):
            value.raiseException()
        return value  # type: ignore[no-any-return]

    def read(self, fn: Callable[[Connection], T]) -> T:
        with self.readers.connect() as conn:
            return fn(conn)

    @contextmanager
    def stranger(self) -> Iterator[Connection]:
        """A connection that writes to the database without the journal."""
        engine = databases.connect(self.url, connections=1, writing=True)
        with engine.connect() as conn, conn.begin():
            yield conn
        engine.dispose()

    def own_up(self) -> None:
        """Seal payments that the test changed by SQL, as if the gateway had changed them."""
        with self.stranger() as conn:
            own_up(conn, self.vault)
        self.committer._cache.distrust()

    def count(self, table: Any) -> int:
        return self.read(lambda conn: databases.count(conn, table))

    def admit(self, *args: Any, **changed: Any) -> payments_admission.Admitted:
        asked = admission(*args, **changed)
        return self.do(lambda tx: payments_admission.admit(tx, asked, self.entropy))

    def apply(self, payment: str, event: Event, *, epoch: int | None = 1, **options: Any) -> Applied:
        def apply_event(tx: Tx) -> Applied:
            return applying.apply(tx, payment, event, epoch=epoch, actor="node:n1", **options)

        return self.do(apply_event)

    def send(self, row: PaymentRow, *, epoch: int = 1) -> Applied:
        made = attempt(row.payment, row.life.attempt + 1, epoch)
        return self.apply(row.payment, Send(self.hands.now_ms()), epoch=epoch, attempt=made)

    def close(self) -> None:
        self.committer.close()
        self.readers.dispose()


def attempt(payment: str, n: int = 1, epoch: int = 1, wire: bytes = b"<pay/>") -> AttemptRow:
    return AttemptRow(
        payment, n, epoch, "n1", "2026-11-24", ("000001", "000002"), "business", wire, "key-1", NOW_MS, "never"
    )


def message(id: str, node: str = "n1", body: bytes = b"{}") -> OutboxRow:
    return OutboxRow(message_id=id, node=node, exchange="", routing_key="erp.replies", body=body, created_ms=NOW_MS)


def take_lane(tx: Tx, lane: str, node: str, ttl_ms: int) -> int | None:
    """Acquire a lane: its new epoch, None while another node owns it."""
    taken = lane_leases.acquire(tx, lane, node, ttl_ms)
    return None if taken is None else taken.epoch
