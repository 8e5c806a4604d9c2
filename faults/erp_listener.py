"""What the ERP has received so far while a campaign runs: the newest event of each order, and answered commands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from typing import Any

from faults.incidents import IncidentLog
from gateway.demo.erp import DELIVERY_LIMIT, BrokerAdmin, ReceivedNews
from gateway.demo.orders import CANCEL, DemoCommand, ExpectedAnswer, Story
from gateway.demo.verdict import answers, is_news, outcome
from protocols.canon.outcome import STATE_TABLE, State


class ErpListener:
    """The ERP's knowledge so far: the newest event of each order, and the commands that are answered."""

    def __init__(self, elapsed: Any, diary: IncidentLog) -> None:
        self.heard = 0
        self.told: dict[str, tuple[int, State, float]] = {}
        self._elapsed = elapsed
        self._diary = diary
        self._rejected: set[str] = set()
        self._answered: set[str] = set()
        self._orders: dict[str, str] = {}
        self._commands: dict[str, DemoCommand] = {}
        self._clerk: BrokerAdmin | None = None
        self.unknown: list[DemoCommand] = []
        self._extra: dict[str, DemoCommand] = {}
        self._owed: set[str] = set()
        self._named: set[str] = set()

    def listen_for(self, story: Story, clerk: BrokerAdmin) -> None:
        """Set the commands whose replies are expected."""
        self._orders = {order.id: order.creditor for order in story.orders}
        self._commands = {command.message_id: command for command in story.commands}
        self._clerk = clerk

    def on_news(self, one: ReceivedNews) -> None:
        """Handle one message to the ERP."""
        self.heard += 1
        self._diary.heard()
        if is_news(one):
            order, seq = str(one.said["id"]), int(one.said["seq"])
            if order not in self.told or self.told[order][0] < seq:
                self.told[order] = (seq, State(one.said["state"]), self._elapsed())
        command = self._commands.get(one.correlation) or self._extra.get(one.correlation)
        if command is not None and answers(command, one):
            self._answered.add(one.correlation)
            if "error" in one.said:
                self._refused(command, outcome(one))

    def know(self, command: DemoCommand) -> None:
        """Expect the answer of one more command, if it is not expected yet."""
        self._extra[command.message_id] = command

    def reply_queue_deleted(self, sent: Set[str]) -> None:
        """Note that the ERP's reply queue was deleted, or may have been. Commands among `sent` without a reply may
        never get one.

        RabbitMQ confirms what is on its way into a queue that is being deleted, as if it were stored there.
        """
        waiting = sent & self._commands.keys() - self._all_answers()
        self._owed |= {one for one in waiting if self._commands[one].answer is ExpectedAnswer.REPLY}

    def owed(self) -> list[DemoCommand]:
        """The commands that still have no reply. Each is returned once, because an ERP asks again under the same
        message id."""
        owed, self._owed = self._owed - self._all_answers(), set()
        return [self._commands[one] for one in sorted(owed)]

    def parked(self) -> list[DemoCommand]:
        """The unanswered commands that the broker parked because daemons were killed with them too often.

        Each is named once: its program sends it again under the same message id, as docs/do/operate.md asks.
        """
        assert self._clerk is not None
        parked = {one.message_id for one in self._clerk.parked if one.code == DELIVERY_LIMIT} - self._named
        self._named |= parked
        known = self._commands | self._extra
        return [known[one] for one in sorted((parked & known.keys()) - self._all_answers())]

    def _refused(self, command: DemoCommand, code: str) -> None:
        if command.key == CANCEL:
            if code == "unknown_payment":
                self.unknown.append(command)
        else:
            self._rejected.add(command.order_id)

    def answered(self, command: DemoCommand) -> bool:
        """Whether this command has an answer."""
        return command.message_id in self._answered

    def _all_answers(self) -> set[str]:
        assert self._clerk is not None
        return self._answered | {one.correlation for one in self._clerk.unrouted}

    def unanswered(self) -> list[str]:
        """Commands without an answer."""
        return sorted(self._commands.keys() - self._all_answers())

    def state(self, order: str) -> State | None:
        """The last state of an order that the ERP received."""
        told = self.told.get(order)
        return None if told is None else told[1]

    def open_orders(self) -> list[tuple[str, str]]:
        """Orders that may reach a bank and whose final state the ERP does not know, with their payee's account."""
        rejected = self._rejected | self._rejected_unrouted()
        return [
            (id_, creditor)
            for id_, creditor in self._orders.items()
            if not (id_ in self.told and STATE_TABLE[self.told[id_][1]].final)
            and (id_ in self.told or id_ not in rejected)
        ]

    def _rejected_unrouted(self) -> set[str]:
        """Refusals whose reply queue had been deleted; they lie in the parking queue."""
        assert self._clerk is not None
        return {
            self._commands[one.correlation].order_id
            for one in self._clerk.unrouted
            if "error" in one.said and one.correlation in self._commands
        }

    def line(self) -> str:
        """The progress as one line."""
        states = Counter(state.value for _seq, state, _at in self.told.values())
        words = "  ".join(f"{name} {count}" for name, count in sorted(states.items()))
        return f"answered {len(self._all_answers() & self._commands.keys())}/{len(self._commands)}  {words}"
