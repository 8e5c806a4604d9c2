"""A journal, a signer process over it, and a daemon that was taken over: it makes any message and asks for its
signature."""

from __future__ import annotations

import base64
import hashlib
import os
import pwd
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater

from gateway import settings as conf
from gateway.bank.outside_keys import OutsideKeys
from gateway.bank.outside_signer import OutsideSigner
from gateway.kernel.clock import SystemEntropy
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.sql import vault as vaults_of_files
from gateway.kernel.sql.vault import Vault
from gateway.payments.rows import bundles
from gateway.signer.process import SignerProcess
from gateway.signer.signer_file import SignerFile
from gateway.signer.signer_server import PeerUid, kernel_uid
from gateway.simbank.pki import BankPki, make_pki
from protocols.bank import Bank, Context, Sign
from protocols.banks.sample import build
from protocols.canon.limits import ReferenceForm
from protocols.canon.order import AnyOrder, Bundle, Item
from protocols.kit.errors import CannotAsk
from tests.gateway.kernel.bench import LANE, NOW_MS, Journal, order, take_lane
from tests.gateway.payments.test_batches import batch, taken

OTHER_LANE = "sample.other"
KEY, OTHER_KEY = "sample_order", "sample_other"
DAILY = "1000000.00"


class SetClock:
    """A clock whose time a test sets; its timers are the reactor's."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.at_ms = NOW_MS

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return float(self._reactor.seconds())

    def later(self, delay_s: float, fn: Callable[..., object], *args: Any) -> Any:
        return self._reactor.callLater(delay_s, fn, *args)


class SignerSite:
    """A journal of one node, the signer process over it, and the settings of both."""

    def __init__(
        self,
        folder: Path,
        reactor: Any,
        url: str,
        *,
        pki: BankPki | None = None,
        uid_of: PeerUid = kernel_uid,
        **settings: Any,
    ) -> None:
        self.folder, self.reactor = folder, reactor
        key_file = folder / "vault.key"
        self.vault: Vault = vaults_of_files.load(key_file) if key_file.exists() else vaults_of_files.create(key_file)
        self.pki = pki or make_pki(folder, ["sample"], datetime.now(UTC))["sample"]
        self.clock = SetClock(reactor)
        self.journal = Journal(url, sealing=self.vault)
        self.bank: Bank = build({"bank_certificate": self.pki.bank_sign_cert.read_text(), "verify": "hand"})
        self.file = SignerFile.model_validate(
            {
                "socket": str(folder / "sign.sock"),
                "daemon_user": pwd.getpwuid(os.geteuid()).pw_name,
                "state_dir": str(folder / "signer"),
                "lock_memory": False,
                "journal": {"url": url, "vault_key": {"file": str(key_file)}},
                "keys": {KEY: self._key(LANE), OTHER_KEY: self._key(OTHER_LANE)},
                **settings,
            }
        )
        self.uid_of = uid_of
        self.process = self.start()
        self._outside = OutsideKeys(reactor, self.clock, SystemEntropy())
        self._serials = count(1)

    def _key(self, lane: str) -> dict[str, Any]:
        source = {"certificate": str(self.pki.gateway_sign_cert), "key": {"file": str(self.pki.gateway_sign_key)}}
        daily = {"payment": DAILY, "batch_item": DAILY}
        return {"bank": "sample", "lane": lane, "source": source, "daily": daily}

    def start(self) -> SignerProcess:
        """A new signer process over the same state."""
        self.process = SignerProcess(self.file, self.reactor, self.clock, SystemEntropy(), self.uid_of)
        self.process.open()
        return self.process

    async def end_process(self) -> None:
        """End the signer process, and let the daemon's connections see it."""
        await self.process.close()
        await deferLater(self.reactor, 0.01)

    async def close(self) -> None:
        """End all parts."""
        self._outside.stop()
        await self.process.close()
        self.journal.close()

    # ---- the honest journal ----

    def ready(self, id_: str = "AP-1", lane: str = LANE, **changed: Any) -> PaymentRow:
        """A payment that is ready to be sent."""
        return self.journal.admit(order(id_, **changed), lane=lane).row

    def bundle(self, minors: tuple[int, ...] = (100, 200)) -> tuple[bundles.BundleRow, tuple[PaymentRow, ...]]:
        """A bundle that is ready to be sent."""
        self.journal.do(lambda tx: take_lane(tx, LANE, "n", 60_000))
        first = taken(self.journal, batch(minors)).items[0]
        found = self.journal.do(lambda tx: bundles.allot(tx, first.payment, 10, ReferenceForm(20), 1))
        assert found is not None
        return found

    # ---- what a daemon asks for ----

    def signer(self, key: str = KEY, timeout_s: float = 5.0) -> OutsideSigner:
        """The daemon's signer of a key of the signer process."""
        table = conf.SigningKey.model_validate(
            {
                "signer": {"socket": str(self.file.socket), "name": key, "timeout_s": timeout_s},
                "certificate": str(self.pki.gateway_sign_cert),
            }
        )
        return self._outside.signer("order", table)

    def context(self, reference: str = "") -> Context:
        """A conversation's context."""
        now = datetime.fromtimestamp(self.clock.at_ms / 1000, UTC)
        secrets = {"user": "u", "password": "p"}
        return Context(reference, 1, date(2026, 11, 24), now, (next(self._serials),), secrets, {"token": "t"})

    def pay(self, made: AnyOrder, reference: str) -> Sign:
        """The signature that a payment's conversation asks for."""
        return asked_of(self.bank.money[made.kind](made, self.context(reference)))

    def pay_together(self, rows: tuple[PaymentRow, ...], reference: str) -> Sign:
        """The signature that a bundle's conversation asks for."""
        items = tuple(Item(row.order, row.bank_ref) for row in rows)
        kind = rows[0].order.kind
        return asked_of(self.bank.bundles[kind].word(Bundle(kind, items), self.context(reference)))

    def sign_on(self) -> Sign:
        """The signature that a sign-on asks for."""
        assert self.bank.sessions.sign_on is not None
        return asked_of(self.bank.sessions.sign_on(self.context()))

    async def refusal(self, step: Sign, key: str = KEY) -> str:
        """The reason why a step is not signed; "" if it is signed."""
        try:
            await self.signer(key).sign(step.octets, step.document)
        except CannotAsk as error:
            return error.text
        return ""


def asked_of(conversation: Any) -> Sign:
    """The first step of a conversation, which asks for a signature."""
    step = next(conversation)
    conversation.close()
    assert isinstance(step, Sign)
    return step


def renewed(step: Sign, document: bytes) -> Sign:
    """The step for another document, with octets that stand for it."""
    before, _, rest = step.octets.partition(b"<ds:DigestValue>")
    value = base64.b64encode(hashlib.sha256(document).digest())
    return Sign(step.key, before + b"<ds:DigestValue>" + value + rest[rest.index(b"</ds:DigestValue>") :], document)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short name, because a UNIX socket's path is at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="bgs-") as name:
        yield Path(name)


def later(clock: SetClock, by: timedelta) -> None:
    """Move the signer's clock."""
    clock.at_ms += int(by.total_seconds() * 1000)
