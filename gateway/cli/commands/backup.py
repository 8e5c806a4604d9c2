"""`bankgw backup`: a copy of the journal while the gateway works."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway.cli import exit_codes, output
from gateway.cli.journal_options import Password, VaultKey, access_of, settings_of
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config

COLUMNS = {
    "file": "file",
    "made_at": "made at",
    "node": "node",
    "bytes": "bytes",
    "payments": "payments",
    "schema": "schema",
    "vault_key": "vault key",
    "whole": "whole",
    "verified_at": "drill held at",
}
"""The columns of `bankgw backup --list`, with their headings."""


def backup(
    context: typer.Context,
    target: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|FOLDER",
            help="New file for the copy, or a folder in which it is "
            "named by the time. A name without an ending is a folder's, made if it is not there.",
        ),
    ],
    off_host: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|HOST:FOLDER",
            help="Then copy it there: a mounted folder of another disk, or another machine by rsync over SSH.",
        ),
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Then delete all but so many of this node's backups in the folder.")
    ] = None,
    keep_days: Annotated[
        float | None,
        typer.Option(min=0, help="Then delete this node's backups that are older; with --keep, those beyond it only."),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Copy nothing: only delete what --keep and --keep-days do not keep.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="Copy nothing: list the backups of FOLDER, and say which are whole.")
    ] = False,
    vault_key: VaultKey = None,
    password: Password = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Copy the journal, with a manifest (FILE.json) beside it, while the gateway works. Mode 0600; sealed values stay
    sealed. Neither the vault's key nor the permit log is in it: back the key up apart, and never copy the log.
    """
    from gateway.control.offline import backup as offline
    from gateway.control.offline import backup_copies

    if listed:
        _list(target, as_json=as_json)
        return
    settings, environment = settings_of(context, config), output.environment(context)
    if prune:
        _prune(target, settings.node, environment.now(), keep, keep_days, as_json=as_json)
        return
    access, now = access_of(settings, vault_key, password), environment.now()
    if not target.suffix and not target.exists():
        _make_folder(target, settings.state_dir)
    folder = target if target.is_dir() else None
    if folder is not None:
        suffix = "db" if settings.journal_url().startswith("sqlite") else "dump"
        target = folder / f"bankgw-{settings.node}-{now:%Y%m%dT%H%M%SZ}.{suffix}"
    began_s = time.monotonic()
    try:
        made = offline.back_up(settings, access, environment.version(), now, target)
        sent = None if off_host is None else backup_copies.send(target, off_host)
        # This comes last: a copy that the other machine did not get stays here.
        gone = backup_copies.prune(target.parent, settings.node, now, keep=keep, keep_days=keep_days, made=target)
    except offline.NoBackup as error:
        keep_result(folder, "backup", now, target.name, began_s, reason=str(error))
        output.leave(exit_codes.FAILED, output.explained(error, "未能备份："))
    keep_result(folder, "backup", now, target.name, began_s, payments=int(made["payments"]))

    words = {"path": str(target), "off_host": sent, "deleted": gone, **made}
    output.show(words, as_json=as_json, words=_say_made)


def _prune(folder: Path, node: str, now: datetime, keep: int | None, keep_days: float | None, *, as_json: bool) -> None:
    from gateway.control.offline import backup_copies

    if keep is None and keep_days is None:
        output.leave(
            exit_codes.USAGE,
            ("--prune needs --keep, --keep-days or both", "--prune 须与 --keep 或 --keep-days 同用，也可两者并用"),
        )
    try:
        gone = backup_copies.prune(folder, node, now, keep=keep, keep_days=keep_days)
    except OSError as error:
        output.leave(exit_codes.FAILED, output.unreadable(folder, error))

    def print_pruned(said: Any) -> None:
        _say_deleted(said["deleted"])
        if not said["deleted"]:
            output.say(("nothing is old enough to be deleted", "没有可删除的旧备份"))

    output.show({"folder": str(folder), "deleted": gone}, as_json=as_json, words=print_pruned)


