"""A finished life with cash pools, linked payments, registered payees, claims and open proposals, whose journal is altered
afterwards, and the judge of the next life.

Each pool has a lane of its own, so that alterations at one pool do not hide those at another. At the end of the life,
one pool has moves and a leg that did not leave, one has a leg in doubt, and one has a linked order that its leg's money
has released. The next life sends what is left, and a slot opens in it. The judge reads the bank's books alone: what the
bank got, by order and by account, in its order.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from gateway.call import Denied
from gateway.kernel.commit.store import Tx
from gateway.payments.rows import bank_references
from gateway.people.rows import delegations
from gateway.people.rows.delegations import DelegationRow
from gateway.people.rules import scopes
from gateway.people.rules.delegations import Delegation
from gateway.people.rules.roles import PersonRole
from gateway.pools.rows import linked_orders, pool_moves, pool_runs, pools
from gateway.pools.rows.pool_runs import RunRequest
from gateway.pools.rules import pool as pool_text
from gateway.simbank.faults import BankFault, ExchangeKind, FaultScript, ScriptedFault
from gateway.simbank.ledger import BookingRules
from gateway.simbank.record import Execution
from gateway.statements.rows import accounts
from protocols.canon.limits import ReferenceForm
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line
from protocols.erp.account_replies import line_id
from tests.gateway.cli.control_operator import NoAnswer, Operator
from tests.gateway.cli.resolving import Hand, approve, hand, made_of
from tests.gateway.people.test_people_acts import appoint, decide, let_in, sign_in
from tests.world import tampered_life
from tests.world.sim import replaying
from tests.world.stage import NEVER
from tests.world.tampered_life import CLOSED, SENT, EndSituation, FinishedLife, ForbiddenExecutions
from tests.world.world import START_S, World

POOLS = ("a", "b", "c")
"""Each is on the lane of its name."""
SHUT = "z"
"""A pool that two persons have closed."""
RICH, MEMBER_MINOR, SPENDER_MINOR = 10**9, 1_000_000, 50_000
HOLDINGS = (RICH, MEMBER_MINOR, MEMBER_MINOR, SPENDER_MINOR, SPENDER_MINOR)
"""Of a pool's header and its four members."""
QUOTA = "quota=2000.00"
HEADS = {
    "a": f"most-run=90000.00 most-day=900000.00 {QUOTA}",
    "b": "most-run=1000.00 most-day=1000.00",
    "c": f"most-run=90000.00 most-day=900000.00 {QUOTA}",
}
FREE = "most-run=90000.00 most-day=900000.00"
QUOTA_MINOR = {"a": 200_000, "c": 200_000}
DAY_MINOR = {"b": 100_000}
SLOTS = ("1908", "1916", "1929")
SLOT_WORDS = dict.fromkeys(("b", "c", SHUT), "slots=19:08-19:12,19:16-19:28,19:29-20:55")
SLOT_WORDS["a"] = "slots=19:08-19:12,19:16-20:50"
"""The second slot of pool a is open when the life ends; the last slot of the others opens in the next life."""
FIRST_S, SECOND_S, LAST_S = 80.0, 560.0, 1_340.0
"""When slots open, in seconds since the start."""
NEXT = {"a": (3, 170_000), "b": (1, MEMBER_MINOR + 40_000), "c": (3, 170_000)}
"""Linked orders of the next life by payer and amount, which the quota or the ceiling of the day forbids because of what
was moved before."""
FORBIDDEN = "forbidden"
FREED_WITH_LAST = ("a", "c")
"""Pools whose quota has room for the next life's order if the last linked order of this life never reaches the bank: an
alteration that loses this order frees what it would have used. Pool b has a leg in doubt, which counts in any case."""
LAST_MINOR = {"a": 21_000, "b": 22_000, "c": 23_000}
UNFUNDED_MINOR = 600_000
SECONDS = 60.0
"""How long the next life is: a slot opens in it, and its balances are gathered."""
ZHAO, SUN, EVA = hand("zhao", 7_001), hand("sun", 7_002), hand("eva", 7_003)
QIAN, TOM = hand("qian", 7_004), hand("tom", 7_005)
_SENDERS = {
    "treasury": {
        "operations": ["transfer.submit"],
        "suspected_duplicate_hours": 0,
        "limits": {"per_payment": "5000.00"},
    },
    "branch": {
        "users": ["branch-user"],
        "operations": ["payment.submit", "payment.cancel"],
        "reply_to": r"erp-demo\..*",
        "suspected_duplicate_hours": 0,
        "new_payee_hold": True,
    },
}
_STATES = {
    "payments": {"ready", "held", "in_doubt", "settled", "cancelled"},
    "linked_orders": {"waiting", "funding", "released", "unfunded", "done"},
    "pool_runs": {"planned", "open", "done"},
    "pool_moves": {"planned", "ordered", "refused"},
    "proposals": {"open", "done"},
}


