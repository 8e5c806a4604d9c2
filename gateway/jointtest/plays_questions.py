"""Plays cases about accounts: balances, entries page by page, statements, receipts, the directory."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from gateway.control.client import Refused
from gateway.jointtest import amounts
from gateway.jointtest.erp_line import HeardMessage
from gateway.jointtest.player import GivenOrder, Player, next_morning
from gateway.jointtest.plays import booked, failed, passed, undecided
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict, SeenAt
from gateway.kernel.tasks import sleep

_UNKNOWN = "0000999999999999"
_PAGES_MOST = 60
_QUIET_DAYS = 20
_PROBE_AGAIN_S = 1.0


def unexpected(reply: HeardMessage | None) -> CaseFinding:
    """The finding for a question that got another answer than expected."""
    if reply is None:
        return failed("no answer in time")
    error = reply.said.get("error", {})
    return failed(f"answered {reply.name} {reply.code} {error.get('title', '') if isinstance(error, dict) else ''}")


def _refused(player: Player, reply: HeardMessage | None) -> CaseFinding:
    if reply is None:
        return unexpected(reply)
    codes = [reply.code, *(str(one.get("code", "")) for one in reply.said.get("errors", ()))]
    found = [code for code in codes if code in player.case.expect.errors]
    return passed(found[0]) if found else unexpected(reply)


async def probe(player: Player) -> CaseFinding:
    """Every lane of the bank must answer the gateway's own probe."""
    world = player.world
    lanes = (await world.elsewhere(world.desk.get, "lanes"))["lanes"]
    ours = [lane["lane"] for lane in lanes if lane["lane"].partition(".")[0] == world.plan.bank]
    if not ours:
        return failed(f"the gateway has no lane of {world.plan.bank}")
    said = [await _probed(player, lane) for lane in ours]
    silent = [one for one in said if not one["answered"]]
    if silent:
        return failed(f"{ours}: {silent[0]['reason']} {silent[0]['detail']}")
    return passed(", ".join(f"{lane} in {one['seconds']} s" for lane, one in zip(ours, said, strict=True)))


async def _probed(player: Player, lane: str) -> dict[str, Any]:
    """Probe a lane. A twin has seconds for an answer, which a busy machine may miss, so a silent one is asked again."""
    world, clock = player.world, player.world.clock
    end_s = clock.monotonic_s() + player.patience_s
    while True:
        said: dict[str, Any] = await world.elsewhere(world.desk.post, "lanes", lane, "probe", wait=10.0)
        if said["answered"] or world.plan.seen is not SeenAt.TWIN or clock.monotonic_s() > end_s:
            return said
        await sleep(clock, _PROBE_AGAIN_S)


async def balance(player: Player) -> CaseFinding:
    """Ask for balances. `steps`: `all` asks for every account, `unknown` for an account that is not our own, `past` for
    yesterday's balance."""
    own = [account.number for account in player.world.plan.told.accounts]
    asked = {"all": own, "unknown": [_UNKNOWN]}.get(player.case.steps, own[:1])
    said: dict[str, Any] = {"accounts": asked, "max_age": "PT0S"}
    if player.case.steps == "past":
        said = {"accounts": asked, "on": (player.today() - timedelta(days=1)).isoformat()}
    reply = await player.ask("balance.query", said)
    if player.case.expect.errors:
        return _refused(player, reply)
    if reply is None or reply.name not in player.case.expect.reply:
        return unexpected(reply)
    told = {one["account"]: one for one in reply.said["balances"]}
    at_twin = player.world.plan.seen is SeenAt.TWIN
    if player.case.steps == "past" and not told and at_twin:
        return CaseFinding(CaseVerdict.NOT_APPLICABLE, "the simulated bank has no books of yesterday")
    if set(told) != set(asked):
        return failed(f"{len(told)} of {len(asked)} balances; {reply.said.get('errors')}")
    return passed(", ".join(f"{one['currency']} {one['book']} at {one['as_of']}" for one in told.values()))


async def balance_moves(player: Player) -> CaseFinding:
    """The book balance before and after one payment must differ by its amount, or by amount and fee."""
    account = player.world.plan.told.accounts[0].number
    before = await _book(player, account)
    one = player.order()
    await player.publish(one)
    if not await player.until_state(one, player.case.expect.states):
        return undecided(player, one)
    after = await _book(player, account)
    if before is None or after is None:
        return failed("the bank told no balance")
    fees = sum(amounts.minor(heard.said["fee"]["amount"]) for heard in player.told(one)[-1:] if heard.said.get("fee"))
    if before - after not in (one.minor, one.minor + fees):
        return failed(f"the balance fell by {amounts.text(abs(before - after))}, {one.fields['amount']} was paid")
    return await booked(player, one, f"fell by {amounts.text(before - after)}")


async def _book(player: Player, account: str) -> int | None:
    reply = await player.ask("balance.query", {"accounts": [account], "max_age": "PT0S"})
    told = [] if reply is None else reply.said.get("balances", [])
    return amounts.minor(told[0]["book"]) if told else None


