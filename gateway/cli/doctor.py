"""The checks of `bankgw doctor`: faults of this machine that could stop the gateway, each with its fix."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gateway.act import Bilingual
from gateway.bank.certificate_expiry import CertificateExpiry
from gateway.cli import broker_client
from gateway.cli.broker_client import BrokerSilent
from gateway.cli.environment import Environment
from gateway.control.offline import journal_access, settings_check
from gateway.erp import broker_address
from gateway.erp.policies import management_reports
from gateway.erp.topology import preparation, standard
from gateway.settings import BadSettings, LoadedSettings, Mistake, read_settings
from protocols.kit import dsig
from protocols.kit.errors import ProtocolError

FREE_BYTES = 2 * 1024**3
WARN_DAYS = 30
_SETTINGS: Bilingual = ("settings", "设置")
_PACKAGES: Bilingual = ("packages", "程序包")
_SIGNATURES: Bilingual = ("xml signatures", "XML 签名")
_CLOCK: Bilingual = ("clock", "时钟")
_JOURNAL: Bilingual = ("journal", "流水库")
_BROKER: Bilingual = ("broker", "消息服务器")
_NTP = Path("/run/systemd/timesync/synchronized")


@dataclass(frozen=True, slots=True)
class DoctorLine:
    """One check; `fix` says what to do when it is not `ok`."""

    what: str | Bilingual
    ok: bool
    finding: str | Bilingual
    fix: str | Bilingual = ""


def examine(environment: Environment, config: Path) -> list[DoctorLine]:
    """Run every check whose conditions hold. A check that depends on a failed one is left out."""
    lines = [*_libraries(), *_clock(environment.now())]
    try:
        loaded = read_settings(config, environment.variables)
    except BadSettings as error:
        return lines + [_mistake_line(one) for one in error.mistakes]
    looked = settings_check.findings(loaded, environment.load_bank, environment.now())
    found = (*looked.mistakes, *looked.unreachable)
    lines += [_mistake_line(one) for one in found]
    if not found:
        whole = (f"{config}: no mistakes found", f"{config}：没有发现错误")
        lines.append(DoctorLine(_SETTINGS, True, whole))
        lines += [*_certificates(loaded, environment.now())]
    lines += [*_disk(loaded), *_journal(loaded), _broker(environment, loaded)]
    return lines


def _mistake_line(one: Mistake) -> DoctorLine:
    where = one.file if one.key == "-" else f"{one.file}: {one.key}"
    return DoctorLine(_SETTINGS, False, where, (one.remedy, one.chinese or one.remedy))


def _libraries() -> Iterator[DoctorLine]:
    newer = ("install Python 3.11 or newer", "请安装 Python 3.11 或更新版本")
    yield DoctorLine("python", sys.version_info >= (3, 11), platform.python_version(), newer)
    pair = []
    for name in ("lxml", "xmlsec", "twisted", "cryptography", "pika", "sqlalchemy"):
        try:
            pair.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing = (f"{name} is not installed", f"尚未安装 {name}")
            from_lock = ("install bankgw from its lock file", "请按锁定文件安装 bankgw")
            yield DoctorLine(_PACKAGES, False, missing, from_lock)
    yield DoctorLine(_PACKAGES, True, ", ".join(pair))
    try:
        dsig.start()
        dsig.self_test()
    except (ImportError, ProtocolError, AssertionError, RuntimeError) as error:
        fix = (
            "install lxml and xmlsec as a pair from wheels, never one of them from the distribution",
            "请以 wheel 成对安装 lxml 与 xmlsec，不可只用发行版的其中之一",
        )
        yield DoctorLine(_SIGNATURES, False, (f"the self-test failed: {error}", f"自检失败：{error}"), fix)
    else:
        good = ("signed and verified; a forgery was refused", "签名与验签正常，伪造的签名被拒绝")
        yield DoctorLine(_SIGNATURES, True, good)


def _clock(now: datetime) -> Iterator[DoctorLine]:
    if _NTP.parent.exists():
        synchronized, at = _NTP.exists(), now.isoformat(timespec="seconds")
        same, other = (f"{at}, synchronized", f"{at}，已同步"), (f"{at}, not synchronized", f"{at}，未同步")
        fix = ("run chrony or systemd-timesyncd", "请运行 chrony 或 systemd-timesyncd")
        yield DoctorLine(_CLOCK, synchronized, same if synchronized else other, fix)
    else:
        plausible, at = now.year >= 2026, now.isoformat(timespec="seconds")
        yield DoctorLine(
            _CLOCK,
            plausible,
            (f"{at}; no sign of systemd-timesyncd here", f"{at}；本机未见 systemd-timesyncd"),
            (
                "set the clock and run chrony: banks refuse signatures from another time",
                "请校准时钟并运行 chrony：时间不符的签名会被银行拒绝",
            ),
        )


def _certificates(loaded: LoadedSettings, now: datetime) -> Iterator[DoctorLine]:
    ends = CertificateExpiry(loaded.settings, dict)()
    for (bank, role), at_s in sorted(ends.items(), key=lambda item: item[1]):
        days = int((at_s - now.timestamp()) // 86_400)
        yield DoctorLine(
            (f"certificate {bank} {role}", f"证书 {bank} {role}"),
            days >= WARN_DAYS,
            (f"{days} days left", f"还有 {days} 天"),
            ("have it renewed: banks take their time", "请尽早续办：银行办理需要时间"),
        )


def _disk(loaded: LoadedSettings) -> Iterator[DoctorLine]:
    folder = loaded.settings.state_dir
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(nearest).free
    yield DoctorLine(
        ("disk", "磁盘"),
        free >= FREE_BYTES,
        (f"{free / 1024**3:.1f} GiB free below {nearest}", f"{nearest} 可用 {free / 1024**3:.1f} GiB"),
        (
            "make room: without it the journal cannot be written and nothing is taken in",
            "请腾出空间：空间不足时流水库无法写入，也不受理指令",
        ),
    )


def _journal(loaded: LoadedSettings) -> Iterator[DoctorLine]:
    url = loaded.settings.journal_url()
    if not url.startswith("sqlite"):
        return
    path = Path(url.removeprefix("sqlite:///"))
    if not path.exists():
        later = (f"{path} does not exist yet; it is made at the first start", f"{path} 尚不存在；首次启动时生成")
        yield DoctorLine(_JOURNAL, True, later)
        return
    checked = journal_access.quick_check(url)
    if checked is None:
        return  # reported by the check of the settings
    said, mode = checked
    fix = (
        "stop the daemon, keep the file, restore the last backup as docs/do/restore.md says",
        "请停止守护进程，保留该文件，按 docs/do/restore.zh.md 恢复最近的备份",
    )
    finding = (
        f"{path}: quick_check says {said}, journal mode {mode}",
        f"{path}：quick_check 结果 {said}，日志模式 {mode}",
    )
    yield DoctorLine(_JOURNAL, said == "ok", finding, fix)


def _broker(environment: Environment, loaded: LoadedSettings) -> DoctorLine:
    """Connect as the daemon does, declare nothing, and compare the topology. It runs the reactor, so it comes last."""
    settings, reactor = loaded.settings, environment.reactor()
    url = settings.broker.management_url
    reports = None if url is None else management_reports(reactor, url, settings.broker.vhost)
    try:
        amqp = broker_client.own_client(reactor, settings, preparation(standard(), "verify", reports))

        async def connect_once() -> None:
            try:
                await broker_client.up(amqp)
            finally:
                await amqp.close(2.0)

        broker_client.visit(reactor, connect_once, broker_client.CONNECT_S * 2)
    except (BrokerSilent, OSError, ValueError) as error:
        fix = (
            'start RabbitMQ, mend [broker], or let the daemon declare what is missing (topology = "declare")',
            '请启动 RabbitMQ，更正 [broker]，或由守护进程声明所缺的对象（topology = "declare"）',
        )
        return DoctorLine(_BROKER, False, (str(error), f"无法使用：{error}"), fix)
    judged = ("policies in force judged", "已检查现行策略")
    not_judged = (
        "set broker.management_url to have policies judged too",
        "设置 broker.management_url 后可一并检查策略",
    )
    english, chinese = judged if url else not_judged
    at = broker_address.own(settings.broker)
    return DoctorLine(_BROKER, True, (f"{at}: topology is safe; {english}", f"{at}：拓扑安全；{chinese}"))
