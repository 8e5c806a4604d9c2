"""The units of a linked payment (联动支付): fund its account, release it, and decide about the money if it fails.

Leg 1 is planned, ordered and ended in the unit that decides it, as a run of the pool with one move, so that a node that
dies leaves either nothing or an order. Each unit reads the link's state first, so that it may be repeated on any node.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.hours import bank_date, day_ends_ms, local, next_open_ms
from gateway.kernel.core.policy import HOLD_FUNDING
from gateway.kernel.core.states import Hold
from gateway.kernel.sql import schema
from gateway.payments.rows import held_orders, lookup
from gateway.payments.rows import transition as applying
from gateway.people.rows.persons import No
from gateway.pools.rows import linked_orders, pool_facts, pool_moves, pool_runs, pools
from gateway.pools.rows.linked_orders import LinkedOrder, LinkState
from gateway.pools.rows.pool_moves import MoveState, PoolMove, PoolRun
from gateway.pools.rules.linked import LinkNeed, LinkStep, left_minor, step
from gateway.pools.rules.plan import PoolFacts
from gateway.pools.rules.pool import Pool
from gateway.register.registry import Registry
from gateway.statements.rows import accounts
from protocols.canon.outcome import STATE_TABLE, State
from protocols.canon.statement import Direction

LEAD_MS = 600_000
"""Leg 1 begins only if leg 2's bank takes leg 2 for at least this much longer."""
BACK_WINDOW = timedelta(hours=1)
"""How long the order that returns the money may be sent."""
_MOVED_NOTHING = frozenset({State.FAILED, State.REJECTED, State.EXPIRED, State.CANCELLED})
_BACK = frozenset({State.RETURNED, State.REVERSED})
_LATELY_MS = 7_200_000
_LEGS_MS = 86_400_000
"""Entries are reported within a day."""
_E, _P = schema.statement_entries.c, schema.payments.c


@dataclass(frozen=True, slots=True)
class LinkSetting:
    """The facts that the units about linked payments need and the journal does not have."""

    registry: Registry
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class _LinkFacts:
    """A link whose order waits only for its funding, with the present facts about it."""

    link: LinkedOrder
    order: PaymentRow
    pool: Pool
    facts: PoolFacts
    need: LinkNeed

    @property
    def left_minor(self) -> int:
        """The amount that the account would have after the order: see `linked.left_minor`."""
        child = next(one for one in self.pool.children if one.account == self.link.member)
        return left_minor(child, self.need, self.facts)


def due(conn: Connection, link: LinkedOrder, now_ms: int) -> bool:
    """True if the link's next step may need new balances: its order waits only for its funding, and its `not_before`
    has come."""
    row = lookup.fetch(conn, link.payment)
    if row is None or link.state not in (LinkState.WAITING, LinkState.FUNDING):
        return False
    begins = row.order.not_before
    return _waits(row) and (begins is None or int(begins.timestamp() * 1000) <= now_ms)


def advance(tx: Tx, payment: str, setting: LinkSetting) -> PaymentRow | None:
    """Do the link's next step, if there is one. Returns leg 1's payment if leg 1 was ordered now."""
    link = linked_orders.find(tx.fresh, payment)
    row = None if link is None else lookup.fetch(tx.fresh, payment)
    if link is not None and link.state in (LinkState.RETURNED, LinkState.BACK, LinkState.UNDECIDED):
        _follow_back(tx, link)
        return None
    if link is None or row is None or link.state not in linked_orders.OPEN:
        return None
    if row.life.state not in held_orders.HELD or HOLD_FUNDING not in row.holds:
        _follow(tx, link, row)
    elif link.state is LinkState.FUNDING:
        _let_go_if_funded(tx, link, row, setting)
    elif link.state is LinkState.WAITING and due(tx.raw, link, tx.now_ms):
        return _fund_or_go(tx, link, row, setting)
    return None


def _waits(row: PaymentRow) -> bool:
    return row.life.state in held_orders.HELD and row.holds == (HOLD_FUNDING,)


def _rule(link: LinkedOrder) -> str:
    return f"rule:{link.pool}"


def _fund_or_go(tx: Tx, link: LinkedOrder, row: PaymentRow, setting: LinkSetting) -> PaymentRow | None:
    why = linked_orders.why_not_header(tx, row.order, row.sender, setting.registry)
    look = why or _look(tx, link, row, setting)
    if isinstance(look, str):
        linked_orders.move_on(tx, link, LinkState.WAITING, _rule(link), why=look)
        return None
    done = step(look.pool, look.need, look.facts)
    if done.wait is not None:
        linked_orders.move_on(tx, link, LinkState.WAITING, _rule(link), why=done.wait.value)
    elif done.goes:
        _let_go(tx, link, row, setting)
    else:
        return _fund(tx, look, done, setting)
    return None


