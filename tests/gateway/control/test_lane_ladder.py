"""`lanes probe` fails at the right step: it distinguishes refused, sign-on refused, garbage, silence and a bad
signature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.bank.clock_trust import ClockTrust
from gateway.bank.line_check import LineRung
from gateway.call import Call, PeerCredentials
from gateway.control import lane_ladder
from gateway.control.acts.lanes import ProbeLane
from gateway.control.lane_ladder import RUNGS
from gateway.simbank.faults import BankFault, FaultPlan
from tests.gateway.bank.trials import trial_world
from tests.gateway.cli.control_operator import Operator
from tests.gateway.control.test_exchange_traces import with_rings
from tests.world import world as worlds
from tests.world.world import World

Twist = Callable[[bytes], bytes]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, wrap=with_rings, bank_options={"sessions": 1})
    yield made
    if made.life is not None:
        made.crash()


def probed(world: World) -> dict[str, Any]:
    return cast(dict[str, Any], Operator(world).ask("POST", "lanes", "sample.main", "probe", wait=3))


def verdicts(said: dict[str, Any]) -> dict[str, str]:
    return {one["rung"]: one["verdict"] for one in said["rungs"]}


def broken(said: dict[str, Any]) -> dict[str, Any]:
    (one,) = [rung for rung in said["rungs"] if rung["verdict"] == "broken"]
    assert one["fix"] and not said["answered"]
    return dict(one)


def twisted_answers(world: World, twist: Twist) -> None:
    """From now on the bank's answers are changed on their way to the gateway."""
    twin = world.bank.simbank.twin

    def answer(*asked: Any) -> Any:
        said = twin.answer(*asked)
        return replace(said, data=twist(said.data))

    world.bank.simbank.twin = cast(Any, SimpleNamespace(ports=twin.ports, requests=twin.requests, answer=answer))


def test_every_rung_holds_and_shows_its_bytes(world: World) -> None:
    world.start()
    world.run(2)
    said = probed(world)
    assert said["answered"] and [one["rung"] for one in said["rungs"]] == list(RUNGS)
    held = {name for name, verdict in verdicts(said).items() if verdict == "ok"}
    assert held == {"framing", "sign_on", "signatures", "heartbeat", "clock", "balance"}
    by_name = {one["rung"]: one for one in said["rungs"]}
    for rung, purpose in (("sign_on", "sign_on"), ("heartbeat", "probe"), ("balance", "balance")):
        parts = [part["name"] for event in by_name[rung]["events"] for part in event["parts"]]
        assert {"sent", "received"} <= set(parts), rung
        assert {event["purpose"] for event in by_name[rung]["events"]} == {purpose}
    assert "begins 30 30" in by_name["framing"]["seen"][0] and "signed order" in by_name["signatures"]["seen"][0]
    assert world.bank.account not in by_name["balance"]["seen"][0]


def test_a_shut_door_is_refused_at_tcp(world: World) -> None:
    world.start()
    world.run(2)
    world.bank.reachable = False
    for pipe in list(world.life.pipes if world.life else ()):
        pipe.abortConnection()
    world.run(2)
    rung = broken(probed(world))
    assert (rung["rung"], rung["reason"]) == ("tcp", "refused") and "front end is running" in rung["fix"]


def test_a_refused_sign_on_is_told_with_the_banks_words_and_not_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(worlds._TWIN_OPTIONS, "sample", {**worlds._TWIN_OPTIONS["sample"], "password": "another"})
    (folder := world.folder / "refused").mkdir()
    world = World(folder, wrap=with_rings, bank_options={"sessions": 1})
    world.start()
    world.run(2)
    before = world.dials
    said = probed(world)
    rung = broken(said)
    assert (rung["rung"], rung["reason"]) == ("sign_on", "declined") and "S200" in rung["seen"][0]
    assert verdicts(said)["framing"] == "ok" and verdicts(said)["heartbeat"] == "not_reached"
    assert [event["event"] for event in rung["events"]][-2:] == ["answer", "refused"]
    assert world.dials == before
    world.crash()


