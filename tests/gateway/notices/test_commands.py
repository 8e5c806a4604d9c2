"""`bankgw notices status`, `list` and `acknowledge` over a saved state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import exit_codes
from gateway.notices import state_file
from gateway.notices.conditions import KnownCondition
from gateway.notices.kinds import NoticeKind
from gateway.notices.notice_queue import DestinationQueue, Notice
from gateway.notices.state_file import NoticeState
from tests.gateway.cli.test_application import bankgw

K = NoticeKind
SENT, LEFT = "a" * 32, "b" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    state = NoticeState({"gw1": 7})
    queue = DestinationQueue(sent=3, failed=1, last_why="the mail server refused 1 of 2 recipients (code 550)")
    refused = Notice(LEFT, K.HELD, 1, 1, ("x",), 0, 4, 99, "refused", ("away@example.com",))
    queue.partly[K.HELD] = refused
    queue.later[K.LANE_DOWN] = {"boc.main": 5, "pab.main": 6}
    state.queues["ops"] = queue
    state.conditions["lane_down/boc.main"] = KnownCondition(K.LANE_DOWN, "boc.main", "p", "boc.main · R", 1_000, 2, "")
    state.note_sent("ops", Notice(SENT, K.LANE_DOWN, 1, 1, ("boc.main",), 0), 2_000)
    state_file.save(tmp_path / state_file.FILE, state_file.text_of(state))
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: object) -> object:
    assert bankgw("notices", *words, "--json") == exit_codes.OK
    return json.loads(capsys.readouterr().out)


def test_a_refused_recipient_and_a_lasting_condition_are_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = said(capsys, "status", "--state", folder)
    assert isinstance(status, dict)
    [row] = status["destinations"]
    assert (row["refused"], row["waiting"], row["escalates"], row["tries"]) == (1, 1, 2, 4)
    assert status["conditions"] == [
        {"kind": "lane_down", "subject": "boc.main · R", "since": "1970-01-01T00:00:01.000Z", "told": True}
    ]
    listed = said(capsys, "list", "--state", folder)
    assert isinstance(listed, dict)
    refused, sent = listed["notices"]
    assert (refused["notice"], refused["state"], refused["lacking"]) == (LEFT, "refused", "away@example.com")
    assert (sent["notice"], sent["state"], sent["kind"], sent["acknowledged"]) == (SENT, "sent", "lane_down", "")
    for words in (("status",), ("list",)):
        assert bankgw("notices", *words, "--state", folder) == exit_codes.OK
    assert "away@example.com" in "".join(capsys.readouterr().out.split())


def test_a_notice_is_acknowledged_by_its_id_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "wang")
    assert bankgw("notices", "acknowledge", SENT, "--state", folder) == exit_codes.OK
    assert state_file.read_acknowledgements(folder) == {SENT: "wang"}
    for wrong in (LEFT, "../notices.json", "", "A" * 32):
        assert bankgw("notices", "acknowledge", wrong, "--state", folder) == exit_codes.FAILED
    assert list(state_file.read_acknowledgements(folder)) == [SENT]
    state_file.forget_acknowledgements(folder, [SENT])
    assert state_file.read_acknowledgements(folder) == {}
    assert "wang deals with notice" in capsys.readouterr().out


def test_the_sent_notices_that_are_kept_do_not_grow() -> None:
    state = NoticeState()
    for n in range(state_file.MOST_SENT + 50):
        state.note_sent("ops", Notice(f"{n:032x}", K.HELD, 1, 1, ("k",) * 500, 0), n)
    assert len(state.sent) == state_file.MOST_SENT and f"{50:032x}" in state.sent
    assert all(len(one.keys) == state_file.MOST_SENT_KEYS and one.count == 500 for one in state.sent.values())
