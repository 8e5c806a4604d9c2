"""One campaign from nothing to its last line: set up, a steady stream of orders under fire, calm, comparison."""

from __future__ import annotations

import os
import platform
import random
import secrets
import signal
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from faults import compare, report
from faults.incidents import Diary, Incident, Nemesis
from faults.queues import deleter
from faults.site import Grounds, Journal
from gateway.clock import Clock
from gateway.desk import demo_evidence, demo_site, processes, rig
from gateway.desk.demo_erp import Clerk, Erp, Heard
from gateway.desk.demo_orders import SUBMIT, Answer, Command, Story, write
from gateway.desk.demo_verdict import Executed, Finding, Wrong, is_news
from gateway.desk.processes import NotStarted
from gateway.tasks import sleep
from protocols.canon.outcome import STATE_TABLE, State
from protocols.twin import Booked

SETTLE_S = 150.0
"""After the banks behave: the last of the early questions about a doubt comes two minutes after it began."""
DOUBT_S = 12.0
AFTERMATH_MS = 5_000
LEAVE_S = 40.0
QUESTIONS_SHARE = 0.03
_EMERGENCY_S = 5.0


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
    daemon: str = "gateway"
    dedup: bool = True

    @property
    def chaos_s(self) -> float:
        """How long everything goes wrong."""
        return self.minutes * 60

    def again(self) -> str:
        """The command that draws the same faults; when they strike depends on the machine."""
        return f"make faults SEED={self.seed} MINUTES={self.minutes:g}"


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
        plans = tuple(_plan(plan, wishes) for plan in demo_site.plans(wishes.banks, wishes.seed))
        self._grounds = Grounds(reactor, clock, wishes.folder, broker, plans, wishes.journal, wishes.nodes,
                                wishes.daemon)  # fmt: skip
        self._diary = Diary(self.elapsed, clock.now_ms, self.say)
        self._ears = Ears(self.elapsed, self._diary)
        self._repeats = 0
        self._published = False

    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock.monotonic_s() - self._started_s

    def say(self, text: str) -> None:
        """One line for whoever watches."""
        print(text, flush=True)

    def end_children(self) -> None:
        """Stop everything that was started, by process id; a daemon that stands still is woken first."""
        children = self._grounds.children()
        for child in children:
            child.signal(signal.SIGCONT)
        processes.stop_all(children, _EMERGENCY_S)

    async def play(self) -> bool:
        """Everything; True if every promise was kept."""
        wishes, grounds = self._wishes, self._grounds
        clerk = Clerk(self._reactor, self._broker, self._clock, self.elapsed)
        await clerk.empty()
        await grounds.open()
        count = round(wishes.chaos_s * wishes.per_second)
        stage = demo_site.stage(wishes.banks, self._run, datetime.now(UTC))
        story = write(wishes.seed, count, round(count * QUESTIONS_SHARE), stage)
        erp = Erp(self._reactor, self._broker, self._clock, self._run, self.elapsed, self._ears.take)
        self._ears.listen_for(story, clerk)
        try:
            await clerk.watch()
            await erp.start()
            for node in grounds.nodes:
                node.start()
            await self._under_fire(story, erp)
            await self._settle(story)
            await self._leave()
            await erp.silence(0.5, 5.0)
        finally:
            await erp.close()
            await clerk.close()
            await grounds.close_proxies()
        return self._judge(story, erp, clerk)

    # ---- under fire ----

    async def _under_fire(self, story: Story, erp: Erp) -> None:
        wishes = self._wishes
        nemesis = Nemesis(self._reactor, self._clock, self._grounds, erp, self._diary, self._dice,
                          deleter(self._broker, "erp-demo"))  # fmt: skip
        sending = Deferred.fromCoroutine(erp.publish(story.commands, wishes.per_second))
        sending.addCallback(self._all_published)
        parts: list[Deferred[Any]] = [
            sending,
            Deferred.fromCoroutine(nemesis.kill_for_ever(max(wishes.chaos_s / wishes.kills - 1.2, 0.3))),
            Deferred.fromCoroutine(nemesis.weather_for_ever((0.3, 2.5))),
            Deferred.fromCoroutine(self._again_and_again(story, erp, nemesis)),
            Deferred.fromCoroutine(self._time_out(nemesis)),
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

    async def _time_out(self, nemesis: Nemesis) -> None:
        """Bad weather lasts for its time, and as long as kills are missing, but not twice that time."""
        wishes, shown_s = self._wishes, self.elapsed()
        begun_s = self.elapsed()
        while (lasted_s := self.elapsed() - begun_s) < 2 * wishes.chaos_s:
            if lasted_s >= wishes.chaos_s and self._diary.kills >= wishes.kills:
                break
            if self.elapsed() - shown_s > 5:
                shown_s = self.elapsed()
                self.say(f"{shown_s:6.1f} s  {self._diary.kills} kills, {self._ears.line()}")
            await sleep(self._clock, 0.1)
        nemesis.stopping = True

    async def _again_and_again(self, story: Story, erp: Erp, nemesis: Nemesis) -> None:
        """The ERP publishes what it has published before, up to ten times: it never got to know that it had arrived."""
        plain = {order.id for order in story.orders if order.sort in ("plain", "#late", "twice")}
        while not nemesis.stopping:
            await sleep(self._clock, self._dice.uniform(0.5, 3.0))
            said = [
                command for command in story.commands
                if command.order_id in plain and command.key == SUBMIT and self._ears.answered(command)
            ]  # fmt: skip
            if said and not nemesis.stopping:
                command = self._dice.choice(said[-200:])
                times = self._dice.choice((1, 1, 2, 9))
                self._repeats += times
                for _ in range(times):
                    await erp.publish((command,), 200.0)

    # ---- calm ----

    async def _settle(self, story: Story) -> None:
        """Let the banks behave, and wait until nothing more will happen."""
        for bank in self._grounds.banks:
            demo_site.tell_simulator(self._grounds.site.control(bank), {"do": "calm"})
        calm_s = shown_s = self.elapsed()
        self.say(f"{calm_s:6.1f} s  calm: the banks behave, nobody is killed any more; {self._ears.line()}")
        while self.elapsed() - calm_s < SETTLE_S:
            for node in self._grounds.nodes:
                if (ended := node.child.ended()) is not None:
                    raise NotStarted(f"{node.child.name} ended by itself with code {ended.code}:\n{node.child.tail()}")
            waited_for = self._waited_for(story)
            if not waited_for:
                break
            if self.elapsed() - shown_s > 5:
                shown_s = self.elapsed()
                self.say(f"{shown_s:6.1f} s  {self._ears.line()}; waiting for {', '.join(waited_for[:3])}")
            await sleep(self._clock, 0.25)
        self.say(f"{self.elapsed():6.1f} s  settled; comparing")

    def _waited_for(self, story: Story) -> list[str]:
        """Commands without an answer, orders whose end is still to come, money that came back and nobody said so."""
        booked = {one.creditor: one.booked for one in self._executed(3_600_000)}
        waited_for = self._ears.unanswered()
        waited_for += [
            order for order, creditor in self._ears.open_orders() if not self._will_stay(order, creditor, booked)
        ]
        back = (order.id for order in story.orders if booked.get(order.creditor) is Booked.RETURNED)
        return waited_for + [order for order in back if self._ears.state(order) not in (State.RETURNED, State.REVERSED)]

    def _will_stay(self, order: str, creditor: str, booked: Mapping[str, Booked]) -> bool:
        """In doubt for a while, and the bank never got it: "not found" is no verdict, so nothing moves it now."""
        told = self._ears.told.get(order)
        if told is None or told[1] is not State.IN_DOUBT or self.elapsed() - told[2] < DOUBT_S:
            return False
        return creditor not in booked

    def _executed(self, later_ms: int = 0) -> list[Executed]:
        at_ms, site = self._clock.now_ms() + later_ms, self._grounds.site
        return [one for bank in self._grounds.banks for one in demo_evidence.executed(bank, site.ledger(bank), at_ms)]

    async def _leave(self) -> None:
        for node in self._grounds.nodes:
            node.child.signal(signal.SIGTERM)
        until_s = self._clock.monotonic_s() + LEAVE_S
        while self._clock.monotonic_s() < until_s and any(node.child.ended() is None for node in self._grounds.nodes):
            await sleep(self._clock, 0.05)

    # ---- the verdict ----

    def _judge(self, story: Story, erp: Erp, clerk: Clerk) -> bool:
        first, lasted_s = self._grounds.nodes[0], self.elapsed()
        books = compare.read_journal(self._wishes.journal.open_url(first))
        faults = self._faults()
        result = compare.compare(story, erp.heard, clerk.unrouted, self._executed(), books, self._diary.kills, faults,
                                 list(self._defects()))  # fmt: skip
        for incident in self._diary.incidents:
            incident.doubted = len(_between(books.doubted_ms, incident))
        facts = report.Facts(
            result=result, incidents=self._diary.incidents, lasted_s=lasted_s,
            timelines=[list(self._timeline(incident, books)) for incident in self._diary.incidents],
            stories=list(self._stories(result)), rules=books.rules, environment=self._environment(),
            again=self._wishes.again(),
        )  # fmt: skip
        self._wishes.report.write_text(report.html(facts), "utf-8")
        for finding in result.findings[:20]:
            self.say(f"  {finding.wrong.value}: {finding.about}: {finding.text}")
        self.say(f"report: {self._wishes.report}   everything else: {self._wishes.folder}")
        self.say(result.verdict.breakdown())
        self.say(result.last_line())
        return result.holds

    def _faults(self) -> Counter[str]:
        faults = Counter(
            incident.kind for incident in self._diary.incidents if not incident.lives and incident.detail != "not met"
        )
        faults["crash loop"] = sum(incident.kind == "crash loop" for incident in self._diary.incidents)
        faults["delivered again"] = self._repeats
        for bank in self._grounds.banks:
            self._grounds.tally(bank)
        for name, count in self._grounds.tallied.items():
            faults[f"bank: {name}"] += count
        return faults

    def _defects(self) -> Iterator[Finding]:
        """A lane that stops is loud and safe, but nobody wants it. Losing a lease to another node is right."""
        for node in self._grounds.nodes:
            for text in demo_evidence.defects(node.child.log):
                if not ("lease_lost" in text and len(self._grounds.nodes) > 1):
                    yield Finding(Wrong.DISAGREES, node.child.name, text)

    def _timeline(self, incident: Incident, books: compare.Books) -> Iterator[report.Moment]:
        yield report.Moment(0.0, f"{incident.kind}: {incident.target} {incident.detail}")
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

    def _stories(self, result: compare.Result) -> Iterator[tuple[str, str, list[demo_evidence.Step]]]:
        if self._wishes.journal.url is not None:
            return
        state = self._grounds.nodes[0].site.state
        doubted = demo_evidence.doubted(state)
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
        files = demo_evidence.files_of_payments(state, key, keys)
        for why, (order, payment) in wanted.items():
            yield why, order, files[payment]

    def _environment(self) -> dict[str, str]:
        url = self._wishes.journal.url
        return {
            "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs",
            "Python": platform.python_version(),
            "journal": "SQLite" if url is None else url.partition(":")[0],
            "daemons": str(len(self._grounds.nodes)),
            "broker": f"RabbitMQ, virtual host {self._broker['vhost']}",
            "banks": ", ".join(self._grounds.banks),
        }


class Ears:
    """What the ERP has heard so far: the newest word on each order, and which commands are answered."""

    def __init__(self, elapsed: Any, diary: Diary) -> None:
        self.heard = 0
        self.told: dict[str, tuple[int, State, float]] = {}
        self._elapsed = elapsed
        self._diary = diary
        self._rejected: set[str] = set()
        self._answered: set[str] = set()
        self._orders: dict[str, str] = {}
        self._commands: dict[str, Command] = {}
        self._clerk: Clerk | None = None

    def listen_for(self, story: Story, clerk: Clerk) -> None:
        """What is to be heard."""
        self._orders = {order.id: order.creditor for order in story.orders}
        self._commands = {command.message_id: command for command in story.commands}
        self._clerk = clerk

    def take(self, one: Heard) -> None:
        """The ERP heard something new."""
        self.heard += 1
        self._diary.heard()
        if is_news(one):
            order, seq = str(one.said["id"]), int(one.said["seq"])
            if order not in self.told or self.told[order][0] < seq:
                self.told[order] = (seq, State(one.said["state"]), self._elapsed())
        if one.where is not Answer.EVENT or one.name == "payment.accepted":
            self._answered.add(one.correlation)
            if "error" in one.said and one.correlation in self._commands:
                self._rejected.add(self._commands[one.correlation].order_id)

    def answered(self, command: Command) -> bool:
        """Whether this command has an answer."""
        return command.message_id in self._answered

    def _all_answers(self) -> set[str]:
        assert self._clerk is not None
        return self._answered | {one.correlation for one in self._clerk.unrouted}

    def unanswered(self) -> list[str]:
        """Commands without an answer."""
        return sorted(self._commands.keys() - self._all_answers())

    def state(self, order: str) -> State | None:
        """What the ERP was last told of an order."""
        told = self.told.get(order)
        return None if told is None else told[1]

    def open_orders(self) -> list[tuple[str, str]]:
        """Orders, with their payee's account, that may reach a bank and of which the ERP knows no end."""
        rejected = self._rejected | self._rejected_unrouted()
        return [
            (id_, creditor) for id_, creditor in self._orders.items()
            if not (id_ in self.told and STATE_TABLE[self.told[id_][1]].final)
            and (id_ in self.told or id_ not in rejected)
        ]  # fmt: skip

    def _rejected_unrouted(self) -> set[str]:
        """Refusals that found their reply queue deleted: they lie where the ERP's people find them."""
        assert self._clerk is not None
        return {
            self._commands[one.correlation].order_id for one in self._clerk.unrouted
            if "error" in one.said and one.correlation in self._commands
        }  # fmt: skip

    def line(self) -> str:
        """How far it is."""
        states = Counter(state.value for _seq, state, _at in self.told.values())
        words = "  ".join(f"{name} {count}" for name, count in sorted(states.items()))
        return f"answered {len(self._all_answers() & self._commands.keys())}/{len(self._commands)}  {words}"


def _plan(plan: rig.BankPlan, wishes: Wishes) -> rig.BankPlan:
    if wishes.dedup:
        return plan
    return rig.BankPlan(plan.bank, plan.accounts, plan.options, plan.twin_options, plan.faults,
                        {**plan.conduct, "dedup": False}, plan.lane, plan.cheap)  # fmt: skip


def _between(at_ms: tuple[int, ...], incident: Incident) -> tuple[int, ...]:
    """The moments that fall within an incident and its aftermath."""
    until_ms = incident.at_ms + int((incident.until_s - incident.at_s) * 1000) + AFTERMATH_MS
    return at_ms[bisect_left(at_ms, incident.at_ms) : bisect_left(at_ms, until_ms)]

