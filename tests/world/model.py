"""A model of every life of a payment, with two nodes, a bank, a network and an ERP, explored state by state.

The payment's own steps are `flow.step` and nothing else: the table that the daemon runs is the table that is explored.
A `Policy` says what surrounds it (what the bank promises, what is tested at the socket, who may send again), and
`explore` (tests/world/explore.py) visits every state that can be reached, shortest way first, until a promise is broken
or there are no more.

Time is a small integer, and one unit of it passes only when somebody lets it. Whoever is not scheduled stands still,
so a paused process, a zombie and a slow one need no states of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from gateway.kernel.core import flow, guards, states
from gateway.kernel.core.states import (
    Alarm,
    Answered,
    AskedInVain,
    Cancel,
    Event,
    Expire,
    Hold,
    Life,
    NotSent,
    Overdue,
    Release,
    Replay,
    Resolve,
    Send,
    SendNews,
    Silent,
    Source,
    TakenOver,
)
from protocols.canon.outcome import Fate, State
from tests.world.pieces import (
    Book,
    Copy,
    Node,
    Pay,
    Said,
    World,
    acked,
    put,
    with_book,
    with_doing,
    with_node,
    with_word,
)
from tests.world.policy import (
    BOTH_PERMITTED,
    BOTH_SENT,
    CORRECTED,
    DOUBLE,
    FAILED_BUT_PAID,
    FLIGHT,
    LOST,
    NO_PERMIT,
    ORPHAN,
    SETTLED_UNPAID,
    TOO_LATE,
    TTL,
    UNSENT_BUT_PAID,
    Fence,
    Gate,
    Policy,
)


class PromiseBroken(Exception):
    """The last step broke a promise."""


_FAILED, _SETTLED, _UNSENT, _BACK, _CORRECTION = 1, 2, 4, 8, 16
_TOLD = {
    "payment.failed": _FAILED,
    "payment.settled": _SETTLED,
    "payment.rejected": _UNSENT,
    "payment.cancelled": _UNSENT,
    "payment.expired": _UNSENT,
    "payment.returned": _BACK,
    "payment.reversed": _BACK,
    "payment.correction": _CORRECTION,
}
_NONE, _TAKEN, _YES, _NO, _RETURNED = range(5)
_WORD = {_NONE: Fate.NOT_FOUND, _TAKEN: Fate.PENDING, _YES: Fate.SETTLED, _NO: Fate.FAILED, _RETURNED: Fate.RETURNED}
_ASKING = frozenset({State.PENDING, State.IN_DOUBT, State.ESCALATED})
_OVER = frozenset(State) - _ASKING - {State.ACCEPTED, State.HELD, State.READY, State.SENDING}
IDLE = ("idle",)


class Model:
    """The moves of a policy. `actions` yields each with its name; executing a move may raise PromiseBroken."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.lives: list[Life] = []
        self.rows: Counter[str] = Counter()
        self._number: dict[Life, int] = {}
        self._known: dict[tuple[int, Event], tuple[int, int, str]] = {}

    def start(self) -> World:
        """The initial state: the ERP has published (with no publishes, the orders are accepted already). The first node
        owns the lane, the second stands by."""
        policy = self.policy
        taken = self._intern(flow.step(self._born(), Release(0, 0)).life)
        return World(
            t=0,
            queue=(policy.publishes,) * policy.payments,
            pays=((-1 if policy.publishes else taken, 0, 0),) * policy.payments,
            lease=(0, 1, TTL),
            nodes=((True, 1, TTL, True, IDLE), (True, 0, 0, False, IDLE)),
            net=(),
            books=((_NONE, 0, 0),) * policy.payments,
            crashes=policy.crashes,
            cancels=policy.cancels,
        )

    # ---- the table ----

    def _born(self) -> Life:
        return states.born(self.policy.rules, valid_until_ms=self.policy.valid_until)

    def life(self, pay: Pay) -> Life:
        """A payment's life."""
        return self.lives[pay[0]]

    def _intern(self, life: Life) -> int:
        # Counters that only decide when to ask next, and event numbers, would only multiply the states. So would the
        # times of a life that is over, except the one that tells an older answer from a contradiction.
        enough = min(life.not_found, life.rules.not_found_needed)
        since_ms = life.since_ms if life.state in (State.FAILED, State.SETTLED) else 0
        life = replace(life, seq=0, asked=0, not_found=enough, doubted=False, since_ms=since_ms)
        if life.state in _OVER:
            sent = min(life.attempt, 1)
            life = Life(life.state, life.rules, attempt=sent, repeats=life.repeats, since_ms=since_ms)
        number = self._number.get(life)
        if number is None:
            number = self._number[life] = len(self.lives)
            self.lives.append(life)
        return number

    def _step(self, number: int, event: Event) -> tuple[int, int, str]:
        """`flow.step` with the policy's consequences, cached. Returns the life, the events to the ERP, and the row."""
        known = self._known.get((number, event))
        if known is None:
            step = flow.step(self.lives[number], event)
            told = _told(step)
            life, rule = step.life, step.rule
            self.rows[rule] += 1
            after = self.policy.follow.get(rule)
            if after is not None:
                step = flow.step(life, after(event.at_ms))
                told |= _told(step)
                life = step.life
            known = self._known[number, event] = (self._intern(life), told, rule)
        return known

    def apply(self, world: World, p: int, event: Event, epoch: int | None, expect: State | None = None) -> World:
        """Apply an event as the journal's `apply` does: nothing changes if the epoch is older than the payment's, or if
        the payment is in another state."""
        number, row_epoch, told = world.pays[p]
        if epoch is not None and (epoch < row_epoch or (self.policy.fence is Fence.LANE and epoch < world.lease[1])):
            return world
        if expect is not None and self.lives[number].state is not expect:
            return world
        after, more, _rule = self._step(number, event)
        pay = (after, row_epoch if epoch is None else epoch, told | more)
        return world._replace(pays=put(world.pays, p, pay))

    # ---- moves ----

    def actions(self, world: World) -> Iterator[tuple[str, Callable[[], World]]]:
        """Every possible next move."""
        policy = self.policy
        if self._settled(world):
            return
        for p in range(policy.payments):
            yield from self._outside(world, p)
        for n, node in enumerate(world.nodes):
            yield from self._node(world, n, node) if node[0] else self._dead(world, n)
        for copy in dict.fromkeys(world.net):
            yield from self._bytes(world, copy)
        for said in world.air:
            yield from self._said(world, said)
        if world.t < policy.until and not self._urgent(world):
            yield "a unit of time passes", lambda: self._pass(world)

    def _settled(self, world: World) -> bool:
        """Whether nothing important can happen any more: all payments are decided, and no node is about to write."""
        if world.net or any(world.queue) or world.air:
            return False
        if any(pay[0] < 0 or self.life(pay).state not in _OVER for pay in world.pays):
            return False
        return all(doing[0] not in ("go", "late") for _up, _e, _u, _r, doing in world.nodes)

    def _pass(self, world: World) -> World:
        """Let one unit of time pass. Expired values are dropped, so that states that differ in nothing else are
        equal."""
        t = world.t + 1
        owner, epoch, expires = world.lease
        nodes = tuple((up, e, until if until > t else 0, r, doing) for up, e, until, r, doing in world.nodes)
        gone = expires + TTL < t
        return world._replace(t=t, nodes=nodes, lease=(owner, epoch, -TTL if gone else expires))

    def _urgent(self, world: World) -> bool:
        """Whether a move must happen before time may pass."""
        stall, t = self.policy.stall, world.t
        if any(t >= left + FLIGHT for _p, _a, _n, left in world.net):
            return True
        return stall is not None and any(
            doing[0] == "go" and t >= doing[3] + stall for _up, _e, _u, _r, doing in world.nodes
        )

    def _outside(self, world: World, p: int) -> Iterator[tuple[str, Callable[[], World]]]:
        pay = world.pays[p]
        if pay[0] < 0:
            if self.policy.ack_first and world.queue[p]:
                yield f"order {p} is acknowledged", partial(acked, world, p)
            return
        if world.queue[p]:
            yield f"order {p} is acknowledged", partial(acked, world, p)
        life, (status, seen, times) = self.life(pay), world.books[p]
        if world.cancels:
            yield (
                f"the ERP cancels {p}",
                lambda: self.apply(world, p, Cancel(world.t), None)._replace(cancels=world.cancels - 1),
            )
        if status == _TAKEN:
            yield f"the bank settles {p}", lambda: with_book(world, p, (_YES, seen, times))
            if self.policy.bank.refuses:
                yield f"the bank refuses {p}", lambda: with_book(world, p, (_NO, seen, times - 1))
        if status == _YES and self.policy.bank.returns:
            yield f"{p} comes back", lambda: with_book(world, p, (_RETURNED, seen, times))
        if self.policy.persons and life.state in (State.IN_DOUBT, State.ESCALATED):
            if not self.policy.slow_persons:
                yield from self._persons(world, p, life, status)
            elif not any(said[0] < 0 for said in world.air):
                yield from self._look(world, p, life, status)

    def _persons(self, world: World, p: int, life: Life, status: int) -> Iterator[tuple[str, Callable[[], World]]]:
        """Let two persons decide. They trust the bank's books, and the absence of a payment only as far as the table
        counts it."""
        if status == _YES:
            yield f"persons resolve {p} settled", lambda: self.apply(world, p, Resolve(world.t, Fate.SETTLED), None)
        if status == _NO:
            yield f"persons resolve {p} failed", lambda: self.apply(world, p, Resolve(world.t, Fate.FAILED), None)
        if status == _NONE and life.not_found >= life.rules.not_found_needed:
            yield f"persons resolve {p} failed", lambda: self.apply(world, p, Resolve(world.t, Fate.FAILED), None)
            yield f"persons resolve {p} to be sent", lambda: self.apply(world, p, Resolve(world.t, None), None)

    def _look(self, world: World, p: int, life: Life, status: int) -> Iterator[tuple[str, Callable[[], World]]]:
        """Let slow persons read the books now; they sign later by that reading."""
        verdicts: tuple[Fate | None, ...] = {_YES: (Fate.SETTLED,), _NO: (Fate.FAILED,)}.get(status, ())
        if status == _NONE and life.not_found >= life.rules.not_found_needed:
            verdicts = (Fate.FAILED, None)
        for fate in verdicts:
            yield (
                f"persons look at {p} and find {fate.value if fate else 'nothing'}",
                partial(with_word, world, (-1, life.attempt, p, world.t, fate)),
            )

    def _said(self, world: World, said: Said) -> Iterator[tuple[str, Callable[[], World]]]:
        """Record a pending answer. The answers of a dead node are lost."""
        n, epoch, p, asked, word = said
        air = list(world.air)
        air.remove(said)
        gone = world._replace(air=tuple(air))
        if n < 0:
            attempt = None if self.policy.blind_persons else epoch
            yield (
                f"persons sign what they saw of {p}",
                lambda: self.apply(gone, p, Resolve(world.t, word, attempt), None),
            )
        elif not world.nodes[n][0]:
            yield f"an answer about {p} dies with node {n}", lambda: gone
        else:
            assert word is not None
            answer = Answered(world.t, word, Source.ENQUIRY, asked)
            yield f"node {n} records what it was told of {p}", lambda: self.apply(gone, p, answer, epoch)

    # ---- a node ----

    def _dead(self, world: World, n: int) -> Iterator[tuple[str, Callable[[], World]]]:
        yield f"node {n} starts", lambda: with_node(world, n, (True, 0, 0, False, IDLE))

    def _node(self, world: World, n: int, node: Node) -> Iterator[tuple[str, Callable[[], World]]]:
        _alive, epoch, _until, recovered, doing = node
        if epoch < world.lease[1] and doing == IDLE and self.policy.fence is Fence.LANE:
            epoch = 0  # it owns nothing and its answers are ignored: it stands by
        if world.crashes:
            yield (
                f"node {n} is killed",
                lambda: with_node(world._replace(crashes=world.crashes - 1), n, (False, 0, 0, False, IDLE)),
            )
        for p, pay in enumerate(world.pays):
            if pay[0] < 0 and world.queue[p]:
                yield f"node {n} takes order {p} in", partial(self._admit, world, p)
        if not epoch:
            if world.lease[0] == n or world.t + self.policy.skew >= world.lease[2]:
                yield f"node {n} leases the lane", lambda: self._lease(world, n)
            return
        if world.lease[:2] == (n, epoch) and world.lease[2] < world.t + TTL:
            yield f"node {n} renews its lease", lambda: self._renew(world, n, node)
        if not recovered:
            yield f"node {n} recovers", lambda: self._recover(world, n, node)
        elif doing is IDLE or doing == IDLE:
            yield from self._idle(world, n, epoch)
        else:
            yield from self._busy(world, n, node, doing)
        for p, pay in enumerate(world.pays):
            if pay[0] >= 0 and recovered and self._overdue(self.life(pay), world.t):
                yield f"node {n} finds {p} overdue", partial(self.apply, world, p, Overdue(world.t), epoch)
            if pay[0] >= 0 and recovered and self._expired(self.life(pay), world.t):
                yield f"node {n} finds {p} expired", partial(self.apply, world, p, Expire(world.t), epoch)

    def _overdue(self, life: Life, t: int) -> bool:
        waiting = life.state in (State.SENDING, State.PENDING, State.IN_DOUBT)
        return waiting and life.deadline_ms is not None and t >= life.deadline_ms

    def _expired(self, life: Life, t: int) -> bool:
        return life.state is State.READY and life.valid_until_ms is not None and t >= life.valid_until_ms

    def _admit(self, world: World, p: int) -> World:
        step = flow.step(self._born(), Release(world.t, world.t))
        self.rows[step.rule] += 1
        return world._replace(pays=put(world.pays, p, (self._intern(step.life), 0, 0)))

    def _lease(self, world: World, n: int) -> World:
        epoch, until = world.lease[1] + 1, world.t + TTL
        return with_node(world._replace(lease=(n, epoch, until)), n, (True, epoch, until, False, IDLE))

    def _renew(self, world: World, n: int, node: Node) -> World:
        until = world.t + TTL
        return with_node(world._replace(lease=(n, node[1], until)), n, (True, node[1], until, *node[3:]))

    def _recover(self, world: World, n: int, node: Node) -> World:
        for p, pay in enumerate(world.pays):
            if pay[0] >= 0 and pay[1] < node[1] and self.life(pay).state is State.SENDING:
                world = self.apply(world, p, TakenOver(world.t), node[1])
        return with_node(world, n, (*node[:3], True, IDLE))

    def _idle(self, world: World, n: int, epoch: int) -> Iterator[tuple[str, Callable[[], World]]]:
        for p, pay in enumerate(world.pays):
            if pay[0] < 0:
                continue
            life = self.life(pay)
            if life.state is State.READY and life.first_write_ms is not None:
                yield f"node {n} cannot prepare {p} again", partial(self.apply, world, p, Hold(world.t, "x"), epoch)
            if life.state is State.READY and (
                world.t < (life.send_after_ms or 0)
                or life.attempt >= self.policy.attempts
                or self._expired(life, world.t)
            ):
                continue
            if life.state is State.READY and self.policy.persist_first:
                yield f"node {n} writes {p} down", partial(self._commit, world, n, epoch, p, Send(world.t))
            elif life.state is State.READY:
                yield f"node {n} writes {p} to the bank", partial(self._leave, world, n, p, 1, ("late", p))
            elif life.state in _ASKING and not any(said[0] == n for said in world.air):
                yield f"node {n} asks about {p}", partial(with_doing, world, n, ("ask", p, world.t))
            if life.state in (State.IN_DOUBT, State.ESCALATED) and self._may_resend(life, world.t):
                yield (
                    f"node {n} writes down the repeat of {p}",
                    partial(self._commit, world, n, epoch, p, Replay(world.t, self.policy.day_ends)),
                )

    def _may_resend(self, life: Life, t: int) -> bool:
        if not self.policy.resend or life.attempt >= self.policy.attempts:
            return False
        if life.last_write_ms is None or t < life.last_write_ms + self.policy.quiet:
            return False
        return self._rule(life, Replay(t, self.policy.day_ends)) == "replay"

    def _rule(self, life: Life, event: Event) -> str:
        return self._step(self._intern(life), event)[2]

    def _busy(
        self, world: World, n: int, node: Node, doing: tuple[Any, ...]
    ) -> Iterator[tuple[str, Callable[[], World]]]:
        epoch, what, p, t = node[1], doing[0], doing[1], world.t
        if what == "late":
            yield (
                f"node {n} writes {p} down",
                lambda: with_doing(self.apply(world, p, Send(t), epoch, expect=State.READY), n, ("wait", p, 1)),
            )
        elif what == "go":
            yield f"node {n} stands at the socket with {p}", lambda: self._write(world, n, node, doing)
        elif what == "wait":
            yield f"node {n} hears nothing about {p}", lambda: self._done(world, n, p, Silent(t, "no_answer", doing[2]))
        elif what == "heard":
            yield (
                f"node {n} records the answer to {p}",
                lambda: self._done(world, n, p, Answered(t, doing[3], Source.SUBMIT, attempt=doing[2])),
            )
        elif what == "ask":
            yield f"node {n} asks in vain", lambda: self._done(world, n, p, AskedInVain(t, "no_answer"))
            word = _WORD[world.books[p][0]]
            if self.policy.beside:
                yield (
                    f"the bank tells node {n} {word.value}",
                    lambda: with_word(with_doing(world, n, IDLE), (n, epoch, p, doing[2], word)),
                )
                return
            yield f"the bank tells node {n} {word.value}", lambda: with_doing(world, n, ("told", p, doing[2], word))
        elif what == "told":
            yield (
                f"node {n} records what it was told of {p}",
                lambda: self._done(world, n, p, Answered(t, doing[3], Source.ENQUIRY, doing[2])),
            )

    def _done(self, world: World, n: int, p: int, event: Event) -> World:
        return with_doing(self.apply(world, p, event, world.nodes[n][1]), n, IDLE)

    def _commit(self, world: World, n: int, epoch: int, p: int, event: Event) -> World:
        """The sending commit. A conflict, or a payment that has moved on, ends the attempt. Keeps the life as
        committed."""
        expect = State.READY if isinstance(event, Send) else None
        after = self.apply(world, p, event, epoch, expect)
        if after is world or self.life(after.pays[p]).state is not State.SENDING:
            return with_doing(after, n, IDLE)
        return with_doing(after, n, ("go", p, self.life(after.pays[p]).attempt, world.t, after.pays[p][0]))

    def _write(self, world: World, n: int, node: Node, doing: tuple[Any, ...]) -> World:
        _go, p, attempt, committed, number = doing
        life = self.lives[number]
        if not self._permitted(world.t, node, committed):
            return self._done(world, n, p, NotSent(world.t, "permit_refused", world.t + 1, attempt))
        late = life.valid_until_ms is not None and world.t >= life.valid_until_ms
        closed = life.repeats > 0 and not guards.may_leave_again(life, world.t, self.policy.day_ends)
        if self.policy.window_at_write and (late or closed):
            return self._done(world, n, p, NotSent(world.t, "window_closed", world.t + 1, attempt))
        if late:
            raise PromiseBroken(TOO_LATE)
        return self._leave(world, n, p, attempt, ("wait", p, attempt))

    def _permitted(self, t: int, node: Node, committed: int) -> bool:
        gate, held = self.policy.gate, t < node[2]
        if gate is Gate.PERMIT:
            return held and t < committed + TTL
        return gate is Gate.NONE or held

    def _leave(self, world: World, n: int, p: int, attempt: int, doing: tuple[Any, ...]) -> World:
        if self.policy.gate is not Gate.NONE and world.t >= world.nodes[n][2]:
            raise PromiseBroken(NO_PERMIT)
        if any(copy[:2] == (p, attempt) for copy in world.net) and self.policy.persist_first:
            raise PromiseBroken(BOTH_SENT)
        net = tuple(sorted((*world.net, *(((p, attempt, n, world.t),) * self.policy.copies))))
        return with_doing(world._replace(net=net), n, doing)

    # ---- the network and the bank ----

    def _bytes(self, world: World, copy: Copy) -> Iterator[tuple[str, Callable[[], World]]]:
        p, attempt, n, _left = copy
        net = list(world.net)
        net.remove(copy)
        gone = world._replace(net=tuple(net))
        yield f"the bytes of {p} are lost", lambda: gone
        for book, fate in self._takes(world, p):
            yield f"the bank takes {p} ({fate.value}) and is not heard", partial(with_book, gone, p, book)
            if world.nodes[n][4][:3] == ("wait", p, attempt):
                yield (
                    f"the bank takes {p} and says {fate.value}",
                    partial(with_doing, with_book(gone, p, book), n, ("heard", p, attempt, fate)),
                )

    def _takes(self, world: World, p: int) -> Iterator[tuple[Book, Fate]]:
        """The bank's possible reactions to one copy: its books afterwards, and its answer."""
        status, seen, times = world.books[p]
        rules = self.policy.bank
        knows = status != _NONE and rules.dedup and (rules.window is None or world.t < seen + rules.window)
        if status == _NO and rules.reuses:
            knows = False
        if rules.forgets_at is not None and seen < rules.forgets_at <= world.t:
            knows = False
        if rules.blunt:
            yield (status, seen, times), Fate.FAILED
        if knows:
            # Some banks refuse the repeat as a duplicate, some give the first answer again.
            yield (status, seen, times), Fate.DUPLICATE
            yield (status, seen, times), _WORD[status]
            return
        seen = 0 if rules.window is None and rules.forgets_at is None else world.t
        yield (_YES, seen, times + 1), Fate.SETTLED
        if rules.refuses:
            yield (_NO, seen, times), Fate.FAILED
        if rules.takes:
            yield (_TAKEN, seen, times + 1), Fate.PENDING

    # ---- promises ----

    def inspect(self, world: World) -> None:
        """Raise PromiseBroken if the state breaks a promise."""
        for p, (number, row_epoch, told) in enumerate(world.pays):
            times = world.books[p][2]
            if times > 1:
                raise PromiseBroken(DOUBLE)
            paid = times > 0
            if told & _FAILED and paid:
                raise PromiseBroken(FAILED_BUT_PAID)
            if told & _UNSENT and paid:
                raise PromiseBroken(UNSENT_BUT_PAID)
            if told & _SETTLED and not paid:
                raise PromiseBroken(SETTLED_UNPAID)
            if told & _CORRECTION:
                raise PromiseBroken(CORRECTED)
            if number < 0:
                if not world.queue[p]:
                    raise PromiseBroken(LOST)
            elif self.lives[number].state is State.SENDING and row_epoch < world.lease[1] and self._forgotten(world, p):
                raise PromiseBroken(ORPHAN)
        if not self.policy.skew and sum(world.t < until for _a, _e, until, _r, _d in world.nodes if _e) > 1:
            raise PromiseBroken(BOTH_PERMITTED)

    def _forgotten(self, world: World, p: int) -> bool:
        owner = world.nodes[world.lease[0]]
        if not (owner[0] and owner[1] == world.lease[1] and owner[3]):
            return False  # the next owner of the lane will find it
        return not any(node[4][0] in ("go", "wait", "heard") and node[4][1] == p for node in world.nodes if node[0])


def _told(step: flow.Step) -> int:
    bits = 0
    for effect in step.effects:
        if isinstance(effect, SendNews):
            bits |= _TOLD.get(effect.event, 0)
        elif isinstance(effect, Alarm) and effect.slug == "contradiction":
            bits |= _CORRECTION
    return bits
