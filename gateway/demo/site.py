"""A temporary installation on the loopback: simulated banks with their PKI, and matching gateway settings.

The demo, the benchmark and the fault campaign use it. It makes files, and `processes` starts the programs that the
files describe. Account numbers and names are invented.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

from gateway.kernel.sql import vault
from gateway.simbank.pki import BankPki, make_pki
from protocols.trial import trial

ENTERPRISE_CODE = "00000000000000000001"
OPENING = "1000000000.00"
HOLDERS = ("示例甲公司", "示例乙公司", "示例丙公司", "示例丁公司")


@dataclass(frozen=True, slots=True)
class BankPlan:
    """One bank of the site: its simulator's behaviour, and the gateway's settings for it.

    `settings` are the settings in the bank's own table besides `options`. `watched`: the gateway reads its accounts'
    entries as they are booked.
    """

    bank: str
    accounts: int = 2
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    watched: bool = False
    twin_options: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, Any] = field(default_factory=dict)
    conduct: Mapping[str, Any] = field(default_factory=dict)
    lane: Mapping[str, Any] = field(default_factory=dict)
    cheap: bool = False


@dataclass(frozen=True, slots=True)
class Site:
    """The paths of the files and sockets of one site."""

    folder: Path
    plans: tuple[BankPlan, ...]

    @property
    def settings(self) -> Path:
        """The gateway's main settings file."""
        return self.folder / "bankgw.toml"

    @property
    def state(self) -> Path:
        """The gateway's state folder."""
        return self.folder / "state"

    def simulator(self, bank: str) -> Path:
        """A simulated bank's settings file."""
        return self.folder / f"simbank-{bank}.toml"

    def ready_file(self, bank: str) -> Path:
        """The file into which a simulated bank writes its ports."""
        return self.folder / f"simbank-{bank}.ready.json"

    def control(self, bank: str) -> Path:
        """The socket at which a simulated bank takes commands (gateway.simbank.control)."""
        return self.folder / f"simbank-{bank}.sock"

    def ledger(self, bank: str) -> Path:
        """The record of a simulated bank."""
        return self.folder / f"simbank-{bank}.ledger.jsonl"


def account_numbers(bank: str, count: int) -> tuple[str, ...]:
    """Invented own accounts of a bank. They begin with zeros, as no real account does.

    The other digits are scattered, because a number that looks like a counter could be found by chance in files without
    any account.
    """
    return tuple(f"0000{_scattered(bank, n):010d}" for n in range(count))


def _scattered(bank: str, n: int) -> int:
    return 10**9 + int.from_bytes(blake2b(f"{bank} {n}".encode(), digest_size=8).digest(), "big") % (9 * 10**9)


