"""Verification of the journal against its audit chains, and of the chains against checkpoints and the permit log.

An intact chain records what was done. Here the other tables are compared with it: each payment's state, version, number
of events and sends with its last entry, its clear amounts with its sealed order, and its events and evidence with those
that the chain requires.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, exists, select

from gateway.journal.checkpoints import checkpoints, merkle
from gateway.journal.checkpoints.checkpoints import BadCheckpoint, Checkpoint
from gateway.journal.commit import audit, outbox, payment_rows
from gateway.journal.commit.audit import AuditBase
from gateway.journal.commit.permit_log import Group, Header, KnownLog
from gateway.journal.sql import schema
from gateway.journal.sql.vault import Vault, VaultError
from protocols.erp.routing import EVENTS

NOTHING: Mapping[str, Mapping[int, str]] = MappingProxyType({})
_SET_BACK_MS = 5_000
_AT_ONCE = 500
_LISTED = 20
_P, _A, _O, _E, _S = schema.payments.c, schema.audit.c, schema.outbox.c, schema.evidence.c, schema.attempts.c


@dataclass(slots=True)
class Report:
    """The findings, as sentences: `problems` are contradictions, `remarks` are notes for a person."""

    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    entries: int = 0
    payments: int = 0
    points: int = 0
    chain_s: float = 0.0
    whole_s: float = 0.0


def whole(
    conn: Connection, vault: Vault, points: Sequence[Checkpoint] = (), logged: Mapping[str, Mapping[int, str]] = NOTHING
) -> Report:
    """Verify everything. `points` are checkpoints with valid signatures; `logged` is `heads_of` the permit log, read
    before the database."""
    report, began_s = Report(points=len(points)), time.monotonic()
    chains = _Chains(points, logged, audit.bases(conn))
    report.problems += audit.verify(conn, vault, chains.see)
    report.problems += chains.unmet()
    report.remarks += chains.remarks
    report.problems += [f"audit of {node}: its end (table units) carries no seal: no version that seals has written as "
                        f"{node}, or somebody removed it" for node in audit.unsealed(conn)]  # fmt: skip
    report.entries, report.chain_s = chains.entries, time.monotonic() - began_s
    report.problems += _gone(conn)
    for some in _chunks(conn):
        report.payments += len(some)
        for problem in _payments(conn, vault, some):
            report.problems.append(problem)
    report.whole_s = time.monotonic() - began_s
    return report


def believed(notes: Iterable[str], keys: Mapping[str, Ed25519PublicKey]) -> tuple[list[Checkpoint], list[str]]:
    """The checkpoints signed by these keys, and a sentence for each other note."""
    points: list[Checkpoint] = []
    problems: list[str] = []
    for note in notes:
        origin = note.partition("\n")[0]
        try:
            if origin not in keys:
                raise BadCheckpoint(f"a checkpoint of {origin!r}, whose key is not known here; give it with --key")
            points.append(checkpoints.opened(note, keys[origin]))
        except BadCheckpoint as error:
            problems.append(str(error))
    return points, problems


# ---- chains ------------------------------------------------------------------------------------------------------


class _Chains:
    """Reads each entry once, builds each chain's tree, and compares it with the checkpoints and the permit log."""

    def __init__(
        self, points: Sequence[Checkpoint], heads: Mapping[str, Mapping[int, str]], bases: Mapping[str, AuditBase]
    ) -> None:
        self._points: dict[str, dict[int, list[Checkpoint]]] = defaultdict(lambda: defaultdict(list))
        for point in points:
            self._points[point.origin][point.size].append(point)
        self._heads = {node: dict(said) for node, said in heads.items()}
        self._bases = bases
        self._node, self._origin, self._at_ms = "", "", 0
        self._tree: merkle.Range = ()
        self._wanted: dict[int, list[Checkpoint]] = {}
        self._logged: dict[int, str] = {}
        self.entries = 0
        self.problems: list[str] = []
        self.remarks: list[str] = []
        for node, base in bases.items():
            self._begin(node, base)

    def _begin(self, node: str, base: AuditBase) -> None:
        """What a deleted beginning says, and what it makes unverifiable."""
        self.remarks.append(f"audit of {node}: its first {base.size} entries were deleted after their retention; a "
                            f"signed checkpoint stands for them")  # fmt: skip
        wanted = self._points.get(checkpoints.origin_of(node), {})
        for size in [size for size in wanted if size <= base.size]:
            for point in wanted.pop(size):
                if size == base.size and (merkle.root(base.tree), base.hash) != (point.root, point.hash):
                    self.problems.append(f"audit of {node}: it begins after others than the {size} entries of the "
                                         f"checkpoint of {point.at}: rewritten or forked")  # fmt: skip
        logged = self._heads.get(node, {})
        for seq in [seq for seq in logged if seq <= base.size]:
            del logged[seq]

    def see(self, row: Any) -> None:
        """Take the next entry."""
        if row.node != self._node:
            self._node, self._origin, self._at_ms, self._tree = row.node, checkpoints.origin_of(row.node), 0, ()
            if row.node in self._bases:
                self._tree = self._bases[row.node].tree
            self._wanted = self._points.get(self._origin, {})
            self._logged = self._heads.get(row.node, {})
        self.entries += 1
        if row.at_ms < self._at_ms - _SET_BACK_MS:
            back_s = (self._at_ms - row.at_ms) / 1000
            self.remarks.append(f"audit of {row.node}: entry {row.seq} is {back_s:g} s earlier than the one before it: "
                                f"the clock was set back")  # fmt: skip
        self._at_ms = row.at_ms
        if self._wanted:
            self._grow(row)
        if self._logged.pop(row.seq, row.hash) != row.hash:
            self.problems.append(f"audit of {row.node}: entry {row.seq} is another than the permit log knows: "
                                 f"rewritten or forked")  # fmt: skip

    def _grow(self, row: Any) -> None:
        try:
            hashed = bytes.fromhex(row.hash)
        except ValueError:
            hashed = b""
        self._tree = merkle.grown(self._tree, (merkle.leaf(hashed),))
        for point in self._wanted.pop(row.seq, ()):
            if merkle.root(self._tree) != point.root:
                self.problems.append(f"audit of {row.node}: its first {point.size} entries are others than those of "
                                     f"the checkpoint of {point.at}: rewritten or forked")  # fmt: skip

    def unmet(self) -> list[str]:
        """The comparisons that failed, and checkpoints or heads without an entry."""
        found = list(self.problems)
        for wanted in self._points.values():
            for size in sorted(wanted):
                point = wanted[size][0]
                found.append(f"audit of {point.origin.partition('/')[2]}: the checkpoint of {point.at} counted {size} "
                             f"entries, and there are fewer: cut off or rolled back")  # fmt: skip
        for node, logged in self._heads.items():
            if logged:
                found.append(f"audit of {node}: the permit log knows entry {max(logged)}, which is not there: cut off "
                             f"or rolled back")  # fmt: skip
        return found


