"""One row of `make bench FULL=1`, and the run's last line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. `gate` and `target` state a bound that was not reached; None if the bound was reached."""

    name: str
    told: str
    gate: str | None = None
    target: str | None = None

    @property
    def line(self) -> str:
        """The row as it is printed."""
        if self.gate:
            return f"{self.name}: {self.told}; NOT HELD: {self.gate}"
        return f"{self.name}: {self.told}" + (f"; target not reached: {self.target}" if self.target else "")


def verdict(rows: Sequence[Row]) -> str:
    """The run's last printed line."""
    broken = [row.name for row in rows if row.gate]
    short = [row.name for row in rows if row.target and not row.gate]
    said = f"bench full: {len(rows)} rows, {len(broken)} gates not held"
    said += f" ({', '.join(broken)})" if broken else ""
    return said + (f"; targets not reached: {', '.join(short)}" if short else "")
