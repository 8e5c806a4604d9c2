"""Waiting for a daemon: one that does not listen yet, one that is not ready yet, one that never is."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from gateway.control.client import ControlClient, NoDaemon

Serve = Callable[..., list[str]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a server in place of the daemon that answers with these statuses, the last one for ever. Returns its
    record.
    """
    open_servers: list[socketserver.UnixStreamServer] = []

    def start(*statuses: str) -> list[str]:
        said: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                said.append(statuses[min(len(said), len(statuses) - 1)])
                body = b"" if said[-1] == "no body" else json.dumps({"status": said[-1]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self) -> str:
                return "socket"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
                pass

        server = socketserver.UnixStreamServer(str(tmp_path / "control.sock"), Handler)
        open_servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return said

    yield start
    for server in open_servers:
        server.shutdown()
        server.server_close()


def test_waits_until_the_daemon_is_ready(tmp_path: Path, serve: Serve) -> None:
    said = serve("not ready", "not ready", "ready", "not ready")
    assert ControlClient(tmp_path / "control.sock").ready_status(30)["status"] == "ready"
    assert said == ["not ready", "not ready", "ready"]


def test_waits_for_a_daemon_that_starts_later(tmp_path: Path, serve: Serve) -> None:
    timer = threading.Timer(0.5, serve, ["ready"])
    timer.start()
    assert ControlClient(tmp_path / "control.sock").ready_status(30)["status"] == "ready"
    timer.join()


def test_gives_the_last_status_when_the_time_is_over(tmp_path: Path, serve: Serve) -> None:
    said = serve("not ready")
    assert ControlClient(tmp_path / "control.sock").ready_status(0.3)["status"] == "not ready"
    assert len(said) > 1


def test_an_answer_without_json_is_no_answer(tmp_path: Path, serve: Serve) -> None:
    serve("no body")
    with pytest.raises(NoDaemon, match="answered with status 200 and no JSON"):
        ControlClient(tmp_path / "control.sock").get("status")


def test_without_a_daemon_it_says_so_when_the_time_is_over(tmp_path: Path) -> None:
    with pytest.raises(NoDaemon, match="no daemon listens"):
        ControlClient(tmp_path / "control.sock").ready_status(0.3)
