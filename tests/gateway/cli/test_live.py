"""The commands as people use them: real processes, a real broker, two simulated banks over mutual TLS."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import exit_codes
from gateway.demo import site as demo_site
from tests.gateway.erp.rabbit import Rabbit, rabbit_for_tests

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

ROOT = Path(__file__).resolve().parents[3]
PLANS = (
    demo_site.BankPlan("sample", twin_options={"user": "demo", "password": "demo-password"}),
    demo_site.BankPlan(
        "pab",
        options={"enterprise_code": demo_site.ENTERPRISE_CODE, "first_enquiry_s": 0.5, "per_second": 100},
        twin_options={"enterprise_code": demo_site.ENTERPRISE_CODE},
    ),
)


@dataclass
class Live:
    """A site with running processes."""

    site: demo_site.Site
    rabbit: Rabbit
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *words: str, log: str) -> subprocess.Popen[bytes]:
        with (self.site.folder / log).open("ab") as out:
            process = subprocess.Popen([sys.executable, "-m", "gateway", *words], cwd=ROOT, stderr=out, stdout=out)
        self.processes.append(process)
        return process

    def daemon(self) -> subprocess.Popen[bytes]:
        process = self.start("run", "--config", str(self.site.settings), log="gateway.kernel.log")
        self.until(lambda: process.poll() is not None or self.status().get("status") == "ready")
        assert process.poll() is None, self.log()
        return process

    def status(self) -> dict[str, Any]:
        code, said = self.bankgw("status", "--json", config=True)
        found = json.loads(said) if said.startswith("{") else {}
        if "status" not in found:
            return {}
        assert (code == exit_codes.OK) is (found["status"] == "ready")
        return dict(found)

    def bankgw(self, *words: str, config: bool = False, erp: bool = False) -> tuple[int, str]:
        more = ["--config", str(self.site.settings)] if config else []
        more += ["--profile", str(self.site.folder / "erp.toml")] if erp else []
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *words, *more],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def send(self, body: dict[str, Any], *words: str) -> tuple[int, str]:
        file = self.site.folder / "command.json"
        file.write_text(json.dumps(body), "utf-8")
        return self.bankgw("send", str(file), "--wait", *words, erp=True)

    def until(self, condition: Callable[[], bool], limit_s: float = 100.0) -> None:
        ends_s = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < ends_s, self.log()
            time.sleep(0.1)

    def log(self) -> str:
        return "\n".join(file.read_text("utf-8")[-3000:] for file in self.site.folder.glob("*.log"))

    def stop(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(40)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with rabbit_for_tests("control") as rabbit:
        folder = tmp_path_factory.mktemp("live") / "s"
        made = Live(demo_site.prepare(folder, PLANS), rabbit)
        try:
            for plan in PLANS:
                made.start("simulate", str(made.site.simulator(plan.bank)), log=f"{plan.bank}.log")
            made.until(lambda: all(made.site.ready_file(plan.bank).exists() for plan in PLANS))
            at = rabbit.address
            broker = {
                "host": at.host,
                "port": at.port,
                "vhost": at.vhost,
                "users": {"bankgw": {"user": at.user, "password": at.password}},
            }
            sender = {
                "users": [at.user],
                "operations": ["payment.submit", "batch.submit", "status.query", "balance.query"],
                "reply_to": ".*",
                "bands": [{"upto": "1000", "action": "release"}, {"above": "1000", "action": "hold"}],
            }
            demo_site.configure(made.site, broker, {"erp": sender}, watch_port=0)
            secret = folder / "erp"
            secret.write_text(at.password or "")
            secret.chmod(0o600)
            (folder / "erp.toml").write_text(
                f'host = "{at.host}"\nport = {at.port}\nvhost = "{at.vhost}"\nuser = "{at.user}"\nsender = "erp"\n'
                'password = { file = "erp" }\n'
            )
            made.daemon()
            yield made
        finally:
            made.stop()


def order(id_: str, amount: str, bank: str) -> dict[str, Any]:
    return {
        "id": id_,
        "debtor": {"account": demo_site.account_numbers(bank, 1)[0], "name": "示例甲公司"},
        "creditor": {
            "account": "0000000000000000025",
            "name": "示例乙公司",
            "bank_name": "示例银行某支行",
            "cnaps": "000000000000",
            "kind": "corporate",
        },
        "amount": amount,
        "currency": "CNY",
        "purpose": "货款",
    }


@pytest.mark.parametrize("bank", ["sample", "pab"])
def test_send_pays(live: Live, bank: str) -> None:
    code, said = live.send(order(f"PAY-{bank}", "100.00", bank))
    assert code == exit_codes.OK, said
    assert "payment.accepted" in said
    assert "payment.settled" in said
    code, said = live.bankgw("orders", "show", f"erp:PAY-{bank}", "--json", config=True)
    assert code == exit_codes.OK
    shown = json.loads(said)
    assert shown["state"] == "settled"
    assert {one["what"] for one in shown["timeline"]} == {"act", "sent", "heard", "told"}
    assert "示例" not in said.replace("示例银行某支行", "")
    assert "0000000000000000025" not in said


def test_send_of_an_order_taken_before_shows_its_present_state(live: Live) -> None:
    assert live.send(order("AGAIN", "50.00", "sample"))[0] == exit_codes.OK
    code, said = live.send(order("AGAIN", "50.00", "sample"))
    assert code == exit_codes.OK
    assert "taken before, not carried out again; it is now: settled" in said


def test_send_waits_for_a_batch_to_be_completed(live: Live) -> None:
    first, other = order("I-1", "101.00", "sample"), order("I-2", "202.00", "sample")
    body = {
        "id": "B-1",
        "count": 2,
        "sum": "303.00",
        "currency": "CNY",
        "purpose": "货款",
        "debtor": first["debtor"],
        "items": [{"id": one["id"], "amount": one["amount"], "creditor": one["creditor"]} for one in (first, other)],
    }
    code, said = live.send(body)
    assert code == exit_codes.OK, said
    assert "batch.accepted" in said and "batch.completed" in said
    assert "2 items, 303.00 CNY: 2 settled (303.00)" in said
    code, said = live.bankgw("orders", "show", "erp:B-1", config=True)
    assert code == exit_codes.OK and "2 settled (303.00)" in said
    code, said = live.bankgw("orders", "show", "erp:I-2", config=True)
    assert code == exit_codes.OK and "2 items" in said and "from the bank, to all of them" in said
    assert "示例乙" not in said


def test_today_shows_every_account_and_a_bank_is_asked_for_branches(live: Live) -> None:
    code, said = live.bankgw("today", "--json", config=True)
    assert code == exit_codes.OK, said
    accounts = json.loads(said)["accounts"]
    assert {one["bank"] for one in accounts} == {"sample", "pab"}
    assert all(one["note"].startswith("not watched") and "*" in one["account"] for one in accounts)
    assert "not watched" in live.bankgw("today", config=True)[1]
    code, said = live.bankgw("directory", "pab", "工商银行", config=True)
    assert code == exit_codes.OK and "工商银行" in said
    assert live.bankgw("directory", "sample", "示例", config=True)[0] == exit_codes.REFUSED


def test_send_says_why_not(live: Live) -> None:
    bad = order("BAD", "100.00", "pab")
    bad["purpose"] = "𠮷" * 3
    bad["amount"] = "1e3"
    code, said = live.send(bad)
    assert code == exit_codes.FAILED
    assert "/amount" in said


def test_questions_are_answered(live: Live) -> None:
    accounts = [demo_site.account_numbers(bank, 1)[0] for bank in ("sample", "pab")]
    code, said = live.send({"accounts": accounts, "max_age": "PT0S"})
    assert code == exit_codes.OK
    assert said.count('"source": "bank"') == 2
    code, said = live.send({"accounts": ["0000000000000000099"]}, "--json")
    assert code == exit_codes.FAILED
    assert json.loads(said.splitlines()[0])["body"]["error"]["code"] == "validation"


def test_a_held_order_is_released(live: Live) -> None:
    code, said = live.send(order("HELD", "5000.00", "sample"), "--timeout", "2")
    assert code == exit_codes.REFUSED
    assert "payment.held" in said
    code, said = live.bankgw("orders", "list", "--state", "held", "--json", config=True)
    assert [one["id"] for one in json.loads(said)["orders"]] == ["HELD"]
    code, said = live.bankgw("orders", "release", "erp:HELD", "--reason", "by phone", config=True)
    assert code == exit_codes.OK, said
    live.until(lambda: '"settled"' in live.bankgw("orders", "show", "erp:HELD", "--json", config=True)[1])
    code, said = live.bankgw("orders", "release", "erp:HELD", "--reason", "again", config=True)
    assert code == exit_codes.REFUSED
    assert "not_now" in said
    code, said = live.bankgw("orders", "show", "erp:NONE", config=True)
    assert code == exit_codes.FAILED


def test_lanes_answer(live: Live) -> None:
    code, said = live.bankgw("lanes", "list", config=True)
    assert code == exit_codes.OK
    assert "pab.main" in said
    code, said = live.bankgw("lanes", "probe", "pab.main", config=True)
    assert code == exit_codes.OK and "TLSv1.2, suite ECDHE" in said and "our certificate: CN=" in said, said
    code, said = live.bankgw("lanes", "probe", "sample.main", "--hex", config=True)
    assert code == exit_codes.OK and "BROKEN" not in said, said
    assert "s ahead of the bank" in said or "s behind the bank" in said, [
        line for line in said.splitlines() if "clock" in line or "heartbeat" in line
    ]
    assert "  000000  30 30 " in said and "demo-password" not in said
    assert live.bankgw("lanes", "probe", "icbc.main", config=True)[0] == exit_codes.FAILED


def test_the_trace_of_a_lane_shows_bytes_and_no_password(live: Live) -> None:
    code, said = live.bankgw("lanes", "trace", "sample.main", "--last", "1000", config=True)
    assert code == exit_codes.OK, said
    assert "sign_on business  request" in said and "connected: TLSv1.3" in said and "signed order" in said
    assert "demo-password" not in said and "*************" in said
    code, said = live.bankgw("lanes", "trace", "pab.main", "--hex", config=True)
    assert code == exit_codes.OK and "  000000  " in said


def test_parked_commands_are_seen_and_stay(live: Live) -> None:
    with live.rabbit.erp() as channel:
        channel.basic_publish("bankgw.commands", "payment.nonsense", b"{}")
    live.until(lambda: live.rabbit.depth("bankgw.parked") == 1)
    row: dict[str, Any] = {}
    for _again in range(2):
        code, said = live.bankgw("parked", "list", "--json", config=True)
        assert code == exit_codes.OK
        (row,) = json.loads(said)
        assert (row["from"], row["refused"], row["routing_key"]) == ("queue", "unknown_type", "payment.nonsense")
    code, said = live.bankgw("parked", "show", row["message_id"], config=True)
    assert code == exit_codes.OK
    assert "payment.nonsense" in said
    assert live.rabbit.depth("bankgw.parked") == 1


def test_doctor_finds_all_well(live: Live) -> None:
    code, said = live.bankgw("doctor", "--json", config=True)
    lines = {one["what"]: one for one in json.loads(said)["lines"]}
    assert lines["broker"]["ok"], lines["broker"]
    assert lines["settings"]["ok"], lines["settings"]
    assert lines["journal"]["ok"], lines["journal"]
    # The temporary certificates are valid for a week, which is a finding.
    assert not lines["certificate pab client"]["ok"]
    assert code == exit_codes.FAILED


def test_metrics_of_a_running_daemon_pass_promtool(live: Live) -> None:
    # The daemon knows the bank's certificate once it has paid, and counts certificates every five seconds.
    # An amount of its own: the gateway would hold an order that is alike another test's.
    code, said = live.send(order("PAY-measured", "105.00", "sample"))
    assert code == exit_codes.OK, said
    port = (live.site.state / "watch.port").read_text().strip()
    wanted = b'bankgw_certificate_not_after_timestamp_seconds{bank="sample",role="server"}'
    page, until_s = b"", time.monotonic() + 30
    while wanted not in page:
        assert time.monotonic() < until_s, page
        time.sleep(0.5)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            page = answer.read()
    assert b'bankgw_payments_total{bank="sample",state="settled"}' in page
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool: apt-get install prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_a_pause_outlives_the_daemon(live: Live) -> None:
    code, said = live.bankgw("lanes", "pause", "pab.main", "--reason", "joint test", config=True)
    assert code == exit_codes.OK, said
    before = live.status()["pid"]
    (daemon,) = [process for process in live.processes if process.pid == before]
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(40) == 0, live.log()
    assert live.bankgw("status", config=True)[0] == exit_codes.UNAVAILABLE
    live.daemon()
    after = live.status()
    assert after["pid"] != before
    assert after["lanes"]["pab.main"] == "paused:operator"
    code, said = live.send(order("PAUSED", "1.00", "pab"), "--timeout", "2")
    assert code == exit_codes.IN_DOUBT
    assert live.bankgw("lanes", "resume", "pab.main", config=True)[0] == exit_codes.OK
    assert live.bankgw("drain", config=True)[0] == exit_codes.OK
    code, said = live.bankgw("status", config=True)
    assert code == exit_codes.UNAVAILABLE and "not ready: draining" in said
    assert live.bankgw("drain", "--off", config=True)[0] == exit_codes.OK
    live.until(lambda: '"settled"' in live.bankgw("orders", "show", "erp:PAUSED", "--json", config=True)[1])


def test_a_killed_daemons_socket_is_no_obstacle(live: Live) -> None:
    pid = live.status()["pid"]
    (daemon,) = [process for process in live.processes if process.pid == pid]
    daemon.kill()
    daemon.wait(10)
    assert (live.site.state / "control.sock").exists()
    code, said = live.bankgw("status", config=True)
    assert code == exit_codes.UNAVAILABLE
    assert "no daemon listens" in said
    live.daemon()
    assert live.status()["status"] == "ready"


def test_the_log_is_json_and_has_no_account_in_it(live: Live) -> None:
    for id_, amount, bank in (("LOG-1", "103.00", "sample"), ("LOG-2", "104.00", "pab"), ("LOG-3", "2000.00", "pab")):
        live.send(order(id_, amount, bank), "--timeout", "5")
    text = (live.site.folder / "gateway.kernel.log").read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    admitted = [line for line in lines if line["event"] == "payment.admitted"]
    assert {"LOG-1", "LOG-2", "LOG-3"} <= {line["order"] for line in admitted}
    assert all(line["correlation_id"] and line["payment"] for line in admitted)
    for number in (*(demo_site.account_numbers(bank, 1)[0] for bank in ("sample", "pab")), "0000000000000000025"):
        assert number not in text
    assert "示例甲公司" not in text
