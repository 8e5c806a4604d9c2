"""From a file of ISO 20022 to the unit that makes each order or batch in it one, all in one transaction.

Each part is judged, answered and remembered as if it had come alone: a file sent again is answered as it stands, and a
part that cannot be carried does not take the others with it.
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
        # For the counters: what became of the file is what became of its first part.
        return CommandResult(done[0].result, admitted)

    return unit


def _unit(received: ReceivedCommand, part: SubmitOrder | SubmitBatch) -> CommandUnit:
    return batches.submit(received, part) if isinstance(part, SubmitBatch) else orders.submit(received, part.order)


def _alone(received: ReceivedCommand, number: int) -> ReceivedCommand:
    """The arrival of one part: its answers must be told apart from those of its neighbours."""
    said = received.delivery.properties
    apart = replace(said, message_id=f"{said.message_id or ''}#{number}")
    return replace(received, delivery=replace(received.delivery, properties=apart))
