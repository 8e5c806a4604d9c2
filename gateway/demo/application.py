"""`bankgw demo`: payments through the real daemon, broker and faulty simulated banks. It ends with a report and a line
of figures.

RabbitMQ is used as `.run/broker.json` (or $BANKGW_BROKER_JSON) describes it, with a virtual host of the demo's own. The
demo makes a temporary PKI, and runs simulated banks and the daemon as separate processes. All of them are bound to the
loopback. Exit code 0 only if no record disagrees with another.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from twisted.internet.defer import CancelledError, Deferred, FirstError
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from gateway.control.client import ControlClient, NoDaemon, Refused
from gateway.demo import approvals as demo_approvals
from gateway.demo import broker as demo_broker
from gateway.demo import (
    end_of_day,
    evidence,
    finance,
    findings,
    pool_sweeps,
    processes,
    stage,
    sums,
    vouchers,
    web_pages,
)
from gateway.demo import report as demo_report
from gateway.demo import site as demo_site
from gateway.demo.asking import CommandSender
from gateway.demo.board import Board
from gateway.demo.erp import BrokerAdmin, BrokerTrouble, Erp, ReceivedNews
from gateway.demo.finance import DemoFinance
from gateway.demo.orders import Story, write_story
from gateway.demo.own_vhost import kept_vhost, own_vhost
from gateway.demo.play import Play
from gateway.demo.processes import Child, NotStarted
from gateway.demo.report import KillRow, PromiseCheck, ReportFacts
from gateway.demo.texts import LanguageTexts, phrase
from gateway.demo.timeline_picture import Timeline
from gateway.demo.verdict import Executed, Journalled, Verdict, is_news, judge
from gateway.kernel import signals
from gateway.kernel.clock import Clock, SystemClock, keep_steady
from gateway.kernel.tasks import sleep
from gateway.language import Lang, lang_of
from gateway.settings import socket_of
from gateway.settings.agreement import TREASURY
from protocols import trial

EXIT_AGREES, EXIT_DISAGREES, EXIT_USAGE, EXIT_UNAVAILABLE, EXIT_INTERRUPTED = 0, 1, 2, 69, 130
QUESTIONS = 20
REPORT = "demo-report.html"
_KEPT_RUNS = 3
_STOP_S = 25.0
_READY_S = 60.0
_PATH_BYTES = 80
_VERSIONS = ("twisted", "pika", "sqlalchemy", "lxml", "xmlsec", "pyopenssl", "cryptography")


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The options of the command line."""

    seed: int
    orders: int
    kills: int
    banks: tuple[str, ...]
    folder: Path
    report: Path
    lang: Lang = "en"
    approvals: bool = False
    pages_minutes: float = 0.0

    def again(self) -> str:
        """The command that publishes the same orders."""
        words = f"bankgw demo --seed {self.seed} --orders {self.orders} --kills {self.kills}"
        more = f"{' --approvals' if self.approvals else ''}{'' if self.lang == 'en' else f' --lang {self.lang}'}"
        return f"{words} --banks {','.join(self.banks)}{more}"


