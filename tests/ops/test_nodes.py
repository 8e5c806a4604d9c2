"""One process becomes shards and one process again, and a second node joins and takes over, by the commands of
docs/do/install.md, while an ERP keeps sending. The banks' own books say what was paid."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from gateway.kernel.cluster.restored_database import PRESENTED
from setup.machine import write_private
from tests.ops.drill import Drill, drill, minor, result, until
from tests.ops.units import UnitProcess
from tests.world.databases import database_for_tests
from tests.world.services import ROOT

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(600)]
PAGE = ROOT / "docs" / "do" / "install.md"
STATE = "/var/lib/bankgw"
Instances = tuple[str, tuple[str, ...]]
"""A unit and its instances."""
ONE: Instances = ("bankgw.service", ("",))
SHARDS: Instances = ("bankgw-shard@.service", ("1-2", "2-2"))
GW1: Instances = ("bankgw@.service", ("gw1",))
GW2: Instances = ("bankgw@.service", ("gw2",))
TAKEN_OVER_S = 60.0
"""The page says 30 s; this leaves time for the command that asks, on a busy machine."""
TO_FORM = {ONE: "# from two shards to one process", SHARDS: "# from one process to two shards"}
"""The comments by which the page's blocks are known that give the new processes the old logs."""
NEWS = "erp-nodes"
"""The queue in which the ERP of these drills hears of its orders."""


class Running:
    """The daemons of a drill, each started by its unit."""

    def __init__(self, one: Drill) -> None:
        self._one = one
        self._daemons: dict[str, UnitProcess] = {}

    def start(self, unit: str, instances: Sequence[str] = ("",), *, config: Path | None = None) -> None:
        """Start the instances of a unit side by side, and wait until systemd would call each of them started."""
        for instance in instances:
            log = self._one.folder / f"{self.name(unit, instance)}.log"
            made = UnitProcess(ROOT, unit, config or self._one.site.settings, log, instance)
            self._daemons[self.name(unit, instance)] = made
        for instance in instances:
            self._daemons[self.name(unit, instance)].until_ready()

    def stop(self, unit: str, instances: Sequence[str] = ("",)) -> None:
        """Stop the instances in order."""
        for instance in instances:
            daemon = self._daemons.pop(self.name(unit, instance))
            assert daemon.stop() == 0, daemon.tail()

    def kill(self, unit: str, instances: Sequence[str] = ("",)) -> None:
        """End the instances by SIGKILL."""
        for instance in instances:
            self._daemons.pop(self.name(unit, instance)).kill()

    def end(self) -> None:
        """Stop what still runs."""
        for daemon in self._daemons.values():
            daemon.stop()

    def log(self, unit: str, instances: Sequence[str] = ("",)) -> str:
        """All that the lives of these instances have logged."""
        files = (self._one.folder / f"{self.name(unit, instance)}.log" for instance in instances)
        return "".join(file.read_text("utf-8") for file in files)

    @staticmethod
    def name(unit: str, instance: str) -> str:
        """The name of an instance, as systemd has it."""
        return unit.replace("@", f"@{instance}").removesuffix(".service")


@contextmanager
def journal_of(kind: str, folder: Path) -> Iterator[dict[str, object]]:
    """The settings of a journal of this kind, which is dropped at the end."""
    if kind == "sqlite":
        yield {}
        return
    with database_for_tests(kind, "ops_nodes") as text:
        url, secret = make_url(text), folder / "database"
        write_private(secret, str(url.password or ""))
        password = {} if url.password is None else {"password": {"file": str(secret)}}
        yield {"url": url.set(password=None).render_as_string(), **password}


@contextmanager
def site(folder: Path, kind: str) -> Iterator[tuple[Drill, Running]]:
    """A site with a journal of this kind, and the daemons that run there."""
    with journal_of(kind, folder) as journal, drill(folder / "s", "nodes", "sample", "pab") as one:
        one.configure(journal=journal)
        running = Running(one)
        try:
            yield one, running
        finally:
            one.traffic.give_up()
            running.end()


