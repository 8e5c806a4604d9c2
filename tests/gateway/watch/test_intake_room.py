"""No command is read while the disk has no room: from the start until a look has shown that the disk can be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gateway.watch import intake_room
from gateway.watch.intake_room import FLOOR_BYTES, IntakeRoom

MIB = 2**20
LARGE, SMALL = 100_000 * MIB, 100 * MIB


@pytest.fixture
def permits(tmp_path: Path) -> Path:
    made = tmp_path / "permits"
    made.mkdir()
    return made


def test_commands_wait_below_the_floor_and_go_on_at_twice_of_it(permits: Path) -> None:
    room = IntakeRoom()
    assert not room.measure(permits, 2 * FLOOR_BYTES, LARGE).waits
    assert not room.measure(permits, FLOOR_BYTES, LARGE).waits
    waits = room.measure(permits, FLOOR_BYTES - 1, LARGE).waits
    assert "16.0 MiB are free" in waits and "again at 32.0 MiB" in waits
    assert room.measure(permits, 2 * FLOOR_BYTES - 1, LARGE).waits
    assert not room.measure(permits, 2 * FLOOR_BYTES, LARGE).waits


def test_a_small_disk_has_a_smaller_floor(permits: Path) -> None:
    room = IntakeRoom()
    assert room.measure(permits, 10 * MIB - 1, SMALL).waits, "a start asks for twice the floor"
    assert not room.measure(permits, 10 * MIB, SMALL).waits
    assert not room.measure(permits, 5 * MIB, SMALL).waits
    assert room.measure(permits, 5 * MIB - 1, SMALL).waits


def test_a_start_waits_until_the_folder_takes_a_file(permits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a quota: the disk has room, and no write succeeds."""

    def full(_handle: int, _octets: bytes) -> int:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    room = IntakeRoom()
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        seen = room.measure(permits, LARGE, LARGE)
        assert seen.waits == seen.fault and "cannot be written: Disk quota exceeded" in seen.fault
    assert not list(permits.iterdir()), "the look leaves nothing"
    assert not room.measure(permits, LARGE, LARGE).waits


def test_a_daemon_that_takes_in_commands_writes_no_file(permits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = IntakeRoom()
    room.measure(permits, LARGE, LARGE)
    monkeypatch.setattr(intake_room, "_why_unwritten", lambda _folder: pytest.fail("it wrote"))
    assert not room.measure(permits, LARGE, LARGE).waits


def test_a_known_fault_of_the_permit_log_is_a_reason(permits: Path) -> None:
    room = IntakeRoom()
    room.measure(permits, LARGE, LARGE)
    seen = room.measure(permits, LARGE, LARGE, "the permit log cannot be written: Read-only file system")
    assert seen.waits == seen.fault != ""
    assert not room.measure(permits, LARGE, LARGE).waits
