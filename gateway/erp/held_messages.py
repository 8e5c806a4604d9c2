"""Messages that the broker bars for now, in groups of one exchange and sender, each in its order.

Only the first message of a group is tried again. When the broker has stored it, the others follow before all later
ones.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field

from gateway.kernel.commit.rows import OutboxRow

FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 5.0
HELD_MOST, HELD_MOST_BYTES = 10_000, 16_777_216
"""How many messages are held in memory. The journal keeps the later ones of a group alone."""


def sender_of(row: OutboxRow) -> str:
    """The name of the sender to whom the message is addressed; "" for the gateway's own messages."""
    return row.headers.get("sender", "")


@dataclass(slots=True, eq=False)
class HeldGroup:
    """The held messages of one exchange and sender (None: of every sender), by message id.

    `trying`: a try is planned or under way. `spilled`: later messages are in the journal only. `catching_up`: the first
    message was stored, and the journal is scanned for the spilled ones.
    """

    exchange: str
    sender: str | None
    rows: list[OutboxRow] = field(default_factory=list)
    pause_s: float = FIRST_PAUSE_S
    trying: bool = False
    spilled: bool = False
    catching_up: bool = False
    missed: bool = False
    tried: str = ""

    @property
    def first(self) -> OutboxRow | None:
        """The first message of the group, which is tried next; None if there is none."""
        return self.rows[0] if self.rows else None

    def next_pause_s(self) -> float:
        """The seconds until the next try; they double up to a limit."""
        now_s, self.pause_s = self.pause_s, min(2 * self.pause_s, LAST_PAUSE_S)
        return now_s

    def is_tried(self, row: OutboxRow) -> bool:
        """True if this message is being tried now."""
        return self.tried == row.message_id

    def end_try(self) -> None:
        """Record that the try has a result."""
        self.tried, self.trying = "", False


class HeldMessages:
    """The messages that the broker bars for now, in groups of one exchange and sender, each in its order."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str | None], HeldGroup] = {}
        self._bytes = 0
        self.count = 0

    def __bool__(self) -> bool:
        return bool(self._groups)

    def of(self, row: OutboxRow) -> HeldGroup | None:
        """The group that this message belongs to."""
        own = self._groups.get((row.exchange, sender_of(row)))
        return own or self._groups.get((row.exchange, None))

    def barred(self, row: OutboxRow, exchange_wide: bool) -> tuple[HeldGroup, bool]:
        """The group of a message that the broker barred, and whether it is new."""
        group = self.of(row)
        begins = group is None
        if group is None:
            group = HeldGroup(row.exchange, None if exchange_wide else sender_of(row))
            self._groups[group.exchange, group.sender] = group
        group.catching_up = False
        return group, begins

    def hold(self, group: HeldGroup, row: OutboxRow) -> bool:
        """Add a message to the group; False if it is left to the journal, because it comes after others that are."""
        last = group.rows[-1].message_id if group.rows else ""
        full = self.count >= HELD_MOST or self._bytes >= HELD_MOST_BYTES
        if group.rows and row.message_id > last and (group.spilled or full):
            group.spilled = True
            return False
        insort(group.rows, row, key=lambda one: one.message_id)
        self.count += 1
        self._bytes += len(row.body)
        return True

    def take_first(self, group: HeldGroup) -> None:
        """Record that the group's first message is being tried."""
        row = group.rows.pop(0)
        group.tried = row.message_id
        self.count -= 1
        self._bytes -= len(row.body)

    def release(self, group: HeldGroup) -> list[OutboxRow]:
        """Return the group's messages in order and remove the group. A group with messages left to the journal stays
        until `caught_up`."""
        rows, group.rows = group.rows, []
        self.count -= len(rows)
        self._bytes -= sum(len(row.body) for row in rows)
        if group.spilled:
            # A scan that runs already has passed some of them.
            group.catching_up = group.missed = True
        else:
            del self._groups[group.exchange, group.sender]
        return rows

    def left_to_journal(self, row: OutboxRow) -> bool:
        """True if a message that was just committed must wait for earlier ones that are left to the journal; a scan
        will find it."""
        group = self.of(row)
        if group is None or not group.spilled:
            return False
        group.missed = True
        return True

    def caught_up(self) -> bool:
        """Remove the groups that a scan of the journal has completed. True if another scan is needed."""
        behind = False
        for group in [one for one in self._groups.values() if one.catching_up]:
            if group.missed:
                group.missed, behind = False, True
            else:
                del self._groups[group.exchange, group.sender]
        return behind
