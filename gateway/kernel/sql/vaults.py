"""The vault of a connection: it is attached to the connection, so that readers need no second argument."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event

from gateway.kernel.sql.vault import Vault

_KEY = "bankgw.vault"


def attach(engine: Engine, vault: Vault) -> None:
    """Attach `vault` to every connection of this engine."""

    def on_connect(_connection: Any, record: Any) -> None:
        record.info[_KEY] = vault

    event.listen(engine, "connect", on_connect)


def vault_of(conn: Connection) -> Vault:
    """The vault that was attached to this connection."""
    vault = conn.info[_KEY]
    assert isinstance(vault, Vault)
    return vault
