from __future__ import annotations

from pathlib import Path

from gateway.erp.broker_address import BrokerAddress, own
from gateway.settings import Broker


def test_the_password_is_read_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "broker").write_text("secret", "utf-8")
    told = {"host": "h", "vhost": "v", "user": "u", "password": {"file": tmp_path / "broker"}}
    address = own(Broker.model_validate(told))
    assert address == BrokerAddress("h", 5672, "v", "u", "secret")
    assert "secret" not in repr(address) + str(address)


def test_without_a_password_the_certificate_is_the_login() -> None:
    tls = {"ca_file": Path("ca"), "certificate": Path("ours"), "key": {"file": Path("key")}}
    told = {"host": "h", "port": 5671, "vhost": "v", "user": "u", "tls": tls}
    assert own(Broker.model_validate(told)) == BrokerAddress("h", 5671, "v", "u", None, tls=True)
