"""The targets that a successful attack would reach: a file whose content must never appear, and a port that nobody may
connect to.
"""

from __future__ import annotations

import atexit
import os
import socket
import tempfile
from pathlib import Path
from shutil import rmtree
from typing import Final

CANARY: Final = "the-content-of-another-file"
FOLDER: Final = Path(tempfile.mkdtemp(prefix="bankgw-attacks-"))
atexit.register(rmtree, FOLDER, ignore_errors=True)
FILE: Final = FOLDER / "secret.txt"
FILE.write_text(CANARY)
DTD: Final = FOLDER / "evil.dtd"
DTD.write_text(f'<!ENTITY x "{CANARY}">')
PIPE: Final = FOLDER / "pipe"
os.mkfifo(PIPE)
_DOOR: Final = socket.socket()
_DOOR.bind(("127.0.0.1", 0))
_DOOR.listen(16)
_DOOR.setblocking(False)
URL: Final = f"http://127.0.0.1:{_DOOR.getsockname()[1]}/x"


def knocks() -> int:
    """The number of connections to the trap's port since the last call."""
    found = 0
    while True:
        try:
            connection, _ = _DOOR.accept()
        except BlockingIOError:
            return found
        connection.close()
        found += 1
