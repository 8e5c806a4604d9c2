"""A daemon that dies at the n-th passing of a named point: `python -m tests.world.mortal SETTINGS POINT N`.

It is `bankgw run` with parts that count the points they pass; at the wanted one the process is gone, as if it had been
killed: nothing is flushed, no handler runs. Its exit code is then `DEAD`.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from gateway import app
from gateway.bank.bank_session import Dialer
from gateway.bank.connection import BankConnection
from gateway.cli import run
from gateway.demo import site
from gateway.kernel import log
from gateway.kernel.commit.permit_lines import Group
from gateway.kernel.commit.rows import Permit
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Resolve
from gateway.parts import Parts
from gateway.payments.rows import lookup
from gateway.payments.rows import transition as applying
from gateway.pools import jobs as pool_service
from gateway.pools.rows import linked_orders, linked_runs, pool_facts, pool_moves, pools
from gateway.pools.rows.linked_orders import LinkedOrder, LinkState
from gateway.pools.rows.pool_runs import RunRequest
from gateway.settings import Settings, load
from gateway.system_parts import system_parts
from protocols.bank import Port
from protocols.canon.outcome import Fate, State
from protocols.kit import dsig
from tests.world import wire
from tests.world.points import PointedAmqp

DEAD = 77
LINKS_BANK = "sample"
"""The bank of the pool that funds linked payments; its first account is the header."""
POOLS_S = 1.5
"""When the pools are run after the start of a life."""
LINKS_S = 0.5
"""How often links are checked: most lives are shorter than the daemon's interval."""
PROVEN_MS = 1_000
"""The simulated banks include executed payments in a balance at once, so that an order need not wait minutes for the
next."""
DECIDED_S = 2.0
"""How often persons decide about linked payments."""
DOUBTS = (State.IN_DOUBT, State.ESCALATED)
_LINK_STEPS = {LinkState.FUNDING: "link_begin", LinkState.RELEASED: "link_release", LinkState.DONE: "link_end"}
_PAYMENT = (b"<Operation>Pay<", b"<Operation>Move<", b"<ThirdVoucher>")
_PAB_HEADER = slice(40, 44)
_BY_MODULE = {
    "gateway.payments.erp.orders": "order",
    "gateway.payments.erp.status_and_cancel": "cancel",
    "gateway.statements.erp.ask_later": "question",
    "gateway.erp.question_service": "answer",
    "gateway.bank.dispatch": "sending",
    "gateway.bank.recorder": "word",
}
_BY_WORD = {
    "acquire": "lease",
    "renew": "renewal",
    "recover": "recovery",
    "draw_serials": "serials",
    "mark": "confirmed",
    "plan_run": "pool_plan",
    "order_move": "pool_order",
    "end_run": "pool_end",
}
_SUBJECTS = {
    "order": (1,),
    "sending": (1, 2),
    "word": (1, 2),
    "confirmed": (1, 2),
    "cancel": (1,),
    "question": (1,),
    "answer": (1,),
    "lease": (1,),
    "renewal": (1,),
    "recovery": (1,),
    "serials": (1,),
    "pool_plan": (1,),
    "pool_order": (1, 2),
    "pool_end": (1,),
    "link_begin": (1,),
    "link_release": (1,),
    "link_end": (1,),
}
POINTS: dict[str, Sequence[int]] = {
    **{f"journal.commit.{subject}.{side}": nths for subject, nths in _SUBJECTS.items() for side in ("before", "after")},
    "permits.note.group.before": (1, 2),
    **{f"permits.append.group.{side}": (1, 2) for side in ("before", "after")},
    **{f"bank.write.payment.{side}": (1, 2) for side in ("before", "after")},
    "bank.leave.payment.after": (1, 2),
    **{f"bank.write.link_leg.{side}": (1,) for side in ("before", "after")},
    **{f"bank.read.payment.{side}": (1, 2) for side in ("before", "after")},
    **{f"bank.{verb}.question.{side}": (1, 2) for verb in ("write", "read") for side in ("before", "after")},
    **{
        f"erp.{what}.{side}": (1, 3)
        for what in ("deliver.command", "ack.delivery", "publish.message", "confirm.message")
        for side in ("before", "after")
    },
}
"""Every point, and the passings at which a life ends there. At `leave` the kernel has the written bytes. A committed
group passes the point of each of its subjects; leg 1 of a linked payment also passes that of a payment."""


