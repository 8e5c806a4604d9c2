"""The first installation of a gateway: settings, secrets, broker definitions, an ERP's profile, and a bank to pay at.

`bankgw init` asks for the values and writes the files that this module makes. The bank is a simulated one, with keys of
both sides made here, or a real one, whose certificates and addresses are added later. No person is enrolled, and the
mode is development. No existing file is overwritten.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import socket
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.demo.site import HOLDERS, account_numbers, simulator_settings, toml
from gateway.erp.definitions import SenderAccess, definitions
from gateway.erp.topology import standard
from gateway.kernel.sql import vault
from gateway.settings_files import CONTROL_SOCKET
from gateway.simbank.config import SimConfig
from gateway.simbank.pki import BankPki, make_pki
from gateway.simbank.service import build_twin
from protocols.trial import Trial, trial

CERTIFICATES = timedelta(days=365)
"""How long the certificates of a simulated bank are valid."""
UNIT_USER = "bankgw"
"""The user of the units."""
WATCH_PORT = 9464
"""The port of metrics; the unit allows no other."""
_PORTS = range(15_000, 30_000)
OPERATIONS = (
    *("payment.submit", "payment.cancel", "payment.validate", "transfer.submit", "batch.submit"),
    *("status.query", "balance.query", "transactions.query", "statement.request", "receipt.request"),
)
_PAYEE = {
    "account": "0000000000000000025",
    "name": "示例乙公司",
    "bank_name": "示例银行某支行",
    "cnaps": "000000000000",
}


class AlreadyThere(Exception):  # noqa: N818 - says what to do
    """A file that would be written exists; nothing was written."""


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """The broker's address, the virtual host of this gateway alone, and the users that are made in it."""

    host: str = "127.0.0.1"
    port: int = 5672
    vhost: str = "bankgw"
    user: str = "bankgw"
    erp_user: str = "erp-erp"


@dataclass(frozen=True, slots=True)
class FirstSetup:
    """The options of a new installation, and the paths of its files.

    `accounts` are pairs of number and holder; empty for a simulated bank, for which two accounts are invented. `units`
    is the folder of systemd's units; None for a gateway that is started by hand, whose secrets are then files instead
    of credentials. `simulator_state` is the folder of the simulated bank's books.
    """

    folder: Path
    state: Path
    bank: str
    simulated: bool
    company: str
    sender: str
    node: str
    broker: BrokerPlace
    accounts: tuple[tuple[str, str], ...] = ()
    front_end: str = ""
    units: Path | None = None
    simulator_state: Path = Path("/var/lib/bankgw-simulated")

    @property
    def settings(self) -> Path:
        """The gateway's main settings file."""
        return self.folder / "bankgw.toml"

    @property
    def bank_settings(self) -> Path:
        """The settings file of the bank."""
        return self.folder / "conf.d" / f"{self.bank}.toml"

    @property
    def secrets(self) -> Path:
        """The folder of secrets, mode 0700."""
        return self.folder / "secrets"

    @property
    def profile(self) -> Path:
        """The ERP's profile, for `bankgw send`."""
        return self.folder / f"erp-{self.sender}.toml"

    @property
    def first_payment(self) -> Path:
        """A small order to try."""
        return self.folder / "first-payment.json"

    @property
    def definitions(self) -> Path:
        """Virtual host, users, rights and queues for `rabbitmqctl import_definitions`, with hashes of the passwords."""
        return self.folder / "broker-definitions.json"

    @property
    def simulator(self) -> Path:
        """The folder of the simulated bank: its settings, and the keys of both sides."""
        return self.folder / f"simulated-{self.bank}"

    @property
    def drop_in(self) -> Path | None:
        """The addition to the gateway's unit that names its credentials."""
        return None if self.units is None else self.units / "bankgw.service.d" / "50-init.conf"

    @property
    def simulator_unit(self) -> Path | None:
        """The unit of the simulated bank."""
        return None if self.units is None else self.units / f"bankgw-simulated-{self.bank}.service"

    @property
    def sockets(self) -> tuple[Path, ...]:
        """The sockets of the gateway and of the simulated bank. The kernel takes no path of more than 107 bytes."""
        own = self.state / CONTROL_SOCKET
        return (own, self.simulator_folder / f"{self.bank}.sock") if self.simulated else (own,)

    @property
    def simulator_folder(self) -> Path:
        """Where the simulated bank keeps its books and its socket."""
        return self.simulator if self.units is None else self.simulator_state

    def secret_file(self, name: str) -> Path:
        """The file of a secret. The vault's key has the name that the packaged unit expects."""
        return self.secrets / ("vault.key" if name == "vault" else name)

    def named(self, name: str) -> dict[str, str]:
        """A secret as the settings name it: a credential of the unit, or its file."""
        return {"file": str(self.secret_file(name))} if self.units is None else {"credential": name}

    def own_accounts(self) -> tuple[tuple[str, str], ...]:
        """Number and holder of each own account."""
        if self.accounts or not self.simulated:
            return self.accounts
        return tuple(zip(account_numbers(self.bank, 2), HOLDERS, strict=False))


