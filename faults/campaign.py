"""One campaign: set-up, a steady stream of orders while faults happen, a calm phase, the comparison."""

from __future__ import annotations

import os
import platform
import random
import secrets
import signal
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThreadPool

from faults import batches, compare, pool_judge, pools, report, versions
from faults.campaign_options import CampaignOptions
from faults.erp_listener import ErpListener
from faults.incidents import KILL, Incident, IncidentLog
from faults.nemesis import Nemesis
from faults.pool_judge import PoolEvidence
from faults.pools import PoolRunner
from faults.queues import consumed, deleter
from faults.running_system import RunningSystem
from faults.site import CampaignSite
from faults.story import held_back, lenient, once_more, without
from gateway.cli.exit_codes import UNAVAILABLE
from gateway.control.client import ControlClient, NoDaemon, Refused
from gateway.demo import evidence, processes
from gateway.demo import site as demo_site
from gateway.demo import stage as demo_stage
from gateway.demo.erp import BrokerAdmin, Erp
from gateway.demo.orders import SUBMIT, DemoCommand, Story, write_story
from gateway.demo.processes import NotStarted
from gateway.demo.verdict import BrokenPromise, Executed, FindingKind
from gateway.kernel.clock import Clock
from gateway.kernel.deliveries import LEDGER_QUEUE, MONEY_QUEUE, QUERY_QUEUE
from gateway.kernel.tasks import sleep
from gateway.settings import socket_of
from gateway.settings.agreement import TREASURY
from gateway.simbank.faults import BankFault
from gateway.simbank.ledger import CHINA
from gateway.simbank.record import read_executions
from protocols.canon.outcome import State
from protocols.twin import Booked

SETTLE_S, MOST_SETTLE_S = 150.0, 1_200.0
"""How long to wait without any event after the banks behave: the last of the early enquiries about a doubt comes two
minutes after its begin. How long events may go on depends on the machine."""
DOUBT_S = 12.0
# Longer than any outage of a campaign. A payment that the bank once called under way and never names again escalates to
# persons by its deadline alone. The bank's own deadline is hours, which is too long here.
DEADLINE_S = 120.0
# Orders asked about in one round. A round of a thousand would take minutes, in which nobody checks whether all is
# settled.
MOST_ASKED = 100
# The most enquiries a second about returns of settled payments. The demo asks about each payment every 20 s. For ten
# thousand payments that takes all the time of a slow database, and orders still to be sent wait behind it.
RETURNS_A_SECOND = 90
AFTERMATH_MS = 5_000
LEAVE_S = 40.0
QUESTIONS_SHARE = 0.03
STREAMS = 3
QUEUES_S = 30.0
LATE_S = 20.0
ASK_EVERY_S = 15.0
ZOMBIE_S = 20.0
"""The length of a zombie's round: a lease runs out, another node takes over, the first one wakes and is watched."""
MORE_S = 90.0
ENOUGH = 1.25
PART = 0.01
"""The share of messages with money that the bank books only in part."""
FIRST_START_S = 90.0
_EMERGENCY_S = 5.0


