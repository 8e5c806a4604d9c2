"""How a notice is brought: by e-mail, or by HTTP to a chat service or a web-hook. Each returns when it was taken."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from gateway.notices import wording
from gateway.notices.kinds import URGENT
from gateway.notices.notice_file import NoticeDestination, SmtpServer
from gateway.notices.notice_queue import Notice, local_time
from gateway.notices.wording import NoticePlace
from gateway.settings import Secret

TIMEOUT_S = 10.0
_MOST_ANSWER_BYTES = 65_536
_MOST_WAIT_S = 30.0
SIGNATURE_VERSION = "v1"


class NotTaken(Exception):  # noqa: N818 - an answer, not a fault
    """The notice was not taken, or nobody knows. The text names no address and no secret."""


class Courier(Protocol):
    """Brings notices to one destination. Called on a thread of its own; raises NotTaken."""

    def __call__(self, notice: Notice) -> None:
        """Bring it."""


def courier(to: NoticeDestination, smtp: SmtpServer | None, place: NoticePlace, now_ms: Callable[[], int]) -> Courier:
    """The courier of a destination."""
    if to.form == "email":
        assert smtp is not None, "the file was checked"
        return _EmailCourier(to, smtp, place, now_ms)
    return _HttpCourier(to, place, now_ms)


@dataclass(frozen=True, slots=True)
class _EmailCourier:
    to: NoticeDestination
    smtp: SmtpServer
    place: NoticePlace
    now_ms: Callable[[], int]

    def __call__(self, notice: Notice) -> None:
        try:
            with self._connected() as server:
                if self.smtp.user is not None and self.smtp.password is not None:
                    server.login(self.smtp.user, self.smtp.password.read().decode())
                server.send_message(email_of(notice, self.to, self.smtp.sender, self.place, self.now_ms()))
        except smtplib.SMTPResponseException as error:
            raise NotTaken(f"the mail server answered {error.smtp_code}") from None
        except smtplib.SMTPException as error:
            raise NotTaken(f"the mail server refused: {type(error).__name__}") from None
        except (OSError, UnicodeError) as error:
            raise NotTaken(_trouble(error)) from None

    def _connected(self) -> smtplib.SMTP:
        smtp = self.smtp
        if smtp.security == "loopback":
            return smtplib.SMTP(smtp.host, smtp.port, timeout=TIMEOUT_S)
        trust = ssl.create_default_context(cafile=smtp.ca_file)
        if smtp.security == "tls":
            return smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=TIMEOUT_S, context=trust)
        server = smtplib.SMTP(smtp.host, smtp.port, timeout=TIMEOUT_S)
        try:
            server.starttls(context=trust)
        except (OSError, smtplib.SMTPException):
            server.close()
            raise
        return server


def email_of(notice: Notice, to: NoticeDestination, sender: str, place: NoticePlace, now_ms: int) -> EmailMessage:
    """The message. Its Message-ID is the notice's id, so that a mailbox keeps one of two copies."""
    made = EmailMessage()
    made["Subject"] = wording.title(notice, place, to.language)
    made["From"] = sender
    made["To"] = ", ".join(to.to)
    made["Date"] = local_time(place.zone, now_ms)
    made["Message-ID"] = f"<{notice.id}@{place.environment}.bankgw.invalid>"
    made["Auto-Submitted"] = "auto-generated"
    if notice.kind in URGENT:
        made["Importance"] = "high"
    made.set_content(wording.full(notice, place, to.language))
    return made


@dataclass(frozen=True, slots=True)
class HookRequest:
    """What is posted. `path` may hold a secret and is written nowhere."""

    path: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _HttpCourier:
    to: NoticeDestination
    place: NoticePlace
    now_ms: Callable[[], int]

    def __call__(self, notice: Notice) -> None:
        try:
            wanted = hook_request(notice, self.to, self.place, self.now_ms())
            status, answer = self._posted(wanted)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise NotTaken(_trouble(error)) from None
        # A redirection is not followed: it would take the notice somewhere that the file does not name.
        if not 200 <= status < 300:
            raise NotTaken(f"answered with status {status}")
        if self.to.form != "webhook":
            _taken_by_chat(answer)

    def _posted(self, wanted: HookRequest) -> tuple[int, bytes]:
        split = urlsplit(self.to.url or "")
        host = split.hostname or ""
        if split.scheme == "https":
            trust = ssl.create_default_context(cafile=self.to.ca_file)
            line: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, split.port, timeout=TIMEOUT_S, context=trust
            )
        else:
            line = http.client.HTTPConnection(host, split.port, timeout=TIMEOUT_S)
        try:
            line.request("POST", wanted.path, wanted.body, dict(wanted.headers))
            answer = line.getresponse()
            return answer.status, _read(answer)
        finally:
            line.close()


