"""Decisions of persons in the reconciliation: they confirm a match, set a row aside with a reason, or
undo a decision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.vaults import vault_of
from gateway.people.rows.persons import No
from gateway.reconciliation.rules.rows import Matching
from gateway.statements.rows import accounts

CONFIRM, ASIDE = "confirm", "aside"
IN_FORCE, UNDONE = "in_force", "undone"
_D = schema.match_decisions.c


@dataclass(frozen=True, slots=True)
class MatchDecision:
    """A decision in force: rows of one matching that a person put together (`confirm`), or set aside.

    `facts` is the state of each row at the decision; {} for a decision from before facts were stored.
    """

    decision: str
    kind: str
    matching: Matching
    entries: tuple[str, ...]
    lines: tuple[str, ...]
    reason: str
    actor: str
    at_ms: int
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[str, ...]:
        """The ids of both sides."""
        return (*self.entries, *self.lines)


def in_force(conn: Connection, account: str) -> list[MatchDecision]:
    """The decisions of an account that are in force, oldest first."""
    vault = vault_of(conn)
    found = conn.execute(
        select(schema.match_decisions)
        .where(_D.account_idx == vault.blind(account), _D.state == IN_FORCE)
        .order_by(_D.decision)
    )
    return [_read(conn, row) for row in found]


def named(conn: Connection, decisions: Sequence[str]) -> list[MatchDecision]:
    """The decisions with these ids, in force or not. The content of a decision never changes."""
    return [
        _read(conn, row)
        for some in accounts.pieces(decisions)
        for row in conn.execute(select(schema.match_decisions).where(_D.decision.in_(some)))
    ]


def decide(
    tx: Tx,
    account: str,
    kind: str,
    matching: Matching,
    entries: Sequence[str],
    lines: Sequence[str],
    reason: str,
    actor: str,
    facts: Mapping[str, str],
) -> MatchDecision | No:
    """Record a decision with its basis. It is refused for a row that another decision has."""
    for other in in_force(tx.fresh, account):
        both = sorted({*other.rows} & {*entries, *lines}) if other.matching is matching else []
        if both:
            return No("decided", f"{both[0]} is decided already ({other.decision}); undo that; nothing was changed")
    made = MatchDecision(
        tx.entropy.ulid(tx.now_ms),
        kind,
        matching,
        tuple(sorted(entries)),
        tuple(sorted(lines)),
        reason,
        actor,
        tx.now_ms,
        facts,
    )
    said = {
        "matching": matching.value,
        "entries": made.entries,
        "lines": made.lines,
        "reason": reason,
        "actor": actor,
        "facts": dict(facts),
    }
    insert_new(
        tx.fresh,
        schema.match_decisions,
        {
            "decision": made.decision,
            "account_idx": tx.vault.blind(account),
            "kind": kind,
            "state": IN_FORCE,
            "at_ms": tx.now_ms,
            "body": tx.vault.seal(json.dumps(said).encode(), _aad(made.decision)),
        },
    )
    audit.append(
        tx,
        actor,
        f"reconciliation.{kind}",
        made.decision,
        {"matching": matching.value, "entries": len(entries), "lines": len(lines), "reason": reason},
    )
    return made


def undo(tx: Tx, account: str, decision: str, reason: str, actor: str) -> MatchDecision | No:
    """Take a decision back; the rows are matched by the rules again."""
    found = next((one for one in in_force(tx.fresh, account) if one.decision == decision), None)
    if found is None:
        return No("no_such_decision", f"no decision {decision} of this account is in force; nothing was changed")
    tx.fresh.execute(update(schema.match_decisions).where(_D.decision == decision).values(state=UNDONE))
    audit.append(tx, actor, "reconciliation.undo", decision, {"reason": reason})
    return found


def _read(conn: Connection, row: Any) -> MatchDecision:
    said = json.loads(vault_of(conn).open(row.body, _aad(row.decision)))
    return MatchDecision(
        row.decision,
        row.kind,
        Matching(said["matching"]),
        tuple(said["entries"]),
        tuple(said["lines"]),
        said["reason"],
        said["actor"],
        row.at_ms,
        said.get("facts", {}),
    )


def _aad(decision: str) -> bytes:
    return b"match_decisions/" + decision.encode()
