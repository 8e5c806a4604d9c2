"""A bank's front end on real sockets: cuts requests, lets the twin answer from the books, commits the plan's
faults.

One connection is one session of the twin. What an exchange is (money, enquiry, question, probe) shows by what
the twin first asks of the books, so the server knows no bank's language. A twin does nothing lasting
before it takes an instruction; a fault that must strike before the booking ends the exchange inside that call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol, cast, runtime_checkable

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IOpenSSLServerConnectionCreator,
    IReactorTCP,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from gateway.simbank.chance import Chance
from gateway.simbank.exchange_log import Exchanged, ExchangeLog
from gateway.simbank.faults import BankFault, Plan, Script, Strike, Tally, Touch
from gateway.simbank.ledger import Ledger, Meddling
from protocols.kit.errors import ProtocolError
from protocols.twin import Answer, Booking, Duplicate, DuplicateBundle, Entry, Holding, Instruction, Twin

_NOISE_BYTES = 300
_WAITING_MAX = 64
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
class Spoils(Protocol):
    """A twin that signs its answers and can spoil one; for others `wrong_signature` becomes `garbage`."""

    def spoil(self, answer: bytes, where: float) -> bytes:
        """`answer` with one byte of what is signed changed; `where` (0 to 1) chooses which."""


class _HangUp(Exception):  # noqa: N818 - not an error: it carries the server out of the twin
    """The exchange ends here, before anything is booked."""


class _Exchange:
    """The books as one exchange sees them (Books): the first touch lets the plan decide what goes wrong."""

    def __init__(self, ledger: Ledger, plan: Plan) -> None:
        self._ledger = ledger
        self._plan = plan
        self.touch = Touch.PROBE
        self.reference = ""
        self.strike: Strike | None = None

    def now(self) -> datetime:
        return self._ledger.now()

    def serial(self) -> int:
        return self._ledger.serial()

    def take(self, instruction: Instruction) -> Booking:
        self._touched(Touch.MONEY, instruction.reference)
        try:
            booked = self._ledger.book(instruction, _wish(self.strike))
        except Duplicate:
            if self.strike is not None and self.strike.fault in _ONLY_BY_BOOKING:
                self.strike = None
            raise
        if self.strike is not None and self.strike.fault is BankFault.DUPLICATE:
            raise Duplicate(booked)
        return booked

    def take_bundle(self, reference: str, instructions: Sequence[Instruction]) -> tuple[Booking, ...]:
        self._touched(Touch.MONEY, reference)
        wish = _wish(self.strike)
        # A refusal or a return meets the first line only: partial success is the interesting case.
        wishes = (wish, Meddling()) if wish.refuse or wish.return_s is not None else (wish,)
        if self.strike is not None and self.strike.fault is BankFault.PART:
            instructions = instructions[: (len(instructions) + 1) // 2]
        try:
            booked = self._ledger.book_bundle(reference, instructions, wishes)
        except DuplicateBundle:
            if self.strike is not None and self.strike.fault in _ONLY_BY_BOOKING:
                self.strike = None
            raise
        return booked

    def bundle(self, reference: str) -> tuple[Booking, ...]:
        self._touched(Touch.ENQUIRY, reference)
        return self._ledger.bundle(reference)

    def find(self, reference: str) -> Booking | None:
        self._touched(Touch.ENQUIRY, reference)
        return self._ledger.find(reference)

    def returns(self, account: str, first: date, last: date) -> tuple[Booking, ...]:
        self._asked()
        return self._ledger.returns(account, first, last)

    def holding(self, account: str, on: date | None = None) -> Holding | None:
        self._asked()
        return self._ledger.holding(account, on)

    def entries(self, account: str, first: date, last: date) -> tuple[Entry, ...]:
        self._asked()
        return self._ledger.entries(account, first, last)

    def done(self) -> Strike | None:
        """The twin has answered: what is to be done to its answer."""
        if self.touch is Touch.PROBE:
            self.strike = self._plan.decide(Touch.PROBE, "")
        return self.strike

    def _asked(self) -> None:
        if self.touch is Touch.PROBE:
            self.touch = Touch.QUESTION

    def _touched(self, touch: Touch, reference: str) -> None:
        if self.touch in (Touch.MONEY, Touch.ENQUIRY):
            return
        self.touch, self.reference = touch, reference
        if touch is Touch.MONEY:
            self._ledger.hear(reference)
        self.strike = self._plan.decide(touch, reference)
        if self.strike is not None and self.strike.fault is BankFault.DROP_BEFORE:
            raise _HangUp


def _wish(strike: Strike | None) -> Meddling:
    if strike is None:
        return Meddling()
    if strike.fault is BankFault.REFUSE:
        return Meddling(refuse="refused_by_bank")
    if strike.fault is BankFault.HIDE:
        return Meddling(hide_s=strike.seconds)
    return Meddling(return_s=strike.seconds) if strike.fault is BankFault.LATE_RETURN else Meddling()


class SimBank:
    """One simulated bank. `tls` None serves plain TCP, as those front ends do that leave TLS to a side-car.

    `ports` maps the twin's port names to TCP ports, 0 (also for those not named) for any free one. `reactor`
    may be a bare clock when only `build` is used with in-memory transports.
    """

    def __init__(self, reactor: IReactorTime, twin: Twin, ledger: Ledger, plan: Plan,
                 tls: IOpenSSLServerConnectionCreator | None = None, ports: Mapping[str, int] = {},
                 *, seed: str = "0", log: ExchangeLog | None = None) -> None:  # fmt: skip
        unknown = sorted(set(ports) - set(twin.ports))
        if unknown:
            raise ValueError(f"this bank has no port {', '.join(unknown)}; it has {', '.join(twin.ports)}")
        self.twin = twin
        self.ledger = ledger
        self.script = Script(otherwise=plan)
        self.tally = Tally()
        self.ports: dict[str, int] = {}
        self.reactor = reactor
        self.chance = Chance(seed)
        self.log = log
        self._tls = tls
        self._wanted = ports
        self._listening: list[IListeningPort] = []
        self._sessions: set[_Session] = set()
        self._answers: dict[tuple[str, Touch], deque[tuple[str, bytes]]] = {}

    def listen(self, interface: str = "127.0.0.1") -> Mapping[str, int]:
        """Open every port; returns their numbers by name."""
        tcp = cast(IReactorTCP, self.reactor)
        for name in self.twin.ports:
            listening = tcp.listenTCP(self._wanted.get(name, 0), self._served(name), interface=interface)
            self._listening.append(listening)
            self.ports[name] = cast(IPv4Address, listening.getHost()).port
        return self.ports

    async def stop(self) -> None:
        """Close ports and connections; answers still delayed are never given."""
        waiting: list[Deferred[object]] = [maybeDeferred(one.stopListening) for one in self._listening]
        self._listening.clear()
        for session in tuple(self._sessions):
            session.hang_up()
        for one in waiting:
            await one

    def build(self, port: str) -> StreamProtocol:
        """The server's end of one connection to `port`, without TLS; give it any transport."""
        return _Session(self, port)

    def report(self) -> dict[str, object]:
        """What happened so far, as plain values."""
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
        """A connection was made."""
        self.tally.connections += 1
        self._sessions.add(session)

    def left(self, session: _Session) -> None:
        """A connection ended."""
        self._sessions.discard(session)

    def remember(self, port: str, exchange: _Exchange, data: bytes) -> None:
        """Keep the last two answers of a kind, to give one of them to somebody else some day."""
        kept = self._answers.setdefault((port, exchange.touch), deque(maxlen=2))
        kept.append((exchange.reference, data))

    def note(self, port: str, exchange: _Exchange, request: bytes, answer: bytes, fault: BankFault | None,
             complaint: str = "") -> None:  # fmt: skip
        """Log one exchange, with the answer as the twin gave it, before any fault spoiled it."""
        if self.log is not None:
            at_ms = round(self.ledger.now().timestamp() * 1000)
            self.log.write(Exchanged(at_ms, port, exchange.touch.value, exchange.reference, request, answer,
                                     "" if fault is None else fault.value, complaint))  # fmt: skip

    def spoiled(
        self, port: str, fault: BankFault, exchange: _Exchange, data: bytes
    ) -> tuple[BankFault, tuple[bytes, ...]]:
        """What a fault makes of an honest answer, and which fault it really is.

        A twin that signs nothing cannot sign wrongly (garbage instead), and without an answer to somebody
        else there is none to give (drop instead).
        """
        where = self.chance.roll(fault.value, exchange.reference, self.tally.faults[fault])
        if fault is BankFault.WRONG_SIGNATURE and isinstance(self.twin, Spoils):
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
        # The default holds every write back one turn of the reactor to gather small ones; ours are frames.
        secured.protocol = TLSMemoryBIOProtocol
        secured.noisy = False
        return secured


