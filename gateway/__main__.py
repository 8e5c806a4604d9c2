"""The program `bankgw`, or `python -m gateway`: gives the command line the parts that it may not import itself.

Each command imports the large modules that it needs by itself, so that `bankgw status` does not wait for a database
library.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway.cli import application, exit_codes, output, stdout
from gateway.cli.environment import Environment
from gateway.version import VERSION

if TYPE_CHECKING:
    from gateway.cli.run import Running
    from gateway.settings import BankSettings as BankTable
    from gateway.settings import Settings
    from protocols.bank import Bank
    from protocols.certificates import Office


def _reactor() -> Any:
    from twisted.internet import reactor

    from gateway.kernel.clock import keep_steady

    keep_steady(reactor)
    return reactor


def _load_bank(table: BankTable) -> Bank:
    from gateway.register import adapters

    return adapters.load_bank(table)


def _load_office(table: BankTable) -> Office | None:
    from gateway.register import adapters

    return adapters.load_office(table)


def _start(reactor: Any, settings: Settings, on_fatal: Callable[[str], None]) -> Running:
    from gateway.daemon import daemon

    return daemon(reactor, settings, on_fatal)


def environment() -> Environment:
    """The environment of the installed program."""
    return Environment(
        version=lambda: VERSION,
        variables=os.environ,
        reactor=_reactor,
        load_bank=_load_bank,
        start=_start,
        now=lambda: datetime.now(UTC),
        load_office=_load_office,
    )


def main(given: Environment | None = None) -> None:
    """Run the command line and end the process with its code. `given`: an environment in place of the program's own."""
    stdout.guard()
    try:
        code = application.main(given or environment())
        sys.stdout.flush()
    except Exception:
        # Border of the process: the error can only be shown on the terminal, where no account number may appear.
        from gateway.kernel import log

        print(log.masked(traceback.format_exc()), file=sys.stderr)
        output.warn(
            (
                "bankgw: this is a defect of the program; please report the lines above",
                "bankgw：这是程序的缺陷；请报告以上各行",
            )
        )
        code = exit_codes.FAILED
    sys.exit(code)


if __name__ == "__main__":
    main()
