"""What an ERP's administrator may do to its own queue: delete it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pika
from pika.exceptions import AMQPError


def deleter(broker: Mapping[str, Any], role: str) -> Callable[[str], bool]:
    """A function that deletes an empty queue and says whether it did. It blocks.

    A queue that holds something is left alone: what an ERP throws away unread is no loss of the gateway's.
    """
    login = broker["users"][role]
    address = pika.ConnectionParameters(
        broker["host"], broker["port"], broker["vhost"], pika.PlainCredentials(login["user"], login["password"]),
        blocked_connection_timeout=10, socket_timeout=10,
    )  # fmt: skip

    def delete(queue: str) -> bool:
        try:
            connection = pika.BlockingConnection(address)
            try:
                connection.channel().queue_delete(queue, if_empty=True)
            finally:
                if connection.is_open:
                    connection.close()
        except AMQPError:
            return False
        return True

    return delete
