"""Compares an evidence pack with the gateway's own journal: bytes that were made up for the pack are not in it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.jointtest.pack_check import OpenedPack

_OF_GATEWAY = re.compile(
    r"evidence/[^/]+/gateway-(?P<order>.+)-\d{2,}-[a-z]+-(?:wire|answer)\.(?P<end>bin|txt\.sha256)"
)
OrderLookup = Callable[[str], Mapping[str, Any] | None]
"""The gateway's answer about an order of the test's sender, as `orders show` gives it; None for an unknown order."""


@dataclass(slots=True)
class _PackedOrder:
    """What the pack has of one order: the file of each digest, and when its last try ended."""

    files: dict[str, str] = field(default_factory=dict)
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class JournalComparison:
    """The number of messages that agree with the gateway's journal, and every difference."""

    agreed: int
    differences: tuple[str, ...]


def against_gateway(opened: OpenedPack, lookup: OrderLookup) -> JournalComparison:
    """Compare the bytes to and from the bank in a pack with those that the gateway's journal has of the same orders."""
    wrong: list[str] = []
    agreed = 0
    for order, one in sorted(_packed(opened).items()):
        shown = lookup(order)
        if shown is None:
            wrong += [f"{file}: the gateway's journal does not know order {order}" for file in one.files.values()]
            continue
        there = dict(_in_journal(shown))
        invented = [file for digest, file in one.files.items() if digest not in there]
        wrong += [f"{file}: the gateway's journal has no such bytes of order {order}" for file in invented]
        agreed += len(one.files) - len(invented)
        wrong += _left_out(order, one, there)
    return JournalComparison(agreed, tuple(wrong))


def _packed(opened: OpenedPack) -> dict[str, _PackedOrder]:
    found: dict[str, _PackedOrder] = {}
    with zipfile.ZipFile(opened.file) as pack:
        for name, digest in opened.digests.items():
            match = _OF_GATEWAY.fullmatch(name)
            if match is not None:
                # Bytes that could not be kept exactly stand as text beside the digest of the original.
                original = digest if match["end"] == "bin" else pack.read(name).decode("ascii", "replace").strip()
                found.setdefault(match["order"], _PackedOrder()).files[original] = name
    for tried in opened.run.tries:
        for said in tried.published:
            for order in said["orders"]:
                found.setdefault(str(order["id"]), _PackedOrder()).ended = tried.ended
    return found


def _in_journal(shown: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The digest of each message to or from the bank, with its moment."""
    for moment in shown["timeline"]:
        for name in ("wire", "answer"):
            if moment.get(name):
                yield str(moment[name]["sha256"]), moment


def _left_out(order: str, one: _PackedOrder, there: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Messages that the journal has from before the last one in the pack, and the pack does not have."""
    times = [_at(moment) for digest, moment in there.items() if digest in one.files]
    last = max((at for at in times if at is not None), default=None)
    for digest, moment in there.items():
        at = _at(moment)
        if digest in one.files or at is None:
            continue
        nothing_packed = not one.files and moment["what"] == "sent" and one.ended is not None and at < one.ended
        if nothing_packed or (last is not None and at < last):
            yield f"order {order}: the gateway's journal has a message ({moment['what']}) of {at}, and the pack has not"


def _at(moment: Mapping[str, Any]) -> datetime | None:
    return datetime.fromisoformat(moment["at"]) if moment.get("at") else None
