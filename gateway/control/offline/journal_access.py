"""Opens the journal of given settings for a command: its URL with the password, its vault, and the errors."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gateway.kernel.sql import databases, vault
from gateway.kernel.sql.vault import Vault
from gateway.settings import KeyPlace, Secret, Settings

Access = tuple[str, Vault]
"""The journal's URL with its password, and its vault."""
_ONLY_THERE = "credential {} is there only for the unit while it runs; name its file with"


class NoAccess(Exception):  # noqa: N818 - an answer, not a fault
    """The journal's key or password cannot be read. The text names the setting and the remedy."""


def vault_of(settings: Settings, instead: Path | None) -> Vault:
    """The vault with the key of the settings, or with the key file `instead`. Raises NoAccess."""
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
    if instead is None and secret is None:
        return url
    if instead is None and secret is not None and _only_in_the_unit(secret):
        raise NoAccess(f"journal.password: {_ONLY_THERE.format(secret.credential)} --database-password")
    try:
        if instead is not None:
            octets = instead.read_bytes().rstrip(b"\r\n")
        else:
            assert secret is not None
            octets = secret.secret_bytes()
        password = octets.decode()
    except OSError as error:
        place = instead or (None if secret is None else secret.source())
        wrong = f"journal.password: {place} cannot be read ({error.strerror})"
        raise NoAccess(f"{wrong}; or name its file with --database-password") from None
    return make_url(url).set(password=password).render_as_string(hide_password=False)


def _only_in_the_unit(secret: Secret | KeyPlace) -> bool:
    path = secret.path()
    return secret.credential is not None and path is not None and not path.exists()


def make_key(path: Path) -> None:
    """Make a vault key file, mode 0600. Raises FileExistsError, OSError."""
    vault.create(path)


def prepare_key(path: Path) -> str:
    """Add a key to a vault key file, for a later activation; returns its name. Raises NoAccess, OSError."""
    try:
        return vault.prepare_key(path)
    except vault.VaultError as error:
        raise NoAccess(str(error)) from None


def remove_key(path: Path, name: str, current: str) -> bool:
    """Remove a key from a vault key file, whose current one is then `current`; False if the file does not have it.
    Raises NoAccess, OSError."""
    try:
        return vault.remove_key(path, name, current)
    except vault.VaultError as error:
        raise NoAccess(str(error)) from None


def trouble(error: BaseException | None) -> str | None:
    """The database's message if this error means that the database is unreachable and a later attempt may succeed; else
    None."""
    return str(error.orig) if isinstance(error, DBAPIError) and databases.is_trouble(error) else None


def quick_check(url: str) -> tuple[str, str] | None:
    """The results of SQLite's `quick_check` and `journal_mode` for a file; None if it cannot be opened."""
    engine = databases.connect(url, connections=1, writing=False)
    try:
        with engine.connect() as conn:
            said = str(conn.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
            return said, str(conn.exec_driver_sql("PRAGMA journal_mode").scalar_one())
    except SQLAlchemyError:
        return None
    finally:
        engine.dispose()
