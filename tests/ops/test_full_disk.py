"""The disk of the permit log is full while commands wait: the daemon ends and starts again and again, no command loses
a delivery by it, and with room everything is paid once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gateway.erp.topology import PARKED_QUEUE
from gateway.kernel.deliveries import MONEY_QUEUE
from tests.gateway.cli.test_twelve_faults import small_disk
from tests.ops.drill import Drill, drill, result, until
from tests.ops.test_nodes import journal_of
from tests.ops.units import UnitProcess
from tests.world.services import ROOT

pytestmark = [pytest.mark.broker, pytest.mark.postgresql, pytest.mark.slow, pytest.mark.timeout(600)]
LIVES, READING_S = 2, 8.0


@contextmanager
def full(state: Path) -> Iterator[None]:
    """Fill the disk to its last byte. What is left in the last page of each file is enough for some lines."""
    ballast = state / "ballast"
    block = 65_536
    with ballast.open("wb", buffering=0) as out:
        while block:
            with suppress(OSError):
                while out.write(bytes(block)) == block:
                    pass
            block //= 2
    try:
        yield
    finally:
        ballast.unlink()


def lived(one: Drill) -> bool:
    """Start the daemon as its unit does. True if it goes on for READING_S after it holds the virtual host, so that it
    would have read what waits; it is killed then. False if it ended before."""
    log = one.folder / "bankgw.log"
    after = log.stat().st_size
    daemon = UnitProcess(ROOT, "bankgw.service", one.site.settings, log)

    def ended() -> bool:
        return daemon.process.poll() is not None

    until(lambda: ended() or b'"mark.held"' in log.read_bytes()[after:], 120, "the daemon ends, or has the broker")
    with suppress(subprocess.TimeoutExpired):
        daemon.process.wait(READING_S)
    goes_on = not ended()
    daemon.kill()
    return goes_on


def tail(one: Drill) -> str:
    """The end of the daemon's log."""
    return (one.folder / "bankgw.log").read_text("utf-8")[-3_000:]


def deliveries(one: Drill) -> list[int]:
    """How often each waiting command was delivered and came back; they stay in the queue."""
    found = []
    with one.rabbit.erp() as channel:
        while (got := channel.basic_get(MONEY_QUEUE))[0] is not None:
            found.append(int((got[1].headers or {}).get("x-delivery-count", 0)))
    return found


def test_lives_on_a_full_disk_use_up_no_delivery(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with journal_of("postgresql", tmp_path) as journal, drill(tmp_path / "s", "full", "sample") as one:
        one.configure(journal=journal)
        one.site.state.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() or not small_disk(one.site.state):
            pytest.skip("this user may not mount a small disk")
        try:
            daemon = UnitProcess(ROOT, "bankgw.service", one.site.settings, one.folder / "bankgw.log")
            daemon.until_ready()
            daemon.stop()
            with full(one.site.state):
                one.traffic.start()
                one.traffic.more(60)
                one.traffic.stop()
                lives = [lived(one) for _life in range(LIVES)]
                assert deliveries(one) == [0] * len(one.traffic.sent), f"{lives}: {tail(one)}"
            daemon = UnitProcess(ROOT, "bankgw.service", one.site.settings, one.folder / "bankgw.log")
            daemon.until_ready()
            try:
                paid = one.judge()
                assert not one.rabbit.get_all(PARKED_QUEUE)
            finally:
                daemon.stop()
        finally:
            subprocess.run(["umount", "-l", str(one.site.state)], check=True)
    result(record_property, orders=paid, lives=LIVES, waited=sum(lives))