class Campaign:
    """Runs one campaign: set-up, orders while faults happen, a calm phase, the comparison. `end_children` may be called
    at any time."""

    def __init__(self, reactor: Any, clock: Clock, options: CampaignOptions, broker: Mapping[str, Any]) -> None:
        self._reactor = reactor
        self._clock = clock
        self._options = options
        self._broker = broker
        self._started_s = clock.monotonic_s()
        self._dice = random.Random(f"bankgw faults {options.seed}")
        self._run = secrets.token_hex(3)
        plans = tuple(_plan(plan, options) for plan in demo_stage.plans(options.banks, options.seed))
        now = self._local()
        self._pools = PoolRunner(pools.made(options.banks, now, options.chaos_s), options.seed)
        self._grounds = CampaignSite(
            reactor,
            clock,
            options.folder,
            broker,
            plans,
            options.journal,
            options.nodes,
            options.daemon,
            networks=options.networks,
            disk_mb=options.disk_mb,
            senders={TREASURY: pools.treasury(options.banks)},
            days=pools.calendar(now),
        )
        self._diary = IncidentLog(self.elapsed, clock.now_ms, self.say)
        self._listener = ErpListener(self.elapsed, self._diary)
        self._repeats = self._withdrawals = self._parked = 0
        self._published = False
        self._batches: tuple[batches.Batch, ...] = ()

    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock.monotonic_s() - self._started_s

    def _local(self) -> datetime:
        """The present time in the time zone of the pools' slots."""
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, CHINA)

    def say(self, text: str) -> None:
        """Print one line for the person who watches."""
        print(text, flush=True)

    def end_children(self) -> None:
        """Stop every started process by its id. A suspended daemon is resumed first."""
        children = self._grounds.children()
        for child in children:
            child.signal(signal.SIGCONT)
        processes.stop_all(children, _EMERGENCY_S)
        self._grounds.take_down()

    async def play(self) -> bool:
        """Run the whole campaign; True if every promise was kept."""
        options, grounds = self._options, self._grounds
        clerk = BrokerAdmin(self._reactor, self._broker, self._clock, self.elapsed)
        await clerk.empty()
        await grounds.open()
        self._pools.put_in_force(grounds)
        if options.long:
            folder = options.folder / (options.beside or "next")
            grounds.other = versions.earlier(folder, options.beside) if options.beside else versions.next_one(folder)
        count = options.orders
        stage = demo_stage.stage(options.banks, self._run, datetime.now(UTC))
        story = write_story(options.seed, count, round(count * QUESTIONS_SHARE), stage)
        story = replace(story, commands=tuple(lenient(command) for command in story.commands))
        story, self._batches = batches.bundled(story, self._run)
        held = held_back(story)
        erp = Erp(self._reactor, self._broker, self._clock, self._run, self.elapsed, self._listener.on_news)
        self._listener.listen_for(without(story, held), clerk)
        try:
            await clerk.watch()
            await erp.start()
            for node in grounds.nodes:
                node.start()
            await self._under_fire(without(story, held), erp)
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
        options = self._options
        system = self._system = RunningSystem(
            self._reactor,
            self._clock,
            self._grounds,
            erp,
            self._listener,
            self._diary,
            self._dice,
            options.rabbit,
            options.per_second,
        )
        # On a busy machine the first start takes long, and before it there is no journal.
        await system.until(lambda: all(node.up for node in system.nodes), FIRST_START_S)
        kills = options.kills if options.long else 0
        nemesis = self._nemesis = Nemesis(
            system,
            long=options.long,
            crash_loop=options.crash_loop,
            zombies=options.zombies,
            kills=kills,
            within_s=options.chaos_s,
        )
        sending = Deferred.fromCoroutine(erp.publish(story.commands, options.per_second))
        sending.addCallback(self._all_published)
        haunting = Deferred.fromCoroutine(nemesis.haunt())
        parts: list[Deferred[Any]] = [
            sending,
            haunting,
            Deferred.fromCoroutine(nemesis.kill_for_ever(max(options.chaos_s / options.kills - 1.2, 0.3))),
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
        """Wait while faults go on. The time is extended, up to a limit, while kills, kinds of incidents or zombies are
        missing."""
        options, shown_s = self._options, self.elapsed()
        begun_s = self.elapsed()
        enough_s = ENOUGH * options.chaos_s + MORE_S
        most_s = 2 * options.chaos_s + MORE_S + ZOMBIE_S * options.zombies
        while (lasted_s := self.elapsed() - begun_s) < most_s:
            met = haunting.called and not (options.long and self._nemesis.missing and lasted_s < enough_s)
            if lasted_s >= options.chaos_s and self._diary.kills >= options.kills and met:
                break
            if self.elapsed() - shown_s > 5:
                shown_s = self.elapsed()
                self.say(f"{shown_s:6.1f} s  {self._diary.kills} kills, {self._listener.line()}")
            await sleep(self._clock, 0.1)
        system.stopping = True
        erp.hurry(len(story.commands))
        if self._diary.kills < options.kills:
            self.say(f"no time was left for {options.kills - self._diary.kills} of {options.kills} kills")
        if options.long and self._nemesis.missing:
            self.say(f"no time was left for: {', '.join(self._nemesis.missing)}")

    async def _again_and_again(self, story: Story, erp: Erp, system: RunningSystem) -> None:
        """Publish earlier commands again, up to ten times, as an ERP that did not learn that they had arrived."""
        plain = {order.id for order in story.orders if order.sort in ("plain", "#late", "twice")}
        plain |= {batch.id for batch in self._batches}
        while not system.stopping:
            await sleep(self._clock, self._dice.uniform(0.5, 3.0))
            said = [
                command
                for command in story.commands
                if command.order_id in plain
                and command.key in (SUBMIT, batches.BATCH)
                and self._listener.answered(command)
            ]
            await self._withdraw_again(erp)
            if said and not system.stopping:
                command = self._dice.choice(said[-200:])
                times = self._dice.choice((1, 1, 2, 9))
                self._repeats += times
                for _ in range(times):
                    await erp.publish((command,), 200.0)

    async def _withdraw_again(self, erp: Erp) -> None:
        """Publish a withdrawal again, because one of two daemons may read it before the other has accepted the
        order."""
        while self._listener.unknown:
            command = self._listener.unknown.pop()
            self._withdrawals += 1
            again = once_more(command, self._withdrawals)
            self._listener.know(again)
            await erp.publish((again,), 200.0)

    # ---- calm ----

    async def _queues_deleted(self, held: tuple[DemoCommand, ...], erp: Erp) -> None:
        """Delete the queues of the daemons, which must declare and consume them again by themselves."""
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
        """Let the ERP ask again for replies that may have been lost when its reply queue was deleted."""
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
                    # Its start began while its database was out of reach; a service manager starts it again.
                    node.revive()
                else:
                    raise NotStarted(f"{node.child.name} ended by itself with code {ended.code}:\n{node.child.tail()}")
            await self._withdraw_again(erp)
            await self._bring_parked(erp)
            looked_s = self.elapsed()
            waited_for = self._waited_for(story)
            # It reads every booking of the banks, and nothing passes the proxies meanwhile.
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
        """Publish the parked commands again, as a person would. A command is parked after daemons died with it twenty
        times."""
        if parked := self._listener.parked():
            self._parked += len(parked)
            self.say(f"{self.elapsed():6.1f} s  the ERP sends {len(parked)} commands again: the broker parked them")
            await erp.publish(tuple(parked), 200.0)

    async def _enquire(self, orders: list[str]) -> None:
        """Make enquiries due now, as an operator can, because after a long doubt the planned ones are minutes apart."""
        pool = self._reactor.getThreadPool()
        for node in self._grounds.nodes:
            control = ControlClient(socket_of(node.site.settings))
            for order in orders:
                with suppress(NoDaemon, Refused):
                    named = order if order.startswith(f"{TREASURY}:") else f"{demo_stage.SENDER}:{order}"
                    await deferToThreadPool(self._reactor, pool, control.post, "orders", named, "enquire")

    def _waited_for(self, story: Story) -> list[str]:
        """The events for which the campaign still waits: answers to commands, ends of orders, events about returns, and
        ends of pools' runs."""
        executed = self._executed(3_600_000)
        booked = {one.creditor: one.booked for one in executed}
        counts = Counter(one.creditor for one in executed)
        ends = {creditor for creditor, count in counts.items() if count == 1}
        waited_for = self._listener.unanswered()
        waited_for += [
            order for order, creditor in self._listener.open_orders() if not self._will_stay(order, creditor, ends)
        ]
        back = (order.id for order in story.orders if booked.get(order.creditor) is Booked.RETURNED)
        over = (State.RETURNED, State.REVERSED)
        waited_for += [order for order in back if self._listener.state(order) not in over]
        known = {(one.bank, one.reference): one.booked for one in executed}
        return waited_for + self._pools.open_ends(self._grounds, known, self._local())

    def _will_stay(self, order: str, creditor: str, ends: Collection[str]) -> bool:
        """Whether a payment stays in doubt. `ends` are the payees that a bank booked once, so that its answer ends the
        doubt. Without a booking, "not found" is no proof; two bookings of one payment may contradict each other.
        """
        told = self._listener.told.get(order)
        if told is None or told[1] not in (State.IN_DOUBT, State.ESCALATED) or self.elapsed() - told[2] < DOUBT_S:
            return False
        return creditor not in ends

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
        books = compare.read_journal(self._options.journal.open_url(first), first.site.folder / "secrets" / "vault.key")
        faults = self._faults()
        asked = frozenset(command.order_id for command in story.commands)
        told = {order: state for order, (_seq, state, _at_s) in self._listener.told.items()}
        moved = self._pool_evidence(books)
        alone = {account for pool in moved.pools for account in pool.alone}
        executed = [one for one in self._executed() if not {one.debtor, one.creditor} & alone]
        result = compare.compare(
            story,
            erp.heard,
            clerk.unrouted,
            executed,
            books,
            self._diary.kills,
            faults,
            [
                *self._defects(),
                *batches.judge(self._batches, erp.heard, told, asked),
                *compare.unwritten(books, self._ledgers()),
                *pool_judge.judge(moved),
            ],
            pool_judge.moved(moved),
        )
        for incident in self._diary.incidents:
            incident.doubted = len(_between(books.doubted_ms, incident))
        facts = report.Facts(
            result=result,
            incidents=self._diary.incidents,
            lasted_s=lasted_s,
            timelines=[list(self._timeline(incident, books)) for incident in self._diary.incidents],
            stories=list(self._stories(result)),
            rules=books.rules,
            environment=self._environment(),
            again=self._options.again,
            matrix=self._nemesis.matrix(),
        )
        self._options.report.write_text(report.html(facts), "utf-8")
        for finding in result.findings[:20]:
            self.say(f"  {finding.wrong.value}: {finding.about}: {finding.text}")
        self.say(f"report: {self._options.report}   everything else: {self._options.folder}")
        self.say(str(result.verdict.breakdown()))
        self.say(result.last_line())
        return result.holds

    def _pool_evidence(self, books: compare.Books) -> PoolEvidence:
        now_ms = self._clock.now_ms()
        ledgers = {bank: read_executions(file) for bank, file in self._ledgers().items()}
        held = {
            number: minor
            for bank, file in self._ledgers().items()
            for number, minor in pools.held(bank, file, now_ms).items()
        }
        return PoolEvidence(
            self._pools.pools,
            self._pools.asked,
            books.runs,
            books.moves,
            books.of(treasury=True),
            ledgers,
            held,
            now_ms,
        )

    def _faults(self) -> Counter[str]:
        faults = Counter(
            incident.kind
            for incident in self._diary.incidents
            if incident.kind != KILL and not incident.detail.startswith("not met")
        )
        faults["delivered again"] = self._repeats
        faults["parked after too many deaths"] = self._parked
        for bank in self._grounds.banks:
            self._grounds.tally(bank)
        for name, count in self._grounds.tallied.items():
            faults[f"bank: {name}"] += count
        return faults

    def _defects(self) -> Iterator[BrokenPromise]:
        """The defects in the logs. A lane that stops is safe, but a defect. The loss of a lease to another node is
        none."""
        for node in self._grounds.nodes:
            for text in node.defects():
                if not ("lease_lost" in text and len(self._grounds.nodes) > 1):
                    yield BrokenPromise(FindingKind.DISAGREES, node.child.name, text)
        for incident in self._diary.incidents:
            if incident.wrong:
                yield BrokenPromise(FindingKind.DISAGREES, f"{incident.kind} at {incident.at_s:.1f} s", incident.wrong)
        url = self._options.journal.open_url(self._grounds.nodes[0])
        ledgers = self._ledgers()
        for node_name, woken_ms, epochs in self._grounds.zombies:
            for reference in compare.late_words(url, ledgers, node_name, woken_ms, epochs):
                text = f"{node_name} sent it at {woken_ms} ms or later, when its lane was another's"
                yield BrokenPromise(FindingKind.DISAGREES, reference, text)

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
        if self._options.journal.url is not None:
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
            ):
                if fits and len(wanted) < 25:
                    wanted.setdefault(why, (fate.order.id, fate.payment))
        keys = tuple(payment for _order, payment in wanted.values())
        key = self._grounds.site.folder / "secrets" / "vault.key"
        files = evidence.files_of_payments(state, key, keys)
        for why, (order, payment) in wanted.items():
            yield why, order, files[payment]

    def _environment(self) -> dict[str, str]:
        url = self._options.journal.url
        return {
            "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs",
            "Python": platform.python_version(),
            "journal": "SQLite" if url is None else url.partition(":")[0],
            "daemons": str(len(self._grounds.nodes)),
            "broker": f"RabbitMQ, {'of the campaign' if self._options.rabbit else 'shared'}",
            "networks": "a namespace for each daemon" if self._options.networks else "the loopback",
            "disks": f"{self._options.disk_mb} MB for each daemon" if self._options.small_disk else "the machine's",
            "banks": ", ".join(self._grounds.banks),
        }


def _plan(plan: demo_site.BankPlan, options: CampaignOptions) -> demo_site.BankPlan:
    # Nothing may be sent a second time to a bank that books whatever it gets.
    conduct = plan.conduct if options.dedup else {**plan.conduct, "dedup": False}
    settings = {**plan.settings, "enquiry_deadline_s": DEADLINE_S} | ({} if options.dedup else {"most_repeats": 0})
    if "returns_every_s" in settings:
        settings["returns_every_s"] = max(settings["returns_every_s"], options.orders / RETURNS_A_SECOND)
    return replace(
        plan,
        accounts=pools.ACCOUNTS,
        conduct=conduct,
        settings=settings,
        faults={**plan.faults, BankFault.PART.value: PART},
    )


def _between(at_ms: tuple[int, ...], incident: Incident) -> tuple[int, ...]:
    """The moments that fall within an incident and its aftermath."""
    until_ms = incident.at_ms + int((incident.until_s - incident.at_s) * 1000) + AFTERMATH_MS
    return at_ms[bisect_left(at_ms, incident.at_ms) : bisect_left(at_ms, until_ms)]
