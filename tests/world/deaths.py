"""The real daemon dies at every named point: real SQLite, real RabbitMQ, simulated banks over mutual TLS.

    python -m tests.world.deaths --rounds 5

Each life gets orders, a repeated command, a cancel and a question, and ends at its point; the next one finds what it
left. After a round one life goes on to the end, and then banks' ledgers, journal and the ERP's events are compared; no
bank may have heard more messages than the journal has attempts.
Each life gets a linked payment, too, and another one that is cancelled: see `linked_deaths`.
The last line is `crash: P points, R rounds, D duplicated, L lost; M pool moves; K linked payments, U times a leg in
doubt`; the exit code is 0 only if D and L are 0, every point was met, and each death at a leg left it in doubt.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pika
import pika.exceptions

from gateway.demo import evidence, processes, site
from gateway.demo.own_vhost import own_vhost
from gateway.demo.processes import Child
from gateway.kernel.sql import databases, vault
from gateway.pools.rows import pools
from gateway.settings.agreement import TREASURY
from protocols.twin import Booked
from tests.gateway.kernel.bench import Journal
from tests.world import heard, linked_deaths, wire
from tests.world.mortal import DEAD, POINTS
from tests.world.services import Broker, broker_file, described, read_broker

BANKS = ("sample", "pab")
LIFE_S = 30.0
END_S = 90.0
NEVER = "never"
SENDER = "kingdee"
POOL, POOL_AMOUNT = "group", 7
LEG = "link_leg"
"""The names of points at leg 1 of a linked payment contain this."""
_RUNS = "select run, state from pool_runs"
_MOVES = (
    "select m.order_id, (select count(*) from payments p where p.sender = 'treasury' and p.order_id = m.order_id) "
    "from pool_moves m where m.state = 'ordered'"
)
_POOL_ORDERS = "select order_id, bank_ref, state from payments where sender = 'treasury'"
PLANS = (
    site.BankPlan(
        "sample",
        cheap=True,
        accounts=4,
        twin_options={"user": "demo", "password": "demo-password"},
        options={"first_enquiry_s": 0.2, "quarantine_s": 2.0, "answer_s": 2.0, "sessions": 2, "verify": "hand"},
    ),
    site.BankPlan(
        "pab",
        twin_options={"enterprise_code": site.ENTERPRISE_CODE},
        options={
            "enterprise_code": site.ENTERPRISE_CODE,
            "first_enquiry_s": 0.2,
            "per_second": 200,
            "burst": 50,
            "first_byte_s": 2.0,
            "exchange_s": 4.0,
        },
    ),
)


@dataclass(frozen=True, slots=True)
class DeathPoint:
    """A named point of the program, and the number of the passing at which the process ends there."""

    point: str
    nth: int


def places() -> list[DeathPoint]:
    """Every point, once for each passing at which a life is ended there."""
    return [DeathPoint(point, nth) for point, passings in POINTS.items() for nth in passings]


@dataclass(slots=True)
class Verdict:
    """The result of a comparison. `missed` are points that no life reached."""

    met: list[DeathPoint] = field(default_factory=list)
    missed: list[DeathPoint] = field(default_factory=list)
    rounds: int = 0
    duplicated: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    moved: int = 0
    linked: int = 0
    doubted: int = 0

    @property
    def holds(self) -> bool:
        """Whether there is no finding and no missed point."""
        return not (self.duplicated or self.lost or self.missed)

    def last_line(self) -> str:
        """The line with the figures of the round."""
        return (
            f"crash: {len(set(self.met))} points, {self.rounds} rounds, {len(self.duplicated)} duplicated, "
            f"{len(self.lost)} lost; {self.moved} pool moves; {self.linked} linked payments, "
            f"{self.doubted} times a leg in doubt"
        )


class Erp:
    """An independent client that publishes with confirms and reads its two queues."""

    def __init__(self, broker: Broker, vhost: str) -> None:
        login = broker.users["erp-demo"]
        self.user = login.user
        self._connection = pika.BlockingConnection(
            pika.ConnectionParameters(
                broker.host, broker.port, vhost, pika.PlainCredentials(login.user, login.password), heartbeat=0
            )
        )
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()
        run = uuid.uuid4().hex[:8]
        self._replies, self._events = f"erp-demo.{run}.replies", f"erp-demo.{run}.events"
        self.replies: dict[str, set[str]] = defaultdict(set)
        self.events: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
        self._bound = False
        for queue in (self._replies, self._events):
            self._channel.queue_declare(queue, durable=True, auto_delete=False)

    def publish(self, type_: str, body: dict[str, Any], message_id: str) -> None:
        """Publish a command."""
        said = pika.BasicProperties(
            user_id=self.user,
            message_id=message_id,
            reply_to=self._replies,
            delivery_mode=2,
            content_type="application/json",
        )
        self._channel.basic_publish("bankgw.commands", type_, json.dumps(body).encode(), said, mandatory=True)

    def bind(self) -> bool:
        """Bind the queue for events; returns False while the exchange does not exist."""
        if not self._bound:
            try:
                self._channel.queue_bind(self._events, "bankgw.events", "#")
                self._bound = True
            except pika.exceptions.ChannelClosedByBroker:
                self._channel = self._connection.channel()
                self._channel.confirm_delivery()
        return self._bound

    def listen(self) -> None:
        """Read every message that arrived."""
        while (got := self._channel.basic_get(self._replies, auto_ack=True))[0] is not None:
            self.replies[got[1].correlation_id].add(got[1].message_id)
        while (got := self._channel.basic_get(self._events, auto_ack=True))[0] is not None:
            said = json.loads(got[2])
            if said.get("payment"):
                self.events[said["id"]].setdefault(said["seq"], said)

    def close(self) -> None:
        """Delete the ERP's queues."""
        for queue in (self._replies, self._events):
            self._channel.queue_delete(queue)
        self._connection.close()