@dataclass(slots=True)
class PoolLife(FinishedLife):
    """A life with pools after its end. `orders` are the orders of transfers by bank reference, of this life and of the
    next life's slot; `legs` are the references of legs by the order that each funds."""

    orders: dict[str, str] = field(default_factory=dict)
    legs: dict[str, str] = field(default_factory=dict)
    proposals: list[str] = field(default_factory=list)

    def go_on(self) -> list[str]:
        """Run the daemon once more."""
        return _next_life(self)

    def worse(self) -> ForbiddenExecutions:
        """The executions since the life ended that were forbidden."""
        return _judged(self)


# ---- the life ----------------------------------------------------------------------------------------------------


def lived(folder: Path, seed: int) -> PoolLife:
    """Run the life to its end."""
    world = World(
        folder,
        seed,
        lanes=POOLS,
        accounts=len(POOLS) * len(HOLDINGS) + 2,
        holdings=tuple(minor for minor in HOLDINGS for _ in POOLS) + (MEMBER_MINOR,) * 2,
        conduct=BookingRules(dedup=False),
        plan=FaultScript(),
        adapters={"sample": partial(replaying, rule=NEVER)},
        settings={"senders": _SENDERS},
        options={"sample": {"heartbeat_s": 100.0, "sessions": 2}},
        spans={"enquiry_deadline_s": 3_000.0},
    )
    older: list[Path] = []
    world.start()
    world.run(3)
    proposals = _people(world)
    for name in POOLS:
        _put(world, name, _text(world, name, FREE))
    header, child = world.bank.accounts[-2:]
    _put(world, SHUT, f"pool CNY header={header} {SLOT_WORDS[SHUT]} {FREE}; child {child} up=all")
    tampered_life.copy(world, older)
    _put(world, SHUT, "none")
    _until(world, FIRST_S + 20)
    tampered_life.copy(world, older)
    _until(world, FIRST_S + 90)
    for name in POOLS:
        _link(world, name, "done", 3, SPENDER_MINOR + 10_000)
        _link(world, name, "unfunded", 4, UNFUNDED_MINOR)
    world.run(45)
    _link(world, "a", "waits", 4, 77_000, not_before=world.moment(50_000))
    tampered_life.copy(world, older)
    _withdrawn(world)
    for name in ("a", "b"):
        _put(world, name, _text(world, name, HEADS[name]))
    _claims(world)
    world.run(30)
    tampered_life.copy(world, older)
    _until(world, SECOND_S - 10)
    _pause(world, "a")
    _until(world, SECOND_S + 60)
    tampered_life.copy(world, older)
    _until(world, LAST_S - 200)
    _last_links(world)
    tampered_life.copy(world, older)
    world.run(60)
    _do(world, partial(_refused, world=world))
    _until(world, LAST_S - 5)
    _do(world, partial(_planned, world=world, name="a", slot="hand3"))
    assert world.life is not None
    assert world.life.fatal == [], world.life.fatal
    assert not any(lane.halted for lane in world.life.gateway.lanes.values())
    form = world.life.gateway.registry.banks["sample"].profile.limits.reference
    world.crash()
    return _ended(world, older, proposals, form)


def _until(world: World, second: float) -> None:
    assert world.clock.seconds() < START_S + second, "the story is late"
    world.run(START_S + second - world.clock.seconds())


def _do(world: World, unit: Callable[[Tx], Any]) -> None:
    assert world.life is not None
    failed: list[Any] = []
    world.life.store.write(unit).addErrback(failed.append)
    world.run(0.1)
    assert not failed, failed


def _accounts(world: World, name: str) -> tuple[str, ...]:
    """The pool's header and its members."""
    return world.bank.accounts[POOLS.index(name) : len(POOLS) * len(HOLDINGS) : len(POOLS)]


def _text(world: World, name: str, head: str) -> str:
    header, *members = _accounts(world, name)
    rules = ("up=fixed:60.00", "up=fixed:70.00", "down=target:0.01", "down=target:0.01")
    parts = "; ".join(f"child {account} {rule}" for account, rule in zip(members, rules, strict=True))
    return f"pool CNY header={header} {SLOT_WORDS[name]} {head}; {parts}"


def _put(world: World, name: str, text: str) -> None:
    _do(world, lambda tx: pools.put_in_force(tx, name, text, "P"))


