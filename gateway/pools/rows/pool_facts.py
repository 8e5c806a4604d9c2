"""The present facts of a pool's accounts: balances as the banks told them, and payments under way.

A debit counts against an account unless it is proven that the balance includes it. Until its end was recorded well
before the balance was received, the debit may have left after the bank computed the balance. Its end is the later of
two times: the node's own time, and that of the ULID of its last evidence, which does not go back if somebody sets the
node's clock back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import and_, func, or_, select

from gateway.kernel.clock import ulid_from, ulid_ms
from gateway.kernel.commit import payment_rows
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.calendars import MissingYear
from gateway.kernel.sql import schema
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.rows import limits
from gateway.pools.rows import pool_moves
from gateway.pools.rows.pool_moves import PoolMove
from gateway.pools.rules import pool as pool_text
from gateway.pools.rules.plan import AccountFacts, PoolFacts
from gateway.pools.rules.pool import Pool
from gateway.register.registry import Registry
from gateway.settings.agreement import TREASURY
from gateway.statements.rows import accounts
from gateway.statements.rows.accounts import BalanceRow
from protocols.canon.order import Kind
from protocols.canon.outcome import State

PROVEN_MS = 300_000
"""A payment whose end was recorded this long before a balance was received is included in it, because no bank answers
later."""
_SENT_BEFORE_MS = 86_400_000
"""How long before a balance a payment may have left that ended after it, and is found by its own row alone."""
_P, _E = schema.payments.c, schema.evidence.c
_OPEN = (State.ACCEPTED, State.HELD, State.READY, State.SENDING, State.PENDING, State.IN_DOUBT, State.ESCALATED)
_BOOKED = (State.SETTLED, State.RETURNED, State.REVERSED)
_UNSENT = frozenset({State.ACCEPTED, State.HELD})


def as_of_ms(told: BalanceRow) -> int:
    """The moment of a balance: the time that the bank states or the time of its receipt, whichever is earlier."""
    as_of = told.balance.as_of
    return told.seen_ms if as_of is None else min(told.seen_ms, int(as_of.timestamp() * 1000))


def read_facts(
    tx: Tx,
    registry: Registry,
    name: str,
    pool: Pool,
    day: date,
    now_ms: int,
    zone: ZoneInfo,
    without: PoolMove | None = None,
    unsent: frozenset[str] = frozenset(),
    leaving: str | None = None,
) -> PoolFacts:
    """The facts for a run of the pool on a business date. `without`: a move that is not counted. `unsent`: payments
    that are not counted if none of their bytes left. `leaving`: the payment that is about to leave, which is not
    counted either."""
    conn = tx.read
    told = {account: one for account, one in accounts.balances_of(conn, pool.accounts).items() if one.dated}
    debits: dict[str, int] = dict.fromkeys(pool.accounts, 0)
    incoming: dict[str, int] = dict.fromkeys(pool.accounts, 0)
    since = {account: as_of_ms(told[account]) for account in pool.accounts if account in told}
    tomorrow = datetime.combine(day + timedelta(days=1), time(0), zone)
    for row, last_ms in _payments(tx, pool.accounts, min(since.values(), default=now_ms)):
        life, order = row.life, row.order
        if life.state in _UNSENT and order.not_before is not None and order.not_before >= tomorrow:
            continue  # not due
        if row.payment == leaving or (life.state in _UNSENT and row.payment in unsent):
            continue
        for account, sums in ((order.debtor.account.clear, debits), (order.creditor.account.clear, incoming)):
            if account in sums and not (life.state in _BOOKED and proven(last_ms, since.get(account))):
                sums[account] += order.amount.minor
    for move in pool_moves.planned(conn):
        if without is None or (move.run, move.place) != (without.run, without.place):
            debits[move.debit] = debits.get(move.debit, 0) + move.amount_minor
            incoming[move.credit] = incoming.get(move.credit, 0) + move.amount_minor
    moved = pool_moves.moved_minor(conn, name, day)
    # Only a quota needs what was lent, because over years a pool has many moves.
    lent = {} if pool.quota_minor is None else pool_moves.lent_minor(conn, name, pool.accounts)
    if without is not None:
        up = without.amount_minor if without.up else -without.amount_minor
        lent[without.child] = lent.get(without.child, 0) - up
        moved -= 0 if without.over else without.amount_minor
    return PoolFacts(
        now_ms,
        {
            account: _account(registry, pool, account, told.get(account), debits[account], incoming[account])
            for account in pool.accounts
        },
        moved,
        lent_minor=lent,
    )


def _account(
    registry: Registry, pool: Pool, account: str, told: BalanceRow | None, debits: int, incoming: int
) -> AccountFacts:
    tariff = registry.reconciliation.payments.tariffs.get(account)
    fees = () if tariff is None else tariff.bands
    # A balance in the currency that the account had before a change of the settings says nothing.
    if told is None or told.currency != pool.currency:
        return AccountFacts(account, debits_minor=debits, incoming_minor=incoming, fees=fees)
    balance = told.balance
    stated = [money.minor for money in (balance.available, balance.book) if money is not None]
    available = None if balance.available is None else min(stated)
    return AccountFacts(account, available, max(stated, default=None), as_of_ms(told), debits, incoming, fees)


def proven(ended_ms: int, as_of: int | None) -> bool:
    """True if a balance of that moment includes a payment that ended then."""
    return as_of is not None and ended_ms < as_of - PROVEN_MS


def ended_ms(tx: Tx, row: PaymentRow) -> int:
    """When a payment ended: the node's time or the time of its last evidence, whichever is later."""
    last = tx.read.execute(select(func.max(_E.evidence)).where(_E.payment == row.payment)).scalar_one()
    return _later_ms(row.changed_ms, tx.pending_evidence().get(row.payment, last), row.payment)


