"""Delivers a notice: by e-mail, or by HTTP to a chat service or a web-hook. Each courier returns when the notice was
taken.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from gateway.notices import wording
from gateway.notices.bounded_line import MOST_S, TIMEOUT_S, BoundedSmtp, ending, exchanged
from gateway.notices.kinds import URGENT
from gateway.notices.notice_file import NoticeDestination, SmtpServer
from gateway.notices.notice_queue import Notice, local_time
from gateway.notices.wording import NoticePlace
from gateway.settings import Secret

SIGNATURE_VERSION = "v1"


class NoticeNotTaken(Exception):  # noqa: N818 - an answer, not a fault
    """The notice was not taken, or it is unknown. The text contains no address and no secret."""


class NoticePartlyTaken(Exception):  # noqa: N818 - an answer, not a fault
    """Some recipients of an e-mail were refused, the others have it. `left` are the refused ones; the text contains no
    address."""

    def __init__(self, why: str, left: tuple[str, ...]) -> None:
        super().__init__(why)
        self.left = left


class Courier(Protocol):
    """Delivers notices to one destination. It is called on a thread of its own and raises NoticeNotTaken, or
    NoticePartlyTaken."""

    def __call__(self, notice: Notice) -> None:
        """Deliver the notice."""


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
        recipients = notice.left or self.to.to
        try:
            with self._opened() as server:
                if self.smtp.user is not None and self.smtp.password is not None:
                    server.login(self.smtp.user, self.smtp.password.secret_bytes().decode())
                mail = email_of(notice, self.to, self.smtp.sender, self.place, self.now_ms())
                refused = server.send_message(mail, to_addrs=recipients)
        except smtplib.SMTPResponseException as error:
            raise NoticeNotTaken(f"the mail server answered {error.smtp_code}") from None
        except smtplib.SMTPException as error:
            raise NoticeNotTaken(f"the mail server refused: {type(error).__name__}") from None
        except (OSError, UnicodeError) as error:
            raise NoticeNotTaken(_trouble(error)) from None
        if refused:
            codes = ", ".join(sorted({str(code) for code, _text in refused.values()}))
            why = f"the mail server refused {len(refused)} of {len(recipients)} recipients (code {codes})"
            raise NoticePartlyTaken(why, tuple(one for one in recipients if one in refused))

    @contextmanager
    def _opened(self) -> Iterator[smtplib.SMTP]:
        """A session with the mail server that ends after MOST_S, even if it answers by single bytes."""
        smtp = self.smtp
        line = socket.create_connection((smtp.host, smtp.port), TIMEOUT_S)
        try:
            with ending(line, MOST_S):
                trust = None if smtp.security == "loopback" else ssl.create_default_context(cafile=smtp.ca_file)
                if trust is not None and smtp.security == "tls":
                    line = trust.wrap_socket(line, server_hostname=smtp.host)
                with BoundedSmtp(line, smtp.host, smtp.port) as server:
                    if trust is not None and smtp.security == "starttls":
                        server.starttls(context=trust)
                    yield server
        finally:
            line.close()


def email_of(notice: Notice, to: NoticeDestination, sender: str, place: NoticePlace, now_ms: int) -> EmailMessage:
    """The e-mail of a notice. Its Message-ID is the notice's id, so that a mailbox keeps one of two copies."""
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
    """The request to a web-hook. `path` may contain a secret, so it is never written anywhere."""

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
            said = exchanged(
                "POST",
                self.to.url or "",
                wanted.path,
                wanted.body,
                wanted.headers,
                ca_file=self.to.ca_file,
                most_s=MOST_S,
            )
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise NoticeNotTaken(_trouble(error)) from None
        # A redirection is not followed, because it would send the notice to a place that the file does not name.
        if not 200 <= said.status < 300:
            raise NoticeNotTaken(f"answered with status {said.status}")
        if self.to.form != "webhook":
            _taken_by_chat(said.body)


def hook_request(notice: Notice, to: NoticeDestination, place: NoticePlace, now_ms: int) -> HookRequest:
    """The request to a web-hook, in the form of its service. Raises OSError for the file of a secret."""
    path = urlsplit(to.url or "").path or "/"
    text = wording.brief(notice, place, to.language)
    if to.form == "wecom":
        return _json(f"{path}?key={_secret(to.token)}", {"msgtype": "text", "text": {"content": text}})
    if to.form == "dingtalk":
        key = _secret(to.key)
        sign = quote(_base64(hmac.digest(key.encode(), f"{now_ms}\n{key}".encode(), "sha256")), safe="")
        return _json(
            f"{path}?access_token={_secret(to.token)}&timestamp={now_ms}&sign={sign}",
            {"msgtype": "text", "text": {"content": text}},
        )
    if to.form == "feishu":
        at_s = str(now_ms // 1000)
        sign = _base64(hmac.digest(f"{at_s}\n{_secret(to.key)}".encode(), b"", "sha256"))
        said = {"timestamp": at_s, "sign": sign, "msg_type": "text", "content": {"text": text}}
        return _json(f"{path.rstrip('/')}/{_secret(to.token)}", said)
    return _signed(path, notice, to, place, now_ms)


def _signed(path: str, notice: Notice, to: NoticeDestination, place: NoticePlace, now_ms: int) -> HookRequest:
    """The request in the gateway's own form, with an HMAC-SHA256 over the time and the body."""
    wanted = _json(
        path,
        {
            "id": notice.id,
            "kind": notice.kind.value,
            "environment": place.environment,
            "live": place.live,
            "made_ms": notice.made_ms,
            "since_ms": notice.since_ms,
            "count": notice.count,
            "urgent": notice.kind in URGENT,
            "text": wording.title(notice, place, to.language),
        },
    )
    at_s = str(now_ms // 1000)
    made = signature(_secret(to.key).encode(), at_s, wanted.body)
    return HookRequest(
        path,
        wanted.body,
        {**wanted.headers, "X-Bankgw-Notice": notice.id, "X-Bankgw-Timestamp": at_s, "X-Bankgw-Signature": made},
    )


def signature(key: bytes, at_s: str, body: bytes) -> str:
    """The value of `X-Bankgw-Signature`: `v1=` and the HMAC-SHA256, in hex, of the time, a point and the body."""
    return f"{SIGNATURE_VERSION}={hmac.new(key, at_s.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def _json(path: str, said: Mapping[str, Any]) -> HookRequest:
    body = json.dumps(said, ensure_ascii=False).encode()
    return HookRequest(path, body, {"Content-Type": "application/json; charset=utf-8", "User-Agent": "bankgw"})


def _taken_by_chat(answer: bytes) -> None:
    """Whether a chat service accepted the notice: these services answer with status 200 even if they refuse."""
    try:
        said = json.loads(answer)
        code = next((said[name] for name in ("errcode", "code", "StatusCode") if name in said), None)
    except (ValueError, TypeError, RecursionError):  # the last: brackets nested deeper than the parser goes
        code = None
    if code != 0:
        shown = code if isinstance(code, int) else "none that is known"
        raise NoticeNotTaken(f"the chat service answered with code {shown}")


def _secret(secret: Secret | None) -> str:
    assert secret is not None, "the file was checked"
    return secret.secret_bytes().decode()


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _trouble(error: Exception) -> str:
    """The error's text without the address, because a library's message may contain the address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
