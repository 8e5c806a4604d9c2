"""Continues a case of one's own at the step at which it was interrupted.

The run's journal has the marks of the steps and the commands, the evidence folder their bytes. From both come the
orders as they were. The gateway is asked about an order that was published: nothing is paid a second time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gateway.jointtest import amounts, plays
from gateway.jointtest.cases import Case, CaseStep, StepKind
from gateway.jointtest.player import COMMANDS, JSON, GivenOrder, Player
from gateway.jointtest.plays import failed
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict


def script_digest(case: Case) -> str:
    """The SHA-256 of a case's steps: a case whose file was changed meanwhile cannot be continued."""
    steps = [asdict(step) for step in case.script]
    return hashlib.sha256(json.dumps(steps, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def next_step(player: Player) -> int:
    """The number of the first step that has not passed."""
    numbers = range(1, len(player.case.script) + 1)
    return next((number for number in numbers if "why" not in player.one.steps.get(number, {})), len(numbers) + 1)


def restore_orders(player: Player) -> None:
    """Give the player the orders that the try has published. Raises OSError for a command that cannot be read."""
    for number, step in enumerate(player.case.script, start=1):
        command = order_of_step(player, step, number)
        if command is not None:
            player.restore(_order(player, step, command))


def order_of_step(player: Player, step: CaseStep, number: int) -> int | None:
    """The index of the command with which a step gave its order; None if the step gave none."""
    if step.do is not StepKind.ORDER or number not in player.one.steps:
        return None
    first = int(player.one.steps[number]["published"])
    end = player.one.steps.get(number + 1, {}).get("published", len(player.one.published))
    keys = [str(command["key"]) for command in player.one.published[first:end]]
    return first + keys.index(COMMANDS[step.kind]) if COMMANDS[step.kind] in keys else None


def _order(player: Player, step: CaseStep, command: int) -> GivenOrder:
    body = (player.folder / f"command-{command + 1}.json").read_bytes()
    fields: dict[str, Any] = json.loads(body)
    side = "debtor" if step.kind == "collection" else "creditor"

    def single(said: Mapping[str, Any], items: Sequence[GivenOrder] = ()) -> GivenOrder:
        minor = sum(one.minor for one in items) or _minor(said.get("amount"))
        other = "" if items else str(said.get(side, {}).get("account", ""))
        return GivenOrder(str(said["id"]), step.kind, other, minor, said, "", b"", JSON, tuple(items))

    made = single(fields, [single(item) for item in fields.get("items", ())])
    made.message_id, made.body = str(player.one.published[command]["message_id"]), body
    return made


def _minor(text: object) -> int:
    try:
        return amounts.minor(text) if isinstance(text, str) else 0
    except ValueError:
        return 0


async def ask_about(player: Player, mark: Mapping[str, Any], command: int) -> CaseFinding:
    """Judge the step whose order was published before the interruption, by the gateway's present answer about it."""
    message_id = str(player.one.published[command]["message_id"])
    one = next(one for one in player.orders if one.message_id == message_id)
    if player.case.expect.errors and not player.case.expect.states:
        finding = await _refused_again(player, one)
    else:
        finding = await _standing(player, one)
    return await plays.struck(player, finding, mark["faults"]) if player.case.fault else finding


async def _refused_again(player: Player, one: GivenOrder) -> CaseFinding:
    """The gateway answers a message once. The same order under another message id is refused or accepted anew."""
    message_id = await player.publish(one, again=True)
    line, expect = player.world.line, player.case.expect
    await line.until(lambda: bool(line.answers(message_id)), player.patience_s)
    if not set(player.codes(one)) & set(expect.errors):
        told = " ".join(player.codes(one)) or player.state(one) or "nothing"
        return failed(f"interrupted; asked again: {told}, expected {' or '.join(expect.errors)}")
    return await plays.booked(player, one, f"asked again: {' '.join(player.codes(one))}")


async def _standing(player: Player, one: GivenOrder) -> CaseFinding:
    expect, items = player.case.expect, one.items or (one,)
    reply = await player.ask("status.query", {"id": items[0].id})
    if reply is not None and reply.code == "unknown_payment":
        # It never arrived: the gateway takes a message id once, so the same bytes go again under the same id.
        await player.world.line.publish(one.message_id, COMMANDS[one.kind], one.body, one.content_type)
        await player.heard_of(items[0].id)
    said = []
    for number, item in enumerate(items):
        right = frozenset(expect.items[number : number + 1] or expect.states)
        state = await player.standing(item.id, right)
        if right and state not in right:
            finding = plays.undecided(player, item)
            how = "" if finding.verdict is CaseVerdict.WAITING else "interrupted; asked again: "
            return CaseFinding(finding.verdict, f"{how}{finding.why}", finding.until)
        said.append(state or "no answer")
    return await plays.booked(player, one, f"asked again: {' '.join(said)}")
