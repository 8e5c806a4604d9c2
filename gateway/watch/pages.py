"""The HTTP pages `/metrics`, `/healthz`, `/readyz` and a root that links them. Answers GET only, on the reactor."""

from __future__ import annotations

import json
from collections.abc import Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from gateway.journal.executor import Executor
from gateway.watch.health import Readiness

_ROOT = b"""<!doctype html><title>bankgw</title><h1>bankgw</h1>
<p><a href="/metrics">/metrics</a> <a href="/healthz">/healthz</a> <a href="/readyz">/readyz</a></p>
"""


class _Page(Resource):
    isLeaf = True

    def __init__(self, answer: Callable[[Request], bytes | int]) -> None:
        super().__init__()
        self._answer = answer

    def render_GET(self, request: Request) -> bytes | int:
        return self._answer(request)


def site(
    registry: CollectorRegistry, rendering: Executor, ready: Callable[[], Readiness], before_scrape: Callable[[], None]
) -> Site:
    """The site. Metrics are rendered by `rendering`, so that a scrape never holds up a payment."""

    def metrics(request: Request) -> int:
        before_scrape()
        rendering.run(lambda: generate_latest(registry), lambda result: _finish(request, result))
        return NOT_DONE_YET

    def healthz(request: Request) -> bytes:
        return _json(request, 200, {"status": "alive"})

    def readyz(request: Request) -> bytes:
        now = ready()
        body = {"status": "ready" if now.ready else "not_ready", "reasons": now.reasons, "lanes": dict(now.lanes)}
        return _json(request, 200 if now.ready else 503, body)

    root = Resource()
    root.putChild(b"", _Page(lambda request: _html(request)))
    root.putChild(b"metrics", _Page(metrics))
    root.putChild(b"healthz", _Page(healthz))
    root.putChild(b"readyz", _Page(readyz))
    pages = Site(root)
    pages.noisy = False
    return pages


def _html(request: Request) -> bytes:
    request.setHeader(b"content-type", b"text/html; charset=utf-8")
    return _ROOT


def _json(request: Request, status: int, body: object) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    return json.dumps(body, ensure_ascii=False).encode() + b"\n"


def _finish(request: Request, result: bytes | Failure) -> None:
    if request._disconnected:  # the scraper went away while the page was made
        return
    if isinstance(result, Failure):
        request.setResponseCode(500)
        request.write(b"metrics could not be rendered\n")
    else:
        request.setHeader(b"content-type", CONTENT_TYPE_LATEST.encode())
        request.write(result)
    request.finish()