class _Session(StreamProtocol):
    """One connection: requests are answered one after the other, as a front end does."""

    def __init__(self, bank: SimBank, port: str) -> None:
        self._bank = bank
        self._port = port
        self._cutter = bank.twin.requests(port)
        self._state: dict[str, str] = {}
        self._waiting: deque[bytes] = deque()
        self._delayed: IDelayedCall | None = None
        self._open = False

    def connectionMade(self) -> None:
        self._open = True
        self._bank.joined(self)
        transport = self.transport
        if hasattr(transport, "setTcpNoDelay"):
            cast(ITCPTransport, transport).setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        try:
            frames = self._cutter.feed(data)
        except ProtocolError as error:
            self._bank.note(self._port, _Exchange(self._bank.ledger, self._bank.script), data, b"", None, str(error))
            self._refuse()
            return
        self._waiting.extend(frames)
        if len(self._waiting) > _WAITING_MAX:
            self._refuse()
        self._work()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._open = False
        self._bank.left(self)
        if self._delayed is not None:
            self._delayed.cancel()
            self._delayed = None

    def hang_up(self) -> None:
        """Break the connection off, whatever is under way."""
        if self._open:
            self._open = False
            cast(Any, self.transport).abortConnection()

    def _refuse(self) -> None:
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
            bank.note(self._port, exchange, request, b"", BankFault.DROP_BEFORE)
            self._commit(BankFault.DROP_BEFORE)
            return
        except ProtocolError as error:
            bank.note(self._port, exchange, request, b"", None, str(error))
            self._refuse()
            return
        strike = exchange.done()
        bank.tally.exchanges[exchange.touch] += 1
        bank.note(self._port, exchange, request, answer.data, None if strike is None else strike.fault)
        if strike is None:
            bank.remember(self._port, exchange, answer.data)
            self._write(answer)
        else:
            self._misbehave(strike, exchange, answer)

    def _misbehave(self, strike: Strike, exchange: _Exchange, answer: Answer) -> None:
        fault, writes = self._bank.spoiled(self._port, strike.fault, exchange, answer.data)
        if fault is BankFault.DELAY:
            self._bank.tally.faults[fault] += 1
            self._delayed = self._bank.reactor.callLater(strike.seconds, self._late, answer)
        else:
            self._commit(fault, *writes, close=answer.close or fault not in _STAYS_OPEN)

    def _commit(self, fault: BankFault, *writes: bytes, close: bool = True) -> None:
        """Count the fault, write what it leaves of the answer, and close unless it says otherwise."""
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
