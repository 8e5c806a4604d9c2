"""The access to the journal by these settings: its URL with the password, and the polling interval."""

from __future__ import annotations

from gateway.settings.tables import Settings


def database_url(settings: Settings) -> str:
    """The journal's URL with its password. Raises OSError for the password's file."""
    if settings.journal.password is None:
        return settings.journal_url()
    from sqlalchemy import make_url  # imported only here, because it takes a tenth of a second

    password = settings.journal.password.secret_bytes().decode()
    return make_url(settings.journal_url()).set(password=password).render_as_string(hide_password=False)


def poll_ms(settings: Settings) -> float:
    """The interval for reading other nodes' writes; 0 if there can be no other node."""
    set_ms = settings.journal.poll_ms
    return set_ms if set_ms is not None else 0.0 if settings.journal_url().startswith("sqlite") else 250.0