def test_garbage_silence_and_a_bad_signature_break_at_their_rungs(world: World) -> None:
    twisted_answers(world, lambda _data: b"HTTP/1.1 400 Bad Request\r\n\r\n")
    world.start()
    world.run(2)
    rung = broken(probed(world))
    assert (rung["rung"], rung["reason"]) == ("framing", "bad_frame") and "check the port" in rung["fix"]
    assert b"HTTP/1.1 400".decode() in rung["events"][-1]["parts"][0]["text"]


def test_silence_is_told_as_silence(tmp_path: Path) -> None:
    world = World(
        tmp_path, wrap=with_rings, bank_options={"sessions": 1}, plan=FaultPlan("s", {BankFault.PROBE_SILENCE: 1.0})
    )
    world.start()
    world.run(130)
    rung = broken(probed(world))
    assert (rung["rung"], rung["reason"]) == ("framing", "no_answer") and "never answered" in rung["fix"]
    world.crash()


def test_a_bad_signature_breaks_at_the_signatures(world: World) -> None:
    def forged(data: bytes) -> bytes:
        at = data.index(b"SignatureValue>") + 20
        return data[:at] + (b"A" if data[at : at + 1] != b"A" else b"B") + data[at + 1 :]

    twisted_answers(world, forged)
    world.start()
    world.run(2)
    rung = broken(probed(world))
    assert (rung["rung"], rung["reason"]) == ("signatures", "signature") and "bankgw explain" in rung["fix"]


def test_a_clock_that_differs_breaks_its_rung_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.start()
    world.run(2)
    monkeypatch.setattr(ClockTrust, "ahead_ms", property(lambda _self: -90_000))
    said = probed(world)
    (rung,) = [one for one in said["rungs"] if one["verdict"] == "broken"]
    assert said["answered"] and rung["rung"] == "clock" and "90 s behind" in rung["seen"][0]


def test_a_line_check_that_breaks_hides_what_is_above(world: World) -> None:
    world.bank.reachable = False
    world.start()
    world.run(2)
    operator = Operator(world)

    async def check() -> tuple[LineRung, ...]:
        return (
            LineRung("name", True, ("x",)),
            LineRung("tcp", True, ()),
            LineRung("tls", False, ("y",), "unknown_ca", "z"),
        )

    parts, port = (
        operator.gateway.parts,
        replace(operator.ports.lanes, line_checks={"sample.main": {"business": check}}),
    )
    probe = lane_ladder.ProbeAnswers(parts.store, parts.clock, lambda: operator.gateway.registry, port).probe
    wanted = ProbeLane("sample.main", 1)
    answers: list[Any] = []
    from twisted.internet.defer import Deferred

    asked = Call(PeerCredentials(0), 0, ("sample.main",), {}, {"wait": 1})
    Deferred.fromCoroutine(probe(asked, wanted)).addBoth(answers.append)
    world.run(5)
    said = answers[0]
    assert verdicts(said) == {"name": "ok", "tcp": "ok", "tls": "broken", **dict.fromkeys(RUNGS[3:], "not_reached")}
    asked = Call(PeerCredentials(7), 0, ("sample.main",), {}, {"wait": 1}, person="LI")
    Deferred.fromCoroutine(probe(asked, wanted)).addBoth(answers.append)
    world.run(5)
    assert not any(rung["events"] for rung in answers[1]["rungs"]), "a person sees no unmasked bytes"


def test_a_bank_with_short_connections_and_no_sign_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, _twins = trial_world(tmp_path, monkeypatch, ("pab",))
    world.start()
    world.run(2)
    said = Operator(world).ask("POST", "lanes", "pab.main", "probe", wait=3)
    assert said["answered"]
    assert verdicts(said)["sign_on"] == verdicts(said)["clock"] == "not_applicable"
    world.crash()
