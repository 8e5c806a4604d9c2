"""`bankgw init`: one command from nothing to a payment that is settled, on a real broker and a simulated bank."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

import pytest

from gateway.cli import exit_codes
from gateway.control.offline import settings_check
from gateway.demo import first_setup
from gateway.register.adapters import load_bank
from gateway.settings import read_settings
from gateway.simbank.config import SimConfig
from protocols.kit import dsig
from protocols.trial import banks
from tests.gateway.erp.rabbit import ctl, rabbit_for_tests

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short path: sockets lie in it, and a worker's own folder is too deep for them."""
    with TemporaryDirectory(prefix="bgi-", dir="/tmp") as folder:
        yield Path(folder)


def bankgw(*words: str, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **variables},
    )
    return done.returncode, done.stdout + done.stderr


def made(folder: Path, *words: str) -> tuple[int, str]:
    more = () if "--units" in words else ("--no-units",)
    return bankgw("init", str(folder), "--yes", *more, "--no-import", "--state", str(folder / "state"), *words)


def test_every_secret_is_a_file_of_its_own_and_none_is_in_the_settings(place: Path) -> None:
    folder = place / "site"
    code, said = made(folder)
    assert code == 0, said
    settings = (folder / "bankgw.toml").read_text() + (folder / "conf.d" / "sample.toml").read_text()
    secrets = {path.name: path for path in (folder / "secrets").iterdir()}
    assert {"vault.key", "broker", "erp-erp.password", "sample-user", "sample-password"} <= secrets.keys()
    for name, path in secrets.items():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, name
        assert path.read_text().strip() not in settings + said, name
    assert stat.S_IMODE((folder / "secrets").stat().st_mode) == 0o700
    assert tomllib.loads((folder / "bankgw.toml").read_text())["mode"] == "development"
    assert "keep a copy of" in said and said.rstrip().endswith(f"--profile {folder / 'erp-erp.toml'}")


def test_the_simulators_ports_are_none_that_an_outgoing_connection_may_take(place: Path) -> None:
    assert made(place / "site")[0] == 0
    settings = tomllib.loads((place / "site" / "simulated-sample" / "simulated.toml").read_text())
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert settings["ports"] and all(1024 < port < first_outgoing for port in settings["ports"].values())


def test_nothing_is_overwritten(place: Path) -> None:
    folder = place / "site"
    assert made(folder)[0] == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, said = made(folder)
    assert code == exit_codes.REFUSED and "nothing is overwritten" in said and "bankgw.toml" in said
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_an_old_secret_alone_stops_it_before_anything_is_written(place: Path) -> None:
    folder = place / "site"
    (folder / "secrets").mkdir(parents=True)
    (folder / "secrets" / "vault.key").write_text("old")
    assert made(folder)[0] == exit_codes.REFUSED
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["vault.key"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--bank", "nobank"), "nobank"),
        (("--company", "Big Co"), "begin with a letter"),
        (("--real", "--front-end", "fep.example"), "at least one --account"),
        (("--real", "--account", "0000000000000000017=甲"), "--front-end HOST"),
        (("--account", "甲公司"), "write NUMBER=HOLDER"),
        (("--broker", "host:x"), "HOST:PORT"),
        (("--state", "/" + "x" * 100), "may have 107"),
    ],
)
def test_a_wrong_option_writes_nothing(place: Path, words: tuple[str, ...], says: str) -> None:
    code, said = made(place / "site", *words)
    assert code == exit_codes.USAGE and says in said and not (place / "site").exists()


def test_a_real_bank_lacks_what_only_the_bank_can_give(place: Path) -> None:
    folder = place / "site"
    account = "0000000000000000017=示例甲公司"
    code, said = made(folder, "--real", "--bank", "sample", "--front-end", "fep.example", "--account", account)
    assert code == 0 and "still lacking" in said
    code, said = bankgw("init", str(folder), "--check")
    assert code == exit_codes.CONFIG and "ca.pem" in said and "sample-tls-key" in said, said


def test_it_asks_in_the_language_of_the_environment_and_check_names_what_lacks(place: Path) -> None:
    code, said = bankgw("init", str(place), "--check", LANG="zh_CN.UTF-8")
    assert code == exit_codes.CONFIG and "不存在" in said


