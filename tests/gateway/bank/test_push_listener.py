"""The listener for banks: the peers that may connect, the messages that are answered, and the reaction to an
attacker."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from gateway.bank.push_listener import AGAIN_S, WAITING_MOST, PushListener, PushListeners, PushParts, push_listeners
from gateway.bank.signers import KeyFileError, read_certificates
from gateway.bank.tls import TlsSettings, client_context, pinned_server_context, spki_pin
from gateway.kernel.clock import SystemClock
from gateway.kernel.commit.store import StoreFailed
from gateway.kernel.meters import PUSH_RESULTS, Meters
from gateway.kernel.tasks import sleep
from gateway.payments.rows.pushes import PushResult
from gateway.settings import KeyPlace, PushSettings
from gateway.simbank.pki import BankPki, make_pki
from protocols.bank import Push, Pushes
from protocols.canon.party import AccountNumber
from protocols.kit.errors import ProtocolError
from protocols.kit.framing import FixedHeader
from tests.conftest import LoggedFailures
from tests.world.within import within

FRAMING = FixedHeader(4, (0, 4))
BAD_PIN = "A" * 43 + "="


def message(text: bytes) -> bytes:
    return b"%04d" % len(text) + text


def read_push(frame: bytes) -> Push:
    text = frame[4:].decode()
    if text.startswith("alien"):
        raise ProtocolError("value", "not ours")
    return Push("note", text, (text,), (AccountNumber("0000000000000000017"),), unread=text == "unread")


PUSHES = Pushes(("note",), lambda: FRAMING.cutter(1_000), read_push, lambda frame, now_ms: b"ok:" + frame[4:] + b"\n")


@dataclass
class ManualJournal:
    """A journal that commits when the test says so."""

    written: list[Any] = field(default_factory=list)
    answer: Callable[[], Deferred[PushResult]] = lambda: succeed(PushResult(new=True))

    def write(self, unit: Any) -> Deferred[PushResult]:
        self.written.append(unit)
        return self.answer()


@dataclass
class TurnedClock:
    """A clock that the test moves."""

    task: Clock

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.task.seconds()

    def later(self, delay_s: float, fn: Callable[..., object], *args: Any) -> IDelayedCall:
        return self.task.callLater(delay_s, fn, *args)


class Caller(Protocol):
    """The bank's side of a connection."""

    def __init__(self) -> None:
        self.heard = b""
        self.up: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.up.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)


@dataclass
class ListenerBench:
    """A listener, and banks that connect to it."""

    reactor: Any
    pki: dict[str, BankPki]
    books: ManualJournal = field(default_factory=ManualJournal)
    looked: list[str] = field(default_factory=list)
    pushes: Pushes = PUSHES
    listener: Any = None
    port: int = 0
    tls: Any = None

    def open(self, pins: tuple[str, ...] = (), **table: Any) -> ListenerBench:
        bank, clock = self.pki["pab"], SystemClock(self.reactor)
        known = pins or (spki_pin(read_certificates(bank.client_cert)[0]),)
        wanted = PushSettings.model_construct(
            **{
                "host": "127.0.0.1",
                "port": 0,
                "client_pins": known,
                "most_connections": 3,
                "per_second": 500.0,
                "idle_s": 5.0,
                **table,
            }
        )
        self.meters = Meters(CollectorRegistry())
        parts = PushParts("pab", self.pushes, ("pab.main",), self.books, clock, self.meters, self.looked.append)  # type: ignore[arg-type]
        self.tls = pinned_server_context(bank.server_cert, bank.server_key, bank.ca_cert, known)
        self.listener = PushListener(self.reactor, parts, wanted, self.tls)
        self.listener.open()
        self.port = self.listener.port
        return self

    async def call(self, bank: str = "pab", ca: str = "pab", **other: Any) -> Caller:
        """Connect as a bank. Returns when the caller's side of the handshake is through, or the connection is gone."""
        theirs, caller = self.pki[bank], Caller()
        settings = TlsSettings(
            **{
                "server_name": self.pki["pab"].server_name,
                "ca_file": self.pki[ca].ca_cert,
                "client_cert": theirs.client_cert,
                "client_key": theirs.client_key,
                **other,
            }
        )
        factory: Any = ClientFactory.forProtocol(lambda: caller)
        factory.noisy = False
        wrapped: Any = TLSMemoryBIOFactory(client_context(settings, SystemClock(self.reactor)), True, factory)
        wrapped.noisy = False
        self.reactor.connectTCP("127.0.0.1", self.port, wrapped)
        await caller.up
        return caller

    async def call_in_clear(self) -> Caller:
        """Connect without TLS."""
        caller = Caller()
        plain: Any = ClientFactory.forProtocol(lambda: caller)
        plain.noisy = False
        self.reactor.connectTCP("127.0.0.1", self.port, plain)
        await caller.up
        return caller

    async def until(self, what: Callable[[], object]) -> None:
        while not what():
            await sleep(SystemClock(self.reactor), 0.005)

    def counted(self) -> dict[str, int]:
        found = {one: int(self.meters.pushes.labels("pab", one)._value.get()) for one in PUSH_RESULTS}
        return {name: count for name, count in found.items() if count}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BankPki]:
    return make_pki(tmp_path_factory.mktemp("push"), ["pab", "other"], datetime.now(UTC))


