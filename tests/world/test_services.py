"""The servers that `setup/` found or started answer, with the rights that tests and demo rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from setup.amqp import LoginAnswer, login
from setup.machine import free_port
from tests.world.databases import database_for_tests
from tests.world.services import Broker, read_broker, read_database


@pytest.mark.broker
def test_every_user_enters_both_virtual_hosts(broker: Broker) -> None:
    for entry in (broker.admin, *broker.users.values()):
        for vhost in (broker.vhost, broker.test_vhost):
            assert login(broker.host, broker.port, entry.user, entry.password, vhost) is LoginAnswer.WELCOME


@pytest.mark.broker
def test_others_do_not_enter(broker: Broker) -> None:
    entry = broker.users["bankgw"]
    assert login(broker.host, broker.port, entry.user, "wrong", broker.vhost) is LoginAnswer.REFUSED
    assert login(broker.host, broker.port, entry.user, entry.password, "nowhere") is LoginAnswer.REFUSED


def test_a_port_without_a_broker_is_told_apart() -> None:
    assert login("127.0.0.1", free_port(), "guest", "guest", "/") is LoginAnswer.NO_BROKER


@pytest.mark.postgresql
def test_postgresql_lets_us_make_databases(postgresql_url: str) -> None:
    engine = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        assert connection.scalar(text("show server_encoding")) == "UTF8"
        names = text("select datname from pg_database")
        with database_for_tests("postgresql", "services") as url:
            made = make_url(url).database
            assert made in connection.scalars(names).all()
            with (
                pytest.raises(ValueError, match="two fixtures of this process"),
                database_for_tests("postgresql", "services"),
            ):
                pass
            with database_for_tests("postgresql", "others") as other:
                assert other != url
            assert made in connection.scalars(names).all()
        assert made not in connection.scalars(names).all()
    engine.dispose()


@pytest.mark.mariadb
def test_mariadb_keeps_every_character(mariadb_url: str) -> None:
    engine = create_engine(mariadb_url)
    with engine.begin() as connection:
        connection.execute(text("create temporary table words (word varchar(10))"))
        connection.execute(text("insert into words values (:word)"), {"word": "𠮷龦㐀"})
        assert connection.scalar(text("select word from words")) == "𠮷龦㐀"
    engine.dispose()


def test_a_missing_description_is_no_broker(tmp_path: Path) -> None:
    assert read_broker(tmp_path / "none.json") is None
    assert read_database(tmp_path / "none.json", "postgresql") is None


def test_a_description_is_read_as_it_was_written_and_hides_passwords(tmp_path: Path) -> None:
    person = {"user": "someone", "password": "secret"}
    described = {"host": "127.0.0.1", "port": 5, "vhost": "v", "admin": person, "users": {"bankgw": person}}
    file = tmp_path / "broker.json"
    file.write_text(json.dumps(described), encoding="utf-8")
    broker = read_broker(file)
    assert broker is not None
    assert (broker.port, broker.users["bankgw"].password) == (5, "secret")
    assert (broker.vhost, broker.test_vhost) == ("v", "v")
    assert "secret" not in repr(broker)