def _later_ms(changed_ms: int, evidence: str | None, payment: str) -> int:
    return max(changed_ms, ulid_ms(evidence or payment))


def _payments(tx: Tx, names: Sequence[str], since_ms: int) -> Iterable[tuple[PaymentRow, int]]:
    """Payments of these accounts that are open, or ended so lately that a balance may not include them, with the time
    of each one's last change. The evidence of a payment that ended in this group is in memory only."""
    conn, now = tx.read, tx.pending_evidence()
    vault: Vault = vault_of(conn)
    blind = [vault.blind(one) for one in names]
    ended_ms = max(since_ms - PROVEN_MS, 0)
    lately = select(_E.payment).where(_E.evidence >= ulid_from(ended_ms))
    # Rows of evidence can be deleted; the payment's own times are sealed.
    left_lately = and_(_P.first_write_ms >= ended_ms - _SENT_BEFORE_MS, _P.changed_ms >= ended_ms)
    last = select(func.max(_E.evidence)).where(_E.payment == _P.payment).scalar_subquery()
    found = conn.execute(
        select(schema.payments, last.label("last_evidence")).where(
            or_(_P.debtor_idx.in_(blind), _P.creditor_idx.in_(blind)),
            or_(
                and_(_P.lane.in_(select(schema.lanes.c.lane)), _P.state.in_([one.value for one in _OPEN])),
                and_(
                    or_(_P.payment.in_(lately), _P.payment.in_(list(now)), left_lately),
                    _P.state.in_([one.value for one in _BOOKED]),
                ),
            ),
        )
    )
    return [
        (
            payment_rows.decode_row(row, vault),
            _later_ms(row.changed_ms, now.get(row.payment, row.last_evidence), row.payment),
        )
        for row in found
    ]


def lock(tx: Tx, pool: Pool) -> None:
    """Make other nodes that admit orders on these accounts, or run the pool, wait until this transaction ends."""
    for account in sorted(pool.accounts):
        limits.lock_account(tx, account, pool.currency)


# ---- what the register and other pools have against a pool ----


def defects(registry: Registry, name: str, pool: Pool, others: dict[str, Pool], day: date) -> list[str]:
    """Why a pool cannot be used with the accounts of the register; empty if it can."""
    found = list(pool_text.clashes(name, pool, others))
    for account in pool.accounts:
        found += _account_defects(registry, pool, account, day)
    companies = {registry.routes[one].company for one in pool.accounts if one in registry.routes}
    if len(companies) > 1 and not (pool.contract and pool.quota_minor is not None and pool.until is not None):
        found.append(
            f"its accounts belong to {', '.join(sorted(companies))}: a pool over several companies names "
            f"contract=, quota= and until=, else it is undocumented lending"
        )
    if pool.until is not None and pool.until < day:
        found.append(f"its contract ended on {pool.until}")
    calendar = registry.calendars.get(pool.calendar)
    if calendar is None:
        found.append(f"there is no calendar {pool.calendar}; there are {', '.join(sorted(registry.calendars))}")
    else:
        try:
            calendar.is_open(day)
        except MissingYear as error:
            found.append(str(error))
    if TREASURY not in registry.senders:
        found.append(f"the settings have no sender {TREASURY}: without [senders.{TREASURY}] no pool moves money")
    return found


def _account_defects(registry: Registry, pool: Pool, account: str, day: date) -> Iterable[str]:
    route = registry.routes.get(account)
    if route is None:
        yield f"account {account} is not in the register"
        return
    if route.currency != pool.currency:
        yield f"account {account} keeps {route.currency}, the pool {pool.currency}"
    if route.restricted:
        yield f"account {account} is restricted: no pool may use its money"
    if route.closed is not None and day >= route.closed:
        yield f"account {account} is closed since {route.closed}"
    if "balance" not in route.answers:
        yield f"{route.bank} tells no balance of account {account}"
    pays = (
        account == pool.header
        and any(one.down for one in pool.children)
        or any(one.up for one in pool.children if one.account == account)
    )
    if pays and Kind.TRANSFER not in route.kinds:
        yield f"{route.bank} carries no transfers from account {account}"
    sender = registry.senders.get(TREASURY)
    if pays and sender is not None and not sender.may_use(account):
        yield f"sender {TREASURY} may not use account {account}"
