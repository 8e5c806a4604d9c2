"""Every connection and exchange of a lane stores its bytes in the trace, in whatever way it ended; passwords are never
stored."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from gateway.bank.connection import BankConnection
from gateway.bank.exchange_ring import ExchangeRing
from gateway.bank.exchange_trace import PART_BYTES, LaneTrace, TracedEvent, TraceEvent
from gateway.kernel.sql.vault import Vault
from gateway.parts import Parts
from protocols.bank import Port
from protocols.kit.framing import LengthPrefix
from tests.gateway.bank.test_connection import FakeTransport
from tests.world.clock import HeapClock
from tests.world.life_clock import LifeClock
from tests.world.world import Life, World

E = TraceEvent


class Bench:
    """A connection over an in-memory transport whose trace is kept."""

    def __init__(self, folder: Path, *, kept: bool = True, **secrets: str) -> None:
        self.time = HeapClock()
        self.clock = LifeClock(self.time)
        ring = ExchangeRing(folder, "sample.main", 1_048_576, Vault({"v": b"k" * 32}, "v"))
        self.trace = LaneTrace(ring, secrets, self.clock)
        self.session = self.trace.session(3)
        self.session.purpose = "balance"
        port = Port("business", lambda: LengthPrefix(4).cutter(100_000), kept=kept, first_byte_s=60)
        self.permitted = True
        self.line = BankConnection(
            port, self.clock, lambda _line: None, lambda: self.permitted, self.session.connection("business")
        )
        connect: Callable[[object], None] = self.line.makeConnection
        connect(FakeTransport())

    def ask(self, data: bytes) -> None:
        self.line.exchange(data).addErrback(lambda _failure: None)

    @property
    def events(self) -> list[TracedEvent]:
        return list(self.trace.events_after())

    @property
    def told(self) -> list[tuple[TraceEvent, str]]:
        return [(event.event, event.note) for event in self.events]


def test_an_exchange_leaves_what_was_signed_sent_and_received(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.session.signed("order", b"<signed/>")
    bench.ask(b"0002hi")
    bench.line.dataReceived(b"0003abc")
    connected, request, answer = bench.events
    assert (connected.event, connected.note) == (E.CONNECTED, "plain")
    assert [(part.name, part.octets) for part in request.parts] == [("signed order", b"<signed/>"), ("sent", b"0002hi")]
    assert [(part.name, part.octets) for part in answer.parts] == [("received", b"0003abc")]
    assert {(one.session, one.connection, one.purpose, one.port) for one in bench.events} == {
        (3, 1, "balance", "business")
    }
    assert request.exchange == answer.exchange == 1


@pytest.mark.parametrize("answer", [b"0009cut", b""])
def test_a_half_answer_and_none_are_told_apart(tmp_path: Path, answer: bytes) -> None:
    bench = Bench(tmp_path)
    bench.ask(b"0002hi")
    if answer:
        bench.line.dataReceived(answer)
    bench.line.connectionLost(Failure(ConnectionDone()))
    last = bench.events[-1]
    assert (last.event, last.note) == (E.NO_ANSWER, "half_answer" if answer else "closed_without_answer")
    assert [part.octets for part in last.parts] == ([answer] if answer else [])


def test_garbage_silence_and_unasked_bytes_leave_their_bytes(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "garbage")
    bench.ask(b"0002hi")
    bench.line.dataReceived(b"HTTP/1.1 400 Bad Request")
    assert bench.events[-1].note.startswith("bad_frame:")
    assert bench.events[-1].parts[0].octets == b"HTTP/1.1 400 Bad Request"
    bench = Bench(tmp_path / "silence")
    bench.ask(b"0002hi")
    bench.time.advance(61)
    assert bench.told[-1] == (E.NO_ANSWER, "no_answer") and not bench.events[-1].parts
    bench = Bench(tmp_path / "unasked")
    bench.line.dataReceived(b"0003abc")
    assert bench.events[-1].event is E.UNASKED and bench.events[-1].parts[0].octets == b"0003abc"


def test_a_late_tls_alert_says_that_our_certificate_was_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.ask(b"0002hi")
    bench.line.connectionLost(Failure(SSL.Error([("SSL routines", "", "tlsv13 alert certificate required")])))
    assert bench.told[-1][0] is E.NO_ANSWER and "client_cert_refused" in bench.told[-1][1]


def test_a_kept_connection_that_the_bank_closes_and_a_half_one_are_told(tmp_path: Path) -> None:
    for kept, exchanges, closed in ((True, 1, True), (False, 0, True), (False, 1, False)):
        bench = Bench(tmp_path / f"{kept}{exchanges}", kept=kept)
        for _ in range(exchanges):
            bench.ask(b"0002hi")
            bench.line.dataReceived(b"0003abc")
        bench.line.connectionLost(Failure(ConnectionDone()))
        assert (bench.events[-1].event is E.CLOSED) is closed


def test_passwords_are_cut_out_in_every_form_and_lengths_stay(tmp_path: Path) -> None:
    secret = "a<b&密码 12"
    bench = Bench(tmp_path, password=secret, short="007")
    forms = [
        secret.encode(),
        secret.encode("gb18030"),
        "a&lt;b&amp;密码 12".encode(),
        b64encode(secret.encode()),
        b"a%3Cb%26%E5%AF%86%E7%A0%81+12",
    ]
    message = b"|".join(forms) + b"|007"
    bench.session.signed("order", message)
    bench.ask(message)
    bench.session.refused(f"the bank echoes {secret}")
    for part in bench.events[1].parts:
        assert part.octets == b"|".join(b"*" * len(form) for form in forms) + b"|007"
    assert secret not in bench.events[-1].note


def test_a_long_message_is_cut_and_its_length_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.ask(b"x" * (PART_BYTES + 9))
    (part,) = bench.events[-1].parts
    assert (len(part.octets), part.whole) == (PART_BYTES, PART_BYTES + 9)


def test_notes_keep_to_one_line(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.session.not_connected("business", "refused:\n\tConnection refused")
    assert bench.told[-1] == (E.NOT_CONNECTED, "refused: Connection refused")


def _with_rings(life: Life, parts: Parts) -> Parts:
    world = life.world
    return replace(
        parts, rings={"sample.main": ExchangeRing(world.folder / "traces", "sample.main", 1 << 20, world.vault)}
    )


def test_a_lane_tells_sign_on_probe_payment_and_why_it_is_down(tmp_path: Path) -> None:
    world = World(tmp_path, wrap=_with_rings, bank_options={"sessions": 1, "heartbeat_s": 30})
    life = world.start()
    world.run(2)
    world.submit("A-1")
    world.run(60)
    trace = life.gateway.lanes["sample.main"].trace
    purposes = [event.purpose for event in trace.events_after() if event.event is E.REQUEST]
    assert purposes[0] == "sign_on" and {"send", "probe"} <= set(purposes)
    sent = next(event for event in trace.events_after() if event.event is E.REQUEST and event.purpose == "send")
    assert [part.name for part in sent.parts] == ["signed order", "sent"]
    world.bank.reachable = False
    for pipe in list(life.pipes):
        pipe.abortConnection()
    world.run(5)
    last = list(trace.events_after())[-1]
    assert last.event is E.NOT_CONNECTED and last.note.startswith("refused")