def _look(tx: Tx, link: LinkedOrder, row: PaymentRow, setting: LinkSetting) -> _LinkFacts | str:
    """The present facts of a link, or why nothing can be done. Locks the pool's accounts against other nodes."""
    version = pools.last(tx.raw, link.pool)
    if version is None or version.pool is None:
        return "the pool is closed"
    pool, day = version.pool, datetime.fromtimestamp(tx.now_ms / 1000, UTC).astimezone(setting.zone).date()
    found = pool_facts.defects(setting.registry, link.pool, pool, pools.in_force(tx.read), day)
    if found:
        return "; ".join(found)
    if link.member not in pool.accounts[1:]:
        return "the account is no child of the pool any more"
    pool_facts.lock(tx, pool)
    others = linked_orders.of_member(tx.fresh, link.member, tx.now_ms - _LATELY_MS)
    later = frozenset(one.payment for one in others if one.payment >= link.payment)
    facts = pool_facts.read_facts(tx, setting.registry, link.pool, pool, day, tx.now_ms, setting.zone, unsent=later)
    as_of = facts.accounts[link.member].as_of_ms
    legs = [_under_way(tx, one, as_of) for one in others if one.payment < link.payment]
    absent, unclear = (sum(leg[place] for leg in legs) for place in (0, 1))
    in_time_now = in_time(row, setting.registry, tx.now_ms)
    need = LinkNeed(link.member, row.order.amount.minor, in_time_now, absent, unclear)
    return _LinkFacts(link, row, pool, facts, need)


def in_time(row: PaymentRow, registry: Registry, now_ms: int) -> bool:
    """True if the order's bank takes it now, and for LEAD_MS more on the same business date."""
    hours = registry.banks[row.bank].profile.limits.hours
    until_ms = row.life.valid_until_ms
    if next_open_ms(hours, now_ms) > now_ms or (until_ms is not None and until_ms < now_ms + LEAD_MS):
        return False
    later = now_ms + LEAD_MS
    return next_open_ms(hours, later) == later and bank_date(hours, later) == local(hours, now_ms).date()


def _under_way(tx: Tx, link: LinkedOrder, as_of_ms: int | None) -> tuple[int, int]:
    """The money that leg 1 of earlier links transfers: the sum that the balance cannot include yet, and the sum that it
    may include or not."""
    leg = _leg(tx.raw, link)
    if leg is None or link.state in (LinkState.WAITING, LinkState.UNFUNDED):
        return 0, 0
    payment = None if leg.payment is None else lookup.fetch(tx.raw, leg.payment)
    if payment is None or payment.life.state in _MOVED_NOTHING | _BACK:
        return 0, 0
    if payment.life.state is State.SETTLED and pool_facts.proven(pool_facts.ended_ms(tx, payment), as_of_ms):
        return 0, 0
    sent_ms = payment.life.first_write_ms
    if as_of_ms is None or sent_ms is None or as_of_ms <= sent_ms:
        return leg.amount_minor, 0
    return 0, leg.amount_minor


def _leg(conn: Connection, link: LinkedOrder) -> PoolMove | None:
    return None if link.run is None else next(iter(pool_moves.moves_of(conn, link.run)), None)


def _fund(tx: Tx, look: _LinkFacts, done: LinkStep, setting: LinkSetting) -> PaymentRow | None:
    hours = setting.registry.banks[look.order.bank].profile.limits.hours
    ends_ms = day_ends_ms(hours, local(hours, tx.now_ms).date())
    until_ms = min(ends_ms, look.order.life.valid_until_ms or ends_ms)
    way = (look.pool.header, look.link.member)
    key = pool_moves.link_run_id(
        look.link.pool, linked_orders.leg_slot(tx.vault, look.order.sender, look.order.order.id)
    )
    if pool_moves.find(tx.raw, key) is not None:
        linked_orders.move_on(
            tx,
            look.link,
            LinkState.UNFUNDED,
            _rule(look.link),
            why="leg 1 was ordered for an earlier order with this id",
        )
        return None
    run, leg = _ordered(tx, look.link, look.pool, key, way, done.fund_minor, until_ms, _rule(look.link), setting)
    if leg is None:
        linked_orders.move_on(tx, look.link, LinkState.UNFUNDED, _rule(look.link), why="leg 1 was refused", run=run.run)
        return None
    linked_orders.move_on(tx, look.link, LinkState.FUNDING, _rule(look.link), run=run.run)
    return leg


