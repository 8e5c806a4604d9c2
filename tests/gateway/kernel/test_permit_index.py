"""The permit log is asked before each send: a permitted send is known, also after its segment was removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.kernel.commit import permit_index
from gateway.kernel.commit.permit_index import MERGED
from gateway.kernel.commit.permit_lines import Group
from gateway.kernel.commit.permit_log import PermitLog, PermitLogBroken
from gateway.kernel.commit.rows import Permit
from gateway.kernel.commit.store import PermittedBefore
from tests.gateway.kernel.bench import LANE, NOW_MS, Journal, order, vault

DAY_MS = 86_400_000


def opened(folder: Path, **more: int) -> PermitLog:
    return PermitLog(folder / "permits", vault(), "n1", sync=lambda _handle: None, **more)


def fill(log: PermitLog, days: int, first: int = 1) -> None:
    """A send a day, under a reference that names the day."""
    for day in range(first, first + days):
        log.note(Group(day, f"{day:064x}", NOW_MS + day * DAY_MS))
        log.append_permits([Permit(f"{LANE}/R{day}", 1, 7)])


@pytest.mark.parametrize("reopened", [False, True])
def test_every_send_of_every_segment_is_known(tmp_path: Path, reopened: bool) -> None:
    log = opened(tmp_path)
    fill(log, 30)
    log.append_permits([Permit(f"{LANE}/R3", 2, 7)])
    if reopened:
        log.close()
        log = opened(tmp_path)
    assert [day for day in range(1, 32) if log.permitted(f"{LANE}/R{day}", 1)] == list(range(1, 31))
    assert log.permitted(f"{LANE}/R3", 2) and not log.permitted(f"{LANE}/R3", 3)
    assert not log.permitted(f"{LANE}/R4", 2), "a later attempt was not permitted"
    assert not log.permitted("other.lane/R4", 1)
    # Neighbours become one file.
    assert len(list(log.folder.glob("*.idx"))) < 30 / MERGED + MERGED


def test_the_sixty_fourth_attempt_is_known(tmp_path: Path) -> None:
    """A side file has room for 63 attempts: a payment with more of them is known with any later one."""
    log = opened(tmp_path)
    log.note(Group(1, f"{1:064x}", NOW_MS))
    log.append_permits([Permit(f"{LANE}/R", attempt, 7) for attempt in range(1, 65)])
    log.append_permits([Permit(f"{LANE}/S", attempt, 7) for attempt in range(1, 63)])
    assert [log.permitted(f"{LANE}/R", attempt) for attempt in (62, 63, 64, 65)] == [True, True, True, False]
    log.note(Group(2, f"{2:064x}", NOW_MS + DAY_MS))
    assert all(log.permitted(f"{LANE}/R", attempt) for attempt in (62, 63, 64))
    assert log.permitted(f"{LANE}/S", 62) and not any(log.permitted(f"{LANE}/S", n) for n in (63, 64))


def test_a_send_is_known_when_its_segment_is_removed(tmp_path: Path) -> None:
    log = opened(tmp_path, days=5)
    fill(log, 30)
    log.close()
    assert len(list(log.folder.glob("*.log"))) < 10
    assert all(opened(tmp_path, days=5).permitted(f"{LANE}/R{day}", 1) for day in range(1, 31))


def test_after_four_hundred_days_a_send_may_be_forgotten(tmp_path: Path) -> None:
    log = opened(tmp_path, days=5)
    fill(log, 470)
    assert log.permitted(f"{LANE}/R71", 1) and not log.permitted(f"{LANE}/R1", 1)


@pytest.mark.parametrize("harm", ["removed", "damaged", "of another key"])
def test_a_side_file_is_made_again(tmp_path: Path, harm: str) -> None:
    log = opened(tmp_path)
    fill(log, 12)
    log.close()
    for path in log.folder.glob("*.idx"):
        octets = path.read_bytes()
        if harm == "removed":
            path.unlink()
        else:
            path.write_bytes(octets[:-1] + b"x" if harm == "damaged" else octets[:-32] + b"k" * 32)
    assert all(opened(tmp_path).permitted(f"{LANE}/R{day}", 1) for day in range(1, 13))


def test_an_index_that_cannot_be_made_again_ends_the_start(tmp_path: Path) -> None:
    log = opened(tmp_path, days=5)
    fill(log, 40)
    log.close()
    sorted(log.folder.glob("*.idx"))[1].unlink()
    with pytest.raises(PermitLogBroken, match="neither the segment nor the index of 00000009"):
        opened(tmp_path, days=5)


def test_a_crash_between_the_merged_file_and_its_parts_leaves_no_doubt(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, MERGED)
    parts = {path: path.read_bytes() for path in log.folder.glob("*.idx")}
    fill(log, 1, first=MERGED + 1)
    log.close()
    for path, octets in parts.items():
        path.write_bytes(octets)
    assert all(opened(tmp_path).permitted(f"{LANE}/R{day}", 1) for day in range(1, MERGED + 2))


def test_a_renamed_lane_is_asked_about_under_each_name(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, 2)
    log.use_names([(LANE, "sample.new")])
    assert log.permitted("sample.new/R1", 1) and not log.permitted("sample.new/R9", 1)


def test_two_references_have_two_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts are in the low bits of the number and never change another reference's number."""
    log = opened(tmp_path)
    log.note(Group(1, "0" * 64, NOW_MS))
    for attempt in range(1, 70):
        log.append_permits([Permit(f"{LANE}/R1", attempt, 7)])
    assert log.permitted(f"{LANE}/R1", 62) and not log.permitted(f"{LANE}/R2", 1)
    assert not log.permitted(f"{LANE}/R1", 70), "so many attempts are not counted any more"
    monkeypatch.setattr(permit_index, "SMALL", 0)
    fill(log, MERGED * 2, first=2)
    assert len(list(log.folder.glob("*.idx"))) >= MERGED, "large files stay as they are"


def test_a_payment_that_was_permitted_is_not_sent_again(url: str, tmp_path: Path) -> None:
    """Somebody set the payment back to its state before the send: the log is asked in the unit that sends."""
    log = opened(tmp_path)
    journal = Journal(url, "n1", permits=log)
    row = journal.admit(order("a")).row
    log.append_permits([Permit(f"{row.lane}/{row.bank_ref}", 1, 7)])
    with pytest.raises(PermittedBefore, match="attempt 1 of"):
        journal.send(row)
    other = journal.admit(order("b")).row
    journal.send(other)
    assert log.permitted(f"{other.lane}/{other.bank_ref}", 1)
    journal.close()
