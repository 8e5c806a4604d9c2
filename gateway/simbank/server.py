"""A bank's front end on real sockets: cuts requests, has the twin answer from the books, commits the planned faults.

One connection is one session of the twin. The kind of an exchange (money, enquiry, question, probe) follows from the
twin's first use of the books, so the server knows no bank's language. A twin does nothing lasting before it accepts an
instruction; a fault that must strike before the booking ends the exchange inside that call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Protocol, cast, runtime_checkable

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IListeningPort,
    IOpenSSLServerConnectionCreator,
    IReactorTCP,
    IReactorTime,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.simbank.chance import SeededChance
from gateway.simbank.exchange_log import ConnectionTrouble, ExchangeLog, ExchangeMoney, LoggedExchange
from gateway.simbank.faults import BankCounts, BankFault, ExchangeKind, FaultScript, FaultSource, PlannedFault
from gateway.simbank.handshakes import ObservedTlsProtocol, client_of, handshake_trouble, speaks_tls
from gateway.simbank.ledger import BookingFault, Ledger
from protocols.canon.money import Money
from protocols.kit.errors import ProtocolError
from protocols.twin import Answer, Booked, Booking, Duplicate, DuplicateBundle, Entry, Holding, Instruction, Twin

_NOISE_BYTES = 300
_WAITING_MAX = 64
_TAIL_CHARS = 4
_NO_ANSWER = Answer(b"")
_REPEATED = "reference used before"
_ONLY_BY_BOOKING = frozenset(
    {BankFault.REFUSE, BankFault.HIDE, BankFault.LATE_RETURN, BankFault.PART, BankFault.DUPLICATE}
)
_SILENT = frozenset({BankFault.DROP_AFTER, BankFault.HIDE, BankFault.PART, BankFault.PROBE_SILENCE})
_STAYS_OPEN = frozenset(
    {
        BankFault.TWICE,
        BankFault.WRONG_SIGNATURE,
        BankFault.OTHERS_ANSWER,
        BankFault.REFUSE,
        BankFault.LATE_RETURN,
        BankFault.DUPLICATE,
        BankFault.PROBE_SILENCE,
    }
)


@runtime_checkable
class SignatureSpoiler(Protocol):
    """A twin that signs its answers and can spoil a signature. For other twins, `wrong_signature` becomes `garbage`."""

    def spoil(self, answer: bytes, where: float) -> bytes:
        """`answer` with one byte of its signed part changed; `where` (0 to 1) chooses the byte."""


class _HangUp(Exception):  # noqa: N818 - not an error: it carries the server out of the twin
    """Raised to end the exchange before anything is booked."""


class _Exchange:
    """The books as one exchange uses them (Books). Their first use decides which fault the exchange gets."""

    def __init__(self, ledger: Ledger, plan: FaultSource) -> None:
        self._ledger = ledger
        self._plan = plan
        self.touch = ExchangeKind.PROBE
        self.reference = ""
        self.strike: PlannedFault | None = None
        self.money: ExchangeMoney | None = None

    def now(self) -> datetime:
        return self._ledger.now()

    def machine_now(self) -> datetime:
        return self._ledger.machine_now()

    def serial(self) -> int:
        return self._ledger.serial()

    def book_once(self, instruction: Instruction) -> Booking:
        self._touched(ExchangeKind.MONEY, instruction.reference)
        try:
            booked = self._ledger.book(instruction, _wish(self.strike))
        except Duplicate:
            if self.strike is not None and self.strike.fault in _ONLY_BY_BOOKING:
                self.strike = None
            self.money = _told([instruction], 1, _REPEATED)
            raise
        self.money = _told([instruction], *_refused([booked]))
        if self.strike is not None and self.strike.fault is BankFault.DUPLICATE:
            raise Duplicate(booked)
        return booked

    def take_bundle(self, reference: str, instructions: Sequence[Instruction]) -> tuple[Booking, ...]:
        self._touched(ExchangeKind.MONEY, reference)
        wish = _wish(self.strike)
        # A refusal or a return strikes the first line only, because partial success is worth testing.
        wishes = (wish, BookingFault()) if wish.refuse or wish.return_s is not None else (wish,)
        if self.strike is not None and self.strike.fault is BankFault.PART:
            instructions = instructions[: (len(instructions) + 1) // 2]
        try:
            booked = self._ledger.book_bundle(reference, instructions, wishes)
        except DuplicateBundle:
            if self.strike is not None and self.strike.fault in _ONLY_BY_BOOKING:
                self.strike = None
            self.money = _told(instructions, len(instructions), _REPEATED)
            raise
        self.money = _told(instructions, *_refused(booked))
        return booked

    def bundle(self, reference: str) -> tuple[Booking, ...]:
        self._touched(ExchangeKind.ENQUIRY, reference)
        return self._ledger.bundle(reference)

    def find(self, reference: str) -> Booking | None:
        self._touched(ExchangeKind.ENQUIRY, reference)
        return self._ledger.find(reference)

    def returns(self, account: str, first: date, last: date) -> tuple[Booking, ...]:
        self._asked()
        return self._ledger.returns(account, first, last)

    def holding(self, account: str, on: date | None = None) -> Holding | None:
        self._asked()
        return self._ledger.holding(account, on)

    def holder_of(self, account: str) -> str | None:
        return self._ledger.holder_of(account)

    def earlier(self, reference: str) -> Booking | None:
        return self._ledger.earlier(reference)

    def has_bundle(self, reference: str) -> bool:
        return self._ledger.has_bundle(reference)

    def entries(self, account: str, first: date, last: date) -> tuple[Entry, ...]:
        self._asked()
        return self._ledger.entries(account, first, last)

    def done(self) -> PlannedFault | None:
        """The effects of the fault on the twin's answer."""
        if self.touch is ExchangeKind.PROBE:
            self.strike = self._plan.decide(ExchangeKind.PROBE, "")
        return self.strike

    def _asked(self) -> None:
        if self.touch is ExchangeKind.PROBE:
            self.touch = ExchangeKind.QUESTION

    def _touched(self, touch: ExchangeKind, reference: str) -> None:
        if self.touch in (ExchangeKind.MONEY, ExchangeKind.ENQUIRY):
            return
        self.touch, self.reference = touch, reference
        if touch is ExchangeKind.MONEY:
            self._ledger.hear(reference)
        self.strike = self._plan.decide(touch, reference)
        if self.strike is not None and self.strike.fault is BankFault.DROP_BEFORE:
            raise _HangUp


