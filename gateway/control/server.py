"""The control API: HTTP with JSON over a UNIX socket.

The daemon's own user and root can open the socket. If the settings say so, the daemon's group can open it too, and
`gateway.control.access` judges what its members may ask.

One of the `Verb`s answers a request. Each verb is idempotent, or gives the reason why it did nothing; each change is
recorded in the audit trail under the user that the kernel names. The most that one user can do to move money is to
release a held order.
"""

from __future__ import annotations

import io
import json
import os
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from gateway.call import NOBODY, Call, Denied, PeerCredentials
from gateway.control.client import ENVIRONMENT_HEADER, SESSION_HEADER
from gateway.control.peer_credentials import peer_of
from gateway.kernel import log

MAX_BODY_BYTES = 65_536
_log = log.get("control.server")


VerbAnswer = Callable[[Call], Awaitable[Any]]
Peer = Callable[[socket.socket], PeerCredentials]


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb of the API: a method and a path's pattern. The pattern's groups are percent-decoded into `Call.parts`.

    `group`: every user who can open the socket may ask, not only root and the daemon's own user.
    """

    method: str
    path: str
    act: VerbAnswer
    group: bool = False
    most_bytes: int = MAX_BODY_BYTES


class ControlServer:
    """Serves the verbs. `open` listens, `close` stops. Each answer names the `environment`.

    `pages`: every caller is a web page. Its UNIX user gives it no right; the verbs judge the session that it presents.
    `peer` gives the user at the other end of a connection; the demo and tests may give another one than the kernel.
    """

    def __init__(
        self, reactor: Any, verbs: Sequence[Verb], environment: str = "", *, pages: bool = False, peer: Peer = peer_of
    ) -> None:
        self.environment = environment
        self._pages = pages
        self._peer = peer
        self._reactor = reactor
        self._verbs = [(re.compile(verb.path), verb) for verb in verbs]
        self._most_bytes = max(verb.most_bytes for verb in verbs)
        self._listening: Any = None

    def open(self, path: Path, *, group: bool = False, gid: int | None = None) -> None:
        """Listen at `path`, mode 0600, or 0660 for the process's `group` or for the group `gid`. A socket that a dead
        daemon left is replaced. Raises CannotListenError, OSError."""
        _remove_dead(path)
        # Nobody may connect in the moment between the bind and the chmod.
        before = os.umask(0o177)
        try:
            mode = 0o660 if group or gid is not None else 0o600
            site = _ControlSite(  # type: ignore[no-untyped-call]
                _Root(self), requestFactory=partial(_ControlRequest, self._most_bytes)
            )
            self._listening = self._reactor.listenUNIX(str(path), site, mode=mode)
            if gid is not None:
                os.chown(path, -1, gid)
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Stop listening; requests under way are cut."""
        if self._listening is not None:
            await self._listening.stopListening()

    def answer(self, request: Request) -> Deferred[Any]:
        """The answer of the verb for this request, or a failure with Denied."""
        method = request.method.decode("ascii", "replace")
        path = request.path.decode("ascii", "replace")
        fitting = [(verb, found) for pattern, verb in self._verbs if (found := pattern.fullmatch(path))]

        async def act_on() -> Any:
            for verb, found in fitting:
                if verb.method == method:
                    return await verb.act(self._call(request, verb, tuple(unquote(part) for part in found.groups())))
            if fitting:
                raise Denied(405, "wrong_method", f"{path} takes {', '.join(verb.method for verb, _ in fitting)}")
            raise Denied(404, "no_such_path", f"there is nothing at {path}; see docs/lookup/cli.md")

        return Deferred.fromCoroutine(act_on())

    def _call(self, request: Request, verb: Verb, parts: tuple[str, ...]) -> Call:
        line: Any = request.transport
        peer = self._peer(line.socket)
        owner = os.geteuid()
        if not self._pages and peer.uid not in (0, owner):
            _admit(peer, verb)
        octets = request.content.read(verb.most_bytes + 1) if request.content is not None else b""
        if len(octets) > verb.most_bytes:
            raise Denied(413, "too_large", f"the body is over {verb.most_bytes} bytes")
        try:
            body = json.loads(octets) if octets.strip() else {}
        except ValueError as error:
            raise Denied(400, "not_json", f"the body is not JSON: {error}") from None
        if not isinstance(body, dict):
            raise Denied(400, "not_json", "the body must be a JSON object")
        query = {name.decode(): values[-1].decode("utf-8", "replace") for name, values in request.args.items()}
        token = request.getHeader(SESSION_HEADER) or ""
        return Call(peer, owner, parts, query, body, token=token)


def _admit(peer: PeerCredentials, verb: Verb) -> None:
    if not verb.group:
        raise Denied(403, "not_allowed", f"user {peer.uid} may not do this; only root and the daemon's own user may")
    if peer.uid == NOBODY:
        raise Denied(
            403,
            "nobody",
            "the kernel does not tell the daemon who you are: it runs in a user namespace of "
            "its own. Set PrivateUsers=no in its unit's drop-in (systemctl edit) and restart it",
        )


def _remove_dead(path: Path) -> None:
    """Remove a socket that nobody listens on any more: a daemon that was killed left it."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except OSError:
            return  # listening reports the error


class _Root(Resource):
    isLeaf = True

    def __init__(self, control: ControlServer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._control = control

    def render(self, request: Request) -> int:
        writer = _Writer(request)
        request.setHeader(ENVIRONMENT_HEADER.encode(), self._control.environment.encode())
        self._control.answer(request).addCallbacks(writer.good, writer.bad)
        return NOT_DONE_YET


class _Writer:
    def __init__(self, request: Request) -> None:
        self._request: Request | None = request
        request.notifyFinish().addErrback(self._gone)

    def _gone(self, _reason: Any) -> None:
        self._request = None

    def good(self, said: Any) -> None:
        self._say(200, said)

    def bad(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, Denied):
            self._say(error.status, {"error": error.code, "message": str(error)})
            return
        _log.error(
            "control.failed",
            error=failure.getTraceback(detail="brief"),
            action="a defect of the program: the command is answered with status 500; report this error",
        )
        said = {"error": "internal", "message": f"{type(error).__name__}: {error}; the daemon's log has more"}
        self._say(500, said)

    def _say(self, status: int, said: Any) -> None:
        request = self._request
        if request is None:
            return
        request.setResponseCode(status)
        request.setHeader(b"content-type", b"application/json")
        request.write(json.dumps(said, ensure_ascii=False).encode() + b"\n")
        request.finish()


class _Body(io.BytesIO):
    """A request's body, kept in memory only, because it may contain evidence. Bytes beyond the limit are dropped."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self._most_bytes = most_bytes

    def write(self, octets: Any) -> int:
        room = self._most_bytes + 1 - self.tell()
        super().write(octets[: max(room, 0)])
        return len(octets)


class _ControlRequest(server.Request):
    def __init__(self, most_bytes: int, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)  # type: ignore[no-untyped-call]
        self._most_bytes = most_bytes

    def gotLength(self, length: int | None) -> None:
        self.content = _Body(self._most_bytes)


class _ControlSite(Site):
    """A site without an access log, because the audit trail has every change."""

    noisy = False

    def log(self, request: Request) -> None:
        pass
