"""Command lines of the databases' dump and restore programs. Passwords are passed in the environment."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sqlalchemy import URL

ProcessEnvironment = dict[str, str]


@dataclass(frozen=True, slots=True)
class DumpCommand:
    """A program and its arguments; `reads` and `writes` are files for its stdin and stdout."""

    arguments: tuple[str, ...]
    reads: Path | None = None
    writes: Path | None = None


@contextmanager
def opened(command: DumpCommand) -> Iterator[tuple[IO[bytes] | None, IO[bytes] | None]]:
    """Open a dump command's files for stdin and stdout; None for a stream that the command does not use."""
    with ExitStack() as stack:
        stdin = None if command.reads is None else stack.enter_context(command.reads.open("rb"))
        stdout = None if command.writes is None else stack.enter_context(command.writes.open("wb"))
        yield stdin, stdout


def postgresql_out(url: URL, target: Path, snapshot: str) -> tuple[DumpCommand, ProcessEnvironment]:
    """The command that dumps an exported PostgreSQL snapshot with `pg_dump` in custom format, and its environment."""
    arguments = (
        "pg_dump",
        "--format=custom",
        "--no-owner",
        "--no-privileges",
        "--no-password",
        f"--snapshot={snapshot}",
        f"--file={target}",
    )
    return DumpCommand(arguments), _libpq(url)


def postgresql_back(url: URL, copy: Path) -> tuple[DumpCommand, ProcessEnvironment]:
    """The command that restores a PostgreSQL dump with `pg_restore`, all or nothing, and its environment."""
    arguments = (
        "pg_restore",
        "--exit-on-error",
        "--single-transaction",
        "--no-owner",
        "--no-privileges",
        "--no-password",
        f"--dbname={url.database}",
        str(copy),
    )
    return DumpCommand(arguments), _libpq(url)


def mysql_out(url: URL, target: Path) -> tuple[DumpCommand, ProcessEnvironment]:
    """The command that dumps a MySQL or MariaDB database in one transaction, and its environment."""
    arguments = (
        _either("mariadb-dump", "mysqldump"),
        *_login(url),
        "--single-transaction",
        "--skip-lock-tables",
        "--hex-blob",
        "--no-tablespaces",
        "--default-character-set=utf8mb4",
        str(url.database),
    )
    return DumpCommand(arguments, writes=target), _password("MYSQL_PWD", url)


def mysql_back(url: URL, copy: Path) -> tuple[DumpCommand, ProcessEnvironment]:
    """The command that restores a MySQL or MariaDB dump with the client program, and its environment."""
    arguments = (_either("mariadb", "mysql"), *_login(url), "--default-character-set=utf8mb4", str(url.database))
    return DumpCommand(arguments, reads=copy), _password("MYSQL_PWD", url)


def _either(*names: str) -> str:
    return next((name for name in names if shutil.which(name)), names[0])


def _libpq(url: URL) -> ProcessEnvironment:
    said = {
        "PGHOST": url.host,
        "PGPORT": None if url.port is None else str(url.port),
        "PGUSER": url.username,
        "PGDATABASE": url.database,
    }
    return {**{name: value for name, value in said.items() if value}, **_password("PGPASSWORD", url)}


def _login(url: URL) -> tuple[str, ...]:
    said = {"host": url.host, "port": url.port, "user": url.username}
    # Force TCP: for `localhost` the client would use a socket.
    return (*(f"--{name}={value}" for name, value in said.items() if value), "--protocol=tcp")


def _password(name: str, url: URL) -> ProcessEnvironment:
    return {} if url.password is None else {name: str(url.password)}
