from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gateway.core.states import Answered, Source
from gateway.journal.permits import PermitLog, PermitLogBroken, forgotten, read_back
from gateway.journal.store import Permit
from protocols.canon.outcome import Fate
from tests.gateway.journal.bench import LANE, NOW_MS, Journal, order

SOME = [Permit(f"{LANE}/REF{n:05d}", 1, 7) for n in range(5)]


def test_permits_are_read_back_as_written_over_several_lives(tmp_path: Path) -> None:
    path = tmp_path / "permits"
    for permits in (SOME[:2], SOME[2:3], SOME[3:]):
        log = PermitLog(path)
        log.write(permits)
        log.close()
    assert list(read_back(path)) == SOME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_group_is_synced_once_after_all_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "permits"
    sizes: list[int] = []
    log = PermitLog(path, sync=lambda handle: sizes.append(os.fstat(handle).st_size))
    log.write(SOME)
    assert sizes == [path.stat().st_size]
    log.close()


def test_a_sync_that_fails_permits_nothing(tmp_path: Path) -> None:
    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    log = PermitLog(tmp_path / "permits", sync=broken)
    with pytest.raises(OSError, match="Input/output"):
        log.write(SOME)
    log.close()


def test_a_crash_in_the_middle_of_a_line_loses_only_that_line(tmp_path: Path) -> None:
    path = tmp_path / "permits"
    log = PermitLog(path)
    log.write(SOME[:2])
    log.close()
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first + 1, len(whole)):
        path.write_bytes(whole[:cut])
        assert list(read_back(path)) == SOME[:1]
        log = PermitLog(path)
        log.write(SOME[2:3])
        log.close()
        assert list(read_back(path)) == [SOME[0], SOME[2]]


def test_an_altered_line_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "permits"
    log = PermitLog(path)
    log.write(SOME)
    log.close()
    path.write_bytes(path.read_bytes().replace(b"REF00002 1", b"REF00002 2"))
    with pytest.raises(PermitLogBroken, match="line 3"):
        list(read_back(path))


def test_no_log_has_no_permits(tmp_path: Path) -> None:
    assert list(read_back(tmp_path / "none")) == []


def test_a_database_that_came_back_from_the_past_is_found_out(url: str, tmp_path: Path) -> None:
    path = tmp_path / "permits"
    journal = Journal(url, permits=PermitLog(path))
    rows = [journal.admit(order(f"a{n}")).row for n in range(3)]
    for row in rows:
        journal.send(row)
    journal.apply(rows[0].payment, Answered(NOW_MS, Fate.SETTLED, Source.SUBMIT))
    assert journal.read(lambda conn: forgotten(conn, read_back(path))) == []
    later = [Permit(f"{LANE}/LATER{n}", 1, 2) for n in range(450)] + [Permit(f"{LANE}/{rows[1].bank_ref}", 2, 2)]
    log = PermitLog(path)
    log.write(later)
    log.close()
    assert journal.read(lambda conn: forgotten(conn, read_back(path))) == later
    journal.close()
