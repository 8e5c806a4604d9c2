"""`bankgw joint-test serve`: a simulated bank for a foreign client, which shows the client's mistakes to its people."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output

if TYPE_CHECKING:
    from gateway.jointtest.client_check import ClientCheck
    from gateway.simbank.config import SimConfig
    from gateway.simbank.service import RunningBank

_LOOK_EVERY_S = 0.2


def serve(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The simulated bank's settings, with exchange_log set.")],
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a report there at the end, and whenever SIGUSR1 comes.")
    ] = None,
) -> None:
    """Simulate the bank for a foreign client: show for each request whether the bank's rules accept it, until Ctrl-C.

    Each exchange is shown with its connection, operation, code, reason and sums; a refused one also with the field, the
    rule, the value and the row of the bank's page. Requests that cannot be read, and connections without a valid client
    certificate, are shown too. The exit code is 0 without findings, and 1 if there is a finding: something that a bank
    would not accept. Refusals for a business reason, and planned faults, are no findings. The report is for the
    client's vendor: HTML and PDF, in English and Chinese.
    """
    from gateway.kernel import signals

    config = _config(file)
    running, check = _started(context, config)
    reactor = output.environment(context).reactor()
    _tell_site(config, running)

    def write_now() -> None:
        _say_news(check)
        if report is not None:
            _write(context, config.bank, check, report)

    if report is not None:
        _writable(report)
        signals.listen(reactor, (signal.SIGUSR1,), lambda _: write_now())
    _until_interrupted(reactor, running, lambda: _say_news(check))
    write_now()
    found = check.findings()
    if found:
        output.say(("findings:", "发现："))
    for line in found:
        output.say(line)
    untried = ", ".join(check.untried())
    if untried:
        output.say((f"never tried: {untried}", f"未测试的交易：{untried}"))
    output.say(check.last_line())
    if found:
        raise typer.Exit(exit_codes.FAILED)


def _config(file: Path) -> SimConfig:
    from gateway.simbank.config import BadConfig, SimConfig

    try:
        config = SimConfig.from_file(file)
    except BadConfig as error:
        output.leave(exit_codes.CONFIG, output.explained(error, "模拟银行不能启动："))
    if config.exchange_log is None:
        output.leave(
            exit_codes.CONFIG,
            (
                f"{file}: exchange_log is not set: there would be nothing to look at",
                f"{file}：未设 exchange_log，没有可检验的内容",
            ),
        )
    return config


def _started(context: typer.Context, config: SimConfig) -> tuple[RunningBank, ClientCheck]:
    from twisted.internet.error import CannotListenError

    from gateway.jointtest.client_check import ClientCheck, known_operations
    from gateway.simbank import service
    from protocols.trial import trial

    log = config.exchange_log
    assert log is not None
    try:
        running = service.serve(output.environment(context).reactor(), config)
    except (CannotListenError, ValueError) as error:
        output.leave(exit_codes.CONFIG, output.explained(error, "模拟银行不能启动："))
    # Lines of an earlier visit do not belong to this client.
    offset = log.stat().st_size if log.exists() else 0
    return running, ClientCheck(log, offset, trial(config.bank).accepted, known_operations(config.bank))


def _tell_site(config: SimConfig, running: RunningBank) -> None:
    """Print where the bank listens and what the client needs: ports, TLS files, and how the visit ends."""
    ports = ", ".join(f"{name} {config.interface}:{port}" for name, port in running.bank.ports.items())
    output.say((f"serving {config.bank} at {ports}", f"正在充当 {config.bank}，端口：{ports}"))
    if config.tls is None:
        output.say(("plain TCP: the settings have no [tls]", "明文 TCP：设置中没有 [tls]"))
    else:
        ca = config.tls.client_ca
        output.say((f"TLS 1.2 or 1.3; a client certificate of {ca}", f"TLS 1.2 或 1.3；客户端证书须由 {ca} 签发"))
    page = f"protocols/banks/{config.bank}/README.md"
    output.say((f"rules of {page}", f"规则依据 {page}"))
    output.say(("Ctrl-C ends it with a summary", "按 Ctrl-C 结束并输出汇总"))
    sys.stdout.flush()


def _say_news(check: ClientCheck) -> None:
    for line in check.news():
        output.say(line)
    sys.stdout.flush()


def _writable(folder: Path) -> None:
    """Make the folder now: a visit of hours must not end without its report."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        output.leave(
            exit_codes.USAGE,
            (f"{folder} cannot be made: {error.strerror}", f"无法建立 {folder}：{output.os_reason(error)}"),
        )


def _write(context: typer.Context, bank: str, check: ClientCheck, folder: Path) -> None:
    """Write the report. If the folder cannot be written, the report is lost, and the visit still ends in order."""
    from gateway.jointtest.client_report import report_on, write_report

    world = output.environment(context)
    try:
        files, notes = write_report(report_on(check, bank, world.version(), world.now()), folder)
    except OSError as error:
        output.warn((f"no report: {folder}: {error.strerror}", f"未写报告：{folder}：{output.os_reason(error)}"))
        return
    for note in notes:
        output.say((f"note: {note}", f"注：{note}"))
    output.say((f"report: {', '.join(map(str, files))}", f"报告：{'，'.join(map(str, files))}"))
    sys.stdout.flush()


def _until_interrupted(reactor: Any, running: RunningBank, look: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM, and look at the log meanwhile."""
    from twisted.internet.defer import Deferred
    from twisted.internet.task import LoopingCall

    from gateway.kernel import signals

    looking = LoopingCall(look)
    looking.clock = reactor
    looking.start(_LOOK_EVERY_S)
    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(running.stop()))
    signals.listen(reactor, (signal.SIGTERM, signal.SIGINT), lambda _: reactor.stop())
    reactor.run(installSignalHandlers=False)
