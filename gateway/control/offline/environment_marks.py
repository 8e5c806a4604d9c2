"""Marks that distinguish environments: addresses, authorities and keys. No mark may belong to two environments.

`marks` gives the marks of settings; for environments on other machines, `bankgw check --marks` prints them. No mark is
a secret: addresses, and SHA-256 of public keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.bank.signers import KeyFileError, read_certificates
from gateway.bank.tls import spki_pin
from gateway.settings import BadSettings, Settings, is_loopback, read_settings

Marks = Mapping[str, Mapping[str, str]]
"""By kind (`address`, `authority`, `key`): the mark, and the key of the settings that has it."""
KINDS = ("address", "authority", "key")
_WHAT = {"address": "connects to the same place", "authority": "trusts the same authority", "key": "uses the same key"}


def marks(settings: Settings) -> dict[str, dict[str, str]]:
    """The values that distinguish the environment of these settings. A file that cannot be read gives none; `check`
    reports it anyway."""
    found: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
    addresses, broker = found["address"], settings.broker
    addresses[f"amqp {broker.host}:{broker.port}/{broker.vhost}"] = "broker.host"
    if not settings.journal.url.startswith("sqlite"):
        addresses[re.sub(r"//[^@/]*@", "//", settings.journal.url)] = "journal.url"
    tables = [("broker.tls", broker.tls)] if broker.tls is not None else []
    signing = []
    for bank_name, bank in settings.banks.items():
        for lane_name, lane in bank.lanes.items():
            at = f"banks.{bank_name}.lanes.{lane_name}"
            addresses |= {f"{lane.host}:{port}": f"{at}.host" for port in lane.ports.values()}
            tables += [(f"{at}.tls", lane.tls)] if lane.tls is not None else []
            signing += [(f"{at}.keys.{name}.certificate", key.certificate) for name, key in lane.keys.items()]
        if bank.pushes is not None:
            at = f"banks.{bank_name}.pushes"
            found["authority"] |= dict.fromkeys(_pins(bank.pushes.ca_file), f"{at}.ca_file")
            found["key"] |= dict.fromkeys(bank.pushes.client_pins, f"{at}.client_pins")
            signing.append((f"{at}.certificate", bank.pushes.certificate))
    for at, table in tables:
        found["authority"] |= dict.fromkeys(_pins(table.ca_file), f"{at}.ca_file")
        found["key"] |= dict.fromkeys(_pins(table.certificate)[:1], f"{at}.certificate")
    for key, file in signing:
        found["key"] |= dict.fromkeys(_pins(file)[:1], key)
    return found


def portable(settings: Settings) -> dict[str, Any]:
    """The values to compare with environments on other machines: all except loopback addresses, which differ on each
    machine."""
    own = marks(settings)
    own["address"] = {mark: key for mark, key in own["address"].items() if not is_loopback(_host(mark))}
    return {"environment": settings.environment_name(), "mode": settings.mode, "marks": own}


def shared(settings: Settings, variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The values that another environment has too: the key of the settings, and the remedy."""
    own = marks(settings)
    for n, file in enumerate(settings.environment.others):
        try:
            name, theirs = _of(file, variables)
        except (OSError, ValueError, KeyError, TypeError, BadSettings) as error:
            remedy = "name the settings of another environment, or what bankgw check --marks printed there"
            yield f"environment.others.{n}", f"{file} cannot be read ({str(error).splitlines()[0]}); {remedy}"
            continue
        for kind in KINDS:
            for mark, key in own[kind].items():
                if mark in theirs.get(kind, {}):
                    yield (
                        key,
                        (
                            f"environment {name} {_WHAT[kind]} ({mark}, its {theirs[kind][mark]}); give each "
                            "environment its own"
                        ),
                    )


def _of(file: Path, variables: Mapping[str, str]) -> tuple[str, Marks]:
    if file.suffix == ".toml":
        other = read_settings(file, variables).settings
        return other.environment_name(), marks(other)
    said = json.loads(file.read_text("utf-8"))
    return str(said["environment"]), said["marks"]


def _pins(file: Path) -> list[str]:
    try:
        return [spki_pin(one) for one in read_certificates(file)]
    except KeyFileError:
        return []


def _host(mark: str) -> str:
    return re.sub(r"^(amqp |[\w+]+://)", "", mark).partition("/")[0].rpartition(":")[0] or mark
