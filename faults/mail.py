"""What becomes of the broker and its queues. The broker is touched only where it is the campaign's own."""

from __future__ import annotations

from faults.field import Field
from faults.kinds import Kind
from faults.queues import deleter
from faults.servers import Rabbit


def _own(field: Field) -> bool:
    return field.rabbit is not None


def _rabbit(field: Field) -> Rabbit:
    assert field.rabbit is not None
    return field.rabbit


async def _killed(field: Field) -> None:
    """SIGKILL: whatever it had confirmed must be there when it is back."""
    rabbit = _rabbit(field)
    with field.told("broker killed", "RabbitMQ") as incident:
        await field.thread(rabbit.kill)
        await field.between(0.0, 2.0)
        rabbit.start()
        incident.detail = "" if await _back(field) else "not back"


async def _stopped(field: Field) -> None:
    with field.told("broker stopped and started", "RabbitMQ") as incident:
        await field.thread(lambda: _rabbit(field).control("stop_app"))
        await field.between(0.5, 4.0)
        await field.thread(lambda: _rabbit(field).control("start_app"))
        incident.detail = "" if await _back(field) else "not back"


async def _back(field: Field) -> bool:
    until_s = field.clock.monotonic_s() + 90.0
    while field.clock.monotonic_s() < until_s:
        if await field.thread(_rabbit(field).admits):
            return True
        await field.wait(0.3)
    return False


async def _blocked(field: Field) -> None:
    """It takes no publishes: results could not be told, so nothing new is sent."""
    with field.told("broker takes no publishes", "RabbitMQ"):
        await field.thread(lambda: _rabbit(field).control("set_vm_memory_high_watermark", "0.0001"))
        try:
            await field.between(2.0, 6.0)
        finally:
            await field.thread(lambda: _rabbit(field).control("set_vm_memory_high_watermark", "0.6"))


async def _closed(field: Field) -> None:
    vhost = str(field.grounds.broker["vhost"])
    with field.told("broker closes all connections", "RabbitMQ"):
        await field.thread(lambda: _rabbit(field).control("close_all_connections", "--vhost", vhost,
                                                          "--per-connection-delay", "0", "fault campaign"))  # fmt: skip


async def _reply_queue_deleted(field: Field) -> None:
    delete = deleter(field.grounds.broker, "erp-demo")
    with field.told("reply queue deleted", "ERP") as incident:
        gone = await field.thread(lambda: delete(field.erp.replies_queue))
        field.ears.reply_queue_deleted(field.erp.sent)
        incident.detail = "" if gone else "not met"


KINDS = (
    Kind("broker killed", "F-08", _killed, _own),
    Kind("broker stopped and started", "F-08", _stopped, _own),
    Kind("broker takes no publishes", "F-09", _blocked, _own),
    Kind("broker closes all connections", "F-08", _closed, _own),
    Kind("reply queue deleted", "F-11", _reply_queue_deleted),
)
