"""Faults of the broker and its queues. The broker is touched only where it is the campaign's own."""

from __future__ import annotations

from faults.kinds import Kind
from faults.queues import deleter
from faults.running_system import RunningSystem
from faults.servers import Rabbit


def _own(system: RunningSystem) -> bool:
    return system.rabbit is not None


def _rabbit(system: RunningSystem) -> Rabbit:
    assert system.rabbit is not None
    return system.rabbit


async def _killed(system: RunningSystem) -> None:
    """Kill the broker with SIGKILL. Every message that it had confirmed must be there when it runs again."""
    rabbit = _rabbit(system)
    with system.told("broker killed", "RabbitMQ") as incident:
        await system.thread(rabbit.kill)
        await system.between(0.0, 2.0)
        rabbit.start()
        incident.detail = "" if await _back(system) else "not back"


async def _stopped(system: RunningSystem) -> None:
    with system.told("broker stopped and started", "RabbitMQ") as incident:
        await system.thread(lambda: _rabbit(system).control("stop_app"))
        await system.between(0.5, 4.0)
        await system.thread(lambda: _rabbit(system).control("start_app"))
        incident.detail = "" if await _back(system) else "not back"


async def _back(system: RunningSystem) -> bool:
    until_s = system.clock.monotonic_s() + 90.0
    while system.clock.monotonic_s() < until_s:
        if await system.thread(_rabbit(system).admits):
            return True
        await system.wait(0.3)
    return False


async def _blocked(system: RunningSystem) -> None:
    """Let the broker accept no publishes. Results cannot be reported then, so nothing new may be sent."""
    with system.told("broker takes no publishes", "RabbitMQ"):
        await system.thread(lambda: _rabbit(system).control("set_vm_memory_high_watermark", "0.0001"))
        try:
            await system.between(2.0, 6.0)
        finally:
            await system.thread(lambda: _rabbit(system).control("set_vm_memory_high_watermark", "0.6"))


async def _closed(system: RunningSystem) -> None:
    vhost = str(system.grounds.broker["vhost"])
    with system.told("broker closes all connections", "RabbitMQ"):
        await system.thread(
            lambda: _rabbit(system).control(
                "close_all_connections", "--vhost", vhost, "--per-connection-delay", "0", "fault campaign"
            )
        )


async def _reply_queue_deleted(system: RunningSystem) -> None:
    delete = deleter(system.grounds.broker, "erp-demo")
    with system.told("reply queue deleted", "ERP") as incident:
        gone = await system.thread(lambda: delete(system.erp.replies_queue))
        system.listener.reply_queue_deleted(system.erp.sent)
        incident.detail = "" if gone else "not met"


KINDS = (
    Kind("broker killed", "F-08", _killed, _own),
    Kind("broker stopped and started", "F-08", _stopped, _own),
    Kind("broker takes no publishes", "F-09", _blocked, _own),
    Kind("broker closes all connections", "F-08", _closed, _own),
    Kind("reply queue deleted", "F-11", _reply_queue_deleted),
)
