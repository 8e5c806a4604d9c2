"""The simulated front end on real sockets with real mutual TLS, and in memory: each fault as its client sees it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from gateway.bank.connection import BankConnection, NoAnswer
from gateway.bank.dialer import BankDialer
from gateway.bank.tls import ClientTls, TlsSettings, client_context, server_context
from gateway.kernel.clock import SystemClock
from gateway.simbank.config import BadConfig, SimConfig
from gateway.simbank.faults import BankFault, ExchangeKind, FaultPlan, FaultScript, ScriptedFault
from gateway.simbank.ledger import Ledger, LedgerAccount
from gateway.simbank.pki import make_pki
from gateway.simbank.server import SimBank
from gateway.simbank.service import RunningBank, serve
from protocols.bank import Bank, Conversation, MoneyConversation, Sign
from protocols.banks import sample
from protocols.canon.money import Money
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, FateQuestion
from protocols.kit.errors import ProtocolError
from tests.gateway.simbank.files import config_text, pki
from tests.protocols.banks.sample.paper import DEBTOR, ORDER, keys, public_pem, sign, stage
from tests.world.clock import HeapClock
from tests.world.dialogue import NOON, BankAndTwin, BankTime, sent_of
from tests.world.within import within

R = TypeVar("R")
TLS_NAME = "sample.bank.test"


def reactor() -> Any:
    from twisted.internet import reactor as running

    return running


# ---- in memory -------------------------------------------------------------------------------------


class Cable(StringTransport):
    """An in-memory transport that also has `abortConnection`, with types."""

    def carried(self) -> bytes:
        return cast(bytes, self.value())  # type: ignore[no-untyped-call]

    def forget(self) -> None:
        self.clear()  # type: ignore[no-untyped-call]

    def abortConnection(self) -> None:
        self.aborting = True
        self.loseConnection()  # type: ignore[no-untyped-call]


class CabledBank:
    """A simulated bank in memory, and an adapter that talks to it over cables."""

    def __init__(self, plan: FaultScript | FaultPlan | None = None) -> None:
        self.stage: BankAndTwin = stage()
        self.clock = HeapClock()
        twin, ledger = self.stage.twin, self.stage.ledger
        self.bank = SimBank(self.clock, twin, ledger, plan or FaultScript())
        self.protocol: Protocol | None = None
        self.connect()

    def connect(self) -> None:
        self.protocol = self.bank.build("business")
        self.cable = Cable()  # type: ignore[no-untyped-call]
        self.protocol.makeConnection(self.cable)
        self.stage.session = self.talk(sign_on(self.stage.bank)(self.stage.context()))
        self.cable.forget()

    def request(self, conversation: Any) -> Any:
        """Write the conversation's request. The answer stays on the cable."""
        step = next(conversation)
        while isinstance(step, Sign):
            step = conversation.send(self.stage.signers[step.key](step.octets))
        assert self.protocol is not None
        self.protocol.dataReceived(step.data)
        return conversation

    def frames(self) -> list[bytes]:
        return self.stage.bank.ports["business"].answers().feed(self.cable.carried())

    def talk(self, conversation: Conversation[R] | MoneyConversation) -> Any:
        self.cable.forget()
        running = self.request(conversation)
        [frame] = self.frames()
        try:
            running.send(frame)
        except StopIteration as end:
            return end.value
        raise AssertionError("the conversation went on")

    def pay(self, reference: str) -> Any:
        return self.stage.bank.money[ORDER.kind](ORDER, self.stage.context(reference))


def sign_on(bank: Bank) -> Callable[..., Conversation[Mapping[str, str]]]:
    assert bank.sessions.sign_on is not None
    return bank.sessions.sign_on


REF = "MEMORY00000000000001"
OTHER = "MEMORY00000000000002"


def test_honest_in_memory() -> None:
    cabled = CabledBank()
    assert cabled.talk(cabled.pay(REF)).fate is Fate.SETTLED
    assert cabled.bank.tally.exchanges == {ExchangeKind.PROBE: 1, ExchangeKind.MONEY: 1}
    assert cabled.bank.report()["executions"] == 1


