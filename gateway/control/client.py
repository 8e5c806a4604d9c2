"""The client of the control API: one request over the UNIX socket, one JSON answer."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from gateway.control import service_unit

TIMEOUT_S = 30.0
"""Longer than the daemon lets a call wait for the journal (`guarded.ANSWER_S`), so that its words are heard."""
ALL_BANKS = "*"
"""What a total over all banks has for a bank's name."""
ENVIRONMENT_HEADER = "Bankgw-Environment"
SESSION_HEADER = "Bankgw-Session"
"""Brings the session of a person in a browser."""
_LOOK_AGAIN_S = 0.2


class NoDaemon(Exception):  # noqa: N818 - says who is missing
    """Nobody answers at the socket; the text says what to do."""


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """The daemon said no: HTTP status, code and sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class _Line(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class ControlClient:
    """The daemon behind one socket. An answer that takes longer than `timeout_s` is not waited for.

    `environment` is the name of the daemon's environment, as its last answer said it. `token` is the session of a
    person in a browser, for whom a web page asks.
    """

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S, token: str = "") -> None:
        self.path = path
        self._headers = {SESSION_HEADER: token} if token else {}
        self._timeout_s = timeout_s
        self.environment = ""

    def get(self, *parts: str, **query: str | int | None) -> Any:
        """Ask. Raises NoDaemon, Refused."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", _path(parts) + (f"?{urlencode(given)}" if given else ""), None)

    def ready_status(self, within_s: float) -> Any:
        """The daemon's status as soon as it is ready, else the last one there was. Raises NoDaemon, Refused."""
        end = time.monotonic() + within_s
        while True:
            try:
                said = self.get("status")
            except (NoDaemon, Refused):
                if time.monotonic() >= end:
                    raise
            else:
                if said["status"] == "ready" or time.monotonic() >= end:
                    return said
            time.sleep(_LOOK_AGAIN_S)

    def post(self, *parts: str, **body: Any) -> Any:
        """Change something. Raises NoDaemon, Refused."""
        return self._ask("POST", _path(parts), body)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        line = _Line(self.path, self._timeout_s)
        try:
            line.request(method, path, None if body is None else json.dumps(body), self._headers)
            answer = line.getresponse()
            octets = answer.read()
            self.environment = answer.getheader(ENVIRONMENT_HEADER, "")
        except PermissionError:
            raise NoDaemon(f"{self.path}: only root and the daemon's own user may; try `sudo -u bankgw`") from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise NoDaemon(f"no daemon listens at {self.path}; start it ({service_unit.start()})") from None
        except TimeoutError:
            undone = "" if body is None else "; whether it was done is not known: look before you do it again"
            raise NoDaemon(f"the daemon at {self.path} did not answer within {self._timeout_s:g} s{undone}. It may be "
                           f"stopped or stuck: see its log") from None  # fmt: skip
        except (OSError, http.client.HTTPException) as error:
            raise NoDaemon(f"the daemon at {self.path} did not answer: {str(error) or type(error).__name__}") from None
        finally:
            line.close()
        said = json.loads(octets)
        if answer.status != 200:
            raise Refused(answer.status, said.get("error", ""), said.get("message", ""))
        return said


def _path(parts: tuple[str, ...]) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)