def _ordered(
    tx: Tx,
    link: LinkedOrder,
    pool: Pool,
    key: str,
    way: tuple[str, str],
    minor: int,
    until_ms: int,
    actor: str,
    setting: LinkSetting,
) -> tuple[PoolRun, PaymentRow | None]:
    """Order one transfer between the header and the member, as a run of its own. None if the transfer was refused."""
    day = _today(tx, setting)
    run = PoolRun(
        key, link.pool, pool.version, day, key.rpartition(".")[2], actor, tx.now_ms, until_ms, link=link.payment
    )
    debit, credit = way
    move = PoolMove(
        key, 1, link.pool, pool.version, day, debit, credit, credit == pool.header, False, pool.currency, minor
    )
    new = pool_moves.store_run(tx, run, [move])
    assert new, "the link's state says that it was not ordered before"
    pool_runs.admit_move(tx, move, run, setting.registry, setting.zone)
    pool_runs.end_run(tx, key)
    (ended,) = pool_moves.moves_of(tx.raw, key)
    ordered = ended.state is MoveState.ORDERED and ended.payment is not None
    return run, lookup.fetch(tx.fresh, ended.payment) if ordered and ended.payment else None


def _let_go_if_funded(tx: Tx, link: LinkedOrder, row: PaymentRow, setting: LinkSetting) -> None:
    """Release leg 2 once the member's balance or an entry shows that leg 1's money has arrived. The answer of leg 1's
    own bank does not count, because leg 1 may be settled there and not be booked here yet."""
    leg = _leg(tx.raw, link)
    payment = None if leg is None or leg.payment is None else lookup.fetch(tx.fresh, leg.payment)
    if leg is None or payment is None or payment.life.state in _MOVED_NOTHING | _BACK:
        state = "is not there" if payment is None else f"is {payment.life.state.value}"
        linked_orders.move_on(tx, link, LinkState.UNFUNDED, _rule(link), why=f"leg 1 {state}")
        return
    if not _waits(row):
        return
    sent_ms = payment.life.first_write_ms
    if sent_ms is None:
        return
    look = _look(tx, link, row, setting)
    if isinstance(look, str):
        return
    member = look.facts.accounts[link.member]
    usable = member.why_unusable(look.pool, look.facts.now_ms) is None
    by_balance = usable and (member.as_of_ms or 0) > sent_ms and look.left_minor >= 0
    if by_balance or _legs_came(tx, leg, sent_ms):
        _let_go(tx, link, row, setting)


def _legs_came(tx: Tx, leg: PoolMove, sent_ms: int) -> bool:
    """True if entries of the member's account show every transfer that the header sent lately.

    An entry proves one transfer, but does not tell which of several with the same amount. So all of them must be there.
    An entry is reported up to a day after its transfer, so the entries that count may prove transfers of one day more.
    """
    since_ms, blind = min(tx.now_ms, sent_ms) - _LEGS_MS, tx.vault.blind
    sent = tx.raw.execute(
        select(_P.amount_minor).where(
            _P.debtor_idx == blind(leg.debit),
            _P.creditor_idx == blind(leg.credit),
            _P.currency == leg.currency,
            _P.first_write_ms > since_ms - _LEGS_MS,
            _P.state.not_in([one.value for one in _MOVED_NOTHING]),
        )
    )
    told = tx.raw.execute(
        select(schema.statement_entries).where(
            _E.account_idx == blind(leg.credit),
            _E.direction == Direction.CREDIT.value,
            _E.currency == leg.currency,
            _E.seen_ms > since_ms,
        )
    )
    came = Counter(row.amount_minor for row in told if accounts.vouched_detail(tx.vault, row).get("party") == leg.debit)
    return Counter(minor for (minor,) in sent) <= came


def _let_go(tx: Tx, link: LinkedOrder, row: PaymentRow, setting: LinkSetting) -> None:
    event = held_orders.release(tx, row, (HOLD_FUNDING,), setting.registry)
    if isinstance(event, str):
        linked_orders.move_on(tx, link, link.state, _rule(link), why=event)
        return
    applying.apply(tx, row.payment, event, epoch=None, actor=_rule(link))
    if not isinstance(event, Hold):
        linked_orders.move_on(tx, link, LinkState.RELEASED, _rule(link))


