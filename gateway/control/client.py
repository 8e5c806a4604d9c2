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
ENVIRONMENT_HEADER = "Bankgw-Environment"
SESSION_HEADER = "Bankgw-Session"
"""Brings the session of a person in a browser."""
_LOOK_AGAIN_S = 0.2


class NoDaemon(Exception):  # noqa: N818 - says who is missing
    """No daemon answers at the socket; the text says what to do. `chinese` is the same in Chinese."""

    def __init__(self, english: str, chinese: str = "") -> None:
        super().__init__(english)
        self.chinese = chinese or english


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """The daemon refused the request: HTTP status, code and sentence."""

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


def listens(path: Path) -> bool:
    """False if nobody listens at this UNIX socket: a daemon that was killed left it."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(TIMEOUT_S)
        try:
            line.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True  # the request reports the error
    return True


class ControlClient:
    """A client of the daemon behind one socket. It waits at most `timeout_s` for an answer.

    `environment` is the name of the daemon's environment in its last answer. `token` is the session of a person in a
    browser, for whom a web page asks.
    """

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S, token: str = "") -> None:
        self.path = path
        self._headers = {SESSION_HEADER: token} if token else {}
        self._timeout_s = timeout_s
        self.environment = ""

    def get(self, *parts: str, **query: str | int | None) -> Any:
        """Ask a question with GET. Raises NoDaemon, Refused."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", _path(parts) + (f"?{urlencode(given)}" if given else ""), None)

    def ready_status(self, within_s: float) -> Any:
        """The daemon's status, waiting up to `within_s` for it to be ready; after that the last status it gave. Raises
        NoDaemon, Refused."""
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
        """Request a change with POST. Raises NoDaemon, Refused."""
        return self._ask("POST", _path(parts), body)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        line = _Line(self.path, self._timeout_s)
        try:
            line.request(method, path, None if body is None else json.dumps(body), self._headers)
            answer = line.getresponse()
            octets = answer.read()
            self.environment = answer.getheader(ENVIRONMENT_HEADER, "")
        except PermissionError:
            raise NoDaemon(
                f"{self.path}: only root and the daemon's own user may; try `sudo -u bankgw`",
                f"{self.path}：仅 root 与守护进程用户可用；请试 `sudo -u bankgw`",
            ) from None
        except (FileNotFoundError, ConnectionRefusedError):
            if self.path.exists() and not self.path.is_socket():
                raise NoDaemon(
                    f"{self.path} is no socket; name the daemon's with --socket, or its settings with --config",
                    f"{self.path} 不是套接字；请以 --socket 指明守护进程的套接字，或以 --config 指明其设置",
                ) from None
            start = service_unit.start()
            raise NoDaemon(
                f"no daemon listens at {self.path}; start it ({start})",
                f"{self.path} 没有守护进程监听；请启动（{start}）",
            ) from None
        except TimeoutError:
            raise self._no_answer(changes=body is not None) from None
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
            raise NoDaemon(
                f"the daemon at {self.path} did not answer: {why}", f"{self.path} 的守护进程没有应答：{why}"
            ) from None
        finally:
            line.close()
        try:
            said = json.loads(octets)
        except ValueError:
            raise NoDaemon(
                f"the daemon at {self.path} answered with status {answer.status} and no JSON; it may be stopping",
                f"{self.path} 的守护进程应答了状态 {answer.status}，但不是 JSON；它可能正在停止",
            ) from None
        if answer.status != 200:
            raise Refused(answer.status, said.get("error", ""), said.get("message", ""))
        return said

    def _no_answer(self, *, changes: bool) -> NoDaemon:
        undone = (
            "; whether it was done is not known: look before you do it again",
            "；是否已办理不明：再次执行之前请先查看",
        )
        english, chinese = undone if changes else ("", "")
        within = f"{self._timeout_s:g}"
        return NoDaemon(
            f"the daemon at {self.path} did not answer within {within} s{english}. It may be "
            "stopped or stuck: see its log",
            f"{self.path} 的守护进程在 {within} 秒内没有应答{chinese}。可能已停止或卡住：请查看其日志",
        )


def _path(parts: tuple[str, ...]) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)
