"""The HTTP pages `/metrics`, `/healthz`, `/readyz` and a root that links them. Answers GET and HEAD only."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from gateway.kernel.sql.executor import Executor
from gateway.watch.health import Readiness

_ROOT = b"""<!doctype html><html lang="en"><title>bankgw</title><h1>bankgw</h1>
<p><a href="/metrics">/metrics</a> <a href="/healthz">/healthz</a> <a href="/readyz">/readyz</a></p></html>
"""


class _Page(Resource):
    isLeaf = True

    def __init__(self, answer: Callable[[Request], bytes | int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._answer = answer

    def render_GET(self, request: Request) -> bytes | int:
        return self._answer(request)


def site(registry: CollectorRegistry, rendering: Executor, ready: Callable[[], Readiness]) -> Site:
    """The site of the health and metrics pages. Metrics are rendered by `rendering`, so that a scrape does not delay a
    payment."""

    def metrics(request: Request) -> int:
        reader = _Reader(request)
        rendering.run(lambda: generate_latest(registry), reader.answer_with)
        return NOT_DONE_YET

    def healthz(request: Request) -> bytes:
        return _json(request, 200, {"status": "alive"})

    def readyz(request: Request) -> bytes:
        now = ready()
        return _json(request, 200 if now.ready else 503, now.as_json())

    root = Resource()
    root.putChild(b"", _Page(_html))
    root.putChild(b"metrics", _Page(metrics))
    root.putChild(b"healthz", _Page(healthz))
    root.putChild(b"readyz", _Page(readyz))
    pages = _Quiet(root)  # type: ignore[no-untyped-call]
    pages.noisy = False
    return pages


class _Quiet(Site):
    """A site without an access log, because a scrape every few seconds is no event worth a line."""

    def log(self, request: Request) -> None:
        pass


def _html(request: Request) -> bytes:
    request.setHeader(b"content-type", b"text/html; charset=utf-8")
    return _ROOT


def _json(request: Request, status: int, body: object) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    return json.dumps(body, ensure_ascii=False).encode() + b"\n"


class _Reader:
    """A client that waits for the metrics, unless it disconnects first."""

    def __init__(self, request: Request) -> None:
        self._request: Request | None = request
        request.notifyFinish().addErrback(self._gone)

    def _gone(self, _reason: Any) -> None:
        self._request = None

    def answer_with(self, page: bytes | Failure) -> None:
        request = self._request
        if request is None:
            return
        if isinstance(page, Failure):
            request.setResponseCode(500)
            request.write(b"metrics could not be rendered\n")
        else:
            request.setHeader(b"content-type", CONTENT_TYPE_LATEST.encode())
            request.write(page)
        request.finish()