def test_requests_cut_anywhere_are_one_request() -> None:
    cabled = CabledBank()
    protocol = cabled.protocol
    assert protocol is not None
    conversation = cabled.pay(REF)
    step = conversation.send(sign(keys().client, next(conversation).octets))
    for n in range(len(step.data)):
        protocol.dataReceived(step.data[n : n + 1])
    assert len(cabled.frames()) == 1


def test_a_delayed_answer_comes_late_and_what_was_asked_meanwhile_after_it() -> None:
    cabled = CabledBank(FaultScript([ScriptedFault(BankFault.DELAY, seconds=5)]))
    cabled.cable.forget()
    cabled.request(cabled.pay(REF))
    cabled.request(cabled.pay(OTHER))
    assert (cabled.frames(), len(cabled.stage.ledger.executions)) == ([], 1)
    cabled.clock.advance(4.9)
    assert cabled.frames() == []
    cabled.clock.advance(0.2)
    assert [reference in frame for reference, frame in zip((REF.encode(), OTHER.encode()), cabled.frames())] == [
        True,
        True,
    ]
    assert len(cabled.stage.ledger.executions) == 2


def test_a_connection_lost_meanwhile_takes_its_delayed_answer_along() -> None:
    cabled = CabledBank(FaultScript([ScriptedFault(BankFault.DELAY)]))
    cabled.request(cabled.pay(REF))
    assert cabled.protocol is not None
    cabled.protocol.connectionLost(Failure(ConnectionDone()))
    assert cabled.clock.getDelayedCalls() == []


@pytest.mark.parametrize("noise", [b"x" * 8, b"00000004<<<<", b"99999999"])
def test_what_is_no_request_ends_the_connection(noise: bytes) -> None:
    cabled = CabledBank()
    assert cabled.protocol is not None
    cabled.protocol.dataReceived(noise)
    assert cabled.cable.disconnecting
    assert cabled.bank.tally.malformed == 1


def test_a_flood_of_requests_ends_the_connection() -> None:
    cabled = CabledBank(FaultScript([ScriptedFault(BankFault.DELAY)]))
    for n in range(70):
        cabled.request(cabled.pay(f"FLOOD{n:015d}"))
    assert cabled.cable.disconnecting


def test_another_payments_answer_needs_another_payment() -> None:
    cabled = CabledBank(FaultScript([ScriptedFault(BankFault.OTHERS_ANSWER, reference=REF, skip=1)]))
    cabled.request(cabled.pay(REF))
    cabled.request(cabled.pay(REF))
    assert cabled.cable.disconnecting
    assert cabled.bank.tally.faults == {BankFault.DROP_AFTER: 1}


def test_a_twin_that_signs_nothing_answers_garbage_instead() -> None:
    cabled = CabledBank(FaultScript([ScriptedFault(BankFault.WRONG_SIGNATURE)]))

    class Unsigned:
        ports: tuple[str, ...] = ("business",)
        requests = cabled.stage.twin.requests
        answer = cabled.stage.twin.answer

    cabled.bank.twin = Unsigned()
    cabled.request(cabled.pay(REF))
    assert cabled.bank.tally.faults == {BankFault.GARBAGE: 1}


def test_faults_that_need_a_booking_do_not_strike_duplicates() -> None:
    script = FaultScript()
    cabled = CabledBank(script)
    cabled.talk(cabled.pay(REF))
    for fault in (BankFault.REFUSE, BankFault.HIDE, BankFault.LATE_RETURN):
        script.add(ScriptedFault(fault))
        assert cabled.talk(cabled.pay(REF)).fate is Fate.DUPLICATE
    assert cabled.bank.tally.faults == {}


def test_every_fault_by_rates_and_never_a_double() -> None:
    """A campaign in memory: whatever answers the client got, the books have each payment at most once."""
    rates: dict[BankFault, float] = dict.fromkeys(set(BankFault) - {BankFault.PROBE_SILENCE}, 0.06)
    cabled = CabledBank(FaultPlan("campaign", rates))
    for n in range(300):
        cabled.cable.forget()
        cabled.request(cabled.pay(f"MANY{n:016d}"))
        cabled.clock.advance(200)
        if cabled.cable.disconnecting:
            cabled.connect()
    counts = cabled.bank.tally.faults
    assert all(counts[fault] > 3 for fault in rates)
    assert len(cabled.stage.ledger.executions) == 300 - counts[BankFault.DROP_BEFORE]
    assert cabled.stage.ledger.doubles() == []


