"""Plays a case of one's own, step by step. Each step is judged at once; the first that is wrong ends the case.

The run's journal gets a mark before each step and one when it has passed, so that an interrupted case goes on at its
step. An order that was published is never published as a new one: the gateway is asked about it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from gateway.jointtest import plays, twin_clock
from gateway.jointtest.cases import Case, CaseStep, StepKind
from gateway.jointtest.player import COMMANDS, GivenOrder, Player
from gateway.jointtest.plays import failed, missing_words, passed
from gateway.jointtest.step_resume import ask_about, next_step, order_of_step, restore_orders, script_digest
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict
from gateway.kernel.tasks import sleep

StepPlay = Callable[[Player, CaseStep], Awaitable[CaseFinding]]
_WORDS: Mapping[str, str] = {"down": "refuse", "up": "pass", "swallow": "swallow"}


async def steps(player: Player) -> CaseFinding:
    """Play every step of the case. What a step did to the line, the bank's faults or its clock is undone at the end."""
    return await _played(player, 1)


async def go_on(player: Player) -> CaseFinding:
    """Continue a case that was interrupted, or that waits: at the first step that has not passed."""
    marks, script = player.one.steps, script_digest(player.case)
    if any(mark.get("script") != script for mark in marks.values()):
        return failed("the steps of the case were changed since it began; play it again with `run --case`")
    try:
        restore_orders(player)
    except OSError as error:
        return failed(f"a command that the run's journal names cannot be read: {error}")
    return await _played(player, next_step(player))


async def _played(player: Player, first: int) -> CaseFinding:
    whole, marks = player.case, player.one.steps
    said = [f"{number} {whole.script[number - 1].do.value}: {marks[number]['why']}" for number in range(1, first)]
    kinds = {one.do for one in whole.script}
    try:
        for number, step in _lasting(whole.script[: first - 1]):
            finding = await _STEPS[step.do](player, step)
            if finding.verdict is not CaseVerdict.PASSED:
                return replace(finding, why=f"step {number}, {step.do.value}, done again: {finding.why}")
        for number, step in enumerate(whole.script[first - 1 :], start=first):
            finding = await _step(player, whole, number, resumed=number == first and number in marks)
            if finding.verdict is not CaseVerdict.PASSED:
                return replace(finding, why=f"step {number}, {step.do.value}: {finding.why}")
            player.world.store.mark(player.one, number, why=finding.why)
            said.append(f"{number} {step.do.value}: {finding.why}")
    finally:
        player.case = whole
        if StepKind.LINE in kinds:
            await player.relay("pass")
        if StepKind.CLOCK in kinds:
            await twin_clock.back(player.world)
    return passed("; ".join(said))


async def _step(player: Player, whole: Case, number: int, *, resumed: bool) -> CaseFinding:
    step = whole.script[number - 1]
    # The plays of single orders judge by their case; each step is one.
    player.case = replace(
        whole,
        kind=step.kind,
        change=step.change,
        trigger=step.trigger,
        fault=step.fault,
        size=step.size,
        expect=step.expect,
    )
    if resumed:
        command = order_of_step(player, step, number)
        if command is not None:
            return await ask_about(player, player.one.steps[number], command)
        if step.fault:
            # The fault may still be asked for: then the twin would make it twice.
            await player.twin(do="calm")
    else:
        player.world.store.mark(player.one, number, published=player.published, script=script_digest(whole))
    if step.do is StepKind.ORDER:
        return await _order(player, step, number)
    return await _STEPS[step.do](player, step)


def _lasting(done: Sequence[CaseStep]) -> list[tuple[int, CaseStep]]:
    """The last step about the clock and the last about the line, because an interruption undoes both."""
    found = {step.do: (number, step) for number, step in enumerate(done, start=1)}
    return [found[kind] for kind in (StepKind.CLOCK, StepKind.LINE) if kind in found]


async def _order(player: Player, step: CaseStep, number: int) -> CaseFinding:
    """Give an order, with the step's fault and trigger, and judge its end if the step expects one."""
    one = player.order(step.kind)
    before = None
    if step.fault:
        before = await plays.strike(player, step.fault)
        player.world.store.mark(player.one, number, faults=dict(before))
    await player.publish(one)
    if step.expect.items:
        finding = await plays.items_judged(player, one)
    else:
        finding = await _end(player, one)
    return finding if before is None else await plays.struck(player, finding, before)


