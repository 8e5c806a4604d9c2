"""The file of notices: the sample is valid, every mistake is reported with its remedy; the commands over the file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway import settings as conf
from gateway.cli import exit_codes
from gateway.kernel.sql import migrations
from gateway.notices import notice_file
from gateway.notices.kinds import NoticeKind
from gateway.notices.notice_file import BadNoticeFile, NoticeDestination, NoticeFile
from gateway.settings import read_settings as read_settings
from tests.gateway.cli import site as sites
from tests.gateway.cli.test_application import bankgw
from tests.gateway.notices.servers import mail_server
from tests.house import ROOT, texts

EMAIL = 'form = "email"\nto = ["ops@example.com"]\n'
SMTP = '[smtp]\nhost = "127.0.0.1"\nport = 25\nsecurity = "loopback"\nsender = "bankgw@example.com"\n'
HOOK = 'form = "webhook"\nurl = "https://127.0.0.1/x"\nkey = { file = "key" }\n'


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = sites.make(tmp_path_factory.mktemp("notices") / "site")
    site.state.mkdir(exist_ok=True)
    migrations.upgrade(f"sqlite:///{site.state / 'journal.db'}")
    return site.settings


def mistakes(tmp_path: Path, settings: conf.Settings, text: str) -> dict[str, str]:
    (tmp_path / "key").write_text("a-key-of-some-length")
    (tmp_path / "token").write_text("a-token/with?more")
    path = tmp_path / "notices.toml"
    path.write_text(text, "utf-8")
    try:
        notice_file.load_notice_file(path, settings)
    except BadNoticeFile as error:
        return {one.key: one.remedy for one in error.mistakes}
    return {}


def test_the_sample_is_good_and_each_kind_can_be_named() -> None:
    made = NoticeFile.model_validate(tomllib.loads((ROOT / "conf" / "notices.toml").read_text("utf-8")))
    assert set(made.destinations) == {"ops", "treasury"}
    kinds = [kind.value for kind in NoticeKind]
    assert NoticeDestination.model_validate({"form": "email", "to": ["a@example.com"], "kinds": kinds}).kinds == tuple(
        kinds
    )


@pytest.mark.parametrize(
    ("text", "key", "remedy"),
    [
        ("", "destinations", "is required"),
        ("[destinations]", "destinations", "needs at least 1"),
        ("x", "-", "is not TOML"),
        (f"[destinations.ops]\n{EMAIL}", "-", "e-mail needs a table `smtp`"),
        (f'{SMTP}[destinations.ops]\nform = "email"', "destinations.ops", "`email` needs `to`"),
        (
            f'{SMTP}[destinations.ops]\nform = "email"\nto = ["Ops <ops@example.com>"]',
            "destinations.ops.to.0",
            "write one address",
        ),
        (
            f'{SMTP}[destinations.ops]\nform = "email"\nto = ["a@b.c\\nBcc: x@y.z"]',
            "destinations.ops.to.0",
            "write one address",
        ),
        (f"{SMTP}[destinations.ops]\n{EMAIL}quiet_from = 22:00:00", "destinations.ops", "or neither"),
        (f'{SMTP}[destinations.ops]\n{EMAIL}kinds = ["payments"]', "destinations.ops.kinds.0", "write "),
        (f"{SMTP}[destinations.ops]\n{EMAIL}colour = 1", "destinations.ops.colour", "no such setting"),
        (f'zone = "Mars/Base"\n{SMTP}[destinations.ops]\n{EMAIL}', "-", "there is no zone"),
        (f"{SMTP.replace('127.0.0.1', 'mail.example.com')}[destinations.ops]\n{EMAIL}", "smtp", "for this machine"),
        (
            f"[destinations.a]\n{HOOK.replace('https://127.0.0.1', 'http://192.0.2.1')}",
            "destinations.a",
            "begins with https://",
        ),
        (f"[destinations.a]\n{HOOK.replace('/x', '/x?key=1')}", "destinations.a.url", "without its secret part"),
        (
            f"[destinations.a]\n{HOOK.replace('https://127', 'https://evil@127')}",
            "destinations.a.url",
            "without its secret part",
        ),
        ('[destinations.a]\nform = "webhook"\nurl = "https://127.0.0.1/x"', "destinations.a", "`webhook` needs `key`"),
        ('[destinations.a]\nform = "wecom"\nurl = "https://127.0.0.1/x"', "destinations.a", "`wecom` needs `token`"),
        (
            '[destinations.a]\nform = "dingtalk"\nurl = "https://127.0.0.1/x"\ntoken = { file = "key" }',
            "destinations.a",
            "needs `key`",
        ),
        (f'[destinations.a]\n{HOOK}to = ["a@example.com"]', "destinations.a", "has no `to`"),
        (
            f"[destinations.a]\n{HOOK.replace('127.0.0.1', 'hook.example.com')}",
            "destinations.a.url",
            "environment.may_dial",
        ),
        (
            f"[destinations.a]\n{HOOK.replace('key = { file = ', 'key = { file = ' + chr(34) + 'no' + chr(34) + ' } #')}",
            "destinations.a.key",
            "cannot be read",
        ),
        (
            '[destinations.a]\nform = "wecom"\nurl = "https://127.0.0.1/x"\ntoken = { file = "token" }',
            "destinations.a.token",
            "does not hold one secret",
        ),
    ],
)
def test_a_mistake_is_told_with_its_remedy(tmp_path: Path, settings: Path, text: str, key: str, remedy: str) -> None:
    found = mistakes(tmp_path, read_settings(settings).settings, text)
    assert remedy in found.get(key, ""), found


def test_production_may_tell_anybody(tmp_path: Path, settings: Path) -> None:
    made = read_settings(settings).settings
    away = f"[destinations.a]\n{HOOK.replace('127.0.0.1', 'hook.example.com')}"
    assert mistakes(tmp_path, made.model_copy(update={"mode": "production"}), away) == {}
    allowed = made.environment.model_copy(update={"may_dial": ("hook.example.com",)})
    assert mistakes(tmp_path, made.model_copy(update={"environment": allowed}), away) == {}


def test_the_daemon_knows_nothing_of_notices() -> None:
    for path, text in texts().items():
        if (
            path.endswith(".py")
            and path.startswith("gateway/")
            and not path.startswith(("gateway/notices/", "gateway/cli/"))
        ):
            assert "gateway.notices" not in text, path


# ---- the commands ----


def written(tmp_path: Path, port: int, more: str = "") -> Path:
    path = tmp_path / "notices.toml"
    path.write_text(
        f"poll_s = 0.05\nport = 0\n{SMTP.replace('25', str(port))}"
        f'[destinations.ops]\n{EMAIL}language = "en"\ngather_s = 0\n{more}',
        "utf-8",
    )
    return path


def test_a_destination_is_tried(tmp_path: Path, settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mail_server() as box:
        words = ("notices", "try", "--config", settings, "--notices", written(tmp_path, box.port))
        assert bankgw(*words, "ops") == exit_codes.OK
        assert box.took[0]["Subject"] == "[bankgw TEST development] notices work"
        box.verdict = "451 later"
        assert bankgw(*words, "ops") == exit_codes.FAILED and bankgw(*words, "treasury") == exit_codes.USAGE
    said = capsys.readouterr()
    assert "ops took notice" in said.out and "answered 451" in said.err and "it has ops" in said.err


def test_the_process_runs_tells_and_is_told_to_end(
    tmp_path: Path, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bankgw("notices", "status", "--state", tmp_path / "none") == exit_codes.UNAVAILABLE
    state = tmp_path / "state"
    with mail_server() as box:
        file = written(tmp_path, box.port)
        first = start(settings, file, state)
        wait(lambda: (state / "notices.json").exists())
        second = start(settings, file, state)
        assert second.wait(60) == exit_codes.UNAVAILABLE and b"is using" in second.communicate()[1]
        end(first)
        # With one destination more, both are told of it.
        again = start(settings, written(tmp_path, box.port, f"[destinations.more]\n{EMAIL}gather_s = 0\n"), state)
        wait(lambda: len(box.took) == 2)
        end(again)
    assert "security: 1 event" in " ".join(mail["Subject"] for mail in box.took)
    assert (state / "notices.json").stat().st_mode & 0o777 == 0o600
    capsys.readouterr()
    assert bankgw("notices", "status", "--state", state, "--json") == exit_codes.OK
    rows = json.loads(capsys.readouterr().out)["destinations"]
    assert [row["destination"] for row in rows] == ["more", "ops"]


def start(settings: Path, file: Path, state: Path) -> subprocess.Popen[bytes]:
    words = ["notices", "run", "--config", str(settings), "--notices", str(file), "--state", str(state)]
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", *words],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def wait(there: Any, timeout_s: float = 90.0) -> None:
    until_s = time.monotonic() + timeout_s
    while not there():
        assert time.monotonic() < until_s, "it did not happen"
        time.sleep(0.05)


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    _out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
