"""Fast substitutes in a simulated world for slow parts: each is named here, with what it leaves out.

- The journal is a real SQLite file with the real schema, copied from one that was migrated once per process; its
  commits are not synced to a disk, because a simulated crash loses no page that was written.
- The sample bank's answers bear a keyed checksum of a signature's length instead of an RSA signature: a changed byte is
  still found, and the adapter's gate, digests and correlation are the real ones. The gateway's own signatures are not
  made, and the cheap twin does not look at them. Real signatures are tested with each bank and in the demo.
- Adapters and twins hold no state of a world, so one of each serves all worlds of a process.
"""

from __future__ import annotations

import hmac
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from sqlalchemy import create_engine, event

from gateway import settings as conf
from gateway.bank.signers import Signer
from gateway.kernel.commit.group_commit import SqlStore
from gateway.kernel.sql import databases, migrations, schema
from gateway.register import adapters
from protocols.bank import Bank
from protocols.kit.dsig import PinnedKey
from protocols.twin import Twin

BORN = datetime(2026, 11, 18, tzinfo=UTC)
_SEAL_BYTES = 256


@dataclass(frozen=True, slots=True)
class Keys:
    """The world's keys, made once per process because making RSA keys is slow."""

    signer: Signer
    bank_key: bytes
    bank_certificate: str
    client_certificate: bytes
    client_key: bytes


class _Stamp:
    """A signer that does not sign. It is enough because the cheap twin does not check signatures."""

    key_id = "order"
    certificate = None
    trouble = None

    async def sign(self, octets: bytes, document: bytes = b"") -> bytes:
        """A signature of 256 bytes, the size of a real one."""
        return bytes(_SEAL_BYTES)


class _Seal:
    """A stand-in for both halves of a bank's signing key, which signs and verifies with an HMAC."""

    key_size = 2048

    def sign(self, octets: bytes, _padding: object, _algorithm: object) -> bytes:
        """Sign with an HMAC, in place of RSAPrivateKey.sign."""
        return hmac.digest(b"the simulated bank", octets, sha256) * (_SEAL_BYTES // 32)

    def verify(self, signature: bytes, octets: bytes, padding: object, algorithm: object) -> None:
        """Verify the HMAC, in place of RSAPublicKey.verify. Raises InvalidSignature."""
        if not hmac.compare_digest(signature, self.sign(octets, padding, algorithm)):
            raise InvalidSignature


@cache
def signing_keys() -> Keys:
    """One bank key for all worlds of this process."""
    from gateway.simbank.pki import make_pki

    with tempfile.TemporaryDirectory() as folder:
        pki = make_pki(Path(folder), ["sample"], BORN)["sample"]
        stamp: Any = _Stamp()  # a signer without a key, because worlds do not check the gateway's signatures
        return Keys(
            stamp,
            pki.bank_sign_key.read_bytes(),
            pki.bank_sign_cert.read_text(),
            pki.gateway_sign_cert.read_bytes(),
            pki.gateway_sign_key.read_bytes(),
        )


def twin(name: str, options: Mapping[str, Any]) -> Twin:
    """The twin of a bank, built with these options."""
    return _twin(name, json.dumps(options))


@cache
def _twin(name: str, options: str) -> Twin:
    keys = signing_keys()
    made: Any = import_module(f"protocols.banks.{name}.twin").build(
        json.loads(options), {"bank": keys.bank_key, "client": keys.client_certificate}
    )
    if name == "sample":
        made._key = _Seal()
    return made  # type: ignore[no-any-return]


def bank(table: conf.BankSettings, options: Mapping[str, Any]) -> Bank:
    """The adapter as the settings' table would load it, with these options."""
    return _bank(table.model_dump_json(), json.dumps(options))


@cache
def _bank(dumped: str, options: str) -> Bank:
    table, wanted = conf.BankSettings.model_validate_json(dumped), json.loads(options)
    if table.protocol != "sample":
        return adapters.load_bank(table.model_copy(update={"options": wanted}))
    wanted["bank_certificate"] = signing_keys().bank_certificate
    made = adapters.load_bank(table.model_copy(update={"options": wanted}))
    wire = made.questions.fate.__self__.wire  # type: ignore[union-attr]
    [pinned] = wire.bank_keys
    object.__setattr__(wire, "bank_keys", (_sealed(pinned),))
    return made


def _sealed(pinned: PinnedKey) -> PinnedKey:
    return replace(pinned, public=_Seal())  # type: ignore[arg-type]


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "journal.db"
        migrations.upgrade(f"sqlite:///{file}")
        return file.read_bytes()


def lay_journal(file: Path) -> None:
    """Write an empty journal of the newest schema."""
    file.write_bytes(_migrated())


def of_kind(server: bool, store: SqlStore) -> SqlStore:
    """The store; a store over a file does not wait for the disk."""
    return store if server else unsynced(store)


def copy_journal(url: str, file: Path) -> None:
    """Copy the rows of a server's journal to a SQLite journal of the same schema."""
    source, target = databases.connect(url, connections=1, writing=False), create_engine(f"sqlite:///{file}")
    try:
        with source.connect() as there, target.begin() as here:
            for table in schema.metadata.sorted_tables:
                here.execute(table.delete())
                rows = [dict(row._mapping) for row in there.execute(table.select())]
                if rows:
                    here.execute(table.insert(), rows)
    finally:
        source.dispose()
        target.dispose()


def unsynced(store: SqlStore) -> SqlStore:
    """The store, which does not wait for a disk."""

    def relax(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(store._committer._engine, "connect", relax)
    return store
