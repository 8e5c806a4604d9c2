"""A whole gateway in one process and on one clock: real journal, model broker, simulated banks, pipes for sockets.

A *life* is one run of the daemon. `crash` ends it as SIGKILL would: from that moment nothing of it runs, its
connections are lost, and only what was committed is left for the next life.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall

from gateway import app
from gateway.bank.keys import Signer
from gateway.bank.session import Line
from gateway.clock import SeededEntropy
from gateway.erp.wire import Properties
from gateway.journal import migrations, permits
from gateway.journal.executor import InlineExecutor
from gateway.journal.vault import Vault
from gateway.journal.writer import SqlStore
from gateway.meters import Meters
from gateway.settings import Settings
from gateway.simbank.faults import FaultPlan, Plan
from gateway.simbank.ledger import Account, Conduct, Ledger
from gateway.simbank.server import SimBank
from protocols.bank import Port
from protocols.canon.money import Money
from protocols.kit import dsig
from tests.world.broker import ModelBroker, ModelClient
from tests.world.broker import properties as envelope
from tests.world.clock import HeapClock
from tests.world.pipe import End, connect

START_S = 1_795_000_000.0
USER = "erp-user"
REPLIES, EVENTS = "erp-demo.replies", "erp-demo.events"
OPERATIONS = ("payment.submit", "payment.cancel", "status.query", "balance.query", "transactions.query")


class LifeClock:
    """The world's clock as one life sees it: dead men set no timers, and theirs do not fire."""

    def __init__(self, clock: HeapClock) -> None:
        self._clock = clock
        self.dead = False

    def now_ms(self) -> int:
        return round(self._clock.seconds() * 1000)

    def monotonic_s(self) -> float:
        return self._clock.seconds()

    def later(self, delay_s: float, fn: Callable[..., object], *args: Any) -> IDelayedCall:
        return self._clock.callLater(delay_s, self._alive, fn, args)

    def _alive(self, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        if not self.dead:
            fn(*args)


class Unreachable(Exception):
    """The simulated bank's door is shut."""


@dataclass(slots=True)
class BankSite:
    """One bank of the world."""

    simbank: SimBank
    ledger: Ledger
    reachable: bool = True
    account: str = ""


class WorldDialer:
    """Opens pipes to a simulated bank."""

    def __init__(self, life: Life, site: BankSite) -> None:
        self._life = life
        self._site = site

    def dial(self, port: Port, build: Callable[[], Line]) -> Deferred[Line]:
        from gateway.bank.endpoint import NotConnected
        from gateway.bank.reasons import Reason

        self._life.world.dials += 1
        if not self._site.reachable:
            return fail(NotConnected("simbank", Reason.REFUSED, "the door is shut"))
        line: Deferred[Line] = Deferred()
        self._life.clock.later(0.001, self._open, port, build, line)
        return line

    def _open(self, port: Port, build: Callable[[], Line], opened: Deferred[Line]) -> None:
        protocol = build()
        ours, _theirs = connect(self._life.world.clock, protocol, self._site.simbank.build(port.name))
        self._life.pipes.append(ours)
        if not opened.called:
            opened.callback(protocol)


class Permits(permits.NoPermits):
    """Counts permits, so that a test can see that each write had one."""

    def __init__(self) -> None:
        self.written: list[permits.Permit] = []

    def write(self, some: Any) -> None:
        """Remember them."""
        self.written += some


@dataclass(slots=True)
class Life:
    """One run of the daemon."""

    world: World
    clock: LifeClock
    amqp: ModelClient
    store: SqlStore
    gateway: app.Gateway
    meters: Meters
    pipes: list[End] = field(default_factory=list)
    fatal: list[str] = field(default_factory=list)

    def crash(self) -> None:
        """SIGKILL."""
        self.clock.dead = True
        self.amqp.die()
        for pipe in self.pipes:
            pipe.vanish()


class World:
    """See the module. `bank_options` and `twin_options` go to the bank's adapter and twin."""

    def __init__(
        self, folder: Path, seed: int = 1, *, plan: Plan | None = None, conduct: Conduct = Conduct(),
        bank_options: Mapping[str, Any] | None = None, sender: Mapping[str, Any] | None = None,
        wrap: Callable[[Life, app.Parts], app.Parts] | None = None,
    ) -> None:  # fmt: skip
        dsig.start()
        self.folder = folder
        self.seed = seed
        self.clock = HeapClock(START_S)
        self.broker = ModelBroker(self.clock)
        self.broker.declare(REPLIES)
        self.broker.declare(EVENTS, "bankgw.events")
        self.events: list[dict[str, Any]] = []
        self.replies: list[tuple[Properties, dict[str, Any]]] = []
        self.vault = Vault({"k1": bytes(32)}, "k1", bytes(range(32)))
        self.url = f"sqlite:///{folder / 'journal.db'}"
        self.keys = signing_keys()
        self.permits = Permits()
        self._options = {"bank_certificate": self.keys.bank_certificate, "verify": "hand", "sessions": 4, **(bank_options or {})}
        self._sender = sender or {}
        self._wrap = wrap
        self._published = 0
        self.credentials: Mapping[str, str] = {"user": "u", "password": "p"}
        self.dials = 0
        self.bank = self._bank(plan or FaultPlan(str(seed), {}), conduct)
        self.settings = self._settings()
        migrations.upgrade(self.url)
        self.life: Life | None = None

    def _bank(self, plan: Plan, conduct: Conduct) -> BankSite:
        twin_module = import_module("protocols.banks.sample.twin")
        twin = twin_module.build(
            {"user": "u", "password": "p", "cheap": True}, {"bank": self.keys.bank_key, "client": self.keys.client_certificate}
        )
        account = "00000000000100"
        accounts = [Account(account, "示例甲公司", Money(10**12), 0)]
        ledger = Ledger(lambda: round(self.clock.seconds() * 1000), accounts, conduct)
        simbank = SimBank(self.clock, twin, ledger, plan, seed=str(self.seed))
        return BankSite(simbank, ledger, account=account)

    def _settings(self) -> Settings:
        return Settings.model_validate({
            "state_dir": str(self.folder), "node": "gw1", "drain_s": 20,
            "broker": {"password": {"file": "/nowhere"}}, "journal": {"vault_key": {"file": "/nowhere"}},
            "accounts": [{"number": self.bank.account, "name": "示例甲公司", "company": "jia", "bank": "sample"}],
            "senders": {"kingdee": {"users": [USER], "operations": list(OPERATIONS), "reply_to": r"erp-demo\..*",
                                    "suspected_duplicate_hours": 0, **self._sender}},
            "banks": {"sample": {"protocol": "sample", "lanes": {"main": {
                "host": "127.0.0.1", "ports": {"business": 1}, "plaintext": "loopback"}}}},
        })  # fmt: skip

    # ---- lives ----

    def start(self) -> Life:
        """Start the daemon."""
        clock = LifeClock(self.clock)
        entropy = SeededEntropy(self.seed * 1_000_003 + self.broker.clock._scheduled)
        meters = Meters(CollectorRegistry())
        amqp = self.broker.client(clock.later)
        inline = InlineExecutor(clock)
        life: Life
        store = SqlStore(
            self.url, self.clock, clock, "gw1", self.vault, self.permits, 3.0, entropy=entropy,  # type: ignore[arg-type]
            on_fatal=lambda error: life.fatal.append(str(error)), executor=inline, reading=inline,
        )  # fmt: skip
        life = Life(self, clock, amqp, store, gateway=None, meters=meters)  # type: ignore[arg-type]
        bank = app.load_bank(self.settings.banks["sample"].model_copy(update={"options": self._options}))
        parts = app.Parts(
            clock=clock, entropy=entropy, store=store, amqp=amqp, dialers={"sample.main": WorldDialer(life, self.bank)},
            signers={"sample.main": {"order": self.keys.signer}},
            credentials={"sample.main": self.credentials}, banks={"sample": bank}, cursor_key=b"k" * 32,
            meters=meters, forgotten=lambda: store.read(lambda _conn: 0),
        )  # fmt: skip
        if self._wrap is not None:
            parts = self._wrap(life, parts)
        life.gateway = app.build(self.settings, parts, life.fatal.append)
        starting = Deferred.fromCoroutine(life.gateway.start())
        starting.addErrback(lambda failure: life.fatal.append(failure.getTraceback()))
        self.life = life
        return life

    def crash(self) -> None:
        """Kill the running life."""
        assert self.life is not None
        self.life.crash()
        self.life = None

    def run(self, seconds: float) -> None:
        """Let time pass, and collect what the ERP hears."""
        self.clock.advance(seconds)
        for kept in self.broker.drain(EVENTS):
            self.events.append(json.loads(kept.body))
        for kept in self.broker.drain(REPLIES):
            self.replies.append((kept.properties, json.loads(kept.body)))

    # ---- what a life counted ----

    def exchanges(self, life: Life, operation: str, outcome: str = "ok") -> int:
        """Exchanges with the bank of one kind."""
        labels = {"bank": "sample", "operation": operation, "outcome": outcome}
        return int(life.meters.registry.get_sample_value("bankgw_bank_requests_total", labels) or 0)

    def declined(self, life: Life) -> int:
        """Sign-ons the bank said no to."""
        return self.exchanges(life, "session", "refused")

    # ---- the ERP ----

    def submit(self, id_: str, minor: int = 10_000, **changes: Any) -> None:
        """Publish an order."""
        body = {
            "id": id_, "debtor": {"account": self.bank.account, "name": "示例甲公司"},
            "creditor": {"account": f"{abs(hash(id_)) % 10**6:019d}", "name": "示例乙公司", "bank_name": "示例银行某支行",
                         "cnaps": "000000000000", "kind": "corporate"},
            "amount": str(Money(minor)), "currency": "CNY", "purpose": "货款", **changes,
        }  # fmt: skip
        self.command("payment.submit", body)

    def command(self, key: str, body: Any, **said: Any) -> None:
        """Publish any command; `said` overrides the envelope."""
        self._published += 1
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        said = {"user": USER, "reply_to": REPLIES, "message_id": f"m-{self._published}", **said}
        self.broker.publish(key, raw, envelope(said.pop("user"), said.pop("reply_to"), **said))

    def last(self, id_: str) -> dict[str, Any]:
        """The newest news about an order: the highest seq wins."""
        return max((e for e in self.events if e.get("id") == id_), key=lambda e: e["seq"])

    def told(self, id_: str) -> list[str]:
        """The names of an order's events in the order of their numbers."""
        return [e["event"] for e in sorted((e for e in self.events if e.get("id") == id_), key=lambda e: e["seq"])]


@dataclass(frozen=True, slots=True)
class Keys:
    """The world's keys, made once per process: making RSA keys is slow."""

    signer: Signer
    bank_key: bytes
    bank_certificate: str
    client_certificate: bytes


_KEYS: list[Keys] = []


class _Stamp:
    """A signer that does not sign: the cheap twin does not look."""

    key_id = "order"
    certificate = None

    async def sign(self, octets: bytes) -> bytes:
        """256 bytes, the size of a real one."""
        return bytes(256)


def signing_keys() -> Keys:
    """One bank key for all worlds of this process."""
    if not _KEYS:
        import tempfile
        from datetime import UTC, datetime

        from gateway.simbank.pki import make_pki

        with tempfile.TemporaryDirectory() as folder:
            pki = make_pki(Path(folder), ["sample"], datetime.fromtimestamp(START_S, UTC))["sample"]
            _KEYS.append(Keys(
                _Stamp(), pki.bank_sign_key.read_bytes(), pki.bank_sign_cert.read_text(),  # type: ignore[arg-type]
                pki.gateway_sign_cert.read_bytes(),
            ))  # fmt: skip
    return _KEYS[0]
