"""The state of the notices process: how far the journal was read, and which notices wait or failed. One file, replaced
as a whole.

A notice is written here before it is sent, and removed after it was accepted. So if the process dies in between, the
next one sends it again with the same id.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gateway.notices.conditions import KnownCondition
from gateway.notices.kinds import NoticeKind
from gateway.notices.notice_queue import DestinationQueue, Notice, PendingEvents

FILE = "notices.json"
"""The file's name in its folder."""
ACKNOWLEDGED = "acknowledged"
"""The folder in which `bankgw notices acknowledge` leaves the ids of notices for the process."""
MOST_SENT, MOST_SENT_KEYS = 200, 100
_ID = re.compile(r"[0-9a-f]{32}")


class BadState(Exception):  # noqa: N818 - says what to do
    """The state file cannot be read."""


@dataclass(slots=True)
class SentNotice:
    """A notice that was taken. `by` is the person who acknowledged it, empty if nobody has."""

    destination: str
    kind: NoticeKind
    at_ms: int
    keys: tuple[str, ...]
    count: int
    by: str = ""


@dataclass(slots=True)
class NoticeState:
    """The saved state. `cursors` is None before the first round; `told` has the stage of each request for which a
    notice was made.

    `addresses` are the destinations of the last process, so that a change can be reported to the former address;
    `former` are earlier destinations that must still be informed. `conditions` are the known conditions. `nodes` has
    the last sign of life of each node that was seen alive. `sent` are the last accepted notices, by id, so that a
    person can acknowledge one.
    """

    cursors: dict[str, int] | None = None
    told: dict[str, str] = field(default_factory=dict)
    queues: dict[str, DestinationQueue] = field(default_factory=dict)
    addresses: dict[str, Any] = field(default_factory=dict)
    former: dict[str, Any] = field(default_factory=dict)
    alive_day: str = ""
    conditions: dict[str, KnownCondition] = field(default_factory=dict)
    nodes: dict[str, int] = field(default_factory=dict)
    sent: dict[str, SentNotice] = field(default_factory=dict)

    def note_sent(self, destination: str, notice: Notice, at_ms: int) -> None:
        """Keep a notice that was taken, and forget the oldest beyond MOST_SENT."""
        self.sent[notice.id] = SentNotice(destination, notice.kind, at_ms, notice.keys[:MOST_SENT_KEYS], notice.count)
        for old in list(self.sent)[: max(len(self.sent) - MOST_SENT, 0)]:
            del self.sent[old]


def load(path: Path) -> NoticeState:
    """The saved state; an initial one if there is no file. Raises BadState, OSError."""
    try:
        said = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return NoticeState()
    except ValueError as error:
        raise BadState(
            f"{path} is damaged ({error}); move it away; notices then begin with the events from that time on"
        ) from None
    try:
        return NoticeState(
            said["cursors"],
            said["told"],
            {name: _queue(one) for name, one in said["queues"].items()},
            said["addresses"],
            said["former"],
            said["alive_day"],
            {name: _condition(one) for name, one in said.get("conditions", {}).items()},
            dict(said.get("nodes", {})),
            {name: _sent(one) for name, one in said.get("sent", {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadState(f"{path} is of another version ({error!r}); move it away") from None


def text_of(state: NoticeState) -> str:
    """The state as the text of its file."""
    return json.dumps(asdict(state), ensure_ascii=False)


def save(path: Path, text: str) -> None:
    """Replace the file with this text. It is on the disk when this returns. Raises OSError."""
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


def leave_acknowledgement(folder: Path, notice: str, by: str) -> None:
    """Leave a file by which the process learns that a person has seen a notice. Raises OSError."""
    place = folder / ACKNOWLEDGED
    owner = folder.stat()
    place.mkdir(mode=0o700, exist_ok=True)
    fresh = place / f".{notice}.{os.getpid()}"
    fresh.write_text(by, "utf-8")
    if os.geteuid() == 0:
        # The process is another user's, and takes the file away.
        os.chown(place, owner.st_uid, owner.st_gid)
        os.chown(fresh, owner.st_uid, owner.st_gid)
    fresh.replace(place / notice)


def read_acknowledgements(folder: Path) -> dict[str, str]:
    """The ids of notices that persons have seen since the last call, each with the person, without removing them.
    Raises OSError."""
    place = folder / ACKNOWLEDGED
    if not place.is_dir():
        return {}
    found = sorted(file for file in place.iterdir() if _ID.fullmatch(file.name))
    return {file.name: file.read_text("utf-8", "replace")[:64] for file in found[:MOST_SENT]}


def forget_acknowledgements(folder: Path, notices: Iterable[str]) -> None:
    """Remove acknowledgements whose effect was saved. Raises OSError."""
    for notice in notices:
        (folder / ACKNOWLEDGED / notice).unlink(missing_ok=True)


def _queue(said: Mapping[str, Any]) -> DestinationQueue:
    return DestinationQueue(
        {
            NoticeKind(kind): PendingEvents(one["since_ms"], tuple(one["keys"]), one["more"])
            for kind, one in said["gathered"].items()
        },
        _notices(said["under_way"]),
        {NoticeKind(kind): at_ms for kind, at_ms in said["sent_ms"].items()},
        said["sent"],
        said["failed"],
        said["last_why"],
        _notices(said.get("partly", {})),
        {NoticeKind(kind): dict(keys) for kind, keys in said.get("later", {}).items()},
    )


def _condition(said: Mapping[str, Any]) -> KnownCondition:
    return KnownCondition(**{**said, "kind": NoticeKind(said["kind"]), "companies": tuple(said["companies"])})


def _sent(said: Mapping[str, Any]) -> SentNotice:
    return SentNotice(**{**said, "kind": NoticeKind(said["kind"]), "keys": tuple(said["keys"])})


def _notices(said: Mapping[str, Any]) -> dict[NoticeKind, Notice]:
    found = {}
    for kind, one in said.items():
        parts = {"kind": NoticeKind(kind), "keys": tuple(one["keys"]), "left": tuple(one.get("left", ()))}
        found[NoticeKind(kind)] = Notice(**{**one, **parts})
    return found
