"""The house rules as tests. Each rule is a function over one source file or text; each has a bad one that it catches.

CONTRIBUTING.md gives the reasons in prose. A rule that is wrong is changed here, not worked round.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# ---------------------------------------------------------------------------------------- what is looked at


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path from the root, its text and tree, and the dotted name it is imported by."""

    path: str
    text: str
    tree: ast.Module
    module: str


def source(path: str, text: str) -> Source:
    """Parse one file; `path` is relative to the root."""
    return Source(path, text, ast.parse(text), path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))


@cache
def committed() -> tuple[str, ...]:
    """What is, or would be, committed; outside a git checkout everything that a build does not leave behind."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    except OSError:
        done = None
    if done is not None and done.returncode == 0:
        names = [name.decode() for name in done.stdout.split(b"\0") if name]
    else:
        names = [
            str((Path(folder) / file).relative_to(ROOT))
            for folder, subfolders, files in os.walk(ROOT)
            if not subfolders.__delitem__(slice(None)) or True
            for file in files
        ]
    return tuple(sorted(name for name in names if (ROOT / name).is_file()))
