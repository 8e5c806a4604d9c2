"""What the gateway logs while a test runs, as plain dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.testing import capture_logs


@contextmanager
def lines() -> Iterator[list[dict[str, Any]]]:
    """Collect every line, whatever an earlier test made of the stream; what was configured before comes back."""
    before = structlog.get_config()
    structlog.reset_defaults()
    try:
        with capture_logs() as heard:
            yield heard  # type: ignore[misc]
    finally:
        structlog.configure(**before)


def events(heard: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    """The lines of one kind."""
    return [line for line in heard if line["event"] == event]