def follow(one: Drill, comment: str, *folders: tuple[str, str]) -> None:
    """Run the block of the page that has this comment, with the state folder of the drill, and other `folders` of the
    page and the drill. The user of the unit does not exist here."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    [block] = [text for text in blocks if comment in text]
    for page, here in (*folders, (STATE, str(one.site.state))):
        block = block.replace(page, here)
    script = block.replace(" -o bankgw -g bankgw", "")
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def listen(one: Drill) -> None:
    """Let the ERP hear of its orders from now on."""
    with one.rabbit.erp() as channel:
        channel.queue_declare(NEWS, durable=True)
        channel.queue_bind(NEWS, "bankgw.events", "#")


def told_settled(one: Drill) -> set[str]:
    """The orders of which the ERP has heard since that they are settled."""
    heard = [json.loads(body) for _method, _properties, body in one.rabbit.get_all(NEWS)]
    return {each["id"] for each in heard if each.get("event") == "payment.settled"}


def until_paid(one: Drill, limit_s: float = 120) -> None:
    """Wait until the banks have executed every order that was sent so far."""
    wanted = {minor(amount) for _id, amount in tuple(one.traffic.sent)}

    def missing() -> set[int]:
        return wanted - {each["minor"] for each in one.executed()}

    until(lambda: not missing(), limit_s, lambda: f"the banks executed all; not these amounts: {missing()}")


def judged(one: Drill, config: Path | None = None) -> int:
    """The number of orders, after all checks: settled, executed once, told to the ERP, and a sound audit trail."""
    paid = one.judge(config)
    ids, heard = {id_ for id_, _amount in one.traffic.sent}, set[str]()

    def all_heard() -> bool:
        heard.update(told_settled(one))
        return heard == ids

    until(all_heard, 60, lambda: f"the ERP heard of all; not of {ids - heard}")
    one.bankgw("audit", "verify", config=config)
    return paid


def in_safe_mode(one: Drill, config: Path | None = None) -> bool:
    """True if a node says that it is in SAFE MODE."""
    said = json.loads(one.bankgw("status", "--json", config=config, wanted=None))
    return bool(said["safe_mode"])


def where(one: Drill, form: Instances) -> tuple[str, ...]:
    """The words by which a command finds a daemon of this form."""
    return ("--socket", str(one.site.state / "shard-1" / "control.sock")) if form == SHARDS else ()


@pytest.mark.postgresql
@pytest.mark.parametrize("forms", [(ONE, SHARDS, ONE)], ids=["one"])
def test_there_and_back(
    forms: Sequence[Instances], tmp_path_factory: pytest.TempPathFactory, record_property: Callable[[str, object], None]
) -> None:
    with site(tmp_path_factory.mktemp("n"), "postgresql") as (one, running):
        for number, form in enumerate(forms):
            if number == 1:
                running.stop(*forms[0])
            elif number == 2:
                # As on a machine that lost its power: leases, sockets and the journal's last group stay as they are.
                running.kill(*forms[1])
            if number:
                follow(one, TO_FORM[form])
            running.start(*form)
            if not number:
                listen(one)
                one.traffic.start()
            one.traffic.more(10)
            until_paid(one)
            one.bankgw("status", "--wait", "30")
        # The page says that the copies may go; from then on each node's own log must do.
        for copies in [*one.site.state.rglob(PRESENTED)]:
            shutil.rmtree(copies)
        running.stop(*forms[-1])
        running.start(*forms[-1])
        one.traffic.more(10)
        one.traffic.stop()
        one.where = where(one, forms[-1])
        paid = judged(one)
        assert "database_from_the_past" not in "".join(running.log(*each) for each in (ONE, SHARDS))
    result(record_property, orders=paid)


def second_node(one: Drill) -> Path:
    """Settings of a second node, made by the page's block from those of the first one."""
    folder = one.site.settings.parent
    first, second = folder / "gw1.toml", folder / "gw2.toml"
    first.write_bytes(one.site.settings.read_bytes())
    follow(one, "# a second node beside gw1", ("/etc/bankgw", str(folder)), (f"{STATE}/gw2", f"{one.folder}/gw2"))
    (one.folder / "gw2").mkdir(mode=0o700)
    changed = set(second.read_text("utf-8").splitlines()) - set(first.read_text("utf-8").splitlines())
    assert changed == {'node = "gw2"', f'state_dir = "{one.folder}/gw2"'}, "the port is 0 here"
    return second


def lanes_ready(one: Drill, config: Path) -> set[str]:
    """The lanes that this node serves now."""
    said = json.loads(one.bankgw("status", "--json", config=config, wanted=None))
    return {name for name, word in said["lanes"].items() if word == "ready"}


@pytest.mark.postgresql
def test_second_node(tmp_path_factory: pytest.TempPathFactory, record_property: Callable[[str, object], None]) -> None:
    """A node joins a site that works, the first one dies without a word, and the second one pays on, nothing twice."""
    with site(tmp_path_factory.mktemp("n"), "postgresql") as (one, running):
        first, second = one.site.settings, second_node(one)
        running.start(*GW1, config=first)
        listen(one)
        one.traffic.start()
        one.traffic.more(10)
        until_paid(one)
        served = lanes_ready(one, first)
        running.start(*GW2, config=second)
        until(lambda: not in_safe_mode(one, second), 60, "the first node lets the second one in")
        assert '"node.let_in"' in running.log(*GW2) and '"node.vouched_for"' in running.log(*GW1)
        assert not lanes_ready(one, second) and lanes_ready(one, first) == served, "the lanes stay where they are"
        one.traffic.more(10)
        until_paid(one)
        # Orders are under way at this moment. Its lease runs out; nobody gives it back.
        one.traffic.more(1)
        running.kill(*GW1)
        died_s = time.monotonic()
        until(lambda: lanes_ready(one, second) == served, TAKEN_OVER_S, "the second node serves the lanes", each_s=1)
        taken_s = round(time.monotonic() - died_s)
        one.traffic.more(10)
        until_paid(one)
        one.traffic.stop()
        paid = judged(one, second)
        assert not in_safe_mode(one, second)
    result(record_property, orders=paid, taken_over_after_s=taken_s)


@pytest.mark.postgresql
def test_forgotten_logs(
    tmp_path_factory: pytest.TempPathFactory, record_property: Callable[[str, object], None]
) -> None:
    """A process that was not given the logs of the shards sends nothing, says why, and goes on once it has them."""
    with site(tmp_path_factory.mktemp("n"), "postgresql") as (one, running):
        running.start(*SHARDS)
        listen(one)
        one.traffic.start()
        one.traffic.more(10)
        until_paid(one)
        running.stop(*SHARDS)
        running.start(*ONE)
        before = len(one.traffic.sent)
        one.traffic.more(30)
        assert in_safe_mode(one)
        waiting = dict(one.traffic.sent[before : before + 20])
        assert {one.settled()[id_] for id_ in waiting} == {"ready"}, "orders are taken in, and wait"
        assert not {minor(amount) for amount in waiting.values()} & {each["minor"] for each in one.executed()}
        assert PRESENTED in one.bankgw("status", wanted=None), "the operator is told what to do"
        running.stop(*ONE)
        follow(one, TO_FORM[ONE])
        running.start(*ONE)
        until_paid(one)
        assert not in_safe_mode(one)
        one.traffic.stop()
        paid = judged(one)
    result(record_property, orders=paid)
