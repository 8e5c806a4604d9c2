"""Joint tests as people run them: a real daemon, a real broker, a simulated bank, our relay between them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.jointtest.lane_exchanges import packed_exchanges
from gateway.jointtest.pack_check import open_pack
from gateway.jointtest.pack_root import grouped
from gateway.jointtest.player import keep
from gateway.jointtest.run_store import RunStore
from gateway.jointtest.verdicts import CaseVerdict
from gateway.simbank.record import read_executions
from tests.gateway.jointtest.test_alterations import packed, rewritten
from tests.world.services import ROOT, Broker

pytestmark = [pytest.mark.broker]
LAST_LINE = re.compile(
    r"joint-test: (\d+) cases: (\d+) passed, (\d+) failed, (\d+) waiting, (\d+) blocked, (\d+) not applicable, pack (.+)"
)
SOME = (
    "probe",
    "settles.payment",
    "settles-xml.payment",
    "twice.payment",
    "other-content.payment",
    "money-as-number",
    "charset",
    "full.purpose",
    "refused-by-bank.payment",
    "answer-lost.payment",
    "line-down.payment",
    "closed-after.payment",
    "bundle-partial.batch_item",
    "balance-moves",
    "entries",
    "directory",
    "login-lock",
    "day-change",
)
OWN = """
[[case]]
id = "own-line-down"
title = "the line is down while an order comes"
cause = "proxy"
[[case.step]]
do = "line"
line = "down"
[[case.step]]
do = "order"
[[case.step]]
do = "line"
line = "up"
[[case.step]]
do = "again"
expect = { states = ["settled"], executions = 1 }
[[case.step]]
do = "ask"
question = "status.query"
fields = { id = "{order}" }
expect = { reply = ["status.result"], words = ["settled"] }
"""
# Interrupted in its third step, and while the answer to its first order is late.
INTERRUPTED = (
    """
[[case]]
id = "own-interrupted"
title = "the line is down while an order comes"
cause = "proxy"
[[case.step]]
do = "line"
line = "down"
[[case.step]]
do = "order"
[[case.step]]
do = "pause"
seconds = 5
[[case.step]]
do = "line"
line = "up"
[[case.step]]
do = "again"
expect = { states = ["settled"], executions = 1 }
""",
    """
[[case]]
id = "own-interrupted"
title = "the answer is late"
[[case.step]]
do = "order"
fault = "delay"
expect = { states = ["settled"], executions = 1 }
[[case.step]]
do = "order"
change = { "/amount" = "0.00" }
expect = { errors = ["schema"] }
""",
)
# A daemon that sends every payment order to `sample` twice. Only this test uses it.
PLANTED = """
import sys
from gateway.bank import connection
from gateway.__main__ import main

once = connection.BankConnection.exchange

def twice(self, data):
    answer = once(self, data)
    if b"<Operation>Pay</Operation>" in data:
        answer.addCallback(lambda _first: once(self, data))
    return answer

connection.BankConnection.exchange = twice
sys.argv = ["bankgw", "run", "--config", sys.argv[1]]
main()
"""
PLANTED_TRIAL = """
import dataclasses, sys
from gateway.demo import processes, site
from gateway.__main__ import main

honest = site.BankPlan.__init__

def forgetful(self, *words, **more):
    honest(self, *words, **{**more, "conduct": {**more.get("conduct", {}), "dedup": False}})

