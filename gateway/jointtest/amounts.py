"""Caps on the amounts of a run: per order, per own account and per channel. An order that would go over is not sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from gateway.jointtest.plan import Caps

LEAST_MINOR = 100
"""The amount after which a run's own amounts begin, in minor units."""


class OverCap(Exception):  # noqa: N818 - an answer, not a fault
    """An order would go over a cap; the text says over which."""


def minor(text: str) -> int:
    """Minor units of an amount with two decimals."""
    whole, _, cents = text.partition(".")
    return int(whole) * 100 + int(cents)


def text(amount_minor: int) -> str:
    """An amount as the contract writes it."""
    return f"{amount_minor // 100}.{amount_minor % 100:02d}"


class AmountBudget:
    """The amounts that a run has spent. They are restored from the run's journal when a run goes on."""

    def __init__(self, caps: Caps) -> None:
        self._order = minor(caps.per_order)
        self._account = minor(caps.per_account)
        self._channels: Mapping[str, int] = {name: minor(most) for name, most in caps.channels.items()}
        self._last = LEAST_MINOR
        self.accounts: Counter[str] = Counter()
        self.channels: Counter[str] = Counter()

    def fresh(self) -> int:
        """A different amount for every order of a run, so that no order is taken for a repeat of another;
        1.01 and up.
        """
        self._last = self._last + 1 if self._last < self._order else LEAST_MINOR + 1
        return self._last

    def spend(self, account: str, channel: str, amount_minor: int) -> None:
        """Count an order before it is sent. If it raises OverCap, it counts nothing."""
        if amount_minor > self._order:
            raise OverCap(f"{text(amount_minor)} is over the cap of an order, {text(self._order)}")
        if self.accounts[account] + amount_minor > self._account:
            raise OverCap(f"{text(amount_minor)} more would be over the cap of an account, {text(self._account)}")
        most = self._channels.get(channel)
        if most is not None and self.channels[channel] + amount_minor > most:
            raise OverCap(f"{text(amount_minor)} more would be over the cap of {channel}, {text(most)}")
        self.count(account, channel, amount_minor)

    def count(self, account: str, channel: str, amount_minor: int) -> None:
        """Count the amounts of orders that were sent before."""
        self.accounts[account] += amount_minor
        self.channels[channel] += amount_minor
        self._last = max(self._last, amount_minor)
