"""Faults of the machine and its operation: no descriptors, no memory, a stalled loop, a wrong clock, a disk that
fails, broken settings, another's key, too many scrapes, too many orders."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from faults import scraper
from faults.hooked_daemon import FILE
from faults.incidents import Incident
from faults.kinds import Kind
from faults.running_system import RunningSystem
from faults.site import Node
from gateway.simbank.pki import BankPki

HOUR_MS = 3_600_000
JUMPS_MS = (-HOUR_MS, -20 * HOUR_MS)
"""Only back, and forth again at the end, because a clock set ahead has lasting effects, such as an order's end."""
CLIENTS = 50
NO_PERMITS = b"the permit log cannot be written"
"""The log line of a daemon that ends for that reason. An end for any other reason is a defect."""
SPARE_BYTES = 4 << 20
_BROKEN = {
    "no TOML": lambda text: text + "\n[[broken\n",
    "an unknown bank": lambda text: text.replace('bank = "', 'bank = "no', 1),
    "a key that is not there": lambda text: text.replace("vault.key", "vault.gone"),
}


async def _no_descriptors(system: RunningSystem) -> None:
    """Let the daemon open no more files. Every connection that breaks now stays broken for a while."""
    async with system.one() as node:
        if not node.up:
            return
        limit, begun = _limit(node, resource.RLIMIT_NOFILE, _open_files), node.mark()
        with system.told("no descriptors left", node.name) as incident, limit:
            for proxy in node.banks.values():
                proxy.cut()
            await system.between(3.0, 6.0)
            incident.detail = "" if node.child.ended() is None else "it had ended"
            if incident.detail and NO_PERMITS in node.said(begun):
                # This is the right reaction when the next segment of the permit log cannot be opened: nothing of the
                # group is sent.
                node.excuse_since(begun)
                incident.detail = node.revive()


async def _no_memory(system: RunningSystem) -> None:
    """Give the daemon no more memory. Its errors are no defects as long as its actions are right; in the end it is
    killed."""
    async with system.one() as node:
        if not node.up:
            return
        with node.excuse(), system.told("no memory left", node.name) as incident:
            with _limit(node, resource.RLIMIT_AS, _address_space):
                system.erp.hurry(100)
                await system.until(lambda: node.child.ended() is not None, system.dice.uniform(3.0, 6.0))
                incident.detail = "ended by itself" if node.child.ended() else "killed"
                if node.child.ended() is None:
                    node.child.kill()
                    incident.lives = 1
            node.start()
            await system.until(lambda: node.up, 20.0)


def _open_files(node: Node) -> int:
    return len(os.listdir(f"/proc/{node.child.pid}/fd")) + 1