def _wish(strike: PlannedFault | None) -> BookingFault:
    if strike is None:
        return BookingFault()
    if strike.fault is BankFault.REFUSE:
        return BookingFault(refuse="refused_by_bank")
    if strike.fault is BankFault.HIDE:
        return BookingFault(hide_s=strike.seconds)
    return BookingFault(return_s=strike.seconds) if strike.fault is BankFault.LATE_RETURN else BookingFault()


def _told(instructions: Sequence[Instruction], refused: int, reason: str) -> ExchangeMoney | None:
    """The money of these instructions, for the log of exchanges."""
    if not instructions:
        return None
    first = instructions[0]
    total = Money(sum(one.amount.minor for one in instructions), first.amount.currency)
    payee = first.creditor_account[-_TAIL_CHARS:] if len(instructions) == 1 else ""
    own = first.debtor_account[-_TAIL_CHARS:]
    return ExchangeMoney(len(instructions), str(total), total.currency, own, payee, refused, reason)


def _refused(bookings: Sequence[Booking]) -> tuple[int, str]:
    """How many of these bookings were refused, and why the first of them was."""
    found = [one.reason for one in bookings if one.booked is Booked.REFUSED]
    return len(found), found[0] if found else ""


class SimBank:
    """One simulated bank. With `tls` None it serves plain TCP, like front ends that leave TLS to a side-car.

    `ports` maps the twin's port names to TCP ports, 0 (also for those not named) for any free one. `reactor`
    may be a bare clock when only `build` is used with in-memory transports.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        twin: Twin,
        ledger: Ledger,
        plan: FaultSource,
        tls: IOpenSSLServerConnectionCreator | None = None,
        ports: Mapping[str, int] = {},
        *,
        seed: str = "0",
        log: ExchangeLog | None = None,
    ) -> None:
        unknown = sorted(set(ports) - set(twin.ports))
        if unknown:
            raise ValueError(f"this bank has no port {', '.join(unknown)}; it has {', '.join(twin.ports)}")
        self.twin = twin
        self.ledger = ledger
        self.script = FaultScript(otherwise=plan)
        self.tally = BankCounts()
        self.ports: dict[str, int] = {}
        self.reactor = reactor
        self.chance = SeededChance(seed)
        self.log = log
        self._tls = tls
        self._wanted = ports
        self._listening: list[IListeningPort] = []
        self._sessions: set[_Session] = set()
        self._answers: dict[tuple[str, ExchangeKind], deque[tuple[str, bytes]]] = {}

    def listen(self, interface: str = "127.0.0.1") -> Mapping[str, int]:
        """Open every port; returns their numbers by name."""
        tcp = cast(IReactorTCP, self.reactor)
        for name in self.twin.ports:
            listening = tcp.listenTCP(self._wanted.get(name, 0), self._served(name), interface=interface)
            self._listening.append(listening)
            self.ports[name] = cast(IPv4Address, listening.getHost()).port
        return self.ports

    async def stop(self) -> None:
        """Close ports and connections. Answers that are still delayed are never sent."""
        waiting: list[Deferred[object]] = [maybeDeferred(one.stopListening) for one in self._listening]
        self._listening.clear()
        for session in tuple(self._sessions):
            session.hang_up()
        for one in waiting:
            await one

    def build(self, port: str) -> StreamProtocol:
        """The server's end of one connection to `port`, without TLS, for any transport."""
        return _Session(self, port)

    def report(self) -> dict[str, object]:
        """The counts and books so far, as plain values."""
        return {
            "ports": dict(self.ports),
            "now": self.ledger.now().isoformat(),
            "ahead_s": self.ledger.ahead_ms / 1000,
            **self.tally.report(),
            "executions": len(self.ledger.executions),
            "duplicates": self.ledger.duplicates,
            "doubles": self.ledger.doubles(),
            "faults_to_come": len(self.script.left()),
        }

    # ---- for its sessions ----------------------------------------------------------------------------------

    def joined(self, session: _Session) -> None:
        """Count a new connection."""
        self.tally.connections += 1
        self._sessions.add(session)

    def left(self, session: _Session) -> None:
        """Note that a connection ended."""
        self._sessions.discard(session)

    def remember(self, port: str, exchange: _Exchange, data: bytes) -> None:
        """Keep the last two answers of a kind, so that a fault can give one of them to another request."""
        kept = self._answers.setdefault((port, exchange.touch), deque(maxlen=2))
        kept.append((exchange.reference, data))

    def note(
        self,
        caller: _Caller,
        exchange: _Exchange,
        request: bytes,
        answer: Answer = _NO_ANSWER,
        fault: BankFault | None = None,
    ) -> None:
        """Log one exchange, with the answer as the twin gave it, before any fault spoiled it."""
        if self.log is not None:
            self.log.append(self._logged(caller, exchange, request, answer, fault))

    def note_trouble(self, caller: _Caller, request: bytes, trouble: str, complaint: str) -> None:
        """Log a request that the bank's side could not read, or a trouble of the connection."""
        if self.log is not None:
            logged = self._logged(caller, _Exchange(self.ledger, self.script), request, _NO_ANSWER, None)
            self.log.append(replace(logged, trouble=trouble, complaint=complaint))

    def _logged(
        self, caller: _Caller, exchange: _Exchange, request: bytes, answer: Answer, fault: BankFault | None
    ) -> LoggedExchange:
        return LoggedExchange(
            at_ms=round(self.ledger.now().timestamp() * 1000),
            port=caller.port,
            touch=exchange.touch.value,
            reference=exchange.reference,
            request=request,
            answer=answer.data,
            fault="" if fault is None else fault.value,
            machine_ms=round(self.ledger.machine_now().timestamp() * 1000),
            connection=caller.number,
            peer=caller.peer,
            client=caller.client,
            operation=answer.operation,
            code=answer.code,
            reason=answer.reason,
            findings=answer.findings,
            money=exchange.money,
        )

    def handshake_trouble(self, transport: object, reason: Failure) -> tuple[ConnectionTrouble, str, bytes]:
        """Why a client's TLS handshake did not come to its end."""
        return handshake_trouble(transport, self._tls, reason)

    def spoiled(
        self, port: str, fault: BankFault, exchange: _Exchange, data: bytes
    ) -> tuple[BankFault, tuple[bytes, ...]]:
        """The bytes to send after the fault's effect on an honest answer, and the fault that was committed in fact.

        If the twin signs nothing, `wrong_signature` becomes `garbage`. If there is no answer to another request yet,
        the connection is dropped instead.
        """
        where = self.chance.roll(fault.value, exchange.reference, self.tally.faults[fault])
        if fault is BankFault.WRONG_SIGNATURE and isinstance(self.twin, SignatureSpoiler):
            return fault, (self.twin.spoil(data, where),)
        if fault in (BankFault.WRONG_SIGNATURE, BankFault.GARBAGE):
            return BankFault.GARBAGE, (self.chance.octets(_NOISE_BYTES, "noise", exchange.reference),)
        if fault is BankFault.OTHERS_ANSWER:
            kept = self._answers.get((port, exchange.touch), ())
            others = next((said for about, said in kept if about != exchange.reference), None)
            return (BankFault.DROP_AFTER, ()) if others is None else (fault, (others,))
        if fault is BankFault.HALF:
            return fault, (data[: 1 + int(where * (len(data) - 1))],)
        if fault is BankFault.TWICE:
            return fault, (data, data)
        return fault, () if fault in _SILENT else (data,)

    def _served(self, port: str) -> Any:
        factory = Factory.forProtocol(lambda: self.build(port))
        factory.noisy = False
        if self._tls is None:
            return factory
        secured = TLSMemoryBIOFactory(self._tls, False, factory, self.reactor)
        # The default delays every write by one turn of the reactor, to gather small writes; ours are whole frames.
        secured.protocol = ObservedTlsProtocol
        secured.noisy = False
        return secured


