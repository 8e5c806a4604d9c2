"""The last moment before the kernel: a process that stood still writes nothing, not even the rest of a message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport

from gateway.bank.connection import BankConnection, NoAnswer
from gateway.bank.dialer import BankDialer
from gateway.bank.tls import client_context
from gateway.kernel.clock import SystemClock
from gateway.kernel.tasks import sleep
from protocols.bank import Port
from protocols.kit.framing import LengthPrefix
from tests.world.peers import LOOPBACK, Peer, TlsFiles, bad_context

QUESTION, LONG = b"0008question", b"7999999" + b"x" * 7_999_999
PORT = Port(
    "business", lambda: LengthPrefix(4).cutter(1000), kept=True, first_byte_s=60, between_bytes_s=10, exchange_s=120
)


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return TlsFiles(tmp_path_factory.mktemp("yard"), datetime.now(UTC))


@pytest.fixture(params=["tls", "plain"])
def scene(request: pytest.FixtureRequest, yard: TlsFiles) -> _Scene:
    return _Scene(yard if request.param == "tls" else None)


class _Scene:
    """A listening bank, one connection to it, and a lease that a test takes away. `asked` counts the checks of the
    lease."""

    def __init__(self, yard: TlsFiles | None) -> None:
        from twisted.internet import reactor

        self.net: Any = reactor
        self.clock = SystemClock(self.net)
        self.holds, self.asked, self.gone = True, 0, 0
        self.peer = Peer(behave=self._answer)
        self.answers = True
        self._yard = yard

    def may_write(self) -> bool:
        self.asked += 1
        return self.holds

    @asynccontextmanager
    async def line(self) -> AsyncIterator[BankConnection]:
        yard = self._yard
        server = None if yard is None else bad_context([yard.leaf()], yard.key, ask=yard.ca_file)
        async with self.peer.listening(self.net, server):
            tls = None if yard is None else client_context(yard.settings(), self.clock)
            endpoint = BankDialer(self.net, LOOPBACK, self.peer.port, tls)
            line = await endpoint.connect(lambda: BankConnection(PORT, self.clock, self._gone, self.may_write))
            await self.until(lambda: bool(self.peer.open))
            try:
                yield line
            finally:
                line.hang_up()
                await self.until(lambda: self.gone == 1 and not self.peer.open)

    async def until(self, true: Any) -> None:
        for _ in range(2_000):
            if true():
                return
            await sleep(self.clock, 0.005)
        raise AssertionError("it did not come about within 10 s")

    async def refused(self, exchange: Deferred[bytes]) -> NoAnswer:
        with pytest.raises(NoAnswer) as silence:
            await exchange
        return silence.value

    def _gone(self, _line: BankConnection) -> None:
        self.gone += 1

    def _answer(self, _data: bytes, transport: ITCPTransport) -> None:
        if self.answers:
            transport.write(b"0002ok")


async def test_whoever_holds_the_lane_says_it_in_the_same_turn(scene: _Scene) -> None:
    async with scene.line() as line:
        for count in (1, 2):
            before = scene.asked
            exchange = line.exchange(QUESTION)
            assert scene.asked == before + 1 and not exchange.called
            assert await exchange == b"ok"
            assert scene.peer.heard.count(QUESTION) == count


async def test_a_lease_that_ended_while_the_message_was_sealed_lets_not_one_byte_out(
    scene: _Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene.line() as line:
        assert await line.exchange(QUESTION) == b"ok"
        transport = cast(ITCPTransport, line.transport)
        seal = transport.write

        def seal_slowly(data: bytes) -> None:
            seal(data)
            scene.holds = False  # it was suspended here, and resumed an hour later

        monkeypatch.setattr(transport, "write", seal_slowly)
        said = await scene.refused(line.exchange(QUESTION))
        assert (said.reason, said.written) == ("permit_refused", False)
        assert not line.live
        await scene.until(lambda: scene.gone == 1 and not scene.peer.open)
        assert scene.peer.heard == QUESTION, "only the first one"
        again = await scene.refused(line.exchange(QUESTION))
        assert (again.reason, again.written) == ("connection_gone", False)


async def test_a_long_message_is_not_said_to_its_end_once_the_lease_has_ended(scene: _Scene) -> None:
    async with scene.line() as line:
        scene.answers = False
        bank: Any = scene.peer.open[0].tcp
        bank.pauseProducing()  # it is slow to read
        exchange = line.exchange(LONG)
        looks = -1
        while looks != scene.asked:
            looks = scene.asked
            await sleep(scene.clock, 0.2)
        assert looks >= 1 and not exchange.called, "the kernel takes no more"
        scene.holds = False
        bank.resumeProducing()
        said = await scene.refused(exchange)
        assert (said.reason, said.written) == ("permit_refused", True), "some of it left: it is doubt"
        await scene.until(lambda: scene.gone == 1 and not scene.peer.open)
        assert len(scene.peer.heard) < len(LONG)


async def test_a_long_message_is_said_whole_while_the_lease_holds(scene: _Scene) -> None:
    async with scene.line() as line:
        scene.answers = False
        exchange = line.exchange(LONG)
        await scene.until(lambda: len(scene.peer.heard) == len(LONG))
        assert scene.peer.heard == LONG and scene.asked > 8
        [bank] = scene.peer.open
        bank.tcp.write(b"0002ok")
        assert await exchange == b"ok"


async def test_a_goodbye_too_asks_first(scene: _Scene) -> None:
    async with scene.line() as line:
        assert await line.exchange(QUESTION) == b"ok"
        scene.holds = False
        line.finish()
        await scene.until(lambda: scene.gone == 1 and not scene.peer.open)
        assert scene.peer.heard == QUESTION
