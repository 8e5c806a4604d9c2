"""The content of `pip install`: a wheel and an sdist that are complete, and work without a checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.demo import site as demo_site
from tests.house import texts
from tests.world.services import ROOT, Broker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SCRIPTS = {
    f"gateway/scripts/setup/{name}"
    for name in ("__init__.py", "amqp.py", "apt.sh", "broker.py", "machine.py", "processes.py")
}


def _run(words: Sequence[str | Path], cwd: Path, limit_s: float = 200) -> subprocess.CompletedProcess[str]:
    """Run without any path to the checkout and without its broker."""
    env = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8", "PIP_NO_INDEX": "1"}
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    done = _run([sys.executable, "-m", "hatchling", "build", "-d", folder, "-t", "wheel", "-t", "sdist"], ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return {name for name in file.namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def bankgw(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed from the wheel into a fresh environment that borrows only our libraries."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    [wheel] = dist.glob("*.whl")
    borrowed = sysconfig.get_path("purelib")
    installing = _run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", wheel], folder
    )
    assert installing.returncode == 0, installing.stdout + installing.stderr
    [own] = (folder / "lib").glob("python3*/site-packages")
    # A line of a .pth is an ordinary path: the .pth files of that folder, and so the checkout, are not read.
    (own / "borrowed.pth").write_text(borrowed + "\n", "utf-8")
    where = _run([python, "-c", "import gateway, protocols; print(gateway.__file__, protocols.__file__)"], folder)
    assert where.stdout.split() == [str(own / "gateway" / "__init__.py"), str(own / "protocols" / "__init__.py")], where
    return folder / "bin" / "bankgw"


def test_a_wheel_holds_every_file_of_the_packages(dist: Path) -> None:
    [wheel] = dist.glob("*.whl")
    tracked = {str(path) for path in texts() if str(path).startswith(("gateway/", "protocols/"))}
    held = {name for name in _names(wheel) if ".dist-info/" not in name}
    assert tracked | SCRIPTS <= held, sorted((tracked | SCRIPTS) - held)
    assert not [name for name in held if "__pycache__" in name or name.startswith(("setup/", "tests/"))]
    [metadata] = [name for name in _names(wheel) if name.endswith(".dist-info/METADATA")]
    with zipfile.ZipFile(wheel) as file:
        text = file.read(metadata).decode()
    for extra, library in (("postgresql", "psycopg"), ("mysql", "pymysql")):
        assert f"Provides-Extra: {extra}\n" in text
        assert re.search(rf"^Requires-Dist: {library}\S*>=\S+; extra == '{extra}'$", text, re.MULTILINE), text


def test_an_sdist_builds_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    [sdist] = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        file.extractall(tmp_path, filter="data")
    [unpacked] = tmp_path.iterdir()
    done = _run([sys.executable, "-m", "hatchling", "build", "-d", tmp_path / "dist", "-t", "wheel"], unpacked)
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel], [again] = dist.glob("*.whl"), (tmp_path / "dist").glob("*.whl")
    assert _names(again) == _names(wheel)
    for name in ("LICENSE", "README.md", "requirements/run.txt", "conf/bankgw.toml", "systemd/bankgw.service"):
        assert (unpacked / name).is_file(), name


def test_an_installed_gateway_reads_its_settings(bankgw: Path, tmp_path: Path) -> None:
    said = _run([bankgw, "--version"], tmp_path)
    assert said.returncode == 0 and re.fullmatch(r"bankgw \d+\.\d+\.\d+\S*\n", said.stdout), said
    site = demo_site.prepare(tmp_path / "site", (demo_site.BankPlan("sample"),))
    # The simulated bank need not run for its settings to be read.
    site.ready_file("sample").write_text('{"ports": {"business": 1}}', "utf-8")
    login = {"user": "u", "password": "nothing-much-here"}
    broker = {"host": "127.0.0.1", "port": 1, "vhost": "v", "users": {"bankgw": login}}
    demo_site.configure(
        site, broker, {"erp": {"users": ["u"], "operations": ["payment.submit"], "reply_to": "q"}}, watch_port=0
    )
    said = _run([bankgw, "check", "--config", site.settings], tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr
    said = _run([bankgw, "banks"], tmp_path)
    assert said.returncode == 0 and "icbc" in said.stdout, said
    said = _run([bankgw, "topology", "export"], tmp_path)
    assert said.returncode == 0 and "bankgw.commands.money" in said.stdout, said


@pytest.mark.broker
@pytest.mark.usefixtures("broker")
def test_an_installed_gateway_plays_the_demo(bankgw: Path, broker: Broker, tmp_path: Path) -> None:
    """It finds the system's RabbitMQ or starts the installed one as a private node, and leaves neither running."""
    done = _run([bankgw, "demo", "--orders", "30", "--kills", "1"], tmp_path, limit_s=280)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert re.fullmatch(r"demo: 30 orders, .* 0 duplicated, 0 lost, \d+ reconciled, 0 wrong", last), last
    assert (tmp_path / "demo-report.html").stat().st_size > 10_000
    assert not (tmp_path / ".cache" / "bankgw" / "broker.json").exists(), "what was made for it is taken away"


def test_without_rabbitmq_the_demo_says_what_is_missing(bankgw: Path, tmp_path: Path) -> None:
    env = {"PATH": str(bankgw.parent), "HOME": str(tmp_path), "BANKGW_BROKER_JSON": str(tmp_path / "none.json")}
    done = subprocess.run(
        [bankgw, "demo"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 69
    assert done.stdout.startswith(f"demo: {tmp_path / 'none.json'} is not there"), done.stdout
