"""What an attack would reach if it worked: a file whose content must never be seen, a door that nobody may knock at."""

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
    """How many connections were made to the door since it was last asked."""
    found = 0
    while True:
        try:
            connection, _ = _DOOR.accept()
        except BlockingIOError:
            return found
        connection.close()
        found += 1