def subjects(units: Sequence[Any]) -> list[str]:
    """The subjects of a group's units. Units that only test the journal have none."""
    found = set()
    for unit in units:
        fn = unit.func if isinstance(unit, partial) else unit
        said = {fn.__name__, *fn.__code__.co_names}
        words = [subject for word, subject in _BY_WORD.items() if word in said]
        found.add(words[0] if words else _BY_MODULE.get(fn.__module__, ""))
    return sorted(found - {""})


class Mortal:
    """Counts points; ends the process at the `nth` passing of `point`."""

    def __init__(self, point: str, nth: int) -> None:
        self._point = point
        self._nth = nth
        self._seen: Counter[str] = Counter()

    def hit(self, point: str) -> None:
        """Count a passing of the point."""
        assert point in POINTS, f"{point} has no name in the list"
        self._seen[point] += 1
        if point == self._point and self._seen[point] == self._nth:
            os._exit(DEAD)


class _Living:
    """The broker's client with an attribute `dead` that is always False, as `PointedAmqp` needs it."""

    dead = False

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Pointed:
    """A dialer whose connections pass points and record their messages. `header` is the account that funds links."""

    def __init__(self, inner: Dialer, mortal: Mortal, reactor: Any, noted: wire.WireLog, header: str) -> None:
        self._inner = inner
        self._mortal = mortal
        self._reactor = reactor
        self._noted = noted
        self._header = header

    def dial(self, port: Port, build: Callable[[], BankConnection]) -> Deferred[BankConnection]:
        """Connect."""
        return self._inner.dial(port, lambda: self._line(build()))

    def _line(self, line: BankConnection) -> BankConnection:
        exchange, received, hit = line.exchange, line.dataReceived, self._mortal.hit
        subject, answered = ["question"], bytearray()

        def pointed(data: bytes) -> Deferred[bytes]:
            money = any(mark in data for mark in _PAYMENT) and data[_PAB_HEADER] != b"4005"
            subject[0] = "payment" if money else "question"
            subjects = (subject[0], "link_leg") if wire.moves_from(data, self._header) else (subject[0],)
            answered.clear()
            self._noted.leaves(data)
            for one in subjects:
                hit(f"bank.write.{one}.before")
            answer = exchange(data)
            for one in subjects:
                hit(f"bank.write.{one}.after")
            if money:
                # Twisted hands bytes to the kernel in the turns after the write.
                self._reactor.callLater(0.005, hit, "bank.leave.payment.after")
            return answer

        def heard(data: bytes) -> None:
            hit(f"bank.read.{subject[0]}.before")
            answered.extend(data)
            self._noted.told(bytes(answered))
            received(data)
            hit(f"bank.read.{subject[0]}.after")

        line.exchange, line.dataReceived = pointed, heard  # type: ignore[method-assign]
        return line


