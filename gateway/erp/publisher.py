"""Publishes in flight: matches confirms to messages, and finds the message that made the broker close the channel."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gateway.erp.amqp_types import CONFIRMED, NACKED, OutgoingMessage, PublishResult, PublishStatus

log = Logger()
ACCESS_REFUSED, NOT_FOUND = 403, 404
_MISSING = re.compile(r"(?:access to (?:topic '(?P<key>.*?)' in )?exchange|no exchange) '(?P<exchange>[^']*)'")
_DEFAULT = "amq.default"
"""The broker's name for the exchange without a name in the text of a refusal."""


class Unsendable(Exception):
    """A message cannot be put on the wire at all (a property too long, a header of a type AMQP lacks)."""


class ChannelClosing(Exception):  # noqa: N818 - a state, not a mistake
    """The channel is closing and accepts nothing; the connection will end, or another channel will open."""


class _Entry:
    __slots__ = ("answer", "message", "returned", "tag")

    def __init__(self, message: OutgoingMessage) -> None:
        self.message = message
        self.answer: Deferred[PublishResult] = Deferred()
        self.returned: PublishResult | None = None
        self.tag = 0


class Publisher:
    """Pipelines publishes over successive confirm channels and gives each exactly one result.

    The broker returns an unroutable message before it confirms it, and names it by its message id only. So a publish is
    RETURNED if its id was returned before its tag was confirmed, however many publishes lie between.

    For a message that the broker rejects (foreign user id, too large) it closes the channel without naming the message.
    All publishes in flight are then sent again one at a time under their own ids, which is harmless, until the channel
    closes on a single message: that one is REFUSED.

    A missing right or exchange is no fault of a message. The broker's text names the exchange (and the key), so all
    publishes of that exchange and of those senders are BARRED at once, and the others are sent again together.
    """

    def __init__(self) -> None:
        self._send: Callable[[OutgoingMessage], None] | None = None
        self._waiting: deque[_Entry] = deque()
        self._suspects: deque[_Entry] = deque()
        self._by_tag: dict[int, _Entry] = {}
        self._by_id: dict[str, _Entry] = {}
        self._last_tag = 0
        self._lowest_tag = 1
        self._idle: list[Deferred[None]] = []
        self._linked = False
        self._alone: _Entry | None = None

    @property
    def in_flight(self) -> int:
        """The number of publishes without a result, sent or waiting for a channel."""
        return len(self._by_id)

    def publish(self, message: OutgoingMessage) -> Deferred[PublishResult]:
        """Publish now if a channel is open and no search for a rejected message is in progress, otherwise later.

        Without a connection the result is LOST at once; the caller keeps the message and publishes it again.
        """
        message_id = message.properties.message_id
        if not message_id:
            raise ValueError(
                f"message for {message.routing_key!r} has no message id, so no confirm could be assigned to it"
            )
        if message_id in self._by_id:
            raise ValueError(f"message id {message_id!r} was published already, and its confirm has not arrived")
        entry = _Entry(message)
        if not self._linked:
            entry.answer.callback(PublishResult(PublishStatus.LOST, 0, "not connected to the broker"))
            return entry.answer
        self._by_id[message_id] = entry
        if self._send is None or self._alone or self._suspects or self._waiting:
            self._waiting.append(entry)
            self._pump()
        else:
            self._put(entry)
        return entry.answer

    def opened(self, send: Callable[[OutgoingMessage], None]) -> None:
        """Use a confirm channel that was opened. `send` publishes on it or raises Unsendable or ChannelClosing; tags
        start at 1."""
        self._linked = True
        self._send = send
        self._last_tag = 0
        self._lowest_tag = 1
        self._pump()

    def confirmed(self, tag: int, multiple: bool) -> None:
        """Record that the broker acked `tag` (with `multiple`: and all before it)."""
        self._settle(tag, multiple, CONFIRMED)

    def nacked(self, tag: int, multiple: bool) -> None:
        """Record that the broker nacked `tag` (with `multiple`: and all before it)."""
        self._settle(tag, multiple, NACKED)

    def returned(self, message_id: str | None, code: int, text: str) -> None:
        """Record that the broker returned this message as unroutable; its confirm is still to come."""
        entry = self._by_id.get(message_id or "")
        if entry is None:
            log.warn(
                "the broker returned message {id!r}, which is not in flight ({code} {text})",
                id=message_id,
                code=code,
                text=text,
            )
            return
        entry.returned = PublishResult(PublishStatus.RETURNED, code, text)

    def channel_closed(self, code: int, text: str) -> None:
        """Record that the broker closed the channel; the connection lives and `opened` will follow."""
        self._send = None
        sent = self._take_sent()
        if code in (ACCESS_REFUSED, NOT_FOUND):
            self._bar(sent, code, text)
        elif len(sent) == 1:
            self._finish(sent[0], PublishResult(PublishStatus.REFUSED, code, text))
        else:
            self._suspects.extendleft(reversed(sent))

    def _bar(self, sent: list[_Entry], code: int, text: str) -> None:
        named = _MISSING.search(text)
        exchange, key = (named["exchange"], named["key"]) if named else (None, None)
        guilty = [one for one in sent if one.message.exchange == ("" if exchange == _DEFAULT else exchange)]
        guilty = [one for one in guilty if key is None or one.message.routing_key == key]
        if not guilty and len(sent) > 1:
            self._suspects.extendleft(reversed(sent))
            return
        wide = bool(guilty) and key is None
        scopes = {(one.message.exchange, None if wide else one.message.sender) for one in guilty or sent}
        barred = []
        for waiting in (sent, self._suspects, self._waiting):
            barred += [one for one in waiting if _scope(one.message, wide) in scopes]
        self._suspects = deque(one for one in self._suspects if _scope(one.message, wide) not in scopes)
        others = [one for one in (*sent, *self._waiting) if _scope(one.message, wide) not in scopes]
        self._waiting = deque(others)
        for one in barred:
            self._finish(one, PublishResult(PublishStatus.BARRED, code, text, wide))

    def awaits_channel(self) -> None:
        """Keep what is published until a channel opens on the new connection."""
        self._linked = True

    def lost(self, reason: str) -> None:
        """Give every open publish the result LOST, because the connection is lost."""
        self._linked = False
        self._send = None
        everyone = [*self._take_sent(), *self._suspects, *self._waiting]
        self._suspects.clear()
        self._waiting.clear()
        verdict = PublishResult(PublishStatus.LOST, 0, reason)
        for entry in everyone:
            self._finish(entry, verdict)

    def when_idle(self) -> Deferred[None]:
        """Fires when nothing is in flight."""
        waiter: Deferred[None] = Deferred()
        if self._by_id:
            self._idle.append(waiter)
        else:
            waiter.callback(None)
        return waiter

    def _pump(self) -> None:
        while self._send is not None and self._alone is None:
            if self._suspects:
                if self._by_tag:
                    return
                entry = self._suspects.popleft()
                self._alone = entry
                self._put(entry)
            elif self._waiting:
                self._put(self._waiting.popleft())
            else:
                return

    def _put(self, entry: _Entry) -> None:
        assert self._send is not None
        try:
            self._send(entry.message)
        except Unsendable as error:
            self._finish(entry, PublishResult(PublishStatus.REFUSED, 0, str(error)))
            return
        except ChannelClosing:
            # The message did not close the channel; `lost` or `opened` will decide about it.
            self._send = None
            if self._alone is entry:
                self._alone = None
                self._suspects.appendleft(entry)
            else:
                self._waiting.appendleft(entry)
            return
        entry.returned = None
        self._last_tag = entry.tag = self._last_tag + 1
        self._by_tag[entry.tag] = entry

    def _settle(self, tag: int, multiple: bool, verdict: PublishResult) -> None:
        if not multiple:
            entry = self._by_tag.pop(tag, None)
            settled = [] if entry is None else [entry]
        else:
            # Iterate over numbers: removing the first key of a dict repeatedly is quadratic.
            tags = range(self._lowest_tag, min(tag or self._last_tag, self._last_tag) + 1)
            settled = [entry for n in tags if (entry := self._by_tag.pop(n, None)) is not None]
            self._lowest_tag = max(self._lowest_tag, tags.stop)
        for entry in settled:
            self._finish(entry, entry.returned or verdict)
        if self._suspects or self._waiting:
            self._pump()

    def _take_sent(self) -> list[_Entry]:
        sent = list(self._by_tag.values())
        self._by_tag.clear()
        self._alone = None
        return sent

    def _finish(self, entry: _Entry, verdict: PublishResult) -> None:
        del self._by_id[entry.message.properties.message_id or ""]
        if entry is self._alone:
            self._alone = None
        entry.answer.callback(verdict)
        if not self._by_id and self._idle:
            waiters, self._idle = self._idle, []
            for waiter in waiters:
                waiter.callback(None)


def _scope(message: OutgoingMessage, exchange_wide: bool) -> tuple[str, str | None]:
    return message.exchange, None if exchange_wide else message.sender
