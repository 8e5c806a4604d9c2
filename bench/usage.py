"""A process's use of CPU and memory so far, as the kernel counts it. Linux only, like the daemon."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def cpu_us(pid: int, proc: Path = PROC) -> int:
    """Processor time of all threads of a process in microseconds, including the kernel's part. The kernel counts it in
    ticks."""
    # The second field is the program's name in brackets and may hold blanks and brackets itself.
    fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_US


def peak_rss_bytes(pid: int, proc: Path = PROC) -> int:
    """The most memory the process has had resident."""
    return _status_bytes(pid, "VmHWM:", proc)


def rss_bytes(pid: int, proc: Path = PROC) -> int:
    """The memory the process has resident now."""
    return _status_bytes(pid, "VmRSS:", proc)


def _status_bytes(pid: int, name: str, proc: Path) -> int:
    for line in (proc / str(pid) / "status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise LookupError(f"the kernel does not tell {name} of process {pid}")


def broker_pid(home: str | None, proc: Path = PROC) -> int | None:
    """The process id of RabbitMQ; None if none is visible, or more than one. `home` is that of a private node."""
    found = [pid for pid, line in _rabbits(proc) if home is None or f"-home {home} " in line]
    return found[0] if len(found) == 1 else None


def _rabbits(proc: Path) -> Iterator[tuple[int, str]]:
    for folder in proc.iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue  # it has ended meanwhile, or belongs to another user
            if "beam" in line.partition(" ")[0] and "rabbit" in line:
                yield int(folder.name), line


def all_cpu_us(pids: Mapping[str, int | None]) -> dict[str, int]:
    """The processor time of each process, by its id."""
    return {name: cpu_us(pid) for name, pid in pids.items() if pid is not None}
