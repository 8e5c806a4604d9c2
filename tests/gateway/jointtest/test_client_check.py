"""A foreign client at a simulated bank: every request is judged, and repeated payments are reported."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from twisted.internet.testing import StringTransport

from gateway.jointtest import front_end
from gateway.jointtest.client_check import ClientCheck, known_operations
from gateway.jointtest.client_words import COUNTED, RULES, TROUBLES, VERDICTS, ExchangeVerdict, shown_value
from gateway.simbank.config import SimConfig
from gateway.simbank.exchange_log import ConnectionTrouble, ExchangeLog, ExchangeMoney, LoggedExchange
from gateway.simbank.faults import FaultScript
from gateway.simbank.ledger import Ledger, LedgerAccount
from gateway.simbank.pki import BankPki
from gateway.simbank.server import SimBank
from protocols.banks.sample.twin import build as sample_twin
from protocols.canon.money import Money
from protocols.judge import BankRefusal, BothLanguages, RequestFinding, RuleKind
from tests.house import ROOT
from tests.protocols.banks.sample.paper import DEBTOR, keys, private_pem, public_pem
from tests.world.clock import HeapClock
from tests.world.dialogue import BankTime

ORDER = LoggedExchange(
    1_000,
    "business",
    "money",
    "REF-1",
    b"<pay>1</pay>",
    b"<ok/>",
    machine_ms=1_000,
    connection=3,
    peer="127.0.0.1:40000",
    client="CN=their client",
    operation="Pay",
    code="0000",
    reason="done",
    money=ExchangeMoney(1, "12.30", "CNY", "0017", "0025"),
)
TOO_LONG = RequestFinding(
    "Item[2]/Amount",
    RuleKind.LENGTH,
    "123456789012",
    BothLanguages("has 12 digits, at most 11", "12 位，最多 11 位"),
    "README.md 2",
    BankRefusal("M300", "a value is not allowed", reconstructed=True),
)


def checked(
    folder: Path, *exchanges: LoggedExchange, accepted: tuple[str, ...] = ("0000",)
) -> tuple[ClientCheck, list[str]]:
    """A check of these exchanges, and its lines in English without time and connection."""
    log = ExchangeLog(folder / "log")
    check = ClientCheck(folder / "log", 0, accepted, ("Pay", "Fate"))
    for one in exchanges:
        log.append(one)
    log.close()
    return check, [english.partition(" 127.0.0.1:40000  ")[2] or english for english, _ in check.news()]


def test_what_came_twice_is_told(tmp_path: Path) -> None:
    again = replace(ORDER, reference="REF-2", request=b"<pay>2</pay>")
    check, lines = checked(tmp_path, ORDER, ORDER, replace(again, fault="half", request=b"<pay>3</pay>"), again)
    assert lines == [
        "client certificate: CN=their client",
        "Pay: accepted · 0000 done · REF-1, 12.30 CNY, account …0017 to …0025",
        "Pay: accepted · 0000 done · REF-1, 12.30 CNY, account …0017 to …0025 · its reference came 2 times",
        "Pay: accepted · 0000 done · REF-2, 12.30 CNY, account …0017 to …0025 · planned fault half, no finding",
        "Pay: accepted · 0000 done · REF-2, 12.30 CNY, account …0017 to …0025 · its reference came 2 times",
    ]
    assert list(check.news()) == []
    assert [english for english, _ in check.findings()] == [
        "  order REF-1 was sent 2 times: the same bytes",
        "  order REF-2 was sent 2 times: other bytes",
    ]
    assert check.last_line()[0] == "joint-test serve: 4 accepted; 2 findings"
    assert check.untried() == ["Fate"]


def test_broken_rules_are_told_and_counted_together(tmp_path: Path) -> None:
    broken = replace(ORDER, code="M300", reason="no", reference="", money=None, findings=(TOO_LONG,), touch="probe")
    longer = replace(
        TOO_LONG,
        place="Item[7]/Amount",
        value="1234567890123",
        words=BothLanguages("has 13 digits, at most 11", "13 位，最多 11 位"),
    )
    check, lines = checked(tmp_path, broken, replace(broken, findings=(longer,), machine_ms=61_000))
    assert lines[1:3] == [
        "Pay: REFUSED, it breaks the page's rules · M300 no",
        '      Item[2]/Amount "123456789012": has 12 digits, at most 11 [length; README.md 2] (reconstructed from public '
        "material: the bank may rule otherwise)",
    ]
    [group] = check.groups.values()
    assert (group.operation, group.place, group.count, group.first_ms, group.last_ms) == (
        "Pay",
        "Item[]/Amount",
        2,
        1_000,
        61_000,
    )
    [(english, chinese)] = check.findings()
    assert english.startswith("  2 x Pay Item[]/Amount") and "reconstructed" in english
    assert chinese.startswith("  2 次 Pay Item[]/Amount “123456789012”：12 位，最多 11 位［长度；README.md 2］")
    tally = check.counts["Pay"]
    assert (tally.tried, tally.accepted, tally.broken, tally.refused) == (2, 0, 2, 0)


def test_a_refusal_by_business_rules_is_no_finding(tmp_path: Path) -> None:
    poor = replace(ORDER, money=ExchangeMoney(1, "9.00", "CNY", "0017", "0025", 1, "insufficient_funds"))
    some = replace(ORDER, reference="B-1", money=ExchangeMoney(3, "9.00", "CNY", "0017", "", 1, "insufficient_funds"))
    asked = replace(
        ORDER, touch="question", operation="Fate", code="N100", reason="not known", reference="", money=None
    )
    check, lines = checked(tmp_path, poor, some, asked)
    assert lines[1] == (
        "Pay: refused by business rules · 0000 done · REF-1, 9.00 CNY, account …0017 to …0025; insufficient funds"
    )
    assert lines[2] == (
        "Pay: accepted · 0000 done · B-1, 3 orders, 9.00 CNY, account …0017; 1 of 3 refused: insufficient funds"
    )
    assert lines[3] == "Fate: refused by business rules · N100 not known"
    assert check.findings() == [] and check.untried() == []
    assert check.last_line() == (
        "joint-test serve: 1 accepted, 2 refused by business rules; 0 findings",
        "joint-test serve：接受 1，业务原因拒绝 2；发现 0 处",
    )


def test_troubles_are_findings_and_an_opened_port_is_none(tmp_path: Path) -> None:
    trouble = replace(ORDER, touch="probe", reference="", code="", money=None, complaint="charset: bytes ff at 3")
    opened = replace(trouble, trouble=ConnectionTrouble.LEFT_IN_HANDSHAKE, request=b"", client="")
    bare = replace(trouble, trouble=ConnectionTrouble.NO_CERTIFICATE, client="")
    check, lines = checked(tmp_path, opened, bare, replace(trouble, trouble="charset"), trouble)
    assert lines[3].startswith("NOT READ: the bytes are not text in the bank's charset"), lines
    assert lines[3].endswith("(charset: bytes ff at 3; 12 bytes)")
    assert [found.count for found in check.groups.values()] == [1, 2]
    assert check.last_line()[0] == "joint-test serve: 2 not read, 2 connection troubles; 2 findings"


def test_values_show_no_secret_no_account_and_no_control_character() -> None:
    assert shown_value("Body/Password", RuleKind.LENGTH, "hunter2") == "***"
    assert shown_value("DebtorAccount", RuleKind.BOOKS, "0000222000000001") == "…0001"
    assert shown_value("Item[1]/CreditorName", RuleKind.LENGTH, "示例\n\x1b[31m") == "示例\\n\\x1b[31m"
    assert shown_value("Amount", RuleKind.FORM, "12345678.9") == "12345678.9"


def test_every_rule_and_trouble_has_words() -> None:
    assert set(RULES) == set(RuleKind) and set(VERDICTS) == set(COUNTED) == set(ExchangeVerdict)
    assert set(ConnectionTrouble) <= set(TROUBLES)


def test_the_twins_own_words_reach_the_client(tmp_path: Path) -> None:
    other = sample_twin(
        {"user": "u", "password": "p", "cheap": True},
        {"bank": private_pem(keys().bank), "client": public_pem(keys().client)},
    )
    books = Ledger(BankTime().now_ms, (LedgerAccount(DEBTOR, "示例甲公司", Money(1_000)),))
    log = ExchangeLog(tmp_path / "log")
    protocol = SimBank(HeapClock(), other, books, FaultScript(), log=log).build("business")
    protocol.makeConnection(StringTransport())
    asks: tuple[tuple[str, dict[str, str]], ...] = (
        ("SignOn", {"User": "u", "Password": "p"}),
        ("Pay", {}),
        ("Pay", {"Amount": "1"}),
        ("Pay", {"Amount": "99.00"}),
    )
    for number, (operation, change) in enumerate(asks):
        protocol.dataReceived(
            request(operation, {**PAY, "Reference": f"CHECK{number:015d}"} if operation == "Pay" else {}, change)
        )
    check = ClientCheck(tmp_path / "log", 0, ("0000",), known_operations("sample"))
    lines = [english.partition("  ")[2].partition("  ")[2].strip() for english, _ in check.news()]
    assert lines == [
        "SignOn: accepted · 0000 done",
        "Pay: accepted · 0000 done · CHECK000000000000001, 1.00 CNY, account …0017 to …0025",
        "Pay: REFUSED, it breaks the page's rules · M300 Amount: a value is not allowed; nothing was booked",
        'Amount "1": takes 2 decimal places [form; README.md 2, times, dates and amounts]',
        'Amount "1": has zeros before the number [form; README.md 2, times, dates and amounts]',
        "Pay: refused by business rules · 0000 done · CHECK000000000000003, 99.00 CNY, account …0017 to …0025; "
        "insufficient funds",
    ]
    assert "Move" in check.untried() and "Pay" not in check.untried()
    log.close()


PAY = {
    "Reference": "",
    "DebtorAccount": DEBTOR,
    "DebtorName": "示例甲公司",
    "CreditorAccount": "0000000000000000025",
    "CreditorName": "示例乙公司",
    "CreditorBankName": "",
    "CreditorBankCode": "",
    "Amount": "1.00",
    "Currency": "CNY",
    "Purpose": "",
    "Urgent": "N",
    "Private": "N",
}


def request(operation: str, body: Mapping[str, str], change: Mapping[str, str]) -> bytes:
    """A request of Sample Bank without a signature, framed."""
    cells = "".join(f"<{name}>{text}</{name}>" for name, text in {**body, **change}.items())
    head = f"<Customer>0001</Customer><Operation>{operation}</Operation><Serial>1</Serial><Sent/><Token/>"
    text = f'<SampleBank xmlns="urn:sample-bank:1"><Head>{head}</Head><Body>{cells}</Body></SampleBank>'.encode()
    return b"%08d" % len(text) + text


@pytest.mark.timeout(120)
def test_a_client_of_somebody_elses_is_told_what_is_wrong(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("c") / "b"
    made = front_end.make_site(folder, "pab")
    file, files = made.simulator("pab"), BankPki(folder / "pki", "pab")
    port = SimConfig.from_file(file).ports["business"]
    running = subprocess.Popen(
        [sys.executable, "-m", "gateway", "joint-test", "serve", str(file), "--report", str(folder / "report")],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(os.environ),
    )
    assert running.stdout is not None
    try:
        assert running.stdout.readline().startswith("serving pab at ")
        context = ssl.create_default_context(cafile=str(files.ca_cert))
        context.load_cert_chain(files.client_cert, files.client_key)
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as line,
        ):
            line.sendall(b"X" * 300)
            end_s = time.monotonic() + 30
            while time.monotonic() < end_s and "NOT READ" not in (said := running.stdout.readline()):
                pass
        assert "  NOT READ: the length field" in said, said
    finally:
        running.send_signal(signal.SIGTERM)
        out, _ = running.communicate(timeout=60)
    assert "the length field is not a plain" in (folder / "report" / "client-report.en.html").read_text("utf-8"), out
    assert running.returncode == 1 and out.splitlines()[-1] == "joint-test serve: 1 not read; 1 findings", out