def _read(answer: http.client.HTTPResponse) -> bytes:
    """The answer's beginning, within a time: whoever drips it holds nobody up."""
    until_s, read = time.monotonic() + _MOST_WAIT_S, b""
    while len(read) < _MOST_ANSWER_BYTES and time.monotonic() < until_s:
        piece = answer.read1(4_096)
        if not piece:
            break
        read += piece
    return read


def hook_request(notice: Notice, to: NoticeDestination, place: NoticePlace, now_ms: int) -> HookRequest:
    """What is posted to a web-hook, in the form that its service wants. Raises OSError for a secret's file."""
    path = urlsplit(to.url or "").path or "/"
    text = wording.brief(notice, place, to.language)
    if to.form == "wecom":
        return _json(f"{path}?key={_secret(to.token)}", {"msgtype": "text", "text": {"content": text}})
    if to.form == "dingtalk":
        key = _secret(to.key)
        sign = quote(_base64(hmac.digest(key.encode(), f"{now_ms}\n{key}".encode(), "sha256")), safe="")
        return _json(f"{path}?access_token={_secret(to.token)}&timestamp={now_ms}&sign={sign}",
                     {"msgtype": "text", "text": {"content": text}})  # fmt: skip
    if to.form == "feishu":
        at_s = str(now_ms // 1000)
        sign = _base64(hmac.digest(f"{at_s}\n{_secret(to.key)}".encode(), b"", "sha256"))
        said = {"timestamp": at_s, "sign": sign, "msg_type": "text", "content": {"text": text}}
        return _json(f"{path.rstrip('/')}/{_secret(to.token)}", said)
    return _signed(path, notice, to, place, now_ms)


def _signed(path: str, notice: Notice, to: NoticeDestination, place: NoticePlace, now_ms: int) -> HookRequest:
    """Our own form: HMAC-SHA256 over the time and the body."""
    wanted = _json(path, {
        "id": notice.id, "kind": notice.kind.value, "environment": place.environment, "live": place.live,
        "made_ms": notice.made_ms, "since_ms": notice.since_ms, "count": notice.count,
        "urgent": notice.kind in URGENT, "text": wording.title(notice, place, to.language),
    })  # fmt: skip
    at_s = str(now_ms // 1000)
    made = signature(_secret(to.key).encode(), at_s, wanted.body)
    return HookRequest(path, wanted.body, {
        **wanted.headers, "X-Bankgw-Notice": notice.id, "X-Bankgw-Timestamp": at_s, "X-Bankgw-Signature": made,
    })  # fmt: skip


def signature(key: bytes, at_s: str, body: bytes) -> str:
    """The value of `X-Bankgw-Signature`: `v1=` and the HMAC-SHA256, in hex, of the time, a point and the body."""
    return f"{SIGNATURE_VERSION}={hmac.new(key, at_s.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def _json(path: str, said: Mapping[str, Any]) -> HookRequest:
    body = json.dumps(said, ensure_ascii=False).encode()
    return HookRequest(path, body, {"Content-Type": "application/json; charset=utf-8", "User-Agent": "bankgw"})


def _taken_by_chat(answer: bytes) -> None:
    """Chat services say no with status 200."""
    try:
        said = json.loads(answer)
        code = next((said[name] for name in ("errcode", "code", "StatusCode") if name in said), None)
    except (ValueError, TypeError):
        code = None
    if code != 0:
        shown = code if isinstance(code, int) else "none that is known"
        raise NotTaken(f"the chat service answered with code {shown}")


def _secret(secret: Secret | None) -> str:
    assert secret is not None, "the file was checked"
    return secret.read().decode()


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _trouble(error: Exception) -> str:
    """What went wrong, without the address: a library's text may name it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