@pytest.fixture
def door(pki: dict[str, BankPki]) -> ListenerBench:
    from twisted.internet import reactor

    return ListenerBench(reactor, pki)


def hang_up(caller: Caller) -> None:
    caller.transport.abortConnection()  # type: ignore[union-attr]


def say(caller: Caller, data: bytes) -> None:
    assert caller.transport is not None
    caller.transport.write(data)


@within(20)
async def test_a_push_is_answered_after_the_journal_has_it_and_not_before(door: ListenerBench) -> None:
    held: Deferred[PushResult] = Deferred()
    door.books.answer = lambda: held
    door.open()
    caller = await door.call()
    say(caller, message(b"one"))
    await door.until(lambda: door.books.written)
    await sleep(SystemClock(door.reactor), 0.05)
    assert caller.heard == b"" and not door.looked
    held.callback(PushResult(new=True))
    await door.until(lambda: caller.heard)
    assert caller.heard == b"ok:one\n" and door.looked == ["0000000000000000017"]
    assert door.counted() == {"kept": 1}
    hang_up(caller)
    await door.listener.close()


@within(20)
async def test_a_repeat_is_answered_and_looks_at_nothing_again(door: ListenerBench) -> None:
    door.books.answer = lambda: succeed(PushResult(new=False))
    door.open()
    caller = await door.call()
    say(caller, message(b"one") + message(b"one"))
    await door.until(lambda: caller.heard.count(b"\n") == 2)
    assert not door.looked and door.counted() == {"repeated": 2}
    hang_up(caller)
    await door.listener.close()


@within(20)
async def test_without_the_journal_there_is_no_answer_and_the_line_is_cut(
    door: ListenerBench, logged_failures: LoggedFailures
) -> None:
    door.books.answer = lambda: fail(StoreFailed("the disk is gone"))
    door.open()
    caller = await door.call()
    say(caller, message(b"one"))
    await caller.gone
    assert caller.heard == b"" and door.counted() == {"not_kept": 1}
    await door.listener.close()


@within(20)
async def test_an_answer_that_finds_nobody_is_lost_and_the_push_is_kept(door: ListenerBench) -> None:
    held: Deferred[PushResult] = Deferred()
    door.books.answer = lambda: held
    door.open()
    caller = await door.call()
    say(caller, message(b"one"))
    await door.until(lambda: door.books.written)
    hang_up(caller)
    await door.until(lambda: not door.listener.connections)
    held.callback(PushResult(new=True))
    await door.until(lambda: door.counted() == {"kept": 1})
    await door.listener.close()


# How an unknown caller connects: the pins of the listener, and the certificate that it shows.
STRANGERS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "not pinned, TLS 1.2": ((BAD_PIN,), {"max_version": "1.2", "min_version": "1.2"}),
    "not pinned, TLS 1.3": ((BAD_PIN,), {"max_version": "1.3", "min_version": "1.3"}),
    "of another authority": ((), {"bank": "other"}),
    "without a certificate": ((), {"client_cert": None, "client_key": None, "require_mutual": False}),
    "in clear": ((), {}),
}


