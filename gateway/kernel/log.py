"""One stream of JSON lines on stderr, including those of Twisted and other libraries, with account numbers masked.

A line has `ts`, `level`, `event` (a stable slug), and the fields its author gave: `bank`, `lane`, `payment`, `order`,
`correlation_id`, `error`. Fields bound with `structlog.contextvars.bind_contextvars` follow a coroutine.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from threading import get_ident
from typing import Any, TextIO

import structlog
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogBeginner
from zope.interface import implementer

from protocols.canon.party import mask
from protocols.kit.json_writer import json_writer

# A safety net under the masked types. These could be account numbers: 12 or more digits on their own; 15 or more digits
# whatever is next to them; four groups of four as printed on cards. Ids stay whole: a UUID's groups touch hyphens and
# have at most 12 digits, a decimal fraction touches a digit and a point.
_NUMBER = re.compile(
    r"[0-9]{15,}"
    r"|(?<![0-9A-Za-z\-])(?<![0-9]\.)[0-9]{12,14}(?![0-9A-Za-z\-])"
    r"|(?<![0-9A-Za-z\-])[0-9]{4}(?:[ \-][0-9]{4}){2,4}(?:[ \-][0-9]{1,3})?(?![0-9A-Za-z\-])"
)
_NUMBER_LEAST = 12
# A quick test before the search: each match has twelve digits in a row or three groups of four, and few texts have. The
# test is several times as fast as the search.
_SUSPECT = re.compile(r"[0-9]{4}(?:[0-9]{8}|[ \-][0-9]{4}[ \-][0-9]{4})")
MAX_TEXT = 4_000
_TAIL = 2_500
# sd-daemon(3): the journal reads a line's priority from this prefix and takes it off.
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}

Log = structlog.typing.FilteringBoundLogger


def get(name: str) -> Log:
    """The logger of one part of the program; `name` becomes the field `part`."""
    logger: Log = structlog.get_logger(part=name)
    return logger


def masked(text: str) -> str:
    """`text` with everything that could be an account number masked, and cut to a bounded length.

    Of a long text the beginning and the end stay, because the end of a traceback has the error.
    """
    shown = _NUMBER.sub(_mask, text) if _SUSPECT.search(text) else text
    return shown if len(shown) <= MAX_TEXT else f"{shown[: MAX_TEXT - _TAIL]} … {shown[-_TAIL:]}"


def _mask(found: re.Match[str]) -> str:
    return mask(re.sub(r"[ \-]", "", found.group()))


_encode = json_writer(separators=(", ", ": "), allow_nan=True)
_LEVELS = {"warn": "warning", "exception": "error"}


class _Line:
    """Formats a log event as one JSON object, after the journal's priority if `priorities` is set.

    It is one function, although structlog offers one for each step, because three lines for each payment are a
    considerable part of a payment's cost.
    """

    def __init__(self, *, priorities: bool, environment: str) -> None:
        self._priorities = priorities
        self._head = {"env": environment} if environment else {}
        self._second = (0, "")

    def __call__(self, logger: Any, method: str, fields: MutableMapping[str, Any]) -> str:
        if "exc_info" in fields:
            fields = structlog.processors.format_exc_info(logger, method, fields)
        level = _LEVELS.get(method, method)
        line: dict[str, Any] = {"ts": self._now(), "level": level, **self._head}
        bound = structlog.contextvars.get_contextvars()
        suspect = _SUSPECT.search
        for key, value in ({**bound, **fields} if bound else fields).items():
            if isinstance(value, str):
                # As `masked`, which changes nothing of a text that is neither suspect nor long.
                fine = len(value) < _NUMBER_LEAST or (len(value) <= MAX_TEXT and suspect(value) is None)
                line[key] = value if fine else masked(value)
            elif value is None or isinstance(value, int | float):
                line[key] = value
            else:
                line[key] = masked(str(value))
        text = _encode(line)
        return f"<{_PRIORITY.get(level, 6)}>{text}" if self._priorities else text

    def _now(self) -> str:
        """The present time as in `isoformat`. Lines of one second share its text; threads may replace the text but
        never mix two.
        """
        second, micros = divmod(time.time_ns() // 1000, 1_000_000)
        known, text = self._second
        if known != second:
            text = datetime.fromtimestamp(second, UTC).isoformat()[:-6]
            self._second = second, text
        return f"{text}.{micros:06d}Z" if micros else f"{text}Z"


class _Stream:
    """The stream to which log lines are written, each whole and at once, except the lines of a `together` block."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._held: list[str] = []
        self._holder = 0

    def msg(self, text: str) -> None:
        """Write the line, or hold it until the block of this thread ends."""
        if self._holder == get_ident():
            self._held.append(text)
        else:
            # One call, so that no other thread's line comes between the text and its end.
            self._out.write(text + "\n")
            self._out.flush()

    log = debug = info = warn = warning = error = critical = fatal = failure = exception = err = msg

    def hold(self) -> bool:
        """Begin to hold this thread's lines. False if a block is open already; the lines then belong to that block."""
        if self._holder:
            return False
        self._holder = get_ident()
        return True

    def let_go(self) -> None:
        """End this thread's block and write its lines."""
        self._holder = 0
        if self._held:
            held, self._held = self._held, []
            self.msg("\n".join(held))


