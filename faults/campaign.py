"""One campaign: set-up, a steady stream of orders while faults happen, a calm phase, the comparison."""

from __future__ import annotations

import os
import platform
import random
import secrets
import signal
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThreadPool

from faults import batches, compare, pool_judge, pools, report, versions
from faults.erp_listener import ErpListener
from faults.incidents import KILL, Diary, Incident
from faults.nemesis import Nemesis
from faults.pool_judge import PoolEvidence
from faults.pools import PoolRunner
from faults.queues import consumed, deleter
from faults.running_system import RunningSystem
from faults.servers import Rabbit
from faults.site import HOOKED_DAEMON, Grounds, Journal
from gateway.cli.exit_codes import UNAVAILABLE
from gateway.clock import Clock
from gateway.control.client import ControlClient, NoDaemon, Refused
from gateway.demo import evidence, processes
from gateway.demo import site as demo_site
from gateway.demo import stage as demo_stage
from gateway.demo.erp import BrokerAdmin, Erp
from gateway.demo.orders import CANCEL, SUBMIT, DemoCommand, Story, write
from gateway.demo.processes import NotStarted
from gateway.demo.verdict import BrokenPromise, Executed, Wrong
from gateway.erp.topology import LEDGER_QUEUE, MONEY_QUEUE, QUERY_QUEUE
from gateway.settings import socket_of
from gateway.settings.agreement import TREASURY
from gateway.simbank.faults import BankFault
from gateway.simbank.ledger import CHINA
from gateway.simbank.record import read_executions
from gateway.tasks import sleep
from protocols.canon.outcome import State
from protocols.twin import Booked

SETTLE_S, MOST_SETTLE_S = 150.0, 1_200.0
"""After the banks behave, without any news: the last of the early questions about a doubt comes two minutes after it
began. How long news may go on depends on the machine."""
DOUBT_S = 12.0
# Longer than any outage of a campaign. A payment that the bank called under way and never names again goes to persons
# by its deadline alone, and nobody can wait the bank's own, which is hours.
DEADLINE_S = 120.0
# Orders asked about in one round; a thousand would take minutes, in which nobody looks whether all is settled.
MOST_ASKED = 100
# The most settled payments a second that daemons ask about: have they come back? The demo asks about each every 20 s.
# For ten thousand that takes all the time of a slow database, and orders still to be sent wait behind it.
RETURNS_A_SECOND = 90
AFTERMATH_MS = 5_000
LEAVE_S = 40.0
QUESTIONS_SHARE = 0.03
LONG_MINUTES = 2.0
FLOOD_S = 100
STREAMS = 3
HELD_BACK = 20
QUEUES_S = 30.0
LATE_S = 20.0
ASK_EVERY_S = 15.0
ZOMBIE_S = 20.0
"""A round of a zombie: a lease runs out, another node takes over, the first one wakes and is watched."""
MORE_S = 90.0
ENOUGH = 1.25
PART = 0.01
"""Of all messages with money, the bank books so many only in part."""
FIRST_START_S = 90.0
_EMERGENCY_S = 5.0
_AGAIN = "-again"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for."""

    seed: int
    minutes: float
    kills: int
    per_second: float
    banks: tuple[str, ...]
    nodes: int
    journal: Journal
    folder: Path
    report: Path
    daemon: str = HOOKED_DAEMON
    dedup: bool = True
    payments: int = 0
    zombies: int = 0
    crash_loop: int = 5
    rabbit: Rabbit | None = None
    networks: bool = False
    small_disk: bool = False
    again: str = ""
    beside: str = ""

    @property
    def chaos_s(self) -> float:
        """How long everything goes wrong."""
        return self.minutes * 60

    @property
    def long(self) -> bool:
        """Whether there is time for incidents that take tens of seconds."""
        return self.minutes >= LONG_MINUTES

    @property
    def orders(self) -> int:
        """How many orders the ERP sends; with time for a flood, those of the flood on top."""
        flood = round(FLOOD_S * self.per_second) if self.long else 0
        return self.payments or round(self.chaos_s * self.per_second) + flood

    @property
    def disk_mb(self) -> int:
        """The size of each node's own file system, 0 for none."""
        return 96 + self.orders // 20 if self.small_disk else 0


