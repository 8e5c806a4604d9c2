"""Signed checkpoints of the audit chains, for a witness on another machine.

A checkpoint states the number of entries of a node's chain and the root of their Merkle tree, as a C2SP checkpoint in a
signed note (Ed25519). The leaf of an entry is its chained hash. Each checkpoint comes with a proof that it extends the
previous one. Checkpoints are made from committed entries, outside the commits, and go to the table, to one file per
month, and through the outbox to a queue.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.kernel.checkpoints import merkle
from gateway.kernel.clock import Clock, uuid7
from gateway.kernel.commit import audit
from gateway.kernel.commit.rows import Head, OutboxRow, OutboxState
from gateway.kernel.commit.store import Store, StoreFailed, Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.vault import VaultError
from gateway.kernel.sql.vaults import vault_of
from protocols.erp.news import instant

QUEUE = "bankgw.audit.checkpoints"
"""The queue, declared by `gateway.erp.topology`."""
KEY_FILE = "checkpoint.key"
_ORIGIN = "bankgw/"
FOLDER = "checkpoints"
ENTRIES = 1_000
EVENT = "audit.checkpoint"
_LOOK_S = 1.0
_AT_ONCE = 20_000
_ED25519 = b"\x01"
_C, _A, _O = schema.checkpoints.c, schema.audit.c, schema.outbox.c
_log = Logger()


class BadCheckpoint(Exception):
    """A checkpoint is invalid; the message says why."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The content of a checkpoint's note. `hash` is the chained hash of the last audit entry that it covers."""

    origin: str
    size: int
    root: bytes
    hash: str
    at: str

    def text(self) -> str:
        """The text of the note that is signed; the lines after the root are extensions."""
        root = b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\nhash {self.hash}\ntime {self.at}\n"


def node_of(origin: str) -> str:
    """The node whose log has this name; "" if the name is not that of a gateway's log."""
    return unquote(origin.removeprefix(_ORIGIN)) if origin.startswith(_ORIGIN) else ""


def origin_of(node: str) -> str:
    """The name of a node's log."""
    return f"{_ORIGIN}{quote(node, safe='')}"


# ---- the key and the note ----------------------------------------------------------------------------------------


def load_key(path: Path) -> Ed25519PrivateKey:
    """The signing key in this state folder, created at the first start with mode 0600. Raises OSError, ValueError."""
    try:
        octets = path.read_bytes()
    except FileNotFoundError:
        key = Ed25519PrivateKey.generate()
        octets = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        return key
    found = serialization.load_pem_private_key(octets, None)
    if not isinstance(found, Ed25519PrivateKey):
        raise ValueError(f"{path} is not an Ed25519 key; move it aside, and a new one is made at the next start")
    return found


def public_words(key: Ed25519PublicKey, origin: str) -> str:
    """The public key in the form that witnesses read: `origin+id+base64`."""
    raw = _ED25519 + key.public_bytes_raw()
    return f"{origin}+{_key_id(key, origin).hex()}+{b64encode(raw).decode()}"


def read_public(words: str) -> tuple[str, Ed25519PublicKey]:
    """Parse a public key in the form of `public_words`; returns the log's name and the key. Raises BadCheckpoint."""
    try:
        origin, said, encoded = words.strip().split("+", 2)
        raw = b64decode(encoded, validate=True)
        key = Ed25519PublicKey.from_public_bytes(raw[1:])
        if raw[:1] == _ED25519 and _key_id(key, origin).hex() == said:
            return origin, key
    except ValueError:
        pass
    raise BadCheckpoint(f"{words!r} is not a checkpoint key; `bankgw audit key` prints it")


def sign(point: Checkpoint, key: Ed25519PrivateKey) -> str:
    """Sign a checkpoint; returns its signed note."""
    text = point.text()
    signature = _key_id(key.public_key(), point.origin) + key.sign(text.encode())
    return f"{text}\n\N{EM DASH} {point.origin} {b64encode(signature).decode()}\n"


def opened(note: str, key: Ed25519PublicKey) -> Checkpoint:
    """Check a note's signature with this key, and return its checkpoint. Raises BadCheckpoint."""
    point, signature = _parts(note)
    if signature[:4] != _key_id(key, point.origin):
        raise BadCheckpoint(f"the checkpoint of {point.origin} is signed with another key")
    try:
        key.verify(signature[4:], point.text().encode())
    except InvalidSignature:
        raise BadCheckpoint(f"the checkpoint of {point.origin} at {point.size} entries was altered") from None
    return point


def split(octets: str) -> list[str]:
    """Split the content of a file into its notes."""
    notes, lines = [], list[str]()
    for line in octets.splitlines(keepends=True):
        if line.strip() or lines:
            lines.append(line)
        if line.startswith("\N{EM DASH} "):
            notes.append("".join(lines))
            lines = []
    return notes