_streams: list[_Stream] = []


class _Together:
    """The context manager that `together` returns."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: _Stream | None = None

    def __enter__(self) -> None:
        stream = _streams[-1] if _streams else None
        self._held = stream if stream is not None and stream.hold() else None

    def __exit__(self, *_error: object) -> None:
        if self._held is not None:
            self._held.let_go()


def together() -> _Together:
    """Write the log lines of this block with one system call when the block ends. For many lines that one thread writes
    in a row, with nothing between them that others could see.
    """
    return _Together()


@implementer(ILogObserver)
class _Bridge:
    """Writes Twisted's log events as lines of the same stream."""

    _levels = {LogLevel.debug: "debug", LogLevel.info: "info", LogLevel.warn: "warning"}

    def __init__(self, logger: Log) -> None:
        self._logger = logger

    def __call__(self, event: LogEvent) -> None:
        level = self._levels.get(event.get("log_level", LogLevel.info), "error")
        failure = event.get("log_failure")
        source = event.get("log_namespace")
        if failure is not None:
            trace = failure.getTraceback(detail="brief")
            self._logger.error("twisted.failure", text=formatEvent(event), source=source, error=trace)
        else:
            getattr(self._logger, level)("twisted", text=formatEvent(event), source=source)


class _Libraries(logging.Handler):
    """Writes the records of Python's own logging, for example of a database driver, as lines of the same stream."""

    def __init__(self, logger: Log) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        said = self._logger.error if record.levelno >= logging.ERROR else self._logger.warning
        said("library", text=record.getMessage(), source=record.name)


def start(
    level: str = "info",
    stream: TextIO | None = None,
    *,
    bridge_twisted: bool = True,
    priorities: bool = False,
    environment: str = "",
) -> None:
    """Send every log line to `stream` (default stderr). Called once, by the program that runs.

    With `priorities` each line begins with the journal's `<6>`: for a daemon under systemd. `environment` stands in
    each line as `env`.
    """
    stream_of_lines = _Stream(sys.stderr if stream is None else stream)
    _streams[:] = [stream_of_lines]
    structlog.configure(
        processors=[_Line(priorities=priorities, environment=environment)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: stream_of_lines,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _Libraries)]:
        root.removeHandler(handler)
    root.addHandler(_Libraries(get("library")))
    if bridge_twisted:
        beginner: Callable[..., None] = globalLogBeginner.beginLoggingTo
        beginner([_Bridge(get("twisted"))], redirectStandardIO=False, discardBuffer=True)
