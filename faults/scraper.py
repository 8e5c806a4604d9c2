"""`python -m faults.scraper PORT CLIENTS SECONDS`: reads /metrics as fast as possible; one client never reads the
answer."""

from __future__ import annotations

import socket
import sys
import time
from threading import Thread

HOST = "127.0.0.1"
_ASK = b"GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n"


def _read(port: int, until_s: float, counts: list[int]) -> None:
    while time.monotonic() < until_s:
        try:
            with socket.create_connection((HOST, port), timeout=5) as line:
                line.sendall(_ASK)
                while line.recv(65_536):
                    pass
        except OSError:
            time.sleep(0.05)
        else:
            counts.append(1)


def main(port: int, clients: int, seconds: float) -> None:
    """Read the metrics for `seconds` seconds with `clients` clients, and print the number of answers."""
    until_s, counts = time.monotonic() + seconds, list[int]()
    threads = [Thread(target=_read, args=(port, until_s, counts), daemon=True) for _ in range(clients)]
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    slow.settimeout(5)
    try:
        slow.connect((HOST, port))
        slow.sendall(_ASK)
    except OSError:
        pass
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 10)
    slow.close()
    print(f"{len(counts)} scrapes")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