def _parts(note: str) -> tuple[Checkpoint, bytes]:
    try:
        text, signed = note.split("\n\n", 1)
        origin, size, root, hashed, at = text.split("\n")
        dash, name, signature = signed.rstrip("\n").split(" ")
        if dash == "\N{EM DASH}" and name == origin and hashed.startswith("hash ") and at.startswith("time "):
            point = Checkpoint(origin, int(size), b64decode(root, validate=True), hashed[5:], at[5:])
            return point, b64decode(signature, validate=True)
    except ValueError:
        pass
    raise BadCheckpoint("this is not a signed checkpoint of bankgw")


def _key_id(key: Ed25519PublicKey, origin: str) -> bytes:
    return hashlib.sha256(origin.encode() + b"\n" + _ED25519 + key.public_bytes_raw()).digest()[:4]


# ---- the message -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PublishedCheckpoint:
    """A checkpoint as it is published: its note, and the proof that its tree extends that of the previous one."""

    note: str
    before: merkle.Range
    added: merkle.Range

    def octets(self) -> bytes:
        """The published checkpoint as the JSON of its message."""
        return json.dumps({"note": self.note, "before": _plain(self.before), "added": _plain(self.added)}).encode()


def read_published(octets: bytes) -> PublishedCheckpoint:
    """Parse a published checkpoint. Raises BadCheckpoint."""
    try:
        said = json.loads(octets)
        return PublishedCheckpoint(str(said["note"]), _range(said["before"]), _range(said["added"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadCheckpoint(f"this is not a published checkpoint ({error!r})") from None


def _plain(range_: merkle.Range) -> list[list[Any]]:
    return [[level, b64encode(hashed).decode()] for level, hashed in range_]


def _range(said: Any) -> merkle.Range:
    return tuple((int(level), b64decode(hashed, validate=True)) for level, hashed in said)


# ---- making them -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogTree:
    """The Merkle tree of a node's audit chain so far: the tree's range, and the head of the last entry in it."""

    tree: merkle.Range = ()
    head: Head = Head(0, audit.GENESIS)

    def with_leaves(self, leaves: list[bytes], head: Head) -> LogTree:
        """The tree after these entries were added."""
        return LogTree(merkle.grown(self.tree, leaves), head)


def last(conn: Connection, node: str) -> LogTree:
    """The tree up to a node's last checkpoint, read from its sealed row. Raises VaultError if the row was altered."""
    row = conn.execute(select(schema.checkpoints).where(_C.node == node).order_by(_C.size.desc()).limit(1)).first()
    if row is None:
        return LogTree()
    said = json.loads(vault_of(conn).open(row.tree, _aad(node, row.size)))
    return LogTree(_range(said["tree"]), Head(row.size, said["hash"]))


def entries_after(conn: Connection, node: str, head: Head, most: int = _AT_ONCE) -> tuple[list[bytes], Head]:
    """Up to `most` leaves of the entries after `head`, and the head of the last of them. Raises BadCheckpoint if the
    entries do not continue `head`.
    """
    rows = select(_A.seq, _A.prev_hash, _A.hash).where(_A.node == node, _A.seq > head.seq).order_by(_A.seq).limit(most)
    leaves: list[bytes] = []
    for row in conn.execute(rows):
        if row.seq != head.seq + 1 or row.prev_hash != head.hash:
            raise BadCheckpoint(f"audit of {node}: entry {row.seq} does not continue entry {head.seq}")
        head = Head(row.seq, row.hash)
        leaves.append(merkle.leaf(bytes.fromhex(row.hash)))
    return leaves, head


class Checkpoints:
    """Makes checkpoints of this node's chain. `head` returns the committed head; entries wait at most `every_s`.

    A single new entry waits longer, because publishing a checkpoint itself adds one. Reactor thread only.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        node: str,
        key: Ed25519PrivateKey,
        folder: Path,
        head: Callable[[], Head],
        every_s: float,
    ) -> None:
        self._store, self._clock, self._node, self._key = store, clock, node, key
        self._folder, self._head, self._every_s = folder, head, every_s
        self._made: LogTree | None = None
        self._at_s = clock.monotonic_s()
        self._timer: IDelayedCall | None = None
        self._busy: Deferred[None] | None = None
        self._stopped = False
        self._message_ids: tuple[str, ...] = ()

    def start(self) -> None:
        """Start checking every second."""
        self._timer = self._clock.later(_LOOK_S, self._look)

    async def stop(self) -> None:
        """Make a last checkpoint of the committed entries, then stop."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._busy is not None:
            await self._busy
        await self._try()

    def _look(self) -> None:
        if self._stopped:
            return
        self._timer = self._clock.later(_LOOK_S, self._look)
        new = self._head().seq - (0 if self._made is None else self._made.head.seq)
        late = self._clock.monotonic_s() - self._at_s >= self._every_s
        if self._busy is None and (new >= ENTRIES or (new > 1 and late) or self._made is None):
            self._busy = Deferred.fromCoroutine(self._try())
            self._busy.addBoth(self._idle)

    def _idle(self, result: object) -> None:
        self._busy = None
        if isinstance(result, Failure):
            _log.failure("no checkpoint of the audit chain could be made", failure=result)

    async def _try(self) -> None:
        try:
            await self._make()
        except StoreFailed:
            pass  # the process ends and logs the reason
        except BadCheckpoint as error:
            _log.critical(
                "{why}: somebody changed the journal without the gateway; no checkpoint is made until the journal "
                "is repaired; `bankgw audit verify` shows the entries",
                why=error,
            )
            self._at_s = self._clock.monotonic_s()
        except (SQLAlchemyError, VaultError, OSError) as error:
            _log.error("no checkpoint of the audit chain could be made ({error}); it is tried again", error=error)
            self._at_s = self._clock.monotonic_s()

    async def _make(self) -> None:
        made = self._made
        if made is None:
            made = self._made = await self._store.read(lambda conn: last(conn, self._node))
        goal, leaves, head = self._head(), list[bytes](), made.head
        while head.seq < goal.seq:
            some, head = await self._store.read(lambda conn, at=head: entries_after(conn, self._node, at))  # type: ignore[misc]
            if not some:
                raise BadCheckpoint(
                    f"audit of {self._node}: it ends at entry {head.seq}, but entry {goal.seq} was committed"
                )
            leaves += some
        if not leaves:
            return
        after = made.with_leaves(leaves, head)
        at = instant(self._clock.now_ms())
        point = Checkpoint(origin_of(self._node), head.seq, merkle.root(after.tree), head.hash, at)
        published = PublishedCheckpoint(sign(point, self._key), made.tree, merkle.between(made.head.seq, leaves))
        earlier = self._message_ids
        self._message_ids = await self._store.write(
            lambda tx: store_checkpoint(tx, self._node, after, published, earlier)
        )
        self._made, self._at_s = after, self._clock.monotonic_s()
        _to_file(self._folder, at, published.note)


def store_checkpoint(
    tx: Tx, node: str, made: LogTree, published: PublishedCheckpoint, messages: Sequence[str] = ()
) -> tuple[str, ...]:
    """Store a checkpoint and enqueue its message. `messages` are the ids of messages about earlier checkpoints; those
    that were delivered are deleted. Returns the ids of the others and of the new message.
    """
    # `tx.raw` keeps the cache of payments, which no statement here changes. `tx.fresh` would drop it once a second
    # under load.
    if messages:
        delivered = _O.message_id.in_(messages) & (_O.state == OutboxState.SENT.value)
        gone = list(tx.raw.execute(select(_O.message_id).where(delivered)).scalars())
        tx.raw.execute(delete(schema.outbox).where(_O.message_id.in_(gone)))
        messages = [one for one in messages if one not in gone]
    tree = json.dumps({"tree": _plain(made.tree), "hash": made.head.hash}).encode()
    tx.raw.execute(delete(schema.checkpoints).where(_C.node == node))
    tx.raw.execute(
        insert(schema.checkpoints),
        {
            "node": node,
            "size": made.head.seq,
            "at_ms": tx.now_ms,
            "note": published.note,
            "tree": tx.vault.seal(tree, _aad(node, made.head.seq)),
        },
    )
    row = OutboxRow(
        message_id=uuid7(tx.entropy.ulid(tx.now_ms)),
        node=tx.node,
        exchange="",
        routing_key=QUEUE,
        body=published.octets(),
        headers={"type": EVENT},
        created_ms=tx.now_ms,
    )
    tx.enqueue(row)
    return (*messages, row.message_id)


def _to_file(folder: Path, at: str, note: str) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(folder / f"{at[:7]}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(note + "\n")
    except OSError as error:
        _log.warn("the checkpoint could not be written to {folder}: {error}", folder=folder, error=error)


def _aad(node: str, size: int) -> bytes:
    return f"checkpoints/tree/{quote(node, safe='')}/{size}".encode()


def kept(folder: Path) -> list[str]:
    """The notes of checkpoints in a file, or in all files of a folder. Raises OSError."""
    files = sorted(folder.glob("*.txt")) if folder.is_dir() else [folder]
    return [note for file in files for note in split(file.read_text("utf-8"))]


def notes(conn: Connection) -> list[str]:
    """The notes of checkpoints in the database: each node's last one, and the one that replaces deleted entries."""
    begins = [base.note for _node, base in sorted(audit.bases(conn).items())]
    return begins + list(conn.execute(select(_C.note).order_by(_C.node, _C.size)).scalars())
