"""Environments are kept apart: the banks that a development gateway may dial, and marks shared by two environments."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.control.offline.environment_marks import marks, portable, shared
from gateway.kernel import log
from gateway.settings import Settings, dialled, read_settings
from gateway.simbank.pki import make_pki

PKI_OF: dict[str, Any] = {}


def text(
    folder: Path,
    name: str,
    *,
    mode: str = "test",
    host: str = "127.0.0.1",
    pki: str = "",
    more: str = "",
    vhost: str = "",
) -> Path:
    files = PKI_OF.setdefault(
        str(folder) + (pki or name), make_pki(folder / f"pki-{pki or name}", ["sample"], datetime.now(UTC))["sample"]
    )
    (folder / name).mkdir(exist_ok=True)
    for secret in ("broker", "vault"):
        (folder / name / secret).write_text("x")
    path = folder / name / "bankgw.toml"
    path.write_text(
        f'''
mode = "{mode}"
state_dir = "{folder}/{name}/state"
[environment]
name = "{name}"
{more}
[broker]
vhost = "{vhost or name}"
password = {{ file = "broker" }}
[journal]
no_witness = "a test"
vault_key = {{ file = "vault" }}
[banks.sample]
protocol = "sample"
[banks.sample.lanes.main]
host = "{host}"
ports = {{ main = 7001 }}
tls = {{ ca_file = "{files.ca_cert}", certificate = "{files.client_cert}", key = {{ file = "{files.client_key}" }} }}
''',
        "utf-8",
    )
    return path


def wrong(path: Path) -> list[str]:
    return [str(one) for one in read_settings(path, {}).mistakes if "may connect" in str(one) or "may_dial" in str(one)]


def of(path: Path) -> Settings:
    return read_settings(path, {}).settings


@pytest.mark.parametrize("mode", ["development", "test"])
def test_development_and_test_dial_the_loopback_or_what_is_listed(tmp_path: Path, mode: str) -> None:
    assert wrong(text(tmp_path, "uat", mode=mode)) == []
    far = wrong(text(tmp_path, "uat", mode=mode, host="10.1.2.3"))
    assert len(far) == 1 and "banks.sample.lanes.main.host" in far[0] and "environment.may_dial" in far[0]
    for listed in ("10.1.2.3", "10.1.0.0/16"):
        assert wrong(text(tmp_path, "uat", mode=mode, host="10.1.2.3", more=f'may_dial = ["{listed}"]')) == []
    assert wrong(text(tmp_path, "uat", mode=mode, host="10.2.2.3", more='may_dial = ["10.1.0.0/16"]'))
    assert (
        wrong(text(tmp_path, "uat", mode=mode, host="fep.bank.example", more='may_dial = ["fep.bank.example"]')) == []
    )
    assert "no network" in wrong(text(tmp_path, "uat", mode=mode, more='may_dial = ["10.1.0.0/99"]'))[0]


def test_what_meets_a_bank_that_calls_us_is_marked(tmp_path: Path) -> None:
    other = make_pki(tmp_path / "door", ["sample"], datetime.now(UTC))["sample"]

    def pushes(name: str) -> str:
        return (
            f'[banks.sample.pushes]\nport = 3001\ncertificate = "{other.server_cert}"\nkey = {{ file = "{other.server_key}" }}\n'
            f'ca_file = "{other.ca_cert}"\nclient_pins = ["{"A" * 43}="]\n'
        )

    prod, uat = text(tmp_path, "prod", mode="production", host="10.1.2.3"), text(tmp_path, "uat", host="10.9.9.9")
    for path in (prod, uat):
        path.write_text(path.read_text("utf-8") + pushes(path.parent.name), "utf-8")
    uat.write_text(uat.read_text("utf-8").replace("[environment]", f'[environment]\nothers = ["{prod}"]'), "utf-8")
    at = "banks.sample.pushes"
    assert {key for key, _said in shared(of(uat), {})} == {f"{at}.ca_file", f"{at}.certificate", f"{at}.client_pins"}


def test_production_dials_anywhere_and_everything_that_is_dialled_is_known(tmp_path: Path) -> None:
    path = text(tmp_path, "prod", mode="production", host="10.1.2.3")
    assert wrong(path) == []
    assert dict(dialled(of(path))) == {"broker.host": "127.0.0.1", "banks.sample.lanes.main.host": "10.1.2.3"}


def test_an_address_an_authority_or_a_key_of_another_environment_is_a_mistake(tmp_path: Path) -> None:
    prod = text(tmp_path, "prod", mode="production", host="10.1.2.3")
    apart = text(tmp_path, "uat", host="10.9.9.9", more=f'others = ["{prod}"]')
    assert list(shared(of(apart), {})) == []
    same = text(tmp_path, "uat", host="10.1.2.3", more=f'others = ["{prod}"]')
    assert [(key, "10.1.2.3:7001" in said) for key, said in shared(of(same), {})] == [
        ("banks.sample.lanes.main.host", True)
    ]
    keys = text(tmp_path, "uat", host="10.9.9.9", pki="prod", more=f'others = ["{prod}"]')
    prod = text(tmp_path, "prod", mode="production", host="10.1.2.3")
    found = dict(shared(of(keys), {}))
    assert set(found) == {"banks.sample.lanes.main.tls.ca_file", "banks.sample.lanes.main.tls.certificate"}
    assert "environment prod trusts the same authority" in found["banks.sample.lanes.main.tls.ca_file"]
    broker = text(tmp_path, "uat", host="10.9.9.9", vhost="prod", more=f'others = ["{prod}"]')
    assert [key for key, _ in shared(of(broker), {})] == ["broker.host"]


def test_marks_travel_between_machines_without_the_loopback(tmp_path: Path) -> None:
    prod = of(text(tmp_path, "prod", mode="production", host="10.1.2.3"))
    file = tmp_path / "prod.json"
    file.write_text(json.dumps(portable(prod)))
    said = json.loads(file.read_text())
    assert said["environment"] == "prod" and list(said["marks"]["address"]) == ["10.1.2.3:7001"]
    assert "amqp 127.0.0.1:5672/prod" in marks(prod)["address"]
    same = text(tmp_path, "uat", host="10.1.2.3", more=f'others = ["{file}"]')
    assert [key for key, _ in shared(of(same), {})] == ["banks.sample.lanes.main.host"]
    file.write_text("nonsense")
    assert [key for key, _ in shared(of(same), {})] == ["environment.others.0"]


def test_each_log_line_names_the_environment() -> None:
    log.start("info", stream := io.StringIO(), bridge_twisted=False, environment="prod-shanghai")
    log.get("x").info("daemon.started")
    assert json.loads(stream.getvalue())["env"] == "prod-shanghai"
    log.start("info", stream := io.StringIO(), bridge_twisted=False)
    log.get("y").info("daemon.started")
    assert "env" not in json.loads(stream.getvalue())
