"""Plays the cases about orders, and finds their verdicts. Each play returns a finding."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

from gateway.control.client import NoDaemon
from gateway.jointtest import amounts
from gateway.jointtest.player import GivenOrder, Player
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict, SeenAt
from gateway.kernel.core.states import Source
from gateway.kernel.tasks import sleep
from protocols.bank import Replay
from protocols.canon.order import Kind
from protocols.canon.outcome import STATE_TABLE, State

CasePlay = Callable[[Player], Awaitable[CaseFinding]]
_UNDECIDED = frozenset({"sending", "pending", "in_doubt", "escalated"})
_DOUBTED = frozenset({"in_doubt", "escalated"})
_STRIKE_S: Mapping[str, float] = {"delay": 8.0, "hide": 3.0}
_SEEN_GONE_S = 1.0
_IN_DOUBT_S = 12.0
_SHOWN = ("bank_reference", "bank_serial", "bank_code", "bank_text")
_TAIL = 4
_CUTS_MOST = 4
_ASKED_LEAST = 3
_LOOK_EVERY_S = 1.0
_MONEY_PORT = "business"
"""The port on which a bank takes orders; where another port signs, its answers have to come."""


def passed(why: str = "") -> CaseFinding:
    """The finding of a case that had the expected result."""
    return CaseFinding(CaseVerdict.PASSED, why)


def failed(why: str) -> CaseFinding:
    """The finding of a case that had another result; `why` describes the result."""
    return CaseFinding(CaseVerdict.FAILED, why)


async def order(player: Player) -> CaseFinding:
    """Give one order with the case's fault, as often as the case says. One that is held is withdrawn at the end."""
    case = player.case
    one = player.order()
    before = await strike(player, case.fault) if case.fault else None
    await player.publish(one)
    for _ in range(case.repeat):
        body = None
        if case.other:
            other = dict(one.fields) | {pointer.strip("/"): value for pointer, value in case.other.items()}
            body = _json(other)
        await player.publish(one, again=True, body=body)
    finding = await judged(player, one)
    if player.state(one) == State.HELD:
        await player.ask("payment.cancel", {"id": one.id, "reason": "联调"})
    return finding if before is None else await struck(player, finding, before)


async def left_in_doubt(player: Player) -> CaseFinding:
    """Give one order that the bank never carries out, where orders are never sent again. The order must stay in doubt,
    the bank must be asked about it, and no second message with it may leave."""
    one = player.order()
    before = await strike(player, player.case.fault)
    await player.publish(one)
    return await struck(player, await _never_repeated(player, one), before)


async def _never_repeated(player: Player, one: GivenOrder) -> CaseFinding:
    """Wait until the bank has answered `_ASKED_LEAST` enquiries about an order in doubt, then count its sendings."""
    expect, world = player.case.expect, player.world
    if not await player.until_state(one, expect.states):
        return undecided(player, one)
    began_s = moved_s = world.clock.monotonic_s()
    asked = 0
    while True:
        shown = await world.elsewhere(world.desk.get, "orders", f"{world.plan.told.sender}:{one.id}")
        answers = sum(moment.get("source") == Source.ENQUIRY for moment in shown["timeline"])
        now_s = world.clock.monotonic_s()
        if answers >= _ASKED_LEAST:
            break
        if answers > asked:
            asked, moved_s = answers, now_s
        if now_s - moved_s > player.patience_s:
            return failed(f"the bank was asked about {one.id} {asked} times only")
        await sleep(world.clock, _LOOK_EVERY_S)
    if player.state(one) not in expect.states:
        return failed(f"{one.id} is {player.state(one)}, expected {' or '.join(expect.states)}")
    sent = sum(moment["what"] == "sent" for moment in shown["timeline"])
    if sent != 1:
        return failed(f"{one.id} was sent {sent} times, not once")
    took_s = now_s - began_s
    why = (
        f"{one.id} stays {player.state(one)}; sent once, asked about {answers} times in {took_s:.0f} s; persons decide"
    )
    return await booked(player, one, why)