@pytest.mark.parametrize("how", STRANGERS)
@within(20)
async def test_a_stranger_says_nothing_to_us(door: ListenerBench, how: str, logged_failures: LoggedFailures) -> None:
    pins, shown = STRANGERS[how]
    door.open(pins=pins)
    caller = await (door.call_in_clear() if how == "in clear" else door.call(**shown))
    say(caller, message(b"one"))
    await caller.gone
    assert not door.books.written and door.counted() == {"handshake": 1}
    await door.listener.close()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (message(b"alien"), "refused"),
        (b"xxxx", "bad_frame"),
        (b"9999", "bad_frame"),
        (message(b"1") * (WAITING_MOST + 2), "too_many"),
    ],
)
@within(20)
async def test_what_is_no_message_of_ours_is_not_answered(door: ListenerBench, data: bytes, why: str) -> None:
    held: Deferred[PushResult] = Deferred()
    door.books.answer = lambda: held
    door.open()
    caller = await door.call()
    say(caller, data)
    await caller.gone
    assert caller.heard == b"" and why in door.counted()
    await door.listener.close()


@within(20)
async def test_a_body_that_cannot_be_read_is_kept_and_answered(door: ListenerBench) -> None:
    door.open()
    caller = await door.call()
    say(caller, message(b"unread"))
    await door.until(lambda: caller.heard)
    assert door.counted() == {"unread": 1} and len(door.books.written) == 1
    hang_up(caller)
    await door.listener.close()


@within(20)
async def test_more_connections_than_the_most_are_closed_and_the_others_stay(door: ListenerBench) -> None:
    door.open(most_connections=2)
    first, second = await door.call(), await door.call()
    await door.until(lambda: len(door.listener.connections) == 2)
    third = await door.call()
    await third.gone
    say(first, message(b"one"))
    await door.until(lambda: first.heard)
    assert door.counted() == {"too_many": 1, "kept": 1}
    for one in (first, second):
        hang_up(one)
    await door.listener.close()


@within(20)
async def test_a_caller_that_is_too_fast_is_closed(door: ListenerBench) -> None:
    door.open(per_second=1.0)
    caller = await door.call()
    say(caller, message(b"one") + message(b"two"))
    await caller.gone
    assert caller.heard in (b"ok:one\n", b"") and door.counted() == {"kept": 1, "too_fast": 1}
    await door.listener.close()


@within(20)
async def test_a_silent_caller_is_closed(door: ListenerBench) -> None:
    door.open(idle_s=0.1)
    caller = await door.call()
    say(caller, message(b"one")[:3])
    await caller.gone
    assert door.counted() == {}
    await door.listener.close()


@within(20)
async def test_closing_ends_every_connection(door: ListenerBench) -> None:
    door.open()
    caller = await door.call()
    await door.until(lambda: door.listener.connections)
    await door.listener.close()
    await caller.gone
    assert not door.listener.connections and door.counted() == {}


@within(20)
async def test_the_doors_that_the_settings_ask_for_are_opened_and_closed_together(door: ListenerBench) -> None:
    pab, clock = door.pki["pab"], SystemClock(door.reactor)
    table = PushSettings.model_construct(
        host="127.0.0.1",
        port=0,
        certificate=pab.server_cert,
        key=KeyPlace(file=pab.server_key, credential=None),
        ca_file=pab.ca_cert,
        client_pins=(spki_pin(read_certificates(pab.client_cert)[0]),),
        most_connections=2,
        per_second=9.0,
        idle_s=5.0,
    )
    lanes = {"main": SimpleNamespace(credentials={})}
    plain = SimpleNamespace(pushes=None, lanes=lanes)
    settings: Any = SimpleNamespace(
        shard="1/1", banks={"pab": SimpleNamespace(pushes=table, lanes=lanes), "boc": plain}
    )
    banks: Any = {"pab": SimpleNamespace(pushes=PUSHES), "boc": SimpleNamespace(pushes=None)}
    door.meters = Meters(CollectorRegistry())
    doors = push_listeners(door.reactor, settings, banks, door.books, clock, door.meters, door.looked.append)  # type: ignore[arg-type]
    doors.open()
    [one] = doors.doors
    assert one.parts.lanes == ["pab.main"]
    door.port = one._listening.getHost().port
    caller = await door.call()
    say(caller, message(b"one"))
    await door.until(lambda: caller.heard)
    await doors.close()
    await caller.gone
    assert door.counted() == {"kept": 1}


def test_a_pin_that_is_none_is_refused_at_the_start(pki: dict[str, BankPki]) -> None:
    bank = pki["pab"]
    for pins in ((), ("abc",)):
        with pytest.raises(ValueError, match="client_pins"):
            pinned_server_context(bank.server_cert, bank.server_key, bank.ca_cert, pins)