def main(
    seed: int,
    orders: int | None,
    folder: Path | None,
    report: Path | None,
    banks: str,
    kills: int = 3,
    reactor: Any = None,
    lang: Lang | None = None,
    approvals: bool = False,
    pages_minutes: float = 0.0,
) -> int:
    """Play the demo and return the exit code.

    `orders` None: as many as these banks carry out in a minute or two. `lang` None: the environment's LANG decides.
    `approvals`: with an approval policy in force. `pages_minutes`: how long the web pages run after the demo's run.

    Without `reactor` a new reactor is made. The reactor is run and stopped.
    """
    console = Console()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    chosen = trial.banks() if banks == "all" else tuple(name.strip() for name in banks.split(",") if name.strip())
    unknown = [name for name in chosen if name not in trial.banks()]
    count = stage.orders(chosen) if orders is None and chosen and not unknown else orders or 0
    if unknown or not chosen or count < 1 or kills < 0:
        known = ", ".join((*trial.banks(), "or all"))
        say(f"demo: banks are {known}; at least one order; no fewer than 0 kills")
        return EXIT_USAGE
    with ExitStack() as stack:
        try:
            described = read_broker(stack.enter_context(_broker_file()))
            place = folder or _fresh_folder()
            wishes = DemoOptions(
                seed,
                count,
                kills,
                chosen,
                place,
                report or (folder / REPORT if folder else Path(REPORT)),
                lang or lang_of(os.environ),
                approvals,
                pages_minutes,
            )
            _check_folder(place)
            wishes.report.absolute().parent.mkdir(parents=True, exist_ok=True)
            if folder is None:
                broker = stack.enter_context(own_vhost(described, "demo"))
            else:
                broker = kept_vhost(described, folder)
                demo_site.describe(folder, broker)
        except (BrokerTrouble, demo_broker.NoBroker, OSError) as error:
            say(f"demo: {error}")
            return EXIT_UNAVAILABLE
        return _run(reactor or _own_reactor(), wishes, broker, console)


@contextmanager
def _broker_file() -> Iterator[Path]:
    """The file that describes the broker: that of a checkout or in $BANKGW_BROKER_JSON; else that of a broker for this
    demo."""
    named = os.environ.get("BANKGW_BROKER_JSON")
    file = Path(named or Path(".run") / "broker.json")
    if named or file.exists():
        yield file
    else:
        with demo_broker.own_broker() as own:
            yield own


def read_broker(file: Path) -> dict[str, Any]:
    """The broker's description. Raises BrokerTrouble with the remedy if there is none."""
    try:
        broker: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise BrokerTrouble(
            f"{file} does not exist; it must describe a RabbitMQ broker. Unset BANKGW_BROKER_JSON, or "
            f"run `make demo` in a checkout, which makes such a file"
        ) from None
    host = str(broker["host"])
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise BrokerTrouble(f"the demo speaks to brokers on this machine only, not to {host}")
    return broker


def _own_reactor() -> Any:
    """A reactor for this call only, so that the process may have another one."""
    try:
        from twisted.internet.epollreactor import EPollReactor as Reactor
    except ImportError:  # not Linux
        from twisted.internet.selectreactor import SelectReactor as Reactor
    reactor = Reactor()
    keep_steady(reactor)
    return reactor


def _fresh_folder() -> Path:
    """A new folder for this run: in .run/ of a checkout, else in the system's temporary folder. Folders of older runs
    are deleted."""
    if not Path(".run").is_dir():
        return Path(tempfile.mkdtemp(prefix="bankgw-demo-"))
    parent = Path(".run") / "demo"
    parent.mkdir(exist_ok=True, mode=0o700)
    for old in sorted(path for path in parent.iterdir() if path.is_dir())[: -_KEPT_RUNS + 1]:
        shutil.rmtree(old, ignore_errors=True)
    folder = parent / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}"
    folder.mkdir(mode=0o700)
    return folder.absolute()


def _check_folder(folder: Path) -> None:
    if len(os.fsencode(folder.absolute())) > _PATH_BYTES:
        raise OSError(f"the path of {folder} is too long for the sockets in it; name a shorter --folder")
    if folder.exists() and any(folder.iterdir()):
        raise OSError(f"{folder} is not empty, perhaps from an earlier run; name another --folder or remove it")


def _run(reactor: Any, wishes: DemoOptions, broker: Mapping[str, Any], console: Console) -> int:
    codes: list[int] = []
    demo = Demo(reactor, SystemClock(reactor), wishes, broker, console)

    def begin() -> None:
        playing = Deferred.fromCoroutine(demo.play())
        signals.listen(reactor, (signal.SIGINT, signal.SIGTERM), lambda _: playing.cancel())
        playing.addCallbacks(codes.append, lambda failure: codes.append(_explain(failure, demo.say)))
        playing.addBoth(lambda _: reactor.stop())

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        reactor.callWhenRunning(begin)
        reactor.run(installSignalHandlers=False)
    finally:
        demo.end_children()
        for number, old in before.items():
            signal.signal(number, old)
    return codes[0] if codes else EXIT_INTERRUPTED


