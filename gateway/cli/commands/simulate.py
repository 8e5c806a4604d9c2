"""`bankgw simulate`: one simulated bank in the foreground; files for a new one; a command to a running one."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway.cli import exit_codes, output

Level = Literal["debug", "info", "warning", "error"]
Word = Literal["report", "truth", "calm", "strike", "clock"]


def simulate(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The bank's settings, TOML or JSON; with --init a new folder.")
    ],
    log_level: Annotated[Level, typer.Option(help="debug, info, warning or error.")] = "info",
    init: Annotated[
        str | None, typer.Option(metavar="BANK", help="Write settings, keys and a matching gateway's files into FILE.")
    ] = None,
    tell: Annotated[
        Word | None, typer.Option(help="To the bank that runs with FILE: report, truth, calm, strike or clock.")
    ] = None,
    fault: Annotated[str | None, typer.Option(help="For strike: the fault; docs/do/simulate.md lists them.")] = None,
    touch: Annotated[
        str | None, typer.Option(help="For strike: in which exchange: money, enquiry, question or probe.")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="For strike: only about this reference.")] = None,
    seconds: Annotated[float | None, typer.Option(help="For strike: how long it lasts, where it lasts.")] = None,
    ahead_s: Annotated[
        float | None, typer.Option(help="For clock: so many seconds ahead of this machine's, or behind it (-86400).")
    ] = None,
) -> None:
    """Run one simulated bank in the foreground: its own side of the protocol, with a ledger and seeded faults."""
    if init is not None:
        _init(init, file)
        return
    if tell is not None:
        word = {
            "do": tell,
            "fault": fault,
            "touch": touch,
            "reference": reference,
            "seconds": seconds,
            "ahead_s": ahead_s,
        }
        _tell(file, {name: value for name, value in word.items() if value is not None})
        return
    _run(context, file, log_level)


def _run(context: typer.Context, file: Path, log_level: Level) -> None:
    from twisted.internet.defer import Deferred
    from twisted.internet.error import CannotListenError

    from gateway.kernel import log, signals
    from gateway.simbank.config import BadConfig, SimConfig
    from gateway.simbank.service import serve

    reactor = output.environment(context).reactor()
    try:
        config = SimConfig.from_file(file)
        log.start(log_level)
        running = serve(reactor, config)
    except (BadConfig, CannotListenError) as error:
        code = exit_codes.CONFIG if isinstance(error, BadConfig) else exit_codes.UNAVAILABLE
        output.leave(code, output.explained(error, "模拟银行不能启动："))
    except ValueError as error:
        output.leave(exit_codes.CONFIG, (f"{file}: {error}", f"{file} 不能采用：\n{error}"))
    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(running.stop()))
    signals.listen(reactor, (signal.SIGTERM, signal.SIGINT), lambda _: _stop(reactor))
    reactor.run(installSignalHandlers=False)


def _stop(reactor: Any) -> None:
    if reactor.running:
        reactor.stop()


def _init(bank: str, folder: Path) -> None:
    from gateway.cli import joint_run
    from gateway.jointtest import front_end
    from protocols.trial import banks

    if bank not in banks():
        output.leave(exit_codes.USAGE, joint_run.no_bank(bank, banks()))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        output.leave(
            exit_codes.REFUSED,
            (
                f"{folder} is there already; nothing is overwritten: name a new folder",
                f"{folder} 已存在；不覆盖任何内容：请写一个新目录",
            ),
        )
    try:
        made = front_end.make_site(folder.absolute(), bank)
    except OSError as error:
        output.leave(
            exit_codes.FAILED,
            (f"{folder} cannot be written: {error.strerror}", f"无法写入 {folder}：{output.os_reason(error)}"),
        )
    simulator = made.simulator(bank)
    output.say((f"the bank: bankgw simulate {simulator}", f"银行：bankgw simulate {simulator}"))
    output.say(
        (
            f"the gateway: {made.settings} and conf.d beside it; put your broker's address and password in",
            f"网关：{made.settings} 及同目录的 conf.d；请填入消息服务器的地址与密码",
        )
    )


def _tell(file: Path, command: dict[str, Any]) -> None:
    from gateway.simbank.config import BadConfig, SimConfig
    from gateway.simbank.control_line import NobodyListens, tell

    try:
        config = SimConfig.from_file(file)
    except BadConfig as error:
        output.leave(exit_codes.CONFIG, output.explained(error, "模拟银行的设置有误："))
    if config.control is None:
        output.leave(
            exit_codes.CONFIG,
            (f"{file}: control is not set: nobody can speak to this bank", f"{file}：未设 control，无法向该银行下命令"),
        )
    try:
        output.dump(tell(config.control, command))
    except NobodyListens as error:
        output.leave(exit_codes.UNAVAILABLE, output.explained(error, "模拟银行没有应答："))
