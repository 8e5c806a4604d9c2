"""A run that is over, or has not begun: `resume` and `close` say so plainly and change nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.jointtest.run_store import FILE, RunStore
from tests.gateway.jointtest.test_plan import written
from tests.gateway.jointtest.test_run_store import now
from tests.house import ROOT


def said(folder: Path, *words: str, language: str = "C.UTF-8") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "joint-test", words[0], str(folder), *words[1:]],
        cwd=ROOT,
        env={**os.environ, "LC_ALL": language},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", [("resume",), ("close", "--by", "甲")])
def test_a_closed_run_says_when_and_by_whom(tmp_path: Path, words: tuple[str, ...]) -> None:
    written(tmp_path)
    store = RunStore(tmp_path, now)
    store.open("abc123", "sample", ["probe"])
    store.begin_round({})
    store.close("王示例")
    before = (tmp_path / FILE).read_bytes()
    code, text = said(tmp_path, *words)
    at = now().astimezone().strftime("%Y-%m-%d %H:%M")
    assert code == 3 and text.startswith(f"the run was closed at {at} by 王示例; `bankgw joint-test run` begins"), text
    code, text = said(tmp_path, *words, language="zh_CN.UTF-8")
    assert code == 3 and text.startswith(f"本次联调已于 {at} 由 王示例 关闭；"), text
    assert (tmp_path / FILE).read_bytes() == before


def test_without_a_round_resume_says_what_to_do(tmp_path: Path) -> None:
    written(tmp_path)
    assert said(tmp_path, "resume") == (3, "no round has begun; `bankgw joint-test run` begins one\n")
