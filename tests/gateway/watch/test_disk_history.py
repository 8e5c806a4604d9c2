"""When the disk will be full: by the faster of the last day and the last week, kept over restarts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.watch.disk_history import FILE, DiskHistory

DAY_S = 86_400.0
NOW_S = 1_900_000_000.0


def with_samples(folder: Path, *samples: tuple[float, int]) -> DiskHistory:
    (folder / FILE).write_text(json.dumps([(NOW_S - ago_s, free) for ago_s, free in samples]), "utf-8")
    return DiskHistory(folder)


def test_the_rate_of_the_last_day_counts(tmp_path: Path) -> None:
    found = with_samples(tmp_path, (DAY_S, 300)).forecast(200, NOW_S)
    assert found is not None and (found.days, found.over_s) == (2.0, DAY_S)


def test_the_faster_of_day_and_week_counts(tmp_path: Path) -> None:
    found = with_samples(tmp_path, (7 * DAY_S, 370), (DAY_S, 201)).forecast(200, NOW_S)
    assert found is not None and found.days == pytest.approx(200 / (170 / 7))
    found = with_samples(tmp_path, (7 * DAY_S, 270), (DAY_S, 250)).forecast(200, NOW_S)
    assert found is not None and found.days == 4.0


def test_a_short_time_and_a_disk_that_empties_say_nothing(tmp_path: Path) -> None:
    assert with_samples(tmp_path, (3_600.0, 300)).forecast(200, NOW_S) is None
    assert with_samples(tmp_path, (DAY_S, 150)).forecast(200, NOW_S) is None


def test_samples_are_kept_hourly_for_a_week_and_over_a_restart(tmp_path: Path) -> None:
    history = DiskHistory(tmp_path)
    for minute in range(0, 60 * 24 * 9, 10):
        history.forecast(10_000 - minute, NOW_S + minute * 60)
    kept = json.loads((tmp_path / FILE).read_text("utf-8"))
    assert len(kept) <= 24 * 7 + 2 and kept[-1][0] - kept[0][0] <= 7 * DAY_S + 3_600
    again = DiskHistory(tmp_path).forecast(1_000, NOW_S + 9 * DAY_S)
    assert again is not None and again.over_s > DAY_S / 2


@pytest.mark.parametrize("text", ["", "[", "[1]", '{"a": 1}', "[[1, null]]"])
def test_a_file_that_cannot_be_read_is_no_fault(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text, "utf-8")
    assert DiskHistory(tmp_path).forecast(5, NOW_S) is None


def test_a_clock_that_was_ahead_leaves_no_sample(tmp_path: Path) -> None:
    assert with_samples(tmp_path, (-DAY_S, 900)).forecast(5, NOW_S) is None
