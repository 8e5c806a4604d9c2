"""The control socket: only its owner may use it, as the kernel reports the user; it speaks JSON, and every refusal has
a reason."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from gateway.call import NOBODY, Call, Denied, PeerCredentials
from gateway.control import server
from gateway.control.client import ControlClient, NoDaemon, Refused
from gateway.control.peer_credentials import peer_of
from gateway.control.server import ControlServer, Verb


async def echo(call: Call) -> Any:
    return {"parts": list(call.parts), "query": dict(call.query), "body": dict(call.body), "actor": call.peer.actor}


async def deny(call: Call) -> Any:
    raise Denied(409, "not_now", f"order {call.parts[0]} is settled")


async def fail(call: Call) -> Any:
    raise RuntimeError("broken on purpose")


VERBS = (
    Verb("GET", "/things", echo),
    Verb("POST", "/things/([^/]+)/do", echo),
    Verb("GET", "/things/([^/]+)/do", echo),
    Verb("POST", "/things/([^/]+)/deny", deny),
    Verb("POST", "/broken", fail),
    Verb("GET", "/open", echo, group=True),
    Verb("POST", "/evidence", echo, group=True, most_bytes=400_000),
)
Ask = Callable[..., "Deferred[Any]"]


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def served(tmp_path: Path) -> AsyncIterator[Path]:
    from twisted.internet import reactor

    made = ControlServer(reactor, VERBS)
    made.open(tmp_path / "control.sock")
    yield tmp_path / "control.sock"
    await made.close()


def get(path: Path, *parts: str, **query: Any) -> Deferred[Any]:
    return deferToThread(lambda: ControlClient(path).get(*parts, **query))


def post(path: Path, *parts: str, **body: Any) -> Deferred[Any]:
    return deferToThread(lambda: ControlClient(path).post(*parts, **body))


async def _told_as(uid: int, folder: Path, verb: str) -> Any:
    """The server's answer to a caller whom it takes for that user."""
    from twisted.internet import reactor

    made = ControlServer(reactor, VERBS, peer=lambda _line: PeerCredentials(uid))
    made.open(folder / "control.sock")
    try:
        return await get(folder / "control.sock", verb)
    finally:
        await made.close()


async def test_questions_and_orders_arrive_as_meant(served: Path) -> None:
    said = await get(served, "things", state="held,in_doubt", after=None, limit=5)
    assert said["query"] == {"state": "held,in_doubt", "limit": "5"}
    said = await post(served, "things", "kingdee:AP/1 甲%", "do", reason="好")
    assert said["parts"] == ["kingdee:AP/1 甲%"]
    assert said["body"] == {"reason": "好"}


async def test_the_actor_is_who_the_kernel_says(served: Path) -> None:
    said = await get(served, "things")
    assert said["actor"] == PeerCredentials(os.geteuid()).actor


async def test_nobody_else_can_open_the_socket(served: Path) -> None:
    assert stat.S_IMODE(os.stat(served).st_mode) == 0o600


async def test_somebody_else_is_refused_even_with_the_door_open(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        await _told_as(4_000_000, tmp_path, "things")
    assert (caught.value.status, caught.value.code) == (403, "not_allowed")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nothing", b"", 404, "no_such_path"),
        ("POST", "/things", b"", 405, "wrong_method"),
        ("POST", "/things/a/do", b"{", 400, "not_json"),
        ("POST", "/things/a/do", b"[1]", 400, "not_json"),
        ("POST", "/things/a/do", b" " * (server.MAX_BODY_BYTES + 1), 413, "too_large"),
        ("POST", "/things/a/deny", b"{}", 409, "not_now"),
    ],
)
async def test_every_no_has_a_code_and_a_reason(
    served: Path, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    said_status, said = await deferToThread(_raw, served, method, path, body)
    assert (said_status, said["error"]) == (status, code)
    assert len(said["message"]) > 10


def _raw(served: Path, method: str, path: str, body: bytes) -> tuple[int, Any]:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5)
        line.connect(str(served))
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        line.sendall(head.encode() + body)
        octets = b""
        while some := line.recv(65_536):
            octets += some
    top, _, rest = octets.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(rest[rest.index(b"{") : rest.rindex(b"}") + 1])


async def test_our_own_fault_is_told_and_logged(served: Path) -> None:
    with pytest.raises(Refused) as caught:
        await post(served, "broken")
    assert caught.value.status == 500
    assert "broken on purpose" in str(caught.value)


async def test_a_socket_of_a_dead_daemon_is_replaced(tmp_path: Path) -> None:
    from twisted.internet import reactor

    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(NoDaemon):
        ControlClient(path).get("things")
    made = ControlServer(reactor, VERBS)
    made.open(path)
    assert (await get(path, "things"))["parts"] == []
    await made.close()
    assert not path.exists()


def test_no_daemon_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoDaemon, match="start it"):
        ControlClient(tmp_path / "control.sock").get("status")


def test_the_peer_of_a_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours) == PeerCredentials(os.geteuid())


def test_a_user_without_a_name() -> None:
    assert PeerCredentials(4_000_000).actor == "uid:4000000"
    assert PeerCredentials(0).actor == "uid:root"


@pytest.mark.parametrize(("uid", "allowed"), [(0, True), (77, True), (78, False)])
def test_only_root_and_the_owner_see_clear_data(uid: int, allowed: bool) -> None:
    call = Call(PeerCredentials(uid), 77, (), {"clear": "1"}, {})
    if allowed:
        assert call.clear
    else:
        with pytest.raises(Denied) as caught:
            assert call.clear
        assert caught.value.status == 403
    assert not Call(PeerCredentials(uid), 77, (), {"clear": "0"}, {}).clear


@pytest.mark.parametrize(("uid", "code"), [(4_000_000, ""), (NOBODY, "nobody")])
async def test_what_the_group_may_do_needs_a_user_the_kernel_can_name(tmp_path: Path, uid: int, code: str) -> None:
    if not code:
        assert (await _told_as(uid, tmp_path, "open"))["actor"] == f"uid:{uid}"
        return
    with pytest.raises(Refused) as caught:
        await _told_as(uid, tmp_path, "open")
    assert (caught.value.status, caught.value.code) == (403, code)
    assert "Set PrivateUsers=no in its unit's drop-in (systemctl edit) and restart it" in str(caught.value)


async def test_the_group_can_open_the_socket_only_if_told(tmp_path: Path) -> None:
    from twisted.internet import reactor

    made = ControlServer(reactor, VERBS)
    made.open(tmp_path / "control.sock", group=True)
    assert stat.S_IMODE(os.stat(tmp_path / "control.sock").st_mode) == 0o660
    await made.close()


async def test_a_large_body_is_for_verbs_that_take_one_and_never_on_disk(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_file(*_: Any, **__: Any) -> Any:
        raise AssertionError("a body was put on disk")

    monkeypatch.setattr("tempfile.TemporaryFile", no_file)
    said = await post(served, "evidence", bytes="A" * 300_000)
    assert len(said["body"]["bytes"]) == 300_000
    for path, size in (("/evidence", 400_001), ("/evidence", 3_000_000), ("/things/a/do", 300_000)):
        status, said = await deferToThread(_raw, served, "POST", path, b" " * size)
        assert (status, said["error"]) == (413, "too_large")