@dataclass(frozen=True, slots=True)
class Written:
    """The files that were written, and the command lines to start the gateway and to send a payment."""

    files: tuple[Path, ...]
    start: tuple[str, ...]
    pay: str


def write_files(setup: FirstSetup, now: datetime) -> Written:
    """Write every file. Raises AlreadyThere before anything is written, OSError."""
    there = [str(path) for path in _targets(setup) if path.exists()]
    if there:
        raise AlreadyThere(", ".join(there))
    passwords = {user: secrets.token_urlsafe(24) for user in (setup.broker.user, setup.broker.erp_user)}
    files = _Files(setup)
    setup.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    setup.secrets.mkdir(mode=0o700, exist_ok=True)
    vault.create(setup.secrets / "vault.key")
    files.note(setup.secrets / "vault.key")
    files.secret("broker", passwords[setup.broker.user])
    known = trial(setup.bank)
    if setup.simulated:
        bank = _simulated(setup, known, files, now)
    else:
        bank = _bank_settings(setup, known, setup.front_end, {}, {})
    files.text(setup.bank_settings, toml({"banks": {setup.bank: bank}}))
    files.text(setup.settings, toml(_settings(setup)))
    _erp(setup, files, passwords[setup.broker.erp_user])
    if setup.units is not None:
        _units(setup, files)
    # The broker's user must be able to read it. A hash of 24 random octets gives nobody the password.
    files.text(setup.definitions, json.dumps(_definitions(setup, passwords), indent=1) + "\n")
    return Written(tuple(files.written), _start(setup), _pay(setup))


def _targets(setup: FirstSetup) -> Iterator[Path]:
    yield from (setup.settings, setup.bank_settings, setup.secrets / "vault.key", setup.secrets / "broker")
    yield from (setup.profile, setup.first_payment, setup.definitions)
    if setup.simulated:
        yield setup.simulator
    yield from (one for one in (setup.drop_in, setup.simulator_unit) if one is not None)


class _Files:
    """The files that are written, and the names of the secrets among them."""

    def __init__(self, setup: FirstSetup) -> None:
        self._setup = setup
        self.written: list[Path] = []
        self.credentials = ["vault"]

    def note(self, path: Path) -> None:
        self.written.append(path)

    def text(self, path: Path, text: str, mode: int = 0o644) -> None:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(path, mode)
        self.note(path)

    def secret(self, name: str, text: str) -> None:
        """Write a secret."""
        self.text(self._setup.secret_file(name), text, 0o600)
        self.credentials.append(name)


# ---- the gateway ---------------------------------------------------------------------------------------------------


def _settings(setup: FirstSetup) -> dict[str, Any]:
    broker = setup.broker
    return {
        # Only people set production, once the bank has agreed.
        "mode": "development",
        "node": setup.node,
        "state_dir": str(setup.state),
        "broker": {
            "host": broker.host,
            "port": broker.port,
            "vhost": broker.vhost,
            "user": broker.user,
            "password": setup.named("broker"),
        },
        "journal": {"vault_key": setup.named("vault")},
        "watch": {"host": "127.0.0.1", "port": _watch_port(setup)},
        "log": {"priorities": setup.units is not None},
        "senders": {
            setup.sender: {
                "users": [broker.erp_user],
                "operations": list(OPERATIONS),
                "accounts": [number for number, _holder in setup.own_accounts()],
                "reply_to": rf"erp-{setup.sender}\..+",
            }
        },
        "accounts": [
            {"number": number, "name": holder, "company": setup.company, "bank": setup.bank}
            for number, holder in setup.own_accounts()
        ],
    }


