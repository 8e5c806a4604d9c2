"""A place for trying joint tests: a simulated bank, our relay in front of it, a real daemon, a virtual host of a
broker.

It is made in a folder and left there, so that a run can be looked at, resumed and repeated.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from gateway.control.client import ControlClient
from gateway.demo import processes, site, stage
from gateway.demo.erp import BrokerAdmin
from gateway.demo.processes import Child, NotStarted
from gateway.jointtest.plan import FILE
from gateway.kernel.clock import Clock
from gateway.kernel.tasks import sleep
from gateway.settings import socket_of
from gateway.simbank import pki
from gateway.simbank.pki import Authority, BankPki
from protocols.trial import trial

SENDER = "joint"
_READY_S = 60.0
_STARTS_MOST = 5
_PATIENCE_S = 90.0
"""How long a case waits without a sign of progress: a trial shares its machine with other work."""
_ACCOUNTS = 3
_OPERATIONS = (
    "payment.submit",
    "payment.cancel",
    "payment.validate",
    "status.query",
    "balance.query",
    "transactions.query",
    "statement.request",
    "receipt.request",
    "transfer.submit",
    "batch.submit",
    "payroll.submit",
    "collection.submit",
)


@dataclass(frozen=True, slots=True)
class TrialPlace:
    """A simulated bank, a relay and a gateway for a trial. `start` starts them, `stop` stops them; the files stay."""

    site: site.Site
    bank: str
    simulator: Child
    daemon: Child
    relay: Child

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.site.folder / "run"

    def renew_certificate(self) -> None:
        """Replace the client certificate with the next one, which comes from another authority that the bank also
        trusts.

        The daemon is restarted with it. Raises NoDaemon when it does not come up.
        """
        files = BankPki(self.site.folder / "pki", self.bank)
        now = datetime.now(UTC)
        key = pki.new_key()
        # It expires on another day, so that a person can tell the two apart.
        issued = _next_authority(self.site).issue(
            f"{self.bank} gateway, next",
            key.public_key(),
            now,
            purpose=pki.CLIENT_PURPOSE,
            not_after=now + pki.LIFETIME - timedelta(days=1),
        )
        pki.write_key(files.client_key, key)
        pki.write_certificates(files.client_cert, issued)
        # The gateway reads certificates when it starts, so a change of one is a restart.
        self.daemon.stop(_READY_S)
        self.daemon.start()
        ControlClient(socket_of(self.site.settings, os.environ)).ready_status(_READY_S)


def prepare(folder: Path, bank: str) -> TrialPlace:
    """Make the files for a trial: a PKI with a next authority that the bank trusts, and settings of the bank."""
    plan = site.BankPlan(
        bank=bank,
        accounts=_ACCOUNTS,
        options=trial(bank).hurried,
        settings={"returns_every_s": trial(bank).demo.get("returns_every_s", 2.0)},
        twin_options=trial(bank).demo.get("twin", {}),
        faults={"seed": "joint-test"},
        conduct={
            "seed": "joint-test",
            "late_s": 2.0,
            "return_s": trial(bank).demo.get("return_s", 3.0),
            "hide_s": 3.0,
            "fee_minor": 0,
        },
    )
    made = site.prepare(folder, (plan,))
    authority = Authority.root(f"{bank} next root CA", datetime.now(UTC))
    pki.write_certificates(made.folder / "pki" / "next-ca-cert.pem", authority.certificate)
    pki.write_key(made.folder / "pki" / "next-ca-key.pem", authority.key)
    known = made.folder / "pki" / "known-ca.pem"
    known.write_bytes(
        BankPki(made.folder / "pki", bank).ca_cert.read_bytes() + authority.certificate.public_bytes(Encoding.PEM)
    )
    settings = made.simulator(bank)
    text = settings.read_text("utf-8").replace(
        f'client_ca = "{BankPki(made.folder / "pki", bank).ca_cert}"', f'client_ca = "{known}"'
    )
    settings.write_text(f'exchange_log = "{exchanges(made, bank)}"\n{text}', "utf-8")
    relay_words = (sys.executable, "-m", "gateway", "joint-test", "relay", str(made.folder / "relay.json"))
    return TrialPlace(
        made,
        bank,
        Child(f"bank {bank}", processes.simulator_command(settings), made.folder / "simbank.log"),
        Child("daemon", processes.gateway_command(made.settings), made.folder / "daemon.log"),
        Child("relay", relay_words, made.folder / "relay.log"),
    )


def exchanges(made: site.Site, bank: str) -> Path:
    """The file with the simulated bank's log of exchanges."""
    return made.folder / f"simbank-{bank}.exchanges.jsonl"


