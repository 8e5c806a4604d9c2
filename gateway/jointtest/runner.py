"""Plays the cases of a round: selects and orders them, resumes those of an earlier day, and never repeats an order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore

from gateway.jointtest import evidence, plays, plays_days, plays_questions, plays_steps, production, trail, twin_clock
from gateway.jointtest.amounts import OverCap
from gateway.jointtest.cases import STEPS_PLAY, Case, StepKind
from gateway.jointtest.fillings import NoSuchValue
from gateway.jointtest.lane_exchanges import LaneExchanges
from gateway.jointtest.player import CHINA, XML, Player, RunContext
from gateway.jointtest.plays import CasePlay
from gateway.jointtest.run_store import CaseAttempt, Run
from gateway.jointtest.verdicts import DECIDED, CaseFinding, CaseVerdict, ConditionCause, SeenAt
from gateway.simbank import control_line
from gateway.simbank.control_line import NobodyListens

PLAYS: Mapping[str, CasePlay] = {
    "order": plays.order,
    "batch": plays.batch,
    "status": plays.status,
    "validate": plays.validate,
    "withdraw": plays.withdraw,
    "later": plays.withdraw,
    "left-in-doubt": plays.left_in_doubt,
    "alike": plays.alike,
    "line-down": plays.line_down,
    "answer-lost": plays.answer_lost,
    "silent-probe": plays.silent_probe,
    "window": plays.window,
    "queue": plays.queue,
    "production": production.give,
    "next-day": plays_days.next_day,
    "certificate": plays.certificate,
    "hand": plays.hand,
    "probe": plays_questions.probe,
    "balance": plays_questions.balance,
    "balance-moves": plays_questions.balance_moves,
    "entries": plays_questions.entries,
    "pages": plays_questions.pages,
    "no-entries": plays_questions.no_entries,
    "bad-cursor": plays_questions.bad_cursor,
    "unknown-order": plays_questions.unknown_order,
    "receipt": plays_days.receipt,
    "directory": plays_questions.directory,
    STEPS_PLAY: plays_steps.steps,
}
_TOGETHER = frozenset({"order", "batch"})
_AT_ONCE = 6
OnEnd = Callable[[Case, CaseFinding], None]


def wanted(run: Run, cases: Sequence[Case], round_: int, chosen: Iterable[str] = ()) -> list[Case]:
    """The cases to play now: the chosen ones, else all that this round has not decided yet.

    Raises ValueError for a name that no case has.
    """
    names = tuple(chosen)
    unknown = set(names) - {case.id for case in cases}
    if unknown:
        raise ValueError(f"no case is called {', '.join(sorted(unknown))}")
    if names:
        return [case for case in cases if case.id in names]
    standing = run.of_round(round_)
    return [case for case in cases if _undecided(standing.get(case.id))]


def _undecided(one: CaseAttempt | None) -> bool:
    return one is None or one.finding.verdict in (CaseVerdict.OPEN, CaseVerdict.WAITING, CaseVerdict.BLOCKED)


def _is_begun(one: CaseAttempt) -> bool:
    """Whether a try goes on instead of beginning anew: it published, or waits, or has passed steps."""
    return bool(one.published or one.steps) or one.finding.verdict is CaseVerdict.WAITING


class Runner:
    """Plays the cases of a run. `world` has the values that all tries share."""

    def __init__(self, world: RunContext, cases: Sequence[Case], on_end: OnEnd) -> None:
        self._world = world
        self._cases = cases
        self._on_end = on_end
        self._exchanges = LaneExchanges(world)

    async def play(self, chosen: Iterable[str] = ()) -> None:
        """Play the chosen cases. Cases about single orders run side by side; the others one by one."""
        run = self._world.store.run
        await twin_clock.back(self._world)
        await self._line_up(run)
        names = tuple(chosen)
        todo = wanted(run, self._cases, run.rounds, names)
        fresh: list[Case] = []
        for case in todo:
            before = run.latest(case.id, run.rounds)
            if not names and before is not None and _is_begun(before):
                await self._go_on(case, before)
            else:
                fresh.append(case)
        # A twin's clock can be put back only while its books are empty, so the cases about a past day come first.
        for case in sorted((one for one in fresh if one.play in _DAYS), key=lambda one: one.play != "next-day"):
            await self._one(case)
        await self._side_by_side([case for case in fresh if _is_together(case)])
        for case in fresh:
            if not _is_together(case) and case.play not in _DAYS:
                await self._one(case)

    async def _line_up(self, run: Run) -> None:
        """Have the relay pass everything, if an interrupted session may have left it cutting."""
        relay = self._world.plan.told.relay
        if relay is not None and any(one.ended is None for one in run.tries):
            with suppress(NobodyListens):
                await self._world.elsewhere(control_line.tell, self._world.plan.path(relay.control), {"do": "pass"})

    async def _side_by_side(self, cases: Sequence[Case]) -> None:
        doors = DeferredSemaphore(_AT_ONCE)
        playing = [doors.run(self._begun, case) for case in cases]
        await DeferredList(playing, fireOnOneErrback=True, consumeErrors=True)

    def _begun(self, case: Case) -> Deferred[None]:
        return Deferred.fromCoroutine(self._one(case))

    async def _one(self, case: Case) -> None:
        """Play a new try of one case."""
        world = self._world
        one = world.store.start(case.id)
        ahead = self._ahead(case)
        if ahead is not None:
            world.store.end(one, ahead)
            await self._tell_trail(case)
            self._on_end(case, ahead)
            return
        await self._played(case, one, PLAYS[case.play])

    def _ahead(self, case: Case) -> CaseFinding | None:
        """The verdict for a case that cannot be played in this place; None for all others."""
        plan = self._world.plan
        if case.lacks:
            return CaseFinding(CaseVerdict.NOT_APPLICABLE, case.lacks)
        if plan.seen not in case.seen:
            whose = "only a twin can show this" if case.by_twin_only else "only the bank can show this"
            return CaseFinding(CaseVerdict.NOT_APPLICABLE, f"{whose}; it does not count as the other's")
        if plan.production and case.play != "production":
            return CaseFinding(CaseVerdict.BLOCKED, "cases move money in test environments only; this is production")
        if (case.cause is ConditionCause.PROXY or _cuts_line(case)) and plan.told.relay is None:
            return CaseFinding(CaseVerdict.OPEN, "no relay stands on the line: `bankgw joint-test relay`, then [relay]")
        triggers = [one for one in (case.trigger, *(step.trigger for step in case.script)) if one]
        unknown = next((one for one in triggers if one not in plan.told.triggers), "")
        has_fault = bool(case.fault) or any(step.fault for step in case.script)
        if plan.seen is SeenAt.BANK and has_fault:
            return CaseFinding(CaseVerdict.BLOCKED, "the bank makes this fault: agree on a time and record it by hand")
        if plan.seen is SeenAt.BANK and unknown:
            return CaseFinding(CaseVerdict.BLOCKED, f"the bank has not said what makes it {unknown}: [triggers]")
        if case.kind == "transfer" and len(plan.told.accounts) < 2:
            return CaseFinding(CaseVerdict.BLOCKED, "the bank has given us one account only; a transfer needs two")
        return None

    async def _played(self, case: Case, one: CaseAttempt, play: CasePlay) -> None:
        world = self._world
        player = Player(world, case, one, 1 + world.store.run.cases.index(case.id))
        offset = self._offset()
        try:
            finding = await play(player)
        except NoSuchValue as error:
            finding = CaseFinding(CaseVerdict.NOT_APPLICABLE, str(error))
        except OverCap as error:
            finding = CaseFinding(CaseVerdict.BLOCKED, f"not sent: {error}")
        except NobodyListens as error:
            finding = CaseFinding(CaseVerdict.OPEN, str(error))
        if case.play != "hand" and finding.verdict not in (CaseVerdict.NOT_APPLICABLE, CaseVerdict.OPEN):
            finding = CaseFinding(finding.verdict, finding.why, finding.until, finding.owner, world.plan.seen)
        await evidence.collect(player, finding, offset, alone=not _is_together(case))
        await self._exchanges.record(player.folder)
        world.store.end(one, finding, player.facts)
        await self._tell_trail(case)
        self._on_end(case, finding)

    async def _tell_trail(self, case: Case) -> None:
        """Write the verdict into the gateway's audit trail. Without it the run goes on, and its journal says so."""
        world, run = self._world, self._world.store.run
        one = run.latest(case.id)
        assert one is not None
        entry = trail.entry_about(one)
        why = await world.elsewhere(trail.tell, world.desk, run, entry)
        if why:
            world.store.act(trail.MISSED, world.by, attempt=one.name, why=why)

    def _offset(self) -> int:
        access = self._world.plan.told.twin
        if access is None or access.exchanges is None:
            return 0
        file = self._world.plan.path(access.exchanges)
        return file.stat().st_size if file.exists() else 0

    # ---- going on with what an earlier life or day began ----

    async def _go_on(self, case: Case, before: CaseAttempt) -> None:
        """Resume a case without a new order: ask for the result of its orders, or play its second half."""
        world = self._world
        if case.play == "hand" or (case.play == "certificate" and world.hooks is None):
            self._on_end(case, before.finding)
            return
        if before.finding.verdict is CaseVerdict.WAITING and case.play in _DAYS and not self._is_due(before.finding):
            self._on_end(case, before.finding)
            return
        is_second = before.finding.verdict is CaseVerdict.WAITING or case.play == STEPS_PLAY
        second = _SECONDS.get(case.play) if is_second else None
        await self._played(case, before, second or self._asked_again)

    def _is_due(self, finding: CaseFinding) -> bool:
        """Whether the day for which a waiting case waits has come. A business date that was set by hand and lies ahead
        counts as that day."""
        until, now = finding.until, self._world.now()
        assert until is not None
        today: date = self._world.today()
        is_ahead = today > now.astimezone(CHINA).date()
        return bool(now >= until or (is_ahead and today >= until.astimezone(CHINA).date()))

    async def _asked_again(self, player: Player) -> CaseFinding:
        """The gateway's present answer about each published order.

        An order that never arrived is published again, byte for byte under the same message id, because the gateway
        takes a message id once.
        """
        states = []
        expect = player.case.expect
        right = frozenset(expect.items or expect.states)
        for number, command in enumerate(player.one.published, start=1):
            for order in command["orders"]:
                reply = await player.ask("status.query", {"id": order["id"]})
                if reply is not None and reply.code == "unknown_payment":
                    await self._again(player, number, command)
                    await player.heard_of(order["id"])
                states.append(await player.standing(order["id"], right))
        if states and all(state in right for state in states):
            return CaseFinding(CaseVerdict.PASSED, f"asked again: {' '.join(states)}")
        if player.one.finding.verdict is CaseVerdict.WAITING:
            return player.one.finding
        said = " ".join(states) or "nothing was published"
        return CaseFinding(CaseVerdict.FAILED, f"interrupted; asked again: {said}")

    @staticmethod
    async def _again(player: Player, number: int, command: Mapping[str, Any]) -> None:
        for end, content_type in (("json", "application/json"), ("xml", XML)):
            file: Path = player.folder / f"command-{number}.{end}"
            if file.exists():
                await player.world.line.publish(command["message_id"], command["key"], file.read_bytes(), content_type)