def _erp(setup: FirstSetup, files: _Files, password: str) -> None:
    name = f"erp-{setup.sender}.password"
    files.text(setup.secrets / name, password, 0o600)
    broker = setup.broker
    files.text(
        setup.profile,
        toml(
            {
                "host": broker.host,
                "port": broker.port,
                "vhost": broker.vhost,
                "user": broker.erp_user,
                "password": {"file": f"secrets/{name}"},
                "sender": setup.sender,
                "queue": f"erp-{setup.sender}.send",
            }
        ),
        0o600,
    )
    payer = next(iter(setup.own_accounts()), ("", ""))
    order = {
        "id": f"FIRST-{secrets.token_hex(4)}",
        "debtor": {"account": payer[0], "name": payer[1]},
        "creditor": {**_PAYEE, **_wanted(trial(setup.bank))},
        "amount": "1.00",
        "currency": "CNY",
        "purpose": "首笔测试",
    }
    files.text(setup.first_payment, json.dumps(order, ensure_ascii=False, indent=2) + "\n")


def _wanted(known: Trial) -> dict[str, Any]:
    """The fields of a creditor that this bank wants besides the usual ones."""
    head = "/creditor/"
    return {name.removeprefix(head): value for name, value in known.order.items() if name.startswith(head)}


def _definitions(setup: FirstSetup, passwords: Mapping[str, str]) -> dict[str, Any]:
    access = (SenderAccess(setup.sender, (setup.broker.erp_user,)),)
    made = definitions(standard(), vhost=setup.broker.vhost, gateway_user=setup.broker.user, senders=access)
    users = [{**one, "password_hash": _hashed(passwords[one["name"]])} for one in made["users"]]
    return {**made, "users": users}


def _hashed(password: str) -> str:
    """A password in RabbitMQ's form: four random octets, and the SHA-256 of them and the password."""
    salt = secrets.token_bytes(4)
    return b64encode(salt + sha256(salt + password.encode()).digest()).decode()


# ---- the bank --------------------------------------------------------------------------------------------------------


def _simulated(setup: FirstSetup, known: Trial, files: _Files, now: datetime) -> dict[str, Any]:
    """Make the simulated bank's files; returns the gateway's settings for it."""
    setup.simulator.mkdir(mode=0o700)
    pki = make_pki(setup.simulator / "pki", [setup.bank], now, CERTIFICATES)[setup.bank]
    ports = _simulator_ports(setup, known, pki)
    files.note(setup.simulator)
    shown = {"ca": pki.ca_cert, "client": pki.client_cert, "gateway-sign": pki.gateway_sign_cert}
    shown |= {option: getattr(pki, which) for option, which in known.files.items()}
    for name, source in shown.items():
        files.text(setup.folder / setup.bank / f"{name}.pem", source.read_text("ascii"))
    files.secret(f"{setup.bank}-tls-key", pki.client_key.read_text("ascii"))
    if known.keys:
        files.secret(f"{setup.bank}-sign-key", pki.gateway_sign_key.read_text("ascii"))
    for name, text in known.credentials.items():
        files.secret(f"{setup.bank}-{name}", text)
    _give_simulator_to_its_user(setup)
    return _bank_settings(setup, known, "127.0.0.1", ports, known.options)