def test_unknown_ports_are_refused() -> None:
    made = stage()
    with pytest.raises(ValueError, match="banking.*business"):
        SimBank(HeapClock(), made.twin, made.ledger, FaultScript(), None, {"banking": 1})


# ---- over loopback and mutual TLS ------------------------------------------------------------------


def client_tls() -> ClientTls:
    own = pki()
    settings = TlsSettings(
        server_name=TLS_NAME, ca_file=own.ca_cert, client_cert=own.client_cert, client_key=own.client_key
    )
    return client_context(settings, SystemClock(reactor()))


class Client:
    """The adapter over a real connection: `ask` gives a conversation's result or raises its failure."""

    def __init__(self, line: BankConnection, made: BankAndTwin) -> None:
        self.line = line
        self.stage = made

    async def ask(self, conversation: Any) -> Any:
        try:
            step = next(conversation)
            while True:
                if isinstance(step, Sign):
                    step = conversation.send(self.stage.signers[step.key](step.octets))
                else:
                    step = conversation.send(await self.line.exchange(step.data))
        except StopIteration as end:
            return end.value

    async def pay(self, reference: str) -> Outcome:
        made = self.stage
        return cast(Outcome, await self.ask(made.bank.money[ORDER.kind](ORDER, made.context(reference))))

    async def fate(self, reference: str) -> Outcome:
        made = self.stage
        question = FateQuestion(sent_of(ORDER, reference, NOON.date()))
        assert made.bank.questions.fate is not None
        return cast(Outcome, await self.ask(made.bank.questions.fate(question, made.context())))


class House:
    """A simulated bank that listens, and clients of it."""

    def __init__(self, plan: FaultScript) -> None:
        self.time = BankTime()
        made = stage()
        made.bank = sample.build({"bank_certificate": public_pem(keys().bank), "verify": "hand", "answer_s": 2})
        self.stage = replace(made, time=self.time)
        ledger = Ledger(self.time.now_ms, [LedgerAccount(DEBTOR, "示例甲公司", Money(10_000_000))])
        own = pki()
        tls = server_context(own.server_cert, own.server_key, own.ca_cert)
        self.bank = SimBank(reactor(), made.twin, ledger, plan, tls)
        self.lines: list[BankConnection] = []
        self.ended: list[BankConnection] = []

    async def client(self, answer_s: float = 2.0, tls: ClientTls | None = None) -> Client:
        port = replace(self.stage.bank.ports["business"], first_byte_s=answer_s)
        where = BankDialer(cast(IReactorTCP, reactor()), "127.0.0.1", self.bank.ports["business"], tls or client_tls())
        line = await where.connect(
            lambda: BankConnection(port, SystemClock(reactor()), self.ended.append, lambda: True)
        )
        self.lines.append(line)
        client = Client(line, replace(self.stage))
        client.stage.session = await client.ask(sign_on(client.stage.bank)(client.stage.context()))
        return client


@asynccontextmanager
async def house(*faults: ScriptedFault) -> AsyncIterator[House]:
    made = House(FaultScript(faults))
    made.bank.listen()
    try:
        yield made
    finally:
        for line in made.lines:
            line.hang_up()
        await made.bank.stop()
        await until(lambda: not made.bank._sessions)


async def until(true: Callable[[], bool]) -> None:
    """Let the reactor turn until a condition holds; the test's own time limit ends the wait."""
    while not true():
        turn: Deferred[None] = Deferred()
        reactor().callLater(0.001, turn.callback, None)
        await turn


async def what_came_of(paying: Coroutine[Deferred[Any], Any, Outcome]) -> str:
    """The fate in the outcome, or the reason why there is no outcome."""
    try:
        return (await paying).fate.value
    except NoAnswer as silence:
        return silence.reason


SOCKET = "SOCKET00000000000001"
SECOND = "SOCKET00000000000002"


