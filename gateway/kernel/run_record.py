"""When the last daemon of this state folder started, and how it ended: a small file in `state_dir`.

`bankgw status` reads it when no daemon answers. The daemon touches the file every few seconds, so that the time of its
end is also known if nothing could record it (a kill, no memory, no power).
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from gateway.kernel import start_failures

FILE = "last-run.json"
RESERVED_BYTES = 4_096
"""The size of the file from the start on, so that the end of a run can be written on a disk that is full."""
ENDED_SILENTLY = (
    "journalctl -u bankgw -n 50 and journalctl -k -g oom say what ended it (a kill, no memory, no power); then "
    "systemctl start bankgw"
)
NO_ANSWER = "wait if it has just started; else journalctl -u bankgw -n 50 says what it waits for"
START_IT = "systemctl start bankgw"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of the daemon. `ended_at` is "" while it runs, and stays so if it was killed. `seen_at` is when it was
    last seen alive; only `last` sets it. `settings_at` is when the settings in force were read."""

    pid: int
    started_at: str
    ended_at: str = ""
    exit: int = 0
    cause: str = ""
    remedy: str = ""
    settings_at: str = ""
    seen_at: str = ""

    def why(self) -> str:
        """Why the run ended, for the log of the next one."""
        return self.cause or "ended at once and wrote no reason"


@dataclass(frozen=True, slots=True)
class NoDaemonReason:
    """Why no daemon answers: when it was noted, the exit code (None: none was recorded), the cause and the remedy."""

    at: str
    exit: int | None
    cause: str
    remedy: str


def begin(state_dir: Path) -> None:
    """Record that this process runs the daemon of this folder. An error of writing is ignored, as in all of this
    file: the log has the same text."""
    now = _now()
    _write(state_dir, RunRecord(os.getpid(), now, settings_at=now))


def settings_taken(state_dir: Path) -> None:
    """Record that the running daemon has taken the settings as they are on the disk now."""
    known = last(state_dir)
    if known is not None and known.pid == os.getpid():
        _write(state_dir, replace(known, settings_at=_now(), seen_at=""))


def end(state_dir: Path, code: int, cause: str, remedy: str) -> None:
    """Record how this process ends. The first reason stays, because later ones are only its consequences."""
    known = last(state_dir)
    if known is None or known.pid != os.getpid() or known.ended_at:
        return
    _write(state_dir, replace(known, ended_at=_now(), exit=code, cause=cause, remedy=remedy, seen_at=""))


def touch(state_dir: Path) -> None:
    """Note that the daemon is alive."""
    with suppress(OSError):
        os.utime(state_dir / FILE)


def last(state_dir: Path) -> RunRecord | None:
    """The last run of a daemon in this folder; None if there was none or its record cannot be read."""
    path = state_dir / FILE
    try:
        found = RunRecord(**json.loads(path.read_text("utf-8")))
        return replace(found, seen_at=_instant(path.stat().st_mtime))
    except (OSError, ValueError, TypeError):
        return None


def why_none_answers(state_dir: Path) -> NoDaemonReason | None:
    """Why no daemon of this folder answers: a failed start, or the end of the last run, whichever came last. None if
    neither is known."""
    failure, run = start_failures.last(state_dir), last(state_dir)
    if failure is not None and (run is None or failure.at >= (run.ended_at or run.seen_at)):
        return NoDaemonReason(failure.at, failure.exit, failure.cause, failure.remedy)
    if run is None:
        return None
    if run.ended_at:
        return NoDaemonReason(run.ended_at, run.exit, run.cause, run.remedy)
    if _lives(run.pid):
        cause = f"process {run.pid}, started at {run.started_at}, runs and does not answer"
        return NoDaemonReason(run.seen_at, None, cause, NO_ANSWER)
    cause = f"process {run.pid}, started at {run.started_at}, ended at once and wrote no reason"
    return NoDaemonReason(run.seen_at, None, cause, ENDED_SILENTLY)


def _lives(pid: int) -> bool:
    """True if this process runs and is a gateway, as far as this user may see."""
    try:
        os.kill(pid, 0)
        return any(word in Path(f"/proc/{pid}/cmdline").read_bytes() for word in (b"bankgw", b"gateway", b"daemon"))
    except (ProcessLookupError, FileNotFoundError):
        return False
    except OSError:
        return True


def _now() -> str:
    return _instant(datetime.now(UTC).timestamp())


def _instant(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _write(state_dir: Path, record: RunRecord) -> None:
    path = state_dir / FILE
    fresh = path.with_name(f"{FILE}.{os.getpid()}")
    octets = json.dumps(asdict(record), ensure_ascii=False).encode().ljust(RESERVED_BYTES)
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(handle, octets)
        finally:
            os.close(handle)
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        _write_over(path, octets)


def _write_over(path: Path, octets: bytes) -> None:
    """Write into the blocks that the file has already: a full disk has no others."""
    with suppress(OSError):
        handle = os.open(path, os.O_WRONLY)
        try:
            if os.fstat(handle).st_size >= len(octets):
                os.pwrite(handle, octets.ljust(os.fstat(handle).st_size), 0)
        finally:
            os.close(handle)
