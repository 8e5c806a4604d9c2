"""A test may wait for a busy machine, but may not compute for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world.test_guard import run_pytest

COMPUTES = """
@pytest.mark.timeout({limit})
def test_computes():
    ends = time.process_time() + {cpu}
    while time.process_time() < ends:
        pass
"""


@pytest.mark.slow
def test_the_limit_counts_cpu_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    early = "import time\nfrom tests.world import patience\npatience.SHORT_S = 0.5\n"
    code, output = run_pytest(tmp_path, early + COMPUTES.format(limit=1, cpu=0.5))
    assert code == 0, output
    code, output = run_pytest(tmp_path, early + COMPUTES.format(limit=1, cpu=3))
    assert code == 1
    assert "used more than 1 s of CPU time" in output
    assert "test_computes" in output
    waits = early + "@pytest.mark.timeout(1)\ndef test_waits():\n    time.sleep(3)\n"
    code, output = run_pytest(tmp_path, waits)
    assert code == 0, output


def test_short_limits_stay_what_they_are() -> None:
    from tests.world import patience

    assert patience.real_s(5.1) == 5.1
    assert patience.real_s(60) == 300