def heads_of(log: KnownLog) -> dict[str, dict[int, str]]:
    """The last head of each segment, by node, which suffices to detect a rewritten chain. Raises PermitLogBroken.

    Heads that a restored journal lost, and that persons have examined, are left out.
    """
    heads: dict[str, dict[int, str]] = defaultdict(dict)
    lost = [json.loads(record) for record in log.gaps]
    node = ""
    for segment in log.segments():
        last: Group | None = None
        for item in segment.items():
            if isinstance(item, Header):
                node = item.node
            elif isinstance(item, Group):
                last = item
        if last is not None and last.seq:
            heads[node][last.seq] = last.hash
    for gap in lost:
        said = heads.get(gap["node"], {})
        for seq in [seq for seq in said if gap["common"] < seq <= gap["log"][0]]:
            del said[seq]
    return heads


# ---- payments ----------------------------------------------------------------------------------------------------


def _gone(conn: Connection) -> Iterator[str]:
    """Payments that the chain admitted and the table lacks."""
    there = exists().where(_P.payment == _A.object_id)
    later = schema.audit.alias()
    purged = exists().where(later.c.object_id == _A.object_id, later.c.entry == "payment.purged")
    lost = select(_A.object_id).where(_A.entry == "payment.admitted", ~there, ~purged).limit(_LISTED)
    for payment in conn.execute(lost).scalars():
        yield f"payment {payment}: it was admitted, and its row is gone"


