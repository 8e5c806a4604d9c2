"""The lines of the permit log as values.

A segment's first line has the number of its format. Format 2 has the lines of other nodes' heads and of persons'
decisions; format 1 is read as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

from gateway.kernel.commit.rows import Permit

GENESIS = "0" * 64
_FORMAT = b"2"
_READ = (b"1", b"2")


@dataclass(frozen=True, slots=True)
class Group:
    """A log line about a committed group of units: the node's audit head after it, and how many of its entries came
    from outside the node.
    """

    seq: int
    hash: str
    at_ms: int = 0
    others: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a permit log's segment: its node, the audit head before it, and the number of known gaps."""

    node: str
    head: Group
    gaps: int
    before: bytes


@dataclass(frozen=True, slots=True)
class SecondProcess:
    """A log line by which the node ended here, because another process wrote to the journal under its name."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Gaps:
    """A log line with the number of lines in the file of gaps."""

    count: int


@dataclass(frozen=True, slots=True)
class PeerHead:
    """A log line with the audit head of another node, as this node read it in the journal."""

    node: str
    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class RightsDecision:
    """A persons' decision about persons, a policy, a pool or a company's pause: its place and kind in the audit trail,
    its object, and the deciding actor.
    """

    node: str
    seq: int
    entry: str
    about: str
    by: str


LogItem = Header | Group | Permit | SecondProcess | Gaps | PeerHead | RightsDecision
"""One line."""


def permit_line(permit: Permit) -> bytes:
    """A permit as a line of the permit log."""
    assert " " not in permit.ref, f"{permit.ref!r} cannot be a reference: it has a blank"
    return f"P {permit.ref} {permit.attempt} {permit.epoch}".encode()


def group_line(group: Group) -> bytes:
    """A committed group as a line of the permit log."""
    return f"G {group.seq} {group.hash} {group.at_ms} {group.others}".encode()


def parse(line: bytes) -> LogItem | None:
    """The value that a line of the permit log stands for; None if the text is no such line."""
    words = line.split(b" ")
    try:
        match words:
            case [b"P", ref, attempt, epoch]:
                return Permit(ref.decode(), int(attempt), int(epoch))
            case [b"G", seq, hashed, at_ms, others]:
                return Group(int(seq), hashed.decode(), int(at_ms), int(others))
            case [b"H", form, node, seq, hashed, at_ms, gaps, before] if form in _READ:
                head = Group(int(seq), hashed.decode(), int(at_ms))
                return Header(_clear(node), head, int(gaps), bytes.fromhex(before.decode()))
            case [b"A", at_ms]:
                return SecondProcess(int(at_ms))
            case [b"D", count]:
                return Gaps(int(count))
            case [b"N", node, seq, hashed]:
                return PeerHead(_clear(node), int(seq), hashed.decode())
            case [b"W", node, seq, entry, about, by]:
                return RightsDecision(_clear(node), int(seq), _clear(entry), _clear(about), _clear(by))
    except ValueError:
        pass
    return None


def header_line(node: str, head: Group, at_ms: int, gaps: int, before: bytes) -> bytes:
    """The first line of a segment of the permit log."""
    return b"H %s %s %d %s %d %d %s" % (
        _FORMAT,
        _safe(node),
        head.seq,
        head.hash.encode(),
        at_ms,
        gaps,
        before.hex().encode(),
    )


def peer_line(peer: PeerHead) -> bytes:
    """Another node's audit head as a line of the permit log."""
    return b"N %s %d %s" % (_safe(peer.node), peer.seq, peer.hash.encode())


def word_line(word: RightsDecision) -> bytes:
    """A decision about rights as a line of the permit log."""
    return b"W %s %d %s %s %s" % (_safe(word.node), word.seq, _safe(word.entry), _safe(word.about), _safe(word.by))


def _safe(text: str) -> bytes:
    return quote(text, safe="").encode()


def _clear(octets: bytes) -> str:
    return unquote(octets.decode())
