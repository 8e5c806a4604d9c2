"""A simulated bank's files on disk: its temporary certificates and keys, and a settings file that names them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.simbank.pki import BankPki, make_pki
from tests.protocols.banks.sample.paper import DEBTOR, keys, private_pem, public_pem


@cache
def folder() -> TemporaryDirectory[str]:
    """A folder that lives as long as the tests: it is deleted with its object."""
    return TemporaryDirectory(prefix="simbank-")


@cache
def pki() -> BankPki:
    return make_pki(Path(folder().name), ["sample"], datetime.now(UTC))["sample"]


def config_text(folder: Path, more: str = "") -> Path:
    (folder / "bank.pem").write_bytes(private_pem(keys().bank))
    (folder / "client.pem").write_bytes(public_pem(keys().client))
    file = folder / "sim.toml"
    file.write_text(f"""
bank = "sample"
ledger_file = "ledger.jsonl"
control = "sim.sock"
ready_file = "ready.json"
{more}
[keys]
bank = "bank.pem"
client = "client.pem"
[tls]
cert = "{pki().server_cert}"
key = "{pki().server_key}"
client_ca = "{pki().ca_cert}"
[options]
user = "u"
password = "p & q"
[[accounts]]
number = "{DEBTOR}"
holder = "示例甲公司"
opening = "5000.00"
[conduct]
fee_minor = 5
[faults]
seed = "7"
hide_s = 4
drop_after = 0.25
""")
    return file