async def strike(player: Player, fault: str, touch: str = "money") -> Mapping[str, int]:
    """Have the twin commit this fault in the next exchange of that kind; returns its earlier count of faults."""
    before: Mapping[str, int] = (await player.twin(do="report"))["faults"]
    more = {"seconds": _STRIKE_S[fault]} if fault in _STRIKE_S else {}
    await player.twin(do="strike", fault=fault, touch=touch, **more)
    return before


async def struck(player: Player, finding: CaseFinding, before: Mapping[str, int]) -> CaseFinding:
    """Withdraw the fault from the twin. If the fault never occurred, the case has proved nothing, and the finding says
    so."""
    report = await player.twin(do="report")
    await player.twin(do="calm")
    came = {fault: count - before[fault] for fault, count in report["faults"].items() if count > before[fault]}
    player.facts["faults"] = came
    if not came and finding.verdict is CaseVerdict.PASSED:
        return failed("the twin had no occasion for the fault: nothing was shown")
    return finding


async def judged(player: Player, one: GivenOrder) -> CaseFinding:
    """Wait for an order's end and compare it with what the case expects."""
    expect, line = player.case.expect, player.world.line
    messages = (one.message_id, *one.later)
    if expect.errors and not expect.states:
        await line.until(lambda: bool(line.answers(one.message_id)), player.patience_s)
        return await refused(player, one)
    reached = await player.until_state(one, expect.states)
    if not reached:
        return undecided(player, one)
    await line.until(lambda: all(line.answers(message) for message in messages), player.patience_s)
    missing = [message for message in messages if not line.answers(message)]
    if missing:
        return failed(f"{len(missing)} of {len(messages)} messages were not answered")
    if expect.errors and not set(player.codes(one)) & set(expect.errors):
        return failed(f"no refusal {' or '.join(expect.errors)}; refusals: {player.codes(one) or 'none'}")
    unseen = set(expect.through) - set(player.states(one))
    if unseen:
        return failed(f"never told: {', '.join(sorted(unseen))}; told: {' '.join(player.states(one))}")
    return await booked(player, one, f"{one.id}: {' '.join(dict.fromkeys(player.states(one)))}")


async def refused(player: Player, one: GivenOrder) -> CaseFinding:
    """Check that the order was refused at intake for the right reason, and is in no books."""
    expect, answers = player.case.expect, player.world.line.answers(one.message_id)
    if not answers:
        return failed(f"no answer within {player.patience_s:g} s")
    code = next((answer.code for answer in answers if answer.code), "")
    if code not in expect.errors:
        return failed(f"answered {code or answers[0].state or answers[0].name}, not {' or '.join(expect.errors)}")
    faults = [fault for answer in answers for fault in answer.said.get("error", {}).get("errors", ())]
    named = [str(fault.get("at", "")) for fault in faults]
    if expect.at and not any(at.startswith(expect.at) for at in named):
        return failed(f"the refusal names {', '.join(named) or 'no field'}, not {expect.at}")
    # The reply and the event that tells the rejection have the same faults.
    told = dict.fromkeys(f"{fault.get('at')} {fault.get('code')}: {fault.get('detail')}" for fault in faults)
    why = "; ".join(list(told)[:3])
    return await booked(player, one, f"{code}: {why}" if why else code)


async def booked(player: Player, one: GivenOrder, why: str) -> CaseFinding:
    """Compare the executions in the bank's own books with the case's expectation. A real bank does not show its
    books."""
    if player.world.plan.seen is SeenAt.TWIN and player.case.expect.executions is not None:
        for item in one.items or (one,):
            found = await player.executions(item)
            if len(found) != player.case.expect.executions:
                return failed(f"{item.id}: carried out {len(found)} times, not {player.case.expect.executions}")
            if found:
                player.facts["bank_serial"] = found[0]["bank_serial"]
    keep_facts(player, one)
    unsaid = unsaid_words(player, one)
    return failed(unsaid) if unsaid else passed(why)