def _say_deleted(gone: list[str]) -> None:
    for one in gone:
        output.say((f"deleted {one}: newer ones are kept", f"已删除 {one}：较新的备份仍保留"))


def _say_made(said: Any) -> None:
    path, size, payments, schema = (said[name] for name in ("path", "bytes", "payments", "schema"))
    output.say(
        (
            f"wrote {path}: {size} bytes, {payments} payments, schema {schema}",
            f"已写入 {path}：{size} 字节，{payments} 笔付款，库结构版本 {schema}",
        )
    )
    if (sent := said["off_host"]) is not None:
        output.say((f"copied to {sent}", f"已复制到 {sent}"))
    _say_deleted(said["deleted"])
    output.say(
        (
            f"its manifest is {path}.json; it needs vault key {said['vault_key']}, which is not in it",
            f"清单为 {path}.json；恢复需要数据加密主密钥 {said['vault_key']}，备份中不含该密钥",
        )
    )


def keep_result(
    folder: Path | None,
    kind: Literal["backup", "drill"],
    now: datetime,
    backup: str,
    began_s: float,
    *,
    reason: str = "",
    payments: int | None = None,
) -> None:
    """Keep the result of a backup or drill beside the backups, where the daemon looks. `reason` says why it failed.

    Without a folder nothing is kept. If a result cannot be kept, a line on stderr says so.
    """
    from gateway.kernel.backup_results import BackupResult, note

    if folder is None:
        return
    took_s = round(time.monotonic() - began_s, 2)
    try:
        note(
            folder, kind, BackupResult(now.isoformat(timespec="seconds"), not reason, reason, backup, took_s, payments)
        )
    except OSError as error:
        output.warn(
            (
                f"the result cannot be kept in {folder} ({error.strerror}): the daemon will not know of it; let this "
                "user write there",
                f"无法将结果写入 {folder}（{output.os_reason(error)}）：守护进程无从得知；请允许此用户写入该目录",
            )
        )


_WHOLE = {
    "": ("whole", "完整"),
    "no_manifest": ("not whole: no manifest", "不完整：没有清单"),
    "bad_manifest": ("not whole: its manifest is damaged", "不完整：清单已损坏"),
    "no_copy": ("not whole: only the manifest is there", "不完整：只有清单"),
    "size_differs": ("not whole: its size is not that of the manifest", "不完整：大小与清单不符"),
}


def _list(folder: Path, *, as_json: bool) -> None:
    from dataclasses import asdict

    from gateway.control.offline import backup_copies

    try:
        found = backup_copies.listed(folder)
    except OSError as error:
        output.leave(exit_codes.FAILED, output.unreadable(folder, error))
    rows = [{**asdict(one), "whole": one.whole} for one in found]

    def print_list(said: Any) -> None:
        shown = [{**one, "whole": output.in_language(_WHOLE[one["wrong"]])} for one in said["backups"]]
        nothing = (f"{folder} holds no backup", f"{folder} 中没有备份")
        output.table(shown, COLUMNS, nothing)

    output.show({"folder": str(folder), "backups": rows}, as_json=as_json, words=print_list)


def _make_folder(folder: Path, state_dir: Path) -> None:
    """Make a folder for backups. If root makes it, it belongs to the daemon's user, whose timer writes there later."""
    import os

    try:
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0 and state_dir.exists():
            owner = state_dir.stat()
            os.chown(folder, owner.st_uid, owner.st_gid)
    except OSError as error:
        output.leave(
            exit_codes.FAILED,
            (
                f"the folder {folder} cannot be made ({error.strerror}); make it, or name "
                "a file with an ending, such as copy.db. Nothing was copied",
                f"无法创建目录 {folder}（{output.os_reason(error)}）；请先创建，"
                "或写带扩展名的文件名，如 copy.db。未作备份",
            ),
        )
