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
    """The text of this file in this commit. Skips the test where the commit is missing: an archive of the sources and a
    shallow clone have no commits to compare a page with, and commits get new names when a history is rewritten."""
    if _git("cat-file", "-e", f"{commit}^{{commit}}") is None:
        pytest.skip("this checkout has no history")
    text = _git("show", f"{commit}:{path}")
    assert text is not None, f"{commit} has no {path}"
    return text
