"""The support bundle: it has the promised content, needs no daemon, and has no personal data and no secret."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from gateway.cli import application, exit_codes, support_bundle
from gateway.control import service_unit
from gateway.control.client import ControlClient
from gateway.demo import site as demo_site
from gateway.settings import read_settings
from tests.gateway.cli import site as sites
from tests.gateway.cli.test_application import world

SECRETS = ("marker-broker-word", "marker-in-the-url")
HOLDER = demo_site.HOLDERS[0]
PAYEE, ENGLISH = "示例丙物流有限公司", "Example Freight Ltd"
FOREIGN_ACCOUNT = "0000445803435177541"
NUMBERS = demo_site.account_numbers("sample", 2) + demo_site.account_numbers("pab", 2)
MARKERS = (*SECRETS, *demo_site.HOLDERS[:2], PAYEE, ENGLISH, FOREIGN_ACCOUNT, *NUMBERS)
LOG = (
    "\n".join(
        (
            json.dumps(
                {
                    "ts": "2026-11-27T21:05:45.651Z",
                    "level": "error",
                    "event": "lane.defect",
                    "lane": "pab.main",
                    "error": f"ValueError: {ENGLISH!r} of {PAYEE} has {FOREIGN_ACCOUNT}",
                    "took_s": 0.25,
                },
                ensure_ascii=False,
            ),
            f"<3>{json.dumps({'event': 'x', 'text': f'{HOLDER} {NUMBERS[0]}', 'lane': NUMBERS[1]}, ensure_ascii=False)}",
            f'Traceback of {PAYEE} with {SECRETS[0]}: "{ENGLISH}" in File "/usr/lib/x.py"',
            '{"event": "outbox.sent", "list": ["' + NUMBERS[2] + '"]}',
        )
    )
    + "\n"
)


class Metrics(BaseHTTPRequestHandler):
    """Answers every page with one line that contains an account."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f'bankgw_balance{{account="{NUMBERS[0]}"}} 7\n'.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Metrics) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def site(tmp_path: Path) -> demo_site.Site:
    made = sites.make(tmp_path / "site")
    (made.folder / "secrets" / "broker").write_text(f"{SECRETS[0]}\n")
    (made.folder / "log").write_text(LOG, "utf-8")
    return made


def bundle(site: demo_site.Site, *words: str) -> tuple[int, dict[str, str]]:
    target = site.folder / "b.zip"
    code = application.main(world(), ["support-bundle", str(target), "--config", str(site.settings), *words])
    if not target.exists():
        return code, {}
    assert target.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(target) as packed:
        return code, {name: packed.read(name).decode() for name in packed.namelist()}


def readable(members: dict[str, str]) -> str:
    """The bundle's whole content, with JSON escapes undone."""
    text = "\n".join(members.values())
    return text + "\n" + text.encode().decode("unicode_escape", "replace")


def test_a_bundle_of_a_daemon_at_work(
    site: demo_site.Site, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status = {"status": "ready", "node": "gw1", "note": f"{HOLDER} {NUMBERS[0]} {SECRETS[0]}"}
    monkeypatch.setattr(ControlClient, "get", lambda _self, *parts: status)
    site.state.mkdir()
    (site.state / "watch.port").write_text(str(port))
    code, members = bundle(site, "--log", str(site.folder / "log"))
    assert code == exit_codes.OK
    assert set(members) == {
        "README.txt",
        "versions.json",
        "settings.json",
        "check.txt",
        "status.json",
        "metrics.txt",
        "log.txt",
        "missing.txt",
    }
    assert json.loads(members["versions.json"])["bankgw"] == "9.9"
    assert json.loads(members["versions.json"])["packages"]["Twisted"]
    assert json.loads(members["status.json"])["status"] == "ready"
    assert members["metrics.txt"].startswith("bankgw_balance{") and members["metrics.txt"].endswith("} 7\n")
    assert members["missing.txt"] == "nothing\n"
    first, *_rest = map(json.loads, members["log.txt"].splitlines()[:1])
    assert (first["event"], first["lane"], first["took_s"]) == ("lane.defect", "pab.main", 0.25)
    assert 'File "/usr/lib/x.py"' in members["log.txt"]
    shown = readable(members)
    assert [marker for marker in MARKERS if marker in shown] == []
    assert "no account number" in capsys.readouterr().out


def test_passwords_in_addresses_are_left_out(site: demo_site.Site) -> None:
    text = site.settings.read_text("utf-8")
    text = text.replace("[journal]", f'[journal]\nurl = "mysql+pymysql://u:{SECRETS[1]}@127.0.0.1:1/x"')
    text = text.replace("[broker]", f'[broker]\nmanagement_url = "http://u:{SECRETS[1]}@127.0.0.1:15672"')
    site.settings.write_text(text, "utf-8")
    settings = read_settings(site.settings, {}).settings
    redaction = support_bundle.redaction_of(settings)
    said = support_bundle.settings_words(settings, support_bundle.Redaction(()))
    assert SECRETS[1] not in json.dumps(said)
    assert "127.0.0.1:15672" in said["broker"]["management_url"] and "mysql+pymysql" in said["journal"]["url"]
    assert redaction.text(f"x {SECRETS[1]} y") == "x [secret] y"


def test_a_daemon_that_is_down_is_said(
    site: demo_site.Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(service_unit, "UNIT_FOLDERS", (tmp_path,))
    code, members = bundle(site)
    assert code == exit_codes.OK
    assert "the daemon is down" in members["missing.txt"] and "no metrics" in members["missing.txt"]
    assert "--log" in members["missing.txt"]
    assert "status.json" not in members and "settings.json" in members
    assert "missing: no status, the daemon is down" in capsys.readouterr().out
    assert bundle(site)[0] == exit_codes.REFUSED, "nothing is overwritten"


def test_settings_that_cannot_be_read_are_no_obstacle(site: demo_site.Site) -> None:
    site.settings.write_text("[broker\n")
    code, members = bundle(site, "--log", "/nowhere/log")
    assert code == exit_codes.OK
    assert str(site.settings) in members["settings-mistakes.txt"]
    assert "No such file" in members["missing.txt"] and "versions.json" in members
