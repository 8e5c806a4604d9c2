"""Sends of a lane that the journal may lack: the question, and the effect of two persons' release of the lane."""

from __future__ import annotations

import json
from collections.abc import Callable

from sqlalchemy import Connection, select

from gateway.kernel.commit.ports import RoomPort
from gateway.kernel.sql import schema
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of

UNLISTED = "sends unlisted"
"""The row of `past_cleared` under this name says when persons last released the lane without a list of all its missing
sends."""
MAY_LACK_SENDS: RoomPort[Callable[[str], bool]] = RoomPort("kernel.may_lack_sends")
"""The port that says whether an order of this lane that is unsent by the journal may be at the bank (SAFE MODE). Each
process fills it by its own findings; a journal without them ends no unsent order by a person's word."""
IN_SAFE_MODE = "the gateway is in SAFE MODE: its database may lack that this was sent already. Nothing was changed; "
"""Why an unsent order of such a lane is not ended; what to do follows it."""
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
