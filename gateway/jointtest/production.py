"""生产小额验证: the one case that moves money in production, over two days and by two persons.

First day: the gateway is asked what would become of one transfer of at most 1.00 between own accounts
(`payment.validate`). Only if the sender's bands or the approval policy would hold it, it is given, and a second person
releases it. Next day: the closed statement has it and adds up, and its receipt is there, where the bank
makes any.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from importlib import resources
from typing import Any

from gateway.control.client import NoDaemon, Refused
from gateway.jointtest import amounts
from gateway.jointtest.amounts import OverCap
from gateway.jointtest.cases import Case, derive_from
from gateway.jointtest.player import GivenOrder, Player, next_morning
from gateway.jointtest.plays import failed
from gateway.jointtest.plays_days import receipt_of, second_day
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict
from protocols.bank import Bank

MOST_MINOR = 100
"""The highest amount of the transfer, in minor units: 1.00."""
_AMOUNT = "1.00"
_RELEASED = ("order.released", "order.approved")
_FOR_PERSONS = "approval"
"""Reasons of a hold that are sure to hold a transfer: the sender's bands, or the approval policy."""
_MEND = "give the sender a band that holds it"


def case(bank: Bank) -> Case:
    """The production case for this bank. Raises BadCase."""
    text = resources.files("gateway.jointtest").joinpath("catalogue", "production.toml").read_text("utf-8")
    [found] = derive_from("production", text, bank)
    return found


async def give(player: Player) -> CaseFinding:
    """Send the transfer on the first day. It must be held for a second person."""
    one = player.order("transfer", {"/amount": _AMOUNT})
    if one.minor > MOST_MINOR or one.fields["creditor"]["account"] == one.fields["debtor"]["account"]:
        raise OverCap(f"a production check moves at most {amounts.text(MOST_MINOR)} between two own accounts")
    would = await _not_held(player, one)
    if would:
        return failed(f"{would}; nothing was ordered, no money moved")
    await player.publish(one)
    line = player.world.line
    await line.until(lambda: player.state(one) not in ("", "accepted") or bool(player.codes(one)), player.patience_s)
    state = player.state(one)
    player.facts |= {
        "order": one.id,
        "account": one.fields["debtor"]["account"],
        "amount": one.fields["amount"],
        "date": player.today().isoformat(),
        "given_by": player.by,
    }
    if state != "held":
        codes = " ".join(player.codes(one))
        return failed(f"{one.id} is {state or codes or 'not heard of'}, not held: {_MEND}")
    until = player.world.now() + timedelta(hours=8)
    sender = player.world.plan.told.sender
    why = f"held: a second person releases it (bankgw orders release {sender}:{one.id}), then `resume`"
    return CaseFinding(CaseVerdict.WAITING, why, until)


async def _not_held(player: Player, one: GivenOrder) -> str:
    """The reason why the transfer must not be sent, from the gateway's own validation; empty if persons would be asked
    first."""
    reply = await player.ask("payment.validate", one.fields)
    if reply is None:
        return "the gateway did not answer payment.validate in time: look at bankgw status, then call this again"
    would, said = reply.said.get("would"), reply.said
    if would == "held" and _FOR_PERSONS in said.get("hold_reasons", ()):
        return ""
    if would == "held":
        reasons = ", ".join(said.get("hold_reasons", ()))
        return f"{one.id} would be held for {reasons} only, and no band asks for a second person: {_MEND}"
    if would == "ready":
        after = said.get("send_after")
        when = f"sent from {after} on" if after else "sent now"
        return f"{one.id} would be {when}, and no second person would be asked: {_MEND}"
    problem = said.get("error") or {}
    faults = "; ".join(f"{fault['at']} {fault['detail']}".strip() for fault in problem.get("errors", ()))
    why = " ".join(str(word) for word in (problem.get("code"), problem.get("title"), faults) if word)
    return f"{one.id} would be {would or reply.name}: {why or 'no reason told'}; mend that, then call this again"


async def go_on(player: Player) -> CaseFinding:
    """Find later who released the transfer, and its result. From the next day on, also check statement and receipt."""
    facts = player.one.facts
    said = await _shown(player, str(facts["order"]))
    if said is None:
        return failed(f"the gateway does not show {facts['order']}")
    if said["state"] != "settled":
        if said["final"]:
            return failed(f"{facts['order']} is {said['state']}: {said.get('bank_text') or ''}")
        until = player.world.now() + timedelta(hours=8)
        return CaseFinding(CaseVerdict.WAITING, f"{facts['order']} is {said['state']}", until)
    persons = [str(one["actor"]) for one in said["timeline"] if one.get("act") in _RELEASED]
    if not persons:
        return failed(f"{facts['order']} was carried out, and nobody released it")
    if any(_same(person, str(facts["given_by"])) for person in persons):
        return failed(f"{facts['given_by']} gave it and released it: two persons are needed")
    player.facts |= {
        "released_by": persons,
        "payment": said["payment"],
        "bank_reference": said.get("bank_reference"),
        "bank_serial": said.get("bank_serial"),
    }
    if player.today().isoformat() <= str(facts["date"]):
        until = next_morning(player.world.now())
        return CaseFinding(CaseVerdict.WAITING, "carried out; its day's statement and receipt come then", until)
    return await _next_day(player)


async def _next_day(player: Player) -> CaseFinding:
    statement = await second_day(player)
    if statement.verdict is not CaseVerdict.PASSED:
        return statement
    if player.world.bank.questions.receipt is None:
        return CaseFinding(CaseVerdict.PASSED, f"{statement.why}; this bank answers no question about receipts")
    if player.world.plan.told.receipts_of != "payment":
        return CaseFinding(CaseVerdict.PASSED, f"{statement.why}; this bank gives no receipt of a single payment")
    receipt = await receipt_of(player)
    if receipt.verdict is not CaseVerdict.PASSED:
        return receipt
    return CaseFinding(CaseVerdict.PASSED, f"{statement.why}; receipt {receipt.why}")


def _same(actor: str, name: str) -> bool:
    # The audit trail's name for a user of the operating system.
    return actor.removeprefix("uid:").casefold() == name.casefold()


async def _shown(player: Player, order: str) -> Mapping[str, Any] | None:
    world = player.world
    try:
        said: Mapping[str, Any] = await world.elsewhere(world.desk.get, "orders", f"{world.plan.told.sender}:{order}")
    except (NoDaemon, Refused):
        return None
    return said
