"""The start time of a permit log with many sends: `python -m tests.gateway.kernel.permit_log_size [sends] [sends a
day]`.

Writes a log of that many sends, in groups of ten and a group without sends after each, with a journal that has the last
head. Then starts in a process of its own, as the daemon does: open, compare both ways, go on. The last line is the
figure; more than 3 s or 30 MiB of resident memory is a failure (exit 1), and so is more than 200 µs to ask whether a
new reference was permitted before. An older copy
of the database is put in its place for a second figure, which has no limit: it is written down once.
Ten million sends take about 900 MB and some minutes in the folder that TMPDIR names.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import insert, update

from gateway.kernel.cluster import restored_database
from gateway.kernel.commit import audit
from gateway.kernel.commit.permit_lines import Group
from gateway.kernel.commit.permit_log import PermitLog
from gateway.kernel.commit.rows import Permit
from gateway.kernel.sql import databases, migrations, schema, vaults
from tests.gateway.kernel.bench import LANE, NOW_MS, vault

LIMIT_S, LIMIT_MIB, LIMIT_US = 3.0, 30.0, 200.0
ASKED = 20_000
PER_GROUP = 10
LOST, KNOWN = 20_000, 30_000
_DAY_MS = 86_400_000


def fill(folder: Path, sends: int, per_day: int) -> int:
    """Fill a log with this many sends; returns the number of its last entry."""
    log = PermitLog(folder / "permits", vault(), "n1", sync=lambda handle: None, days=3650)
    groups = sends // PER_GROUP
    for n in range(1, groups + 1):
        at_ms = NOW_MS + n * PER_GROUP * _DAY_MS // per_day
        log.note(Group(2 * n - 1, hashed(2 * n - 1), at_ms, 0))
        log.append_permits([Permit(f"{LANE}/{n * PER_GROUP + one:020d}", 1, 7) for one in range(PER_GROUP)])
        log.note(Group(2 * n, hashed(2 * n), at_ms, 1))
    log.close()
    return 2 * groups


def hashed(seq: int) -> str:
    """The hash of this entry in the log and the journal."""
    return f"{seq:064x}"


def lay(folder: Path, seqs: list[int]) -> None:
    """Make a journal that has these entries of the chain."""
    url = f"sqlite:///{folder / 'journal.db'}"
    migrations.upgrade(url)
    engine = databases.connect(url, connections=1, writing=True)
    with engine.connect() as conn, conn.begin():
        conn.execute(
            insert(schema.audit),
            [
                {
                    "node": "n1",
                    "seq": seq,
                    "at_ms": NOW_MS,
                    "actor": "x",
                    "entry": "x",
                    "object_id": "x",
                    "detail": b"",
                    "prev_hash": hashed(seq - 1),
                    "hash": hashed(seq),
                }
                for seq in seqs
            ],
        )
        conn.execute(
            insert(schema.units),
            {
                "node": "n1",
                "unit": "",
                "at_ms": 0,
                "audit_seq": seqs[-1],
                "audit_hash": hashed(seqs[-1]),
                "before_seq": seqs[-1],
            },
        )
    engine.dispose()


def older(folder: Path, seq: int) -> None:
    """Set the journal back to its state at this entry."""
    engine = databases.connect(f"sqlite:///{folder / 'journal.db'}", connections=1, writing=True)
    with engine.connect() as conn, conn.begin():
        conn.execute(schema.audit.delete().where(schema.audit.c.seq > seq))
        conn.execute(update(schema.units).values(audit_seq=seq, audit_hash=hashed(seq), before_seq=seq))
    engine.dispose()


def start(folder: Path) -> None:
    """One start; prints seconds, MiB of memory that it took, and how many sends were missing."""
    engine = databases.connect(f"sqlite:///{folder / 'journal.db'}", connections=1, writing=False)
    vaults.attach(engine, vault())
    with engine.connect() as conn:
        audit.head_of(conn, "n1")
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
        before = peak_kib()
        began_s = time.perf_counter()
        log = PermitLog(folder / "permits", vault(), "n1", days=3650)
        found = restored_database.compare(conn, log.known, NOW_MS)
        restored_database.keep(log, found)
        took_s = time.perf_counter() - began_s
    grown = (peak_kib() - before) / 1024
    print(f"{took_s:.3f} {grown:.1f} {found.past.forgotten} {asked_us(log):.1f}")
    log.close()


def asked_us(log: PermitLog) -> float:
    """The microseconds to ask about a reference that was never sent, as at each first send."""
    assert log.permitted(f"{LANE}/{PER_GROUP:020d}", 1), "the first send of the log is known"
    refs = [f"{LANE}/NEW{n:017d}" for n in range(ASKED)]
    began_s = time.perf_counter()
    assert not any(log.permitted(ref, 1) for ref in refs)
    return (time.perf_counter() - began_s) / ASKED * 1e6


def peak_kib() -> int:
    """The most resident memory so far."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])


def started(folder: Path) -> tuple[float, float, int, float]:
    """One start in a process of its own."""
    words = [sys.executable, "-m", "tests.gateway.kernel.permit_log_size", "start", str(folder)]
    said = subprocess.run(words, check=True, capture_output=True, text=True, env=os.environ).stdout.split()
    return float(said[0]), float(said[1]), int(said[2]), float(said[3])


def main(sends: int = 1_000_000, per_day: int = 500_000) -> int:
    """Fill, start, print; the exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began_s = time.perf_counter()
        last = fill(folder, sends, per_day)
        filled_s = time.perf_counter() - began_s
        lost = min(sends // 2, LOST)
        before = last - lost // PER_GROUP * 2
        # The entries that an older journal has, as far back as the segment before them reaches.
        lay(folder, [*range(max(before - KNOWN, 1), before + 1), last])
        took_s, grown, missing, us = started(folder)
        assert missing == 0, f"{missing} sends are missing in a journal that has the last entry"
        size_mb = sum(file.stat().st_size for file in (folder / "permits").iterdir()) >> 20
        files = len(list((folder / "permits").iterdir()))
        older(folder, before)
        old_s, old_grown, missing, _us = started(folder)
        assert missing == lost, f"{missing} sends are missing, {lost} were forgotten"
    print(f"a journal that lacks {lost:,} sends: {old_s:.1f} s, {old_grown:.1f} MiB, {missing:,} forgotten sends found")
    print(
        f"permit log: {sends:,} sends, {size_mb} MB in {files} segments, filled in {filled_s:.0f} s; starts in "
        f"{took_s:.2f} s and {grown:.1f} MiB (limits {LIMIT_S:g} s, {LIMIT_MIB:g} MiB), answers in {us:.0f} µs "
        f"(limit {LIMIT_US:g})"
    )
    return 0 if took_s <= LIMIT_S and grown <= LIMIT_MIB and us <= LIMIT_US else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["start"]:
        start(Path(sys.argv[2]))
    else:
        sys.exit(main(*map(int, sys.argv[1:])))
