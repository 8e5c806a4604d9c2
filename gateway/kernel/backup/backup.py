"""Backup of the journal while the gateway runs, with a manifest, and restore into an empty database.

A backup is a consistent snapshot: SQLite's online backup within one read transaction, `pg_dump` of an exported
snapshot, `mariadb-dump` of one transaction. It blocks no writer. The manifest is sealed with the vault's key. The key
is never part of a backup, and neither is the permit log, which after a restore shows what the backup lacks.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.kernel.backup import dump_tools
from gateway.kernel.cluster import restored_database
from gateway.kernel.commit import audit, vault_keys, vault_probe
from gateway.kernel.commit import permit_log as commit_permit_log
from gateway.kernel.sql import databases, migrations, schema, vaults
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import Vault, VaultError

FORMAT = 1
NOT_PROVEN = (
    "this machine's permit log does not prove that the backup has everything that was done: a gateway that starts on "
    "this database is in SAFE MODE until two persons end it"
)
_PIECE = 1 << 20


class NoBackup(Exception):  # noqa: N818 - an answer, not a fault
    """A backup could not be made, or could not be restored; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The description of a backup, kept in a JSON file beside it. `heads`: the last audit entry of each node's chain,
    as `[seq, hash]`. `exact`: the heads belong to the snapshot itself; otherwise the snapshot may have later entries.
    `permits` describes this machine's permit log. `beside` is the oldest schema whose programs may use the backup.
    """

    made_at: str
    version: str
    node: str
    backend: str
    file: str
    bytes: int
    sha256: str
    schema: str
    heads: Mapping[str, tuple[int, str]]
    exact: bool
    payments: int
    vault_key: str
    permits: Mapping[str, Any]
    beside: str = ""

    def as_json(self) -> dict[str, Any]:
        """The manifest as JSON values."""
        return {"format": FORMAT, **{name: getattr(self, name) for name in self.__dataclass_fields__}}


@dataclass(frozen=True, slots=True)
class Origin:
    """The journal that is backed up: its URL with password, its vault, the name of its node, and the time."""

    url: str
    vault: Vault
    node: str
    version: str
    permit_log: Path
    made_at: str


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore. `forgotten` counts the sends of this machine's permit log that the backup lacks;
    `gaps` are all differences for which lanes will be paused."""

    manifest: Manifest
    forgotten: int
    gaps: tuple[str, ...] = ()


# ---- backup --------------------------------------------------------------------------------------------------------


def make(origin: Origin, target: Path) -> Manifest:
    """Write a backup to `target`, mode 0600, and its manifest to `target.json`. Blocks. Raises NoBackup.

    Files that root makes belong to the owner of their folder, so that the service's user can read and delete them.
    """
    for path in (target, _beside(target)):
        if path.exists():
            raise NoBackup(f"{path} exists, and a backup is never overwritten; name another file")
    url, part = make_url(origin.url), target.with_name(f"{target.name}.part")
    _check_key(url, origin.vault)
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600))
        os.chmod(part, 0o600)
        _give_to_folder_owner(part)
    except OSError as error:
        raise NoBackup(f"{part} cannot be made ({error.strerror}); name a folder that you may write") from None
    try:
        facts = _COPY[_backend(url)](url, part)
        _sync(part)
        manifest = Manifest(
            made_at=origin.made_at,
            version=origin.version,
            node=origin.node,
            backend=_backend(url),
            file=target.name,
            bytes=part.stat().st_size,
            sha256=_sha256(part),
            vault_key=_key_name(origin.vault),
            permits=_permit_facts(origin.permit_log),
            **facts,
        )
        part.rename(target)
    except SQLAlchemyError as error:
        raise NoBackup(f"the journal cannot be read: {_first_line(error)}") from None
    finally:
        part.unlink(missing_ok=True)
    # Write the manifest last: a backup without one is incomplete.
    _write(_beside(target), _sealed(manifest, origin.vault))
    return manifest


