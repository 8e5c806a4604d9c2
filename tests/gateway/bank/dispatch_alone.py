"""One Dispatch whose other parts only record their calls, for the tests of Dispatch at its edges."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred, succeed

from gateway.bank.company_pauses import CompanyPauses
from gateway.bank.connection import NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.dispatch import Dispatch
from gateway.bank.exchange_metrics import ExchangeMetrics
from gateway.bank.handshake_errors import Reason
from gateway.bank.key_trouble import KeyTrouble
from gateway.bank.recorder import PaymentEvent
from gateway.bank.send_gate import SendGate
from gateway.bank.session_states import SessionState
from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.rows import AttemptRow, Evidence, PaymentRow, Reply
from gateway.kernel.commit.send_leave import SendLeave
from gateway.kernel.core.states import Life, Policy, Rules, Work
from gateway.kernel.meters import Meters
from protocols.bank import Submit
from protocols.canon.outcome import Fate, Outcome, State
from tests.protocols.erp.orders import ORDER
from tests.world.clock import HeapClock
from tests.world.life_clock import LifeClock

NOW_MS = 1_795_000_000_000
DAY = date(2026, 11, 18)
SETTLED = Outcome(Fate.SETTLED, "0", "done")
IN_ORDER, DISTRUSTED, SIGNED_OUT = (False, False), (True, False), (False, True)
UNREACHABLE = NotConnected("bank", Reason.REFUSED, "nobody there")


class _Line:
    """A connection that answers as the test says. `wrote` has the bytes that were written to it."""

    def __init__(self) -> None:
        self.wrote: list[bytes] = []
        self.answers: list[bytes | NoAnswer] = []

    async def exchange(self, data: bytes) -> bytes:
        self.wrote.append(data)
        answer = self.answers.pop(0) if self.answers else b"yes"
        if isinstance(answer, NoAnswer):
            raise answer
        return answer


class _Session:
    def __init__(self, carries: _Line | Exception, release: Callable[..., None]) -> None:
        self.state = SessionState.BUSY
        self.carries = carries
        self.release = release

    async def line(self, _port: str, *, same: bool = False) -> _Line:
        assert not same
        if isinstance(self.carries, Exception):
            raise self.carries
        return self.carries


class DispatchAlone:
    """One Dispatch whose other parts only record their calls. `before` and `result` are the bank's conversation."""

    def __init__(self, **life: Any) -> None:
        self.clock = HeapClock(NOW_MS / 1000)
        clock = LifeClock(self.clock)
        self.meters = Meters(CollectorRegistry())
        self.given: list[tuple[bool, bool]] = []
        self.later: list[tuple[int, Work]] = []
        self.recorded: list[tuple[Any, Evidence | None, State | None, int | None]] = []
        self.said: list[Generator[Any, bytes, Outcome]] = []
        self.contexts: list[tuple[str, int]] = []
        self.commits = 0
        self.repeating = False
        self.keys_gone: dict[str, KeyTrouble] = {}
        self.line = _Line()
        self.session: Any = _Session(self.line, self._give_back)
        self.row: PaymentRow | None = row(**life)
        self.before: Exception | Outcome | None = None
        self.result: Exception | Outcome = SETTLED
        self.applied: Applied | None = None
        self.leave = SendLeave()
        self.last = AttemptRow("P", 1, 1, "gw1", "2026-11-18", (), "p", b"stored", None, NOW_MS, "replay_safe")
        self.clock_trust: Any = SimpleNamespace(trusted=lambda: True, quarantine_left_ms=lambda _quarantine_ms: 0)
        self.parts: Any = SimpleNamespace(
            clock=clock,
            store=self,
            name="b.main",
            node="gw1",
            bank_name="b",
            signers={},
            keys_in_trouble=lambda: self.keys_gone,
            meters=self.meters,
            companies=CompanyPauses(),
            rules=lambda _kind: Rules(),
            rules_of=lambda row: row.life.rules,
            bank=SimpleNamespace(
                money={ORDER.kind: self._pay}, bundles={}, read=self._read, profile=SimpleNamespace(signs=())
            ),
        )
        self.lease: Any = SimpleNamespace(epoch=1, holds=True, permits=lambda _epoch, _since_s: True)
        self.calendar: Any = SimpleNamespace(
            next_open_ms=lambda at_ms: at_ms, day_ends_ms=lambda _day: NOW_MS + 3_600_000, shut=lambda _day: None
        )
        around: tuple[Any, Any, Any] = (self.parts, self.lease, self.calendar)
        self.gate = SendGate(*around, lambda: None)
        shared: Any = SimpleNamespace(
            parts=self.parts,
            lease=self.lease,
            clock_trust=self.clock_trust,
            calendar=self.calendar,
            gate=self.gate,
            serials=SimpleNamespace(context=self._context),
            recorder=SimpleNamespace(record_all=self._record_all),
            metrics=ExchangeMetrics("b", self.meters),
            work_queue=SimpleNamespace(postpone=lambda _payment, kind, at_ms: self.later.append((at_ms, kind))),
            ready=SimpleNamespace(take_payment=lambda _payment: succeed(self.row)),
        )
        self.dispatch = Dispatch(shared)

    def _context(self, _session: object, reference: str, attempt: int) -> SimpleNamespace:
        self.contexts.append((reference, attempt))
        return SimpleNamespace(bank_date=DAY)

    def _pay(self, _order: object, _context: object) -> Generator[Any, bytes, Outcome]:
        def conversation() -> Generator[Any, bytes, Outcome]:
            if isinstance(self.before, Exception):
                raise self.before
            if self.before is not None:
                return self.before
            yield Submit("p", b"money")
            if isinstance(self.result, Exception):
                raise self.result
            return self.result

        self.said.append(conversation())
        return self.said[-1]

    def _read(self, _kind: object, _sent: object, _answer: bytes) -> Outcome:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def _give_back(self, *, distrust: bool = False, signed_out: bool = False) -> None:
        self.given.append((distrust, signed_out))

    async def _record_all(
        self, events: Sequence[PaymentEvent], epoch: int, also: object = None, expect: State | None = None
    ) -> None:
        assert also is None, "what belongs to one order is kept with it"
        self.recorded += [(one.event, one.evidence, expect, epoch) for one in events]

    def read(self, _fn: object) -> Deferred[Any]:
        """Return the payment and its last send."""
        return succeed(None if self.row is None else (self.row, self.last))

    def write(self, _unit: object) -> Deferred[Any]:
        """Count a commit: the payment is then in `sending`, or in the state that the test sets."""
        self.commits += 1
        assert self.row is not None
        again = self.row.life.state is State.IN_DOUBT
        life = replace(
            self.row.life,
            state=State.SENDING,
            attempt=self.row.life.attempt + 1,
            repeats=int(again),
            first_write_ms=self.row.life.first_write_ms or NOW_MS,
            last_write_ms=NOW_MS,
        )
        sending = replace(self.row, life=life)
        applied = self.applied or Applied(self.row, sending, None, conflict=False, leave=self.leave)
        return succeed(applied if self.repeating else (applied,))

    def carry(self) -> DispatchAlone:
        done: list[object] = []
        Deferred.fromCoroutine(self.dispatch.carry(self.session, "P")).addBoth(done.append)
        assert done == [None], done
        return self

    def repeat(self) -> DispatchAlone:
        self.repeating = True
        done: list[object] = []
        Deferred.fromCoroutine(self.dispatch.repeat(self.session, "P")).addBoth(done.append)
        assert done == [None]
        return self

    def closed(self) -> bool:
        """Whether the bank's conversation was closed, however long somebody refers to it."""
        return inspect.getgeneratorstate(self.said[-1]) == inspect.GEN_CLOSED

    def requests(self, outcome: str) -> float:
        """The number of exchanges counted."""
        return float(self.meters.bank_requests.labels("b", ORDER.kind.value, outcome)._value.get())


def row(state: State = State.READY, epoch: int = 1, **life: Any) -> PaymentRow:
    return PaymentRow(
        "P",
        "c",
        "s",
        "b",
        "b.main",
        ORDER,
        "v1:0",
        Life(state, **life),
        1,
        epoch,
        "R1",
        Reply(None, None),
        NOW_MS,
        NOW_MS,
    )


def in_doubt(**more: Any) -> DispatchAlone:
    return DispatchAlone(
        **{
            "state": State.IN_DOUBT,
            "rules": Rules(Policy.REPLAY_SAFE),
            "attempt": 1,
            "first_write_ms": NOW_MS - 700_000,
            "last_write_ms": NOW_MS - 700_000,
            **more,
        }
    )


def conflict(before: PaymentRow | None) -> Applied:
    return Applied(before, None, None, conflict=True)