def _pause(world: World, name: str) -> None:
    """Pause the lane in memory only: the next process does not know about it."""
    assert world.life is not None
    world.life.gateway.lanes[f"sample.{name}"].pause("exercise")


def _link(world: World, name: str, stage: str, payer: int, minor: int, **more: Any) -> None:
    debtor = {"account": _accounts(world, name)[payer], "name": "示例甲公司"}
    world.submit(f"link-{name}-{stage}", minor, debtor=debtor, funded_by=name, **more)


def _branch(world: World, id_: str, payee_of: str, minor: int) -> None:
    """Submit an order of the sender that pays only registered payees, to the payee of the order `payee_of`."""
    body = {**world.order(payee_of, minor), "id": id_}
    world._orders[id_] = ("", "payment.submit", body)
    world.command("payment.submit", body, user="branch-user")


def _people(world: World) -> list[str]:
    """Enrol supervisors, a viewer, a delegation, registered payees, and two proposals that one person has signed."""
    operator = Operator(world)
    appoint(operator)
    for one, roles in ((ZHAO, "supervisor@*"), (SUN, "supervisor@*"), (QIAN, "supervisor@*"), (EVA, "viewer@*")):
        let_in(operator, one, roles)
    let_in(operator, TOM, "viewer@*")
    for payee in ("known", "new"):
        _branch(world, f"branch-{payee}-0", payee, 1_000)
    world.run(2)
    decide(operator, "register", "branch:branch-known-0", "known", ZHAO, SUN)
    _branch(world, "branch-known-1", "known", 1_001)
    given = Delegation(
        "sun",
        "tom",
        frozenset({PersonRole.SUPERVISOR}),
        scopes.parse("*"),
        round(world.clock.seconds() * 1000),
        round(world.clock.seconds() * 1000) + 3_600_000,
    )
    made: list[object] = []
    _do(world, lambda tx: made.append(delegations.delegate(tx, given, "a leave", "person:sun")))
    assert isinstance(made[0], DelegationRow), made
    half = [
        _half_signed(operator, "pool", "a", _text(world, "a", FREE)),
        _half_signed(operator, "register", "branch:branch-new-0", "known"),
    ]
    decide(operator, "deactivate", "sun", "deactivated")
    return half


def _half_signed(operator: Operator, kind: str, subject: str, to: str) -> str:
    wanted: dict[str, Any] = {"kind": kind, "subject": subject, "to": to, "note": "as the board said"}
    drafted = operator.ask("POST", "proposals", "draft", peer=ZHAO.peer, **wanted)
    made = made_of(drafted, ZHAO, wanted, b"")
    return str(operator.ask("POST", "proposals", peer=ZHAO.peer, **made)["proposal"])


def _request(world: World, tx: Tx, name: str, slot: str) -> RunRequest:
    day = datetime.fromtimestamp(tx.now_ms / 1000, UTC).astimezone(_service(world).zone).date()
    return RunRequest(name, day, slot, tx.now_ms + 3_600_000, "uid:1")


def _service(world: World) -> Any:
    assert world.life is not None
    return world.life.gateway.pools


def _withdrawn(world: World) -> None:
    """Run pool c, and put another version of it in force before its orders are sent."""
    _pause(world, "c")
    pool = pool_text.parse(_text(world, "c", FREE))
    assert pool is not None
    asked: list[RunRequest] = []
    _do(world, lambda tx: asked.append(_request(world, tx, "c", "hand1")))
    Deferred.fromCoroutine(_service(world).run(asked[0], pool))
    world.run(5)
    _put(world, "c", _text(world, "c", HEADS["c"]))
    assert world.life is not None
    world.life.gateway.lanes["sample.c"].resume("exercise")


def _planned(tx: Tx, world: World, name: str, slot: str) -> None:
    """Plan a run whose node dies before it orders the moves."""
    assert world.life is not None
    made = pool_runs.plan_run(tx, _request(world, tx, name, slot), world.life.gateway.registry, _service(world).zone)
    assert isinstance(made, pool_moves.PoolRun), made


def _refused(tx: Tx, world: World) -> None:
    """Make a run of pool c whose moves are refused, because another version came into force."""
    assert world.life is not None
    _planned(tx, world, "c", "hand2")
    run = pool_moves.run_id("c", _request(world, tx, "c", "").day, "hand2")
    pools.put_in_force(tx, "c", _text(world, "c", HEADS["c"]), "P")
    for place in (1, 2):
        pool_runs.order_move(tx, run, place, world.life.gateway.registry, _service(world).zone)
    pool_runs.end_run(tx, run)