def _check_key(url: URL, vault: Vault) -> None:
    """Refuse a backup whose manifest would be sealed with a key that does not open what is in the journal."""
    if _backend(url) == "sqlite" and not Path(url.database or "").is_file():
        raise NoBackup(f"there is no journal at {url.database}; nothing to copy")
    try:
        with _connected(url.render_as_string(hide_password=False), vault) as conn:
            revision = migrations.revision_of(conn)
            if revision is not None:
                vault_probe.check(conn, vault)
                _use_key_of(conn, vault, revision)
    except VaultError as error:
        raise NoBackup(
            f"the vault key {_key_name(vault)} does not open this journal ({error}), and a copy under it could not be "
            f"restored; name the key file of this journal (journal.vault_key, or --vault-key). Nothing was copied"
        ) from None
    except SQLAlchemyError as error:
        raise NoBackup(f"the journal cannot be read: {_first_line(error)}") from None


def _use_key_of(conn: Connection, vault: Vault, revision: str) -> None:
    """Seal the manifest with the key that the journal uses, so that the copy needs no earlier one for its sake."""
    if revision < vault_keys.FIRST:
        return
    try:
        vault_keys.take_up(conn, vault)
    except SealBroken:
        pass  # an altered journal is copied as it is; the key file's own word counts


def _copy_sqlite(url: URL, part: Path) -> dict[str, Any]:
    path = Path(url.database or "")
    try:
        with closing(_open_sqlite(path)) as source, closing(sqlite3.connect(part)) as copy:
            # All pages in one step, as one read transaction; with a write-ahead log commits go on meanwhile.
            source.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode=DELETE")
            whole = [row[0] for row in copy.execute("PRAGMA integrity_check")]
    except sqlite3.Error as error:
        raise NoBackup(f"{path} cannot be copied: {error}") from None
    if whole != ["ok"]:
        raise NoBackup(
            f"{path}: the copy is not complete ({whole[0]}); the database is damaged, see docs/do/restore.md"
        )
    with _connected(f"sqlite:///{part}") as conn:
        return {**_facts(conn), "exact": True}


def _open_sqlite(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=databases.BUSY_TIMEOUT_MS / 1000)
    conn.execute("PRAGMA query_only=ON")
    return conn


def _copy_postgresql(url: URL, part: Path) -> dict[str, Any]:
    engine = databases.connect(url.render_as_string(hide_password=False), connections=1, writing=False)
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as conn:
            # This transaction idles on purpose and locks nothing: the snapshot must outlive the dump.
            conn.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            snapshot = str(conn.execute(text("SELECT pg_export_snapshot()")).scalar_one())
            facts = _facts(conn)
            _run(*dump_tools.postgresql_out(url, part, snapshot))
    finally:
        engine.dispose()
    return {**facts, "exact": True}


def _copy_mysql(url: URL, part: Path) -> dict[str, Any]:
    with _connected(url.render_as_string(hide_password=False)) as conn:
        facts = _facts(conn)
    _run(*dump_tools.mysql_out(url, part))
    return {**facts, "exact": False}


_COPY = {"sqlite": _copy_sqlite, "postgresql": _copy_postgresql, "mysql": _copy_mysql}


def _facts(conn: Connection) -> dict[str, Any]:
    revision = migrations.revision_of(conn)
    if revision is None:
        raise NoBackup("this database holds no journal; start the gateway once, or mend journal.url")
    heads = {node: (head.seq, head.hash) for node, head in audit.ends(conn).items()}
    payments = databases.count(conn, schema.payments)
    return {"schema": revision, "beside": migrations.beside_of(conn), "heads": heads, "payments": payments}


def _permit_facts(path: Path) -> dict[str, Any]:
    try:
        return commit_permit_log.facts(path)
    except OSError as error:
        return {"file": path.name, "unreadable": str(error)}


# ---- restore -------------------------------------------------------------------------------------------------------


def examine(copy: Path, vault: Vault) -> Manifest:
    """Refuse a backup whose manifest would be sealed with a key that does not open the journal's values."""
    manifest = _unsealed(_beside(copy), vault)
    if not copy.is_file():
        raise NoBackup(f"there is no file {copy}")
    found = (copy.stat().st_size, _sha256(copy))
    if found != (manifest.bytes, manifest.sha256):
        raise NoBackup(
            f"{copy} is not the file that its manifest describes ({found[0]} bytes, {manifest.bytes} expected); "
            f"it was damaged or replaced: use another copy"
        )
    if not migrations.fits(manifest.schema, manifest.beside):
        raise NoBackup(
            f"{copy} has schema {manifest.schema}, which this program does not know (newest "
            f"{migrations.KNOWN[-1]}); install the bankgw {manifest.version} that made it"
        )
    return manifest


