"""How a command opens the journal of given settings: its URL with the password, its vault, and what goes wrong."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gateway.journal.sql import databases, vault
from gateway.journal.sql.vault import Vault
from gateway.settings import Secret, Settings

Access = tuple[str, Vault]
"""The journal's URL with its password, and its vault."""
_ONLY_THERE = "credential {} is there only for the unit while it runs; name its file with"


class NoAccess(Exception):  # noqa: N818 - an answer, not a fault
    """The journal's key or password cannot be read. The text names the setting and the remedy."""


def vault_of(settings: Settings, instead: Path | None) -> Vault:
    """The vault of the settings, or of the key file `instead`. Raises NoAccess."""
    secret = settings.journal.vault_key
    if instead is None and _only_in_the_unit(secret):
        raise NoAccess(f"journal.vault_key: {_ONLY_THERE.format(secret.credential)} --vault-key")
    try:
        return vault.load(instead or secret.path())
    except vault.VaultError as error:
        raise NoAccess(f"{error}; or name the key file with --vault-key") from None


def url_of(settings: Settings, instead: Path | None) -> str:
    """The journal's URL with the password of the settings, or of the file `instead`. Raises NoAccess."""
    url, secret = settings.journal_url(), settings.journal.password
    path = instead or (None if secret is None else secret.path())
    if path is None:
        return url
    if instead is None and secret is not None and _only_in_the_unit(secret):
        raise NoAccess(f"journal.password: {_ONLY_THERE.format(secret.credential)} --database-password")
    try:
        password = path.read_bytes().rstrip(b"\r\n").decode()
    except OSError as error:
        wrong = f"journal.password: {path} cannot be read ({error.strerror})"
        raise NoAccess(f"{wrong}; or name its file with --database-password") from None
    return make_url(url).set(password=password).render_as_string(hide_password=False)


def _only_in_the_unit(secret: Secret) -> bool:
    return secret.credential is not None and not secret.path().exists()


def make_key(path: Path) -> None:
    """Make a vault key file, mode 0600. Raises FileExistsError, OSError."""
    vault.create(path)


def trouble(error: BaseException | None) -> str | None:
    """What the database said, if this error means that it is out of reach and may be back in a minute; else None."""
    return str(error.orig) if isinstance(error, DBAPIError) and databases.is_trouble(error) else None


def quick_check(url: str) -> tuple[str, str] | None:
    """What SQLite's `quick_check` and `journal_mode` say of a file; None if it cannot be opened."""
    engine = databases.connect(url, connections=1, writing=False)
    try:
        with engine.connect() as conn:
            said = str(conn.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
            return said, str(conn.exec_driver_sql("PRAGMA journal_mode").scalar_one())
    except SQLAlchemyError:
        return None
    finally:
        engine.dispose()
