"""The gateway's log lines during a test, as dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.testing import capture_logs


@contextmanager
def lines() -> Iterator[list[dict[str, Any]]]:
    """Collect every line, whatever an earlier test did to the stream. The former configuration comes back
    afterwards."""
    before = structlog.get_config()
    structlog.reset_defaults()
    try:
        with capture_logs() as heard:
            yield heard  # type: ignore[misc]
    finally:
        structlog.configure(**before)


def events(heard: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    """The lines of one event."""
    return [line for line in heard if line["event"] == event]