def keep_facts(player: Player, one: GivenOrder) -> None:
    """Keep what the report shows of an order: the bank's reference, serial, code and text, amount, last digits."""
    for word in _SHOWN:
        told = [str(heard.said[word]) for heard in player.told(one) if heard.said.get(word)]
        if told:
            player.facts[word] = told[-1]
    if one.minor:
        player.facts["amount"] = amounts.text(one.minor)
    own = one.fields.get("debtor") or one.fields.get("creditor") or {}
    player.facts["account_tail"] = str(own.get("account", ""))[-_TAIL:]


def unsaid_words(player: Player, one: GivenOrder) -> str:
    """The expected code or text of the bank that nobody told about an order; empty if all were told."""
    expect = player.case.expect
    told = [heard.said for item in (one, *one.items) for heard in player.told(item)]
    told += [answer.said for message in (one.message_id, *one.later) for answer in player.world.line.answers(message)]
    codes = {str(said["bank_code"]) for said in told if said.get("bank_code")}
    if expect.codes and not codes & set(expect.codes):
        return f"the bank's code is {' '.join(sorted(codes)) or 'none'}, expected {' or '.join(expect.codes)}"
    return missing_words(expect.words, " ".join(json.dumps(said, ensure_ascii=False) for said in told))


def missing_words(words: Sequence[str], text: str) -> str:
    """The first of the expected texts that is not in `text`; empty if all are."""
    missing = next((one for one in words if not any(part in text for part in one.split("|"))), None)
    return "" if missing is None else f"nothing told has the words {missing!r}"


def undecided(player: Player, one: GivenOrder) -> CaseFinding:
    """The finding for an order without the expected end in time: waiting if the bank may still report it, else
    failed."""
    state, expect = player.state(one), player.case.expect
    told = f"{one.id} is {state or 'not heard of'}"
    if state in _UNDECIDED:
        rule = player.world.bank.profile.replay.get(Kind(one.kind))
        if rule is not None and rule.policy is Replay.NEVER and state in _DOUBTED:
            until = player.world.now() + timedelta(days=1)
            why = f"{told}; this bank's orders are never sent again: a person decides"
            return CaseFinding(CaseVerdict.WAITING, why, until)
        quarantine = timedelta(minutes=5) if rule is None else rule.not_found_quarantine
        if quarantine > timedelta(seconds=player.patience_s):
            until = player.world.now() + quarantine
            return CaseFinding(CaseVerdict.WAITING, f"{told}; the bank's 'not found' counts from then on", until)
    final = state in set(State) and STATE_TABLE[State(state)].final
    how = "for good" if final else f"after {player.patience_s:g} s"
    return failed(f"{told} {how}, expected {' or '.join(expect.states)}; {' '.join(player.codes(one))}".rstrip("; "))


async def batch(player: Player) -> CaseFinding:
    """Play a batch, a payroll or a collection, each of whose items has its own end."""
    case, line = player.case, player.world.line
    one = player.order()
    before = await strike(player, case.fault) if case.fault else None
    await player.publish(one)
    for _ in range(case.repeat):
        await player.publish(one, again=True)
    if case.expect.errors:
        await line.until(lambda: bool(line.answers(one.message_id)), player.patience_s)
        return await refused(player, one)
    finding = await items_judged(player, one)
    return finding if before is None else await struck(player, finding, before)


async def items_judged(player: Player, one: GivenOrder) -> CaseFinding:
    """Wait for the end of every item of a bundle and compare it with what the case expects."""
    case, line = player.case, player.world.line
    wanted = dict(zip((item.id for item in one.items), case.expect.items, strict=True))

    def ended() -> bool:
        return all(player.state(item) == wanted[item.id] for item in one.items)

    if not await line.until(ended, player.patience_s):
        states = {item.id: player.state(item) or "not heard of" for item in one.items}
        slow = next((item for item in one.items if states[item.id] in _UNDECIDED), None)
        if slow is not None:
            return undecided(player, slow)
        codes = [answer.code for answer in line.answers(one.message_id) if answer.code]
        return failed(f"items are {', '.join(states.values())}, expected {', '.join(case.expect.items)} {codes}")
    return await booked(player, one, ", ".join(f"{id_} {state}" for id_, state in wanted.items()))


