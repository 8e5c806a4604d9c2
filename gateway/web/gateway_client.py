"""What a web page asks the gateway: the daemon or the query process, with the session of the person at the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from gateway.control.client import ControlClient

TIMEOUT_S = 30.0


class WebAsker(Protocol):
    """One side of the gateway. Raises control.client.NoDaemon and Refused."""

    def get(self, *parts: str, **query: str | int | None) -> Any:
        """Ask."""

    def post(self, *parts: str, **body: Any) -> Any:
        """Change something."""


class WebGateway(Protocol):
    """Both sides, each for one session's token ("" without a session)."""

    def daemon(self, token: str) -> WebAsker:
        """What only the daemon does: sessions, decisions, what it knows of its lanes."""

    def query(self, token: str) -> WebAsker:
        """What the journal says."""


class SocketGateway:
    """The gateway behind its two UNIX sockets."""

    def __init__(self, daemon: Path, query: Path) -> None:
        self._daemon = daemon
        self._query = query

    def daemon(self, token: str) -> WebAsker:
        """See WebGateway."""
        return ControlClient(self._daemon, TIMEOUT_S, token)

    def query(self, token: str) -> WebAsker:
        """See WebGateway."""
        return ControlClient(self._query, TIMEOUT_S, token)
