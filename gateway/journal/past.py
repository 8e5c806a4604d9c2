"""A database that came back from the past, and the lanes that two persons let go all the same.

A node can only compare the database with its own permit log. So one that notices says so in the database, and every
other node waits with it.

What was forgotten has a name, the *episode*: a fingerprint of every forgotten send. A lane is let go for one episode;
when another database comes back, the episode is another, and every lane waits again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from gateway.journal import permits, schema
from gateway.journal.databases import insert_new
from gateway.journal.store import Permit, Tx

_C = schema.past_cleared.c
_M = schema.meta
_NOTICE = "past."


@dataclass(frozen=True, slots=True)
class Past:
    """`sends` are the forgotten ones, `episode` their name ("" if none), `cleared` the lanes let go for it."""

    sends: tuple[Permit, ...] = ()
    episode: str = ""
    cleared: frozenset[str] = frozenset()

    def of_lane(self, lane: str) -> list[Permit]:
        """The forgotten sends of one lane."""
        return [permit for permit in self.sends if permit.ref.rpartition("/")[0] == lane]

    def by_lane(self) -> Mapping[str, int]:
        """How many of each lane."""
        return Counter(permit.ref.rpartition("/")[0] for permit in self.sends)

    def holds(self, lane: str) -> bool:
        """Whether this lane may not send: any forgotten send makes every lane wait, as the orders behind it may have
        come from anywhere."""
        return bool(self.sends) and lane not in self.cleared


def look(conn: Connection, known: Iterable[Permit]) -> Past:
    """Compare the permit log with the database."""
    lost = tuple(permits.forgotten(conn, known))
    if not lost:
        return Past()
    words = sorted(f"{permit.ref} {permit.attempt}" for permit in lost)
    episode = hashlib.sha256("\n".join(words).encode()).hexdigest()
    cleared = conn.execute(select(_C.lane).where(_C.episode == episode)).scalars()
    return Past(lost, episode, frozenset(cleared))


def has_noticed(conn: Connection, node: str) -> bool:
    """Whether this node has said so before."""
    return conn.execute(select(_M.c.value).where(_M.c.name == _NOTICE + node)).scalar() is not None


def notice(tx: Tx, found: Past) -> None:
    """Say to the other nodes what this one has found, or that it has found nothing."""
    tx.conn.execute(delete(_M).where(_M.c.name == _NOTICE + tx.node))
    if found.sends:
        tx.conn.execute(insert(_M), {"name": _NOTICE + tx.node, "value": found.episode})


def elsewhere(conn: Connection, node: str) -> dict[str, frozenset[str]]:
    """Other nodes that have noticed, each with the lanes that were let go since for what it found."""
    rows = conn.execute(select(_M.c.name, _M.c.value).where(_M.c.name.startswith(_NOTICE, autoescape=True))).all()
    episodes = {name.removeprefix(_NOTICE): value for name, value in rows if name != _NOTICE + node}
    return {
        other: frozenset(conn.execute(select(_C.lane).where(_C.episode == episode)).scalars())
        for other, episode in sorted(episodes.items())
    }


def clear(tx: Tx, lane: str, episode: str, proposal: str) -> bool:
    """Let a lane go for this episode. False if it was already."""
    return insert_new(tx.conn, schema.past_cleared, {
        "lane": lane, "episode": episode, "proposal": proposal, "at_ms": tx.now_ms,
    })  # fmt: skip