@pytest.mark.parametrize("bank", banks())
def test_the_settings_of_every_simulated_bank_have_no_mistake(place: Path, bank: str) -> None:
    at = first_setup.BrokerPlace()
    setup = first_setup.FirstSetup(place / "etc", place / "state", bank, True, "jia", "erp", "gw1", at)
    first_setup.write_files(setup, datetime.now(UTC))
    dsig.start()
    found = settings_check.findings(read_settings(setup.settings, {}), load_bank, datetime.now(UTC))
    assert found.mistakes == ()
    simulated = SimConfig.from_file(setup.simulator / "simulated.toml")
    assert {one.holder for one in simulated.accounts} == {name for _number, name in setup.own_accounts()}


def test_under_units_every_secret_is_a_credential(place: Path) -> None:
    setup = first_setup.FirstSetup(
        place / "etc", place / "state", "sample", True, "jia", "erp", "gw1", first_setup.BrokerPlace(),
        units=place / "units",
    )  # fmt: skip
    written = first_setup.write_files(setup, datetime.now(UTC))
    assert setup.drop_in is not None and setup.simulator_unit is not None
    drop_in, settings = setup.drop_in.read_text(), setup.settings.read_text() + setup.bank_settings.read_text()
    named = {line.split('credential = "')[1].split('"')[0] for line in settings.splitlines() if "credential" in line}
    assert {"vault", "broker"} <= named and "file =" not in settings.replace("ca_file =", "")
    for name in named:
        assert f"LoadCredential={name}:" in drop_in, name
    assert written.start == ("systemctl daemon-reload && systemctl enable --now bankgw-simulated-sample bankgw",)
    judged = subprocess.run(["systemd-analyze", "verify", str(setup.simulator_unit)], capture_output=True, text=True)
    assert "Unknown" not in judged.stderr and "Failed to parse" not in judged.stderr, judged.stderr
    code, said = bankgw("init", str(setup.folder), "--check")
    assert code == 0, said


@pytest.fixture
def broker() -> Iterator[tuple[str, str]]:
    """The broker's address, and the name of a virtual host that is removed afterwards with its users."""
    vhost = f"bankgw-init-{token_hex(4)}"
    with rabbit_for_tests("init") as rabbit:
        yield f"{rabbit.address.host}:{rabbit.address.port}", vhost
    ctl("delete_vhost", vhost)
    for user in (vhost, f"{vhost}-erp-erp"):
        ctl("delete_user", user)


@pytest.mark.broker
@pytest.mark.timeout(180)
def test_the_lines_that_it_ends_with_start_a_gateway_and_settle_a_payment(place: Path, broker: tuple[str, str]) -> None:
    folder, processes = place / "site", list[subprocess.Popen[bytes]]()
    code, said = made(folder, "--broker", broker[0], "--vhost", broker[1])
    assert code == 0, said
    with TemporaryDirectory(prefix="bankgw-init-") as readable:  # by the broker's user, as the folder of a site is
        os.chmod(readable, 0o755)
        shutil.copy(folder / "broker-definitions.json", readable)
        ctl("import_definitions", f"{readable}/broker-definitions.json")
    assert bankgw("init", str(folder), "--check")[0] == 0
    lines = [line.strip() for line in said.splitlines() if line.startswith("    ")]
    assert [line.split()[1] for line in lines] == ["simulate", "run", "send"]
    try:
        with (place / "log").open("ab") as log:
            for line in lines[:2]:
                words = line.removesuffix(" &").split()[1:]
                processes.append(
                    subprocess.Popen([sys.executable, "-m", "gateway", *words], cwd=ROOT, stdout=log, stderr=log)
                )
        ends_s = time.monotonic() + 90
        while bankgw("status", "--config", str(folder / "bankgw.toml"))[0] != 0:
            assert not [one.args for one in processes if one.poll() is not None], (place / "log").read_text()[:5000]
            assert time.monotonic() < ends_s, (place / "log").read_text()[:5000]
            time.sleep(0.3)
        code, said = bankgw(*lines[2].split()[1:])
        assert code == 0 and "settled" in said, said
    finally:
        for one in reversed(processes):
            one.send_signal(signal.SIGTERM)
        for one in processes:
            one.wait(40)
    assert json.loads((folder / "first-payment.json").read_text())["amount"] == "1.00"