def restore(url: str, vault: Vault, permit_log: Path, copy: Path, node: str = "") -> Restored:
    """Restore a backup into an empty database and verify its audit chains completely. Blocks. Raises NoBackup.

    The database itself records that it was restored, so that every gateway that starts on it, on any machine, is in
    SAFE MODE. The mark is removed if this machine's permit log proves that nothing is missing. `node` is the node that
    will run here, by default the node that made the backup. The caller makes sure that nothing else uses the database
    meanwhile.
    """
    manifest, parsed = examine(copy, vault), make_url(url)
    if manifest.backend != _backend(parsed):
        raise NoBackup(f"{copy} is of a {manifest.backend} journal, and journal.url names {_backend(parsed)}")
    _BACK[manifest.backend](parsed, vault, manifest, copy)
    try:
        log = commit_permit_log.know(permit_log, vault, node or manifest.node)
        with _connected(url, vault) as conn:
            found = restored_database.compare(conn, log, 0, ignore_mark=True).past
            proven = restored_database.knows_all(conn, log, found)
    except commit_permit_log.PermitLogBroken as error:
        raise NoBackup(f"the copy is in place, but it cannot be compared with the permit log: {error}") from None
    if proven:
        _write_meta(parsed, "delete from meta where name = :name", {"name": restored_database.RESTORED_MARK})
    gaps = tuple(gap.sentence() for gap in found.gaps)
    return Restored(manifest, found.forgotten, gaps if proven else (*gaps, NOT_PROVEN))