@within(10)
async def test_honest_over_tls() -> None:
    async with house() as made:
        client = await made.client()
        assert (await client.pay(SOCKET)).fate is Fate.SETTLED
        assert (await client.fate(SOCKET)).fate is Fate.SETTLED
        bank = client.stage.bank
        assert bank.questions.balance is not None
        balance = await client.ask(
            bank.questions.balance(BalanceQuestion(AccountNumber(DEBTOR)), client.stage.context())
        )
        assert balance.book == Money(10_000_000 - ORDER.amount.minor)
        counts = {ExchangeKind.PROBE: 1, ExchangeKind.MONEY: 1, ExchangeKind.ENQUIRY: 1, ExchangeKind.QUESTION: 1}
        assert made.bank.tally.exchanges == counts


@pytest.mark.parametrize(
    ("fault", "seen", "executions"),
    [
        (BankFault.DROP_BEFORE, "closed_without_answer", 0),
        (BankFault.DROP_AFTER, "closed_without_answer", 1),
        (BankFault.HALF, "half_answer", 1),
        (BankFault.GARBAGE, "bad_frame:frame_length", 1),
        (BankFault.HIDE, "closed_without_answer", 1),
    ],
)
@within(10)
async def test_no_usable_answer(fault: BankFault, seen: str, executions: int) -> None:
    async with house(ScriptedFault(fault, SOCKET)) as made:
        client = await made.client()
        with pytest.raises(NoAnswer) as silence:
            await client.pay(SOCKET)
        assert (silence.value.reason, silence.value.written) == (seen, True)
        assert len(made.bank.ledger.executions) == executions
        assert made.bank.tally.faults == {fault: 1}


@within(10)
async def test_delay_beyond_patience() -> None:
    async with house(ScriptedFault(BankFault.DELAY, seconds=30)) as made:
        client = await made.client(answer_s=0.05)
        with pytest.raises(NoAnswer) as silence:
            await client.pay(SOCKET)
        assert silence.value.reason == "no_answer"
        assert len(made.bank.ledger.executions) == 1


@pytest.mark.parametrize(
    ("fault", "reason"), [(BankFault.WRONG_SIGNATURE, "digest"), (BankFault.OTHERS_ANSWER, "correlation")]
)
@within(10)
async def test_answers_that_must_not_be_believed(fault: BankFault, reason: str) -> None:
    async with house(ScriptedFault(fault, SECOND)) as made:
        client = await made.client()
        await client.pay(SOCKET)
        with pytest.raises(ProtocolError) as refused:
            await client.pay(SECOND)
        assert refused.value.reason == reason
        assert len(made.bank.ledger.executions) == 2
        assert made.bank.tally.faults == {fault: 1}


@within(10)
async def test_the_same_answer_twice_ends_the_connection() -> None:
    async with house(ScriptedFault(BankFault.TWICE)) as made:
        client = await made.client()
        seen = await what_came_of(client.pay(SOCKET))
        assert seen in ("settled", "two_answers")  # the kernel decides whether both answers are read at once
        await until(lambda: client.line in made.ended)
        assert len(made.bank.ledger.executions) == 1


@within(10)
async def test_refuse() -> None:
    async with house(ScriptedFault(BankFault.REFUSE)) as made:
        outcome = await (await made.client()).pay(SOCKET)
        assert (outcome.fate, outcome.text) == (Fate.FAILED, "refused_by_bank")


@within(10)
async def test_hidden_for_a_while() -> None:
    async with house(ScriptedFault(BankFault.HIDE, seconds=60)) as made:
        with pytest.raises(NoAnswer):
            await (await made.client()).pay(SOCKET)
        client = await made.client()
        assert (await client.fate(SOCKET)).fate is Fate.NOT_FOUND
        made.time.later(60)
        assert (await client.fate(SOCKET)).fate is Fate.SETTLED


@within(10)
async def test_late_return() -> None:
    async with house(ScriptedFault(BankFault.LATE_RETURN, seconds=60)) as made:
        client = await made.client()
        assert (await client.pay(SOCKET)).fate is Fate.SETTLED
        made.time.later(60)
        assert (await client.fate(SOCKET)).fate is Fate.RETURNED


