"""The pages over HTTP; a scraper that goes away does no harm."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.test.requesthelper import DummyChannel

from gateway.watch.health import Readiness
from gateway.watch.pages import site


class Later:
    """An executor that does its work when the test says so."""

    def __init__(self) -> None:
        self.pieces: list[tuple[Callable[[], Any], Callable[[Any], object]]] = []

    def run(self, work: Callable[[], Any], then: Callable[[Any], object]) -> None:
        self.pieces.append((work, then))

    def work(self) -> None:
        for work, then in self.pieces:
            try:
                then(work())
            except RuntimeError:
                then(Failure())
        self.pieces.clear()

    def stop(self) -> Deferred[None]:
        raise NotImplementedError


class Broken:
    def collect(self) -> Any:
        raise RuntimeError("cannot be read")


READY = Readiness((), {})


def served(
    path: bytes, readiness: Readiness = READY, *, broken: bool = False, leave: bool = False, method: bytes = b"GET"
) -> tuple[int, bytes, Headers]:
    registry = CollectorRegistry()
    Gauge("bankgw_x", "X.", registry=registry).set(7)
    if broken:
        registry.register(Broken())
    later = Later()
    pages = site(registry, later, lambda: readiness)
    channel: Any = DummyChannel()
    channel.site = pages
    request: Any = pages.requestFactory(channel)
    request.gotLength(0)
    request.requestReceived(method, path, b"HTTP/1.1")
    if leave:
        request.connectionLost(Failure(ConnectionError()))
    later.work()
    octets = channel.transport.written.getvalue()
    return request.code, octets.partition(b"\r\n\r\n")[2], request.responseHeaders


def test_metrics_are_rendered_elsewhere() -> None:
    code, body, headers = served(b"/metrics")
    assert code == 200
    assert b"bankgw_x 7.0" in body
    assert headers.getRawHeaders("content-type", [""])[0].startswith("text/plain")


def test_metrics_that_cannot_be_rendered() -> None:
    code, body, _ = served(b"/metrics", broken=True)
    assert code == 500
    assert b"could not be rendered" in body


def test_a_scraper_that_left() -> None:
    code, body, _ = served(b"/metrics", leave=True)
    assert b"bankgw_x" not in body


@pytest.mark.parametrize(("reasons", "code", "status"), [((), 200, "ready"), (("stopping",), 503, "not_ready")])
def test_readiness_has_its_reasons(reasons: tuple[str, ...], code: int, status: str) -> None:
    said_code, body, _ = served(b"/readyz", Readiness(reasons, {"pab.main": "ready"}))
    assert said_code == code
    said = json.loads(body.splitlines()[-1] if b"\r\n" not in body else body[body.index(b"{") : body.rindex(b"}") + 1])
    assert said == {"status": status, "reasons": list(reasons), "lanes": {"pab.main": "ready"}, "troubles": []}


def test_alive_and_root() -> None:
    assert served(b"/healthz")[0] == 200
    code, body, _ = served(b"/")
    assert code == 200
    assert b'href="/metrics"' in body
    assert served(b"/orders")[0] == 404
    assert served(b"/metrics", method=b"POST")[0] == 405
