"""Signing at the terminal: the text is shown whole in both languages, and its effect in the language of the
environment."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import application, exit_codes, output, person_key
from gateway.control.client import ControlClient
from gateway.language import bilingual, coded
from gateway.people.rules import signed_text
from gateway.people.rules.signed_text import Action, SignedFact, fact
from tests.gateway.cli.test_application import world

LETTER = b"the bank's letter"
KEY = "01M7Q5CRVSQHAQEPESA1M491G6"
ENGLISH, CHINESE = "order kingdee:AP-1 counts as not paid", "付款指令 kingdee:AP-1 裁定为未支付"


def text_of(form: int, evidence: bytes = LETTER, to: str = "failed") -> str:
    facts = (
        fact("proposal", "提议编号", KEY),
        SignedFact(signed_text.TO, coded(to, {"failed": "未支付", "settled": "已支付"})),
        SignedFact(signed_text.EVIDENCE, sha256(evidence).hexdigest()),
    )
    effect = bilingual("order {order} counts as not paid", "付款指令 {order} 裁定为未支付", order="kingdee:AP-1")
    return Action(effect, facts, form).text()


class Daemon:
    """Answers the command's requests, and keeps the data that it sent."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sent: list[dict[str, Any]] = []

    def get(self, _remote: ControlClient, *_parts: str, **_query: Any) -> Any:
        return {"text": self.text, "to": "failed", "evidence": b64encode(LETTER).decode()}

    def post(self, _remote: ControlClient, *parts: str, **body: Any) -> Any:
        if parts[-1] == "draft":
            return {"proposal": KEY, "expires_ms": 1, "text": self.text, "digest": ""}
        self.sent.append(body)
        state = "done" if parts[-1] == "approve" else "open"
        return {
            "proposal": KEY,
            "kind": "resolve",
            "subject": "P",
            "to": "failed",
            "state": state,
            "expires_at": "2026-12-01T12:00:00Z",
            "text": self.text,
        }


class Terminal:
    """A person at a terminal who signs what is shown."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._key, self._letter, self._patch = folder / "person.pem", folder / "letter.pdf", patch
        person_key.make(self._key, None)
        self._letter.write_bytes(LETTER)
        patch.setattr(output, "confirmed", lambda _question: True)

    def run(self, daemon: Daemon, lang: str, *words: str) -> int:
        self._patch.setattr(ControlClient, "get", lambda *given, **query: daemon.get(*given, **query))
        self._patch.setattr(ControlClient, "post", lambda *given, **body: daemon.post(*given, **body))
        given = ["resolve", *words, "--key", str(self._key), "--socket", "/nowhere/control.sock"]
        return application.main(world(variables={"LANG": lang}), given)

    def propose(self, daemon: Daemon, lang: str = "C") -> int:
        words = ("kingdee:AP-1", "--as", "failed", "--evidence", str(self._letter), "--note", "letter")
        return self.run(daemon, lang, *words)


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(tmp_path, monkeypatch)


@pytest.mark.parametrize(("lang", "effect"), [("C", ENGLISH), ("zh_CN.UTF-8", CHINESE)])
def test_the_text_is_shown_whole_and_the_effect_in_the_language_of_the_environment(
    terminal: Terminal, capsys: pytest.CaptureFixture[str], lang: str, effect: str
) -> None:
    daemon = Daemon(text_of(2))
    assert terminal.propose(daemon, lang) == exit_codes.OK
    shown = capsys.readouterr()
    assert daemon.text in shown.err and shown.out.splitlines()[0] == effect
    assert terminal.run(daemon, lang, "--approve", KEY) == exit_codes.OK
    shown = capsys.readouterr()
    assert daemon.text in shown.err and shown.out.splitlines()[-1] == effect
    assert {one["digest"] for one in daemon.sent} == {signed_text.digest(daemon.text)}


def test_a_proposal_of_form_1_is_shown_and_approved_as_it_is(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = Daemon(text_of(1))
    assert terminal.run(daemon, "zh_CN.UTF-8", "--approve", KEY) == exit_codes.OK
    shown = capsys.readouterr()
    assert daemon.text in shown.err and len(shown.out.splitlines()) == 1
    assert daemon.sent[0]["digest"] == signed_text.digest(daemon.text)


@pytest.mark.parametrize(
    "text",
    [
        text_of(2, to="settled"),
        text_of(2, evidence=b"another letter"),
        text_of(2).replace("决定：failed", "决定：settled"),
        text_of(2).replace("证据文件校验值（SHA-256）：", "证据文件校验值（SHA-256）：0"),
        text_of(2).replace("bankgw action 2", "bankgw action 3"),
        text_of(1, to="settled"),
    ],
)
def test_a_text_that_states_something_else_in_either_language_is_not_signed(terminal: Terminal, text: str) -> None:
    daemon = Daemon(text)
    assert terminal.propose(daemon) == exit_codes.FAILED
    assert terminal.run(daemon, "C", "--approve", KEY) == exit_codes.FAILED
    assert not daemon.sent
