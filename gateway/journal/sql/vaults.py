"""Which vault opens what a connection reads: it travels with the connection, so readers need no second argument."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event

from gateway.journal.sql.vault import Vault

_KEY = "bankgw.vault"


def attach(engine: Engine, vault: Vault) -> None:
    """Let every connection of this engine carry `vault`."""

    def on_connect(_connection: Any, record: Any) -> None:
        record.info[_KEY] = vault

    event.listen(engine, "connect", on_connect)


def vault_of(conn: Connection) -> Vault:
    """The vault this connection carries."""
    vault = conn.info[_KEY]
    assert isinstance(vault, Vault)
    return vault
