"""The notices' state: how far the journal is told, what waits, what failed. One file, replaced as a whole.

A notice is written here before it is sent and taken out after it was taken, so that a process that dies between sends
it again with the same id.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gateway.notices.kinds import NoticeKind
from gateway.notices.notice_queue import DestinationQueue, Gathering, Notice

FILE = "notices.json"
"""The file's name in its folder."""


class BadState(Exception):  # noqa: N818 - says what to do
    """The file cannot be read."""


@dataclass(slots=True)
class NoticeState:
    """All that is kept. `cursors` is None before the first round; `told` has the stage of each request that was told.

    `addresses` are the destinations of the last life, to tell of a change where it would be noticed; `former` are
    those of before that still have to be told.
    """

    cursors: dict[str, int] | None = None
    told: dict[str, str] = field(default_factory=dict)
    queues: dict[str, DestinationQueue] = field(default_factory=dict)
    addresses: dict[str, Any] = field(default_factory=dict)
    former: dict[str, Any] = field(default_factory=dict)
    alive_day: str = ""


def load(path: Path) -> NoticeState:
    """What was saved; the beginning if there is no file. Raises BadState, OSError."""
    try:
        said = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return NoticeState()
    except ValueError as error:
        raise BadState(f"{path} is damaged ({error}); move it away, and notices begin with what happens from then on"
                       ) from None  # fmt: skip
    try:
        return NoticeState(
            said["cursors"], said["told"], {name: _queue(one) for name, one in said["queues"].items()},
            said["addresses"], said["former"], said["alive_day"],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadState(f"{path} is of another version ({error!r}); move it away") from None


def text_of(state: NoticeState) -> str:
    """The file's text."""
    return json.dumps(asdict(state), ensure_ascii=False)


def save(path: Path, text: str) -> None:
    """Replace the file; it is on the disk when this returns. Raises OSError."""
    fresh = path.with_name(f"{path.name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _queue(said: Mapping[str, Any]) -> DestinationQueue:
    return DestinationQueue(
        {NoticeKind(kind): Gathering(one["since_ms"], tuple(one["keys"]), one["more"])
         for kind, one in said["gathered"].items()},
        {NoticeKind(kind): Notice(**{**one, "kind": NoticeKind(one["kind"]), "keys": tuple(one["keys"])})
         for kind, one in said["under_way"].items()},
        {NoticeKind(kind): at_ms for kind, at_ms in said["sent_ms"].items()},
        said["sent"], said["failed"], said["last_why"],
    )  # fmt: skip
