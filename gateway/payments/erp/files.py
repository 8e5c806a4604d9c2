"""Intake of ISO 20022 files: the unit that submits every order and batch of a file, all in one transaction.

Each part is judged, answered and recorded as if it had arrived alone. A file that is sent again is answered with its
present state, and a refused part does not affect the others.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.kernel.commit.store import Tx
from gateway.payments.erp import batches, orders
from gateway.payments.erp.command import CommandResult, CommandUnit, ReceivedCommand
from protocols.erp.words import SubmitBatch, SubmitFile, SubmitOrder


def submit(received: ReceivedCommand, file: SubmitFile) -> CommandUnit:
    """The unit that processes a whole file of orders."""
    units = [_unit(_alone(received, number), part) for number, part in enumerate(file.parts, start=1)]

    def admit_parts(tx: Tx) -> CommandResult:
        done = [each(tx) for each in units]
        admitted = tuple(row for one in done for row in one.admitted)
        # The metrics count a file by the result of its first part.
        return CommandResult(done[0].result, admitted)

    return admit_parts


def _unit(received: ReceivedCommand, part: SubmitOrder | SubmitBatch) -> CommandUnit:
    return batches.submit(received, part) if isinstance(part, SubmitBatch) else orders.submit(received, part.order)


def _alone(received: ReceivedCommand, number: int) -> ReceivedCommand:
    """The command of one part of a file. It has its own message id, so that its replies differ from those of other
    parts."""
    said = received.delivery.properties
    apart = replace(said, message_id=f"{said.message_id or ''}#{number}")
    return replace(received, delivery=replace(received.delivery, properties=apart))
