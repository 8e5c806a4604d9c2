"""Builds the signer process from its settings: memory locked, keys loaded, log verified, socket open."""

from __future__ import annotations

import ctypes
import pwd
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import make_url

from gateway.bank.outside_keys import OutsideKeys
from gateway.bank.signers import KeyFileError, KeySettings, Signer, signers
from gateway.control.offline.signature_log import SignatureLog, SignatureLogBroken, read_signatures
from gateway.kernel.clock import Clock, Entropy
from gateway.kernel.sql import vault
from gateway.kernel.sql.vault import Vault, VaultError
from gateway.signer.journal_view import JournalView
from gateway.signer.signature_counts import DAY_MS, KEPT_DAYS, SignatureCounts
from gateway.signer.signature_service import SignatureService, SignerKeyring
from gateway.signer.signer_file import SignerFile
from gateway.signer.signer_server import PeerUid, SignerServer, kernel_uid

FOLDER = "signatures"
"""The folder of the log of signatures in the state folder."""
_MCL_CURRENT, _MCL_FUTURE = 1, 2


class SignerNotStarted(Exception):  # noqa: N818 - says what a person must mend
    """The signer cannot start; the text says why."""


class SignerProcess:
    """The signer's parts. Building it opens no socket; `open` does, `close` ends everything."""

    def __init__(
        self, file: SignerFile, reactor: Any, clock: Clock, entropy: Entropy, uid_of: PeerUid = kernel_uid
    ) -> None:
        """Raises SignerNotStarted."""
        self._file = file
        self._outside = OutsideKeys(reactor, clock, entropy)
        try:
            uid = pwd.getpwnam(file.daemon_user).pw_uid
            keys = vault.load(file.journal.vault_key.path())
            ring = SignerKeyring(file.keys, _signers(file, self._outside, entropy))
            counts = SignatureCounts(ZoneInfo(file.zone), file.signatures_per_attempt)
            file.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder, now_ms = file.state_dir / FOLDER, clock.now_ms()
            # The log is opened first: that marks a line that a crash cut short.
            self._book = SignatureLog(folder, keys)
            counts.load(read_signatures(folder, keys, now_ms - (KEPT_DAYS + 1) * DAY_MS), now_ms)
            self._journal = JournalView(_url(file), keys, clock.monotonic_s)
        except KeyError:
            raise SignerNotStarted(f"daemon_user: there is no user {file.daemon_user} on this machine") from None
        except (KeyFileError, VaultError, SignatureLogBroken, ValueError, OSError) as error:
            raise SignerNotStarted(str(error)) from None
        service = SignatureService(ring, self._journal, self._book, counts, clock.now_ms)
        self._server = SignerServer(reactor, service, uid, uid_of)

    def open(self) -> None:
        """Listen. Raises CannotListenError, OSError."""
        self._server.open(self._file.socket)

    async def close(self) -> None:
        """End the connections, the log and the journal."""
        await self._server.close()
        self._book.close()
        self._journal.close()
        self._outside.stop()


def load_vault(file: SignerFile) -> Vault:
    """The vault of these settings. Raises VaultError."""
    return vault.load(file.journal.vault_key.path())


def lock_memory() -> None:
    """Keep this process's memory out of swap, with the keys in it. Raises SignerNotStarted."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE):
        code = ctypes.get_errno()
        raise SignerNotStarted(
            f"the memory cannot be locked (error {code}): give the unit LimitMEMLOCK=infinity, or write lock_memory = "
            "false"
        )


def _signers(file: SignerFile, outside: OutsideKeys, entropy: Entropy) -> dict[str, Signer]:
    """The keys by name; those in files sign a test. A file that others may read is refused."""
    wanted = [
        KeySettings(name, table.source.key.path(), table.source.certificate, digest=table.source.digest)
        for name, table in file.keys.items()
        if table.source.key is not None
    ]
    loaded = dict(signers(wanted, production=True, nonce=entropy.bytes(32)))
    elsewhere = {
        name: outside.signer(name, table.source) for name, table in file.keys.items() if table.source.key is None
    }
    return {**loaded, **elsewhere}


def _url(file: SignerFile) -> str:
    url = make_url(file.journal.url)
    if file.journal.password is not None:
        url = url.set(password=file.journal.password.secret_bytes().decode())
    return url.render_as_string(hide_password=False)
