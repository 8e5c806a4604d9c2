"""A reload of the settings takes effect as a whole or not at all, and the log has every reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from gateway.cli import reload
from gateway.cli.reload import Reloading, fixed
from gateway.kernel import reload_refusals
from gateway.settings import BadSettings, LoadedSettings, Mistake, Settings
from tests.gateway.control.test_verbs import HOLD
from tests.world.world import World


class Logged:
    """The log lines of the module, in memory."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **said: Any) -> None:
        self.lines.append((event, said))

    error = info


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    made = Logged()
    monkeypatch.setattr(reload, "_log", made)
    return made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, sender=HOLD)
    made.start()
    made.run(1)
    yield made
    if made.life is not None:
        made.crash()


def changed(settings: Settings, **more: Any) -> Settings:
    return settings.model_copy(update=more)


def with_bands(settings: Settings, upto: str) -> Settings:
    sender = settings.senders["kingdee"]
    bands = ({"upto": upto, "action": "release"}, {"above": upto, "action": "hold"})
    again = type(sender).model_validate({**sender.model_dump(), "bands": bands})
    return changed(settings, senders={"kingdee": again})


def hup(world: World, *answers: LoadedSettings | BadSettings) -> None:
    assert world.life is not None
    gateway = world.life.gateway
    told = iter(answers)

    def reread() -> LoadedSettings:
        answer = next(told)
        if isinstance(answer, BadSettings):
            raise answer
        return answer

    reloading = Reloading(world.settings, reread, lambda new: Deferred.fromCoroutine(gateway.reload(new)))
    for _ in answers:
        reloading.again()
        world.run(1)


def loaded(settings: Settings, *mistakes: Mistake) -> LoadedSettings:
    return LoadedSettings(settings, Path("bankgw.toml"), {}, mistakes)


def test_a_changed_limit_holds_from_the_next_order_on(world: World, logged: Logged) -> None:
    world.submit("AP-1", 200_000)
    world.run(3)
    assert world.last("AP-1")["state"] == "held"
    hup(world, loaded(with_bands(world.settings, "5000")))
    assert [event for event, _ in logged.lines] == ["settings.reloaded"]
    world.submit("AP-2", 200_000)
    world.run(5)
    assert world.last("AP-2")["state"] == "settled"
    assert world.last("AP-1")["state"] == "held", "what was accepted stays as it was"


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (lambda settings: BadSettings((Mistake("f", "line 3", "is not TOML"),)), "line 3"),
        (
            lambda settings: loaded(with_bands(settings, "5000"), Mistake("f", "accounts.0.bank", "no such bank")),
            "accounts.0.bank",
        ),
        (lambda settings: loaded(changed(with_bands(settings, "5000"), drain_s=1.0)), "drain_s"),
        (lambda settings: loaded(changed(with_bands(settings, "5000"), banks={})), "banks.sample"),
    ],
)
def test_one_mistake_and_nothing_is_taken_over(world: World, logged: Logged, bad: Any, says: str) -> None:
    hup(world, bad(world.settings))
    assert [event for event, _ in logged.lines] == ["settings.not_reloaded"]
    assert says in logged.lines[0][1]["reason"]
    world.submit("AP-1", 200_000)
    world.run(5)
    assert world.last("AP-1")["state"] == "held"


def test_a_secret_that_cannot_be_read_changes_nothing(world: World, logged: Logged) -> None:
    sender = world.settings.senders["kingdee"]
    with_key = type(sender).model_validate({**sender.model_dump(), "bands": (), "hmac_key": {"file": "/nowhere/key"}})
    hup(world, loaded(changed(world.settings, senders={"kingdee": with_key})))
    assert [event for event, _ in logged.lines] == ["settings.not_reloaded"]
    world.submit("AP-1", 200_000)
    world.run(5)
    assert world.last("AP-1")["state"] == "held"


def test_the_next_comparison_is_with_what_was_taken_over(world: World, logged: Logged) -> None:
    first = with_bands(world.settings, "5000")
    hup(world, loaded(first), loaded(changed(first, zone="UTC")), loaded(with_bands(first, "6000")))
    assert [event for event, _ in logged.lines] == ["settings.reloaded", "settings.not_reloaded", "settings.reloaded"]


def test_every_setting_is_either_changeable_or_fixed(world: World) -> None:
    other = changed(world.settings, **{**dict.fromkeys(Settings.model_fields, object()), "banks": {"pab": object()}})
    found = set(fixed(world.settings, other))
    assert found == {*Settings.model_fields, "banks.pab", "banks.sample"} - {"banks", "senders", "accounts"}


def test_a_failure_of_the_journal_is_told(logged: Logged) -> None:
    settings = Settings.model_validate({"broker": {"password": {"file": "x"}}, "journal": {"vault_key": {"file": "x"}}})
    for answer in (fail(RuntimeError("the journal is closed")), succeed(None)):
        Reloading(settings, lambda: loaded(settings), lambda _new, answer=answer: answer).again()  # type: ignore[misc]
    assert logged.lines[0][1]["reason"] == "the journal is closed"
    assert logged.lines[1][0] == "settings.reloaded"


