"""Plays one try of one case: makes its commands, publishes them once, waits for the results, asks the other sides.

What is published is in the run's journal and its bytes in the evidence folder before the broker gets it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.threads import deferToThreadPool

from gateway.control.client import ControlClient
from gateway.demo.orders import xml_body
from gateway.jointtest import amounts, fillings
from gateway.jointtest.amounts import AmountBudget
from gateway.jointtest.cases import Case
from gateway.jointtest.erp_line import ErpLine, HeardMessage
from gateway.jointtest.plan import RunPlan
from gateway.jointtest.run_store import CaseAttempt, RunStore
from gateway.jointtest.verdicts import SeenAt
from gateway.kernel.clock import Clock
from gateway.kernel.tasks import sleep
from gateway.simbank import control_line
from protocols.bank import Bank

CHINA = timezone(timedelta(hours=8))
JSON, XML = "application/json", "application/xml"
COMMANDS: Mapping[str, str] = {
    "payment": "payment.submit",
    "transfer": "transfer.submit",
    "batch_item": "batch.submit",
    "payroll_item": "payroll.submit",
    "collection": "collection.submit",
}
_ASK_EVERY_S = 1.0


class PlaceHooks(Protocol):
    """The actions that only a trial place can do. In a run at a real bank, people do them by hand."""

    def renew_certificate(self) -> None:
        """Put the next client certificate in place and have the gateway take it. Blocks."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """The values that all tries of a run share.

    `today` is the bank's business date, which an override may have moved; `by` is the operating system's user who runs
    it.
    """

    reactor: Any
    clock: Clock
    plan: RunPlan
    bank: Bank
    line: ErpLine
    desk: ControlClient
    store: RunStore
    purse: AmountBudget
    now: Any
    today: Any
    hooks: PlaceHooks | None = None
    by: str = ""

    @property
    def evidence(self) -> Path:
        """The folder with a folder for each try."""
        return self.store.folder / "evidence"

    async def elsewhere(self, fn: Any, *args: Any, **more: Any) -> Any:
        """Run a blocking function in a thread."""
        return await deferToThreadPool(self.reactor, self.reactor.getThreadPool(), fn, *args, **more)


@dataclass(slots=True)
class GivenOrder:
    """One order that a try sent: its id, its content, and the message that carried it."""

    id: str
    kind: str
    other: str
    minor: int
    fields: Mapping[str, Any]
    message_id: str
    body: bytes
    content_type: str
    items: tuple[GivenOrder, ...] = ()
    later: list[str] = field(default_factory=list)


class Player:
    """Plays one try of a case. The plays are in `gateway.jointtest.plays`."""

    def __init__(self, world: RunContext, case: Case, one: CaseAttempt, number: int) -> None:
        self.world = world
        self.case = case
        self.one = one
        self.orders: list[GivenOrder] = []
        self.facts: dict[str, Any] = {}
        self.messages: list[str] = []
        self._number = number
        self._made = 0

    @property
    def patience_s(self) -> float:
        """The number of seconds for which a final state is awaited."""
        return self.world.plan.told.patience_s

    @property
    def folder(self) -> Path:
        """The folder with this try's evidence."""
        return self.world.evidence / self.one.name

    @property
    def by(self) -> str:
        """The user who plays."""
        return self.world.by

    def today(self) -> Any:
        """The bank's business date."""
        return self.world.today()

    # ---- making orders ----

    def order(self, kind: str = "", change: Mapping[str, Any] = {}, **more: Any) -> GivenOrder:
        """A new order with the case's change. It counts against the caps. Raises OverCap, NoSuchValue."""
        case, world = self.case, self.world
        kind = kind or case.kind or "payment"
        id_ = self._id()
        if kind in ("payment", "transfer"):
            fields, other, minor = self._single(kind, id_)
        else:
            return self._bundle(kind, id_, change)
        triggered = self._triggered(fields)
        fields = fillings.put(triggered, {**case.change, **change}, world.bank, world.now(), self._own())
        other = fields["creditor"].get("account", other)
        minor = self._minor(fields.get("amount"), minor)
        if case.money:
            world.purse.spend(str(fields["debtor"]["account"]), kind, minor)
        return self._sealed(GivenOrder(id_, kind, other, minor, fields, "", b"", JSON), case.form)

    def _id(self) -> str:
        self._made += 1
        run = self.world.store.run
        return f"JT-{run.id}-{self.one.round}-{self._number:03d}-{self.one.number}-{self._made}"

    def _single(self, kind: str, id_: str) -> tuple[dict[str, Any], str, int]:
        told, minor = self.world.plan.told, self.world.purse.fresh()
        ours = {"account": told.accounts[0].number, "name": told.accounts[0].name}
        fields: dict[str, Any] = {
            "id": id_,
            "debtor": ours,
            "amount": amounts.text(minor),
            "currency": "CNY",
            "purpose": "联调 货款",
        }
        if kind == "transfer":
            own = told.accounts[1 % len(told.accounts)]
            fields["creditor"] = {"account": own.number, "name": own.name}
            return fields, own.number, minor
        fields["creditor"] = self._payee()
        for pointer, value in told.order.items():
            fields = fillings.put(fields, {pointer: value}, self.world.bank, self.world.now())
        return fields, str(fields["creditor"]["account"]), minor

    def _own(self) -> dict[str, str]:
        """The own accounts by the placeholders that name them: `{own account 2}`, `{own name 2}`."""
        found: dict[str, str] = {}
        for number, one in enumerate(self.world.plan.told.accounts, start=1):
            found |= {f"own account {number}": one.number, f"own name {number}": one.name}
        return found

    def _payee(self) -> dict[str, Any]:
        payee = self.world.plan.told.payee.model_dump(exclude_none=True)
        if self.world.plan.seen is SeenAt.TWIN:
            # A twin pays any payee; a payee of its own makes each order easy to find in the books.
            digits = len(payee["account"]) - 4
            payee["account"] = f"0000{(self.world.purse.fresh() * 7919 + self._unique()) % 10**digits:0{digits}d}"
        return payee

    def _unique(self) -> int:
        run = self.world.store.run
        return int.from_bytes(f"{run.id}{self.one.round}{self._number}{self.one.number}".encode()[-6:], "big") % 10**9

    @staticmethod
    def _minor(text: Any, minor: int) -> int:
        try:
            return amounts.minor(text) if isinstance(text, str) else minor
        except ValueError:
            return minor

    def _triggered(self, fields: dict[str, Any]) -> dict[str, Any]:
        trigger, plan = self.case.trigger, self.world.plan
        if not trigger:
            return fields
        if plan.seen is SeenAt.TWIN:
            return {**fields, "purpose": f"{fields['purpose']} #{trigger}"}
        return fillings.put(fields, plan.told.triggers[trigger], self.world.bank, self.world.now())

    def _bundle(self, kind: str, id_: str, change: Mapping[str, Any]) -> GivenOrder:
        told, case, world = self.world.plan.told, self.case, self.world
        ours = {"account": told.accounts[0].number, "name": told.accounts[0].name}
        side = "debtor" if kind == "collection" else "creditor"
        items = []
        for n in range(case.size):
            payee = self._payee()
            payee.pop("kind", None)
            if kind == "payroll_item":
                payee = {"account": payee["account"], "name": "张示例"}
            if n == 0 and case.trigger and world.plan.seen is SeenAt.TWIN:
                payee["name"] = f"示例 #{case.trigger}"
            minor = self.world.purse.fresh()
            fields = {"id": self._id(), "amount": amounts.text(minor), side: payee}
            if kind == "collection":
                fields["signed_on"] = "2026-01-02"
            items.append(GivenOrder(str(fields["id"]), kind, payee["account"], minor, fields, "", b"", JSON))
        head: dict[str, Any] = {
            "id": id_,
            "currency": "CNY",
            "purpose": "工资" if kind == "payroll_item" else "联调 货款",
            **({"creditor": ours, "agreement": "DK-0001"} if kind == "collection" else {"debtor": ours}),
            "count": len(items),
            "sum": amounts.text(sum(one.minor for one in items)),
            "items": [dict(one.fields) for one in items],
        }
        head = fillings.put(head, {**case.change, **change}, world.bank, world.now())
        if case.money:
            for one in items:
                world.purse.spend(ours["account"], kind, one.minor)
        made = GivenOrder(id_, kind, "", sum(one.minor for one in items), head, "", b"", JSON, tuple(items))
        return self._sealed(made, "json")

    def _sealed(self, order: GivenOrder, form: str) -> GivenOrder:
        key = COMMANDS[order.kind]
        if form == "xml":
            order.body, order.content_type = xml_body(key, order.fields), XML
        else:
            order.body = json.dumps(order.fields, ensure_ascii=False).encode()
            if form == "cut":
                order.body = order.body[: len(order.body) // 2]
        self.orders.append(order)
        return order

    def restore(self, order: GivenOrder) -> None:
        """Take an order that an interrupted session of this try published, so that no later id is used twice."""
        self.orders.append(order)
        self._made += 1 + len(order.items)

    # ---- speaking ----

    @property
    def published(self) -> int:
        """The number of commands that this try has published, those of an interrupted session included."""
        return len(self.one.published) + len(self.messages)

    async def publish(self, order: GivenOrder, *, again: bool = False, body: bytes | None = None) -> str:
        """Publish an order; `again` publishes it under another message id. Returns the message id."""
        bytes_ = order.body if body is None else body
        counted = (
            []
            if again or not self.case.money
            else [
                {
                    "id": one.id,
                    "account": self.world.plan.told.accounts[0].number,
                    "kind": order.kind,
                    "minor": one.minor,
                }
                for one in (order.items or (order,))
            ]
        )
        message_id = await self.say(COMMANDS[order.kind], bytes_, order.content_type, counted)
        if again:
            order.later.append(message_id)
        else:
            order.message_id = message_id
        return message_id

    async def say(
        self, key: str, body: bytes, content_type: str = JSON, orders: Sequence[Mapping[str, Any]] = ()
    ) -> str:
        """Publish a command. Before that, its bytes and its line in the journal are synced to disk."""
        # A resumed try keeps its earlier commands, so ids and file names are never used again.
        number = self.published + 1
        message_id = f"{self.one.name}-{self.world.store.run.id}-{number}"
        self.messages.append(message_id)
        end = "xml" if content_type == XML else "json"
        keep(self.folder / f"command-{number}.{end}", body)
        self.world.store.publishing(self.one, message_id, key, orders, body)
        await self.world.line.publish(message_id, key, body, content_type)
        return message_id

    async def ask(self, key: str, said: Mapping[str, Any], patience_s: float | None = None) -> HeardMessage | None:
        """Ask a question; its reply, None if none comes in time."""
        message_id = await self.say(key, json.dumps(said, ensure_ascii=False).encode())
        line = self.world.line
        await line.until(lambda: bool(line.answers(message_id)), patience_s or self.patience_s)
        return next(iter(line.answers(message_id)), None)

    # ---- listening ----

    def told(self, order: GivenOrder) -> list[HeardMessage]:
        """Every message about an order, in the order of `seq`."""
        found = [one for one in self.world.line.about(order.id) if one.state]
        return sorted(found, key=lambda one: int(one.said.get("seq", 0) or 0))

    def state(self, order: GivenOrder) -> str:
        """The last state of an order in its messages; empty if there is none."""
        told = self.told(order)
        return told[-1].state if told else ""

    def states(self, order: GivenOrder) -> list[str]:
        """Every state of an order in its messages, including the previous state that a later message names."""
        return [word for one in self.told(order) for word in (str(one.said.get("was", "")), one.state) if word]

    def codes(self, order: GivenOrder) -> list[str]:
        """The codes with which the order's commands were refused."""
        return [
            one.code
            for message in (order.message_id, *order.later)
            for one in self.world.line.answers(message)
            if one.code
        ]

    async def until_state(self, order: GivenOrder, states: Sequence[str], patience_s: float | None = None) -> bool:
        """Wait for one of these states of an order."""
        return await self.world.line.until(lambda: self.state(order) in states, patience_s or self.patience_s)

    async def heard_of(self, order_id: str) -> bool:
        """Wait for the first message about an order."""
        return await self.world.line.until(lambda: bool(self.world.line.about(order_id)), self.patience_s)

    async def standing(self, order_id: str, right: Collection[str]) -> str:
        """Ask the gateway for an order's state until it is as expected or final, for at most `patience_s`."""
        clock = self.world.clock
        end_s = clock.monotonic_s() + self.patience_s
        while True:
            reply = await self.ask("status.query", {"id": order_id})
            state = "" if reply is None else reply.state
            if state in right or (reply is not None and reply.final) or clock.monotonic_s() > end_s:
                return state
            await sleep(clock, _ASK_EVERY_S)

    # ---- the other sides ----

    async def twin(self, **command: Any) -> dict[str, Any]:
        """Send a command to the simulated bank. Raises NobodyListens."""
        access = self.world.plan.told.twin
        assert access is not None
        said: dict[str, Any] = await self.world.elsewhere(
            control_line.tell, self.world.plan.path(access.control), command
        )
        return said

    async def relay(self, word: str, port: str = "") -> dict[str, Any]:
        """Send a command to our relay, for one port of the bank or all. Raises NobodyListens."""
        access = self.world.plan.told.relay
        assert access is not None
        said: dict[str, Any] = await self.world.elsewhere(
            control_line.tell, self.world.plan.path(access.control), {"do": word, "port": port}
        )
        return said

    async def executions(self, order: GivenOrder) -> list[Mapping[str, Any]]:
        """The number of executions of an order in the bank's own books. Only a twin shows its books."""
        truth = (await self.twin(do="truth"))["truth"]
        return [
            one
            for found in truth.values()
            for one in found
            if one["creditor"] == order.other and one["minor"] == order.minor
        ]


def keep(file: Path, data: bytes) -> None:
    """Write a file so that it survives a crash."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def next_morning(day: datetime) -> datetime:
    """09:00 of the day after, in China."""
    local = day.astimezone(CHINA)
    return (local + timedelta(days=1)).replace(hour=9, minute=0, second=0, microsecond=0)
