"""Verification of the journal against its audit chains, and of the chains against checkpoints and the permit log.

An intact chain is a record of all changes. Here the other tables are compared with it: each payment's state, version,
number of events and sends with its last entry, its clear amounts with its sealed order, and its events and evidence
with those that the chain requires.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, Table, exists, inspect, select

from gateway.kernel.checkpoints import checkpoints, merkle
from gateway.kernel.checkpoints.checkpoints import BadCheckpoint, Checkpoint
from gateway.kernel.commit import audit, chain_check, outbox, payment_rows
from gateway.kernel.commit.audit import AuditBase
from gateway.kernel.commit.permit_lines import Group, Header
from gateway.kernel.commit.permit_log import KnownLog
from gateway.kernel.sql import schema
from gateway.kernel.sql.sealed import SEAL, SEALED, SealBroken, row_seal
from gateway.kernel.sql.vault import Vault, VaultError
from protocols.erp.routing import EVENTS

NOTHING: Mapping[str, Mapping[int, str]] = MappingProxyType({})
_SET_BACK_MS = 5_000
_AT_ONCE = 500
_LISTED = 20
_P, _A, _O, _E, _S = schema.payments.c, schema.audit.c, schema.outbox.c, schema.evidence.c, schema.attempts.c


@dataclass(slots=True)
class Report:
    """The findings of a verification, as sentences: `problems` are contradictions, `remarks` are notes for a person."""

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
    """Verify the journal's audit chains and seals. `points` are checkpoints with valid signatures. `logged` is the
    result of `heads_of` for the permit log, which must be read before the database.
    """
    report, began_s = Report(points=len(points)), time.monotonic()
    chains = _Chains(points, logged, audit.bases(conn))
    report.problems += audit.verify(conn, vault, chains.see)
    report.problems += chains.unmet()
    report.remarks += chains.remarks
    report.problems += [
        f"audit of {node}: its end (table units) has no seal: only versions that write no seals ran as "
        f"{node}, or somebody removed the seal"
        for node in audit.unsealed(conn)
    ]
    report.entries, report.chain_s = chains.entries, time.monotonic() - began_s
    report.problems += _gone(conn)
    report.problems += _other_rows(conn, vault)
    for some in _chunks(conn):
        report.payments += len(some)
        for problem in _payments(conn, vault, some):
            report.problems.append(problem)
    report.whole_s = time.monotonic() - began_s
    return report


def believed(notes: Iterable[str], keys: Mapping[str, Ed25519PublicKey]) -> tuple[list[Checkpoint], list[str]]:
    """The checkpoints whose notes these keys signed, and a sentence for each note that was not accepted."""
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
    """Reads each audit entry once, builds each chain's tree, and compares it with checkpoints and permit log."""

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
        """Begin a chain whose first entries were deleted: read its base, and record which entries cannot be verified
        any more.
        """
        self.remarks.append(
            f"audit of {node}: its first {base.size} entries were deleted after their retention; a "
            f"signed checkpoint stands for them"
        )
        wanted = self._points.get(checkpoints.origin_of(node), {})
        for size in [size for size in wanted if size <= base.size]:
            for point in wanted.pop(size):
                if size == base.size and (merkle.root(base.tree), base.hash) != (point.root, point.hash):
                    self.problems.append(
                        f"audit of {node}: the entries deleted before its first one are not the {size} of "
                        f"the checkpoint of {point.at}: rewritten or forked"
                    )
        logged = self._heads.get(node, {})
        for seq in [seq for seq in logged if seq <= base.size]:
            del logged[seq]

    def see(self, row: Any) -> None:
        """Verify the next entry of the chain."""
        if row.node != self._node:
            self._node, self._origin, self._at_ms, self._tree = row.node, checkpoints.origin_of(row.node), 0, ()
            if row.node in self._bases:
                self._tree = self._bases[row.node].tree
            self._wanted = self._points.get(self._origin, {})
            self._logged = self._heads.get(row.node, {})
        self.entries += 1
        if row.at_ms < self._at_ms - _SET_BACK_MS:
            back_s = (self._at_ms - row.at_ms) / 1000
            self.remarks.append(
                f"audit of {row.node}: entry {row.seq} is {back_s:g} s earlier than the one before it: "
                f"the clock was set back"
            )
        self._at_ms = row.at_ms
        if self._wanted:
            self._grow(row)
        if self._logged.pop(row.seq, row.hash) != row.hash:
            self.problems.append(
                f"audit of {row.node}: entry {row.seq} differs from what the permit log knows: rewritten or forked"
            )

    def _grow(self, row: Any) -> None:
        try:
            hashed = bytes.fromhex(row.hash)
        except ValueError:
            hashed = b""
        self._tree = merkle.grown(self._tree, (merkle.leaf(hashed),))
        for point in self._wanted.pop(row.seq, ()):
            if merkle.root(self._tree) != point.root:
                self.problems.append(
                    f"audit of {row.node}: its first {point.size} entries differ from those of "
                    f"the checkpoint of {point.at}: rewritten or forked"
                )

    def unmet(self) -> list[str]:
        """The comparisons that failed, and the checkpoints and heads for which no entry was found."""
        found = list(self.problems)
        for wanted in self._points.values():
            for size in sorted(wanted):
                point = wanted[size][0]
                found.append(
                    f"audit of {point.origin.partition('/')[2]}: the checkpoint of {point.at} counted {size} "
                    f"entries, and there are fewer: cut off or rolled back"
                )
        for node, logged in self._heads.items():
            if logged:
                found.append(
                    f"audit of {node}: the permit log knows entry {max(logged)}, which is not there: cut off "
                    f"or rolled back"
                )
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
    """The payments whose admission is in the audit chain but whose rows are missing in the table."""
    there = exists().where(_P.payment == _A.object_id)
    later = schema.audit.alias()
    purged = exists().where(later.c.object_id == _A.object_id, later.c.entry == "payment.purged")
    lost = select(_A.object_id).where(_A.entry == "payment.admitted", ~there, ~purged).limit(_LISTED)
    for payment in conn.execute(lost).scalars():
        yield f"payment {payment}: it was admitted, and its row is gone"


