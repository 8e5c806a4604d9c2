"""The log of exchanges: everything that a joint test tells comes back, and lines of an older program can be read."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

from gateway.simbank.exchange_log import ExchangeLog, ExchangeMoney, LoggedExchange, read_exchanges
from protocols.judge import BankRefusal, BothLanguages, RequestFinding, RuleKind

FOUND = RequestFinding(
    "Item[2]/Amount",
    RuleKind.FORM,
    "1,0",
    BothLanguages("is no amount", "不是金额"),
    "README.md 2",
    BankRefusal("M300", "a value is not allowed", reconstructed=True),
)
MONEY = ExchangeMoney(3, "12.00", "CNY", "0017", refused=1, reason="insufficient_funds")
WHOLE = LoggedExchange(
    1,
    "business",
    "money",
    "REF-1",
    b"<pay>\xff</pay>",
    b"<ok/>",
    "half",
    "",
    "",
    2,
    7,
    "127.0.0.1:40000",
    "CN=client",
    "Pay",
    "M300",
    "not allowed \ud800",
    (FOUND,),
    MONEY,
)
LATER = replace(WHOLE, reference="REF-2", connection=8)


def test_what_was_logged_is_read_back(tmp_path: Path) -> None:
    log = ExchangeLog(tmp_path / "log")
    log.append(WHOLE)
    log.append(WHOLE)
    log.close()
    assert list(read_exchanges(tmp_path / "log")) == [WHOLE, WHOLE]
    first = len((tmp_path / "log").read_bytes().splitlines(keepends=True)[0])
    assert list(read_exchanges(tmp_path / "log", 0, first)) == [WHOLE]
    assert list(read_exchanges(tmp_path / "log", 0, first + 5)) == [WHOLE]


def test_an_offset_inside_of_a_line_gives_the_whole_line(tmp_path: Path) -> None:
    """A reader that asks for the file's size while the bank writes a line gets an offset inside of that line."""
    log = ExchangeLog(tmp_path / "log")
    log.append(WHOLE)
    log.append(LATER)
    log.close()
    first = len((tmp_path / "log").read_bytes().splitlines(keepends=True)[0])
    assert list(read_exchanges(tmp_path / "log", first)) == [LATER]
    for inside in (1, first // 2, first - 1):
        assert list(read_exchanges(tmp_path / "log", inside)) == [WHOLE, LATER], inside
    # Each line belongs to one of two spans that meet inside of it.
    assert list(read_exchanges(tmp_path / "log", 0, first + 5)) == [WHOLE]
    assert list(read_exchanges(tmp_path / "log", first + 5)) == [LATER]


def test_a_line_of_an_older_program_is_read(tmp_path: Path) -> None:
    said = {
        "at_ms": 5,
        "port": "business",
        "touch": "probe",
        "reference": "",
        "fault": "",
        "complaint": "charset: bytes ff",
        "request": b64encode(b"\xff").decode(),
        "answer": "",
    }
    (tmp_path / "log").write_text(json.dumps(said) + "\n", "utf-8")
    [one] = read_exchanges(tmp_path / "log")
    assert (one.request, one.trouble, one.machine_ms, one.findings, one.money) == (b"\xff", "charset", 5, (), None)