async def status(player: Player) -> CaseFinding:
    """Carry out an order, then ask the gateway for its state by id."""
    one = player.order()
    await player.publish(one)
    if not await player.until_state(one, player.case.expect.states):
        return undecided(player, one)
    reply = await player.ask("status.query", {"id": one.id})
    if reply is None or reply.name not in player.case.expect.reply or reply.state != player.state(one):
        return failed(f"answered {reply and (reply.name, reply.state, reply.code)}")
    return await booked(player, one, f"{reply.name}: {reply.state}")


async def validate(player: Player) -> CaseFinding:
    """Send an order for validation only."""
    one = player.order()
    reply = await player.ask("payment.validate", one.fields)
    if reply is None or reply.name not in player.case.expect.reply:
        return failed(f"answered {reply and (reply.name, reply.code)}")
    return await booked(player, one, f"would be {reply.said.get('would')}")


async def withdraw(player: Player) -> CaseFinding:
    """Give an order for a later date, then withdraw it."""
    one = player.order(change={"/not_before": "{in twelve hours}"})
    await player.publish(one)
    line = player.world.line
    await line.until(lambda: bool(player.state(one) or player.codes(one)), player.patience_s)
    await sleep(player.world.clock, _SEEN_GONE_S)
    before = player.state(one)
    reply = await player.ask("payment.cancel", {"id": one.id, "reason": "联调"})
    if not await player.until_state(one, player.case.expect.states, 10):
        return failed(f"was {before or player.codes(one)}, then answered {reply and (reply.name, reply.code)}")
    return await booked(player, one, f"{before}, then {player.state(one)}")


async def alike(player: Player) -> CaseFinding:
    """Give a second order with the same content under another id. It must be held; it is withdrawn at the end."""
    first = player.order()
    await player.publish(first)
    if not await player.until_state(first, ("settled",)):
        return undecided(player, first)
    change = {f"/{name}": value for name, value in first.fields.items() if name != "id"}
    second = player.order(change=change)
    await player.publish(second)
    line = player.world.line
    await line.until(
        lambda: player.state(second) in ("held", "settled") or bool(player.codes(second)), player.patience_s
    )
    state = player.state(second)
    reasons = {reason for heard in player.told(second) for reason in heard.said.get("hold_reasons", ())}
    await player.ask("payment.cancel", {"id": second.id, "reason": "联调 疑似重复"})
    if state not in player.case.expect.states:
        return failed(f"the second order is {state or player.codes(second)}")
    return await booked(player, first, f"held: {', '.join(sorted(reasons))}; withdrawn afterwards")


async def line_down(player: Player) -> CaseFinding:
    """Have the relay refuse connections while the order arrives, and accept them later."""
    await player.relay("refuse")
    one = player.order()
    try:
        await player.publish(one)
        line = player.world.line
        await line.until(lambda: bool(player.state(one)), player.patience_s)
        await sleep(player.world.clock, _SEEN_GONE_S)
        early = await player.executions(one) if player.world.plan.seen is SeenAt.TWIN else []
        before = player.state(one)
    finally:
        await player.relay("pass")
    if early or before == "settled":
        return failed(f"the order is {before} though the line was down")
    return await judged(player, one)


async def answer_lost(player: Player) -> CaseFinding:
    """Have the relay pass the request on and drop the answer."""
    port = _MONEY_PORT if _MONEY_PORT in player.world.bank.ports else ""
    for attempt in range(1, _CUTS_MOST + 1):
        await _lane_up(player)
        cut = int((await player.relay("swallow", port))["cut"])
        one = player.order()
        try:
            await player.publish(one)
            await player.until_state(one, ("in_doubt", "settled", "failed"), _IN_DOUBT_S)
        finally:
            after = int((await player.relay("pass"))["cut"])
        finding = await judged(player, one)
        # The cut may have hit a heartbeat instead of the payment; then the case has shown nothing.
        if finding.verdict is not CaseVerdict.FAILED or attempt == _CUTS_MOST:
            player.facts["connections_cut"] = after - cut
            return finding
    raise AssertionError("the last attempt returns")


