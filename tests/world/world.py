"""A whole gateway in one process and on one clock: real journal, model broker, simulated banks, pipes for sockets.

A *life* is one run of the daemon. `crash` ends it as SIGKILL would: from that moment nothing of it runs, its
connections are lost, and only what was committed is left for the next life.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, func, select
from twisted.internet.defer import Deferred, fail

from gateway import app
from gateway import settings as conf
from gateway.bank.connection import BankConnection
from gateway.kernel.cluster.other_nodes import compare_at_start
from gateway.kernel.cluster.safe_mode import SafeMode
from gateway.kernel.commit import audit
from gateway.kernel.commit.group_commit import SqlStore
from gateway.kernel.commit.lane_releases import MAY_LACK_SENDS
from gateway.kernel.commit.permit_log import PermitLog
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Event, Release
from gateway.kernel.deliveries import Properties
from gateway.kernel.meters import Meters
from gateway.kernel.sql import databases, schema, vaults
from gateway.kernel.sql.vault import Vault
from gateway.parts import Parts
from gateway.payments.rows import lookup
from gateway.payments.rows import transition as applying
from gateway.settings import Settings
from gateway.settings.agreement import TREASURY
from gateway.simbank.faults import FaultPlan, FaultSource
from gateway.simbank.ledger import BookingRules, Ledger, LedgerAccount
from gateway.simbank.server import SimBank
from gateway.wiring import PORTS
from protocols.bank import Bank, Port
from protocols.canon.money import Money
from protocols.canon.outcome import State
from protocols.kit import dsig
from tests.world import stand_ins
from tests.world.broker import ModelBroker, ModelClient
from tests.world.broker import properties as envelope
from tests.world.clock import HeapClock
from tests.world.entropy import SeededEntropy
from tests.world.life_clock import LifeClock
from tests.world.life_permits import LifePermits, Permits
from tests.world.pipe import End, connect
from tests.world.points import LifeEnded, PointedAmqp, PointedExecutor, Points

T = TypeVar("T")
START_S = 1_795_000_000.0
_ENTERPRISE = "00000000000000000001"
_ACCOUNTS = {"sample": "00000000000100", "pab": "00000000000507"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "sample": {"verify": "hand", "sessions": 4},
    "pab": {"enterprise_code": _ENTERPRISE, "per_second": 100, "burst": 20, "first_enquiry_s": 2.0},
}
_TWIN_OPTIONS: dict[str, dict[str, Any]] = {
    "sample": {"user": "u", "password": "p", "cheap": True},
    "pab": {"enterprise_code": _ENTERPRISE},
}
USER = "erp-user"
REPLIES, EVENTS = "erp-demo.replies", "erp-demo.events"
OPERATIONS = (
    "payment.submit",
    "payment.cancel",
    "payment.approve",
    "payment.reject",
    "transfer.submit",
    "batch.submit",
    "payroll.submit",
    "collection.submit",
    "status.query",
    "balance.query",
    "transactions.query",
    "statement.request",
    "receipt.request",
    "ledger.submit",
    "ledger.withdraw",
    "credit.claim",
    "reconciliation.query",
    "report.request",
)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the tables of `changes` laid over it, level by level."""
    both = dict(base)
    for name, value in changes.items():
        old = both.get(name)
        both[name] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both


class Unreachable(Exception):
    """The simulated bank's port is closed."""


@dataclass(slots=True)
class BankSite:
    """One bank of the world."""

    simbank: SimBank
    ledger: Ledger
    reachable: bool = True
    accounts: tuple[str, ...] = ()

    @property
    def account(self) -> str:
        """The bank's first account."""
        return self.accounts[0]


class WorldDialer:
    """A dialer that opens pipes to a simulated bank."""

    def __init__(self, life: Life, site: BankSite, lane: str) -> None:
        self._life = life
        self._site = site
        self._lane = lane

    def dial(self, port: Port, build: Callable[[], BankConnection]) -> Deferred[BankConnection]:
        from gateway.bank.dialer import NotConnected
        from gateway.bank.handshake_errors import Reason

        self._life.world.dials += 1
        if not self._site.reachable:
            return fail(NotConnected("simbank", Reason.REFUSED, "the door is shut"))
        line: Deferred[BankConnection] = Deferred()
        self._life.clock.later(0.001, self._open, port, build, line)
        return line

    def _open(self, port: Port, build: Callable[[], BankConnection], opened: Deferred[BankConnection]) -> None:
        protocol = build()
        ours, _theirs = connect(self._life.world.clock, protocol, self._site.simbank.build(port.name))
        ours.hit, ours.lane = self._life.world.hit, self._lane
        self._life.pipes.append(ours)
        self._life.world.pipes.append(ours)
        if not opened.called:
            opened.callback(protocol)