def _claims(world: World) -> None:
    """Record entries of the legs that arrived, and claims of two of them."""
    day = _service(world).local().date()
    for n, name in enumerate(POOLS):
        header, *members = (AccountNumber(one) for one in _accounts(world, name))
        line = Line(members[2], f"L-{n}", Direction.CREDIT, Money(10_000), day, counterparty_account=header)
        _do(world, partial(accounts.keep_entry, bank="sample", line=line, senders=()))
        body = {"id": f"RC-{n}", "account": members[2].clear, "line": line_id(line), "reference": f"SO-{n}"}
        world.command("credit.claim", body)


def _last_links(world: World) -> None:
    """Give pool a a leg that is not sent, pool b one that is lost, and pool c an order that the money has released."""
    world.bank.simbank.script.add(ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.MONEY))
    _link(world, "b", "last", 3, LAST_MINOR["b"])
    world.run(40)
    assert not world.bank.simbank.script.left(), "the leg was not ordered"
    for name in ("a", "c"):
        _link(world, name, "last", 3, LAST_MINOR[name])
    before = len(world.bank.ledger.executions)
    for _ in range(80):
        world.run(0.5)
        if len(world.bank.ledger.executions) > before:
            break
    _pause(world, "c")


# ---- its end -----------------------------------------------------------------------------------------------------


def _ended(world: World, older: list[Path], proposals: list[str], form: ReferenceForm) -> PoolLife:
    file = world.folder / "journal.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
        lacking = [
            f"{table} {state}"
            for table, wanted in _STATES.items()
            for state in wanted - {state for (state,) in db.execute(f"select distinct state from {table}")}
        ]
        assert not lacking, f"the life has no row of these; what is altered proves nothing: {lacking}"
        rows = db.execute("select order_id, state, bank_ref, sender from payments").fetchall()
        legs = dict(
            db.execute(
                "select p.order_id, leg.bank_ref from linked_orders l join payments p on p.payment = l.payment"
                " join pool_moves m on m.run = l.run join payments leg on leg.payment = m.payment"
            ).fetchall()
        )
        planned = db.execute("select order_id from pool_moves where state = 'planned'").fetchall()
        day = db.execute("select max(business_date) from pool_runs").fetchone()[0].replace("-", "")
    if world._outside is not None:
        world._outside.close()
        world._outside = None
    closed = {id_: state for id_, state, _ref, _sender in rows if state in CLOSED}
    # Its leg was right, and has not left: the next life funds and sends it.
    del closed["link-a-last"]
    closed |= {f"link-{name}-unfunded": "unfunded" for name in POOLS} | {"link-a-waits": "waiting"}
    closed |= {"link-b-last": "held for a leg in doubt"} | {f"next-{name}": FORBIDDEN for name in POOLS}
    closed |= {f"branch-{one}": "not registered" for one in ("new-0", "new-1")}
    next_ids = [id_ for (id_,) in planned]
    next_ids += [f"{name}.{day}.{SLOTS[-1]}.{place}" for name in ("b", "c") for place in (1, 2, 3, 4)]
    for name in POOLS:
        slot = linked_orders.leg_slot(world.vault, "kingdee", f"next-{name}")
        leg = f"{pool_moves.link_run_id(name, slot)}.1"
        closed[leg] = FORBIDDEN
        next_ids.append(leg)
    orders = {ref: id_ for id_, _state, ref, sender in rows if sender == "treasury" and ref}
    orders |= {bank_references.derived(form, world.vault, "sample", id_): id_ for id_ in next_ids}
    permits = {str(one): one.read_bytes() for one in world.permit_folder(world.node).rglob("*") if one.is_file()}
    life = PoolLife(
        world,
        EndSituation.POOLS,
        file.read_bytes(),
        older,
        Counter(),
        closed,
        permits=permits,
        orders=orders,
        legs=legs,
        proposals=proposals,
    )
    for one in _arrived(world):
        life.executed[_identity(life, one)] += 1
    found = _judged(life)
    assert not found, found
    return life


# ---- the next life -----------------------------------------------------------------------------------------------


def _next_life(life: PoolLife) -> list[str]:
    world = life.world
    later = world.start(world.node)
    world.run(2)
    if not later.fatal:
        for name, (payer, minor) in NEXT.items():
            debtor = {"account": _accounts(world, name)[payer], "name": "示例甲公司"}
            world.submit(f"next-{name}", minor, debtor=debtor, funded_by=name)
        _branch(world, "branch-known-2", "known", 1_002)
        world.run(1)
        _try_to_sign(world, life.proposals)
        _branch(world, "branch-new-1", "new", 1_003)
    world.run(SECONDS)
    return tampered_life.signs_of(world, later)


