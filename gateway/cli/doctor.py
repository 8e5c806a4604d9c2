"""The checks of `bankgw doctor`: what on this machine could stop the gateway, each finding with its fix."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gateway.bank.certificate_expiry import CertificateExpiry
from gateway.cli import broker_client
from gateway.cli.broker_client import BrokerSilent
from gateway.cli.environment import Environment
from gateway.control.offline import journal_access, settings_check
from gateway.erp import broker_address
from gateway.erp.policies import management_reports
from gateway.erp.topology import preparation, standard
from gateway.settings import BadSettings, Loaded, read
from protocols.kit import dsig
from protocols.kit.errors import ProtocolError

FREE_BYTES = 2 * 1024**3
WARN_DAYS = 30
_NTP = Path("/run/systemd/timesync/synchronized")


@dataclass(frozen=True, slots=True)
class DoctorLine:
    """One thing looked at; `fix` says what to do when it is not `ok`."""

    what: str
    ok: bool
    finding: str
    fix: str = ""


def examine(environment: Environment, config: Path) -> list[DoctorLine]:
    """Look at everything that can be looked at; what depends on a broken thing is left out."""
    lines = [*_libraries(), *_clock(environment.now())]
    try:
        loaded = read(config, environment.variables)
    except BadSettings as error:
        lines += [DoctorLine("settings", False, f"{one.file}: {one.key}", one.remedy) for one in error.mistakes]
        return lines
    looked = settings_check.findings(loaded, environment.load_bank, environment.now())
    found = (*looked.mistakes, *looked.unreachable)
    lines += [DoctorLine("settings", False, f"{one.file}: {one.key}", one.remedy) for one in found]
    if not found:
        lines.append(DoctorLine("settings", True, f"{config}: no mistakes found"))
        lines += [*_certificates(loaded, environment.now())]
    lines += [*_disk(loaded), *_journal(loaded), _broker(environment, loaded)]
    return lines


def _libraries() -> Iterator[DoctorLine]:
    yield DoctorLine("python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or newer")
    pair = []
    for name in ("lxml", "xmlsec", "twisted", "cryptography", "pika", "sqlalchemy"):
        try:
            pair.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            yield DoctorLine("packages", False, f"{name} is not installed", "install bankgw from its lock file")
    yield DoctorLine("packages", True, ", ".join(pair))
    try:
        dsig.start()
        dsig.self_test()
    except (ImportError, ProtocolError, AssertionError, RuntimeError) as error:
        fix = "install lxml and xmlsec as a pair from wheels, never one of them from the distribution"
        yield DoctorLine("xml signatures", False, f"the self-test failed: {error}", fix)
    else:
        yield DoctorLine("xml signatures", True, "signed and verified; a forgery was refused")


def _clock(now: datetime) -> Iterator[DoctorLine]:
    if _NTP.parent.exists():
        synchronized = _NTP.exists()
        yield DoctorLine("clock", synchronized, f"{now.isoformat(timespec='seconds')}, "
                   f"{'' if synchronized else 'not '}synchronized", "run chrony or systemd-timesyncd")  # fmt: skip
    else:
        plausible = now.year >= 2026
        yield DoctorLine("clock", plausible, f"{now.isoformat(timespec='seconds')}; no sign of systemd-timesyncd here",
                   "set the clock and run chrony: banks refuse signatures from another time")  # fmt: skip


def _certificates(loaded: Loaded, now: datetime) -> Iterator[DoctorLine]:
    ends = CertificateExpiry(loaded.settings, dict)()
    for (bank, role), at_s in sorted(ends.items(), key=lambda item: item[1]):
        days = int((at_s - now.timestamp()) // 86_400)
        yield DoctorLine(f"certificate {bank} {role}", days >= WARN_DAYS, f"{days} days left",
                   "have it renewed: banks take their time")  # fmt: skip


def _disk(loaded: Loaded) -> Iterator[DoctorLine]:
    folder = loaded.settings.state_dir
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(nearest).free
    yield DoctorLine("disk", free >= FREE_BYTES, f"{free / 1024**3:.1f} GiB free below {nearest}",
               "make room: without it the journal cannot be written and nothing is taken in")  # fmt: skip


def _journal(loaded: Loaded) -> Iterator[DoctorLine]:
    url = loaded.settings.journal_url()
    if not url.startswith("sqlite"):
        return
    path = Path(url.removeprefix("sqlite:///"))
    if not path.exists():
        yield DoctorLine("journal", True, f"{path} does not exist yet; it is made at the first start")
        return
    checked = journal_access.quick_check(url)
    if checked is None:
        return  # said by the look at the settings
    said, mode = checked
    fix = "stop the daemon, keep the file, restore the last backup, then see docs/do/operate.md"
    yield DoctorLine("journal", said == "ok", f"{path}: quick_check says {said}, journal mode {mode}", fix)


def _broker(environment: Environment, loaded: Loaded) -> DoctorLine:
    """Connect as the daemon does, declare nothing, compare what is there. Runs the reactor, so it comes last."""
    settings, reactor = loaded.settings, environment.reactor()
    url = settings.broker.management_url
    reports = None if url is None else management_reports(reactor, url, settings.broker.vhost)
    try:
        amqp = broker_client.own_client(reactor, settings, preparation(standard(), "verify", reports))

        async def look() -> None:
            try:
                await broker_client.up(amqp)
            finally:
                await amqp.close(2.0)

        broker_client.visit(reactor, look, broker_client.CONNECT_S * 2)
    except (BrokerSilent, OSError, ValueError) as error:
        fix = "start RabbitMQ, mend [broker], or let the daemon declare what is missing (topology = \"declare\")"
        return DoctorLine("broker", False, str(error), fix)
    policies = "policies in force judged" if url else "set broker.management_url to have policies judged too"
    return DoctorLine("broker", True, f"{broker_address.own(settings.broker)}: topology is safe; {policies}")
