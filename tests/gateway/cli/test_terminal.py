"""Commands at a real terminal: the width of tables, colours, views that are redrawn, and `bankgw top`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from gateway.cli import application, exit_codes, terminal
from gateway.cli.commands import top
from gateway.cli.tables import TerminalColumn, table_text
from tests.gateway.cli.canned_daemon import STATUS, TOP, canned_daemon, lane, order
from tests.gateway.cli.pseudo_terminal import CTRL_C, ROOT, at_terminal, heed_interrupts, plain
from tests.gateway.cli.test_application import world

ORDERS = [order(number, state=state) for number, state in enumerate(("in_doubt", "settled", "held", "rejected"))]
TROUBLE = {
    "trouble": "lane",
    "subject": "sample.main",
    "cause": "the bank's front end refuses the connection at 192.0.2.7:8443 because its certificate ended yesterday",
    "since": "2026-12-01T01:00:00.000Z",
    "remedy": "ask the bank for a new certificate and put it into ca_file, then reload the settings",
    "runbook": "lane-down",
}
RAN_OUT = lane(
    "sample.main",
    "down, paused",
    trouble="connection refused; check host and port, and the bank's hours",
    sessions={"ready": 0},
    answered_s_ago=None,
)
CHINESE = {"LC_ALL": "zh_CN.UTF-8"}


class Daemon:
    """A daemon whose totals rise from one question to the next."""

    def __init__(self) -> None:
        self.asked = 0

    def top(self) -> dict[str, Any]:
        self.asked += 1
        return {**TOP, "clock_s": 100.0 + 2 * self.asked, "totals": dict.fromkeys(TOP["totals"], 7 * self.asked)}


@pytest.fixture
def config(tmp_path: Path) -> Iterator[str]:
    settings = tmp_path / "bankgw.toml"
    settings.write_text('state_dir = "."\n')
    daemon = Daemon()
    answers = {
        "/status": {**STATUS, "troubles": [TROUBLE], "lane_details": [RAN_OUT]},
        "/lanes": {"lanes": [lane("sample.main"), RAN_OUT], "stop": None},
        "/orders": {"orders": ORDERS, "next": None},
        "/top": daemon.top,
    }
    with canned_daemon(tmp_path / "control.sock", answers):
        yield str(settings)


@pytest.mark.parametrize("variables", [{}, CHINESE], ids=["english", "chinese"])
@pytest.mark.parametrize(
    "words", [("status",), ("lanes", "list"), ("orders", "list"), ("orders", "list", "--wide"), ("top", "--once")]
)
def test_what_is_shown_fits_eighty_columns(words: tuple[str, ...], variables: dict[str, str], config: str) -> None:
    code, shown = at_terminal(*words, "--config", config, variables=variables).end()
    lines = plain(shown).splitlines()
    assert code == 0 and len(lines) >= 4
    assert [line for line in lines if terminal.columns_of(line) > 80] == []
    if words[0] == "orders":
        for one in ORDERS:
            for whole in (f"erp:{one['id']}", one["amount"], one["state"]):
                assert any(whole in line for line in lines), whole
    if words[-1] == "--wide":
        note = next(line for line in lines if "80" in line and "--json" in line)
        assert "p0000" not in shown and ("payment" in note or "付款编号" in note)


def test_a_pipe_gets_every_column_in_one_line(config: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "orders", "list", "--wide", "--config", config],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=60,
    )
    heading, *rows = done.stdout.splitlines()
    assert len(rows) == len(ORDERS) and heading.split()[-1] == "payment"
    assert all(one["payment"] in row for one, row in zip(ORDERS, rows, strict=True))
    assert "\x1b" not in done.stdout


def test_a_table_wraps_prose_and_leaves_out_what_matters_less() -> None:
    made = [
        TerminalColumn("order", ["erp:PAY-1", "erp:PAY-22"], whole=True, kept=True),
        TerminalColumn("why", ["the account is not known to the bank", "收款人户名与账号不符"], whole=False, kept=True),
        TerminalColumn("payment", ["p" * 26, "q" * 26], whole=True, kept=False),
        TerminalColumn("amount", ["1.00", "98650000.00"], whole=True, kept=True, right=True),
    ]
    text = table_text(made, 44, {})
    assert text.left_out == ["payment"]
    assert max(map(terminal.columns_of, text.lines)) <= 44
    assert text.lines[1].split()[:1] == ["erp:PAY-1"] and text.lines[1].endswith("1.00")
    assert "".join(text.lines).count("98650000.00") == 1
    lists = table_text(made, 20, {})
    assert "erp:PAY-22" in [line.split()[-1] for line in lists.lines if line.startswith("order")]
    assert any(line.split() == ["amount", "98650000.00"] for line in lists.lines)
    assert table_text(made, None, {}).left_out == []


@pytest.mark.parametrize(
    ("words", "variables", "coloured"),
    [
        ((), {}, True),
        ((), {"NO_COLOR": "1"}, False),
        ((), {"TERM": "dumb"}, False),
        (("--color=never",), {}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
    ],
)
def test_colours_at_a_terminal(words: tuple[str, ...], variables: dict[str, str], coloured: bool, config: str) -> None:
    code, shown = at_terminal("orders", "list", "--config", config, *words, variables=variables).end()
    assert code == 0 and ("\x1b[32msettled\x1b[0m" in shown) is coloured and "settled" in shown


@pytest.mark.parametrize(("words", "coloured"), [((), False), (("--color=always",), True)])
def test_colours_in_a_pipe(words: tuple[str, ...], coloured: bool, config: str) -> None:
    line = [sys.executable, "-m", "gateway", *words, "orders", "list", "--config", config]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=True, timeout=60)
    assert ("\x1b[" in done.stdout) is coloured


@pytest.mark.parametrize("words", [("status",), ("lanes", "list")])
def test_a_watched_view_is_drawn_over_itself_and_ends_at_ctrl_c(words: tuple[str, ...], config: str) -> None:
    running = at_terminal(*words, "--watch", "0.2", "--config", config)
    shown = running.until(lambda text: text.count("\x1b[H") >= 3)
    assert shown.startswith("\x1b[?1049h") and "\x1b[2J" not in shown
    running.type(CTRL_C)
    code, shown = running.end()
    drawn, _back, left = shown.partition("\x1b[?1049l")
    assert code == 0 and "Traceback" not in shown and "Aborted" not in shown
    assert drawn.endswith("\x1b[?25h") and "sample.main" in left
    frames = [plain(frame) for frame in drawn.split("\x1b[H")]
    assert [line for frame in frames for line in frame.splitlines() if terminal.columns_of(line) > 80] == []


def test_a_watched_view_gives_the_terminal_back_when_it_is_terminated(config: str) -> None:
    running = at_terminal("status", "--watch", "0.2", "--config", config)
    running.until(lambda text: text.count("\x1b[H") >= 1)
    os.kill(running.process.pid, signal.SIGTERM)
    code, shown = running.end()
    assert code == 128 + signal.SIGTERM and "\x1b[?1049l" in shown


def test_a_view_taller_than_the_terminal_is_cut_at_its_end(config: str) -> None:
    running = at_terminal("status", "--watch", "0.2", "--config", config, rows=6)
    shown = running.until(lambda text: text.count("\x1b[H") >= 2)
    running.type(CTRL_C)
    running.end()
    frame = shown.split("\x1b[H")[1].partition("\x1b[J")[0]
    assert frame.count("\r\n") == 5 and re.search(r"… [0-9]+\x1b\[K$", frame)


def test_a_watched_view_in_a_pipe_is_appended(config: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "lanes", "list", "--watch", "0.2", "--config", config],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        preexec_fn=heed_interrupts,
    )
    assert process.stdout is not None
    seen = b""
    while seen.count(b"open work") < 3:
        shown = os.read(process.stdout.fileno(), 65_536)
        assert shown, process.communicate(timeout=60)
        seen += shown
    process.send_signal(signal.SIGINT)
    _out, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and errors == b"" and b"\x1b" not in seen


# ---- top ----


def test_top_once_is_plain_and_has_the_rates(config: str) -> None:
    line = [sys.executable, "-m", "gateway", "top", "--once", "--every", "0.5", "--config", config]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, check=True, timeout=60)
    assert "\x1b" not in done.stdout
    assert "per second: commands 3.5, refused 3.5, sent 3.5" in done.stdout
    assert "in doubt, with the oldest: b 2 (1m05s)" in done.stdout
    assert "oldest open order: erp:PAY-1 in_doubt b.main 1h02m" in done.stdout
    assert "broker: up, to publish 4 (9s), parked 1" in done.stdout
    said = json.loads(subprocess.run([*line, "--json"], capture_output=True, cwd=ROOT, check=True).stdout)
    assert said["rates"]["settled"] == 3.5 and said["oldest"]["order"] == "erp:PAY-1"


def test_top_at_a_terminal_sorts_at_s_and_ends_at_q(config: str) -> None:
    running = at_terminal("top", "--every", "0.5", "--config", config)
    shown = running.until(lambda text: text.count("\x1b[H") >= 2)
    assert plain(shown).index("b.main  ready") < plain(shown).index("a.main  ready")
    running.type(b"s")
    end = len(running.shown)
    running.until(lambda text: "by queue" in text[end:])
    frame = plain(running.shown[end:].split("\x1b[H")[-1])
    assert frame.index("a.main  ready") < frame.index("b.main  ready")
    running.type(b"q")
    code, shown = running.end()
    assert code == 0 and "\x1b[?1049l" in shown


def test_rates_are_unknown_over_a_restart_of_the_daemon() -> None:
    daemon = Daemon()
    before, now = daemon.top(), daemon.top()
    assert top.rates(before, now) == dict.fromkeys(now["totals"], 3.5)
    assert top.rates(before, {**now, "started_at": "later"}) is None
    assert [top.age(one) for one in (5, 65, 3725, 90_000)] == ["5s", "1m05s", "1h02m", "1d01h"]


# ---- completion ----


def completed(line: str, config: str, **variables: str) -> list[str]:
    """What bash offers for this line, through the script that the program gives it."""
    asked = {**os.environ, "BANKGW_CONFIG": config, **variables}
    bankgw = [sys.executable, "-m", "gateway"]
    source = {**asked, "_BANKGW_COMPLETE": "source_bash"}
    script = subprocess.run(bankgw, env=source, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    program = f'bankgw() {{ {sys.executable} -m gateway "$@"; }}; export -f bankgw\n' + script.replace(
        '"$1" 2>/dev/null', f"{sys.executable} -m gateway 2>/dev/null"
    )
    call = 'COMP_LINE="$0"; COMP_POINT=${#COMP_LINE}; _bankgw_completion bankgw; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{program}\n{call}", line], env=asked, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("bankgw lanes pause ", ["sample.main"]),
        ("bankgw lanes pause sam", ["sample.main"]),
        ("bankgw orders show erp:PAY-20261201-000002", ["PAY-20261201-000002"]),
        ("bankgw orders show erp:P", [one["id"] for one in ORDERS]),
        ("bankgw orders list --bank ", ["sample"]),
        ("bankgw resolve erp:PAY-20261201-00000", [one["id"] for one in ORDERS]),
        ("bankgw lanes pa", ["pause"]),
        ("bankgw la", ["lanes"]),
        ("bankgw lanes pause x", []),
    ],
)
def test_bash_completes_names_and_ids(line: str, offered: list[str], config: str) -> None:
    assert completed(line, config) == offered


def test_completion_says_nothing_without_a_daemon(tmp_path: Path) -> None:
    assert completed("bankgw lanes pause ", str(tmp_path / "nowhere.toml")) == []


def test_completion_is_bounded_in_number_and_time(tmp_path: Path) -> None:
    settings = tmp_path / "bankgw.toml"
    settings.write_text('state_dir = "."\n')
    many = {"lanes": [lane(f"sample.l{number:03}") for number in range(500)]}

    def slow() -> Any:
        time.sleep(3)
        return {"orders": ORDERS}

    with canned_daemon(tmp_path / "control.sock", {"/lanes": many, "/orders": slow}):
        assert len(completed("bankgw lanes pause ", str(settings))) == 50
        assert completed("bankgw orders show ", str(settings)) == []


# ---- mistakes of a new operator ----


@pytest.mark.parametrize(
    ("words", "said", "chinese"),
    [
        (("status", "-c", "{folder}/none.toml"), "`bankgw init` writes one", "`bankgw init` 可写出"),
        (("status", "-c", "{folder}"), "--config {folder}/bankgw.toml", "--config {folder}/bankgw.toml"),
        (("--socket", "{folder}/bankgw.toml", "status"), "is no socket; name", "不是套接字"),
        (("--config={folder}/bankgw.toml", "status"), "no daemon listens", "没有守护进程监听"),
        (("stauts",), "Did you mean 'status'?", "是否为 'status'？"),
        (("orders", "lst"), "Did you mean 'list'?", "是否为 'list'？"),
        (("orders", "list", "--conifg", "x"), "Possible options: --config", "可能是 --config"),
        (("lanes", "list", "--watch", "x"), "'--watch'", "须为数字"),
        (("--color=blue", "status"), "'auto', 'always', 'never'", "'auto', 'always', 'never'"),
    ],
)
def test_a_mistake_says_the_next_step(
    words: tuple[str, ...], said: str, chinese: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bankgw.toml").write_text('state_dir = "."\n')
    line = [word.format(folder=tmp_path) for word in words]
    for language, text in (({}, said), (CHINESE, chinese)):
        code = application.main(world(variables=language), line)
        shown = capsys.readouterr().err
        assert code in (exit_codes.USAGE, exit_codes.UNAVAILABLE, exit_codes.CONFIG)
        assert text.format(folder=tmp_path) in shown and "Traceback" not in shown


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("closed", ["bankgw.toml", "state"])
def test_a_user_without_rights_is_told_whose_they_are(closed: str) -> None:
    with TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        settings = folder / "bankgw.toml"
        settings.write_text('state_dir = "state"\n')
        (folder / "state").mkdir()
        (folder / closed).chmod(0o600 if closed == "bankgw.toml" else 0o700)
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "status", "--config", str(settings)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            user=65534,
            group=65534,
            extra_groups=[],
        )
        assert done.returncode in (exit_codes.CONFIG, exit_codes.UNAVAILABLE)
        assert "root and the daemon's own user may" in done.stderr and "sudo -u bankgw" in done.stderr


def test_a_closed_pipe_ends_the_command_quietly(config: str) -> None:
    line = f"{sys.executable} -m gateway orders list --watch 0.2 --config {config} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout.splitlines()[-1] == str(exit_codes.OUTPUT) and done.stderr == ""
