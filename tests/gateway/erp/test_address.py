from __future__ import annotations

import pytest

from gateway.erp.address import BrokerAddress, check_url, is_loopback, parse_url


def test_every_part_of_a_url() -> None:
    assert parse_url("amqps://us%40er:p%2Fw@broker.example:5673/%2Fbank%2Fgw") == BrokerAddress(
        "broker.example", 5673, "/bank/gw", "us@er", "p/w", tls=True)
    assert parse_url("amqp://u:p@[::1]") == BrokerAddress("::1", 5672, "/", "u", "p", tls=False)
    assert parse_url("amqps://broker.example/") == BrokerAddress("broker.example", 5671, "/", tls=True)
    assert parse_url("amqp://u:p@h/bankgw").vhost == "bankgw"


@pytest.mark.parametrize(("url", "why"), [
    ("http://u:secret@h", "scheme"),
    ("amqp://", "host name"),
    ("amqp://u:secret@h:port", "port"),
    ("amqp://u:secret@h:99999", "port"),
    ("amqp://u:secret@h/a/b", "%2F"),
    ("amqp://u:secret@h/v?heartbeat=5", "options"),
])
def test_what_cannot_be_read_is_said_without_the_password(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)
    (problem,) = check_url(url, "development")
    assert "secret" not in str(problem)


def test_the_password_is_not_shown() -> None:
    address = parse_url("amqp://u:secret@h/v")
    assert "secret" not in repr(address) + str(address)


@pytest.mark.parametrize(("url", "fit"), [
    ("amqps://u:p@broker.example/v", True),
    ("amqps://broker.example/v", True),
    ("amqp://u:p@127.0.0.1/v", True),
    ("amqp://u:p@127.8.8.8/v", True),
    ("amqp://u:p@[::1]/v", True),
    ("amqp://u:p@localhost/v", True),
    ("amqp://u:p@broker.example/v", False),
    ("amqp://u:p@10.0.0.1/v", False),
    ("amqp://u:p@127.0.0.1.evil.example/v", False),
    ("amqp://u:p@localhost.evil.example/v", False),
    ("amqp://u:p@0.0.0.0/v", False),
    ("amqp://guest:guest@127.0.0.1/v", False),
    ("amqp://127.0.0.1/v", False),
    ("nonsense", False),
])
def test_what_is_fit_for_production(url: str, fit: bool) -> None:
    assert (check_url(url, "production") == []) is fit


def test_development_allows_plain_amqp() -> None:
    assert check_url("amqp://guest:guest@10.0.0.1/v", "development") == []


def test_loopback_is_an_address_not_a_prefix() -> None:
    assert is_loopback("LOCALHOST")
    assert not is_loopback("127.1")