def _other_rows(conn: Connection, vault: Vault) -> Iterator[str]:
    """The rows of the other sealed tables whose seals do not fit their columns."""
    there = set(inspect(conn).get_table_names())
    for table in schema.metadata.sorted_tables:
        if table.name not in SEALED or table is schema.payments or not _has_seal(conn, table, there):
            continue
        seal = row_seal(table)
        for row in conn.execute(select(table).execution_options(yield_per=_AT_ONCE)):
            try:
                seal.check(vault, row)
            except SealBroken as error:
                yield str(error)


def _has_seal(conn: Connection, table: Table, there: Collection[str]) -> bool:
    """Whether the database has the table's seal column. A copy of an older version is verified before its migration."""
    return table.name in there and SEAL in {column["name"] for column in inspect(conn).get_columns(table.name)}


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
            there = len(sends[row.payment])
            yield f"payment {row.payment}: it has {there} attempts in table attempts, and its row names {row.attempt}"
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
        payment_rows.decode_row(row, vault)
    except (SealBroken, VaultError, ValueError, KeyError, TypeError) as error:
        yield f"its row was altered: {error}"
    told = [(entry, detail) for entry, detail in _details(vault, entries) if "version" in detail]
    steps = [detail for _entry, detail in told]
    if not steps:
        yield "no audit entry tells of it"
        return
    last = max(steps, key=lambda detail: int(detail["version"]))
    numbers = chain_check.sends_of(told)
    for attempt in sorted({number for number in numbers if numbers.count(number) > 1}):
        yield f"its audit entries tell of {numbers.count(attempt)} sends with number {attempt}: it was sent again"
    sends = max(numbers, default=0)
    for name, found, said in (
        ("state", row.state, last["after"]),
        ("version", row.version, last["version"]),
        ("seq", row.seq, last["seq"]),
        ("attempt", row.attempt, sends),
    ):
        if found != said:
            yield f"its {name} is {found}, its last audit entry says {said}"
    born = next((detail for detail in steps if "order_id" in detail), None)
    if born is not None and (born["sender"], born["order_id"]) != (row.sender, row.order_id):
        yield "its sender or order id differs from that of its admission"
    heard = set(_told(vault, messages))
    missing = [seq for seq in range(1, row.seq + 1) if seq not in heard]
    if missing:
        yield f"its events {', '.join(map(str, missing))} of {row.seq} are gone from the outbox, or were altered"
    there = set(_proofs(vault, proofs))
    if any(detail.get("evidence", None) not in there for detail in steps if "evidence" in detail):
        yield "evidence that an audit entry names is gone, or was altered"


def _details(vault: Vault, entries: Sequence[Any]) -> Iterator[chain_check.ToldStep]:
    for row in entries:
        if row.entry.startswith("payment."):
            try:
                yield row.entry, json.loads(vault.open(row.detail, audit.header_of(row)))
            except VaultError:
                pass  # reported with the chain


def _told(vault: Vault, messages: Sequence[Any]) -> Iterator[int]:
    for row in messages:
        try:
            yield int(json.loads(outbox.decode_row(row, vault).body)["seq"])
        except (VaultError, ValueError, KeyError):
            pass


def _proofs(vault: Vault, proofs: Sequence[Any]) -> Iterator[str]:
    for row in proofs:
        try:
            vault.open(row.body, b"evidence/body/" + row.evidence.encode())
        except VaultError:
            continue
        yield row.evidence
