"""The access to the journal for commands without a daemon: their options, and the files that these name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import exit_codes, output

if TYPE_CHECKING:
    from gateway.control.offline.journal_access import Access
    from gateway.settings import Settings

VaultKey = Annotated[
    Path | None, typer.Option("--vault-key", help="The vault's key file, where the settings name a systemd credential.")
]
Password = Annotated[Path | None, typer.Option("--database-password", help="The database password's file, likewise.")]


def access_of(settings: Settings, vault_key: Path | None, password: Path | None) -> Access:
    """The journal's URL with its password, and its vault; the named files replace the unit's credentials. Ends with
    CONFIG if a file cannot be read."""
    from gateway.control.offline import journal_access

    try:
        keys = journal_access.vault_of(settings, vault_key)
        return journal_access.url_of(settings, password), keys
    except journal_access.NoAccess as error:
        output.leave(exit_codes.CONFIG, output.explained(error, "流水库的密钥或密码无法读取："))


def settings_of(context: typer.Context, config: Path) -> Settings:
    """The settings, even if they have mistakes; ends with CONFIG if they cannot be loaded at all."""
    return output.loaded(context, config).settings