class Campaign:
    """See the module. `end_children` may be called at any time."""

    def __init__(self, reactor: Any, clock: Clock, wishes: Wishes, broker: Mapping[str, Any]) -> None:
        self._reactor = reactor
        self._clock = clock
        self._wishes = wishes
        self._broker = broker
        self._started_s = clock.monotonic_s()
        self._dice = random.Random(f"bankgw faults {wishes.seed}")
        self._run = secrets.token_hex(3)
        plans = tuple(_plan(plan, wishes) for plan in demo_stage.plans(wishes.banks, wishes.seed))
        now = self._local()
        self._pools = PoolRunner(pools.made(wishes.banks, now, wishes.chaos_s), wishes.seed)
        self._grounds = Grounds(reactor, clock, wishes.folder, broker, plans, wishes.journal, wishes.nodes,
                                wishes.daemon, networks=wishes.networks, disk_mb=wishes.disk_mb,
                                senders={TREASURY: pools.treasury(wishes.banks)},
                                days=pools.calendar(now))  # fmt: skip
        self._diary = Diary(self.elapsed, clock.now_ms, self.say)
        self._listener = ErpListener(self.elapsed, self._diary)
        self._repeats = self._withdrawals = self._parked = 0
        self._published = False
        self._batches: tuple[batches.Batch, ...] = ()

    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock.monotonic_s() - self._started_s

    def _local(self) -> datetime:
        """Now, in the zone of the pools' slots."""
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, CHINA)

    def say(self, text: str) -> None:
        """One line for whoever watches."""
        print(text, flush=True)

    def end_children(self) -> None:
        """Stop everything that was started, by process id; a daemon that stands still is woken first."""
        children = self._grounds.children()
        for child in children:
            child.signal(signal.SIGCONT)
        processes.stop_all(children, _EMERGENCY_S)
        self._grounds.take_down()

    async def play(self) -> bool:
        """Everything; True if every promise was kept."""
        wishes, grounds = self._wishes, self._grounds
        clerk = BrokerAdmin(self._reactor, self._broker, self._clock, self.elapsed)
        await clerk.empty()
        await grounds.open()
        self._pools.put_in_force(grounds)
        if wishes.long:
            folder = wishes.folder / (wishes.beside or "next")
            grounds.other = versions.earlier(folder, wishes.beside) if wishes.beside else versions.next_one(folder)
        count = wishes.orders
        stage = demo_stage.stage(wishes.banks, self._run, datetime.now(UTC))
        story = write(wishes.seed, count, round(count * QUESTIONS_SHARE), stage)
        story = replace(story, commands=tuple(_lenient(command) for command in story.commands))
        story, self._batches = batches.bundled(story, self._run)
        held = _held_back(story)
        erp = Erp(self._reactor, self._broker, self._clock, self._run, self.elapsed, self._listener.take)
        self._listener.listen_for(_without(story, held), clerk)
        try:
            await clerk.watch()
            await erp.start()
            for node in grounds.nodes:
                node.start()
            await self._under_fire(_without(story, held), erp)
            await self._settle(story, erp)
            self._listener.listen_for(story, clerk)
            await self._queues_deleted(held, erp)
            await self._settle(story, erp)
            await self._leave()
            await erp.silence(0.5, 5.0)
        finally:
            await erp.close()
            await clerk.close()
            await grounds.close_proxies()
        grounds.take_down()
        return self._judge(story, erp, clerk)

    # ---- under fire ----

    async def _under_fire(self, story: Story, erp: Erp) -> None:
        wishes = self._wishes
        system = self._system = RunningSystem(
            self._reactor, self._clock, self._grounds, erp, self._listener, self._diary, self._dice, wishes.rabbit,
            wishes.per_second,
        )  # fmt: skip
        # On a busy machine the first start takes its time, and there is no journal before.
        await system.until(lambda: all(node.up for node in system.nodes), FIRST_START_S)
        kills = wishes.kills if wishes.long else 0
        nemesis = self._nemesis = Nemesis(system, long=wishes.long, crash_loop=wishes.crash_loop,
                                          zombies=wishes.zombies, kills=kills, within_s=wishes.chaos_s)  # fmt: skip
        sending = Deferred.fromCoroutine(erp.publish(story.commands, wishes.per_second))
        sending.addCallback(self._all_published)
        haunting = Deferred.fromCoroutine(nemesis.haunt())
        parts: list[Deferred[Any]] = [
            sending, haunting,
            Deferred.fromCoroutine(nemesis.kill_for_ever(max(wishes.chaos_s / wishes.kills - 1.2, 0.3))),
            *(Deferred.fromCoroutine(nemesis.faults_for_ever()) for _ in range(STREAMS)),
            Deferred.fromCoroutine(system.mind_for_ever()),
            Deferred.fromCoroutine(self._again_and_again(story, erp, system)),
            Deferred.fromCoroutine(self._pools.run_for_ever(system)),
            Deferred.fromCoroutine(self._time_out(story, erp, system, haunting)),
        ]
        try:
            # The first failure ends all of them.
            await DeferredList(parts, fireOnOneErrback=True, consumeErrors=True)
        finally:
            nemesis.calm()
            for part in parts:
                part.cancel()

    def _all_published(self, _result: None) -> None:
        self._published = True

    async def _time_out(self, story: Story, erp: Erp, system: RunningSystem, haunting: Deferred[Any]) -> None:
        """Faults go on for their time, and as long as kills, kinds or zombies are missing, but not for ever."""
        wishes, shown_s = self._wishes, self.elapsed()
        begun_s = self.elapsed()
        enough_s = ENOUGH * wishes.chaos_s + MORE_S
        most_s = 2 * wishes.chaos_s + MORE_S + ZOMBIE_S * wishes.zombies
        while (lasted_s := self.elapsed() - begun_s) < most_s:
            met = haunting.called and not (wishes.long and self._nemesis.missing and lasted_s < enough_s)
            if lasted_s >= wishes.chaos_s and self._diary.kills >= wishes.kills and met:
                break
            if self.elapsed() - shown_s > 5:
                shown_s = self.elapsed()
                self.say(f"{shown_s:6.1f} s  {self._diary.kills} kills, {self._listener.line()}")
            await sleep(self._clock, 0.1)
        system.stopping = True
        erp.hurry(len(story.commands))
        if self._diary.kills < wishes.kills:
            self.say(f"no time was left for {wishes.kills - self._diary.kills} of {wishes.kills} kills")
        if wishes.long and self._nemesis.missing:
            self.say(f"no time was left for: {', '.join(self._nemesis.missing)}")

    async def _again_and_again(self, story: Story, erp: Erp, system: RunningSystem) -> None:
        """The ERP publishes what it has published before, up to ten times: it never got to know that it had arrived."""
        plain = {order.id for order in story.orders if order.sort in ("plain", "#late", "twice")}
        plain |= {batch.id for batch in self._batches}
        while not system.stopping:
            await sleep(self._clock, self._dice.uniform(0.5, 3.0))
            said = [
                command for command in story.commands
                if command.order_id in plain and command.key in (SUBMIT, batches.BATCH)
                and self._listener.answered(command)
            ]  # fmt: skip
            await self._withdraw_again(erp)
            if said and not system.stopping:
                command = self._dice.choice(said[-200:])
                times = self._dice.choice((1, 1, 2, 9))
                self._repeats += times
                for _ in range(times):
                    await erp.publish((command,), 200.0)

    async def _withdraw_again(self, erp: Erp) -> None:
        """Of two daemons one may hear the withdrawal before the other has taken the order in."""
        while self._listener.unknown:
            command = self._listener.unknown.pop()
            self._withdrawals += 1
            again = once_more(command, self._withdrawals)
            self._listener.know(again)
            await erp.publish((again,), 200.0)

    # ---- calm ----

    async def _queues_deleted(self, held: tuple[DemoCommand, ...], erp: Erp) -> None:
        """Somebody deletes the queues that the daemons listen to: they must come back, and be heard, by themselves."""
        pool = self._reactor.getThreadPool()
        delete, listened = deleter(self._broker, "bankgw", full_too=True), consumed(self._broker, "bankgw")
        incident = self._diary.begin("command queues deleted", "RabbitMQ")
        queues = (MONEY_QUEUE, QUERY_QUEUE, LEDGER_QUEUE)
        for queue in queues:
            await deferToThreadPool(self._reactor, pool, delete, queue)
        until_s = self._clock.monotonic_s() + QUEUES_S
        while not all([await deferToThreadPool(self._reactor, pool, listened, one) for one in queues]):
            if self._clock.monotonic_s() > until_s:
                incident.wrong = f"deleted queues were not there again after {QUEUES_S:g} s"
                break
            await sleep(self._clock, 0.2)
        self._diary.end(incident)
        await erp.publish(held, 200.0)

    async def _ask_again(self, erp: Erp) -> None:
        """The ERP's reply queue was deleted: it asks again for the replies that may have been on their way into it."""
        owed = tuple(self._listener.owed())
        if owed:
            self._repeats += len(owed)
            self.say(f"{self.elapsed():6.1f} s  the ERP asks again for {len(owed)} replies: their queue was deleted")
            await erp.publish(owed, 200.0)

    async def _settle(self, story: Story, erp: Erp) -> None:
        """Let the banks behave, and wait until nothing more will happen."""
        for bank in self._grounds.banks:
            demo_stage.tell_simulator(self._grounds.site.control(bank), {"do": "calm"})
        calm_s = shown_s = self.elapsed()
        self.say(f"{calm_s:6.1f} s  calm: the banks behave, nobody is killed any more; {self._listener.line()}")
        await self._ask_again(erp)
        await self._pools.ask_again(self._system)
        news, news_s, asked_s = self._listener.heard, calm_s, calm_s
        while self.elapsed() - news_s < SETTLE_S and self.elapsed() - calm_s < MOST_SETTLE_S:
            if self._listener.heard != news:
                news, news_s = self._listener.heard, self.elapsed()
            for node in self._grounds.nodes:
                if (ended := node.child.ended()) is None:
                    continue
                if ended.code == UNAVAILABLE and self.elapsed() - calm_s < LATE_S:
                    # It began to start while its database was out of reach; a service manager starts it again.
                    node.revive()
                else:
                    raise NotStarted(f"{node.child.name} ended by itself with code {ended.code}:\n{node.child.tail()}")
            await self._withdraw_again(erp)
            await self._bring_parked(erp)
            looked_s = self.elapsed()
            waited_for = self._waited_for(story)
            # It reads all that the banks ever booked, and nothing passes the proxies meanwhile.
            rest_s = max(0.25, 10 * (self.elapsed() - looked_s))
            if looked_s - asked_s > ASK_EVERY_S:
                asked_s = looked_s
                await self._enquire(waited_for[:MOST_ASKED])
            if not waited_for:
                break
            if self.elapsed() - shown_s > 5:
                shown_s = self.elapsed()
                self.say(f"{shown_s:6.1f} s  {self._listener.line()}; waiting for {', '.join(waited_for[:3])}")
            await sleep(self._clock, rest_s)
        self.say(f"{self.elapsed():6.1f} s  settled")

    async def _bring_parked(self, erp: Erp) -> None:
        """What daemons died with twenty times lies in the parked queue; a person has its program send it again."""
        if parked := self._listener.parked():
            self._parked += len(parked)
            self.say(f"{self.elapsed():6.1f} s  the ERP sends {len(parked)} commands again: the broker parked them")
            await erp.publish(tuple(parked), 200.0)

    async def _enquire(self, orders: list[str]) -> None:
        """Have the banks asked now, as an operator can: after a long doubt the planned enquiries are minutes apart."""
        pool = self._reactor.getThreadPool()
        for node in self._grounds.nodes:
            control = ControlClient(socket_of(node.site.settings))
            for order in orders:
                with suppress(NoDaemon, Refused):
                    named = order if order.startswith(f"{TREASURY}:") else f"{demo_stage.SENDER}:{order}"
                    await deferToThreadPool(self._reactor, pool, control.post, "orders", named, "enquire")

    def _waited_for(self, story: Story) -> list[str]:
        """Commands without an answer, orders whose end is still to come, money that came back and nobody said so, and
        what pools still do."""
        executed = self._executed(3_600_000)
        booked = {one.creditor: one.booked for one in executed}
        waited_for = self._listener.unanswered()
        waited_for += [
            order for order, creditor in self._listener.open_orders() if not self._will_stay(order, creditor, booked)
        ]
        back = (order.id for order in story.orders if booked.get(order.creditor) is Booked.RETURNED)
        over = (State.RETURNED, State.REVERSED)
        waited_for += [order for order in back if self._listener.state(order) not in over]
        known = {(one.bank, one.reference) for one in executed}
        return waited_for + self._pools.open_ends(self._grounds, known, self._local())

    def _will_stay(self, order: str, creditor: str, booked: Mapping[str, Booked]) -> bool:
        """In doubt for a while, and the bank never got it: "not found" is no verdict, so nothing moves it now."""
        told = self._listener.told.get(order)
        if told is None or told[1] not in (State.IN_DOUBT, State.ESCALATED) or self.elapsed() - told[2] < DOUBT_S:
            return False
        return creditor not in booked

    def _executed(self, later_ms: int = 0) -> list[Executed]:
        at_ms, site = self._clock.now_ms() + later_ms, self._grounds.site
        return [one for bank in self._grounds.banks for one in evidence.executed(bank, site.ledger(bank), at_ms)]

    async def _leave(self) -> None:
        for node in self._grounds.nodes:
            node.child.signal(signal.SIGTERM)
        until_s = self._clock.monotonic_s() + LEAVE_S
        while self._clock.monotonic_s() < until_s and any(node.child.ended() is None for node in self._grounds.nodes):
            await sleep(self._clock, 0.05)
        for node in self._grounds.nodes:
            node.child.kill()

    # ---- the verdict ----

    def _judge(self, story: Story, erp: Erp, clerk: BrokerAdmin) -> bool:
        first, lasted_s = self._grounds.nodes[0], self.elapsed()
        books = compare.read_journal(self._wishes.journal.open_url(first), first.site.folder / "secrets" / "vault.key")
        faults = self._faults()
        asked = frozenset(command.order_id for command in story.commands)
        told = {order: state for order, (_seq, state, _at_s) in self._listener.told.items()}
        moved = self._pool_evidence(books)
        alone = {account for pool in moved.pools for account in pool.alone}
        executed = [one for one in self._executed() if not {one.debtor, one.creditor} & alone]
        result = compare.compare(story, erp.heard, clerk.unrouted, executed, books, self._diary.kills, faults,
                                 [*self._defects(), *batches.judge(self._batches, erp.heard, told, asked),
                                  *compare.unwritten(books, self._ledgers()), *pool_judge.judge(moved)],
                                 pool_judge.moved(moved))  # fmt: skip
        for incident in self._diary.incidents:
            incident.doubted = len(_between(books.doubted_ms, incident))
        facts = report.Facts(
            result=result, incidents=self._diary.incidents, lasted_s=lasted_s,
            timelines=[list(self._timeline(incident, books)) for incident in self._diary.incidents],
            stories=list(self._stories(result)), rules=books.rules, environment=self._environment(),
            again=self._wishes.again, matrix=self._nemesis.matrix(),
        )  # fmt: skip
        self._wishes.report.write_text(report.html(facts), "utf-8")
        for finding in result.findings[:20]:
            self.say(f"  {finding.wrong.value}: {finding.about}: {finding.text}")
        self.say(f"report: {self._wishes.report}   everything else: {self._wishes.folder}")
        self.say(str(result.verdict.breakdown()))
        self.say(result.last_line())
        return result.holds

    def _pool_evidence(self, books: compare.Books) -> PoolEvidence:
        now_ms = self._clock.now_ms()
        ledgers = {bank: read_executions(file) for bank, file in self._ledgers().items()}
        held = {number: minor for bank, file in self._ledgers().items()
                for number, minor in pools.held(bank, file, now_ms).items()}  # fmt: skip
        return PoolEvidence(self._pools.pools, self._pools.asked, books.runs, books.moves, books.of(treasury=True),
                            ledgers, held, now_ms)  # fmt: skip

    def _faults(self) -> Counter[str]:
        faults = Counter(
            incident.kind for incident in self._diary.incidents
            if incident.kind != KILL and not incident.detail.startswith("not met")
        )  # fmt: skip
        faults["delivered again"] = self._repeats
        faults["parked after too many deaths"] = self._parked
        for bank in self._grounds.banks:
            self._grounds.tally(bank)
        for name, count in self._grounds.tallied.items():
            faults[f"bank: {name}"] += count
        return faults

    def _defects(self) -> Iterator[BrokenPromise]:
        """A lane that stops is loud and safe, but nobody wants it. Losing a lease to another node is right."""
        for node in self._grounds.nodes:
            for text in node.defects():
                if not ("lease_lost" in text and len(self._grounds.nodes) > 1):
                    yield BrokenPromise(Wrong.DISAGREES, node.child.name, text)
        for incident in self._diary.incidents:
            if incident.wrong:
                yield BrokenPromise(Wrong.DISAGREES, f"{incident.kind} at {incident.at_s:.1f} s", incident.wrong)
        url = self._wishes.journal.open_url(self._grounds.nodes[0])
        ledgers = self._ledgers()
        for node_name, woken_ms, epochs in self._grounds.zombies:
            for reference in compare.late_words(url, ledgers, node_name, woken_ms, epochs):
                text = f"{node_name} sent it at {woken_ms} ms or later, when its lane was another's"
                yield BrokenPromise(Wrong.DISAGREES, reference, text)

    def _ledgers(self) -> dict[str, Path]:
        return {bank: self._grounds.site.ledger(bank) for bank in self._grounds.banks}

    def _timeline(self, incident: Incident, books: compare.Books) -> Iterator[report.Moment]:
        yield report.Moment(0.0, f"{incident.kind}: {incident.target} {incident.detail} {incident.wrong}".rstrip())
        doubts = [
            ((at_ms - incident.at_ms) / 1000, "payments put in doubt: asked about, never sent again by themselves")
            for at_ms in _between(books.doubted_ms, incident)
        ]
        moments = [(incident.until_s - incident.at_s, "over")]
        if incident.heard_s is not None:
            moments.append((incident.heard_s - incident.at_s, "the ERP hears something new"))
        if doubts:
            moments.append((doubts[0][0], f"{len(doubts)} {doubts[0][1]}"))
        yield from (report.Moment(*moment) for moment in sorted(moments))

    def _stories(self, result: compare.Result) -> Iterator[tuple[str, str, list[evidence.EvidenceLine]]]:
        if self._wishes.journal.url is not None:
            return
        state = self._grounds.nodes[0].site.state
        doubted = evidence.doubted(state)
        wanted: dict[str, tuple[str, str]] = {}
        suspects = {finding.about for finding in result.findings}
        for fate in result.verdict.fates:
            if fate.payment is None:
                continue
            rules, settled = doubted.get(fate.payment, frozenset()), fate.told is State.SETTLED
            for why, fits in (
                (f"{fate.order.id}: see what must not be", fate.order.id in suspects),
                ("killed while it was being sent, then settled", "payment.taken_over" in rules and settled),
                ("silence, then settled", "payment.silent" in rules and settled),
                ("still in doubt: the bank does not know it", fate.in_doubt),
                ("settled, and the money came back", fate.told is State.RETURNED),
                ("in doubt, then refused by the bank", bool(rules) and fate.told is State.FAILED),
            ):  # fmt: skip
                if fits and len(wanted) < 25:
                    wanted.setdefault(why, (fate.order.id, fate.payment))
        keys = tuple(payment for _order, payment in wanted.values())
        key = self._grounds.site.folder / "secrets" / "vault.key"
        files = evidence.files_of_payments(state, key, keys)
        for why, (order, payment) in wanted.items():
            yield why, order, files[payment]

    def _environment(self) -> dict[str, str]:
        url = self._wishes.journal.url
        return {
            "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs",
            "Python": platform.python_version(),
            "journal": "SQLite" if url is None else url.partition(":")[0],
            "daemons": str(len(self._grounds.nodes)),
            "broker": f"RabbitMQ, {'of the campaign' if self._wishes.rabbit else 'shared'}",
            "networks": "a namespace for each daemon" if self._wishes.networks else "the loopback",
            "disks": f"{self._wishes.disk_mb} MB for each daemon" if self._wishes.small_disk else "the machine's",
            "banks": ", ".join(self._grounds.banks),
        }


