"""Reads the present troubles from a daemon's page `/readyz`, as a monitoring system does. No right is needed."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from gateway import settings as conf
from gateway.notices.bounded_line import exchanged

MOST_BYTES = 1_048_576
MOST_S = 20.0
MOST_TROUBLES = 1_000
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
ReadTroubles = Callable[[], Sequence[Mapping[str, Any]]]


class PageNotRead(Exception):  # noqa: N818 - an answer, not a fault
    """The page could not be read, or it is not a daemon's."""


def address_of(settings: conf.Settings) -> str:
    """The address of the page of the daemon of these settings. Raises PageNotRead where its port is not known."""
    host, port = settings.watch.host, settings.watch.port
    if not port:
        # The daemon picks a free port and writes it to this file.
        try:
            port = int((settings.state_dir / "watch.port").read_text("ascii"))
        except (OSError, ValueError):
            raise PageNotRead("the daemon has not written its port yet") from None
    host = _EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def troubles(url: str) -> Sequence[Mapping[str, Any]]:
    """The troubles of the daemon at this address. Raises PageNotRead."""
    try:
        answer = exchanged("GET", url, "/readyz", None, {}, most_bytes=MOST_BYTES, most_s=MOST_S)
        said = json.loads(answer.body)
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        raise PageNotRead(type(error).__name__) from None
    found = said.get("troubles") if isinstance(said, dict) and answer.status in (200, 503) else None
    if not isinstance(found, list):
        raise PageNotRead("the answer is not a daemon's")
    return [one for one in found[:MOST_TROUBLES] if isinstance(one, dict)]


def pages_of(settings: conf.Settings, named: Sequence[str]) -> dict[str, ReadTroubles]:
    """How the page of each daemon is read: those that are named, else that of the daemon of these settings."""
    if not named:
        # The address is asked for each time, because a daemon may pick another port at each start.
        return {settings.node: lambda: troubles(address_of(settings))}
    return {urlsplit(url).netloc: partial(troubles, url) for url in named}
