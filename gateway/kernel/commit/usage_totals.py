"""The sums that a group adds to the daily usage counters, written together at the end of the group.

The rows of these sums have no seal, because each payment changes several of them on any node. No sum of a day ever
becomes smaller. So the writer remembers the sums that it has read and written, and a smaller row was altered by SQL, or
is that of an older database.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import upsert

UsageKey = tuple[str, str, str, str, str]
"""sender, scope, key, currency, day"""
SUMS_KEPT = 50_000
"""How many sums a process remembers: some 20 MB."""


@dataclass(slots=True)
class LeastSums:
    """The sums of the day as this process has last committed or read them, those of the latest keys. A row of the
    database may be higher, because other nodes add to it; it may not be lower."""

    room: int = SUMS_KEPT
    _sums: OrderedDict[UsageKey, int] = field(default_factory=OrderedDict)

    def of(self, key: UsageKey) -> int:
        """The least that the row of this key can have; 0 if this process has not met it."""
        return self._sums.get(key, 0)

    def clear(self) -> None:
        """Forget all sums, because a unit moves rows from one sender to another."""
        self._sums.clear()

    def join(self, committed: Mapping[UsageKey, int]) -> None:
        """Remember the sums of a committed group."""
        for key, minor in committed.items():
            self._sums[key] = max(minor, self._sums.pop(key, 0))
        while len(self._sums) > self.room:
            self._sums.popitem(last=False)


@dataclass(slots=True)
class UsageTotals:
    """The sums that one group adds and has not written yet, by sender, scope, key, currency and day. `least` are those
    of before the group."""

    sums: dict[UsageKey, tuple[int, int]] = field(default_factory=dict)
    least: LeastSums = field(default_factory=LeastSums)
    _before: dict[UsageKey, int] = field(default_factory=dict)
    _written: dict[UsageKey, int] = field(default_factory=dict)
    _lacked: dict[UsageKey, int] = field(default_factory=dict)

    def add(self, key: UsageKey, minor: int, number: int) -> None:
        """Add `number` orders with a total of `minor` minor units to the sum of this key."""
        so_far = self.sums.get(key, (0, 0))
        self.sums[key] = so_far[0] + minor, so_far[1] + number

    def raised(self, key: UsageKey, stored_minor: int) -> bool:
        """Take what this transaction has read of a key's sum. If it is lower than it can be, the difference is added,
        and True is returned."""
        before_minor = stored_minor - self._written.get(key, 0)
        lacking = self.least.of(key) - before_minor - self._lacked.get(key, 0)
        self._before[key] = before_minor
        if lacking <= 0:
            return False
        self.add(key, lacking, 0)
        self._lacked[key] = self._lacked.get(key, 0) + lacking
        return True

    def committed(self) -> dict[UsageKey, int]:
        """The sums that this group leaves, if it is committed."""
        return {
            key: self._before.get(key, self.least.of(key)) + self._written.get(key, 0)
            for key in (*self._before, *self._written)
        }

    def pending_minor(self, key: UsageKey) -> int:
        """The part of this key's sum that is not written yet, in minor units."""
        return self.sums.get(key, (0, 0))[0]

    def write_pending(self, conn: Connection) -> None:
        """Write the pending sums."""
        if self.sums:
            upsert(
                conn,
                schema.usage,
                [
                    {
                        "sender": sender,
                        "scope": scope,
                        "key": key,
                        "currency": currency,
                        "day": day,
                        "sum_minor": minor,
                        "count": number,
                    }
                    for (sender, scope, key, currency, day), (minor, number) in self.sums.items()
                ],
                add=("sum_minor", "count"),
            )
            for key, (minor, _number) in self.sums.items():
                self._written[key] = self._written.get(key, 0) + minor
            self.sums.clear()

    @property
    def pending(self) -> bool:
        """True if some sums are not written yet."""
        return bool(self.sums)
