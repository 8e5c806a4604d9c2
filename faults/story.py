"""The orders of a campaign: which are held back for its end, and how a command is sent once more."""

from __future__ import annotations

from dataclasses import replace

from gateway.demo.orders import CANCEL, SUBMIT, DemoCommand, Story

HELD_BACK = 20
_AGAIN = "-again"


def lenient(command: DemoCommand) -> DemoCommand:
    """The command. For a withdrawal `unknown_payment` is an expected answer too, because it may reach another daemon
    before its order."""
    return replace(command, expect=command.expect | {"unknown_payment"}) if command.key == CANCEL else command


def once_more(command: DemoCommand, number: int) -> DemoCommand:
    """The command under a new message id, which does not grow with each repeat, because the broker accepts at most 255
    octets."""
    first, _, _ = command.message_id.partition(_AGAIN)
    return replace(command, message_id=f"{first}{_AGAIN}{number}")


def held_back(story: Story) -> tuple[DemoCommand, ...]:
    """Some plain orders that are published only at the end of the campaign."""
    plain = {order.id for order in story.orders if order.sort == "plain"}
    last = [command for command in story.commands if command.order_id in plain and command.key == SUBMIT]
    return tuple(last[-HELD_BACK:])


def without(story: Story, held: tuple[DemoCommand, ...]) -> Story:
    later, orders = set(held), {command.order_id for command in held}
    return replace(
        story,
        commands=tuple(command for command in story.commands if command not in later),
        orders=tuple(order for order in story.orders if order.id not in orders),
    )
