"""Notices sent to a real mail server and to receivers of web-hooks: form, signature, and every refusal."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.notices import couriers, wording
from gateway.notices.couriers import NoticeNotTaken, NoticePartlyTaken, courier, signature
from gateway.notices.kinds import CONDITIONS, NoticeKind
from gateway.notices.notice_file import NoticeDestination, SmtpServer
from gateway.notices.notice_queue import Notice
from gateway.notices.wording import NoticePlace
from gateway.settings import Secret
from gateway.simbank.pki import Authority, new_key
from tests.gateway.notices.servers import HookInbox, Mailbox, dripping_server, hook_server, mail_server

NOW_MS = 1_796_000_000_123
PLACE = NoticePlace("prod", True, ZoneInfo("Asia/Shanghai"))
NOTICE = Notice(
    "0123456789abcdef0123456789abcdef",
    NoticeKind.DOUBTFUL,
    NOW_MS,
    NOW_MS - 60_000,
    ("01JAAAAAAAAAAAAAAAAAAAAAAA", "kingdee/PAY-1"),
    0,
)
TOKEN, KEY = "token-of-the-robot", "key-that-signs-notices"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


@pytest.fixture
def inbox() -> Iterator[HookInbox]:
    with hook_server() as made:
        yield made


def secret(tmp_path: Path, name: str, text: str) -> Secret:
    (tmp_path / name).write_text(text + "\n")
    return Secret.model_validate({"file": tmp_path / name})


def hook(tmp_path: Path, form: str, port: int, **changed: Any) -> NoticeDestination:
    given: dict[str, Any] = {"form": form, "url": f"http://127.0.0.1:{port}/robot/send", "language": "en"}
    if form != "webhook":
        given["token"] = secret(tmp_path, "token", TOKEN)
    if form != "wecom":
        given["key"] = secret(tmp_path, "key", KEY)
    return NoticeDestination.model_validate({**given, **changed})


def bring(to: NoticeDestination, smtp: SmtpServer | None = None, notice: Notice = NOTICE) -> None:
    courier(to, smtp, PLACE, lambda: NOW_MS)(notice)


def mail_to(port: int, **changed: Any) -> SmtpServer:
    return SmtpServer.model_validate(
        {"host": "127.0.0.1", "port": port, "security": "loopback", "sender": "bankgw@example.com", **changed}
    )


EMAIL = NoticeDestination.model_validate(
    {"form": "email", "to": ["ops@example.com", "treasury@example.com"], "language": "en"}
)


# ---- e-mail ----


def test_an_email_says_what_where_and_which_and_carries_its_id(mailbox: Mailbox) -> None:
    bring(EMAIL, mail_to(mailbox.port))
    (mail,) = mailbox.took
    assert mailbox.to == [["ops@example.com", "treasury@example.com"]]
    assert mail["Subject"] == "[bankgw LIVE prod] 2 payments are in doubt" and mail["Importance"] is None
    assert mail["Message-ID"] == f"<{NOTICE.id}@prod.bankgw.invalid>" and mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_content()
    assert (
        "01JAAAAAAAAAAAAAAAAAAAAAAA" in text
        and "kingdee/PAY-1" in text
        and NOTICE.id in text
        and "bankgw worklists" in text
    )
    bring(EMAIL.model_copy(update={"language": "zh"}), mail_to(mailbox.port), replace(NOTICE, kind=NoticeKind.SECURITY))
    assert mailbox.took[1]["Subject"] == "[bankgw 生产 prod] 安全事件 2 项" and mailbox.took[1]["Importance"] == "high"


def test_a_refused_recipient_is_named_and_the_others_have_the_mail(mailbox: Mailbox) -> None:
    mailbox.unknown = {"ops@example.com"}
    with pytest.raises(NoticePartlyTaken, match="refused 1 of 2 recipients") as caught:
        bring(EMAIL, mail_to(mailbox.port))
    assert caught.value.left == ("ops@example.com",) and "example.com" not in str(caught.value)
    assert mailbox.to == [["treasury@example.com"]]
    mailbox.unknown = set()
    bring(EMAIL, mail_to(mailbox.port), replace(NOTICE, left=caught.value.left))
    assert mailbox.to[1:] == [["ops@example.com"]]
    mailbox.unknown = {"ops@example.com", "treasury@example.com"}
    with pytest.raises(NoticeNotTaken):
        bring(EMAIL, mail_to(mailbox.port))


@pytest.mark.parametrize(("verdict", "why"), [("451 later", "451"), ("554 spam", "554")])
def test_a_mail_server_that_refuses_is_told_by_its_code_alone(mailbox: Mailbox, verdict: str, why: str) -> None:
    mailbox.verdict = verdict
    with pytest.raises(NoticeNotTaken) as caught:
        bring(EMAIL, mail_to(mailbox.port))
    assert why in str(caught.value) and "example.com" not in str(caught.value)


def test_a_mail_server_that_is_away_or_has_no_tls_takes_nothing(mailbox: Mailbox) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(NoticeNotTaken):
            bring(EMAIL, mail_to(taken.getsockname()[1]))
    with pytest.raises(NoticeNotTaken):
        bring(EMAIL, mail_to(mailbox.port, security="starttls"))
    assert mailbox.took == []


def test_an_id_that_an_erp_wrote_is_one_line_and_no_link(mailbox: Mailbox) -> None:
    evil = replace(NOTICE, keys=("kingdee/a\r\nBcc: evil@example.com\r\n\r\nhttps://evil.example/approve", "b" * 500))
    bring(EMAIL, mail_to(mailbox.port), evil)
    (mail,) = mailbox.took
    assert mail["Bcc"] is None and mailbox.to == [list(EMAIL.to)]
    text = mail.get_content()
    assert "://" not in text and "\nBcc" not in text and "b" * 161 not in text


# ---- web-hooks ----


def test_a_webhook_is_signed_over_time_and_body(tmp_path: Path, inbox: HookInbox) -> None:
    bring(hook(tmp_path, "webhook", inbox.port))
    ((path, headers, body),) = inbox.took
    said = json.loads(body)
    assert path == "/robot/send" and headers["x-bankgw-notice"] == NOTICE.id == said["id"]
    at_s = headers["x-bankgw-timestamp"]
    assert at_s == str(NOW_MS // 1000)
    good = hmac.new(KEY.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["x-bankgw-signature"] == f"v1={good}" == signature(KEY.encode(), at_s, body)
    assert (
        signature(KEY.encode(), "1", body)
        != signature(KEY.encode(), at_s, body)
        != signature(KEY.encode(), at_s, body + b" ")
    )
    assert said == {
        "id": NOTICE.id,
        "kind": "doubtful",
        "environment": "prod",
        "live": True,
        "made_ms": NOW_MS,
        "count": 2,
        "since_ms": NOW_MS - 60_000,
        "urgent": False,
        "text": "[bankgw LIVE prod] 2 payments are in doubt",
    }


def test_wecom_gets_its_text(tmp_path: Path, inbox: HookInbox) -> None:
    bring(hook(tmp_path, "wecom", inbox.port))
    assert inbox.took[0][0] == f"/robot/send?key={TOKEN}"
    assert inbox.bodies == [{"msgtype": "text", "text": {"content": wording.brief(NOTICE, PLACE, "en")}}]


def test_dingtalk_gets_its_text_and_its_signature(tmp_path: Path, inbox: HookInbox) -> None:
    bring(hook(tmp_path, "dingtalk", inbox.port))
    asked = parse_qs(urlsplit(inbox.took[0][0]).query, strict_parsing=True)
    good = base64.b64encode(hmac.new(KEY.encode(), f"{NOW_MS}\n{KEY}".encode(), hashlib.sha256).digest()).decode()
    assert asked == {"access_token": [TOKEN], "timestamp": [str(NOW_MS)], "sign": [good]}
    assert inbox.bodies[0]["text"]["content"] == wording.brief(NOTICE, PLACE, "en")


def test_feishu_gets_its_text_and_its_signature(tmp_path: Path, inbox: HookInbox) -> None:
    inbox.answer = (200, b'{"code": 0, "msg": "success"}', {})
    bring(hook(tmp_path, "feishu", inbox.port))
    at_s = str(NOW_MS // 1000)
    good = base64.b64encode(hmac.new(f"{at_s}\n{KEY}".encode(), b"", hashlib.sha256).digest()).decode()
    assert inbox.took[0][0] == f"/robot/send/{TOKEN}"
    assert inbox.bodies == [
        {"timestamp": at_s, "sign": good, "msg_type": "text", "content": {"text": wording.brief(NOTICE, PLACE, "en")}}
    ]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("kind", [kind for kind in NoticeKind if kind not in {*CONDITIONS, NoticeKind.OVER}])
def test_what_chat_is_told_has_no_id_of_an_order_and_no_link(
    kind: NoticeKind, language: wording.NoticeLanguage
) -> None:
    text = wording.brief(
        replace(NOTICE, kind=kind, keys=("kingdee/PAY-1 张三 0000000000000000017", *NOTICE.keys)), PLACE, language
    )
    for part in ("PAY-1", "01JA", "张三", "0000000000000000017", "://", "kingdee"):
        assert part not in text
    assert len(text.encode()) < 1_000


@pytest.mark.parametrize("form", ["wecom", "feishu", "dingtalk"])
@pytest.mark.parametrize(
    "answer",
    [
        b'{"errcode": 310000, "errmsg": "sign not match token-of-the-robot"}',
        b"<html>",
        b"[]",
        b"[" * 60_000,
        b'{"code": 19021}',
        b"",
        b'{"errcode": "0"}',
    ],
)
def test_a_chat_service_says_no_with_status_200(tmp_path: Path, inbox: HookInbox, form: str, answer: bytes) -> None:
    inbox.answer = (200, answer, {})
    with pytest.raises(NoticeNotTaken) as caught:
        bring(hook(tmp_path, form, inbox.port))
    assert TOKEN not in str(caught.value)


def test_no_redirection_is_followed(tmp_path: Path, inbox: HookInbox) -> None:
    with hook_server() as elsewhere:
        inbox.answer = (307, b"", {"Location": f"http://127.0.0.1:{elsewhere.port}/"})
        with pytest.raises(NoticeNotTaken, match="status 307"):
            bring(hook(tmp_path, "webhook", inbox.port))
        assert elsewhere.took == []


@pytest.mark.parametrize(
    ("beginning", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", b" "),
    ],
    ids=["headers", "continue", "chunks", "body"],
)
def test_an_answer_that_comes_in_drops_ends_at_the_limit(
    tmp_path: Path, beginning: bytes, piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couriers, "MOST_S", 0.4)
    with dripping_server(beginning, piece, 0.02) as port:
        began_s = time.monotonic()
        with pytest.raises(NoticeNotTaken):
            bring(hook(tmp_path, "wecom", port))
        assert time.monotonic() - began_s < 5


def test_a_tls_handshake_that_comes_in_drops_ends_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(couriers, "MOST_S", 0.4)
    with dripping_server(b"\x16\x03\x03\x40\x00", b"\x02", 0.02) as port:
        began_s = time.monotonic()
        with pytest.raises(NoticeNotTaken):
            bring(hook(tmp_path, "wecom", port, url=f"https://127.0.0.1:{port}/x"))
        assert time.monotonic() - began_s < 5


def test_a_flood_of_an_answer_is_read_in_part(tmp_path: Path) -> None:
    beginning = b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"errcode": 0, "x": "'
    with (
        dripping_server(beginning, b"x" * 65_536, 0) as port,
        pytest.raises(NoticeNotTaken, match="none that is known"),
    ):
        bring(hook(tmp_path, "wecom", port))


@pytest.mark.parametrize(
    ("piece", "every_s"), [(b"2", 0.02), (b"250-and more\r\n" * 1_000, 0.0)], ids=["drops", "endless lines"]
)
def test_a_mail_server_that_never_ends_its_reply_is_left(
    piece: bytes, every_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couriers, "MOST_S", 2.0)
    with dripping_server(b"220 here\r\n", piece, every_s, after_request=False) as port:
        began_s = time.monotonic()
        with pytest.raises(NoticeNotTaken):
            bring(EMAIL, mail_to(port))
        assert time.monotonic() - began_s < 8


def test_a_server_is_believed_by_its_certificate(tmp_path: Path) -> None:
    now, key = datetime.now(UTC), new_key()
    authority = Authority.root("somebody", now)
    one = authority.issue("localhost", key.public_key(), now, names=["localhost"])
    (tmp_path / "ca.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "server.pem").write_bytes(one.public_bytes(Encoding.PEM) + private)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem")
    with hook_server(tls) as inbox:
        to = hook(tmp_path, "webhook", inbox.port, url=f"https://localhost:{inbox.port}/x", ca_file=tmp_path / "ca.pem")
        bring(to)
        assert len(inbox.took) == 1
        with pytest.raises(NoticeNotTaken, match="certificate is refused"):
            bring(to.model_copy(update={"ca_file": None}))
        assert len(inbox.took) == 1


def test_a_secret_that_is_gone_is_told_without_its_place(tmp_path: Path, inbox: HookInbox) -> None:
    to = hook(tmp_path, "webhook", inbox.port)
    (tmp_path / "key").unlink()
    with pytest.raises(NoticeNotTaken) as caught:
        bring(to)
    assert str(tmp_path) not in str(caught.value)
