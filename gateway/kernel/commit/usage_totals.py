"""The sums that a group adds to the daily usage counters, written together at the end of the group."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import upsert

UsageKey = tuple[str, str, str, str, str]
"""sender, scope, key, currency, day"""


@dataclass(slots=True)
class UsageTotals:
    """The sums that one group adds and has not written yet, by sender, scope, key, currency and day."""

    sums: dict[UsageKey, tuple[int, int]] = field(default_factory=dict)

    def add(self, key: UsageKey, minor: int, number: int) -> None:
        """Add `number` orders with a total of `minor` minor units to the sum of this key."""
        so_far = self.sums.get(key, (0, 0))
        self.sums[key] = so_far[0] + minor, so_far[1] + number

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
            self.sums.clear()

    @property
    def pending(self) -> bool:
        """True if some sums are not written yet."""
        return bool(self.sums)