site.BankPlan.__init__ = forgetful
daemon = sys.argv[1]
processes.gateway_command = lambda settings: (sys.executable, daemon, str(settings))
sys.argv = ["bankgw", *sys.argv[2:]]
main()
"""


@pytest.fixture
def described(broker: Broker, tmp_path: Path) -> dict[str, str]:
    """The environment of a trial in the tests' virtual host."""
    file = tmp_path / "broker.json"
    users = {role: {"user": login.user, "password": login.password} for role, login in broker.users.items()}
    said = {"host": broker.host, "port": broker.port, "vhost": broker.test_vhost, "users": users}
    file.write_text(json.dumps(said), "utf-8")
    return {**os.environ, "BANKGW_BROKER_JSON": str(file), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with a short path, because paths of sockets are limited."""
    return tmp_path_factory.mktemp("j")


def bankgw(env: dict[str, str], *words: str, limit_s: float = 150) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "joint-test", *words],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


def counts(lines: list[str]) -> tuple[int, ...]:
    found = LAST_LINE.fullmatch(lines[-1])
    assert found is not None, "\n".join(lines)
    return tuple(map(int, found.groups()[:-1]))


@pytest.mark.timeout(240)
def test_some_cases_of_every_sort(described: dict[str, str], folder: Path) -> None:
    own = folder / "own"
    own.mkdir()
    (own / "line.toml").write_text(OWN, "utf-8")
    chosen = [word for case in (*SOME, "own-line-down") for word in ("--case", case)]
    code, lines = bankgw(described, "trial", "sample", "--folder", str(folder / "p"), "--dir", str(own), *chosen)
    assert (code, counts(lines)) == (0, (19, 17, 0, 1, 0, 1)), "\n".join(lines)
    assert any("own-line-down  1 line: down; 2 order: accepted" in line for line in lines), "\n".join(lines)
    opened = open_pack(next((folder / "p" / "run").glob("evidence-*.zip")))
    assert {one["seen"] for one in opened.cases.values() if one["verdict"] == "passed"} == {"twin"}
    files = set(opened.manifest["files"])
    lost = "evidence/R1-answer-lost.payment-1/"
    assert f"{lost}command-1.json" in files and f"{lost}verdict.json" in files
    assert any(name.startswith(f"{lost}gateway-") and name.endswith("sent-wire.bin") for name in files)
    assert any(name.startswith(f"{lost}gateway-") and "-signed-" in name for name in files)
    assert any(name.startswith(f"{lost}twin-") and name.endswith("-money-answer.bin") for name in files)
    exchanged = list(packed_exchanges(opened))
    assert {"sign_on", "send", "enquire"} <= {one["purpose"] for one in exchanged}
    assert len({one["number"] for one in exchanged}) == len(exchanged), "each event once"
    moved = [json.loads(line) for line in (folder / "p" / "run" / "journal.jsonl").read_text("utf-8").splitlines()]
    days = [one["days"] for one in moved if one.get("act") == "twin_clock"]
    assert days == [-1, 0] and opened.cases["day-change"]["verdict"] == "passed"
    assert "journal.jsonl" in files and not any(name.startswith("report") for name in files)
    assert f"root: {grouped(opened.root)}" in lines
    for paper in ("report.en.html", "report.zh.html"):
        assert grouped(opened.root) in (folder / "p" / "run" / paper).read_text("utf-8")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("bank", ["sample", "pab", "cib"])
def test_every_case_of_a_bank(described: dict[str, str], folder: Path, bank: str) -> None:
    code, lines = bankgw(described, "trial", bank, "--folder", str(folder / "p"), limit_s=350)
    cases, passed, failed, waiting, blocked, _ = counts(lines)
    assert (code, failed, blocked) == (0, 0, 0), "\n".join(lines)
    assert cases >= 40 and passed >= 40 and waiting <= 5


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_gateway_that_pays_twice_fails(described: dict[str, str], folder: Path) -> None:
    (folder / "daemon.py").write_text(PLANTED)
    (folder / "trial.py").write_text(PLANTED_TRIAL)
    words = [
        str(folder / "trial.py"),
        str(folder / "daemon.py"),
        "joint-test",
        "trial",
        "sample",
        "--folder",
        str(folder / "p"),
        "--case",
        "settles.payment",
        "--case",
        "twice.payment",
        "--case",
        "zero",
    ]
    done = subprocess.run(
        [sys.executable, *words], env=described, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
    )
    lines = done.stdout.splitlines()
    assert (done.returncode, counts(lines)) == (1, (3, 1, 2, 0, 0, 0)), done.stdout + done.stderr
    assert sum("carried out 2 times, not 1" in line for line in lines) == 2


@pytest.fixture
def place(described: dict[str, str], folder: Path) -> Iterator[Path]:
    """A site whose processes run."""
    at = folder / "p"
    log = (folder / "place.log").open("w+b")
    up = subprocess.Popen(
        [sys.executable, "-m", "gateway", "joint-test", "place", "sample", "--folder", str(at)],
        env=described,
        cwd=ROOT,
        stdout=log,
        stderr=log,
    )
    try:
        end_s = time.monotonic() + 100
        while b"ready:" not in (said := (folder / "place.log").read_bytes()):
            assert up.poll() is None and time.monotonic() < end_s, said.decode()
            time.sleep(0.1)
        yield at
    finally:
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0, (folder / "place.log").read_text()
        log.close()


def executed(place: Path, order: str) -> int:
    """The number of payments of this amount that the bank has executed. Each order of a run has its own amount."""
    command = json.loads(order)
    minor = int(command["amount"].replace(".", ""))
    return sum(one.instruction.amount.minor == minor for one in read_executions(place / "simbank-sample.ledger.jsonl"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_is_sent_twice_over_rounds_and_interruptions(described: dict[str, str], place: Path) -> None:
    run, more = place / "run", ("-c", str(place / "bankgw.toml"))
    code, lines = bankgw(described, "run", str(run), "--case", "settles.payment", *more)
    assert (code, counts(lines)[:3]) == (0, (1, 1, 0)), "\n".join(lines)
    first = run / "evidence" / "R1-settles.payment-1" / "command-1.json"
    assert executed(place, first.read_text("utf-8")) == 1

    # Interrupted after publishing, before the verdict; and before publishing, after the record of it.
    store = RunStore(run, lambda: datetime.now(UTC))
    order = json.loads(first.read_text("utf-8"))
    published = store.start("urgent.payment")
    store.publishing(published, "m-published", "payment.submit", [_row(order)], first.read_bytes())
    keep(run / "evidence" / published.name / "command-1.json", first.read_bytes())
    unsent = store.start("person.payment")
    never = order | {"id": f"{order['id']}-X", "amount": "77.77"}
    body = json.dumps(never, ensure_ascii=False).encode()
    keep(run / "evidence" / unsent.name / "command-1.json", body)
    store.publishing(unsent, "m-unsent", "payment.submit", [_row(never)], body)
    chosen = {"urgent.payment", "person.payment"}
    code, lines = bankgw(described, "resume", str(run), *more, limit_s=250)
    standing = RunStore(run, lambda: datetime.now(UTC)).run.standing()
    assert {name: standing[name].finding.verdict for name in chosen} == dict.fromkeys(chosen, CaseVerdict.PASSED), lines
    assert executed(place, first.read_text("utf-8")) == 1, "the published order was sent again"
    assert executed(place, body.decode()) == 1

    # A decided case stays decided. A single case is played again under fresh numbers.
    again = len(standing)
    code, lines = bankgw(described, "run", str(run), "--case", "settles.payment", *more)
    standing = RunStore(run, lambda: datetime.now(UTC)).run.standing()
    assert (code, standing["settles.payment"].number, len(standing)) == (0, 2, again)
    assert executed(place, first.read_text("utf-8")) == 1

    # A run can be closed only after everything is decided.
    code, lines = bankgw(described, "close", str(run), "--by", "甲", *more)
    assert code == 3 and any(line.startswith("login-lock: ") for line in lines), lines
    store = RunStore(run, lambda: datetime.now(UTC))
    for name, one in store.run.standing().items():
        if one.finding.verdict is CaseVerdict.WAITING:
            assert bankgw(described, "waive", str(run), name, "--owner", "乙", "--reason", "示例")[0] == 0
        else:
            assert one.finding.verdict in (CaseVerdict.PASSED, CaseVerdict.NOT_APPLICABLE), (name, one.finding)
    code, lines = bankgw(described, "close", str(run), "--by", "甲", *more)
    assert code == 0, lines
    assert RunStore(run, lambda: datetime.now(UTC)).run.closed is not None


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("text", "at"), [(INTERRUPTED[0], '"step":3,'), (INTERRUPTED[1], '"what":"publishing"')])
def test_an_interrupted_case_of_ones_own_goes_on_at_its_step(
    described: dict[str, str], place: Path, text: str, at: str
) -> None:
    # The catalogue of finance has no case that plays by itself, so only this one is played.
    run, more = finance_folder(place, "own"), ("-c", str(place / "bankgw.toml"))
    (run / "cases").mkdir()
    (run / "cases" / "own.toml").write_text(text, "utf-8")
    journal, words = run / "journal.jsonl", ("joint-test", "run", str(run), "--case", "own-interrupted", *more)
    with subprocess.Popen([sys.executable, "-m", "gateway", *words], env=described, cwd=ROOT) as playing:
        end_s = time.monotonic() + 100
        while not (journal.exists() and at in journal.read_text("utf-8")):
            assert playing.poll() is None and time.monotonic() < end_s
            time.sleep(0.02)
        playing.kill()
    before = RunStore(run, lambda: datetime.now(UTC)).run.tries
    _, lines = bankgw(described, "resume", str(run), *more)
    after = RunStore(run, lambda: datetime.now(UTC)).run
    one = after.standing()["own-interrupted"]
    assert one.finding.verdict is CaseVerdict.PASSED, (one.finding, lines)
    assert (one.number, len(before)) == (1, 1) and one.published[: len(before[0].published)] == before[0].published
    order = (run / "evidence" / one.name / "command-1.json").read_text("utf-8")
    assert executed(place, order) == 1


def finance_folder(place: Path, name: str) -> Path:
    """The folder of a run at this site whose catalogue is that of finance."""
    check = place / name
    check.mkdir()
    plan = (place / "run" / "joint-test.toml").read_text("utf-8")
    (check / "joint-test.toml").write_text(f'scripts = "finance"\n{plan}', "utf-8")
    (check / "erp.toml").write_text((place / "run" / "erp.toml").read_text("utf-8"), "utf-8")
    return check


def check_folder(place: Path, name: str) -> Path:
    """The folder of a production check at this site."""
    check = place / name
    check.mkdir()
    for file in ("joint-test.toml", "erp.toml"):
        (check / file).write_text((place / "run" / file).read_text("utf-8"), "utf-8")
    return check


def given_in(check: Path) -> list[str]:
    """The orders that the check submitted. The question before them does not count."""
    commands = RunStore(check, lambda: datetime.now(UTC)).run.tries[0].published
    return [str(order["id"]) for one in commands for order in one["orders"]]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_production_check_needs_two_persons(described: dict[str, str], place: Path) -> None:
    settings, more = place / "bankgw.toml", ("-c", str(place / "bankgw.toml"))
    # Without a band the transfer would leave at once, so it is not submitted.
    code, lines = bankgw(described, "production-check", str(check_folder(place, "no-band")), *more)
    assert code == 1 and "no second person would be asked" in lines[0], lines
    assert read_executions(place / "simbank-sample.ledger.jsonl") == []
    bands = 'bands = [{ above = "0", action = "hold" }], limits = '
    settings.write_text(settings.read_text("utf-8").replace("limits = ", bands), "utf-8")
    daemon = _pid_of(settings)
    os.kill(daemon, signal.SIGHUP)
    check = check_folder(place, "check")
    code, lines = bankgw(described, "production-check", str(check), *more)
    assert code == 3 and "held: a second person releases it" in lines[0], lines
    (order,) = given_in(check)
    code, lines = bankgw(described, "production-check", str(check), *more)
    assert code == 3 and f"{order} is held" in lines[0], lines
    released = [sys.executable, "-m", "gateway", "orders", "release", f"joint:{order}", "--reason", "check", *more]
    subprocess.run(released, env=described, cwd=ROOT, check=True, timeout=60, capture_output=True)
    # The same user submitted and released it.
    for _ in range(20):
        code, lines = bankgw(described, "production-check", str(check), *more)
        if code == 1:
            break
        time.sleep(0.5)
    assert code == 1 and "two persons are needed" in lines[0], lines
    assert given_in(check) == [order]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_front_end_of_ones_own_at_the_gateway(described: dict[str, str], folder: Path) -> None:
    at, log = folder / "p", folder / "place.log"
    words = [sys.executable, "-m", "gateway"]
    with (
        log.open("w+b") as out,
        subprocess.Popen(
            [*words, "joint-test", "place", "sample", "--folder", str(at), "--own-front-end"],
            env=described,
            cwd=ROOT,
            stdout=out,
            stderr=out,
        ) as up,
    ):
        try:
            end_s = time.monotonic() + 100
            while b"ready:" not in log.read_bytes():
                assert up.poll() is None and time.monotonic() < end_s, log.read_text()
                time.sleep(0.1)
            port = re.search(r"port business is 127\.0\.0\.1:(\d+), its keys are in ", log.read_text())
            assert port is not None, log.read_text()
            # Like another company's bank: its own books, without a socket and a log that the run could read.
            told = [
                line
                for line in (at / "simbank-sample.toml").read_text("utf-8").splitlines(keepends=True)
                if line.split(" ")[0] not in ("exchange_log", "control", "ready_file", "ledger_file")
            ]
            (at / "own.toml").write_text(f"{''.join(told)}\n[ports]\nbusiness = {port[1]}\n", "utf-8")
            with subprocess.Popen([*words, "simulate", str(at / "own.toml")], env=described, cwd=ROOT) as own:
                try:
                    chosen = (
                        "--case",
                        "settles.payment",
                        "--case",
                        "answer-lost.payment",
                        "--case",
                        "time-out.payment",
                    )
                    code, lines = bankgw(described, "run", str(at / "run"), *chosen, "-c", str(at / "bankgw.toml"))
                finally:
                    own.terminate()
        finally:
            up.terminate()
    assert (code, counts(lines)) == (0, (3, 2, 0, 0, 1, 0)), lines
    opened = open_pack(next((at / "run").glob("evidence-*.zip")))
    assert {one["seen"] for one in opened.cases.values() if one["verdict"] == "passed"} == {"bank"}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_bytes_made_up_for_a_pack_are_not_in_the_gateways_journal(described: dict[str, str], place: Path) -> None:
    run, more = place / "run", ("-c", str(place / "bankgw.toml"))
    code, lines = bankgw(described, "run", str(run), "--case", "settles.payment", *more)
    [file] = run.glob("evidence-*.zip")
    code, lines = bankgw(described, "verify", str(file), "--root", open_pack(file).root, *more)
    assert code == 0 and re.fullmatch(r"[1-9]\d* messages to and from the bank are those of .*", lines[-2]), lines
    assert lines[-1] == "1 verdicts, with the digests of their files, are those of the gateway's audit trail"
    # The holder of the key makes bytes up, and a journal, a manifest and a signature that fit.
    [sent, *_] = sorted((run / "evidence" / "R1-settles.payment-1").glob("gateway-*-sent-wire.bin"))
    sent.write_bytes(sent.read_bytes().replace(b"Amount", b"Amnunt"))
    rewritten(run)
    forged = packed(run, {"bank": "sample", "sender": "joint", "against": "twin"})
    code, lines = bankgw(described, "verify", str(forged.file))
    assert code == 0, lines
    code, lines = bankgw(described, "verify", str(forged.file), *more)
    told = f"evidence/R1-settles.payment-1/{sent.name}: the gateway's journal has no such bytes of order "
    assert code == 1 and any(line.startswith(told) for line in lines), lines
    assert any("R1-settles.payment-1: the audit trail has a verdict (passed" in line for line in lines)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_finance_records_its_scripts_and_a_new_round_says_what_changed(described: dict[str, str], place: Path) -> None:
    more = ("-c", str(place / "bankgw.toml"))
    check = finance_folder(place, "acceptance")
    code, lines = bankgw(described, "run", str(check), *more)
    assert (code, counts(lines)) == (0, (9, 0, 0, 9, 0, 0)), lines
    words = ("--verdict", "failed", "--by", "会计乙", "--note", "two vouchers")
    assert bankgw(described, "record", str(check), "pressed-twice", *words)[0] == 0
    code, lines = bankgw(described, "run", str(check), *more)
    changed = [line for line in lines if line.startswith("  since R1: ")]
    assert code == 0 and len(changed) == 1 and changed[0].startswith("  since R1: pressed-twice: failed in R1"), lines
    opened = open_pack(max(check.glob("evidence-*.zip"), key=lambda one: one.stat().st_mtime))
    assert opened.manifest["scripts"] == "finance" and len(opened.cases) == 9
    assert not [line for line in (check / "journal.jsonl").read_text("utf-8").splitlines() if '"publishing"' in line]


def _pid_of(settings: Path) -> int:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        words = entry.read_bytes().split(b"\0")
        if b"run" in words and os.fsencode(settings) in words:
            return int(entry.parent.name)
    raise AssertionError("no daemon")


def _row(order: dict[str, Any]) -> dict[str, object]:
    account = order["debtor"]["account"]
    return {"id": order["id"], "account": account, "kind": "payment", "minor": int(order["amount"].replace(".", ""))}
