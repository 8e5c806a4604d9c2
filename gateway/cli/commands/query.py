"""`bankgw query`: the process that reads the journal for the web console, in the foreground."""

from __future__ import annotations

import os
import resource
import signal
from typing import Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, Config


def query(context: typer.Context, config: Config = DEFAULT_CONFIG) -> None:
    """Run the process that reads the journal for the web console, until SIGTERM or SIGINT."""
    from twisted.internet.defer import Deferred
    from twisted.internet.error import CannotListenError

    from gateway.control.offline.journal_access import NoAccess
    from gateway.jointtest.shelf import RunShelf
    from gateway.kernel import log, signals
    from gateway.web.query.process import QueryProcess
    from protocols.kit import dsig

    found = output.loaded(context, config)
    if found.mistakes:
        output.refuse(found.mistakes)
    settings, environment = found.settings, output.environment(context)
    if settings.web.console_origin is None:
        output.leave(
            exit_codes.CONFIG,
            (
                "web.console_origin is not set: there is no console to answer",
                "未设 web.console_origin：没有要答复的控制台",
            ),
        )
    dsig.start()
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log.start(settings.log.level, priorities=settings.log.priorities, environment=settings.environment_name())
    reactor = environment.reactor()
    banks = {name: environment.load_bank(table) for name, table in settings.banks.items()}
    try:
        tests = settings.web.joint_tests_dir
        running = QueryProcess(reactor, settings, banks, None if tests is None else RunShelf(tests))
        running.open()
    except (NoAccess, CannotListenError, OSError, LookupError) as error:
        output.leave(
            exit_codes.UNAVAILABLE, (f"the query process does not start: {error}", f"查询进程不能启动：\n{error}")
        )
    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(running.close()))
    signals.listen(reactor, (signal.SIGTERM, signal.SIGINT), lambda _: _stop(reactor))
    log.get("query").info("query.started", socket=str(settings.query_socket()))
    reactor.run(installSignalHandlers=False)


def _stop(reactor: Any) -> None:
    if reactor.running:
        reactor.stop()
