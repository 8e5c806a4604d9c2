"""A daemon that dies at a named point, the n-th time it comes by: `python -m tests.world.mortal SETTINGS POINT N`.

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

from gateway import app, log
from gateway.bank.connection import BankConnection
from gateway.bank.session_pool import Dialer
from gateway.cli import run
from gateway.journal.commit.permit_log import Group
from gateway.journal.commit.rows import Permit
from gateway.journal.payments import pools
from gateway.settings import Settings, load
from gateway.treasury.pool_runs import RunRequest
from protocols.bank import Port
from protocols.kit import dsig
from tests.world.points import PointedAmqp

DEAD = 77
POOLS_S = 1.5
"""So long after the start of a life its pools are run."""
_PAYMENT = (b"<Operation>Pay<", b"<ThirdVoucher>")
_PAB_HEADER = slice(40, 44)
_BY_MODULE = {
    "gateway.erp.orders": "order", "gateway.erp.status_and_cancel": "cancel", "gateway.erp.ask_later": "question",
    "gateway.erp.question_service": "answer", "gateway.bank.dispatch": "sending", "gateway.bank.recorder": "word",
}  # fmt: skip
_BY_WORD = {"take": "lease", "renew": "renewal", "recover": "recovery", "draw_serials": "serials", "mark": "confirmed",
            "plan_run": "pool_plan", "order_move": "pool_order", "end_run": "pool_end"}  # fmt: skip
_SUBJECTS = {
    "order": (1,), "sending": (1, 2), "word": (1, 2), "confirmed": (1, 2), "cancel": (1,), "question": (1,),
    "answer": (1,), "lease": (1,), "renewal": (1,), "recovery": (1,), "serials": (1,),
    "pool_plan": (1,), "pool_order": (1, 2), "pool_end": (1,),
}  # fmt: skip
POINTS: dict[str, Sequence[int]] = {
    **{f"journal.commit.{subject}.{side}": nths for subject, nths in _SUBJECTS.items() for side in ("before", "after")},
    "permits.note.group.before": (1, 2),
    **{f"permits.append.group.{side}": (1, 2) for side in ("before", "after")},
    **{f"bank.write.payment.{side}": (1, 2) for side in ("before", "after")},
    "bank.leave.payment.after": (1, 2),
    **{f"bank.read.payment.{side}": (1, 2) for side in ("before", "after")},
    **{f"bank.{verb}.question.{side}": (1, 2) for verb in ("write", "read") for side in ("before", "after")},
    **{f"erp.{what}.{side}": (1, 3) for what in ("deliver.command", "ack.delivery", "publish.message", "confirm.message")
       for side in ("before", "after")},
}  # fmt: skip
"""Every point, and the passings at which a life ends there. `leave` is when the kernel has what was written; a group that
is committed passes the point of each subject that it carries."""


def subjects(units: Sequence[Any]) -> list[str]:
    """What the units of a group are about; those that only look whether the journal still writes are about nothing."""
    found = set()
    for unit in units:
        fn = unit.func if isinstance(unit, partial) else unit
        said = {fn.__name__, *fn.__code__.co_names}
        words = [subject for word, subject in _BY_WORD.items() if word in said]
        found.add(words[0] if words else _BY_MODULE.get(fn.__module__, ""))
    return sorted(found - {""})


class Mortal:
    """Counts points; the process ends at the `nth` passing of `point`."""

    def __init__(self, point: str, nth: int) -> None:
        self._point = point
        self._nth = nth
        self._seen: Counter[str] = Counter()

    def hit(self, point: str) -> None:
        """A point was passed."""
        assert point in POINTS, f"{point} has no name in the list"
        self._seen[point] += 1
        if point == self._point and self._seen[point] == self._nth:
            os._exit(DEAD)


class _Living:
    """A broker's client as `PointedAmqp` knows them: it lives as long as the process."""

    dead = False

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Pointed:
    """A dialer whose lines pass points."""

    def __init__(self, inner: Dialer, mortal: Mortal, reactor: Any) -> None:
        self._inner = inner
        self._mortal = mortal
        self._reactor = reactor

    def dial(self, port: Port, build: Callable[[], BankConnection]) -> Deferred[BankConnection]:
        """Connect."""
        return self._inner.dial(port, lambda: self._line(build()))

    def _line(self, line: BankConnection) -> BankConnection:
        exchange, received, hit = line.exchange, line.dataReceived, self._mortal.hit
        subject = ["question"]

        def pointed(data: bytes) -> Deferred[bytes]:
            money = any(mark in data for mark in _PAYMENT) and data[_PAB_HEADER] != b"4005"
            subject[0] = "payment" if money else "question"
            hit(f"bank.write.{subject[0]}.before")
            answer = exchange(data)
            hit(f"bank.write.{subject[0]}.after")
            if money:
                # Twisted hands bytes to the kernel in the turns after the write.
                self._reactor.callLater(0.005, hit, "bank.leave.payment.after")
            return answer

        def heard(data: bytes) -> None:
            hit(f"bank.read.{subject[0]}.before")
            received(data)
            hit(f"bank.read.{subject[0]}.after")

        line.exchange, line.dataReceived = pointed, heard  # type: ignore[method-assign]
        return line


def pointed(parts: app.Parts, mortal: Mortal, reactor: Any) -> app.Parts:
    """The parts of a gateway, each with its points."""
    committer: Any = parts.store._committer  # type: ignore[attr-defined]
    commit, write, note = committer.commit, committer._permits.write, committer._permits.note
    sends: list[bool] = [False]

    def commits(units: Sequence[Any], senders: Mapping[int, str], **how: bool) -> Any:
        about = subjects(units)
        for subject in about:
            mortal.hit(f"journal.commit.{subject}.before")
        sends[0] = "sending" in about
        committed = commit(units, senders, **how)
        for subject in about:
            mortal.hit(f"journal.commit.{subject}.after")
        return committed

    def permits(some: Sequence[Permit]) -> None:
        mortal.hit("permits.append.group.before")
        write(some)
        mortal.hit("permits.append.group.after")

    def noted(group: Group) -> None:
        if sends[0]:
            mortal.hit("permits.note.group.before")
        note(group)

    committer.commit, committer._permits.write, committer._permits.note = commits, permits, noted
    dialers = {name: _Pointed(inner, mortal, reactor) for name, inner in parts.dialers.items()}
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


def main(settings: Path, point: str, nth: int) -> int:
    """A daemon as `bankgw run` starts it, without pages and control socket, that dies at the point."""
    from twisted.internet import reactor

    dsig.start()
    log.start()

    def start(given: Any, found: Settings, fatal: Callable[[str], None]) -> app.Gateway:
        built = app.build(found, pointed(app.system_parts(given, found, fatal), Mortal(point, nth), given), fatal)
        given.callLater(POOLS_S, run_pools, built)
        return built

    return run.serve(reactor, load(settings), start)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
