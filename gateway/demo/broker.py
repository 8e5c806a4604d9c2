"""A RabbitMQ for the demo outside a checkout. The scripts of `make broker` come with the installed package.

The scripts use this machine's RabbitMQ if it accepts us as its administrator. Otherwise they start a private one from
the installed program. Afterwards the private one is stopped, or the demo's objects are removed from the other.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gateway

_PACKAGE = Path(gateway.__file__).parent


class NoBroker(Exception):
    """No broker exists and none can be started; the text says what to do."""


@contextmanager
def own_broker() -> Iterator[Path]:
    """Start a broker that runs until the end of the block, and yield its description. Raises `NoBroker`."""
    # Kept from one demo to the next, so that its passwords and names stay.
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bankgw"
    env = {**os.environ, "BANKGW_RUN": str(folder), "BANKGW_NO_INSTALL": "1", "PYTHONPATH": str(_scripts())}
    env.pop("BANKGW_BROKER_JSON", None)
    try:
        if _broker("up", env) != 0:
            raise NoBroker(
                "the demo found no RabbitMQ that it can use (the reason is above): install rabbitmq-server, "
                "or describe yours in a file named by $BANKGW_BROKER_JSON"
            )
        yield folder / "broker.json"
    finally:
        _broker("forget", env)


def _broker(verb: str, env: dict[str, str]) -> int:
    return subprocess.run([sys.executable, "-m", "setup.broker", verb], env=env, check=False).returncode


def _scripts() -> Path:
    """The folder that holds `setup`: beside the package in a checkout, inside it when installed."""
    beside = _PACKAGE.parent
    return beside if (beside / "setup" / "broker.py").is_file() else _PACKAGE / "scripts"
