"""The servers that `setup/broker.py` and `setup/databases.py` found or started, for tests."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Login:
    """The name and password of one broker user."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Control:
    """How rabbitmqctl reaches a broker."""

    command: tuple[str, ...]
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Broker:
    """A RabbitMQ with a virtual host of this checkout's own.

    `users` is keyed by role (`bankgw`, `erp-demo`, `erp-other`). A user's real name carries the checkout's
    hash, so that two checkouts on one broker do not take each other's password. Tests work in `test_vhost`: the
    fixture makes one for each process of a run, and takes it away.
    """

    host: str
    port: int
    vhost: str
    test_vhost: str
    admin: Login
    users: Mapping[str, Login]
    private: bool = False
    control: Control | None = None


def broker_file() -> Path:
    """The file with the broker's description: $BANKGW_BROKER_JSON, else .run/broker.json of this checkout."""
    return Path(os.environ.get("BANKGW_BROKER_JSON") or ROOT / ".run" / "broker.json")


def databases_file() -> Path:
    """The file with the databases' URLs: $BANKGW_DATABASES_JSON, else .run/databases.json of this checkout."""
    return Path(os.environ.get("BANKGW_DATABASES_JSON") or ROOT / ".run" / "databases.json")


def read_broker(path: Path) -> Broker | None:
    """The broker described in `path`, or None when there is no such file."""
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return Broker(
        host=found["host"],
        port=found["port"],
        vhost=found["vhost"],
        test_vhost=found["vhost"],
        admin=Login(**found["admin"]),
        users={role: Login(**login) for role, login in found["users"].items()},
        private=bool(found.get("private")),
        control=_control(found.get("control")),
    )


def _control(found: Mapping[str, Any] | None) -> Control | None:
    return Control(tuple(found["command"]), found["env"]) if found else None


def described(broker: Broker) -> dict[str, Any]:
    """The broker's description in the form of `.run/broker.json`."""
    control = {} if broker.control is None else {"control": asdict(broker.control)}
    return {
        "host": broker.host,
        "port": broker.port,
        "vhost": broker.vhost,
        "private": broker.private,
        **control,
        "admin": asdict(broker.admin),
        "users": {role: asdict(login) for role, login in broker.users.items()},
    }


def read_database(path: Path, kind: str) -> str | None:
    """The SQLAlchemy URL of `postgresql` or `mariadb` in `path`, or None when there is no such server."""
    if not path.exists():
        return None
    url = json.loads(path.read_text(encoding="utf-8")).get(kind)
    return str(url) if url else None
