"""Intake of ISO 20022 files: the unit that submits every order and batch of a file, all in one transaction.

Each part is judged, answered and recorded as if it had come alone: a file sent again is answered with its present
state, and a part that is refused does not affect the others.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.erp import batches, orders
from gateway.erp.command import CommandResult, CommandUnit, ReceivedCommand
from gateway.journal.commit.store import Tx
from protocols.erp.words import SubmitBatch, SubmitFile, SubmitOrder


def submit(received: ReceivedCommand, file: SubmitFile) -> CommandUnit:
    """The unit of a whole file."""
    units = [_unit(_alone(received, number), part) for number, part in enumerate(file.parts, start=1)]

    def unit(tx: Tx) -> CommandResult:
        done = [each(tx) for each in units]
        admitted = tuple(row for one in done for row in one.admitted)
        # For the metrics, the result of the file is that of its first part.
        return CommandResult(done[0].result, admitted)

    return unit


def _unit(received: ReceivedCommand, part: SubmitOrder | SubmitBatch) -> CommandUnit:
    return batches.submit(received, part) if isinstance(part, SubmitBatch) else orders.submit(received, part.order)


def _alone(received: ReceivedCommand, number: int) -> ReceivedCommand:
    """The command of one part, with a message id of its own, so that its replies differ from those of other parts."""
    said = received.delivery.properties
    apart = replace(said, message_id=f"{said.message_id or ''}#{number}")
    return replace(received, delivery=replace(received.delivery, properties=apart))