_SECONDS: Mapping[str, CasePlay] = {
    "next-day": plays_days.second_day,
    "receipt": plays_days.receipt_of,
    "production": production.go_on,
    STEPS_PLAY: plays_steps.go_on,
}
_DAYS = frozenset({"next-day", "receipt"})
"""Plays whose second half asks about a day that must be over."""


def _is_together(case: Case) -> bool:
    return case.play in _TOGETHER and not case.exclusive


def _cuts_line(case: Case) -> bool:
    return any(one.do is StepKind.LINE for one in case.script)


def undecided_cases(run: Run, cases: Sequence[Case]) -> list[str]:
    """The cases that prevent the close of a run: neither passed, nor inapplicable, nor waived, in any round."""
    standing = run.standing()
    return [case.id for case in cases if case.id not in standing or standing[case.id].finding.verdict not in DECIDED]


def restore_purse(world: RunContext) -> None:
    """Count the orders that the run published earlier against its caps."""
    for one in world.store.run.tries:
        for command in one.published:
            for order in command["orders"]:
                world.purse.count(order["account"], order["kind"], order["minor"])


def last_line(findings: Mapping[str, CaseFinding], pack: Path | None) -> str:
    """The line that `bankgw joint-test run` ends with."""
    counts = {verdict: sum(one.verdict is verdict for one in findings.values()) for verdict in CaseVerdict}
    waived = f", {counts[CaseVerdict.WAIVED]} waived" if counts[CaseVerdict.WAIVED] else ""
    left = f", {counts[CaseVerdict.OPEN]} not played" if counts[CaseVerdict.OPEN] else ""
    return (
        f"joint-test: {len(findings)} cases: {counts[CaseVerdict.PASSED]} passed, {counts[CaseVerdict.FAILED]} failed, "
        f"{counts[CaseVerdict.WAITING]} waiting, {counts[CaseVerdict.BLOCKED]} blocked, "
        f"{counts[CaseVerdict.NOT_APPLICABLE]} not applicable{waived}{left}, pack {'-' if pack is None else pack}"
    )
