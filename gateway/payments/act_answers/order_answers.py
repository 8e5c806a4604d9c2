"""Answers the acts about orders: list, show, release, cancel, enquire. A change is one unit that names its actor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from gateway import guarded_journal
from gateway.act_ports import Accounts, LanesInView, NodePort
from gateway.call import Call, Denied, answers
from gateway.kernel.commit import audit
from gateway.kernel.commit import work as open_work
from gateway.kernel.commit.rows import PaymentRow, WorkRow
from gateway.kernel.commit.store import Store, Tx
from gateway.kernel.core.states import UNSENT, Cancel, Work
from gateway.payments.act_answers import batch_view, order_decisions, order_view
from gateway.payments.act_answers.batch_view import OperatorDecision
from gateway.payments.act_answers.order_decisions import OrderChanged
from gateway.payments.act_answers.order_view import BundleMessage, Masking
from gateway.payments.acts import ListOrders, NamedOrder, ReleaseOrder, ShowOrder, WithdrawOrder
from gateway.payments.rows import batch_rows, bundles, lookup
from gateway.payments.rows.batch_rows import BatchRow
from gateway.payments.rows.lookup import Filters
from gateway.payments.rows.timeline import Moment, timeline
from gateway.people.act_answers.persons import administered
from protocols.canon.outcome import State

_ASK = {
    State.PENDING: Work.ENQUIRE,
    State.IN_DOUBT: Work.ENQUIRE,
    State.ESCALATED: Work.ENQUIRE,
    State.SETTLED: Work.RETURNS,
}


_WAITING = (State.HELD, State.READY, State.IN_DOUBT)


def _of_none(_row: PaymentRow) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class _File:
    """An order with its history. `mates` are the other orders of its batch, whose names its message contains."""

    row: PaymentRow
    moments: list[Moment]
    batch: BatchRow | None = None
    message: BundleMessage | None = None
    mates: tuple[PaymentRow, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderAnswers:
    """Answers the control API's acts about orders. `paused_company` gives the paused company for which an order
    waits."""

    store: Store
    node: NodePort
    lanes: LanesInView
    accounts: Accounts
    paused_company: Callable[[PaymentRow], str] = _of_none

    @answers("orders.list")
    async def orders(self, call: Call, params: ListOrders) -> Any:
        """A page of orders, the newest first. While the journal is away: the ready orders in memory."""
        states, limit, after = _states(params.state or ""), params.limit, params.after
        filters = Filters(
            states=states,
            sender=params.sender,
            bank=params.bank,
            lane=params.lane,
            order_id=params.id,
            batch=params.batch,
            inside=call.scope,
        )
        rows = await guarded_journal.unless_away(self.store, lambda conn: lookup.listing(conn, filters, limit, after))
        if rows is None:
            lanes = self.lanes.values()
            at_hand = [row for lane in lanes for row in lane.ready_payments.rows if _fits(filters, row)]
            newest = sorted(at_hand, key=lambda row: row.payment, reverse=True)[:limit]
            shown = [self._brief(row) for row in newest]
            return {"orders": shown, "next": None, "journal": guarded_journal.journal_condition(self.node.lost_ms())}
        following = rows[-1].payment if len(rows) == limit else None
        return {"orders": [self._brief(row) for row in rows], "next": following}

    @answers("orders.show")
    async def order(self, call: Call, params: ShowOrder) -> Any:
        """One order with its whole history, or one batch with its items."""
        clear = params.clear

        def find_order_or_batch(conn: Connection) -> _File | tuple[BatchRow, tuple[PaymentRow, ...]] | None:
            row = order_decisions.find(conn, params.order)
            if row is not None:
                return _file(conn, row)
            batch = order_decisions.find_batch(conn, params.order)
            return None if batch is None else (batch, batch_rows.items(conn, batch.sender, batch.batch))

        found = await self.store.read(find_order_or_batch)
        if found is None:
            raise _no_order(params.order)
        _inside(call, found[1] if isinstance(found, tuple) else (found.row, *found.mates))
        if isinstance(found, tuple):
            return batch_view.full(*found)
        row = found.row
        if clear:
            note = {"order_id": row.order.id, "sender": row.sender}
            await self.store.write(lambda tx: audit.append(tx, call.peer.actor, "order.shown_clear", row.payment, note))
        masking = self._masking(row, clear, found.mates)
        said = order_view.full(row, masking)
        if company := self._waits_for(row):
            said["company_paused"] = company
        if found.batch is not None:
            said["in_batch"] = batch_view.head(found.batch)
        return {**said, "timeline": order_view.story(found.moments, masking, found.message)}

    def _brief(self, row: PaymentRow) -> dict[str, Any]:
        return {**order_view.brief(row), "company_paused": self._waits_for(row) or None}

    def _waits_for(self, row: PaymentRow) -> str:
        """The paused company because of which this order is not sent, or not sent again; "" if there is none."""
        return self.paused_company(row) if row.life.state in _WAITING else ""

    def _masking(self, row: PaymentRow, clear: bool, mates: tuple[PaymentRow, ...] = ()) -> Masking:
        lane = self.lanes.get(row.lane)
        return order_view.masking_of((row, *mates), {} if lane is None else lane.parts.credentials, clear=clear)

    @answers("orders.release")
    async def release(self, call: Call, params: ReleaseOrder) -> Any:
        """Clear reasons for which an order, or a batch's items, are held. An order without further reasons goes on.

        If there are administrators, two persons sign it instead (`ProposalKind.RELEASE`).
        """
        held_for = tuple(word.strip() for word in (params.held_for or "").split(",") if word.strip())
        by_two = "bankgw orders release as one of them, then bankgw resolve --approve as the other"

        if await administered(self.store):
            raise Denied(
                409,
                "two_persons",
                f"two supervisors must sign the release of a held order here: {by_two}; nothing was changed",
            )
        word = order_decisions.release(self.lanes, self.accounts, call.peer.actor, params.reason, held_for)
        return await self._befall(call, word)

    @answers("orders.cancel")
    async def cancel(self, call: Call, params: WithdrawOrder) -> Any:
        """Withdraw an order that was not sent yet, or the unsent items of a batch."""
        word = OperatorDecision(UNSENT, lambda tx, _row: Cancel(tx.now_ms), call.peer.actor, "cancelled", params.reason)
        return await self._befall(call, word)

    @answers("orders.enquire")
    async def enquire(self, call: Call, params: NamedOrder) -> Any:
        """Ask the bank about the order as soon as its lane can, instead of at the planned time."""

        def ask_bank(tx: Tx) -> OrderChanged:
            row = order_decisions.find(tx.fresh, params.order)
            if row is None:
                there = order_decisions.find_batch(tx.fresh, params.order) is not None
                return OrderChanged(None, _ONE_ITEM if there else "")
            _inside(call, (row,))
            work = _ASK.get(row.life.state)
            if work is None:
                return OrderChanged(row, f"it is {row.life.state.value}: there is nothing to ask the bank about it")
            # An enquiry that is already due keeps its place: asking again must not move it behind all others.
            planned = (one.due_ms for one in open_work.of_payment(tx.fresh, row.payment) if one.work is work)
            tx.due(WorkRow(row.payment, work, row.lane, min((tx.now_ms, *planned)), row.epoch))
            audit.append(tx, call.peer.actor, "order.enquire_now", row.payment, {"state": row.life.state.value})
            return OrderChanged(row)

        changed = await self.store.write(ask_bank)
        row = self._row_of(call, changed)
        lane = self.lanes.get(row.lane)
        return {**order_view.brief(row), "asked": lane is not None, "lane_ready": lane is not None and lane.ready}

    async def _befall(self, call: Call, word: OperatorDecision) -> Any:
        def apply_word(tx: Tx) -> OrderChanged:
            return order_decisions.befall(tx, call.parts[0], word)

        changed = await self.store.write(apply_word)
        batch = changed.batch
        if batch is None:
            return order_view.brief(self._row_of(call, changed))
        if batch.why:
            raise Denied(409, "not_now", f"batch {batch.row.sender}:{batch.row.batch}: {batch.why}")
        return {**batch_view.brief(batch.row, batch.items), "changed_items": len(batch.applied)}

    def _row_of(self, call: Call, changed: OrderChanged) -> PaymentRow:
        if changed.row is None:
            if changed.why:
                raise Denied(409, "not_now", f"{call.parts[0]}: {changed.why}")
            raise _no_order(call.parts[0])
        if changed.why:
            raise Denied(409, "not_now", f"order {changed.row.order.id} ({changed.row.payment}): {changed.why}")
        return changed.row


def _fits(filters: Filters, row: PaymentRow) -> bool:
    if not filters.inside.covers(row.company, row.order.ours.account.clear):
        return False
    wanted = (
        (filters.bank, row.bank),
        (filters.lane, row.lane),
        (filters.sender, row.sender),
        (filters.order_id, row.order.id),
        (filters.batch, row.batch),
    )
    states = filters.states or (row.life.state,)
    return row.life.state in states and all(one in (None, there) for one, there in wanted)


def _inside(call: Call, rows: Iterable[PaymentRow]) -> None:
    """Refuse unless the caller may see the accounts of all these orders. Raises Denied."""
    if not all(call.scope.covers(row.company, row.order.ours.account.clear) for row in rows):
        raise Denied(
            403,
            "out_of_scope",
            f"{call.parts[0]} is of an account outside of your scope ({call.scope.text()}); nothing was changed",
        )


def _states(text: str) -> tuple[State, ...]:
    try:
        return tuple(State(word) for word in text.split(",") if word)
    except ValueError:
        raise Denied(400, "no_such_state", f"{text!r}: states are {', '.join(State)}") from None


_ONE_ITEM = "it is a batch; name one of its items, the bank is asked about all that travelled with it at once"


def _file(conn: Connection, row: PaymentRow) -> _File:
    moments = timeline(conn, row.payment)
    if row.batch is None:
        return _File(row, moments)
    batch, found = batch_rows.find(conn, row.sender, row.batch), bundles.of_payment(conn, row.payment)
    if found is None or found[0].wire is None:
        return _File(row, moments, batch)
    bundle, members = found
    message = BundleMessage(bundle, len(members), bundles.answer_of(conn, bundle.bundle))
    return _File(row, moments, batch, message, batch_rows.items(conn, row.sender, row.batch))


def _no_order(name: str) -> Denied:
    return Denied(
        404,
        "no_such_order",
        f"there is no order or batch {name}; name an order by its payment key, and either as SENDER:ID",
    )
