"""Plays cases whose second half asks about a past day: statements and receipts.

At a bank they wait for that day, and `resume` goes on. A twin's clock is moved instead: see `twin_clock`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from gateway.jointtest import twin_clock
from gateway.jointtest.player import CHINA, GivenOrder, Player, next_morning
from gateway.jointtest.plays import booked, failed, passed, undecided
from gateway.jointtest.plays_questions import entry_of, unexpected
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict

_STILL_MAKING = timedelta(minutes=15)
_LATER = frozenset({"expired", "bank_unavailable", "not_yet", "receipt_later"})


async def next_day(player: Player) -> CaseFinding:
    """Pay today. Tomorrow's statement about today must contain the payment. A twin's clock is set a day back, so that
    its tomorrow is now."""
    turned = await twin_clock.move(player, -1)
    day = player.today() - timedelta(days=1 if turned else 0)
    try:
        one = player.order()
        await player.publish(one)
        if not await player.until_state(one, player.case.expect.states):
            return undecided(player, one)
        finding = await booked(player, one, "")
    finally:
        if turned:
            await twin_clock.back(player.world)
    player.facts |= {
        "account": one.fields["debtor"]["account"],
        "date": day.isoformat(),
        "amount": one.fields["amount"],
    }
    if finding.verdict is not CaseVerdict.PASSED:
        return finding
    if turned:
        return await second_day(player)
    until = next_morning(player.world.now())
    return CaseFinding(CaseVerdict.WAITING, "paid; the statement of that day is asked for when the day is over", until)


async def second_day(player: Player) -> CaseFinding:
    """The second half of `next_day`: the closed statement contains the payment, and adds up."""
    facts = {**player.one.facts, **player.facts}
    reply = await player.ask("statement.request", {"account": facts["account"], "date": facts["date"]})
    if reply is None or reply.name not in player.case.expect.reply:
        return unexpected(reply)
    said = reply.said
    if not _has(said, facts):
        counted = len(said["lines"])
        following = await _following_day(player, facts)
        if following is None:
            return failed(f"none of {counted} entries of {facts['date']} is {facts['amount']}")
        said = following
        facts = {**facts, "date": said["date"]}
        player.facts["date"] = said["date"]
    if not said.get("closed"):
        until = next_morning(player.world.now())
        return CaseFinding(CaseVerdict.WAITING, f"the bank has not closed {facts['date']}", until)
    if said.get("checked"):
        return passed(f"{facts['date']}: {said['count']} entries, {said['opening']} to {said['closing']}")
    return await _by_balances(player, said)


def _has(said: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    return any(line.get("amount") == facts["amount"] for line in said["lines"])


async def _following_day(player: Player, facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The statement of the day after, if a payment of the evening stands there: at some banks what is booked in the
    evening carries the next accounting date. None for a payment of the day, or if it is not there either."""
    if player.one.started.astimezone(CHINA).hour < twin_clock.EVENING_HOUR:
        return None
    day = date.fromisoformat(str(facts["date"])) + timedelta(days=1)
    reply = await player.ask("statement.request", {"account": facts["account"], "date": day.isoformat()})
    if reply is None or reply.name not in player.case.expect.reply or not _has(reply.said, facts):
        return None
    said: Mapping[str, Any] = reply.said
    return said


async def _by_balances(player: Player, said: Mapping[str, Any]) -> CaseFinding:
    """Check a statement whose entries have no balances: the bank's balances of that day and of the day before must
    fit."""
    day = date.fromisoformat(said["date"])
    counted = f"{day}: {said['count']} entries"
    # The day is over: its own balance is a day old, and the one before it two.
    if player.world.bank.profile.past_balance_days < 2:
        return passed(f"{counted}; this bank states no balances that they could be compared with")
    told = [await _balance_on(player, said["account"], on) for on in (day - timedelta(days=1), day)]
    opening, closing = told
    if opening is None or closing is None:
        return failed(f"{counted}; the bank told no balance of {day} or of the day before")
    moved = Decimal(said["credit_sum"]) - Decimal(said["debit_sum"])
    if opening + moved != closing:
        return failed(f"{counted} make {moved}; the balance went from {opening} to {closing}")
    return passed(f"{counted}, {opening} to {closing}, by the balances of both days")


async def _balance_on(player: Player, account: str, on: date) -> Decimal | None:
    reply = await player.ask("balance.query", {"accounts": [account], "on": on.isoformat()})
    told = [] if reply is None else reply.said.get("balances", [])
    return Decimal(told[0]["book"]) if told else None


async def receipt(player: Player) -> CaseFinding:
    """Ask for the receipt of a payment. If the bank makes it only on the next day, the case waits.

    A twin is a day behind while it pays and lists what is asked for by its entry, whose date the bank names; where the
    gateway names the date, the twin is a day ahead while it is asked.
    """
    told = player.world.plan.told
    by_entry = told.receipts_of == "entry"
    turned = by_entry and not told.receipts_today and await twin_clock.move(player, -1)
    try:
        wrong = await _paid(player, player.today() - timedelta(days=1 if turned else 0))
    finally:
        if turned:
            await twin_clock.back(player.world)
    if wrong is not None:
        return wrong
    if told.receipts_today or turned:
        return await receipt_of(player)
    if not by_entry and await twin_clock.move(player, 1):
        try:
            return await receipt_of(player)
        finally:
            await twin_clock.back(player.world)
    until = next_morning(player.world.now())
    return CaseFinding(CaseVerdict.WAITING, "paid; the bank makes receipts of past days only", until)


async def _paid(player: Player, day: date) -> CaseFinding | None:
    """Pay, and find the key with which the receipt is asked for. Returns the reason if that fails."""
    by = player.world.plan.told.receipts_of
    one = player.order("batch_item" if by == "batch_item" else "")
    await player.publish(one)
    paid = one.items[0] if one.items else one
    if not await player.until_state(paid, player.case.expect.states):
        return undecided(player, paid)
    player.facts["payment"] = player.told(paid)[-1].said["payment"]
    finding = await booked(player, one, "")
    if finding.verdict is not CaseVerdict.PASSED:
        return finding
    return await _entry_of(player, one, day) if by == "entry" else None


async def _entry_of(player: Player, one: GivenOrder, day: date) -> CaseFinding | None:
    """The entry of this payment, for a bank that finds receipts only by entry."""
    found = await entry_of(player, one, day)
    if isinstance(found, CaseFinding):
        return found
    player.facts |= {
        "account": one.fields["debtor"]["account"],
        "bank_date": found["bank_date"],
        "bank_line_id": found.get("bank_line_id"),
    }
    return None if found.get("bank_line_id") else failed("the bank names no entry: it cannot be asked for its receipt")


async def receipt_of(player: Player) -> CaseFinding:
    """Ask for the receipt, also on a later day."""
    facts = {**player.one.facts, **player.facts}
    named = ("account", "bank_date", "bank_line_id") if facts.get("bank_line_id") else ("payment",)
    asked = {name: facts[name] for name in named} | {"max_wait": "PT8S"}
    reply = await player.ask("receipt.request", asked, 20.0)
    if reply is not None and reply.name in player.case.expect.reply:
        return passed(f"{reply.said['name']}, {reply.said['size']} bytes, {reply.said['media_type']}")
    if reply is None or reply.code in _LATER:
        now = player.world.now()
        if reply is None or reply.code == "expired":
            return CaseFinding(CaseVerdict.WAITING, "the bank is still making the receipt", now + _STILL_MAKING)
        return CaseFinding(
            CaseVerdict.WAITING, f"{reply.code}: the bank may make receipts of past days only", next_morning(now)
        )
    return unexpected(reply)