def _chunks(conn: Connection) -> Iterator[list[Any]]:
    after = ""
    while True:
        statement = select(schema.payments).where(_P.payment > after).order_by(_P.payment).limit(_AT_ONCE)
        some = list(conn.execute(statement))
        if not some:
            return
        yield some
        after = some[-1].payment


def _payments(conn: Connection, vault: Vault, some: Sequence[Any]) -> Iterator[str]:
    keys = [row.payment for row in some]
    entries = _by(conn, select(schema.audit).where(_A.object_id.in_(keys)), "object_id")
    messages = _by(conn, select(schema.outbox).where(_O.payment.in_(keys), _O.exchange == EVENTS), "payment")
    proofs = _by(conn, select(schema.evidence).where(_E.payment.in_(keys)), "payment")
    sends = _by(conn, select(_S.payment, _S.attempt).where(_S.payment.in_(keys)), "payment")
    for row in some:
        if {one.attempt for one in sends[row.payment]} != set(range(1, row.attempt + 1)):
            yield f"payment {row.payment}: it has {len(sends[row.payment])} attempts written down of {row.attempt}"
        for what in _payment(vault, row, entries[row.payment], messages[row.payment], proofs[row.payment]):
            yield f"payment {row.payment}: {what}"


def _by(conn: Connection, statement: Any, name: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in conn.execute(statement):
        found[getattr(row, name)].append(row)
    return found


def _payment(
    vault: Vault, row: Any, entries: Sequence[Any], messages: Sequence[Any], proofs: Sequence[Any]
) -> Iterator[str]:
    try:
        payment_rows.read(row, vault)
    except (AssertionError, VaultError, ValueError, KeyError, TypeError) as error:
        yield f"its row was altered: {error}"
    steps = [detail for detail in _details(vault, entries) if "version" in detail]
    if not steps:
        yield "no audit entry tells of it"
        return
    last = max(steps, key=lambda detail: int(detail["version"]))
    sends = max((int(detail["attempt"]) for detail in steps if "attempt" in detail), default=0)
    for name, found, said in (("state", row.state, last["after"]), ("version", row.version, last["version"]),
                              ("seq", row.seq, last["seq"]), ("attempt", row.attempt, sends)):  # fmt: skip
        if found != said:
            yield f"its {name} is {found}, its last audit entry says {said}"
    born = next((detail for detail in steps if "order_id" in detail), None)
    if born is not None and (born["sender"], born["order_id"]) != (row.sender, row.order_id):
        yield "its sender or order id is another than when it was admitted"
    told = set(_told(vault, messages))
    missing = [seq for seq in range(1, row.seq + 1) if seq not in told]
    if missing:
        yield f"its events {', '.join(map(str, missing))} of {row.seq} are gone from the outbox, or were altered"
    there = set(_proofs(vault, proofs))
    if any(detail.get("evidence", None) not in there for detail in steps if "evidence" in detail):
        yield "evidence that an audit entry names is gone, or was altered"


def _details(vault: Vault, entries: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for row in entries:
        if row.entry.startswith("payment."):
            try:
                yield json.loads(vault.open(row.detail, audit.header_of(row)))
            except VaultError:
                pass  # reported with the chain


def _told(vault: Vault, messages: Sequence[Any]) -> Iterator[int]:
    for row in messages:
        try:
            yield int(json.loads(outbox.read(row, vault).body)["seq"])
        except (VaultError, ValueError, KeyError):
            pass


def _proofs(vault: Vault, proofs: Sequence[Any]) -> Iterator[str]:
    for row in proofs:
        try:
            vault.open(row.body, b"evidence/body/" + row.evidence.encode())
        except VaultError:
            continue
        yield row.evidence