def _explain(failure: Failure, say: Callable[[str], None]) -> int:
    error: object = failure.value
    while isinstance(error, FirstError):
        error = error.subFailure.value
    if isinstance(error, CancelledError):
        say("demo: interrupted; everything it started is being stopped")
        return EXIT_INTERRUPTED
    if isinstance(error, (BrokerTrouble, NotStarted, stage.SimulatorSilent)):
        say(f"demo: {error}")
        return EXIT_UNAVAILABLE if isinstance(error, BrokerTrouble) else EXIT_DISAGREES
    say(failure.getTraceback())
    return EXIT_DISAGREES


class Demo:
    """One run: sets the site up, plays, compares, reports. `end_children` may be called at any time."""

    def __init__(
        self, reactor: Any, clock: Clock, wishes: DemoOptions, broker: Mapping[str, Any], console: Console
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._wishes = wishes
        self._broker = broker
        self._board = Board(console)
        self.say = self._board.say
        self._started = datetime.fromtimestamp(clock.now_ms() / 1000, UTC)
        self._started_s = clock.monotonic_s()
        self._run_key = secrets.token_hex(3)
        self._simulators: dict[str, Child] = {}
        self._approver: demo_approvals.Approver | None = None
        command = processes.gateway_command(wishes.folder / "bankgw.toml")
        self._daemon = Child("daemon", command, wishes.folder / "daemon.log")
        self._pages = web_pages.free_ports() if wishes.pages_minutes else None

    def elapsed(self) -> float:
        """Seconds since the start of the demo."""
        return self._clock.monotonic_s() - self._started_s

    def end_children(self) -> None:
        """Stop everything that was started, by process id."""
        self._board.close()
        processes.stop_all([*self._simulators.values(), self._daemon], 5.0)

    async def play(self) -> int:
        """Run the demo from the setup to its last line; returns the exit code."""
        wishes, banks = self._wishes, self._wishes.banks
        site = demo_site.prepare(wishes.folder, stage.plans(banks, wishes.seed))
        self._start_simulators(site)
        clerk = BrokerAdmin(self._reactor, self._broker, self._clock, self.elapsed)
        await clerk.empty()
        await self._simulators_ready(site)
        user = self._broker["users"]["erp-demo"]["user"]
        maker = demo_approvals.MAKER if wishes.approvals else ""
        more = (demo_approvals.APPROVE,) if wishes.approvals or self._pages is not None else ()
        ledger = DemoFinance(self._clock, site, banks, wishes.report.absolute())
        senders = {**stage.senders(user, banks, (*more, *finance.OPERATIONS)), TREASURY: pool_sweeps.treasury(banks)}
        tables = {**ledger.settings(), **({} if self._pages is None else self._pages.settings())}
        demo_site.configure(site, self._broker, senders, watch_port=0, more=tables)
        story = write_story(
            wishes.seed,
            wishes.orders,
            min(max(QUESTIONS, 3 * len(banks)), wishes.orders),
            stage.stage(banks, self._run_key, datetime.now(UTC), maker),
        )
        self._board.say(
            f"{self.elapsed():6.1f} s  {len(story.orders)} orders in {len(story.commands)} commands, "
            f"seed {wishes.seed}; banks {', '.join(banks)}; {clerk.thrown_away} old messages thrown away"
        )
        erp = Erp(self._reactor, self._broker, self._clock, self._run_key, self.elapsed, self._on_heard)
        play = Play(
            self._reactor,
            self._clock,
            self._board,
            story,
            site,
            self._daemon,
            erp,
            clerk,
            self._started_s,
            wishes.seed,
            wishes.kills,
        )
        self._play = play
        try:
            await clerk.watch()
            await erp.start()
            self._approver = self._approver_of(site, erp)
            ledger.prepare()
            self._daemon.start()
            await play.run()
            await self._ask_again(site)
            evening = await self._evening(site, erp, story, ledger)
            leaks = self._leaks(site, story)
            stopped = await self._stop_daemon()
            await erp.silence(0.5, 5.0)
        finally:
            if self._approver is not None:
                self._approver.end()
            await erp.close()
            await clerk.close()
        leaks += self._leaks(site, story)
        code = self._compare(site, story, erp, clerk, leaks, (evening.check, stopped), ledger)
        await self._serve_pages(site)
        return code

    async def _evening(self, site: demo_site.Site, erp: Erp, story: Story, ledger: DemoFinance) -> end_of_day.EndOfDay:
        """The demo's end, when the banks commit no more faults: run the pools, ask for statements, submit books, make
        reports."""
        asking = CommandSender(self._clock, erp, f"{self._run_key}-evening")
        await ledger.sweep()
        evening = end_of_day.EndOfDay(self._clock, asking, self._branches(site), site)
        await evening.ask(self._wishes.banks)
        await ledger.books(asking, story, vouchers.told(erp.heard))
        await ledger.reports(asking)
        return evening

    async def _serve_pages(self, site: demo_site.Site) -> None:
        """Serve the web pages with the results of the run, if the options ask for them."""
        if self._pages is None:
            return
        run, pool = f"{self._run_key}p", self._reactor.getThreadPool()
        erp = Erp(self._reactor, self._broker, self._clock, run, self.elapsed, lambda _one: None)
        wish = web_pages.PagesRequest(
            site, self._wishes.banks, erp, run, self._wishes.pages_minutes, self._wishes.approvals
        )
        await web_pages.serve(
            self._pages, wish, self._clock, lambda ask: deferToThreadPool(self._reactor, pool, ask), self._board.say
        )

    def _on_heard(self, one: ReceivedNews) -> None:
        self._play.on_heard(one)

    def _approver_of(self, site: demo_site.Site, erp: Erp) -> demo_approvals.Approver | None:
        if not self._wishes.approvals:
            return None
        pool, keys = self._reactor.getThreadPool(), demo_approvals.put_in_force(site.settings)
        return demo_approvals.Approver(
            self._clock,
            lambda ask: deferToThreadPool(self._reactor, pool, ask),
            socket_of(site.settings),
            erp,
            self._run_key,
            keys,
        )

    # ---- children ----

    def _start_simulators(self, site: demo_site.Site) -> None:
        for plan in site.plans:
            log = site.folder / f"simbank-{plan.bank}.log"
            child = Child(f"bank {plan.bank}", processes.simulator_command(site.simulator(plan.bank)), log)
            self._simulators[plan.bank] = child
            child.start()

    async def _simulators_ready(self, site: demo_site.Site) -> None:
        until_s = self._clock.monotonic_s() + _READY_S
        for bank, child in self._simulators.items():
            while not site.ready_file(bank).exists():
                if child.ended() is not None or self._clock.monotonic_s() > until_s:
                    raise NotStarted(f"the simulated bank {bank} did not start; its output:\n{child.tail()}")
                await sleep(self._clock, 0.05)

    async def _ask_again(self, site: demo_site.Site) -> None:
        """Have the bank asked again about the payment with the most enquiries, if the bank has a further
        answer by now.
        """
        control = ControlClient(socket_of(site.settings))
        for bank, order in evidence.longest_climbs(site.state).items():
            until_s = self._clock.monotonic_s() + float(trial.trial(bank).demo.get("ask_again_s", 0))
            known = self._climb(site, order)
            while self._clock.monotonic_s() < until_s and self._climb(site, order) == known:
                await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._enquire, control, order)
                await sleep(self._clock, 2.0)

    @staticmethod
    def _climb(site: demo_site.Site, order: str) -> str:
        return evidence.climb_of(site.state, _vault_key(site), order)

    def _enquire(self, control: ControlClient, order: str) -> None:
        try:
            control.post("orders", f"{stage.SENDER}:{order}", "enquire")
        except (NoDaemon, Refused) as error:
            self._board.say(f"{self.elapsed():6.1f} s  not asked again: {error}")

    def _branches(self, site: demo_site.Site) -> Callable[[str, str], Deferred[Any]]:
        """Ask a bank's directory of branches, in a way that does not delay the ERP."""
        control, pool = ControlClient(socket_of(site.settings)), self._reactor.getThreadPool()
        return lambda bank, text: deferToThreadPool(
            self._reactor, pool, lambda: control.get("directory", bank, name=text, limit=200)
        )

    async def _stop_daemon(self) -> PromiseCheck:
        """Stop the daemon in order, while the ERP still receives its last messages."""
        began_s = self._clock.monotonic_s()
        self._daemon.signal(signal.SIGTERM)
        while (ended := self._daemon.ended()) is None and self._clock.monotonic_s() - began_s < _STOP_S:
            await sleep(self._clock, 0.05)
        promise = phrase("the daemon leaves in order on SIGTERM")
        took = f"{self._clock.monotonic_s() - began_s:.1f} s"
        if ended is None:
            self._daemon.kill()
            return PromiseCheck(promise, False, phrase("still there after {took}; killed", took=took))
        return PromiseCheck(
            promise, ended.code == 0, phrase("exit code {code} after {took}", code=ended.code, took=took)
        )

    # ---- comparing ----

    def _compare(
        self,
        site: demo_site.Site,
        story: Story,
        erp: Erp,
        clerk: BrokerAdmin,
        leaks: list[evidence.LeakedSecret],
        ends: tuple[PromiseCheck, ...],
        ledger: DemoFinance,
    ) -> int:
        lasted_s, now_ms = self.elapsed(), self._clock.now_ms()
        banks = self._wishes.banks
        executed = [one for bank in banks for one in evidence.executed(bank, site.ledger(bank), now_ms)]
        swept, rows = pool_sweeps.of_pools(executed, ledger.pools), evidence.journalled(site.state, _vault_key(site))
        executions = [one for one in executed if one not in swept]
        journal = [row for row in rows if row.sender != TREASURY]
        counted = self._count_approvals(site, story, executions, journal)
        verdict = judge(story, [*erp.heard, *clerk.unrouted], executions, journal, counted.waiting)
        money = sums.sums(verdict, executions, journal)
        early = None if self._play.calm_ms is None else evidence.sent_before(site.state, self._play.calm_ms)
        tallies = {bank: stage.tell_simulator(site.control(bank), {"do": "report"}) for bank in banks}
        checks = (
            *findings.promises(verdict, executions, story),
            demo_report.money_check(money),
            findings.only_permitted_repeats(rows, tallies),
            findings.sound(self._daemon.log),
            pool_sweeps.check(
                ledger.pools, pool_sweeps.moves(site.state, _vault_key(site)), rows, swept, ledger.balances(now_ms)
            ),
            ledger.judge(story, rows, now_ms),
            *ends,
            *(() if self._approver is None else (self._approver.check(counted),)),
            demo_report.leak_check(leaks, len(self._scanned(site)), len(story.numbers) + len(story.names) + 2),
        )
        stories = tuple(findings.stories(site, verdict))
        facts = ReportFacts(
            seed=self._wishes.seed,
            banks=banks,
            started=self._started,
            lasted_s=lasted_s,
            commands=len(story.commands),
            published_s=self._play.published_s or 0.0,
            calm_s=self._play.calm_s,
            verdict=verdict,
            checks=checks,
            sorts=findings.by_sort(verdict),
            faults=tuple(findings.fault_rows(site, verdict, tallies, early)),
            kills=tuple(self._kill_rows(site)),
            questions=findings.answers_to_questions(story, erp.heard),
            parked=Counter(one.code for one in clerk.parked),
            repeats=erp.repeats,
            stories=stories,
            environment=_environment(self._wishes, self._broker),
            again=self._wishes.again(),
            money=money,
            beside=tuple(file.name for file in ledger.files),
            timeline=self._timeline(erp.heard, lasted_s),
        )
        self._wishes.report.write_text(demo_report.html(facts, self._wishes.lang), "utf-8")
        last_words = ledger.reconciliation.last_words() + ("" if self._approver is None else counted.last_words())
        self._tell(verdict, checks, stories, last_words)
        return EXIT_AGREES if all(check.holds for check in checks) else EXIT_DISAGREES

    def _count_approvals(
        self, site: demo_site.Site, story: Story, executions: Sequence[Executed], journal: Sequence[Journalled]
    ) -> demo_approvals.ApprovalCount:
        if self._approver is None:
            return demo_approvals.ApprovalCount()
        requests = demo_approvals.signed_requests(site.state, _vault_key(site), self._approver.keys)
        return demo_approvals.count(story.orders, journal, {one.creditor for one in executions}, requests)

    def _tell(
        self,
        verdict: Verdict,
        checks: tuple[PromiseCheck, ...],
        stories: tuple[demo_report.PaymentStory, ...],
        last_words: str,
    ) -> None:
        self._board.close()
        say, words = self._board.say, LanguageTexts(self._wishes.lang)
        for finding in verdict.findings[:20]:
            say(f"  {finding.wrong.value}: {finding.about}: {finding.text}")
        if len(verdict.findings) > 20:
            say(f"  … and {len(verdict.findings) - 20} more in the report")
        for check in checks:
            say(f"  {'ok ' if check.holds else 'NO '} {words(check.promise)}: {words(check.detail)}", 6)
        for story in stories:
            if story.why.startswith(demo_report.CLIMB):
                why = story.why.removeprefix(demo_report.CLIMB).strip()
                climb = evidence.climb(story.steps)
                say(f"  {words(demo_report.CLIMB)} {why}: {story.order_id}: {climb}")
        say(f"report: {self._wishes.report}   everything else: {self._wishes.folder}")
        say(words(verdict.breakdown()), 2)
        say(verdict.last_line() + last_words, 6)

    def _timeline(self, heard: Sequence[ReceivedNews], lasted_s: float) -> Timeline:
        play, first = self._play, dict[tuple[str, str], float]()
        for one in heard:
            if is_news(one):
                first.setdefault((str(one.said["payment"]), one.name), one.at_s)
        taken, settled = (
            tuple(at_s for (_payment, name), at_s in first.items() if name == f"payment.{word}")
            for word in ("accepted", "settled")
        )
        kills = tuple((kill.at_s, kill.heard_s) for kill in play.kills)
        return Timeline(lasted_s, taken, settled, tuple(play.faults), kills, play.calm_s)

    def _scanned(self, site: demo_site.Site) -> list[Path]:
        return [*sorted(path for path in site.state.iterdir() if path.is_file()), self._daemon.log]

    def _leaks(self, site: demo_site.Site, story: Story) -> list[evidence.LeakedSecret]:
        told = (secret for bank in self._wishes.banks for secret in trial.trial(bank).credentials.values())
        # Words of up to four letters are left out, because they occur everywhere by chance.
        words = story.names | {str(self._broker["users"]["bankgw"]["password"])} | {one for one in told if len(one) > 6}
        return evidence.leaks(self._scanned(site), story.numbers, frozenset(words))

    def _kill_rows(self, site: demo_site.Site) -> Iterator[KillRow]:
        kills = self._play.kills
        next_ms = [*(kill.at_ms for kill in kills[1:]), self._clock.now_ms()]
        for kill, end_ms in zip(kills, next_ms, strict=False):
            yield KillRow(kill, evidence.taken_over(site.state, kill.at_ms, end_ms))


def _vault_key(site: demo_site.Site) -> Path:
    return site.folder / "secrets" / "vault.key"


def _environment(wishes: DemoOptions, broker: Mapping[str, Any]) -> dict[str, str]:
    return {
        "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs",
        "Python": platform.python_version(),
        "libraries": ", ".join(f"{name} {version(name)}" for name in _VERSIONS),
        "journal": f"SQLite {sqlite_version()}, synchronous=FULL",
        "broker": f"RabbitMQ at {broker['host']}:{broker['port']}, virtual host {broker['vhost']}",
        "banks": ", ".join(wishes.banks),
        "seed": str(wishes.seed),
    }


def sqlite_version() -> str:
    """The version of the SQLite library in use."""
    import sqlite3

    return sqlite3.sqlite_version
