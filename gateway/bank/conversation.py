"""Carries out the steps of a bank's conversation: sends requests and returns answers.

On a transport fault the conversation is closed, and the fault is raised to the caller.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TypeVar

from gateway.bank.bank_session import BankSession
from gateway.bank.connection import BankConnection
from gateway.bank.dialer import NotConnected
from gateway.bank.handshake_errors import Reason
from gateway.bank.signers import Signer
from protocols.bank import Ask, Continue, Conversation, MoneyStep, Sign, Submit

R = TypeVar("R")


class NoSuchKey(AssertionError):
    """A conversation asked for a signing key that the lane's settings do not name."""


async def proven(session: BankSession, port: str, *, same: bool = False) -> BankConnection:
    """The session's connection, if the bank has answered on it before. Raises NotConnected.

    A session can be lost after it was taken; a new connection must sign on first. `same` as in
    BankSession.
    """
    _only_ready(session, port)
    line = await session.line(port, same=same)
    _only_ready(session, port)
    return line


def _only_ready(session: BankSession, port: str) -> None:
    if not session.state.live:
        raise NotConnected(port, Reason.CLOSED, "the session was lost before it was used")


async def carry_out(
    step: Ask | Continue | Sign, session: BankSession, signers: Mapping[str, Signer], *, opening: bool = False
) -> bytes:
    """Run one repeatable step and return its answer. Raises NotConnected or NoAnswer. `opening`: it may be the
    session's first request."""
    if isinstance(step, Sign):
        signer = signers.get(step.key)
        if signer is None:
            raise NoSuchKey(f"no signing key named {step.key!r}; add keys.{step.key} to the lane's settings")
        session.trace.signed(step.key, step.octets)
        return await signer.sign(step.octets, step.document)
    same = isinstance(step, Continue)
    line = await (session.line(step.port, same=same) if opening else proven(session, step.port, same=same))
    return await line.exchange(step.data)


def _no_submit(step: MoneyStep) -> Ask | Continue | Sign:
    """The step, unless it is a Submit, which is a defect in bank code: a question may not submit, and a money
    conversation may submit only once."""
    assert not isinstance(step, Submit), "this conversation may not submit (any more)"
    return step


async def ask(
    session: BankSession, conversation: Conversation[R], signers: Mapping[str, Signer], *, opening: bool = False
) -> R:
    """Run a question to its end. Raises NotConnected, NoAnswer or ProtocolError; after that it may be asked again."""
    try:
        step = next(conversation)
        while True:
            step = conversation.send(await carry_out(_no_submit(step), session, signers, opening=opening))
    except StopIteration as end:
        result: R = end.value
        return result
    finally:
        conversation.close()


async def until_submit(
    session: BankSession, conversation: Generator[MoneyStep, bytes, R], signers: Mapping[str, Signer]
) -> Submit | R:
    """Run a money conversation up to its Submit, which is not carried out. Returns a result instead if the conversation
    ended without a Submit."""
    try:
        step: MoneyStep = next(conversation)
        while not isinstance(step, Submit):
            step = conversation.send(await carry_out(step, session, signers))
    except StopIteration as end:
        result: R = end.value
        return result
    return step


async def after_submit(
    session: BankSession, conversation: Generator[MoneyStep, bytes, R], signers: Mapping[str, Signer], answer: bytes
) -> R:
    """Run a money conversation from the answer of its Submit to its result. A second Submit is a defect of the bank's
    code."""
    try:
        step = conversation.send(answer)
        while True:
            step = conversation.send(await carry_out(_no_submit(step), session, signers))
    except StopIteration as end:
        result: R = end.value
        return result
    finally:
        conversation.close()
