"""Helpers of these scripts: folders, root rights, packages, ports, secrets on disk."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUN = Path(os.environ.get("BANKGW_RUN") or ROOT / ".run")
"""The folder for everything that is made. `bankgw demo` without a checkout names a folder of its own."""
LOOPBACK = "127.0.0.1"

# Names on shared servers contain this, so that two checkouts never use the same name.
CHECKOUT = hashlib.sha256(str(RUN if "BANKGW_RUN" in os.environ else ROOT).encode()).hexdigest()[:8]
WORKERS_MOST = 4
"""The number of processes that may run tests side by side, each with a virtual host and databases of its own."""


class ServiceMissing(Exception):
    """This machine cannot provide the service; the text says why and what to do."""


def say(text: str) -> None:
    """Print a message for the person at the terminal."""
    sys.stderr.write(f"setup: {text}\n")
    sys.stderr.flush()


def only_private() -> bool:
    """True when servers that already run here must be left alone ($BANKGW_PRIVATE)."""
    return bool(os.environ.get("BANKGW_PRIVATE"))


def as_root(command: Sequence[str], ask: bool = True) -> list[str]:
    """The command that runs `command` as root. It asks for a password only if a person can type one."""
    if os.geteuid() == 0:
        return list(command)
    return ["sudo", *([] if ask and sys.stdin.isatty() else ["-n"]), *command]


def as_user(user: str, command: Sequence[str]) -> list[str]:
    """The command that runs `command` as `user`. For root, the process keeps the id that was started."""
    if os.geteuid() == 0:
        return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *command]
    return ["sudo", *([] if sys.stdin.isatty() else ["-n"]), "-u", user, *command]


def run(command: Sequence[str], stdin: str = "", timeout_s: float = 60, **more: str) -> tuple[bool, str]:
    """Run to the end with `more` added to the environment. Returns (exit code was 0, the output)."""
    try:
        done = subprocess.run(
            command,
            text=True,
            timeout=timeout_s,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **more},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return False, str(problem)
    return done.returncode == 0, done.stdout.strip()


def install(*packages: str) -> None:
    """Install Debian packages, or raise `ServiceMissing`."""
    if subprocess.run(["bash", str(ROOT / "setup" / "apt.sh"), *packages], check=False).returncode:
        raise ServiceMissing(f"could not install {' '.join(packages)} (the reason is above)")


def free_port() -> int:
    """A TCP port on the loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """True when something accepts connections on this loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=2).close()
    except OSError:
        return False
    return True


def wait_until(ready: Callable[[], bool], limit_s: float, every_s: float = 0.1) -> bool:
    """Ask until `ready()` or the limit; returns the last answer."""
    end_s = time.monotonic() + limit_s
    while not ready():
        if time.monotonic() > end_s:
            return False
        time.sleep(every_s)
    return True


def password() -> str:
    """A fresh random password without characters that a URL or SQL would have to quote."""
    return secrets.token_hex(16)


def run_folder(*names: str) -> Path:
    """A folder below .run that only we can read."""
    folder = RUN.joinpath(*names)
    RUN.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write_private(path: Path, content: str) -> None:
    """Replace `path` in one step by a file that only we can read."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    fresh.replace(path)


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Replace `path` by `content` as JSON that only we can read."""
    write_private(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, object]:
    """The object in `path`; an empty one when the file is missing or broken."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Lets one setup run at a time in this checkout. A second one waits, then finds everything done."""
    with (run_folder() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
