"""Opening the journal for reading only: a process that does so can run no statement that changes it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url

from gateway.kernel.sql import databases, vaults
from gateway.kernel.sql.vault import Vault

_SERVERS = {
    "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
}


def connect(url: str, vault: Vault | None, connections: int) -> Engine:
    """Make an engine whose connections can only read. SQLite's file is opened with `mode=ro` and must exist. Without a
    vault only clear columns can be read.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        parsed = parsed.set(database=f"file:{parsed.database}", query={"mode": "ro", "uri": "true"})
        engine = databases.connect(parsed.render_as_string(hide_password=False), connections=connections, writing=False)
    else:
        engine = databases.connect(url, connections=connections, writing=False)
        event.listen(engine, "connect", _read_only(_SERVERS[parsed.get_backend_name()]))
    if vault is not None:
        vaults.attach(engine, vault)
    return engine


def _read_only(statement: str) -> Any:
    def on_connect(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.commit()

    return on_connect
