"""A web page's connection to the gateway: to the daemon or the query process, with the session of the person at the
browser.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from gateway.control.client import ControlClient

TIMEOUT_S = 30.0


class GatewaySide(Protocol):
    """The daemon or the query process, for requests of one session. Raises control.client.NoDaemon and Refused."""

    def get(self, *parts: str, **query: str | int | None) -> Any:
        """Ask a question with GET."""

    def post(self, *parts: str, **body: Any) -> Any:
        """Request a change with POST."""


class WebGateway(Protocol):
    """Access to the daemon and the query process, each for one session's token ("" without a session)."""

    def daemon(self, token: str) -> GatewaySide:
        """The daemon: it has the sessions, takes decisions, and knows the state of the lanes."""

    def query(self, token: str) -> GatewaySide:
        """The query process, which reads the journal."""


class SocketGateway:
    """The gateway behind its two UNIX sockets."""

    def __init__(self, daemon: Path, query: Path) -> None:
        self._daemon = daemon
        self._query = query

    def daemon(self, token: str) -> GatewaySide:
        """The daemon, for requests with this session's token."""
        return ControlClient(self._daemon, TIMEOUT_S, token)

    def query(self, token: str) -> GatewaySide:
        """The query process, for requests with this session's token."""
        return ControlClient(self._query, TIMEOUT_S, token)