async def entries(player: Player) -> CaseFinding:
    """Check that a payment appears exactly once in today's entries."""
    one = player.order()
    await player.publish(one)
    if not await player.until_state(one, player.case.expect.states):
        return undecided(player, one)
    found = await entry_of(player, one, player.today())
    if isinstance(found, CaseFinding):
        return found
    player.facts["bank_line_id"] = found.get("bank_line_id")
    matched = found.get("matched_payment")
    said = f"matched {matched}" if matched else "the gateway has not matched it to the payment"
    return await booked(player, one, f"1 entry; {said}")


async def entry_of(player: Player, one: GivenOrder, day: date) -> dict[str, Any] | CaseFinding:
    """The only entry of the day for this payment, or a finding if there is none or more than one."""
    lines: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    # Try again, because a bank may book a little later than it answers.
    for _ in range(3):
        lines, wrong = await _walk(player, _account(one), day, day, 500)
        if wrong is not None:
            return wrong
        found = [line for line in lines if _is(line, one, player)]
        if found:
            break
    return found[0] if len(found) == 1 else failed(f"{len(found)} entries of {len(lines)} are this payment's")


def _account(one: GivenOrder) -> str:
    return str(one.fields["debtor"]["account"])


def _is(line: dict[str, Any], one: GivenOrder, player: Player) -> bool:
    if line.get("fee") or line.get("direction") != "debit":
        return False
    told = player.told(one)[-1].said
    if line.get("matched_payment"):
        return bool(line["matched_payment"] == told.get("payment"))
    named = {told.get("bank_reference"), told.get("bank_serial")} - {None, ""}
    if {line.get("reference"), line.get("bank_line_id")} & named:
        return True
    other = line.get("counterparty", {}).get("account")
    return line.get("amount") == one.fields["amount"] and other in (one.other, None)


async def _walk(
    player: Player, account: str, first: date, last: date, limit: int, pages: list[int] | None = None
) -> tuple[list[dict[str, Any]], CaseFinding | None]:
    lines: list[dict[str, Any]] = []
    after = None
    for _ in range(_PAGES_MOST):
        said = {"account": account, "from": first.isoformat(), "to": last.isoformat(), "limit": limit}
        reply = await player.ask("transactions.query", said | ({} if after is None else {"after": after}))
        if reply is None or reply.name != "transactions.page":
            return lines, unexpected(reply)
        lines += reply.said["lines"]
        if pages is not None:
            pages.append(len(reply.said["lines"]))
        after = reply.said.get("next")
        if not after:
            return lines, None
    return lines, failed(f"no end after {_PAGES_MOST} pages")


async def pages(player: Player) -> CaseFinding:
    """Check that small pages give the same entries as one large page, each once."""
    account, today = player.world.plan.told.accounts[0].number, player.today()
    whole, wrong = await _walk(player, account, today, today, 500)
    if wrong is not None:
        return wrong
    if len(whole) < 2:
        until = next_morning(player.world.now())
        return CaseFinding(CaseVerdict.WAITING, f"{len(whole)} entries today: too few to page through", until)
    sizes: list[int] = []
    size = max(1, len(whole) // 5)
    small, wrong = await _walk(player, account, today, today, size, sizes)
    if wrong is not None:
        return wrong
    ids = [line["line"] for line in small]
    if len(set(ids)) != len(ids):
        return failed(f"{len(ids) - len(set(ids))} entries came twice in {len(sizes)} pages")
    missing = {line["line"] for line in whole} - set(ids)
    if missing:
        return failed(f"{len(missing)} entries are missing from {len(sizes)} pages")
    return passed(f"{len(ids)} entries in {len(sizes)} pages of at most {size}")


async def no_entries(player: Player) -> CaseFinding:
    """Ask for a day without entries."""
    account, day = player.world.plan.told.accounts[0].number, player.today() - timedelta(days=_QUIET_DAYS)
    lines, wrong = await _walk(player, account, day, day, 100)
    if wrong is not None:
        return wrong
    return passed(f"no entries on {day}") if not lines else failed(f"{len(lines)} entries on {day}")


async def bad_cursor(player: Player) -> CaseFinding:
    """Check that an invented `after` is refused."""
    account, day = player.world.plan.told.accounts[0].number, player.today().isoformat()
    said = {"account": account, "from": day, "to": day, "limit": 10, "after": "q83vEjRWeJCrze8SNFZ4kHsicGFnZSI6Mn0"}
    return _refused(player, await player.ask("transactions.query", said))


async def unknown_order(player: Player) -> CaseFinding:
    """Ask for the status of an order id that was never used."""
    return _refused(player, await player.ask("status.query", {"id": f"{player.one.name}-NOBODY"}))


async def directory(player: Player) -> CaseFinding:
    """Ask for the bank's directory of branches, through the control API."""
    world = player.world
    try:
        text = world.plan.told.looks_up
        said = await world.elsewhere(world.desk.get, "directory", world.plan.bank, name=text, limit=5)
    except Refused as error:
        return failed(f"{error.code}: {error}")
    return passed(f"{len(said.get('branches', said.get('banks', ())))} branches")
