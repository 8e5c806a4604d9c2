"""The cost of the signer process: processor time and latency that it adds to a payment of Sample Bank.

    python -m bench.signer

The signer runs as its own process over a journal with ready payments; this process asks as the daemon does. The added
CPU is that of asking and of the signer, without that of the same signature made in this process. It is compared with
the parts of one payment, as `bench.anatomy` measures them; in the daemon a payment costs more than their sum. The
latency is that of one signature by the signer, without that of one in this process.
"""

from __future__ import annotations

import os
import pwd
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from bench.anatomy import Stopwatch, admission_of, door_parts, journal_parts, talk_parts
from bench.orders import order
from bench.own_journal import own_journal
from bench.row import Row
from bench.usage import cpu_us
from gateway import settings as conf
from gateway.bank.outside_keys import OutsideKeys
from gateway.bank.signers import FileSigner, KeySettings, Signer
from gateway.demo import site
from gateway.kernel.clock import SystemClock, SystemEntropy
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.payments.rows import admission
from gateway.simbank.pki import BankPki, make_pki
from protocols.bank import Context, Sign
from protocols.banks.sample import build
from protocols.erp import commands
from protocols.erp.words import CommandType, SubmitOrder
from protocols.kit import dsig

COUNT, WARM_UP, GROUP = 1_000, 200, 50
CPU_MOST, P50_MOST_MS = 0.15, 2.0
START_S = 60.0


@dataclass(frozen=True, slots=True)
class SigningCost:
    """The cost of COUNT signatures: processor time of this process and of the signer, and each one's latency."""

    own_us: float
    signer_us: float
    latency_ms: Sequence[float]

    @property
    def each_us(self) -> float:
        """The processor time of one signature in all processes."""
        return (self.own_us + self.signer_us) / COUNT


def main() -> int:
    """Print the row."""
    dsig.start()
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="bgs-") as name:
        folder = Path(name)
        door_parts(watch)
        (folder / "parts").mkdir()
        journal_parts(folder / "parts", watch)
        talk_parts(folder, "hand", watch)
        payment_us = sum(watch.best.values())
        costs: list[SigningCost] = []
        try:
            react(lambda reactor: Deferred.fromCoroutine(_measure(reactor, folder, costs)))
        except SystemExit as end:
            if end.code:
                raise
    here, there = costs
    row = signer_row(here, there, payment_us)
    print(row.line)
    return 0


def signer_row(here: SigningCost, there: SigningCost, payment_us: float) -> Row:
    """The row of signatures `here` in the process, and `there` by the signer."""
    added_us = there.each_us - here.each_us
    p50_ms = statistics.median(there.latency_ms) - statistics.median(here.latency_ms)
    share = added_us / payment_us
    broken = [
        said
        for said, held in (
            (f"added CPU at most {CPU_MOST:.0%} of a payment", share <= CPU_MOST),
            (f"added latency p50 at most {P50_MOST_MS:g} ms", p50_ms <= P50_MOST_MS),
        )
        if not held
    ]
    told = (
        f"{added_us:.0f} us of CPU added to a payment of {payment_us:.0f} us ({share:.1%}), p50 {p50_ms:.2f} ms added"
    )
    return Row("signer process", told, target="; ".join(broken) or None)


async def _measure(reactor: Any, folder: Path, costs: list[SigningCost]) -> None:
    pki = make_pki(folder, ["sample"], datetime.now(UTC))["sample"]
    with own_journal(folder) as journal:
        rows = _ready(journal.committer, SystemEntropy())
        file = _settings(folder, pki, journal.url, rows[0].lane)
        process = subprocess.Popen([sys.executable, "-m", "gateway", "signer", "run", "--signer", str(file)])
        try:
            _await_socket(folder / "sign.sock")
            bank = build({"bank_certificate": pki.bank_sign_cert.read_text(), "verify": "hand"})
            steps = [_step(bank, row, number) for number, row in enumerate(rows, 1)]
            clock = SystemClock(reactor)
            own = FileSigner.load(KeySettings("k", pki.gateway_sign_key, pki.gateway_sign_cert), production=False)
            table = conf.SigningKey.model_validate(
                {
                    "certificate": str(pki.gateway_sign_cert),
                    "signer": {"socket": str(folder / "sign.sock"), "name": "order"},
                }
            )
            outside = OutsideKeys(reactor, clock, SystemEntropy())
            costs.append(await _sign(own, steps, os.getpid()))
            costs.append(await _sign(outside.signer("order", table), steps, process.pid))
            outside.stop()
        finally:
            process.terminate()
            process.wait()


async def _sign(signer: Signer, steps: Sequence[Sign], pid: int) -> SigningCost:
    latency_ms: list[float] = []
    for step in steps[:WARM_UP]:
        await signer.sign(step.octets, step.document)
    theirs_us, own_s = cpu_us(pid), time.process_time()
    for step in steps[WARM_UP:]:
        began_s = time.perf_counter()
        await signer.sign(step.octets, step.document)
        latency_ms.append((time.perf_counter() - began_s) * 1000)
    own_us = (time.process_time() - own_s) * 1e6
    return SigningCost(own_us, 0.0 if pid == os.getpid() else cpu_us(pid) - theirs_us, latency_ms)


def _ready(committer: Any, entropy: SystemEntropy) -> list[PaymentRow]:
    """Payments that are ready to be sent."""
    accounts = site.account_numbers("sample", 2)
    rows: list[PaymentRow] = []
    for start in range(0, COUNT + WARM_UP, GROUP):
        units = []
        for number in range(start, start + GROUP):
            read = commands.parse_command(CommandType.PAYMENT_SUBMIT, "application/json", order("S", number, accounts))
            assert isinstance(read, SubmitOrder), read
            units.append(_admitting(admission_of(read.order), entropy))
        rows += [one.row for one in committer.commit(units).results]
    return rows


def _admitting(asked: admission.Admission, entropy: SystemEntropy) -> Any:
    def admit(tx: Tx) -> admission.Admitted:
        return admission.admit(tx, asked, entropy)

    return admit


def _step(bank: Any, row: PaymentRow, number: int) -> Sign:
    now = datetime.now(UTC)
    conversation = bank.money[row.order.kind](row.order, Context(row.bank_ref, 1, now.date(), now, (number,)))
    step = next(conversation)
    conversation.close()
    assert isinstance(step, Sign)
    return step


def _settings(folder: Path, pki: BankPki, url: str, lane: str) -> Path:
    file = folder / "signer.toml"
    file.write_text(
        f'socket = "{folder / "sign.sock"}"\ndaemon_user = "{pwd.getpwuid(os.geteuid()).pw_name}"\n'
        f'state_dir = "{folder / "signer"}"\nlock_memory = false\n'
        f'[journal]\nurl = "{url}"\nvault_key = {{ file = "{folder / "vault.key"}" }}\n'
        f'[keys.order]\nbank = "sample"\nlane = "{lane}"\n'
        f'[keys.order.source]\ncertificate = "{pki.gateway_sign_cert}"\nkey = {{ file = "{pki.gateway_sign_key}" }}\n'
        '[keys.order.daily]\npayment = "100000000000.00"\n'
    )
    return file


def _await_socket(path: Path) -> None:
    until_s = time.monotonic() + START_S
    while not path.exists():
        if time.monotonic() > until_s:
            raise TimeoutError("the signer does not listen")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
