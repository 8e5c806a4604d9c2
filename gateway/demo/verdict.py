"""Compares three records of the same orders: the banks' ledgers (the truth), the journal, and the messages to the
ERP.

Executions in the ledgers are matched to orders by the payee's account, which belongs to one order only. So a payment
that was made twice is found even if the gateway gave it two references. Pure: everything comes in as values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.demo.erp import ReceivedNews
from gateway.demo.orders import ACCEPTED, DemoCommand, DemoOrder, ExpectedAnswer, Story
from gateway.demo.texts import Phrase, phrase
from gateway.settings.agreement import TREASURY
from protocols.canon.outcome import CORRECTION_EVENT, STATE_TABLE, State
from protocols.twin import Booked


@dataclass(frozen=True, slots=True)
class Executed:
    """One execution of an instruction by a bank, with its state at the time of comparison."""

    bank: str
    reference: str
    debtor: str
    creditor: str
    minor: int
    booked: Booked
    currency: str = "CNY"


@dataclass(frozen=True, slots=True)
class Journalled:
    """One payment in the gateway's journal. `sends` leaves out attempts of which not one byte was written.

    `unfit` gives for each repeat its fault: the bank's rules did not allow it, or its bytes were different.
    """

    payment: str
    order_id: str
    state: State
    seq: int
    bank: str
    reference: str
    sends: int
    unfit: tuple[str, ...] = ()
    minor: int = 0
    currency: str = "CNY"
    sender: str = ""


class FindingKind(StrEnum):
    """The kind of a finding: money moved twice, an order or command without an answer, or accounts that differ."""

    DUPLICATED = "duplicated"
    LOST = "lost"
    DISAGREES = "disagrees"


@dataclass(frozen=True, slots=True)
class BrokenPromise:
    """One violation of a promise: the order or command, and the description."""

    wrong: FindingKind
    about: str
    text: str


@dataclass(frozen=True, slots=True)
class OrderResult:
    """The result of one order. `told` is the state with the highest `seq` that the ERP received, None if it received
    none.

    `booked` is the state of the bank's (only) execution, None if the bank never received the order.
    """

    order: DemoOrder
    told: State | None
    booked: Booked | None
    payment: str | None
    reference: str | None

    @property
    def in_doubt(self) -> bool:
        """Whether the outcome is still unknown, and an event told the ERP so."""
        return self.told in _DOUBT


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of every order, and all findings.

    `answers` counts the answers by outcome. `second_answers` counts the answers after the first one to the same
    command. `other_form` counts the answers in JSON to a command in XML, or the reverse.
    """

    fates: tuple[OrderResult, ...]
    findings: tuple[BrokenPromise, ...]
    answers: Mapping[str, int] = field(default_factory=dict)
    second_answers: int = 0
    other_form: int = 0

    def told(self, *states: State) -> int:
        """The number of orders whose last state in the ERP's messages is one of these."""
        return sum(fate.told in states for fate in self.fates)

    def count(self, wrong: FindingKind) -> int:
        """The number of orders or commands with this kind of finding."""
        return len({finding.about for finding in self.findings if finding.wrong is wrong})

    @property
    def agrees(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def last_line(self) -> str:
        """The demo's last line.

        Money that came back was settled first and is counted as settled. Withdrawn and expired orders were never sent
        and are counted as rejected.
        """
        return (
            f"demo: {len(self.fates)} orders, {self.told(*SETTLED)} settled, {self.told(State.FAILED)} failed, "
            f"{self.told(*REJECTED)} rejected, {self.told(*_DOUBT)} in doubt, "
            f"{self.count(FindingKind.DUPLICATED)} duplicated, {self.count(FindingKind.LOST)} lost"
        )

    def breakdown(self) -> Phrase:
        """The parts that the last line adds up."""
        unbooked = sum(fate.in_doubt and fate.booked is None for fate in self.fates)
        return phrase(
            "settled includes {back} that came back later; rejected includes {withdrawn} withdrawn and {expired} "
            "expired unsent; of those in doubt the bank never booked {unbooked}",
            back=self.told(State.RETURNED, State.REVERSED),
            withdrawn=self.told(State.CANCELLED),
            expired=self.told(State.EXPIRED),
            unbooked=unbooked,
        )


SETTLED = (State.SETTLED, State.RETURNED, State.REVERSED)
REJECTED = (State.REJECTED, State.CANCELLED, State.EXPIRED)
_ALONE = ("payment", "transfer")
_DOUBT = (State.IN_DOUBT, State.ESCALATED)
_NOT_MOVED: Mapping[State, frozenset[Booked | None]] = {
    State.FAILED: frozenset({Booked.REFUSED, None}),
    State.REJECTED: frozenset({None}),
    State.CANCELLED: frozenset({None}),
    State.EXPIRED: frozenset({None}),
}
MAY_BE: Mapping[State, frozenset[Booked | None]] = {
    **_NOT_MOVED,
    State.SETTLED: frozenset({Booked.SETTLED}),
    State.RETURNED: frozenset({Booked.RETURNED}),
    State.REVERSED: frozenset({Booked.RETURNED}),
}
"""The bank's possible executions of a payment whose end the gateway knows."""
_AFTER_FINAL = {State.SETTLED: frozenset({State.RETURNED, State.REVERSED})}


def judge(
    story: Story,
    heard: Sequence[ReceivedNews],
    executed: Iterable[Executed],
    journal: Iterable[Journalled],
    waiting: frozenset[str] = frozenset(),
) -> Verdict:
    """Compare the ERP's messages, the banks' executions and the journal. `heard` holds each message once; `waiting` are
    orders that may be held at the end."""
    return _Comparison(story, heard, executed, journal, waiting).verdict()


class _Comparison:
    def __init__(
        self,
        story: Story,
        heard: Sequence[ReceivedNews],
        executed: Iterable[Executed],
        journal: Iterable[Journalled],
        waiting: frozenset[str],
    ) -> None:
        self._story = story
        self._waiting = waiting
        self._events: dict[str, list[ReceivedNews]] = {}
        self._answers: dict[str, list[ReceivedNews]] = {}
        for one in heard:
            self._answers.setdefault(one.correlation, []).append(one)
            if is_news(one):
                self._events.setdefault(str(one.said["id"]), []).append(one)
        self._executed: dict[str, list[Executed]] = {}
        for execution in executed:
            self._executed.setdefault(execution.creditor, []).append(execution)
        self._journal: dict[str, list[Journalled]] = {}
        for row in journal:
            self._journal.setdefault(row.order_id, []).append(row)
        self._commands: dict[str, list[DemoCommand]] = {}
        for command in story.commands:
            self._commands.setdefault(command.order_id, []).append(command)
        self._found: list[BrokenPromise] = []
        self._outcomes: Counter[str] = Counter()
        self._second = self._other_form = 0

    def verdict(self) -> Verdict:
        for command in self._story.commands:
            self._answered(command)
        fates = tuple(self._fate(order) for order in self._story.orders)
        self._strangers()
        return Verdict(fates, tuple(self._found), dict(self._outcomes), self._second, self._other_form)

    def _say(self, wrong: FindingKind, about: str, text: str) -> None:
        self._found.append(BrokenPromise(wrong, about, text))

    # ---- commands and their answers ----

    def _answered(self, command: DemoCommand) -> None:
        found = [one for one in self._answers.get(command.message_id, ()) if answers(command, one)]
        name = f"{command.key} {command.message_id}"
        if not found:
            self._say(FindingKind.LOST, name, f"no answer at all ({command.order_id})")
            return
        self._second += len(found) - 1
        if command.answer is ExpectedAnswer.REPLY:
            self._other_form += sum(one.content_type != command.content_type for one in found)
        outcomes = {outcome(one) for one in found}
        self._outcomes.update(sorted(outcomes))
        for unexpected in sorted(outcomes - command.expect):
            wanted = " or ".join(sorted(command.expect))
            self._say(FindingKind.DISAGREES, command.order_id, f"{name} was answered {unexpected}, right is {wanted}")

    # ---- one order ----

    def _fate(self, order: DemoOrder) -> OrderResult:
        events = sorted(self._events.get(order.id, ()), key=lambda one: int(one.said["seq"]))
        rows, executions = self._journal.get(order.id, []), self._executed.get(order.creditor, [])
        told = State(events[-1].said["state"]) if events else self._refused(order)
        payments = sorted({str(one.said["payment"]) for one in events} | {row.payment for row in rows})
        for wrong, text in (*_sequence_faults(events), *_twice(payments, executions)):
            self._say(wrong, order.id, text)
        booked = executions[0].booked if executions else None
        self._told_and_booked(order, told, booked)
        for text in (*_content_faults(order, executions, rows), *_journal_faults(events, told, rows)):
            self._say(FindingKind.DISAGREES, order.id, text)
        reference = executions[0].reference if executions else rows[0].reference if rows else None
        return OrderResult(order, told, booked, payments[0] if payments else None, reference)

    def _refused(self, order: DemoOrder) -> State | None:
        commands = self._commands.get(order.id, ())
        refused = any("error" in one.said for command in commands for one in self._answers.get(command.message_id, ()))
        return State.REJECTED if refused else None

    def _told_and_booked(self, order: DemoOrder, told: State | None, booked: Booked | None) -> None:
        at_bank = "the bank never got it" if booked is None else f"the bank's book says {booked.value}"
        if told is None:
            self._say(FindingKind.LOST, order.id, f"the ERP heard nothing about it; {at_bank}")
        elif told in _DOUBT or (told is State.HELD and booked is None and order.id in self._waiting):
            return
        elif not STATE_TABLE[told].final:
            self._say(FindingKind.LOST, order.id, f"ended as {told.value}, neither final nor in doubt; {at_bank}")
        elif booked not in MAY_BE[told]:
            self._say(FindingKind.DISAGREES, order.id, f"the ERP was told {told.value}; {at_bank}")
        if not order.carried and booked is not None:
            self._say(FindingKind.DISAGREES, order.id, f"{order.sort}: must not reach a bank; {at_bank}")

    def _strangers(self) -> None:
        known = {order.creditor for order in self._story.orders}
        ids = {order.id for order in self._story.orders}
        for creditor in self._executed.keys() - known:
            for execution in self._executed[creditor]:
                text = f"{execution.bank} executed a payment that no order wanted"
                self._say(FindingKind.DISAGREES, execution.reference, text)
        for order_id in sorted((self._events.keys() | self._journal.keys()) - ids):
            self._say(FindingKind.DISAGREES, order_id, "the gateway speaks of an order that nobody sent")


def is_news(one: ReceivedNews) -> bool:
    """Whether the message is an event of a payment that the ERP ordered. The answer to a repeated command is not."""
    if one.where is not ExpectedAnswer.EVENT or "payment" not in one.said:
        return False
    return one.said.get("replayed") is not True and one.said.get("sender") != TREASURY


def outcome(one: ReceivedNews) -> str:
    """An answer as one word: an error's code, `accepted`, or the reply's name."""
    error = one.said.get("error")
    if isinstance(error, Mapping):
        return str(error["code"])
    return ACCEPTED if one.name == "payment.accepted" else one.name


def answers(command: DemoCommand, one: ReceivedNews) -> bool:
    """Whether the message is an answer to a command that it names, and arrived where it must."""
    if one.where is not command.answer:
        return False
    return one.where is not ExpectedAnswer.EVENT or one.name in (
        "payment.accepted",
        "payment.rejected",
        "command.rejected",
    )


def _sequence_faults(events: Sequence[ReceivedNews]) -> Iterator[tuple[FindingKind, str]]:
    """Missing numbers, numbers of two states, and messages that contradict an earlier final one."""
    numbers = [int(one.said["seq"]) for one in events]
    if numbers and sorted(set(numbers)) != list(range(1, max(numbers) + 1)):
        yield FindingKind.DISAGREES, f"the events' numbers have a gap: {sorted(set(numbers))}"
    by_number: dict[int, set[str]] = {}
    for number, one in zip(numbers, events, strict=True):
        by_number.setdefault(number, set()).add(one.name)
    for number, names in by_number.items():
        if len(names) > 1:
            yield FindingKind.DISAGREES, f"number {number} was given to {' and '.join(sorted(names))}"
    last: State | None = None
    for one in events:
        state = State(one.said["state"])
        if one.name == CORRECTION_EVENT:
            yield FindingKind.DISAGREES, "the gateway published a correction: the bank contradicted itself"
        elif last is not None and STATE_TABLE[last].final and state not in (last, *_AFTER_FINAL.get(last, ())):
            yield FindingKind.DISAGREES, f"told {last.value}, which is final, and then {state.value}"
        last = state


def _twice(payments: Sequence[str], executions: Sequence[Executed]) -> Iterator[tuple[FindingKind, str]]:
    if len(executions) > 1:
        references = ", ".join(execution.reference for execution in executions)
        yield FindingKind.DUPLICATED, f"{executions[0].bank} executed it {len(executions)} times ({references})"
    if len(payments) > 1:
        yield FindingKind.DUPLICATED, f"one order became {len(payments)} payments: {', '.join(payments)}"


def _content_faults(order: DemoOrder, executions: Sequence[Executed], rows: Sequence[Journalled]) -> Iterator[str]:
    for execution in executions:
        if execution.bank != order.bank or execution.debtor != order.debtor:
            yield f"executed by {execution.bank} from another account than the order's"
        if execution.minor not in order.amounts_minor:
            yield f"{execution.bank} moved {execution.minor} minor units, the order says {order.amounts_minor}"
        # A line of a bundle may lack our reference; then account and amount identify it.
        if rows and order.kind in _ALONE and execution.reference not in {row.reference for row in rows}:
            yield f"{execution.bank} has it under {execution.reference}, the journal does not"
    if executions and not rows:
        yield "a bank has it, the journal does not"


def _journal_faults(events: Sequence[ReceivedNews], told: State | None, rows: Sequence[Journalled]) -> Iterator[str]:
    for row in rows:
        yield from row.unfit
        if events and (row.state is not told or row.seq != int(events[-1].said["seq"])):
            shown = told.value if told else "nothing"
            yield f"the journal says {row.state.value} ({row.seq}), the ERP was told {shown} ({events[-1].said['seq']})"
        if not events:
            yield f"the journal says {row.state.value}, the ERP was told nothing"
    if events and not rows:
        yield "the ERP was told about it, the journal does not have it"
