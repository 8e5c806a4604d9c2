"""The git history of this repository, for pages that state something about it."""

from __future__ import annotations

import subprocess

import pytest

from tests.house import ROOT


def _git(*words: str) -> str | None:
    """The output of this git command; None if it fails or there is no git."""
    try:
        return subprocess.run(("git", *words), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def file_at(commit: str, path: str) -> str:
    """The text of this file in this commit. Skips the test in an archive of the sources and in a shallow clone, which
    have no commits to compare a page with. In a whole clone a missing commit is an error of the page."""
    if _git("cat-file", "-e", f"{commit}^{{commit}}") is None:
        if _git("rev-parse", "--is-shallow-repository") == "false\n":
            pytest.fail(f"{path} is compared with commit {commit}, which this clone does not have")
        pytest.skip("this checkout has no history")
    text = _git("show", f"{commit}:{path}")
    assert text is not None, f"{commit} has no {path}"
    return text