def _lenient(command: DemoCommand) -> DemoCommand:
    """A withdrawal may overtake its order on the way to another daemon: it is answered so, and sent again."""
    return replace(command, expect=command.expect | {"unknown_payment"}) if command.key == CANCEL else command


def once_more(command: DemoCommand, number: int) -> DemoCommand:
    """The command under a message id of its own, as long as before however often it was sent again already: the broker
    takes 255 octets."""
    first, _, _ = command.message_id.partition(_AGAIN)
    return replace(command, message_id=f"{first}{_AGAIN}{number}")


def _held_back(story: Story) -> tuple[DemoCommand, ...]:
    """Some plain orders for the end."""
    plain = {order.id for order in story.orders if order.sort == "plain"}
    last = [command for command in story.commands if command.order_id in plain and command.key == SUBMIT]
    return tuple(last[-HELD_BACK:])


def _without(story: Story, held: tuple[DemoCommand, ...]) -> Story:
    later, orders = set(held), {command.order_id for command in held}
    return replace(
        story, commands=tuple(command for command in story.commands if command not in later),
        orders=tuple(order for order in story.orders if order.id not in orders),
    )  # fmt: skip


def _plan(plan: demo_site.BankPlan, wishes: Wishes) -> demo_site.BankPlan:
    # Nothing may be sent again to a bank that books whatever it is sent.
    conduct = plan.conduct if wishes.dedup else {**plan.conduct, "dedup": False}
    settings = {**plan.settings, "enquiry_deadline_s": DEADLINE_S} | ({} if wishes.dedup else {"most_repeats": 0})
    if "returns_every_s" in settings:
        settings["returns_every_s"] = max(settings["returns_every_s"], wishes.orders / RETURNS_A_SECOND)
    return replace(plan, accounts=pools.ACCOUNTS, conduct=conduct, settings=settings,
                   faults={**plan.faults, BankFault.PART.value: PART})  # fmt: skip


def _between(at_ms: tuple[int, ...], incident: Incident) -> tuple[int, ...]:
    """The moments that fall within an incident and its aftermath."""
    until_ms = incident.at_ms + int((incident.until_s - incident.at_s) * 1000) + AFTERMATH_MS
    return at_ms[bisect_left(at_ms, incident.at_ms) : bisect_left(at_ms, until_ms)]