def _follow(tx: Tx, link: LinkedOrder, row: PaymentRow) -> None:
    """Do the next step of a link whose leg 2 is no longer held for its funding."""
    state, leg = row.life.state, _leg(tx.raw, link)
    if not STATE_TABLE[state].final:
        if link.state is not LinkState.RELEASED:
            linked_orders.move_on(tx, link, LinkState.RELEASED, _rule(link), why="released by a person")
        return
    if state is State.SETTLED or leg is None or leg.payment is None:
        linked_orders.move_on(tx, link, LinkState.DONE, _rule(link))
        return
    payment = lookup.fetch(tx.fresh, leg.payment)
    if payment is None or payment.life.state in _MOVED_NOTHING | _BACK:
        linked_orders.move_on(tx, link, LinkState.DONE, _rule(link))
    elif STATE_TABLE[payment.life.state].final:
        linked_orders.move_on(tx, link, LinkState.UNDECIDED, _rule(link), why=f"the order is {state.value}")


def _today(tx: Tx, setting: LinkSetting) -> date:
    return datetime.fromtimestamp(tx.now_ms / 1000, UTC).astimezone(setting.zone).date()


def _follow_back(tx: Tx, link: LinkedOrder) -> None:
    """Follow the orders that return the money. The decision is open again if all of them moved nothing, or if the bank
    returned the money after all. An order that failed may be settled later: then the decision is closed."""
    moved, last = linked_orders.moved_back(tx, link), _back(tx.raw, link)
    state, why = LinkState.UNDECIDED, ""
    if any(STATE_TABLE[one.life.state].final for one in moved):
        state = LinkState.BACK
    elif moved:
        state = LinkState.RETURNED
    elif last is None or not STATE_TABLE[last.life.state].final:
        return
    else:
        why = f"the order that brings it back is {last.life.state.value}"
    if link.state is not state:
        linked_orders.move_on(tx, link, state, _rule(link), why=why)


def _back(conn: Connection, link: LinkedOrder) -> PaymentRow | None:
    """The last ordered payment that returns the money."""
    move = None if link.back_run is None else next(iter(pool_moves.moves_of(conn, link.back_run)), None)
    return None if move is None or move.payment is None else lookup.fetch(conn, move.payment)


# ---- what persons decide ----


def send_back(tx: Tx, payment: str, reason: str, actor: str, setting: LinkSetting) -> PaymentRow | No:
    """Order the return of leg 1's money to the header. It is ordered again only if an earlier order moved nothing."""
    link = linked_orders.find(tx.fresh, payment)
    if link is None or link.state is not LinkState.UNDECIDED:
        return _not_undecided(link)
    leg, row = _leg(tx.raw, link), lookup.fetch(tx.fresh, payment)
    assert leg is not None and row is not None, "what is undecided was funded"
    look = _look(tx, link, row, setting)
    if isinstance(look, str):
        return No("not_now", f"pool {link.pool}: {look}; nothing was moved")
    member = look.facts.accounts[link.member]
    unusable = member.why_unusable(look.pool, look.facts.now_ms)
    if unusable is not None or member.movable_minor(0) < leg.amount_minor:
        return No("not_now", "the account's balance is too old, or does not have it; nothing was moved")
    before = linked_orders.back_runs(tx.raw, link)
    if why := linked_orders.why_back_already(tx, link):
        return No("not_now", f"{why}; nothing was moved")
    if len(before) == linked_orders.MOST_BACK:
        return No("not_now", f"it was ordered back {len(before)} times; nothing was moved; ask the bank")
    until_ms = tx.now_ms + int(BACK_WINDOW.total_seconds() * 1000)
    run, back = _ordered(
        tx,
        link,
        look.pool,
        linked_orders.back_run_id(link, len(before)),
        (link.member, look.pool.header),
        leg.amount_minor,
        until_ms,
        actor,
        setting,
    )
    if back is None:
        return No(
            "refused",
            "the order was refused at admission; see `bankgw liquidity show`; nothing was moved; "
            "it may be asked for again",
        )
    linked_orders.move_on(tx, link, LinkState.RETURNED, actor, why=reason, back_run=run.run)
    return back


def stay(tx: Tx, payment: str, reason: str, actor: str) -> LinkedOrder | No:
    """Record the decision that the money stays with the member."""
    link = linked_orders.find(tx.fresh, payment)
    if link is None or not (
        link.state is LinkState.UNDECIDED and linked_orders.move_on(tx, link, LinkState.STAYS, actor, why=reason)
    ):
        return _not_undecided(link)
    found = linked_orders.find(tx.fresh, payment)
    assert found is not None, "it was there just now"
    return found


def _not_undecided(link: LinkedOrder | None) -> No:
    if link is None:
        return No("no_such_link", "this order names no pool; `bankgw liquidity linked` lists those that do")
    return No("not_now", f"its link is {link.state.value}, and nothing is to be decided; nothing was moved")