async def _end(player: Player, one: GivenOrder) -> CaseFinding:
    expect = player.case.expect
    if expect.states or expect.errors:
        return await plays.judged(player, one)
    line = player.world.line
    await line.until(lambda: bool(player.state(one) or player.codes(one)), player.patience_s)
    return await plays.booked(player, one, player.state(one) or " ".join(player.codes(one)) or "no answer")


async def _again(player: Player, step: CaseStep) -> CaseFinding:
    """Publish the last order's message once more; with `change`, another content under the same id."""
    one = _last(player)
    body = None
    if step.change:
        other = dict(one.fields) | {pointer.strip("/"): value for pointer, value in step.change.items()}
        body = json.dumps(other, ensure_ascii=False).encode()
    message = await player.publish(one, again=True, body=body)
    line, expect = player.world.line, step.expect
    if not await line.until(lambda: bool(line.answers(message)), player.patience_s):
        return failed(f"no answer within {player.patience_s:g} s")
    codes = [answer.code for answer in line.answers(message) if answer.code]
    if expect.errors and not set(codes) & set(expect.errors):
        return failed(f"no refusal {' or '.join(expect.errors)}; refusals: {codes or 'none'}")
    if expect.states and not await player.until_state(one, expect.states):
        return plays.undecided(player, one)
    return await plays.booked(player, one, " ".join(codes) or player.state(one))


async def _cancel(player: Player, step: CaseStep) -> CaseFinding:
    """Withdraw the last order."""
    one = _last(player)
    reply = await player.ask("payment.cancel", {"id": one.id, "reason": "联调"})
    if step.expect.states and not await player.until_state(one, step.expect.states):
        told = None if reply is None else (reply.name, reply.code)
        return failed(f"{one.id} is {player.state(one) or 'not heard of'}; the answer was {told}")
    if step.expect.errors and (reply is None or reply.code not in step.expect.errors):
        return failed(f"no refusal {' or '.join(step.expect.errors)}; the answer was {reply and reply.code}")
    return await plays.booked(player, one, player.state(one))


async def _ask(player: Player, step: CaseStep) -> CaseFinding:
    """Ask a question, and compare the answer's name, code and words."""
    own = [account.number for account in player.world.plan.told.accounts]
    reply = await player.ask(step.question, _filled(step.fields, own, player))
    if reply is None:
        return failed(f"no answer within {player.patience_s:g} s")
    expect = step.expect
    if expect.errors and reply.code not in expect.errors:
        return failed(f"answered {reply.code or reply.name}, expected {' or '.join(expect.errors)}")
    if expect.reply and reply.name not in expect.reply:
        return failed(f"answered {reply.name} {reply.code}, expected {' or '.join(expect.reply)}")
    unsaid = missing_words(expect.words, json.dumps(reply.said, ensure_ascii=False))
    return failed(unsaid) if unsaid else passed(reply.code or reply.name)


def _filled(fields: Mapping[str, object], own: list[str], player: Player) -> dict[str, object]:
    """The question's fields: `{own}` is the first own account, `{today}` the bank's date, `{order}` the last order."""
    last = player.orders[-1].id if player.orders else ""
    known = {"{own}": own[0], "{today}": player.today().isoformat(), "{order}": last}

    def fill(value: object) -> object:
        if isinstance(value, str):
            return known.get(value, value)
        return [fill(one) for one in value] if isinstance(value, list) else value

    return {name: fill(value) for name, value in fields.items()}


async def _line(player: Player, step: CaseStep) -> CaseFinding:
    await player.relay(_WORDS[step.line])
    return passed(step.line)


async def _clock(player: Player, step: CaseStep) -> CaseFinding:
    if await twin_clock.move(player, step.days):
        return passed(f"{step.days:+} d")
    return failed("the twin's clock cannot be moved: it has later entries, or this is no twin")


async def _pause(player: Player, step: CaseStep) -> CaseFinding:
    await sleep(player.world.clock, step.seconds)
    return passed(f"{step.seconds:g} s")


def _last(player: Player) -> GivenOrder:
    return next(one for one in reversed(player.orders) if one.kind in COMMANDS)


_STEPS: Mapping[StepKind, StepPlay] = {
    StepKind.AGAIN: _again,
    StepKind.CANCEL: _cancel,
    StepKind.ASK: _ask,
    StepKind.LINE: _line,
    StepKind.CLOCK: _clock,
    StepKind.PAUSE: _pause,
}
