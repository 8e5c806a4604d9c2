"""Faults of daemon processes: killed, stopped, started together, left dead, and suspended past its lease (zombie)."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from faults.incidents import Incident
from faults.kinds import Kind
from faults.proxy import Proxy
from faults.running_system import RunningSystem
from faults.site import Node

LEASE_S = 17.0
"""A little longer than a lease: a daemon suspended for this long may not send by what it knew before."""
TAKE_OVER_S = 60.0
"""A lease and a few readings, and as much again for other outages meanwhile, in which no node can take over."""
LOOK_S = 2.0


async def _stands_still(system: RunningSystem) -> None:
    await _frozen(system, "daemon stands still", system.dice.uniform(1.0, 4.0))


async def _stands_still_long(system: RunningSystem) -> None:
    await _frozen(system, "daemon stands still longer than a lease", LEASE_S)


async def _frozen(system: RunningSystem, kind: str, seconds: float) -> None:
    async with system.one() as node:
        with system.told(kind, node.name) as incident:
            await _stop(system, node, seconds)
            before = _Bytes.of(node)
            node.child.signal(signal.SIGCONT)
            node.frozen = False
            # The results of work that the daemon knew before must be seen before it is killed again.
            await system.wait(1.0)
            incident.detail = f"{before.since()} bytes to the banks in the second after it"


async def _stop(system: RunningSystem, node: Node, seconds: float) -> None:
    node.frozen = True
    try:
        node.child.signal(signal.SIGSTOP)
        await system.wait(seconds)
    except BaseException:
        node.child.signal(signal.SIGCONT)
        node.frozen = False
        raise


@dataclass(frozen=True, slots=True)
class _Bytes:
    """Counts the bytes that a node sent to banks over the connections that were open at the begin."""

    pairs: tuple[Any, ...]
    before: int
    proxies: tuple[Proxy, ...]
    dialled: int

    @classmethod
    def of(cls, node: Node) -> _Bytes:
        proxies = tuple(node.banks.values())
        pairs = tuple(pair for proxy in proxies for pair in proxy.pairs)
        return cls(pairs, sum(pair.data_out for pair in pairs), proxies, sum(proxy.dialled for proxy in proxies))

    def since(self) -> int:
        """The bytes of records with data, not only an alert, over those connections."""
        said: int = sum(pair.data_out for pair in self.pairs)
        return said - self.before

    def dials(self) -> int:
        """The number of connections that were opened since the begin."""
        return sum(proxy.dialled for proxy in self.proxies) - self.dialled


async def zombie(system: RunningSystem) -> None:
    """Suspend a daemon until another one has its lanes. After it resumes, it must not send one byte of data to a
    bank."""
    async with system.hands_on(*system.nodes):
        if not all([await system.rises(one, 30.0) for one in system.nodes]):
            return
        owners = await system.thread(lambda: lanes(system))
        owning = [node for node in system.nodes if node.name in {owner for owner, _epoch in owners.values()}]
        if not owning:
            return
        node = system.dice.choice(owning)
        owned = {lane for lane, (owner, _epoch) in owners.items() if owner == node.name}
        with system.told("zombie", node.name) as incident:
            node.frozen = True
            node.child.signal(signal.SIGSTOP)
            try:
                if not await _taken_over(system, node, owned):
                    incident.wrong = f"its lanes were not taken over within {TAKE_OVER_S:g} s"
                    return
                await system.between(0.0, 2.0)
                await _wakes(system, node, incident)
            finally:
                node.child.signal(signal.SIGCONT)
                node.frozen = False


async def _wakes(system: RunningSystem, node: Node, incident: Incident) -> None:
    silent, woken_ms = _Bytes.of(node), system.clock.now_ms()
    epochs = {lane: epoch for lane, (_owner, epoch) in (await system.thread(lambda: lanes(system))).items()}
    node.child.signal(signal.SIGCONT)
    await system.wait(LOOK_S)
    said = silent.since()
    incident.detail = f"{said} bytes after take-over of {len(epochs)} lanes, {silent.dials()} dials"
    if said:
        incident.wrong = f"a zombie said {said} bytes to a bank"
    system.grounds.zombies.append((node.name, woken_ms, epochs))


async def _taken_over(system: RunningSystem, node: Node, owned: set[str]) -> bool:
    until_s = system.clock.monotonic_s() + TAKE_OVER_S
    while system.clock.monotonic_s() < until_s:
        await system.wait(0.5)
        now = await system.thread(lambda: lanes(system))
        if all(now[lane][0] != node.name for lane in owned):
            return True
    return False


def lanes(system: RunningSystem) -> dict[str, tuple[str, int]]:
    """The owner and epoch of every lane, as committed. Blocks."""
    rows = system.grounds.journal.ask(lambda conn: conn.execute(text("SELECT lane, owner, epoch FROM lanes")).all())
    return {str(lane): (str(owner), int(epoch)) for lane, owner, epoch in rows}


async def _told_to_leave(system: RunningSystem) -> None:
    async with system.one() as node:
        with system.told("daemon told to leave", node.name) as incident:
            node.child.signal(signal.SIGTERM)
            await system.until(lambda: node.child.ended() is not None, 40.0, 0.05)
            ended = node.child.ended()
            incident.detail = f"exit code {ended.code}" if ended else "killed: it did not leave"
            if ended is None:
                node.child.kill()
                incident.lives = 1
            node.start()


def crash_loop(times: int) -> Kind:
    """Kill a daemon again and again, mostly during its start. No message in the queues may be lost by that."""

    async def play(system: RunningSystem) -> None:
        node = system.dice.choice(system.nodes)
        async with system.hands_on(node):
            with system.told("crash loop", node.name, f"{times} times") as incident:
                for _ in range(times):
                    await system.between(0.1, 1.6)
                    if node.child.ended() is None:
                        node.child.kill()
                        incident.lives += 1
                    node.start()

    return Kind("crash loop", "F-15", play, long=times > 10)


async def _left_dead(system: RunningSystem) -> None:
    """Kill a daemon and do not restart it. The other node must take over, and may only ask about payments that this one
    was sending."""
    node = await system.leader()
    if node is None:
        return
    async with system.hands_on(node):
        with system.told("leader killed and left dead", node.name, lives=1) as incident:
            owned = {
                lane
                for lane, (owner, _epoch) in (await system.thread(lambda: lanes(system))).items()
                if owner == node.name
            }
            node.child.kill()
            died_s = system.clock.monotonic_s()
            over = await _taken_over(system, node, owned)
            took_s = system.clock.monotonic_s() - died_s
            incident.detail = f"{len(owned)} lanes taken over after {took_s:.1f} s" if over else "not taken over"
            await system.between(0.0, 8.0)
            node.start()


async def _other_version(system: RunningSystem) -> None:
    """Replace a daemon by another version, which runs beside this version for a while, and replace it back."""
    node, other = system.dice.choice(system.nodes), system.grounds.other
    with system.told("another version beside, and back", node.name, "" if other is None else other.name) as incident:
        try:
            mark = node.mark()
            await _replaced(system, node, other)
            await system.between(8.0, 16.0)
            sent = node.said(mark).count(b'"payment.sending"')
            incident.detail += f", {sent} sends"
        finally:
            node.be(None)
        await _replaced(system, node, None)


async def _replaced(system: RunningSystem, node: Node, tree: Path | None) -> None:
    async with system.hands_on(node):
        node.be(tree)
        node.child.signal(signal.SIGTERM)
        await system.until(lambda: node.child.ended() is not None, 40.0, 0.05)
        if node.child.ended() is None:
            node.child.kill()
        node.start()
        await system.until(lambda: node.up or node.child.ended() is not None, 30.0)


async def _together(system: RunningSystem) -> None:
    async with system.hands_on(*system.nodes):
        with system.told("all killed, and started together", "all daemons", lives=len(system.nodes)):
            for node in system.nodes:
                node.child.kill()
            for node in system.nodes:
                node.start()
            await system.between(1.0, 3.0)


def _several(system: RunningSystem) -> bool:
    return len(system.nodes) > 1


KINDS = (
    Kind("daemon stands still", "F-23", _stands_still),
    Kind("daemon stands still longer than a lease", "F-23", _stands_still_long, long=True),
    Kind("zombie", "F-24", zombie, _several, long=True),
    Kind("daemon told to leave", "F-02", _told_to_leave),
    Kind("leader killed and left dead", "F-24", _left_dead, _several, long=True),
    Kind(
        "another version beside, and back",
        "F-38",
        _other_version,
        lambda system: system.grounds.other is not None,
        long=True,
    ),
    Kind("all killed, and started together", "F-26", _together),
)
