"""A daemon's control socket with answers that a test gives: what commands cost and how they look needs no journal."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

Answers = Mapping[str, Any | Callable[[], Any]]
"""The answer by path, without its query; a function makes it anew each time."""

STATUS: Mapping[str, Any] = {
    "version": "0.2.0",
    "mode": "development",
    "node": "gw1",
    "environment": "development",
    "shard": "1/1",
    "pid": 4711,
    "started_at": "2026-12-01T01:00:00.000Z",
    "now": "2026-12-01T02:00:00.000Z",
    "status": "ready",
    "reasons": [],
    "lanes": {"sample.main": "ready"},
    "troubles": [],
    "safe_mode": False,
    "draining": False,
    "broker": {"up": True, "blocked": False, "canary_age_s": 2.5, "mark": {}},
    "journal": {"reachable": True, "since": None},
    "stop": None,
    "orders": {"accepted": 3, "in_doubt": 1},
    "messages": {"waiting": 0, "parked": 0},
    "certificates": [],
    "capacity": {"disk_free_bytes": None},
    "lane_details": [],
}


def lane(name: str, condition: str = "ready", **other: Any) -> dict[str, Any]:
    """A lane as `GET /lanes` has it."""
    return {
        "lane": name,
        "bank": name.partition(".")[0],
        "condition": condition,
        "epoch": 3,
        "window": 2,
        "sessions": {"ready": 2},
        "work": 17,
        "paused": [],
        "halted": False,
        "trouble": "",
        "answered_s_ago": 1.5,
        "since": "2026-12-01T01:00:00.000Z",
        "next_try_s": None,
        "sign_on_pause_s": 0,
        "bank_date": None,
        "bank_date_ahead_days": None,
    } | other


def order(number: int, **other: Any) -> dict[str, Any]:
    """An order as `GET /orders` has it."""
    return {
        "changed_at": "2026-12-01T01:02:03.456Z",
        "state": "in_doubt",
        "sender": "erp",
        "id": f"PAY-20261201-{number:06}",
        "amount": "98650000.00",
        "currency": "CNY",
        "creditor": "***************0025",
        "lane": "sample.main",
        "bank_reference": "REF0000000000000001",
        "payment": f"p{number:024}",
    } | other


TOP: Mapping[str, Any] = {
    **{name: STATUS[name] for name in ("node", "version", "started_at", "now", "status", "reasons", "stop", "orders")},
    **{name: STATUS[name] for name in ("safe_mode", "broker", "journal")},
    "clock_s": 100.0,
    "totals": dict.fromkeys(("commands", "refused", "sent", "settled", "failed", "doubted", "published"), 7),
    "oldest": {
        "order": "erp:PAY-1",
        "payment": "p1",
        "state": "in_doubt",
        "lane": "b.main",
        "since": "2026-12-01T01:00:00.000Z",
        "age_s": 3725,
    },
    "doubts": [{"bank": "b", "count": 2, "oldest_age_s": 65}],
    "messages": {"waiting": 4, "parked": 1, "oldest_age_s": 9},
    "lanes": [lane("a.main", work=1), lane("b.main", work=40)],
}
"""The answer to `GET /top`."""


@contextmanager
def canned_daemon(path: Path, answers: Answers) -> Iterator[list[str]]:
    """A daemon that listens at `path`; gives the list of the paths that were asked for, with their queries."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802 - the library's name
            asked.append(self.path)
            found = answers.get(self.path.partition("?")[0])
            said = found() if callable(found) else found
            status = 404 if said is None else 200
            body = json.dumps({"error": "no_such_path", "message": self.path} if said is None else said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "unix"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            return None

    class Server(ThreadingMixIn, UnixStreamServer):
        daemon_threads = True

    with Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join(5)
