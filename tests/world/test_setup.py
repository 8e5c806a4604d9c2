"""If setup cannot do its work, its last line says what is missing, and what to do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.world.services import ROOT

TOOLS = (
    "awk",
    "bash",
    "cat",
    "chmod",
    "comm",
    "dirname",
    "env",
    "find",
    "grep",
    "mkdir",
    "mktemp",
    "rm",
    "sed",
    "sort",
    "tee",
    "tr",
)
NO_NAMES = "E: Failed to fetch http://packages.example/x.deb  Temporary failure resolving 'packages.example'"


def _bin(folder: Path, **commands: str) -> Path:
    """A folder with the usual tools, and these shell scripts in place of others."""
    made = folder / "bin"
    made.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None, name
        (made / name).symlink_to(found)
    for name, script in commands.items():
        (made / name.replace("_", "-")).write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        (made / name.replace("_", "-")).chmod(0o755)
    return made


def _bash(words: list[str], path: Path, folder: Path, **env: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [str(path / "bash"), *words],
        cwd=ROOT,
        env={"PATH": str(path), "BANKGW_RUN": str(folder / "run"), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stderr.strip().splitlines()


@pytest.mark.parametrize(
    ("sudo", "says"),
    [
        (None, "there is no sudo here; run as root: apt-get install rabbitmq-server"),
        ("exit 1", "sudo does not let somebody install them; run as root: apt-get install rabbitmq-server"),
    ],
)
def test_who_may_not_install_is_told_what_to_run(tmp_path: Path, sudo: str | None, says: str) -> None:
    commands = {"apt_get": "exit 1", "id": '[ "$1" = -u ] && echo 1000 || echo somebody'}
    if sudo is not None:
        commands["sudo"] = sudo
    code, said = _bash(["setup/apt.sh", "rabbitmq-server"], _bin(tmp_path, **commands), tmp_path)
    assert code == 1
    assert said == [f"setup: needs the package(s) rabbitmq-server, and {says}"]


PRETENDED = '[ "$1" = -n ] && shift\ncase $1 in env) shift 2; exec "$@" ;; esac'
"""A sudo that changes nothing outside of the test."""


def test_without_a_package_server_one_sentence_says_so(tmp_path: Path) -> None:
    path = _bin(tmp_path, id="echo 1000", dpkg_query="exit 1", sudo=PRETENDED, apt_get=f'echo "{NO_NAMES}"; exit 100')
    code, said = _bash(["setup/apt.sh", "rabbitmq-server"], path, tmp_path)
    assert code == 1
    assert said[-1].startswith(
        "setup: cannot install rabbitmq-server: no Debian package server answers; connect this machine"
    )
    assert not (tmp_path / "run" / "packages").exists()


def test_what_was_installed_is_named_with_the_command_that_removes_it(tmp_path: Path) -> None:
    path = _bin(
        tmp_path,
        id="echo 1000",
        sudo=PRETENDED,
        apt_get="exit 0",
        dpkg_query='case "$*" in *strace*) echo installed ;; *) exit 1 ;; esac',
    )
    for _ in range(2):
        code, said = _bash(["setup/apt.sh", "rabbitmq-server", "strace"], path, tmp_path)
        assert code == 0, said
    code, said = _bash(["setup/apt.sh", "--list"], path, tmp_path)
    assert code == 0
    assert said[0].split(": ")[-1].split() == ["rabbitmq-server"], "strace was there before"
    assert said[1].endswith("apt-get purge --auto-remove rabbitmq-server ".strip())


@pytest.mark.parametrize(
    ("pip", "says"),
    [
        (
            "WARNING: Retrying: NewConnectionError: Temporary failure in name resolution",
            "no package index answers; connect this",
        ),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE",
            "is not the one that requirements/dev.txt",
        ),
        (
            "ERROR: No matching distribution found for lxml==6.1.3",
            "has no ready-made file for this Python and machine: No matching",
        ),
        ("ERROR: something else", "pip cannot install requirements/dev.txt: something else (all of it: "),
    ],
)
def test_what_pip_could_not_do_is_said_in_one_sentence(tmp_path: Path, pip: str, says: str) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text(f"#!/bin/sh\necho '{pip}'\nexit 1\n", "utf-8")
    (venv / "bin" / "python").chmod(0o755)
    script = f"set -euo pipefail; . setup/pip.sh; pip_install {venv} requirements/dev.txt -r requirements/dev.txt"
    code, said = _bash(["-c", script], _bin(tmp_path), tmp_path)
    assert code == 1
    assert len(said) == 1 and says in said[0], said
    assert (tmp_path / "run" / "pip.log").read_text("utf-8") == pip + "\n"


def test_pip_is_not_silent_for_long(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text("#!/bin/sh\necho 'Collecting one==1 (from x)'\nsleep 7\n", "utf-8")
    (venv / "bin" / "python").chmod(0o755)
    path = os.pathsep.join((str(_bin(tmp_path)), os.environ["PATH"]))
    script = f"set -euo pipefail; . setup/pip.sh; pip_install {venv} requirements/tools.txt -r x"
    code, said = _bash(["-c", script], tmp_path / "bin", tmp_path, PATH=path)
    assert code == 0
    assert said[0].startswith("setup: Python package 1 of 1: fetching one==1, "), said


@pytest.mark.parametrize(
    ("pytest_does", "code", "says"),
    [
        ("mkdir $TMPDIR/pytest-of-root", 0, None),
        (
            "mkdir $TMPDIR/pytest-of-root; touch $TMPDIR/left-over $TMPDIR/another",
            1,
            "tests left these in the temporary folder; .*: another left-over",
        ),
        ("touch $TMPDIR/left-over; exit 3", 3, "what the tests left is in "),
    ],
)
def test_a_run_that_leaves_something_in_the_temporary_folder_fails_and_names_it(
    tmp_path: Path, pytest_does: str, code: int, says: str | None
) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{pytest_does}\n", "utf-8")
    python.chmod(0o755)
    (tmp_path / "setup").mkdir()
    script = shutil.copy(ROOT / "setup" / "tests.sh", tmp_path / "setup")
    (tmp_path / "temporary").mkdir()
    done = subprocess.run(
        ["bash", script],
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    assert (re.search(says, done.stderr) is not None) if says else len(done.stderr.splitlines()) == 1, done.stderr
    assert any((tmp_path / "temporary").iterdir()) is (code != 0)