# ---- a port that cannot be opened, and a listener whose files change ----------------------------------------------


class RefusingReactor:
    """A reactor that refuses to listen until it is allowed to."""

    def __init__(self, reactor: Any, number: int) -> None:
        self.number, self.reactor, self.tried = number, reactor, 0

    def listenTCP(self, port: int, factory: Any, interface: str) -> Any:
        self.tried += 1
        if self.number:
            raise CannotListenError(interface, port, OSError(self.number, os.strerror(self.number)))
        return self.reactor.listenTCP(port, factory, interface=interface)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EPERM, "SocketBindAllow=tcp:0"),
        (errno.EACCES, "systemctl edit bankgw"),
        (errno.EADDRINUSE, "banks.pab.pushes.port"),
        (errno.EADDRNOTAVAIL, "banks.pab.pushes.host"),
    ],
)
@within(20)
async def test_a_port_that_may_not_be_opened_is_named_and_tried_again(
    door: ListenerBench, number: int, remedy: str
) -> None:
    door.open()
    await door.listener.close()
    reactor, clock = RefusingReactor(door.reactor, number), Clock()
    listener = PushListener(
        reactor, replace(door.listener.parts, clock=TurnedClock(clock)), door.listener.table, door.tls
    )
    with capture_logs() as said:
        listener.open()
        clock.advance(AGAIN_S)
    assert [(one["event"], remedy in one["action"]) for one in said] == [("push.not_listening", True)], (
        "once for each cause"
    )
    doors = PushListeners((listener,))
    assert os.strerror(number) in doors.not_listening()["pab"].cause and listener.port == 0 and reactor.tried == 2
    reactor.number = 0
    clock.advance(AGAIN_S)
    assert listener.port and doors.not_listening() == {}
    await listener.close()


@within(20)
async def test_a_door_that_never_opened_is_closed_without_a_trace(door: ListenerBench) -> None:
    door.open()
    await door.listener.close()
    clock = Clock()
    listener = PushListener(
        RefusingReactor(door.reactor, errno.EPERM),
        replace(door.listener.parts, clock=TurnedClock(clock)),
        door.listener.table,
        door.tls,
    )
    listener.open()
    await listener.close()
    assert clock.getDelayedCalls() == []


@within(20)
async def test_a_reload_changes_certificate_and_pins_for_new_connections(
    door: ListenerBench, logged_failures: LoggedFailures
) -> None:
    door.open()
    old = await door.call()
    other = door.pki["other"]
    pin = spki_pin(read_certificates(other.client_cert)[0])
    table = door.listener.table.model_copy(
        update={
            "certificate": other.server_cert,
            "key": KeyPlace(file=other.server_key, credential=None),
            "ca_file": other.ca_cert,
            "client_pins": (pin,),
        }
    )
    settings: Any = SimpleNamespace(banks={"pab": SimpleNamespace(pushes=table)})
    use = PushListeners((door.listener,)).prepare_reload(settings)
    say(old, message(b"one"))
    await door.until(lambda: old.heard)
    use()
    say(old, message(b"two"))
    await door.until(lambda: old.heard.count(b"ok:") == 2)
    fresh = await door.call("other", "other", server_name=other.server_name)
    say(fresh, message(b"three"))
    await door.until(lambda: fresh.heard)
    before = await door.call("pab", "other", server_name=other.server_name)
    await before.gone
    await door.until(lambda: door.counted() == {"kept": 3, "handshake": 1})
    for one in (old, fresh):
        hang_up(one)
    await door.listener.close()


@within(20)
async def test_a_file_that_cannot_be_read_changes_nothing(door: ListenerBench) -> None:
    door.open()
    table = door.listener.table.model_copy(
        update={
            "certificate": door.pki["pab"].server_cert,
            "key": KeyPlace(file=door.pki["other"].server_key, credential=None),
            "ca_file": door.pki["pab"].ca_cert,
        }
    )
    settings: Any = SimpleNamespace(banks={"pab": SimpleNamespace(pushes=table)})
    with pytest.raises(KeyFileError):
        PushListeners((door.listener,)).prepare_reload(settings)
    caller = await door.call()
    say(caller, message(b"one"))
    await door.until(lambda: caller.heard)
    hang_up(caller)
    await door.listener.close()
