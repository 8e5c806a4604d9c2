"""`bankgw support-bundle`: one zip for support, without accounts, names or secrets; the daemon need not run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.act import Bilingual
from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket

if TYPE_CHECKING:
    from gateway.cli.environment import Environment
    from gateway.cli.support_bundle import Redaction
    from gateway.settings import LoadedSettings

_JOURNAL_WAIT_S = 30.0
_JOURNALCTL = "journalctl"
_NO_SETTINGS: Bilingual = (
    "the settings cannot be read: settings-mistakes.txt says why; no settings, status or metrics",
    "设置无法读取，原因见 settings-mistakes.txt；没有设置、状态与指标",
)


def support_bundle(
    context: typer.Context,
    target: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="New zip file; default: named by node and time, here.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option("--log", help="The daemon's log file; default: what the journal has of the unit.")
    ] = None,
    lines: Annotated[int, typer.Option(min=0, help="So many last lines of the log.")] = 2_000,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Pack versions, settings without secrets, what `check` finds, status, metrics and the last log lines into one zip.

    Account numbers are masked, names and secrets left out. Works while the daemon is down, and says so.
    """
    from gateway.cli import support_bundle as cli_support_bundle
    from gateway.settings import BadSettings, read_settings

    environment = output.environment(context)
    try:
        loaded, mistakes = read_settings(config, environment.variables), ""
    except BadSettings as error:
        loaded, mistakes = None, "".join(f"{one}\n" for one in error.mistakes)
    settings = None if loaded is None else loaded.settings
    redaction, missing = cli_support_bundle.redaction_of(settings), list[Bilingual]()
    members = [("versions.json", _json(cli_support_bundle.versions(environment.version())))]
    if loaded is None:
        members.append(("settings-mistakes.txt", redaction.text(mistakes)))
        missing.append(_NO_SETTINGS)
    else:
        members.append(("settings.json", _json(cli_support_bundle.settings_words(loaded.settings, redaction))))
        members.append(("check.txt", redaction.text(_check(environment, loaded))))
    at = socket or (None if settings is None else settings.control_socket())
    if at is not None:
        members += _status(at, redaction, missing)
    if settings is not None:
        try:
            members.append(("metrics.txt", redaction.text(cli_support_bundle.metrics(settings))))
        except (OSError, ValueError) as error:
            missing.append((f"no metrics: {error}", f"没有指标：{error}"))
    members += _log(log, lines, redaction, missing)
    members.append(("missing.txt", redaction.text("".join(f"{one}\n" for one, _chinese in missing) or "nothing\n")))
    node = "unknown" if settings is None else settings.node
    path = target or Path(f"bankgw-support-{node}-{environment.now():%Y%m%dT%H%M%SZ}.zip")
    _write(path, [("README.txt", cli_support_bundle.contents(members)), *members])

    def print_bundle(said: Any) -> None:
        path, members = said["path"], ", ".join(said["members"])
        output.say((f"wrote {path}: {members}", f"已写入 {path}：{members}"))
        for english, chinese in missing:
            output.say((f"  missing: {english}", f"  缺少：{chinese}"))
        output.say(
            (
                "no account number, name or secret is in it; look through it before you send it",
                "其中没有账号、户名与密钥；发送之前请再查看一遍",
            )
        )

    said = {"path": str(path), "members": [name for name, _text in members], "missing": [one for one, _ in missing]}
    output.show(said, as_json=as_json, words=print_bundle)


def _json(said: Any) -> str:
    return json.dumps(said, ensure_ascii=False, indent=1) + "\n"


def _check(environment: Environment, loaded: LoadedSettings) -> str:
    from gateway.control.offline import settings_check as checking
    from protocols.kit import dsig

    dsig.start()
    looked = checking.findings(loaded, environment.load_bank, environment.now())
    return "".join(f"{one}\n" for one in (*looked.mistakes, *looked.unreachable)) or "no mistakes found\n"


def _status(at: Path, redaction: Redaction, missing: list[Bilingual]) -> list[tuple[str, str]]:
    from gateway.control.client import ControlClient, NoDaemon, Refused

    try:
        return [("status.json", _json(redaction.value(ControlClient(at).get("status"))))]
    except (NoDaemon, Refused) as error:
        missing.append(
            (
                f"no status, the daemon is down or cannot be asked: {error}",
                f"没有状态，守护进程已停止或无法访问：{getattr(error, 'chinese', error)}",
            )
        )
        return []


def _log(file: Path | None, lines: int, redaction: Redaction, missing: list[Bilingual]) -> list[tuple[str, str]]:
    from gateway.cli import support_bundle as cli_support_bundle

    if file is None and not _has_unit():
        missing.append(
            (
                "no log: there is no unit of bankgw on this machine; name the daemon's log file with --log",
                "没有日志：本机没有 bankgw 服务单元；请以 --log 指明日志文件",
            )
        )
        return []
    try:
        found = _journal(lines) if file is None else cli_support_bundle.tail(file, lines)
    except (OSError, subprocess.SubprocessError) as error:
        missing.append((f"no log: {error}", f"没有日志：{error}"))
        return []
    return [("log.txt", cli_support_bundle.log_text(found, redaction))]


def _has_unit() -> bool:
    from gateway.control import service_unit

    return shutil.which(_JOURNALCTL) is not None and service_unit.installed()


def _journal(lines: int) -> list[str]:
    program = shutil.which(_JOURNALCTL)
    if program is None:
        raise FileNotFoundError("there is no journalctl")
    command = [program, "--unit=bankgw.service", "--unit=bankgw@*", "--output=cat", "--no-pager", f"--lines={lines}"]
    done = subprocess.run(command, capture_output=True, timeout=_JOURNAL_WAIT_S, check=True)  # noqa: S603 - our words
    return done.stdout.decode("utf-8", "replace").splitlines()


def _write(path: Path, members: list[tuple[str, str]]) -> None:
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        output.leave(
            exit_codes.REFUSED,
            (f"{path} exists, and nothing is overwritten; name another file", f"{path} 已存在，不覆盖；请写另一文件名"),
        )
    except OSError as error:
        output.leave(
            exit_codes.FAILED,
            (f"{path} cannot be made: {error.strerror}", f"无法生成 {path}：{output.os_reason(error)}"),
        )
    with os.fdopen(number, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in members:
            bundle.writestr(name, text)
