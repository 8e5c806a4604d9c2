"""A site for foreign clients: RabbitMQ, two simulated banks over mutual TLS and the daemon, as processes."""

from __future__ import annotations

import json
import os
import shutil
import sysconfig
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from gateway.demo import site as demo_site
from gateway.demo.processes import Child, gateway_command, simulator_command, stop_all
from gateway.simbank.record import plain_executions
from tests.gateway.erp.rabbit import Rabbit, ctl, rabbit_for_tests
from tests.world.services import ROOT, Login, broker_file, read_broker

PREFIX = "erp-demo"
SENDER = "kingdee"
OPERATIONS = ("payment.submit", "payment.cancel", "status.query", "balance.query", "transactions.query")
_PLANS = (
    demo_site.BankPlan("sample", twin_options={"user": "demo", "password": "demo-password"}),
    demo_site.BankPlan(
        "pab",
        options={"enterprise_code": demo_site.ENTERPRISE_CODE, "per_second": 100, "burst": 50, "first_enquiry_s": 0.5},
        twin_options={"enterprise_code": demo_site.ENTERPRISE_CODE},
    ),
)


@dataclass(frozen=True, slots=True)
class Running:
    """The facts that a client needs: the broker's address, its own login, and its accounts."""

    rabbit: Rabbit
    erp: Login
    site: demo_site.Site
    daemon: Child
    banks: dict[str, Child]

    @property
    def url(self) -> str:
        """AMQP URL of the ERP's user."""
        at = self.rabbit.address
        return f"amqp://{self.erp.user}:{self.erp.password}@{at.host}:{at.port}/{at.vhost.replace('/', '%2F')}"

    def account(self, bank: str, n: int = 0) -> str:
        """An own account at this bank."""
        return demo_site.account_numbers(bank, 2)[n]

    def booked(self, bank: str) -> list[dict[str, Any]]:
        """Every instruction that the bank has executed, from the bank's own record."""
        lines = self.site.ledger(bank).read_text("utf-8").splitlines() if self.site.ledger(bank).exists() else []
        return [one for line in lines for one in plain_executions(json.loads(line))]


def not_to_be_had(reason: str) -> NoReturn:
    """Skip the test because a program is missing. In CI, where every program must be installed, this fails
    (tests.world.skipping)."""
    pytest.skip(reason)


def program(name: str) -> str:
    """The path of a foreign command that judges our program."""
    # `make tools` puts Node beside our own Python.
    found = shutil.which(name, path=os.pathsep.join((os.environ["PATH"], sysconfig.get_path("scripts"))))
    if found is None:
        not_to_be_had(f"no {name}: run `make tools`")
    return found


def until(true: Callable[[], bool], limit_s: float, what: str) -> None:
    """Wait for other processes, which no clock of a test can move."""
    end_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end_s, f"still not so after {limit_s} s: {what}"
        time.sleep(0.05)


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    """Start everything; stop it by process id."""
    with rabbit_for_tests("independent") as rabbit, _erp_user(rabbit) as erp:
        site = demo_site.prepare(folder, _PLANS)
        children = [
            Child(plan.bank, simulator_command(site.simulator(plan.bank)), folder / f"{plan.bank}.log")
            for plan in _PLANS
        ]
        daemon = Child("bankgw", gateway_command(site.settings), folder / "bankgw.log")
        try:
            for child in children:
                child.start()
            until(
                lambda: all(site.ready_file(plan.bank).exists() for plan in _PLANS),
                30,
                "\n".join(child.tail() for child in children),
            )
            demo_site.configure(site, _broker(rabbit), _senders(erp))
            children.append(daemon)
            daemon.start()
            until(lambda: _ready(site) or daemon.ended() is not None, 60, "the daemon is ready")
            assert daemon.ended() is None, daemon.tail()
            yield Running(rabbit, erp, site, daemon, {child.name: child for child in children[: len(_PLANS)]})
        finally:
            stop_all(children, 30)


@contextmanager
def _erp_user(rabbit: Rabbit) -> Iterator[Login]:
    """A broker user with only the rights that the manual gives an ERP."""
    if not rabbit.ruled:
        known = read_broker(broker_file())
        assert known is not None
        yield known.users["erp-demo"]
        return
    erp = Login(f"bankgw-erp-{os.getpid()}", "for-tests")
    own = rf"{PREFIX}\..*"
    ctl("add_user", erp.user, erp.password)
    try:
        ctl(
            "set_permissions",
            "-p",
            rabbit.address.vhost,
            erp.user,
            f"^({own})$",
            rf"^(bankgw\.commands|{own})$",
            rf"^(bankgw\.events|{own})$",
        )
        yield erp
    finally:
        ctl("delete_user", erp.user)


def _broker(rabbit: Rabbit) -> dict[str, Any]:
    at = rabbit.address
    users = {"bankgw": {"user": at.user, "password": at.password}}
    return {"host": at.host, "port": at.port, "vhost": at.vhost, "users": users}


def _senders(erp: Login) -> dict[str, dict[str, Any]]:
    table = {"users": [erp.user], "operations": list(OPERATIONS), "reply_to": rf"{PREFIX}\..*", "anonymous": True}
    return {SENDER: table}


def _ready(site: demo_site.Site) -> bool:
    port = site.state / "watch.port"
    if not port.exists():
        return False
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port.read_text().strip()}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


__all__ = ["PREFIX", "ROOT", "SENDER", "Running", "not_to_be_had", "program", "running", "until"]
