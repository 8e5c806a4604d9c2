"""`python -m gateway.demo_daemon UID run --config FILE`: the daemon of `bankgw demo --console`. Its own user counts as
the enrolled person with this UID.

A real daemon accepts neither root nor its own user as a person, so that the persons who run the machine cannot sign. A
demo has no other user. This program is no part of the daemon, and refuses settings of any mode but development.
"""

from __future__ import annotations

import os
import socket
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway import __main__ as program
from gateway.call import PeerCredentials
from gateway.control.peer_credentials import peer_of
from gateway.daemon import Daemon
from gateway.settings import Settings
from gateway.system_parts import system_parts


def main() -> None:
    """Run the daemon in this process."""
    uid = int(sys.argv.pop(1))
    if tomllib.loads(Path(sys.argv[-1]).read_text("utf-8")).get("mode") != "development":
        sys.exit("this is the demo's daemon; it runs with settings of the mode development only")

    def as_person(connection: socket.socket) -> PeerCredentials:
        peer = peer_of(connection)
        return PeerCredentials(uid) if peer.uid == os.getuid() else peer

    def start(reactor: Any, settings: Settings, on_fatal: Callable[[str], None]) -> Daemon:
        return Daemon(reactor, settings, system_parts(reactor, settings, on_fatal), on_fatal, as_person)

    program.main(replace(program.environment(), start=start))


if __name__ == "__main__":
    main()
