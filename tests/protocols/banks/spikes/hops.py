"""The lane's own code for conversations (`gateway.bank.conversation`), with a bank that is a plain function."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from gateway.bank import conversation as bank_conversation
from gateway.bank.bank_session import BankSession
from gateway.bank.session_states import SessionState
from gateway.bank.signers import Signer
from protocols.bank import Conversation, MoneyConversation, Port, Submit
from protocols.canon.outcome import Outcome

R = TypeVar("R")
Reply = Callable[[str, bytes], bytes]


@dataclass
class Hops:
    """Every exchange of a conversation: the port, the request, the answer."""

    ports: Mapping[str, Port]
    reply: Reply
    said: list[tuple[str, bytes]] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    sign: Mapping[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    state: SessionState = SessionState.READY

    async def line(self, port: str, *, same: bool = False) -> _Line:
        return _Line(self, port)

    def ask(self, conversation: Conversation[R]) -> R:
        """A question, run by the lane's own code."""
        return _now(bank_conversation.ask(cast(BankSession, self), conversation, self.signers))

    def prepare(self, conversation: MoneyConversation) -> Submit:
        """An order, run up to the point at which it must be stored before anything is sent."""
        step = _now(bank_conversation.until_submit(cast(BankSession, self), conversation, self.signers))
        assert isinstance(step, Submit)
        return step

    def finish(self, conversation: MoneyConversation, answer: bytes) -> Outcome:
        """An order, run from the answer to its outcome."""
        return _now(bank_conversation.after_submit(cast(BankSession, self), conversation, self.signers, answer))

    def exchange(self, port: str, data: bytes) -> bytes:
        """One exchange on a fresh connection, cut as the port cuts."""
        self.said.append((port, data))
        cutter = self.ports[port].answers()
        answer = self.reply(port, data)
        frames = cutter.feed(answer) or cutter.end()
        assert len(frames) == 1
        return frames[0]

    @property
    def signers(self) -> Mapping[str, Signer]:
        """Keys by name. Each records that it signed."""
        return {name: cast(Signer, _Key(self, name, sign)) for name, sign in self.sign.items()}


@dataclass
class _Line:
    hops: Hops
    port: str

    async def exchange(self, data: bytes) -> bytes:
        return self.hops.exchange(self.port, data)


@dataclass
class _Key:
    hops: Hops
    name: str
    by: Callable[[bytes], bytes]
    key_id: str = "test"
    trouble: None = None

    async def sign(self, octets: bytes, document: bytes = b"") -> bytes:
        self.hops.signatures.append(self.name)
        return self.by(octets)


def _now(work: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine that never waits, and return its result."""
    try:
        work.send(None)
    except StopIteration as end:
        result: R = end.value
        return result
    raise AssertionError("it waits for something")
