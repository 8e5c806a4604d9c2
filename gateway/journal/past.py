"""A database that came back from the past, and the lanes that two persons let go all the same.

What was forgotten has a name, the *episode*: a fingerprint of every forgotten send. A lane is let go for one episode;
when another database comes back, the episode is another, and every lane waits again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from gateway.journal import permits, schema
from gateway.journal.databases import insert_new
from gateway.journal.store import Permit, Tx

_C = schema.past_cleared.c


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


def clear(tx: Tx, lane: str, episode: str, proposal: str) -> bool:
    """Let a lane go for this episode. False if it was already."""
    return insert_new(tx.conn, schema.past_cleared, {
        "lane": lane, "episode": episode, "proposal": proposal, "at_ms": tx.now_ms,
    })  # fmt: skip
