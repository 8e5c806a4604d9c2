"""The environment that `gateway.__main__` passes to the command line: version, variables, reactor, and how to start.

The command line may not import the composition root: `gateway.__main__` passes these in, tests pass in others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway import settings as conf
    from gateway.cli.run import Start
    from protocols.bank import Bank
    from protocols.certificates import Office


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment. `reactor` installs and returns the reactor; only commands that need one call it. `now` is aware.

    `load_office` returns None for a bank whose certificates are not requested over a connection.
    """

    version: Callable[[], str]
    variables: Mapping[str, str]
    reactor: Callable[[], Any]
    load_bank: Callable[[conf.BankSettings], Bank]
    start: Start
    now: Callable[[], datetime]
    load_office: Callable[[conf.BankSettings], Office | None]