class DeathSite:
    """The simulated banks and daemon, and the ERP's commands."""

    def __init__(self, folder: Path, broker: Broker, vhost: str, *, links: bool) -> None:
        self.folder, self.links = folder, links
        self.site = site.prepare(folder, PLANS)
        self.erp = Erp(broker, vhost)
        self.orders: dict[str, str] = {}
        self.cancelled: set[str] = set()
        self.commands: list[str] = []
        self._simulators = [
            Child(plan.bank, processes.simulator_command(self.site.simulator(plan.bank)), folder / f"{plan.bank}.log")
            for plan in PLANS
        ]
        self._daemon: Child | None = None
        self._broker = {
            "host": broker.host,
            "port": broker.port,
            "vhost": vhost,
            "users": {role: {"user": login.user, "password": login.password} for role, login in broker.users.items()},
        }

    def open(self) -> None:
        """Start the banks and write the daemon's settings."""
        for child in self._simulators:
            child.start()
        until_s = time.monotonic() + 30
        while not all(self.site.ready_file(bank).exists() for bank in BANKS):
            assert time.monotonic() < until_s, [child.tail() for child in self._simulators]
            time.sleep(0.05)
        site.configure(
            self.site,
            self._broker,
            {
                SENDER: {
                    "users": [self.erp.user],
                    "operations": ["payment.submit", "payment.cancel", "balance.query"],
                    "reply_to": r"erp-demo\..*",
                    "suspected_duplicate_hours": 0,
                },
                TREASURY: {"operations": ["transfer.submit"]},
            },
        )
        # A first life declares the broker's queues, so that the ERP need not wait for lives that die early.
        first = self.life(DeathPoint(NEVER, 0))
        while not (b'"broker.up"' in first.log.read_bytes() and self.erp.bind()):
            assert first.ended() is None and time.monotonic() < until_s, first.tail()
            time.sleep(0.05)
        first.stop(20)
        self._plant_pool()

    def _plant_pool(self) -> None:
        """Put a pool over the first bank's accounts in force, which every life runs once. Two children send a part up.
        The third must keep everything, so that each of its orders that names the pool needs the header's money."""
        header, *children, member = site.account_numbers(BANKS[0], 4)
        text = f"pool CNY header={header} most-run=9000.00 most-day=9000000.00"
        text += "".join(f"; child {child} up=fixed:{POOL_AMOUNT}.00" for child in children)
        text += f"; child {member} down=target:0.01 floor={site.OPENING}"
        node = Journal(self._journal_url(), "planter", sealing=vault.load(self._key()))
        try:
            node.do(lambda tx: pools.put_in_force(tx, POOL, text, "planted"))
        finally:
            node.close()

    @property
    def _journal(self) -> Path:
        return self.site.state / "journal.db"

    @property
    def _member(self) -> str:
        """The account that linked payments are paid from."""
        return site.account_numbers(BANKS[0], 4)[3]

    def _journal_url(self) -> str:
        return f"sqlite:///{self._journal}"

    def _key(self) -> Path:
        return self.site.folder / "secrets" / "vault.key"

    def life(self, place: DeathPoint) -> Child:
        """Start a daemon that dies at the point."""
        command = (sys.executable, "-m", "tests.world.mortal", str(self.site.settings), place.point, str(place.nth))
        self._daemon = Child("daemon", command, self.folder / "daemon.log")
        self._daemon.start()
        return self._daemon

    def say(self, mark: str) -> None:
        """Publish the ERP's commands for one life."""
        for n, bank in enumerate((*BANKS, BANKS[0])):
            self._submit(f"{mark}-{n}", bank)
        self._submit(f"{mark}-0", BANKS[0], again=True)
        late = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        if self.links:
            for linked in ("l", "k"):
                self._submit(
                    f"{mark}-{linked}",
                    BANKS[0],
                    debtor={"account": self._member, "name": site.HOLDERS[3 % len(site.HOLDERS)]},
                    funded_by=POOL,
                )
            self._command("payment.cancel", {"id": f"{mark}-k"}, f"{mark}-cancel-k")
            self.cancelled.add(f"{mark}-k")
        self._submit(f"{mark}-c", BANKS[0], not_before=late)
        self._command("payment.cancel", {"id": f"{mark}-c"}, f"{mark}-cancel")
        self.cancelled.add(f"{mark}-c")
        account = site.account_numbers(BANKS[0], 1)[0]
        asked = {"accounts": [account], "max_age": "PT0S", "max_wait": "PT5S"}
        self._command("balance.query", asked, f"{mark}-balance")

    def _submit(self, id_: str, bank: str, *, again: bool = False, **changes: Any) -> None:
        payee = f"{len(self.orders) + 1:019d}" if not again else self.orders[id_]
        self.orders[id_] = payee
        self._command(
            "payment.submit",
            {
                "id": id_,
                "debtor": {"account": site.account_numbers(bank, 1)[0], "name": site.HOLDERS[0]},
                "creditor": {
                    "account": payee,
                    "name": "示例乙公司",
                    "bank_name": "示例银行某支行",
                    "cnaps": "000000000000",
                    "kind": "corporate",
                },
                "amount": "12.34",
                "currency": "CNY",
                "purpose": "货款",
                **changes,
            },
            f"{id_}-m",
        )

    def _command(self, type_: str, body: dict[str, Any], message_id: str) -> None:
        self.commands.append(message_id)
        self.erp.publish(type_, body, message_id)

    def close(self) -> None:
        """Stop everything."""
        processes.stop_all([*self._simulators, *([self._daemon] if self._daemon else [])], 10)
        self.erp.close()

    # ---- what became of it ----

    def open_ends(self) -> list[str]:
        """The events still to come: replies, final events of orders, and ends of doubts about what the banks have
        booked."""
        booked = {one.creditor for one in self._executed()}
        waiting = [message_id for message_id in self.commands if not self.erp.replies[message_id]]
        for id_, payee in self.orders.items():
            news = self.erp.events[id_]
            state = news[max(news)]["state"] if news else "nothing"
            doubt = state in ("in_doubt", "escalated") and payee not in booked
            if state not in ("settled", "cancelled") and not doubt:
                waiting.append(f"{id_} is {state}")
        waiting += [f"run {run} is not done" for run, state in self._pool_rows(_RUNS) if state != "done"]
        return waiting + linked_deaths.open_links(self._journal)

    def _pool_rows(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.site.state / 'journal.db'}?mode=ro", uri=True)) as db:
            return db.execute(statement).fetchall()

    def _compare_pools(self, executed: Sequence[Any], verdict: Verdict) -> None:
        """Check that each ordered move is one payment, and that no payment of a pool was executed twice."""
        # Each bank has references of its own.
        times = Counter(one.reference for one in executed if one.bank == BANKS[0])
        for order_id, payments in self._pool_rows(_MOVES):
            if payments != 1:
                verdict.lost.append(f"move {order_id} is ordered and became {payments} payments")
        for order_id, reference, state in self._pool_rows(_POOL_ORDERS):
            if times[reference] > 1:
                verdict.duplicated.append(f"{order_id} was executed {times[reference]} times")
            if times[reference] != 1 and state == "settled":
                verdict.lost.append(f"{order_id} is settled, and the bank executed it {times[reference]} times")
        verdict.moved += sum(times[reference] for _order, reference, _state in self._pool_rows(_POOL_ORDERS))

    def _compare_links(self, verdict: Verdict) -> None:
        said = self.site.settings.with_name(wire.NAME)
        links = linked_deaths.compare(self._journal, self.site.ledger(BANKS[0]), said, self._member)
        verdict.duplicated += links.duplicated
        verdict.lost += links.lost
        verdict.linked += links.settled
        verdict.doubted = links.doubted
        died = sum(LEG in place.point for place in verdict.met)
        if links.doubted < died:
            verdict.lost.append(f"of {died} deaths at a leg, {links.doubted} left it in doubt")

    def _executed(self) -> list[Any]:
        now_ms = int(time.time() * 1000)
        return [one for bank in BANKS for one in evidence.executed(bank, self.site.ledger(bank), now_ms)]

    def compare(self, verdict: Verdict) -> None:
        """Compare ledgers, journal and events."""
        executed = [one for one in self._executed() if one.booked is not Booked.REFUSED]
        by_payee = Counter(one.creditor for one in executed)
        self._compare_pools(executed, verdict)
        self._compare_links(verdict)
        journal: dict[str, list[Any]] = defaultdict(list)
        for row in evidence.journalled(self.site.state, self.site.folder / "secrets" / "vault.key"):
            journal[row.order_id].append(row)
        for id_, payee in self.orders.items():
            if by_payee[payee] > 1:
                verdict.duplicated.append(f"{id_} was executed {by_payee[payee]} times")
            rows, news = journal[id_], self.erp.events[id_]
            if len(rows) != 1:
                verdict.lost.append(f"{id_} became {len(rows)} payments")
                continue
            [row] = rows
            if sorted(news) != list(range(1, row.seq + 1)):
                verdict.lost.append(f"{id_}: the journal is at {row.seq}, the ERP has heard {sorted(news)}")
            elif news[row.seq]["state"] != row.state.value:
                verdict.lost.append(
                    f"{id_}: the ERP heard {news[row.seq]['state']}, the journal says {row.state.value}"
                )
            paid = bool(by_payee[payee])
            right = {"settled": paid, "cancelled": not paid, "in_doubt": not paid, "escalated": not paid}
            if not right.get(row.state.value, False):
                verdict.lost.append(
                    f"{id_} is {row.state.value}, and the bank has {'booked' if paid else 'not booked'} it"
                )
        engine = databases.connect(f"sqlite:///{self.site.state / 'journal.db'}", connections=1, writing=False)
        try:
            with engine.connect() as conn:
                arrived = heard.heard({bank: self.site.ledger(bank) for bank in BANKS})
                found = list(heard.unwritten(arrived, heard.written(conn)))
        finally:
            engine.dispose()
        verdict.duplicated += [f"{ref}: {text}" for ref, text in found]
        verdict.lost += [f"command {one} has no reply" for one in self.commands if not self.erp.replies[one]]
        verdict.lost += [f"daemon: {text}" for text in evidence.defects(self.folder / "daemon.log")]


