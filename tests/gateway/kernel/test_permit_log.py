from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gateway.kernel.commit.permit_lines import GENESIS, Group
from gateway.kernel.commit.permit_log import PermitLog, PermitLogBroken, examine, know, read_back
from gateway.kernel.commit.rows import Permit
from gateway.kernel.sql.vault import Vault
from tests.gateway.kernel.bench import LANE, NOW_MS, vault

SOME = [Permit(f"{LANE}/REF{n:05d}", 1, 7) for n in range(5)]
DAY_MS = 86_400_000


def group(seq: int, *, at_ms: int = NOW_MS) -> Group:
    return Group(seq, f"{seq:064x}", at_ms, 1)


def opened(folder: Path, node: str = "n1", **more: object) -> PermitLog:
    return PermitLog(folder, vault(), node, **more)  # type: ignore[arg-type]


def sends(folder: Path) -> list[Permit]:
    return list(read_back(folder, vault()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "permits"


def filled(folder: Path) -> Path:
    """A log of three groups and five sends; its one segment."""
    log = opened(folder)
    for n, permits in enumerate((SOME[:2], SOME[2:3], SOME[3:]), start=1):
        log.note(group(n))
        log.append_permits(permits)
    log.close()
    return folder / "00000001.log"


def test_permits_are_read_back_as_written_over_several_lives(folder: Path) -> None:
    for n, permits in enumerate((SOME[:2], SOME[2:3], SOME[3:]), start=1):
        log = opened(folder)
        log.note(group(n))
        log.append_permits(permits)
        log.close()
    assert sends(folder) == SOME
    assert know(folder, vault(), "n1").tail.head == group(3)
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600]


def test_a_group_is_synced_once_after_all_its_lines(folder: Path) -> None:
    sizes: list[int] = []
    log = opened(folder, sync=lambda handle: sizes.append(os.fstat(handle).st_size))
    log.note(group(1))
    log.append_permits(SOME)
    assert sizes == [(folder / "00000001.log").stat().st_size]
    log.note(group(2))
    assert len(sizes) == 1, "a group without sends waits for no disk"
    log.close()
    assert know(folder, vault(), "n1").tail.head == group(2)


def test_a_sync_that_fails_permits_nothing(folder: Path) -> None:
    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    log = opened(folder, sync=broken)
    with pytest.raises(OSError, match="Input/output"):
        log.append_permits(SOME)
    log.close()


def test_a_crash_in_the_middle_of_a_line_loses_only_that_line(folder: Path) -> None:
    path = filled(folder)
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(last + 1, len(whole)):
        path.write_bytes(whole[:cut])
        assert sends(folder) == SOME[:4]
        log = opened(folder)
        log.note(group(4))
        log.append_permits(SOME[:1])
        log.close()
        assert sends(folder) == [*SOME[:4], SOME[0]]


@pytest.mark.parametrize("number", range(9))
def test_no_line_can_be_altered_or_taken_out_or_moved(folder: Path, number: int) -> None:
    path = filled(folder)
    lines = path.read_bytes().splitlines(keepends=True)
    altered = lines[number].replace(b"1", b"2", 1)
    path.write_bytes(b"".join([*lines[:number], altered, *lines[number + 1 :]]))
    with pytest.raises(PermitLogBroken, match=f"line {number + 1}: altered"):
        examine(folder, vault())
    if number < len(lines) - 1:
        path.write_bytes(b"".join([*lines[:number], *lines[number + 1 :]]))
        with pytest.raises(PermitLogBroken, match="altered"):
            examine(folder, vault())
        lines[number], lines[number + 1] = lines[number + 1], lines[number]
        path.write_bytes(b"".join(lines))
        with pytest.raises(PermitLogBroken, match="altered"):
            opened(folder)


def test_another_vault_cannot_write_it(folder: Path) -> None:
    filled(folder)
    with pytest.raises(PermitLogBroken, match="another vault key"):
        PermitLog(folder, Vault({"k2": b"x" * 32}, "k2"), "n1")


def test_no_log_has_no_permits(folder: Path) -> None:
    assert sends(folder) == []
    assert know(folder, vault(), "n1").tail.head is None


def test_a_segment_ends_with_its_day_and_with_its_size(folder: Path) -> None:
    log = opened(folder, segment_bytes=400)
    for n in range(1, 9):
        log.note(group(n, at_ms=NOW_MS + n // 5 * DAY_MS))
        log.append_permits([SOME[0]])
    log.close()
    files = sorted(folder.glob("*.log"))
    assert len(files) > 2 and max(path.stat().st_size for path in files) < 700
    assert sends(folder) == [SOME[0]] * 8
    found = know(folder, vault(), "n1")
    assert found.tail.head == group(8, at_ms=NOW_MS + DAY_MS)
    heads = [segment.header().head.seq for segment in found.segments()]
    assert heads == sorted(heads) and heads[0] == 0, "a segment says where the one before ended"


def test_segments_older_than_the_window_are_removed(folder: Path) -> None:
    log = opened(folder, days=3)
    for day in range(1, 11):
        log.note(group(day, at_ms=NOW_MS + day * DAY_MS))
        log.append_permits([Permit(f"{LANE}/DAY{day}", 1, 1)])
    log.close()
    assert [permit.ref for permit in sends(folder)] == [f"{LANE}/DAY{day}" for day in range(6, 11)]
    assert opened(folder).known.tail.head == group(10, at_ms=NOW_MS + 10 * DAY_MS)


def test_a_half_made_segment_is_none(folder: Path) -> None:
    filled(folder)
    (folder / "00000002.log.part").write_bytes(b"H 1 n1")
    log = opened(folder)
    assert log.known.tail.head == group(3) and not list(folder.glob("*.part"))
    log.close()


def test_a_renamed_node_finds_its_own_head_and_the_last_one(folder: Path) -> None:
    filled(folder)
    log = opened(folder, "n2")
    assert (log.known.tail.head, log.known.tail.node, log.known.own) == (group(3), "n1", None)
    log.note(group(1))
    log.close()
    assert know(folder, vault(), "n1").own == group(3)
    assert know(folder, vault(), "n2").own == group(1)
    [_first, second] = know(folder, vault(), "n2").segments()
    assert second.header().head == Group(0, GENESIS, NOW_MS)


def test_the_next_life_is_told_that_another_wrote(folder: Path) -> None:
    filled(folder)
    log = opened(folder)
    log.another(NOW_MS)
    log.close()
    log = opened(folder)
    assert log.known.tail.another
    log.adopt(group(9))
    log.close()
    assert not know(folder, vault(), "n1").tail.another


def test_records_of_gaps_cannot_be_removed(folder: Path) -> None:
    filled(folder)
    log = opened(folder)
    log.add_gap(b'{"a":1}', NOW_MS)
    log.add_gap(b'{"b":2}', NOW_MS)
    log.close()
    assert know(folder, vault(), "n1").gaps == (b'{"a":1}', b'{"b":2}')
    kept = (folder / "gaps.log").read_bytes()
    (folder / "gaps.log").write_bytes(kept.splitlines(keepends=True)[0])
    with pytest.raises(PermitLogBroken, match="has 1 records of the 2"):
        opened(folder)
    (folder / "gaps.log").unlink()
    with pytest.raises(PermitLogBroken, match="has 0 records of the 2"):
        opened(folder)
    (folder / "gaps.log").write_bytes(kept.replace(b'"a"', b'"c"'))
    with pytest.raises(PermitLogBroken, match=r"gaps.log, line 1"):
        opened(folder)
    # The file is written first: a crash before the log's own line leaves one record more.
    (folder / "gaps.log").write_bytes(kept)
    assert len(opened(folder).known.gaps) == 2


def test_the_file_of_versions_before_is_read_until_a_segment_is_begun(folder: Path) -> None:
    import zlib

    words = f"{LANE}/OLD1 1 7".encode()
    folder.with_name("permits.log").write_bytes(b"%s %08x\n" % (words, zlib.crc32(words)))
    log = opened(folder)
    assert log.known.legacy() is not None and sends(folder) == [Permit(f"{LANE}/OLD1", 1, 7)]
    log.note(group(1))
    log.close()
    assert know(folder, vault(), "n1").legacy() is None
    folder.with_name("permits.log").write_bytes(b"%s %08x\n" % (words, 0))
    for segment in folder.glob("*.log"):
        segment.unlink()
    with pytest.raises(PermitLogBroken, match=r"permits.log, line 1: altered"):
        examine(folder, vault())
