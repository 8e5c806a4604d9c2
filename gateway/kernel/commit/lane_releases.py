"""How two persons' release of a lane changes what is known about the lane's earlier orders."""

from __future__ import annotations

import json

from sqlalchemy import Connection, select

from gateway.kernel.sql import schema
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of

UNLISTED = "sends unlisted"
"""The row of `past_cleared` under this name says when persons last released the lane without a list of all its missing
sends."""
_C = schema.past_cleared.c


def release_seal(vault: Vault, lane: str, episode: str, proposal: str, at_ms: int) -> str:
    """The seal of a row of `past_cleared`. It proves that a holder of the vault's key released the lane."""
    return vault.mac(b"past_cleared\n" + json.dumps([lane, episode, proposal, at_ms]).encode()).hex()


def unlisted_until_ms(conn: Connection, lane: str) -> int:
    """When two persons last released this lane although no log listed every send that the journal may lack; 0 if never.
    An order accepted before that may be at the bank, whatever the journal says."""
    row = conn.execute(select(schema.past_cleared).where(_C.lane == lane, _C.episode == UNLISTED)).first()
    if row is None or row.seal != release_seal(vault_of(conn), lane, UNLISTED, row.proposal, row.at_ms):
        return 0
    return int(row.at_ms)
