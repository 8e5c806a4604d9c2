"""One stream of JSON lines on stderr, Twisted's own messages included, account numbers masked whatever their path.

A line has `ts`, `level`, `event` (a stable slug), and the fields its author gave: `bank`, `lane`, `payment`,
`correlation_id`, `error`. Fields bound with `structlog.contextvars.bind_contextvars` follow a coroutine.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

import structlog
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogBeginner
from zope.interface import implementer

from protocols.canon.party import mask

# A net under the masked types: any bare run of 12 to 32 digits in a text is taken for an account number.
_DIGITS = re.compile(r"(?<![0-9A-Za-z.\-])[0-9]{12,32}(?![0-9A-Za-z\-])")
_TIMES = frozenset({"ts", "at_ms", "due_ms"})
MAX_TEXT = 4_000

Log = structlog.typing.FilteringBoundLogger


def get(name: str) -> Log:
    """The logger of one part; `name` becomes the field `part`."""
    logger: Log = structlog.get_logger(part=name)
    return logger


def masked(text: str) -> str:
    """`text` with every run of digits that could be an account number masked, and cut to a bounded length."""
    shown = _DIGITS.sub(lambda found: mask(found.group()), text)
    return shown if len(shown) <= MAX_TEXT else shown[:MAX_TEXT] + "…"


def _mask_fields(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in fields.items():
        if isinstance(value, str):
            if key not in _TIMES:
                fields[key] = masked(value)
        elif not isinstance(value, (int, float, bool, type(None))):
            fields[key] = masked(str(value))
    return fields


@implementer(ILogObserver)
class _Bridge:
    """Twisted's log events as lines of the same stream."""

    _levels = {LogLevel.debug: "debug", LogLevel.info: "info", LogLevel.warn: "warning"}

    def __init__(self, logger: Log) -> None:
        self._logger = logger

    def __call__(self, event: LogEvent) -> None:
        level = self._levels.get(event.get("log_level", LogLevel.info), "error")
        failure = event.get("log_failure")
        if failure is not None:
            trace = failure.getTraceback(detail="brief")
            self._logger.error("twisted.failure", text=formatEvent(event), error=trace)
        else:
            getattr(self._logger, level)("twisted", text=formatEvent(event), source=event.get("log_namespace"))


def start(level: str = "info", stream: TextIO | None = None, *, bridge_twisted: bool = True) -> None:
    """Send every line to `stream` (default stderr). Called once, by the program that runs."""
    out = sys.stderr if stream is None else stream
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.format_exc_info,
            _mask_fields,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    if bridge_twisted:
        beginner: Callable[..., None] = globalLogBeginner.beginLoggingTo
        beginner([_Bridge(get("twisted"))], redirectStandardIO=False, discardBuffer=True)
