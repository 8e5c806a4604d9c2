"""`bankgw check`: all faults of the settings and of the files and services that they name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.journal_options import Password, VaultKey, access_of, settings_of
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config


def check(
    context: typer.Context,
    marks: Annotated[
        bool, typer.Option("--marks", help="Print what `environment.others` of other environments takes, as JSON.")
    ] = False,
    new: Annotated[
        Path | None,
        typer.Option(
            "--with",
            metavar="NEW",
            help="Rehearse an upgrade: the new version's .deb or "
            "program looks at the settings, and migrates a copy of the journal.",
        ),
    ] = None,
    into: Annotated[
        str | None, typer.Option(metavar="URL", help="With --with, for PostgreSQL and MySQL: an empty database.")
    ] = None,
    copy: Annotated[str | None, typer.Option("--rehearse", metavar="URL", hidden=True)] = None,
    for_reload: Annotated[
        bool, typer.Option("--reload", help="Before a reload: note mistakes where the running daemon shows them.")
    ] = False,
    vault_key: VaultKey = None,
    password: Password = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Find all faults of the settings, and of the files and services that they name. Nothing is changed or started.

    With --with: exit code 1 if the new version finds mistakes, or does not read every open payment as this one does.
    """
    if marks:
        from gateway.control.offline import environment_marks

        output.dump(environment_marks.portable(output.loaded(context, config).settings))
        return
    if new is not None or copy is not None:
        _rehearse(context, config, new, into, copy, (vault_key, password), as_json=as_json)
        return
    from gateway.control.offline import settings_check as checking
    from gateway.settings import BadSettings, read_settings
    from protocols.kit import dsig

    environment = output.environment(context)
    dsig.start()
    try:
        looked = checking.findings(
            read_settings(config, environment.variables), environment.load_bank, environment.now()
        )
        mistakes, unreachable, notes = looked.mistakes, looked.unreachable, looked.notes
        sources = looked.sources
    except BadSettings as error:
        mistakes, unreachable, notes, sources = error.mistakes, (), (), ()
    if for_reload and mistakes:
        _note_refusal(config, environment.variables, list(map(str, mistakes)))
    code = exit_codes.CONFIG if mistakes else exit_codes.UNAVAILABLE if unreachable else exit_codes.OK
    if as_json:
        rows, noted = (
            [{"file": one.file, "key": one.key, "remedy": one.remedy} for one in some]
            for some in ((*mistakes, *unreachable), notes)
        )
        placed = [{"key": key, "source": source} for key, source in sources]
        output.dump({"ok": code == exit_codes.OK, "mistakes": rows, "notes": noted, "sources": placed})
        raise typer.Exit(code)
    if code != exit_codes.OK:
        output.leave_with_mistakes(code, (*mistakes, *unreachable, *notes))
    for note in notes:
        output.say(output.explained(note, "提示："))
    for key, source in sources:
        output.say((f"{key}: {source}", f"{key}：{source_in_chinese(source)}"))
    output.say((f"{config}: no mistakes found", f"{config}：没有发现错误"))


_PLACES = {
    "file ": "文件 ",
    "systemd credential ": "systemd 凭据 ",
    "command ": "命令 ",
    "environment variable ": "环境变量 ",
    "PKCS#11 token ": "PKCS#11 令牌 ",
    "signing service ": "签名服务 ",
}


def source_in_chinese(source: str) -> str:
    """The place of a secret or key, in Chinese."""
    english = next(one for one in _PLACES if source.startswith(one))
    return _PLACES[english] + source.removeprefix(english).replace(", key ", "，密钥 ")


def _note_refusal(config: Path, variables: Mapping[str, str], reasons: list[str]) -> None:
    """Write the mistakes into the state folder: that of the settings, else the unit's."""
    from gateway.kernel import reload_refusals
    from gateway.settings import BadSettings, read_settings

    try:
        folder = read_settings(config, variables).settings.state_dir
    except BadSettings:
        if "STATE_DIRECTORY" not in variables:
            return
        folder = Path(variables["STATE_DIRECTORY"])
    reload_refusals.note(folder, reasons)


def _rehearse(
    context: typer.Context,
    config: Path,
    new: Path | None,
    into: str | None,
    copy: str | None,
    files: tuple[Path | None, Path | None],
    *,
    as_json: bool,
) -> None:
    from dataclasses import asdict

    from gateway.control.offline import rehearsal

    settings, environment = settings_of(context, config), output.environment(context)
    access = access_of(settings, *files)
    try:
        if copy is not None:
            # During a rehearsal, the older version runs this program over its copy of the journal.
            output.dump(rehearsal.migrate_copy(settings, copy, access[1]))
            return
        assert new is not None
        named = ("--vault-key", "--database-password")
        given = [word for name, file in zip(named, files, strict=True) if file for word in (name, str(file.absolute()))]
        with rehearsal.program_of(new) as command:
            tried = rehearsal.Rehearsed(command, config, tuple(given))
            done = rehearsal.rehearse(settings, access, tried, environment.version(), environment.now(), into)
    except rehearsal.NotRehearsed as error:
        output.leave(exit_codes.FAILED, output.explained(error, "未能演练："))
    output.show({**asdict(done), "good": done.good}, as_json=as_json, words=_say_rehearsal)
    raise typer.Exit(exit_codes.OK if done.good else exit_codes.FAILED)


def _say_rehearsal(said: Any) -> None:
    before, after = said["before"], said["after"]
    output.say((f"version {said['version']}", f"版本 {said['version']}"))
    for one in said["mistakes"]:
        output.say((f"settings: {one}", f"设置有误：\n{one}"))
    if not said["mistakes"]:
        output.say(("settings: no mistakes found", "设置：没有发现错误"))
    old, new, copied_s, migrated_s = before["schema"], after["schema"], said["copied_s"], said["migrated_s"]
    moved = (f"{old} to {new}", f"由 {old} 到 {new}") if old != new else ("stays", "不变")
    output.say(
        (
            f"journal: copied in {copied_s} s; schema {moved[0]}, migrated in {migrated_s} s",
            f"流水库：复制用时 {copied_s} 秒；库结构版本{moved[1]}，迁移用时 {migrated_s} 秒",
        )
    )
    _say_open_payments(before["states"], same=said["same"])
    if said["beside"]:
        output.say(("nodes of this version may work on beside it", "本版本的节点可与新版本同时工作"))
    else:
        output.say(
            (
                "nodes of this version must be stopped first; going back takes a restore",
                "须先停止本版本的节点；退回须恢复备份",
            )
        )
    if said["good"]:
        output.say(("the upgrade may be made", "可以升级"))
    else:
        output.say(("do not upgrade; report the lines above", "请勿升级；请报告以上各行"))


def _say_open_payments(found: Mapping[str, int], *, same: bool) -> None:
    count, states = sum(found.values()), ", ".join(f"{state} {number}" for state, number in found.items())
    as_before = ("the new version reads each as this one does", "新版本与本版本读出的一致")
    otherwise = ("THE NEW VERSION READS THEM OTHERWISE", "新版本读出的与本版本不一致")
    english, chinese = as_before if same else otherwise
    output.say(
        (
            f"open payments: {count} ({states or 'none'}); {english}",
            f"未了结付款：{count}（{states or '无'}）；{chinese}",
        )
    )
