"""Commands made from acts: their requests to the daemon, their output, and their texts in both languages."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.act import Act, SocketProof, params_of
from gateway.cli import act_commands, application, exit_codes, help_pages, output, refusals, terminal
from gateway.cli.act_hooks import HOOKS
from gateway.cli.every_command import OF_ACTS, WITH_BODY
from gateway.cli.headings import IN_CHINESE
from gateway.control.client import Refused
from gateway.control.register import REGISTER
from tests.gateway.cli.test_application import world
from tests.house import texts

COMMANDS = {act.command: act for act in REGISTER.values() if act.command}
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
ROOT = Path(__file__).resolve().parents[3]


class Daemon:
    """Stands for the daemon that a command asks. `administered`: there are administrators."""

    def __init__(self, answer: Any, *, administered: bool = True) -> None:
        self.answer = answer
        self.administered = administered
        self.environment = "test"
        self.asked: list[tuple[str, tuple[str, ...], dict[str, Any]]] = []

    def get(self, *parts: str, **query: Any) -> Any:
        if parts == ("persons",) and "persons" not in (self.answer or {}):
            return {"ceremony_open": not self.administered}
        return self._said("GET", parts, query)

    def post(self, *parts: str, **body: Any) -> Any:
        return self._said("POST", parts, body)

    def _said(self, method: str, parts: tuple[str, ...], given: dict[str, Any]) -> Any:
        self.asked.append((method, parts, given))
        if isinstance(self.answer, Refused):
            raise self.answer
        return self.answer


def bankgw(monkeypatch: pytest.MonkeyPatch, daemon: Daemon, *words: str, lang: str = "en_GB.UTF-8") -> int:
    monkeypatch.setattr(output, "remote", lambda *_given, **_more: daemon)
    return application.main(world(variables={"LANG": lang}), list(words))


@cache
def program(language: Any) -> Any:
    return typer.main.get_command(application.application(language=language))


def command_of(act: Act, language: Any) -> Any:
    found = program(language)
    for word in act.command.split():
        found = found.commands[word]
    return found


@pytest.mark.parametrize("act", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_speaks_chinese(act: Act) -> None:
    found = command_of(act, "zh")
    assert act.title[1].split("。")[0] in found.help
    assert [one.name for one in found.params if not _CHINESE.search(getattr(one, "help", None) or "")] == []


@pytest.mark.parametrize("act", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_is_listed_where_a_person_looks_for_it(act: Act) -> None:
    first = act.command.split()[0]
    assert any(first in names for names in help_pages.GROUPS.values())
    assert f"\n### bankgw {act.command}\n" in texts()["docs/lookup/cli.md"]
    if act.path:
        assert f"| `{act.code}` |" in texts()["docs/lookup/roles.md"]


@pytest.mark.parametrize("act", [one for one in COMMANDS.values() if one.code not in OF_ACTS], ids=lambda act: act.code)
def test_a_command_offers_what_its_act_takes(act: Act) -> None:
    found = {name for one in command_of(act, "en").params for name in (one.name, *one.opts)}
    for one in params_of(act):
        assert (one.name in found) == one.form.command, one.name
        if one.form.command and not one.in_path and one.form.option not in ("", "argument"):
            assert one.form.option in found
    assert {"--config", "--socket", "--json"} <= found
    assert ("--key" in found) == (act.decision is not None or act.shows is SocketProof.SIGNATURE)


@pytest.mark.parametrize(
    ("words", "method", "parts", "given"),
    [
        (("lanes", "pause", "pab.main", "--reason", "x"), "POST", ("lanes", "pab.main", "pause"), {"reason": "x"}),
        (("lanes", "forgotten"), "GET", ("past",), {}),
        (("orders", "cancel", "erp:1", "--reason", "x"), "POST", ("orders", "erp:1", "cancel"), {"reason": "x"}),
        (("parked", "replay", "M1"), "POST", ("parked", "M1", "replay"), {}),
        (("liquidity", "list", "--clear"), "GET", ("liquidity",), {"clear": 1}),
        (("approvals", "list", "--all"), "GET", ("approvals",), {"all": 1}),
        (("receipts", "missing", "--older", "3", "--bank", "b"), "GET", ("receipts", "missing"),
         {"older_days": 3.0, "bank": "b"}),
        (("delegations", "make", "li", "--roles", "approver", "--reason", "x"), "POST", ("delegations",),
         {"delegate": "li", "roles": "approver", "scope": "*", "days": 7.0, "reason": "x"}),
        (("persons", "confirm", "li", "abcd"), "POST", ("persons", "li", "confirm"), {"fingerprint": "abcd"}),
        (("roles", "ceremony", "a", "b", "--reason", "x"), "POST", ("ceremony",),
         {"security_admin": "a", "system_admin": "b", "reason": "x"}),
        (("reconcile", "confirm", "1", "--matching", "A", "--reason", "x", "--entry", "e", "--line", "l", "--line", "m"),
         "POST", ("reconciliation", "1", "confirm"),
         {"matching": "A", "reason": "x", "entries": ["e"], "lines": ["l", "m"]}),
        (("reconcile", "undo", "1", "D", "--reason", "x"), "POST", ("reconciliation", "1", "undo"),
         {"decision": "D", "reason": "x"}),
        (("reconcile", "approve", "1", "2026-11", "--version", "2"), "POST",
         ("reconciliation", "1", "tables", "2026-11", "approve"), {"version": 2}),
        (("worklists", "--list", "pools"), "GET", ("worklists",), {"list": "pools"}),
        (("positions", "--forecast", "0", "--bank", "b"), "GET", ("positions",), {"forecast": 0, "bank": "b"}),
        (("directory", "pab", "Pudong"), "GET", ("directory", "pab"), {"name": "Pudong", "limit": 50}),
        (("orders", "show", "erp:1", "--clear"), "GET", ("orders", "erp:1"), {"clear": 1}),
        (("lanes", "trace", "pab.main", "--last", "3"), "GET", ("lanes", "pab.main", "trace"), {"last": 3}),
        (("logout",), "POST", ("sign-out",), {}),
    ],
)  # fmt: skip
def test_a_command_asks_what_its_act_says(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], method: str, parts: tuple[str, ...], given: dict[str, Any]
) -> None:
    daemon = Daemon({"persons": []})
    assert bankgw(monkeypatch, daemon, *words, "--json") == exit_codes.OK
    assert daemon.asked == [(method, parts, given)]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("lanes", "resume", "pab.main"), {"kind": "resume_lane", "subject": "pab.main", "to": "send"}),
        (("companies", "resume", "jia"), {"kind": "resume_company", "subject": "jia", "to": "send"}),
        (("leave-safe-mode", "pab.main"), {"kind": "resume", "subject": "pab.main", "to": "send"}),
        (("restart-all",), {"kind": "restart", "subject": "gateway", "to": "send"}),
        (("orders", "release", "erp:1"), {"kind": "release", "subject": "erp:1", "to": "send"}),
        (("orders", "release", "erp:1", "--held-for", "new_payee"),
         {"kind": "release", "subject": "erp:1", "to": "new_payee"}),
        (("payees", "register", "erp:1"), {"kind": "register", "subject": "erp:1", "to": "known"}),
        (("repair", "propose", "P1"), {"kind": "repair", "subject": "P1", "to": "rebuilt"}),
        (("persons", "admit", "li", "--roles", "viewer@*;approver@*"),
         {"kind": "enrol", "subject": "li", "to": "approver@*;viewer@*"}),
        (("persons", "deactivate", "li"), {"kind": "deactivate", "subject": "li", "to": "deactivated"}),
        (("persons", "reset", "li"), {"kind": "reset", "subject": "li", "to": "new-key"}),
        (("roles", "set", "li", "--roles", "none"), {"kind": "roles", "subject": "li", "to": "none"}),
        (("liquidity", "run", "group", "--slot", "noon"), {"kind": "pool_run", "subject": "group", "to": "noon"}),
        (("liquidity", "close", "group"), {"kind": "pool", "subject": "group", "to": "none"}),
    ],
)  # fmt: skip
def test_two_persons_sign_what_the_act_says(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], wanted: dict[str, str]
) -> None:
    kept: list[dict[str, str]] = []
    monkeypatch.setattr("gateway.cli.signing.propose", lambda _remote, given, *_rest, **_more: kept.append(given))
    assert bankgw(monkeypatch, Daemon(None), *words, "--reason", "why") == exit_codes.OK
    assert kept == [{**wanted, "note": "why"}]


@pytest.mark.parametrize(
    ("words", "lines", "wanted"),
    [
        (
            ("policy", "propose"),
            ["CNY 0.. 1  # all of them"],
            {"kind": "policy", "subject": "approvals", "to": "CNY 0.00.. 1"},
        ),
        (("liquidity", "propose", "group"), ["none"], {"kind": "pool", "subject": "group", "to": "none"}),
    ],
)
def test_two_persons_sign_what_a_file_holds(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    lines: list[str],
    wanted: dict[str, str],
) -> None:
    kept: list[dict[str, str]] = []
    monkeypatch.setattr("gateway.cli.signing.propose", lambda _remote, given, *_rest, **_more: kept.append(given))
    file = tmp_path / "file"
    file.write_text("# a comment\n" + "\n".join(lines), "utf-8")
    assert bankgw(monkeypatch, Daemon(None), *words, str(file), "--reason", "why") == exit_codes.OK
    assert kept == [{**wanted, "note": "why"}]
    file.write_text("nonsense", "utf-8")
    assert bankgw(monkeypatch, Daemon(None), *words, str(file), "--reason", "why") == exit_codes.USAGE
    assert bankgw(monkeypatch, Daemon(None), *words, str(tmp_path), "--reason", "why") == exit_codes.USAGE
    assert len(capsys.readouterr().err.splitlines()) == 2 and len(kept) == 1


@pytest.mark.parametrize("words", [("lanes", "resume", "x"), ("liquidity", "run", "x")])
def test_two_persons_need_a_reason(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = Daemon(None)
    assert bankgw(monkeypatch, daemon, *words) == exit_codes.USAGE
    assert "--reason" in capsys.readouterr().err and daemon.asked == []


def test_before_there_are_administrators_one_operator_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon({}, administered=False)
    assert bankgw(monkeypatch, daemon, "lanes", "resume", "x", "--json") == exit_codes.OK
    assert daemon.asked == [("POST", ("lanes", "x", "resume"), {})]


def test_the_list_of_commands_is_in_the_language_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bankgw(monkeypatch, Daemon(None), "--help", lang="zh_CN.UTF-8") == exit_codes.OK
    said = capsys.readouterr().out
    assert "退出码" in said and "裁定" in said and "Decide:" not in said
    assert bankgw(monkeypatch, Daemon(None), "--help") == exit_codes.OK
    assert "Decide:" in capsys.readouterr().out, "one run's language is not the next one's"


def test_answers_are_in_the_language_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"person": "li", "state": "enrolled", "roles": "viewer@*", "now": "viewer@*"}
    daemon = Daemon({"persons": [row], "ceremony_open": True})
    assert bankgw(monkeypatch, daemon, "roles", "list") == exit_codes.OK
    english = capsys.readouterr().out
    assert "with delegations" in english and "there are no two administrators yet" in english
    assert bankgw(monkeypatch, daemon, "roles", "list", lang="zh_CN.UTF-8") == exit_codes.OK
    chinese = capsys.readouterr().out
    assert "人员" in chinese and "含委托" in chinese and "尚未设有两名管理员" in chinese
    assert bankgw(monkeypatch, daemon, "roles", "list", "--json", lang="zh_CN.UTF-8") == exit_codes.OK
    assert json.loads(capsys.readouterr().out) == daemon.answer, "JSON is for scripts: it has no language"


def headings() -> Iterator[str]:
    """Every table heading that the module of a command writes by hand."""
    for path in sorted((ROOT / "gateway" / "cli" / "commands").glob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and path.stem in HAND_WRITTEN:
                values = [one.value for one in node.value.values if isinstance(one, ast.Constant)]
                yield from (one for one in values if isinstance(one, str) and one)


HAND_WRITTEN = ("lanes", "orders", "parked", "positions", "reconcile", "resolve", "today", "worklists")


def test_every_heading_written_by_hand_has_chinese() -> None:
    found = set(headings())
    assert len(found) > 50 and sorted(found - IN_CHINESE.keys()) == []


def test_a_table_written_by_hand_is_in_the_language_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lane = {"lane": "pab.main", "condition": "ready", "sessions": {"ready": 1}, "window": 2, "answered_s_ago": None,
            "work": 0, "epoch": 1, "trouble": "", "since": None, "next_try_s": None, "sign_on_pause_s": 0,
            "bank_date": "2026-10-22", "bank_date_ahead_days": -33}  # fmt: skip
    daemon = Daemon({"lanes": [lane]})
    assert bankgw(monkeypatch, daemon, "lanes", "list", lang="zh_CN.UTF-8") == exit_codes.OK
    said = capsys.readouterr().out
    assert "通道" in said and "可用会话" in said and "从未" in said
    assert "pab.main：银行日期为 2026-10-22（-33 天）" in said
    assert bankgw(monkeypatch, daemon, "lanes", "list") == exit_codes.OK
    said = capsys.readouterr().out
    assert "sessions up" in said and "pab.main: the bank's date is 2026-10-22 (-33 days)" in said


class Parked(Daemon):
    """A daemon with 250 parked messages, which gives them out in portions."""

    def __init__(self) -> None:
        super().__init__({})
        self.left = 250

    def get(self, *parts: str, **query: Any) -> Any:
        super().get(*parts, **query)
        return {"count": self.left, "last": "m250"}

    def post(self, *parts: str, **body: Any) -> Any:
        super().post(*parts, **body)
        some = min(body["limit"], self.left)
        self.left -= some
        return {"replayed": some, "next": "m" if self.left else None}


def test_parked_messages_are_published_again_at_a_pace_after_a_question(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paused: list[float] = []
    monkeypatch.setattr("time.sleep", paused.append)
    daemon, asked = Parked(), ("parked", "replay", "--all", "--reason", "403")
    monkeypatch.setattr(typer, "confirm", lambda text, err: "250" not in text)
    assert bankgw(monkeypatch, daemon, *asked) == exit_codes.REFUSED
    assert daemon.left == 250
    assert bankgw(monkeypatch, daemon, *asked, "--yes") == exit_codes.OK
    assert (daemon.left, paused) == (0, [1.0, 1.0])
    assert "250 messages are published again" in capsys.readouterr().out
    for wrong in ((), ("M1", "--all")):
        assert bankgw(monkeypatch, daemon, "parked", "replay", *wrong) == exit_codes.USAGE


def test_refusals_are_in_the_language_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = Daemon(Refused(404, "no_such_lane", "there is no lane x; there are pab.main"))
    asked = ("lanes", "pause", "x", "--reason", "y")
    assert bankgw(monkeypatch, daemon, *asked) == exit_codes.FAILED
    assert capsys.readouterr().err == "no_such_lane: there is no lane x; there are pab.main\n"
    assert bankgw(monkeypatch, daemon, *asked, lang="zh_CN.UTF-8") == exit_codes.FAILED
    assert capsys.readouterr().err == "no_such_lane: 没有这个通道\nthere is no lane x; there are pab.main\n"
    assert bankgw(monkeypatch, daemon, *asked, "--json", lang="zh_CN.UTF-8") == exit_codes.FAILED
    [message] = json.loads(capsys.readouterr().err)["error"]["messages"]
    assert message == "no_such_lane: there is no lane x; there are pab.main"


STATUS = {
    "version": "1", "node": "gw1", "mode": "production", "environment": "live", "pid": 7, "started_at": "2026-11-30",
    "status": "not ready", "reasons": ["draining"], "safe_mode": False, "no_witness": "one machine only",
    "stop": {"since": "03:00", "by": "uid:li", "reason": "fraud"},
    "troubles": [{"trouble": "lane", "subject": "gw1", "cause": "c", "since": "02:00", "remedy": "r", "runbook": "R"}],
    "lane_details": [{"lane": "pab.main", "condition": "down", "since": None, "answered_s_ago": None, "next_try_s": 3.0,
                      "sign_on_pause_s": 0}],
    "broker": {"up": False, "blocked": True, "canary_age_s": 5.2}, "journal": {"reachable": False, "since": "02:59"},
    "orders": {"held": 2, "in_doubt": 1}, "messages": {"waiting": 1, "parked": 4},
    "capacity": {"disk_free_bytes": 2**31, "disk_size_bytes": 2**32, "permit_log_bytes": 2**29, "retention_overdue": 8},
    "certificates": [{"bank": "pab", "role": "client", "not_after": "2026-12-07", "days_left": 6}],
}  # fmt: skip


def test_status_is_in_the_language_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "shards", lambda *_given: [])
    assert bankgw(monkeypatch, Daemon(STATUS), "status") == exit_codes.UNAVAILABLE
    assert capsys.readouterr().out.splitlines() == [
        "bankgw 1  node gw1  production (live)  pid 7  since 2026-11-30",
        "not ready: draining",
        "no witness on another machine: one machine only",
        "STOPPED since 03:00 by uid:li: fraud; nothing is sent until two persons start it again (bankgw restart-all)",
        "lane gw1: c",
        "  since 02:00; r (runbook R)",
        "lane pab.main: down, since the start, never answered, next try in 3 s",
        "broker: down, blocked, heartbeat 5 s ago",
        "journal unreachable since 02:59: nothing is taken in or sent; what is under way is not known",
        "orders: held 2, in_doubt 1",
        "messages: waiting 1, parked 4",
        "disk: 2.0 of 4.0 GiB free, permit log 0.500 GiB; 8 rows past their retention",
        "first to expire: pab client at 2026-12-07 (6 days left)",
    ]
    assert bankgw(monkeypatch, Daemon(STATUS), "status", lang="zh_CN.UTF-8") == exit_codes.UNAVAILABLE
    assert [one for one in capsys.readouterr().out.splitlines() if not _CHINESE.search(one)] == []


def test_status_shows_several_companies_by_bank_and_one_not_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "shards", lambda *_given: [])
    one = {"company": "jia", "bank": "pab", "orders": {"held": 2}}
    other = {"company": "yi", "bank": "boc", "orders": {"in_doubt": 1, "ready": 3}}
    bankgw(monkeypatch, Daemon({**STATUS, "companies": [one]}), "status")
    assert "jia" not in capsys.readouterr().out
    bankgw(monkeypatch, Daemon({**STATUS, "companies": [one, other]}), "status")
    said = capsys.readouterr().out
    assert "orders: held 2, in_doubt 1\n  jia at pab: held 2\n  yi at boc: in_doubt 1, ready 3\n" in said
    bankgw(monkeypatch, Daemon({**STATUS, "companies": [one, other]}), "status", lang="zh_CN.UTF-8")
    assert "  yi，boc：in_doubt 1，ready 3" in capsys.readouterr().out


def test_an_absent_daemon_is_told_in_the_language_of_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["lanes", "list", "--socket", "/nowhere/control.sock"]
    assert application.main(world(variables={"LANG": "zh_CN.UTF-8"}), words) == exit_codes.UNAVAILABLE
    assert capsys.readouterr().err.startswith("/nowhere/control.sock 没有守护进程监听；请启动（")
    assert application.main(world(variables={"LANG": "zh_CN.UTF-8"}), [*words, "--json"]) == exit_codes.UNAVAILABLE
    [message] = json.loads(capsys.readouterr().err)["error"]["messages"]
    assert message.startswith("no daemon listens at /nowhere/control.sock"), "JSON is for scripts: it has no language"


@pytest.mark.parametrize("width", [60, 30])
def test_a_narrow_terminal_folds_no_amount(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    monkeypatch.setattr(terminal, "width", lambda: width)
    amounts = ["98650000.00", "-12.50", "3: 138210.67"]
    rows = [{"order": "treasury:sweep-sample.20261201.0502.1", "amount": one, "lane": "sample.main"} for one in amounts]
    output.table(rows, {"order": "order", "amount": "amount", "lane": "lane"}, "no orders")
    said = capsys.readouterr().out
    assert [one for one in amounts if one not in said] == []


def test_a_list_goes_on_to_its_last_page(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pages = iter([{"receipts": [{"receipt": "1"}], "next": "1"}, {"receipts": [{"receipt": "2"}], "next": None}])

    class Pages(Daemon):
        def _said(self, method: str, parts: tuple[str, ...], given: dict[str, Any]) -> Any:
            super()._said(method, parts, given)
            return next(pages)

    daemon = Pages(None)
    assert bankgw(monkeypatch, daemon, "receipts", "list", "--json") == exit_codes.OK
    assert json.loads(capsys.readouterr().out) == {"receipts": [{"receipt": "1"}, {"receipt": "2"}]}
    assert [asked[2] for asked in daemon.asked] == [{}, {"after": "1"}]


@pytest.mark.parametrize("code", HOOKS)
def test_a_hook_names_what_is_there(code: str) -> None:
    hooks = HOOKS[code]
    assert REGISTER[code].command and code not in {*OF_ACTS, *WITH_BODY}, (
        "only a command that is made from its act has hooks"
    )
    for hook in (hooks.words, hooks.row, hooks.after, hooks.prepare, hooks.default_to):
        assert not hook or callable(act_commands.function_at(hook))


def refused_codes() -> Iterator[str]:
    """Every code of a refusal by the daemon in the source."""
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name in ("Denied", "No") and len(node.args) > 1:
                code = node.args[1 if name == "Denied" else 0]
                yield from (
                    one.value for one in ast.walk(code) if isinstance(one, ast.Constant) and isinstance(one.value, str)
                )


def test_every_refusal_has_chinese() -> None:
    codes = set(refused_codes()) - {"no_such_"}
    assert len(codes) > 90
    assert sorted(codes - refusals.IN_CHINESE.keys()) == []


@pytest.mark.parametrize(
    ("words", "place", "offered"),
    [("bankgw lanes pa", 2, "pause"), ("bankgw reconcile confirm --m", 3, "--matching"), ("bankgw roles s", 2, "set")],
)
def test_the_shell_completes_what_acts_declare(words: str, place: int, offered: str) -> None:
    asked = {**os.environ, "_BANKGW_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    done = subprocess.run(
        [sys.executable, "-m", "gateway"], env=asked, capture_output=True, text=True, timeout=60, cwd=ROOT, check=True
    )
    assert done.stdout.split() == [offered]