def test_the_tls_table_and_key_files_of_a_lane_may_change_but_not_come_or_go() -> None:
    tls = {"ca_file": "/ca", "certificate": "/c", "key": {"file": "/k"}}
    key = {"key": {"file": "/s"}, "certificate": "/sc"}

    def of(lane: dict[str, Any], broker: dict[str, Any] | None = None) -> Settings:
        table = {"host": "10.0.0.1", "ports": {"main": 1}, "keys": {"sign": key}, **lane}
        return Settings.model_validate(
            {
                "state_dir": "/x",
                "broker": {"password": {"file": "x"}, **(broker or {})},
                "journal": {"vault_key": {"file": "x"}},
                "banks": {"pab": {"protocol": "pab", "lanes": {"main": table}}},
            }
        )

    was = of({"tls": tls})
    pins = {"pins": ["A" * 43 + "="]}
    assert list(fixed(was, of({"tls": {**tls, **pins}}))) == []
    assert list(fixed(was, of({"tls": {**tls, "certificate": "/next"}}))) == []
    assert list(fixed(was, of({"tls": tls, "keys": {"sign": {**key, "certificate": "/next"}}}))) == []
    assert list(fixed(was, of({"tls": tls, "keys": {"other": key}}))) == ["banks.pab"]
    assert list(fixed(was, of({"tls": None, "plaintext": "pinned-lan"}))) == ["banks.pab"]
    assert list(fixed(was, of({"tls": tls, "host": "10.0.0.2"}))) == ["banks.pab"]
    secure = {"tls": tls}
    assert list(fixed(of({"tls": tls}, secure), of({"tls": tls}, {"tls": {**tls, **pins}}))) == []
    assert list(fixed(was, of({"tls": tls}, secure))) == ["broker"]


def test_signals_during_a_reload_are_one_and_read_the_files_once_more(logged: Logged) -> None:
    settings = Settings.model_validate({"broker": {"password": {"file": "x"}}, "journal": {"vault_key": {"file": "x"}}})
    under_way: list[Deferred[None]] = []
    read: list[Settings] = []

    def reread() -> LoadedSettings:
        read.append(settings)
        return loaded(settings)

    def use(_new: Settings) -> Deferred[None]:
        under_way.append(Deferred())
        return under_way[-1]

    reloading = Reloading(settings, reread, use)
    for _ in range(3):
        reloading.again()
    assert (len(read), len(under_way)) == (1, 1), "two at once could leave the files of one and the pins of the other"
    under_way[0].callback(None)
    assert (len(read), len(under_way)) == (2, 2)
    under_way[1].errback(RuntimeError("the journal is closed"))
    assert [event for event, _ in logged.lines] == ["settings.reloaded", "settings.not_reloaded"]
    reloading.again()
    assert len(under_way) == 3, "and the next signal is heard"
    under_way[2].callback(None)


def test_what_meets_a_bank_that_calls_us_may_change_and_its_address_may_not() -> None:
    def of(**pushes: Any) -> Settings:
        door = {"port": 3001, "certificate": "a", "key": {"file": "b"}, "ca_file": "c", "client_pins": ["x"], **pushes}
        return Settings.model_validate(
            {
                "broker": {"password": {"file": "x"}},
                "journal": {"vault_key": {"file": "x"}},
                "banks": {"pab": {"protocol": "pab", "lanes": {}, "pushes": door}},
            }
        )

    fresh = of(certificate="d", key={"file": "e"}, ca_file="f", client_pins=["x", "y"], most_connections=3)
    assert list(fixed(of(), fresh)) == []
    for moved in ({"port": 3002}, {"host": "127.0.0.2"}):
        assert list(fixed(of(), of(**moved))) == ["banks.pab"]


def test_a_refused_reload_is_kept_until_one_is_taken(world: World, logged: Logged) -> None:
    folder = world.settings.state_dir
    folder.mkdir(parents=True, exist_ok=True)
    mistakes = tuple(Mistake("bankgw.toml", f"key{n}", "mend it") for n in range(5))
    hup(world, BadSettings(mistakes))
    found = reload_refusals.last(folder)
    assert found is not None and len(found.reasons) == 5
    assert "key0" in found.told and "key2" in found.told and "and 2 more" in found.told and "key3" not in found.told
    hup(world, loaded(world.settings))
    assert reload_refusals.last(folder) is None


def test_a_refusal_that_cannot_be_written_or_read_is_no_fault(tmp_path: Path) -> None:
    reload_refusals.note(tmp_path / "none", ["x"])
    for text in ("", "[]", '{"at": "now"}'):
        (tmp_path / reload_refusals.FILE).write_text(text, "utf-8")
        assert reload_refusals.last(tmp_path) is None
