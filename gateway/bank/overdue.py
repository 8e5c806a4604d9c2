"""Exchanges of a lane to which the bank should have answered by now: which, about which payment, and since when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.bank.session_pool import SessionPool


@dataclass(frozen=True, slots=True)
class OverdueExchange:
    """One exchange without an answer. `purpose` is its name in the trace (send, enquire, sign_on, …), `payment` is
    SENDER:ID or "", `waited_s` how long it waits, `limit_s` from when on it is overdue."""

    session: int
    purpose: str
    payment: str
    waited_s: float
    limit_s: float


def overdue_exchanges(pool: SessionPool) -> Iterator[OverdueExchange]:
    """The pool's overdue exchanges, and connections that the bank does not complete; the longest wait first."""
    now_s = pool.clock.monotonic_s()
    longest_s = min(port.first_byte_s for port in pool.bank.ports.values())
    limit_s = pool.answer_times.limit_s(longest_s)
    waits = [(now_s - since_s, one) for one in pool.all_sessions if (since_s := one.asked_s) is not None]
    for waited_s, one in sorted(waits, key=lambda wait: -wait[0]):
        if waited_s > limit_s:
            yield OverdueExchange(one.number, one.trace.purpose, one.payment, waited_s, limit_s)