@dataclass(slots=True)
class Life:
    """One run of the daemon."""

    world: World
    clock: LifeClock
    amqp: ModelClient
    store: SqlStore
    gateway: app.Gateway
    meters: Meters
    permits: PermitLog
    pipes: list[End] = field(default_factory=list)
    fatal: list[str] = field(default_factory=list)

    def sample(self, name: str, **labels: str) -> float:
        """A metric's value; 0 if it has no such series."""
        return self.meters.registry.get_sample_value(name, labels) or 0.0

    def crash(self) -> None:
        """End the life as SIGKILL would."""
        self.clock.dead = True
        self.permits.close()
        self.amqp.die()
        self.world.dead.add(self.store)
        for pipe in self.pipes:
            pipe.vanish()


class World:
    """A simulated world: a whole gateway in one process and on one clock. See the module.

    `bank_options` go to the first bank's adapter, `options` to each bank's by name; `adapters` may change an adapter
    before a gateway gets it. `wrap` may change every part of a life. `holdings` are what a bank's accounts have, in their
    order. `url`: the journal is in this database, which is laid out and empty. `beside`: another world whose broker and
    clock are this one's too.
    """

    def __init__(
        self,
        folder: Path,
        seed: int = 1,
        *,
        banks: tuple[str, ...] = ("sample",),
        plan: FaultSource | None = None,
        conduct: BookingRules = BookingRules(),
        bank_options: Mapping[str, Any] | None = None,
        sender: Mapping[str, Any] | None = None,
        wrap: Callable[[Life, Parts], Parts] | None = None,
        points: Points | None = None,
        settings: Mapping[str, Any] | None = None,
        spans: Mapping[str, float] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        adapters: Mapping[str, Callable[[Bank], Bank]] | None = None,
        linger_ms: float = 3.0,
        accounts: int = 1,
        lanes: tuple[str, ...] = ("main",),
        holdings: tuple[int, ...] = (),
        url: str | None = None,
        beside: World | None = None,
    ) -> None:
        dsig.start()
        self.folder = folder
        self.seed = seed
        self.clock: HeapClock = HeapClock(START_S) if beside is None else beside.clock
        self.broker: ModelBroker = ModelBroker(self.clock) if beside is None else beside.broker
        self.broker.declare(REPLIES)
        self.broker.declare(EVENTS, "bankgw.events")
        self.events: list[dict[str, Any]] = []
        self.replies: list[tuple[Properties, dict[str, Any]]] = []
        self.vault = Vault({"k1": bytes(32)}, "k1", bytes(range(32)))
        self.url = url or f"sqlite:///{folder / 'journal.db'}"
        self.keys = stand_ins.signing_keys()
        self.permits = Permits(self)
        self._options = {name: {**_OPTIONS[name], **(options or {}).get(name, {})} for name in banks}
        self._options[banks[0]] = {**self._options[banks[0]], **(bank_options or {})}
        self.adapters = dict(adapters or {})
        self.lanes = lanes
        self.sender = "kingdee"
        self.never_since: dict[str, int] = {}  # how often payments of a bank had been repeated by then
        self.kinds_off: dict[str, Callable[[Bank], Bank] | None] = {}
        self.approving: Any = None  # tests.world.approving.Approving: the approvers of this world, if there are any
        self.between: Counter[str] = Counter()  # which changes of `tests.world.between` were played
        self.old_lanes: dict[str, str] = {}
        self.old_senders: dict[str, str] = {}
        self._accounts, self._holdings = accounts, holdings
        self.points = points or Points()
        self._sender = sender or {}
        self._changes = settings or {}
        self._wrap = wrap
        self._published = 0
        self._orders: dict[str, tuple[str, str, dict[str, Any]]] = {}
        self.commands: Counter[str] = Counter()
        self.pipes: list[End] = []
        self.credentials: Mapping[str, str] = {"user": "u", "password": "p"}
        self.dials = 0
        self.spans = dict(spans or {})
        self.banks = {name: self._bank(name, plan or FaultPlan(str(seed), {}), conduct) for name in banks}
        self.lane_of = {
            account: lanes[n % len(lanes)] for site in self.banks.values() for n, account in enumerate(site.accounts)
        }
        self.settings = self._settings()
        stand_ins.lay_journal(folder / "journal.db")
        self._server, self._mirrored = url is not None, 0.0
        self._outside: sqlite3.Connection | None = None
        self.life: Life | None = None
        self.dead: WeakSet[SqlStore] = WeakSet()
        self.node = "gw1"
        self.linger_ms = linger_ms

    @property
    def bank(self) -> BankSite:
        """The first bank."""
        return next(iter(self.banks.values()))

    @staticmethod
    def accounts_of(bank: str, count: int) -> tuple[str, ...]:
        """The numbers of this many accounts at a bank."""
        return tuple(f"{int(_ACCOUNTS[bank]) + n:014d}" for n in range(count))

    def _bank(self, name: str, plan: FaultSource, conduct: BookingRules) -> BankSite:
        twin = stand_ins.twin(name, _TWIN_OPTIONS[name])
        numbers = self.accounts_of(name, self._accounts)
        has = (*self._holdings, *(10**12,) * len(numbers))
        accounts = [
            LedgerAccount(number, "示例甲公司", Money(minor), 0) for number, minor in zip(numbers, has, strict=False)
        ]
        ledger = Ledger(lambda: round(self.clock.seconds() * 1000), accounts, conduct)
        simbank = SimBank(self.clock, twin, ledger, plan, seed=str(self.seed))
        return BankSite(simbank, ledger, accounts=numbers)

    def _settings(self) -> Settings:
        said = merged(
            {
                "state_dir": str(self.folder),
                "node": "gw1",
                "drain_s": 20,
                "broker": {"password": {"file": "/nowhere"}},
                "journal": {"vault_key": {"file": "/nowhere"}},
                "accounts": [
                    {
                        "number": number,
                        "name": "示例甲公司",
                        "company": "jia",
                        "bank": name,
                        "lane": self.lane_of[number],
                    }
                    for name, site in self.banks.items()
                    for number in site.accounts
                ],
                "senders": {
                    self.sender: {
                        "users": [USER],
                        "operations": list(OPERATIONS),
                        "reply_to": r"erp-demo\..*",
                        "suspected_duplicate_hours": 0,
                        **self._sender,
                    }
                },
                "banks": {
                    name: {
                        "protocol": name,
                        **self.spans,
                        "lanes": {
                            lane: {"host": "127.0.0.1", "ports": {"business": 1}, "plaintext": "loopback"}
                            for lane in self.lanes
                        },
                    }
                    for name in self.banks
                },
            },
            self._changes,
        )
        # Accounts are watched only if a test asks for it: their questions would stand between those that it counts.
        return Settings.model_validate({**said, "accounts": [{"watch": False, **one} for one in said["accounts"]]})

    def _adapter(self, table: conf.BankSettings, name: str) -> Bank:
        bank = stand_ins.bank(table, self._options[name])
        changed = self.adapters.get(name)
        return bank if changed is None else changed(bank)

    # ---- lives ----

    def start(self, node: str = "gw1", *, off_ms: int = 0) -> Life:
        """Start the daemon under the name of `node`; `life` is then the last one started.

        `off_ms`: how wrong the machine's clock is.
        """
        self._outside = None  # between two lives the journal's file may have been replaced
        clock = LifeClock(self.clock, off_ms)
        entropy = SeededEntropy(self.seed * 1_000_003 + self.broker.clock.scheduled)
        meters = Meters(CollectorRegistry())
        amqp = self.broker.client(clock.later)
        inline = PointedExecutor(clock, self)
        log = PermitLog(self.permit_folder(node), self.vault, node, sync=lambda _handle: None)
        life: Life
        threads: Any = self.clock  # with executors of its own the store asks the reactor for the time alone
        safe_mode = SafeMode(tuple(conf.lanes_of(self.settings)))
        store = stand_ins.of_kind(
            self._server,
            SqlStore(
                self.url,
                threads,
                clock,
                node,
                self.vault,
                LifePermits(self, clock, log),
                self.linger_ms,
                entropy=entropy,
                ports=PORTS.filled(MAY_LACK_SENDS, safe_mode.may_lack_sends),
                on_fatal=lambda error: life.fatal.append(str(error)),
                executor=inline,
                reading=inline,
            ),
        )
        life = Life(self, clock, amqp, store, gateway=None, meters=meters, permits=log)  # type: ignore[arg-type]
        tables = self.settings.banks
        parts = Parts(
            clock=clock,
            entropy=entropy,
            store=store,
            amqp=PointedAmqp(amqp, self),
            cursor_key=b"k" * 32,
            meters=meters,
            dialers={
                key: WorldDialer(life, site, key)
                for name, site in self.banks.items()
                for key in (f"{name}.{lane}" for lane in self.lanes)
            },
            signers={f"{name}.{lane}": {"order": self.keys.signer} for name in self.banks for lane in self.lanes},
            credentials={f"{name}.{lane}": self.credentials for name in self.banks for lane in self.lanes},
            banks={name: self._adapter(tables[name], name) for name in self.banks},
            permit_log=log,
            past=lambda: Deferred.fromCoroutine(compare_at_start(store, log, clock)),
            safe_mode=safe_mode,
        )
        if self._wrap is not None:
            parts = self._wrap(life, parts)
        settings = self.settings.model_copy(update={"node": node})
        life.gateway = app.build(settings, parts, life.fatal.append)
        self.life, self.node = life, node
        starting = Deferred.fromCoroutine(life.gateway.start())
        starting.addErrback(lambda failure: life.fatal.append(failure.getTraceback()))
        return life

    def permit_folder(self, node: str) -> Path:
        """Where the machine of this node stores its permit log."""
        return self.folder / f"permits-{node}"

    def set_up_again(self) -> None:
        """Make the next life read settings with the present `lanes`, `lane_of`, `sender` and `adapters`."""
        self.settings = self._settings()

    def crash(self) -> None:
        """Kill the running life."""
        assert self.life is not None
        self.life.crash()
        if self._server:
            # A server ends the sessions of a process that died.
            self.life.store._committer.close()
            self.life.store._readers.dispose()
        self.life = None

    def leave(self) -> None:
        """Stop the running daemon in order."""
        assert self.life is not None
        stopped: list[object] = []
        Deferred.fromCoroutine(self.life.gateway.stop()).addBoth(stopped.append)
        self.clock.advance(self.settings.drain_s * 2)
        assert stopped == [None], f"the daemon did not stop: {stopped}"
        self.life.crash()
        self.life = None

    def rules(self) -> Counter[str]:
        """The number of decisions by each row of the table, from the audit trail. The row of an admission is in its
        detail."""

        def count(conn: Connection) -> Counter[str]:
            kind = schema.audit.c.entry
            decided = select(kind, func.count()).where(kind.like("payment.%")).group_by(kind)
            counted = Counter({entry.removeprefix("payment."): n for entry, n in conn.execute(decided)})
            del counted["admitted"]
            for row in conn.execute(select(schema.audit).where(kind == "payment.admitted")):
                counted[audit._entry(row, self.vault).detail["rule"]] += 1
            return counted

        return self.read(count)

    def decisions(self) -> list[str]:
        """The table's decisions with their times, in order."""
        rows = self.query(
            "select a.at_ms, a.entry, p.order_id, a.node from audit a join payments p on p.payment = a.object_id"
            " where a.entry like ? order by a.at_ms, p.order_id, a.seq",
            "payment.%",
        )
        began_ms = round(START_S * 1000)
        return [f"{(at_ms - began_ms) / 1000:9.3f} s  {entry}  {id_}  {node}" for at_ms, entry, id_, node in rows]

    def repeats(self, bank: str) -> list[str]:
        """The orders of payments that were repeated, as often as that happened."""
        return [
            str(id_)
            for (id_,) in self.query(
                "select p.order_id from audit a join payments p on p.payment = a.object_id"
                " where a.entry = 'payment.replay' and p.bank = ?",
                bank,
            )
        ]

    def state(self, id_: str) -> str | None:
        """The state of an order's payment, as committed; None if there is none."""
        found = self.query("select state from payments where order_id = ?", id_)
        return str(found[0][0]) if found else None

    def in_state(self, state: str) -> list[str]:
        """The orders whose payments are in this state, as committed."""
        return [id_ for (id_,) in self.query("select order_id from payments where state = ? order by payment", state)]

    def mirror(self) -> None:
        """Copy a server's journal to the file of the folder, from which tests read the journal."""
        if self._server and self._mirrored != self.clock.seconds():
            self._mirrored = self.clock.seconds()
            stand_ins.copy_journal(self.url, self.folder / "journal.db")

    def query(self, question: str, word: str) -> list[tuple[Any, ...]]:
        """Rows of the journal, as committed."""
        self.mirror()
        if self._outside is None:
            self._outside = sqlite3.connect(self.folder / "journal.db", isolation_level=None)
        return self._outside.execute(question, (word,)).fetchall()

    def read(self, fn: Callable[[Connection], T]) -> T:
        """The value that `fn` reads from the journal, from outside."""
        engine = databases.connect(self.url, connections=1, writing=False)
        vaults.attach(engine, self.vault)
        try:
            with engine.connect() as conn:
                return fn(conn)
        finally:
            engine.dispose()

    def run(self, seconds: float) -> None:
        """Let time pass, and collect the ERP's messages."""
        self.clock.advance(seconds)
        for kept in self.broker.drain(EVENTS):
            self.events.append(json.loads(kept.body))
        for kept in self.broker.drain(REPLIES):
            said = {"xml": kept.body.decode()} if kept.body.startswith(b"<") else json.loads(kept.body)
            self.replies.append((kept.properties, said))

    def hit(self, point: str) -> None:
        """Pass a named point; if it is the one that kills, the life ends here."""
        if self.points.hit(point):
            if self.life is not None:
                self.crash()
            raise LifeEnded(point)

    # ---- what a life counted ----

    def exchanges(self, life: Life, operation: str, outcome: str = "ok") -> int:
        """Exchanges with the bank of one kind."""
        labels = {"bank": "sample", "operation": operation, "outcome": outcome}
        return int(life.meters.registry.get_sample_value("bankgw_bank_requests_total", labels) or 0)

    def declined(self, life: Life) -> int:
        """Sign-ons that the bank refused."""
        return self.exchanges(life, "session", "refused")

    # ---- the ERP ----

    def order(
        self, id_: str, minor: int = 10_000, bank: str | None = None, account: str | None = None, **changes: Any
    ) -> dict[str, Any]:
        """The body of an order."""
        account = account or (self.banks[bank] if bank else self.bank).account
        return {
            "id": id_,
            "debtor": {"account": account, "name": "示例甲公司"},
            "creditor": {
                "account": f"{zlib.crc32(id_.encode()) % 10**6:019d}",
                "name": "示例乙公司",
                "bank_name": "示例银行某支行",
                "cnaps": "000000000000",
                "kind": "corporate",
            },
            "amount": str(Money(minor)),
            "currency": "CNY",
            "purpose": "货款",
            **changes,
        }

    def submit(self, id_: str, minor: int = 10_000, bank: str | None = None, **changes: Any) -> None:
        """Publish an order."""
        self._publish("payment.submit", self.order(id_, minor, bank, **changes), id_)

    def submit_batch(self, key: str, body: dict[str, Any]) -> None:
        """Publish a batch: `key` is `batch.submit`, `payroll.submit` or `collection.submit`."""
        self._publish(key, body, *(item["id"] for item in body["items"]))

    def _publish(self, key: str, body: dict[str, Any], *ids: str) -> None:
        self._orders.update(dict.fromkeys(ids, (f"m-{self._published + 1}", key, body)))
        self.command(key, body)

    def again(self, id_: str, *, fresh: bool, **changes: Any) -> None:
        """Publish an order, or its batch, again: the same message, or with `fresh` a new one with `changes`."""
        message_id, key, body = self._orders[id_]
        if fresh:
            self.command(key, {**body, **changes})
        else:
            self.command(key, body, message_id=message_id)

    def moment(self, in_s: float) -> str:
        """A time in the contract's form, `in_s` seconds from now."""
        return datetime.fromtimestamp(self.clock.seconds() + in_s, UTC).isoformat()

    def command(self, key: str, body: Any, **said: Any) -> None:
        """Publish any command; `said` replaces fields of the envelope."""
        self._published += 1
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        said = {"user": USER, "reply_to": REPLIES, "message_id": f"m-{self._published}", **said}
        self.commands[said["message_id"]] += 1
        undecodable = said.pop("undecodable", None)
        self.broker.publish(key, raw, envelope(said.pop("user"), said.pop("reply_to"), **said), undecodable=undecodable)

    def befall(self, id_: str, event: Event) -> None:
        """Apply a decision of persons to an order's payment, by the same unit as the control API's, at the next
        commit."""
        life = self.life
        assert life is not None, "nobody is there to do it"

        def apply_event(tx: Tx) -> None:
            row = lookup.find(tx.fresh, self.sender, id_) or lookup.find(tx.fresh, TREASURY, id_)
            assert row is not None, f"no payment {id_}"
            if isinstance(event, Release) and row.life.state is not State.HELD:
                return  # a person released it in the commit before, as the control API would say
            applying.apply(tx, row.payment, replace(event, at_ms=tx.now_ms), epoch=None, actor="persons")

        life.store.write(apply_event).addErrback(lambda failure: life.fatal.append(failure.getTraceback()))

    def last(self, id_: str) -> dict[str, Any]:
        """The newest event about an order: the one with the highest seq."""
        return max((e for e in self.events if e.get("id") == id_), key=lambda e: e["seq"])

    def told(self, id_: str) -> list[str]:
        """The names of an order's events, in their order."""
        return [e["event"] for e in sorted((e for e in self.events if e.get("id") == id_), key=lambda e: e["seq"])]
