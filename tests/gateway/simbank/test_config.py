"""The configuration of a simulated bank: every value is used, and every mistake is reported with file and key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.simbank.config import BadConfig, SimConfig, TlsFiles
from gateway.simbank.faults import BankFault
from gateway.simbank.ledger import LedgerAccount
from protocols.canon.money import Money
from tests.gateway.simbank.files import config_text, pki
from tests.protocols.banks.sample.paper import DEBTOR


def test_config_is_read(tmp_path: Path) -> None:
    config = SimConfig.from_file(config_text(tmp_path, "cheap = true"))
    assert config.accounts == (LedgerAccount(DEBTOR, "示例甲公司", Money(500_000)),)
    assert config.fault_rates == {BankFault.DROP_AFTER: 0.25}
    assert (config.fault_seed, config.delays.hide_s, config.delays.delay_s) == ("7", 4.0, 150.0)
    assert (config.conduct.fee_minor, config.cheap) == (5, True)
    assert config.ledger_file == tmp_path / "ledger.jsonl"
    assert config.tls == TlsFiles(pki().server_cert, pki().server_key, pki().ca_cert)


def test_config_may_be_json(tmp_path: Path) -> None:
    file = tmp_path / "sim.json"
    file.write_text(json.dumps({"bank": "sample", "accounts": []}))
    assert SimConfig.from_file(file) == SimConfig("sample", ())


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "bank"),
        ("bank = 'x'", "accounts"),
        ("bank = 'x'\naccounts = []\nbanks = 1", "banks"),
        ("bank = 'x'\naccounts = [{number='1'}]", "accounts.0"),
        ("bank = 'x'\naccounts = [{number='1', holder='h', opening='x'}]", "accounts.0"),
        ("bank = 'x'\naccounts = [{number='1', holder='h', opening='1', x='1'}]", "accounts.0.x"),
        ("bank = 'x'\naccounts = []\n[faults]\nhalff = 0.1", "faults.halff"),
        ("bank = 'x'\naccounts = []\n[faults]\nhalf = 'a'", "faults.half"),
        ("bank = 'x'\naccounts = []\n[faults]\nhalf = 2", "faults"),
        ("bank = 'x'\naccounts = []\n[conduct]\nmood = 2", "conduct.mood"),
        ("bank = 'x'\naccounts = []\n[conduct]\ndedup = 2", "conduct.dedup"),
        ("bank = 'x'\naccounts = []\n[tls]\ncert = 'a'", "tls"),
        ("bank = 'x'\naccounts = []\n[ports]\nbusiness = 70000", "ports.business"),
        (f"bank = 'x'\naccounts = []\ncontrol = '/{'x' * 107}'", "control"),
        ("bank = [", "-"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, text: str, key: str) -> None:
    file = tmp_path / "sim.toml"
    file.write_text(text)
    with pytest.raises(BadConfig, match=r"sim\.toml: ") as refused:
        SimConfig.from_file(file)
    assert refused.value.key == key


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="cannot be read"):
        SimConfig.from_file(tmp_path / "none.toml")
