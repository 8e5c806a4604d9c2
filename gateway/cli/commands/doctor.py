"""`bankgw doctor`: examine this machine, each finding with its remedy; and make a vault key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config


def doctor(
    context: typer.Context,
    config: Config = DEFAULT_CONFIG,
    make_key: Annotated[
        Path | None, typer.Option("--make-key", help="Make a vault key file (mode 0600) there, and do nothing else.")
    ] = None,
    add_key: Annotated[
        Path | None,
        typer.Option("--add-key", help="Add a key to this vault key file, as `keys prepare vault` does, and end."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Examine this machine: libraries, settings, broker, journal, clock, certificates, disk. Each line has a fix."""
    from gateway.cli import doctor as examination

    if make_key is not None:
        _make_key(make_key)
        return
    if add_key is not None:
        _add_key(add_key)
        return
    lines = examination.examine(output.environment(context), config)
    if as_json:
        rows = [
            {
                "what": output.english(one.what),
                "ok": one.ok,
                "finding": output.english(one.finding),
                "fix": output.english(one.fix),
            }
            for one in lines
        ]
        output.dump({"ok": all(one.ok for one in lines), "lines": rows})
    else:
        for one in lines:
            good, wrong = output.in_language(("ok   ", "正常")), output.in_language(("WRONG", "有误"))
            mark = (good, "green") if one.ok else (wrong, "bold red")
            fix = "" if one.ok else f" → {output.worded(one.fix)}"
            what, finding = output.worded(one.what), output.worded(one.finding)
            output.line(mark, output.in_language((f"  {what}: {finding}{fix}", f"  {what}：{finding}{fix}")))
    if not all(one.ok for one in lines):
        raise typer.Exit(exit_codes.FAILED)


def _make_key(path: Path) -> None:
    from gateway.control.offline import journal_access

    try:
        journal_access.make_key(path)
    except FileExistsError:
        output.leave(
            exit_codes.REFUSED,
            (
                f"{path} exists; a vault key is never overwritten: what it sealed would be lost",
                f"{path} 已存在；数据加密主密钥绝不覆盖，否则已加封的内容将丢失",
            ),
        )
    except OSError as error:
        output.leave(
            exit_codes.FAILED,
            (f"{path} cannot be made: {error.strerror}", f"无法生成 {path}：{output.os_reason(error)}"),
        )
    output.say(
        (
            f"made {path}. Back it up apart from the database: without it the journal cannot be read.",
            f"已生成 {path}。请与数据库分开备份：没有它，流水库无法读取。",
        )
    )
    output.warn(
        (
            "give it to the daemon with LoadCredential= or journal.vault_key.file",
            "以 LoadCredential= 或 journal.vault_key.file 交给守护进程",
        )
    )


def _add_key(path: Path) -> None:
    from gateway.control.offline import journal_access

    try:
        name = journal_access.prepare_key(path)
    except journal_access.NoAccess as error:
        output.leave(exit_codes.REFUSED, output.explained(error, "未作更改："))
    except OSError as error:
        output.leave(
            exit_codes.FAILED,
            (f"{path} cannot be replaced: {error.strerror}", f"无法替换 {path}：{output.os_reason(error)}"),
        )
    output.say(
        (
            f"{path}: key {name} is in it, and seals nothing before bankgw keys activate vault {name}; the earlier "
            "keys stay in it, and open what they sealed. Back the file up again, apart from the database.",
            f"{path}：已加入密钥 {name}；执行 bankgw keys activate vault {name} 之前不以其加封任何内容。旧密钥仍在其中"
            "，用于打开此前加封的内容。请再次与数据库分开备份该文件。",
        )
    )