def _address_space(node: Node) -> int:
    pages = int(Path(f"/proc/{node.child.pid}/statm").read_text("ascii").split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE") + SPARE_BYTES


class _limit:  # noqa: N801 - reads as a verb
    """Set a daemon's soft resource limit to `much` for the block."""

    def __init__(self, node: Node, what: int, much: Any) -> None:
        self._pid, self._what = node.child.pid or 0, what
        self._much = much(node)
        self._before = resource.prlimit(self._pid, what)

    def __enter__(self) -> None:
        resource.prlimit(self._pid, self._what, (self._much, self._before[1]))

    def __exit__(self, *_raised: object) -> None:
        try:
            resource.prlimit(self._pid, self._what, self._before)
        except ProcessLookupError:
            pass  # the daemon has ended


def set_hooks(node: Node, **hooks: float | bool) -> None:
    """Set a daemon's hooks: see faults.hooked_daemon."""
    file = node.site.folder / FILE
    written = file.with_suffix(".new")
    written.write_text(json.dumps(hooks), "utf-8")
    written.replace(file)  # the daemon may read it before this change is complete
    if node.up:
        node.child.signal(signal.SIGUSR1)


async def _stall(system: RunningSystem) -> None:
    async with system.one() as node:
        seconds = system.dice.uniform(2.0, 11.0)
        with system.told("event loop stalls", node.name):
            set_hooks(node, stall_s=seconds)
            await system.wait(seconds + 0.5)
            (node.site.folder / FILE).unlink()


async def _clock_jumps(system: RunningSystem) -> None:
    async with system.one() as node:
        jump_ms = system.dice.choice(JUMPS_MS)
        with system.told("clock set back, and right again", node.name, f"{jump_ms // HOUR_MS} h"):
            set_hooks(node, clock_ms=jump_ms)
            try:
                await system.between(2.0, 6.0)
                if system.dice.random() < 0.3:
                    await system.kill(node, "while its clock is wrong")
                    await system.until(lambda: node.up, 20.0)
                    await system.wait(1.0)
            finally:
                set_hooks(node, clock_ms=0)


async def _sync_fails(system: RunningSystem) -> None:
    """Let fdatasync of the permit log fail. A send that is not recorded must not be made, and the process ends."""
    async with system.one() as node:
        with node.excuse(), system.told("disk fails at fdatasync", node.name) as incident:
            set_hooks(node, sync_fails=True)
            ended = await system.until(lambda: node.child.ended() is not None, 8.0)
            set_hooks(node)
            incident.detail = "" if ended else "not met"
            incident.detail += node.revive()


async def _broken_settings(system: RunningSystem) -> None:
    """Send SIGHUP with wrong settings. The old ones must stay in force, and the log must say why."""
    async with system.one() as node:
        if not node.up:
            return
        name = system.dice.choice(sorted(_BROKEN))
        right = node.site.settings.read_text("utf-8")
        with system.told("settings broken, and read again", node.name, name) as incident:
            mark = node.mark()
            node.site.settings.write_text(_BROKEN[name](right), "utf-8")
            try:
                node.child.signal(signal.SIGHUP)
                refused = await system.until(lambda: b'"settings.not_reloaded"' in node.said(mark), 10.0)
            finally:
                node.site.settings.write_text(right, "utf-8")
            _must(incident, refused and node.child.ended() is None, "settings that are wrong were not refused")


async def _others_key(system: RunningSystem) -> None:
    """Put a client key in place that does not fit its certificate. A reload must change nothing, and no daemon may
    start."""
    bank = system.dice.choice(system.grounds.banks)
    files = BankPki(system.grounds.site.folder / "pki", bank)
    async with system.hands_on(*system.nodes):
        node = system.dice.choice(system.nodes)
        # A daemon that is just starting would read the wrong key.
        if not await system.until(lambda: all(one.up for one in system.nodes), 40.0):
            return
        right = files.client_key.read_bytes()
        with system.told("key of another certificate", f"{bank} for {node.name}") as incident:
            files.client_key.write_bytes(files.gateway_sign_key.read_bytes())
            try:
                node.child.signal(signal.SIGHUP)
                await system.wait(1.0)
                _must(incident, node.child.ended() is None, "a key that does not fit ended a working daemon")
                node.child.kill()
                incident.lives = 1
                with node.excuse():
                    node.start()
                    refused = await system.until(lambda: node.child.ended() is not None, 20.0)
                _must(incident, refused, "a daemon started with a key that does not fit")
                if not refused:
                    node.child.kill()
            finally:
                files.client_key.write_bytes(right)
                node.start()


def _must(incident: Incident, holds: bool, wrong: str) -> None:
    if not holds:
        incident.wrong = wrong


async def _scraped(system: RunningSystem) -> None:
    async with system.one() as node:
        if not node.up:
            return
        port = (node.site.state / "watch.port").read_text("ascii").strip()
        inside = node.links.inside() if node.links else ()
        seconds = system.dice.uniform(2.0, 5.0)
        command = (*inside, sys.executable, "-m", scraper.__name__, port, str(CLIENTS), f"{seconds:.1f}")
        with system.told("scraped by too many", node.name) as incident:
            done = await system.thread(
                lambda: subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            )
            incident.detail = f"{done.stdout.strip() or 'not met'} by {CLIENTS} clients and one that never reads"


async def _flood(system: RunningSystem) -> None:
    """Publish a hundred times as many orders as in any other second."""
    count = int(system.per_second * 100)
    with system.told("flood of orders", "ERP", f"{count} at once"):
        system.erp.hurry(count)
        await system.wait(2.0)


def _hooked(system: RunningSystem) -> bool:
    return system.grounds.hooked


KINDS = (
    Kind("no descriptors left", "F-28", _no_descriptors),
    Kind("no memory left", "F-29", _no_memory, long=True),
    Kind("event loop stalls", "F-30", _stall, _hooked, long=True),
    Kind("clock set back, and right again", "F-22 F-23", _clock_jumps, _hooked),
    Kind("disk fails at fdatasync", "F-04", _sync_fails, _hooked, long=True),
    Kind("settings broken, and read again", "F-31", _broken_settings),
    Kind("key of another certificate", "F-32", _others_key, long=True),
    Kind("scraped by too many", "F-35", _scraped),
    Kind("flood of orders", "F-36", _flood, long=True),
)