def _try_to_sign(world: World, proposals: list[str]) -> None:
    """Let persons sign who may not be the second signer: the proposer, a viewer, a deactivated person, and that
    person's delegate."""
    operator = Operator(world)
    for key, persons in zip(proposals, ((ZHAO, SUN), (EVA, TOM)), strict=True):
        for one in persons:
            with suppress(Denied, NoAnswer, KeyError):
                _sign(operator, one, key)


def _sign(operator: Operator, one: Hand, key: str) -> None:
    with suppress(Denied):
        sign_in(operator, one)
    approve(operator, one, key)


# ---- the judge ---------------------------------------------------------------------------------------------------


def _arrived(world: World) -> list[Execution]:
    """All instructions that the bank received, in order, including those that it refused."""
    return world.bank.ledger.executions


def _identity(life: PoolLife, one: Execution) -> str:
    """The order to which an instruction belongs: for a transfer found by its reference, for a payment by payee and
    amount. An altered reference belongs to no order."""
    said = one.instruction
    if said.creditor_account in life.world.bank.accounts:
        return life.orders.get(said.reference, f"no order: reference {said.reference}")
    place = tampered_life.place(said.creditor_account, str(said.amount))
    return tampered_life.payees(life.world).get(place, f"no order: {place}")


def _judged(life: PoolLife) -> ForbiddenExecutions:
    second: list[str] = []
    looser: list[str] = []
    counts = Counter(_identity(life, one) for one in _arrived(life.world))
    freed = {name for name in FREED_WITH_LAST if not counts[f"link-{name}-last"]}
    for id_, count in counts.items():
        before, state = life.executed[id_], life.closed.get(id_, "")
        if count == before:
            continue
        if count > 1 or (state in SENT and before):
            second.append(f"{id_} ({state}): at the bank {before} times before, {count} now")
        elif state in SENT:
            second.append(f"{id_} ({state}) was lost on its way, and was sent again")
        elif state == FORBIDDEN and id_.removeprefix("next-").partition(".")[0] in freed:
            continue  # the sums of the bank's books judge it
        elif state or id_.startswith("no order"):
            looser.append(f"{id_} ({state}) was sent")
    looser += _without_money(life)
    looser += _over_mandates(life.world)
    return ForbiddenExecutions(tuple(second), tuple(looser))


def _without_money(life: PoolLife) -> list[str]:
    """Instructions that arrived before their account had the money, and linked orders whose leg never arrived."""
    world, found = life.world, []
    minor = dict(zip(world.bank.accounts, world._holdings, strict=True))
    came = set()
    leg_of = life.legs
    for one in _arrived(world):
        said, id_ = one.instruction, _identity(life, one)
        if minor[said.debtor_account] < said.amount.minor:
            found.append(f"{id_} arrived when its account had {minor[said.debtor_account]} of {said.amount.minor}")
        elif id_ in leg_of and leg_of[id_] not in came:
            found.append(f"{id_} was sent before its leg {leg_of[id_]} had come")
        if one.refused:
            continue
        came.add(said.reference)
        minor[said.debtor_account] -= said.amount.minor
        if said.creditor_account in minor:
            minor[said.creditor_account] += said.amount.minor
    return found


def _over_mandates(world: World) -> list[str]:
    """Members that owed more than the quota at any moment, pools that moved more than their daily ceiling, and
    transfers of a closed pool."""
    found = []
    owed: dict[str, int] = defaultdict(int)
    moved: dict[str, int] = defaultdict(int)
    pool_of = {account: name for name in POOLS for account in _accounts(world, name)}
    for one in _arrived(world):
        said = one.instruction
        if one.refused or said.creditor_account not in world.bank.accounts:
            continue
        name = pool_of.get(said.debtor_account, SHUT)
        if name == SHUT or pool_of.get(said.creditor_account) != name:
            found.append(f"{said.debtor_account} to {said.creditor_account}: no pool that is open")
            continue
        header = _accounts(world, name)[0]
        moved[name] += said.amount.minor
        down = said.debtor_account == header
        member = said.creditor_account if down else said.debtor_account
        owed[member] += said.amount.minor if down else -said.amount.minor
        if abs(owed[member]) > QUOTA_MINOR.get(name, RICH):
            found.append(f"member {member} owes {owed[member]}")
    return found + [f"pool {name} moved {moved[name]}" for name, most in DAY_MINOR.items() if moved[name] > most]
