"""The verb `POST /lanes/LANE/probe`: tests the way to a bank step by step, and says which step fails and what to do.

name → TCP → TLS → framing → sign-on → signatures → heartbeat → clock → balance. Name, TCP and TLS are tested on a
connection of their own, on which nothing is sent. The other steps are judged by the lane's own exchanges. The probe
never signs on, because a password that is refused again and again locks a login. If the lane is down, its last attempt
is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from gateway.act_ports import Accounts
from gateway.bank.clock_trust import CLOCK_DIFFERS_MS
from gateway.bank.exchange_trace import TracedEvent, TraceEvent
from gateway.bank.fault_reasons import REMEDIES, SIGNATURE_REASONS
from gateway.bank.handshake_errors import Reason
from gateway.bank.lane import Lane
from gateway.bank.line_check import rung_of
from gateway.bank.session_pool import PROBE, SIGN_ON
from gateway.call import Call, Denied, answers
from gateway.control.acts.lanes import ProbeLane
from gateway.control.exchange_traces import shown
from gateway.control.ports import LanePort
from gateway.kernel.asking import Unavailable
from gateway.kernel.clock import Clock
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store
from gateway.register.registry import Registry
from protocols.bank import Context, Conversation
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion
from protocols.canon.statement import Balance
from protocols.kit.errors import REASONS, ProtocolError

OK, BROKEN, NOT_REACHED, NOT_APPLICABLE = "ok", "broken", "not_reached", "not_applicable"
RUNGS = ("name", "tcp", "tls", "framing", "sign_on", "signatures", "heartbeat", "clock", "balance")
R = TypeVar("R")
_E = TraceEvent
_REASONS = {one.value: one for one in Reason}
_ENDS = frozenset({_E.ANSWER, _E.NO_ANSWER, _E.NOT_SENT})


@dataclass(frozen=True, slots=True)
class LadderRung:
    """One step of the connection to a bank: whether it works, what was observed, and for a failure the reason and the
    remedy."""

    rung: str
    verdict: str
    seen: tuple[str, ...] = ()
    reason: str = ""
    fix: str = ""
    events: tuple[TracedEvent, ...] = ()

    def as_json(self, *, clear: bool) -> dict[str, Any]:
        """The step as JSON, with bytes only for persons who may see unmasked messages."""
        return {
            "rung": self.rung,
            "verdict": self.verdict,
            "seen": list(self.seen),
            "reason": self.reason,
            "fix": self.fix,
            "events": [shown(event) for event in self.events] if clear else [],
        }


@dataclass(frozen=True, slots=True)
class ProbeAnswers:
    """Answers the act that tests a lane's connection to its bank."""

    store: Store
    clock: Clock
    accounts: Accounts
    lanes: LanePort

    @answers("lanes.probe")
    async def probe(self, call: Call, params: ProbeLane) -> Any:
        """Test each step of the connection to the bank, and answer with the bytes that were sent and received."""
        name, lane = params.lane, self.lanes.lanes.get(params.lane)
        if lane is None:
            there = ", ".join(sorted(self.lanes.lanes))
            raise Denied(404, "no_such_lane", f"there is no lane {name}; there are {there}")
        wait_s = params.wait
        await self.store.write(lambda tx: audit.append(tx, call.peer.actor, "lane.probed", name, {}))
        clock = self.clock
        line = await self._line(name)
        started_s = clock.monotonic_s()
        before = lane.trace.last
        asked = await self._put(lane, "probe", lane.parts.bank.sessions.probe, wait_s)
        seconds = round(clock.monotonic_s() - started_s, 3)
        rungs = [*line, *session_rungs(lane, line, asked, before, seconds)]
        rungs.append(await self._balance(lane, wait_s) if asked is None else LadderRung("balance", NOT_REACHED))
        said: dict[str, Any] = {"lane": name, "answered": asked is None, "seconds": seconds}
        if asked is not None:
            said.update(reason=asked[0], detail=asked[1])
        clear = call.person is None
        return {**said, "rungs": [rung.as_json(clear=clear) for rung in in_order(rungs)]}

    async def _line(self, name: str) -> list[LadderRung]:
        """Test DNS, TCP and TLS of each port. A step's result is that of the first port for which it failed."""
        found: dict[str, LadderRung] = {}
        for port, check in self.lanes.line_checks.get(name, {}).items():
            for one in await check():
                seen = tuple(f"{port}: {line}" for line in one.seen)
                rung = LadderRung(one.rung, OK if one.ok else BROKEN, seen, one.reason, one.fix)
                held = found.get(one.rung)
                if held is None or held.verdict == OK:
                    found[one.rung] = rung
        return list(found.values())

    async def _put(
        self, lane: Lane, operation: str, conversation: Callable[[Context], Conversation[R]], wait_s: float
    ) -> tuple[str, str] | None:
        """Ask the bank a question; returns None if it was answered, else a slug and a sentence."""
        try:
            told: object = await lane.ask(operation, conversation, wait_s)
            if isinstance(told, datetime):
                # The heartbeat answer of a bank that tells its time: the clock step is about this answer.
                lane.clock_trust.compare(told)
        except Unavailable as error:
            # If no session is up, the step fails for the cause of that: connection refused, no TLS, sign-on refused,
            # silence.
            pool = lane.session_pool
            known = not pool.ready and bool(pool.trouble)
            return (pool.trouble, pool.trouble_text) if known else (error.reason, str(error))
        except ProtocolError as error:
            return error.reason, str(error)
        return None

    async def _balance(self, lane: Lane, wait_s: float) -> LadderRung:
        put = lane.parts.bank.questions.balance
        account = _account(self.accounts(), lane.parts.name)
        if put is None or account is None:
            why = "the bank is not asked for balances" if put is None else "no own account is registered on this lane"
            return LadderRung("balance", NOT_APPLICABLE, (why,))
        before = lane.trace.last
        told: list[Balance] = []

        def conversation(context: Context) -> Conversation[Balance]:
            balance = yield from put(BalanceQuestion(AccountNumber(account)), context)
            told.append(balance)
            return balance

        failed = await self._put(lane, "balance", conversation, wait_s)
        events = _of(lane, ("balance",), before)
        if failed is not None:
            return LadderRung("balance", BROKEN, (failed[1],), failed[0], _fix(failed[0]), events)
        return LadderRung("balance", OK, (f"account {AccountNumber(account)} was answered",), events=events)


