"""What a group adds to the day's sums and to the known payees, written together at its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from gateway.journal.sql import schema
from gateway.journal.sql.databases import upsert

UsageKey = tuple[str, str, str, str, str]
"""sender, scope, key, currency, day"""


@dataclass(slots=True)
class UsageTotals:
    """See the module."""

    sums: dict[UsageKey, tuple[int, int]] = field(default_factory=dict)

    def add(self, key: UsageKey, minor: int, number: int) -> None:
        """Count `number` more orders that sum up to `minor`."""
        so_far = self.sums.get(key, (0, 0))
        self.sums[key] = so_far[0] + minor, so_far[1] + number

    def pending_minor(self, key: UsageKey) -> int:
        """What the database does not show yet of this sum."""
        return self.sums.get(key, (0, 0))[0]

    def write(self, conn: Connection) -> None:
        """Write what is pending."""
        if self.sums:
            upsert(conn, schema.usage, [
                {"sender": sender, "scope": scope, "key": key, "currency": currency, "day": day, "sum_minor": minor,
                 "count": number}
                for (sender, scope, key, currency, day), (minor, number) in self.sums.items()
            ], add=("sum_minor", "count"))  # fmt: skip
            self.sums.clear()

    @property
    def pending(self) -> bool:
        """Whether the database does not show everything yet."""
        return bool(self.sums)