def _back_sqlite(url: URL, vault: Vault, manifest: Manifest, copy: Path) -> None:
    path = Path(url.database or "")
    for one in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        if one.exists():
            raise NoBackup(f"{one} exists, and a journal is never overwritten; move it aside (with -wal and -shm)")
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as new, copy.open("rb") as old:
            while piece := old.read(_PIECE):
                new.write(piece)
        _give_to_folder_owner(part)
        _sync(part)
        with _connected(f"sqlite:///{part}") as conn:
            _verify(conn, vault, manifest)
        _mark(url.set(database=str(part)), vault, manifest)
        part.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise NoBackup(f"{path} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _back_server(url: URL, vault: Vault, manifest: Manifest, copy: Path) -> None:
    clear = url.render_as_string(hide_password=False)
    try:
        with _connected(clear) as conn:
            there = inspect(conn).get_table_names()
    except SQLAlchemyError as error:
        raise NoBackup(f"{url} cannot be opened ({_first_line(error)}); make an empty database there first") from None
    if there:
        raise NoBackup(
            f"{url} is not empty (it has a table {there[0]}); make a new, empty database and name it in journal.url"
        )
    put_back = dump_tools.postgresql_back if manifest.backend == "postgresql" else dump_tools.mysql_back
    _run(*put_back(url, copy))
    with _connected(clear) as conn:
        try:
            _verify(conn, vault, manifest)
            _mark(url, vault, manifest)
        except NoBackup as error:
            raise NoBackup(f"{error}. Drop that database again; do not start the gateway on it") from None


def _mark(url: URL, vault: Vault, manifest: Manifest) -> None:
    name, value = restored_database.restored_mark(vault, os.urandom(16).hex(), f"{manifest.file} {manifest.made_at}")
    _write_meta(url, "delete from meta where name = :name", {"name": name})
    _write_meta(url, "insert into meta (name, value) values (:name, :value)", {"name": name, "value": value})


def _write_meta(url: URL, statement: str, values: Mapping[str, str]) -> None:
    if _backend(url) == "sqlite":
        with closing(sqlite3.connect(str(url.database))) as db, db:
            db.execute(statement, dict(values))
        return
    engine = databases.connect(url.render_as_string(hide_password=False), connections=1, writing=True)
    try:
        with engine.connect() as conn, conn.begin():
            conn.execute(text(statement), dict(values))
    finally:
        engine.dispose()


_BACK = {"sqlite": _back_sqlite, "postgresql": _back_server, "mysql": _back_server}


def _verify(conn: Connection, vault: Vault, manifest: Manifest) -> None:
    """Check that the restored data matches the manifest and that its audit chains are intact."""
    facts = _facts(conn)
    for node, (seq, hashed) in manifest.heads.items():
        found = facts["heads"].get(node, (0, ""))
        if found != (seq, hashed) and (manifest.exact or found[0] <= seq):
            raise NoBackup(f"the audit trail of {node} ends at entry {found[0]}, the manifest says {seq}")
    if facts["schema"] != manifest.schema:
        raise NoBackup(f"the copy has schema {facts['schema']}, the manifest says {manifest.schema}")
    problems = audit.verify(conn, vault)
    if problems:
        raise NoBackup(f"the copy's audit trail is not intact: {problems[0]}")


# ---- the manifest ------------------------------------------------------------------------------------------------


def _beside(copy: Path) -> Path:
    return copy.with_name(f"{copy.name}.json")


def _canonical(words: Mapping[str, Any]) -> bytes:
    return json.dumps(words, ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode()


def _sealed(manifest: Manifest, vault: Vault) -> bytes:
    words = manifest.as_json()
    seal = b64encode(vault.seal(b"", b"backup/" + _canonical(words))).decode()
    return json.dumps({**words, "seal": seal}, indent=1, sort_keys=True).encode() + b"\n"


def _unsealed(path: Path, vault: Vault) -> Manifest:
    try:
        said = json.loads(path.read_bytes())
        seal, formed = b64decode(said.pop("seal"), validate=True), said["format"]
    except OSError as error:
        raise NoBackup(f"{path} cannot be read ({error.strerror}); a copy needs the manifest beside it") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NoBackup(f"{path} is damaged; take another copy") from None
    if formed != FORMAT:
        raise NoBackup(f"{path} has format {formed}; this program reads format {FORMAT}: install the one that made it")
    try:
        vault.open(seal, b"backup/" + _canonical(said))
    except VaultError as error:
        why = "it was altered, or sealed with another vault key"
        if "does not have" in str(error):
            why = f"it was sealed with vault key {said.get('vault_key')}, which the vault's key file does not hold"
        raise NoBackup(f"{path}: {why}; give the key file that belongs to it (journal.vault_key)") from None
    # The seal covers every field.
    del said["format"]
    made = Manifest(**said)
    return replace(made, heads={node: (seq, hashed) for node, (seq, hashed) in said["heads"].items()})


def _key_name(vault: Vault) -> str:
    """The name of the vault's current key, which every sealed value contains."""
    sealed = vault.seal(b"", b"")
    return sealed[2 : 2 + sealed[1]].decode()


# ---- files and connections ---------------------------------------------------------------------------------------


def _backend(url: URL) -> str:
    name = url.get_backend_name()
    return "mysql" if name == "mariadb" else name


@contextmanager
def _connected(url: str, vault: Vault | None = None) -> Iterator[Connection]:
    engine = databases.connect(url, connections=1, writing=False)
    if vault is not None:
        vaults.attach(engine, vault)
    try:
        with engine.connect() as conn:
            yield conn
    finally:
        engine.dispose()


def _run(command: dump_tools.DumpCommand, environment: Mapping[str, str]) -> None:
    try:
        with dump_tools.opened(command) as (stdin, stdout):
            done = subprocess.run(
                command.arguments,
                env={**os.environ, **environment},
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                check=False,
            )
    except FileNotFoundError:
        raise NoBackup(f"there is no program {command.arguments[0]}; install the database's client programs") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise NoBackup(f"{command.arguments[0]} failed: {said[0] if said else f'exit code {done.returncode}'}")


def _first_line(error: SQLAlchemyError) -> str:
    said = str(getattr(error, "orig", error)).strip().splitlines()
    return said[0] if said else type(error).__name__


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, octets: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    _give_to_folder_owner(path)
    _sync(path.parent)


def _give_to_folder_owner(path: Path) -> None:
    """Give files that root has made to the owner of their folder, because the daemon's user must be able to use
    them."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