def _next_authority(made: site.Site) -> Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    folder = made.folder / "pki"
    key = load_pem_private_key((folder / "next-ca-key.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return Authority(x509.load_pem_x509_certificate((folder / "next-ca-cert.pem").read_bytes()), key)


async def start(place: TrialPlace, broker: Mapping[str, Any], clock: Clock, reactor: Any) -> None:
    """Start the processes of a trial, and write the plan of a run. Raises NotStarted with the child's output."""
    made, bank = place.site, place.bank
    # Messages of an earlier run in the gateway's queues would be mistaken for this run's.
    await BrokerAdmin(reactor, broker, clock, clock.monotonic_s).empty()
    place.simulator.start()
    await _until(clock, place.simulator, made.ready_file(bank).exists)
    ports = _json(made.ready_file(bank))["ports"]
    relayed = {name: {"to": port, "listen": 0} for name, port in ports.items()}
    _write_json(
        made.folder / "relay.json",
        {"control": str(made.folder / "relay.sock"), "ports": relayed, "ready": str(made.folder / "relay.ready.json")},
    )
    place.relay.start()
    ready = made.folder / "relay.ready.json"
    await _until(clock, place.relay, ready.exists)
    # The gateway gets the relay's ports, and does not know that a relay is in between.
    made.ready_file(bank).write_text(ready.read_text("utf-8"), "utf-8")
    user = broker["users"]["erp-demo"]["user"]
    site.configure(
        made,
        broker,
        {
            SENDER: {
                "users": [user],
                "operations": list(_OPERATIONS),
                "accounts": list(_own(bank)),
                "reply_to": r"erp-demo\..*",
                "limits": {"per_payment": "100000.00"},
            }
        },
        watch_port=0,
    )
    _write_erp(made, broker)
    _write_plan(place)
    place.daemon.start()
    desk = ControlClient(socket_of(made.settings, os.environ))
    await _until(clock, place.daemon, lambda: _is_ready(desk))


def _is_ready(desk: ControlClient) -> bool:
    from gateway.control.client import NoDaemon, Refused

    try:
        return bool(desk.get("status")["status"] == "ready")
    except (NoDaemon, Refused):
        return False


async def _until(clock: Clock, child: Child, good: Any) -> None:
    """Wait for a child while it makes progress: it may be idle and silent for `_READY_S`, and take five times that.

    On a busy machine a child spends most of its start waiting for the processor, so CPU time counts as progress.
    """
    begun_s, moved_s, moved = clock.monotonic_s(), clock.monotonic_s(), ("", 0.0)
    while not good():
        now_s, tail = clock.monotonic_s(), child.tail()
        if (tail, child.cpu_s) != moved:
            moved_s, moved = now_s, (tail, child.cpu_s)
        if child.ended() is not None or now_s - moved_s > _READY_S or now_s - begun_s > _READY_S * _STARTS_MOST:
            raise NotStarted(f"{child.name} did not come up; it said:\n{tail}")
        await sleep(clock, 0.05)


def _own(bank: str) -> tuple[str, ...]:
    return site.account_numbers(bank, _ACCOUNTS)[:-1]


def _write_erp(made: site.Site, broker: Mapping[str, Any]) -> None:
    login = broker["users"]["erp-demo"]
    secret = made.folder / "secrets" / "erp"
    handle = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(login["password"])
    run = made.folder / "run"
    run.mkdir(exist_ok=True, mode=0o700)
    (run / "erp.toml").write_text(
        site.toml(
            {
                "host": broker["host"],
                "port": broker["port"],
                "vhost": broker["vhost"],
                "user": login["user"],
                "sender": SENDER,
                "queue": "erp-demo.joint",
                "password": {"file": str(secret)},
            }
        ),
        "utf-8",
    )


def hand_over(place: TrialPlace) -> Mapping[str, int]:
    """Stop the simulated bank, so that the reader's own front end can use its ports and keys; returns the ports.

    What the run shows from then on is that front end's word.
    """
    place.simulator.stop(8.0)
    _write_plan(place, against="bank")
    ports = _json(place.site.folder / "relay.json")["ports"]
    return {name: int(one["to"]) for name, one in ports.items()}


def _write_plan(place: TrialPlace, against: str = "twin") -> None:
    made, bank = place.site, place.bank
    wants = {pointer: value for pointer, value in trial(bank).order.items() if pointer != "/creditor/account"}
    plan: dict[str, Any] = {
        "bank": bank,
        "against": against,
        "sender": SENDER,
        "socket": str(socket_of(made.settings, os.environ)),
        "patience_s": _PATIENCE_S,
        "receipts_today": bool(trial(bank).demo.get("receipts_today", True)),
        "receipts_of": str(trial(bank).demo.get("receipts_of", "payment")),
        "looks_up": str(trial(bank).demo.get("looks_up", "银行")),
        "payee": {
            "account": "0" * stage.manners(bank).payee_digits,
            "name": "示例乙公司",
            "bank_name": "示例银行某支行",
            "cnaps": "000000000000",
        },
        "accounts": [{"number": number, "name": site.HOLDERS[n]} for n, number in enumerate(_own(bank))],
        "caps": {"per_order": "100.00", "per_account": "20000.00", "channels": {"transfer": "5000.00"}},
        "order": wants,
        "versions": {"front_end": f"simulated {bank}" if against == "twin" else "<version>"},
        "testers": {"ours": "企业测试员", "bank": "银行测试员"},
        "twin": {"control": str(made.control(bank)), "exchanges": str(exchanges(made, bank))},
        "relay": {"control": str(made.folder / "relay.sock")},
    }
    if against == "bank":
        del plan["twin"]
    (place.folder / FILE).write_text(site.toml(plan), "utf-8")


def stop(place: TrialPlace) -> None:
    """Stop the processes of a trial, each by its process id."""
    processes.stop_all([place.simulator, place.relay, place.daemon], 8.0)


def _json(file: Path) -> dict[str, Any]:
    import json

    said: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return said


def _write_json(file: Path, said: Mapping[str, Any]) -> None:
    import json

    file.write_text(json.dumps(said), "utf-8")