@within(10)
async def test_silence_to_a_probe() -> None:
    async with house() as made:
        client = await made.client(answer_s=0.05)
        made.bank.script.add(ScriptedFault(BankFault.PROBE_SILENCE))
        with pytest.raises(NoAnswer) as silence:
            await client.ask(client.stage.bank.sessions.probe(client.stage.context()))
        assert silence.value.reason == "no_answer"


@within(10)
async def test_faults_strike_enquiries_too() -> None:
    async with house(ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.ENQUIRY)) as made:
        client = await made.client()
        await client.pay(SOCKET)
        with pytest.raises(NoAnswer):
            await client.fate(SOCKET)


@within(10)
async def test_a_client_of_another_ca_gets_no_session(tmp_path: Path) -> None:
    other = make_pki(tmp_path, ["sample"], datetime.now(UTC))["sample"]
    settings = TlsSettings(
        server_name=TLS_NAME, ca_file=pki().ca_cert, client_cert=other.client_cert, client_key=other.client_key
    )
    async with house() as made:
        with pytest.raises(NoAnswer):
            await made.client(tls=client_context(settings, SystemClock(reactor())))
        assert made.bank.tally.exchanges == {}


# ---- as a process of its own -----------------------------------------------------------------------


class _Asking(LineOnlyReceiver):
    delimiter = b"\n"

    def __init__(self, answer: Deferred[Any]) -> None:
        self.answer = answer

    def lineReceived(self, line: bytes) -> None:
        self.answer.callback(json.loads(line))
        cast(Any, self.transport).loseConnection()


async def command(path: Path, **words: Any) -> Any:
    answer: Deferred[Any] = Deferred()
    factory = Factory.forProtocol(lambda: _Asking(answer))
    protocol = cast(Any, await UNIXClientEndpoint(reactor(), str(path)).connect(factory))
    protocol.transport.write(json.dumps(words).encode() + b"\n")
    return await answer


@asynccontextmanager
async def serving(config: SimConfig) -> AsyncIterator[RunningBank]:
    running = serve(reactor(), config, BankTime().now_ms)
    try:
        yield running
    finally:
        await running.stop()
        await until(lambda: not running.bank._sessions)


@within(10)
async def test_served_from_its_file_and_told_what_to_do(tmp_path: Path) -> None:
    config = replace(SimConfig.from_file(config_text(tmp_path)), fault_rates={})
    socket = tmp_path / "sim.sock"
    async with serving(config) as running:
        assert socket.stat().st_mode & 0o077 == 0
        ready = json.loads((tmp_path / "ready.json").read_text())
        assert (ready["bank"], ready["ports"]) == ("sample", dict(running.bank.ports))
        talk = House(FaultScript())
        talk.bank = running.bank
        client = await talk.client()
        assert (await client.pay("SERVED00000000000001")).fate is Fate.FAILED  # 5,000.00 is not enough
        assert await command(socket, do="strike", fault="half", reference=SOCKET) == {"faults_to_come": 1}
        assert await command(socket, do="calm") == {"faults_to_come": 0}
        report = await command(socket, do="report")
        assert (report["executions"], report["doubles"], report["faults"]["half"]) == (1, [], 0)
        truth = (await command(socket, do="truth"))["truth"]
        assert truth["SERVED00000000000001"][0]["refused"] == "insufficient_funds"
        assert "no command" in (await command(socket, do="dance"))["error"]
        assert "halff" in (await command(socket, do="strike", fault="halff"))["error"]
        client.line.hang_up()
    assert not socket.exists()
    async with serving(config) as again:
        assert len(again.bank.ledger.executions) == 1


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"bank": "nobank"}, "bank"),
        ({"options": {"user": "u"}}, "options.password"),
        ({"keys": {"bank": Path("/none")}}, "keys.bank"),
        ({"ports": {"banking": 0}}, "ports"),
    ],
)
def test_serve_says_what_cannot_be_used(tmp_path: Path, change: Mapping[str, Any], key: str) -> None:
    config = replace(SimConfig.from_file(config_text(tmp_path)), **change)
    with pytest.raises(BadConfig) as refused:
        serve(reactor(), config)
    assert refused.value.key == key
