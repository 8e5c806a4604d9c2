"""The container image: podman builds it from the package, on a bare Debian, and the program in it starts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.independent.site import not_to_be_had
from tests.test_deb import _build
from tests.world.services import ROOT

# A builder that may not raise limits must not try.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(880)]


def run(*words: str, limit_s: float = 400, wanted: bool = True) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=limit_s, check=False, stdin=subprocess.DEVNULL)
    assert not wanted or done.returncode == 0, f"{words}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
    return done.stdout if done.returncode == 0 else ""


def _mirror() -> str:
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    found = re.search(r"^URIs: *(\S+)", sources.read_text("utf-8"), re.MULTILINE) if sources.exists() else None
    if found is None:
        not_to_be_had("it is not known where this machine's packages come from")
    return found[1]


def test_podman_builds_the_image(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("podman") is None or shutil.which("debootstrap") is None:
        not_to_be_had("needs root, podman and debootstrap: run `make tools`")
    release = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text("utf-8"), re.MULTILINE)
    if release is None:
        not_to_be_had("needs Debian")
    root = tmp_path / "root"
    if not run(
        "debootstrap", "--variant=minbase", "--include=python3,systemd", release[1], str(root), _mirror(), wanted=False
    ):
        not_to_be_had("debootstrap gets no packages")
    podman = (
        "podman",
        "--root",
        str(tmp_path / "store"),
        "--runroot",
        str(tmp_path / "run"),
        "--storage-driver",
        "vfs",
    )
    run("tar", "-C", str(root), "-cf", str(tmp_path / "root.tar"), ".")
    run(*podman, "import", "-q", str(tmp_path / "root.tar"), "localhost/bare:1")
    context = tmp_path / "dist"
    context.mkdir()
    _build(context, "0.2.0")
    said = run(
        *podman,
        "build",
        "--isolation=chroot",
        *LIMITS,
        "--build-arg",
        "BASE=localhost/bare:1",
        "-f",
        str(ROOT / "setup" / "deb" / "Containerfile"),
        "-t",
        "bankgw",
        str(context),
    )
    assert re.search(r"^bankgw \S+$", said, re.MULTILINE), said[-2000:]
    config = run(
        *podman, "image", "inspect", "--format", "{{.Config.User}} {{.Config.Entrypoint}} {{.Config.Cmd}}", "bankgw"
    )
    assert config.strip() == "bankgw [bankgw] [run]"
    (left,) = (run(*podman, "image", "mount", "bankgw"),)
    assert Path(left.strip(), "usr/bin/bankgw").is_symlink() and not list(Path(left.strip(), "opt").iterdir())
    run(*podman, "image", "unmount", "bankgw")
    run(*podman, "rmi", "-af", wanted=False)