async def _lane_up(player: Player) -> None:
    """Wait until a lane of the bank has a session: the relay cuts what the lane asks while it signs on, and an order
    would be sent only after the relay passes everything again."""
    world, clock = player.world, player.world.clock
    end_s = clock.monotonic_s() + player.patience_s
    while clock.monotonic_s() < end_s:
        lanes = (await world.elsewhere(world.desk.get, "lanes"))["lanes"]
        if any(one["sessions"].get("ready") for one in lanes if one["lane"].partition(".")[0] == world.plan.bank):
            return
        await sleep(clock, _SEEN_GONE_S)


async def silent_probe(player: Player) -> CaseFinding:
    """Have the twin leave the next sign-on or heartbeat without an answer. A payment must succeed all the same."""
    before = await strike(player, "probe_silence", "probe")
    world = player.world
    lanes = (await world.elsewhere(world.desk.get, "lanes"))["lanes"]
    ours = [lane["lane"] for lane in lanes if lane["lane"].partition(".")[0] == world.plan.bank]
    said = await world.elsewhere(world.desk.post, "lanes", ours[0], "probe", wait=_IN_DOUBT_S)
    player.facts["probe"] = {name: said.get(name) for name in ("answered", "seconds", "reason")}
    one = player.order()
    await player.publish(one)
    finding = await struck(player, await judged(player, one), before)
    if said.get("answered") and not player.facts["faults"]:
        why = "this bank has no sign-on and no heartbeat of its own: the probe is a question about an account"
        return CaseFinding(CaseVerdict.NOT_APPLICABLE, why)
    return finding


async def window(player: Player) -> CaseFinding:
    """Give as many orders at once as were agreed."""
    return await _many(player, player.world.bank.sessions.window)


async def queue(player: Player) -> CaseFinding:
    """Give three times as many orders at once as were agreed."""
    return await _many(player, 3 * player.world.bank.sessions.window)


async def _many(player: Player, count: int) -> CaseFinding:
    orders = [player.order() for _ in range(count)]
    began_s = player.world.clock.monotonic_s()
    for one in orders:
        await player.publish(one)
    settled = player.case.expect.states
    await player.world.line.until(lambda: all(player.state(one) in settled for one in orders), 2 * player.patience_s)
    took_s = player.world.clock.monotonic_s() - began_s
    for one in orders:
        finding = undecided(player, one) if player.state(one) not in settled else await booked(player, one, "")
        if finding.verdict is not CaseVerdict.PASSED:
            return finding
    return passed(f"{count} orders settled in {took_s:.1f} s, window {player.world.bank.sessions.window}")


async def certificate(player: Player) -> CaseFinding:
    """Replace the client certificate, then carry out an order. At a bank, people replace it."""
    hooks = player.world.hooks
    if hooks is None:
        return await hand(player)
    before = await _client_certificates(player)
    try:
        await player.world.elsewhere(hooks.renew_certificate)
    except NoDaemon as error:
        return failed(f"the gateway did not come up with the new certificate: {error}")
    after = await _client_certificates(player)
    if not before or after == before:
        return failed(f"the gateway still has the certificate that ends at {before}")
    player.facts |= {"not_after_before": before, "not_after": after}
    one = player.order()
    await player.publish(one)
    return await judged(player, one)


async def _client_certificates(player: Player) -> list[str]:
    status = await player.world.elsewhere(player.world.desk.get, "status")
    return [
        one["not_after"]
        for one in status["certificates"]
        if one["bank"] == player.world.plan.bank and "client" in one["role"]
    ]


async def hand(player: Player) -> CaseFinding:
    """A person plays the case and records the result."""
    until = player.world.now() + timedelta(days=7)
    return CaseFinding(CaseVerdict.WAITING, "by hand: `bankgw joint-test record` when it is done", until)


def _json(said: object) -> bytes:
    return json.dumps(said, ensure_ascii=False).encode()