def _bank_settings(
    setup: FirstSetup, known: Trial, host: str, ports: Mapping[str, int], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The gateway's settings for the bank. `bankgw check` names the files and options that a real one still lacks."""
    bank = setup.bank
    tls = {"ca_file": f"{bank}/ca.pem", "certificate": f"{bank}/client.pem", "key": setup.named(f"{bank}-tls-key")}
    lane: dict[str, Any] = {"host": host, "ports": dict(ports), "tls": tls}
    table: dict[str, Any] = {"protocol": bank, "options": dict(options), "lanes": {"main": lane}}
    if known.files:
        table["option_files"] = {option: f"{bank}/{option}.pem" for option in known.files}
    if known.keys:
        key = {"key": setup.named(f"{bank}-sign-key"), "certificate": f"{bank}/gateway-sign.pem"}
        lane["keys"] = dict.fromkeys(known.keys, key)
    if known.credentials:
        lane["credentials"] = {name: setup.named(f"{bank}-{name}") for name in known.credentials}
    return table


def _simulator_ports(setup: FirstSetup, known: Trial, pki: BankPki) -> dict[str, int]:
    """Write the simulated bank's settings with ports that are free now; returns the ports by name."""
    state = setup.simulator_folder
    files = (state / f"{setup.bank}.ledger.jsonl", state / f"{setup.bank}.sock")
    settings = {
        **simulator_settings(pki, setup.own_accounts(), *files),
        "options": {**known.twin, **known.demo.get("twin", {})},
        "conduct": dict(known.books),
    }
    file = setup.simulator / "simulated.toml"
    file.write_text(toml(settings), "utf-8")
    ports = {name: _free_port() for name in build_twin(SimConfig.from_file(file)).ports}
    file.write_text(toml({**settings, "ports": ports}), "utf-8")
    return ports


def _give_simulator_to_its_user(setup: FirstSetup) -> None:
    """Give the simulated bank's files to the user of its unit, which must be able to read the keys."""
    if setup.units is None or os.geteuid() != 0:
        return
    try:
        user = pwd.getpwnam(UNIT_USER)
    except KeyError:  # the package makes the user; `bankgw init --check` says that it is missing
        return
    for path in (setup.simulator, *setup.simulator.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)


def _watch_port(setup: FirstSetup) -> int:
    """The port of metrics: the usual one; without a systemd unit, another free port if the usual one is taken."""
    if setup.units is None:
        try:
            return _free_port(WATCH_PORT)
        except OSError:
            return _free_port()
    return WATCH_PORT


def _free_port(wanted: int = 0) -> int:
    # Below the range that the system gives to outgoing connections: a port inside it could be taken at the next start.
    first = secrets.randbelow(_PORTS.stop - _PORTS.start)
    ports: tuple[int, ...] = (wanted,) if wanted else (*_PORTS[first:], *_PORTS[:first])
    for port in ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"port {wanted} is taken" if wanted else "every port from 15000 to 29999 is taken")


# ---- units -----------------------------------------------------------------------------------------------------------


def _units(setup: FirstSetup, files: _Files) -> None:
    assert setup.drop_in is not None and setup.simulator_unit is not None
    there = {"vault", "broker"}
    lines_of = {name: f"LoadCredential={name}:{setup.secret_file(name)}" for name in files.credentials}
    credentials = [line for name, line in lines_of.items() if name not in there]
    lines = ["# Written by bankgw init: the bank's credentials. Add IPAddressAllow= for a bank on another machine."]
    if setup.state != Path("/var/lib/bankgw"):
        credentials.append(f"ReadWritePaths={setup.state}")
    if setup.settings != Path("/etc/bankgw/bankgw.toml"):
        credentials += [
            "ExecStart=",
            f"ExecStart=/usr/bin/env bankgw run --config {setup.settings}",
            *(line for name, line in lines_of.items() if name in there),
        ]
    files.text(setup.drop_in, "\n".join([*lines, "[Service]", *credentials, ""]))
    if setup.simulated:
        files.text(setup.simulator_unit, _SIMULATOR_UNIT.format(setup=setup, name=setup.simulator_state.name))


_SIMULATOR_UNIT = """\
# Written by bankgw init: a simulated bank, for trials only. It pays nothing.
[Unit]
Description=bankgw simulated bank {setup.bank}
Before=bankgw.service

[Service]
ExecStart=/usr/bin/env bankgw simulate {setup.simulator}/simulated.toml
User=bankgw
Group=bankgw
StateDirectory={name}
StateDirectoryMode=0700
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
IPAddressDeny=any
IPAddressAllow=localhost
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
CapabilityBoundingSet=
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""


def _start(setup: FirstSetup) -> tuple[str, ...]:
    if setup.units is not None:
        units = f"bankgw-simulated-{setup.bank} bankgw" if setup.simulated else "bankgw"
        return (f"systemctl daemon-reload && systemctl enable --now {units}",)
    run = f"bankgw run --config {setup.settings} &"
    return (f"bankgw simulate {setup.simulator}/simulated.toml &", run) if setup.simulated else (run,)


def _pay(setup: FirstSetup) -> str:
    return f"bankgw send {setup.first_payment} --wait --profile {setup.profile}"
