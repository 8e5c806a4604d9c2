"""The end of the last run is known, whoever ended it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.kernel import run_record, start_failures
from gateway.kernel.run_record import FILE, why_none_answers


def altered(folder: Path, **changes: object) -> None:
    record = json.loads((folder / FILE).read_text("utf-8"))
    (folder / FILE).write_text(json.dumps({**record, **changes}), "utf-8")


def test_nothing_is_known_of_a_new_folder(tmp_path: Path) -> None:
    assert why_none_answers(tmp_path) is None and run_record.last(tmp_path) is None


def test_the_first_reason_of_an_end_stays(tmp_path: Path) -> None:
    run_record.begin(tmp_path)
    run_record.end(tmp_path, 1, "the journal is lost", "mend it")
    run_record.end(tmp_path, 0, "stopped in order", "start it")
    found = why_none_answers(tmp_path)
    assert found is not None and (found.exit, found.cause, found.remedy) == (1, "the journal is lost", "mend it")


def test_the_end_is_written_on_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_record.begin(tmp_path)
    really = os.open

    def full(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, "No space left on device")
        return really(path, flags, mode)

    monkeypatch.setattr(os, "open", full)
    run_record.end(tmp_path, 1, "database or disk is full", "make room")
    found = why_none_answers(tmp_path)
    assert found is not None and (found.cause, found.remedy) == ("database or disk is full", "make room")
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_an_end_that_nobody_wrote_down_is_told_with_the_time_it_was_last_seen(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    run_record.begin(tmp_path)
    altered(tmp_path, pid=gone.pid)
    os.utime(tmp_path / FILE, (1_900_000_000, 1_900_000_000))
    found = why_none_answers(tmp_path)
    assert found is not None and found.exit is None and found.at == "2030-03-17T17:46:40Z"
    assert f"process {gone.pid}" in found.cause and "wrote no reason" in found.cause and "oom" in found.remedy


def test_a_process_that_runs_and_does_not_answer_is_no_dead_one(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()", "gateway"], stdin=subprocess.PIPE) as lives:
        # The kernel shows no command line until the program is loaded.
        while not Path(f"/proc/{lives.pid}/cmdline").read_bytes():
            assert lives.poll() is None
        run_record.begin(tmp_path)
        altered(tmp_path, pid=lives.pid)
        found = why_none_answers(tmp_path)
        lives.kill()
    assert found is not None and "does not answer" in found.cause


def test_a_second_daemon_that_was_refused_does_not_hide_a_later_kill(tmp_path: Path) -> None:
    run_record.begin(tmp_path)
    start_failures.note(tmp_path, 69, "process 1 is using it", "leave it")
    at_s = (tmp_path / FILE).stat().st_mtime + 60
    os.utime(tmp_path / FILE, (at_s, at_s))
    altered(tmp_path, pid=2**22 + 1)
    os.utime(tmp_path / FILE, (at_s, at_s))
    found = why_none_answers(tmp_path)
    assert found is not None and "wrote no reason" in found.cause


def test_a_later_failed_start_is_the_reason(tmp_path: Path) -> None:
    run_record.begin(tmp_path)
    run_record.end(tmp_path, 0, "stopped in order", "start it")
    start_failures.note(tmp_path, 78, "bankgw.toml: x", "bankgw check")
    found = why_none_answers(tmp_path)
    assert found is not None and found.exit == 78


def test_when_the_settings_in_force_were_read(tmp_path: Path) -> None:
    run_record.begin(tmp_path)
    altered(tmp_path, settings_at="before")
    run_record.settings_taken(tmp_path)
    found = run_record.last(tmp_path)
    assert found is not None and found.settings_at == replace(found).settings_at != "before"
    altered(tmp_path, pid=1, settings_at="before")
    run_record.settings_taken(tmp_path)
    found = run_record.last(tmp_path)
    assert found is not None and found.settings_at == "before", "another process's record"
