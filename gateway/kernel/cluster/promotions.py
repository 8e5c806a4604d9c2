"""Detects that a replica was promoted: the last sends of a node that has failed may then be in that node's permit log
only.

Each node records in the journal that its own log agrees with the server that holds the journal now. After a promotion,
the lanes of another node wait until that node has recorded this again, or until two persons release them. Nodes that
had been absent for a day before the promotion are not waited for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from gateway.kernel.cluster import restored_database
from gateway.kernel.cluster.gaps import Gap, GapKind
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import databases, schema
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of

LATELY_MS = 86_400_000
_M, _N, _A, _L = schema.meta.c, schema.units.c, schema.audit.c, schema.lanes.c
_SERVER, _AGREES = "server", "with."


def unsaid(conn: Connection, node: str) -> bool:
    """True if this node has not recorded yet that its log agrees with the server that holds the journal now."""
    server = databases.incarnation(conn)
    return bool(server) and _said(conn, _AGREES + node) != [server]


def agree(tx: Tx) -> None:
    """Record that this node's permit log agrees with the database server that holds the journal now. If the server is
    new, the time at which it was first seen is recorded too."""
    server = databases.incarnation(tx.fresh)
    known = _said(tx.fresh, _SERVER)
    if known is None or known[0] != server:
        _say(tx, _SERVER, [server, 0 if known is None else tx.now_ms])
    _say(tx, _AGREES + tx.node, [server])


def waiting(conn: Connection, node: str, now_ms: int) -> list[Gap]:
    """A gap for each other node whose log was not compared since the promotion, with the lanes that the node had."""
    server, known = databases.incarnation(conn), _said(conn, _SERVER)
    if not server or known is None:
        return []
    since_ms = now_ms if known[0] != server else known[1]
    if not since_ms:
        return []
    lately = _N.at_ms >= since_ms - LATELY_MS
    nodes = conn.execute(select(_N.node).where(_N.node != node, lately).order_by(_N.node)).scalars().all()
    senders = set(restored_database.senders(conn, node))
    absent = [one for one in nodes if one in senders and _said(conn, _AGREES + one) != [server]]
    had = [(one, _had(conn, one)) for one in absent]
    return [Gap(GapKind.PROMOTED, one, (0, server), (0, ""), 0, unlogged=lanes) for one, lanes in had if lanes]


def _had(conn: Connection, node: str) -> tuple[str, ...]:
    lanes: Sequence[str] = conn.execute(select(_L.lane).order_by(_L.lane)).scalars().all()
    leased = select(_A.seq).where(_A.node == node, _A.entry == "lane.leased").limit(1)
    return tuple(lane for lane in lanes if conn.execute(leased.where(_A.object_id == lane)).first() is not None)


def _said(conn: Connection, name: str) -> list[Any] | None:
    value = conn.execute(select(_M.value).where(_M.name == name)).scalar()
    if value is None:
        return None
    said, mac = json.loads(value)
    return list(said) if mac == _mac(vault_of(conn), name, said) else None


def _say(tx: Tx, name: str, said: list[Any]) -> None:
    tx.fresh.execute(delete(schema.meta).where(_M.name == name))
    tx.fresh.execute(insert(schema.meta), {"name": name, "value": json.dumps([said, _mac(tx.vault, name, said)])})


def _mac(vault: Vault, name: str, said: Sequence[Any]) -> str:
    return vault.mac(b"server of the journal\n" + json.dumps([name, said]).encode()).hex()