def session_rungs(
    lane: Lane, line: Sequence[LadderRung], asked: tuple[str, str] | None, before: int, seconds: float
) -> list[LadderRung]:
    """The steps framing, sign-on, signatures, heartbeat and clock, from the lane's own exchanges. `asked` says why the
    heartbeat failed.
    """
    last = _of(lane, (PROBE,), before)
    if asked is None:
        return [
            _framing(last),
            _signed_on(lane),
            _signatures(lane, last),
            LadderRung("heartbeat", OK, (f"answered in {seconds} s",), events=last),
            _clock(lane),
        ]
    if not any(event.event in (*_ENDS, _E.REFUSED) for event in last):
        last = _last_conversation(lane)
    rung, why = _where(last)
    if rung is None:
        return _before_a_session(line, asked, last)
    broken = LadderRung(rung, BROKEN, (why,), _slug(why), _fix(_slug(why), asked[0]), last)
    held = {"sign_on": 1, "signatures": 1, "heartbeat": 2}.get(rung, 0)
    return [*(_framing(last), _signed_on(lane))[:held], broken]


def _before_a_session(
    line: Sequence[LadderRung], asked: tuple[str, str], last: tuple[TracedEvent, ...]
) -> list[LadderRung]:
    """The steps when the lane's last attempt got no connection, or when nothing is known of that attempt."""
    if any(rung.verdict == BROKEN for rung in line):
        return []
    reason, detail = asked
    at = _REASONS.get(reason)
    if not line and at is not None:
        return [LadderRung(rung_of(at), BROKEN, (detail,), reason, at.remedy, last)]
    again = "the way is open now; the lane tries again by itself" if at is not None else ""
    return [LadderRung("heartbeat", BROKEN, (detail,), reason, again or _fix(reason), last)]


def _where(events: Sequence[TracedEvent]) -> tuple[str | None, str]:
    """The step at which a conversation ended, and the reason; None if no message was exchanged."""
    for event in reversed(events):
        if event.event is _E.REFUSED:
            word = event.note.partition(":")[0]
            at = "signatures" if word in SIGNATURE_REASONS else "sign_on" if event.purpose == SIGN_ON else "heartbeat"
            return at, event.note
        if event.event in (_E.NO_ANSWER, _E.UNASKED):
            return "framing", event.note or "unasked_bytes"
        if event.event is _E.CLOSED:
            return "framing", f"closed_without_answer: {event.note}"
        if event.event is _E.NOT_CONNECTED:
            return None, event.note
    return None, ""