def prepare(folder: Path, plans: tuple[BankPlan, ...]) -> Site:
    """Make the folder's PKI and the simulators' settings. `configure` writes the gateway's settings later."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    pki = make_pki(folder / "pki", [plan.bank for plan in plans], datetime.now(UTC))
    site = Site(folder, plans)
    for plan in plans:
        files = pki[plan.bank]
        site.simulator(plan.bank).write_text(_simulator(site, plan, files), "utf-8")
    return site


def _simulator(site: Site, plan: BankPlan, files: BankPki) -> str:
    numbers = account_numbers(plan.bank, plan.accounts)
    accounts = [(number, HOLDERS[n % len(HOLDERS)]) for n, number in enumerate(numbers)]
    tables = {
        **simulator_settings(files, accounts, site.ledger(plan.bank), site.control(plan.bank)),
        "ready_file": str(site.ready_file(plan.bank)),
        "cheap": plan.cheap,
        "options": {**trial(plan.bank).twin, **plan.twin_options},
        "conduct": {**trial(plan.bank).books, **plan.conduct},
        "faults": dict(plan.faults),
    }
    return toml(tables)


def simulator_settings(
    files: BankPki, accounts: Sequence[tuple[str, str]], ledger: Path, control: Path
) -> dict[str, Any]:
    """The settings of a simulated bank that every one has. `accounts` are pairs of number and holder."""
    return {
        "bank": files.bank,
        "ledger_file": str(ledger),
        "control": str(control),
        "keys": {
            "bank": str(files.bank_sign_key),
            "bank_certificate": str(files.bank_sign_cert),
            "client": str(files.gateway_sign_cert),
        },
        "tls": {"cert": str(files.server_cert), "key": str(files.server_key), "client_ca": str(files.ca_cert)},
        "accounts": [{"number": number, "holder": holder, "opening": OPENING} for number, holder in accounts],
    }


def configure(
    site: Site,
    broker: Mapping[str, Any],
    senders: Mapping[str, Mapping[str, Any]],
    *,
    watch_port: int = 0,
    journal: Mapping[str, Any] | None = None,
    node: str = "gw1",
    may_dial: tuple[str, ...] = (),
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write the gateway's settings for the running simulators, whose ports are in their ready files.

    `may_dial`: networks besides the loopback that have the broker, banks or database. `more`: settings of the first
    level.
    """
    secrets = site.folder / "secrets"
    secrets.mkdir(exist_ok=True, mode=0o700)
    key = secrets / "vault.key"
    if not key.exists():
        vault.create(key)
    daemon = broker["users"]["bankgw"]
    tables: dict[str, Any] = {
        "mode": "development",
        "node": node,
        "state_dir": str(site.state),
        **(more or {}),
        "broker": {
            "host": broker["host"],
            "port": broker["port"],
            "vhost": broker["vhost"],
            "user": daemon["user"],
            "password": _secret(secrets / "broker", daemon["password"]),
        },
        "journal": {"vault_key": {"file": str(key)}, **(journal or {})},
        "watch": {"port": watch_port},
        "environment": {"may_dial": list(may_dial)},
        "senders": dict(senders),
        "accounts": [
            {
                "number": number,
                "name": HOLDERS[n % len(HOLDERS)],
                "company": "jia",
                "bank": plan.bank,
                **({} if plan.watched else {"watch": False}),
            }
            for plan in site.plans
            for n, number in enumerate(account_numbers(plan.bank, plan.accounts))
        ],
    }
    site.settings.write_text(toml(tables), "utf-8")
    banks = site.folder / "conf.d"
    banks.mkdir(exist_ok=True)
    for plan in site.plans:
        (banks / f"{plan.bank}.toml").write_text(_bank(site, plan, secrets), "utf-8")


def describe(folder: Path, broker: Mapping[str, Any]) -> None:
    """Keep the broker's description in the folder, for a person who starts the site again by hand."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _private(folder / "broker.json", json.dumps(dict(broker), indent=2) + "\n")


def _bank(site: Site, plan: BankPlan, secrets: Path) -> str:
    files = BankPki(site.folder / "pki", plan.bank)
    ports = json.loads(site.ready_file(plan.bank).read_text("utf-8"))["ports"]
    lane: dict[str, Any] = {
        "host": "127.0.0.1",
        "ports": ports,
        "tls": {
            "ca_file": str(files.ca_cert),
            "certificate": str(files.client_cert),
            "key": {"file": str(files.client_key)},
        },
        **plan.lane,
    }
    known = trial(plan.bank)
    options = {**known.options, **plan.options}
    table: dict[str, Any] = {"protocol": plan.bank, **plan.settings, "options": options, "lanes": {"main": lane}}
    if known.files:
        table["option_files"] = {option: str(getattr(files, which)) for option, which in known.files.items()}
    if known.keys:
        key = {"key": {"file": str(files.gateway_sign_key)}, "certificate": str(files.gateway_sign_cert)}
        lane["keys"] = dict.fromkeys(known.keys, key)
    if known.credentials:
        lane["credentials"] = {
            name: _secret(secrets / f"{plan.bank}-{name}", secret) for name, secret in known.credentials.items()
        }
    return toml({"banks": {plan.bank: table}})


def _secret(file: Path, text: str) -> dict[str, str]:
    _private(file, text)
    return {"file": str(file)}


def _private(file: Path, text: str) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text)


def toml(tables: Mapping[str, Any]) -> str:
    """Plain values, lists and nested tables as TOML with inline tables below the first level."""
    lines = [f"{_key(name)} = {_value(value)}" for name, value in tables.items() if not isinstance(value, Mapping)]
    for name, value in tables.items():
        if isinstance(value, Mapping):
            lines.append(f"\n[{_key(name)}]")
            lines += [f"{_key(key)} = {_value(one)}" for key, one in value.items()]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
