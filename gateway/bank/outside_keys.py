"""Makes the signers of keys outside of this process: in tokens, behind services, with the signer process; and looks
whether they still sign."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gateway import settings as conf
from gateway.bank.dialer import BankDialer
from gateway.bank.key_trouble import NotSigned
from gateway.bank.lane_tls import tls_settings
from gateway.bank.outside_signer import KeySource, OutsideSigner
from gateway.bank.pkcs11_token import LoadLibrary, Pkcs11Libraries, TokenKey
from gateway.bank.remote_signing import RemoteKeySource
from gateway.bank.signer_socket import SignerKeySource
from gateway.bank.signers import Signer, outside_certificate
from gateway.bank.tls import client_context
from gateway.kernel import log
from gateway.kernel.clock import Clock, Entropy
from gateway.kernel.tasks import Tasks, attempt, sleep

LOOK_S = 1.0
IDLE_S = 30.0
"""A key that has signed nothing for so long signs random octets: its loss is known before a payment needs it."""

_log = log.get("bank.outside_keys")


class OutsideKeys:
    """The signers of keys outside of this process. The libraries of tokens stay loaded over a reload."""

    def __init__(self, reactor: Any, clock: Clock, entropy: Entropy, load: LoadLibrary | None = None) -> None:
        self._reactor = reactor
        self._clock = clock
        self._entropy = entropy
        self._libraries = Pkcs11Libraries(reactor, load)
        self._of_signer: dict[tuple[Path, str], SignerKeySource] = {}

    def signer(self, key_id: str, table: conf.SigningKey) -> OutsideSigner:
        """The signer of a key. Neither the token nor the service is asked yet. Raises KeyFileError and ValueError for
        its certificates."""
        certificate = outside_certificate(table.certificate)
        timeout_s = table.pkcs11.timeout_s if table.pkcs11 is not None else 0.0
        source: KeySource
        if table.pkcs11 is not None:
            token = table.pkcs11
            place = TokenKey(token.module, token.token, token.label, bytes.fromhex(token.id), token.pin.secret_bytes)
            source = self._libraries.source(place, table.digest)
        elif table.signer is not None:
            timeout_s = table.signer.timeout_s
            key = table.signer.socket, table.signer.name
            source = self._of_signer.get(key) or SignerKeySource(self._reactor, *key)
            self._of_signer[key] = source
        else:
            assert table.remote is not None
            service, timeout_s = table.remote, table.remote.timeout_s
            tls = client_context(tls_settings(service.tls, service.host), self._clock)
            dialer = BankDialer(
                self._reactor,
                service.host,
                service.port,
                tls,
                connect_timeout_s=timeout_s,
                handshake_timeout_s=timeout_s,
            )
            source = RemoteKeySource(
                dialer, service.path, service.name, table.digest, self._clock, self._entropy, timeout_s=timeout_s
            )
        return OutsideSigner(key_id, certificate, table.digest, source, self._clock, timeout_s=timeout_s)

    def stop(self) -> None:
        """End the libraries' threads, and the connections to the signer process."""
        self._libraries.stop()
        for source in self._of_signer.values():
            source.hang_up()


class KeyWatch:
    """Looks at the keys outside of this process: those in trouble are tried again, idle ones sign random octets."""

    def __init__(
        self, signers: Mapping[str, Mapping[str, Signer]], clock: Clock, entropy: Entropy, tasks: Tasks
    ) -> None:
        self._signers = signers
        self._clock = clock
        self._entropy = entropy
        self._tasks = tasks

    def start(self) -> None:
        """Begin, if there is such a key; harmless if it has begun. Called again after a reload, which may bring one."""
        if self._outside() and not len(self._tasks):
            self._tasks.spawn(self._look_for_ever())

    def stop(self) -> None:
        """End."""
        self._tasks.stop()

    def _outside(self) -> list[OutsideSigner]:
        # A reload replaces the signers, so that they are looked up each time.
        each = (signer for keys in self._signers.values() for signer in keys.values())
        return [signer for signer in each if isinstance(signer, OutsideSigner)]

    async def _look_for_ever(self) -> None:
        while True:
            for signer in self._outside():
                await attempt(partial(signer.sign_when_due, self._entropy.bytes(32), IDLE_S), _defect, ends=NotSigned)
            await sleep(self._clock, LOOK_S)


def _defect(error: str) -> None:
    _log.error(
        "key_watch.defect", error=error, action="a defect of the program: the key is looked at again; report this error"
    )
