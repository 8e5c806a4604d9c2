"""`bankgw restore`: put a copy of the journal into an empty database."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.act import Bilingual
from gateway.cli import exit_codes, output
from gateway.cli.commands.backup import keep_result
from gateway.cli.journal_options import Password, VaultKey, access_of, settings_of
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config

if TYPE_CHECKING:
    from gateway.control.offline.journal_access import Access
    from gateway.settings import Settings


def restore(
    context: typer.Context,
    copy: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A copy that `bankgw backup` made, manifest beside it; with --drill "
            "also a folder, whose newest is meant; with --at a folder.",
        ),
    ],
    drill: Annotated[
        bool,
        typer.Option(
            "--drill", help="Try and time it in a place of its own, which is thrown away. The gateway may run."
        ),
    ] = False,
    into: Annotated[
        str | None, typer.Option(metavar="URL", help="With --drill, for PostgreSQL and MySQL: an empty database.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Take the newest whole backup of the folder that was made by this time, as 2026-11-30T09:00+08:00; "
            "without a zone, in that of the settings.",
        ),
    ] = None,
    most_s: Annotated[
        float | None, typer.Option("--within", metavar="SECONDS", help="With --drill: exit code 1 if it takes longer.")
    ] = None,
    vault_key: VaultKey = None,
    password: Password = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Put a copy into the empty place that `journal.url` names, with the gateway stopped. Nothing is overwritten; the
    copy, its manifest and its audit trail are verified first. Then compares it with this machine's permit log."""
    from gateway.control.offline import backup as offline
    from gateway.control.offline.state_lock import NotLocked

    settings = settings_of(context, config)
    if at is not None:
        copy = _chosen(settings, copy, at)
    if drill:
        now = output.environment(context).now()
        _drill(settings, access_of(settings, vault_key, password), copy, into, most_s, now=now, as_json=as_json)
        return
    if into is not None or most_s is not None:
        output.leave(
            exit_codes.USAGE, ("--into and --within belong to --drill", "--into 与 --within 须与 --drill 同用")
        )
    try:
        done = offline.put_back(settings, access_of(settings, vault_key, password), copy)
    except offline.NoBackup as error:
        output.leave(exit_codes.REFUSED, (f"{error}. Nothing was put back", f"未恢复任何内容：\n{error}"))
    except NotLocked as error:
        output.leave(exit_codes.REFUSED, (f"{error}; nothing was put back", f"未恢复任何内容：\n{error}"))

    output.show(done, as_json=as_json, words=lambda said: _say_restored(settings, copy, said))


def _say_restored(settings: Settings, copy: Path, said: Any) -> None:
    from gateway.control.offline import backup as offline

    _say_put_back(copy, said)
    if not offline.has_permit_log(settings):
        output.say(_no_permit_log(settings.permit_log()))
    for gap in said["gaps"]:
        output.say(output.explained(gap, "缺口："))
    if said["gaps"]:
        output.say(
            (
                "the gateway will start and ask, but send nothing until two persons let it; see docs/do/restore.md",
                "网关启动后只查询，两人恢复之前不发送任何内容；见 docs/do/restore.md",
            )
        )
    elif settings.permit_log().exists():
        output.say(
            (
                "everything that this machine's permit log knows of is in it: the gateway will send at once",
                "本机发送许可日志所载均在其中：网关启动后即可发送",
            )
        )


def _chosen(settings: Settings, folder: Path, at: str) -> Path:
    """The backup of the folder for this time."""
    from zoneinfo import ZoneInfo

    from gateway.control.offline import backup_copies

    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        output.leave(
            exit_codes.USAGE,
            (f"--at {at}: write a time as 2026-11-30T09:00+08:00", f"--at {at}：时间应写作 2026-11-30T09:00+08:00"),
        )
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(settings.zone))
    if not folder.is_dir():
        output.leave(
            exit_codes.USAGE, (f"--at needs a folder, and {folder} is none", f"--at 须指定目录，{folder} 不是目录")
        )
    try:
        return backup_copies.backup_at(folder, settings.node, moment)
    except OSError as error:
        output.leave(exit_codes.FAILED, output.unreadable(folder, error))
    except backup_copies.NoBackup as error:
        output.leave(exit_codes.REFUSED, (f"{error}. Nothing was put back", f"未恢复任何内容：\n{error}"))


def _say_put_back(copy: Path, said: Any) -> None:
    payments, made_at = said["payments"], said["made_at"]
    output.say(
        (
            f"put back {copy}: {payments} payments as of {made_at}, audit trail verified",
            f"已恢复 {copy}：截至 {made_at} 的 {payments} 笔付款，审计链已核对",
        )
    )


def _no_permit_log(place: Path) -> Bilingual:
    return (
        f"there is no permit log at {place}: what was done after the copy cannot be noticed.\n"
        "If this is another machine, bring that folder from the old one before you start the gateway",
        f"{place} 没有发送许可日志：备份之后办理的内容无从发现。\n如本机是另一台机器，启动网关之前请从原机器取来该目录",
    )


def _drill(
    settings: Settings,
    access: Access,
    copy: Path,
    into: str | None,
    most_s: float | None,
    *,
    now: datetime,
    as_json: bool,
) -> None:
    from dataclasses import asdict

    from gateway.control.offline import backup_copies
    from gateway.kernel.backup_results import made_at

    began_s = time.monotonic()
    if copy.is_dir():
        newest = next(iter(backup_copies.backups(copy, settings.node)), None)
        if newest is None:
            node = settings.node
            keep_result(copy, "drill", now, "", began_s, reason=f"{copy} holds no backup of node {node}")
            output.leave(
                exit_codes.FAILED, (f"{copy} holds no backup of node {node}", f"{copy} 中没有节点 {node} 的备份")
            )
        copy = newest
    folder = copy.parent if copy.parent.is_dir() and made_at(copy.name) is not None else None
    try:
        done = backup_copies.drill(access, settings.node, copy, into)
    except backup_copies.NoBackup as error:
        keep_result(folder, "drill", now, copy.name, began_s, reason=str(error))
        output.leave(exit_codes.FAILED, output.explained(error, "未能演练恢复："))

    def print_drill(said: Any) -> None:
        backup, made_at, payments, size = (said[name] for name in ("backup", "made_at", "payments", "bytes"))
        output.say(
            (
                f"{backup} of {made_at}: {payments} payments, {size} bytes",
                f"{made_at} 的备份 {backup}：{payments} 笔付款，{size} 字节",
            )
        )
        if said["read_back"]:
            output.say((f"read back: {said['read_back']}", f"已读回：{said['read_back']}"))
        examined_s, restored_s = said["examined_s"], said["restored_s"]
        output.say(
            (
                f"examined in {examined_s} s, restored and its audit trail verified in {restored_s} s",
                f"检查用时 {examined_s} 秒，恢复并核对审计链用时 {restored_s} 秒",
            )
        )

    late = most_s is not None and done.examined_s + done.restored_s > most_s
    reason = f"it took longer than {most_s:g} s: payments would wait so long" if late else ""
    keep_result(folder, "drill", now, copy.name, began_s, reason=reason, payments=done.payments)
    output.show(asdict(done), as_json=as_json, words=print_drill)
    if late:
        output.leave(exit_codes.FAILED, (reason, f"用时超过 {most_s:g} 秒：付款会因此等待这么久"))
