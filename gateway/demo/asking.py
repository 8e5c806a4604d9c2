"""Sends one command of the demo's ERP apart from its story, and waits for the answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gateway.demo.erp import Erp, ReceivedNews
from gateway.demo.orders import DemoCommand, ExpectedAnswer
from gateway.kernel.clock import Clock
from gateway.kernel.tasks import sleep

_PER_SECOND = 20.0


@dataclass(slots=True)
class CommandSender:
    """Sends commands. Their message ids begin with `prefix`, which no other message id does."""

    clock: Clock
    erp: Erp
    prefix: str
    _asked: int = 0

    async def put(self, key: str, body: bytes, expect: Collection[str], patience_s: float) -> ReceivedNews | None:
        """Publish a command; returns its reply, or None after `patience_s` seconds."""
        self._asked += 1
        id_ = f"{self.prefix}-{self._asked}"
        await self.erp.publish((DemoCommand(id_, "", key, body, frozenset(expect)),), _PER_SECOND)
        until_s = self.clock.monotonic_s() + patience_s
        while self.clock.monotonic_s() < until_s:
            for one in reversed(self.erp.heard):
                if one.correlation == id_ and one.where is ExpectedAnswer.REPLY:
                    return one
            await sleep(self.clock, 0.1)
        return None