def _slug(why: str) -> str:
    word = why.partition(":")[0]
    if word in SIGNATURE_REASONS:
        return "signature"
    if "was answered" in why:
        return "declined"
    return "bad_answer" if word in REASONS else word


def _fix(slug: str, otherwise: str = "") -> str:
    known = REMEDIES.get(slug) or REMEDIES.get(otherwise.partition(":")[0])
    return known or "see the bytes below, and the daemon's log"


def _framing(events: Sequence[TracedEvent]) -> LadderRung:
    answers = [event for event in events if event.event is _E.ANSWER]
    if not answers:
        return LadderRung("framing", OK if events else NOT_APPLICABLE, ("its bytes are not kept any more",))
    (part,) = answers[-1].parts
    return LadderRung("framing", OK, (f"one whole message of {part.whole} bytes, begins {part.octets[:16].hex(' ')}",))


def _signed_on(lane: Lane) -> LadderRung:
    if lane.parts.bank.sessions.sign_on is None:
        return LadderRung("sign_on", NOT_APPLICABLE, ("this bank has no sign-on",))
    return LadderRung("sign_on", OK, ("the bank accepted the login",), events=_last(lane, SIGN_ON))


def _signatures(lane: Lane, events: Sequence[TracedEvent]) -> LadderRung:
    signs = lane.parts.bank.profile.signs
    signed = sorted({part.name for event in events for part in event.parts if part.name.startswith("signed ")})
    ours = f"ours: {', '.join(signed)}, not objected to" if signed else "ours: this message bears none"
    if not signs:
        return LadderRung("signatures", NOT_APPLICABLE, ("this bank's messages are not signed by us",))
    return LadderRung("signatures", OK, (ours, "the bank's: its answer passed every check of this bank's adapter"))


def _clock(lane: Lane) -> LadderRung:
    ahead_ms = lane.clock_trust.ahead_ms
    if ahead_ms is None:
        return LadderRung("clock", NOT_APPLICABLE, ("this bank's heartbeat does not tell its time",))
    seen = (f"this machine is {abs(ahead_ms) / 1000:g} s {'ahead of' if ahead_ms > 0 else 'behind'} the bank",)
    if abs(ahead_ms) > CLOCK_DIFFERS_MS:
        fix = "set this machine's clock right (chrony), or ask the bank; until then nothing is sent a second time"
        return LadderRung("clock", BROKEN, seen, "clock_differs", fix)
    return LadderRung("clock", OK, seen)


def _of(lane: Lane, purposes: tuple[str, ...], after: int) -> tuple[TracedEvent, ...]:
    return tuple(event for event in lane.trace.events_after(after) if event.purpose in purposes)


def _last(lane: Lane, purpose: str) -> tuple[TracedEvent, ...]:
    """The events of the last exchange of one purpose, from its request to its end."""
    found: tuple[TracedEvent, ...] = ()
    for event in lane.trace.events_after():
        if event.purpose == purpose:
            if event.event is _E.REQUEST:
                found = (event,)
            elif found and event.event in _ENDS and event.exchange == found[0].exchange:
                found = (*found, event)
    return found


def _last_conversation(lane: Lane) -> tuple[TracedEvent, ...]:
    """The events of the lane's last attempt to sign on or to probe, from its connection on.

    An attempt that still waits for its answer counts only if there was none before.
    """
    found: tuple[TracedEvent, ...] = ()
    over: tuple[TracedEvent, ...] = ()
    session = None
    for event in lane.trace.events_after():
        if event.purpose not in (SIGN_ON, PROBE):
            continue
        if event.event in (_E.CONNECTED, _E.NOT_CONNECTED) or session != event.session:
            found, session = (), event.session
        found = (*found, event)
        if _where(found)[1]:
            over = found
    return over or found


def _account(register: Registry, lane: str) -> str | None:
    return next((account for account, route in register.routes.items() if route.lane == lane), None)


def in_order(rungs: Sequence[LadderRung]) -> list[LadderRung]:
    """All steps in their order. Steps after a failed one are marked as not reached if nothing is known about them."""
    known = {rung.rung: rung for rung in reversed(rungs)}
    return [known.get(name, LadderRung(name, NOT_REACHED)) for name in RUNGS]