@dataclass(slots=True)
class _Caller:
    """The client's end of one connection: the port it called, the connection's number, its address and certificate."""

    port: str
    number: int = 0
    peer: str = ""
    client: str = ""


@implementer(IHandshakeListener)
class _Session(StreamProtocol):
    """One connection of a client. It answers requests one after the other, as a front end does."""

    def __init__(self, bank: SimBank, port: str) -> None:
        self._bank = bank
        self._port = port
        self._cutter = bank.twin.requests(port)
        self._state: dict[str, str] = {}
        self._waiting: deque[bytes] = deque()
        self._delayed: IDelayedCall | None = None
        self._open = False
        self._is_first = True
        self._is_tls = False
        self._has_shaken = False
        self._caller = _Caller(port)

    def connectionMade(self) -> None:
        self._open = True
        self._bank.joined(self)
        transport: Any = self.transport
        self._is_tls = isinstance(transport, ObservedTlsProtocol)
        address = transport.getPeer()
        peer = f"{address.host}:{address.port}" if isinstance(address, IPv4Address) else ""
        self._caller = _Caller(self._port, self._bank.tally.connections, peer)
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)

    def handshakeCompleted(self) -> None:
        """Note that TLS is up, and whose certificate the client showed."""
        self._has_shaken = True
        self._caller.client = client_of(self.transport)

    def dataReceived(self, data: bytes) -> None:
        is_tls = self._is_first and not self._is_tls and speaks_tls(data)
        self._is_first = False
        if is_tls:
            self._refuse(data, ConnectionTrouble.TLS_AT_PLAIN_PORT, "the first bytes are a TLS handshake")
            return
        try:
            frames = self._cutter.feed(data)
        except ProtocolError as error:
            self._refuse(data, error.reason, str(error))
            return
        self._waiting.extend(frames)
        if len(self._waiting) > _WAITING_MAX:
            self._refuse(b"", ConnectionTrouble.TOO_MANY, f"more than {_WAITING_MAX} requests wait on one connection")
        self._work()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        was_open, self._open = self._open, False
        self._bank.left(self)
        if self._delayed is not None:
            self._delayed.cancel()
            self._delayed = None
        if was_open:
            self._note_end(reason)

    def _note_end(self, reason: Failure) -> None:
        """Note what was wrong with a connection that the client ended: no handshake, or half a request."""
        if self._is_tls and not self._has_shaken:
            trouble, detail, first = self._bank.handshake_trouble(self.transport, reason)
            self._bank.note_trouble(self._caller, first, trouble, detail)
            return
        try:
            self._cutter.end()
        except ProtocolError as error:
            self._bank.note_trouble(self._caller, b"", ConnectionTrouble.HALF_FRAME, str(error))

    def hang_up(self) -> None:
        """Abort the connection, whatever is in progress."""
        if self._open:
            self._open = False
            cast(Any, self.transport).abortConnection()

    def _refuse(self, request: bytes, trouble: str, complaint: str) -> None:
        self._bank.note_trouble(self._caller, request, trouble, complaint)
        self._bank.tally.malformed += 1
        self.hang_up()

    def _work(self) -> None:
        while self._waiting and self._open and self._delayed is None:
            self._answer(self._waiting.popleft())

    def _answer(self, request: bytes) -> None:
        bank = self._bank
        exchange = _Exchange(bank.ledger, bank.script)
        try:
            answer = bank.twin.answer(self._port, request, exchange, self._state)
        except _HangUp:
            bank.tally.exchanges[exchange.touch] += 1
            bank.note(self._caller, exchange, request, fault=BankFault.DROP_BEFORE)
            self._commit(BankFault.DROP_BEFORE)
            return
        except ProtocolError as error:
            self._refuse(request, error.reason, str(error))
            return
        strike = exchange.done()
        bank.tally.exchanges[exchange.touch] += 1
        bank.note(self._caller, exchange, request, answer, None if strike is None else strike.fault)
        if strike is None:
            bank.remember(self._port, exchange, answer.data)
            self._write(answer)
        else:
            self._misbehave(strike, exchange, answer)

    def _misbehave(self, strike: PlannedFault, exchange: _Exchange, answer: Answer) -> None:
        fault, writes = self._bank.spoiled(self._port, strike.fault, exchange, answer.data)
        if fault is BankFault.DELAY:
            self._bank.tally.faults[fault] += 1
            self._delayed = self._bank.reactor.callLater(strike.seconds, self._late, answer)
        else:
            self._commit(fault, *writes, close=answer.close or fault not in _STAYS_OPEN)

    def _commit(self, fault: BankFault, *writes: bytes, close: bool = True) -> None:
        """Count the fault, write the rest of the answer, and close unless the fault says otherwise."""
        self._bank.tally.faults[fault] += 1
        for data in writes:
            self._write(Answer(data))
        if close:
            self._close()

    def _late(self, answer: Answer) -> None:
        self._delayed = None
        self._write(answer)
        self._work()

    def _write(self, answer: Answer) -> None:
        cast(Any, self.transport).write(answer.data)
        if answer.close:
            self._close()

    def _close(self) -> None:
        if self._open:
            self._open = False
            cast(Any, self.transport).loseConnection()