def pointed(parts: Parts, mortal: Mortal, reactor: Any, wired: wire.WireLog) -> Parts:
    """The parts of a gateway, each with its points."""
    committer: Any = parts.store._committer  # type: ignore[attr-defined]
    commit, write, note = committer.commit, committer._permits.append_permits, committer._permits.note
    sends: list[bool] = [False]
    steps: list[str] = []
    move_on = linked_orders.move_on

    def moves_on(tx: Tx, link: LinkedOrder, state: LinkState, *more: Any, **named: Any) -> bool:
        changed = move_on(tx, link, state, *more, **named)
        if changed and state in _LINK_STEPS and state is not link.state:
            mortal.hit(f"journal.commit.{_LINK_STEPS[state]}.before")
            steps.append(_LINK_STEPS[state])
        return changed

    vars(linked_orders)["move_on"] = moves_on
    vars(pool_service)["LOOK_S"], vars(pool_facts)["PROVEN_MS"] = LINKS_S, PROVEN_MS

    def commits(units: Sequence[Any], senders: Mapping[int, str], **how: bool) -> Any:
        about = subjects(units)
        for subject in about:
            mortal.hit(f"journal.commit.{subject}.before")
        sends[0] = "sending" in about
        steps.clear()
        committed = commit(units, senders, **how)
        for subject in (*about, *steps):
            mortal.hit(f"journal.commit.{subject}.after")
        return committed

    def permits(some: Sequence[Permit]) -> None:
        mortal.hit("permits.append.group.before")
        write(some)
        mortal.hit("permits.append.group.after")

    def noted(group: Group, *more: Any) -> None:
        if sends[0]:
            mortal.hit("permits.note.group.before")
        note(group, *more)

    committer.commit, committer._permits.append_permits, committer._permits.note = commits, permits, noted
    [header] = site.account_numbers(LINKS_BANK, 1)
    dialers = {name: _Pointed(inner, mortal, reactor, wired, header) for name, inner in parts.dialers.items()}
    return replace(parts, dialers=dialers, amqp=PointedAmqp(_Living(parts.amqp), mortal))  # type: ignore[arg-type]


def run_pools(gateway: app.Gateway) -> None:
    """Run every pool once in this life, as a person at the command line does."""

    async def runs() -> None:
        service = gateway.pools
        until_ms = gateway.parts.clock.now_ms() + 3_600_000
        for name, pool in (await gateway.parts.store.read(pools.in_force)).items():
            wanted = RunRequest(name, service.local().date(), f"d{os.getpid()}", until_ms, "uid:0")
            await service.run(wanted, pool)

    Deferred.fromCoroutine(runs()).addErrback(lambda _failure: None)


def decide_links(gateway: app.Gateway, reactor: Any) -> None:
    """Make the two persons' decisions about linked payments again and again. A payment that the bank does not know has
    failed, and the money of a failed or withdrawn order stays where it is. Otherwise one doubt would hold all later
    orders."""

    def decided(tx: Tx) -> None:
        for link in linked_orders.in_state(tx.fresh, *LinkState):
            legs = () if link.run is None else pool_moves.moves_of(tx.raw, link.run)
            for payment in (link.payment, *(one.payment for one in legs if one.payment is not None)):
                row = lookup.fetch(tx.fresh, payment)
                if (
                    row is not None
                    and row.life.state in DOUBTS
                    and row.life.not_found >= row.life.rules.not_found_needed
                ):
                    failed = Resolve(tx.now_ms, Fate.FAILED, attempt=row.life.attempt)
                    applying.apply(tx, payment, failed, epoch=None, actor="persons:planted")
            if link.state is LinkState.UNDECIDED:
                linked_runs.stay(tx, link.payment, "planted", "uid:0")

    gateway.parts.store.write(decided).addErrback(lambda _failure: None)
    reactor.callLater(DECIDED_S, decide_links, gateway, reactor)


def main(settings: Path, point: str, nth: int) -> int:
    """A daemon as `bankgw run` starts it, without pages and control socket, that dies at the point."""
    from twisted.internet import reactor

    dsig.start()
    log.start()
    noted = wire.WireLog(settings.with_name(wire.NAME))

    def start(given: Any, found: Settings, fatal: Callable[[str], None]) -> app.Gateway:
        parts = pointed(system_parts(given, found, fatal), Mortal(point, nth), given, noted)
        built = app.build(found, parts, fatal)
        given.callLater(POOLS_S, run_pools, built)
        given.callLater(POOLS_S, decide_links, built, given)
        return built

    return run.serve(reactor, load(settings), start)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