def play(ground: DeathSite, where: Sequence[DeathPoint], verdict: Verdict, mark: str) -> None:
    """Play one round: a life for each point, then one that runs to the end, then the comparison."""
    for n, place in enumerate(where):
        _one_life(ground, place, verdict, f"{mark}{n}")
    last = ground.life(DeathPoint(NEVER, 0))
    until_s = time.monotonic() + END_S
    while ground.open_ends() and time.monotonic() < until_s and last.ended() is None:
        time.sleep(0.2)
        ground.erp.listen()
    last.stop(20)
    ground.erp.listen()
    verdict.rounds += 1
    ground.compare(verdict)


def _one_life(ground: DeathSite, place: DeathPoint, verdict: Verdict, mark: str) -> None:
    ground.say(mark)
    child = ground.life(place)
    until_s = time.monotonic() + LIFE_S
    while child.ended() is None and time.monotonic() < until_s:
        time.sleep(0.02)
        ground.erp.listen()
    ended = child.ended()
    if ended is None:
        child.kill()
    elif ended.code != DEAD:
        verdict.lost.append(f"the daemon left with {ended.code} before {place}: {child.tail(5)}")
    (verdict.met if ended is not None and ended.code == DEAD else verdict.missed).append(place)


@contextmanager
def ground(broker: Broker, vhost: str, folder: Path, *, links: bool = True) -> Iterator[DeathSite]:
    """Set everything up in a virtual host like `vhost`, and remove it at the end in any case. `links`: each life gets
    two linked payments."""
    with own_vhost(described(replace(broker, vhost=vhost)), "crash") as own:
        made = DeathSite(folder, broker, str(own["vhost"]), links=links)
        try:
            made.open()
            yield made
        finally:
            made.close()


def main(arguments: list[str]) -> int:
    """Run rounds; print one line at the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.world.deaths")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", help="points whose names contain this")
    asked = parser.parse_args(arguments)
    broker = read_broker(broker_file())
    if broker is None:
        print("crash: no RabbitMQ: run `make broker`")
        return 69
    where = [place for place in places() if asked.only is None or asked.only in place.point]
    verdict = Verdict()
    with (
        tempfile.TemporaryDirectory(prefix="bankgw-crash-") as folder,
        ground(broker, broker.vhost, Path(folder)) as at,
    ):
        for n in range(asked.rounds):
            play(at, where, verdict, f"R{n}-{os.getpid()}-")
            print(f"round {n + 1}: {verdict.last_line()}", flush=True)
    for finding in verdict.duplicated + verdict.lost + [f"never came to {place}" for place in verdict.missed]:
        print(f"  {finding}")
    print(verdict.last_line())
    return 0 if verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
