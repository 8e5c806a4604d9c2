"""The journal's probe: one sealed value that shows whether a vault's key is the one with which the journal began."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, insert, select, update

from gateway.kernel.sql import schema
from gateway.kernel.sql.vault import Vault, VaultError, key_name

NAME: Final = "vault_probe"
"""The probe's row of `meta`."""
_AAD: Final = b"meta/value/" + NAME.encode()


def add(conn: Connection, vault: Vault) -> None:
    """Write the probe of a new journal."""
    conn.execute(insert(schema.meta), {"name": NAME, "value": vault.seal(b"bankgw", _AAD).hex()})


def check(conn: Connection, vault: Vault) -> bool:
    """True if the journal has a probe, which this vault opens; False if it has none. Raises VaultError otherwise."""
    value = conn.execute(select(schema.meta.c.value).where(schema.meta.c.name == NAME)).scalar()
    if value is None:
        return False
    try:
        octets = bytes.fromhex(value)
    except ValueError:
        raise VaultError("the journal's probe is damaged") from None
    vault.open(octets, _AAD)
    return True


def renew(conn: Connection, vault: Vault) -> bool:
    """Seal the probe with the vault's current key; False if it is already. Raises VaultError if it does not open."""
    value = conn.execute(select(schema.meta.c.value).where(schema.meta.c.name == NAME)).scalar()
    if value is None or key_name(bytes.fromhex(value)) == vault.current:
        return False
    sealed = vault.reseal(bytes.fromhex(value), _AAD)
    conn.execute(update(schema.meta).where(schema.meta.c.name == NAME).values(value=sealed.hex()))
    return True
