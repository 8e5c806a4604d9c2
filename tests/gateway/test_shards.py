"""Shards: processes with the same files over one journal, each with its part of the lanes."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactor

from gateway.bank.push_listener import push_listeners
from gateway.cli import exit_codes
from gateway.cli.commands import status as status_command
from gateway.control.client import NoDaemon
from gateway.settings import BadSettings, Settings, lanes_of, load, shard_sockets, socket_of
from tests.gateway.cli.test_application import bankgw
from tests.world.world import Life, World

MAIN = """
state_dir = "state"
[broker]
password = { file = "broker" }
[journal]
url = "postgresql+psycopg://bankgw@localhost/bankgw"
vault_key = { file = "vault" }
[[accounts]]
number = "0000000000000000017"
name = "示例甲公司"
company = "jia"
bank = "pab"
lane = "a"
[senders.erp]
users = ["erp"]
operations = ["payment.submit"]
[banks.pab]
protocol = "pab"
"""
LANE = """
[banks.pab.lanes.{name}]
host = "127.0.0.1"
ports = {{ business = 7070 }}
plaintext = "loopback"
credentials = {{ user = {{ file = "{user}" }} }}
"""


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., Path]:
    def write(*logins: tuple[str, str], main: str = MAIN) -> Path:
        text = main + "".join(LANE.format(name=name, user=user) for name, user in logins)
        (tmp_path / "bankgw.toml").write_text(text, "utf-8")
        return tmp_path / "bankgw.toml"

    return write


def shard(path: Path, text: str) -> Settings:
    return load(path, {"BANKGW__SHARD": text})


def test_every_lane_is_dealt_once_and_lanes_of_one_login_stay_together(files: Callable[..., Path]) -> None:
    path = files(("a", "u1"), ("b", "u2"), ("c", "u1"), ("d", "u3"), ("e", "u4"))
    dealt = [sorted(lanes_of(shard(path, f"{k}/2"))) for k in (1, 2)]
    assert dealt == [["pab.a", "pab.c", "pab.d"], ["pab.b", "pab.e"]]
    assert list(lanes_of(load(path))) == [f"pab.{name}" for name in "abcde"]


def test_a_shard_is_a_node_of_its_own(files: Callable[..., Path], tmp_path: Path) -> None:
    path = files(("a", "u1"), ("b", "u2"))
    first, second = shard(path, "1/2"), shard(path, "2/2")
    assert (first.node, second.node, load(path).node) == ("gw1_1", "gw1_2", "gw1")
    assert (first.watch.port, second.watch.port) == (9464, 9465)
    assert second.state_dir == tmp_path / "state" / "shard-2"
    assert second.backups_folder() == load(path).backups_folder() == tmp_path / "state" / "backups"
    assert socket_of(path, {"BANKGW__SHARD": "2/2"}) == second.control_socket() == second.state_dir / "control.sock"
    assert socket_of(path) == tmp_path / "state" / "control.sock"


def test_the_sockets_of_shards_are_told_apart_where_the_settings_name_one(
    files: Callable[..., Path], tmp_path: Path
) -> None:
    path = files(("a", "u1"), ("b", "u2"), main=MAIN.replace("[broker]", '[control]\nsocket = "run/c.sock"\n[broker]'))
    assert (
        shard(path, "2/2").control_socket()
        == tmp_path / "run" / "c-2.sock"
        == socket_of(path, {"BANKGW__SHARD": "2/2"})
    )
    (tmp_path / "run").mkdir()
    for number in (1, 2):
        (tmp_path / "run" / f"c-{number}.sock").touch()
    assert [one.name for one in shard_sockets(path)] == ["c-1.sock", "c-2.sock"]


@pytest.mark.parametrize(
    ("text", "main", "remedy"),
    [
        ("3/2", MAIN, "write k/n, such as 1/2"),
        ("0/2", MAIN, "write k/n, such as 1/2"),
        (
            "1/2",
            MAIN.replace("postgresql+psycopg://bankgw@localhost/bankgw", "sqlite:///journal.db"),
            "SQLite has one writer",
        ),
        ("1/3", MAIN, "the lanes belong to 2 login(s)"),
    ],
)
def test_what_cannot_be_divided_is_refused(text: str, main: str, remedy: str, files: Callable[..., Path]) -> None:
    with pytest.raises(BadSettings) as caught:
        shard(files(("a", "u1"), ("b", "u2"), main=main), text)
    [mistake] = caught.value.mistakes
    assert mistake.key == "shard" and remedy in mistake.remedy


def test_run_says_that_sqlite_cannot_be_divided(files: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = files(("a", "u1"), main=MAIN.replace("postgresql+psycopg://bankgw@localhost/bankgw", "sqlite:///journal.db"))
    assert bankgw("run", "--shard", "1/2", "--config", path) == exit_codes.CONFIG
    assert "SQLite has one writer" in capsys.readouterr().err


def two_shards(folder: Path) -> tuple[World, Life, Life]:
    """Two lives over one journal, each with the lane of one bank."""
    world = World(folder, banks=("sample", "pab"), settings={"journal": {"poll_ms": 250}})
    lives = []
    for number in (1, 2):
        world.settings = world.settings.model_copy(update={"shard": f"{number}/2"})
        lives.append(world.start(f"gw1_{number}"))
        world.run(1)
    return world, lives[0], lives[1]


def test_any_shard_takes_orders_in_and_the_lane_s_own_sends_them(tmp_path: Path) -> None:
    world, first, second = two_shards(tmp_path)
    assert (list(first.gateway.lanes), list(second.gateway.lanes)) == (["pab.main"], ["sample.main"])
    second.amqp.pause()
    for number, bank in enumerate(("sample", "pab")):
        world.submit(f"AP-{number}", bank=bank)
    world.run(60)
    assert [len(site.ledger.executions) for site in world.banks.values()] == [1, 1]
    told = Counter((event["id"], event["event"]) for event in world.events)
    assert [told[f"AP-{number}", "payment.settled"] for number in range(2)] == [1, 1]
    assert first.fatal + second.fatal == []


def test_of_shards_one_holds_a_bank_s_door(files: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("gateway.bank.push_listener.pinned_server_context", lambda *_: opened.append("door"))
    pushes = (
        '[banks.pab.pushes]\nport = 3001\ncertificate = "a"\nkey = { file = "b" }\nca_file = "c"\nclient_pins = ["x"]\n'
    )
    path = files(("a", "u1"), ("b", "u2"), main=MAIN + pushes)
    bank: Any = type("Bank", (), {"pushes": object()})()
    none: Any = None
    clock: Any = SimpleNamespace(monotonic_s=lambda: 0.0)
    for text, doors in (("2/2", 0), ("1/2", 1), ("1/1", 2)):
        settings = shard(path, text) if text != "1/1" else load(path)
        push_listeners(MemoryReactor(), settings, {"pab": bank}, none, clock, none, none)
        assert len(opened) == doors


def said(text: str, status: str = "ready") -> dict[str, Any]:
    return {"shard": text, "status": status}


class ShardOf:
    """Stands for the daemon behind one socket."""

    def __init__(self, answer: dict[str, Any] | None) -> None:
        self._answer = answer

    def get(self, *_: str) -> dict[str, Any]:
        if self._answer is None:
            raise NoDaemon("no daemon listens")
        return self._answer


@pytest.mark.parametrize(
    ("answers", "missing", "ready"),
    [
        ([said("1/2"), said("2/2")], [], True),
        ([said("1/2"), said("2/2", "not ready")], [], False),
        ([said("1/2"), None], ["2/2"], False),
        ([said("2/3")], ["1/3", "3/3"], False),
    ],
)
def test_status_is_ready_when_every_shard_is(
    answers: list[Any], missing: list[str], ready: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    daemons: Any = [ShardOf(one) for one in answers]
    assert status_command._look_at_shards(daemons, None, as_json=True) is ready
    assert json.loads(capsys.readouterr().out)["missing"] == missing


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose sockets have paths of less than 108 bytes, wherever the tests run."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_the_socket_that_one_killed_process_left_does_not_hide_the_shards(
    files: Callable[..., Path], short_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(shutil.copy(files(("a", "u1"), ("b", "u2")), short_folder))
    left, second = (path.parent / "state" / name for name in ("control.sock", "shard-2/control.sock"))
    second.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
        dead.close()
        listening.bind(str(second))
        assert bankgw("lanes", "list", "--config", path) == exit_codes.UNAVAILABLE
        assert str(left) in capsys.readouterr().err, "neither runs"
        listening.listen()
        assert bankgw("lanes", "list", "--config", path) == exit_codes.UNAVAILABLE
        assert "the gateway runs in shards" in capsys.readouterr().err


def test_a_command_for_one_daemon_asks_which_shard(
    files: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = files(("a", "u1"), ("b", "u2"))
    for number in (1, 2):
        folder = path.parent / "state" / f"shard-{number}"
        folder.mkdir(parents=True)
        (folder / "control.sock").touch()
    assert bankgw("lanes", "list", "--config", path) == exit_codes.UNAVAILABLE
    assert "shard-2/control.sock" in capsys.readouterr().err
    assert bankgw("status", "--config", path) == exit_codes.UNAVAILABLE
    assert "shard 2/2: no daemon answers" in capsys.readouterr().out
